/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts, runs and comparisons of a case. A stream lies somewhere in its fenced memory; all bytes
 * there that belong to no row are 0xff, which is NaN in every type, and have to stay so. */
#include "verify.h"

#include "error.h"
#include "operands.h"
#include "types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 64, CANARY = 0xff, ALIASES = 16 };

struct ng_case {
    ng_program program;
    uint64_t seed;
    size_t rows;
    ng_fence fence[NORMGEN_MAX_STREAMS];
    unsigned char *pristine[NORMGEN_MAX_STREAMS]; /* inputs, packed rows */
    unsigned char *right[NORMGEN_MAX_STREAMS];    /* outputs, packed rows */
    int8_t alias[ALIASES][NORMGEN_MAX_STREAMS];   /* [0]: none */
    size_t aliases;
};

/* How the rows of all streams lie. Gaps count elements. */
typedef struct layout {
    const char *name;
    bool front; /* begins right after the fence; else ends right before it */
    bool lines; /* bases and strides are whole cache lines */
    size_t shift, gap, outer_rows, outer_gap;
    size_t ranges[7]; /* numbers of rows to run, ended by NG_ALL or the end */
} layout;

#define NG_ALL SIZE_MAX
/* Rows of an outer row: blocks of two, four and eight fit several times, and rows are left. */
#define NESTED ((size_t)19)
static const layout layouts[] = {
    {.name = "plain", .ranges = {1, 0, 2, 3, 7, NG_ALL}},
    {.name = "odd", .front = true, .shift = 1, .gap = 3, .ranges = {7, 1, NG_ALL}},
    {.name = "nested", .gap = 1, .outer_rows = NESTED, .outer_gap = 7, .ranges = {3, 0, NG_ALL}},
    {.name = "lines", .lines = true, .ranges = {2, 1, NG_ALL}},
};
static const layout in_place = {.name = "in-place", .ranges = {3, 1, NG_ALL}};

/* One layout of one case, placed. */
typedef struct setting {
    ng_case *c;
    const layout *layout;
    const int8_t *alias; /* of each output: the input that it overwrites, or -1 */
    size_t alignment[NORMGEN_MAX_STREAMS];
    normgen_bound_args args;
} setting;

static _Thread_local char now_text[256];
const char *ng_case_now(void) { return now_text; }

static size_t element_bytes(const ng_program *p, int s) { return p->stream[s].element; }
static size_t row_bytes(const ng_program *p, int s) { return p->stream[s].row_bytes; }
static size_t stream_rows(const ng_case *c, int s) {
    return ng_stream_shared(&c->program.stream[s]) ? 1 : c->rows;
}
/* Rows between rows of the stream that may differ. */
static size_t rows_alike(const ng_case *c, int s) {
    return c->program.stream[s].rows == NG_OUTER ? NESTED : 1;
}
static size_t round_up(size_t v, size_t to) { return (v + to - 1) / to * to; }

void ng_case_alignment(const ng_program *program, const ng_schedule *schedule,
                       size_t alignment[NORMGEN_MAX_STREAMS]) {
    for (int s = 0; s < program->streams; s++)
        alignment[s] = ng_schedule_alignment(program, schedule, s);
}

/* ---- making a case ---- */

static size_t default_rows(int64_t hidden) {
    int64_t rows = hidden <= 16384 ? 64 : ((int64_t)1 << 20) / hidden;
    return (size_t)(rows < 3 ? 3 : rows);
}

/* Every way to put outputs onto inputs whose rows have the same size, no two onto one. */
static void find_aliases(ng_case *c, int8_t *chosen, int s) {
    const ng_program *p = &c->program;
    while (s < p->streams && !(p->stream[s].out && ng_stream_moves(&p->stream[s]))) s++;
    if (s == p->streams) {
        if (c->aliases < ALIASES) memcpy(c->alias[c->aliases++], chosen, NORMGEN_MAX_STREAMS);
        return;
    }
    find_aliases(c, chosen, s + 1);
    for (int i = 0; i < p->streams; i++) {
        bool fits = !p->stream[i].out && ng_stream_moves(&p->stream[i]) &&
                    p->stream[i].row_bytes == p->stream[s].row_bytes;
        for (int o = 0; o < s; o++) fits = fits && chosen[o] != i;
        if (!fits) continue;
        chosen[s] = (int8_t)i;
        find_aliases(c, chosen, s + 1);
        chosen[s] = -1;
    }
}

