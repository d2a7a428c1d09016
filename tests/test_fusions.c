/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that the fusions make possible, through the public interface: statistics apart, heads
 * inside one QKV array, groups, weights per head, several argument sets. Arrays lie between guard
 * pages. The interpreter serves; kernels have its bits. */
#include "awkward.h"
#include "fixture.h"
#include "types.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Hundreds of thousands of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

static normgen *ng;

static void setup(void) {
    normgen_options o = normgen_options_default();
    o.store = "";
    o.mode = NORMGEN_MODE_LOOKUP;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
}
static void teardown(void) { normgen_close(ng); }

static normgen_kernel *get(const char *text) {
    normgen_spec spec;
    normgen_kernel *k = NULL;
    ck_assert_msg(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s: %s", text, normgen_error());
    ck_assert_msg(normgen_get(ng, &spec, &k) == NORMGEN_OK, "%s", normgen_error());
    return k;
}

static void run(normgen_kernel *k, const normgen_args *a) {
    ck_assert_msg(normgen_run(k, a) == NORMGEN_OK, "%s", normgen_error());
}

/* Numbers in [-1, 1), around `center`, that end at the upper guard page. */
static float *numbers(guarded *g, size_t n, float center, uint64_t seed) {
    ck_assert(guarded_init(g, n * sizeof(float)));
    float *v = (float *)(void *)(g->bytes + g->size) - n;
    for (size_t i = 0; i < n; i++) v[i] = center + (float)(int32_t)awkward_next(&seed) * 0x1p-31f;
    return v;
}

/* ---- statistics apart ---- */

enum { ROWS = 9, MOST_SLICES = 11 };

/* Cuts of a row of 1000, some of one element. */
static const int cuts[][MOST_SLICES + 1] = {
    {0, 1000},
    {0, 500, 1000},
    {0, 1, 1000},
    {0, 300, 600, 1000},
    {0, 250, 500, 750, 1000},
    {0, 7, 100, 101, 555, 1000},
    {0, 125, 250, 375, 500, 625, 750, 1000},
    {0, 90, 180, 270, 360, 450, 540, 630, 720, 810, 900, 1000},
};
static const char *const kinds[] = {"rms", "layer", "layer", "l2"};

typedef struct triple {
    float n, mean, m2, q;
} triple;

/* The tree of docs/numerics.md as a recursion: the left part is the largest power of two. */
static triple merged(const triple *t, size_t count) {
    if (count == 1) return t[0];
    size_t left = 1;
    while (2 * left < count) left *= 2;
    triple a = merged(t, left), b = merged(t + left, count - left), r;
    r.n = a.n + b.n;
    float f = b.n / r.n, d = b.mean - a.mean;
    r.mean = fmaf(d, f, a.mean);
    r.m2 = fmaf(d * d, a.n * f, a.m2 + b.m2);
    r.q = a.q + b.q;
    return r;
}

/* Measures one slice of all rows. */
static void measure(int kind, const float *x, int from, int to, float *mean, float *m2, float *q) {
    char text[NORMGEN_SPEC_TEXT];
    snprintf(text, sizeof text, "%s hidden=%d eps=0 weight=none stats=partial%s", kinds[kind],
             to - from, kind == 2 ? " variance=shifted" : "");
    normgen_args a = NORMGEN_ARGS;
    a.rows = ROWS;
    a.x = x + from;
    a.x_stride = 1000 * sizeof(float);
    a.mean = mean;
    a.m2 = m2;
    a.q = q;
    run(get(text), &a);
}

static void check_cut(int kind, const int *cut, float center) {
    static float mean[MOST_SLICES][ROWS], m2[MOST_SLICES][ROWS], q[MOST_SLICES][ROWS];
    float all_mean[ROWS], rstd[ROWS], y[2][1000 * ROWS];
    normgen_slice slice[MOST_SLICES];
    char text[NORMGEN_SPEC_TEXT];
    guarded g;
    float *x = numbers(&g, 1000 * ROWS, center, 5 + (uint64_t)kind);
    size_t n = 0;
    for (; n < MOST_SLICES && cut[n + 1]; n++) {
        measure(kind, x, cut[n], cut[n + 1], mean[n], m2[n], q[n]);
        slice[n] = (normgen_slice){cut[n + 1] - cut[n], mean[n], m2[n], q[n]};
    }
    normgen_spec whole;
    snprintf(text, sizeof text, "%s hidden=1000 eps=1e-05 weight=none", kinds[kind]);
    ck_assert_int_eq(normgen_spec_parse(&whole, text), NORMGEN_OK);
    ck_assert_msg(normgen_merge_stats(&whole, slice, n, ROWS, all_mean, rstd) == NORMGEN_OK, "%s",
                  normgen_error());
    for (size_t r = 0; r < ROWS; r++) {
        triple t[MOST_SLICES];
        for (size_t i = 0; i < n; i++)
            t[i] = (triple){(float)slice[i].hidden, mean[i][r], m2[i][r], q[i][r]};
        triple m = merged(t, n);
        float variance = kind == 3 ? m.q : kind == 0 ? m.q / m.n : m.m2 / m.n;
        ck_assert(rstd[r] == 1 / sqrtf(variance + 1e-5f));
        ck_assert(kind % 3 == 0 || all_mean[r] == m.mean);
    }
    normgen_args a = NORMGEN_ARGS;
    a.rows = ROWS;
    a.x = x;
    a.y = y[0];
    run(get(text), &a);
    snprintf(text, sizeof text, "%s hidden=1000 eps=0 weight=none stats=apply", kinds[kind]);
    a.y = y[1];
    a.mean = all_mean;
    a.rstd = rstd;
    run(get(text), &a);
    float scale = (fabsf(center) + 1) * rstd[0];
    for (size_t i = 0; i < 1000 * ROWS; i++)
        REQUIRE(fabsf(y[0][i] - y[1][i]) <= 16 * 0x1p-24f * (scale + fabsf(y[0][i])),
                "%s, %zu slices, element %zu: %a, whole %a", kinds[kind], n, i, (double)y[1][i],
                (double)y[0][i]);
    guarded_fini(&g);
}

START_TEST(slices_merge_by_the_fixed_tree_into_the_whole_row) {
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        check_cut(_i, cuts[i], 0);
        check_cut(_i, cuts[i], 100);
    }
}
END_TEST

