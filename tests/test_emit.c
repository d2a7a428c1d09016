/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles from the inside: every entry of every level that runs here gives the interpreter's bytes,
 * the functions check their arguments, libnormgen serves from them, and a folder changes whole or
 * not at all. What C and C++ compilers, linkers and emulators say is the business of emit.sh. */
#include "bundlebox.h"
#include "fixture.h"
#include "sha256.h"
#include "suite.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- emitting ---- */

static const char *const texts[] = {
    "rms hidden=200 eps=1e-05 x=f32",
    "layer hidden=100 eps=1e-12 x=bf16 weight=f32 bias=f32 mean=yes rstd=yes",
    "rms hidden=1100 eps=1e-05 x=f16 residual=f16 sum=f16",
    "layer hidden=64 eps=1e-06 x=f64 y=f32",
    "layer hidden=2100 eps=1e-05 x=f32 y=bf16 bias=f32 range=scaled",
};
enum { TEXTS = sizeof texts / sizeof texts[0], F64 = 3 };

static ng_spec_list specs_of(const char *const *list, size_t n) {
    ng_spec_list specs = {0};
    for (size_t i = 0; i < n; i++) {
        normgen_spec spec;
        ck_assert_msg(normgen_spec_parse(&spec, list[i]) == NORMGEN_OK, "%s", normgen_error());
        ck_assert_int_eq(ng_spec_list_add(&specs, "", &spec), NORMGEN_OK);
    }
    return specs;
}

static const char *all_levels(void) {
    static char names[256];
    const ng_cpu *cpu;
    size_t at = 0;
    ng_cpu_host(&cpu);
    for (size_t i = 0; i < ng_isa_count; i++)
        if (ng_isas[i].arch == cpu->arch && ng_isas[i].max_vec)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? "," : "",
                                   ng_isas[i].name);
    return names;
}

/* The library of the first n texts. */
static void *emit_first(size_t n) {
    ng_spec_list specs = specs_of(texts, n);
    ck_assert_msg(bundle_emit(&specs, all_levels(), "t") == NORMGEN_OK, "%s", normgen_error());
    ng_spec_list_fini(&specs);
    return bundle_open("t");
}

/* ---- bits ---- */

static void compare(const normgen_bundle_spec *s, normgen_fn fn, const char *what) {
    test_case c = {.rows = 24, .layout = LAYOUT_mixed, .place = PLACE_aligned, .seed = 5};
    fixture f;
    char why[WHY_TEXT];
    ck_assert_int_eq(normgen_spec_parse(&c.spec, s->spec), NORMGEN_OK);
    ck_assert(fixture_init(&f, &c));
    interpreted ctx = {ng_interp_baseline, &f.program};
    subject reference = subject_interp(&ctx), kernel = subject_kernel(&fn);
    fixture_expect(&f, &reference);
    ck_assert_msg(fixture_check(&f, &kernel, 0, c.rows, 1, why), "%s: %s: %s", s->spec, what, why);
    fixture_fini(&f);
}

START_TEST(every_entry_gives_the_interpreters_bytes) {
    const ng_cpu *cpu;
    int compared = 0;
    ng_cpu_host(&cpu);
    void *library = emit_first(TEXTS);
    const normgen_bundle *b = bundle_table(library, "t");
    ck_assert_uint_eq(b->specs, TEXTS);
    for (size_t s = 0; s < b->specs; s++)
        for (size_t level = 0; level < b->levels; level++) {
            if (!ng_cpu_runs(cpu, ng_isa_find(b->level[level]))) continue;
            for (size_t r = 0; r < b->regimes; r++) {
                const normgen_bundle_entry *e = &b->spec[s].entries[level * b->regimes + r];
                if (!e->any) continue;
                compare(&b->spec[s], e->any, e->schedule);
                compare(&b->spec[s], e->cached, "cached");
                compared += 2;
            }
        }
    ck_assert_int_ge(compared, TEXTS * NG_REGIME_COUNT * 2);
    dlclose(library);
}
END_TEST

