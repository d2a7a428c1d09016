/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter at every ISA level: its bits against the naive norm, its accuracy against f64. */
#include "awkward.h"
#include "cover.h"
#include "cpu.h"
#include "interp_chunks.h"
#include "reference.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- exact bits ---- */

typedef struct level {
    const char *name;
    const char *isa; /* that it needs, or NULL */
    ng_interp_fn run;
} level;
static const level levels[] = {
    {"baseline", NULL, ng_interp_baseline},
    {"chunks of 8", NULL, interp_chunks_of_8},
#if defined(__x86_64__)
    {"v3", "x86-64-v3", ng_interp_v3},
    {"v4", "x86-64-v4", ng_interp_v4},
#endif
};
enum { LEVELS = sizeof levels / sizeof levels[0] };

static bool runs_here(const level *l) {
    const ng_cpu *cpu;
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    return !l->isa || ng_cpu_runs(cpu, ng_isa_find(l->isa));
}

/* All levels against the naive norm; fails with the case's text. */
static void compare_case(const test_case *c) {
    fixture f;
    char text[CASE_TEXT], why[WHY_TEXT];
    ck_assert(fixture_init(&f, c));
    naive n = {.spec = &f.c.spec, .program = &f.program};
    subject reference = subject_naive(&n);
    fixture_expect(&f, &reference);
    case_text(c, text);
    for (size_t i = 0; i < LEVELS; i++) {
        if (!runs_here(&levels[i])) continue;
        interpreted ctx = {levels[i].run, &f.program};
        subject s = subject_interp(&ctx);
        ck_assert_msg(fixture_check(&f, &s, 0, c->rows, 1, why), "interpreter %s: %s\nCASE=%s",
                      levels[i].name, why, text);
    }
    fixture_fini(&f);
}

/* CASE=… in the environment runs that one case alone. */
static bool only_case(void) {
    const char *text = getenv("CASE");
    test_case c;
    if (!text) return false;
    ck_assert_msg(case_parse(text, &c), "CASE is not the text of a case: %s", text);
    compare_case(&c);
    return true;
}

START_TEST(interpreter_equals_the_naive_norm) {
    case_list list = {0};
    if (only_case()) return;
    ck_assert(cover_pairs(11, 64, _i ? 65537 : 4096, &list, NULL));
    for (size_t i = 0; i < list.count; i += _i ? 1 : 2) {
        if (list.items[i].spec.hidden > 1000) list.items[i].rows = 13;
        if (list.items[i].spec.hidden > 10000) list.items[i].rows = 5;
        compare_case(&list.items[i]);
    }
    printf("%zu cases equal the naive norm at every level\n", list.count);
    case_list_fini(&list);
}
END_TEST

START_TEST(named_specs_equal_the_naive_norm_at_every_hidden) {
    for (size_t which = 0; cover_named[which]; which++)
        for (size_t h = 0; cover_hidden[h]; h++) {
            test_case c = cover_named_case(which, cover_hidden[h], 7, 100 * which + h);
            compare_case(&c);
        }
}
END_TEST

static test_case parsed(const char *format, int64_t hidden, int lanes) {
    char text[CASE_TEXT];
    test_case c;
    snprintf(text, sizeof text, format, (long long)hidden, lanes);
    ck_assert_msg(case_parse(text, &c), "%s", text);
    return c;
}

START_TEST(sums_follow_rule_3_for_all_lanes_and_segments) {
    static const int64_t hidden[] = {1,    15,   16,   17,   250,  1023, 1024,  1025,  2047,
                                     2048, 3072, 3073, 4097, 6144, 7173, 16384, 33792, 66561};
    for (size_t h = 0; h < sizeof hidden / sizeof hidden[0]; h++)
        for (int lanes = 16; lanes <= 256; lanes *= 2) {
            test_case rms = parsed("rms hidden=%lld eps=1e-05 x=f32 y=f32 weight=none lanes=%d "
                                   "rstd=yes ; rows=4 layout=packed place=odd alias=apart "
                                   "specials=no seed=3",
                                   hidden[h], lanes);
            test_case layer = parsed("layer hidden=%lld eps=1e-05 x=f64 y=f64 weight=none lanes=%d "
                                     "mean=yes rstd=yes ; rows=4 layout=packed place=odd "
                                     "alias=apart specials=no seed=4",
                                     hidden[h], lanes);
            compare_case(&rms);
            compare_case(&layer);
        }
}
END_TEST

