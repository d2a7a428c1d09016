/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a bundle's function as LLVM code: the rules of runtime/call.c, unrolled over the
 * streams of one program. An ordinary call is straight code whose doubts are collected in one bit;
 * a call in doubt is looked at exactly, and only there found wrong. */
#include "emit_ir.h"

#include "types.h"

void ng_bind_load(const ng_build *g, const ng_program *p, ng_binding *bind) {
    bind->v_rows = ng_member(g, bind->v_args, 0);
    bind->v_from = bind->v_first;
    bind->v_to = bind->v_last;
    bind->v_inner = ng_i64(g, INT64_MAX); /* no call reaches a second outer step */
    if (ng_emit_levels(p)) {
        ng_levels_load(g, p, bind);
        return;
    }
    for (int s = 0; s < p->streams; s++) {
        size_t at = ng_emit_stride_at(p, s);
        ng_v v_row = ng_i64(g, p->stream[s].row_bytes);
        bind->base[s] = ng_member(g, bind->v_args, ng_emit_pointer_at(p, s));
        bind->stride[s] = v_row;
        bind->outer[s] = ng_i64(g, 0);
        if (!at) continue;
        ng_v v = ng_member(g, bind->v_args, at);
        bind->stride[s] = ng_pick(g, ng_is(g, LLVMIntEQ, v, ng_i64(g, 0)), v_row, v);
    }
}

static ng_v rows_of(const ng_build *g, const ng_program *p, const ng_binding *bind, int s) {
    return ng_stream_shared(&p->stream[s]) ? ng_i64(g, 1) : bind->v_rows;
}

bool ng_bind_may_be_one(const ng_program *p, int s, int t) {
    const ng_stream *a = &p->stream[s], *b = &p->stream[t];
    return a->out != b->out && a->rows == b->rows && a->width == b->width &&
           a->row_bytes == b->row_bytes;
}
static ng_v is_one(const ng_build *g, const ng_binding *bind, int s, int t) {
    return ng_and(g, ng_is(g, LLVMIntEQ, bind->base[s], bind->base[t]),
                  ng_is(g, LLVMIntEQ, bind->stride[s], bind->stride[t]));
}
/* The same as a sign: set where they differ. */
static ng_v differ(const ng_build *g, const ng_binding *bind, int s, int t) {
    ng_v v = ng_or(g, ng_xor(g, bind->base[s], bind->base[t]),
                   ng_xor(g, bind->stride[s], bind->stride[t]));
    return ng_sub(g, ng_i64(g, 0), v); /* of addresses and strides below 2^61 */
}

/* ---- the ordinary call ---- */

void ng_doubt_begin(const ng_build *g, ng_doubts *d, const ng_binding *bind, ng_v v_sign) {
    d->v_place = d->v_odd = ng_i64(g, 0);
    d->v_count = ng_or(g, bind->v_rows, ng_or(g, bind->v_first, bind->v_last));
    ng_v v_order =
        ng_or(g, ng_sub(g, bind->v_last, bind->v_first), ng_sub(g, bind->v_rows, bind->v_last));
    d->v_sign = ng_or(g, v_sign, v_order);
}

void ng_doubt_base(const ng_build *g, ng_doubts *d, ng_v v_base, int64_t element) {
    d->v_place = ng_or(g, d->v_place, ng_sub(g, v_base, ng_i64(g, 1)));
    d->v_odd = ng_or(g, d->v_odd, ng_and(g, v_base, ng_i64(g, element - 1)));
}

void ng_doubt_stride(const ng_build *g, ng_doubts *d, ng_v v_stride, int64_t least,
                     int64_t element) {
    d->v_count = ng_or(g, d->v_count, v_stride);
    d->v_sign = ng_or(g, d->v_sign, ng_sub(g, v_stride, ng_i64(g, least)));
    d->v_odd = ng_or(g, d->v_odd, ng_and(g, v_stride, ng_i64(g, element - 1)));
}

ng_v ng_doubt_any(const ng_build *g, const ng_doubts *d) {
    ng_v v = ng_or(g, ng_shr(g, d->v_place, 61), ng_shr(g, d->v_count, 31));
    v = ng_or(g, v, ng_or(g, ng_shr(g, d->v_sign, 63), d->v_odd));
    return ng_is(g, LLVMIntNE, v, ng_i64(g, 0));
}

static ng_v end_of(const ng_build *g, const ng_program *p, const ng_binding *bind, int s) {
    return ng_add(g, bind->base[s], ng_mul(g, rows_of(g, p, bind, s), bind->stride[s]));
}