/* Room for the widest layout. */
static size_t fence_size(const ng_case *c, int s) {
    size_t rows = stream_rows(c, s), e = element_bytes(&c->program, s);
    return rows * round_up(row_bytes(&c->program, s) + 3 * e, LINE) + rows * (LINE + 7 * e) +
           2 * LINE;
}

static bool make_stream(ng_case *c, int s) {
    const ng_stream *t = &c->program.stream[s];
    size_t rows = stream_rows(c, s), bytes = row_bytes(&c->program, s);
    unsigned char **packed = t->out ? &c->right[s] : &c->pristine[s];
    *packed = malloc(rows * bytes);
    if (!*packed || !ng_fence_init(&c->fence[s], fence_size(c, s))) return false;
    memset(*packed, CANARY, rows * bytes);
    ng_rng rng = {c->seed * 31 + (uint64_t)s};
    for (size_t r = 0; r < rows && !t->out; r++)
        if (r % rows_alike(c, s) == 0)
            ng_operand_row(t->type, *packed + r * bytes, ng_stream_width(&c->program, s), r,
                           (size_t)s, &rng);
        else
            memcpy(*packed + r * bytes, *packed + (r - 1) * bytes, bytes);
    return true;
}

static void run_oracle(ng_case *c, ng_interp_fn oracle) {
    normgen_bound_args args = {.rows_per_outer = c->rows};
    for (int s = 0; s < c->program.streams; s++) {
        const ng_stream *t = &c->program.stream[s];
        ptrdiff_t stride = (ptrdiff_t)row_bytes(&c->program, s);
        if (ng_stream_shared(t)) stride = 0;
        args.stream[s] = (normgen_stream){t->out ? c->right[s] : c->pristine[s], stride, 0};
    }
    oracle(&c->program, &args, 0, c->rows);
}

normgen_status ng_case_new(const ng_program *program, uint64_t seed, size_t rows,
                           ng_interp_fn oracle, ng_case **made) {
    ng_case *c = calloc(1, sizeof *c);
    if (!c) return ng_fail(NORMGEN_E_MEMORY, "no memory for a test case");
    c->program = *program;
    c->seed = seed;
    c->rows = rows ? rows : default_rows(program->hidden);
    for (int s = 0; s < program->streams; s++)
        if (!make_stream(c, s)) {
            ng_case_free(c);
            return ng_fail(NORMGEN_E_MEMORY, "no memory for a test case of hidden %lld",
                           (long long)program->hidden);
        }
    int8_t chosen[NORMGEN_MAX_STREAMS];
    memset(chosen, -1, sizeof chosen);
    find_aliases(c, chosen, 0);
    run_oracle(c, oracle);
    *made = c;
    return NORMGEN_OK;
}

void ng_case_free(ng_case *c) {
    for (int s = 0; c && s < NORMGEN_MAX_STREAMS; s++) {
        ng_fence_fini(&c->fence[s]);
        free(c->pristine[s]);
        free(c->right[s]);
    }
    free(c);
}

/* ---- placing the streams ---- */

static void place_stream(setting *t, int s) {
    const ng_case *c = t->c;
    const layout *l = t->layout;
    size_t e = element_bytes(&c->program, s), bytes = row_bytes(&c->program, s);
    size_t align = t->alignment[s] > e ? t->alignment[s] : e, rows = stream_rows(c, s);
    if (l->lines && align < LINE) align = LINE;
    size_t inner = round_up(bytes + l->gap * e, align), per_outer = t->args.rows_per_outer;
    size_t outer = inner * per_outer + round_up(l->outer_gap * e, align);
    if (rows_alike(c, s) > 1) inner = 0;
    size_t span = (rows - 1) / per_outer * outer + (rows - 1) % per_outer * inner + bytes;
    uintptr_t start = (uintptr_t)c->fence[s].start, end = start + c->fence[s].size;
    uintptr_t base =
        l->front ? round_up(start + l->shift * e, align) : (end - span) / align * align;
    bool shared = ng_stream_shared(&c->program.stream[s]);
    t->args.stream[s] =
        (normgen_stream){c->fence[s].start + (base - start), shared ? 0 : (ptrdiff_t)inner,
                         shared ? 0 : (ptrdiff_t)outer};
}

