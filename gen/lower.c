/* SPDX-License-Identifier: Apache-2.0 */
/* The function of a kernel: arguments, blocks of rows and their addresses. Which passes run
 * together is the business of overlap.c and tiles.c, what happens to the elements of a block that
 * of sweep.c. */
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

ng_v ng_stack_vectors(ng_lower *l, uint64_t vectors) {
    ng_v v = LLVMBuildAlloca(l->g.b, LLVMArrayType2(l->t_vec, vectors), "");
    LLVMSetAlignment(v, 64);
    return v;
}

static void reserve_stack(ng_lower *l) {
    const ng_program *p = l->p;
    int64_t rows = l->s->block * ng_schedule_scratches(p, l->s);
    uint64_t vectors = (uint64_t)((p->hidden + l->vector) * rows / l->vector + 1);
    if (l->s->store == NG_STORE_STAGED) l->stage = ng_stack_vectors(l, STAGE);
    if (l->limit) return;
    for (int j = 0; j < p->keeps; j++)
        if (l->s->keep[j] == NG_SCRATCH) l->scratch[j] = ng_stack_vectors(l, vectors);
    for (int i = 0; i < p->ops; i++)
        if (ng_schedule_once(p, l->s, i))
            l->once[i] = ng_stack_vectors(l, (uint64_t)(p->hidden / l->vector + 1));
    if (ng_by_range(l) && ng_has_groups(l)) l->spread = ng_stack_vectors(l, 1);
    if (l->s->visit == NG_VISIT_STRIPS) ng_strip_reserve(l);
    if (l->s->visit == NG_VISIT_TILES)
        l->between = ng_stack_vectors(l, (uint64_t)(l->s->block * p->ops / l->vector + 1));
    if (p->passes > 1 && p->hidden > NG_SEGMENT)
        l->counter = ng_stack_vectors(l, ng_counter_vectors(l));
}

/* ---- rows ---- */

typedef ng_position position;

position ng_rows_on(ng_lower *l, position at, int n) {
    const ng_build *g = &l->g;
    ng_v v_inner = LLVMBuildAdd(g->b, at.v_inner, ng_i64(g, n), "");
    ng_v v_wraps = LLVMBuildICmp(g->b, LLVMIntEQ, v_inner, l->v_per_outer, "");
    ng_v v_more = LLVMBuildZExt(g->b, v_wraps, g->t_i64, "");
    return (position){.v_row = LLVMBuildAdd(g->b, at.v_row, ng_i64(g, n), ""),
                      .v_outer = LLVMBuildAdd(g->b, at.v_outer, v_more, ""),
                      .v_inner = LLVMBuildSelect(g->b, v_wraps, ng_i64(g, 0), v_inner, "")};
}