/* Addresses below 2^63 are compared by the sign of their difference: comparisons would be kept as
 * bytes, of which LLVM makes a branch each. */
ng_v ng_bind_crosses(const ng_build *g, const ng_program *p, const ng_binding *bind,
                     const ng_v *end, int s, ng_rows_differ differ_at) {
    ng_v v = ng_i64(g, 0);
    for (int t = 0; t < s; t++) {
        if (!p->stream[s].out && !p->stream[t].out) continue;
        ng_v v_cross =
            ng_and(g, ng_sub(g, bind->base[t], end[s]), ng_sub(g, bind->base[s], end[t]));
        if (ng_bind_may_be_one(p, s, t)) v_cross = ng_and(g, v_cross, differ_at(g, bind, s, t));
        v = ng_or(g, v, v_cross);
    }
    return v;
}

ng_v ng_bind_doubt(const ng_build *g, const ng_program *p, const ng_binding *bind, ng_v v_sign) {
    if (ng_emit_levels(p)) return ng_levels_doubt(g, p, bind, v_sign);
    ng_v end[NORMGEN_MAX_STREAMS];
    ng_doubts d;
    ng_doubt_begin(g, &d, bind, v_sign);
    for (int s = 0; s < p->streams; s++) {
        const ng_stream *t = &p->stream[s];
        ng_doubt_base(g, &d, bind->base[s], t->element);
        ng_doubt_stride(g, &d, bind->stride[s], t->row_bytes, t->element);
        end[s] = end_of(g, p, bind, s);
        d.v_sign = ng_or(g, d.v_sign, ng_bind_crosses(g, p, bind, end, s, differ));
    }
    return ng_doubt_any(g, &d);
}

/* ---- the call in doubt ---- */

void ng_fail_if(const ng_build *g, ng_v v_if, ng_emit_status status) {
    LLVMBasicBlockRef b_fail = ng_block_new(g, "fail"), b_go = ng_block_new(g, "fine");
    LLVMBuildCondBr(g->b, v_if, b_fail, b_go);
    ng_block_start(g, b_fail);
    LLVMBuildRet(g->b, ng_i32(g, (int32_t)status));
    ng_block_start(g, b_go);
}

/* The span from the first row's start to the last one's must fit the address space. */
static void check_span(const ng_build *g, const ng_program *p, const ng_binding *bind, int s) {
    ng_v v_more = ng_sub(g, rows_of(g, p, bind, s), ng_i64(g, 1));
    ng_v args[2] = {v_more, bind->stride[s]}, v_row = ng_i64(g, p->stream[s].row_bytes);
    ng_t t[1] = {g->t_i64};
    ng_v v_product = ng_intrinsic(g, "llvm.umul.with.overflow", t, 1, args, 2);
    ng_v v_span = LLVMBuildExtractValue(g->b, v_product, 0, "");
    ng_fail_if(g, LLVMBuildExtractValue(g->b, v_product, 1, ""), NG_EMIT_RANGE);
    ng_v v_most = ng_sub(g, ng_i64(g, INT64_MAX), v_row);
    ng_fail_if(g, ng_is(g, LLVMIntUGT, v_span, v_most), NG_EMIT_RANGE);
    ng_v v_end = ng_add(g, ng_add(g, bind->base[s], v_span), v_row);
    ng_fail_if(g, ng_is(g, LLVMIntULT, v_end, bind->base[s]), NG_EMIT_RANGE);
}

static void check_stream(const ng_build *g, const ng_program *p, const ng_binding *bind, int s) {
    ng_v v_low = ng_or(g, bind->base[s], bind->stride[s]);
    ng_fail_if(g, ng_is(g, LLVMIntEQ, bind->base[s], ng_i64(g, 0)), NG_EMIT_NULL);
    ng_v v_short = ng_is(g, LLVMIntSLT, bind->stride[s], ng_i64(g, p->stream[s].row_bytes));
    ng_fail_if(g, v_short, NG_EMIT_STRIDE);
    ng_v v_odd = ng_and(g, v_low, ng_i64(g, p->stream[s].element - 1));
    ng_fail_if(g, ng_is(g, LLVMIntNE, v_odd, ng_i64(g, 0)), NG_EMIT_ALIGNMENT);
    check_span(g, p, bind, s);
}