START_TEST(slices_that_do_not_make_the_row_are_refused) {
    float s[4] = {1, 1, 1, 1}, rstd[1] = {7};
    normgen_spec whole = normgen_rms(64);
    normgen_slice slice[2] = {{32, NULL, NULL, s}, {31, NULL, NULL, s}};
    ck_assert_int_eq(normgen_merge_stats(&whole, slice, 2, 1, NULL, rstd), NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "63"));
    slice[1] = (normgen_slice){32, NULL, NULL, NULL};
    ck_assert_int_eq(normgen_merge_stats(&whole, slice, 2, 1, NULL, rstd), NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "slices[1].q"));
    whole = normgen_layer(64);
    ck_assert_int_eq(normgen_merge_stats(&whole, slice, 2, 1, s, rstd), NORMGEN_E_ARGUMENT);
    ck_assert(rstd[0] == 7);
}
END_TEST

/* ---- heads inside one QKV array ---- */

enum { TOKENS = 5, Q_HEADS = 4, K_HEADS = 2, HEAD = 64, PITCH = (Q_HEADS + 2 * K_HEADS) * HEAD };
#define HEAD_SPEC "rms hidden=64 eps=1e-06 rope=half"

/* q and k of all tokens in place; v and everything else stays. */
static void qkv_sets(float *qkv, const float *weight, const float *cosines, const float *sines,
                     normgen_args set[2]) {
    for (int k = 0; k < 2; k++) {
        set[k] = NORMGEN_ARGS;
        set[k].inner = k ? K_HEADS : Q_HEADS;
        set[k].rows = TOKENS * set[k].inner;
        set[k].x = set[k].y = qkv + (k ? Q_HEADS * HEAD : 0);
        set[k].x_stride = set[k].y_stride = HEAD * sizeof(float);
        set[k].x_outer = set[k].y_outer = PITCH * sizeof(float);
        set[k].weight = weight + k * HEAD;
        set[k].cos = cosines;
        set[k].sin = sines;
    }
}

