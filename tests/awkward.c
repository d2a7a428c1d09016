/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of rows, one small function each, in one table. */
#include "awkward.h"

uint64_t awkward_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t awkward_below(uint64_t *state, size_t n) { return (size_t)(awkward_next(state) % n); }

/* A row being made. */
typedef struct maker {
    int type;
    size_t n;
    size_t spot; /* a position in the row, the same for all its elements */
    uint64_t state;
} maker;

static double power2(int e) { return ng_float64((uint64_t)(e + 1023) << 52); }
static int top_exponent(int type) {
    return type == NORMGEN_F16 ? 15 : type == NORMGEN_F64 ? 1023 : 127;
}
/* In [0, 1), a multiple of 2^-53. */
static double unit(maker *m) { return (double)(awkward_next(&m->state) >> 11) * 0x1p-53; }
static double signed_unit(maker *m) { return 2 * unit(m) - 1; }
static double coin(maker *m) { return awkward_next(&m->state) >> 63 ? 1 : -1; }
/* Sign and exponent at random, exponents from low to high. */
static double spread(maker *m, int low, int high) {
    double magnitude = power2(low + (int)awkward_below(&m->state, (size_t)(high - low + 1)));
    return coin(m) * magnitude * (1 + unit(m));
}

static double ordinary(maker *m, size_t i) { return (void)i, spread(m, -6, 6); }
static double uniform(maker *m, size_t i) { return (void)i, signed_unit(m); }
static double mean_1e2(maker *m, size_t i) { return (void)i, 100 + signed_unit(m); }
static double mean_1e4_flat(maker *m, size_t i) { return (void)i, 1e4 + signed_unit(m) * 0x1p-10; }
static double mean_6e4(maker *m, size_t i) { return (void)i, -6e4 + signed_unit(m); }
static double constant(maker *m, size_t i) { return (void)i, (double)m->spot * 0x1p-3 + 0.375; }
static double zeros(maker *m, size_t i) { return (void)m, (void)i, 0.0; }
static double signed_zeros(maker *m, size_t i) { return (void)i, coin(m) * 0.0; }
static double huge(maker *m, size_t i) {
    return (void)i, coin(m) * power2(top_exponent(m->type)) * (1 + unit(m) * 0.9);
}
static double tiny(maker *m, size_t i) {
    int low = m->type == NORMGEN_F16 ? -24 : -70;
    return (void)i, spread(m, low, low + 20);
}
static double large_first(maker *m, size_t i) { return i == 0 ? 49152 : spread(m, -3, 0); }
/* One element whose square swallows half the bits of the others': what a lane holds depends on what
 * came before, so the order of the sum shows. Sums of ordinary bf16 squares are nearly exact and
 * hide it. */
static double peak(maker *m, size_t i) { return i == m->spot ? spread(m, 9, 9) : spread(m, -3, 0); }
static double large_last(maker *m, size_t i) { return i + 1 == m->n ? -32768 : spread(m, -3, 0); }
static double one_nan(maker *m, size_t i) {
    return i == m->spot ? ng_float64(0x7ff8000000000000u) : spread(m, -2, 2);
}
static double one_inf(maker *m, size_t i) {
    return i == m->spot ? coin(m) * ng_float64(0x7ff0000000000000u) : spread(m, -2, 2);
}
static double both_infs(maker *m, size_t i) {
    double inf = ng_float64(0x7ff0000000000000u);
    return i == m->spot ? inf : i == m->n - 1 - m->spot ? -inf : spread(m, -2, 2);
}
static double lonely(maker *m, size_t i) { return i == m->spot ? spread(m, -6, 6) : 0.0; }
static double alternating(maker *m, size_t i) {
    return (i & 1 ? -1.0 : 1.0) * (1000 + unit(m) * 0x1p-4);
}
static double ramp(maker *m, size_t i) { return (double)((i + m->spot) % 257) - 128; }
static double any_exponent(maker *m, size_t i) {
    int top = top_exponent(m->type);
    return (void)i, spread(m, 1 - top, top - 1);
}

