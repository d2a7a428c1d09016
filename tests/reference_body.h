/* SPDX-License-Identifier: Apache-2.0 */
/* The naive norm for one compute type, REAL; included by reference.c for each. Whole rows at a
 * time, in the order of the formulas. PLAIN: textbook sums and libm in f64, to compare with bounds
 * instead of bits. */

static REAL NAME(fused)(const naive *n, REAL a, REAL b, REAL c) {
    volatile REAL product = a * b;
    return n->wrong == MUTATION_no_fma ? product + c : FMA(a, b, c);
}
static REAL NAME(quotient)(const naive *n, REAL a, REAL b) {
    return n->wrong == MUTATION_arcp ? a * (1 / b) : a / b;
}
static REAL NAME(to)(const naive *n, int type, REAL v) {
    return (REAL)naive_round(type, (double)v, n->wrong);
}

/* ---- sums: docs/numerics.md, rules 3 and 4, as recursions ---- */

/* a summed, or with b the products of a and b. */
typedef struct NAME(terms) {
    const naive *n;
    const REAL *a, *b;
    size_t count, lanes, segment;
} NAME(terms);

static REAL NAME(lane_of_segment)(const NAME(terms) * t, size_t segment, size_t lane) {
    REAL sum = 0;
    size_t from = segment * t->segment, to = from + t->segment;
    for (size_t i = from + lane; i < to && i < t->count; i += t->lanes)
        sum = t->b ? NAME(fused)(t->n, t->a[i], t->b[i], sum) : sum + t->a[i];
    return sum;
}

/* Of `count` segments the largest power of two that leaves some goes to the left. */
static REAL NAME(lane_of)(const NAME(terms) * t, size_t first, size_t count, size_t lane) {
    if (count == 1) return NAME(lane_of_segment)(t, first, lane);
    size_t left = 1;
    while (2 * left < count) left *= 2;
    return NAME(lane_of)(t, first, left, lane) + NAME(lane_of)(t, first + left, count - left, lane);
}

/* What lane j holds when `width` lanes are left. */
static REAL NAME(folded)(const NAME(terms) * t, size_t j, size_t width) {
    size_t segments = (t->count + t->segment - 1) / t->segment;
    if (width == t->lanes) return NAME(lane_of)(t, 0, segments, j);
    return NAME(folded)(t, j, 2 * width) + NAME(folded)(t, j + width, 2 * width);
}

static REAL NAME(total)(const naive *n, const REAL *a, const REAL *b, size_t count) {
    size_t lanes = (size_t)n->spec->lanes;
    NAME(terms) t = {n, a, b, count, lanes, 1024};
    if (PLAIN) t.lanes = 1, t.segment = (size_t)1 << 30;
    if (n->wrong == MUTATION_tail_sum) t.count = padded(count);
    if (n->wrong == MUTATION_fold_width) t.lanes /= 2;
    if (n->wrong == MUTATION_segment) t.segment = 512;
    if (n->wrong == MUTATION_chain) t.segment = (size_t)1 << 30;
    if (n->wrong != MUTATION_reassoc) return NAME(folded)(&t, 0, 1);
    REAL sum = 0;
    for (size_t j = 0; j < lanes; j++) sum += NAME(folded)(&t, j, lanes);
    return sum;
}

/* The largest |a[i]|, or NaN. */
static REAL NAME(largest)(const REAL *a, size_t count) {
    REAL most = 0;
    bool nan = false;
    for (size_t i = 0; i < count; i++) {
        nan = nan || isnan(a[i]);
        if (fabs((double)a[i]) > (double)most) most = (REAL)fabs((double)a[i]);
    }
    return nan ? (REAL)NAN : most;
}

/* ---- one row ---- */

typedef struct NAME(work) {
    const naive *n;
    const normgen_bound_args *args;
    size_t row, hidden;
    REAL *array[ARRAYS];
    REAL eps, up, down, center, e, rstd, q, m2, alpha;
} NAME(work);

static REAL NAME(element)(const NAME(work) * w, ng_role role, int type, size_t i) {
    const char *row = ng_row_address(w->args, stream_of(w->n, role), w->row);
    return (REAL)naive_read(type, row + i * ng_types[type].bytes);
}

