/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: one table, and the scalar conversions of docs/numerics.md ("Narrowing"). */
#ifndef NG_TYPES_H
#define NG_TYPES_H

#include "normgen/normgen.h"

#include <stdbool.h>
#include <string.h>

/* Element types: name, public constant, bytes, significant bits, exponent bits (0: integers, which
 * saturate; a NaN becomes 0), half instructions that narrowing a vector to it takes where no
 * instruction does (0: one does wherever the length of code decides anything) */
#define NG_FLOATS(X)                                                                               \
    X(f32, NORMGEN_F32, 4, 24, 8, 0)                                                               \
    X(f64, NORMGEN_F64, 8, 53, 11, 0)                                                              \
    X(bf16, NORMGEN_BF16, 2, 8, 8, 26)                                                             \
    X(f16, NORMGEN_F16, 2, 11, 5, 0)
#define NG_NARROWS(X)                                                                              \
    X(i8, NORMGEN_I8, 1, 7, 0, 10)                                                                 \
    X(u8, NORMGEN_U8, 1, 8, 0, 10)                                                                 \
    X(e4m3, NORMGEN_E4M3, 1, 4, 4, 24)                                                             \
    X(e5m2, NORMGEN_E5M2, 1, 3, 5, 24)
#define NG_TYPES(X) NG_FLOATS(X) NG_NARROWS(X)
/* Block formats, as in ggml: name, public constant, elements and bytes of a block; it is a scale
 * d (f16), for q8_1 also d times the sum of the codes (f16), and one code (i8) for each element */
#define NG_FORMATS(X)                                                                              \
    X(q8_0, NORMGEN_Q8_0, 32, 34)                                                                  \
    X(q8_1, NORMGEN_Q8_1, 32, 36)

typedef struct ng_type_info {
    const char *name;
    uint8_t bytes; /* of an element; of a block format, what its address is a multiple of */
    uint8_t precision, exponent;
    uint8_t block;       /* elements of a block; 1 for element types */
    uint8_t block_bytes; /* bytes of a block */
    uint8_t narrowing;   /* half instructions: see NG_FLOATS */
} ng_type_info;

extern const ng_type_info ng_types[];
#define NG_TYPE_COUNT                                                                              \
    12 /* size of ng_types; entries NORMGEN_DEFAULT and NORMGEN_NONE have no bytes */

/* Consecutive elements of one element type in a block. */
typedef struct ng_field_run {
    uint8_t type, at, count; /* `at` in bytes from the start of the block */
} ng_field_run;
#define NG_MAX_RUNS 3
/* What a block of the type is made of; element types are blocks of one element. Returns the number
 * of runs. */
int ng_type_runs(int type, ng_field_run runs[NG_MAX_RUNS]);

/* Whether every value of `inner` is a value of `outer`, so that rounding to `outer` and back
 * changes nothing. Both are element types. */
bool ng_type_holds(int outer, int inner);
/* i8 and u8. */
static inline bool ng_type_is_integer(int type) { return type == NORMGEN_I8 || type == NORMGEN_U8; }
static inline bool ng_type_is_float(int type) { return type >= NORMGEN_F32 && type <= NORMGEN_F16; }

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

/* The eight-bit floats: what is beyond the largest value becomes it, infinities too; to nearest
 * even; subnormals and NaN stay. */
static inline uint8_t ng_to_e4m3(float f) {
    uint32_t u = ng_bits32(f), sign = (u >> 24) & 0x80u, m = u & 0x7fffffffu;
    uint32_t clamped = m > 0x43e00000u ? 0x43e00000u : m; /* 448 */
    uint32_t normal = (clamped - 0x3c000000u + 0x7ffffu + ((clamped >> 20) & 1u)) >> 20;
    /* adding 2^14 puts the last bit of a subnormal, 2^-9, at the last bit of the f32 sum */
    uint32_t small = ng_bits32(ng_float32(m < 0x3c800000u ? m : 0u) + 0x1p14f) - 0x46800000u;
    uint32_t r = m < 0x3c800000u ? small : normal;
    return (uint8_t)(sign | (m > 0x7f800000u ? 0x7fu : r));
}
static inline uint8_t ng_to_e5m2(float f) {
    uint32_t u = ng_bits32(f), sign = (u >> 24) & 0x80u, m = u & 0x7fffffffu;
    uint32_t clamped = m > 0x47600000u ? 0x47600000u : m; /* 57344 */
    uint32_t normal = (clamped - 0x38000000u + 0xfffffu + ((clamped >> 21) & 1u)) >> 21;
    uint32_t small = ng_bits32(ng_float32(m < 0x38800000u ? m : 0u) + 0x1p7f) - 0x43000000u;
    uint32_t r = m < 0x38800000u ? small : normal;
    return (uint8_t)(sign | (m > 0x7f800000u ? 0x7eu : r));
}
/* Exact: the exponent is moved by a multiplication with a power of two. */
static inline float ng_from_e4m3(uint8_t h) {
    uint32_t m = h & 0x7fu, sign = (uint32_t)(h & 0x80u) << 24;
    uint32_t u = m == 0x7fu ? 0x7fc00000u : ng_bits32(ng_float32(m << 20) * 0x1p120f);
    return ng_float32(u | sign);
}
static inline float ng_from_e5m2(uint8_t h) { return ng_from_f16((uint16_t)(h << 8)); }

/* Reads element i of an array of an element type as a double (exact). */
double ng_type_read(int type, const void *base, size_t i);
/* Stores a double as element i, narrowing as docs/numerics.md says (f64 to 16 bits goes through
 * f32). */
void ng_type_write(int type, void *base, size_t i, double value);

#endif
