/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles of specs whose rows lie on two levels: every call, in place, strided and refused, is the
 * one of libnormgen. */
#include "bundlebox.h"
#include "suite.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* All arrays of a call stand in one arena, so that what it writes anywhere is compared. */
enum { AREA = 16 << 10, AREAS = 10, TOKEN = 8 * 64 * 4, ROW = 64 * 4 };

static const struct deep {
    const char *text;
    size_t rows, inner;
    size_t x_at, y_at; /* bytes from the start of x's own area; y_at 0: in one of its own */
    ptrdiff_t x_stride, x_outer, y_stride, y_outer;
    int status;
} deep[] = {
#define HEADS "rms hidden=64 eps=1e-06 x=f32 heads=4"
#define ROPE "rms hidden=64 eps=1e-06 x=f32 rope=half"
#define HEADS_ROPE "rms hidden=64 eps=1e-06 x=bf16 weight=f32 heads=4 rope=interleaved"
#define GROUPS "layer hidden=96 eps=1e-06 x=f32 bias=f32 mean=yes rstd=yes groups=4"
#define MODULATE "layer hidden=80 eps=1e-06 x=f32 weight=none modulate=bf16"
    {HEADS, 20, 0, 0, 0, 0, 0, 0, 0, NG_EMIT_OK},
    {HEADS, 20, 0, 0, 0, 0, TOKEN, 0, 0, NG_EMIT_OK},
    {HEADS, 18, 0, 0, 0, 0, 0, 0, 0, NG_EMIT_INNER},
    {HEADS, 20, 0, 0, 0, ROW - 4, 0, 0, 0, NG_EMIT_STRIDE},
    {HEADS, 20, 0, 0, 0, 0, 4 * ROW - 4, 0, 0, NG_EMIT_STRIDE},
    {HEADS, 20, 0, 0, 0, 0, 4 * ROW + 2, 0, 0, NG_EMIT_ALIGNMENT},
    {HEADS, 20, 0, 0, 0, 5 * ROW, ROW, 0, 0, NG_EMIT_OK}, /* head after head */
    {HEADS, 20, 0, 0, 0, 4 * ROW, ROW, 0, 0, NG_EMIT_STRIDE},
    {HEADS, (size_t)1 << 61, 0, 0, 0, 0, 0, 0, 0, NG_EMIT_RANGE},
    {ROPE, 20, 4, 0, 0, 0, 0, 0, 0, NG_EMIT_OK},
    {ROPE, 20, 0, 0, 0, 0, 0, 0, 0, NG_EMIT_INNER},
    {ROPE, 20, 3, 0, 0, 0, 0, 0, 0, NG_EMIT_INNER},
    {ROPE, 0, 0, 0, 0, 0, 0, 0, 0, NG_EMIT_OK},
    {ROPE, 7, 1, 4, 4, 0, 0, 0, 0, NG_EMIT_OK},
    {ROPE, 7, 7, 4, 4, 0, 0, 0, 9 * ROW, NG_EMIT_OK},                /* a step that is not taken */
    {ROPE, 20, 4, 4 * ROW, 4 * ROW, 0, TOKEN, 0, TOKEN, NG_EMIT_OK}, /* in place in the array */
    {ROPE, 20, 4, 4, 4 + 4 * ROW, 0, TOKEN, 0, TOKEN, NG_EMIT_OK},   /* into its other half */
    {ROPE, 20, 4, 4 + 4 * ROW, 4, 0, TOKEN, 0, TOKEN, NG_EMIT_OK},   /* the same backwards */
    {ROPE, 20, 4, 4, 4 + ROW, 2 * ROW, 0, 2 * ROW, 0, NG_EMIT_OK},   /* rows in turns */
    {ROPE, 20, 4, 4, 4 * ROW, 0, TOKEN, 0, TOKEN, NG_EMIT_OVERLAP},  /* last of x, first of y */
    {ROPE, 20, 4, 4, ROW, 2 * ROW, 0, 2 * ROW, 0, NG_EMIT_OVERLAP},
    {ROPE, 20, 4, 4, 8, 0, 0, 0, 0, NG_EMIT_OVERLAP},
    {ROPE, 20, 4, 4, 4, 0, 0, 5 * ROW, ROW, NG_EMIT_OVERLAP}, /* transposed in place */
    {HEADS_ROPE, 20, 4, 0, 0, 0, TOKEN, 0, 0, NG_EMIT_OK},
    {HEADS_ROPE, 20, 0, 2, 2, 0, TOKEN, 0, TOKEN, NG_EMIT_OK},
    {GROUPS, 9, 0, 0, 0, 0, 0, 0, 0, NG_EMIT_OK},
    {GROUPS, 9, 0, 4, 4, 500, 0, 500, 0, NG_EMIT_OK},
    {GROUPS, 9, 0, 4, 4, 380, 0, 380, 0, NG_EMIT_STRIDE},
    {GROUPS, 9, 0, 4, 4, 384, 0, 388, 0, NG_EMIT_OVERLAP},
    {GROUPS, (size_t)1 << 62, 0, 0, 0, 0, 0, 0, 0, NG_EMIT_RANGE},
    {MODULATE, 21, 7, 0, 0, 0, 0, 0, 0, NG_EMIT_OK},
    {MODULATE, 21, 7, 4, 4, 400, 3200, 400, 3200, NG_EMIT_OK},
};
enum { DEEP = sizeof deep / sizeof deep[0], DEEP_SPECS = 5 };