static void place_streams(setting *t, const ng_case_subject *subject) {
    const ng_program *p = &t->c->program;
    t->args.rows_per_outer = t->layout->outer_rows ? t->layout->outer_rows : t->c->rows;
    for (int s = 0; s < p->streams; s++) /* their rows are alike that far */
        if (rows_alike(t->c, s) > 1) t->args.rows_per_outer = NESTED;
    for (int s = 0; s < p->streams; s++)
        t->alignment[s] = subject->alignment ? subject->alignment[s] : 1;
    for (int s = 0; s < p->streams; s++) { /* shared memory obeys both */
        int in = t->alias[s];
        if (in >= 0 && t->alignment[s] > t->alignment[in]) t->alignment[in] = t->alignment[s];
    }
    for (int s = 0; s < p->streams; s++)
        if (t->alias[s] < 0) place_stream(t, s);
    for (int s = 0; s < p->streams; s++)
        if (t->alias[s] >= 0) t->args.stream[s] = t->args.stream[t->alias[s]];
}

/* All memory of the stream as it is before a run. */
static void lay(setting *t, int s) {
    const ng_case *c = t->c;
    size_t bytes = row_bytes(&c->program, s);
    memset(c->fence[s].start, CANARY, c->fence[s].size);
    if (c->program.stream[s].out) return;
    for (size_t r = 0; r < stream_rows(c, s); r++)
        memcpy(ng_row_address(&t->args, s, r), c->pristine[s] + r * bytes, bytes);
}

static bool is_overwritten(const setting *t, int s) {
    for (int o = 0; o < t->c->program.streams; o++)
        if (t->alias[o] == s) return true;
    return false;
}

/* ---- comparing ---- */

static bool same_element(int type, const unsigned char *want, const unsigned char *got) {
    if (memcmp(want, got, ng_types[type].bytes) == 0) return true;
    double w = ng_type_read(type, want, 0), g = ng_type_read(type, got, 0);
    return w != w && g != g;
}

/* One field of a row that differs beyond the payload of a NaN. */
typedef struct mismatch {
    size_t index; /* of the element in the row, or of its block when the row is in blocks */
    int type;     /* the field's */
    const unsigned char *want, *got;
} mismatch;

static bool find_difference(const ng_stream *s, const unsigned char *want, const unsigned char *got,
                            mismatch *d) {
    ng_field_run runs[NG_MAX_RUNS];
    int n = ng_type_runs(s->type, runs);
    size_t bytes = ng_types[s->type].block_bytes;
    if (memcmp(want, got, s->row_bytes) == 0) return false;
    for (size_t at = 0; at < s->row_bytes; at += bytes)
        for (int r = 0; r < n; r++)
            for (size_t i = 0; i < runs[r].count; i++) {
                size_t here = at + runs[r].at + i * ng_types[runs[r].type].bytes;
                *d = (mismatch){at / bytes, runs[r].type, want + here, got + here};
                if (!same_element(d->type, d->want, d->got)) return true;
            }
    return false;
}

static bool untouched(const unsigned char *at, size_t n) {
    return n == 0 || (at[0] == CANARY && memcmp(at, at + 1, n - 1) == 0);
}

/* One run of a subject, and where its first difference is told. */
typedef struct run {
    const setting *t;
    const ng_case_subject *subject;
    size_t first, last;
    char *difference;
} run;

static void describe(const run *r, char *text, size_t size) {
    const setting *t = r->t;
    int n = snprintf(text, size, "layout=%s rows=%zu..%zu of %zu seed=%llu", t->layout->name,
                     r->first, r->last, t->c->rows, (unsigned long long)t->c->seed);
    for (int s = 0; s < t->c->program.streams; s++)
        if (t->alias[s] >= 0 && n > 0 && (size_t)n < size)
            n += snprintf(text + n, size - (size_t)n, " %s=%s",
                          ng_roles[t->c->program.stream[s].role].name,
                          ng_roles[t->c->program.stream[t->alias[s]].role].name);
}

static bool differs(const run *r, int s, size_t row, const char *what) {
    char where[200];
    const normgen_stream *at = &r->t->args.stream[s];
    describe(r, where, sizeof where);
    snprintf(r->difference, NG_DIFFERENCE_TEXT,
             "%s: %s row %zu (stride %td, base at %u mod 64) %s; %s", r->subject->name,
             ng_roles[r->t->c->program.stream[s].role].name, row, at->inner,
             (unsigned)((uintptr_t)at->base % LINE), what, where);
    return false;
}

