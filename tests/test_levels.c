/* SPDX-License-Identifier: Apache-2.0 */
/* Calls whose rows have two levels: where rows are found, what is refused, overlap against a map of
 * every byte; argument sets that keep apart; and statistics of slices. */
#include "call.h"
#include "interp.h"
#include "levels.h"
#include "spec.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hundreds of thousands of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

static ng_program program_of(const char *text) {
    normgen_spec spec;
    ng_program p;
    REQUIRE(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s: %s", text, normgen_error());
    ng_program_build(&p, &spec);
    return p;
}

static void refuses(const ng_program *p, const normgen_args *a, const char *first,
                    const char *second) {
    normgen_bound_args bound;
    REQUIRE(ng_bind(p, a, &bound) == NORMGEN_E_ARGUMENT, "accepted; expected '%s' '%s'", first,
            second);
    REQUIRE(strstr(normgen_error(), first) && strstr(normgen_error(), second),
            "'%s' or '%s' is missing: %s", first, second, normgen_error());
}

static uint32_t below(uint64_t *state, uint32_t n) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static float arena[1 << 14];

/* ---- where rows are ---- */

START_TEST(groups_cut_whole_rows) {
    ng_program p = program_of("rms hidden=12 eps=0 groups=3 rstd=yes bias=f32");
    normgen_args a = NORMGEN_ARGS;
    normgen_bound_args b;
    a.rows = 2, a.x_stride = 80;
    a.x = arena, a.y = arena + 100, a.weight = arena + 200, a.bias = arena + 300;
    a.rstd = arena + 400;
    ck_assert_int_eq(p.hidden, 4);
    ck_assert_msg(ng_bind(&p, &a, &b) == NORMGEN_OK, "%s", normgen_error());
    for (size_t r = 0; r < 6; r++)
        for (int s = 0; s < p.streams; s++) {
            size_t row = r / 3, group = r % 3;
            const float *want = p.stream[s].role == NG_ROLE_x   ? arena + 20 * row + 4 * group
                                : p.stream[s].role == NG_ROLE_y ? arena + 100 + 12 * row + 4 * group
                                : p.stream[s].role == NG_ROLE_weight ? arena + 200 + 4 * group
                                : p.stream[s].role == NG_ROLE_bias   ? arena + 300 + 4 * group
                                                                     : arena + 400 + r;
            ck_assert_ptr_eq(ng_row_address(&b, s, r), want);
        }
    a.x_stride = 44;
    refuses(&p, &a, "x_stride", "48");
    a.x_stride = 0, a.inner = 3;
    refuses(&p, &a, "args.inner", "groups");
}
END_TEST

START_TEST(heads_and_tokens_share_what_is_theirs) {
    ng_program p = program_of("rms hidden=8 eps=0 heads=2 rope=half");
    normgen_args a = NORMGEN_ARGS;
    normgen_bound_args b;
    a.rows = 6, a.x = arena, a.y = arena, a.weight = arena + 100, a.cos = arena + 200;
    a.sin = arena + 300, a.cos_stride = 32;
    a.x_outer = a.y_outer = 4 * 24; /* q0 q1 k0 of each token */
    ck_assert_msg(ng_bind(&p, &a, &b) == NORMGEN_OK, "%s", normgen_error());
    for (size_t r = 0; r < 6; r++) {
        size_t token = r / 2, head = r % 2;
        ck_assert_ptr_eq(ng_row_address(&b, 0, r), arena + 24 * token + 8 * head);
        ck_assert_ptr_eq(ng_row_address(&b, 1, r), arena + 100 + 8 * head);
        ck_assert_ptr_eq(ng_row_address(&b, 2, r), arena + 200 + 8 * token);
        ck_assert_ptr_eq(ng_row_address(&b, 3, r), arena + 300 + 4 * token);
    }
    a.inner = 3;
    refuses(&p, &a, "args.inner", "heads=2");
    a.inner = 0, a.rows = 7;
    refuses(&p, &a, "args.rows", "multiple");
    a.rows = 6, a.x_outer = 40;
    refuses(&p, &a, "args.x", "overlap each other");
    a.x_outer = -96;
    refuses(&p, &a, "x_outer", "negative");
}
END_TEST

START_TEST(rows_per_outer_index_must_be_told) {
    ng_program p = program_of("layer hidden=8 eps=1e-6 weight=none modulate=f32");
    normgen_args a = NORMGEN_ARGS;
    a.rows = 4, a.x = arena, a.y = arena + 100, a.mod_scale = arena + 200;
    a.mod_shift = arena + 300;
    refuses(&p, &a, "args.inner is 0", "mod_scale");
    a.inner = 2, a.mod_shift = NULL;
    refuses(&p, &a, "args.mod_shift", "null");
    a.mod_shift = arena + 300, a.mod_scale_stride = 28;
    refuses(&p, &a, "mod_scale_stride", "32");
    a.mod_scale_stride = 0, a.y = (char *)(arena + 100) + 2;
    refuses(&p, &a, "args.y", "aligned");
}
END_TEST

/* ---- overlap ---- */

enum { MOST_STREAMS = 8 };

/* A stream as the test places it: row (i, o) at base + i * inner + o * outer floats. */
typedef struct placed {
    size_t base, inner, outer, width;
} placed;

static uint32_t touched[1 << 14];

static void set(normgen_args *a, size_t offset, size_t value) {
    if (offset) memcpy((char *)a + offset, &value, sizeof value);
}

/* Strides with which no row meets another of the same stream. */
static placed place(uint64_t *state, size_t width, size_t in, size_t out) {
    placed p = {.base = below(state, 120), .width = width};
    if (below(state, 2)) { /* inner rows side by side */
        p.inner = width + below(state, 6);
        p.outer = (in - 1) * p.inner + width + below(state, 30);
    } else {
        p.outer = width + below(state, 6);
        p.inner = (out - 1) * p.outer + width + below(state, 30);
    }
    return p;
}

static bool right(const ng_program *p, const placed *at, size_t in, size_t out) {
    memset(touched, 0, sizeof touched);
    for (int s = 0; s < p->streams; s++)
        for (size_t r = 0; r < in * out; r++)
            for (size_t e = 0; e < at[s].width; e++)
                touched[at[s].base + r % in * at[s].inner + r / in * at[s].outer + e] |= 1u << s;
    for (int o = 0; o < p->streams; o++)
        for (int s = 0; s < p->streams && p->stream[o].out; s++) {
            bool same = !p->stream[s].out && ng_stream_moves(&p->stream[o]) &&
                        ng_stream_moves(&p->stream[s]) && at[o].base == at[s].base &&
                        (in == 1 || at[o].inner == at[s].inner) &&
                        (out == 1 || at[o].outer == at[s].outer);
            if (s == o || same) continue;
            for (size_t b = 0; b < sizeof touched / sizeof touched[0]; b++)
                if ((touched[b] >> o & 1u) && (touched[b] >> s & 1u)) return false;
        }
    return true;
}

/* Places all streams; those with a stride member get it, the others lie as the rules say. */
static void random_call(const ng_program *p, uint64_t *state, size_t in, size_t out,
                        normgen_args *a, placed *at) {
    placed common = place(state, (size_t)p->hidden, in, out);
    *a = NORMGEN_ARGS;
    a->rows = in * out, a->inner = in;
    for (int s = 0; s < p->streams; s++) {
        const ng_stream *t = &p->stream[s];
        size_t width = ng_stream_width(p, s);
        at[s] = place(state, width, in, out);
        bool in_common = ng_stream_moves(t) && below(state, 3) > 0;
        if (in_common)
            at[s] = (placed){common.base + below(state, 3) * below(state, 40), common.inner,
                             common.outer, width};
        if (!t->outer && t->rows == NG_EACH) {
            at[s].inner = width + below(state, 4);
            at[s].outer = in * at[s].inner;
        }
        if (t->rows == NG_INNER || t->rows == NG_ONE) at[s].outer = 0;
        if (t->rows == NG_OUTER || t->rows == NG_ONE) at[s].inner = 0;
        if (t->rows == NG_INNER && !t->stride) at[s].inner = width;
        if (below(state, 2)) at[s].base += below(state, 400);
        set(a, t->at, (size_t)(arena + at[s].base));
        set(a, t->stride, 4 * (t->rows == NG_OUTER ? at[s].outer : at[s].inner));
        set(a, t->outer, 4 * at[s].outer);
    }
}

START_TEST(overlap_on_two_levels_is_what_a_map_says) {
    static const char *const specs[] = {
        "rms hidden=%d eps=0 weight=none residual=f32 residual_rows=outer sum=f32",
        "rms hidden=%d eps=0 weight=none residual=f32 residual_rows=inner rstd=yes",
        "rms hidden=%d eps=0 weight=none modulate=f32", "rms hidden=%d eps=0 weight=none gate=f32",
        "rms hidden=%d eps=0 weight=none after=f32 residual=f32 sum=f32"};
    uint64_t state = 5;
    size_t good = 0, bad = 0;
    for (int i = 0; i < 60000; i++) {
        char text[256];
        normgen_args a;
        normgen_bound_args bound;
        placed at[MOST_STREAMS];
        snprintf(text, sizeof text, specs[below(&state, 5)], 1 + (int)below(&state, 5));
        ng_program p = program_of(text);
        size_t in = 1 + below(&state, 4), out = 1 + below(&state, 4);
        random_call(&p, &state, in, out, &a, at);
        bool ok = ng_bind(&p, &a, &bound) == NORMGEN_OK;
        if (!ok && !strstr(normgen_error(), "overlaps args."))
            ck_abort_msg("%s: %s", text, normgen_error());
        REQUIRE(ok == right(&p, at, in, out), "%d: %s: %s, but the map says otherwise (%s)", i,
                text, ok ? "accepted" : "refused", ok ? "" : normgen_error());
        *(ok ? &good : &bad) += 1;
    }
    REQUIRE(good > 6000 && bad > 6000, "%zu accepted, %zu refused: no fair mixture", good, bad);
}
END_TEST

START_TEST(q_and_k_of_one_array_keep_apart) {
    ng_program p = program_of("rms hidden=8 eps=0");
    normgen_args q = NORMGEN_ARGS, k;
    normgen_bound_args b;
    q.rows = 12, q.inner = 4, q.x = q.y = arena; /* q0 q1 q2 q3 k0 k1 v0 v1 of three tokens */
    q.x_outer = q.y_outer = 4 * 64, q.weight = arena + 1000;
    k = q;
    k.rows = 6, k.inner = 2, k.x = k.y = arena + 32;
    ck_assert_msg(ng_bind(&p, &q, &b) == NORMGEN_OK, "%s", normgen_error());
    ck_assert_msg(ng_bind(&p, &k, &b) == NORMGEN_OK, "%s", normgen_error());
    ck_assert_msg(ng_check_apart(&p, &q, 0, &k, 1) == NORMGEN_OK, "%s", normgen_error());
    k.x = k.y = arena + 31;
    ck_assert_int_eq(ng_check_apart(&p, &q, 0, &k, 1), NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "of set 1"));
    k.x = k.y = arena + 64 - 15; /* its last row touches the next token's q0 */
    ck_assert_int_eq(ng_check_apart(&p, &k, 0, &q, 1), NORMGEN_E_ARGUMENT);
    k.x = k.y = arena + 2048, k.weight = arena + 64; /* k's weight is where q writes */
    ck_assert_int_eq(ng_check_apart(&p, &q, 0, &k, 1), NORMGEN_E_ARGUMENT);
}
END_TEST

