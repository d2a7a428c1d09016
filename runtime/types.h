/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: one table, and the scalar conversions of docs/numerics.md ("Narrowing"). */
#ifndef NG_TYPES_H
#define NG_TYPES_H

#include "normgen/normgen.h"

#include <stdbool.h>
#include <string.h>

/* name, public constant, bytes, significant bits, exponent bits */
#define NG_TYPES(X)                                                                                \
    X(f32, NORMGEN_F32, 4, 24, 8)                                                                  \
    X(f64, NORMGEN_F64, 8, 53, 11)                                                                 \
    X(bf16, NORMGEN_BF16, 2, 8, 8)                                                                 \
    X(f16, NORMGEN_F16, 2, 11, 5)

typedef struct ng_type_info {
    const char *name;
    uint8_t bytes, precision, exponent;
} ng_type_info;

extern const ng_type_info ng_types[];
#define NG_TYPE_COUNT                                                                              \
    6 /* size of ng_types; entries NORMGEN_DEFAULT and NORMGEN_NONE have no bytes */

/* Whether every value of `inner` is a value of `outer`, so that rounding to `outer` and back
 * changes nothing. */
bool ng_type_holds(int outer, int inner);

/* Names the bits of a float, and back. */
static inline uint32_t ng_bits32(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline float ng_float32(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline uint64_t ng_bits64(double f) {
    uint64_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline double ng_float64(uint64_t u) {
    double f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline float ng_from_bf16(uint16_t h) { return ng_float32((uint32_t)h << 16); }

/* To nearest even; NaN is quieted; an f32 subnormal becomes a zero of its sign, as AVX512-BF16
 * does. Branch-free so that loops over it vectorize. */
static inline uint16_t ng_to_bf16(float f) {
    uint32_t u = ng_bits32(f), exponent = u & 0x7f800000u;
    uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    uint32_t nan = (u >> 16) | 0x40u, zero = (u >> 16) & 0x8000u;
    uint32_t r = (u & 0x7fffffffu) > 0x7f800000u ? nan : rounded;
    return (uint16_t)(exponent == 0 ? zero : r);
}

/* Exact, subnormals included: the exponent is moved by a multiplication with 2^112. */
static inline float ng_from_f16(uint16_t h) {
    uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13, sign = (uint32_t)(h & 0x8000u) << 16;
    float scaled = ng_float32(magnitude) * 0x1p112f;
    uint32_t u = (h & 0x7c00u) == 0x7c00u ? magnitude | 0x7f800000u : ng_bits32(scaled);
    return ng_float32(u | sign);
}

/* To nearest even, subnormals kept, overflow to Inf, NaN quieted. */
static inline uint16_t ng_to_f16(float f) {
    uint32_t u = ng_bits32(f), sign = (u >> 16) & 0x8000u, m = u & 0x7fffffffu;
    /* normal results: rebias the exponent, round on the 13 bits that go */
    uint32_t normal = (m - 0x38000000u + 0xfffu + ((m >> 13) & 1u)) >> 13;
    /* subnormal results: adding 0.5 puts the f16 subnormal's last bit at the last bit of the f32
     * sum */
    uint32_t small = ng_bits32(ng_float32(m < 0x38800000u ? m : 0u) + 0.5f) - 0x3f000000u;
    uint32_t r = m < 0x38800000u ? small : normal;
    r = m >= 0x477ff000u ? 0x7c00u : r; /* 65520 and above */
    r = m > 0x7f800000u ? 0x7e00u | ((m >> 13) & 0x3ffu) : r;
    return (uint16_t)(r | sign);
}

/* Reads element i of an array of `type` as a double (exact). */
double ng_type_read(int type, const void *base, size_t i);
/* Stores a double as element i, narrowing as docs/numerics.md says (f64 to 16 bits goes through
 * f32). */
void ng_type_write(int type, void *base, size_t i, double value);

#endif
