/* SPDX-License-Identifier: Apache-2.0 */
/* The table of schedule axes, and what follows from it: text, order of simplicity, enumeration.
 * Which combinations are legal is decided by ng_schedule_legal alone. */
#include "schedule.h"

#include "error.h"
#include "types.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ng_axis_value vec_values[] = {{"128", 128}, {"256", 256}, {"512", 512}, {NULL, 0}};
static const ng_axis_value block_values[] = {{"1", 1}, {"2", 2}, {"4", 4}, {"8", 8}, {NULL, 0}};
static const ng_axis_value keep_values[] = {{"recompute", NG_RECOMPUTE},
                                            {"reload", NG_RELOAD},
                                            {"scratch", NG_SCRATCH},
                                            {"regs", NG_REGS},
                                            {NULL, 0}};
static const ng_axis_value store_values[] = {{"cached", NG_STORE_CACHED},
                                             {"ahead", NG_STORE_AHEAD},
                                             {"stream", NG_STORE_STREAM},
                                             {"staged", NG_STORE_STAGED},
                                             {NULL, 0}};
static const ng_axis_value prefetch_values[] = {
    {"none", NG_PREFETCH_NONE},   {"next", NG_PREFETCH_NEXT},     {"l2", NG_PREFETCH_L2},
    {"twice", NG_PREFETCH_TWICE}, {"thrice", NG_PREFETCH_THRICE}, {NULL, 0}};
static const ng_axis_value overlap_values[] = {{"no", NG_OVERLAP_NO},
                                               {"yes", NG_OVERLAP_YES},
                                               {"all", NG_OVERLAP_ALL},
                                               {"two", NG_OVERLAP_TWO},
                                               {NULL, 0}};
static const ng_axis_value layout_values[] = {
    {"linear", NG_LAYOUT_LINEAR}, {"evenodd", NG_LAYOUT_EVENODD}, {NULL, 0}};
static const ng_axis_value shared_values[] = {
    {"anew", NG_SHARED_ANEW}, {"once", NG_SHARED_ONCE}, {NULL, 0}};
static const ng_axis_value visit_values[] = {
    {"beside", NG_VISIT_BESIDE}, {"tiles", NG_VISIT_TILES}, {"strips", NG_VISIT_STRIPS}, {NULL, 0}};

static const ng_axis_value slice_values[] = {
    {"four", NG_SLICE_FOUR}, {"line", NG_SLICE_LINE}, {"ahead", NG_SLICE_AHEAD}, {NULL, 0}};

#define AXIS(member, help) {#member, offsetof(ng_schedule, member), false, member##_values, help}
const ng_axis ng_axes[NG_AXIS_COUNT] = {
    AXIS(vec, "bits of the vectors that arithmetic is done in"),
    AXIS(block, "rows worked on together"),
    {"keep", offsetof(ng_schedule, keep), true, keep_values,
     "how each value that crosses passes gets there: computed again, reloaded from an output, kept "
     "in a stack array, "
     "kept in registers"},
    AXIS(store, "cached; ahead: into lines that were asked for a little before; stream: past the "
                "caches; staged: the same by way of a stack buffer, which "
                "paces the stores"),
    AXIS(prefetch,
         "next: the rows of the next block are prefetched during the last pass; l2: into "
         "L2 only, and with overlap those of the block after it; twice, thrice: the same, and each "
         "line is asked for again a little later, since a processor that is busy drops "
         "requests"),
    AXIS(overlap,
         "yes: the last pass of a block runs together with the first pass of the next; all: "
         "every pass of a block runs together with the one before of the next block; two: with "
         "the one before of the next block but one, so that what is computed between them has the "
         "time of a block"),
    AXIS(layout,
         "evenodd: of two neighbouring registers one holds the even and one the odd elements, "
         "so that bf16 is widened without shuffles"),
    AXIS(visit,
         "beside: the rows of a block go side by side; tiles: row after row, but the last pass in "
         "tiles of 1024 elements, for which the rows take turns, so that what they share stays in "
         "L1; strips: blocks are a loop over 16 rows, whose sums wait in memory and are folded "
         "together"),
    AXIS(
        shared,
        "once: what follows from arrays that all rows share (a weight of 16 bits widened, 1 added) "
        "is computed once a call into a stack array, not for every block of rows"),
    AXIS(slice,
         "elements that loads, prefetches and stores alternate by: four vectors; line: as few as "
         "fill a cache line of every row; ahead: four vectors, but in passes that divide elements "
         "the divisors of the next slice are computed before what is left of this one"),
};

