/* SPDX-License-Identifier: Apache-2.0 */
/* exp, tanh and erf of docs/numerics.md, Functions, for one compute type; included by reference.c
 * before reference_body.h. WIDE: the constants of f64. */

#define PICK(single, wide) (WIDE ? (REAL)(wide) : (REAL)(single))

static REAL NAME(horner)(REAL s, const double *c, int n) {
    REAL p = (REAL)c[n - 1];
    for (int i = n - 2; i >= 0; i--) p = FMA(p, s, (REAL)c[i]);
    return p;
}
#define HORNER(s, single, wide)                                                                    \
    (WIDE ? NAME(horner)(s, wide, (int)(sizeof wide / sizeof wide[0]))                             \
          : NAME(horner)(s, single, (int)(sizeof single / sizeof single[0])))

/* p * 2^n by adding n to the exponent: exact, p and the result are normal. */
static REAL NAME(scaled_by)(REAL p, REAL n) {
    return (REAL)ldexp((double)p, n == n && fabs((double)n) < 2000 ? (int)n : 0);
}

REAL NAME(naive_exp)(REAL x) {
    REAL m = PICK(0x1.8p23, 0x1.8p52);
    REAL t = FMA(x, PICK(0x1.715476p+0, 0x1.71547652b82fep+0), m), n = t - m;
    REAL r = FMA(n, -PICK(0x1.62e43p-1, 0x1.62e42fefa39efp-1), x);
    r = FMA(n, -PICK(-0x1.05c61p-29, 0x1.abc9e3b39803fp-56), r);
    REAL p = FMA(HORNER(r, exp_single, exp_wide), r * r, r) + 1;
    if (x < PICK(-0x1.5d589ep+6, -0x1.6232bdd7abcd2p+9)) return 0;
    if (!(x < PICK(0x1.62e43p+6, 0x1.62e42fefa39fp+9))) return x + (REAL)INFINITY;
    return NAME(scaled_by)(p, n);
}

REAL NAME(naive_tanh)(REAL x) {
    REAL a = x < 0 ? -x : x, s = x * x;
    REAL big = 1 - 2 / (NAME(naive_exp)(a + a) + 1);
    if (a < PICK(0.55, 0.5)) return FMA(HORNER(s, tanh_single, tanh_wide) * s, x, x);
    return x < 0 ? -big : big;
}

REAL NAME(naive_erf)(REAL x) {
    REAL a = x < 0 ? -x : x, most = PICK(4, 6), c = most < a ? most : a;
    REAL big = 1 - NAME(naive_exp)(-HORNER(c, erfc_single, erfc_wide));
    if (a < 1) return FMA(HORNER(x * x, erf_single, erf_wide), x, x);
    return x < 0 ? -big : big;
}

#undef PICK
#undef HORNER