/* ---- statistics of slices ---- */

enum { ROWS = 7, HIDDEN = 1000, SLICES = 3 };
static const size_t cut[SLICES + 1] = {0, 300, 556, HIDDEN};
static float rows_of_x[ROWS][HIDDEN];

/* Statistics of each slice by the partial spec. */
static void measure_slices(const char *kind, float s[3][SLICES][ROWS], normgen_slice *slice) {
    for (size_t i = 0; i < SLICES; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s hidden=%zu eps=0 weight=none stats=partial", kind,
                 cut[i + 1] - cut[i]);
        ng_program p = program_of(text);
        normgen_args a = NORMGEN_ARGS;
        normgen_bound_args b;
        a.rows = ROWS, a.x = &rows_of_x[0][cut[i]], a.x_stride = sizeof rows_of_x[0];
        a.mean = s[0][i], a.m2 = s[1][i], a.q = s[2][i];
        ck_assert_int_eq(p.width[p.passes - 1], 0);
        ck_assert_msg(ng_bind(&p, &a, &b) == NORMGEN_OK, "%s", normgen_error());
        ng_interp_baseline(&p, &b, 0, ROWS);
        slice[i] = (normgen_slice){(int64_t)(cut[i + 1] - cut[i]), s[0][i], s[1][i], s[2][i]};
    }
}

