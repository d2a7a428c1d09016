/* SPDX-License-Identifier: Apache-2.0 */
/* From spec to row program. A new fusion is written here and nowhere else. The formulas are those
 * of docs/numerics.md; the functions below keep their names. */
#include "ops.h"
#include "spec.h"
#include "types.h"

#include <string.h>

static int load(ng_program *p, ng_code code, ng_role role, int type) {
    return ng_put_memory(p, code, role, type, -1);
}
static bool is(int32_t type) { return type != NORMGEN_NONE; }

/* ---- gates ---- */

/* (z/2) * (1 + v) */
static int half_times_one_plus(ng_program *p, int z, int v) {
    int h = ng_put2(p, NG_MUL, z, ng_put_again(p, NG_CONST, 0.5));
    return ng_put2(p, NG_MUL, h, ng_put2(p, NG_ADD, ng_put_again(p, NG_CONST, 1), v));
}

static int silu(ng_program *p, int z) {
    return ng_put2(p, NG_DIV, z, ng_put_one_plus_exp_neg(p, z));
}

static int sigmoid(ng_program *p, int z) {
    return ng_put2(p, NG_DIV, ng_put_again(p, NG_CONST, 1), ng_put_one_plus_exp_neg(p, z));
}

static int gelu(ng_program *p, int z) {
    int c = ng_put_again(p, NG_CONST, 0x1.6a09e667f3bcdp-1); /* sqrt(1/2) */
    return half_times_one_plus(p, z, ng_put_erf(p, ng_put2(p, NG_MUL, z, c)));
}

static int gelu_tanh(ng_program *p, int z) {
    int s = ng_put2(p, NG_MUL, ng_put2(p, NG_MUL, z, z), z);
    int k = ng_put_again(p, NG_CONST, 0x1.9884533d43651p-1); /* sqrt(2/pi) */
    int inside = ng_put_fma(p, ng_put_again(p, NG_CONST, 0.044715), s, z);
    return half_times_one_plus(p, z, ng_put_tanh(p, ng_put2(p, NG_MUL, k, inside)));
}

static int gate(ng_program *p, const normgen_spec *s, ng_code code) {
    static int (*const act[])(ng_program *, int) = {
        [NORMGEN_SILU] = silu,
        [NORMGEN_SIGMOID] = sigmoid,
        [NORMGEN_GELU] = gelu,
        [NORMGEN_GELU_TANH] = gelu_tanh,
    };
    return act[s->gate_act](p, load(p, code, NG_ROLE_gate, s->gate));
}

/* ---- input ---- */

/* Weight (and offset) and bias. */
static int affine(ng_program *p, const normgen_spec *s, int xhat, ng_role weight, int weight_type,
                  ng_role bias, int bias_type) {
    int w = -1, b = -1;
    if (is(weight_type)) w = load(p, NG_LOAD, weight, weight_type);
    if (w >= 0 && s->offset != 0) w = ng_put2(p, NG_ADD, w, ng_put_const(p, s->offset));
    if (is(bias_type)) b = load(p, NG_LOAD, bias, bias_type);
    if (w >= 0) return b >= 0 ? ng_put_fma(p, xhat, w, b) : ng_put2(p, NG_MUL, xhat, w);
    return b >= 0 ? ng_put2(p, NG_ADD, xhat, b) : xhat;
}

static int rstd_of(ng_program *p, int variance, int eps) {
    return ng_put2(p, NG_DIV, ng_put_const(p, 1),
                   ng_put1(p, NG_SQRT, ng_put2(p, NG_ADD, variance, eps)));
}

static int rounded_xhat(ng_program *p, const normgen_spec *s, int xhat) {
    return s->rounding == NORMGEN_ROUNDING_F32 ? xhat : ng_put_round(p, s->x, xhat);
}

