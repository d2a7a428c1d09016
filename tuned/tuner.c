/* SPDX-License-Identifier: Apache-2.0 */
/* The job: a list of units, a session that remembers which are done, and one transaction per unit.
 * Nothing of the store is open in a transaction while something is compiled or timed. */
#include "tuner.h"

#include "error.h"
#include "live.h"
#include "plan.h"
#include "rng.h"
#include "spec.h"
#include "store.h"
#include "tuned.h"
#include "unit.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT_STEPS = 100 };

typedef struct job {
    const ng_tune_request *request;
    const ng_meter *meter;
    ng_units units;
    size_t current;
    ng_effort_plan effort;
    double start;
    char machine[NG_MACHINE_TEXT];
    ng_store *store; /* NULL: nothing is kept */
    bool wanted;     /* that something is kept */
    ng_session session;
    size_t lost;      /* units whose results could not be stored */
    size_t fruitless; /* units without a kernel that works */
    char trouble[NG_ERROR_TEXT], why_fruitless[320];
} job;

/* ---- events ---- */

static ng_event event_of(const job *j, ng_event_kind kind, const char *text) {
    ng_event e = {.kind = kind, .text = text, .threads = j->request->threads};
    if (j->current < j->units.count) {
        const ng_unit_item *u = &j->units.items[j->current];
        e.spec = u->spec;
        e.regime = u->regime;
        e.rows = (int64_t)u->rows;
    }
    e.done = j->current * UNIT_STEPS;
    e.total = j->units.count * UNIT_STEPS;
    return e;
}

static void send_event(const job *j, const ng_event *e) {
    if (j->request->event) j->request->event(j->request->ctx, e);
}

__attribute__((format(printf, 3, 4))) static void say(const job *j, ng_event_kind kind,
                                                      const char *format, ...) {
    char text[NG_ERROR_TEXT + 100];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    ng_event e = event_of(j, kind, text);
    send_event(j, &e);
}

static void on_progress(void *ctx, double share, const char *text, const ng_figure *best) {
    const job *j = ctx;
    ng_event e = event_of(j, NG_EVENT_PROGRESS, text);
    e.done += (size_t)(share * (double)UNIT_STEPS);
    e.best = *best;
    send_event(j, &e);
}

static bool stopped(const job *j) { return j->request->stop && *j->request->stop; }

/* ---- the store ---- */

/* Told once; the job goes on. */
static void store_trouble(job *j, const char *consequence) {
    if (!*j->trouble) {
        snprintf(j->trouble, sizeof j->trouble, "%s", normgen_error());
        say(j, NG_EVENT_NOTE, "%s; %s", j->trouble, consequence);
    }
}

/* What was asked for; an interrupted job is found again by it. */
static void job_text(const job *j, char *text, size_t size) {
    const ng_tune_request *r = j->request;
    char spec[NORMGEN_SPEC_TEXT];
    uint64_t digest = 0;
    for (size_t i = 0; i < r->specs->count; i++) {
        ng_spec_text(&r->specs->items[i].spec, spec);
        digest = ng_rng_for(digest, spec).state;
    }
    int n = snprintf(text, size, "tune threads=%d rows=%lld specs=%zu", r->threads,
                     (long long)r->rows, r->specs->count);
    ng_spec_text(&r->specs->items[0].spec, spec);
    if (r->specs->count > 1)
        n += snprintf(text + n, size - (size_t)n, " %016llx", (unsigned long long)digest);
    snprintf(text + n, size - (size_t)n, ": %s", spec);
}

static normgen_status begin_session(job *j) {
    bool found = false;
    ng_session *s = &j->session;
    job_text(j, s->job, sizeof s->job);
    s->effort = j->request->effort;
    s->seed = j->request->seed;
    s->noise = (double)NAN;
    normgen_status status = ng_store_resume(j->store, s->job, s->effort, s->seed, s, &found);
    if (status == NORMGEN_OK && found)
        say(j, NG_EVENT_NOTE, "continues the session that was interrupted (begun %s)", s->started);
    return status == NORMGEN_OK && !found ? ng_store_begin(j->store, s) : status;
}

static void open_store(job *j) {
    const char *path = j->request->store;
    char standard[PATH_MAX];
    normgen_status status = NORMGEN_OK;
    j->wanted = !path || *path;
    if (!j->wanted) return;
    if (!path) {
        status = ng_store_default_path(standard, sizeof standard);
        path = standard;
    }
    if (status == NORMGEN_OK) status = ng_store_open(path, NG_STORE_WRITE, &j->store);
    if (status == NORMGEN_OK) status = begin_session(j);
    if (status == NORMGEN_OK) return;
    store_trouble(j, "tuning all the same, but results will not be kept");
    ng_store_close(j->store);
    j->store = NULL;
}

