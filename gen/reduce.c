/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions by docs/numerics.md rules 3 to 5: accumulators of `lanes` elements, a binary counter
 * over segments of 1024 elements, and the fold of the lanes in halves. The order of additions is
 * the rule's for every schedule. */
#include "lower.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Levels of the counter that the row's segments can reach. */
static int64_t counter_levels(const ng_lower *l) {
    int64_t segments = l->p->hidden / NG_SEGMENT, levels = 1;
    while (segments >>= 1) levels++;
    return levels;
}

static unsigned lane_vectors(const ng_lower *l) { return (unsigned)(l->p->lanes / l->vector); }

static bool adds(const ng_op *op) { return op->code == NG_SUM || op->code == NG_DOT; }

uint64_t ng_counter_vectors(const ng_lower *l) {
    uint64_t n[NG_MAX_OPS] = {0}, most = 0; /* of each sweep */
    for (int i = 0; i < l->p->ops; i++) {
        if (!adds(&l->p->op[i])) continue;
        uint64_t *of_sweep = &n[ng_overlap_sweep(l->p, l->s, l->p->op[i].level - 1)];
        if (++*of_sweep > most) most = *of_sweep;
    }
    return most * (uint64_t)counter_levels(l) * (uint64_t)ng_schedule_rows(l->s) * lane_vectors(l);
}

/* Maxima of magnitudes by one instruction, which overlooks NaN: a mask remembers where there was
 * none. */
bool ng_by_range(const ng_lower *l) {
    return l->isa->arch == NG_X86_64 && l->s->vec == 512 && l->p->compute == NORMGEN_F32;
}

static void find(ng_lower *l, const ng_work *work, int works, bool sums, ng_reductions *r) {
    for (int w = 0; w < works; w++)
        for (int i = 0; i < l->p->ops; i++) {
            const ng_op *op = &l->p->op[i];
            if (!ng_op_reduces(op) || adds(op) != sums || op->level - 1 != work[w].pass) continue;
            assert(r->n < MAX_REDUCTIONS);
            r->item[r->n].op = i;
            r->item[r->n++].work = w;
            r->total += r->lane_vectors * (unsigned)work[w].rows->n;
        }
}

void ng_reductions_find(ng_lower *l, const ng_work *work, int works, ng_reductions *r) {
    r->n = 0;
    r->total = 0;
    r->lane_vectors = lane_vectors(l);
    find(l, work, works, true, r);
    r->sums = r->total;
    find(l, work, works, false, r);
    unsigned masks = ng_by_range(l) ? (r->total - r->sums) / r->lane_vectors : 0;
    r->carried = r->total + masks;
}

void ng_reductions_zero(ng_lower *l, ng_reductions *r) {
    for (unsigned i = 0; i < r->sums; i++) r->acc[i] = LLVMConstNull(l->t_vec);
}

void ng_reductions_start(ng_lower *l, ng_reductions *r) {
    ng_t t_mask = LLVMVectorType(l->g.t_i1, (unsigned)l->vector);
    for (unsigned i = 0; i < r->total; i++) r->acc[i] = LLVMConstNull(l->t_vec);
    for (unsigned i = r->total; i < r->carried; i++) r->acc[i] = LLVMConstAllOnes(t_mask);
}

/* All reductions of one sweep belong to works with equally many rows. */
static unsigned acc_index(const ng_reductions *r, const ng_work *work, int item, int row) {
    return ((unsigned)item * (unsigned)work[r->item[item].work].rows->n + (unsigned)row) *
           r->lane_vectors;
}

ng_v ng_combine(ng_lower *l, int code, ng_v v_a, ng_v v_b) {
    if (code != NG_AMAX && code != NG_GAMAX) return LLVMBuildFAdd(l->g.b, v_a, v_b, "");
    ng_t t = LLVMTypeOf(v_a), t_bits = LLVMVectorType(l->t_int, ng_vector_size(t));
    ng_v args[2] = {ng_bitcast(&l->g, v_a, t_bits), ng_bitcast(&l->g, v_b, t_bits)};
    return ng_bitcast(&l->g, ng_intrinsic(&l->g, "llvm.umax", &t_bits, 1, args, 2), t);
}

