/* SPDX-License-Identifier: Apache-2.0 */
/* Element types by arithmetic instead of bits, the f64 formulas, and the naive norm for both
 * compute types. */
#include "reference.h"

#include "types.h"

#include <math.h>
#include <stdlib.h>

#define X(name) #name,
const char *const mutation_names[MUTATION_COUNT] = {MUTATIONS(X)};
#undef X

/* ---- element types ---- */

double naive_read(int type, const void *element) {
    uint16_t h;
    float f;
    double d;
    if (type == NORMGEN_F64) return memcpy(&d, element, sizeof d), d;
    if (type == NORMGEN_F32) return memcpy(&f, element, sizeof f), (double)f;
    memcpy(&h, element, sizeof h);
    int bits = type == NORMGEN_BF16 ? 7 : 10, bias = type == NORMGEN_BF16 ? 127 : 15;
    int fraction = h & ((1 << bits) - 1), exponent = (h & 0x7fff) >> bits;
    double sign = h & 0x8000 ? -1 : 1;
    if (exponent == 2 * bias + 1) return fraction ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - bits);
    return sign * ldexp(fraction + (1 << bits), exponent - bias - bits);
}

double naive_round(int type, double value, mutation wrong) {
    if (type == NORMGEN_F64 || isnan(value) || isinf(value) || value == 0) return value;
    double f = (double)(float)value; /* 16-bit types go through f32 */
    if (type == NORMGEN_F32 || isinf(f)) return f;
    int precision = type == NORMGEN_BF16 ? 8 : 11, lowest = type == NORMGEN_BF16 ? -126 : -14;
    if (type == NORMGEN_BF16 && fabs(f) < 0x1p-126 && wrong != MUTATION_no_flush)
        return copysign(0.0, f);
    if (f == 0) return f;
    int exponent = ilogb(f) < lowest ? lowest : ilogb(f);
    double unit = ldexp(1, exponent - precision + 1), r = rint(f / unit) * unit;
    double limit = type == NORMGEN_BF16 ? 0x1p128 : 0x1p16;
    return fabs(r) >= limit ? copysign((double)INFINITY, r) : copysign(r, f);
}

static void naive_write(int type, void *element, double value, mutation wrong) {
    double r = naive_round(type, value, wrong);
    float f = (float)r;
    if (type == NORMGEN_F64) memcpy(element, &value, sizeof value);
    if (type == NORMGEN_F32) memcpy(element, &f, sizeof f);
    if (type == NORMGEN_F64 || type == NORMGEN_F32) return;
    int bits = type == NORMGEN_BF16 ? 7 : 10, bias = type == NORMGEN_BF16 ? 127 : 15;
    int sign = signbit(r) ? 0x8000 : 0, code;
    if (isnan(r))
        code = (2 * bias + 1) << bits | 1 << (bits - 1);
    else if (isinf(r))
        code = (2 * bias + 1) << bits;
    else if (fabs(r) < ldexp(1, 1 - bias))
        code = (int)ldexp(fabs(r), bias - 1 + bits);
    else
        code = ((ilogb(r) + bias - 1) << bits) + (int)ldexp(fabs(r), bits - ilogb(r));
    uint16_t h = (uint16_t)(sign | code);
    memcpy(element, &h, sizeof h);
}

/* ---- the textbook ---- */

exact_stats exact_row(int kind, double eps, size_t n, const double *x, const double *w,
                      const double *b, double *y) {
    exact_stats s = {0};
    double q = 0;
    for (size_t i = 0; i < n; i++) s.mean += x[i], s.mean_abs += fabs(x[i]);
    s.mean /= (double)n;
    s.mean_abs /= (double)n;
    double rest = 0; /* what rounding left of the mean */
    for (size_t i = 0; i < n; i++) rest += x[i] - s.mean;
    s.mean += rest / (double)n;
    if (kind == NORMGEN_RMS) s.mean = 0;
    for (size_t i = 0; i < n; i++) q += (x[i] - s.mean) * (x[i] - s.mean);
    s.rstd = 1 / sqrt(q / (double)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - s.mean) * s.rstd * (w ? w[i] : 1) + (b ? b[i] : 0);
    return s;
}

/* ---- the naive norm ---- */

static int stream_of(const naive *n, ng_role role) {
    for (int s = 0; s < n->program->streams; s++)
        if (n->program->stream[s].role == role) return s;
    return -1;
}

/* Elements that a kernel without a tail mask would touch. */
static size_t padded(size_t n) { return (n + 15) / 16 * 16; }

/* Arrays of padded(hidden) elements: the input, what is measured, what is normalized, and first
 * the deviations, then the results. */
enum { A_v, A_measured, A_normalized, A_d, ARRAYS };

#define REAL float
#define NAME(x) x##_f32
#define FMA fmaf
#define SQRT sqrtf
#include "reference_body.h"
#undef REAL
#undef NAME
#undef FMA
#undef SQRT

#define REAL double
#define NAME(x) x##_f64
#define FMA fma
#define SQRT sqrt
#include "reference_body.h"

static void run_naive(void *ctx, const normgen_bound_args *args, size_t first, size_t last) {
    const naive *n = ctx;
    for (size_t row = first; row < last; row++)
        if (n->spec->compute == NORMGEN_F32)
            run_row_f32(n, args, row);
        else
            run_row_f64(n, args, row);
}

subject subject_naive(naive *ctx) { return (subject){run_naive, ctx}; }
