/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks whose rows take turns (visit=tiles): every row's first passes on their own, then the last
 * pass in tiles of NG_TILE elements, one row after the other in each. A tile of what the rows share
 * (weight, bias) comes into L1 once a block, not once a row, and rows lie far enough apart in time
 * that lines at the same place of large rows do not drive each other out. The rows are a loop, so
 * the code is that of one row, whatever the block. */
#include "lower.h"

typedef struct tiles {
    ng_lower *l;
    ng_rows *rows;           /* the row at hand */
    int between[NG_MAX_OPS]; /* scalars that the last pass needs of the first ones */
    int n;                   /* of them */
    ng_v v_count;            /* rows of the block */
    ng_v v_from;             /* the tile at hand: first element, */
    int64_t elements;        /* how many */
} tiles;

/* ---- what is known of a row between its passes ---- */

static void find_between(tiles *t) {
    const ng_program *p = t->l->p;
    bool stored[NG_MAX_OPS] = {false};
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_STORE && p->op[i].scalar) stored[p->op[i].a[0]] = true;
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        bool fixed = op->code == NG_CONST || op->code == NG_BITS;
        if (!op->scalar || op->code == NG_STORE || fixed) continue;
        if (stored[i] || t->l->passes[i] >> (p->passes - 1) & 1) t->between[t->n++] = i;
    }
}

static ng_v place(tiles *t, int k) {
    const ng_build *g = &t->l->g;
    int64_t bytes = t->l->real_bytes;
    ng_v v_row = LLVMBuildMul(g->b, t->rows->v_number, ng_i64(g, t->n * bytes), "");
    return ng_offset(g, ng_offset(g, t->l->between, v_row), ng_i64(g, k * bytes));
}

static void remember(tiles *t) {
    for (int k = 0; k < t->n; k++)
        ng_store(&t->l->g, ng_scalar(t->l, t->rows, t->between[k]), place(t, k),
                 (unsigned)t->l->real_bytes);
}

static void recall(tiles *t) {
    ng_t type = LLVMVectorType(t->l->t_real, 1);
    for (int k = 0; k < t->n; k++)
        t->rows->scalar[t->between[k]] =
            ng_load(&t->l->g, type, place(t, k), (unsigned)t->l->real_bytes);
}

/* ---- what is done with the row at hand; `ahead`: a row to prefetch, or NULL ---- */

typedef void row_task(tiles *t, const ng_position *ahead);

static void first_passes(tiles *t, const ng_position *ahead) {
    (void)ahead;
    for (int pass = 0; pass + 1 < t->l->p->passes; pass++)
        ng_sweep(t->l, &(ng_work){.rows = t->rows, .pass = pass}, 1);
    remember(t);
}

static void tile_of_last_pass(tiles *t, const ng_position *ahead) {
    ng_rows to_come = {0};
    ng_work work = {.rows = t->rows, .pass = t->l->p->passes - 1};
    recall(t);
    if (ahead) {
        ng_rows_to_prefetch(t->l, &to_come, t->rows, *ahead);
        work.prefetch = &to_come;
    }
    ng_sweep_tile(t->l, &work, t->v_from, t->elements);
}

static void scalar_stores(tiles *t, const ng_position *ahead) {
    (void)ahead;
    recall(t);
    ng_store_scalars(t->l, t->rows);
}

/* The rows from a position on, one after the other; `ahead` is where the first one's row to
 * prefetch is, or NULL. Returns the position behind them. */
static ng_position each_row(tiles *t, ng_position at, const ng_position *ahead, row_task *task) {
    const ng_build *g = &t->l->g;
    ng_loop loop;
    LLVMBasicBlockRef b_from = ng_block_here(g);
    ng_loop_begin(g, &loop, ng_i64(g, 0), t->v_count, 1, NULL, 0);
    ng_position here = ng_position_carry(t->l, at, b_from), after = here, next = here, behind;
    if (ahead) behind = next = ng_position_carry(t->l, *ahead, b_from);
    ng_rows_at(t->l, t->rows, 1, &after);
    t->rows->v_number = loop.v_index;
    task(t, ahead ? &next : NULL);
    ng_position_back(t->l, here, after);
    if (ahead) {
        behind = ng_rows_on(t->l, behind, 1);
        ng_position_back(t->l, next, behind);
    }
    ng_loop_end(g, &loop);
    return after;
}

/* ---- blocks ---- */

static void last_pass(tiles *t, ng_position at, const ng_position *ahead) {
    const ng_build *g = &t->l->g;
    int64_t hidden = t->l->p->hidden, whole = hidden - hidden % NG_TILE;
    ng_loop loop;
    t->elements = NG_TILE;
    ng_loop_begin(g, &loop, ng_i64(g, 0), ng_i64(g, whole), NG_TILE, NULL, 0);
    t->v_from = loop.v_index;
    each_row(t, at, ahead, tile_of_last_pass);
    ng_loop_end(g, &loop);
    if (whole == hidden) return;
    t->v_from = ng_i64(g, whole);
    t->elements = hidden - whole;
    each_row(t, at, ahead, tile_of_last_pass);
}

static bool stores_scalars(const ng_program *p) {
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_STORE && p->op[i].scalar) return true;
    return false;
}

void ng_tiled_blocks(ng_lower *l, ng_rows *rows, ng_position at) {
    const ng_build *g = &l->g;
    tiles t = {.l = l, .rows = rows};
    find_between(&t);
    LLVMBasicBlockRef b_from = ng_block_here(g), b_test = ng_block_new(g, "blocks");
    LLVMBasicBlockRef b_body = ng_block_new(g, "block"), b_done = ng_block_new(g, "blocks_done");
    LLVMBuildBr(g->b, b_test);
    ng_block_start(g, b_test);
    ng_position here = ng_position_carry(l, at, b_from);
    ng_v v_block = ng_i64(g, l->s->block);
    ng_v v_left = LLVMBuildSub(g->b, l->v_last, here.v_row, "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntNE, v_left, ng_i64(g, 0), ""), b_body, b_done);
    ng_block_start(g, b_body);
    ng_v v_few = LLVMBuildICmp(g->b, LLVMIntULT, v_left, v_block, "");
    t.v_count = LLVMBuildSelect(g->b, v_few, v_left, v_block, "");
    ng_position after = each_row(&t, here, NULL, first_passes);
    last_pass(&t, here, l->s->prefetch == NG_PREFETCH_NONE ? NULL : &after);
    if (stores_scalars(l->p)) each_row(&t, here, NULL, scalar_stores);
    ng_position_back(l, here, after);
    LLVMBuildBr(g->b, b_test);
    ng_block_start(g, b_done);
}