/* So many partial sums that one pass must run twice, and the largest hidden there is. */
START_TEST(reductions_run_in_groups_when_their_sums_are_large) {
    const char *format = "layer hidden=%lld eps=1e-05 x=f32 y=bf16 weight=none compute=f64 "
                         "lanes=%d mean=yes rstd=yes ; rows=1 layout=packed place=end alias=apart "
                         "specials=no seed=5";
    test_case some = parsed(format, 300001, 256), most = parsed(format, NG_HIDDEN_MAX, 256);
    compare_case(&some);
    compare_case(&most);
}
END_TEST

START_TEST(a_nan_makes_its_whole_row_nan_and_no_other) {
    static const char *const specs[] = {
        "rms hidden=1100 eps=1e-05 x=f32 y=f32 weight=none",
        "rms hidden=1100 eps=1 x=bf16 y=f32 weight=none range=scaled",
        "layer hidden=1100 eps=1e-05 x=f16 y=f32 weight=none",
        ("layer hidden=1100 eps=1e-05 x=f32 y=f32 weight=none "
         "variance=shifted range=scaled")};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        test_case c = {.rows = 64, .seed = i};
        fixture f;
        ck_assert_int_eq(normgen_spec_parse(&c.spec, specs[i]), NORMGEN_OK);
        ck_assert(fixture_init(&f, &c));
        ng_interp_baseline(&f.program, &f.args, 0, c.rows);
        for (size_t r = 0; r < c.rows; r++) {
            const char *y = ng_row_address(&f.args, 1, r), *kind = awkward_name(r, NG_ROLE_x);
            size_t nans = 0;
            for (size_t e = 0; e < 1100; e++)
                nans += (size_t)isnan(ng_type_read(NORMGEN_F32, y, e));
            if (strcmp(kind, "one NaN") == 0) ck_assert_uint_eq(nans, 1100);
            if (strcmp(kind, "ordinary") == 0) ck_assert_uint_eq(nans, 0);
        }
        fixture_fini(&f);
    }
}
END_TEST

/* ---- accuracy ---- */

/* Kinds of rows: center + spread * (random in [-1, 1]), and a first element. */
typedef struct row_kind {
    const char *name;
    double center, spread, first; /* first 0: like the others */
} row_kind;
static const row_kind row_kinds[] = {
    {"spread 1", 0, 1, 0},
    {"mean 1e2 spread 1", 1e2, 1, 0},
    {"mean 1e3 spread 1", 1e3, 1, 0},
    {"mean 1e4 spread 1", 1e4, 1, 0},
    {"mean 1e5 spread 1", 1e5, 1, 0},
    {"mean 1e2 spread 1e-3", 1e2, 1e-3, 0},
    {"mean 1e3 spread 1e-3", 1e3, 1e-3, 0},
    {"mean 1e4 spread 1e-3", 1e4, 1e-3, 0},
    {"mean 1e5 spread 1e-3", 1e5, 1e-3, 0},
    {"constant", 3.7, 0, 0},
    {"large constant", -12345.678, 0, 0},
    {"zeros", 0, 0, 0},
    {"large first", 0, 1, 1e4},
    {"huge first", 1, 1, 1e7},
    {"tiny", 0, 1e-15, 0},
};
enum { ROW_KINDS = sizeof row_kinds / sizeof row_kinds[0] };

/* One row in every form that a comparison needs. */
typedef struct accuracy {
    normgen_spec spec;
    size_t n;
    double *x, *w, *b, *want, *got; /* as doubles; w and b NULL without */
    void *bytes[NG_ROLE_COUNT];     /* in the spec's types, per role */
    exact_stats stats;
} accuracy;

static double *doubles(size_t n) {
    double *d = malloc(n * sizeof *d);
    ck_assert_ptr_nonnull(d);
    return d;
}