/* One head, copied out. */
static void one_head(float *head, const float *weight, const float *cosines, const float *sines) {
    float y[HEAD];
    normgen_args a = NORMGEN_ARGS;
    a.rows = a.inner = 1;
    a.x = head;
    a.y = y;
    a.weight = weight;
    a.cos = cosines;
    a.sin = sines;
    run(get(HEAD_SPEC), &a);
    memcpy(head, y, sizeof y);
}

START_TEST(q_and_k_are_normalized_and_rotated_inside_their_array) {
    guarded g[4];
    float *qkv = numbers(&g[0], TOKENS * PITCH, 0, 1), *w = numbers(&g[1], 2 * HEAD, 1, 2);
    float *c = numbers(&g[2], TOKENS * HEAD / 2, 0, 3),
          *s = numbers(&g[3], TOKENS * HEAD / 2, 0, 4);
    static float want[TOKENS * PITCH];
    normgen_args set[2];
    memcpy(want, qkv, sizeof want);
    for (int t = 0; t < TOKENS; t++)
        for (int h = 0; h < Q_HEADS + K_HEADS; h++)
            one_head(want + t * PITCH + h * HEAD, w + (h < Q_HEADS ? 0 : HEAD), c + t * HEAD / 2,
                     s + t * HEAD / 2);
    qkv_sets(qkv, w, c, s, set);
    normgen_status st = _i ? normgen_run_sets_parallel(get(HEAD_SPEC), set, 2)
                           : normgen_run_sets(get(HEAD_SPEC), set, 2);
    ck_assert_msg(st == NORMGEN_OK, "%s", normgen_error());
    ck_assert_mem_eq(qkv, want, sizeof want);
    for (int i = 0; i < 4; i++) guarded_fini(&g[i]);
}
END_TEST

START_TEST(all_sets_are_checked_before_anything_is_written) {
    guarded g[4];
    float *qkv = numbers(&g[0], TOKENS * PITCH, 0, 1), *w = numbers(&g[1], 2 * HEAD, 1, 2);
    float *c = numbers(&g[2], TOKENS * HEAD / 2, 0, 3),
          *s = numbers(&g[3], TOKENS * HEAD / 2, 0, 4);
    static float before[TOKENS * PITCH];
    normgen_args set[2];
    memcpy(before, qkv, sizeof before);
    for (int wrong = 0; wrong < 4; wrong++) {
        qkv_sets(qkv, w, c, s, set);
        if (wrong == 0) set[1].weight = NULL;
        if (wrong == 1) set[1].rows = TOKENS * K_HEADS - 1; /* no multiple of inner */
        if (wrong == 2)
            set[1].y = (char *)set[1].y + HEAD * sizeof(float); /* half on another head */
        if (wrong == 3) set[1].y_outer = HEAD * sizeof(float);  /* tokens on each other */
        ck_assert_msg(normgen_run_sets(get(HEAD_SPEC), set, 2) == NORMGEN_E_ARGUMENT, "%d", wrong);
        ck_assert_mem_eq(qkv, before, sizeof before);
    }
    for (int i = 0; i < 4; i++) guarded_fini(&g[i]);
}
END_TEST

/* ---- groups and heads ---- */

