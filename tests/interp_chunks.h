/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter with chunks of 8 elements. */
#ifndef NG_TESTS_INTERP_CHUNKS_H
#define NG_TESTS_INTERP_CHUNKS_H

#include "interp.h"

void interp_chunks_of_8(const ng_program *program, const normgen_bound_args *args, size_t first,
                        size_t last);

#endif
