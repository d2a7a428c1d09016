/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of which several are in work at once (overlap): passes of neighbouring blocks run side by
 * side, so that what one of them waits for is hidden behind the others. What happens is a row of
 * rounds: each begins a block, and runs every pass for the block that is as many rounds old as the
 * pass lags (ng_overlap_lag), in a few sweeps over the elements (ng_overlap_sweep). Before the loop
 * and after it there are rounds without the passes whose block does not exist. */
#include "lower.h"

#include <stdlib.h>
#include <string.h>

typedef ng_position position;

/* What is known of a block between two rounds, and used later on: scalars, and where its first row
 * is in each stream. */
typedef struct cargo {
    int n, op[NG_MAX_OPS];
    ng_v scalar[NG_MAX_OPS], base[NORMGEN_MAX_STREAMS];
    ng_v v_number; /* of its first row's scratch */
} cargo;

enum { CARRIED = NG_MAX_FLIGHT * (NG_MAX_OPS + NORMGEN_MAX_STREAMS + 1) + 4 };

struct ng_flight {
    ng_lower *l;
    int n;                        /* rows of a block */
    position at;                  /* of the block that the next round begins, */
    ng_v v_number;                /* and of its scratch */
    ng_rows block[NG_MAX_FLIGHT]; /* of this round, by age in rounds */
    cargo cargo[NG_MAX_FLIGHT];
    ng_v carried[CARRIED], phi[CARRIED];
};

ng_flight *ng_flight_new(void) { return calloc(1, sizeof(ng_flight)); }

static int lag_of(const ng_lower *l, int pass) { return ng_overlap_lag(l->p, l->s, pass); }
static int oldest(const ng_lower *l) { return lag_of(l, l->p->passes - 1); }

/* ---- what is known between rounds ---- */

/* Scalars that are known once the first `done` passes are, and that later ones need; of what
 * follows from the sums only what follows from those of the first `followed` passes. */
static void find_scalars(const ng_lower *l, int done, int followed, cargo *c) {
    bool needed[NG_MAX_OPS] = {false};
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        bool stores = op->code == NG_STORE, later = stores || op->level > followed;
        for (int j = 0; j < ng_op_operands(op) && op->scalar && later; j++) needed[op->a[j]] = true;
    }
    c->n = 0;
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        bool fixed = op->code == NG_STORE || op->code == NG_CONST || op->code == NG_BITS;
        if (!op->scalar || fixed || op->level > (ng_op_reduces(op) ? done : followed)) continue;
        if (needed[i] || l->passes[i] >> done) c->op[c->n++] = i;
    }
}

/* A block that no pass waits for in the next round keeps its sums as they are for that long, so
 * that what follows from them runs beside the fold of the block behind it, not after its own. */
static void start_cargo(ng_flight *f, int age) {
    ng_lower *l = f->l;
    cargo *c = &f->cargo[age];
    int done = 0;
    while (done < l->p->passes && lag_of(l, done) < age) done++;
    bool fresh = lag_of(l, done - 1) == age - 1,
         waits = done < l->p->passes && lag_of(l, done) > age;
    find_scalars(l, done, fresh && waits ? done - 1 : done, c);
    ng_t t = LLVMVectorType(l->t_real, (unsigned)f->n);
    for (int i = 0; i < c->n; i++) c->scalar[i] = LLVMGetPoison(t);
    for (int s = 0; s < l->p->streams; s++) c->base[s] = LLVMGetPoison(l->g.t_ptr);
    c->v_number = LLVMGetPoison(l->g.t_i64);
}

/* The block as it stands at the beginning of a round, from what is known of it. */
static void board(ng_flight *f, int age) {
    const cargo *c = &f->cargo[age];
    ng_rows_from(f->l, &f->block[age], f->n, c->base);
    for (int i = 0; i < c->n; i++) f->block[age].scalar[c->op[i]] = c->scalar[i];
    f->block[age].v_number = c->v_number;
}

/* A new block, and the place and the scratch of the next one. */
static void begin(ng_flight *f) {
    const ng_build *g = &f->l->g;
    int scratches = ng_schedule_scratches(f->l->p, f->l->s);
    ng_rows_at(f->l, &f->block[0], f->n, &f->at);
    f->block[0].v_number = f->v_number;
    if (scratches == 1) return;
    ng_v v_next = LLVMBuildAdd(g->b, f->v_number, ng_i64(g, f->n), "");
    ng_v v_over = LLVMBuildICmp(g->b, LLVMIntEQ, v_next, ng_i64(g, scratches * f->n), "");
    f->v_number = LLVMBuildSelect(g->b, v_over, ng_i64(g, 0), v_next, "");
}

/* What is known at the end of the round of the block that will be of this age in the next one. */
static void grow_older(ng_flight *f, int age) {
    cargo *c = &f->cargo[age];
    ng_rows *rows = &f->block[age - 1];
    for (int i = 0; i < c->n; i++) c->scalar[i] = ng_scalar(f->l, rows, c->op[i]);
    for (int s = 0; s < f->l->p->streams; s++) c->base[s] = rows->base[s][0];
    c->v_number = rows->v_number;
}

/* ---- rounds ---- */

/* Some rounds of one kind. */
typedef struct rounds {
    int lag_from, lag_to; /* passes that run */
    int age_from, age_to; /* blocks that something is known of, but the one that a round begins */
    bool begins;          /* each round begins a block */
    bool prefetches;
} rounds;

