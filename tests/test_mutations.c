/* SPDX-License-Identifier: Apache-2.0 */
/* The checker is checked: a subject that is wrong in one of the ways in which kernels go wrong must
 * be found out by every spec that can show it, and a right one must not. 16-bit outputs without
 * saved statistics hide the order of sums: bf16 ones from every case tried. */
#include "awkward.h"
#include "cover.h"
#include "reference.h"

#include <check.h>
#include <stdlib.h>

/* Cases: LAYER has weight and bias and no power of two as hidden; its f32 outputs hide nothing. */
#define REST " ; rows=64 layout=padded place=start alias=apart specials=no seed=0"
#define RMS "rms hidden=1000 eps=1e-05 x=f32 y=f32 weight=f32" REST
#define LONG "rms hidden=3071 eps=1e-05 x=bf16 y=f32 weight=f32" REST
#define BIAS "rms hidden=1000 eps=1e-05 x=f32 y=f32 weight=f32 bias=f32" REST
#define LAYER "layer hidden=1000 eps=1e-05 x=f32 y=f32 weight=f32 bias=f32" REST
#define SHIFT "layer hidden=1000 eps=1e-05 x=f16 y=f32 weight=f16 variance=shifted" REST
#define STATS "rms hidden=1000 eps=1e-05 x=bf16 y=bf16 weight=bf16 rstd=yes" REST
#define BF16 "rms hidden=1000 eps=1e-05 x=bf16 y=bf16 weight=bf16" REST
#define WIDE "layer hidden=2000 eps=1e-05 x=f64 y=f64 weight=f64 bias=f64" REST
#define SHORT "rms hidden=17 eps=1e-05 x=f32 y=f32 weight=f32" REST

static const struct {
    mutation wrong;
    const char *cases[8]; /* in which it must be seen */
} mutations[] = {
    {MUTATION_fold_width, {RMS, LONG, BIAS, LAYER, SHIFT, STATS, WIDE}},
    {MUTATION_segment, {RMS, LONG, BIAS, LAYER, SHIFT, STATS, WIDE, NULL}},
    {MUTATION_chain, {LONG, WIDE, NULL}},
    {MUTATION_reassoc, {RMS, LONG, BIAS, LAYER, SHIFT, STATS, WIDE}},
    {MUTATION_arcp, {RMS, LONG, BIAS, LAYER, SHIFT, STATS, WIDE, NULL}},
    {MUTATION_swap, {BIAS, LAYER, SHIFT, WIDE, NULL}},
    {MUTATION_tail_sum, {LAYER, SHIFT, NULL}},
    {MUTATION_tail_store, {RMS, LONG, LAYER, SHIFT, BF16, SHORT, NULL}},
    {MUTATION_uncorrected, {LAYER, SHIFT, WIDE, NULL}},
    {MUTATION_no_fma, {RMS, BIAS, LAYER, SHIFT, WIDE, NULL}},
    {MUTATION_no_flush, {BF16, STATS, NULL}},
    {MUTATION_neighbour, {RMS, LONG, BIAS, LAYER, SHIFT, STATS, BF16, WIDE}},
};
/* One case of a spec shows a wrong order with a probability of about 0.95. */
enum { SEEDS = 4 };
enum { COUNT = sizeof mutations / sizeof mutations[0] };

static void open_case(fixture *f, const char *text, uint64_t seed) {
    test_case c;
    ck_assert_msg(case_parse(text, &c), "%s", text);
    c.seed = seed;
    ck_assert(fixture_init(f, &c));
    interpreted ctx = {ng_interp_baseline, &f->program};
    subject reference = subject_interp(&ctx);
    fixture_expect(f, &reference);
}

/* Whether the checker accepts the naive norm with that mutation. */
static bool passes(const char *text, mutation wrong) {
    bool same = true;
    for (uint64_t seed = 1; seed <= SEEDS && same; seed++) {
        fixture f;
        char why[WHY_TEXT];
        open_case(&f, text, seed);
        naive n = {.spec = &f.c.spec, .program = &f.program, .wrong = wrong};
        subject s = subject_naive(&n);
        same = fixture_check(&f, &s, 0, f.c.rows, 1, why);
        fixture_fini(&f);
    }
    return same;
}

START_TEST(a_right_subject_passes) {
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < 8 && mutations[i].cases[k]; k++)
            ck_assert_msg(passes(mutations[i].cases[k], MUTATION_none), "%s",
                          mutations[i].cases[k]);
}
END_TEST

START_TEST(each_mutation_is_caught) {
    for (size_t k = 0; k < 8 && mutations[_i].cases[k]; k++)
        ck_assert_msg(!passes(mutations[_i].cases[k], mutations[_i].wrong), "%s is not seen by: %s",
                      mutation_names[mutations[_i].wrong], mutations[_i].cases[k]);
}
END_TEST

START_TEST(every_mutation_is_tried) {
    for (int m = MUTATION_none + 1; m < MUTATION_COUNT; m++) {
        size_t i = 0;
        while (i < COUNT && (int)mutations[i].wrong != m) i++;
        ck_assert_msg(i < COUNT, "%s", mutation_names[m]);
    }
}
END_TEST

