/* SPDX-License-Identifier: Apache-2.0 */
/* Passes of a strip (visit=strips): a loop over its blocks of rows. What a fold needs of each row
 * waits in a stack array, so that the rows of a strip share folds, square roots and divisions, and
 * so do scalars on their way to the last pass, which loads spread for nothing. What is the same for
 * all rows is computed before the loop. */
#include "lower.h"

#include <string.h>

/* ---- stack arrays ---- */

/* Place of an operation's scalar of a row of the strip. */
static ng_v scalar_place(ng_lower *l, int op, ng_v v_row) {
    const ng_build *g = &l->g;
    int64_t bytes = l->real_bytes;
    ng_v v_at = LLVMBuildMul(g->b, v_row, ng_i64(g, bytes), "");
    return ng_offset(g, ng_offset(g, l->between, ng_i64(g, op * NG_STRIP * bytes)), v_at);
}

/* Place of one of the vectors that are left of a row's sum before the fold. */
static ng_v sum_place(ng_lower *l, int item, ng_v v_row, int j) {
    const ng_build *g = &l->g;
    int64_t each = l->s->vec / 8, of_row = ng_load_group(l) * each;
    ng_v v_at = LLVMBuildMul(g->b, v_row, ng_i64(g, of_row), "");
    return ng_offset(g, ng_offset(g, l->sums, v_at),
                     ng_i64(g, item * NG_STRIP * of_row + j * each));
}

void ng_strip_reserve(ng_lower *l) {
    int sums = (int)ng_program_sums(l->p);
    uint64_t vectors = (uint64_t)(l->p->ops * NG_STRIP / l->vector + 1);
    l->between = ng_stack_vectors(l, vectors);
    l->sums = ng_stack_vectors(l, (uint64_t)(sums * NG_STRIP * ng_load_group(l)));
}

/* ---- sums ---- */

void ng_strip_sum(ng_lower *l, const ng_rows *rows, int item, int row, const ng_v *v) {
    ng_v v_row = LLVMBuildAdd(l->g.b, rows->v_number, ng_i64(&l->g, row), "");
    for (int j = 0; j < ng_load_group(l); j++)
        ng_store(&l->g, v[j], sum_place(l, item, v_row, j), (unsigned)l->s->vec / 8);
}

/* The first step of the fold takes its halves from memory: no shuffle is needed. */
static ng_v fold_strip(ng_lower *l, int code, int item) {
    const ng_build *g = &l->g;
    int of_row = ng_load_group(l);
    unsigned half = (unsigned)l->vector / 2, bytes = half * (unsigned)l->real_bytes;
    ng_t t_half = LLVMVectorType(l->t_real, half);
    ng_v v[2 * NG_STRIP];
    for (int j = 0; j < of_row; j++)
        for (int row = 0; row < NG_STRIP; row++) {
            ng_v v_ptr = sum_place(l, item, ng_i64(g, row), j);
            ng_v v_low = ng_load(g, t_half, v_ptr, bytes);
            ng_v v_high = ng_load(g, t_half, ng_offset(g, v_ptr, ng_i64(g, bytes)), bytes);
            v[j * NG_STRIP + row] = ng_combine(l, code, v_low, v_high);
        }
    return ng_fold_crossed(l, code, v, NG_STRIP, of_row);
}

/* What the first pass has left of a strip, as vectors over its rows. */
static void take_roots(ng_lower *l, ng_rows *strip) {
    ng_t t = LLVMVectorType(l->t_real, NG_STRIP);
    for (int i = 0, item = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        if (op->code == NG_PEEK)
            strip->scalar[i] =
                ng_load(&l->g, t, scalar_place(l, i, ng_i64(&l->g, 0)), (unsigned)l->real_bytes);
        if (ng_op_reduces(op)) strip->scalar[i] = fold_strip(l, op->code, item++);
    }
}

static void store_peeked(ng_lower *l, const ng_rows *rows, ng_v v_number) {
    for (int i = 0; i < l->p->ops; i++)
        if (l->p->op[i].code == NG_PEEK)
            ng_store(&l->g, rows->scalar[i], scalar_place(l, i, v_number), (unsigned)l->real_bytes);
}

/* ---- what the last pass finds ---- */

static void store_scalars(ng_lower *l, const ng_rows *strip) {
    for (int i = 0; i < l->p->ops; i++)
        if (strip->scalar[i])
            ng_store(&l->g, strip->scalar[i], scalar_place(l, i, ng_i64(&l->g, 0)),
                     (unsigned)l->real_bytes);
}

static void load_scalars(ng_lower *l, const ng_rows *strip, ng_rows *rows, ng_v v_number) {
    ng_t t = LLVMVectorType(l->t_real, (unsigned)rows->n);
    for (int i = 0; i < l->p->ops; i++)
        if (strip->scalar[i])
            rows->scalar[i] =
                ng_load(&l->g, t, scalar_place(l, i, v_number), (unsigned)l->real_bytes);
}

