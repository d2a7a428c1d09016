/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that look at other elements of the slice, which has whole spans: maxima and sums of
 * groups, partners of a rotation, views of a stream. Whatever follows from one value of a group and
 * from scalars has one value for the group, too: it is computed once, in vectors with one element
 * for each group of the slice, and spread where it meets single elements. */
#include "lower.h"

#include <string.h>

int64_t ng_slice_elements(const ng_lower *l, const ng_slice *s) {
    return (int64_t)s->vectors * l->vector - (s->partial ? l->vector - s->partial : 0);
}

static bool folds_group(const ng_op *op) { return op->code == NG_GAMAX || op->code == NG_GSUM; }

/* ---- values of groups ---- */

void ng_groups_find(ng_lower *l) {
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        int group = folds_group(op) ? op->group : 0;
        bool single = op->code == NG_LOAD || op->code == NG_PARTNER || op->code == NG_NEGFIRST;
        for (int j = 0; j < ng_op_operands(op) && !folds_group(op); j++) {
            int other = l->group[op->a[j]];
            if (l->p->op[op->a[j]].scalar) continue;
            single = single || (group && other != group);
            group = other;
        }
        single = single || group == 0 || ng_kept_as(l, i) >= 0; /* kept ones are kept as elements */
        l->group[i] = (uint8_t)(single ? 1 : group);
    }
}

/* Elements of the vectors that hold one value for each group: a power of two, and never so few that
 * a target has no vectors of them. */
static unsigned group_lanes(const ng_values *e, int64_t per) {
    unsigned n = 4;
    while (n < ng_slice_elements(e->l, &e->slice) / per) n *= 2;
    return n;
}

/* Pieces of two vectors in turns, within each 128 bits: of their lower halves, or the upper ones.
 */
static ng_v in_turns(const ng_lower *l, ng_v v_a, ng_v v_b, int each, bool upper) {
    int mask[MAX_VECTOR], lane = 16 / l->real_bytes, n = 0;
    for (int from = upper ? lane / 2 : 0; n < l->vector; from += lane)
        for (int i = 0; i < lane / 2; i += each) {
            for (int k = 0; k < each; k++) mask[n++] = from + i + k;
            for (int k = 0; k < each; k++) mask[n++] = l->vector + from + i + k;
        }
    return ng_shuffle(&l->g, v_a, v_b, mask, (unsigned)l->vector);
}

/* Of a vector whose every `have` elements are of as many groups, each group's maximum, in all
 * elements of 128 bits. */
static ng_v maxima_of_one(ng_lower *l, ng_v v, int have) {
    int mask[MAX_VECTOR];
    unsigned lane = 16u / (unsigned)l->real_bytes;
    for (unsigned n = (unsigned)l->vector / 2; n >= lane; n /= 2)
        v = ng_combine(l, NG_GAMAX, ng_subvector(&l->g, v, 0, n), ng_subvector(&l->g, v, n, n));
    for (int far = (int)lane / 2; far >= have; far /= 2) {
        for (int i = 0; i < (int)lane; i++) mask[i] = i ^ far;
        ng_v v_far = ng_shuffle(&l->g, v, LLVMGetPoison(LLVMTypeOf(v)), mask, lane);
        v = ng_combine(l, NG_GAMAX, v, v_far);
    }
    return v;
}

/* The maximum of each of n vectors, in order; there may be more elements behind them. In whatever
 * order they are found, so by the cheapest shuffles, and never outside of vectors. */
static ng_v fold_maxima(ng_lower *l, ng_v *v, int n) {
    int have = 1, lane = 16 / l->real_bytes;
    for (; n > 1 && have < lane; n /= 2, have *= 2)
        for (int i = 0; i < n / 2; i++)
            v[i] = ng_combine(l, NG_GAMAX, in_turns(l, v[2 * i], v[2 * i + 1], have, false),
                              in_turns(l, v[2 * i], v[2 * i + 1], have, true));
    for (int i = 0; i < n; i++) v[i] = maxima_of_one(l, v[i], have);
    return ng_concat_all(&l->g, v, (unsigned)n);
}

static ng_v fold_groups(ng_values *e, const ng_op *op, int row) {
    ng_lower *l = e->l;
    const ng_v *v = ng_value(e, op->a[0], row);
    ng_v fold[MAX_SLICE];
    int each = op->group / l->vector, groups = e->slice.vectors / each, n = 1;
    while (n < groups) n *= 2;
    for (int i = 0; i < n; i++) {
        ng_v part[MAX_SLICE];
        if (i >= groups) fold[i] = fold[groups - 1]; /* any value will do */
        if (i >= groups) continue;
        memcpy(part, v + i * each, (size_t)each * sizeof *part);
        bool hasty = e->haste && op->code == NG_GAMAX && each > 1;
        int left = hasty ? each / 2 : each;
        for (int k = 0; hasty && k < left; k++)
            part[k] = ng_larger_magnitude(l, part[k], part[k + left]);
        for (int k = 0; !hasty && k < each && op->code == NG_GAMAX; k++)
            part[k] = ng_intrinsic(&l->g, "llvm.fabs", &l->t_vec, 1, &part[k], 1);
        for (int half = left / 2; half; half /= 2)
            for (int k = 0; k < half; k++)
                part[k] = ng_combine(l, op->code, part[k], part[k + half]);
        fold[i] = part[0];
    }
    ng_v v_all = op->code == NG_GAMAX ? fold_maxima(l, fold, n) : ng_fold(l, op->code, fold, n);
    return ng_subvector(&l->g, v_all, 0, group_lanes(e, op->group));
}