static ng_unit store_unit(const job *j, const ng_unit_item *u, const char *spec) {
    return (ng_unit){.spec = spec,
                     .machine = j->machine,
                     .toolchain = j->meter->toolchain,
                     .regime = u->regime,
                     .threads = j->request->threads,
                     .rows = (int64_t)u->rows};
}

static bool already_done(job *j, const ng_unit *unit) {
    bool done = false;
    if (j->store && ng_store_done(j->store, j->session.uuid, unit, &done) != NORMGEN_OK)
        store_trouble(j, "measuring again what may be there");
    return done;
}

static void keep_session(job *j) {
    if (j->store && ng_store_update(j->store, &j->session) != NORMGEN_OK)
        store_trouble(j, "the session's facts are not kept");
}

static void keep_unit(job *j, const ng_unit *unit, const ng_unit_result *r) {
    if (!j->wanted) return;
    if (!j->store) {
        j->lost++;
        return;
    }
    if (isnan(j->session.noise) || r->noise > j->session.noise) j->session.noise = r->noise;
    if (j->meter->host) j->meter->host(j->meter->ctx, j->session.host, sizeof j->session.host);
    if (ng_store_commit(j->store, j->session.uuid, unit, r->trials, r->n_trials, r->winners,
                        r->n_winners) != NORMGEN_OK) {
        j->lost++;
        store_trouble(j, "tuning goes on, results are printed but may not be kept");
        return;
    }
    keep_session(j);
}

/* ---- one unit ---- */

/* The stored winner of exactly this unit falls only to a better one. */
static const ng_schedule *incumbent_of(const job *j, const ng_choices *choices, ng_regime regime,
                                       int slot) {
    const ng_choice *c = &choices->at[regime][slot];
    bool same = c->rung == NG_RUNG_MACHINE && c->found.regime == regime &&
                c->found.threads == j->request->threads &&
                strcmp(c->found.toolchain, j->meter->toolchain) == 0;
    return same ? &c->schedule : NULL;
}

static void report(job *j, const ng_unit_result *r) {
    ng_event e = event_of(j, NG_EVENT_RESULT, NULL);
    e.done += UNIT_STEPS;
    e.noise = r->noise;
    e.best = r->best;
    e.cached = r->cached;
    e.limit = r->limit;
    e.preset = r->preset;
    e.one = r->one;
    e.one_limit = r->one_limit;
    e.trials = r->n_trials;
    e.invalid = r->invalid;
    send_event(j, &e);
    if (r->n_winners > 0) return;
    const char *why = "nothing could be tried in the time given";
    for (size_t i = 0; i < r->n_trials; i++)
        if (!r->trials[i].valid) why = r->trials[i].reason;
    j->fruitless++;
    snprintf(j->why_fruitless, sizeof j->why_fruitless, "%s", why);
}

/* Once in a session, and only when it is kept. */
static void measure_cutoff(job *j) {
    if (!j->store || j->session.cutoff > 0 || !j->meter->cutoff) return;
    j->session.cutoff = (int64_t)ceil(j->meter->cutoff(j->meter->ctx));
}

static normgen_status tune_unit(job *j, const ng_unit_item *u, ng_kernels *kernels,
                                const ng_unit *unit) {
    ng_choices choices;
    ng_program program;
    ng_unit_result result = {0};
    ng_program_build(&program, &u->spec->spec);
    if (ng_choose(j->store, j->meter->cpu, &u->spec->spec, &program, j->meter->toolchain,
                  j->request->threads, &choices) != NORMGEN_OK)
        store_trouble(j, "searching without what was stored");
    ng_unit_plan plan = {.place = {.spec = &u->spec->spec,
                                   .program = &program,
                                   .regime = u->regime,
                                   .rows = u->rows,
                                   .threads = j->request->threads,
                                   .whole_space = j->effort.whole_space},
                         .meter = j->meter,
                         .effort = j->effort,
                         .seed = (uint64_t)j->request->seed,
                         .choices = &choices,
                         .progress = on_progress,
                         .ctx = j};
    for (int slot = 0; slot < 2; slot++)
        plan.incumbent[slot] = incumbent_of(j, &choices, u->regime, slot);
    normgen_status status = ng_unit_tune(&plan, kernels, &result);
    if (status != NORMGEN_OK) return status;
    keep_unit(j, unit, &result);
    report(j, &result);
    ng_unit_result_fini(&result);
    return NORMGEN_OK;
}