/* sandwich: the branch's own norm. */
static int post_norm(ng_program *p, const normgen_spec *s, int u) {
    int n = ng_put_const(p, (double)p->hidden), eps = ng_put_const(p, s->eps);
    int q = ng_put2(p, NG_DOT, u, u);
    int h = ng_put2(p, NG_MUL, u, rstd_of(p, ng_put2(p, NG_DIV, q, n), eps));
    h = affine(p, s, rounded_xhat(p, s, h), NG_ROLE_post_weight, s->post_weight, NG_ROLE_bias,
               NORMGEN_NONE);
    return ng_put_round(p, s->x, h);
}

/* The formulas' v: what is measured, what is normalized, and what is written as the sum. */
typedef struct input {
    int measured, normalized, sum;
} input;

/* u, before the residual. `code` is NG_LOAD for the row, NG_PEEK for its first element. */
static int branch(ng_program *p, const normgen_spec *s, ng_code code) {
    int u = load(p, code, NG_ROLE_x, s->x);
    if (s->x == NORMGEN_I8)
        u = ng_put2(p, NG_MUL, u, load(p, NG_PEEK, NG_ROLE_x_scale, NORMGEN_F32));
    if (is(s->xbias)) u = ng_put2(p, NG_ADD, u, load(p, code, NG_ROLE_xbias, s->xbias));
    if (s->multiplier != 1) u = ng_put2(p, NG_MUL, u, ng_put_const(p, s->multiplier));
    if (is(s->gate) && s->gate_at == NORMGEN_GATE_BEFORE)
        u = ng_put2(p, NG_MUL, u, gate(p, s, code));
    if (is(s->xgate)) u = ng_put2(p, NG_MUL, u, load(p, code, NG_ROLE_xgate, s->xgate));
    return is(s->post_weight) ? post_norm(p, s, u) : u;
}

static input load_input(ng_program *p, const normgen_spec *s, ng_code code) {
    int v = branch(p, s, code);
    if (is(s->residual)) v = ng_put2(p, NG_ADD, v, load(p, code, NG_ROLE_residual, s->residual));
    if (!is(s->sum) || s->stat_of == NORMGEN_STAT_EXACT) return (input){v, v, v};
    int r = ng_put_round(p, s->sum, v);
    return (input){s->stat_of == NORMGEN_STAT_SPLIT ? v : r, r, r};
}

/* range=scaled: 2^-k and 2^k with k = max(0, ilogb(max |v|) - 40), 0 when the maximum is 0, Inf or
 * NaN. */
typedef struct scaling {
    int down, up;
} scaling;

static scaling scale_of(ng_program *p, int v) {
    int mantissa = p->compute == NORMGEN_F64 ? 52 : 23,
        bias = p->compute == NORMGEN_F64 ? 1023 : 127;
    int zero = ng_put_k(p, NG_BITS, -1, 0), base = ng_put_k(p, NG_BITS, -1, bias);
    int exponent = ng_put_k(p, NG_SHR, ng_put1(p, NG_AMAX, v), mantissa);
    int over = ng_put2(p, NG_ISUB, exponent, ng_put_k(p, NG_BITS, -1, bias + 40));
    int positive = ng_put4(p, NG_ISELLT, over, zero, zero, over);
    int k = ng_put4(p, NG_ISELLT, ng_put_k(p, NG_BITS, -1, 2 * bias), exponent, zero, positive);
    return (scaling){ng_put_k(p, NG_SHL, ng_put2(p, NG_ISUB, base, k), mantissa),
                     ng_put_k(p, NG_SHL, ng_put2(p, NG_IADD, base, k), mantissa)};
}

/* ---- statistics and x-hat ---- */

#define PLAIN ((scaling){-1, -1})

/* x-hat and the statistics as they are saved, in the (scaled) units of the input; q and m2 are what
 * stats=partial writes. -1 where there is none. */
typedef struct normalized {
    int xhat, mean, rstd, q, m2;
    scaling scale; /* back to the units of the row; -1 where they are the same */
} normalized;

