/* SPDX-License-Identifier: Apache-2.0 */
/* A greedy pairwise-covering design over the table of spec fields. A candidate is an index into the
 * values of each factor; what is not legal is mended at random. A pair that no candidate can have
 * (a bias with eps_mode=max) is found impossible when many tries at it fail. */
#include "cover.h"

#include "awkward.h"

#include <stdlib.h>

const int64_t cover_hidden[] = {1,    2,    3,    15,   16,   17,   63,    64,   65,
                                127,  128,  255,  384,  576,  768,  1000,  1023, 1024,
                                1025, 1152, 2880, 3071, 4096, 8193, 65537, 0};

const char *const cover_named[] = {
    "rms hidden=%lld eps=1e-05 x=f32 y=f32 weight=f32",
    "rms hidden=%lld eps=1e-06 x=bf16 y=bf16 weight=bf16 residual=bf16 sum=bf16 rounding=llama "
    "rstd=yes",
    "layer hidden=%lld eps=1e-12 x=f32 y=f32 weight=f32 bias=f32 mean=yes rstd=yes",
    "layer hidden=%lld eps=1e-05 x=f16 y=f32 weight=f32 bias=f16 residual=f16 range=scaled", NULL};

/* Values of the fields that are numbers; those of the others are their words. */
static const struct {
    const char *field;
    int count;
    double value[6];
} numbers[] = {
    {"eps", 5, {1e-5, 0, 1e-12, 1e-6, 0.5}},
    {"offset", 3, {0, 1, -0.3}},
    {"heads", 2, {1, 3}},
    {"groups", 3, {1, 2, 4}},
    {"stat_first", 4, {0, 1, 60, 1025}},
    {"multiplier", 3, {1, 0.5, -0.22}},
};

/* Factors: the fields of the table, then how the arrays lie. */
enum {
    F_LAYOUT = NG_FIELD_COUNT,
    F_PLACE,
    F_ALIAS,
    F_SPECIALS,
    FACTOR_COUNT,
    MOST_VALUES = 25,
    CANDIDATES = 8,
    TRIES = 60,
    STEPS = 80,
};
enum { COVERED = 1, IMPOSSIBLE = 2 };

typedef struct design {
    uint64_t state;
    int count[FACTOR_COUNT], standard[FACTOR_COUNT]; /* values; index of the default */
    double value[NG_FIELD_COUNT][MOST_VALUES];
    uint8_t (*done)[MOST_VALUES][FACTOR_COUNT][MOST_VALUES]; /* done[f][i][g][j], f < g */
} design;

typedef struct candidate {
    int8_t v[FACTOR_COUNT];
} candidate;

/* ---- fields as numbers ---- */

static double get(const normgen_spec *s, const ng_field *f) {
    const char *at = (const char *)s + f->offset;
    int32_t word;
    int64_t integer;
    double decimal;
    if (f->form == NG_FIELD_WORD) return memcpy(&word, at, sizeof word), (double)word;
    if (f->form == NG_FIELD_INTEGER) return memcpy(&integer, at, sizeof integer), (double)integer;
    return memcpy(&decimal, at, sizeof decimal), decimal;
}

static void set(normgen_spec *s, const ng_field *f, double v) {
    char *at = (char *)s + f->offset;
    int32_t word = (int32_t)v;
    int64_t integer = (int64_t)v;
    if (f->form == NG_FIELD_WORD)
        memcpy(at, &word, sizeof word);
    else if (f->form == NG_FIELD_INTEGER)
        memcpy(at, &integer, sizeof integer);
    else
        memcpy(at, &v, sizeof v);
}

static void to_spec(const design *d, const candidate *c, normgen_spec *s) {
    *s = (normgen_spec){.struct_size = sizeof *s};
    for (int f = 0; f < NG_FIELD_COUNT; f++) set(s, &ng_fields[f], d->value[f][c->v[f]]);
    for (int f = 0; f < NG_FIELD_COUNT; f++) { /* a default that hangs on others is left to them */
        const ng_field *field = &ng_fields[f];
        bool none = strcmp(field->words ? field->words[c->v[f]].text : "none", "none") == 0;
        if (!none && field->applies && !field->applies(s) && c->v[f] == d->standard[f])
            set(s, field, 0);
    }
}

static void list_values(design *d, int f, int64_t most) {
    const ng_field *field = &ng_fields[f];
    int n = 0;
    for (const ng_word *w = field->words; w && w->text; w++) d->value[f][n++] = w->value;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(numbers[i].field, field->name) == 0)
            for (; n < numbers[i].count; n++) d->value[f][n] = numbers[i].value[n];
    if (strcmp(field->name, "hidden") == 0)
        for (; cover_hidden[n] && cover_hidden[n] <= most; n++)
            d->value[f][n] = (double)cover_hidden[n];
    if (n == 0) abort(); /* a field of numbers without a line above */
    d->count[f] = n;
}