static REAL NAME(act)(const normgen_spec *s, REAL z) {
    REAL h = z * (REAL)0.5;
    switch (s->gate_act) {
    case NORMGEN_SILU: return z / (1 + NAME(naive_exp)(-z));
    case NORMGEN_SIGMOID: return 1 / (1 + NAME(naive_exp)(-z));
    case NORMGEN_GELU: return h * (1 + NAME(naive_erf)(z * (REAL)0.70710678118654752440));
    default: break;
    }
    REAL inner = FMA((REAL)0.044715, z * z * z, z);
    return h * (1 + NAME(naive_tanh)((REAL)0.79788456080286535588 * inner));
}

/* w + offset of a weight stream. */
static REAL NAME(factor)(const NAME(work) * w, ng_role role, int type, size_t i) {
    REAL v = NAME(element)(w, role, type, i);
    return w->n->spec->offset != 0 ? v + (REAL)w->n->spec->offset : v;
}

/* What comes before the residual, but for the sandwich. */
static REAL NAME(branch)(const NAME(work) * w, size_t i) {
    const normgen_spec *s = w->n->spec;
    REAL u = NAME(element)(w, NG_ROLE_x, s->x, i);
    if (s->x == NORMGEN_I8) u *= NAME(element)(w, NG_ROLE_x_scale, NORMGEN_F32, 0);
    if (s->xbias != NORMGEN_NONE) u += NAME(element)(w, NG_ROLE_xbias, s->xbias, i);
    if (s->multiplier != 1) u *= (REAL)s->multiplier;
    if (s->gate != NORMGEN_NONE && s->gate_at == NORMGEN_GATE_BEFORE)
        u *= NAME(act)(s, NAME(element)(w, NG_ROLE_gate, s->gate, i));
    if (s->xgate != NORMGEN_NONE) u *= NAME(element)(w, NG_ROLE_xgate, s->xgate, i);
    return u;
}

/* The branch's own norm, in place. */
static void NAME(sandwich)(const NAME(work) * w, REAL *u) {
    const normgen_spec *s = w->n->spec;
    REAL r = 1 / SQRT(NAME(total)(w->n, u, u, w->hidden) / (REAL)w->hidden + w->eps);
    for (size_t i = 0; i < w->hidden; i++) {
        REAL h = u[i] * r;
        if (s->rounding != NORMGEN_ROUNDING_F32) h = NAME(to)(w->n, s->x, h);
        u[i] = NAME(to)(w->n, s->x, h * NAME(factor)(w, NG_ROLE_post_weight, s->post_weight, i));
    }
}

static void NAME(read_input)(NAME(work) * w) {
    const normgen_spec *s = w->n->spec;
    REAL *u = w->array[A_v];
    for (size_t i = 0; i < w->hidden; i++) u[i] = NAME(branch)(w, i);
    if (s->post_weight != NORMGEN_NONE) NAME(sandwich)(w, u);
    for (size_t i = 0; i < w->hidden; i++) {
        REAL v = u[i];
        if (s->residual != NORMGEN_NONE) v += NAME(element)(w, NG_ROLE_residual, s->residual, i);
        REAL r = v;
        if (s->sum != NORMGEN_NONE && s->stat_of != NORMGEN_STAT_EXACT)
            r = NAME(to)(w->n, s->sum, v);
        w->array[A_v][i] = v;
        w->array[A_normalized][i] = r;
        w->array[A_measured][i] = s->stat_of == NORMGEN_STAT_SPLIT ? v : r;
    }
}

static void NAME(scale_input)(NAME(work) * w) {
    REAL most = NAME(largest)(w->array[A_measured], w->hidden);
    int k = isnan(most) || most == 0 || isinf(most) ? 0 : ilogb((double)most) - 40;
    if (k < 0) k = 0;
    w->down = (REAL)ldexp(1, -k);
    w->up = (REAL)ldexp(1, k);
    for (size_t i = 0; i < w->hidden; i++) {
        w->array[A_measured][i] *= w->down;
        w->array[A_normalized][i] *= w->down;
    }
    bool once = w->n->spec->kind == NORMGEN_L2 && w->n->spec->eps_mode == NORMGEN_EPS_MAX;
    w->eps = once ? w->eps * w->down : w->eps * w->down * w->down;
}

static REAL NAME(l2_rstd)(const NAME(work) * w) {
    if (w->n->spec->eps_mode == NORMGEN_EPS_ADD) return 1 / SQRT(w->q + w->eps);
    REAL root = SQRT(w->q);
    return 1 / (root < w->eps ? w->eps : root);
}