/* Output o against stream s. */
static void check_pair(const ng_build *g, const ng_program *p, const ng_binding *bind, int o, int s,
                       ng_v v_meet) {
    ng_t params[8], t;
    ng_v args[8] = {
        bind->base[o], bind->stride[o], ng_i64(g, p->stream[o].row_bytes), rows_of(g, p, bind, o),
        bind->base[s], bind->stride[s], ng_i64(g, p->stream[s].row_bytes), rows_of(g, p, bind, s)};
    for (int i = 0; i < 8; i++) params[i] = g->t_i64;
    t = LLVMFunctionType(g->t_i1, params, 8, false);
    ng_v v = LLVMBuildCall2(g->b, t, v_meet, args, 8, "");
    if (ng_bind_may_be_one(p, o, s))
        v = ng_and(g, v, LLVMBuildNot(g->b, is_one(g, bind, o, s), ""));
    ng_fail_if(g, v, NG_EMIT_OVERLAP);
}

void ng_bind_check(const ng_build *g, const ng_program *p, const ng_binding *bind, ng_v v_meet) {
    ng_fail_if(g, ng_is(g, LLVMIntUGT, bind->v_first, bind->v_last), NG_EMIT_RANGE);
    ng_fail_if(g, ng_is(g, LLVMIntUGT, bind->v_last, bind->v_rows), NG_EMIT_RANGE);
    ng_fail_if(g, ng_is(g, LLVMIntEQ, bind->v_rows, ng_i64(g, 0)), NG_EMIT_OK); /* nothing to do */
    if (ng_emit_levels(p)) {
        ng_levels_check(g, p, bind, v_meet);
        return;
    }
    for (int s = 0; s < p->streams; s++) check_stream(g, p, bind, s);
    for (int o = 0; o < p->streams; o++)
        for (int s = 0; s < p->streams; s++)
            if (p->stream[o].out && s != o && !(p->stream[s].out && s > o))
                check_pair(g, p, bind, o, s, v_meet);
}

/* ---- whether regions meet ---- */

typedef struct region {
    ng_v base, stride, bytes, rows;
} region;

/* Rows with one common stride: see meet_in_step of runtime/call.c. */
static ng_v meet_in_step(const ng_build *g, region a, region b) {
    ng_v v_swap = ng_is(g, LLVMIntUGT, a.base, b.base);
    ng_v v_low = ng_pick(g, v_swap, b.base, a.base), v_high = ng_pick(g, v_swap, a.base, b.base);
    ng_v v_low_bytes = ng_pick(g, v_swap, b.bytes, a.bytes);
    ng_v v_high_bytes = ng_pick(g, v_swap, a.bytes, b.bytes);
    ng_v v_low_rows = ng_pick(g, v_swap, b.rows, a.rows);
    ng_v v_d = ng_sub(g, v_high, v_low), v_k = LLVMBuildUDiv(g->b, v_d, a.stride, "");
    ng_v v_rest = LLVMBuildURem(g->b, v_d, a.stride, "");
    ng_v v_this =
        ng_and(g, ng_is(g, LLVMIntULT, v_k, v_low_rows), ng_is(g, LLVMIntULT, v_rest, v_low_bytes));
    ng_v v_after = ng_add(g, v_k, ng_i64(g, 1)), v_gap = ng_sub(g, a.stride, v_rest);
    ng_v v_next = ng_and(g, ng_is(g, LLVMIntULT, v_after, v_low_rows),
                         ng_is(g, LLVMIntULT, v_gap, v_high_bytes));
    return ng_or(g, v_this, v_next);
}

/* The region whose row ends before the other's begins jumps over all rows that do; b_out when it
 * has no row left, else back to b_head with its phis advanced. */
static void jump(const ng_build *g, const region *r, ng_v v_at, ng_v v_row, ng_v v_other,
                 ng_v phis[4], const int own[2], LLVMBasicBlockRef b_head,
                 LLVMBasicBlockRef b_out) {
    ng_v v_gap = ng_sub(g, ng_sub(g, v_other, v_at), r->bytes);
    ng_v v_skip = ng_add(g, LLVMBuildUDiv(g->b, v_gap, r->stride, ""), ng_i64(g, 1));
    ng_v v_done = ng_is(g, LLVMIntUGE, v_skip, ng_sub(g, r->rows, v_row));
    ng_v v_next_row = ng_add(g, v_row, v_skip);
    ng_v v_next_at = ng_add(g, v_at, ng_mul(g, v_skip, r->stride));
    LLVMBasicBlockRef b_here = ng_block_here(g);
    LLVMBuildCondBr(g->b, v_done, b_out, b_head);
    for (int i = 0; i < 4; i++)
        ng_phi_add(phis[i], i == own[0] ? v_next_row : i == own[1] ? v_next_at : phis[i], b_here);
}

