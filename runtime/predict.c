/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule where nothing was tuned, nor anything near: rules from measurements, as functions of
 * what a row is and costs. They know no machine and no fusion. */
#include "regime.h"
#include "types.h"

#include <assert.h>
#include <string.h>

/* Bytes: of a row's values in the compute type, and of all its streams. A row is small when it, its
 * outputs and the row after it share L1 (32 to 48 KiB everywhere). */
enum {
    TINY_VALUES = 256,
    SHORT_VALUES = 512,
    EVEN_VALUES = 3 << 10, /* beyond, two rows of even and odd registers do what four did */
    FOUR_VALUES = 4 << 10,
    TWO_ROW = 4 << 10,    /* beyond, L1 does not have what overlap=two keeps in flight */
    STREAM_ROW = 4 << 10, /* beyond, streaming stores have to be paced */
    PIPELINE_ROW = 8 << 10,
    OVERLAP_ROW =
        32 << 10, /* beyond, from memory, three passes do not overlap: two rows take turns */
    TURNS_ROW = 64 << 10, /* with twice what rows share: beyond, the next row finds L1 without it */
    SMALL_ROW = 16 << 10
};
/* Operations that computing a crossing value again may cost: a load, and one more. Widening takes
 * two more unless even and odd elements are apart. */
enum { LIGHT = 2, NARROW = 3, MOST_TURNS = 8 };

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

static int cost_of(const ng_program *p, int layout, int i, bool seen[NG_MAX_OPS]) {
    const ng_op *op = &p->op[i];
    if (op->scalar || op->shared || seen[i]) return 0;
    seen[i] = true;
    bool narrow = (op->code == NG_ROUND || (op->code == NG_LOAD && layout == NG_LAYOUT_LINEAR)) &&
                  ng_types[op->type].bytes < ng_types[p->compute].bytes;
    int cost = narrow ? NARROW : 1;
    for (int k = 0; k < ng_op_operands(op); k++)
        if (op->a[k] >= 0) cost += cost_of(p, layout, op->a[k], seen);
    return cost;
}

/* ---- wishes ---- */

/* What is cheap is computed again; what is not waits in an output that has it, or on the stack. */
static bool wish_keeps(const ng_program *p, ng_schedule *s) {
    bool any = false;
    for (int j = 0; j < p->keeps; j++) {
        bool seen[NG_MAX_OPS] = {false};
        if (cost_of(p, s->layout, p->keep[j], seen) <= LIGHT) continue;
        s->keep[j] = ng_program_reload_store(p, j) >= 0 ? NG_RELOAD : NG_SCRATCH;
        any = true;
    }
    return any;
}

/* The folds of short rows: rows together share theirs, and those of the next rows hide in what this
 * block still has to do. With even and odd registers that pays for longer rows too. */
static bool wish_folds(const ng_program *p, size_t values, bool kept, ng_schedule *s) {
    bool even = s->layout == NG_LAYOUT_EVENODD, tiny = values <= TINY_VALUES;
    if (p->passes != 2 || values > (even && !kept ? EVEN_VALUES : SHORT_VALUES)) return false;
    s->overlap = NG_OVERLAP_TWO;
    s->block = 4;
    if (tiny && !kept) s->block = 8;
    if (!tiny && kept) s->block = 2;
    return true;
}

/* Near the core. Rows together share what a kept value, a widened weight or the fold of a short row
 * costs; else one row at a time, and while the next one fits L1 too its first pass hides in the
 * last one, or every pass in the one before where there are three. Where L1 has nothing left of the
 * weight when the next row wants it, rows take turns. */
static void wish_near(const ng_program *p, size_t row, size_t shared, size_t values, bool kept,
                      ng_schedule *s) {
    bool even = s->layout == NG_LAYOUT_EVENODD, small = row <= SMALL_ROW;
    if (wish_folds(p, values, kept, s)) return;
    if (kept || even) {
        s->block = values <= (even ? FOUR_VALUES : TINY_VALUES) ? 4 : 2;
        bool reloads = p->keeps > 0 && s->keep[0] == NG_RELOAD;
        if (s->block == 2 && small && !reloads) s->overlap = NG_OVERLAP_YES;
        if (!kept && p->passes == 2 && values <= FOUR_VALUES) s->overlap = NG_OVERLAP_TWO;
        return;
    }
    if (row + 2 * shared > TURNS_ROW && p->passes > 1) {
        s->block = MOST_TURNS;
        s->visit = NG_VISIT_TILES;
        return;
    }
    if (values <= TINY_VALUES) s->block = p->passes > 2 ? 2 : 4;
    if (p->passes > 2 && !small) s->block = 2;
    if (p->passes > 2 && row <= PIPELINE_ROW)
        s->overlap = row <= TWO_ROW && s->block == 1 ? NG_OVERLAP_TWO : NG_OVERLAP_ALL;
    else if (s->block == 1 && small)
        s->overlap = NG_OVERLAP_YES;
}

/* Past the caches. Long rows go on line by line, pace their stores, and ask for the rows to come
 * twice. */
