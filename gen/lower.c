/* SPDX-License-Identifier: Apache-2.0 */
/* The function of a kernel: arguments, blocks of rows, their addresses, and which passes run
 * together. What happens to the elements of a block is the business of sweep.c. */
#include "lower.h"

#include "types.h"

#include <stdlib.h>
#include <string.h>

/* ---- arguments and stack ---- */

static ng_v argument_field(ng_lower *l, size_t offset, ng_t type) {
    return ng_load(&l->g, type, ng_offset(&l->g, l->v_args, ng_i64(&l->g, (int64_t)offset)), 8);
}

static void load_arguments(ng_lower *l) {
    l->v_args = LLVMGetParam(l->g.fn, 0);
    l->v_first = LLVMGetParam(l->g.fn, 1);
    l->v_last = LLVMGetParam(l->g.fn, 2);
    l->v_per_outer = argument_field(l, offsetof(normgen_bound_args, rows_per_outer), l->g.t_i64);
    for (int s = 0; s < l->p->streams; s++) {
        size_t at = offsetof(normgen_bound_args, stream) + (size_t)s * sizeof(normgen_stream);
        l->base[s] = argument_field(l, at + offsetof(normgen_stream, base), l->g.t_ptr);
        l->inner[s] = argument_field(l, at + offsetof(normgen_stream, inner), l->g.t_i64);
        l->outer[s] = argument_field(l, at + offsetof(normgen_stream, outer), l->g.t_i64);
    }
}

static ng_v stack_vectors(ng_lower *l, uint64_t vectors) {
    ng_v v = LLVMBuildAlloca(l->g.b, LLVMArrayType2(l->t_vec, vectors), "");
    LLVMSetAlignment(v, 64);
    return v;
}

static void reserve_stack(ng_lower *l) {
    const ng_program *p = l->p;
    uint64_t vectors = (uint64_t)((p->hidden + l->vector) * l->s->block / l->vector + 1);
    if (l->s->store == NG_STORE_STAGED) l->stage = stack_vectors(l, STAGE);
    if (l->limit) return;
    for (int j = 0; j < p->keeps; j++)
        if (l->s->keep[j] == NG_SCRATCH) l->scratch[j] = stack_vectors(l, vectors);
    if (p->passes > 1 && p->hidden > NG_SEGMENT)
        l->counter = stack_vectors(l, ng_counter_vectors(l));
}

/* ---- rows ---- */

/* A place among the rows: row = outer * rows_per_outer + inner, kept in parts so that no division
 * is needed. */
typedef struct position {
    ng_v v_row, v_outer, v_inner;
} position;

static position next_row(ng_lower *l, position at) {
    const ng_build *g = &l->g;
    ng_v v_inner = LLVMBuildAdd(g->b, at.v_inner, ng_i64(g, 1), "");
    ng_v v_wraps = LLVMBuildICmp(g->b, LLVMIntEQ, v_inner, l->v_per_outer, "");
    ng_v v_more = LLVMBuildZExt(g->b, v_wraps, g->t_i64, "");
    return (position){.v_row = LLVMBuildAdd(g->b, at.v_row, ng_i64(g, 1), ""),
                      .v_outer = LLVMBuildAdd(g->b, at.v_outer, v_more, ""),
                      .v_inner = LLVMBuildSelect(g->b, v_wraps, ng_i64(g, 0), v_inner, "")};
}

static position first_position(ng_lower *l) {
    const ng_build *g = &l->g;
    LLVMBasicBlockRef b_entry = ng_block_here(g), b_divide = ng_block_new(g, "divide"),
                      b_go = ng_block_new(g, "go");
    ng_v v_small = LLVMBuildICmp(g->b, LLVMIntULT, l->v_first, l->v_per_outer, "");
    LLVMBuildCondBr(g->b, v_small, b_go, b_divide);
    ng_block_start(g, b_divide);
    ng_v v_outer = LLVMBuildUDiv(g->b, l->v_first, l->v_per_outer, "");
    ng_v v_inner = LLVMBuildURem(g->b, l->v_first, l->v_per_outer, "");
    LLVMBuildBr(g->b, b_go);
    ng_block_start(g, b_go);
    position at = {.v_row = l->v_first, .v_outer = ng_phi(g, ng_i64(g, 0), b_entry)};
    at.v_inner = ng_phi(g, l->v_first, b_entry);
    ng_phi_add(at.v_outer, v_outer, b_divide);
    ng_phi_add(at.v_inner, v_inner, b_divide);
    return at;
}