static void check_merge(const char *kind, const normgen_spec *spec) {
    float s[3][SLICES][ROWS], mean[ROWS], rstd[ROWS];
    normgen_slice slice[SLICES];
    measure_slices(kind, s, slice);
    ck_assert_msg(normgen_merge_stats(spec, slice, SLICES, ROWS, mean, rstd) == NORMGEN_OK, "%s",
                  normgen_error());
    for (size_t r = 0; r < ROWS; r++) {
        double m = 0, q = 0;
        bool layer = spec->kind == NORMGEN_LAYER;
        for (size_t i = 0; i < HIDDEN && layer; i++) m += (double)rows_of_x[r][i] / (double)HIDDEN;
        for (size_t i = 0; i < HIDDEN; i++)
            q += ((double)rows_of_x[r][i] - m) * ((double)rows_of_x[r][i] - m);
        double want = 1 / sqrt((spec->kind == NORMGEN_L2 ? q : q / (double)HIDDEN) + spec->eps);
        REQUIRE(fabs((double)rstd[r] / want - 1) < 4e-7, "%s row %zu: rstd %.9g, want %.9g", kind,
                r, (double)rstd[r], want);
        REQUIRE(!layer || fabs((double)mean[r] - m) < 1e-6 * fabs(m) + 1e-7,
                "%s row %zu: mean %.9g, want %.9g", kind, r, (double)mean[r], m);
    }
}

