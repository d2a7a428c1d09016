/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated machine, and jobs on it. */
#include "simclock.h"

#include "candidates.h"
#include "shipped.h"
#include "spec.h"
#include "store.h"
#include "tuner.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- models ---- */

static double planted(const sim *s, const ng_subject *subject, double ns) {
    return s->planted && strcmp(s->planted, subject->text) == 0 ? ns * s->factor : ns;
}

double sim_flat(const sim *s, const ng_place *place, const ng_subject *subject) {
    (void)place;
    return planted(s, subject, subject->kind == NG_SUBJECT_KERNEL ? 1000 : 800);
}

double sim_hills(const sim *s, const ng_place *place, const ng_subject *subject) {
    ng_schedule ideal = {.vec = 512, .block = 2, .prefetch = NG_PREFETCH_NEXT};
    if (place->regime == NG_L1) ideal = (ng_schedule){.vec = 256, .block = 1};
    if (place->regime == NG_L2) ideal = (ng_schedule){.vec = 256, .block = 4};
    if (place->regime == NG_DRAM)
        ideal = (ng_schedule){.vec = 512, .block = 2, .store = NG_STORE_STREAM, .overlap = 1};
    if (subject->kind == NG_SUBJECT_LIMIT) ideal.overlap = 0;
    if (subject->kind == NG_SUBJECT_MEMCPY) return 790;
    int away = ng_schedule_distance(place->program, &ideal, &subject->schedule);
    double base = subject->kind == NG_SUBJECT_KERNEL ? 1000 : 800;
    return planted(s, subject, base * (1 + 0.04 * away));
}

/* ---- the meter ---- */

static double now(void *ctx) { return ((sim *)ctx)->clock; }

static void host(void *ctx, char *text, size_t size) {
    (void)ctx;
    snprintf(text, size, "simulated");
}

static void break_down(ng_subject *subject, const char *reason) {
    subject->failed = true;
    subject->ready = false;
    snprintf(subject->reason, sizeof subject->reason, "%s", reason);
}

static normgen_status stopped(const sim *s) {
    if (s->pause_us) usleep((useconds_t)s->pause_us);
    return s->stop ? NORMGEN_E_INTERRUPTED : NORMGEN_OK;
}

static normgen_status prepare(void *ctx, const ng_place *place, ng_subject *const *subjects,
                              size_t n, double deadline) {
    sim *s = ctx;
    s->making = place->spec;
    for (size_t i = 0; i < n; i++) {
        ng_subject *x = subjects[i];
        if (x->ready || x->failed) continue;
        if (i > 0 && s->clock > deadline) break;
        const char *reason = s->breaks ? s->breaks(s, x) : NULL;
        s->clock += 0.005;
        s->made++;
        x->object.code_bytes =
            s->planted_bytes && strcmp(x->text, s->planted) == 0 ? s->planted_bytes : 1000;
        x->ready = true;
        if (reason) break_down(x, reason);
    }
    return stopped(s);
}

static void leave(void *ctx) { ((sim *)ctx)->entered = false; }

static normgen_status enter(void *ctx, const ng_place *place) {
    sim *s = ctx;
    char text[NORMGEN_SPEC_TEXT];
    ck_assert(!s->entered);
    ng_spec_text(place->spec, text);
    bool again = s->place.spec == place->spec && s->place.regime == place->regime &&
                 s->place.rows == place->rows;
    s->place = *place;
    s->processes = again ? s->processes + 1 : 1;
    if (!again) s->rng = ng_rng_for(s->seed * 8 + place->regime, text);
    s->entered = true;
    s->clock += 0.1;
    return NORMGEN_OK;
}

/* Sum of four uniform numbers, scaled to a deviation of 1; now and then something else runs. */
static double scatter(sim *s) {
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += ng_rng_unit(&s->rng) - 0.5;
    double burst = ng_rng_below(&s->rng, 40) == 0 ? 10 * ng_rng_unit(&s->rng) : 0;
    return sum * 1.732 + burst;
}

/* Of where a process's memory and stack lie. */
static double misfortune(const sim *s, const ng_subject *subject) {
    ng_rng rng = ng_rng_for(s->seed * 64 + s->processes, subject->text);
    return 1 + s->luck * ng_rng_unit(&rng);
}

static normgen_status measure(void *ctx, ng_subject *const *order, size_t n, size_t samples,
                              double *ns) {
    sim *s = ctx;
    ck_assert(s->entered);
    for (size_t i = 0; i < n; i++) {
        const char *reason = s->crashes ? s->crashes(s, order[i]) : NULL;
        ck_assert(order[i]->ready || (reason && order[i]->failed));
        double truth = s->model(s, &s->place, order[i]) * misfortune(s, order[i]);
        for (size_t j = 0; j < samples; j++)
            ns[i * samples + j] =
                reason ? (double)NAN : truth * fmax(0.5, 1 + s->noise * scatter(s));
        if (reason) break_down(order[i], reason);
        s->clock += 100e-6 * (double)(samples + 2);
        s->measured++;
    }
    return stopped(s);
}