ng_v ng_larger_magnitude(const ng_lower *l, ng_v v_a, ng_v v_b) {
    const ng_build *g = &l->g;
    enum { MAGNITUDES = 3, SIGN_CLEARED = 2 << 2, NO_EXCEPTION = 4 };
    ng_v args[6] = {v_a,
                    v_b,
                    ng_i32(g, MAGNITUDES | SIGN_CLEARED),
                    LLVMConstNull(l->t_vec),
                    LLVMConstInt(g->t_i16, 0xffff, false),
                    ng_i32(g, NO_EXCEPTION)};
    return ng_intrinsic(g, "llvm.x86.avx512.mask.range.ps.512", NULL, 0, args, 6);
}

static ng_v add_vector(ng_values *e, const ng_op *op, ng_v v_acc, int k, int row) {
    ng_lower *l = e->l;
    ng_v v_a = ng_value(e, op->a[0], row)[k];
    if (op->code == NG_SUM) return LLVMBuildFAdd(l->g.b, v_acc, v_a, "");
    if (op->code == NG_DOT) {
        ng_v args[3] = {v_a, ng_value(e, op->a[1], row)[k], v_acc};
        return ng_fma(l, args);
    }
    if (ng_by_range(l)) return ng_larger_magnitude(l, v_acc, v_a);
    ng_v v_abs = ng_intrinsic(&l->g, "llvm.fabs", &l->t_vec, 1, &v_a, 1);
    return ng_combine(l, NG_AMAX, v_acc, v_abs);
}

/* Where none of a slice's values is NaN, and none was before: one comparison for two vectors. */
static void look_for_nan(ng_values *e, int op, int row, ng_v *mask) {
    const ng_build *g = &e->l->g;
    const ng_v *v = ng_value(e, op, row);
    unsigned size = (unsigned)e->l->vector;
    for (int k = 0, n; k < e->slice.vectors; k += n) {
        bool partial = e->slice.partial && k + 1 == e->slice.vectors;
        n = k + 1 < e->slice.vectors - (e->slice.partial != 0) ? 2 : 1;
        ng_v v_is = LLVMBuildFCmp(g->b, LLVMRealORD, v[k], v[k + n - 1], "");
        if (partial) {
            ng_v v_mask = ng_first_mask(g, size, (unsigned)e->slice.partial);
            v_is = LLVMBuildOr(g->b, v_is, LLVMBuildNot(g->b, v_mask, ""), "");
        }
        *mask = LLVMBuildAnd(g->b, *mask, v_is, "");
    }
}

static unsigned mask_index(const ng_reductions *r, const ng_work *work, int item, int row) {
    return r->total + (acc_index(r, work, item, row) - r->sums) / r->lane_vectors;
}

static void accumulate(ng_values *e, ng_reductions *r, const ng_work *work, int item, int row) {
    ng_lower *l = e->l;
    const ng_slice *s = &e->slice;
    const ng_op *op = &l->p->op[r->item[item].op];
    ng_v *acc = r->acc + acc_index(r, work, item, row);
    for (int k = 0; k < s->vectors; k++) {
        ng_v *lane = &acc[(s->at / l->vector + k) % r->lane_vectors];
        ng_v v_next = add_vector(e, op, *lane, k, row);
        if (s->partial && k == s->vectors - 1) { /* lanes without an element keep what they have */
            ng_v v_mask = ng_first_mask(&l->g, (unsigned)l->vector, (unsigned)s->partial);
            v_next = LLVMBuildSelect(l->g.b, v_mask, v_next, *lane, "");
        }
        *lane = v_next;
    }
    if (!adds(op) && ng_by_range(l))
        look_for_nan(e, op->a[0], row, &r->acc[mask_index(r, work, item, row)]);
}

void ng_accumulate(ng_values *e, ng_reductions *r, const ng_work *work, int work_index, int row) {
    for (int i = 0; i < r->n; i++)
        if (r->item[i].work == work_index) accumulate(e, r, work, i, row);
}

/* ---- the binary counter ---- */

/* Place of accumulator i at a level of the counter. */
static ng_v counter_place(ng_lower *l, const ng_reductions *r, ng_v v_level, unsigned i) {
    const ng_build *g = &l->g;
    int64_t vector_bytes = l->s->vec / 8;
    ng_v v_at = LLVMBuildMul(g->b, v_level, ng_i64(g, (int64_t)r->sums * vector_bytes), "");
    return ng_offset(g, ng_offset(g, l->counter, v_at), ng_i64(g, (int64_t)i * vector_bytes));
}