static void design_init(design *d, uint64_t seed, int64_t most) {
    static const int places[] = {LAYOUT_COUNT, PLACE_COUNT, ALIAS_COUNT, 2};
    normgen_spec plain = normgen_rms(64);
    if (ng_spec_resolve(&plain, &plain) != NORMGEN_OK) abort();
    *d = (design){.state = seed};
    for (int f = 0; f < NG_FIELD_COUNT; f++) {
        list_values(d, f, most);
        for (int i = 0; i < d->count[f]; i++)
            if (d->value[f][i] == get(&plain, &ng_fields[f])) d->standard[f] = i;
    }
    for (int f = NG_FIELD_COUNT; f < FACTOR_COUNT; f++) d->count[f] = places[f - NG_FIELD_COUNT];
}

/* ---- making a candidate legal ---- */

static int random_value(design *d, int f) {
    return (int)awkward_below(&d->state, (size_t)d->count[f]);
}

static int index_of(const char *name, size_t length) {
    const ng_field *f = ng_field_find(name, length);
    return f ? (int)(f - ng_fields) : -1;
}

/* Changes a field unless it is fixed: to its default, or to anything. */
static void change(design *d, candidate *c, int f, uint64_t fixed) {
    if (f < 0 || fixed >> f & 1) return;
    c->v[f] = (int8_t)(awkward_next(&d->state) >> 62 ? d->standard[f] : random_value(d, f));
    if (awkward_next(&d->state) >> 63) c->v[f] = (int8_t)random_value(d, f);
}

/* A step of a random walk to a legal spec: one of the two fields of every broken rule, a field that
 * does not apply or the one that it needs, is changed. True when nothing was broken. */
static bool step(design *d, candidate *c, uint64_t fixed) {
    normgen_spec s;
    bool legal = true;
    to_spec(d, c, &s);
    for (int f = 0; f < NG_FIELD_COUNT; f++) {
        const ng_field *field = &ng_fields[f];
        if (!field->applies || field->applies(&s) || c->v[f] == d->standard[f]) continue;
        legal = false;
        if (fixed >> f & 1)
            change(d, c, index_of(field->needs, strcspn(field->needs, " =,")), fixed);
        else
            c->v[f] = (int8_t)d->standard[f];
    }
    for (const ng_rule *r = ng_rules; r->a && legal; r++) {
        if (!r->broken(&s)) continue;
        const char *name = awkward_next(&d->state) >> 63 ? r->a : r->b;
        int f = index_of(name, strlen(name));
        if (fixed >> f & 1)
            f = index_of(name == r->a ? r->b : r->a, strlen(name == r->a ? r->b : r->a));
        change(d, c, f, fixed);
        legal = false;
    }
    return legal;
}

static bool settle(design *d, candidate *c, uint64_t fixed, normgen_spec *s) {
    for (int i = 0; i < STEPS; i++) {
        if (!step(d, c, fixed)) continue;
        to_spec(d, c, s);
        return ng_spec_resolve(s, s) == NORMGEN_OK;
    }
    return false;
}

/* Most fields have their defaults, or nothing would be legal. */
static candidate random_candidate(design *d) {
    candidate c;
    for (int f = 0; f < FACTOR_COUNT; f++) {
        bool rare = f >= 18 && f < NG_FIELD_COUNT; /* a fusion: one in six */
        bool plain = awkward_below(&d->state, 6) > (rare ? 0 : 3);
        c.v[f] = (int8_t)(plain ? d->standard[f] : random_value(d, f));
    }
    c.v[1] = (int8_t)random_value(d, 1); /* hidden */
    return c;
}

bool cover_broken(uint64_t seed, const ng_rule *rule, normgen_spec *s) {
    design d;
    design_init(&d, seed, 4096);
    for (int tries = 0; tries < 100000; tries++) {
        candidate c = random_candidate(&d);
        const char *const names[] = {rule->a, rule->b};
        for (int i = 0; i < 2; i++) {
            int f = index_of(names[i], strlen(names[i]));
            c.v[f] = (int8_t)random_value(&d, f);
        }
        for (int i = 0; i < STEPS; i++) {
            const ng_rule *first = ng_rules;
            if (step(&d, &c, 0)) break; /* mended altogether */
            to_spec(&d, &c, s);
            bool applies = true;
            for (int f = 0; f < NG_FIELD_COUNT; f++)
                applies = applies && (!ng_fields[f].applies || ng_fields[f].applies(s) ||
                                      c.v[f] == d.standard[f]);
            while (first->a && !first->broken(s)) first++;
            if (applies && first == rule) return true;
        }
    }
    return false;
}

/* A legal candidate with the values of the fixed factors. */
static bool make(design *d, candidate *c, uint64_t fixed, normgen_spec *s) {
    if (!settle(d, c, fixed, s)) return false;
    if (case_alias_applies(s, (case_alias)c->v[F_ALIAS])) return true;
    if (fixed >> F_ALIAS & 1) return false;
    c->v[F_ALIAS] = ALIAS_apart;
    return true;
}

/* ---- the design ---- */

static uint8_t *cell(design *d, int f, int i, int g, int j) {
    return f < g ? &d->done[f][i][g][j] : &d->done[g][j][f][i];
}

static size_t news(design *d, const candidate *c) {
    size_t n = 0;
    for (int f = 0; f < FACTOR_COUNT; f++)
        for (int g = f + 1; g < FACTOR_COUNT; g++) n += *cell(d, f, c->v[f], g, c->v[g]) != COVERED;
    return n;
}