START_TEST(groups_are_norms_of_the_parts_of_a_row) {
    enum { PARTS = 4, PART = 48 };
    guarded g[3];
    float *x = numbers(&g[0], ROWS * PARTS * PART, 2, 1), *w = numbers(&g[1], PARTS * PART, 1, 2);
    float *b = numbers(&g[2], PARTS * PART, 0, 3);
    static float y[ROWS * PARTS * PART], want[ROWS * PARTS * PART];
    normgen_args a = NORMGEN_ARGS;
    a.rows = ROWS;
    a.x = x;
    a.y = y;
    a.weight = w;
    a.bias = b;
    run(get("layer hidden=192 eps=1e-05 bias=f32 groups=4"), &a);
    for (int p = 0; p < PARTS; p++) {
        a.x = x + p * PART;
        a.y = want + p * PART;
        a.weight = w + p * PART;
        a.bias = b + p * PART;
        a.x_stride = a.y_stride = PARTS * PART * sizeof(float);
        run(get("layer hidden=48 eps=1e-05 bias=f32"), &a);
    }
    ck_assert_mem_eq(y, want, sizeof y);
    for (int i = 0; i < 3; i++) guarded_fini(&g[i]);
}
END_TEST

START_TEST(heads_take_their_weights_in_turn) {
    enum { HEADS = 3, WIDE = 40 };
    guarded g[2];
    float *x = numbers(&g[0], 4 * HEADS * WIDE, 0, 1), *w = numbers(&g[1], HEADS * WIDE, 1, 2);
    static float y[4 * HEADS * WIDE], want[4 * HEADS * WIDE];
    normgen_args a = NORMGEN_ARGS;
    a.rows = 4 * HEADS;
    a.x = x;
    a.y = y;
    a.weight = w;
    run(get("rms hidden=40 eps=1e-05 heads=3"), &a);
    for (int h = 0; h < HEADS; h++) {
        a.rows = 4;
        a.x = x + h * WIDE;
        a.y = want + h * WIDE;
        a.weight = w + h * WIDE;
        a.x_stride = a.y_stride = HEADS * WIDE * sizeof(float);
        run(get("rms hidden=40 eps=1e-05"), &a);
    }
    ck_assert_mem_eq(y, want, sizeof y);
    for (int i = 0; i < 2; i++) guarded_fini(&g[i]);
}
END_TEST

/* One scale and shift for the rows of a sample: the same as a call for each sample. */
START_TEST(samples_have_their_own_modulation) {
    enum { SAMPLES = 3, EACH = 4, WIDE = 100 };
    guarded g[3];
    float *x = numbers(&g[0], SAMPLES * EACH * WIDE, 1, 1);
    float *scale = numbers(&g[1], SAMPLES * WIDE, 0, 2),
          *shift = numbers(&g[2], SAMPLES * WIDE, 0, 3);
    static float y[SAMPLES * EACH * WIDE], want[SAMPLES * EACH * WIDE];
    const char *text = "layer hidden=100 eps=1e-06 weight=none modulate=f32";
    normgen_args a = NORMGEN_ARGS;
    a.rows = SAMPLES * EACH;
    a.inner = EACH;
    a.x = x;
    a.y = y;
    a.mod_scale = scale;
    a.mod_shift = shift;
    run(get(text), &a);
    for (int s = 0; s < SAMPLES; s++) {
        a.rows = EACH;
        a.x = x + s * EACH * WIDE;
        a.y = want + s * EACH * WIDE;
        a.mod_scale = scale + s * WIDE;
        a.mod_shift = shift + s * WIDE;
        run(get(text), &a);
    }
    ck_assert_mem_eq(y, want, sizeof y);
    for (int i = 0; i < 3; i++) guarded_fini(&g[i]);
}
END_TEST

int main(void) {
    Suite *s = suite_create("fusions");
    TCase *t = tcase_create("fusions");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, slices_merge_by_the_fixed_tree_into_the_whole_row, 0, 4);
    tcase_add_test(t, slices_that_do_not_make_the_row_are_refused);
    tcase_add_loop_test(t, q_and_k_are_normalized_and_rotated_inside_their_array, 0, 2);
    tcase_add_test(t, all_sets_are_checked_before_anything_is_written);
    tcase_add_test(t, groups_are_norms_of_the_parts_of_a_row);
    tcase_add_test(t, heads_take_their_weights_in_turn);
    tcase_add_test(t, samples_have_their_own_modulation);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