/* A position that is carried around a loop: three phis. */
static position carry_position(ng_lower *l, position from, LLVMBasicBlockRef b_from) {
    return (position){ng_phi(&l->g, from.v_row, b_from), ng_phi(&l->g, from.v_outer, b_from),
                      ng_phi(&l->g, from.v_inner, b_from)};
}
static void carry_back(position phi, position next, LLVMBasicBlockRef b_from) {
    ng_phi_add(phi.v_row, next.v_row, b_from);
    ng_phi_add(phi.v_outer, next.v_outer, b_from);
    ng_phi_add(phi.v_inner, next.v_inner, b_from);
}
/* To the top of a loop: see ng_opaque. */
static void carry_around(const ng_build *g, position phi, position next) {
    carry_back(phi,
               (position){ng_opaque(g, next.v_row), ng_opaque(g, next.v_outer),
                          ng_opaque(g, next.v_inner)},
               ng_block_here(g));
}

static ng_v row_address(ng_lower *l, int stream, position at) {
    const ng_build *g = &l->g;
    if (ng_stream_shared(&l->p->stream[stream])) return l->base[stream];
    ng_v v_outer = LLVMBuildMul(g->b, at.v_outer, l->outer[stream], "");
    ng_v v_inner = LLVMBuildMul(g->b, at.v_inner, l->inner[stream], "");
    return ng_offset(g, l->base[stream], LLVMBuildAdd(g->b, v_outer, v_inner, ""));
}

/* The n rows from a position on; *at moves behind them. */
static void rows_at(ng_lower *l, ng_rows *rows, int n, position *at) {
    ng_v *kept[NG_MAX_KEEP];
    memcpy(kept, rows->kept, sizeof kept);
    memset(rows, 0, sizeof *rows);
    memcpy(rows->kept, kept, sizeof kept);
    rows->n = n;
    for (int r = 0; r < n; r++, *at = next_row(l, *at))
        for (int s = 0; s < l->p->streams; s++) rows->base[s][r] = row_address(l, s, *at);
}

/* ---- blocks of rows ---- */

/* The rows after a block, for prefetching; where there are none, those of the block itself. */
static void rows_to_prefetch(ng_lower *l, ng_rows *rows, const ng_rows *current, position at) {
    const ng_build *g = &l->g;
    rows->n = current->n;
    for (int r = 0; r < rows->n; r++, at = next_row(l, at)) {
        ng_v v_inside = LLVMBuildICmp(g->b, LLVMIntULT, at.v_row, l->v_last, "");
        for (int s = 0; s < l->p->streams; s++)
            rows->base[s][r] =
                LLVMBuildSelect(g->b, v_inside, row_address(l, s, at), current->base[s][r], "");
    }
}

/* The last pass that goes over elements: meanwhile the next block is prefetched. */
static int prefetching_pass(const ng_lower *l) {
    int last = l->p->passes - 1;
    return l->limit || l->p->width[last] ? last : last - 1;
}

static void all_passes(ng_lower *l, ng_rows *rows, position after) {
    ng_rows to_come = {0};
    for (int pass = l->limit ? l->p->passes - 1 : 0; pass < l->p->passes; pass++) {
        ng_work work = {.rows = rows, .pass = pass};
        if (l->s->prefetch != NG_PREFETCH_NONE && pass == prefetching_pass(l)) {
            rows_to_prefetch(l, &to_come, rows, after);
            work.prefetch = &to_come;
        }
        ng_sweep(l, &work, 1);
    }
}