static void NAME(measure_layer)(NAME(work) * w, const REAL *v) {
    const naive *n = w->n;
    REAL *d = w->array[A_d], count = (REAL)w->hidden;
    w->center = v[0];
    if (n->spec->variance == NORMGEN_TWO_PASS)
        w->center = NAME(quotient)(n, NAME(total)(n, v, NULL, w->hidden), count);
    for (size_t i = 0; i < padded(w->hidden); i++) d[i] = v[i] - w->center;
    REAL t = NAME(total)(n, d, NULL, w->hidden);
    w->e = n->wrong == MUTATION_uncorrected ? 0 : NAME(quotient)(n, t, count);
    w->q = NAME(total)(n, d, d, w->hidden);
    w->m2 = NAME(fused)(n, -w->e, t, w->q);
    if (w->m2 < 0) w->m2 = 0;
    REAL variance = NAME(fused)(n, -w->e, w->e, NAME(quotient)(n, w->q, count));
    if (variance < 0) variance = 0;
    w->rstd = 1 / SQRT(variance + w->eps);
}

static void NAME(measure)(NAME(work) * w) {
    const naive *n = w->n;
    const normgen_spec *s = n->spec;
    REAL *v = w->array[A_measured];
    size_t first = s->stat_first ? (size_t)s->stat_first : w->hidden;
    if (s->kind == NORMGEN_DYT) {
        w->alpha = NAME(element)(w, NG_ROLE_alpha, NORMGEN_F32, 0);
    } else if (s->stats == NORMGEN_STATS_APPLY) {
        w->rstd = NAME(element)(w, NG_ROLE_rstd, s->compute, 0);
        if (s->kind == NORMGEN_LAYER) w->center = NAME(element)(w, NG_ROLE_mean, s->compute, 0);
    } else if (s->kind == NORMGEN_LAYER) {
        NAME(measure_layer)(w, v);
    } else {
        w->q = NAME(total)(n, v, v, first);
        REAL mean = NAME(quotient)(n, w->q, (REAL)first);
        w->rstd = s->kind == NORMGEN_L2 ? NAME(l2_rstd)(w) : 1 / SQRT(mean + w->eps);
    }
}

static REAL NAME(normalized)(const NAME(work) * w, size_t i) {
    const naive *n = w->n;
    const normgen_spec *s = n->spec;
    REAL v = w->array[A_normalized][i], y = v * w->rstd;
    if (s->kind == NORMGEN_DYT) y = NAME(naive_tanh)(w->alpha * v);
    if (s->kind == NORMGEN_LAYER) {
        REAL d = n->wrong == MUTATION_swap ? w->center - v : v - w->center;
        y = s->stats == NORMGEN_STATS_APPLY ? d * w->rstd
                                            : NAME(fused)(n, d, w->rstd, -(w->e * w->rstd));
    }
    return s->rounding == NORMGEN_ROUNDING_F32 ? y : NAME(to)(n, s->x, y);
}

/* Weight and bias of one of the two outputs. */
static REAL NAME(affine)(const NAME(work) * w, REAL y, size_t i, bool second) {
    const naive *n = w->n;
    const normgen_spec *s = n->spec;
    int wt = second ? s->weight2 : s->weight, bt = second ? s->bias2 : s->bias;
    REAL weight = 1, bias = 0;
    if (wt != NORMGEN_NONE)
        weight = NAME(factor)(w, second ? NG_ROLE_weight2 : NG_ROLE_weight, wt, i);
    if (bt != NORMGEN_NONE) bias = NAME(element)(w, second ? NG_ROLE_bias2 : NG_ROLE_bias, bt, i);
    if (wt == NORMGEN_NONE) return bt == NORMGEN_NONE ? y : y + bias;
    if (bt == NORMGEN_NONE) return y * weight;
    return n->wrong == MUTATION_swap ? NAME(fused)(n, y, bias, weight)
                                     : NAME(fused)(n, y, weight, bias);
}

/* y' of the first output, before it is rounded. */
static REAL NAME(output)(const NAME(work) * w, size_t i) {
    const normgen_spec *s = w->n->spec;
    REAL y = NAME(affine)(w, NAME(normalized)(w, i), i, false);
    if (s->rounding == NORMGEN_ROUNDING_GATED) y = NAME(to)(w->n, s->weight, y);
    if (s->modulate != NORMGEN_NONE)
        y = NAME(fused)(w->n, y, 1 + NAME(element)(w, NG_ROLE_mod_scale, s->modulate, i),
                        NAME(element)(w, NG_ROLE_mod_shift, s->modulate, i));
    if (s->gate != NORMGEN_NONE && s->gate_at == NORMGEN_GATE_AFTER)
        y *= NAME(act)(s, NAME(element)(w, NG_ROLE_gate, s->gate, i));
    return y;
}

