/* SPDX-License-Identifier: Apache-2.0 */
/* A greedy pairwise-covering design. A candidate is an index into the values of each factor; what
 * does not apply falls back to the default. A pair that no candidate can have (sum without
 * residual) is found impossible when many tries at it fail. */
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

static const int types[] = {NORMGEN_F32, NORMGEN_F64, NORMGEN_BF16, NORMGEN_F16, NORMGEN_NONE};
static const double epsilons[] = {1e-5, 0, 1e-12, 1e-6, 0.5};
static const double offsets[] = {0, 1, -0.3};
static const int lane_counts[] = {64, 16, 32, 128, 256};

/* Factors, and how many values each has. */
#define FACTORS(X)                                                                                 \
    X(KIND, 2)                                                                                     \
    X(HIDDEN, 25)                                                                                  \
    X(EPS, 5)                                                                                      \
    X(X, 4)                                                                                        \
    X(Y, 4)                                                                                        \
    X(WEIGHT, 5)                                                                                   \
    X(BIAS, 5)                                                                                     \
    X(RESIDUAL, 5)                                                                                 \
    X(SUM, 5)                                                                                      \
    X(OFFSET, 3)                                                                                   \
    X(ROUNDING, 2)                                                                                 \
    X(STAT_OF, 3)                                                                                  \
    X(VARIANCE, 2)                                                                                 \
    X(RANGE, 2)                                                                                    \
    X(COMPUTE, 2)                                                                                  \
    X(LANES, 5)                                                                                    \
    X(MEAN, 2)                                                                                     \
    X(RSTD, 2)                                                                                     \
    X(LAYOUT, LAYOUT_COUNT)                                                                        \
    X(PLACE, PLACE_COUNT)                                                                          \
    X(ALIAS, ALIAS_COUNT)                                                                          \
    X(SPECIALS, 2)
#define X(name, n) F_##name,
enum factor { FACTORS(X) FACTOR_COUNT };
#undef X
#define X(name, n) n,
static const int counts[FACTOR_COUNT] = {FACTORS(X)};
#undef X
enum { COVERED = 1, IMPOSSIBLE = 2 };
enum { MOST_VALUES = 25, CANDIDATES = 24, TRIES = 400 };

typedef struct design {
    uint64_t state;
    int hidden_count;
    /* done[f][i][g][j], f < g */
    uint8_t (*done)[MOST_VALUES][FACTOR_COUNT][MOST_VALUES];
} design;

typedef struct candidate {
    int8_t v[FACTOR_COUNT];
} candidate;

/* Falls back to what applies; factors of the bits in `fixed` stay if that can be had by changing
 * others. */
static void settle(candidate *c, uint32_t fixed) {
    bool keep_sum = fixed >> F_SUM & 1, keep_stat = fixed >> F_STAT_OF & 1;
    if (keep_stat && c->v[F_STAT_OF] != 0 && c->v[F_SUM] == 4 && !keep_sum) c->v[F_SUM] = 0;
    bool wants_sum = (keep_sum || keep_stat) && c->v[F_SUM] != 4;
    if (wants_sum && c->v[F_RESIDUAL] == 4 && !(fixed >> F_RESIDUAL & 1)) c->v[F_RESIDUAL] = 0;
    if (c->v[F_RESIDUAL] == 4) c->v[F_SUM] = 4;
    if (c->v[F_SUM] == 4) c->v[F_STAT_OF] = 0;
    if (c->v[F_WEIGHT] == 4) c->v[F_OFFSET] = 0;
    if (c->v[F_KIND] == 0) c->v[F_VARIANCE] = c->v[F_MEAN] = 0;
}

static void to_spec(const candidate *c, normgen_spec *s) {
    normgen_spec raw = {.struct_size = sizeof raw,
                        .kind = c->v[F_KIND] ? NORMGEN_LAYER : NORMGEN_RMS,
                        .hidden = cover_hidden[c->v[F_HIDDEN]],
                        .eps = epsilons[c->v[F_EPS]],
                        .x = types[c->v[F_X]],
                        .y = types[c->v[F_Y]],
                        .weight = types[c->v[F_WEIGHT]],
                        .bias = types[c->v[F_BIAS]],
                        .residual = types[c->v[F_RESIDUAL]],
                        .sum = types[c->v[F_SUM]],
                        .offset = offsets[c->v[F_OFFSET]],
                        .rounding = c->v[F_ROUNDING],
                        .stat_of = c->v[F_STAT_OF],
                        .variance = c->v[F_VARIANCE],
                        .range = c->v[F_RANGE],
                        .compute = c->v[F_COMPUTE] ? NORMGEN_F64 : NORMGEN_F32,
                        .lanes = lane_counts[c->v[F_LANES]],
                        .mean = c->v[F_MEAN],
                        .rstd = c->v[F_RSTD]};
    if (ng_spec_resolve(&raw, s) != NORMGEN_OK) abort(); /* settle() left something illegal */
}