START_TEST(the_table_says_what_it_has) {
    void *library = emit_first(TEXTS);
    const normgen_bundle *b = bundle_table(library, "t");
    ck_assert_uint_eq(b->struct_size, sizeof *b);
    ck_assert_uint_eq(b->abi, NORMGEN_BUNDLE_ABI);
    ck_assert_uint_eq(b->numerics, NORMGEN_NUMERICS);
    ck_assert_str_eq(b->toolchain, ng_toolchain);
    ck_assert_str_eq(b->prefix, "t");
    ck_assert_str_eq(b->spec[0].streams, "x weight y");
    ck_assert_str_eq(b->spec[0].name, "rms_200_f32");
    if (strcmp(b->level[0], "x86-64") == 0) { /* the one level that f64 has not */
        ck_assert_ptr_null(b->spec[F64].entries[0].any);
        ck_assert_ptr_nonnull(b->spec[F64].entries[b->regimes].any);
        ck_assert_ptr_nonnull(b->spec[0].entries[0].any);
    }
    dlclose(library);
}
END_TEST

/* ---- the functions ---- */

enum { HIDDEN = 200, ROWS = 6 };

/* What the header declares for texts[0]. */
typedef struct rms_args {
    size_t rows;
    const float *x, *weight;
    float *y;
    ptrdiff_t x_stride, y_stride;
} rms_args;
typedef int (*rms_fn)(const rms_args *);
typedef int (*rms_rows_fn)(const rms_args *, size_t, size_t);

static float x[ROWS * HIDDEN + HIDDEN], y[ROWS * HIDDEN + HIDDEN], w[HIDDEN], want[ROWS * HIDDEN];

static rms_args good_args(void) {
    for (int i = 0; i < ROWS * HIDDEN; i++) x[i] = (float)(i * 7919 % 1009) / 64 - 7;
    for (int i = 0; i < HIDDEN; i++) w[i] = (float)(i % 5) - 1;
    memset(y, 0x55, sizeof y);
    return (rms_args){.rows = ROWS, .x = x, .weight = w, .y = y};
}

static void expect_rows(void) {
    normgen_spec spec;
    ng_program p;
    ck_assert_int_eq(normgen_spec_parse(&spec, texts[0]), NORMGEN_OK);
    ng_program_build(&p, &spec);
    normgen_bound_args bound = {.rows_per_outer = SIZE_MAX,
                                .stream = {{x, 4 * HIDDEN, 0}, {w, 0, 0}, {want, 4 * HIDDEN, 0}}};
    ng_interp_baseline(&p, &bound, 0, ROWS);
}

START_TEST(functions_compute_what_they_are_asked_for) {
    void *library = emit_first(1);
    rms_fn run = (rms_fn)bundle_function(library, "t_rms_200_f32_");
    rms_rows_fn run_rows = (rms_rows_fn)bundle_function(library, "t_rms_200_f32_rows_");
    rms_args a = good_args();
    expect_rows();
    ck_assert_int_eq(run(&a), NG_EMIT_OK);
    ck_assert_mem_eq(y, want, sizeof want);
    a = good_args();
    ck_assert_int_eq(run_rows(&a, 2, 4), NG_EMIT_OK);
    ck_assert_mem_eq(y + 2 * HIDDEN, want + 2 * HIDDEN, 2 * 4 * HIDDEN);
    ck_assert_int_eq(((unsigned char *)y)[2 * 4 * HIDDEN - 1], 0x55);
    ck_assert_int_eq(((unsigned char *)y)[4 * 4 * HIDDEN], 0x55);
    a.y = x; /* in place */
    ck_assert_int_eq(run(&a), NG_EMIT_OK);
    ck_assert_mem_eq(x, want, sizeof want);
    a = good_args();
    a.x_stride = a.y_stride = 2 * 4 * HIDDEN; /* rows of x and y in turns */
    a.rows = ROWS / 2;
    a.y = x + HIDDEN;
    ck_assert_int_eq(run(&a), NG_EMIT_OK);
    ck_assert_mem_eq(x + HIDDEN, want, 4 * HIDDEN);
    dlclose(library);
}
END_TEST

