/* SPDX-License-Identifier: Apache-2.0 */
/* All subjects of one spec, kept across regimes: each is compiled and checked once. */
#ifndef NG_KERNELS_H
#define NG_KERNELS_H

#include "meter.h"

typedef struct ng_kernels {
    ng_subject **items;
    size_t count, capacity;
} ng_kernels;

void ng_kernels_fini(ng_kernels *kernels);
/* The subject of that kind and schedule (NULL for memcpy and the interpreter), made when missing.
 * Owned by `kernels`. NULL when memory ran out. */
ng_subject *ng_kernels_get(ng_kernels *kernels, const ng_program *program, ng_subject_kind kind,
                           const ng_schedule *schedule);

#endif