typedef double (*element_fn)(maker *m, size_t i);
static const struct {
    const char *name;
    element_fn element; /* NULL: bits at random */
    bool subnormal;     /* random bits with the exponent field 0 */
} kinds[] = {
    {"ordinary", ordinary, false},
    {"peak", peak, false},
    {"uniform", uniform, false},
    {"mean 1e2 spread 1", mean_1e2, false},
    {"one NaN", one_nan, false},
    {"zeros", zeros, false},
    {"mean 1e4 spread 1e-3", mean_1e4_flat, false},
    {"huge", huge, false},
    {"large first", large_first, false},
    {"random bits", NULL, false},
    {"constant", constant, false},
    {"peak", peak, false},
    {"subnormals", NULL, true},
    {"one Inf", one_inf, false},
    {"mean -6e4 spread 1", mean_6e4, false},
    {"any exponent", any_exponent, false},
    {"large last", large_last, false},
    {"signed zeros", signed_zeros, false},
    {"tiny", tiny, false},
    {"alternating", alternating, false},
    {"peak", peak, false},
    {"both Infs", both_infs, false},
    {"lonely", lonely, false},
    {"ramp", ramp, false},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static size_t kind_of(size_t index, unsigned salt) {
    if (index % 3 == 0) return 0;
    return 1 + (index / 3 * 2 + index % 3 - 1 + 4 * (size_t)salt) % (KINDS - 1);
}

const char *awkward_name(size_t index, unsigned salt) { return kinds[kind_of(index, salt)].name; }

/* Elements of random bits; subnormals are those with a zero exponent field. */
static void random_bits(maker *m, void *row, bool subnormal) {
    size_t bytes = ng_types[m->type].bytes;
    int mantissa = ng_types[m->type].precision - 1, width = (int)bytes * 8;
    for (size_t i = 0; i < m->n; i++) {
        uint64_t u = awkward_next(&m->state), sign = u >> (width - 1) << (width - 1);
        if (subnormal) u = sign | (u & (((uint64_t)1 << mantissa) - 1));
        uint32_t u32 = (uint32_t)u;
        uint16_t u16 = (uint16_t)u;
        const void *from = bytes == 2 ? (void *)&u16 : bytes == 4 ? (void *)&u32 : (void *)&u;
        memcpy((char *)row + i * bytes, from, bytes);
    }
}

static uint64_t start(uint64_t seed, size_t index, unsigned salt) {
    uint64_t state = seed * 0xd1342543de82ef95u + index * 0x2545f4914f6cdd1du + salt;
    return awkward_next(&state);
}

void awkward_row(int type, void *row, size_t n, size_t index, uint64_t seed, unsigned salt) {
    maker m = {type, n, 0, start(seed, index, salt)};
    size_t kind = kind_of(index, salt);
    m.spot = awkward_below(&m.state, n);
    if (!kinds[kind].element) {
        random_bits(&m, row, kinds[kind].subnormal);
        return;
    }
    for (size_t i = 0; i < n; i++) ng_type_write(type, row, i, kinds[kind].element(&m, i));
}

void awkward_shared(int type, void *row, size_t n, uint64_t seed, unsigned salt, bool specials) {
    maker m = {type, n, 0, start(seed, n, salt)};
    double inf = ng_float64(0x7ff0000000000000u), nan = ng_float64(0x7ff8000000000000u);
    double special[] = {0.0, -0.0, inf, -inf, nan, power2(top_exponent(type)), 0x1p-24};
    for (size_t i = 0; i < n; i++) ng_type_write(type, row, i, spread(&m, -2, 1));
    for (size_t i = 0; specials && n > 8 && i < sizeof special / sizeof special[0]; i++)
        ng_type_write(type, row, awkward_below(&m.state, n), special[i]);
}