/* while (at + n <= last) { all passes of n rows; at += n }: returns where it stopped. */
static position plain_blocks(ng_lower *l, ng_rows *rows, int n, position at) {
    const ng_build *g = &l->g;
    LLVMBasicBlockRef b_from = ng_block_here(g), b_test = ng_block_new(g, "blocks");
    LLVMBasicBlockRef b_body = ng_block_new(g, "block"), b_done = ng_block_new(g, "blocks_done");
    LLVMBuildBr(g->b, b_test);
    ng_block_start(g, b_test);
    position here = carry_position(l, at, b_from), after = here;
    ng_v v_left = LLVMBuildSub(g->b, l->v_last, here.v_row, "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntUGE, v_left, ng_i64(g, n), ""), b_body,
                    b_done);
    ng_block_start(g, b_body);
    rows_at(l, rows, n, &after);
    all_passes(l, rows, after);
    carry_around(g, here, after);
    LLVMBuildBr(g->b, b_test);
    ng_block_start(g, b_done);
    return here;
}

/* ---- overlap ---- */

/* What the first passes leave behind: their reductions, and first elements that were read before
 * them. */
static int roots_of(const ng_lower *l, int passes, int *roots) {
    int n = 0;
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        if (op->code == NG_PEEK || (ng_op_reduces(op) && op->level <= passes)) roots[n++] = i;
    }
    return n;
}

/* first pass of block 0
 * loop:  middle passes of this block; leave when it is the last one
 *        last pass of this block together with the first pass of the next; what is prefetched is
 *        the block after that
 * last pass of the last block */
static position overlapped_blocks(ng_lower *l, ng_rows *rows, int n, position at) {
    const ng_build *g = &l->g;
    int roots[NG_MAX_OPS], n_roots = roots_of(l, 1, roots), last = l->p->passes - 1;
    ng_rows next = {0}, to_come = {0};
    position after = at;
    LLVMBasicBlockRef b_none = ng_block_here(g), b_first = ng_block_new(g, "first");
    LLVMBasicBlockRef b_loop = ng_block_new(g, "overlap"), b_both = ng_block_new(g, "both");
    LLVMBasicBlockRef b_last = ng_block_new(g, "last"), b_done = ng_block_new(g, "overlap_done");
    ng_v v_left = LLVMBuildSub(g->b, l->v_last, at.v_row, "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntUGE, v_left, ng_i64(g, n), ""), b_first,
                    b_done);

    ng_block_start(g, b_first);
    rows_at(l, rows, n, &after);
    ng_sweep(l, &(ng_work){.rows = rows, .pass = 0}, 1);
    LLVMBasicBlockRef b_from = ng_block_here(g);
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_loop);
    position here = carry_position(l, at, b_from);
    ng_v carried[NG_MAX_OPS];
    for (int i = 0; i < n_roots; i++) carried[i] = ng_phi(g, rows->scalar[roots[i]], b_from);
    after = here;
    rows_at(l, rows, n, &after);
    for (int i = 0; i < n_roots; i++) rows->scalar[roots[i]] = carried[i];
    for (int pass = 1; pass < last; pass++) ng_sweep(l, &(ng_work){.rows = rows, .pass = pass}, 1);
    v_left = LLVMBuildSub(g->b, l->v_last, after.v_row, "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntUGE, v_left, ng_i64(g, n), ""), b_both,
                    b_last);

    ng_block_start(g, b_both);
    ng_rows current = *rows; /* scalars computed in this branch are not those of the other */
    position behind = after;
    rows_at(l, &next, n, &behind);
    ng_work both[2] = {{.rows = &current, .pass = last}, {.rows = &next, .pass = 0}};
    if (l->s->prefetch != NG_PREFETCH_NONE) {
        rows_to_prefetch(l, &to_come, &next, behind);
        both[0].prefetch = &to_come;
    }
    ng_sweep(l, both, 2);
    carry_around(g, here, after);
    for (int i = 0; i < n_roots; i++)
        ng_phi_add(carried[i], next.scalar[roots[i]], ng_block_here(g));
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_last);
    ng_sweep(l, &(ng_work){.rows = rows, .pass = last}, 1);
    LLVMBasicBlockRef b_end = ng_block_here(g);
    LLVMBuildBr(g->b, b_done);

    ng_block_start(g, b_done);
    position out = carry_position(l, at, b_none);
    carry_back(out, after, b_end);
    return out;
}