static bool same_row(const run *r, int s, size_t row, const unsigned char *want,
                     const unsigned char *got) {
    mismatch d;
    char what[160];
    uint64_t w = 0, g = 0;
    if (!find_difference(&r->t->c->program.stream[s], want, got, &d)) return true;
    memcpy(&w, d.want, ng_types[d.type].bytes);
    memcpy(&g, d.got, ng_types[d.type].bytes);
    snprintf(what, sizeof what, "%s %zu: want %.9g (0x%llx), got %.9g (0x%llx)",
             ng_types[r->t->c->program.stream[s].type].block > 1 ? "block" : "element", d.index,
             ng_type_read(d.type, d.want, 0), (unsigned long long)w, ng_type_read(d.type, d.got, 0),
             (unsigned long long)g);
    return differs(r, s, row, what);
}

/* `owner` is the stream whose memory it is, s the one whose rows are looked at: another one when s
 * overwrites its input. */
static bool same_rows(const run *r, int owner, int s) {
    const ng_case *c = r->t->c;
    const unsigned char *cursor = c->fence[owner].start;
    size_t bytes = row_bytes(&c->program, s);
    bool out = c->program.stream[s].out;
    for (size_t row = 0; row < stream_rows(c, s); row++) {
        const unsigned char *at = (const unsigned char *)ng_row_address(&r->t->args, s, row);
        if (at < cursor) continue; /* the row before once more: one for each outer row */
        if (!untouched(cursor, (size_t)(at - cursor)))
            return differs(r, s, row, "wrote into the gap before it");
        cursor = at + bytes;
        if (out && row >= r->first && row < r->last) {
            if (!r->subject->moves_only && !same_row(r, s, row, c->right[s] + row * bytes, at))
                return false;
        } else if (c->pristine[owner] ? memcmp(at, c->pristine[owner] + row * bytes, bytes) != 0
                                      : !untouched(at, bytes)) {
            return differs(r, s, row,
                           out ? "is outside the run and changed" : "is input and changed");
        }
    }
    const unsigned char *end = c->fence[owner].start + c->fence[owner].size;
    return untouched(cursor, (size_t)(end - cursor)) ||
           differs(r, s, stream_rows(c, s) - 1, "wrote behind it");
}

static bool same_streams(const run *r) {
    const setting *t = r->t;
    for (int s = 0; s < t->c->program.streams; s++) {
        if (t->alias[s] < 0 && is_overwritten(t, s)) continue; /* looked at as the output */
        if (!same_rows(r, t->alias[s] < 0 ? s : t->alias[s], s)) return false;
    }
    return true;
}

/* ---- running ---- */

static bool run_range(setting *t, const ng_case_subject *subject, size_t count, char *difference) {
    ng_case *c = t->c;
    if (count > c->rows) count = c->rows;
    ng_rng rng = {c->seed + count};
    size_t first = (size_t)ng_rng_below(&rng, c->rows - count + 1);
    run r = {t, subject, first, first + count, difference};
    for (int s = 0; s < c->program.streams; s++)
        if (c->program.stream[s].out || is_overwritten(t, s)) lay(t, s);
    int n = snprintf(now_text, sizeof now_text, "checking ");
    describe(&r, now_text + n, sizeof now_text - (size_t)n);
    subject->run(subject->ctx, &t->args, r.first, r.last);
    now_text[0] = 0;
    return same_streams(&r);
}

static bool check_layout(ng_case *c, const ng_case_subject *subject, const layout *l,
                         const int8_t *alias, int64_t *compared, char *difference) {
    setting t = {.c = c, .layout = l, .alias = alias};
    place_streams(&t, subject);
    for (int s = 0; s < c->program.streams; s++) lay(&t, s);
    for (size_t i = 0; i < sizeof l->ranges / sizeof l->ranges[0]; i++) {
        if (!run_range(&t, subject, l->ranges[i], difference)) return false;
        ++*compared;
        if (l->ranges[i] == NG_ALL) break;
    }
    return true;
}

bool ng_case_check(ng_case *c, const ng_case_subject *subject, int64_t *compared,
                   char *difference) {
    size_t n = sizeof layouts / sizeof layouts[0];
    if (c->program.hidden > ((int64_t)1 << 20)) n = 2; /* a second each, else */
    for (size_t i = 0; i < n; i++)
        if (!check_layout(c, subject, &layouts[i], c->alias[0], compared, difference)) return false;
    for (size_t a = 1; a < c->aliases && !subject->moves_only; a++)
        if (!check_layout(c, subject, &in_place, c->alias[a], compared, difference)) return false;
    return true;
}
