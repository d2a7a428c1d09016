/* SPDX-License-Identifier: Apache-2.0 */
/* One sweep over the elements of a block of rows: the last pass of one block and the first of
 * another may share it. Elements go in steps that are a multiple of the lanes, so that an
 * accumulator is a fixed register; a step is made of slices of a few vectors, so that little is
 * alive at once. */
#include "lower.h"

#include "types.h"

#include <stdlib.h>
#include <string.h>

enum {
    LINE = 64,      /* bytes of a cache line */
    ALIASED = 4096, /* bytes between addresses that a load confuses with those of earlier stores */
    UNSTORED = 8,   /* vectors of a value that wait for their store */
    ACCUMULATORS = MAX_REDUCTIONS * MAX_BLOCK * MAX_LANE_VECTORS,
    EARLY = MAX_CARRIED * MAX_BLOCK * NG_MAX_TOGETHER * MAX_SLICE
};

typedef struct sweep {
    ng_lower *l;
    const ng_work *work;
    int works;
    ng_reductions r;
    ng_early early; /* of the loop at hand */
} sweep;

static int64_t step_of(const ng_lower *l) { return ng_schedule_step(l->p, l->s); }

/* ---- one slice ---- */

static void prefetch(ng_lower *l, ng_v v_ptr, bool writes, int nearness) {
    const ng_build *g = &l->g;
    ng_v args[4] = {v_ptr, ng_i32(g, writes), ng_i32(g, nearness), ng_i32(g, 1)};
    LLVMTypeRef types[1] = {g->t_ptr};
    ng_intrinsic(g, "llvm.prefetch", types, 1, args, 4);
}

/* How far before its store a line is asked for: as long as a line needs to L1, but not so far that
 * the lines of rows in turn take L1 up. Rows of a block that lie one after the other all ask for
 * their lines of a block to come. */
static int64_t ahead_of_store(const ng_lower *l, const ng_stream *stream) {
    enum { AHEAD = 24 * LINE, MOST = 8192 };
    int64_t rows = ng_schedule_rows(l->s), block = rows * (int64_t)stream->row_bytes;
    if (rows == 1 || block > MOST) return AHEAD;
    return (AHEAD + block - 1) / block * block;
}

/* store=ahead: the lines that this pass will write. */
static void ask_ahead(ng_lower *l, const ng_work *work, int row, const ng_slice *s) {
    const ng_build *g = &l->g;
    for (int i = 0; i < l->p->streams; i++) {
        const ng_stream *stream = &l->p->stream[i];
        if (!ng_schedule_asks_ahead(l->s, stream) || !ng_writes(l, work->pass, i)) continue;
        int64_t each = ng_types[stream->type].bytes, bytes = ng_slice_elements(l, s) * each;
        ng_v v_at = LLVMBuildMul(g->b, s->v_at, ng_i64(g, each), "");
        ng_v v_ptr = ng_offset(g, work->rows->base[i][row], v_at);
        for (int64_t byte = 0; byte < bytes; byte += LINE) {
            int64_t offset = byte + ahead_of_store(l, stream);
            prefetch(l, ng_offset(g, v_ptr, ng_i64(g, offset)), true, 3);
        }
    }
}

/* What the last pass requests of the row to come. */
static void ask_for_row(ng_lower *l, const ng_work *work, int row, const ng_slice *s) {
    int64_t elements = ng_slice_elements(l, s);
    const ng_build *g = &l->g;
    int nearness = l->s->prefetch == NG_PREFETCH_NEXT ? 3 : 2; /* all caches, or from L2 on */
    int requests = ng_schedule_requests(l->s);
    for (int n = 0; n < requests * l->p->streams; n++) {
        int i = n / requests, request = n % requests;
        const ng_stream *stream = &l->p->stream[i];
        if (stream->out || !ng_stream_moves(stream)) continue;
        int64_t bytes = ng_types[stream->type].bytes;
        ng_v v_at = LLVMBuildMul(g->b, s->v_at, ng_i64(g, bytes), "");
        ng_v v_ptr = ng_offset(g, work->prefetch->again[request][i][row], v_at);
        for (int64_t byte = 0; byte < elements * bytes; byte += LINE)
            prefetch(l, ng_offset(g, v_ptr, ng_i64(g, byte)), false, nearness);
    }
}

/* Behind the loads of the slice and before its stores: with requests in front of the loads or among
 * streaming stores the same norm takes 5 to 10 % longer from memory. */
void ng_prefetch_slice(ng_lower *l, const ng_work *work, int from, int to, const ng_slice *s) {
    if (work->prefetch) ng_memory_order(&l->g);
    for (int row = from; row < to; row++) {
        if (work->prefetch) ask_for_row(l, work, row, s);
        ask_ahead(l, work, row, s);
    }
    if (work->prefetch) ng_memory_order(&l->g);
}

