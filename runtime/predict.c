/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule where nothing was tuned, nor anything near: rules from measurements, as functions of
 * what a row is and costs, and of the caches. They know no machine and no fusion. */
#include "regime.h"
#include "types.h"

#include <assert.h>
#include <string.h>

/* Bytes: of a row's values in the compute type, and of all its streams. A row is small when it, its
 * outputs and the row after it share L1 (32 to 48 KiB everywhere). */
enum {
    TINY_VALUES = 256,
    SHORT_VALUES = 512,
    WIDENED_VALUES = 1 << 10, /* beyond, even and odd registers cost less than a widened scratch */
    EVEN_VALUES = 3 << 10, /* beyond, two rows of even and odd registers do what four did */
    FOUR_VALUES = 4 << 10,
    TWO_ROW = 6 << 10,    /* beyond, L1 does not have what overlap=two keeps in flight */
    STREAM_ROW = 4 << 10, /* beyond, streaming stores have to be paced */
    PIPELINE_ROW = 8 << 10,
    OVERLAP_ROW =
        32 << 10, /* beyond, from memory, three passes do not overlap: two rows take turns */
    TURNS_ROW = 64 << 10, /* with twice what rows share: beyond, the next row finds L1 without it */
    SMALL_ROW = 16 << 10
};
/* A last level beyond this is in slices all over the chip, and as slow as memory. */
static const size_t far_level = (size_t)128 << 20;

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

/* What a wish follows from. */
typedef struct circumstances {
    const ng_program *program;
    const ng_cpu *cpu; /* whose caches */
    const ng_isa *isa;
    ng_regime regime;
    size_t row, shared, values; /* bytes: of all its streams, of what rows share, of its values */
    bool kept;                  /* a value that crosses passes is not computed again */
    bool widened;               /* the same, but only for what widening costs */
} circumstances;

static bool reloads(const ng_program *p, const ng_schedule *s) {
    return p->keeps > 0 && s->keep[0] == NG_RELOAD;
}

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

/* Short rows of narrow values, widened once for all passes: rows together share the fold, and what
 * they share is widened once for all of them. */
static bool wish_widened(const circumstances *c, ng_schedule *s) {
    if (c->program->passes != 2 || !c->widened || c->values > WIDENED_VALUES) return false;
    s->overlap = NG_OVERLAP_TWO;
    s->block = c->values <= TINY_VALUES ? 8 : 4;
    s->shared = NG_SHARED_ONCE;
    return true;
}

static bool shares(const ng_program *p, const ng_schedule *s) {
    for (int i = 0; i < p->ops; i++)
        if (ng_schedule_once(p, s, i)) return true;
    return false;
}

/* The folds of longer rows hide in the pass before while L1 has room for the rows in flight. With
 * even and odd registers that pays beyond L1 as long as what rows share, widened once, takes less
 * than half of it. Where nothing is widened one row at a time is enough for L2. */
static bool wish_pair(const circumstances *c, ng_schedule *s) {
    bool even = s->layout == NG_LAYOUT_EVENODD, l1 = c->regime == NG_L1;
    ng_schedule pair = *s;
    pair.overlap = NG_OVERLAP_TWO;
    pair.block = even || l1 ? 2 : 1;
    if (even) pair.shared = NG_SHARED_ONCE;
    bool room = c->values <= FOUR_VALUES ||
                (!l1 && c->values < c->cpu->l1d / 2 && even && shares(c->program, &pair));
    if (c->program->passes != 2 || (c->kept && !even) || c->values <= SHORT_VALUES || !room)
        return false;
    *s = pair;
    return true;
}

/* From a last level that is as far as memory: rows one by one, the next ones asked for in time, and
 * the lines of what is written too. The folds hide as they do nearer. */
static bool wish_from_afar(const circumstances *c, ng_schedule *s) {
    if (c->regime != NG_LLC || c->cpu->llc <= far_level || c->values <= SHORT_VALUES) return false;
    s->store = NG_STORE_AHEAD;
    s->prefetch = NG_PREFETCH_L2;
    s->overlap = c->program->passes > 2      ? NG_OVERLAP_ALL
                 : c->values <= FOUR_VALUES ? NG_OVERLAP_TWO
                                            : NG_OVERLAP_YES;
    return true;
}

/* Near the core. Rows together share what a kept value, a widened weight or the fold of a short row
 * costs; else one row at a time, and while the next one fits L1 too its first pass hides in the
 * last one, or every pass in the one before where there are three. Where L1 has nothing left of the
 * weight when the next row wants it, rows take turns. */