/* Whether an operation that is not the same for all rows uses this one in the last pass. */
static bool wanted(const ng_lower *l, int i) {
    for (int k = i + 1; k < l->p->ops; k++) {
        const ng_op *op = &l->p->op[k];
        bool here = op->code == NG_STORE || l->passes[k] >> 1 & 1;
        for (int j = 0; j < ng_op_operands(op) && here; j++)
            if (op->a[j] == i && !l->alike[k]) return true;
    }
    return false;
}

/* Values that are the same for all rows; their addresses are those of any row. */
static void compute_alike(ng_lower *l, ng_rows *strip) {
    ng_values e;
    ng_rows one = *strip;
    ng_work work = {.rows = &one, .pass = 1};
    int64_t n = l->p->hidden, vector = l->vector;
    ng_slice all = {.v_at = ng_i64(&l->g, 0),
                    .vectors = (int)((n + vector - 1) / vector),
                    .partial = (int)(n % vector)};
    l->pooled = 0;
    ng_values_begin(&e, l, &work, all);
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        if (op->code == NG_STORE || !l->alike[i] || !(l->passes[i] >> 1 & 1)) continue;
        if (op->scalar)
            one.splat[i][0] = ng_broadcast(&l->g, ng_scalar(l, &one, i), 0, (unsigned)vector);
        if (op->scalar || !wanted(l, i)) continue;
        ng_v *given = l->given + (size_t)i * (size_t)l->slice;
        memcpy(given, ng_value(&e, i, 0), (size_t)all.vectors * sizeof *given);
        strip->given[i] = given;
    }
}

/* ---- the loop ---- */

/* Rows whose addresses are carried around the loop: a block of the strip of `strip`. */
typedef struct walk {
    ng_rows *strip;
    ng_rows rows;
    ng_v phi[NORMGEN_MAX_STREAMS];
} walk;

/* All phis of a loop come before anything else in it. */
static void walk_carry(ng_lower *l, walk *w, ng_rows *strip, LLVMBasicBlockRef b_from) {
    w->strip = strip;
    for (int s = 0; s < l->p->streams; s++) {
        w->phi[s] = strip->base[s][0];
        if (!ng_stream_shared(&l->p->stream[s])) w->phi[s] = ng_phi(&l->g, w->phi[s], b_from);
    }
}

static void walk_begin(ng_lower *l, walk *w) {
    ng_rows_from(l, &w->rows, l->s->block, w->phi);
    memcpy(w->rows.given, w->strip->given, sizeof w->rows.given);
}

static void walk_end(ng_lower *l, walk *w) {
    const ng_build *g = &l->g;
    for (int s = 0; s < l->p->streams; s++) {
        if (ng_stream_shared(&l->p->stream[s])) continue;
        ng_v v_step = LLVMBuildMul(g->b, l->inner[s], ng_i64(g, l->s->block), "");
        ng_v v_next = ng_opaque(g, ng_offset(g, w->phi[s], v_step));
        ng_phi_add(w->phi[s], v_next, ng_block_here(g));
    }
}

/* What a block of each strip does: the body of the loop. */
static void strip_blocks(ng_lower *l, const ng_work *strips, int n, walk *walks, walk *ahead,
                         ng_v v_number) {
    ng_work work[2];
    if (ahead) walk_begin(l, ahead);
    for (int i = 0; i < n; i++) {
        ng_rows *rows = &walks[i].rows;
        walk_begin(l, &walks[i]);
        if (strips[i].pass) load_scalars(l, strips[i].rows, rows, v_number);
        rows->v_number = strips[i].pass ? NULL : v_number;
        work[i] = (ng_work){.rows = rows, .pass = strips[i].pass};
        if (strips[i].prefetch) work[i].prefetch = &ahead->rows;
    }
    ng_sweep(l, work, n);
    for (int i = 0; i < n; i++)
        if (!strips[i].pass) store_peeked(l, &walks[i].rows, v_number);
}

void ng_strip_sweep(ng_lower *l, const ng_work *work, int works) {
    const ng_build *g = &l->g;
    walk walks[2] = {0}, ahead = {0};
    ng_loop loop;
    for (int i = 0; i < works; i++) {
        if (work[i].pass == 0) continue;
        store_scalars(l, work[i].rows);
        compute_alike(l, work[i].rows);
    }
    LLVMBasicBlockRef b_from = ng_block_here(g);
    ng_loop_begin(g, &loop, ng_i64(g, 0), ng_i64(g, NG_STRIP), l->s->block, NULL, 0);
    for (int i = 0; i < works; i++) walk_carry(l, &walks[i], work[i].rows, b_from);
    bool prefetches = work[0].prefetch != NULL;
    if (prefetches) walk_carry(l, &ahead, work[0].prefetch, b_from);
    strip_blocks(l, work, works, walks, prefetches ? &ahead : NULL, loop.v_index);
    for (int i = 0; i < works; i++) walk_end(l, &walks[i]);
    if (prefetches) walk_end(l, &ahead);
    ng_loop_end(g, &loop);
    for (int i = 0; i < works; i++)
        if (work[i].pass == 0) take_roots(l, work[i].rows);
}
