/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded arrays and the exact comparison. A byte outside the rows is 0xff before and after: a NaN
 * of every element type. */
#include "fixture.h"

#include "awkward.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLACK = 0xff, UNWRITTEN = 0x5a, FEW = 5, MANY = 37, VECTOR = 64 };

/* Rows of an outer row: fewer than most blocks, or enough for several of them, as the seed says. */
static size_t rows_per_outer(const test_case *c, const ng_program *p) {
    return p->inner ? (size_t)p->inner : c->seed % 2 ? FEW : MANY;
}

/* ---- the text form ---- */

#define X(word) #word,
static const char *const layouts[] = {LAYOUTS(X)};
static const char *const places[] = {PLACES(X)};
static const char *const aliases[] = {ALIASES(X)};
#undef X

void case_text(const test_case *c, char *text) {
    char spec[NORMGEN_SPEC_TEXT];
    ng_spec_text(&c->spec, spec);
    snprintf(text, CASE_TEXT, "%s ; rows=%zu layout=%s place=%s alias=%s specials=%s seed=%llu",
             spec, c->rows, layouts[c->layout], places[c->place], aliases[c->alias],
             c->specials ? "yes" : "no", (unsigned long long)c->seed);
}

static bool word_index(const char *word, const char *const *words, int count, int *index) {
    for (*index = 0; *index < count; ++*index)
        if (strcmp(word, words[*index]) == 0) return true;
    return false;
}

bool case_parse(const char *text, test_case *c) {
    char spec[NORMGEN_SPEC_TEXT], layout[32], place[32], alias[32], specials[8];
    const char *mark = strchr(text, ';');
    unsigned long long seed;
    int l, p, a;
    if (!mark || (size_t)(mark - text) >= sizeof spec) return false;
    memcpy(spec, text, (size_t)(mark - text));
    spec[mark - text] = 0;
    if (normgen_spec_parse(&c->spec, spec) != NORMGEN_OK) return false;
    if (sscanf(mark, "; rows=%zu layout=%31s place=%31s alias=%31s specials=%7s seed=%llu",
               &c->rows, layout, place, alias, specials, &seed) != 6)
        return false;
    if (!word_index(layout, layouts, LAYOUT_COUNT, &l) ||
        !word_index(place, places, PLACE_COUNT, &p) || !word_index(alias, aliases, ALIAS_COUNT, &a))
        return false;
    c->layout = (case_layout)l;
    c->place = (case_place)p;
    c->alias = (case_alias)a;
    c->specials = strcmp(specials, "yes") == 0;
    c->seed = seed;
    return case_alias_applies(&c->spec, c->alias);
}

/* Role whose place y takes (which 0) or sum takes (which 1), or -1. */
static int alias_target(case_alias alias, int which) {
    static const int8_t targets[ALIAS_COUNT][2] = {
        [ALIAS_apart] = {-1, -1},
        [ALIAS_y_x] = {NG_ROLE_x, -1},
        [ALIAS_y_residual] = {NG_ROLE_residual, -1},
        [ALIAS_sum_x] = {-1, NG_ROLE_x},
        [ALIAS_sum_residual] = {-1, NG_ROLE_residual},
        [ALIAS_y_x_sum_residual] = {NG_ROLE_x, NG_ROLE_residual},
        [ALIAS_y_residual_sum_x] = {NG_ROLE_residual, NG_ROLE_x},
        [ALIAS_y_gate] = {NG_ROLE_gate, -1},
        [ALIAS_y_after] = {NG_ROLE_after, -1},
    };
    return targets[alias][which];
}

static int stream_of(const ng_program *p, int role);

bool case_alias_applies(const normgen_spec *s, case_alias alias) {
    ng_program p;
    ng_program_build(&p, s);
    for (int which = 0; which < 2; which++) {
        int role = alias_target(alias, which);
        if (role < 0) continue;
        int in = stream_of(&p, role), out = stream_of(&p, which ? NG_ROLE_sum : NG_ROLE_y);
        if (in < 0 || out < 0 || !ng_stream_moves(&p.stream[in])) return false;
        if (p.stream[in].block != 1 || p.stream[out].block != 1) return false;
        if (ng_types[p.stream[in].type].bytes != ng_types[p.stream[out].type].bytes) return false;
    }
    return true;
}

/* ---- memory ---- */

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }
static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