/* ---- the index vector: one index per axis, one per crossing value for keep ---- */

enum { INDICES = NG_AXIS_COUNT - 1 + NG_MAX_KEEP };

typedef struct place {
    const ng_axis *axis;
    int value; /* which crossing value, of a per-value axis */
} place;

static int places_of(const ng_program *p, place places[INDICES]) {
    int n = 0;
    for (int i = 0; i < NG_AXIS_COUNT; i++)
        for (int j = 0; j < (ng_axes[i].per_value ? p->keeps : 1); j++)
            places[n++] = (place){&ng_axes[i], j};
    return n;
}

static int get(const ng_schedule *s, place at) {
    const char *base = (const char *)s + at.axis->offset;
    int16_t v;
    if (at.axis->per_value) return (unsigned char)base[at.value];
    memcpy(&v, base, sizeof v);
    return v;
}

static void set(ng_schedule *s, place at, int16_t v) {
    char *base = (char *)s + at.axis->offset;
    if (at.axis->per_value)
        base[at.value] = (char)v;
    else
        memcpy(base, &v, sizeof v);
}

/* Index of the schedule's value in the axis, or -1. */
static int index_of(const ng_schedule *s, place at) {
    for (int i = 0; at.axis->values[i].text; i++)
        if (at.axis->values[i].value == get(s, at)) return i;
    return -1;
}

int ng_schedule_compare(const ng_program *p, const ng_schedule *a, const ng_schedule *b) {
    place places[INDICES];
    int n = places_of(p, places);
    for (int i = 0; i < n; i++) {
        int d = index_of(a, places[i]) - index_of(b, places[i]);
        if (d) return d < 0 ? -1 : 1;
    }
    return 0;
}

/* ---- text ---- */

static size_t print_keeps(const ng_program *p, const ng_schedule *s, const ng_axis *axis,
                          char *text, size_t size) {
    bool same = true;
    for (int j = 1; j < p->keeps; j++) same = same && s->keep[j] == s->keep[0];
    size_t at = 0;
    for (int j = 0; j < (same ? 1 : p->keeps); j++) {
        int i = p->keeps ? index_of(s, (place){axis, j}) : 0;
        at += (size_t)snprintf(text + at, size - at, "%s%s", j ? "," : "",
                               i < 0 ? "?" : axis->values[i].text);
    }
    return at;
}

void ng_schedule_text(const ng_program *p, const ng_schedule *s, char *text) {
    size_t at = 0;
    for (int i = 0; i < NG_AXIS_COUNT; i++) {
        const ng_axis *axis = &ng_axes[i];
        if (i >= NG_AXES_WRITTEN && index_of(s, (place){axis, 0}) == 0) continue;
        at += (size_t)snprintf(text + at, NG_SCHEDULE_TEXT - at, "%s%s=", i ? " " : "", axis->name);
        if (axis->per_value) {
            at += print_keeps(p, s, axis, text + at, NG_SCHEDULE_TEXT - at);
            continue;
        }
        int v = index_of(s, (place){axis, 0});
        at += (size_t)snprintf(text + at, NG_SCHEDULE_TEXT - at, "%s",
                               v < 0 ? "?" : axis->values[v].text);
    }
}

static normgen_status bad_axis(const ng_axis *axis, const char *value, size_t length) {
    char allowed[80] = "";
    for (const ng_axis_value *v = axis->values; v->text; v++) {
        size_t at = strlen(allowed);
        snprintf(allowed + at, sizeof allowed - at, " %s", v->text);
    }
    return ng_fail(NORMGEN_E_SCHEDULE, "schedule axis %s: '%.*s' is not allowed; it takes%s",
                   axis->name, (int)(length < 60 ? length : 60), value, allowed);
}

