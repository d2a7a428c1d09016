/* SPDX-License-Identifier: Apache-2.0 */
/* The one source of randomness of tuner and checks: splitmix64, seeded by the caller, the same on
 * every machine. Not for secrets. */
#ifndef NG_RNG_H
#define NG_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct ng_rng {
    uint64_t state;
} ng_rng;

static inline uint64_t ng_rng_next(ng_rng *rng) {
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 to n-1; n is at most 2^32, so the bias of the multiplication is below 2^-32. */
static inline uint64_t ng_rng_below(ng_rng *rng, uint64_t n) {
    return ((ng_rng_next(rng) >> 32) * n) >> 32;
}

/* Uniform in [0, 1). */
static inline double ng_rng_unit(ng_rng *rng) { return (double)(ng_rng_next(rng) >> 11) * 0x1p-53; }

/* A generator of its own for a seed and a text (FNV-1a), so that what one unit of work draws does
 * not depend on which others were done before it. */
static inline ng_rng ng_rng_for(uint64_t seed, const char *text) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    ng_rng rng = {seed ^ h};
    return (ng_rng){ng_rng_next(&rng)};
}

#endif
