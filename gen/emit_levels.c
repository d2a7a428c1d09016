/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a bundle's function whose rows have two levels, as LLVM code: the rules of
 * runtime/levels.c, with one exception. Rows that lie between those of an output are looked at
 * exactly where both arrays have the same larger stride (Q and K of one array); at different ones
 * they count as overlapping, so that no call walks over its rows twice. */
#include "emit_ir.h"

#include "types.h"

/* ---- what a stream has ---- */

static bool has_inner(const ng_stream *t) { return t->rows == NG_EACH || t->rows == NG_INNER; }
static bool has_outer(const ng_stream *t) { return t->rows == NG_EACH || t->rows == NG_OUTER; }
/* Least bytes between outer neighbours: a row of the caller. */
static int64_t least_outer(const ng_program *p, int s) {
    const ng_stream *t = &p->stream[s];
    return (int64_t)t->row_bytes * (t->rows == NG_EACH ? p->parts : 1);
}
static ng_v row_of(const ng_build *g, const ng_program *p, int s) {
    return ng_i64(g, p->stream[s].row_bytes);
}

/* ---- loading ---- */

/* The member at an offset, or what its being zero or missing means. */
static ng_v given(const ng_build *g, const ng_binding *bind, size_t at, ng_v v_default) {
    if (!at) return v_default;
    ng_v v = ng_member(g, bind->v_args, at);
    return ng_pick(g, ng_is(g, LLVMIntEQ, v, ng_i64(g, 0)), v_default, v);
}

static void load_stream(const ng_build *g, const ng_program *p, ng_binding *bind, int s) {
    const ng_stream *t = &p->stream[s];
    size_t at = ng_emit_stride_at(p, s);
    ng_v v_row = row_of(g, p, s), v_least = ng_i64(g, least_outer(p, s));
    bool parts = p->parts > 1;
    bind->base[s] = ng_member(g, bind->v_args, ng_emit_pointer_at(p, s));
    bind->stride[s] = bind->outer[s] = ng_i64(g, 0);
    if (has_inner(t)) bind->stride[s] = parts ? v_row : given(g, bind, at, v_row);
    if (!has_outer(t)) return;
    if (parts || t->rows == NG_OUTER)
        bind->outer[s] = given(g, bind, at, v_least);
    else
        bind->outer[s] =
            given(g, bind, ng_emit_outer_at(p, s), ng_mul(g, bind->v_inner, bind->stride[s]));
}

void ng_levels_load(const ng_build *g, const ng_program *p, ng_binding *bind) {
    size_t at = ng_emit_inner_at(p);
    ng_v v_parts = ng_i64(g, p->parts), v_rows = ng_mul(g, bind->v_rows, v_parts);
    bind->v_asked = at ? ng_member(g, bind->v_args, at) : NULL;
    bind->v_inner = at ? given(g, bind, at, ng_i64(g, 1)) : ng_i64(g, p->inner);
    bind->v_from = ng_mul(g, bind->v_first, v_parts);
    bind->v_to = ng_mul(g, bind->v_last, v_parts);
    bind->v_outers = p->parts > 1 ? bind->v_rows : LLVMBuildUDiv(g->b, v_rows, bind->v_inner, "");
    bind->v_odd_rows = ng_is(g, LLVMIntNE, ng_mul(g, bind->v_outers, bind->v_inner), v_rows);
    for (int s = 0; s < p->streams; s++) load_stream(g, p, bind, s);
}

/* ---- where a stream ends ---- */

static ng_v less_one(const ng_build *g, ng_v v) { return ng_sub(g, v, ng_i64(g, 1)); }

/* From the first row's start to that of the last one of its outer index; of the last outer index.
 */
static ng_v inner_span(const ng_build *g, const ng_binding *bind, int s) {
    return ng_mul(g, less_one(g, bind->v_inner), bind->stride[s]);
}
static ng_v outer_span(const ng_build *g, const ng_binding *bind, int s) {
    return ng_mul(g, less_one(g, bind->v_outers), bind->outer[s]);
}

/* A run that the stream does not have has stride 0. */
static ng_v end_of(const ng_build *g, const ng_program *p, const ng_binding *bind, int s) {
    ng_v v = ng_add(g, inner_span(g, bind, s), outer_span(g, bind, s));
    return ng_add(g, bind->base[s], ng_add(g, v, row_of(g, p, s)));
}