static char arena[AREAS * AREA], before[AREAS * AREA], right[AREAS * AREA];

static normgen_args deep_args(const struct deep *c, const ng_program *p) {
    normgen_args a = NORMGEN_ARGS;
    char *base = arena;
    for (int s = 0; s < p->streams; s++) {
        char *area = arena + (s + 1) * AREA;
        if (p->stream[s].role == NG_ROLE_x) base = area;
        memcpy((char *)&a + p->stream[s].at, &area, sizeof area);
    }
    a.rows = c->rows, a.inner = c->inner;
    a.x = base + c->x_at;
    if (c->y_at) a.y = base + c->y_at;
    a.x_stride = c->x_stride, a.x_outer = c->x_outer;
    a.y_stride = c->y_stride, a.y_outer = c->y_outer;
    return a;
}

static void take(uint64_t *words, size_t to, const normgen_args *a, size_t from) {
    if (to) memcpy((char *)words + to, (const char *)a + from, 8);
}

/* The same arguments as the header's struct. */
static void bundle_args(const ng_program *p, const normgen_args *a, uint64_t words[96]) {
    words[0] = a->rows;
    take(words, ng_emit_inner_at(p), a, offsetof(normgen_args, inner));
    for (int s = 0; s < p->streams; s++) {
        take(words, ng_emit_pointer_at(p, s), a, p->stream[s].at);
        take(words, ng_emit_stride_at(p, s), a, p->stream[s].stride);
        take(words, ng_emit_outer_at(p, s), a, p->stream[s].outer);
    }
}

static void check_deep(void *library, const struct deep *c, const char *name, normgen_kernel *k) {
    typedef int (*run_fn)(const uint64_t *, size_t, size_t);
    normgen_spec spec;
    ng_program p;
    char stem[32];
    uint64_t words[96] = {0};
    snprintf(stem, sizeof stem, "t_%s_rows_", name);
    run_fn run = (run_fn)bundle_function(library, stem);
    ck_assert_int_eq(normgen_spec_parse(&spec, c->text), NORMGEN_OK);
    ck_assert_int_eq(ng_spec_resolve(&spec, &spec), NORMGEN_OK);
    ng_program_build(&p, &spec);
    normgen_args a = deep_args(c, &p);
    bundle_args(&p, &a, words);
    size_t ranges[][2] = {{0, c->rows}, {c->rows / 3, c->rows / 2 + 1}, {c->rows, c->rows}};
    for (size_t i = 0; i < (c->rows ? 3 : 1); i++) {
        memcpy(arena, before, sizeof arena);
        bool good = normgen_run_rows(k, &a, ranges[i][0], ranges[i][1]) == NORMGEN_OK;
        memcpy(right, arena, sizeof arena);
        memcpy(arena, before, sizeof arena);
        int status = run(words, ranges[i][0], ranges[i][1]);
        ck_assert_msg(status == c->status && good == (status == NG_EMIT_OK), "call %d (%s): %d, %s",
                      (int)(c - deep), c->text, status, good ? "" : normgen_error());
        ck_assert_msg(memcmp(arena, right, sizeof arena) == 0, "call %d, rows %zu to %zu: %s",
                      (int)(c - deep), ranges[i][0], ranges[i][1], c->text);
    }
}

