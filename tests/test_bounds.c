/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter against the formulas in f64, with textbook sums and libm, over all fields: what
 * the exact comparisons cannot see is an order of operations that is exact and inaccurate.
 *
 * The bound of an element: one ULP of what is stored, plus a share of the row's largest value: what
 * f32 arithmetic may lose, and two ULP of every narrower type that the formula rounds to on the
 * way, since a difference in the last bit of f32 can tip a rounding. Only ordinary rows count. */
#include "awkward.h"
#include "cover.h"
#include "cpu.h"
#include "reference.h"
#include "types.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double precision_loss(int type) {
    return ng_types[type].block == 1 && ng_types[type].exponent
               ? ldexp(4, -ng_types[type].precision)
               : 0;
}

/* Share of a row's largest value that may be lost. */
static double share_of(const normgen_spec *s) {
    double share = 0x1p-16;
    if (s->rounding != NORMGEN_ROUNDING_F32 || s->post_weight != NORMGEN_NONE)
        share += precision_loss(s->x);
    if (s->sum != NORMGEN_NONE && s->stat_of != NORMGEN_STAT_EXACT) share += precision_loss(s->sum);
    if (s->rounding == NORMGEN_ROUNDING_GATED) share += precision_loss(s->weight);
    if (s->rope || s->after != NORMGEN_NONE) share += precision_loss(s->y);
    if (s->variance == NORMGEN_SHIFTED) share += 0x1p-7; /* opt-in: weak for outliers */
    return share;
}

/* Distance of neighbours of v in a type. */
static double ulp(int type, double v) {
    static const int least[NG_TYPE_COUNT] = {
        [NORMGEN_F32] = -126, [NORMGEN_F64] = -1022, [NORMGEN_BF16] = -126,
        [NORMGEN_F16] = -14,  [NORMGEN_E4M3] = -6,   [NORMGEN_E5M2] = -14};
    if (ng_types[type].exponent == 0) return 1; /* integers */
    int e = v == 0 ? least[type] : ilogb(v);
    return ldexp(1, (e < least[type] ? least[type] : e) - ng_types[type].precision + 1);
}

/* One kind of entry in a row: its type, the first one's place, the distance of two, how many. */
typedef struct entries {
    int type;
    const unsigned char *got, *want;
    size_t step, count;
} entries;

static double read_entry(const entries *e, const unsigned char *row, size_t i) {
    return naive_read(e->type, row + i * e->step);
}

/* The largest error / bound of a row; infinite where only one side is finite. */
static double worst_of(const entries *e, double share) {
    double most = 0, worst = 0;
    for (size_t i = 0; i < e->count; i++) most = fmax(most, fabs(read_entry(e, e->want, i)));
    for (size_t i = 0; i < e->count; i++) {
        double got = read_entry(e, e->got, i), want = read_entry(e, e->want, i);
        if (isnan(want) && isnan(got)) continue;
        if (got == want) continue;
        double d = fabs(got - want) / (1.01 * ulp(e->type, want) + share * most);
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

static double worst_row(const operand *o, size_t row, double share) {
    ng_field_run runs[NG_MAX_RUNS];
    size_t at = o->offset + row / o->group * (size_t)o->outer + row % o->group * (size_t)o->inner;
    size_t block = ng_types[o->type].block_bytes;
    double worst = 0;
    for (int n = ng_type_runs(o->type, runs), i = 0; i < n; i++) {
        size_t bytes = ng_types[runs[i].type].bytes;
        if (runs[i].count == 1) {
            entries e = {runs[i].type, o->live.bytes + at + runs[i].at,
                         o->expected + at + runs[i].at, block, o->row_bytes / block};
            bool sum = runs[i].at > 0; /* of codes of both signs, each may be one off */
            worst = fmax(worst, worst_of(&e, share + (sum ? 0x1p-6 : 0)));
        } else {
            for (size_t b = 0; b < o->row_bytes; b += block) {
                entries e = {runs[i].type, o->live.bytes + at + b + runs[i].at,
                             o->expected + at + b + runs[i].at, bytes, runs[i].count};
                worst = fmax(worst, worst_of(&e, share));
            }
        }
    }
    return worst;
}

static bool is_ordinary(const fixture *f, size_t row) {
    return row % 3 == 0 && strcmp(awkward_name(row, NG_ROLE_x), "ordinary") == 0 && f->c.rows > row;
}

/* The mean of a row may be next to nothing. */
static bool is_mean(const fixture *f, int which) {
    for (int s = 0; s < f->program.streams; s++)
        if (f->of[s] == which && f->program.stream[s].role == NG_ROLE_mean) return true;
    return false;
}

static double worst_case(const test_case *c) {
    fixture f;
    const ng_cpu *cpu;
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    ck_assert(fixture_init(&f, c));
    naive n = {.spec = &f.c.spec, .program = &f.program, .plain = true};
    subject plain = subject_naive(&n);
    fixture_expect(&f, &plain);
    fixture_restore(&f);
    cpu->interp(&f.program, &f.args, 0, c->rows);
    double worst = 0, share = share_of(&c->spec);
    for (int i = 0; i < f.operands; i++)
        for (size_t r = 0; r < c->rows && f.operand[i].out && !is_mean(&f, i); r++)
            if (is_ordinary(&f, r)) worst = fmax(worst, worst_row(&f.operand[i], r, share));
    fixture_fini(&f);
    return worst;
}

static bool only_case(void) {
    const char *text = getenv("CASE");
    test_case c;
    if (!text) return false;
    ck_assert_msg(case_parse(text, &c), "CASE is not the text of a case: %s", text);
    ck_assert_msg(worst_case(&c) <= 1, "%g of the bound", worst_case(&c));
    return true;
}

START_TEST(the_interpreter_is_within_bounds_of_f64) {
    case_list list = {0};
    double worst = 0;
    size_t compared = 0, step = _i ? 1 : 4, failed = 0;
    if (only_case()) return;
    ck_assert(cover_pairs(31, 64, 4096, &list, NULL));
    for (size_t i = 0; i < list.count; i += step) {
        test_case *c = &list.items[i];
        if (c->specials || c->spec.hidden < 15) continue; /* few elements: nothing is ordinary */
        if (c->spec.hidden > 1000) c->rows = 13;
        double d = worst_case(c);
        char text[CASE_TEXT];
        case_text(c, text);
        if (!(d <= 1)) printf("%g of the bound: CASE=%s\n", d, text), failed++;
        worst = fmax(worst, d);
        compared++;
    }
    printf("%zu cases within bounds, largest error %.2f of the bound\n", compared, worst);
    ck_assert_uint_eq(failed, 0);
    ck_assert_uint_gt(compared, _i ? 500 : 100);
    case_list_fini(&list);
}
END_TEST

int main(int argc, char **argv) {
    int full = argc > 1 && strcmp(argv[1], "--full") == 0;
    Suite *s = suite_create("bounds");
    TCase *t = tcase_create("bounds");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, the_interpreter_is_within_bounds_of_f64, full, full + 1);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