/* Whether one of the two strides passes over all that the other spans. */
static ng_v nests(const ng_build *g, const ng_program *p, const ng_binding *bind, int s) {
    ng_v v_in = ng_add(g, inner_span(g, bind, s), row_of(g, p, s));
    ng_v v_out = ng_add(g, outer_span(g, bind, s), row_of(g, p, s));
    return ng_or(g, ng_is(g, LLVMIntULE, v_in, bind->outer[s]),
                 ng_is(g, LLVMIntULE, v_out, bind->stride[s]));
}

/* The same rows in both; a stride that is not stepped over does not matter. */
static ng_v is_one(const ng_build *g, const ng_binding *bind, int s, int t) {
    ng_v v_single_in = ng_is(g, LLVMIntULE, bind->v_inner, ng_i64(g, 1));
    ng_v v_single_out = ng_is(g, LLVMIntULE, bind->v_outers, ng_i64(g, 1));
    ng_v v_in = ng_is(g, LLVMIntEQ, bind->stride[s], bind->stride[t]);
    ng_v v_out = ng_is(g, LLVMIntEQ, bind->outer[s], bind->outer[t]);
    ng_v v = ng_and(g, ng_or(g, v_in, v_single_in), ng_or(g, v_out, v_single_out));
    return ng_and(g, v, ng_is(g, LLVMIntEQ, bind->base[s], bind->base[t]));
}

static ng_v differ(const ng_build *g, const ng_binding *bind, int s, int t) {
    ng_v v_one = ng_wide(g, is_one(g, bind, s, t));
    return ng_sub(g, v_one, ng_i64(g, 1)); /* negative when it is 0 */
}

/* ---- the ordinary call ---- */

static void stream_doubt(const ng_build *g, const ng_program *p, const ng_binding *bind, int s,
                         ng_doubts *d) {
    const ng_stream *t = &p->stream[s];
    ng_doubt_base(g, d, bind->base[s], t->element);
    if (has_inner(t)) ng_doubt_stride(g, d, bind->stride[s], t->row_bytes, t->element);
    if (has_outer(t)) ng_doubt_stride(g, d, bind->outer[s], least_outer(p, s), t->element);
}

/* Without rows per outer index, or rows that are no multiple of them. */
static ng_v inner_wrong(const ng_build *g, const ng_binding *bind) {
    if (!bind->v_asked) return bind->v_odd_rows;
    return ng_or(g, bind->v_odd_rows, ng_is(g, LLVMIntEQ, bind->v_asked, ng_i64(g, 0)));
}

ng_v ng_levels_doubt(const ng_build *g, const ng_program *p, const ng_binding *bind, ng_v v_sign) {
    ng_v end[NORMGEN_MAX_STREAMS], v = inner_wrong(g, bind);
    ng_doubts d;
    ng_doubt_begin(g, &d, bind, v_sign);
    ng_v v_all = ng_mul(g, bind->v_rows, ng_i64(g, p->parts));
    d.v_count = ng_or(g, d.v_count, ng_or(g, bind->v_to, v_all));
    for (int s = 0; s < p->streams; s++) {
        stream_doubt(g, p, bind, s, &d);
        if (p->stream[s].rows == NG_EACH)
            v = ng_or(g, v, LLVMBuildNot(g->b, nests(g, p, bind, s), ""));
        end[s] = end_of(g, p, bind, s);
        d.v_sign = ng_or(g, d.v_sign, ng_bind_crosses(g, p, bind, end, s, differ));
    }
    return ng_or(g, v, ng_doubt_any(g, &d));
}

/* ---- the call in doubt ---- */

/* A product that must stay below 2^63 less what is there already; returns the sum. */
static ng_v span_within(const ng_build *g, ng_v v_count, ng_v v_stride, ng_v v_there) {
    ng_v args[2] = {less_one(g, v_count), v_stride};
    ng_t t[1] = {g->t_i64};
    ng_v v_product = ng_intrinsic(g, "llvm.umul.with.overflow", t, 1, args, 2);
    ng_v v_span = LLVMBuildExtractValue(g->b, v_product, 0, "");
    ng_fail_if(g, LLVMBuildExtractValue(g->b, v_product, 1, ""), NG_EMIT_RANGE);
    ng_v v_most = ng_sub(g, ng_i64(g, INT64_MAX), v_there);
    ng_fail_if(g, ng_is(g, LLVMIntUGT, v_span, v_most), NG_EMIT_RANGE);
    return ng_add(g, v_there, v_span);
}

