/* SPDX-License-Identifier: Apache-2.0 */
/* Second opinions on what a spec means, written from docs/numerics.md and sharing nothing with
 * interpreter and row program but the structs: `naive` computes the exact bits row by row, with
 * sums as a recursion; `exact` computes the textbook formula in f64, for plain norms. A naive
 * subject can be made wrong on purpose, as miscompiled kernels are. */
#ifndef NG_TESTS_REFERENCE_H
#define NG_TESTS_REFERENCE_H

#include "fixture.h"

#define MUTATIONS(X)                                                                               \
    X(none)                                                                                        \
    X(fold_width) /* half as many lanes */                                                         \
    X(segment)    /* segments of 512 elements */                                                   \
    X(chain)      /* no segments: one chain for each lane */                                       \
    X(reassoc)    /* lanes folded one after the other */                                           \
    X(arcp)       /* a division as a product with the reciprocal */                                \
    X(swap)     /* operands of a subtraction, and of the last fma or product's factors, swapped */ \
    X(tail_sum) /* the tail's masked elements are part of the sums */                              \
    X(tail_store)  /* the tail's masked elements are stored */                                     \
    X(uncorrected) /* LayerNorm without the correction by e */                                     \
    X(no_fma)      /* a*b+c in two roundings */                                                    \
    X(no_flush)    /* bf16 subnormals are kept */                                                  \
    X(neighbour)   /* statistics of the row before */
#define X(name) MUTATION_##name,
typedef enum mutation { MUTATIONS(X) MUTATION_COUNT } mutation;
#undef X
extern const char *const mutation_names[MUTATION_COUNT];

typedef struct naive {
    const normgen_spec *spec;
    const ng_program *program; /* for the order of streams only */
    mutation wrong;
    bool plain; /* textbook sums, libm, everything in f64: right within bounds, not in its bits */
} naive;
/* The naive implementation as a subject; *ctx stays the caller's. */
subject subject_naive(naive *ctx);

/* An element as a double, and a double rounded to an element type as docs/numerics.md says. */
double naive_read(int type, const void *element);
double naive_round(int type, double value, mutation wrong);

/* exp, tanh and erf of docs/numerics.md, Functions. */
float naive_exp_f32(float x);
float naive_tanh_f32(float x);
float naive_erf_f32(float x);
double naive_exp_f64(double x);
double naive_tanh_f64(double x);
double naive_erf_f64(double x);

/* The textbook norm of one row in f64; w and b may be NULL. */
typedef struct exact_stats {
    double mean, rstd;
    double mean_abs; /* of x, for condition numbers */
} exact_stats;
exact_stats exact_row(int kind, double eps, size_t n, const double *x, const double *w,
                      const double *b, double *y);

#endif
