/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule where nothing was tuned, nor anything near: rules from measurements, as functions of
 * what a row is and costs. They know no machine and no fusion. */
#include "regime.h"
#include "types.h"

#include <assert.h>
#include <string.h>

/* Bytes. A row is short when its fold costs more than its elements; small when it, its outputs and
 * the row after it share L1 (32 to 48 KiB everywhere); tiny when lines of several rows of a DRAM
 * page come in one burst. */
enum { SHORT_ROW = 1 << 10, SMALL_ROW = 16 << 10, DRAM_SMALL_ROW = 8 << 10, TINY_ROW = 1 << 10 };
/* Operations that computing a crossing value again may cost: a load, and one more. */
enum { LIGHT = 2, NARROW = 3 };

static void keep_all(ng_schedule *s, const ng_program *p, ng_residency how) {
    memset(s->keep, 0, sizeof s->keep);
    for (int j = 0; j < p->keeps; j++) s->keep[j] = (uint8_t)how;
}

/* Whether every row output begins at a vector when its rows are contiguous. */
static bool streamable(const ng_program *p, const ng_schedule *s) {
    for (int i = 0; i < p->streams; i++) {
        const ng_stream *t = &p->stream[i];
        if (t->out && ng_stream_moves(t) && t->row_bytes % ng_schedule_alignment(p, s, i) != 0)
            return false;
    }
    return true;
}

/* ---- what it costs to compute a value again ---- */

static int cost_of(const ng_program *p, int i, bool seen[NG_MAX_OPS]) {
    const ng_op *op = &p->op[i];
    if (op->scalar || op->shared || seen[i]) return 0;
    seen[i] = true;
    bool narrow = (op->code == NG_LOAD || op->code == NG_ROUND) &&
                  ng_types[op->type].bytes < ng_types[p->compute].bytes;
    int cost = narrow ? NARROW : 1;
    for (int k = 0; k < ng_op_operands(op); k++)
        if (op->a[k] >= 0) cost += cost_of(p, op->a[k], seen);
    return cost;
}

static bool heavy(const ng_program *p, int j) {
    bool seen[NG_MAX_OPS] = {false};
    return cost_of(p, p->keep[j], seen) > LIGHT;
}

/* ---- wishes ---- */

/* What is cheap is computed again. What is not waits on the stack, or in the output that has it
 * where rows are too long for the stack to stay near by. */
static bool wish_keeps(const ng_program *p, ng_schedule *s, bool far) {
    bool any = false;
    for (int j = 0; j < p->keeps; j++) {
        if (!heavy(p, j)) continue;
        s->keep[j] = far && ng_program_reload_store(p, j) >= 0 ? NG_RELOAD : NG_SCRATCH;
        any = true;
    }
    return any;
}

/* Rows together share what a kept value, or the fold of a short row, costs. While a row and the
 * next fit L1, the next row's first pass hides in the last one. In dram two rows at once past the
 * caches, with those to come on their way into L2; tiny ones come fast enough by themselves. */
static void wish(const ng_program *p, const ng_isa *isa, ng_regime regime, ng_schedule *s) {
    size_t row, shared, values = (size_t)p->hidden * ng_types[p->compute].bytes;
    ng_program_footprint(p, &row, &shared);
    *s = (ng_schedule){.vec = (int16_t)(isa->max_vec < 512 ? isa->max_vec : 512), .block = 1};
    bool kept = wish_keeps(p, s, row > SMALL_ROW);
    if (kept) s->block = 2;
    if (values <= SHORT_ROW) s->block = 4;
    s->overlap = row <= SMALL_ROW && (kept || s->block == 1 || p->passes > 2);
    if (regime != NG_DRAM || row <= TINY_ROW) return;
    s->block = 2;
    s->overlap = row <= DRAM_SMALL_ROW && !kept;
    s->prefetch = NG_PREFETCH_L2;
    s->store = NG_STORE_STAGED;
    if (!isa->streams) s->store = NG_STORE_CACHED;
}

/* ---- as legal ---- */

static bool fits(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    return ng_schedule_legal(p, isa, s, NULL) && (s->store == NG_STORE_CACHED || streamable(p, s));
}

/* As wished, or without the overlap, or without the prefetch too. */
static bool settle_order(const ng_program *p, const ng_isa *isa, ng_schedule *s) {
    ng_schedule t = *s;
    bool legal = fits(p, isa, &t);
    if (!legal && t.overlap) {
        t.overlap = 0;
        legal = fits(p, isa, &t);
    }
    if (!legal) {
        t.prefetch = NG_PREFETCH_NONE;
        legal = fits(p, isa, &t);
    }
    if (legal) *s = t;
    return legal;
}

/* With as many rows together as is legal. */
static bool settle_block(const ng_program *p, const ng_isa *isa, ng_schedule *s) {
    for (ng_schedule t = *s; t.block >= 1; t.block = (int16_t)(t.block / 2))
        if (settle_order(p, isa, &t)) {
            *s = t;
            return true;
        }
    return false;
}

/* Gives up keeping, then width, last of all streaming. One row at a time, computed again and
 * again with some width of vectors, is legal everywhere. */
void ng_regime_default_schedule(const ng_program *program, const ng_isa *isa, ng_regime regime,
                                ng_schedule *schedule) {
    ng_schedule first;
    wish(program, isa, regime, &first);
    for (int store = first.store; store >= NG_STORE_CACHED; store--)
        for (int vec = first.vec; vec >= 128; vec /= 2)
            for (int plain = 0; plain < 2; plain++) {
                *schedule = first;
                schedule->store = (int16_t)store;
                schedule->vec = (int16_t)vec;
                if (plain) keep_all(schedule, program, NG_RECOMPUTE);
                if (settle_block(program, isa, schedule)) return;
            }
    assert(false && "the last try is legal on every level with generated code");
}