static void check_stride(const ng_build *g, ng_v v_stride, int64_t least) {
    ng_fail_if(g, ng_is(g, LLVMIntSLT, v_stride, ng_i64(g, least)), NG_EMIT_STRIDE);
}

static void check_stream(const ng_build *g, const ng_program *p, const ng_binding *bind, int s) {
    const ng_stream *t = &p->stream[s];
    ng_v v_low = ng_or(g, bind->base[s], ng_or(g, bind->stride[s], bind->outer[s]));
    ng_fail_if(g, ng_is(g, LLVMIntEQ, bind->base[s], ng_i64(g, 0)), NG_EMIT_NULL);
    if (has_inner(t)) check_stride(g, bind->stride[s], t->row_bytes);
    ng_v v_span = row_of(g, p, s);
    if (has_inner(t)) v_span = span_within(g, bind->v_inner, bind->stride[s], v_span);
    if (has_outer(t)) check_stride(g, bind->outer[s], least_outer(p, s));
    ng_v v_odd = ng_and(g, v_low, ng_i64(g, t->element - 1));
    ng_fail_if(g, ng_is(g, LLVMIntNE, v_odd, ng_i64(g, 0)), NG_EMIT_ALIGNMENT);
    if (has_outer(t)) v_span = span_within(g, bind->v_outers, bind->outer[s], v_span);
    ng_v v_end = ng_add(g, bind->base[s], v_span);
    ng_fail_if(g, ng_is(g, LLVMIntULT, v_end, bind->base[s]), NG_EMIT_RANGE);
    if (t->rows == NG_EACH)
        ng_fail_if(g, LLVMBuildNot(g->b, nests(g, p, bind, s), ""), NG_EMIT_STRIDE);
}

/* What ng_levels_meet is told of a stream: base, bytes of a row, end, then the smaller stride and
 * how many there are of it, then the larger one. */
enum { BASE, BYTES, END, LOW, LOWS, HIGH, HIGHS, REGION };

static void describe(const ng_build *g, const ng_program *p, const ng_binding *bind, int s,
                     ng_v region[REGION]) {
    const ng_stream *t = &p->stream[s];
    ng_v v_one = ng_i64(g, 1), v_far = ng_i64(g, INT64_MAX);
    ng_v v_in = has_inner(t) ? bind->stride[s] : row_of(g, p, s);
    ng_v v_ins = has_inner(t) ? bind->v_inner : v_one;
    ng_v v_outs = has_outer(t) ? bind->v_outers : v_one;
    ng_v v_single = ng_is(g, LLVMIntULE, v_outs, v_one); /* its stride is never stepped over */
    ng_v v_out = ng_pick(g, v_single, v_far, has_outer(t) ? bind->outer[s] : v_far);
    ng_v v_swap = ng_and(g, ng_is(g, LLVMIntUGT, v_in, v_out), ng_is(g, LLVMIntUGT, v_ins, v_one));
    region[BASE] = bind->base[s];
    region[BYTES] = row_of(g, p, s);
    region[END] = end_of(g, p, bind, s);
    region[LOW] = ng_pick(g, v_swap, v_out, v_in);
    region[LOWS] = ng_pick(g, v_swap, v_outs, v_ins);
    region[HIGH] = ng_pick(g, v_swap, v_in, v_out);
    region[HIGHS] = ng_pick(g, v_swap, v_ins, v_outs);
}

static ng_t meet_type(const ng_build *g) {
    ng_t params[2 * REGION];
    for (int i = 0; i < 2 * REGION; i++) params[i] = g->t_i64;
    return LLVMFunctionType(g->t_i1, params, 2 * REGION, false);
}

static void check_pair(const ng_build *g, const ng_program *p, const ng_binding *bind, int o, int s,
                       ng_v v_meet) {
    ng_v args[2 * REGION];
    describe(g, p, bind, o, args);
    describe(g, p, bind, s, args + REGION);
    ng_v v = LLVMBuildCall2(g->b, meet_type(g), v_meet, args, 2 * REGION, "");
    if (ng_bind_may_be_one(p, o, s))
        v = ng_and(g, v, LLVMBuildNot(g->b, is_one(g, bind, o, s), ""));
    ng_fail_if(g, v, NG_EMIT_OVERLAP);
}

