/* SPDX-License-Identifier: Apache-2.0 */
/* One sweep over the elements of a block of rows: the last pass of one block and the first of
 * another may share it. Elements go in steps that are a multiple of the lanes, so that an
 * accumulator is a fixed register; a step is made of slices of a few vectors, so that little is
 * alive at once. */
#include "lower.h"

#include "types.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 64 /* bytes of a cache line */ };

typedef struct sweep {
    ng_lower *l;
    const ng_work *work;
    int works;
    ng_reductions r;
} sweep;

static int64_t step_of(const ng_lower *l) {
    int64_t step = l->p->lanes < 64 ? 64 : l->p->lanes, slice = (int64_t)l->slice * l->vector;
    return step < slice ? slice : step; /* a slice of an odd size is a whole row */
}

/* ---- one slice ---- */

/* Prefetches what lies at the slice's place in the rows to come; `at` says which lines are new. */
static void prefetch(sweep *w, const ng_work *work, int row, const ng_slice *s, int64_t elements) {
    ng_lower *l = w->l;
    const ng_build *g = &l->g;
    int nearness = l->s->prefetch == NG_PREFETCH_NEXT ? 3 : 2; /* all caches, or from L2 on */
    for (int i = 0; i < l->p->streams; i++) {
        const ng_stream *stream = &l->p->stream[i];
        if (stream->out || !ng_stream_moves(stream)) continue;
        for (int64_t byte = 0; byte < elements * ng_types[stream->type].bytes; byte += LINE) {
            ng_v v_ptr = ng_element_address(l, work->prefetch, i, row, s, 0);
            ng_v args[4] = {ng_offset(g, v_ptr, ng_i64(g, byte)), ng_i32(g, 0), ng_i32(g, nearness),
                            ng_i32(g, 1)};
            LLVMTypeRef types[1] = {g->t_ptr};
            ng_intrinsic(g, "llvm.prefetch", types, 1, args, 4);
        }
    }
}

static void begin_slice(sweep *w, int index, ng_values *e, ng_slice s, int64_t elements) {
    ng_lower *l = w->l;
    const ng_work *work = &w->work[index];
    ng_values_begin(e, l, work, s);
    /* Before the stores, not among them: mixed with streaming stores, prefetches cost a quarter of
     * the speed from memory. */
    for (int row = 0; row < work->rows->n && work->prefetch; row++)
        prefetch(w, work, row, &s, elements);
    for (int row = 0; row < work->rows->n; row++) {
        if (l->limit) {
            ng_move_slice(l, work->rows, row, s.v_at, elements);
        } else {
            ng_accumulate(e, &w->r, w->work, index, row);
            ng_evaluate_stores(e, row);
        }
    }
}

/* `elements` from v_at on; `at` is the offset in the step or, unrolled, in the row. All loads come
 * before all stores: a load that follows a store to an address with the same last twelve bits, as
 * the rows of a block often have, waits for it. */
static void elements_at(sweep *w, ng_v v_at, int64_t at, int64_t elements) {
    int64_t vector = w->l->vector, most = w->l->slice * vector;
    ng_values e[NG_MAX_TOGETHER];
    for (int64_t from = 0; from < elements; from += most) {
        int64_t n = elements - from < most ? elements - from : most;
        ng_slice s = {.v_at = LLVMBuildAdd(w->l->g.b, v_at, ng_i64(&w->l->g, from), ""),
                      .at = at + from,
                      .vectors = (int)((n + vector - 1) / vector),
                      .partial = (int)(n % vector)};
        w->l->pooled = 0;
        for (int index = 0; index < w->works; index++) begin_slice(w, index, &e[index], s, n);
        for (int index = 0; index < w->works && !w->l->limit; index++)
            for (int row = 0; row < w->work[index].rows->n; row++) ng_store_slice(&e[index], row);
    }
}

/* ---- runs of elements ---- */

/* Elements from v_from on, `count` of them: a loop over whole steps and what remains. */
static void run(sweep *w, ng_v v_from, int64_t at, int64_t count) {
    const ng_build *g = &w->l->g;
    int64_t step = step_of(w->l), whole = count - count % step;
    if (w->l->unrolled) {
        for (int64_t from = 0; from < count; from += step)
            elements_at(w, ng_i64(g, at + from), at + from,
                        count - from < step ? count - from : step);
        return;
    }
    if (count <= step) {
        elements_at(w, v_from, 0, count);
        return;
    }
    if (whole) {
        ng_loop loop;
        ng_v v_end = LLVMBuildAdd(g->b, v_from, ng_i64(g, whole), "");
        ng_loop_begin(g, &loop, v_from, v_end, step, w->r.acc, w->r.total);
        elements_at(w, loop.v_index, 0, step);
        ng_loop_end(g, &loop);
    }
    if (count > whole)
        elements_at(w, LLVMBuildAdd(g->b, v_from, ng_i64(g, whole), ""), 0, count - whole);
}

/* A pass with reductions: segment by segment. Whole segments are one loop; a row of one segment, or
 * its last partial one, stays in registers. */
static void run_segments(sweep *w) {
    ng_lower *l = w->l;
    const ng_build *g = &l->g;
    int64_t width = l->p->width[w->work[0].pass];
    int64_t whole = width > NG_SEGMENT ? width / NG_SEGMENT : 0, tail = width - whole * NG_SEGMENT;
    if (whole && l->unrolled) {
        for (int64_t s = 0; s < whole; s++) {
            ng_reductions_zero(l, &w->r);
            run(w, NULL, s * NG_SEGMENT, NG_SEGMENT);
            ng_carry(l, &w->r, w->work, ng_i64(g, s));
        }
    } else if (whole) {
        ng_loop loop;
        ng_loop_begin(g, &loop, ng_i64(g, 0), ng_i64(g, whole), 1, NULL, 0);
        ng_reductions_zero(l, &w->r);
        run(w, LLVMBuildMul(g->b, loop.v_index, ng_i64(g, NG_SEGMENT), ""), 0, NG_SEGMENT);
        ng_carry(l, &w->r, w->work, loop.v_index);
        ng_loop_end(g, &loop);
    }
    if (tail) {
        ng_reductions_zero(l, &w->r);
        run(w, ng_i64(g, whole * NG_SEGMENT), whole * NG_SEGMENT, tail);
    }
    ng_finish(l, &w->r, w->work, whole, tail != 0);
}

void ng_sweep(ng_lower *l, const ng_work *work, int works) {
    ng_v acc[MAX_REDUCTIONS * MAX_BLOCK * MAX_LANE_VECTORS];
    sweep w = {.l = l, .work = work, .works = works};
    w.r.acc = acc;
    if (!l->limit) {
        for (int i = 0; i < works; i++) ng_prepare_scalars(l, &work[i]);
        ng_reductions_find(l, work, works, &w.r);
    }
    if (w.r.n)
        run_segments(&w);
    else if (l->limit || l->p->width[work[0].pass])
        run(&w, ng_i64(&l->g, 0), 0, l->p->hidden);
    for (int i = 0; i < works && !l->limit; i++)
        if (work[i].pass == l->p->passes - 1) ng_store_scalars(l, work[i].rows);
}
