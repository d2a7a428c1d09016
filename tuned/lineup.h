/* SPDX-License-Identifier: Apache-2.0 */
/* The contenders of one unit. */
#ifndef NG_LINEUP_H
#define NG_LINEUP_H

#include "race.h"
#include "unit.h"

typedef struct ng_lineup {
    ng_contender **items;
    size_t count, capacity;
} ng_lineup;

/* Frees the contenders too. */
void ng_lineup_fini(ng_lineup *lineup);
/* The contender of a subject, made when missing; NULL when memory ran out. */
ng_contender *ng_lineup_add(ng_lineup *lineup, ng_subject *subject);
ng_contender *ng_lineup_find(const ng_lineup *lineup, const ng_subject *subject);
/* Makes subjects of n schedules (NULL: of one without) and lines up those that are made by the
 * deadline; failed ones too, out of every race, so that their trials are kept. */
normgen_status ng_lineup_make(ng_lineup *lineup, const ng_unit_plan *plan, ng_kernels *kernels,
                              ng_subject_kind kind, const ng_schedule *list, size_t n,
                              double deadline);
/* A race of those from number `first` on and those that are still in, until `keep` are left. */
normgen_status ng_lineup_race(const ng_lineup *lineup, ng_race *race, size_t first, size_t keep,
                              size_t passes);

#endif
