/* SPDX-License-Identifier: Apache-2.0 */
/* Which combinations of values the generator can make: one function for each axis that has a say,
 * and the order they are asked in, which decides the reason that people read. */
#include "schedule.h"

#include "types.h"

#include <stdio.h>

static int first_pass_of(const ng_program *p, int j) {
    return ng_op_first_pass(&p->op[p->keep[j]]);
}

/* Why the residency of crossing value j is not legal, or NULL. */
static const char *keep_problem(const ng_program *p, const ng_schedule *s, int j) {
    if (s->keep[j] == NG_RECOMPUTE) return NULL;
    if (p->width[first_pass_of(p, j)] != p->hidden)
        return "keep: the value's first pass does not go over the whole row";
    if (s->keep[j] != NG_RELOAD) return NULL;
    if (ng_program_reload_store(p, j) < 0) return "keep=reload: no output holds the value exactly";
    /* The output is written in the value's first pass and may be an input of this call: after that
     * pass no input may be read that has a row for every row. */
    uint16_t passes[NG_MAX_OPS];
    ng_program_demand(p, s->keep, passes);
    int first = first_pass_of(p, j);
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_LOAD && p->stream[p->op[i].stream].rows == NG_EACH &&
            passes[i] >> (first + 1))
            return "keep=reload: an input is read again after the output is written";
    return NULL;
}

/* Whether an operation asks where in the row an element is, or which ones are beside it. */
static bool looks_around(const ng_op *op) {
    return op->pairing != NG_PLAIN || op->group || op->first || op->per > 1 || op->at;
}

/* Why layout=evenodd is not legal, or NULL. */
static const char *layout_problem(const ng_program *p, const ng_schedule *s) {
    int vector = ng_schedule_vector(p, s);
    if (s->layout == NG_LAYOUT_LINEAR) return NULL;
    if (p->compute != NORMGEN_F32) return "layout=evenodd: only with compute=f32";
    if (2 * vector > p->lanes) return "layout=evenodd: two vectors are more than the sum's lanes";
    if (p->hidden % (2 * vector)) return "layout=evenodd: hidden is not a multiple of two vectors";
    for (int i = 0; i < p->ops; i++)
        if (looks_around(&p->op[i])) return "layout=evenodd: an operation looks around in the row";
    for (int i = 0; i < p->streams; i++)
        if (p->stream[i].block > 1 || p->stream[i].width == NG_HALF)
            return "layout=evenodd: a stream is not one element after the other";
    for (int i = 0; i < p->streams; i++)
        if (p->stream[i].type == NORMGEN_BF16 && ng_stream_moves(&p->stream[i])) return NULL;
    return "layout=evenodd: no row is of type bf16";
}

/* Whether passes that run together go over the same elements. */
static bool widths_agree(const ng_program *p, const ng_schedule *s) {
    for (int pass = 1; pass < p->passes; pass++)
        for (int before = 0; before < pass; before++)
            if (ng_overlap_sweep(p, s, before) == ng_overlap_sweep(p, s, pass) &&
                p->width[before] != p->width[pass])
                return false;
    return true;
}

/* The sums of several passes in one sweep have to fit. */
static bool sums_fit(const ng_program *p, const ng_schedule *s, int sweep) {
    int passes = 0;
    int64_t sums = 0, vectors = s->block * (p->lanes / ng_schedule_vector(p, s));
    for (int pass = 0; pass < p->passes; pass++) {
        int64_t n = ng_overlap_sweep(p, s, pass) == sweep ? ng_pass_sums(p, pass) : 0;
        sums += n;
        passes += n > 0;
    }
    if (passes < 2) return true;
    return sums <= NG_MAX_REDUCTIONS &&
           (!ng_schedule_loops(p, s) || sums * vectors <= NG_SUMS_TOGETHER);
}

static const char *overlap_problem(const ng_program *p, const ng_schedule *s) {
    if (!s->overlap) return NULL;
    if (p->passes < 2) return "overlap: the program has one pass";
    if (ng_schedule_uses(p, s, NG_REGS)) return "overlap: not together with keep=regs";
    if (s->prefetch == NG_PREFETCH_NEXT)
        return "overlap: the next block is loaded anyway, prefetch=next gains nothing";
    if (s->overlap >= NG_OVERLAP_ALL && p->passes > NG_MAX_TOGETHER)
        return "overlap: too many passes";
    if (s->overlap == NG_OVERLAP_ALL && p->passes == 2)
        return "overlap=all: with two passes that is overlap=yes";
    if (!widths_agree(p, s)) return "overlap: passes that run together go over different elements";
    for (int pass = 0; pass < p->passes; pass++)
        if (!sums_fit(p, s, ng_overlap_sweep(p, s, pass)))
            return "overlap: sums of passes that run together do not fit the registers";
    return NULL;
}

/* Strips go through the passes as blocks with overlap=two do. */
static const char *strips_problem(const ng_program *p, const ng_schedule *s) {
    if (s->overlap != NG_OVERLAP_TWO) return "visit=strips: only together with overlap=two";
    if (p->hidden > ng_schedule_slice(p, s) * ng_schedule_vector(p, s))
        return "visit=strips: the row is longer than a slice";
    if (p->passes != 2) return "visit=strips: not two passes";
    if (s->prefetch) return "visit=strips: not together with prefetch";
    if (ng_schedule_uses(p, s, NG_SCRATCH)) return "visit=strips: not together with keep=scratch";
    if (s->shared) return "visit=strips: not together with shared=once, a strip shares more";
    return NULL;
}