/* One element for each group, of an operation whose value groups share. */
static ng_v group_value(ng_values *e, int i, int row) {
    ng_lower *l = e->l;
    const ng_op *op = &l->p->op[i];
    int at = ng_row_of(l, i, row);
    if (e->group[i][at]) return e->group[i][at];
    if (folds_group(op)) return e->group[i][at] = fold_groups(e, op, row);
    unsigned n = group_lanes(e, l->group[i]);
    ng_v a[4];
    for (int j = 0; j < ng_op_operands(op); j++)
        a[j] = l->p->op[op->a[j]].scalar
                   ? ng_broadcast(&l->g, e->work->rows->splat[op->a[j]][row], 0, n)
                   : group_value(e, op->a[j], row);
    return e->group[i][at] = ng_arithmetic(l, op, LLVMVectorType(l->t_real, n), a);
}

ng_v ng_group_values(ng_values *e, int i, int row, int64_t per) {
    ng_lower *l = e->l;
    const ng_build *g = &l->g;
    if (l->group[i] == per) return group_value(e, i, row);
    unsigned n = group_lanes(e, per);
    const ng_v *v = ng_value(e, i, row);
    ng_v v_all = LLVMConstNull(LLVMVectorType(l->t_real, n));
    for (int64_t at = 0; at < ng_slice_elements(l, &e->slice); at += per) {
        ng_v v_one = LLVMBuildExtractElement(g->b, v[at / l->vector],
                                             ng_i32(g, (int32_t)(at % l->vector)), "");
        v_all = LLVMBuildInsertElement(g->b, v_all, v_one, ng_i32(g, (int32_t)(at / per)), "");
    }
    return v_all;
}

/* One value of each group to all its elements. Where there are several groups they come by way of
 * memory, from where a load spreads an element for nothing. */
static void spread(ng_values *e, ng_v v, int group, ng_v *out) {
    ng_lower *l = e->l;
    const ng_build *g = &l->g;
    unsigned each = (unsigned)(group / l->vector), n = (unsigned)l->vector;
    bool loads = l->spread && (unsigned)e->slice.vectors > each;
    if (loads) ng_store(g, v, l->spread, (unsigned)l->real_bytes);
    ng_v v_from = loads ? ng_opaque(g, l->spread) : NULL;
    for (unsigned k = 0; k < (unsigned)e->slice.vectors; k++) {
        if (k % each) {
            out[k] = out[k - 1];
        } else if (!loads) {
            out[k] = ng_broadcast(g, v, k / each, n);
        } else {
            ng_v v_at = ng_offset(g, v_from, ng_i64(g, k / each * (unsigned)l->real_bytes));
            v_at = ng_load(g, LLVMVectorType(l->t_real, 1), v_at, (unsigned)l->real_bytes);
            out[k] = ng_broadcast(g, v_at, 0, n);
        }
    }
}

bool ng_has_groups(const ng_lower *l) {
    for (int i = 0; i < l->p->ops; i++)
        if (l->group[i] > 1) return true;
    return false;
}

static bool is_group_value(const ng_lower *l, int i, int pass) {
    return l->p->op[i].code != NG_STORE && l->group[i] > 1 && l->passes[i] >> pass & 1;
}

bool ng_waits_for_groups(const ng_lower *l, const ng_work *work) {
    for (int i = 0; i < l->p->ops && !l->limit && work->pass != NG_SHARED_PASS; i++)
        if (is_group_value(l, i, work->pass)) return true;
    return false;
}

void ng_evaluate_groups(ng_values *e, int row) {
    for (int i = 0; i < e->l->p->ops; i++)
        if (is_group_value(e->l, i, e->work->pass)) group_value(e, i, row);
}

/* ---- other elements of the row ---- */

