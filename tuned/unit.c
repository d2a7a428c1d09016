/* SPDX-License-Identifier: Apache-2.0 */
/* The search in one unit: candidates, noise, race, a look around the leader, the limit, the final.
 * What is random follows from the seed and the unit's text alone, so that an interrupted job that
 * is continued comes to the same winners. */
#include "unit.h"

#include "candidates.h"
#include "error.h"
#include "final.h"
#include "limit.h"
#include "spec.h"
#include "twin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Upper bounds; most units end earlier. quick: four regimes in 8 s; normal: a simple spec's in 25
 * s, one of many fusions' in 60; thorough: minutes. */
const ng_effort_plan ng_effort_plans[4] = {
    {0.9, 0.9, 128, 24, 2, 7, 7, 12, 2, 1, 1, false},
    {0.9, 0.9, 128, 24, 2, 7, 7, 12, 2, 1, 1, false},
    {8.0, 9.0, 800, 48, 5, 31, 15, 120, 6, 2, 4, false},
    {60.0, 60.0, 20000, 400, 5, 63, 31, 240, 8, 3, 8, true},
};

enum { SURVIVORS = 8 };

/* What wins with kernels from memory, on one machine or another, where prediction and neighbours
 * of what it says do not lead (winners of normal effort over the grid, and of the whole space for
 * fused norms, docs/performance.md): for rows of few bytes, for others, or for both. */
enum { LINE_BY_LINE_ROW = 2 << 10 /* bytes of a row's streams: the most of a short one */ };
typedef enum { SHORT_ROWS = 1, LONG_ROWS = 2, ALL_ROWS = 3 } row_kind;
static const struct {
    int16_t rows, vec; /* vec 0: the widest */
    int16_t block, store, prefetch, overlap, slice, layout, shared;
    uint8_t first, later; /* how the first value that crosses passes is kept, and the others */
} from_memory[] = {
    {ALL_ROWS, 0, 4, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_YES, NG_SLICE_LINE, 0, 0, 0, 0},
    {SHORT_ROWS, 0, 4, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_TWO, NG_SLICE_FOUR, 0,
     NG_SHARED_ONCE, NG_SCRATCH, NG_SCRATCH},
    {SHORT_ROWS, 0, 4, NG_STORE_STREAM, NG_PREFETCH_TWICE, NG_OVERLAP_YES, NG_SLICE_FOUR, 0,
     NG_SHARED_ONCE, NG_SCRATCH, NG_SCRATCH},
    {SHORT_ROWS, 0, 8, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_YES, NG_SLICE_FOUR, 0, 0,
     NG_SCRATCH, NG_SCRATCH},
    {SHORT_ROWS, 0, 2, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_TWO, NG_SLICE_FOUR, 0, 0, 0,
     0},
    {ALL_ROWS, 0, 2, NG_STORE_STREAM, NG_PREFETCH_THRICE, NG_OVERLAP_TWO, NG_SLICE_FOUR, 0,
     NG_SHARED_ONCE, NG_SCRATCH, NG_SCRATCH},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_YES, NG_SLICE_LINE, 0, 0, 0, 0},
    {LONG_ROWS, 0, 2, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_YES, NG_SLICE_LINE, 0, 0, 0, 0},
    {LONG_ROWS, 256, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_YES, NG_SLICE_LINE, 0, 0, 0, 0},
    {LONG_ROWS, 0, 2, NG_STORE_STREAM, NG_PREFETCH_TWICE, NG_OVERLAP_YES, NG_SLICE_LINE, 0, 0, 0,
     0},
    {LONG_ROWS, 0, 2, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_YES, NG_SLICE_LINE,
     NG_LAYOUT_EVENODD, 0, 0, 0},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_ALL, NG_SLICE_LINE, 0, 0, 0, 0},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_ALL, NG_SLICE_LINE, 0, 0, 0,
     NG_SCRATCH},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_ALL, NG_SLICE_FOUR, 0, 0, 0,
     NG_SCRATCH},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_THRICE, NG_OVERLAP_ALL, NG_SLICE_LINE, 0,
     NG_SHARED_ONCE, 0, NG_SCRATCH},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_TWICE, NG_OVERLAP_YES, NG_SLICE_FOUR, 0,
     NG_SHARED_ONCE, NG_SCRATCH, 0},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_NO, NG_SLICE_FOUR, 0,
     NG_SHARED_ONCE, NG_SCRATCH, NG_SCRATCH},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_TWICE, NG_OVERLAP_YES, NG_SLICE_LINE, 0,
     NG_SHARED_ONCE, NG_SCRATCH, 0},
    {LONG_ROWS, 0, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_YES, NG_SLICE_AHEAD, 0, 0,
     NG_SCRATCH, NG_SCRATCH},
    {LONG_ROWS, 0, 2, NG_STORE_STAGED, NG_PREFETCH_L2, NG_OVERLAP_NO, NG_SLICE_AHEAD, 0,
     NG_SHARED_ONCE, 0, 0}};