static const char *visit_problem(const ng_program *p, const ng_schedule *s) {
    if (s->visit == NG_VISIT_BESIDE) return NULL;
    if (s->visit == NG_VISIT_STRIPS) return strips_problem(p, s);
    if (s->block < 2) return "visit=tiles: rows that take turns are a block of more than one";
    if (p->passes < 2) return "visit=tiles: the program has one pass";
    if (p->width[p->passes - 1] <= NG_TILE) return "visit=tiles: the last pass is one tile";
    if (ng_schedule_uses(p, s, NG_REGS)) return "visit=tiles: not together with keep=regs";
    if (s->overlap) return "visit=tiles: not together with overlap";
    if (s->prefetch == NG_PREFETCH_NEXT)
        return "visit=tiles: the next block does not stay in L1, prefetch=next gains nothing";
    return NULL;
}

static const char *shared_problem(const ng_program *p, const ng_schedule *s, int64_t *scratch) {
    int64_t arrays = 0;
    if (s->shared == NG_SHARED_ANEW) return NULL;
    for (int i = 0; i < p->ops; i++) arrays += ng_schedule_once(p, s, i);
    if (arrays == 0) return "shared=once: nothing that rows share is worth it";
    if (ng_schedule_uses(p, s, NG_REGS)) return "shared=once: not together with keep=regs";
    *scratch += arrays * (p->hidden + ng_schedule_vector(p, s)) * ng_types[p->compute].bytes;
    return NULL;
}

static const char *divisors_problem(const ng_program *p, const ng_schedule *s) {
    uint16_t passes[NG_MAX_OPS];
    if (!ng_schedule_loops(p, s)) return "slice=ahead: no loop over the elements";
    ng_program_demand(p, s->keep, passes);
    for (int pass = 0; pass < p->passes; pass++)
        if (ng_pass_divides(p, passes, pass)) return NULL;
    return "slice=ahead: no pass divides elements";
}

static const char *slice_problem(const ng_program *p, const ng_schedule *s) {
    ng_schedule four = *s;
    four.slice = NG_SLICE_FOUR;
    if (s->slice == NG_SLICE_FOUR) return NULL;
    if (s->slice == NG_SLICE_AHEAD) return divisors_problem(p, s);
    if (ng_schedule_slice(p, s) >= ng_schedule_slice(p, &four))
        return "slice=line: slices are not longer than a line anyway";
    return NULL;
}

static const char *ahead_problem(const ng_program *p, const ng_schedule *s) {
    for (int i = 0; i < p->streams; i++)
        if (ng_schedule_asks_ahead(s, &p->stream[i])) return NULL;
    return "store=ahead: no output has its elements one after the other";
}

static const char *store_problem(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    if (s->store == NG_STORE_AHEAD) return ahead_problem(p, s);
    if (s->store == NG_STORE_CACHED) return NULL;
    if (!isa->streams) return "store=stream: the ISA level has no streaming stores";
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        if (op->code == NG_STORE && ng_schedule_streams(p, s, op) &&
            p->hidden * ng_types[op->type].bytes >= s->vec / 8)
            return NULL;
    }
    return "store=stream: no output has a whole vector to stream";
}

static const char *problem(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    int vector = ng_schedule_vector(p, s), csize = ng_types[p->compute].bytes;
    int64_t scratch = 0;
    if (isa->max_vec == 0) return "the ISA level has no generated code";
    if (!isa->fma && p->compute == NORMGEN_F64) return "compute=f64 needs a level with FMA";
    if (!isa->fma && ng_schedule_compare(p, s, &(ng_schedule){.vec = s->vec, .block = 1}) != 0)
        return "without FMA code is long: only the plain schedule";
    if (s->vec > isa->max_vec) return "vec: wider than the ISA level has";
    if (vector > p->lanes) return "vec: wider than the lanes of the sum";
    for (int j = 0; j < p->keeps; j++) {
        const char *why = keep_problem(p, s, j);
        if (why) return why;
        if (s->keep[j] == NG_SCRATCH)
            scratch += ng_schedule_scratches(p, s) * (p->hidden + vector) * csize * s->block;
    }
    const char *why_layout = layout_problem(p, s);
    if (why_layout) return why_layout;
    const char *why_shared = shared_problem(p, s, &scratch);
    if (why_shared) return why_shared;
    if (scratch > NG_SCRATCH_BYTES) return "keep=scratch, shared=once: more than 64 KiB of stack";
    const char *why_overlap = overlap_problem(p, s);
    if (why_overlap) return why_overlap;
    const char *why_visit = visit_problem(p, s);
    if (why_visit) return why_visit;
    const char *why_slice = slice_problem(p, s);
    if (why_slice) return why_slice;
    if (!ng_schedule_plain(p, isa, s) && ng_schedule_size(p, isa, s) > NG_SIZE_CAP)
        return "the code would be too long";
    return store_problem(p, isa, s);
}

bool ng_schedule_legal(const ng_program *p, const ng_isa *isa, const ng_schedule *s, char *reason) {
    const char *why = ng_schedule_in_axes(p, s) ? problem(p, isa, s) : "a value stands in no axis";
    if (why && reason) snprintf(reason, NG_SCHEDULE_TEXT, "%s", why);
    return why == NULL;
}
