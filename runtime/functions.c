/* SPDX-License-Identifier: Apache-2.0 */
/* exp, tanh and erf as operations: the bits of docs/numerics.md, "Functions", where the
 * coefficients and their errors stand. Where fewer operations give the bits of its lists, it is
 * those. */
#include "ops.h"

enum { MOST_COEFFICIENTS = 20 };

/* Constants of one compute type; coefficients lowest first, `n` of each in the order e t q r. */
typedef struct function_table {
    double magic, log2e, ln2h, ln2l, high, low; /* of exp */
    double infinity;                            /* as bits */
    int bits;                                   /* of the fraction */
    double tanh_small, erf_high;                /* C and H */
    int n[4];
    double e[MOST_COEFFICIENTS], t[MOST_COEFFICIENTS], q[MOST_COEFFICIENTS], r[MOST_COEFFICIENTS];
} function_table;

static const function_table f32 = {
    .magic = 0x1.8p23,
    .log2e = 0x1.715476p+0,
    .ln2h = 0x1.62e43p-1,
    .ln2l = -0x1.05c61p-29,
    .high = 0x1.62e43p+6,
    .low = -0x1.5d589ep+6,
    .infinity = 0x7f8p20,
    .bits = 23,
    .tanh_small = 0.55,
    .erf_high = 4,
    .n = {5, 5, 7, 7},
    .e = {0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.1239e2p-7, 0x1.6a2464p-10},
    .t = {-0x1.55554ap-2, 0x1.110d26p-3, -0x1.b9287ap-5, 0x1.593d02p-6, -0x1.9b3024p-8},
    .q = {0x1.06eba8p-3, -0x1.81273ep-2, 0x1.ce2cf8p-4, -0x1.b7f90cp-6, 0x1.5405bp-8,
          -0x1.a3f6fp-11, 0x1.496a02p-14},
    .r = {0x1.662d9ap-12, 0x1.2088e6p+0, 0x1.46bafap-1, 0x1.a652e2p-4, -0x1.65cabep-6,
          0x1.825982p-9, -0x1.86db1ap-13}};

static const function_table f64 = {
    .magic = 0x1.8p52,
    .log2e = 0x1.71547652b82fep+0,
    .ln2h = 0x1.62e42fefa39efp-1,
    .ln2l = 0x1.abc9e3b39803fp-56,
    .high = 0x1.62e42fefa39fp+9,
    .low = -0x1.6232bdd7abcd2p+9,
    .infinity = 0x7ff0p48,
    .bits = 52,
    .tanh_small = 0.5,
    .erf_high = 6,
    .n = {10, 10, 13, 19},
    .e = {0x1.000000000000ap-1, 0x1.55555555554fap-3, 0x1.555555555087cp-5, 0x1.1111111127bc1p-7,
          0x1.6c16c1842a2ddp-10, 0x1.a01a012a61a12p-13, 0x1.a0199a0c19ccfp-16,
          0x1.71df253f8af97p-19, 0x1.28ad731740566p-22, 0x1.ad7f88b9dd914p-26},
    .t = {-0x1.5555555555537p-2, 0x1.111111110e2a1p-3, -0x1.ba1ba1b709f65p-5, 0x1.664f47b4ae89ap-6,
          -0x1.226e163b5877dp-7, 0x1.d6cdf94e3a9d5p-9, -0x1.7d4926c8aa3f4p-10,
          0x1.31d1a2d3ccf64p-11, -0x1.c8d5dd6c31215p-13, 0x1.dc83313d98afcp-15},
    .q = {0x1.06eba8214db69p-3, -0x1.812746b0379e6p-2, 0x1.ce2f21a042b2p-4, -0x1.b82ce3128499cp-6,
          0x1.565bcd0db02c7p-8, -0x1.c02db3d8ecdbep-11, 0x1.f9a321a116d34p-14,
          -0x1.f4d1df38db4aep-17, 0x1.b9def1995c1e6p-20, -0x1.5f1d36a3432d6p-23,
          0x1.f7a4112daf135p-27, -0x1.386abe81bc097p-30, 0x1.0579a69d4bb26p-34},
    .r = {0x1.81badeca92ab8p-23, 0x1.20dd562ec143dp+0, 0x1.45f42b572c708p-1, 0x1.a4da4d770bcd5p-4,
          -0x1.389394a8526a7p-6, -0x1.261d93418d4cap-12, 0x1.cfbbc88479595p-10,
          -0x1.50290d9c86861p-11, 0x1.7803490950817p-15, 0x1.27227155c401fp-14,
          -0x1.79cbe47a05fcep-15, 0x1.150df5da39502p-16, -0x1.2261061ea298dp-18,
          0x1.c8a45f6f61cd5p-21, -0x1.0df2082b443d3p-23, 0x1.d434142097cfap-27,
          -0x1.19f05711601c3p-30, 0x1.a5dbe3f60a9b9p-35, -0x1.2770647e88f27p-40}};

static const function_table *table_of(const ng_program *p) {
    return p->compute == NORMGEN_F64 ? &f64 : &f32;
}

static int number(ng_program *p, double k) { return ng_put_again(p, NG_CONST, k); }

/* Horner's scheme. */
static int polynomial(ng_program *p, int x, const double *c, int n) {
    int v = number(p, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) v = ng_put_fma(p, v, x, number(p, c[i]));
    return v;
}

