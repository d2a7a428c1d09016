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
    if (l->s->visit == NG_VISIT_TILES)
        l->between = stack_vectors(l, (uint64_t)(l->s->block * p->ops / l->vector + 1));
    if (p->passes > 1 && p->hidden > NG_SEGMENT)
        l->counter = stack_vectors(l, ng_counter_vectors(l));
}

/* ---- rows ---- */

typedef ng_position position;

/* The place n rows on, which lie within the outer row. */
static position rows_on(ng_lower *l, position at, int n) {
    const ng_build *g = &l->g;
    ng_v v_inner = LLVMBuildAdd(g->b, at.v_inner, ng_i64(g, n), "");
    ng_v v_wraps = LLVMBuildICmp(g->b, LLVMIntEQ, v_inner, l->v_per_outer, "");
    ng_v v_more = LLVMBuildZExt(g->b, v_wraps, g->t_i64, "");
    return (position){.v_row = LLVMBuildAdd(g->b, at.v_row, ng_i64(g, n), ""),
                      .v_outer = LLVMBuildAdd(g->b, at.v_outer, v_more, ""),
                      .v_inner = LLVMBuildSelect(g->b, v_wraps, ng_i64(g, 0), v_inner, "")};
}

/* Whether there are n more rows, and all within the outer row. */
static ng_v rows_fit(ng_lower *l, position at, int n) {
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

void ng_position_next(ng_lower *l, ng_position *at) { *at = rows_on(l, *at, 1); }
ng_position ng_position_carry(ng_lower *l, ng_position from, LLVMBasicBlockRef b_from) {
    return carry_position(l, from, b_from);
}
void ng_position_back(ng_lower *l, ng_position phi, ng_position next) {
    carry_around(&l->g, phi, next);
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

/* The n rows from a position on; *at moves behind them. */
void ng_rows_at(ng_lower *l, ng_rows *rows, int n, position *at) {
    ng_v *kept[NG_MAX_KEEP];
    memcpy(kept, rows->kept, sizeof kept);
    memset(rows, 0, sizeof *rows);
    memcpy(rows->kept, kept, sizeof kept);
    rows->n = n;
    for (int s = 0; s < l->p->streams; s++) {
        ng_v v_first = row_address(l, s, *at);
        for (int r = 0; r < n; r++) rows->base[s][r] = strides_on(l, s, v_first, r);
    }
    *at = rows_on(l, *at, n);
}

/* ---- blocks of rows ---- */

/* The rows after a block, for prefetching; where there are none, those of the block itself. */
void ng_rows_to_prefetch(ng_lower *l, ng_rows *rows, const ng_rows *current, position at) {
    const ng_build *g = &l->g;
    ng_v v_inside = rows_fit(l, at, current->n);
    rows->n = current->n;
    for (int s = 0; s < l->p->streams; s++) {
        ng_v v_first =
            LLVMBuildSelect(g->b, v_inside, row_address(l, s, at), current->base[s][0], "");
        for (int r = 0; r < rows->n; r++) rows->base[s][r] = strides_on(l, s, v_first, r);
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
            ng_rows_to_prefetch(l, &to_come, rows, after);
            work.prefetch = &to_come;
        }
        ng_sweep(l, &work, 1);
    }
}

/* All passes of the n rows from a position on, which fit; returns the place behind them. */
static position plain_block(ng_lower *l, ng_rows *rows, int n, position at) {
    ng_rows_at(l, rows, n, &at);
    all_passes(l, rows, at);
    return at;
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

/* Blocks from a position on, where one fits; returns the place behind the last that does.
 * first pass of block 0
 * loop:  middle passes of this block; leave when no other one fits behind it
 *        last pass of this block together with the first pass of the next; what is prefetched is
 *        the block after that
 * last pass of the last block */
static position overlapped_blocks(ng_lower *l, ng_rows *rows, int n, position at) {
    const ng_build *g = &l->g;
    int roots[NG_MAX_OPS], n_roots = roots_of(l, 1, roots), last = l->p->passes - 1;
    ng_rows next = {0}, to_come = {0};
    position after = at;
    LLVMBasicBlockRef b_loop = ng_block_new(g, "overlap"), b_both = ng_block_new(g, "both"),
                      b_last = ng_block_new(g, "last");

    ng_rows_at(l, rows, n, &after);
    ng_sweep(l, &(ng_work){.rows = rows, .pass = 0}, 1);
    LLVMBasicBlockRef b_from = ng_block_here(g);
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_loop);
    position here = carry_position(l, at, b_from);
    ng_v carried[NG_MAX_OPS];
    for (int i = 0; i < n_roots; i++) carried[i] = ng_phi(g, rows->scalar[roots[i]], b_from);
    after = here;
    ng_rows_at(l, rows, n, &after);
    for (int i = 0; i < n_roots; i++) rows->scalar[roots[i]] = carried[i];
    for (int pass = 1; pass < last; pass++) ng_sweep(l, &(ng_work){.rows = rows, .pass = pass}, 1);
    LLVMBuildCondBr(g->b, rows_fit(l, after, n), b_both, b_last);

    ng_block_start(g, b_both);
    ng_rows current = *rows; /* scalars computed in this branch are not those of the other */
    position behind = after;
    ng_rows_at(l, &next, n, &behind);
    ng_work both[2] = {{.rows = &current, .pass = last}, {.rows = &next, .pass = 0}};
    if (l->s->prefetch != NG_PREFETCH_NONE) {
        ng_rows_to_prefetch(l, &to_come, &next, behind);
        both[0].prefetch = &to_come;
    }
    ng_sweep(l, both, 2);
    carry_around(g, here, after);
    for (int i = 0; i < n_roots; i++)
        ng_phi_add(carried[i], next.scalar[roots[i]], ng_block_here(g));
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_last);
    ng_sweep(l, &(ng_work){.rows = rows, .pass = last}, 1);
    return after;
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
        ng_rows_at(l, &f->block[j], n, &at);
        if (j == 0) *second = at;
        int n_roots = roots_of(l, passes - 1 - j, roots);
        for (int i = 0; i < n_roots && j + 1 < passes; i++)
            f->block[j].scalar[roots[i]] = f->phi[j][i];
    }
    return at;
}

