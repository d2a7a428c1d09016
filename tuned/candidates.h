/* SPDX-License-Identifier: Apache-2.0 */
/* Which schedules are worth trying at a place, and in what order. */
#ifndef NG_CANDIDATES_H
#define NG_CANDIDATES_H

#include "meter.h"

/* Number of axes (of kept values: each) in which two schedules differ. */
int ng_schedule_distance(const ng_program *program, const ng_schedule *a, const ng_schedule *b);
/* Whether contiguous rows have the alignment that the schedule's streaming stores need. */
bool ng_schedule_fits_rows(const ng_program *program, const ng_schedule *schedule);
/* Whether some store of the schedule goes past the caches. */
bool ng_schedule_any_stream(const ng_program *program, const ng_schedule *schedule);

/* The hints that are legal and fit, then all legal schedules that can pay in the place's regime:
 * those that differ least from a hint first, simpler ones before others. No duplicates. *list is
 * the caller's, freed with free(). E_MEMORY. */
normgen_status ng_candidates(const ng_place *place, const ng_isa *isa, const ng_schedule *hints,
                             size_t n_hints, ng_schedule **list, size_t *count);
/* What differs from a schedule in one axis, or in how one value is kept, and can pay at the place.
 * *list is the caller's, freed with free(). E_MEMORY. */
normgen_status ng_neighbours(const ng_place *place, const ng_isa *isa, const ng_schedule *schedule,
                             ng_schedule **list, size_t *count);
/* The limit that moves bytes as a kernel of the schedule does, reduced to the axes that matter for
 * that; whether it can be made. */
bool ng_limit_of(const ng_place *place, const ng_isa *isa, const ng_schedule *schedule,
                 ng_schedule *limit);
/* The schedules of limits: in dram copies that are fast on some machine, then those of the
 * schedules `from` in their order. */
normgen_status ng_limit_candidates(const ng_place *place, const ng_isa *isa,
                                   const ng_schedule *from, size_t n, ng_schedule **list,
                                   size_t *count);
/* Whether memcpy does the limit's job: one row stream in, one of the same size out, nothing else
 * per row. The streams' indices are then set. */
bool ng_memcpy_applies(const ng_program *program, int *from, int *to);

#endif
