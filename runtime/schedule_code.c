/* SPDX-License-Identifier: Apache-2.0 */
/* What a schedule means for the code of a kernel: vectors, slices, streamed stores, and how long it
 * gets. */
#include "schedule.h"

#include "types.h"

enum {
    SHORT_ROW = 8,  /* vectors of a row that is one slice: no loop, its weight in registers */
    STRIP_ROW = 16, /* the same, with visit=strips */
    GROUPED = 8,    /* vectors of a slice that has groups to fold */
    LINE = 64       /* bytes of a cache line */
};

int ng_schedule_vector(const ng_program *p, const ng_schedule *s) {
    return s->vec / 8 / ng_types[p->compute].bytes;
}

static bool folds_groups(const ng_program *p) {
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_GAMAX || p->op[i].code == NG_GSUM) return true;
    return false;
}

/* Vectors whose elements fill a cache line of every row. */
static int line_slice(const ng_program *p, const ng_schedule *s) {
    int vectors = 1, vector = ng_schedule_vector(p, s);
    for (int i = 0; i < p->streams; i++) {
        int each = LINE / ng_types[p->stream[i].type].bytes / vector;
        if (ng_stream_moves(&p->stream[i]) && each > vectors) vectors = each;
    }
    return vectors;
}

int ng_schedule_slice(const ng_program *p, const ng_schedule *s) {
    int vector = ng_schedule_vector(p, s), slice = (p->span + vector - 1) / vector;
    int least = s->slice == NG_SLICE_LINE ? line_slice(p, s) : 4;
    if (slice < least) slice = least;
    /* Groups of one slice share the shuffles of their folds, and wait for them together. */
    while (folds_groups(p) && slice < GROUPED) slice *= 2;
    int row = s->visit == NG_VISIT_STRIPS ? STRIP_ROW : SHORT_ROW;
    if (p->hidden <= row * vector) slice = (int)((p->hidden + vector - 1) / vector);
    for (int i = 0; i < p->ops; i++) {
        int each = ng_types[p->op[i].type].bytes;
        if (p->op[i].code != NG_STORE || p->op[i].scalar) continue;
        if (slice < ng_types[p->compute].bytes / each) slice = ng_types[p->compute].bytes / each;
    }
    return slice;
}

int ng_schedule_requests(const ng_schedule *s) {
    static const int requests[] = {[NG_PREFETCH_NEXT] = 1,
                                   [NG_PREFETCH_L2] = 1,
                                   [NG_PREFETCH_TWICE] = 2,
                                   [NG_PREFETCH_THRICE] = NG_MAX_REQUESTS};
    return requests[s->prefetch];
}

bool ng_schedule_uses(const ng_program *p, const ng_schedule *s, ng_residency r) {
    for (int j = 0; j < p->keeps; j++)
        if (s->keep[j] == r) return true;
    return false;
}

bool ng_schedule_past_caches(const ng_schedule *s) {
    return s->store == NG_STORE_STREAM || s->store == NG_STORE_STAGED;
}

bool ng_schedule_asks_ahead(const ng_schedule *s, const ng_stream *stream) {
    return s->store == NG_STORE_AHEAD && stream->out && stream->block == 1 &&
           ng_stream_moves(stream);
}

bool ng_schedule_streams(const ng_program *p, const ng_schedule *s, const ng_op *store) {
    if (!ng_schedule_past_caches(s) || store->scalar) return false;
    if (p->stream[store->stream].block > 1) return false; /* not a multiple of vectors */
    for (int j = 0; j < p->keeps; j++) {
        int from = s->keep[j] == NG_RELOAD ? ng_program_reload_store(p, j) : -1;
        if (from >= 0 && &p->op[from] == store) return false;
    }
    return true;
}

size_t ng_schedule_alignment(const ng_program *p, const ng_schedule *s, int stream) {
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_STORE && p->op[i].stream == stream &&
            ng_schedule_streams(p, s, &p->op[i]))
            return (size_t)s->vec / 8;
    return 1;
}

static bool shares_elements(const ng_op *op) { return op->shared && !op->scalar; }