static void run_sweep(ng_flight *f, const rounds *r, int sweep, ng_rows *prefetch) {
    ng_lower *l = f->l;
    ng_work work[NG_MAX_TOGETHER];
    int works = 0;
    for (int pass = l->p->passes - 1; pass >= 0; pass--) {
        int lag = lag_of(l, pass);
        if (ng_overlap_sweep(l->p, l->s, pass) != sweep || lag < r->lag_from || lag > r->lag_to)
            continue;
        bool last = pass == l->p->passes - 1;
        work[works++] =
            (ng_work){.rows = &f->block[lag], .pass = pass, .prefetch = last ? prefetch : NULL};
    }
    if (works && l->s->visit == NG_VISIT_STRIPS)
        ng_strip_sweep(l, work, works);
    else if (works)
        ng_sweep(l, work, works);
}

static void run_round(ng_flight *f, const rounds *r) {
    ng_lower *l = f->l;
    ng_rows to_come = {0};
    bool prefetches = r->prefetches && l->s->prefetch != NG_PREFETCH_NONE;
    for (int age = r->age_from; age <= r->age_to; age++) board(f, age);
    if (r->begins) begin(f);
    if (prefetches) ng_rows_to_prefetch(l, &to_come, &f->block[0], f->at);
    for (int sweep = 0; sweep < l->p->passes; sweep++)
        run_sweep(f, r, sweep, prefetches ? &to_come : NULL);
    for (int age = r->age_to; age >= r->age_from + !r->begins; age--) grow_older(f, age);
}

static ng_v *move(ng_v *v, ng_v *place, size_t n, bool back) {
    memcpy(back ? place : v, back ? v : place, n * sizeof *v);
    return v + n;
}

/* What a loop of rounds carries around, into f->carried or from there; returns how much. */
static unsigned carry(ng_flight *f, const rounds *r, bool back) {
    ng_v *v = f->carried;
    ng_v *where[4] = {&f->at.v_row, &f->at.v_outer, &f->at.v_inner, &f->v_number};
    for (int i = 0; i < 4 && r->begins; i++) {
        if (!back) *where[i] = ng_opaque(&f->l->g, *where[i]);
        v = move(v, where[i], 1, back);
    }
    for (int age = r->age_from; age <= r->age_to; age++) {
        cargo *c = &f->cargo[age];
        v = move(v, c->scalar, (size_t)c->n, back);
        v = move(v, c->base, (size_t)f->l->p->streams, back);
        v = move(v, &c->v_number, 1, back);
    }
    return (unsigned)(v - f->carried);
}

static void some_rounds(ng_flight *f, const rounds *r, int count) {
    const ng_build *g = &f->l->g;
    ng_loop loop;
    if (count == 1) {
        run_round(f, r);
        return;
    }
    unsigned n = carry(f, r, false);
    ng_loop_begin(g, &loop, ng_i64(g, 0), ng_i64(g, count), 1, f->carried, n);
    carry(f, r, true);
    run_round(f, r);
    carry(f, r, false);
    ng_loop_end(g, &loop);
    carry(f, r, true);
}

/* As long as another block fits. */
static void all_rounds(ng_flight *f, const rounds *r) {
    const ng_build *g = &f->l->g;
    unsigned n = carry(f, r, false);
    LLVMBasicBlockRef b_from = ng_block_here(g), b_head = ng_block_new(g, "rounds"),
                      b_round = ng_block_new(g, "round"), b_done = ng_block_new(g, "rounds_done");
    LLVMBuildBr(g->b, b_head);
    ng_block_start(g, b_head);
    for (unsigned i = 0; i < n; i++) f->phi[i] = ng_phi(g, f->carried[i], b_from);
    memcpy(f->carried, f->phi, n * sizeof *f->phi);
    carry(f, r, true);
    LLVMBuildCondBr(g->b, ng_rows_fit(f->l, f->at, f->n), b_round, b_done);
    ng_block_start(g, b_round);
    run_round(f, r);
    carry(f, r, false);
    for (unsigned i = 0; i < n; i++) ng_phi_add(f->phi[i], f->carried[i], ng_block_here(g));
    LLVMBuildBr(g->b, b_head);
    ng_block_start(g, b_done);
    memcpy(f->carried, f->phi, n * sizeof *f->phi);
    carry(f, r, true);
}

/* ---- blocks ---- */

ng_v ng_blocks_fit(ng_lower *l, int n, position at) {
    ng_v v_fit = ng_rows_fit(l, at, n);
    for (int j = 1; j < oldest(l) && !l->limit; j++) {
        at = ng_rows_on(l, at, n);
        v_fit = LLVMBuildAnd(l->g.b, v_fit, ng_rows_fit(l, at, n), "");
    }
    return v_fit;
}

position ng_overlapped_blocks(ng_lower *l, int n, position at) {
    ng_flight *f = l->flying;
    int last = oldest(l);
    f->l = l;
    f->n = n;
    f->at = at;
    f->v_number = ng_i64(&l->g, 0);
    for (int age = 1; age <= last; age++) start_cargo(f, age);
    for (int pass = 0, lag, next; pass + 1 < l->p->passes;
         pass++) { /* until the last pass begins */
        lag = lag_of(l, pass);
        next = lag_of(l, pass + 1);
        rounds r = {.lag_to = lag, .age_from = 1, .age_to = next, .begins = true};
        if (next > lag) some_rounds(f, &r, next - lag);
    }
    rounds all = {
        .lag_to = last, .age_from = 1, .age_to = last, .begins = true, .prefetches = true};
    all_rounds(f, &all);
    for (int pass = 1, lag, before; pass < l->p->passes; pass++) { /* the passes that are left */
        lag = lag_of(l, pass);
        before = lag_of(l, pass - 1);
        rounds r = {.lag_from = lag, .lag_to = last, .age_from = before + 1, .age_to = last};
        if (lag > before) some_rounds(f, &r, lag - before);
    }
    return f->at;
}