bool guarded_init(guarded *g, size_t size) {
    size_t page = page_size(), whole = round_up(size ? size : 1, page);
    unsigned char *map =
        mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return false;
    g->bytes = map + page;
    g->size = whole;
    if (mprotect(g->bytes, whole, PROT_READ | PROT_WRITE) == 0) return true;
    guarded_fini(g);
    return false;
}

void guarded_fini(guarded *g) {
    if (g->bytes) munmap(g->bytes - page_size(), g->size + 2 * page_size());
    *g = (guarded){0};
}

/* ---- arrays ---- */

/* Bytes from row 0 to a row. */
static size_t row_distance(const operand *o, size_t row) {
    return row / o->group * (size_t)o->outer + row % o->group * (size_t)o->inner;
}
static unsigned char *row_of(const operand *o, unsigned char *image, size_t row) {
    return image + o->offset + row_distance(o, row);
}

/* The stream of a role, or -1. */
static int stream_of(const ng_program *p, int role) {
    for (int s = 0; s < p->streams; s++)
        if (p->stream[s].role == role) return s;
    return -1;
}

/* Strides of a stream's operand. Streams of one operand get the same, whichever comes first. */
static void choose_strides(const test_case *c, const ng_stream *s, operand *o) {
    size_t element = s->element, gap = 0, inner = o->row_bytes;
    if (c->layout == LAYOUT_padded || c->layout == LAYOUT_nested) gap = element;
    if (c->layout == LAYOUT_mixed) gap = element * (size_t)((c->seed + 3u * s->role) % 8);
    inner += gap;
    size_t outer = o->group * inner + (c->layout == LAYOUT_nested ? 3 * element : 0);
    if (c->place == PLACE_aligned && ng_stream_moves(s)) {
        inner = round_up(inner, VECTOR);
        outer = round_up(o->group * inner + (outer - o->group * (o->row_bytes + gap)), VECTOR);
    }
    if (s->rows == NG_OUTER) outer = inner;
    o->inner = s->rows == NG_EACH || s->rows == NG_INNER ? (ptrdiff_t)inner : 0;
    o->outer = s->rows == NG_EACH || s->rows == NG_OUTER ? (ptrdiff_t)outer : 0;
}

/* Where row 0 lies in `size` bytes of which the rows cover `extent`. */
static size_t choose_offset(const test_case *c, const ng_stream *s, size_t extent, size_t size) {
    size_t element = s->element, odd = element * (1 + 2 * ((c->seed + s->role) % 4));
    switch (c->place) {
    case PLACE_start: return 0;
    case PLACE_odd: return odd;
    case PLACE_end: return size - extent;
    case PLACE_odd_end: return size - extent - odd;
    default: return ng_stream_moves(s) ? (size - extent) / VECTOR * VECTOR : odd;
    }
}

/* Bytes from row 0 to the end of the last row, in address order. */
static size_t extent_of(const operand *o, const ng_stream *s, size_t rows) {
    size_t last = rows ? rows - 1 : 0;
    if (s->rows == NG_INNER && last >= o->group) last = o->group - 1;
    return row_distance(o, last) + o->row_bytes;
}

static bool operand_init(const test_case *c, const ng_program *p, int stream, operand *o) {
    const ng_stream *s = &p->stream[stream];
    o->row_bytes = s->row_bytes;
    o->type = s->type;
    o->group = rows_per_outer(c, p);
    choose_strides(c, s, o);
    size_t extent = extent_of(o, s, c->rows);
    if (!guarded_init(&o->live, extent + 8 * VECTOR)) return false;
    memset(o->live.bytes, SLACK, o->live.size);
    o->offset = choose_offset(c, s, extent, o->live.size);
    return true;
}

static void fill_input(fixture *f, int stream, operand *o) {
    const ng_stream *s = &f->program.stream[stream];
    size_t n = ng_stream_width(&f->program, stream);
    for (size_t r = 0; r < f->c.rows; r++) { /* rows that share one fill it again with the same */
        char *row = (char *)row_of(o, o->live.bytes, r);
        size_t data = s->rows == NG_OUTER ? r / o->group : s->rows == NG_INNER ? r % o->group : 0;
        if (s->rows == NG_EACH)
            awkward_row(s->type, row, n, r, f->c.seed, s->role);
        else
            awkward_shared(s->type, row, n, f->c.seed + data * 7919, s->role, f->c.specials);
        if (s->rows == NG_ONE) return;
    }
}