static normalized rms(ng_program *p, const normgen_spec *s, input v, int n, int eps) {
    int q = ng_put2(p, NG_DOT, v.measured, v.measured);
    p->op[q].first = (uint32_t)s->stat_first;
    if (s->stats == NORMGEN_STATS_PARTIAL) return (normalized){-1, -1, -1, q, -1, PLAIN};
    int r = rstd_of(p, ng_put2(p, NG_DIV, q, n), eps);
    return (normalized){ng_put2(p, NG_MUL, v.normalized, r), -1, r, q, -1, PLAIN};
}

static normalized l2(ng_program *p, const normgen_spec *s, input v, int eps) {
    int q = ng_put2(p, NG_DOT, v.measured, v.measured), r;
    if (s->stats == NORMGEN_STATS_PARTIAL) return (normalized){-1, -1, -1, q, -1, PLAIN};
    if (s->eps_mode == NORMGEN_EPS_MAX) {
        int root = ng_put1(p, NG_SQRT, q);
        r = ng_put2(p, NG_DIV, ng_put_const(p, 1), ng_put4(p, NG_SELLT, root, eps, eps, root));
    } else {
        r = rstd_of(p, q, eps);
    }
    return (normalized){ng_put2(p, NG_MUL, v.normalized, r), -1, r, q, -1, PLAIN};
}

/* Deviations from `center` (the mean, or the row's first element), corrected by their own mean e.
 */
static normalized layer(ng_program *p, const normgen_spec *s, input v, int center, int n, int eps) {
    int d = ng_put2(p, NG_SUB, v.measured, center);
    int q = ng_put2(p, NG_DOT, d, d), t = ng_put1(p, NG_SUM, d);
    int e = ng_put2(p, NG_DIV, t, n), zero = ng_put_const(p, 0);
    if (s->stats == NORMGEN_STATS_PARTIAL) {
        int m2 = ng_put_fma(p, ng_put1(p, NG_NEG, e), t, q);
        m2 = ng_put4(p, NG_SELLT, m2, zero, zero, m2);
        return (normalized){-1, ng_put2(p, NG_ADD, center, e), -1, -1, m2, PLAIN};
    }
    int var = ng_put_fma(p, ng_put1(p, NG_NEG, e), e, ng_put2(p, NG_DIV, q, n));
    int r = rstd_of(p, ng_put4(p, NG_SELLT, var, zero, zero, var), eps);
    int out = v.normalized == v.measured ? d : ng_put2(p, NG_SUB, v.normalized, center);
    int xhat = ng_put_fma(p, out, r, ng_put1(p, NG_NEG, ng_put2(p, NG_MUL, e, r)));
    return (normalized){xhat, ng_put2(p, NG_ADD, center, e), r, -1, -1, PLAIN};
}

static normalized dyt(ng_program *p, input v) {
    int alpha = load(p, NG_PEEK, NG_ROLE_alpha, NORMGEN_F32);
    int xhat = ng_put_tanh(p, ng_put2(p, NG_MUL, alpha, v.normalized));
    return (normalized){xhat, -1, -1, -1, -1, PLAIN};
}

/* stats=apply: the statistics are given. */
static normalized given(ng_program *p, const normgen_spec *s, input v) {
    int d = v.normalized;
    if (s->kind == NORMGEN_LAYER)
        d = ng_put2(p, NG_SUB, d, load(p, NG_PEEK, NG_ROLE_mean, s->compute));
    int r = load(p, NG_PEEK, NG_ROLE_rstd, s->compute);
    return (normalized){ng_put2(p, NG_MUL, d, r), -1, -1, -1, -1, PLAIN};
}