START_TEST(functions_refuse_what_the_header_forbids) {
    static const struct {
        int status;
        size_t rows, first, last;
        const float *x, *weight;
        float *y;
        ptrdiff_t x_stride, y_stride;
    } calls[] = {
        {NG_EMIT_NULL, ROWS, 0, ROWS, NULL, w, y, 0, 0},
        {NG_EMIT_NULL, ROWS, 0, ROWS, x, NULL, y, 0, 0},
        {NG_EMIT_NULL, ROWS, 0, ROWS, x, w, NULL, 0, 0},
        {NG_EMIT_ALIGNMENT, ROWS, 0, ROWS, (float *)((char *)x + 2), w, y, 0, 0},
        {NG_EMIT_ALIGNMENT, ROWS, 0, ROWS, x, w, y, 4 * HIDDEN + 2, 0},
        {NG_EMIT_STRIDE, ROWS, 0, ROWS, x, w, y, 4 * HIDDEN - 4, 0},
        {NG_EMIT_STRIDE, ROWS, 0, ROWS, x, w, y, 0, -4 * HIDDEN},
        {NG_EMIT_RANGE, ROWS, 3, 2, x, w, y, 0, 0},
        {NG_EMIT_RANGE, ROWS, 0, ROWS + 1, x, w, y, 0, 0},
        {NG_EMIT_RANGE, SIZE_MAX / 8, 0, 1, x, w, y, 0, 0},
        {NG_EMIT_OVERLAP, ROWS, 0, ROWS, x, w, x + 1, 0, 0},
        {NG_EMIT_OVERLAP, ROWS, 0, ROWS, x, w, w, 0, 0},
        {NG_EMIT_OVERLAP, 2, 0, 2, x, w, x + HIDDEN - 1, 8 * HIDDEN, 8 * HIDDEN},
        {NG_EMIT_OVERLAP, 2, 0, 2, x, w, x + HIDDEN - 1, 8 * HIDDEN, 12 * HIDDEN},
        {NG_EMIT_OVERLAP, 3, 0, 3, x, w, x + HIDDEN, 8 * HIDDEN, 4 * HIDDEN},
        {NG_EMIT_OK, 2, 0, 2, x, w, x + HIDDEN, 8 * HIDDEN, 12 * HIDDEN},
        {NG_EMIT_OK, 0, 0, 0, NULL, NULL, NULL, 0, 0},
        {NG_EMIT_OK, ROWS, 2, 2, x, w, y, 0, 0},
    };
    void *library = emit_first(1);
    rms_fn run = (rms_fn)bundle_function(library, "t_rms_200_f32_");
    rms_rows_fn run_rows = (rms_rows_fn)bundle_function(library, "t_rms_200_f32_rows_");
    ck_assert_int_eq(run(NULL), NG_EMIT_NULL);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        good_args();
        rms_args a = {calls[i].rows, calls[i].x,        calls[i].weight,
                      calls[i].y,    calls[i].x_stride, calls[i].y_stride};
        int status = run_rows(&a, calls[i].first, calls[i].last);
        ck_assert_msg(status == calls[i].status, "call %zu: %d, not %d", i, status,
                      calls[i].status);
        if (status != NG_EMIT_OK) ck_assert_int_eq(((unsigned char *)y)[0], 0x55);
    }
    dlclose(library);
}
END_TEST

#if defined(__x86_64__)
#include <xmmintrin.h>
START_TEST(a_hosts_rounding_mode_does_not_matter) {
    void *library = emit_first(1);
    rms_fn run = (rms_fn)bundle_function(library, "t_rms_200_f32_");
    rms_args a = good_args();
    expect_rows();
    unsigned saved = _mm_getcsr();
    _mm_setcsr(0x1f80 | 0x8000 | 0x0040 | 0x6000); /* flush, denormals are zero, towards zero */
    int status = run(&a);
    unsigned after = _mm_getcsr();
    _mm_setcsr(saved);
    ck_assert_int_eq(status, NG_EMIT_OK);
    ck_assert_uint_eq(after & 0xffc0, 0x1f80 | 0x8000 | 0x0040 | 0x6000);
    ck_assert_mem_eq(y, want, sizeof want);
    dlclose(library);
}
END_TEST
#endif