void sim_init(sim *s, uint64_t seed) {
    ng_shipped_text = "normgen-store 1\nend\n"; /* what is shipped shall not change what is found */
    *s = (sim){.seed = seed, .noise = 0.01, .model = sim_flat};
    s->cpu = (ng_cpu){.arch = NG_X86_64,
                      .vendor = "Simulated",
                      .l1d = 48 << 10,
                      .l2 = 2 << 20,
                      .llc = 32 << 20,
                      .cores = 2,
                      .interp = ng_interp_baseline};
    s->cpu.isa = ng_isa_find("x86-64-v4");
    s->cpu.features = s->cpu.detected = s->cpu.isa->required;
    s->meter = (ng_meter){.ctx = s,
                          .cpu = &s->cpu,
                          .toolchain = "llvm=19.1.7 gen=1 numerics=1",
                          .ram = (uint64_t)16 << 30,
                          .host = host,
                          .now = now,
                          .prepare = prepare,
                          .enter = enter,
                          .leave = leave,
                          .measure = measure};
}

/* ---- jobs ---- */

static void on_event(void *ctx, const ng_event *e) {
    sim_log *log = ctx;
    switch (e->kind) {
    case NG_EVENT_RESULT:
        if (log->results < 8) log->result[log->results] = *e;
        if (++log->results == log->stop_results && log->stop_after) *log->stop_after = 1;
        break;
    case NG_EVENT_SKIP:
        log->skips++;
        snprintf(log->last_skip, sizeof log->last_skip, "%s", e->text);
        break;
    case NG_EVENT_NOTE:
        log->notes++;
        snprintf(log->last_note, sizeof log->last_note, "%s", e->text);
        break;
    default:
        log->progress++;
        ck_assert_uint_le(e->done, e->total);
        break;
    }
}

void sim_job_init(sim_job *job, sim *s, const char *spec) {
    normgen_spec parsed;
    *job = (sim_job){0};
    ck_assert_msg(normgen_spec_parse(&parsed, spec) == NORMGEN_OK, "%s", normgen_error());
    ck_assert(ng_spec_resolve(&parsed, &parsed) == NORMGEN_OK);
    ck_assert(ng_spec_list_add(&job->specs, "", &parsed) == NORMGEN_OK);
    job->request = (ng_tune_request){.specs = &job->specs,
                                     .store = "",
                                     .effort = NG_NORMAL,
                                     .threads = 1,
                                     .seed = 1,
                                     .stop = &s->stop,
                                     .event = on_event,
                                     .ctx = &job->log};
}

void sim_job_fini(sim_job *job) { ng_spec_list_fini(&job->specs); }

normgen_status sim_tune(sim_job *job, sim *s) {
    volatile int *stop = job->log.stop_after;
    size_t at = job->log.stop_results;
    job->log = (sim_log){.stop_after = stop, .stop_results = at};
    return ng_tune_with(&job->request, &s->meter);
}

normgen_status sim_tune_once(sim *s, sim_job *job, const char *store, int64_t rows) {
    sim_job_init(job, s, SIM_SPEC);
    job->request.store = store;
    job->request.rows = rows;
    return sim_tune(job, s);
}

/* ---- looking into stores ---- */

static bool print_winner(void *ctx, const ng_found *f) {
    fprintf(ctx, "%s | %s | %d threads | %s | %s | %.17g ns | %lld pairs | %lld rows\n", f->spec,
            ng_regime_names[f->regime], f->threads, ng_slot_names[f->winner.slot],
            f->winner.schedule, f->winner.ns, (long long)f->winner.pairs, (long long)f->rows);
    return true;
}

char *sim_winners(const char *path) {
    ng_store *store;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    ng_query all = {.regime = -1, .slot = -1};
    ck_assert(f != NULL);
    ck_assert_msg(ng_store_open(path, NG_STORE_READ, &store) == NORMGEN_OK, "%s", normgen_error());
    ck_assert(ng_store_winners(store, &all, print_winner, f) == NORMGEN_OK);
    ng_store_close(store);
    fclose(f);
    return text;
}

typedef struct counting {
    size_t n;
    bool valid;
    const char *reason;
} counting;

static bool count_trial(void *ctx, const ng_trial *t) {
    counting *c = ctx;
    if (t->valid == c->valid && (!c->reason || strstr(t->reason, c->reason))) c->n++;
    return true;
}

size_t sim_count_trials(const char *path, const ng_unit *unit, bool valid, const char *reason) {
    ng_store *store;
    counting c = {0, valid, reason};
    ck_assert(ng_store_open(path, NG_STORE_READ, &store) == NORMGEN_OK);
    ck_assert_msg(ng_store_trials(store, NULL, unit, count_trial, &c) == NORMGEN_OK, "%s",
                  normgen_error());
    ng_store_close(store);
    return c.n;
}