/* The last fallback: an alias that the types do not allow. */
static void settle_alias(candidate *c) {
    normgen_spec s;
    to_spec(c, &s);
    if (!case_alias_applies(&s, (case_alias)c->v[F_ALIAS])) c->v[F_ALIAS] = ALIAS_apart;
}

static int values_of(const design *d, int f) { return f == F_HIDDEN ? d->hidden_count : counts[f]; }

static candidate random_candidate(design *d) {
    candidate c;
    for (int f = 0; f < FACTOR_COUNT; f++)
        c.v[f] = (int8_t)awkward_below(&d->state, (size_t)values_of(d, f));
    return c;
}

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
        for (int g = f + 1; g < FACTOR_COUNT; g++) {
            uint8_t *at = cell(d, f, c->v[f], g, c->v[g]);
            *at = COVERED;
        }
}

/* The candidate with that pair which covers most new pairs; false when none was found. */
static bool best_with(design *d, int f, int i, int g, int j, candidate *best) {
    size_t most = 0, found = 0;
    for (int tries = 0; tries < TRIES && found < CANDIDATES; tries++) {
        candidate c = random_candidate(d);
        c.v[f] = (int8_t)i;
        c.v[g] = (int8_t)j;
        settle(&c, 1u << f | 1u << g);
        settle_alias(&c);
        if (c.v[f] != i || c.v[g] != j) continue;
        size_t n = news(d, &c);
        if (found++ == 0 || n > most) most = n, *best = c;
    }
    return found > 0;
}

static bool add_case(design *d, const candidate *c, size_t rows, case_list *list) {
    test_case t = {.rows = rows,
                   .layout = (case_layout)c->v[F_LAYOUT],
                   .place = (case_place)c->v[F_PLACE],
                   .alias = (case_alias)c->v[F_ALIAS],
                   .specials = c->v[F_SPECIALS],
                   .seed = awkward_next(&d->state) >> 40};
    to_spec(c, &t.spec);
    mark(d, c);
    return case_list_add(list, &t);
}

static bool cover_factors(design *d, int f, int g, size_t rows, case_list *list) {
    for (int i = 0; i < values_of(d, f); i++)
        for (int j = 0; j < values_of(d, g); j++) {
            candidate c;
            if (*cell(d, f, i, g, j)) continue;
            if (!best_with(d, f, i, g, j, &c))
                *cell(d, f, i, g, j) = IMPOSSIBLE;
            else if (!add_case(d, &c, rows, list))
                return false;
        }
    return true;
}

static cover_score score_of(design *d) {
    cover_score score = {0};
    for (int f = 0; f < FACTOR_COUNT; f++)
        for (int g = f + 1; g < FACTOR_COUNT; g++)
            for (int i = 0; i < values_of(d, f); i++)
                for (int j = 0; j < values_of(d, g); j++) {
                    score.covered += *cell(d, f, i, g, j) == COVERED;
                    score.impossible += *cell(d, f, i, g, j) == IMPOSSIBLE;
                }
    return score;
}

bool cover_pairs(uint64_t seed, size_t rows, int64_t most, case_list *list, cover_score *score) {
    design d = {.state = seed};
    bool done = true;
    while (cover_hidden[d.hidden_count] && cover_hidden[d.hidden_count] <= most) d.hidden_count++;
    d.done = calloc(FACTOR_COUNT, sizeof *d.done);
    if (!d.done) return false;
    for (int f = 0; f < FACTOR_COUNT && done; f++)
        for (int g = f + 1; g < FACTOR_COUNT && done; g++)
            done = cover_factors(&d, f, g, rows, list);
    if (score) *score = score_of(&d);
    free(d.done);
    return done;
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
    do c.alias = (case_alias)awkward_below(&seed, ALIAS_COUNT);
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