/* Everything of rows `from` to `to` - 1 but the stores. */
static void begin_rows(sweep *w, int index, ng_values *e, int from, int to) {
    ng_lower *l = w->l;
    const ng_work *work = &w->work[index];
    for (int row = from; row < to; row++) {
        if (l->limit) {
            ng_move_slice(l, work, row, &e->slice);
        } else if (work->pass == NG_SHARED_PASS) {
            ng_store_shared(e);
        } else {
            ng_accumulate(e, &w->r, w->work, index, row);
            ng_evaluate_stores(e, row);
        }
    }
}

/* Rows whose loads come before the stores of any of them. A load that follows a store to an
 * address with the same last twelve bits waits for it, as it may happen all the time in rows of 4
 * KiB: there it is all rows of a block. Shorter rows lie between each other, and what is computed
 * but not stored yet should fit the registers. */
static int rows_together(const ng_lower *l, const ng_slice *s, int rows) {
    for (int i = 0; i < l->p->streams; i++)
        if (ng_stream_moves(&l->p->stream[i]) && l->p->stream[i].row_bytes >= ALIASED) return rows;
    return s->vectors < UNSTORED ? UNSTORED / s->vectors : 1;
}

/* `elements` from v_at on; `at` is the offset in the step or, unrolled, in the row. */
static void elements_at(sweep *w, ng_v v_at, int64_t at, int64_t elements) {
    ng_lower *l = w->l;
    int64_t vector = l->vector, most = l->slice * vector;
    int rows = w->work[0].rows->n;
    ng_values e[NG_MAX_TOGETHER];
    for (int64_t from = 0; from < elements; from += most) {
        int64_t n = elements - from < most ? elements - from : most;
        ng_slice s = {.v_at = LLVMBuildAdd(l->g.b, v_at, ng_i64(&l->g, from), ""),
                      .at = at + from,
                      .vectors = (int)((n + vector - 1) / vector),
                      .partial = (int)(n % vector)};
        int together = rows_together(l, &s, rows);
        l->pooled = 0;
        for (int index = 0; index < w->works; index++)
            ng_values_begin(&e[index], l, &w->work[index], s);
        ng_early_step(&w->early, e, w->works);
        for (int row = 0, to; row < rows; row = to) {
            to = row + together < rows ? row + together : rows;
            for (int index = 0; index < w->works; index++)
                begin_rows(w, index, &e[index], row, to);
            if (l->limit) continue;
            for (int index = 0; index < w->works; index++)
                ng_prefetch_slice(l, &w->work[index], row, to, &s);
            for (int index = 0; index < w->works; index++)
                for (int r = row; r < to; r++) ng_store_slice(&e[index], r);
        }
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
    if (w->works == 1 && !w->r.n && ng_waits_for_groups(w->l, w->work) && whole > step) {
        ng_run_ahead(w->l, w->work, v_from, whole);
    } else if (whole) {
        ng_loop loop;
        ng_v v_end = LLVMBuildAdd(g->b, v_from, ng_i64(g, whole), "");
        if (w->l->s->slice == NG_SLICE_AHEAD && !w->l->limit && whole > step) {
            w->early.v = w->r.acc + w->r.carried;
            ng_early_begin(&w->early, w->l, w->work, w->works, v_from, whole);
        }
        ng_loop_begin(g, &loop, v_from, v_end, step, w->r.acc, w->r.carried + w->early.n);
        elements_at(w, loop.v_index, 0, step);
        ng_loop_end(g, &loop);
        w->early.n = 0;
    }
    if (count > whole)
        elements_at(w, LLVMBuildAdd(g->b, v_from, ng_i64(g, whole), ""), 0, count - whole);
}

/* Whole segments and a last shorter one in one loop, whose code is there once. Leaves the last's
 * sums in acc; what is behind the sums goes on from segment to segment. */
static void run_all_segments(sweep *w, int64_t width) {
    ng_lower *l = w->l;
    const ng_build *g = &l->g;
    ng_t t = g->t_i64;
    ng_v last[ACCUMULATORS], on[ACCUMULATORS], *acc = w->r.acc;
    unsigned sums = w->r.sums, all = w->r.carried;
    LLVMBasicBlockRef b_from = ng_block_here(g), b_head = ng_block_new(g, "segment"),
                      b_carry = ng_block_new(g, "whole"), b_done = ng_block_new(g, "segments_done");
    ng_loop loop;
    LLVMBuildBr(g->b, b_head);
    ng_block_start(g, b_head);
    ng_v v_segment = ng_phi(g, ng_i64(g, 0), b_from);
    for (unsigned i = sums; i < all; i++) acc[i] = on[i] = ng_phi(g, acc[i], b_from);
    ng_v v_begin = LLVMBuildMul(g->b, v_segment, ng_i64(g, NG_SEGMENT), "");
    ng_v ends[2] = {LLVMBuildAdd(g->b, v_begin, ng_i64(g, NG_SEGMENT), ""), ng_i64(g, width)};
    ng_reductions_zero(l, &w->r);
    ng_loop_begin(g, &loop, v_begin, ng_intrinsic(g, "llvm.umin", &t, 1, ends, 2), step_of(l), acc,
                  all);
    elements_at(w, loop.v_index, 0, step_of(l));
    ng_loop_end(g, &loop);
    memcpy(last, acc, all * sizeof *last);
    ng_v v_is_last = LLVMBuildICmp(g->b, LLVMIntEQ, v_segment, ng_i64(g, width / NG_SEGMENT), "");
    LLVMBuildCondBr(g->b, v_is_last, b_done, b_carry);
    ng_block_start(g, b_carry);
    ng_carry(l, &w->r, v_segment);
    for (unsigned i = sums; i < all; i++) ng_phi_add(on[i], acc[i], ng_block_here(g));
    ng_phi_add(v_segment, ng_opaque(g, LLVMBuildAdd(g->b, v_segment, ng_i64(g, 1), "")),
               ng_block_here(g));
    LLVMBuildBr(g->b, b_head);
    ng_block_start(g, b_done);
    memcpy(acc, last, all * sizeof *last);
}

/* A pass with reductions: segment by segment. Whole segments are one loop; a row of one segment, or
 * its last partial one, stays in registers. */
static void run_segments(sweep *w) {
    ng_lower *l = w->l;
    const ng_build *g = &l->g;
    int64_t width = l->p->width[w->work[0].pass];
    int64_t whole = width > NG_SEGMENT ? width / NG_SEGMENT : 0, tail = width - whole * NG_SEGMENT;
    ng_reductions_start(l, &w->r);
    if (w->r.sums == 0) { /* in any order */
        run(w, ng_i64(g, 0), 0, width);
        ng_finish(l, &w->r, w->work, 0, true);
        return;
    }
    if (whole && tail && !l->unrolled && ng_schedule_even_segments(l->p, l->s)) {
        run_all_segments(w, width);
        ng_finish(l, &w->r, w->work, whole, true);
        return;
    }
    if (whole && l->unrolled) {
        for (int64_t s = 0; s < whole; s++) {
            ng_reductions_zero(l, &w->r);
            run(w, NULL, s * NG_SEGMENT, NG_SEGMENT);
            ng_carry(l, &w->r, ng_i64(g, s));
        }
    } else if (whole) {
        ng_loop loop;
        ng_loop_begin(g, &loop, ng_i64(g, 0), ng_i64(g, whole), 1, w->r.acc + w->r.sums,
                      w->r.carried - w->r.sums);
        ng_reductions_zero(l, &w->r);
        run(w, LLVMBuildMul(g->b, loop.v_index, ng_i64(g, NG_SEGMENT), ""), 0, NG_SEGMENT);
        ng_carry(l, &w->r, loop.v_index);
        ng_loop_end(g, &loop);
    }
    if (tail) {
        ng_reductions_zero(l, &w->r);
        run(w, ng_i64(g, whole * NG_SEGMENT), whole * NG_SEGMENT, tail);
    }
    ng_finish(l, &w->r, w->work, whole, tail != 0);
}

void ng_sweep_shared(ng_lower *l) {
    ng_rows rows = {.n = 1};
    ng_work work = {.rows = &rows, .pass = NG_SHARED_PASS};
    sweep w = {.l = l, .work = &work, .works = 1};
    for (int s = 0; s < l->p->streams; s++) rows.base[s][0] = l->base[s];
    ng_prepare_shared(l, &rows);
    run(&w, ng_i64(&l->g, 0), 0, l->p->hidden);
}

void ng_sweep_tile(ng_lower *l, const ng_work *work, ng_v v_from, int64_t count) {
    ng_v early[EARLY];
    sweep w = {.l = l, .work = work, .works = 1, .r.acc = early};
    l->works = 1;
    ng_prepare_scalars(l, work);
    run(&w, v_from, 0, count);
}

void ng_sweep(ng_lower *l, const ng_work *work, int works) {
    ng_v acc[ACCUMULATORS + EARLY];
    sweep w = {.l = l, .work = work, .works = works};
    w.r.acc = acc;
    l->works = works;
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
