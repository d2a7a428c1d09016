/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of which several are in work at once (overlap): passes of neighbouring blocks run side by
 * side, so that what one of them waits for is hidden behind the others. */
#include "lower.h"

#include <stdlib.h>

typedef ng_position position;

/* ---- the last pass of a block with the first of the next ---- */

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
    position here = ng_position_carry(l, at, b_from);
    ng_v carried[NG_MAX_OPS];
    for (int i = 0; i < n_roots; i++) carried[i] = ng_phi(g, rows->scalar[roots[i]], b_from);
    after = here;
    ng_rows_at(l, rows, n, &after);
    for (int i = 0; i < n_roots; i++) rows->scalar[roots[i]] = carried[i];
    for (int pass = 1; pass < last; pass++) ng_sweep(l, &(ng_work){.rows = rows, .pass = pass}, 1);
    LLVMBuildCondBr(g->b, ng_rows_fit(l, after, n), b_both, b_last);

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
    ng_position_back(l, here, after);
    for (int i = 0; i < n_roots; i++)
        ng_phi_add(carried[i], next.scalar[roots[i]], ng_block_here(g));
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_last);
    ng_sweep(l, &(ng_work){.rows = rows, .pass = last}, 1);
    return after;
}

/* ---- overlap of all passes ---- */

/* Blocks in flight: number 0 is the oldest. */
struct ng_flight {
    ng_rows block[NG_MAX_TOGETHER];
    ng_v phi[NG_MAX_TOGETHER][NG_MAX_OPS]; /* roots at the top of the loop */
};

ng_flight *ng_flight_new(void) { return calloc(1, sizeof(ng_flight)); }

/* One sweep: blocks `from` to `to` - 1, the first in pass `pass`, each next one a pass behind. */
static void sweep_flight(ng_lower *l, ng_flight *f, int from, int to, int pass, ng_rows *prefetch) {
    ng_work work[NG_MAX_TOGETHER];
    for (int j = from; j < to; j++)
        work[j - from] = (ng_work){.rows = &f->block[j], .pass = pass - (j - from)};
    work[0].prefetch = prefetch;
    ng_sweep(l, work, to - from);
}

/* The phis of what the blocks have computed so far, and their way back around the loop, where each
 * block has become an older one. */
static void carry_roots(ng_lower *l, ng_flight *f, LLVMBasicBlockRef b_from, bool back) {
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
static position take_off(ng_lower *l, ng_flight *f, int n, position at, position *second) {
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

/* Blocks from a position on, where a flight fits:
 * first passes of the first blocks, until each is a pass behind the one before it
 * loop:  one pass of each block in flight, the last one of the oldest and the first one of a new
 * one what is left of the others */
static position pipelined_blocks(ng_lower *l, ng_flight *f, int n, position at) {
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
    position here = ng_position_carry(l, at, b_from);
    carry_roots(l, f, b_from, false);
    position after = take_off(l, f, n, here, &second);
    if (l->s->prefetch != NG_PREFETCH_NONE)
        ng_rows_to_prefetch(l, &to_come, &f->block[passes - 1], after);
    sweep_flight(l, f, 0, passes, passes - 1, l->s->prefetch == NG_PREFETCH_NONE ? NULL : &to_come);
    ng_position_back(l, here, second);
    LLVMBuildCondBr(g->b, ng_rows_fit(l, after, n), b_loop, b_drain);
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
    position here = ng_position_carry(l, at, b_from), after = here;
    scalars phi_roots = scalars_phi(l, &roots, b_from);
    scalars_step(l, &phi_roots, &between, n);
    ng_rows_at(l, &newest, n, &after);
    ng_sweep(l, &(ng_work){.rows = &newest, .pass = 0}, 1);
    scalars_take(l, &roots, &newest);
    LLVMBasicBlockRef b_end = ng_block_here(g);
    scalars_back(&phi_roots, &roots, b_end);
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntEQ, here.v_row, at.v_row, ""), b_first,
                    b_loop);
    ng_position_back_from(here, after, b_end);

    ng_block_start(g, b_loop);
    position old = ng_position_carry(l, at, b_end), new = ng_position_carry(l, after, b_end);
    scalars loop_roots = scalars_phi(l, &roots, b_end);
    scalars loop_between = scalars_phi(l, &between, b_end);
    LLVMBuildCondBr(g->b, ng_rows_fit(l, new, n), b_both, b_last);

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
    ng_position_back(l, old, behind_old);
    ng_position_back(l, new, behind_new);
    b_end = ng_block_here(g);
    scalars_back(&loop_roots, &roots, b_end);
    scalars_back(&loop_between, &between, b_end);
    LLVMBuildBr(g->b, b_loop);

    ng_block_start(g, b_last);
    here = ng_position_carry(l, old, b_loop);
    scalars phi_between = scalars_phi(l, &loop_between, b_loop);
    after = here;
    scalars_step(l, &loop_roots, &between, n);
    ng_rows_at(l, &rows, n, &after);
    scalars_give(&phi_between, &rows);
    ng_sweep(l, &(ng_work){.rows = &rows, .pass = 1}, 1);
    b_end = ng_block_here(g);
    ng_position_back_from(here, after, b_end);
    scalars_back(&phi_between, &between, b_end);
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntEQ, after.v_row, new.v_row, ""), b_done,
                    b_last);
    ng_block_start(g, b_done);
    return new;
}

/* ---- all of them ---- */

/* Blocks that each way needs at least. */
static int blocks_of(const ng_lower *l) {
    if (l->limit) return 1;
    return l->s->overlap == NG_OVERLAP_ALL ? l->p->passes : l->s->overlap == NG_OVERLAP_TWO ? 2 : 1;
}

ng_v ng_blocks_fit(ng_lower *l, int n, position at) {
    ng_v v_fit = ng_rows_fit(l, at, n);
    for (int j = 1; j < blocks_of(l); j++) {
        at = ng_rows_on(l, at, n);
        v_fit = LLVMBuildAnd(l->g.b, v_fit, ng_rows_fit(l, at, n), "");
    }
    return v_fit;
}

position ng_overlapped_blocks(ng_lower *l, ng_rows *rows, int n, position at) {
    if (l->s->overlap == NG_OVERLAP_ALL) return pipelined_blocks(l, l->flying, n, at);
    if (l->s->overlap == NG_OVERLAP_TWO) return spaced_blocks(l, n, at);
    return overlapped_blocks(l, rows, n, at);
}
