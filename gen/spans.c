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
        for (int k = 0; k < each && op->code == NG_GAMAX; k++)
            part[k] = ng_intrinsic(&l->g, "llvm.fabs", &l->t_vec, 1, &part[k], 1);
        for (int half = each / 2; half; half /= 2)
            for (int k = 0; k < half; k++)
                part[k] = ng_combine(l, op->code, part[k], part[k + half]);
        fold[i] = part[0];
    }
    return ng_subvector(&l->g, ng_fold(l, op->code, fold, n), 0, group_lanes(e, op->group));
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

/* One value of each group to all its elements. */
static void spread(ng_values *e, ng_v v, int group, ng_v *out) {
    ng_lower *l = e->l;
    int each = group / l->vector;
    for (int k = 0; k < e->slice.vectors; k++)
        out[k] = k % each ? out[k - 1]
                          : ng_broadcast(&l->g, v, (unsigned)(k / each), (unsigned)l->vector);
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
