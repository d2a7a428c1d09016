/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter: runs a row program in plain C by the rules of docs/numerics.md. It is the oracle
 * of every test, the check before every trial and the fallback at run time. */
#ifndef NG_INTERP_H
#define NG_INTERP_H

#include "program.h"

/* Rows first to last-1. The arguments are those of a kernel, resolved and checked; the
 * floating-point environment is the default one. Takes less than 64 KiB of stack, allocates
 * nothing. */
typedef void (*ng_interp_fn)(const ng_program *program, const normgen_bound_args *args,
                             size_t first, size_t last);

/* The same file compiled for several ISA levels; ng_cpu_interp() of cpu.h picks one. */
void ng_interp_baseline(const ng_program *program, const normgen_bound_args *args, size_t first,
                        size_t last);
void ng_interp_v3(const ng_program *program, const normgen_bound_args *args, size_t first,
                  size_t last);
void ng_interp_v4(const ng_program *program, const normgen_bound_args *args, size_t first,
                  size_t last);

/* Address of the first element of a row. */
static inline char *ng_row_address(const normgen_bound_args *args, int stream, size_t row) {
    const normgen_stream *s = &args->stream[stream];
    size_t n = args->rows_per_outer;
    return (char *)s->base + (ptrdiff_t)(row / n) * s->outer + (ptrdiff_t)(row % n) * s->inner;
}

#endif