/* Whether some blocks of n rows fit. */
static ng_v blocks_fit(ng_lower *l, int blocks, int n, position at) {
    ng_v v_fit = rows_fit(l, at, n);
    for (int j = 1; j < blocks; j++) {
        at = rows_on(l, at, n);
        v_fit = LLVMBuildAnd(l->g.b, v_fit, rows_fit(l, at, n), "");
    }
    return v_fit;
}

/* Blocks from a position on, where a flight fits:
 * first passes of the first blocks, until each is a pass behind the one before it
 * loop:  one pass of each block in flight, the last one of the oldest and the first one of a new
 * one what is left of the others */
static position pipelined_blocks(ng_lower *l, flight *f, int n, position at) {
    const ng_build *g = &l->g;
    int passes = l->p->passes;
    ng_rows to_come = {0};
    position from = at, second = at;
    LLVMBasicBlockRef b_loop = ng_block_new(g, "pipeline"), b_drain = ng_block_new(g, "drain");

    for (int j = 0; j + 1 < passes; j++) ng_rows_at(l, &f->block[j], n, &from);
    for (int pass = 0; pass + 1 < passes; pass++) sweep_flight(l, f, 0, pass + 1, pass, NULL);
    LLVMBasicBlockRef b_from = ng_block_here(g);
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_loop);
    position here = carry_position(l, at, b_from);
    carry_roots(l, f, b_from, false);
    position after = take_off(l, f, n, here, &second);
    if (l->s->prefetch != NG_PREFETCH_NONE)
        ng_rows_to_prefetch(l, &to_come, &f->block[passes - 1], after);
    sweep_flight(l, f, 0, passes, passes - 1, l->s->prefetch == NG_PREFETCH_NONE ? NULL : &to_come);
    carry_around(g, here, second);
    LLVMBuildCondBr(g->b, rows_fit(l, after, n), b_loop, b_drain);
    carry_roots(l, f, ng_block_here(g), true);

    ng_block_start(g, b_drain);
    for (int j = 1; j < passes; j++) sweep_flight(l, f, j, passes, passes - 1, NULL);
    return after;
}

/* ---- overlap of every second block ---- */