/* acc[i] = counter[level][i] + acc[i], older first */
static void add_level(ng_lower *l, ng_reductions *r, ng_v v_level) {
    for (unsigned i = 0; i < r->sums; i++) {
        ng_v v_older =
            ng_load(&l->g, l->t_vec, counter_place(l, r, v_level, i), (unsigned)l->s->vec / 8);
        r->acc[i] = LLVMBuildFAdd(l->g.b, v_older, r->acc[i], "");
    }
}

void ng_carry(ng_lower *l, ng_reductions *r, ng_v v_segment) {
    /* for (level = 0; segment >> level & 1; level++) acc = counter[level] + acc;  counter[level] =
     * acc */
    const ng_build *g = &l->g;
    LLVMBasicBlockRef b_entry = ng_block_here(g), b_test = ng_block_new(g, "carry");
    LLVMBasicBlockRef b_add = ng_block_new(g, "carry_add"), b_done = ng_block_new(g, "carried");
    LLVMBuildBr(g->b, b_test);
    ng_block_start(g, b_test);
    ng_v v_level = ng_phi(g, ng_i64(g, 0), b_entry), first_phi = NULL;
    for (unsigned i = 0; i < r->sums; i++) {
        r->acc[i] = ng_phi(g, r->acc[i], b_entry);
        if (i == 0) first_phi = r->acc[0];
    }
    ng_v v_bit = LLVMBuildAnd(g->b, LLVMBuildLShr(g->b, v_segment, v_level, ""), ng_i64(g, 1), "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntNE, v_bit, ng_i64(g, 0), ""), b_add, b_done);

    ng_block_start(g, b_done);
    for (unsigned i = 0; i < r->sums; i++)
        ng_store(g, r->acc[i], counter_place(l, r, v_level, i), (unsigned)l->s->vec / 8);

    ng_block_start(g, b_add);
    add_level(l, r, v_level);
    ng_phi_add(v_level, ng_opaque(g, LLVMBuildAdd(g->b, v_level, ng_i64(g, 1), "")), b_add);
    LLVMBuildBr(g->b, b_test);
    ng_v phi = first_phi;
    for (unsigned i = 0; i < r->sums; i++, phi = LLVMGetNextInstruction(phi))
        ng_phi_add(phi, r->acc[i], b_add);
    ng_block_start(g, b_done);
}

/* ---- the fold ---- */

/* One vector in `rows` groups of `width` lanes becomes one with groups of half the width: lane j +=
 * lane j + width/2. Two such vectors become one that has the groups of both. */
static ng_v halve(ng_lower *l, int code, ng_v v_a, ng_v v_b, unsigned width) {
    int low[128], high[128];
    unsigned half = width / 2, n = 0, size = LLVMGetVectorSize(LLVMTypeOf(v_a)) * (v_b ? 2 : 1);
    for (unsigned group = 0; group < size; group += width)
        for (unsigned j = 0; j < half; j++, n++) {
            low[n] = (int)(group + j);
            high[n] = (int)(group + half + j);
        }
    if (!v_b) v_b = LLVMGetPoison(LLVMTypeOf(v_a));
    return ng_combine(l, code, ng_shuffle(&l->g, v_a, v_b, low, n),
                      ng_shuffle(&l->g, v_a, v_b, high, n));
}

/* Rows (or groups) share the vectors on the way: the additions of each are the rule's, only side by
 * side. */
ng_v ng_fold(ng_lower *l, int code, ng_v *v, int n) {
    unsigned width = LLVMGetVectorSize(LLVMTypeOf(v[0]));
    for (; n > 1 && width > 1; n /= 2, width /= 2)
        for (int i = 0; i < n / 2; i++) v[i] = halve(l, code, v[2 * i], v[2 * i + 1], width);
    for (; width > 1; width /= 2)
        for (int i = 0; i < n; i++) v[i] = halve(l, code, v[i], NULL, width);
    return ng_concat_all(&l->g, v, (unsigned)n);
}

/* The same of two vectors with one shuffle: both halves of a's groups where they are, and b's the
 * other way round, so that groups of a and b stand in turns. Sums do not know the order of two. */
static ng_v halve_crossed(ng_lower *l, int code, ng_v v_a, ng_v v_b, unsigned width) {
    int straight[MAX_VECTOR], crossed[MAX_VECTOR];
    int half = (int)width / 2, size = (int)LLVMGetVectorSize(LLVMTypeOf(v_a));
    for (int i = 0; i < size; i++) {
        bool low = i % (int)width < half;
        straight[i] = low ? i : size + i;
        crossed[i] = low ? i + half : size + i - half;
    }
    return ng_combine(l, code, ng_shuffle(&l->g, v_a, v_b, straight, (unsigned)size),
                      ng_shuffle(&l->g, v_a, v_b, crossed, (unsigned)size));
}

/* Folds n vectors of at most n lanes; who[] becomes which of them each element of the result is of.
 */
static ng_v fold_unsorted(ng_lower *l, int code, ng_v *v, int n, int *who) {
    int size = (int)LLVMGetVectorSize(LLVMTypeOf(v[0])), groups = 1, from[MAX_VECTOR];
    for (int i = 0; i < n; i++) who[i] = i;
    for (; groups < size; groups *= 2, n /= 2)
        for (int i = 0; i < n / 2; i++) {
            v[i] = halve_crossed(l, code, v[2 * i], v[2 * i + 1], (unsigned)(size / groups));
            int *two = who + 2 * i * groups;
            for (int k = 0; k < groups; k++) {
                from[2 * k] = two[k];
                from[2 * k + 1] = two[groups + k];
            }
            memcpy(two, from, 2 * (size_t)groups * sizeof *two);
        }
    return ng_concat_all(&l->g, v, (unsigned)n);
}

ng_v ng_fold_crossed(ng_lower *l, int code, ng_v *v, int n, int of_row) {
    int who[MAX_VECTOR], order[MAX_VECTOR];
    ng_v v_all = fold_unsorted(l, code, v, n, who);
    if (of_row > 1) v_all = ng_combine(l, code, v_all, fold_unsorted(l, code, v + n, n, who));
    for (int i = 0; i < n; i++) order[who[i]] = i;
    return ng_shuffle(&l->g, v_all, LLVMGetPoison(LLVMTypeOf(v_all)), order, (unsigned)n);
}

/* Lanes that lie in the even and odd elements of two vectors meet in the very last step. In a strip
 * the rows wait for one another. */
static void fold(ng_lower *l, ng_reductions *r, const ng_work *work, int item) {
    const ng_work *w = &work[r->item[item].work];
    int code = l->p->op[r->item[item].op].code;
    unsigned of_row = (unsigned)ng_load_group(l);
    bool waits = l->s->visit == NG_VISIT_STRIPS && w->rows->v_number;
    ng_v v[2 * MAX_BLOCK], *next = v;
    for (int row = 0; row < w->rows->n; row++) {
        ng_v *acc = r->acc + acc_index(r, work, item, row);
        if (!adds(&l->p->op[r->item[item].op]) && ng_by_range(l))
            acc[0] = LLVMBuildSelect(l->g.b, r->acc[mask_index(r, work, item, row)], acc[0],
                                     ng_real_const(l->t_vec, (double)NAN), "");
        for (unsigned half = r->lane_vectors / 2; half >= of_row; half /= 2)
            for (unsigned j = 0; j < half; j++) acc[j] = ng_combine(l, code, acc[j], acc[j + half]);
        if (waits) ng_strip_sum(l, w->rows, item, row, acc);
        for (unsigned j = 0; j < of_row; j++) *next++ = acc[j];
    }
    if (waits) return;
    ng_v v_rows = ng_fold(l, code, v, (int)(next - v));
    w->rows->scalar[r->item[item].op] = of_row > 1 ? halve(l, code, v_rows, NULL, 2) : v_rows;
}

void ng_finish(ng_lower *l, ng_reductions *r, const ng_work *work, int64_t segments, bool tail) {
    bool have = tail;
    for (int64_t level = 0; segments >> level; level++) {
        if (!(segments >> level & 1)) continue;
        ng_v v_level = ng_i64(&l->g, level);
        if (have) {
            add_level(l, r, v_level);
            continue;
        }
        for (unsigned i = 0; i < r->sums; i++)
            r->acc[i] =
                ng_load(&l->g, l->t_vec, counter_place(l, r, v_level, i), (unsigned)l->s->vec / 8);
        have = true;
    }
    for (int item = 0; item < r->n; item++) fold(l, r, work, item);
}