static bool keep_images(fixture *f, operand *o, bool in_place) {
    o->out = true;
    o->initial = malloc(o->live.size);
    o->expected = malloc(o->live.size);
    if (!o->initial || !o->expected) return false;
    for (size_t r = 0; r < f->c.rows && !in_place; r++)
        memset(row_of(o, o->live.bytes, r), UNWRITTEN, o->row_bytes);
    memcpy(o->initial, o->live.bytes, o->live.size);
    return true;
}

/* Inputs first, so that outputs can take their places. */
static bool add_stream(fixture *f, int stream) {
    const ng_stream *s = &f->program.stream[stream];
    int target = -1;
    if (s->role == NG_ROLE_y) target = alias_target(f->c.alias, 0);
    if (s->role == NG_ROLE_sum) target = alias_target(f->c.alias, 1);
    if (target >= 0) {
        f->of[stream] = f->of[stream_of(&f->program, target)];
        f->operand[f->of[stream]].type = s->type;
        return keep_images(f, &f->operand[f->of[stream]], true);
    }
    operand *o = &f->operand[f->of[stream] = f->operands++];
    if (!operand_init(&f->c, &f->program, stream, o)) return false;
    if (s->out) return keep_images(f, o, false);
    fill_input(f, stream, o);
    return true;
}

static bool build(fixture *f) {
    for (int out = 0; out < 2; out++)
        for (int s = 0; s < f->program.streams; s++)
            if (f->program.stream[s].out == out && !add_stream(f, s)) return false;
    f->args.rows_per_outer = rows_per_outer(&f->c, &f->program);
    for (int s = 0; s < f->program.streams; s++) {
        operand *o = &f->operand[f->of[s]];
        f->args.stream[s] = (normgen_stream){row_of(o, o->live.bytes, 0), o->inner, o->outer};
    }
    for (int i = 0; i < f->operands; i++)
        if (!f->operand[i].out &&
            mprotect(f->operand[i].live.bytes, f->operand[i].live.size, PROT_READ) != 0)
            return false;
    return true;
}

bool fixture_init(fixture *f, const test_case *c) {
    *f = (fixture){.c = *c};
    ng_program_build(&f->program, &c->spec);
    if (build(f)) return true;
    fixture_fini(f);
    return false;
}

void fixture_fini(fixture *f) {
    for (int i = 0; i < f->operands; i++) {
        guarded_fini(&f->operand[i].live);
        free(f->operand[i].initial);
        free(f->operand[i].expected);
    }
    f->operands = 0;
}

/* ---- subjects ---- */

static void run_interp(void *ctx, const normgen_bound_args *args, size_t first, size_t last) {
    const interpreted *i = ctx;
    i->interp(i->program, args, first, last);
}
static void run_kernel(void *ctx, const normgen_bound_args *args, size_t first, size_t last) {
    (*(normgen_fn *)ctx)(args, first, last);
}
subject subject_interp(interpreted *ctx) { return (subject){run_interp, ctx}; }
subject subject_kernel(normgen_fn *ctx) { return (subject){run_kernel, ctx}; }

void fixture_restore(fixture *f) {
    for (int i = 0; i < f->operands; i++)
        if (f->operand[i].out)
            memcpy(f->operand[i].live.bytes, f->operand[i].initial, f->operand[i].live.size);
}

void fixture_expect(fixture *f, const subject *reference) {
    fixture_restore(f);
    reference->run(reference->ctx, &f->args, 0, f->c.rows);
    for (int i = 0; i < f->operands; i++)
        if (f->operand[i].out)
            memcpy(f->operand[i].expected, f->operand[i].live.bytes, f->operand[i].live.size);
}

/* ---- comparing ---- */

static bool is_nan(int type, const void *element) {
    double v = ng_type_read(type, element, 0);
    return v != v;
}

static bool same_element(int type, const void *a, const void *b) {
    return memcmp(a, b, ng_types[type].bytes) == 0 || (is_nan(type, a) && is_nan(type, b));
}

bool element_same(int type, const void *a, const void *b) {
    ng_field_run runs[NG_MAX_RUNS];
    for (int n = ng_type_runs(type, runs), i = 0; i < n; i++)
        for (size_t k = 0; k < runs[i].count; k++) {
            size_t at = runs[i].at + k * ng_types[runs[i].type].bytes;
            if (!same_element(runs[i].type, (const char *)a + at, (const char *)b + at))
                return false;
        }
    return true;
}