static normalized measured(ng_program *p, const normgen_spec *s, input v) {
    bool shifted = s->kind == NORMGEN_LAYER && s->variance == NORMGEN_SHIFTED;
    bool scaled = s->range == NORMGEN_RANGE_SCALED;
    input first = {-1, -1, -1};
    if (shifted) first = load_input(p, s, NG_PEEK);
    int64_t count = s->stat_first ? s->stat_first : p->hidden;
    int eps = ng_put_const(p, s->eps), n = ng_put_const(p, (double)count);
    scaling scale = PLAIN;
    if (scaled) {
        scale = scale_of(p, v.measured);
        bool same = v.normalized == v.measured;
        v.measured = ng_put2(p, NG_MUL, v.measured, scale.down);
        v.normalized = same ? v.measured : ng_put2(p, NG_MUL, v.normalized, scale.down);
        if (shifted) first.measured = ng_put2(p, NG_MUL, first.measured, scale.down);
        eps = ng_put2(p, NG_MUL, eps, scale.down);
        if (s->eps_mode == NORMGEN_EPS_ADD) eps = ng_put2(p, NG_MUL, eps, scale.down);
    }
    normalized norm;
    if (s->kind == NORMGEN_LAYER)
        norm =
            layer(p, s, v,
                  shifted ? first.measured : ng_put2(p, NG_DIV, ng_put1(p, NG_SUM, v.measured), n),
                  n, eps);
    else
        norm = s->kind == NORMGEN_RMS ? rms(p, s, v, n, eps) : l2(p, s, v, eps);
    norm.scale = scale;
    return norm;
}

/* ---- output ---- */

/* T_y(v): as the steps after the norm see it. Where y is a code there is no such type. */
static int as_output(ng_program *p, const normgen_spec *s, int v) {
    return ng_type_is_float(s->y) ? ng_put_round(p, s->y, v) : v;
}

/* out_a = y_a c - y_b s, out_b = y_b c + y_a s. */
static int rotated(ng_program *p, const normgen_spec *s, int y) {
    ng_pairing pairing = s->rope == NORMGEN_ROPE_HALF ? NG_HALVES : NG_NEIGHBOURS;
    int c = load(p, NG_LOAD, NG_ROLE_cos, s->rope_type);
    int d = load(p, NG_LOAD, NG_ROLE_sin, s->rope_type);
    p->op[c].pairing = p->op[d].pairing = (uint8_t)pairing;
    int turned = ng_put2(p, NG_MUL, ng_put_pair(p, NG_PARTNER, y, pairing), d);
    return ng_put2(p, NG_ADD, ng_put2(p, NG_MUL, y, c),
                   ng_put_pair(p, NG_NEGFIRST, turned, pairing));
}

/* From x-hat, rounded as `rounding` says, to what y is made of. */
static int result(ng_program *p, const normgen_spec *s, int xhat) {
    int y = affine(p, s, xhat, NG_ROLE_weight, s->weight, NG_ROLE_bias, s->bias);
    if (is(s->modulate)) {
        int scale = load(p, NG_LOAD, NG_ROLE_mod_scale, s->modulate);
        int shift = load(p, NG_LOAD, NG_ROLE_mod_shift, s->modulate);
        y = ng_put_fma(p, y, ng_put2(p, NG_ADD, ng_put_again(p, NG_CONST, 1), scale), shift);
    }
    if (s->rounding == NORMGEN_ROUNDING_GATED) y = ng_put_round(p, s->weight, y);
    if (is(s->gate) && s->gate_at == NORMGEN_GATE_AFTER)
        y = ng_put2(p, NG_MUL, y, gate(p, s, NG_LOAD));
    if (s->rope != NORMGEN_ROPE_NONE) y = rotated(p, s, as_output(p, s, y));
    if (is(s->after))
        y = ng_put2(p, NG_ADD, load(p, NG_LOAD, NG_ROLE_after, s->after), as_output(p, s, y));
    return y;
}