/* ---- in libnormgen ---- */

START_TEST(libnormgen_serves_from_a_bundle_first) {
    void *library = emit_first(1);
    char path[256];
    normgen *ng = bundle_lookup();
    normgen_spec spec;
    normgen_kernel *k;
    normgen_counters n = NORMGEN_COUNTERS;
    snprintf(path, sizeof path, "%s/lib/x86_64/libt.so", bundle_folder);
#if defined(__x86_64__)
    ck_assert_msg(normgen_open_bundle(ng, path) == NORMGEN_OK, "%s", normgen_error());
#endif
    ck_assert_int_eq(normgen_add_bundle(ng, bundle_table(library, "t")), NORMGEN_OK);
    rms_args a = good_args();
    expect_rows();
    ck_assert_int_eq(normgen_spec_parse(&spec, texts[0]), NORMGEN_OK);
    ck_assert_int_eq(normgen_get(ng, &spec, &k), NORMGEN_OK);
    ck_assert_msg(strncmp(normgen_kernel_describe(k, 1), "bundle vec=", 11) == 0, "%s",
                  normgen_kernel_describe(k, 1));
    normgen_args args = NORMGEN_ARGS;
    args.rows = ROWS, args.x = a.x, args.y = a.y, args.weight = a.weight;
    ck_assert_int_eq(normgen_run(k, &args), NORMGEN_OK);
    ck_assert_mem_eq(y, want, sizeof want);
    spec.hidden = 201; /* not in the bundle */
    ck_assert_int_eq(normgen_get(ng, &spec, &k), NORMGEN_OK);
    ck_assert_str_eq(normgen_kernel_describe(k, 1), "interpreter");
    normgen_get_counters(ng, &n);
    ck_assert_uint_eq(n.bundled, 1);
    ck_assert_uint_eq(n.interpreted, 1);
    normgen_close(ng);
    dlclose(library);
}
END_TEST

START_TEST(bundles_of_other_versions_are_refused) {
    void *library = emit_first(1);
    normgen *ng = bundle_lookup();
    const normgen_bundle *b = bundle_table(library, "t");
    normgen_bundle other = *b;
    other.numerics++;
    ck_assert_int_eq(normgen_add_bundle(ng, &other), NORMGEN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "emit it again"));
    other = *b;
    other.abi++;
    ck_assert_int_eq(normgen_add_bundle(ng, &other), NORMGEN_E_UNSUPPORTED);
    ck_assert_int_eq(normgen_add_bundle(ng, NULL), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_open_bundle(ng, "/nowhere/libt.so"), NORMGEN_E_IO);
    ck_assert_int_eq(normgen_open_bundle(ng, "/nowhere/t"), NORMGEN_E_ARGUMENT);
    normgen_bundle_spec strange = b->spec[0]; /* another order of streams is not ours */
    strange.streams = "weight x y";
    other = *b;
    other.spec = &strange;
    other.specs = 1;
    ck_assert_int_eq(normgen_add_bundle(ng, &other), NORMGEN_OK);
    normgen_spec spec;
    normgen_kernel *k;
    ck_assert_int_eq(normgen_spec_parse(&spec, texts[0]), NORMGEN_OK);
    ck_assert_int_eq(normgen_get(ng, &spec, &k), NORMGEN_OK);
    ck_assert_str_eq(normgen_kernel_describe(k, 1), "interpreter");
    normgen_close(ng);
    dlclose(library);
}
END_TEST

/* ---- the folder ---- */

static void put_file(const char *name) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", bundle_folder, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
}