static void NAME(rotate)(const NAME(work) * w, REAL *y) {
    const normgen_spec *s = w->n->spec;
    for (size_t j = 0; j < w->hidden / 2; j++) {
        bool half = s->rope == NORMGEN_ROPE_HALF;
        size_t a = half ? j : 2 * j, b = half ? j + w->hidden / 2 : 2 * j + 1;
        REAL c = NAME(element)(w, NG_ROLE_cos, s->rope_type, j);
        REAL t = NAME(element)(w, NG_ROLE_sin, s->rope_type, j), ya = y[a], yb = y[b];
        volatile REAL ac = ya * c, bt = yb * t, bc = yb * c, at = ya * t;
        y[a] = ac - bt;
        y[b] = bc + at;
    }
}

/* What y is made of. */
static void NAME(outputs)(const NAME(work) * w, REAL *y, REAL *y2) {
    const normgen_spec *s = w->n->spec;
    for (size_t i = 0; i < w->hidden; i++) {
        y[i] = NAME(output)(w, i);
        if ((s->rope || s->after != NORMGEN_NONE) && !is_code(s->y))
            y[i] = NAME(to)(w->n, s->y, y[i]);
    }
    if (s->rope) NAME(rotate)(w, y);
    for (size_t i = 0; i < w->hidden; i++) {
        if (s->after != NORMGEN_NONE) y[i] = NAME(element)(w, NG_ROLE_after, s->after, i) + y[i];
        bool own = s->weight2 != NORMGEN_NONE || s->bias2 != NORMGEN_NONE;
        y2[i] = own ? NAME(affine)(w, NAME(normalized)(w, i), i, true) : y[i];
    }
}

/* ---- storing ---- */

static void NAME(store)(const NAME(work) * w, ng_role role, int type, size_t i, REAL v) {
    char *row = ng_row_address(w->args, stream_of(w->n, role), w->row);
    naive_write(type, row + i * ng_types[type].bytes, (double)v, w->n->wrong);
}

/* One group of codes with a factor, and their scale. */
static void NAME(quantize)(const NAME(work) * w, const REAL *y, size_t at, size_t count, size_t k) {
    const normgen_spec *s = w->n->spec;
    REAL top = s->y == NORMGEN_I8 ? 127 : s->y == NORMGEN_E4M3 ? 448 : 57344;
    REAL a = NAME(largest)(y + at, count), f = a == 0 ? 0 : top / a;
    for (size_t i = at; i < at + count; i++) NAME(store)(w, NG_ROLE_y, s->y, i, y[i] * f);
    NAME(store)(w, NG_ROLE_y_scale, NORMGEN_F32, k, a / top);
}

static void NAME(quantize_u8)(const NAME(work) * w, const REAL *y) {
    REAL *high = w->array[A_spare], *low = w->array[A_d];
    for (size_t i = 0; i < w->hidden; i++) {
        high[i] = y[i] < 0 ? 0 : y[i];
        low[i] = y[i] > 0 ? 0 : y[i];
    }
    REAL hi = NAME(largest)(high, w->hidden), lo = -NAME(largest)(low, w->hidden);
    REAL scale = (hi - lo) / 255, zero = (REAL)rint((double)(-lo / scale));
    for (size_t i = 0; i < w->hidden; i++)
        NAME(store)(w, NG_ROLE_y, NORMGEN_U8, i, (REAL)rint((double)(y[i] / scale)) + zero);
    NAME(store)(w, NG_ROLE_y_scale, NORMGEN_F32, 0, scale);
    NAME(store)(w, NG_ROLE_y_zero, NORMGEN_U8, 0, zero);
}

/* ggml's blocks of 32. */
static void NAME(store_blocks)(const NAME(work) * w, const REAL *y) {
    bool sums = w->n->spec->y == NORMGEN_Q8_1;
    char *to = ng_row_address(w->args, stream_of(w->n, NG_ROLE_y), w->row);
    for (size_t at = 0; at < w->hidden; at += 32, to += sums ? 36 : 34) {
        REAL d = NAME(largest)(y + at, 32) / 127, id = d == 0 ? 0 : 1 / d;
        signed char *code = (signed char *)to + (sums ? 4 : 2);
        int total = 0;
        for (size_t i = 0; i < 32; i++) {
            volatile REAL product = y[at + i] * id;
            naive_write(NORMGEN_I8, &code[i], round((double)product), w->n->wrong);
            total += code[i];
        }
        naive_write(NORMGEN_F16, to, (double)d, w->n->wrong);
        if (sums) naive_write(NORMGEN_F16, to + 2, (double)((REAL)total * d), w->n->wrong);
    }
}