enum {
    FROM_MEMORY = sizeof from_memory / sizeof from_memory[0],
    HINTS = 2 * NG_REGIME_COUNT + 4 + FROM_MEMORY
};

/* What one unit works with. */
typedef struct work {
    const ng_unit_plan *plan;
    ng_kernels *kernels;
    ng_rng rng;
    ng_race race;
    ng_lineup kernels_in;
    ng_limits limits;
    ng_schedule *candidates;
    size_t n_candidates;
    ng_subject *preset;
    double start; /* of measuring */
    double share; /* of the unit's work that is behind it */
    const char *phase;
} work;

static void tell(void *ctx, const ng_contender *leader) {
    const work *w = ctx;
    ng_figure best = {0};
    if (leader) {
        memcpy(best.schedule, leader->subject->text, sizeof best.schedule);
        best.ns = leader->ns;
        best.spread = leader->spread;
    }
    if (w->plan->progress) w->plan->progress(w->plan->ctx, w->share, w->phase, &best);
}

/* Begins a phase that ends when `until` of the measuring time is over. */
static void phase(work *w, double share, const char *text, double until) {
    w->share = share;
    w->phase = text;
    w->race.deadline = w->start + until * w->plan->effort.measure_seconds;
    tell(w, NULL);
}

/* ---- candidates ---- */

static size_t hints_from_memory(const ng_unit_plan *plan, ng_schedule *hints) {
    const ng_program *p = plan->place.program;
    size_t n = 0, row, shared;
    ng_program_footprint(p, &row, &shared);
    row_kind kind = row > LINE_BY_LINE_ROW ? LONG_ROWS : SHORT_ROWS;
    for (int i = 0; i < FROM_MEMORY; i++) {
        if (!(from_memory[i].rows & (int)kind)) continue;
        int16_t vec = from_memory[i].vec;
        ng_schedule *s = &hints[n++];
        *s = (ng_schedule){.vec = vec ? vec : (int16_t)plan->meter->cpu->isa->max_vec,
                           .block = from_memory[i].block,
                           .store = from_memory[i].store,
                           .prefetch = from_memory[i].prefetch,
                           .overlap = from_memory[i].overlap,
                           .slice = from_memory[i].slice,
                           .layout = from_memory[i].layout,
                           .shared = from_memory[i].shared};
        for (int j = 0; j < p->keeps; j++)
            s->keep[j] = j ? from_memory[i].later : from_memory[i].first;
    }
    return n;
}

static size_t collect_hints(const work *w, ng_schedule hints[HINTS]) {
    const ng_unit_plan *plan = w->plan;
    size_t n = 0;
    for (int i = 0; i < 2; i++)
        if (plan->incumbent[i]) hints[n++] = *plan->incumbent[i];
    hints[n++] = w->preset->schedule;
    for (int i = 0; i < 2 && plan->choices; i++)
        hints[n++] = plan->choices->at[plan->place.regime][i].schedule;
    for (int r = 0; r < NG_REGIME_COUNT && plan->choices; r++)
        hints[n++] = plan->choices->at[r][NG_SLOT_ANY].schedule;
    if (plan->place.regime == NG_DRAM) n += hints_from_memory(plan, hints + n);
    return n;
}

static normgen_status find_candidates(work *w) {
    const ng_unit_plan *plan = w->plan;
    const ng_isa *isa = plan->meter->cpu->isa;
    ng_schedule preset, hints[HINTS];
    ng_regime_default_schedule(plan->place.program, plan->meter->cpu, isa, plan->place.regime,
                               &preset);
    w->preset = ng_kernels_get(w->kernels, plan->place.program, NG_SUBJECT_KERNEL, &preset);
    if (!w->preset) return NORMGEN_E_MEMORY;
    size_t n = collect_hints(w, hints);
    return ng_candidates(&plan->place, isa, hints, n, &w->candidates, &w->n_candidates);
}