static bool over_budget(const job *j) {
    double budget = j->request->budget;
    return budget > 0 && j->meter->now(j->meter->ctx) - j->start >= budget;
}

/* *complete: whether nothing was left for a later run. */
static normgen_status tune_units(job *j, bool *complete) {
    ng_kernels kernels = {0};
    normgen_status status = NORMGEN_OK;
    *complete = true;
    for (j->current = 0; j->current < j->units.count && status == NORMGEN_OK; j->current++) {
        const ng_unit_item *u = &j->units.items[j->current];
        char spec[NORMGEN_SPEC_TEXT];
        ng_spec_text(&u->spec->spec, spec);
        ng_unit unit = store_unit(j, u, spec);
        if (j->current > 0 && u->spec != j->units.items[j->current - 1].spec)
            ng_kernels_fini(&kernels);
        if (stopped(j)) {
            status = ng_fail(NORMGEN_E_INTERRUPTED, "stopped on request");
        } else if (u->rows == 0) {
            say(j, NG_EVENT_SKIP, "%s", u->note);
        } else if (already_done(j, &unit)) {
            say(j, NG_EVENT_SKIP, "already done in this session");
        } else if (over_budget(j)) {
            *complete = false;
            say(j, NG_EVENT_SKIP, "the budget of %g s is spent; the same command continues here",
                j->request->budget);
        } else {
            if (*u->note) say(j, NG_EVENT_NOTE, "%s", u->note);
            measure_cutoff(j);
            status = tune_unit(j, u, &kernels, &unit);
        }
    }
    ng_kernels_fini(&kernels);
    return status;
}

/* ---- the job ---- */

/* A budget shrinks every unit alike, so that what a unit may take does not depend on the others. */
static void fit_budget(job *j) {
    size_t units = 0;
    for (size_t i = 0; i < j->units.count; i++) units += j->units.items[i].rows > 0;
    double each = j->effort.make_seconds + j->effort.measure_seconds;
    double budget = j->request->budget, share = budget / ((double)units * each);
    if (budget <= 0 || units == 0 || share >= 1) return;
    j->effort.make_seconds *= share;
    j->effort.measure_seconds *= share;
}

static normgen_status conclude(job *j, normgen_status status, bool complete) {
    if (status == NORMGEN_OK && complete && !j->lost) j->session.finished = true;
    keep_session(j);
    if (status != NORMGEN_OK) return status;
    if (j->lost || (j->wanted && !j->store))
        return ng_fail(NORMGEN_E_STORE, "results of %zu unit%s are not stored: %s", j->lost,
                       j->lost == 1 ? "" : "s", j->trouble);
    if (j->fruitless)
        return ng_fail(NORMGEN_E_GENERATOR, "no kernel works in %zu unit%s: %s", j->fruitless,
                       j->fruitless == 1 ? "" : "s", j->why_fruitless);
    return NORMGEN_OK;
}

static int clamp_effort(int effort) {
    return effort < NG_QUICK ? NG_QUICK : effort > NG_THOROUGH ? NG_THOROUGH : effort;
}

normgen_status ng_tune_with(const ng_tune_request *request, const ng_meter *meter) {
    ng_tune_request r = *request;
    if (r.threads < 1) r.threads = 1;
    r.effort = clamp_effort(r.effort);
    job j = {.request = &r, .meter = meter, .effort = ng_effort_plans[r.effort]};
    bool complete = false;
    normgen_status status = ng_units_plan(&r, meter, &j.units);
    if (status != NORMGEN_OK) return status;
    j.start = meter->now(meter->ctx);
    ng_cpu_machine_text(meter->cpu, j.machine);
    fit_budget(&j);
    open_store(&j);
    status = tune_units(&j, &complete);
    status = conclude(&j, status, complete);
    ng_store_close(j.store);
    ng_units_fini(&j.units);
    return status;
}

normgen_status ng_tune(const ng_tune_request *request) {
    ng_live *live;
    normgen_status status = ng_live_new((uint64_t)request->seed, request->stop, &live);
    if (status != NORMGEN_OK) return status;
    status = ng_tune_with(request, ng_live_meter(live));
    ng_live_free(live);
    return status;
}