/* Scalars that the last of two passes needs. */
static int scalars_between(const ng_lower *l, int *list) {
    bool stored[NG_MAX_OPS] = {false};
    int n = 0;
    for (int i = 0; i < l->p->ops; i++)
        if (l->p->op[i].code == NG_STORE) stored[l->p->op[i].a[0]] = true;
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        if (!op->scalar || op->code == NG_STORE || op->code == NG_CONST || op->code == NG_BITS)
            continue;
        if (stored[i] || l->passes[i] >> 1 & 1) list[n++] = i;
    }
    return n;
}

/* Values of a block's scalars at some place. */
typedef struct scalars {
    int n, op[NG_MAX_OPS];
    ng_v v[NG_MAX_OPS];
} scalars;

static void scalars_start(ng_lower *l, scalars *s, int n) {
    ng_t t = LLVMVectorType(l->t_real, (unsigned)n);
    for (int i = 0; i < s->n; i++) s->v[i] = LLVMConstNull(t);
}
static scalars scalars_phi(ng_lower *l, const scalars *s, LLVMBasicBlockRef b_from) {
    scalars phi = *s;
    for (int i = 0; i < s->n; i++) phi.v[i] = ng_phi(&l->g, s->v[i], b_from);
    return phi;
}
static void scalars_back(const scalars *phi, const scalars *next, LLVMBasicBlockRef b_from) {
    for (int i = 0; i < phi->n; i++) ng_phi_add(phi->v[i], next->v[i], b_from);
}
static void scalars_take(ng_lower *l, scalars *s, ng_rows *rows) {
    for (int i = 0; i < s->n; i++) s->v[i] = ng_scalar(l, rows, s->op[i]);
}
static void scalars_give(const scalars *s, ng_rows *rows) {
    for (int i = 0; i < s->n; i++) rows->scalar[s->op[i]] = s->v[i];
}
/* What the last pass needs, from what the first one left. */
static void scalars_step(ng_lower *l, const scalars *roots, scalars *between, int n) {
    ng_rows rows = {.n = n};
    scalars_give(roots, &rows);
    scalars_take(l, between, &rows);
}

/* Blocks from a position on, where two fit:
 * twice: first pass of a block, and what is between the passes of the one before it
 * loop:  the last pass of a block, what is between the passes of the next, the first pass of the
 * one behind that, as long as one fits twice: last pass of a block, and what is between the passes
 * of the next */
static position spaced_blocks(ng_lower *l, int n, position at) {
    const ng_build *g = &l->g;
    scalars roots, between;
    ng_rows rows = {0}, newest = {0}, to_come = {0};
    bool prefetch = l->s->prefetch != NG_PREFETCH_NONE;
    LLVMBasicBlockRef b_from = ng_block_here(g), b_first = ng_block_new(g, "first"),
                      b_loop = ng_block_new(g, "spaced"), b_both = ng_block_new(g, "both"),
                      b_last = ng_block_new(g, "last"), b_done = ng_block_new(g, "spaced_done");
    roots.n = roots_of(l, 1, roots.op);
    between.n = scalars_between(l, between.op);
    scalars_start(l, &roots, n);
    LLVMBuildBr(g->b, b_first);

    ng_block_start(g, b_first);
    position here = carry_position(l, at, b_from), after = here;
    scalars phi_roots = scalars_phi(l, &roots, b_from);
    scalars_step(l, &phi_roots, &between, n);
    ng_rows_at(l, &newest, n, &after);
    ng_sweep(l, &(ng_work){.rows = &newest, .pass = 0}, 1);
    scalars_take(l, &roots, &newest);
    LLVMBasicBlockRef b_end = ng_block_here(g);
    scalars_back(&phi_roots, &roots, b_end);
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntEQ, here.v_row, at.v_row, ""), b_first,
                    b_loop);
    carry_back(here, after, b_end);

    ng_block_start(g, b_loop);
    position old = carry_position(l, at, b_end), new = carry_position(l, after, b_end);
    scalars loop_roots = scalars_phi(l, &roots, b_end);
    scalars loop_between = scalars_phi(l, &between, b_end);
    LLVMBuildCondBr(g->b, rows_fit(l, new, n), b_both, b_last);

    ng_block_start(g, b_both);
    position behind_old = old, behind_new = new;
    scalars_step(l, &loop_roots, &between, n);
    ng_rows_at(l, &rows, n, &behind_old);
    ng_rows_at(l, &newest, n, &behind_new);
    scalars_give(&loop_between, &rows);
    if (prefetch) ng_rows_to_prefetch(l, &to_come, &newest, behind_new);
    ng_work both[2] = {{.rows = &rows, .pass = 1, .prefetch = prefetch ? &to_come : NULL},
                       {.rows = &newest, .pass = 0}};
    ng_sweep(l, both, 2);
    scalars_take(l, &roots, &newest);
    carry_around(g, old, behind_old);
    carry_around(g, new, behind_new);
    b_end = ng_block_here(g);
    scalars_back(&loop_roots, &roots, b_end);
    scalars_back(&loop_between, &between, b_end);
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_last);
    here = carry_position(l, old, b_loop);
    scalars phi_between = scalars_phi(l, &loop_between, b_loop);
    after = here;
    scalars_step(l, &loop_roots, &between, n);
    ng_rows_at(l, &rows, n, &after);
    scalars_give(&phi_between, &rows);
    ng_sweep(l, &(ng_work){.rows = &rows, .pass = 1}, 1);
    b_end = ng_block_here(g);
    carry_back(here, after, b_end);
    scalars_back(&phi_between, &between, b_end);
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntEQ, after.v_row, new.v_row, ""), b_done,
                    b_last);
    ng_block_start(g, b_done);
    return new;
}