static bool has_file(const char *name) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", bundle_folder, name);
    return access(path, F_OK) == 0;
}

START_TEST(a_folder_is_replaced_as_a_whole) {
    ng_spec_list one = specs_of(texts, 1);
    ck_assert_int_eq(bundle_emit(&one, all_levels(), "first"), NORMGEN_OK);
    ck_assert(has_file("include/first.h"));
    ck_assert_int_eq(bundle_emit(&one, all_levels(), "second"), NORMGEN_OK);
    ck_assert(has_file("include/second.h") && !has_file("include/first.h"));
    put_file("include/mine.h");
    ck_assert_int_eq(bundle_emit(&one, all_levels(), "third"), NORMGEN_E_IO);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "include/mine.h"));
    ck_assert(has_file("include/second.h") && has_file("include/mine.h"));
    ng_spec_list_fini(&one);
}
END_TEST

/* ---- the tools ---- */

START_TEST(digests_are_those_of_the_standard) {
    char text[NG_SHA256_TEXT], many[200];
    ng_sha256_text("abc", 3, text);
    ck_assert_str_eq(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ng_sha256_text("", 0, text);
    ck_assert_str_eq(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    memset(many, 'a', sizeof many);
    ng_sha256_text(many, 119, text); /* the length takes a block of its own */
    ck_assert_str_eq(text, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
}
END_TEST

START_TEST(requests_that_mean_nothing_are_refused) {
    static const struct {
        const char *isas, *prefix, *regimes, *word;
    } wrong[] = {{"x86-64-v9", "t", NULL, "x86-64-v3"},
                 {"", "t", NULL, "no ISA level"},
                 {"x86-64-v3,", "t", NULL, "no ISA level"},
                 {"x86-64-v3", "1st", NULL, "C identifier"},
                 {"x86-64-v3", "", NULL, "C identifier"},
                 {"x86-64-v3", "a-b", NULL, "C identifier"},
                 {"x86-64-v3", "a_prefix_that_is_longer_than_anybody_needs", NULL, "at most"},
                 {"x86-64-v3", "t", "l1,l4", "no regime"}};
    ng_spec_list one = specs_of(texts, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ng_emit_request r = {.specs = &one,
                             .isas = wrong[i].isas,
                             .folder = bundle_folder,
                             .prefix = wrong[i].prefix,
                             .regimes = wrong[i].regimes,
                             .baseline = true};
        ck_assert_int_eq(ng_emit(&r), NORMGEN_E_ARGUMENT);
        ck_assert_msg(strstr(normgen_error(), wrong[i].word) != NULL, "%s", normgen_error());
        ck_assert(!has_file(""));
    }
    normgen_spec other = one.items[0].spec;
    other.eps *= 2;
    ng_spec_list_add(&one, "same", &one.items[0].spec);
    ng_spec_list_add(&one, "same", &other);
    ck_assert_int_eq(bundle_emit(&one, all_levels(), "t"), NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "two specs are called 'same'"));
    ng_spec_list_fini(&one);
}
END_TEST

int main(void) {
    Suite *s = suite_create("emit");
    TCase *t = tcase_create("emit");
    tcase_add_checked_fixture(t, bundle_setup, bundle_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, every_entry_gives_the_interpreters_bytes);
    tcase_add_test(t, the_table_says_what_it_has);
    tcase_add_test(t, functions_compute_what_they_are_asked_for);
    tcase_add_test(t, functions_refuse_what_the_header_forbids);
#if defined(__x86_64__)
    tcase_add_test(t, a_hosts_rounding_mode_does_not_matter);
#endif
    tcase_add_test(t, libnormgen_serves_from_a_bundle_first);
    tcase_add_test(t, bundles_of_other_versions_are_refused);
    tcase_add_test(t, a_folder_is_replaced_as_a_whole);
    tcase_add_test(t, digests_are_those_of_the_standard);
    tcase_add_test(t, requests_that_mean_nothing_are_refused);
    suite_add_tcase(s, t);
    return suite_main(s);
}