static double now(const work *w) { return w->plan->meter->now(w->plan->meter->ctx); }

static normgen_status make_candidates(work *w) {
    size_t n =
        w->plan->effort.candidates < w->n_candidates ? w->plan->effort.candidates : w->n_candidates;
    phase(w, 0, "compiling and checking", 0);
    double deadline = now(w) + w->plan->effort.make_seconds;
    normgen_status status = ng_limits_prepare(&w->limits, deadline);
    if (status == NORMGEN_OK)
        status = ng_lineup_make(&w->kernels_in, w->plan, w->kernels, NG_SUBJECT_KERNEL,
                                w->candidates, n, deadline);
    return status;
}

/* ---- races ---- */

static ng_contender *first_working(const work *w) {
    ng_contender *preset = ng_lineup_find(&w->kernels_in, w->preset);
    if (preset && !preset->subject->failed) return preset;
    for (size_t i = 0; i < w->kernels_in.count; i++)
        if (!w->kernels_in.items[i]->subject->failed) return w->kernels_in.items[i];
    return NULL;
}

/* The kernel against itself; the next one if it breaks down. */
static normgen_status measure_noise(work *w) {
    phase(w, 0.3, "measuring the noise", 0.1);
    for (ng_contender *c; (c = first_working(w)) != NULL;) {
        normgen_status status = ng_race_noise(&w->race, c->subject, w->plan->effort.noise_passes);
        if (status != NORMGEN_OK || !c->subject->failed) return status;
    }
    return NORMGEN_OK;
}

/* Lines up the neighbours of a contender; those that were tried already are no newcomers. */
static normgen_status line_up_neighbours(work *w, const ng_contender *from) {
    const ng_unit_plan *plan = w->plan;
    ng_schedule *list = NULL;
    size_t n = 0;
    normgen_status status =
        ng_neighbours(&plan->place, plan->meter->cpu->isa, &from->subject->schedule, &list, &n);
    if (status == NORMGEN_OK)
        status = ng_lineup_make(&w->kernels_in, plan, w->kernels, NG_SUBJECT_KERNEL, list, n,
                                w->race.deadline);
    free(list);
    return status;
}

/* Races the best with their neighbours while that finds a better one: with more candidates than
 * could be tried, and with keeps that are not listed, the way on leads through neighbours. */
static normgen_status climb(work *w) {
    const ng_effort_plan *effort = &w->plan->effort;
    normgen_status status = NORMGEN_OK;
    for (size_t i = 0; i < effort->climbs && status == NORMGEN_OK; i++) {
        ng_contender *best[SURVIVORS] = {NULL};
        size_t before = w->kernels_in.count;
        size_t n = ng_race_best(w->kernels_in.items, w->kernels_in.count, best,
                                effort->starts < SURVIVORS ? effort->starts : SURVIVORS);
        for (size_t k = 0; k < n && status == NORMGEN_OK && now(w) < w->race.deadline; k++)
            status = line_up_neighbours(w, best[k]);
        if (status != NORMGEN_OK || w->kernels_in.count == before) break;
        status = ng_lineup_race(&w->kernels_in, &w->race, before, SURVIVORS, effort->race_passes);
        if (ng_race_leader(w->kernels_in.items, w->kernels_in.count) == best[0]) break;
    }
    return status;
}

/* A finalist whose twin is wrong is wrong, whatever its own 16 bits say. Only finalists can win, so
 * no others are made twice. Takes no time of those that measure. */
static normgen_status check_twins(work *w, ng_final *final) {
    const ng_meter *m = w->plan->meter;
    ng_place place = w->plan->place;
    normgen_spec twin;
    ng_program program;
    ng_kernels kernels = {0};
    ng_subject *subjects[NG_FINALISTS];
    ng_contender *of[NG_FINALISTS];
    size_t n = 0;
    double begin = now(w);
    if (!ng_spec_twin(place.spec, &twin)) return NORMGEN_OK;
    ng_program_build(&program, &twin);
    place.spec = &twin;
    place.program = &program;
    for (size_t i = 0; i < final->entries; i++) {
        const ng_schedule *s = &final->entry[i]->subject->schedule;
        if (!ng_schedule_legal(&program, m->cpu->isa, s, NULL)) continue; /* a store too many */
        subjects[n] = ng_kernels_get(&kernels, &program, NG_SUBJECT_KERNEL, s);
        of[n] = final->entry[i];
        if (!subjects[n++]) break;
    }
    normgen_status status =
        n == 0 || subjects[n - 1]
            ? m->prepare(m->ctx, &place, subjects, n, now(w) + w->plan->effort.make_seconds)
            : NORMGEN_E_MEMORY;
    for (size_t i = 0; i < n && status == NORMGEN_OK; i++) {
        ng_subject *s = of[i]->subject;
        if (!subjects[i]->failed) continue;
        s->failed = true;
        s->ready = of[i]->in = false;
        snprintf(s->reason, sizeof s->reason, "with its rstd saved: %.230s", subjects[i]->reason);
    }
    ng_kernels_fini(&kernels);
    w->start += now(w) - begin;
    return status;
}

