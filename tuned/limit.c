/* SPDX-License-Identifier: Apache-2.0 */
/* What copies fast on some machine is tried, then what the kernels do to memory without their
 * arithmetic, the fastest kernels first: a copy that moves bytes as a kernel does has no reason to
 * be slower. Where it is, the search goes on around both. */
#include "limit.h"

#include "candidates.h"
#include "error.h"

#include <stdlib.h>
#include <string.h>

static const ng_isa *isa_of(const ng_limits *l) { return l->plan->meter->cpu->isa; }
static double now(const ng_limits *l) { return l->plan->meter->now(l->plan->meter->ctx); }

/* Lines up at most `most` copies of schedules; those that were tried already are no newcomers. */
static normgen_status line_up(ng_limits *l, const ng_schedule *from, size_t n, size_t most,
                              double deadline) {
    ng_schedule *list = NULL;
    size_t count = 0;
    normgen_status status = ng_limit_candidates(&l->plan->place, isa_of(l), from, n, &list, &count);
    if (status == NORMGEN_OK)
        status = ng_lineup_make(&l->lineup, l->plan, l->kernels, NG_SUBJECT_LIMIT, list,
                                count < most ? count : most, deadline);
    free(list);
    return status;
}

normgen_status ng_limits_prepare(ng_limits *l, double deadline) {
    int from, to;
    normgen_status status = line_up(l, NULL, 0, l->plan->effort.limits, deadline);
    if (status == NORMGEN_OK && ng_memcpy_applies(l->plan->place.program, &from, &to))
        status = ng_lineup_make(&l->lineup, l->plan, l->kernels, NG_SUBJECT_MEMCPY, NULL, 1,
                                deadline);
    return status;
}

static ng_contender *leader(const ng_limits *l) {
    return ng_race_leader(l->lineup.items, l->lineup.count);
}

static normgen_status race(ng_limits *l, size_t first) {
    return ng_lineup_race(&l->lineup, l->race, first, NG_LIMITS_LEFT, l->plan->effort.race_passes);
}

/* Whether a kernel is faster than every copy: in turns with the fastest. */
static normgen_status ask_kernel(ng_limits *l, ng_contender *kernel, bool *faster) {
    ng_contender *pair[2] = {leader(l), kernel};
    *faster = false;
    if (!pair[0]) return NORMGEN_OK;
    normgen_status status = ng_race_paired(l->race, pair, 2, l->plan->effort.race_passes);
    *faster = kernel->in && kernel->ns < pair[0]->ns;
    return status;
}

/* The schedule and what is one step away from it, behind the n of *list. */
static normgen_status add_near(const ng_limits *l, const ng_schedule *s, ng_schedule **list,
                               size_t *n) {
    ng_schedule *near = NULL, *all;
    size_t more = 0;
    normgen_status status = ng_neighbours(&l->plan->place, isa_of(l), s, &near, &more);
    if (status != NORMGEN_OK) return status;
    all = realloc(*list, (*n + more + 1) * sizeof *all);
    if (all) {
        *list = all;
        all[(*n)++] = *s;
        memcpy(all + *n, near, more * sizeof *all);
        *n += more;
    }
    free(near);
    return all ? NORMGEN_OK : ng_fail(NORMGEN_E_MEMORY, "no memory for %zu candidates", more);
}

normgen_status ng_limits_search_on(ng_limits *l, const ng_schedule *kernel, bool *found) {
    ng_schedule *list = NULL;
    size_t n = 0, before = l->lineup.count;
    ng_contender *best = leader(l);
    normgen_status status = add_near(l, kernel, &list, &n);
    if (status == NORMGEN_OK && best && best->subject->kind == NG_SUBJECT_LIMIT)
        status = add_near(l, &best->subject->schedule, &list, &n);
    if (status == NORMGEN_OK) status = line_up(l, list, n, SIZE_MAX, l->race->deadline);
    free(list);
    *found = l->lineup.count > before;
    return status == NORMGEN_OK && *found ? race(l, before) : status;
}

normgen_status ng_limits_race(ng_limits *l, ng_contender *const *kernels, size_t n,
                              const ng_schedule *candidates, size_t n_candidates) {
    ng_schedule *list = malloc((n + n_candidates + 1) * sizeof *list);
    if (!list) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu candidates", n + n_candidates);
    for (size_t i = 0; i < n; i++) list[i] = kernels[i]->subject->schedule;
    if (n_candidates) memcpy(list + n, candidates, n_candidates * sizeof *list);
    normgen_status status =
        line_up(l, list, n + n_candidates, l->plan->effort.limits, l->race->deadline);
    free(list);
    if (status == NORMGEN_OK) status = race(l, 0);
    for (size_t i = 0; i < l->plan->effort.climbs && status == NORMGEN_OK && n; i++) {
        bool go_on = now(l) < l->race->deadline;
        if (go_on) status = ask_kernel(l, kernels[0], &go_on);
        if (status == NORMGEN_OK && go_on)
            status = ng_limits_search_on(l, &kernels[0]->subject->schedule, &go_on);
        if (!go_on) break;
    }
    return status;
}

ng_contender *ng_limits_copy(const ng_limits *l, const ng_contender *kernel) {
    ng_schedule copy;
    if (!ng_limit_of(&l->plan->place, isa_of(l), &kernel->subject->schedule, &copy)) return NULL;
    const ng_subject *s =
        ng_kernels_get(l->kernels, l->plan->place.program, NG_SUBJECT_LIMIT, &copy);
    return s ? ng_lineup_find(&l->lineup, s) : NULL;
}