/* ---- mutated row programs: the same mistakes where a lowering would make them ---- */

typedef bool (*mutate_fn)(ng_program *p); /* false: there is nothing to mutate */

static ng_op *find(ng_program *p, ng_code code) {
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == code) return &p->op[i];
    return NULL;
}
static bool swap_operands(ng_program *p, ng_code code, int i, int j) {
    ng_op *op = find(p, code);
    if (!op || op->a[i] == op->a[j]) return false;
    int16_t a = op->a[i];
    op->a[i] = op->a[j];
    op->a[j] = a;
    return true;
}
static bool half_lanes(ng_program *p) { return p->lanes /= 2, true; }
static bool double_lanes(ng_program *p) { return p->lanes *= 2, true; }
static bool swap_sub(ng_program *p) { return swap_operands(p, NG_SUB, 0, 1); }
static bool swap_div(ng_program *p) { return swap_operands(p, NG_DIV, 0, 1); }
static bool swap_fma(ng_program *p) { return swap_operands(p, NG_FMA, 1, 2); }
static bool no_negation(ng_program *p) {
    ng_op *op = find(p, NG_NEG);
    return op && (op->code = NG_SQRT, true);
}
/* The correction t = sum of deviations becomes the sum of something else. */
static bool no_correction(ng_program *p) {
    ng_op *last = NULL;
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_SUM) last = &p->op[i];
    if (!last) return false;
    last->code = NG_CONST;
    last->a[0] = -1;
    last->k = 0;
    return true;
}
static bool plain_sum(ng_program *p) {
    ng_op *op = find(p, NG_DOT);
    return op && (op->code = NG_SUM, op->a[1] = -1, true);
}
static bool no_eps(ng_program *p) {
    ng_op *op = find(p, NG_CONST);
    return op && (op->k = 0, true);
}

static const mutate_fn program_mutations[] = {half_lanes,    double_lanes, swap_sub,
                                              swap_div,      swap_fma,     no_negation,
                                              no_correction, plain_sum,    no_eps};
enum { PROGRAM_MUTATIONS = sizeof program_mutations / sizeof program_mutations[0] };

static bool program_passes(const char *text, const ng_program *wrong) {
    bool same = true;
    for (uint64_t seed = 1; seed <= SEEDS && same; seed++) {
        fixture f;
        char why[WHY_TEXT];
        open_case(&f, text, seed);
        interpreted ctx = {ng_interp_baseline, wrong};
        subject s = subject_interp(&ctx);
        same = fixture_check(&f, &s, 0, f.c.rows, 1, why);
        fixture_fini(&f);
    }
    return same;
}

START_TEST(each_mutated_program_is_caught) {
    static const char *const cases[] = {RMS, LONG, BIAS, LAYER, SHIFT, STATS, WIDE};
    size_t tried = 0;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        fixture f;
        open_case(&f, cases[k], 1);
        ng_program wrong = f.program;
        bool applies = program_mutations[_i](&wrong);
        fixture_fini(&f);
        if (!applies) continue;
        ng_program_finish(&wrong);
        ck_assert_msg(!program_passes(cases[k], &wrong), "%s", cases[k]);
        tried++;
    }
    ck_assert_uint_gt(tried, 0);
}
END_TEST

/* ---- mistakes of addressing ---- */

typedef struct clumsy {
    const ng_program *p;
    int mistake;
} clumsy;
enum { EXTRA_ROW, MISSING_ROW, WRONG_STRIDE, SLACK_BYTE, MISTAKES };

static void run_clumsy(void *ctx, const normgen_bound_args *args, size_t first, size_t last) {
    const clumsy *c = ctx;
    normgen_bound_args a = *args;
    int y = c->p->streams - 1;
    if (c->mistake == WRONG_STRIDE) a.stream[y].inner = (ptrdiff_t)(4 * c->p->hidden);
    if (c->mistake == MISSING_ROW) first++;
    ng_interp_baseline(c->p, &a, first, last + (c->mistake == EXTRA_ROW));
    if (c->mistake == SLACK_BYTE) *(ng_row_address(args, y, first) + 4 * c->p->hidden) = 0;
}

START_TEST(mistakes_of_addressing_are_caught) {
    fixture f;
    char why[WHY_TEXT];
    open_case(&f, RMS, 1);
    ck_assert_int_eq(f.program.stream[f.program.streams - 1].role, NG_ROLE_y);
    clumsy ctx = {&f.program, _i};
    subject s = {run_clumsy, &ctx};
    ck_assert(!fixture_check(&f, &s, 3, 9, 1, why));
    fixture_fini(&f);
}
END_TEST

int main(void) {
    Suite *s = suite_create("mutations");
    TCase *t = tcase_create("mutations");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_right_subject_passes);
    tcase_add_test(t, every_mutation_is_tried);
    tcase_add_loop_test(t, each_mutation_is_caught, 0, COUNT);
    tcase_add_loop_test(t, each_mutated_program_is_caught, 0, PROGRAM_MUTATIONS);
    tcase_add_loop_test(t, mistakes_of_addressing_are_caught, 0, MISTAKES);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