/* Copies of what is in the final, and of candidates. */
static normgen_status race_limits(work *w, const ng_final *final) {
    ng_contender *best[NG_FINALISTS];
    size_t n = ng_race_best(final->entry, final->entries, best, NG_FINALISTS);
    return ng_limits_race(&w->limits, best, n, w->candidates, w->n_candidates);
}

static ng_contender *contender_of(const ng_lineup *lineup, const char *text) {
    for (size_t i = 0; i < lineup->count; i++)
        if (strcmp(lineup->items[i]->subject->text, text) == 0) return lineup->items[i];
    return NULL;
}

/* A kernel that was faster than the limit shows that bytes can be moved faster: what it does to
 * memory is measured without its arithmetic, and copies around it, in a final of their own. */
static normgen_status doubt_limit(work *w, ng_final *final, ng_unit_result *r) {
    double part = 0.15 * w->plan->effort.measure_seconds;
    ng_contender *kernel = contender_of(&w->kernels_in, r->best.schedule);
    bool found;
    if (!kernel || r->limit.ns <= 0 || r->limit.ns <= r->best.ns) return NORMGEN_OK;
    const ng_contender *before = final->copy;
    w->race.deadline = now(w) + part;
    normgen_status status = ng_limits_search_on(&w->limits, &kernel->subject->schedule, &found);
    if (status != NORMGEN_OK) return status;
    final->copy = ng_limits_copy(&w->limits, kernel);
    if (!found && final->copy == before) return NORMGEN_OK;
    w->race.deadline = now(w) + part;
    return ng_final_run(final, r);
}

static normgen_status hold_final(work *w, ng_unit_result *result) {
    ng_final final = {.program = w->plan->place.program,
                      .race = &w->race,
                      .kernels = &w->kernels_in,
                      .limits = &w->limits.lineup,
                      .preset = ng_lineup_find(&w->kernels_in, w->preset),
                      .passes = w->plan->effort.final_passes,
                      .heats = w->plan->effort.heats};
    for (int i = 0; i < 2; i++)
        if (w->plan->incumbent[i])
            final.incumbent[i] = ng_lineup_find(
                &w->kernels_in, ng_kernels_get(w->kernels, w->plan->place.program,
                                               NG_SUBJECT_KERNEL, w->plan->incumbent[i]));
    phase(w, 0.55, "racing what stays in cache", 0.6);
    normgen_status status = ng_final_enter(&final, w->plan->effort.race_passes);
    if (status == NORMGEN_OK) status = check_twins(w, &final);
    phase(w, 0.65, "measuring the limit", 0.8);
    if (status == NORMGEN_OK) status = race_limits(w, &final);
    phase(w, 0.8, "in the final", 1);
    if (status == NORMGEN_OK) status = ng_final_run(&final, result);
    for (size_t i = 0; i < w->plan->effort.climbs && status == NORMGEN_OK; i++)
        status = doubt_limit(w, &final, result);
    return status;
}

static normgen_status measure_all(work *w, ng_unit_result *result) {
    w->start = now(w);
    normgen_status status = measure_noise(w);
    phase(w, 0.35, "racing", 0.4);
    if (status == NORMGEN_OK)
        status =
            ng_lineup_race(&w->kernels_in, &w->race, 0, SURVIVORS, w->plan->effort.race_passes);
    phase(w, 0.5, "looking around the leader", 0.5);
    if (status == NORMGEN_OK) status = climb(w);
    if (status == NORMGEN_OK) status = hold_final(w, result);
    result->noise = w->race.floor;
    return status;
}

/* ---- a single row ---- */

/* In l1 a call of one row, as in decoding, pays for a kernel's start and fold alone: the winner and
 * the limit once more, in a place of one row. Reported, not raced: no schedule is chosen by it. */
