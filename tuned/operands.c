/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that have broken norms elsewhere: zeros of both signs, constants, a large first element,
 * large means, subnormals, values near overflow, infinities, NaN. */
#include "operands.h"

#include "types.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

/* Exponents -6 to `most`. */
static double within(ng_rng *rng, int most) {
    uint64_t bits = ng_rng_next(rng);
    double v = ldexp(1 + (double)(bits >> 12) * 0x1p-52, (int)(bits % (uint64_t)(most + 7)) - 6);
    return bits >> 8 & 1 ? -v : v;
}

static double ordinary(ng_rng *rng) { return within(rng, 6); }

void ng_operand_measured(int type, void *row, size_t n, ng_rng *rng) {
    for (size_t i = 0; i < n; i++) ng_type_write(type, row, i, within(rng, 3));
}

void ng_operand_ordinary(int type, void *row, size_t n, ng_rng *rng) {
    for (size_t i = 0; i < n; i++) ng_type_write(type, row, i, ordinary(rng));
}

/* What the awkward rows need to know about their type. */
typedef struct range {
    double largest, subnormal; /* smallest positive */
} range;

static range range_of(int type) {
    int bias = (1 << (ng_types[type].exponent - 1)) - 1, precision = ng_types[type].precision;
    return (range){ldexp(2 - ldexp(1, 1 - precision), bias), ldexp(1, 2 - bias - precision)};
}

enum {
    ZEROS,
    MINUS_ZEROS,
    CONSTANT,
    LARGE_FIRST,
    LARGE_MEAN,
    ONE_NAN,
    ONE_INF,
    INFS,
    SUBNORMAL,
    HUGE_VALUES,
    TINY,
    LONE,
    KINDS
};

static double awkward(int kind, range r, size_t i, size_t at, double v) {
    switch (kind) {
    case ZEROS: return 0;
    case MINUS_ZEROS: return -0.0;
    case CONSTANT: return 3.25;
    case LARGE_FIRST: return i == 0 ? sqrt(r.largest) / 4 : v;
    case LARGE_MEAN: return 1000 + v / 64;
    case ONE_NAN: return i == at ? (double)NAN : v;
    case ONE_INF: return i == at ? -HUGE_VAL : v;
    case INFS: return i % 7 == at % 7 ? copysign(HUGE_VAL, v) : v;
    case SUBNORMAL: return v * 4 * r.subnormal;
    case HUGE_VALUES: return copysign(r.largest / (1 + (double)(i % 3)), v);
    case TINY: return v * sqrt(r.subnormal);
    default: return i == at ? v : 0;
    }
}

void ng_operand_row(int type, void *row, size_t n, size_t index, size_t salt, ng_rng *rng) {
    size_t at = (size_t)ng_rng_below(rng, n);
    range r = range_of(type);
    if (index % 3 != 2) {
        ng_operand_ordinary(type, row, n, rng);
        return;
    }
    /* 64 rows have 21 awkward ones: each kind at least once, whatever the salt. */
    int kind = (int)((index / 3 + salt * 5) % KINDS);
    for (size_t i = 0; i < n; i++)
        ng_type_write(type, row, i, awkward(kind, r, i, at, ordinary(rng)));
}

bool ng_fence_init(ng_fence *f, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *f = (ng_fence){0};
    f->size = (size + page - 1) / page * page;
    f->map_size = f->size + 2 * page;
    void *map = mmap(NULL, f->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return false;
    f->map = map;
    f->start = f->map + page;
    if (mprotect(f->start, f->size, PROT_READ | PROT_WRITE) == 0) return true;
    ng_fence_fini(f);
    return false;
}

void ng_fence_fini(ng_fence *f) {
    if (f->map) munmap(f->map, f->map_size);
    *f = (ng_fence){0};
}