/* ---- overlap of all passes ---- */

/* Blocks in flight: number 0 is the oldest. */
typedef struct flight {
    ng_rows block[NG_MAX_TOGETHER];
    ng_v phi[NG_MAX_TOGETHER][NG_MAX_OPS]; /* roots at the top of the loop */
} flight;

/* One sweep: blocks `from` to `to` - 1, the first in pass `pass`, each next one a pass behind. */
static void sweep_flight(ng_lower *l, flight *f, int from, int to, int pass, ng_rows *prefetch) {
    ng_work work[NG_MAX_TOGETHER];
    for (int j = from; j < to; j++)
        work[j - from] = (ng_work){.rows = &f->block[j], .pass = pass - (j - from)};
    work[0].prefetch = prefetch;
    ng_sweep(l, work, to - from);
}

/* The phis of what the blocks have computed so far, and their way back around the loop, where each
 * block has become an older one. */
static void carry_roots(ng_lower *l, flight *f, LLVMBasicBlockRef b_from, bool back) {
    int roots[NG_MAX_OPS], passes = l->p->passes;
    for (int j = 0; j + 1 < passes; j++) {
        int n = roots_of(l, passes - 1 - j, roots);
        for (int i = 0; i < n; i++)
            if (back)
                ng_phi_add(f->phi[j][i], f->block[j + 1].scalar[roots[i]], b_from);
            else
                f->phi[j][i] = ng_phi(&l->g, f->block[j].scalar[roots[i]], b_from);
    }
}

/* All blocks in flight from a position on; *second is the position of the second one. Returns the
 * one behind them. */
static position take_off(ng_lower *l, flight *f, int n, position at, position *second) {
    int roots[NG_MAX_OPS], passes = l->p->passes;
    for (int j = 0; j < passes; j++) {
        rows_at(l, &f->block[j], n, &at);
        if (j == 0) *second = at;
        int n_roots = roots_of(l, passes - 1 - j, roots);
        for (int i = 0; i < n_roots && j + 1 < passes; i++)
            f->block[j].scalar[roots[i]] = f->phi[j][i];
    }
    return at;
}

/* When there are as many blocks as passes:
 * first passes of the first blocks, until each is a pass behind the one before it
 * loop:  one pass of each block in flight, the last one of the oldest and the first one of a new
 * one what is left of the others */
static position pipelined_blocks(ng_lower *l, flight *f, int n, position at) {
    const ng_build *g = &l->g;
    int passes = l->p->passes;
    ng_rows to_come = {0};
    position from = at, second = at;
    LLVMBasicBlockRef b_none = ng_block_here(g), b_first = ng_block_new(g, "first");
    LLVMBasicBlockRef b_loop = ng_block_new(g, "pipeline"), b_drain = ng_block_new(g, "drain"),
                      b_done = ng_block_new(g, "pipeline_done");
    ng_v v_left = LLVMBuildSub(g->b, l->v_last, at.v_row, "");
    ng_v v_enough = LLVMBuildICmp(g->b, LLVMIntUGE, v_left, ng_i64(g, (int64_t)n * passes), "");
    LLVMBuildCondBr(g->b, v_enough, b_first, b_done);

    ng_block_start(g, b_first);
    for (int j = 0; j + 1 < passes; j++) rows_at(l, &f->block[j], n, &from);
    for (int pass = 0; pass + 1 < passes; pass++) sweep_flight(l, f, 0, pass + 1, pass, NULL);
    LLVMBasicBlockRef b_from = ng_block_here(g);
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_loop);
    position here = carry_position(l, at, b_from);
    carry_roots(l, f, b_from, false);
    position after = take_off(l, f, n, here, &second);
    if (l->s->prefetch != NG_PREFETCH_NONE)
        rows_to_prefetch(l, &to_come, &f->block[passes - 1], after);
    sweep_flight(l, f, 0, passes, passes - 1, l->s->prefetch == NG_PREFETCH_NONE ? NULL : &to_come);
    carry_around(g, here, second);
    v_left = LLVMBuildSub(g->b, l->v_last, after.v_row, "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntUGE, v_left, ng_i64(g, n), ""), b_loop,
                    b_drain);
    carry_roots(l, f, ng_block_here(g), true);

    ng_block_start(g, b_drain);
    for (int j = 1; j < passes; j++) sweep_flight(l, f, j, passes, passes - 1, NULL);
    LLVMBasicBlockRef b_end = ng_block_here(g);
    LLVMBuildBr(g->b, b_done);

    ng_block_start(g, b_done);
    position out = carry_position(l, at, b_none);
    carry_back(out, after, b_end);
    return out;
}