/* The weakest level with compiled kernels; the baseline comes along where there is one. */
static const char *some_level(void) {
    const ng_cpu *cpu;
    ng_cpu_host(&cpu);
    return cpu->arch == NG_X86_64 ? "x86-64-v3" : "aarch64";
}

/* libnormgen with the bundle, against libnormgen without. */
static void serve_deep(const struct deep *c, const normgen_spec *spec, const normgen_kernel *plain,
                       const normgen_kernel *served) {
    normgen_spec own;
    ng_program p;
    ck_assert_int_eq(normgen_spec_parse(&own, c->text), NORMGEN_OK);
    ck_assert_int_eq(ng_spec_resolve(&own, &own), NORMGEN_OK);
    if (c->status != NG_EMIT_OK || !ng_spec_same(&own, spec)) return;
    ng_program_build(&p, &own);
    normgen_args a = deep_args(c, &p);
    memcpy(arena, before, sizeof arena);
    ck_assert_int_eq(normgen_run(plain, &a), NORMGEN_OK);
    memcpy(right, arena, sizeof arena);
    memcpy(arena, before, sizeof arena);
    ck_assert_int_eq(normgen_run(served, &a), NORMGEN_OK);
    ck_assert_msg(memcmp(arena, right, sizeof arena) == 0, "%s", c->text);
}

/* Every call gives the bytes, or the refusal, of normgen_run_rows. */
START_TEST(rows_on_two_levels_are_those_of_libnormgen) {
    ng_spec_list specs = {0};
    normgen_kernel *kernel[DEEP_SPECS], *served;
    char name[8];
    normgen *ng = bundle_lookup(), *other = bundle_lookup();
    for (size_t i = 0; i < sizeof before / 4; i++)
        ((float *)before)[i] = (float)(i * 7919 % 1009) / 64 - 7;
    for (int i = 0; i < DEEP; i++) {
        normgen_spec spec;
        if (i && strcmp(deep[i].text, deep[i - 1].text) == 0) continue;
        ck_assert_msg(normgen_spec_parse(&spec, deep[i].text) == NORMGEN_OK, "%s", normgen_error());
        snprintf(name, sizeof name, "s%zu", specs.count);
        ck_assert_int_eq(normgen_get(ng, &spec, &kernel[specs.count]), NORMGEN_OK);
        ck_assert_int_eq(ng_spec_list_add(&specs, name, &spec), NORMGEN_OK);
    }
    ck_assert_uint_eq(specs.count, DEEP_SPECS);
    ck_assert_msg(bundle_emit(&specs, some_level(), "t") == NORMGEN_OK, "%s", normgen_error());
    void *library = bundle_open("t");
    for (int i = 0, at = -1; i < DEEP; i++) {
        if (!i || strcmp(deep[i].text, deep[i - 1].text) != 0) at++;
        snprintf(name, sizeof name, "s%d", at);
        check_deep(library, &deep[i], name, kernel[at]);
    }
    ck_assert_int_eq(normgen_add_bundle(other, bundle_table(library, "t")), NORMGEN_OK);
    for (size_t i = 0; i < DEEP_SPECS; i++) {
        ck_assert_int_eq(normgen_get(other, &specs.items[i].spec, &served), NORMGEN_OK);
        ck_assert_msg(strncmp(normgen_kernel_describe(served, 4), "bundle vec=", 11) == 0, "%s",
                      normgen_kernel_describe(served, 4));
        for (int c = 0; c < DEEP; c++)
            serve_deep(&deep[c], &specs.items[i].spec, kernel[i], served);
    }
    ng_spec_list_fini(&specs);
    normgen_close(other);
    normgen_close(ng);
    dlclose(library);
}
END_TEST

int main(void) {
    Suite *s = suite_create("emit_levels");
    TCase *t = tcase_create("emit_levels");
    tcase_add_checked_fixture(t, bundle_setup, bundle_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, rows_on_two_levels_are_those_of_libnormgen);
    suite_add_tcase(s, t);
    return suite_main(s);
}