static normgen_status parse_word(ng_schedule *s, place at, const char *text, size_t length) {
    for (const ng_axis_value *v = at.axis->values; v->text; v++)
        if (strlen(v->text) == length && memcmp(v->text, text, length) == 0) {
            set(s, at, v->value);
            return NORMGEN_OK;
        }
    return bad_axis(at.axis, text, length);
}

/* One word for all crossing values, or one for each. */
static normgen_status parse_keeps(const ng_program *p, ng_schedule *s, const ng_axis *axis,
                                  const char *text, size_t length) {
    int n = 0;
    for (size_t at = 0; at <= length; n++) {
        size_t word = 0;
        while (at + word < length && text[at + word] != ',') word++;
        if (n >= NG_MAX_KEEP || (n && n >= p->keeps)) break;
        normgen_status st = parse_word(s, (place){axis, n}, text + at, word);
        if (st != NORMGEN_OK) return st;
        at += word + 1;
        if (at > length) {
            n++;
            break;
        }
    }
    if (n == 1 || n == p->keeps) {
        for (int j = n; j < p->keeps; j++) s->keep[j] = s->keep[0];
        if (p->keeps == 0) s->keep[0] = 0;
        if (memchr(text, ',', length) == NULL || n == p->keeps) return NORMGEN_OK;
    }
    return ng_fail(NORMGEN_E_SCHEDULE,
                   "schedule axis keep: '%.*s' is not one word, nor one for each of the %d values",
                   (int)(length < 60 ? length : 60), text, p->keeps);
}

#define BLANKS " \t\r\n"

normgen_status ng_schedule_parse(const ng_program *p, const char *text, ng_schedule *schedule) {
    ng_schedule s = {0};
    unsigned given = 0;
    for (const char *at = text + strspn(text, BLANKS); *at; at += strspn(at, BLANKS)) {
        size_t length = strcspn(at, BLANKS), name = strcspn(at, "=" BLANKS);
        int i = 0;
        while (i < NG_AXIS_COUNT &&
               !(strlen(ng_axes[i].name) == name && memcmp(ng_axes[i].name, at, name) == 0))
            i++;
        if (i == NG_AXIS_COUNT || name == length)
            return ng_fail(NORMGEN_E_SCHEDULE, "schedule text: '%.*s' is not a known AXIS=VALUE",
                           (int)(length < 60 ? length : 60), at);
        if (given >> i & 1u)
            return ng_fail(NORMGEN_E_SCHEDULE, "schedule axis %s is given twice", ng_axes[i].name);
        given |= 1u << i;
        const char *value = at + name + 1;
        size_t n = length - name - 1;
        normgen_status st = ng_axes[i].per_value
                                ? parse_keeps(p, &s, &ng_axes[i], value, n)
                                : parse_word(&s, (place){&ng_axes[i], 0}, value, n);
        if (st != NORMGEN_OK) return st;
        at += length;
    }
    for (int i = 0; i < NG_AXES_WRITTEN; i++)
        if (!(given >> i & 1u))
            return ng_fail(NORMGEN_E_SCHEDULE, "schedule text lacks %s=…", ng_axes[i].name);
    *schedule = s;
    return NORMGEN_OK;
}

/* ---- legality ---- */

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

static const char *problem(const ng_program *p, const ng_isa *isa, const ng_schedule *s) {
    int vector = ng_schedule_vector(p, s), csize = ng_types[p->compute].bytes;
    int64_t scratch = 0;
    bool streamed = false;
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
    if (s->store == NG_STORE_AHEAD) return ahead_problem(p, s);
    if (s->store == NG_STORE_CACHED) return NULL;
    if (!isa->streams) return "store=stream: the ISA level has no streaming stores";
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        if (op->code != NG_STORE || !ng_schedule_streams(p, s, op)) continue;
        if (p->hidden * ng_types[op->type].bytes >= s->vec / 8) streamed = true;
    }
    return streamed ? NULL : "store=stream: no output has a whole vector to stream";
}