static void outputs(ng_program *p, const normgen_spec *s, int xhat, ng_stores *later) {
    xhat = rounded_xhat(p, s, xhat);
    int y = result(p, s, xhat), y2 = y;
    if (is(s->weight2))
        y2 = affine(p, s, xhat, NG_ROLE_weight2, s->weight2, NG_ROLE_bias2, s->bias2);
    if (ng_type_is_float(s->y))
        ng_store_later(later, NG_ROLE_y, s->y, y);
    else
        ng_put_codes(p, s, y, later);
    if (is(s->y2)) ng_store_later(later, NG_ROLE_y2, s->y2, y2);
}

/* ---- rows ---- */

/* What a role's rows and direction are in this spec, where they are not the table's. */
static void place_stream(const normgen_spec *s, ng_stream *t) {
    static const uint8_t rows[] = {NG_EACH, NG_OUTER, NG_INNER, NG_ONE};
    bool groups = s->groups > 1;
    switch ((ng_role)t->role) {
    case NG_ROLE_weight:
    case NG_ROLE_bias:
    case NG_ROLE_weight2:
    case NG_ROLE_bias2:
    case NG_ROLE_post_weight: t->rows = groups || s->heads > 1 ? NG_INNER : NG_ONE; break;
    case NG_ROLE_x_scale: t->rows = groups ? NG_OUTER : NG_EACH; break;
    case NG_ROLE_xbias: t->rows = groups ? NG_INNER : NG_ONE; break;
    case NG_ROLE_residual: t->rows = rows[s->residual_rows]; break;
    case NG_ROLE_mean:
    case NG_ROLE_rstd: t->out = s->stats != NORMGEN_STATS_APPLY; break;
    case NG_ROLE_y_scale:
        if (s->quant == NORMGEN_QUANT_STATIC) t->rows = NG_ONE, t->out = false;
        if (ng_spec_group(s)) t->width = NG_BLOCKS, t->block = (uint16_t)ng_spec_group(s);
        break;
    default: break;
    }
    /* the one row of all is cut into groups, too */
    if (groups && t->rows == NG_ONE && t->width == NG_HIDDEN) t->rows = NG_INNER;
}

void ng_program_build(ng_program *p, const normgen_spec *s) {
    ng_stores later = {0};
    memset(p, 0, sizeof *p);
    p->hidden = ng_spec_width(s);
    p->compute = s->compute;
    p->lanes = s->lanes;
    p->parts = (int)s->groups;
    p->inner = s->groups > 1 ? s->groups : s->heads > 1 ? s->heads : 0;
    input v = load_input(p, s, NG_LOAD);
    normalized norm = s->kind == NORMGEN_DYT            ? dyt(p, v)
                      : s->stats == NORMGEN_STATS_APPLY ? given(p, s, v)
                                                        : measured(p, s, v);
    bool partial = s->stats == NORMGEN_STATS_PARTIAL;
    if (!partial) outputs(p, s, norm.xhat, &later);
    bool scaled = norm.scale.up >= 0;
    if (scaled && s->mean) norm.mean = ng_put2(p, NG_MUL, norm.mean, norm.scale.up);
    if (scaled && s->rstd) norm.rstd = ng_put2(p, NG_MUL, norm.rstd, norm.scale.down);
    if (is(s->sum)) ng_store_later(&later, NG_ROLE_sum, s->sum, v.sum);
    if (s->mean || (partial && norm.mean >= 0))
        ng_store_later(&later, NG_ROLE_mean, s->compute, norm.mean);
    if (s->rstd) ng_store_later(&later, NG_ROLE_rstd, s->compute, norm.rstd);
    if (partial && norm.q >= 0) ng_store_later(&later, NG_ROLE_q, s->compute, norm.q);
    if (partial && norm.m2 >= 0) ng_store_later(&later, NG_ROLE_m2, s->compute, norm.m2);
    ng_put_stores(p, &later);
    for (int i = 0; i < p->streams; i++) place_stream(s, &p->stream[i]);
    ng_program_finish(p);
}
