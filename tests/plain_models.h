/* SPDX-License-Identifier: Apache-2.0 */
/* The norms of known models in plain C, each written from the model's public code with that code's
 * rounding points, and the order of sums, the exp and the narrowing of docs/numerics.md. */
#ifndef NG_TESTS_PLAIN_MODELS_H
#define NG_TESTS_PLAIN_MODELS_H

#include <stddef.h>

/* One row, as floats; what a norm has not is NULL. Outputs are rounded, as floats. */
typedef struct plain_row {
    int type; /* of the model: every tensor but weights that the model keeps in f32 */
    size_t n;
    float eps;
    const float *x, *weight, *bias, *residual, *gate, *mod_scale, *mod_shift, *xgate, *post_weight,
        *after, *weight2, *bias2, *cos, *sin;
    float *y, *sum, *y2;
} plain_row;

/* A model's norm: its name as in specs/, size and epsilon from its config, and the function. */
typedef struct plain_model {
    const char *model, *norm;
    size_t hidden;
    double eps;
    void (*run)(const plain_row *row);
} plain_model;
extern const plain_model plain_models[]; /* ended by a NULL model */

#endif