static void mark(design *d, const candidate *c) {
    for (int f = 0; f < FACTOR_COUNT; f++)
        for (int g = f + 1; g < FACTOR_COUNT; g++) *cell(d, f, c->v[f], g, c->v[g]) = COVERED;
}

/* The candidate with that pair which covers most new pairs; false when none was found. */
static bool best_with(design *d, int f, int i, int g, int j, candidate *best, normgen_spec *spec) {
    size_t most = 0, found = 0;
    for (int tries = 0; tries < TRIES && found < CANDIDATES; tries++) {
        normgen_spec s;
        candidate c = random_candidate(d);
        c.v[f] = (int8_t)i;
        c.v[g] = (int8_t)j;
        if (!make(d, &c, (uint64_t)1 << f | (uint64_t)1 << g, &s)) continue;
        size_t n = news(d, &c);
        if (found++ == 0 || n > most) most = n, *best = c, *spec = s;
    }
    return found > 0;
}

static bool add_case(design *d, const candidate *c, const normgen_spec *s, size_t rows,
                     case_list *list) {
    test_case t = {.spec = *s,
                   .rows = rows,
                   .layout = (case_layout)c->v[F_LAYOUT],
                   .place = (case_place)c->v[F_PLACE],
                   .alias = (case_alias)c->v[F_ALIAS],
                   .specials = c->v[F_SPECIALS],
                   .seed = awkward_next(&d->state) >> 40};
    return case_list_add(list, &t);
}

static bool cover_factors(design *d, int f, int g, size_t rows, case_list *list) {
    for (int i = 0; i < d->count[f]; i++)
        for (int j = 0; j < d->count[g]; j++) {
            candidate c;
            normgen_spec s;
            if (*cell(d, f, i, g, j)) continue;
            if (!best_with(d, f, i, g, j, &c, &s)) {
                *cell(d, f, i, g, j) = IMPOSSIBLE;
                continue;
            }
            mark(d, &c);
            if (!add_case(d, &c, &s, rows, list)) return false;
        }
    return true;
}

static cover_score score_of(design *d) {
    cover_score score = {0};
    for (int f = 0; f < FACTOR_COUNT; f++)
        for (int g = f + 1; g < FACTOR_COUNT; g++)
            for (int i = 0; i < d->count[f]; i++)
                for (int j = 0; j < d->count[g]; j++) {
                    score.covered += *cell(d, f, i, g, j) == COVERED;
                    score.impossible += *cell(d, f, i, g, j) == IMPOSSIBLE;
                }
    return score;
}

bool cover_pairs(uint64_t seed, size_t rows, int64_t most, case_list *list, cover_score *score) {
    design d;
    bool done = true;
    design_init(&d, seed, most);
    d.done = calloc(FACTOR_COUNT, sizeof *d.done);
    if (!d.done) return false;
    for (int f = 0; f < FACTOR_COUNT && done; f++)
        for (int g = f + 1; g < FACTOR_COUNT && done; g++)
            done = cover_factors(&d, f, g, rows, list);
    if (score) *score = score_of(&d);
    free(d.done);
    return done;
}

bool cover_random(uint64_t seed, size_t rows, int64_t most, size_t count, case_list *list) {
    design d;
    design_init(&d, seed, most);
    while (list->count < count) {
        normgen_spec s;
        candidate c = random_candidate(&d);
        if (make(&d, &c, 0, &s) && !add_case(&d, &c, &s, rows, list)) return false;
    }
    return true;
}

test_case cover_named_case(size_t which, int64_t hidden, size_t rows, uint64_t seed) {
    char text[NORMGEN_SPEC_TEXT];
    test_case c = {.rows = rows, .seed = seed};
    const char *mark = strchr(cover_named[which], '%');
    size_t n = (size_t)(mark - cover_named[which]);
    memcpy(text, cover_named[which], n);
    char digits[24], *d = digits + sizeof digits;
    for (*--d = 0; hidden; hidden /= 10) *--d = (char)('0' + hidden % 10);
    strcpy(text + n, d);
    strcat(text, mark + 4);
    if (normgen_spec_parse(&c.spec, text) != NORMGEN_OK) abort(); /* a bad line of cover_named */
    c.layout = (case_layout)awkward_below(&seed, LAYOUT_COUNT);
    c.place = (case_place)awkward_below(&seed, PLACE_COUNT);
    do c.alias = (case_alias)awkward_below(&seed, ALIAS_y_gate);
    while (!case_alias_applies(&c.spec, c.alias));
    return c;
}

void case_list_fini(case_list *list) {
    free(list->items);
    *list = (case_list){0};
}

bool case_list_add(case_list *list, const test_case *c) {
    if ((list->count & (list->count - 1)) == 0) { /* the capacity is the next power of two */
        size_t capacity = list->count ? 2 * list->count : 1;
        test_case *grown = realloc(list->items, capacity * sizeof *grown);
        if (!grown) return false;
        list->items = grown;
    }
    list->items[list->count++] = *c;
    return true;
}