static void NAME(store_y)(const NAME(work) * w, const REAL *y) {
    const normgen_spec *s = w->n->spec;
    size_t group = s->quant == NORMGEN_QUANT_ROW ? w->hidden : (size_t)4 << s->quant;
    if (s->y == NORMGEN_Q8_0 || s->y == NORMGEN_Q8_1) {
        NAME(store_blocks)(w, y);
    } else if (s->quant == NORMGEN_QUANT_STATIC) {
        REAL inverse = 1 / NAME(element)(w, NG_ROLE_y_scale, NORMGEN_F32, 0);
        for (size_t i = 0; i < w->hidden; i++) NAME(store)(w, NG_ROLE_y, s->y, i, y[i] * inverse);
    } else if (s->quant == NORMGEN_QUANT_NONE) {
        for (size_t i = 0; i < w->hidden; i++) NAME(store)(w, NG_ROLE_y, s->y, i, y[i]);
    } else if (s->y == NORMGEN_U8) {
        NAME(quantize_u8)(w, y);
    } else {
        for (size_t at = 0; at < w->hidden; at += group)
            NAME(quantize)(w, y, at, group, at / group);
    }
}

static void NAME(store_partial)(const NAME(work) * w) {
    const normgen_spec *s = w->n->spec;
    if (s->kind == NORMGEN_LAYER) {
        NAME(store)(w, NG_ROLE_mean, s->compute, 0, w->center + w->e);
        NAME(store)(w, NG_ROLE_m2, s->compute, 0, w->m2);
    } else {
        NAME(store)(w, NG_ROLE_q, s->compute, 0, w->q);
    }
}

/* y may lie where x, residual, gate or none of them is: all of it is computed before. */
static void NAME(store_row)(const NAME(work) * w) {
    const normgen_spec *s = w->n->spec;
    bool apply = s->stats == NORMGEN_STATS_APPLY;
    if (s->stats == NORMGEN_STATS_PARTIAL) {
        NAME(store_partial)(w);
        return;
    }
    NAME(outputs)(w, w->array[A_y], w->array[A_y2]);
    NAME(store_y)(w, w->array[A_y]);
    for (size_t i = 0; i < w->hidden; i++) {
        if (s->sum != NORMGEN_NONE) NAME(store)(w, NG_ROLE_sum, s->sum, i, w->array[A_v][i]);
        if (s->y2 != NORMGEN_NONE) NAME(store)(w, NG_ROLE_y2, s->y2, i, w->array[A_y2][i]);
    }
    for (size_t i = w->hidden; w->n->wrong == MUTATION_tail_store && i < padded(w->hidden); i++)
        NAME(store)(w, NG_ROLE_y, s->y, i, 0);
    REAL mean = s->range == NORMGEN_RANGE_SCALED ? (w->center + w->e) * w->up : w->center + w->e;
    if (s->mean && !apply) NAME(store)(w, NG_ROLE_mean, s->compute, 0, mean);
    if (s->rstd && !apply)
        NAME(store)(w, NG_ROLE_rstd, s->compute, 0,
                    s->range == NORMGEN_RANGE_SCALED ? w->rstd * w->down : w->rstd);
}

static void NAME(run_row)(const naive *n, const normgen_bound_args *args, size_t row) {
    NAME(work) w = {.n = n, .args = args, .row = row};
    w.hidden = (size_t)(n->spec->hidden / n->spec->groups);
    size_t room = padded(w.hidden);
    REAL *memory = calloc(ARRAYS * room, sizeof *memory);
    if (!memory) abort();
    for (size_t a = 0; a < ARRAYS; a++) w.array[a] = memory + a * room;
    w.eps = (REAL)n->spec->eps;
    w.up = w.down = 1;
    if (n->wrong == MUTATION_neighbour && row > 0) w.row--;
    NAME(read_input)(&w);
    if (n->spec->range == NORMGEN_RANGE_SCALED) NAME(scale_input)(&w);
    NAME(measure)(&w);
    if (w.row != row) {
        w.row = row;
        NAME(read_input)(&w);
    }
    NAME(store_row)(&w);
    free(memory);
}