void ng_levels_check(const ng_build *g, const ng_program *p, const ng_binding *bind, ng_v v_meet) {
    ng_v v_most = ng_i64(g, INT64_MAX / p->parts);
    ng_fail_if(g, ng_is(g, LLVMIntUGT, bind->v_rows, v_most), NG_EMIT_RANGE);
    ng_fail_if(g, inner_wrong(g, bind), NG_EMIT_INNER);
    for (int s = 0; s < p->streams; s++) check_stream(g, p, bind, s);
    for (int o = 0; o < p->streams; o++)
        for (int s = 0; s < p->streams; s++)
            if (p->stream[o].out && s != o && !(p->stream[s].out && s > o))
                check_pair(g, p, bind, o, s, v_meet);
}

/* ---- whether regions meet ---- */

/* Low runs of a, the one at an address if there is one of such a number, and b's first. */
static ng_v lows_meet(const ng_build *g, ng_v v_rows_meet, const ng_v *a, ng_v v_at, ng_v v_number,
                      const ng_v *b) {
    ng_t params[8];
    ng_v args[8] = {v_at, a[LOW], a[BYTES], a[LOWS], b[BASE], b[LOW], b[BYTES], b[LOWS]};
    for (int i = 0; i < 8; i++) params[i] = g->t_i64;
    ng_t t = LLVMFunctionType(g->t_i1, params, 8, false);
    ng_v v = LLVMBuildCall2(g->b, t, v_rows_meet, args, 8, "");
    return ng_and(g, v, ng_is(g, LLVMIntULT, v_number, a[HIGHS]));
}

/* Equal steps: only neighbours at two distances can meet, as in meet_in_step of runtime/levels.c.
 */
static ng_v meet_in_step(const ng_build *g, ng_v v_rows_meet, const ng_v *r) {
    ng_v a[REGION], b[REGION], v_swap = ng_is(g, LLVMIntUGT, r[BASE], r[REGION + BASE]);
    for (int i = 0; i < REGION; i++) {
        a[i] = ng_pick(g, v_swap, r[REGION + i], r[i]);
        b[i] = ng_pick(g, v_swap, r[i], r[REGION + i]);
    }
    ng_v v_k = LLVMBuildUDiv(g->b, ng_sub(g, b[BASE], a[BASE]), a[HIGH], "");
    ng_v v_here = ng_add(g, a[BASE], ng_mul(g, v_k, a[HIGH]));
    ng_v v_next = ng_add(g, v_here, a[HIGH]), v_after = ng_add(g, v_k, ng_i64(g, 1));
    return ng_or(g, lows_meet(g, v_rows_meet, a, v_here, v_k, b),
                 lows_meet(g, v_rows_meet, a, v_next, v_after, b));
}

ng_v ng_levels_meet(ng_build *g, ng_v v_rows_meet) {
    ng_v r[2 * REGION], fn = LLVMAddFunction(g->module, "levels_meet", meet_type(g));
    g->fn = fn;
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    for (unsigned i = 0; i < 2 * REGION; i++) r[i] = LLVMGetParam(fn, i);
    ng_block_start(g, ng_block_new(g, "entry"));
    LLVMBasicBlockRef b_cross = ng_block_new(g, "cross"), b_apart = ng_block_new(g, "apart");
    LLVMBasicBlockRef b_step = ng_block_new(g, "in_step"), b_met = ng_block_new(g, "met");
    ng_v v_cross = ng_and(g, ng_is(g, LLVMIntUGT, r[END], r[REGION + BASE]),
                          ng_is(g, LLVMIntUGT, r[REGION + END], r[BASE]));
    LLVMBuildCondBr(g->b, v_cross, b_cross, b_apart);
    ng_block_start(g, b_cross);
    LLVMBuildCondBr(g->b, ng_is(g, LLVMIntEQ, r[HIGH], r[REGION + HIGH]), b_step, b_met);
    ng_block_start(g, b_step);
    LLVMBuildRet(g->b, meet_in_step(g, v_rows_meet, r));
    ng_block_start(g, b_met);
    LLVMBuildRet(g->b, LLVMConstInt(g->t_i1, 1, false));
    ng_block_start(g, b_apart);
    LLVMBuildRet(g->b, LLVMConstInt(g->t_i1, 0, false));
    return fn;
}