static void wish_far(const ng_program *p, size_t row, size_t values, bool kept, ng_schedule *s) {
    s->store = NG_STORE_STREAM;
    s->prefetch = NG_PREFETCH_L2;
    s->overlap = NG_OVERLAP_YES;
    if (kept || s->layout == NG_LAYOUT_EVENODD) {
        s->block = values <= SHORT_VALUES ? 4 : kept && values > EVEN_VALUES ? 1 : 2;
        if (values > SMALL_ROW) keep_all(s, p, NG_RECOMPUTE);
        s->prefetch = NG_PREFETCH_TWICE;
        s->slice = NG_SLICE_LINE;
        if (values > EVEN_VALUES) return;
        s->overlap = NG_OVERLAP_NO;
        s->prefetch = NG_PREFETCH_NEXT;
        s->slice = NG_SLICE_FOUR;
        if (values <= SHORT_VALUES && wish_folds(p, values, kept, s))
            s->prefetch = NG_PREFETCH_NONE;
    } else if (row <= STREAM_ROW) {
        keep_all(s, p, NG_RECOMPUTE);
        s->block = 1;
        if (p->passes > 2) s->prefetch = NG_PREFETCH_NONE;
        if (p->passes > 2 && values <= SHORT_VALUES) s->overlap = NG_OVERLAP_ALL;
    } else {
        s->store = NG_STORE_STAGED;
        s->prefetch = NG_PREFETCH_TWICE;
        s->slice = NG_SLICE_LINE;
        if (row <= PIPELINE_ROW) s->block = 2;
        if (row > OVERLAP_ROW && p->passes > 2) {
            s->overlap = NG_OVERLAP_NO;
            s->visit = NG_VISIT_TILES;
            s->block = 2;
        }
    }
}

static int16_t widest(const ng_isa *isa) {
    return (int16_t)(isa->max_vec < 512 ? isa->max_vec : 512);
}

static void wish(const ng_program *p, const ng_isa *isa, ng_regime regime, int layout,
                 ng_schedule *s) {
    size_t row, shared, values = (size_t)p->hidden * ng_types[p->compute].bytes;
    ng_program_footprint(p, &row, &shared);
    *s = (ng_schedule){.vec = widest(isa), .block = 1, .layout = (int16_t)layout};
    bool kept = wish_keeps(p, s);
    if (regime == NG_DRAM)
        wish_far(p, row, values, kept, s);
    else
        wish_near(p, row, shared, values, kept, s);
    if (!isa->streams) s->store = NG_STORE_CACHED;
}

/* ---- as legal ---- */

static bool fits(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    return ng_schedule_legal(p, isa, s, NULL) && (!ng_schedule_past_caches(s) || streamable(p, s));
}

/* As wished, or with longer slices, without turns and overlap, or without the prefetch too. */
static bool settle_order(const ng_program *p, const ng_isa *isa, ng_schedule *s) {
    ng_schedule t = *s;
    bool legal = fits(p, isa, &t);
    if (!legal && t.slice) {
        t.slice = NG_SLICE_FOUR;
        legal = fits(p, isa, &t);
    }
    if (!legal && t.visit) {
        t.visit = NG_VISIT_BESIDE;
        legal = fits(p, isa, &t);
    }
    if (!legal && t.overlap) {
        t.overlap = NG_OVERLAP_NO;
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

/* Gives up keeping, then width, last of all how it stores. */
static bool settle(const ng_program *p, const ng_isa *isa, const ng_schedule *first, int narrowest,
                   ng_schedule *s) {
    static const int tamer[] = {[NG_STORE_CACHED] = -1,
                                [NG_STORE_AHEAD] = NG_STORE_CACHED,
                                [NG_STORE_STREAM] = NG_STORE_CACHED,
                                [NG_STORE_STAGED] = NG_STORE_STREAM};
    for (int store = first->store; store >= NG_STORE_CACHED; store = tamer[store])
        for (int vec = first->vec; vec >= narrowest; vec /= 2)
            for (int plain = 0; plain < 2; plain++) {
                *s = *first;
                s->store = (int16_t)store;
                s->vec = (int16_t)vec;
                if (plain) keep_all(s, p, NG_RECOMPUTE);
                if (settle_block(p, isa, s)) return true;
            }
    return false;
}

/* Even and odd registers where they are possible at full width. One row at a time, computed again
 * and again with some width of vectors, is legal everywhere. */
void ng_regime_default_schedule(const ng_program *program, const ng_isa *isa, ng_regime regime,
                                ng_schedule *schedule) {
    ng_schedule first;
    wish(program, isa, regime, NG_LAYOUT_EVENODD, &first);
    if (settle(program, isa, &first, first.vec, schedule)) return;
    wish(program, isa, regime, NG_LAYOUT_LINEAR, &first);
    if (settle(program, isa, &first, 128, schedule)) return;
    first.vec = widest(isa); /* where code for narrow ones is too long */
    if (settle(program, isa, &first, 128, schedule)) return;
    assert(false && "the last try is legal on every level with generated code");
}
