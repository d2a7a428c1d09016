/* SPDX-License-Identifier: Apache-2.0 */
/* The search of a unit's limit. */
#ifndef NG_LIMIT_H
#define NG_LIMIT_H

#include "lineup.h"

enum { NG_LIMITS_LEFT = 3 }; /* of a race */

typedef struct ng_limits {
    const ng_unit_plan *plan;
    ng_kernels *kernels;
    ng_race *race;
    ng_lineup lineup;
} ng_limits;

/* Makes what is tried whatever the kernels are. */
normgen_status ng_limits_prepare(ng_limits *limits, double deadline);
/* Races it, and the copies of the n kernels (fastest first) and of the candidates, until the race's
 * deadline; as long as the first kernel is faster than any of them, it searches on. */
normgen_status ng_limits_race(ng_limits *limits, ng_contender *const *kernels, size_t n,
                              const ng_schedule *candidates, size_t n_candidates);
/* Races what is left with the copies that differ little from a kernel or from the fastest copy and
 * were not tried; *found: whether there are any. */
normgen_status ng_limits_search_on(ng_limits *limits, const ng_schedule *kernel, bool *found);
/* The copy of a kernel; NULL where it was not made. */
ng_contender *ng_limits_copy(const ng_limits *limits, const ng_contender *kernel);

#endif
