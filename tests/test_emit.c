/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles from the inside: every entry of every level that runs here gives the interpreter's bytes,
 * the functions check their arguments, libnormgen serves from them, and a folder changes whole or
 * not at all. What C and C++ compilers, linkers and emulators say is the business of emit.sh. */
#include "gen.h"
#include "normgen/bundle.h"

#include "archive.h"
#include "emit.h"
#include "fixture.h"
#include "sha256.h"
#include "spec.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], place[96];

static void scratch(void) {
    snprintf(folder, sizeof folder, "/tmp/normgen-emit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(place, sizeof place, "%s/out", folder);
}

static void remove_scratch(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

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

static normgen_status emit(ng_spec_list *specs, const char *isas, const char *prefix) {
    ng_emit_request r = {.specs = specs,
                         .isas = isas,
                         .folder = place,
                         .prefix = prefix,
                         .shared = true,
                         .baseline = true};
    return ng_emit(&r);
}

static void *open_library(const char *prefix) {
    const ng_cpu *cpu;
    char path[256];
    ng_cpu_host(&cpu);
    snprintf(path, sizeof path, "%s/lib/%s/lib%s.so", place,
             cpu->arch == NG_X86_64 ? "x86_64" : "aarch64", prefix);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    return library;
}

static const normgen_bundle *table_of(void *library, const char *prefix) {
    const normgen_bundle *(*getter)(void);
    char name[64];
    snprintf(name, sizeof name, "%s_bundle", prefix);
    *(void **)&getter = dlsym(library, name);
    ck_assert_msg(getter != NULL, "%s", name);
    return getter();
}

/* The library of the first n texts. */
static void *emit_first(size_t n) {
    ng_spec_list specs = specs_of(texts, n);
    ck_assert_msg(emit(&specs, all_levels(), "t") == NORMGEN_OK, "%s", normgen_error());
    ng_spec_list_fini(&specs);
    return open_library("t");
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
    const normgen_bundle *b = table_of(library, "t");
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
    const normgen_bundle *b = table_of(library, "t");
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

/* The symbol of a function of the bundle: the header has it. */
static void *function(void *library, const char *stem) {
    char path[160], line[512], *name = NULL;
    snprintf(path, sizeof path, "%s/include/t.h", place);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (!name && fgets(line, sizeof line, f)) {
        char *at = strncmp(line, "int ", 4) == 0 ? line + 4 : NULL;
        if (at && strncmp(at, stem, strlen(stem)) == 0 &&
            strspn(at + strlen(stem), "0123456789abcdef") == NG_DIGEST_DIGITS)
            name = at;
    }
    fclose(f);
    ck_assert_msg(name != NULL, "%s", stem);
    name[strlen(stem) + NG_DIGEST_DIGITS] = 0;
    void *fn = dlsym(library, name);
    ck_assert_msg(fn != NULL, "%s", name);
    return fn;
}

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
    rms_fn run = (rms_fn)function(library, "t_rms_200_f32_");
    rms_rows_fn run_rows = (rms_rows_fn)function(library, "t_rms_200_f32_rows_");
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
    rms_fn run = (rms_fn)function(library, "t_rms_200_f32_");
    rms_rows_fn run_rows = (rms_rows_fn)function(library, "t_rms_200_f32_rows_");
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
    rms_fn run = (rms_fn)function(library, "t_rms_200_f32_");
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

static normgen *open_lookup(void) {
    normgen_options o = normgen_options_default();
    normgen *ng;
    o.mode = NORMGEN_MODE_LOOKUP;
    o.store = "";
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
    return ng;
}

START_TEST(libnormgen_serves_from_a_bundle_first) {
    void *library = emit_first(1);
    char path[256];
    normgen *ng = open_lookup();
    normgen_spec spec;
    normgen_kernel *k;
    normgen_counters n = NORMGEN_COUNTERS;
    snprintf(path, sizeof path, "%s/lib/x86_64/libt.so", place);
#if defined(__x86_64__)
    ck_assert_msg(normgen_open_bundle(ng, path) == NORMGEN_OK, "%s", normgen_error());
#endif
    ck_assert_int_eq(normgen_add_bundle(ng, table_of(library, "t")), NORMGEN_OK);
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
    normgen *ng = open_lookup();
    const normgen_bundle *b = table_of(library, "t");
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

/* ---- rows on two levels ---- */

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
    run_fn run = (run_fn)function(library, stem);
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
    normgen *ng = open_lookup(), *other = open_lookup();
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
    ck_assert_msg(emit(&specs, some_level(), "t") == NORMGEN_OK, "%s", normgen_error());
    void *library = open_library("t");
    for (int i = 0, at = -1; i < DEEP; i++) {
        if (!i || strcmp(deep[i].text, deep[i - 1].text) != 0) at++;
        snprintf(name, sizeof name, "s%d", at);
        check_deep(library, &deep[i], name, kernel[at]);
    }
    ck_assert_int_eq(normgen_add_bundle(other, table_of(library, "t")), NORMGEN_OK);
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

/* ---- the folder ---- */

static void put_file(const char *name) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", place, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
}

static bool has_file(const char *name) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", place, name);
    return access(path, F_OK) == 0;
}

START_TEST(a_folder_is_replaced_as_a_whole) {
    ng_spec_list one = specs_of(texts, 1);
    ck_assert_int_eq(emit(&one, all_levels(), "first"), NORMGEN_OK);
    ck_assert(has_file("include/first.h"));
    ck_assert_int_eq(emit(&one, all_levels(), "second"), NORMGEN_OK);
    ck_assert(has_file("include/second.h") && !has_file("include/first.h"));
    put_file("include/mine.h");
    ck_assert_int_eq(emit(&one, all_levels(), "third"), NORMGEN_E_IO);
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
                             .folder = place,
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
    ck_assert_int_eq(emit(&one, all_levels(), "t"), NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "two specs are called 'same'"));
    ng_spec_list_fini(&one);
}
END_TEST

int main(void) {
    Suite *s = suite_create("emit");
    TCase *t = tcase_create("emit");
    tcase_add_checked_fixture(t, scratch, remove_scratch);
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
    tcase_add_test(t, rows_on_two_levels_are_those_of_libnormgen);
    tcase_add_test(t, a_folder_is_replaced_as_a_whole);
    tcase_add_test(t, digests_are_those_of_the_standard);
    tcase_add_test(t, requests_that_mean_nothing_are_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