START_TEST(slices_merge_to_the_statistics_of_the_row) {
    uint64_t state = 3;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < HIDDEN; i++)
            rows_of_x[r][i] = (float)below(&state, 1 << 20) * 0x1p-18f + (float)(100 * r);
    normgen_spec layer = normgen_layer(HIDDEN), rms = normgen_rms(HIDDEN), l2 = normgen_l2(HIDDEN);
    check_merge("layer", &layer);
    check_merge("rms", &rms);
    check_merge("l2", &l2);
}
END_TEST

START_TEST(slices_must_make_up_the_row) {
    float v[2] = {1, 1}, rstd[1];
    normgen_slice slice[2] = {{10, NULL, NULL, v}, {20, NULL, NULL, v}};
    normgen_spec rms = normgen_rms(30), layer = normgen_layer(30), longer = normgen_rms(31);
    ck_assert_int_eq(normgen_merge_stats(&rms, slice, 2, 1, NULL, rstd), NORMGEN_OK);
    ck_assert_int_eq(normgen_merge_stats(&longer, slice, 2, 1, NULL, rstd), NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "hidden=31"));
    ck_assert_int_eq(normgen_merge_stats(&layer, slice, 2, 1, v, rstd), NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "slices[0].mean"));
    ck_assert_int_eq(normgen_merge_stats(&rms, slice, 2, 1, NULL, NULL), NORMGEN_E_ARGUMENT);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("levels");
    TCase *tc = tcase_create("levels");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, groups_cut_whole_rows);
    tcase_add_test(tc, heads_and_tokens_share_what_is_theirs);
    tcase_add_test(tc, rows_per_outer_index_must_be_told);
    tcase_add_test(tc, overlap_on_two_levels_is_what_a_map_says);
    tcase_add_test(tc, q_and_k_of_one_array_keep_apart);
    tcase_add_test(tc, slices_merge_to_the_statistics_of_the_row);
    tcase_add_test(tc, slices_must_make_up_the_row);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