/* Element j of the slice is element from[j] of v; any, where that is negative. */
static void permute(ng_values *e, const ng_v *v, const int *from, ng_v *out) {
    const ng_lower *l = e->l;
    int n = l->vector, mask[MAX_VECTOR];
    for (int k = 0; k < e->slice.vectors; k++, from += n) {
        bool done[MAX_VECTOR] = {false};
        out[k] = LLVMGetPoison(l->t_vec);
        for (int i = 0; i < n; i++) { /* one shuffle for each vector that elements come from */
            if (from[i] < 0 || done[i]) continue;
            int source = from[i] / n;
            for (int j = 0; j < n; j++) {
                bool here = from[j] >= 0 && from[j] / n == source;
                mask[j] = here ? n + from[j] % n : done[j] ? j : -1;
                done[j] = done[j] || here;
            }
            out[k] = ng_shuffle(&l->g, out[k], v[source], mask, (unsigned)n);
        }
    }
}

/* Whether element j of the slice is the first of its pair. A slice with pairs of halves is the row.
 */
static bool is_first(const ng_lower *l, int pairing, int64_t j) {
    return pairing == NG_HALVES ? j < l->p->hidden / 2 : j % 2 == 0;
}

static int partner_of(const ng_lower *l, int pairing, int64_t j) {
    int64_t step = pairing == NG_HALVES ? l->p->hidden / 2 : 1;
    return (int)(is_first(l, pairing, j) ? j + step : j - step);
}

static void partners(ng_values *e, const ng_op *op, int row, ng_v *out) {
    int from[MAX_SLICE_ELEMENTS], n = e->slice.vectors * e->l->vector;
    for (int j = 0; j < n; j++)
        from[j] = j < ng_slice_elements(e->l, &e->slice) ? partner_of(e->l, op->pairing, j) : -1;
    permute(e, ng_value(e, op->a[0], row), from, out);
}

/* The sign bits that a vector's first elements of pairs change, as a vector; NULL if it has none.
 */
static ng_v signs_of_firsts(const ng_lower *l, int pairing, int64_t at) {
    ng_v signs[MAX_VECTOR];
    uint64_t sign = (uint64_t)1 << (8 * l->real_bytes - 1);
    int firsts = 0;
    for (int i = 0; i < l->vector; i++) {
        bool first = is_first(l, pairing, at + i);
        signs[i] = LLVMConstInt(l->t_int, first ? sign : 0, false);
        firsts += first;
    }
    return firsts ? LLVMConstVector(signs, (unsigned)l->vector) : NULL;
}

/* The first of a pair changes its sign bit. Where all of a vector do, adding it is subtracting. */
static void negate_first(ng_values *e, const ng_op *op, int row, ng_v *out) {
    const ng_lower *l = e->l;
    const ng_v *v = ng_value(e, op->a[0], row);
    ng_t t_bits = LLVMVectorType(l->t_int, (unsigned)l->vector);
    for (int k = 0; k < e->slice.vectors; k++) {
        int64_t at = (int64_t)k * l->vector;
        ng_v v_signs = signs_of_firsts(l, op->pairing, at);
        bool all = op->pairing == NG_HALVES && at + l->vector <= l->p->hidden / 2;
        out[k] = v[k];
        if (all) out[k] = LLVMBuildFNeg(l->g.b, v[k], "");
        if (all || !v_signs) continue;
        ng_v v_bits = LLVMBuildXor(l->g.b, ng_bitcast(&l->g, v[k], t_bits), v_signs, "");
        out[k] = ng_bitcast(&l->g, v_bits, l->t_vec);
    }
}

/* Both elements of a pair read the same entry: half as many as the slice has elements. */
static void load_view(ng_values *e, const ng_op *op, int row, ng_v *out) {
    ng_lower *l = e->l;
    int64_t entries = ng_slice_elements(l, &e->slice) / 2;
    ng_slice half = {.v_at = LLVMBuildUDiv(l->g.b, e->slice.v_at, ng_i64(&l->g, 2), ""),
                     .vectors = (int)((entries + l->vector - 1) / l->vector),
                     .partial = (int)(entries % l->vector)};
    int from[MAX_SLICE_ELEMENTS], n = e->slice.vectors * l->vector;
    ng_v v[MAX_SLICE];
    ng_load_slice(e, op->stream, row, &half, v);
    for (int64_t j = 0; j < n; j++)
        from[j] = j >= 2 * entries ? -1 : (int)(op->pairing == NG_HALVES ? j % entries : j / 2);
    permute(e, v, from, out);
}

bool ng_spans(const ng_lower *l, int i) {
    return l->group[i] > 1 || folds_group(&l->p->op[i]) || l->p->op[i].pairing != NG_PLAIN;
}

void ng_span_value(ng_values *e, int i, int row, ng_v *out) {
    const ng_op *op = &e->l->p->op[i];
    if (e->l->group[i] > 1)
        spread(e, group_value(e, i, row), e->l->group[i], out);
    else if (folds_group(op))
        spread(e, fold_groups(e, op, row), op->group, out);
    else if (op->code == NG_PARTNER)
        partners(e, op, row, out);
    else if (op->code == NG_NEGFIRST)
        negate_first(e, op, row, out);
    else
        load_view(e, op, row, out);
}