/* ---- all rows ---- */

/* Blocks of n rows from a position on, at least one. */
static position some_blocks(ng_lower *l, ng_rows *rows, flight *flying, int n, position at) {
    if (l->limit || !l->s->overlap) return plain_block(l, rows, n, at);
    if (l->s->overlap == NG_OVERLAP_ALL) return pipelined_blocks(l, flying, n, at);
    if (l->s->overlap == NG_OVERLAP_TWO) return spaced_blocks(l, n, at);
    return overlapped_blocks(l, rows, n, at);
}

/* Blocks that some_blocks needs. */
static int some_blocks_are(const ng_lower *l) {
    if (l->limit) return 1;
    return l->s->overlap == NG_OVERLAP_ALL ? l->p->passes : l->s->overlap == NG_OVERLAP_TWO ? 2 : 1;
}

/* while rows are left: blocks of rows, where they fit; else one row. */
static void all_rows(ng_lower *l, ng_rows *rows, flight *flying) {
    const ng_build *g = &l->g;
    int n = l->s->block;
    position at = first_position(l);
    if (l->s->visit == NG_VISIT_TILES && !l->limit) {
        ng_tiled_blocks(l, rows, at);
        return;
    }
    LLVMBasicBlockRef b_from = ng_block_here(g), b_rows = ng_block_new(g, "rows"),
                      b_one = ng_block_new(g, "one"), b_done = ng_block_new(g, "rows_done");
    LLVMBuildBr(g->b, b_rows);
    ng_block_start(g, b_rows);
    position here = carry_position(l, at, b_from);
    if (n > 1 || (l->s->overlap && !l->limit)) {
        LLVMBasicBlockRef b_blocks = ng_block_new(g, "blocks"), b_few = ng_block_new(g, "few");
        LLVMBuildCondBr(g->b, blocks_fit(l, some_blocks_are(l), n, here), b_blocks, b_few);
        ng_block_start(g, b_blocks);
        carry_around(g, here, some_blocks(l, rows, flying, n, here));
        LLVMBuildBr(g->b, b_rows);
        ng_block_start(g, b_few);
    }
    LLVMBuildCondBr(g->b, rows_fit(l, here, 1), b_one, b_done);
    ng_block_start(g, b_one);
    carry_around(g, here, plain_block(l, rows, 1, here));
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
        prepare_strides(l);
        all_rows(l, &rows, flying);
        if (streams_something(l)) ng_intrinsic(g, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
        LLVMBuildRetVoid(g->b);
    }
    for (int j = 0; j < NG_MAX_KEEP; j++) free(rows.kept[j]);
    free(flying);
    free(l->pool);
    return ok;
}