static void wish_near(const circumstances *c, ng_schedule *s) {
    const ng_program *p = c->program;
    size_t row = c->row, values = c->values;
    bool even = s->layout == NG_LAYOUT_EVENODD, small = row <= SMALL_ROW;
    if (wish_from_afar(c, s) || wish_widened(c, s) || wish_pair(c, s) ||
        wish_folds(p, values, c->kept, s))
        return;
    if (c->kept || even) {
        s->block = values <= (even ? FOUR_VALUES : TINY_VALUES) ? 4 : 2;
        if (s->block == 2 && small && !reloads(p, s)) s->overlap = NG_OVERLAP_YES;
        return;
    }
    if (row + 2 * c->shared > TURNS_ROW && p->passes > 1) {
        s->block = MOST_TURNS;
        s->visit = NG_VISIT_TILES;
        return;
    }
    if (values <= TINY_VALUES) s->block = p->passes > 2 ? 2 : 4;
    if (p->passes > 2 && !small) s->block = 2;
    if (p->passes > 2 && row <= c->cpu->l1d / 4)
        s->overlap = row <= TWO_ROW ? NG_OVERLAP_TWO : NG_OVERLAP_ALL;
    else if (s->block == 1 && small)
        s->overlap = NG_OVERLAP_YES;
}

/* Past the caches. Short rows that are widened once hide their folds as they do nearer, four rows
 * at a time, where such code is not too long. Long rows go on line by line, pace their stores, and
 * ask for the rows to come twice. */
static void wish_far(const circumstances *c, ng_schedule *s) {
    const ng_program *p = c->program;
    size_t row = c->row, values = c->values;
    bool kept = c->kept;
    s->store = NG_STORE_STREAM;
    s->prefetch = NG_PREFETCH_L2;
    ng_schedule four = *s;
    if (c->values >= TINY_VALUES && wish_widened(c, &four)) {
        four.block = 4;
        if (ng_schedule_legal(p, c->isa, &four, NULL) && streamable(p, &four)) {
            *s = four;
            return;
        }
    }
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

static void wish(const ng_program *p, const ng_cpu *cpu, const ng_isa *isa, ng_regime regime,
                 int layout, ng_schedule *s) {
    circumstances c = {.program = p, .cpu = cpu, .isa = isa, .regime = regime};
    c.values = (size_t)p->hidden * ng_types[p->compute].bytes;
    ng_program_footprint(p, &c.row, &c.shared);
    *s = (ng_schedule){.vec = widest(isa), .block = 1, .layout = (int16_t)layout};
    c.kept = wish_keeps(p, s);
    ng_schedule even = {.layout = NG_LAYOUT_EVENODD};
    c.widened = c.kept && !wish_keeps(p, &even);
    if (regime == NG_DRAM)
        wish_far(&c, s);
    else
        wish_near(&c, s);
    if (!isa->streams) s->store = NG_STORE_CACHED;
}

/* ---- as legal ---- */

static bool fits(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    return ng_schedule_legal(p, isa, s, NULL) && (!ng_schedule_past_caches(s) || streamable(p, s));
}

/* As wished, or with longer slices, with what rows share computed anew, without turns and overlap,
 * or without the prefetch too. */
static bool settle_order(const ng_program *p, const ng_isa *isa, ng_schedule *s) {
    ng_schedule t = *s;
    bool legal = fits(p, isa, &t);
    if (!legal && t.slice) {
        t.slice = NG_SLICE_FOUR;
        legal = fits(p, isa, &t);
    }
    if (!legal && t.shared) {
        t.shared = NG_SHARED_ANEW;
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

/* Even and odd registers where they are possible at full width, unless the linear wish widens once.
 * One row at a time, computed again and again with some width of vectors, is legal everywhere. */
void ng_regime_default_schedule(const ng_program *program, const ng_cpu *cpu, const ng_isa *isa,
                                ng_regime regime, ng_schedule *schedule) {
    ng_schedule even, first;
    wish(program, cpu, isa, regime, NG_LAYOUT_EVENODD, &even);
    wish(program, cpu, isa, regime, NG_LAYOUT_LINEAR, &first);
    if (!first.shared && settle(program, isa, &even, even.vec, schedule)) return;
    if (settle(program, isa, &first, 128, schedule)) return;
    first.vec = widest(isa); /* where code for narrow ones is too long */
    if (settle(program, isa, &first, 128, schedule)) return;
    assert(false && "the last try is legal on every level with generated code");
}
