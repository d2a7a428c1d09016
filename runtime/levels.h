/* SPDX-License-Identifier: Apache-2.0 */
/* Calls whose rows have two levels: heads of a token, rows of a sample, groups of a row. */
#ifndef NG_LEVELS_H
#define NG_LEVELS_H

#include "program.h"

/* Whether the program, called with such arguments, has one level of rows: call.c's business. */
static inline bool ng_one_level(const ng_program *p, const normgen_args *args) {
    return !p->levels && p->parts == 1 && args->inner == 0;
}
/* ng_bind for all others, with the same promises; args->rows is not 0. */
normgen_status ng_bind_levels(const ng_program *p, const normgen_args *args,
                              normgen_bound_args *bound);
/* Whether two calls that passed ng_bind keep out of each other's way: no output of one touches an
 * array of the other. E_ARGUMENT names the arrays and both numbers. */
normgen_status ng_check_apart(const ng_program *p, const normgen_args *a, size_t number_a,
                              const normgen_args *b, size_t number_b);

#endif
