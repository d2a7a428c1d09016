/* SPDX-License-Identifier: Apache-2.0 */
/* `bench`: what would serve a call here beside the default schedule, the interpreter and the limit,
 * in paired turns. Reads the store, writes nothing. */
#include "benchmark.h"

#include "candidates.h"
#include "choose.h"
#include "error.h"
#include "kernels.h"
#include "limit.h"
#include "live.h"
#include "plan.h"
#include "spec.h"
#include "tuned.h"
#include "unit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench {
    const ng_tune_request *request;
    const ng_meter *meter;
    ng_effort_plan effort;
    ng_store *store;
    size_t done, total;
} bench;

/* One unit of it. */
typedef struct turn {
    bench *bench;
    const ng_unit_item *item;
    ng_program program;
    ng_place place;
    ng_kernels kernels;
    ng_subject *winner, *preset, *interp;
    ng_lineup shown, limits;
    ng_rng rng;
    ng_race race;
} turn;

static void send_event(const bench *b, const ng_unit_item *u, ng_event *e) {
    e->spec = u->spec;
    e->regime = u->regime;
    e->rows = (int64_t)u->rows;
    e->threads = b->request->threads;
    e->done = b->done;
    e->total = b->total;
    if (b->request->event) b->request->event(b->request->ctx, e);
}

static void say(const bench *b, const ng_unit_item *u, ng_event_kind kind, const char *text) {
    ng_event e = {.kind = kind, .text = text};
    send_event(b, u, &e);
}

/* A missing store is none. */
static normgen_status open_store(bench *b) {
    char path[PATH_MAX];
    const char *given = b->request->store;
    if (given && !*given) return NORMGEN_OK;
    if (!given) {
        if (ng_store_default_path(path, sizeof path) != NORMGEN_OK) return NORMGEN_OK;
        given = path;
    }
    return ng_store_open(given, NG_STORE_READ, &b->store);
}

static normgen_status choose_subjects(turn *t) {
    const bench *b = t->bench;
    const ng_isa *isa = b->meter->cpu->isa;
    ng_choices choices;
    ng_schedule preset;
    if (ng_choose(b->store, b->meter->cpu, &t->item->spec->spec, &t->program, b->meter->toolchain,
                  b->request->threads, &choices) != NORMGEN_OK)
        say(b, t->item, NG_EVENT_NOTE, normgen_error());
    ng_regime_default_schedule(&t->program, b->meter->cpu, isa, t->item->regime, &preset);
    const ng_choice *at = choices.at[t->item->regime];
    int slot = ng_schedule_fits_rows(&t->program, &at[NG_SLOT_ANY].schedule) ? NG_SLOT_ANY
                                                                             : NG_SLOT_CACHED;
    t->winner = ng_kernels_get(&t->kernels, &t->program, NG_SUBJECT_KERNEL, &at[slot].schedule);
    t->preset = ng_kernels_get(&t->kernels, &t->program, NG_SUBJECT_KERNEL, &preset);
    t->interp = ng_kernels_get(&t->kernels, &t->program, NG_SUBJECT_INTERP, NULL);
    return t->winner && t->preset && t->interp ? NORMGEN_OK : NORMGEN_E_MEMORY;
}

static normgen_status line_up(turn *t, ng_lineup *lineup, ng_subject *const *subjects, size_t n) {
    const ng_meter *m = t->bench->meter;
    double deadline = m->now(m->ctx) + t->bench->effort.make_seconds;
    normgen_status status = m->prepare(m->ctx, &t->place, subjects, n, deadline);
    for (size_t i = 0; i < n && status == NORMGEN_OK; i++)
        if ((subjects[i]->ready || subjects[i]->failed) && !ng_lineup_add(lineup, subjects[i]))
            status = NORMGEN_E_MEMORY;
    return status;
}

static normgen_status line_up_limits(turn *t) {
    ng_schedule *all = NULL, *list = NULL;
    size_t n_all = 0, n = 0;
    int from, to;
    const ng_isa *isa = t->bench->meter->cpu->isa;
    ng_subject **subjects = NULL;
    normgen_status status = ng_candidates(&t->place, isa, &t->winner->schedule, 1, &all, &n_all);
    if (status == NORMGEN_OK) status = ng_limit_candidates(&t->place, isa, all, n_all, &list, &n);
    if (n > t->bench->effort.limits) n = t->bench->effort.limits;
    if (status == NORMGEN_OK) subjects = calloc(n + 1, sizeof *subjects);
    for (size_t i = 0; i < n && subjects; i++)
        subjects[i] = ng_kernels_get(&t->kernels, &t->program, NG_SUBJECT_LIMIT, &list[i]);
    if (subjects && ng_memcpy_applies(&t->program, &from, &to))
        subjects[n++] = ng_kernels_get(&t->kernels, &t->program, NG_SUBJECT_MEMCPY, NULL);
    for (size_t i = 0; i < n; i++)
        if (!subjects || !subjects[i]) status = ng_fail(NORMGEN_E_MEMORY, "no memory for limits");
    if (status == NORMGEN_OK) status = line_up(t, &t->limits, subjects, n);
    free(subjects);
    free(list);
    free(all);
    return status;
}

