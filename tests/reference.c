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

/* Floating-point types narrower than f32: bits of the fraction, exponent bias, whether the largest
 * exponent is for Inf and NaN, and the largest finite value. */
typedef struct narrow {
    int bits, bias;
    bool infinite;
    double most;
} narrow;
static const narrow narrows[NG_TYPE_COUNT] = {
    [NORMGEN_BF16] = {7, 127, true, 0x1.fep127},
    [NORMGEN_F16] = {10, 15, true, 65504},
    [NORMGEN_E4M3] = {3, 7, false, 448},
    [NORMGEN_E5M2] = {2, 15, true, 57344},
};

static double narrow_read(const narrow *t, int bytes, unsigned h) {
    int width = bytes * 8, fraction = (int)(h & ((1u << t->bits) - 1));
    int exponent = (int)((h & ((1u << (width - 1)) - 1)) >> t->bits);
    double sign = h >> (width - 1) ? -1 : 1;
    if (!t->infinite && (h & 0x7f) == 0x7f) return (double)NAN;
    if (t->infinite && exponent == 2 * t->bias + 1)
        return fraction ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - t->bias - t->bits);
    return sign * ldexp(fraction + (1 << t->bits), exponent - t->bias - t->bits);
}

double naive_read(int type, const void *element) {
    uint16_t h;
    uint8_t b;
    float f;
    double d;
    if (type == NORMGEN_F64) return memcpy(&d, element, sizeof d), d;
    if (type == NORMGEN_F32) return memcpy(&f, element, sizeof f), (double)f;
    memcpy(&b, element, sizeof b);
    if (type == NORMGEN_I8) return b < 128 ? b : b - 256;
    if (type == NORMGEN_U8) return b;
    if (ng_types[type].bytes == 1) return narrow_read(&narrows[type], 1, b);
    memcpy(&h, element, sizeof h);
    return narrow_read(&narrows[type], 2, h);
}

double naive_round(int type, double value, mutation wrong) {
    if (type == NORMGEN_F64 || isnan(value)) return value;
    double f = (double)(float)value; /* narrower types go through f32 */
    if (type == NORMGEN_F32 || f == 0) return f;
    const narrow *t = &narrows[type];
    bool clamps = ng_types[type].bytes == 1;
    if (isinf(f)) return clamps ? copysign(t->most, f) : f;
    if (type == NORMGEN_BF16 && fabs(f) < 0x1p-126 && wrong != MUTATION_no_flush)
        return copysign(0.0, f);
    int exponent = ilogb(f) < 1 - t->bias ? 1 - t->bias : ilogb(f);
    double unit = ldexp(1, exponent - t->bits), r = rint(f / unit) * unit;
    if (fabs(r) <= t->most) return copysign(r, f);
    return copysign(clamps ? t->most : (double)INFINITY, r);
}

static uint16_t narrow_bits(const narrow *t, int bytes, double r) {
    int sign = signbit(r) ? 1 << (8 * bytes - 1) : 0, top = 2 * t->bias + 1, code;
    if (isnan(r))
        code = t->infinite ? top << t->bits | 1 << (t->bits - 1) : 0x7f;
    else if (isinf(r))
        code = top << t->bits;
    else if (fabs(r) < ldexp(1, 1 - t->bias))
        code = (int)ldexp(fabs(r), t->bias - 1 + t->bits);
    else
        code = ((ilogb(r) + t->bias - 1) << t->bits) + (int)ldexp(fabs(r), t->bits - ilogb(r));
    return (uint16_t)(sign | code);
}

static uint8_t integer_bits(int type, double value) {
    double low = type == NORMGEN_I8 ? -128 : 0, high = type == NORMGEN_I8 ? 127 : 255;
    double r = isnan(value) ? 0 : rint(value);
    return (uint8_t)(int)(r < low ? low : r > high ? high : r);
}

static void naive_write(int type, void *element, double value, mutation wrong) {
    bool integer = type == NORMGEN_I8 || type == NORMGEN_U8;
    double r = integer ? 0 : naive_round(type, value, wrong);
    float f = (float)r;
    if (type == NORMGEN_F64) {
        memcpy(element, &value, sizeof value);
    } else if (type == NORMGEN_F32) {
        memcpy(element, &f, sizeof f);
    } else if (ng_types[type].bytes == 2) {
        uint16_t h = narrow_bits(&narrows[type], 2, r);
        memcpy(element, &h, sizeof h);
    } else {
        uint8_t b =
            integer ? integer_bits(type, value) : (uint8_t)narrow_bits(&narrows[type], 1, r);
        memcpy(element, &b, sizeof b);
    }
}

/* Whether values of the type are codes, to which nothing is rounded on the way. */
static bool is_code(int type) { return type > NORMGEN_F16; }

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