static void accuracy_init(accuracy *a, const char *text) {
    *a = (accuracy){0};
    ck_assert_msg(normgen_spec_parse(&a->spec, text) == NORMGEN_OK, "%s: %s", text,
                  normgen_error());
    a->n = (size_t)a->spec.hidden;
    a->x = doubles(a->n);
    a->want = doubles(a->n);
    a->got = doubles(a->n);
    if (a->spec.weight != NORMGEN_NONE) a->w = doubles(a->n);
    if (a->spec.bias != NORMGEN_NONE) a->b = doubles(a->n);
    for (int role = 0; role < NG_ROLE_COUNT; role++) a->bytes[role] = doubles(a->n);
}

static void accuracy_fini(accuracy *a) {
    free(a->x);
    free(a->w);
    free(a->b);
    free(a->want);
    free(a->got);
    for (int role = 0; role < NG_ROLE_COUNT; role++) free(a->bytes[role]);
}

/* Writes values in a type and reads back what they became. */
static void settle(int type, void *bytes, double *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ng_type_write(type, bytes, i, values[i]);
        values[i] = naive_read(type, (char *)bytes + i * ng_types[type].bytes);
    }
}

static double signed_unit(uint64_t *state) {
    return (double)(int64_t)awkward_next(state) * 0x1p-63;
}

static void fill(accuracy *a, const row_kind *k, uint64_t seed) {
    for (size_t i = 0; i < a->n; i++) a->x[i] = k->center + k->spread * signed_unit(&seed);
    if (k->first != 0) a->x[0] = k->first;
    settle(a->spec.x, a->bytes[NG_ROLE_x], a->x, a->n);
    for (size_t i = 0; a->w && i < a->n; i++) a->w[i] = 1 + 0.5 * signed_unit(&seed);
    if (a->w) settle(a->spec.weight, a->bytes[NG_ROLE_weight], a->w, a->n);
    for (size_t i = 0; a->b && i < a->n; i++) a->b[i] = 0.25 * signed_unit(&seed);
    if (a->b) settle(a->spec.bias, a->bytes[NG_ROLE_bias], a->b, a->n);
}

/* Runs `run` and the f64 formula. */
static void evaluate(accuracy *a, mutation wrong) {
    ng_program p;
    normgen_bound_args args = {.rows_per_outer = 1};
    const ng_cpu *cpu;
    ng_cpu_host(&cpu);
    ng_program_build(&p, &a->spec);
    for (int s = 0; s < p.streams; s++) args.stream[s].base = a->bytes[p.stream[s].role];
    naive n = {.spec = &a->spec, .program = &p, .wrong = wrong};
    subject s = subject_naive(&n);
    if (wrong == MUTATION_none)
        cpu->interp(&p, &args, 0, 1);
    else
        s.run(s.ctx, &args, 0, 1);
    for (size_t i = 0; i < a->n; i++)
        a->got[i] =
            naive_read(a->spec.y, (char *)a->bytes[NG_ROLE_y] + i * ng_types[a->spec.y].bytes);
    a->stats = exact_row(a->spec.kind, a->spec.eps, a->n, a->x, a->w, a->b, a->want);
}

/* Distance of neighbours of v in a type. */
static double ulp(int type, double v) {
    int e = v == 0 ? -1000 : ilogb(v), least = type == NORMGEN_F16 ? -14 : -126;
    return ldexp(1, (e < least ? least : e) - ng_types[type].precision + 1);
}

static double worst_ulps(const accuracy *a) {
    double worst = 0;
    for (size_t i = 0; i < a->n; i++) {
        double d = fabs(a->got[i] - a->want[i]) / ulp(a->spec.y, a->want[i]);
        if (!(d <= worst)) worst = d; /* NaN is the worst */
    }
    return worst;
}

