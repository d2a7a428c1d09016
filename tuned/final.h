/* SPDX-License-Identifier: Apache-2.0 */
/* The final of a unit: who enters it, and what its paired turns prove. */
#ifndef NG_FINAL_H
#define NG_FINAL_H

#include "lineup.h"
#include "unit.h"

enum { NG_FINALISTS = 16 };

typedef struct ng_final {
    const ng_program *program;
    ng_race *race;
    const ng_lineup *kernels, *limits; /* after their races */
    ng_contender *preset;              /* the default schedule's; may be NULL */
    ng_contender *incumbent[2];        /* of the slots any and cached; may be NULL */
    ng_contender *copy;                /* a limit that is there whatever its race said; or NULL */
    size_t passes, heats;
    ng_contender *entry[NG_FINALISTS];
    size_t entries;
} ng_final;

/* Chooses the kernels of the final; when the leader streams, after a race of those that do not. */
normgen_status ng_final_enter(ng_final *final, size_t race_passes);
/* Measures them and the best limits in paired turns; fills in figures and winners of the result.
 * Raises the race's floor to what could not be told apart. */
normgen_status ng_final_run(ng_final *final, ng_unit_result *result);

#endif
