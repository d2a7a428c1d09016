/* SPDX-License-Identifier: Apache-2.0 */
/* The naive norm for one compute type, REAL; included by reference.c for each. Whole rows at a
 * time, in the order of the formulas. */

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

static REAL NAME(total)(const naive *n, const REAL *a, const REAL *b) {
    size_t count = (size_t)n->spec->hidden, lanes = (size_t)n->spec->lanes;
    NAME(terms) t = {n, a, b, count, lanes, 1024};
    if (n->wrong == MUTATION_tail_sum) t.count = padded(count);
    if (n->wrong == MUTATION_fold_width) t.lanes /= 2;
    if (n->wrong == MUTATION_segment) t.segment = 512;
    if (n->wrong == MUTATION_chain) t.segment = (size_t)1 << 30;
    if (n->wrong != MUTATION_reassoc) return NAME(folded)(&t, 0, 1);
    REAL sum = 0;
    for (size_t j = 0; j < lanes; j++) sum += NAME(folded)(&t, j, lanes);
    return sum;
}

/* ---- one row ---- */

typedef struct NAME(work) {
    const naive *n;
    const normgen_bound_args *args;
    size_t row, hidden;
    REAL *array[ARRAYS];
    REAL eps, up, down, center, e, rstd;
} NAME(work);

static REAL NAME(element)(const NAME(work) * w, ng_role role, int type, size_t i) {
    const char *row = ng_row_address(w->args, stream_of(w->n, role), w->row);
    return (REAL)naive_read(type, row + i * ng_types[type].bytes);
}

static void NAME(read_input)(NAME(work) * w) {
    const normgen_spec *s = w->n->spec;
    for (size_t i = 0; i < w->hidden; i++) {
        REAL v = NAME(element)(w, NG_ROLE_x, s->x, i);
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
    REAL most = 0;
    bool nan = false;
    for (size_t i = 0; i < w->hidden; i++) {
        REAL a = w->array[A_measured][i];
        nan = nan || isnan(a);
        if (fabs((double)a) > (double)most) most = (REAL)fabs((double)a);
    }
    int k = nan || most == 0 || isinf(most) ? 0 : ilogb((double)most) - 40;
    if (k < 0) k = 0;
    w->down = (REAL)ldexp(1, -k);
    w->up = (REAL)ldexp(1, k);
    for (size_t i = 0; i < w->hidden; i++) {
        w->array[A_measured][i] *= w->down;
        w->array[A_normalized][i] *= w->down;
    }
    w->eps = w->eps * w->down * w->down;
}

static void NAME(measure)(NAME(work) * w) {
    const naive *n = w->n;
    const normgen_spec *s = n->spec;
    REAL *v = w->array[A_measured], *d = w->array[A_d];
    REAL count = (REAL)w->hidden, variance;
    if (s->kind == NORMGEN_RMS) {
        variance = NAME(quotient)(n, NAME(total)(n, v, v), count);
    } else {
        w->center = v[0];
        if (s->variance == NORMGEN_TWO_PASS)
            w->center = NAME(quotient)(n, NAME(total)(n, v, NULL), count);
        for (size_t i = 0; i < padded(w->hidden); i++) d[i] = v[i] - w->center;
        w->e = n->wrong == MUTATION_uncorrected ? 0
                                                : NAME(quotient)(n, NAME(total)(n, d, NULL), count);
        REAL q = NAME(quotient)(n, NAME(total)(n, d, d), count);
        variance = NAME(fused)(n, -w->e, w->e, q);
        if (variance < 0) variance = 0;
    }
    w->rstd = 1 / SQRT(variance + w->eps);
}

static REAL NAME(output)(const NAME(work) * w, size_t i) {
    const naive *n = w->n;
    const normgen_spec *s = n->spec;
    REAL v = w->array[A_normalized][i], y = v * w->rstd;
    if (s->kind == NORMGEN_LAYER) {
        REAL d = n->wrong == MUTATION_swap ? w->center - v : v - w->center;
        y = NAME(fused)(n, d, w->rstd, -(w->e * w->rstd));
    }
    if (s->rounding == NORMGEN_ROUNDING_LLAMA) y = NAME(to)(n, s->x, y);
    REAL weight = 1, bias = 0;
    if (s->weight != NORMGEN_NONE) weight = NAME(element)(w, NG_ROLE_weight, s->weight, i);
    if (s->weight != NORMGEN_NONE && s->offset != 0) weight += (REAL)s->offset;
    if (s->bias != NORMGEN_NONE) bias = NAME(element)(w, NG_ROLE_bias, s->bias, i);
    if (s->weight == NORMGEN_NONE) return s->bias == NORMGEN_NONE ? y : y + bias;
    if (s->bias == NORMGEN_NONE) return y * weight;
    return n->wrong == MUTATION_swap ? NAME(fused)(n, y, bias, weight)
                                     : NAME(fused)(n, y, weight, bias);
}

static void NAME(store)(const NAME(work) * w, ng_role role, int type, size_t i, REAL v) {
    char *row = ng_row_address(w->args, stream_of(w->n, role), w->row);
    naive_write(type, row + i * ng_types[type].bytes, (double)v, w->n->wrong);
}

static void NAME(store_row)(const NAME(work) * w) {
    const normgen_spec *s = w->n->spec;
    size_t last = w->hidden;
    for (size_t i = 0; i < last; i++) { /* y may lie where x, residual or neither is */
        w->array[A_d][i] = NAME(output)(w, i);
    }
    for (size_t i = 0; i < last; i++) {
        NAME(store)(w, NG_ROLE_y, s->y, i, w->array[A_d][i]);
        if (s->sum == NORMGEN_NONE) continue;
        REAL *sum = w->array[A_v];
        NAME(store)(w, NG_ROLE_sum, s->sum, i, sum[i]);
    }
    for (size_t i = last; w->n->wrong == MUTATION_tail_store && i < padded(last); i++)
        NAME(store)(w, NG_ROLE_y, s->y, i, 0);
    REAL mean = s->range == NORMGEN_RANGE_SCALED ? (w->center + w->e) * w->up : w->center + w->e;
    if (s->mean) NAME(store)(w, NG_ROLE_mean, s->compute, 0, mean);
    if (s->rstd)
        NAME(store)(w, NG_ROLE_rstd, s->compute, 0,
                    s->range == NORMGEN_RANGE_SCALED ? w->rstd * w->down : w->rstd);
}

static void NAME(run_row)(const naive *n, const normgen_bound_args *args, size_t row) {
    NAME(work) w = {.n = n, .args = args, .row = row, .hidden = (size_t)n->spec->hidden};
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