/* The bound of docs/numerics.md on a LayerNorm's error; returns the largest error / bound. */
static double worst_layer(const accuracy *a) {
    double n = (double)a->n, u = 0x1p-24, worst = 0;
    double c = fmin(n, 1024) / a->spec.lanes + log2(a->spec.lanes) + ceil(log2(ceil(n / 1024))) + 3;
    double kappa = a->stats.mean_abs * a->stats.rstd;
    for (size_t i = 0; i < a->n; i++) {
        double w = a->w ? fabs(a->w[i]) : 1, y = a->want[i], b = a->b ? a->b[i] : 0;
        double bound = w * kappa * u + (c / 2 + 8) * u * (fabs(y - b) + fabs(y)) + 0x1p-126;
        double d = fabs(a->got[i] - y) / bound;
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

static const int64_t accuracy_hidden[] = {1, 2, 17, 100, 768, 1024, 4096, 8192, 65536, 0};

START_TEST(rms_is_within_4_ulps) {
    double worst = 0;
    for (size_t h = 0; accuracy_hidden[h]; h++) {
        char text[NORMGEN_SPEC_TEXT];
        accuracy a;
        snprintf(text, sizeof text, "rms hidden=%lld eps=1e-12 x=f32 y=f32 weight=f32",
                 (long long)accuracy_hidden[h]);
        accuracy_init(&a, text);
        for (size_t k = 0; k < ROW_KINDS; k++) {
            fill(&a, &row_kinds[k], h * 100 + k);
            evaluate(&a, MUTATION_none);
            double d = worst_ulps(&a);
            ck_assert_msg(d <= 4, "%s, %s: %g ULP", text, row_kinds[k].name, d);
            worst = fmax(worst, d);
        }
        accuracy_fini(&a);
    }
    printf("RMSNorm: largest error %.2f ULP\n", worst);
}
END_TEST

START_TEST(layer_is_within_its_bound) {
    double worst = 0;
    for (size_t h = 0; accuracy_hidden[h]; h++)
        for (int bias = 0; bias < 2; bias++) {
            char text[NORMGEN_SPEC_TEXT];
            accuracy a;
            snprintf(text, sizeof text, "layer hidden=%lld eps=1e-12 x=f32 y=f32 weight=f32 %s",
                     (long long)accuracy_hidden[h], bias ? "bias=f32" : "");
            accuracy_init(&a, text);
            for (size_t k = 0; k < ROW_KINDS; k++) {
                fill(&a, &row_kinds[k], h * 100 + k);
                evaluate(&a, MUTATION_none);
                double d = worst_layer(&a);
                ck_assert_msg(d <= 1, "%s, %s: %g of the bound", text, row_kinds[k].name, d);
                worst = fmax(worst, d);
            }
            accuracy_fini(&a);
        }
    printf("LayerNorm: largest error %.2f of the bound\n", worst);
}
END_TEST

START_TEST(layer_without_correction_breaks_the_bound) {
    accuracy a;
    double worst = 0;
    accuracy_init(&a, "layer hidden=4096 eps=1e-12 x=f32 y=f32 weight=f32");
    for (size_t k = 0; k < ROW_KINDS; k++) {
        fill(&a, &row_kinds[k], 500 + k);
        evaluate(&a, MUTATION_uncorrected);
        worst = fmax(worst, worst_layer(&a));
    }
    ck_assert_msg(worst > 1, "the uncorrected two-pass passes with %g of the bound", worst);
    printf("LayerNorm without the correction: %.2f of the bound\n", worst);
    accuracy_fini(&a);
}
END_TEST

START_TEST(the_largest_rows_are_accurate) {
    static const char *const specs[] = {"rms hidden=16777216 eps=1e-12 x=f32 y=f32 weight=none",
                                        "layer hidden=16777216 eps=1e-12 x=f32 y=f32 weight=none"};
    static const row_kind kinds[] = {{"mean 1e2", 1e2, 1, 0}, {"huge first", 0, 1, 1e7}};
    for (size_t s = 0; s < 2; s++)
        for (size_t k = 0; k < 2; k++) {
            accuracy a;
            accuracy_init(&a, specs[s]);
            fill(&a, &kinds[k], s + 10 * k);
            evaluate(&a, MUTATION_none);
            double d = a.spec.kind == NORMGEN_RMS ? worst_ulps(&a) / 4 : worst_layer(&a);
            ck_assert_msg(d <= 1, "%s, %s: %g of the bound", specs[s], kinds[k].name, d);
            accuracy_fini(&a);
        }
}
END_TEST

START_TEST(sixteen_bit_outputs_are_within_1_ulp_and_2_for_llama) {
    static const struct {
        const char *spec;
        double center, spread, limit;
    } cases[] = {
        {"rms hidden=4096 eps=1e-06 x=bf16 y=bf16 weight=bf16", 0, 4, 1},
        {"rms hidden=4096 eps=1e-06 x=f16 y=f16 weight=f16", 0, 4, 1},
        {"rms hidden=4096 eps=1e-06 x=f16 y=f16 weight=f16", 65472, 32,
         1}, /* squares overflow f16 */
        {"rms hidden=4096 eps=1e-06 x=f32 y=f16 weight=f32", 3, 4, 1},
        {"layer hidden=768 eps=1e-12 x=bf16 y=bf16 weight=bf16 bias=bf16", 0, 1, 1},
        {"layer hidden=768 eps=1e-12 x=f16 y=f16 weight=f16", 60000, 2000, 1},
        {"rms hidden=4096 eps=1e-05 x=bf16 y=bf16 weight=bf16 rounding=llama", 0, 4, 2},
        {"rms hidden=4096 eps=1e-05 x=f16 y=f16 weight=f16 rounding=llama", 65472, 32, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        accuracy a, twin; /* the same with f32 output */
        row_kind kind = {"", cases[i].center, cases[i].spread, 0};
        accuracy_init(&a, cases[i].spec);
        accuracy_init(&twin, cases[i].spec);
        twin.spec.y = NORMGEN_F32;
        twin.spec.rounding = NORMGEN_ROUNDING_F32;
        fill(&a, &kind, i);
        fill(&twin, &kind, i);
        evaluate(&a, MUTATION_none);
        evaluate(&twin, MUTATION_none);
        for (size_t e = 0; e < a.n; e++) {
            double one = ulp(a.spec.y, a.want[e]);
            if (fabs(twin.got[e] - twin.want[e]) >= one / 2) continue;
            ck_assert_msg(fabs(a.got[e] - a.want[e]) <= cases[i].limit * one,
                          "%s: element %zu is %a, f64 says %a", cases[i].spec, e, a.got[e],
                          a.want[e]);
        }
        accuracy_fini(&a);
        accuracy_fini(&twin);
    }
}
END_TEST

START_TEST(range_scaled_survives_rows_near_1e38) {
    static const char *const specs[] = {
        "rms hidden=4096 eps=1e-05 x=f32 y=f32 weight=f32 range=scaled",
        "layer hidden=4096 eps=1e-05 x=f32 y=f32 weight=f32 range=scaled"};
    for (size_t s = 0; s < 2; s++)
        for (double size = 1e20; size < 3.5e38; size *= 7e17) {
            accuracy a;
            row_kind kind = {"", size / 8, size / 2, 0};
            accuracy_init(&a, specs[s]);
            fill(&a, &kind, s);
            evaluate(&a, MUTATION_none);
            double d = s == 0 ? worst_ulps(&a) / 4 : worst_layer(&a);
            ck_assert_msg(d <= 1, "%s, size %g: %g of the bound", specs[s], size, d);
            a.spec.range = NORMGEN_RANGE_PLAIN; /* the case is worth something: plain overflows */
            evaluate(&a, MUTATION_none);
            ck_assert(!(worst_ulps(&a) <= 1000));
            accuracy_fini(&a);
        }
}
END_TEST

/* The sizes that take seconds: only with --full. */
static Suite *suite(bool full) {
    Suite *s = suite_create("interp");
    TCase *bits = tcase_create("bits"), *bounds = tcase_create("accuracy");
    tcase_set_timeout(bits, 300);
    tcase_set_timeout(bounds, 300);
    tcase_add_loop_test(bits, interpreter_equals_the_naive_norm, full, full + 1);
    tcase_add_test(bits, named_specs_equal_the_naive_norm_at_every_hidden);
    tcase_add_test(bits, sums_follow_rule_3_for_all_lanes_and_segments);
    if (full) tcase_add_test(bits, reductions_run_in_groups_when_their_sums_are_large);
    tcase_add_test(bits, a_nan_makes_its_whole_row_nan_and_no_other);
    tcase_add_test(bounds, rms_is_within_4_ulps);
    tcase_add_test(bounds, layer_is_within_its_bound);
    tcase_add_test(bounds, layer_without_correction_breaks_the_bound);
    if (full) tcase_add_test(bounds, the_largest_rows_are_accurate);
    tcase_add_test(bounds, sixteen_bit_outputs_are_within_1_ulp_and_2_for_llama);
    tcase_add_test(bounds, range_scaled_survives_rows_near_1e38);
    suite_add_tcase(s, bits);
    suite_add_tcase(s, bounds);
    return s;
}

int main(int argc, char **argv) {
    SRunner *r = srunner_create(suite(argc > 1 && strcmp(argv[1], "--full") == 0));
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