/* Arrays of padded(hidden) elements: the input, what is measured, what is normalized, deviations
 * and other steps, the two outputs. */
enum { A_v, A_measured, A_normalized, A_d, A_spare, A_y, A_y2, ARRAYS };

/* Coefficients of docs/numerics.md, Functions, lowest first. */
static const double exp_single[] = {0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.1239e2p-7,
                                    0x1.6a2464p-10};
static const double exp_wide[] = {
    0x1.000000000000ap-1,  0x1.55555555554fap-3,  0x1.555555555087cp-5,  0x1.1111111127bc1p-7,
    0x1.6c16c1842a2ddp-10, 0x1.a01a012a61a12p-13, 0x1.a0199a0c19ccfp-16, 0x1.71df253f8af97p-19,
    0x1.28ad731740566p-22, 0x1.ad7f88b9dd914p-26};
static const double tanh_single[] = {-0x1.55554ap-2, 0x1.110d26p-3, -0x1.b9287ap-5, 0x1.593d02p-6,
                                     -0x1.9b3024p-8};
static const double tanh_wide[] = {
    -0x1.5555555555537p-2,  0x1.111111110e2a1p-3, -0x1.ba1ba1b709f65p-5,  0x1.664f47b4ae89ap-6,
    -0x1.226e163b5877dp-7,  0x1.d6cdf94e3a9d5p-9, -0x1.7d4926c8aa3f4p-10, 0x1.31d1a2d3ccf64p-11,
    -0x1.c8d5dd6c31215p-13, 0x1.dc83313d98afcp-15};
static const double erf_single[] = {0x1.06eba8p-3, -0x1.81273ep-2, 0x1.ce2cf8p-4, -0x1.b7f90cp-6,
                                    0x1.5405bp-8,  -0x1.a3f6fp-11, 0x1.496a02p-14};
static const double erf_wide[] = {
    0x1.06eba8214db69p-3,  -0x1.812746b0379e6p-2,  0x1.ce2f21a042b2p-4,   -0x1.b82ce3128499cp-6,
    0x1.565bcd0db02c7p-8,  -0x1.c02db3d8ecdbep-11, 0x1.f9a321a116d34p-14, -0x1.f4d1df38db4aep-17,
    0x1.b9def1995c1e6p-20, -0x1.5f1d36a3432d6p-23, 0x1.f7a4112daf135p-27, -0x1.386abe81bc097p-30,
    0x1.0579a69d4bb26p-34};
static const double erfc_single[] = {0x1.662d9ap-12, 0x1.2088e6p+0, 0x1.46bafap-1,  0x1.a652e2p-4,
                                     -0x1.65cabep-6, 0x1.825982p-9, -0x1.86db1ap-13};
static const double erfc_wide[] = {
    0x1.81badeca92ab8p-23,  0x1.20dd562ec143dp+0,   0x1.45f42b572c708p-1,   0x1.a4da4d770bcd5p-4,
    -0x1.389394a8526a7p-6,  -0x1.261d93418d4cap-12, 0x1.cfbbc88479595p-10,  -0x1.50290d9c86861p-11,
    0x1.7803490950817p-15,  0x1.27227155c401fp-14,  -0x1.79cbe47a05fcep-15, 0x1.150df5da39502p-16,
    -0x1.2261061ea298dp-18, 0x1.c8a45f6f61cd5p-21,  -0x1.0df2082b443d3p-23, 0x1.d434142097cfap-27,
    -0x1.19f05711601c3p-30, 0x1.a5dbe3f60a9b9p-35,  -0x1.2770647e88f27p-40};

#define REAL float
#define NAME(x) x##_f32
#define FMA fmaf
#define SQRT sqrtf
#define WIDE 0
#define PLAIN 0
#include "reference_functions.h"

#include "reference_body.h"
#undef REAL
#undef NAME
#undef FMA
#undef SQRT
#undef WIDE

#define REAL double
#define NAME(x) x##_f64
#define FMA fma
#define SQRT sqrt
#define WIDE 1
#include "reference_functions.h"

#include "reference_body.h"
#undef NAME
#undef PLAIN

/* The same steps with plain sums and the functions of libm. */
#define NAME(x) x##_plain
#define PLAIN 1
static double naive_exp_plain(double x) { return exp(x); }
static double naive_tanh_plain(double x) { return tanh(x); }
static double naive_erf_plain(double x) { return erf(x); }
#include "reference_body.h"

static void run_naive(void *ctx, const normgen_bound_args *args, size_t first, size_t last) {
    const naive *n = ctx;
    for (size_t row = first; row < last; row++)
        if (n->plain)
            run_row_plain(n, args, row);
        else if (n->spec->compute == NORMGEN_F32)
            run_row_f32(n, args, row);
        else
            run_row_f64(n, args, row);
}

subject subject_naive(naive *ctx) { return (subject){run_naive, ctx}; }