/* The first entry of a block that differs, for messages. */
static void show_difference(int type, const unsigned char *got, const unsigned char *want,
                            char text[96]) {
    ng_field_run runs[NG_MAX_RUNS];
    for (int n = ng_type_runs(type, runs), i = 0; i < n; i++)
        for (size_t k = 0; k < runs[i].count; k++) {
            size_t at = runs[i].at + k * ng_types[runs[i].type].bytes;
            if (same_element(runs[i].type, got + at, want + at)) continue;
            snprintf(text, 96, "is %a, the reference has %a",
                     ng_type_read(runs[i].type, got + at, 0),
                     ng_type_read(runs[i].type, want + at, 0));
            return;
        }
}

static const char *name_of(const fixture *f, int o) {
    const char *name = "?";
    for (int s = 0; s < f->program.streams; s++)
        if (f->of[s] == o) name = ng_roles[f->program.stream[s].role].name; /* outputs come last */
    return name;
}

static bool same_bytes(const fixture *f, int i, size_t from, size_t to, const char *where,
                       char why[WHY_TEXT]) {
    const operand *o = &f->operand[i];
    if (to <= from || memcmp(o->live.bytes + from, o->initial + from, to - from) == 0) return true;
    size_t at = from;
    while (o->live.bytes[at] == o->initial[at]) at++;
    snprintf(why, WHY_TEXT, "%s: byte %td from row 0 was written: %s", name_of(f, i),
             (ptrdiff_t)at - (ptrdiff_t)o->offset, where);
    return false;
}

static bool same_row(const fixture *f, int i, size_t row, char why[WHY_TEXT]) {
    const operand *o = &f->operand[i];
    const unsigned char *got = row_of(o, o->live.bytes, row), *want = row_of(o, o->expected, row);
    size_t bytes = ng_types[o->type].block_bytes;
    char what[96] = "";
    if (memcmp(got, want, o->row_bytes) == 0) return true;
    for (size_t e = 0; e < o->row_bytes; e += bytes)
        if (!element_same(o->type, got + e, want + e)) {
            show_difference(o->type, got + e, want + e, what);
            snprintf(why, WHY_TEXT, "%s: row %zu (%s) element %zu %s", name_of(f, i), row,
                     awkward_name(row, NG_ROLE_x), e / bytes * ng_types[o->type].block, what);
            return false;
        }
    return true;
}

static bool same_operand(const fixture *f, int i, size_t first, size_t last, char why[WHY_TEXT]) {
    const operand *o = &f->operand[i];
    size_t end = 0; /* of the row before */
    for (size_t r = 0; r < f->c.rows; r++) {
        size_t at = (size_t)(row_of(o, o->live.bytes, r) - o->live.bytes);
        if (!same_bytes(f, i, end, at, "it belongs to no row", why)) return false;
        end = at + o->row_bytes;
        bool computed = r >= first && r < last;
        if (computed ? !same_row(f, i, r, why)
                     : !same_bytes(f, i, at, end, "its row was not to be computed", why))
            return false;
    }
    return same_bytes(f, i, end, o->live.size, "it lies behind the rows", why);
}

/* ---- running in parts ---- */

typedef struct part {
    const subject *s;
    const normgen_bound_args *args;
    size_t first, last;
} part;

static void *run_part(void *ctx) {
    part *p = ctx;
    p->s->run(p->s->ctx, p->args, p->first, p->last);
    return NULL;
}

static void run_parts(const fixture *f, const subject *s, size_t first, size_t last,
                      unsigned parts) {
    enum { MOST = 8 };
    part cut[MOST];
    pthread_t thread[MOST];
    bool started[MOST] = {false};
    if (parts > MOST) parts = MOST;
    for (unsigned i = 0; i < parts; i++) { /* sizes 1 : 2 : 3 … */
        size_t n = last - first, of = (size_t)parts * (parts + 1) / 2;
        cut[i].s = s;
        cut[i].args = &f->args;
        cut[i].first = first + n * (i * (i + 1) / 2) / of;
        cut[i].last = first + n * ((i + 1) * (i + 2) / 2) / of;
        started[i] = parts > 1 && pthread_create(&thread[i], NULL, run_part, &cut[i]) == 0;
        if (!started[i]) run_part(&cut[i]);
    }
    for (unsigned i = 0; i < parts; i++)
        if (started[i]) pthread_join(thread[i], NULL);
}

bool fixture_check(fixture *f, const subject *s, size_t first, size_t last, unsigned parts,
                   char why[WHY_TEXT]) {
    fixture_restore(f);
    run_parts(f, s, first, last, parts);
    for (int i = 0; i < f->operands; i++)
        if (f->operand[i].out && !same_operand(f, i, first, last, why)) return false;
    return true;
}