static ng_figure figure_of(const turn *t, const ng_subject *subject) {
    ng_figure figure = {0};
    const ng_contender *c = ng_lineup_find(&t->shown, subject);
    if (!c || subject->failed || c->turns == 0) return figure;
    memcpy(figure.schedule, subject->text, sizeof figure.schedule);
    figure.ns = c->ns;
    figure.spread = c->spread;
    return figure;
}

static normgen_status measure(turn *t) {
    const ng_meter *m = t->bench->meter;
    normgen_status status = NORMGEN_OK;
    const ng_effort_plan *effort = &t->bench->effort;
    ng_contender *limit[NG_LIMITS_LEFT];
    size_t n;
    t->race.deadline = m->now(m->ctx) + effort->measure_seconds / 10;
    if (!t->preset->failed) status = ng_race_noise(&t->race, t->preset, effort->noise_passes);
    t->race.deadline = m->now(m->ctx) + effort->measure_seconds / 2;
    if (status == NORMGEN_OK)
        status = ng_race_run(&t->race, t->limits.items, t->limits.count, NG_LIMITS_LEFT,
                             effort->race_passes);
    n = ng_race_best(t->limits.items, t->limits.count, limit, NG_LIMITS_LEFT);
    for (size_t i = 0; i < n && status == NORMGEN_OK; i++)
        if (!(limit[i] = ng_lineup_add(&t->shown, limit[i]->subject))) status = NORMGEN_E_MEMORY;
    t->race.deadline = m->now(m->ctx) + effort->measure_seconds / 2;
    if (status == NORMGEN_OK)
        status = ng_race_paired(&t->race, t->shown.items, t->shown.count, effort->final_passes);
    if (status != NORMGEN_OK) return status;
    ng_event e = {.kind = NG_EVENT_RESULT, .noise = t->race.floor};
    e.best = figure_of(t, t->winner);
    e.preset = figure_of(t, t->preset);
    e.interp = figure_of(t, t->interp);
    const ng_contender *fastest = ng_race_leader(limit, n);
    if (fastest) e.limit = figure_of(t, fastest->subject);
    send_event(t->bench, t->item, &e);
    return NORMGEN_OK;
}

static normgen_status bench_unit(bench *b, const ng_unit_item *item) {
    turn t = {.bench = b, .item = item, .rng = {(uint64_t)b->request->seed}};
    ng_program_build(&t.program, &item->spec->spec);
    t.place = (ng_place){.spec = &item->spec->spec,
                         .program = &t.program,
                         .regime = item->regime,
                         .rows = item->rows,
                         .threads = b->request->threads};
    t.race = (ng_race){.meter = b->meter, .rng = &t.rng, .samples = b->effort.samples};
    normgen_status status = choose_subjects(&t);
    ng_subject *subjects[] = {t.winner, t.preset, t.interp};
    if (status == NORMGEN_OK) status = line_up(&t, &t.shown, subjects, 3);
    for (int i = 0; i < 2 && status == NORMGEN_OK; i++)
        if (subjects[i]->failed) say(b, item, NG_EVENT_NOTE, subjects[i]->reason);
    if (status == NORMGEN_OK) status = line_up_limits(&t);
    if (status == NORMGEN_OK) status = b->meter->enter(b->meter->ctx, &t.place);
    if (status == NORMGEN_OK) status = measure(&t);
    b->meter->leave(b->meter->ctx);
    ng_lineup_fini(&t.shown);
    ng_lineup_fini(&t.limits);
    ng_kernels_fini(&t.kernels);
    return status;
}

normgen_status ng_bench_with(const ng_tune_request *request, const ng_meter *meter) {
    ng_tune_request r = *request;
    ng_units units;
    if (r.threads < 1) r.threads = 1;
    if (r.effort < NG_QUICK || r.effort > NG_THOROUGH) r.effort = NG_NORMAL;
    bench b = {.request = &r, .meter = meter, .effort = ng_effort_plans[r.effort]};
    normgen_status status = ng_units_plan(&r, meter, &units);
    if (status != NORMGEN_OK) return status;
    b.total = units.count;
    if (open_store(&b) != NORMGEN_OK) say(&b, &units.items[0], NG_EVENT_NOTE, normgen_error());
    for (; b.done < units.count && status == NORMGEN_OK; b.done++) {
        const ng_unit_item *u = &units.items[b.done];
        if (r.stop && *r.stop)
            status = ng_fail(NORMGEN_E_INTERRUPTED, "stopped on request");
        else if (u->rows == 0)
            say(&b, u, NG_EVENT_SKIP, u->note);
        else
            status = bench_unit(&b, u);
    }
    ng_store_close(b.store);
    ng_units_fini(&units);
    return status;
}

normgen_status ng_bench(const ng_tune_request *request) {
    ng_live *live;
    normgen_status status = ng_live_new((uint64_t)request->seed, request->stop, &live);
    if (status != NORMGEN_OK) return status;
    status = ng_bench_with(request, ng_live_meter(live));
    ng_live_free(live);
    return status;
}