bool ng_schedule_once(const ng_program *p, const ng_schedule *s, int i) {
    const ng_op *op = &p->op[i];
    if (s->shared == NG_SHARED_ANEW || !shares_elements(op) || op->code == NG_STORE) return false;
    if (op->code == NG_LOAD && op->type == p->compute) return false;
    for (int user = i + 1; user < p->ops; user++)
        for (int j = 0; j < ng_op_operands(&p->op[user]); j++)
            if (p->op[user].a[j] == i && !shares_elements(&p->op[user])) return true;
    return false;
}

int64_t ng_schedule_step(const ng_program *p, const ng_schedule *s) {
    int64_t step = p->lanes < 64 ? 64 : p->lanes;
    int64_t slice = (int64_t)ng_schedule_slice(p, s) * ng_schedule_vector(p, s);
    return step < slice ? slice : step; /* a slice of an odd size is a whole row */
}

bool ng_schedule_even_segments(const ng_program *p, const ng_schedule *s) {
    int64_t step = ng_schedule_step(p, s);
    for (int pass = 0; pass < p->passes; pass++)
        if (p->width[pass] % step) return false;
    return NG_SEGMENT % step == 0;
}

int ng_schedule_turn(const ng_schedule *s) {
    return s->visit == NG_VISIT_STRIPS ? NG_STRIP : s->block;
}

int ng_schedule_rows(const ng_schedule *s) { return s->visit == NG_VISIT_TILES ? 1 : s->block; }

/* Each value of overlap: how far the second pass is behind the first and each other one behind the
 * one before it, and which passes run in the round's last sweep; the others have one each. */
static const struct {
    int8_t second, others;
    bool first_there, middle_there;
} overlaps[] = {[NG_OVERLAP_NO] = {0, 0, false, false},
                [NG_OVERLAP_YES] = {1, 0, true, false},
                [NG_OVERLAP_ALL] = {1, 1, true, true},
                [NG_OVERLAP_TWO] = {2, 2, true, true}};

int ng_overlap_lag(const ng_program *p, const ng_schedule *s, int pass) {
    (void)p;
    return pass ? overlaps[s->overlap].second + (pass - 1) * overlaps[s->overlap].others : 0;
}

int ng_overlap_sweep(const ng_program *p, const ng_schedule *s, int pass) {
    bool last = pass == p->passes - 1;
    if (last || (pass ? overlaps[s->overlap].middle_there : overlaps[s->overlap].first_there))
        return p->passes - 1;
    return pass;
}

/* A block's scratch may go to the block that is written when it is read last: within a sweep later
 * passes come first, slice by slice. */
int ng_schedule_scratches(const ng_program *p, const ng_schedule *s) {
    int most = 1;
    for (int j = 0; j < p->keeps; j++) {
        int first = ng_op_first_pass(&p->op[p->keep[j]]);
        for (int later = first + 1; later < p->passes && s->keep[j] == NG_SCRATCH; later++) {
            int n = ng_overlap_lag(p, s, later) - ng_overlap_lag(p, s, first);
            if (ng_overlap_sweep(p, s, later) > ng_overlap_sweep(p, s, first) && n) n++;
            if (n > most) most = n;
        }
    }
    return most;
}

int ng_overlap_copies(const ng_program *p, const ng_schedule *s) {
    int copies = 1;
    for (int pass = 1; pass < p->passes; pass++)
        copies += ng_overlap_lag(p, s, pass) != ng_overlap_lag(p, s, pass - 1);
    return copies;
}

/* Whether the operation only combines what groups (and rows) have one value of: it is done once for
 * the groups of a slice. */
static bool of_groups(const ng_program *p, const ng_op *op) {
    bool groups = false;
    for (int j = 0; j < ng_op_operands(op); j++) {
        const ng_op *a = &p->op[op->a[j]];
        bool folds = a->code == NG_GAMAX || a->code == NG_GSUM;
        if (!a->scalar && !folds && !of_groups(p, a)) return false;
        groups = groups || !a->scalar;
    }
    return groups;
}

/* Half instructions for one vector in a pass: each operation that the pass computes, and its
 * stores; for each row of a block, and once for all of them. A rotation of halves finds its
 * partners in other registers. */
typedef struct pass_cost {
    int64_t each, once;
} pass_cost;