bool ng_schedule_legal(const ng_program *p, const ng_isa *isa, const ng_schedule *s, char *reason) {
    place places[INDICES];
    const char *why = NULL;
    int n = places_of(p, places);
    for (int i = 0; i < n; i++)
        if (index_of(s, places[i]) < 0) why = "a value stands in no axis";
    if (!why) why = problem(p, isa, s);
    if (why && reason) snprintf(reason, NG_SCHEDULE_TEXT, "%s", why);
    return why == NULL;
}

/* ---- enumeration ---- */

/* How many values may be kept in another way than most: with many crossing values the rest of the
 * combinations is left to whoever goes on from a good one, neighbour by neighbour. */
static int odd_keeps_most(const ng_program *p) { return p->keeps <= 3 ? 3 : p->keeps <= 5 ? 2 : 1; }

static bool worth_listing(const ng_program *p, const ng_schedule *s) {
    int alike = 0;
    for (int i = 0; i < p->keeps && alike < p->keeps; i++) {
        int same = 0;
        for (int j = 0; j < p->keeps; j++) same += s->keep[j] == s->keep[i];
        if (same > alike) alike = same;
    }
    return p->keeps - alike <= odd_keeps_most(p);
}

/* The next combination, the last place turning fastest; `from` and what follows it are skipped. */
static bool turn(const place *places, int index[INDICES], int n, int from) {
    for (int i = from; i < n; i++) index[i] = 0;
    int i = from - 1;
    while (i >= 0 && !places[i].axis->values[++index[i]].text) index[i--] = 0;
    return i >= 0;
}

static int after_keeps(const place *places, int n) {
    int last = n;
    for (int i = 0; i < n; i++)
        if (places[i].axis->per_value) last = i + 1;
    return last;
}

normgen_status ng_schedule_neighbours(const ng_program *p, const ng_isa *isa,
                                      const ng_schedule *schedule, ng_schedule **list,
                                      size_t *count) {
    place places[INDICES];
    int n = places_of(p, places);
    size_t used = 0, most = 0;
    for (int i = 0; i < n; i++)
        for (const ng_axis_value *v = places[i].axis->values; v->text; v++) most++;
    ng_schedule *all = malloc((most + 1) * sizeof *all);
    if (!all) return ng_fail(NORMGEN_E_MEMORY, "out of memory for %zu schedules", most);
    for (int i = 0; i < n; i++)
        for (const ng_axis_value *v = places[i].axis->values; v->text; v++) {
            ng_schedule s = *schedule;
            set(&s, places[i], v->value);
            if (v->value != get(schedule, places[i]) && ng_schedule_legal(p, isa, &s, NULL))
                all[used++] = s;
        }
    *list = all;
    *count = used;
    return NORMGEN_OK;
}

normgen_status ng_schedule_space(const ng_program *p, const ng_isa *isa, ng_schedule **list,
                                 size_t *count) {
    place places[INDICES];
    int index[INDICES] = {0}, n = places_of(p, places), next = n;
    size_t used = 0, capacity = 64;
    ng_schedule *all = malloc(capacity * sizeof *all), s = {0};
    do {
        if (all && used == capacity) {
            ng_schedule *grown = realloc(all, 2 * capacity * sizeof *all);
            if (!grown) free(all);
            all = grown;
            capacity *= 2;
        }
        if (!all) return ng_fail(NORMGEN_E_MEMORY, "out of memory for %zu schedules", capacity);
        for (int i = 0; i < n; i++) set(&s, places[i], places[i].axis->values[index[i]].value);
        bool listed = worth_listing(p, &s);
        if (listed && ng_schedule_legal(p, isa, &s, NULL)) all[used++] = s;
        next = listed ? n : after_keeps(places, n);
    } while (turn(places, index, n, next));
    *list = all;
    *count = used;
    return NORMGEN_OK;
}
