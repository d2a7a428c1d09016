/* SPDX-License-Identifier: Apache-2.0 */
/* One unit: a spec in a regime at a number of threads. Finds its winners and its limit; neither
 * reads nor writes a store. */
#ifndef NG_UNIT_H
#define NG_UNIT_H

#include "choose.h"
#include "kernels.h"

/* How much an effort does. */
typedef struct ng_effort_plan {
    double make_seconds, measure_seconds; /* at most, of one unit */
    size_t candidates, limits;            /* at most, before looking around the leader */
    size_t samples;                       /* of a turn */
    size_t noise_passes, race_passes, final_passes;
    size_t heats;          /* of the final, each in a process of its own */
    size_t starts, climbs; /* how many of the best are gone on from, how often each */
    bool whole_space;      /* see ng_place */
} ng_effort_plan;
extern const ng_effort_plan ng_effort_plans[4]; /* index ng_effort; [0] is as quick */

typedef struct ng_unit_plan {
    ng_place place;
    const ng_meter *meter;
    ng_effort_plan effort;
    uint64_t seed;
    const ng_choices *choices; /* stored winners near by: where the search begins */
    /* Of the slots any and cached: the effective stored winner of this very unit, or NULL. */
    const ng_schedule *incumbent[2];
    /* 0 to 1 of this unit; best may have ns 0. May be NULL. */
    void (*progress)(void *ctx, double share, const char *text, const ng_figure *best);
    void *ctx;
} ng_unit_plan;

typedef struct ng_unit_result {
    double noise;
    ng_figure best, cached, limit, preset; /* ns 0 where there is none */
    ng_figure one, one_limit;              /* of l1: with a single row */
    ng_trial *trials;
    size_t n_trials, invalid;
    ng_winner winners[NG_SLOT_COUNT];
    size_t n_winners;
} ng_unit_result;

void ng_unit_result_fini(ng_unit_result *result);
/* A unit without a kernel that works has trials with reasons and no winner. */
normgen_status ng_unit_tune(const ng_unit_plan *plan, ng_kernels *kernels, ng_unit_result *result);

#endif