static bool alike(const ng_program *p, const ng_op *op) {
    return op->shared || (op->code == NG_LOAD && p->stream[op->stream].rows == NG_OUTER);
}

/* In half instructions, since of narrow types one often serves two vectors. */
static int64_t op_size(const ng_program *p, const ng_isa *isa, const ng_schedule *s,
                       const ng_op *op) {
    bool turns = op->code == NG_PARTNER || op->code == NG_NEGFIRST;
    bool load = op->code == NG_LOAD, store = op->code == NG_STORE;
    int bytes = ng_types[op->type].bytes, narrowing = ng_types[op->type].narrowing;
    if (turns && op->pairing == NG_HALVES) return 0;
    if (!load && !store && op->code != NG_ROUND) return ng_types[p->compute].bytes > 4 ? 3 : 2;
    if (bytes > ng_types[p->compute].bytes) return 10; /* two vectors of it, and their halves */
    if (bytes > 2) return 2;
    if (bytes == 1 && !store) return 6;
    if (narrowing && !load && !ng_isa_narrows(isa, op->type)) return narrowing;
    if (s->layout == NG_LAYOUT_EVENODD) return op->code == NG_ROUND ? 5 : 3;
    return load ? 4 : store ? 3 : 6;
}

int64_t ng_pass_sums(const ng_program *p, int pass) {
    int64_t sums = 0;
    for (int i = 0; i < p->ops; i++) sums += ng_op_reduces(&p->op[i]) && p->op[i].level - 1 == pass;
    return sums;
}

int64_t ng_program_sums(const ng_program *p) {
    int64_t sums = 0;
    for (int pass = 0; pass < p->passes; pass++) sums += ng_pass_sums(p, pass);
    return sums;
}

/* Instructions of the folds of a pass, for one row. */
static int64_t fold_size(const ng_program *p, const ng_schedule *s, int pass) {
    int64_t steps = s->layout == NG_LAYOUT_EVENODD ? 7 : 4;
    return ng_pass_sums(p, pass) * (p->lanes / ng_schedule_vector(p, s) - 1 + steps);
}

bool ng_pass_divides(const ng_program *p, const uint16_t passes[NG_MAX_OPS], int pass) {
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_DIV && !p->op[i].scalar && !of_groups(p, &p->op[i]) &&
            passes[i] >> pass & 1)
            return true;
    return false;
}

static pass_cost pass_size(const ng_program *p, const ng_isa *isa, const ng_schedule *s,
                           const uint16_t *passes, int pass) {
    pass_cost size = {.each = 2};
    bool grouped = folds_groups(p);
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        bool reduces_here = ng_op_reduces(op) && op->level - 1 == pass;
        if (grouped && of_groups(p, op)) continue;
        if (s->shared && shares_elements(op)) continue; /* loaded by whoever uses it */
        if (op->code == NG_STORE ? !op->scalar && pass == p->passes - 1
                                 : reduces_here || (!op->scalar && passes[i] >> pass & 1))
            *(alike(p, op) ? &size.once : &size.each) += op_size(p, isa, s, op);
    }
    return size;
}

/* What is computed once a call, for one vector. */
static int64_t once_size(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    int64_t size = 0;
    for (int i = 0; i < p->ops && s->shared; i++)
        if (shares_elements(&p->op[i]))
            size += op_size(p, isa, s, &p->op[i]) + ng_schedule_once(p, s, i);
    return size;
}

/* Instructions of the values that a row has one of, constants and spreading them included. */
static int64_t scalar_size(const ng_program *p) {
    int64_t n = 0;
    for (int i = 0; i < p->ops; i++)
        n += p->op[i].scalar && !p->op[i].shared && !ng_op_reduces(&p->op[i]);
    return 2 * n;
}

/* The code of a pass for some rows. */
static int64_t rows_size(pass_cost size, int64_t rows) { return rows * size.each + size.once; }

/* Vectors of one row that the code of a pass spells out: the body of a loop, and what remains of
 * the row. */
