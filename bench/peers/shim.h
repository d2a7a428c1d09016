/* SPDX-License-Identifier: Apache-2.0 */
/* What everything that is called from C looks like in `./dev bench peers`, so that one loop with
 * one clock times all of it. */
#ifndef PEERS_SHIM_H
#define PEERS_SHIM_H

#include <stddef.h>

/* Arrays of one call: a part of the big buffers. residual and sum are null where the norm has
 * none. */
typedef struct peers_slice {
    const void *x, *residual;
    void *y, *sum;
} peers_slice;

/* What is computed. type: 0 f32, 1 bf16; norm: 0 rms, 1 layer; add: 1 with residual and sum.
 * weight and bias have the type of x, wide_weight and wide_bias the same values as f32. */
typedef struct peers_job {
    int norm, add, type, threads;
    size_t hidden, rows; /* of one call */
    const void *weight, *bias;
    const float *wide_weight, *wide_bias;
    size_t slices;
    const peers_slice *slice;
} peers_job;

/* Does slice i. state is what the maker of the function returned with it. */
typedef void (*peers_fn)(void *state, size_t i);

#endif