static normgen_status measure_one_row(work *w, ng_unit_result *r) {
    const ng_unit_plan *plan = w->plan;
    ng_place place = plan->place;
    ng_lineup pair = {0};
    const ng_contender *kernel = contender_of(&w->kernels_in, r->best.schedule);
    const ng_contender *limit = contender_of(&w->limits.lineup, r->limit.schedule);
    if (place.regime != NG_L1 || place.rows <= 1 || !kernel || !limit) return NORMGEN_OK;
    place.rows = 1;
    ng_contender *list[2] = {ng_lineup_add(&pair, kernel->subject),
                             ng_lineup_add(&pair, limit->subject)};
    normgen_status status = list[0] && list[1]
                                ? plan->meter->enter(plan->meter->ctx, &place)
                                : ng_fail(NORMGEN_E_MEMORY, "no memory for two contenders");
    if (status == NORMGEN_OK) {
        w->race.deadline = now(w) + plan->effort.measure_seconds / 10;
        status = ng_race_paired(&w->race, list, 2, plan->effort.final_passes);
        r->one = ng_contender_figure(list[0]);
        r->one_limit = ng_contender_figure(list[1]);
        plan->meter->leave(plan->meter->ctx);
    }
    ng_lineup_fini(&pair);
    return status;
}

/* ---- the result ---- */

void ng_unit_result_fini(ng_unit_result *r) {
    free(r->trials);
    *r = (ng_unit_result){0};
}

static void add_trials(const ng_lineup *lineup, ng_unit_result *r) {
    for (size_t i = 0; i < lineup->count; i++) {
        const ng_contender *c = lineup->items[i];
        ng_trial *t = &r->trials[r->n_trials++];
        *t = (ng_trial){.valid = !c->subject->failed,
                        .ns = c->ns,
                        .spread = c->spread,
                        .samples = (int64_t)c->samples,
                        .code_bytes = (int64_t)c->subject->object.code_bytes};
        memcpy(t->schedule, c->subject->text, sizeof t->schedule);
        if (!t->valid) memcpy(t->reason, c->subject->reason, sizeof t->reason);
        r->invalid += !t->valid;
    }
}

static normgen_status take_trials(const work *w, ng_unit_result *r) {
    r->trials = calloc(w->kernels_in.count + w->limits.lineup.count + 1, sizeof *r->trials);
    if (!r->trials) return ng_fail(NORMGEN_E_MEMORY, "no memory for trials");
    add_trials(&w->kernels_in, r);
    add_trials(&w->limits.lineup, r);
    return NORMGEN_OK;
}

static ng_rng unit_rng(const ng_unit_plan *plan) {
    char text[NORMGEN_SPEC_TEXT + 64];
    ng_spec_text(plan->place.spec, text);
    size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, " %d %d %zu", (int)plan->place.regime, plan->place.threads,
             plan->place.rows);
    return ng_rng_for(plan->seed, text);
}

normgen_status ng_unit_tune(const ng_unit_plan *plan, ng_kernels *kernels, ng_unit_result *result) {
    work w = {.plan = plan, .kernels = kernels, .rng = unit_rng(plan)};
    ng_unit_result r = {0};
    w.race = (ng_race){.meter = plan->meter,
                       .rng = &w.rng,
                       .samples = plan->effort.samples,
                       .place = &plan->place,
                       .progress = tell,
                       .ctx = &w};
    w.limits = (ng_limits){.plan = plan, .kernels = kernels, .race = &w.race};
    normgen_status status = find_candidates(&w);
    if (status == NORMGEN_OK) status = make_candidates(&w);
    if (status == NORMGEN_OK && first_working(&w)) {
        double begin = now(&w);
        status = plan->meter->enter(plan->meter->ctx, &plan->place);
        w.race.enter_seconds = now(&w) - begin;
        if (status == NORMGEN_OK) status = measure_all(&w, &r);
        plan->meter->leave(plan->meter->ctx);
        if (status == NORMGEN_OK) status = measure_one_row(&w, &r);
    }
    if (status == NORMGEN_OK) status = take_trials(&w, &r);
    if (status == NORMGEN_OK)
        *result = r;
    else
        ng_unit_result_fini(&r);
    ng_lineup_fini(&w.kernels_in);
    ng_lineup_fini(&w.limits.lineup);
    free(w.candidates);
    return status;
}