static int64_t pass_vectors(const ng_program *p, const ng_schedule *s, bool unrolled) {
    int64_t vector = ng_schedule_vector(p, s), step = ng_schedule_step(p, s);
    int64_t whole = p->hidden > NG_SEGMENT ? p->hidden / NG_SEGMENT * NG_SEGMENT : 0,
            tail = p->hidden - whole;
    if (unrolled) return (p->hidden + vector - 1) / vector;
    if (whole && ng_schedule_even_segments(p, s)) return step / vector;
    return (step * (whole > 0) + step * (tail >= step) + tail % step + vector - 1) / vector;
}

/* What prefetching and staging add to a vector of one row in the last pass: an instruction for each
 * line, which of wider elements are more than one. */
static int64_t memory_size(const ng_program *p, const ng_schedule *s) {
    int64_t size = 0;
    for (int i = 0; i < p->streams; i++) {
        const ng_stream *stream = &p->stream[i];
        bool wide = ng_types[stream->type].bytes > ng_types[p->compute].bytes;
        bool comes = ng_stream_moves(stream) && !stream->out;
        int lines = comes ? ng_schedule_requests(s) : ng_schedule_asks_ahead(s, stream);
        size += wide ? 2 * lines : lines;
    }
    for (int i = 0; i < p->ops && s->store == NG_STORE_STAGED; i++)
        if (p->op[i].code == NG_STORE && ng_schedule_streams(p, s, &p->op[i])) size += 2;
    return size;
}

int64_t ng_schedule_sums(const ng_program *p, const ng_schedule *s) {
    return ng_program_sums(p) * ng_schedule_rows(s) * p->lanes / ng_schedule_vector(p, s);
}

bool ng_schedule_loops(const ng_program *p, const ng_schedule *s) {
    return p->hidden > ng_schedule_step(p, s) && !ng_schedule_uses(p, s, NG_REGS);
}

bool ng_schedule_plain(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    bool plain = s->block == 1 && !s->overlap && !ng_schedule_uses(p, s, NG_REGS);
    return plain && (2 * s->vec > isa->max_vec || 2 * ng_schedule_vector(p, s) > p->lanes);
}

int64_t ng_schedule_size(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    uint16_t passes[NG_MAX_OPS];
    pass_cost all = {0};
    int rows = ng_schedule_rows(s), copies = ng_overlap_copies(p, s);
    int64_t blocks = 0, folds = 0;
    bool grouped = folds_groups(p), more = rows > 1 || s->overlap;
    ng_program_demand(p, s->keep, passes);
    for (int pass = 0; pass < p->passes; pass++) {
        pass_cost size = pass_size(p, isa, s, passes, pass);
        all.each += size.each;
        all.once += size.once;
        blocks += copies * rows_size(size, rows);
        if (grouped && pass == p->passes - 1) /* a slice before the loop and one after it */
            blocks += (s->overlap ? 0 : rows_size(size, rows)) + (more ? rows_size(size, 1) : 0);
        if (grouped && pass == p->passes - 1 && s->vec == 512) /* and with care */
            blocks += (s->overlap ? 1 : 2) * rows_size(size, rows) / 2;
        if (s->slice == NG_SLICE_AHEAD && ng_pass_divides(p, passes, pass)) /* before the loop */
            blocks += (copies * rows_size(size, rows) + (more ? rows_size(size, 1) : 0)) / 2;
        folds += copies * (s->visit == NG_VISIT_STRIPS ? NG_STRIP : rows) * fold_size(p, s, pass);
    }
    if (more) blocks += rows_size(all, 1); /* what is left, row by row */
    blocks += once_size(p, isa, s);
    folds += (1 + more + (s->overlap != 0)) * scalar_size(p);
    blocks = blocks / 2 + (rows + more) * memory_size(p, s);
    int64_t size = pass_vectors(p, s, ng_schedule_uses(p, s, NG_REGS)) * blocks + folds;
    if (p->hidden > NG_SEGMENT) /* into the counter and out of it */
        size += 3 * ng_schedule_sums(p, s) * (copies > 2 ? copies : 2);
    if (ng_schedule_loops(p, s)) size += size / 4; /* longer addresses */
    if (ng_schedule_loops(p, s) && ng_schedule_sums(p, s) > NG_SUMS_TOGETHER * 2)
        size += size / 4; /* spilled */
    return size;
}