ng_v ng_rows_fit(ng_lower *l, position at, int n) {
    const ng_build *g = &l->g;
    ng_t t = g->t_i64;
    ng_v left[2] = {LLVMBuildSub(g->b, l->v_last, at.v_row, ""),
                    LLVMBuildSub(g->b, l->v_per_outer, at.v_inner, "")};
    ng_v v_left = n > 1 ? ng_intrinsic(g, "llvm.umin", &t, 1, left, 2) : left[0];
    return LLVMBuildICmp(g->b, LLVMIntUGE, v_left, ng_i64(g, n), "");
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

position ng_position_carry(ng_lower *l, position from, LLVMBasicBlockRef b_from) {
    return (position){ng_phi(&l->g, from.v_row, b_from), ng_phi(&l->g, from.v_outer, b_from),
                      ng_phi(&l->g, from.v_inner, b_from)};
}
void ng_position_back_from(position phi, position next, LLVMBasicBlockRef b_from) {
    ng_phi_add(phi.v_row, next.v_row, b_from);
    ng_phi_add(phi.v_outer, next.v_outer, b_from);
    ng_phi_add(phi.v_inner, next.v_inner, b_from);
}
void ng_position_back(ng_lower *l, position phi, position next) {
    const ng_build *g = &l->g;
    ng_position_back_from(phi,
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

/* r strides from a row on. Even multiples are shifts beside the instruction that uses them, so they
 * cost no register: addresses of x86 are sums with a multiple of 1, 2, 4 or 8. */
static ng_v strides_on(ng_lower *l, int stream, ng_v v_row, int r) {
    const ng_build *g = &l->g;
    int shift = 0;
    if (r == 0 || ng_stream_shared(&l->p->stream[stream])) return v_row;
    for (; r % 2 == 0; r /= 2) shift++;
    ng_v v_odd = l->strides[stream][r];
    return ng_offset(g, v_row, LLVMBuildShl(g->b, v_odd, ng_i64(g, shift), ""));
}

/* Odd multiples of the strides between the rows of a block. */
static void prepare_strides(ng_lower *l) {
    for (int s = 0; s < l->p->streams; s++)
        for (int r = 1; r < l->s->block; r += 2)
            l->strides[s][r] = LLVMBuildMul(l->g.b, l->inner[s], ng_i64(&l->g, r), "");
}

/* Of a strip only those of its first block. */
static void addresses_from(ng_lower *l, ng_rows *rows, int stream, ng_v v_first) {
    for (int r = 0; r < rows->n && r < l->s->block; r++)
        rows->base[stream][r] = strides_on(l, stream, v_first, r);
}

void ng_rows_from(ng_lower *l, ng_rows *rows, int n, const ng_v *first) {
    ng_v *kept[NG_MAX_KEEP];
    memcpy(kept, rows->kept, sizeof kept);
    memset(rows, 0, sizeof *rows);
    memcpy(rows->kept, kept, sizeof kept);
    rows->n = n;
    for (int s = 0; s < l->p->streams; s++) addresses_from(l, rows, s, first[s]);
}

void ng_rows_at(ng_lower *l, ng_rows *rows, int n, position *at) {
    ng_v first[NORMGEN_MAX_STREAMS];
    for (int s = 0; s < l->p->streams; s++) first[s] = row_address(l, s, *at);
    ng_rows_from(l, rows, n, first);
    *at = ng_rows_on(l, *at, n);
}

/* ---- blocks of rows ---- */

/* How many bytes before a row's own address request number n is made, where rows lie one after the
 * other: what is there then is the end of the row before, which comes earlier. A processor drops
 * requests while its buffers for them are full, so each is made again a quarter of a row later.
 * With overlap rows need not be asked for as a whole in advance: three of NEAR rows would crowd
 * each other out of L2. */
static int64_t request_offset(const ng_lower *l, const ng_stream *s, int n) {
    enum { LINE = 64, APART = 4096, NEAR = 4 * APART };
    int64_t row = s->row_bytes, part = row / 4 / LINE * LINE;
    bool far = l->s->overlap && ng_schedule_requests(l->s) > 1 && row > NEAR;
    return n * (part < APART ? part : APART) + (far ? row / LINE * LINE - NEAR : 0);
}

/* Where lines of rows are asked for. */
static void place_requests(ng_lower *l, ng_rows *rows) {
    const ng_build *g = &l->g;
    for (int s = 0; s < l->p->streams; s++)
        for (int n = 0; n < ng_schedule_requests(l->s); n++) {
            const ng_stream *stream = &l->p->stream[s];
            int64_t offset = request_offset(l, stream, n);
            ng_v v_dense = LLVMBuildICmp(g->b, LLVMIntEQ, l->inner[s],
                                         ng_i64(g, (int64_t)stream->row_bytes), "");
            ng_v v_back = LLVMBuildSelect(g->b, v_dense, ng_i64(g, -offset), ng_i64(g, 0), "");
            for (int r = 0; r < rows->n; r++)
                rows->again[n][s][r] =
                    offset ? ng_offset(g, rows->base[s][r], v_back) : rows->base[s][r];
        }
}

/* The rows after a block, for prefetching; where there are none, those of the block itself. */
void ng_rows_to_prefetch(ng_lower *l, ng_rows *rows, const ng_rows *current, position at) {
    const ng_build *g = &l->g;
    ng_v v_inside = ng_rows_fit(l, at, current->n);
    rows->n = current->n;
    for (int s = 0; s < l->p->streams; s++) {
        ng_v v_first =
            LLVMBuildSelect(g->b, v_inside, row_address(l, s, at), current->base[s][0], "");
        addresses_from(l, rows, s, v_first);
    }
    place_requests(l, rows);
}

/* The last pass that goes over elements: meanwhile the next block is prefetched. */
static int prefetching_pass(const ng_lower *l) {
    int last = l->p->passes - 1;
    return l->p->width[last] ? last : last - 1;
}

/* The block that a kernel with overlap begins while the current one, behind which `after` is, is in
 * its last pass; the current one where that is not there. Returns the place behind it. */
static position rows_ahead(ng_lower *l, ng_rows *rows, const ng_rows *current, position after) {
    const ng_build *g = &l->g;
    int lag = ng_overlap_lag(l->p, l->s, l->p->passes - 1);
    ng_v v_fit = ng_rows_fit(l, after, current->n);
    for (int i = 1; i < lag; i++) {
        after = ng_rows_on(l, after, current->n);
        v_fit = LLVMBuildAnd(g->b, v_fit, ng_rows_fit(l, after, current->n), "");
    }
    rows->n = current->n;
    for (int s = 0; s < l->p->streams; s++)
        addresses_from(
            l, rows, s,
            LLVMBuildSelect(g->b, v_fit, row_address(l, s, after), current->base[s][0], ""));
    return ng_rows_on(l, after, current->n);
}

static void move_block(ng_lower *l, ng_rows *rows, position after) {
    ng_rows ahead = {0}, to_come = {0};
    ng_work work = {.rows = rows, .pass = l->p->passes - 1};
    if (l->s->overlap) {
        after = rows_ahead(l, &ahead, rows, after);
        work.ahead = &ahead;
    }
    if (l->s->prefetch != NG_PREFETCH_NONE) {
        ng_rows_to_prefetch(l, &to_come, l->s->overlap ? &ahead : rows, after);
        work.prefetch = &to_come;
    }
    ng_sweep(l, &work, 1);
}

static void all_passes(ng_lower *l, ng_rows *rows, position after) {
    ng_rows to_come = {0};
    for (int pass = 0; pass < l->p->passes; pass++) {
        ng_work work = {.rows = rows, .pass = pass};
        if (l->s->prefetch != NG_PREFETCH_NONE && pass == prefetching_pass(l)) {
            ng_rows_to_prefetch(l, &to_come, rows, after);
            work.prefetch = &to_come;
        }
        ng_sweep(l, &work, 1);
    }
}

/* All passes of the n rows from a position on, which fit; returns the place behind them. */
static position plain_block(ng_lower *l, ng_rows *rows, int n, position at) {
    ng_rows_at(l, rows, n, &at);
    if (l->limit)
        move_block(l, rows, at);
    else
        all_passes(l, rows, at);
    return at;
}

/* ---- all rows ---- */

/* Blocks of n rows from a position on, at least one. */
static position some_blocks(ng_lower *l, ng_rows *rows, int n, position at) {
    if (l->limit || !l->s->overlap) return plain_block(l, rows, n, at);
    return ng_overlapped_blocks(l, n, at);
}

/* while rows are left: blocks of rows, where they fit; else one row. */
static void all_rows(ng_lower *l, ng_rows *rows) {
    const ng_build *g = &l->g;
    int n = l->limit ? l->s->block : ng_schedule_turn(l->s);
    position at = first_position(l);
    if (l->s->visit == NG_VISIT_TILES && !l->limit) {
        ng_tiled_blocks(l, rows, at);
        return;
    }
    LLVMBasicBlockRef b_from = ng_block_here(g), b_rows = ng_block_new(g, "rows"),
                      b_one = ng_block_new(g, "one"), b_done = ng_block_new(g, "rows_done");
    LLVMBuildBr(g->b, b_rows);
    ng_block_start(g, b_rows);
    position here = ng_position_carry(l, at, b_from);
    if (n > 1 || (l->s->overlap && !l->limit)) {
        LLVMBasicBlockRef b_blocks = ng_block_new(g, "blocks"), b_few = ng_block_new(g, "few");
        LLVMBuildCondBr(g->b, ng_blocks_fit(l, n, here), b_blocks, b_few);
        ng_block_start(g, b_blocks);
        ng_position_back(l, here, some_blocks(l, rows, n, here));
        LLVMBuildBr(g->b, b_rows);
        ng_block_start(g, b_few);
    }
    LLVMBuildCondBr(g->b, ng_rows_fit(l, here, 1), b_one, b_done);
    ng_block_start(g, b_one);
    ng_position_back(l, here, plain_block(l, rows, 1, here));
    LLVMBuildBr(g->b, b_rows);
    ng_block_start(g, b_done);
}

/* ---- the function ---- */

static void start_function(ng_lower *l, const char *symbol) {
    ng_build *g = &l->g;
    ng_t params[3] = {g->t_ptr, g->t_i64, g->t_i64};
    ng_t type = LLVMFunctionType(LLVMVoidTypeInContext(g->context), params, 3, false);
    g->fn = LLVMAddFunction(g->module, symbol, type);
    ng_block_start(g, ng_block_new(g, "entry"));
}

/* Values of streams that have one row for all rows of a block. */
static void find_alike(ng_lower *l) {
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        int operands = ng_op_operands(op);
        bool alike = op->code != NG_STORE && !ng_op_reduces(op) && ng_kept_as(l, i) < 0;
        if (op->stream >= 0) alike = alike && l->p->stream[op->stream].rows == NG_OUTER;
        for (int j = 0; j < operands; j++) alike = alike && l->alike[op->a[j]];
        l->alike[i] = op->shared || alike;
    }
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
    find_alike(l);
    l->hurries = ng_hurries(l);
    for (int j = 0; j < l->p->keeps; j++) l->unrolled = l->unrolled || l->s->keep[j] == NG_REGS;
    if (l->limit) l->unrolled = false;
}

static bool streams_something(const ng_lower *l) {
    if (l->limit) return ng_schedule_past_caches(l->s);
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
        calloc((size_t)(3 * NG_MAX_TOGETHER * l->p->ops * l->s->block * l->slice), sizeof *l->pool);
    l->given = calloc((size_t)(l->p->ops * l->slice), sizeof *l->given);
    l->flying = ng_flight_new();
    bool ok = l->pool && l->given && l->flying && reserve_registers(l, &rows);
    if (ok) {
        start_function(l, symbol);
        load_arguments(l);
        ng_prepare_widening(l);
        reserve_stack(l);
        prepare_strides(l);
        if (l->s->shared && !l->limit) ng_sweep_shared(l);
        all_rows(l, &rows);
        if (streams_something(l)) ng_intrinsic(g, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
        LLVMBuildRetVoid(g->b);
    }
    for (int j = 0; j < NG_MAX_KEEP; j++) free(rows.kept[j]);
    free(l->flying);
    free(l->given);
    free(l->pool);
    return ok;
}