static int bits(ng_program *p, double k) { return ng_put_again(p, NG_BITS, k); }

/* The smaller one, and the larger one; a NaN x stays. */
static int at_most(ng_program *p, int x, double k) {
    int most = number(p, k);
    return ng_put4(p, NG_SELLT, most, x, most, x);
}
static int at_least(ng_program *p, int x, double k) {
    int least = number(p, k);
    return ng_put4(p, NG_SELLT, x, least, least, x);
}

/* |v| with the sign of x. */
static int with_sign_of(ng_program *p, int x, int v) {
    /* In the range of the signed integer of the size: targets differ beyond it. */
    int sign = bits(p, p->compute == NORMGEN_F64 ? -0x1p63 : -0x1p31);
    return ng_put2(p, NG_OR, v, ng_put2(p, NG_AND, x, sign));
}

/* exp(x) = (q + 1) * 2^n; t's low bits hold n + bias. */
typedef struct parts {
    int q, t;
} parts;

static parts parts_of_exp(ng_program *p, int x, int bias) {
    const function_table *f = table_of(p);
    int magic = number(p, f->magic + bias), t = ng_put_fma(p, x, number(p, f->log2e), magic);
    int n = ng_put2(p, NG_SUB, t, magic);
    int r = ng_put_fma(p, n, number(p, -f->ln2h), x);
    r = ng_put_fma(p, n, number(p, -f->ln2l), r);
    int q = polynomial(p, r, f->e, f->n[0]);
    q = ng_put_fma(p, q, ng_put2(p, NG_MUL, r, r), r);
    return (parts){q, t};
}

static int plus_one(ng_program *p, int q) { return ng_put2(p, NG_ADD, q, number(p, 1)); }

/* t's low bits as an exponent. */
static int exponent(ng_program *p, int t) { return ng_put_k(p, NG_SHL, t, table_of(p)->bits); }

/* The biased exponent of 1. */
static int bias_of(const ng_program *p) { return p->compute == NORMGEN_F64 ? 1023 : 127; }

int ng_put_exp(ng_program *p, int x) {
    const function_table *f = table_of(p);
    parts e = parts_of_exp(p, x, 0);
    int y = ng_put2(p, NG_IADD, exponent(p, e.t), plus_one(p, e.q));
    int over = ng_put2(p, NG_ADD, x, bits(p, f->infinity));
    y = ng_put4(p, NG_SELLT, x, number(p, f->high), y, over);
    return ng_put4(p, NG_SELLT, x, number(p, f->low), number(p, 0), y);
}

/* Below, 1 + exp(x) and 1 - exp(x) are the same bits as with ng_put_exp and an addition, from fewer
 * operations: q * 2^n is exact, so that fma(q, 2^n, 1) rounds once as the addition does, and a NaN
 * goes through it. The exponent's bias comes with the constant that rounds to an integer (no
 * product with log2(e) in range lies in the middle of two), so that shifting makes the power of it.
 * FAR from 0, exp(-x) and 1/exp(x) are less than a quarter of 1's last place for both compute
 * types, so where exactly an argument stops there does not matter. */
#define FAR 64

int ng_put_one_plus_exp_neg(ng_program *p, int x) {
    /* From HIGH on exp is Inf: at HIGH itself q >= 0 and n is the first that is too large, so the
     * product of 2(q + 1) and 2^(n-1) overflows. Twice a rounded sum is the rounded sum of twice
     * its terms. */
    int within = at_least(p, at_most(p, x, FAR), -table_of(p)->high), two = number(p, 2);
    parts e = parts_of_exp(p, ng_put1(p, NG_NEG, within), bias_of(p) - 1);
    return ng_put_fma(p, ng_put_fma(p, e.q, two, two), exponent(p, e.t), number(p, 1));
}

int ng_put_tanh(ng_program *p, int x) {
    const function_table *f = table_of(p);
    int a = ng_put1(p, NG_ABS, x), one = number(p, 1);
    parts e = parts_of_exp(p, at_most(p, ng_put2(p, NG_ADD, a, a), FAR), bias_of(p));
    int divisor = ng_put_fma(p, plus_one(p, e.q), exponent(p, e.t), one);
    int big = ng_put2(p, NG_SUB, one, ng_put2(p, NG_DIV, number(p, 2), divisor));
    int s = ng_put2(p, NG_MUL, x, x);
    int small = ng_put2(p, NG_MUL, polynomial(p, s, f->t, f->n[1]), s);
    small = ng_put_fma(p, small, x, x);
    return ng_put4(p, NG_SELLT, a, number(p, f->tanh_small), small, with_sign_of(p, x, big));
}

int ng_put_erf(ng_program *p, int x) {
    const function_table *f = table_of(p);
    int a = ng_put1(p, NG_ABS, x), one = number(p, 1), c = at_most(p, a, f->erf_high);
    /* Never far below 0: c is at most H. */
    parts e = parts_of_exp(p, ng_put1(p, NG_NEG, polynomial(p, c, f->r, f->n[3])), bias_of(p));
    int big = ng_put_fma(p, ng_put1(p, NG_NEG, plus_one(p, e.q)), exponent(p, e.t), one);
    int small = polynomial(p, ng_put2(p, NG_MUL, x, x), f->q, f->n[2]);
    small = ng_put_fma(p, small, x, x);
    return ng_put4(p, NG_SELLT, a, one, small, with_sign_of(p, x, big));
}