/* ---- the function ---- */

static void start_function(ng_lower *l, const char *symbol) {
    ng_build *g = &l->g;
    ng_t params[3] = {g->t_ptr, g->t_i64, g->t_i64};
    ng_t type = LLVMFunctionType(LLVMVoidTypeInContext(g->context), params, 3, false);
    g->fn = LLVMAddFunction(g->module, symbol, type);
    ng_block_start(g, ng_block_new(g, "entry"));
}

static void start_types(ng_lower *l) {
    const ng_build *g = &l->g;
    bool wide = l->p->compute == NORMGEN_F64;
    l->real_bytes = ng_types[l->p->compute].bytes;
    l->vector = ng_schedule_vector(l->p, l->s);
    l->t_real = wide ? g->t_double : g->t_float;
    l->t_int = wide ? g->t_i64 : g->t_i32;
    l->t_vec = LLVMVectorType(l->t_real, (unsigned)l->vector);
    l->slice = ng_schedule_slice(l->p, l->s);
    ng_program_demand(l->p, l->s->keep, l->passes);
    ng_groups_find(l);
    for (int j = 0; j < l->p->keeps; j++) l->unrolled = l->unrolled || l->s->keep[j] == NG_REGS;
    if (l->limit) l->unrolled = false;
}

static bool streams_something(const ng_lower *l) {
    if (l->limit) return l->s->store != NG_STORE_CACHED;
    for (int i = 0; i < l->p->ops; i++)
        if (l->p->op[i].code == NG_STORE && ng_schedule_streams(l->p, l->s, &l->p->op[i]))
            return true;
    return false;
}

static bool reserve_registers(ng_lower *l, ng_rows *rows) {
    size_t vectors = (size_t)((l->p->hidden + l->vector - 1) / l->vector) * (size_t)l->s->block;
    for (int j = 0; j < l->p->keeps && !l->limit; j++)
        if (l->s->keep[j] == NG_REGS && !(rows->kept[j] = calloc(vectors, sizeof(ng_v))))
            return false;
    return true;
}

bool ng_lower_function(ng_lower *l, const char *symbol) {
    const ng_build *g = &l->g;
    ng_rows rows = {0};
    start_types(l);
    /* Several passes may be at a slice together; a value may have its memory form beside it. */
    l->pool =
        calloc((size_t)(2 * NG_MAX_TOGETHER * l->p->ops * l->s->block * l->slice), sizeof *l->pool);
    flight *flying = calloc(1, sizeof *flying);
    bool ok = l->pool && flying && reserve_registers(l, &rows);
    if (ok) {
        start_function(l, symbol);
        load_arguments(l);
        reserve_stack(l);
        position at = first_position(l);
        if (l->s->overlap == NG_OVERLAP_ALL && !l->limit)
            at = pipelined_blocks(l, flying, l->s->block, at);
        else if (l->s->overlap && !l->limit)
            at = overlapped_blocks(l, &rows, l->s->block, at);
        else if (l->s->block > 1)
            at = plain_blocks(l, &rows, l->s->block, at);
        plain_blocks(l, &rows, 1, at); /* what is left, row by row */
        if (streams_something(l)) ng_intrinsic(g, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
        LLVMBuildRetVoid(g->b);
    }
    for (int j = 0; j < NG_MAX_KEEP; j++) free(rows.kept[j]);
    free(flying);
    free(l->pool);
    return ok;
}
