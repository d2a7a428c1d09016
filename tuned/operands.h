/* SPDX-License-Identifier: Apache-2.0 */
/* Operands of checks and measurements: ordinary rows and awkward ones, and memory between guard
 * pages. */
#ifndef NG_OPERANDS_H
#define NG_OPERANDS_H

#include "rng.h"

#include <stdbool.h>

/* n elements of a type: signs at random, exponents -6 to 6, never 0, NaN or Inf. */
void ng_operand_ordinary(int type, void *row, size_t n, ng_rng *rng);
/* The same with exponents -6 to 3, what kernels are timed on: a gate of -80 makes products that are
 * subnormal, for each of which some processors take as long as for a hundred others. */
void ng_operand_measured(int type, void *row, size_t n, ng_rng *rng);
/* Row `index` of a case: two of three are ordinary, the others each awkward in a way of its own;
 * `salt` differs between streams, so that an awkward row meets ordinary and awkward ones. */
void ng_operand_row(int type, void *row, size_t n, size_t index, size_t salt, ng_rng *rng);

/* Memory with an inaccessible page before and after it. */
typedef struct ng_fence {
    unsigned char *map, *start;
    size_t map_size, size; /* size: a multiple of the page */
} ng_fence;
/* At least `size` bytes, zeroed; false when memory is short. */
bool ng_fence_init(ng_fence *fence, size_t size);
void ng_fence_fini(ng_fence *fence);

#endif