static void meet_at_any_stride(const ng_build *g, region a, region b) {
    static const int of_a[2] = {0, 1}, of_b[2] = {2, 3};
    LLVMBasicBlockRef b_from = ng_block_here(g), b_head = ng_block_new(g, "walk");
    LLVMBasicBlockRef b_not_a = ng_block_new(g, "not_a"), b_a = ng_block_new(g, "a_first");
    LLVMBasicBlockRef b_b = ng_block_new(g, "b_first"), b_met = ng_block_new(g, "met");
    LLVMBasicBlockRef b_apart = ng_block_new(g, "apart");
    LLVMBuildBr(g->b, b_head);
    ng_block_start(g, b_head);
    ng_v phis[4] = {ng_phi(g, ng_i64(g, 0), b_from), ng_phi(g, a.base, b_from),
                    ng_phi(g, ng_i64(g, 0), b_from), ng_phi(g, b.base, b_from)};
    ng_v v_a_before = ng_is(g, LLVMIntULE, ng_add(g, phis[1], a.bytes), phis[3]);
    LLVMBuildCondBr(g->b, v_a_before, b_a, b_not_a);
    ng_block_start(g, b_not_a);
    ng_v v_b_before = ng_is(g, LLVMIntULE, ng_add(g, phis[3], b.bytes), phis[1]);
    LLVMBuildCondBr(g->b, v_b_before, b_b, b_met);
    ng_block_start(g, b_a);
    jump(g, &a, phis[1], phis[0], phis[3], phis, of_a, b_head, b_apart);
    ng_block_start(g, b_b);
    jump(g, &b, phis[3], phis[2], phis[1], phis, of_b, b_head, b_apart);
    ng_block_start(g, b_met);
    LLVMBuildRet(g->b, LLVMConstInt(g->t_i1, 1, false));
    ng_block_start(g, b_apart);
    LLVMBuildRet(g->b, LLVMConstInt(g->t_i1, 0, false));
}

ng_v ng_bind_meet(ng_build *g) {
    ng_t params[8];
    region r[2];
    for (int i = 0; i < 8; i++) params[i] = g->t_i64;
    ng_v fn = g->fn =
        LLVMAddFunction(g->module, "meet", LLVMFunctionType(g->t_i1, params, 8, false));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    ng_block_start(g, ng_block_new(g, "entry"));
    for (unsigned i = 0; i < 2; i++)
        r[i] = (region){LLVMGetParam(fn, 4 * i), LLVMGetParam(fn, 4 * i + 1),
                        LLVMGetParam(fn, 4 * i + 2), LLVMGetParam(fn, 4 * i + 3)};
    LLVMBasicBlockRef b_step = ng_block_new(g, "in_step"), b_any = ng_block_new(g, "any_stride");
    LLVMBuildCondBr(g->b, ng_is(g, LLVMIntEQ, r[0].stride, r[1].stride), b_step, b_any);
    ng_block_start(g, b_step);
    LLVMBuildRet(g->b, meet_in_step(g, r[0], r[1]));
    ng_block_start(g, b_any);
    meet_at_any_stride(g, r[0], r[1]);
    return fn;
}

/* ---- the bound call ---- */

static void put(const ng_build *g, ng_v v_bound, size_t at, ng_v v) {
    ng_store(g, v, ng_offset(g, v_bound, ng_i64(g, (int64_t)at)), 8);
}

void ng_bind_store(const ng_build *g, const ng_program *p, const ng_binding *bind, ng_v v_bound) {
    put(g, v_bound, offsetof(normgen_bound_args, rows_per_outer), bind->v_inner);
    for (int s = 0; s < p->streams; s++) {
        size_t at = offsetof(normgen_bound_args, stream) + (size_t)s * sizeof(normgen_stream);
        bool shared = ng_stream_shared(&p->stream[s]);
        put(g, v_bound, at + offsetof(normgen_stream, base), bind->base[s]);
        put(g, v_bound, at + offsetof(normgen_stream, inner),
            shared ? ng_i64(g, 0) : bind->stride[s]);
        put(g, v_bound, at + offsetof(normgen_stream, outer), bind->outer[s]);
    }
}
