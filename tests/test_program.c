/* SPDX-License-Identifier: Apache-2.0 */
/* Row programs: levels, passes, crossing values and interpreter buffers, of every shape of spec;
 * and the covering design that other tests draw their specs from. */
#include "cover.h"

#include <check.h>
#include <stdlib.h>

/* Millions of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

static ng_program build(const char *text) {
    normgen_spec spec;
    ng_program p;
    REQUIRE(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s: %s", text, normgen_error());
    ng_program_build(&p, &spec);
    return p;
}

/* ---- every shape of spec ---- */

typedef void (*check_fn)(const ng_program *p, const char *text);

static void visit(normgen_spec raw, check_fn check, size_t *count) {
    normgen_spec spec;
    ng_program p;
    char text[NORMGEN_SPEC_TEXT];
    if (ng_spec_resolve(&raw, &spec) != NORMGEN_OK) return; /* a field that does not apply */
    ng_program_build(&p, &spec);
    ng_spec_text(&spec, text);
    check(&p, text);
    ++*count;
}

/* Digit of a mixed-radix number, which loses it. */
static int digit(long *n, int radix) {
    int d = (int)(*n % radix);
    *n /= radix;
    return d;
}

static void for_all_shapes(check_fn check) {
    static const int some[] = {NORMGEN_NONE, NORMGEN_F32, NORMGEN_BF16, NORMGEN_F64};
    size_t count = 0;
    long n;
    for (long at = 0; at < 2L * 2 * 4 * 4 * 2 * 2 * 2 * 2 * 3 * 2 * 2 * 3 * 2 * 2; at++) {
        normgen_spec s = {.struct_size = sizeof s, .hidden = 100, .eps = 1e-5};
        n = at;
        s.kind = digit(&n, 2) ? NORMGEN_LAYER : NORMGEN_RMS;
        s.x = digit(&n, 2) ? NORMGEN_F32 : NORMGEN_BF16;
        s.residual = some[digit(&n, 4)];
        s.sum = some[digit(&n, 4)];
        s.weight = some[digit(&n, 2)];
        s.bias = some[digit(&n, 2)];
        s.offset = digit(&n, 2);
        s.rounding = digit(&n, 2);
        s.stat_of = digit(&n, 3);
        s.variance = digit(&n, 2);
        s.range = digit(&n, 2);
        s.compute = (int[]){NORMGEN_DEFAULT, NORMGEN_F32, NORMGEN_F64}[digit(&n, 3)];
        s.mean = digit(&n, 2);
        s.rstd = digit(&n, 2);
        visit(s, check, &count);
    }
    ck_assert_uint_gt(count, 5000);
}

/* ---- order and levels ---- */

static void check_order(const ng_program *p, const char *text) {
    ck_assert_int_le(p->keeps, NG_MAX_KEEP);
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        int level = 0;
        for (int j = 0; j < 4; j++) {
            int a = op->a[j];
            bool used = j < ng_op_operands(op);
            REQUIRE(used ? a >= 0 && a < i : true, "%s: operand of op %d", text, i);
            if (used && p->op[a].level > level) level = p->op[a].level;
        }
        level += ng_op_reduces(op);
        REQUIRE(op->level == level && level < p->passes, "%s: level of op %d", text, i);
        if (op->code == NG_STORE)
            REQUIRE(i == p->ops - 1 || p->op[i + 1].code == NG_STORE, "%s: stores last", text);
        if (op->code == NG_SUM || op->code == NG_DOT)
            REQUIRE(!p->op[op->a[0]].scalar, "%s: op %d sums a scalar", text, i);
    }
}

START_TEST(operations_follow_their_operands_and_stores_stand_last) { for_all_shapes(check_order); }
END_TEST

START_TEST(passes_follow_from_the_formulas) {
    static const struct {
        const char *spec;
        int passes;
    } cases[] = {
        {"rms hidden=9 eps=0", 2},
        {"rms hidden=9 eps=0 range=scaled", 3},
        {"rms hidden=9 eps=0 residual=f32 sum=f32 rounding=llama", 2},
        {"layer hidden=9 eps=0", 3},
        {"layer hidden=9 eps=0 variance=shifted", 2},
        {"layer hidden=9 eps=0 range=scaled", 4},
        {"layer hidden=9 eps=0 variance=shifted range=scaled", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ng_program p = build(cases[i].spec);
        REQUIRE(p.passes == cases[i].passes, "%s: %d passes", cases[i].spec, p.passes);
    }
}
END_TEST

/* ---- crossing values ---- */

/* Codes of the crossing values, as in "LOAD SUB". */
static void crossing(const ng_program *p, char *text) {
    text[0] = 0;
    for (int j = 0; j < p->keeps; j++) {
        if (j) strcat(text, " ");
        strcat(text, ng_op_name(p->op[p->keep[j]].code));
    }
}

START_TEST(values_cross_where_a_later_pass_uses_them) {
    static const char *const cases[][2] = {
        {"rms hidden=9 eps=0", "LOAD"},
        {"rms hidden=9 eps=0 residual=f32", "ADD"},
        {"rms hidden=9 eps=0 x=bf16 residual=bf16 sum=bf16", "ROUND"},
        {"rms hidden=9 eps=0 x=bf16 residual=bf16 sum=bf16 stat_of=exact", "ADD"},
        {"rms hidden=9 eps=0 x=bf16 residual=bf16 sum=bf16 stat_of=stat_exact", "ADD"},
        {"rms hidden=9 eps=0 range=scaled", "LOAD MUL"},
        {"layer hidden=9 eps=0", "LOAD SUB"},
        {"layer hidden=9 eps=0 variance=shifted", "SUB"},
        {"layer hidden=9 eps=0 residual=f16", "ADD SUB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ng_program p = build(cases[i][0]);
        char got[256];
        crossing(&p, got);
        REQUIRE(strcmp(got, cases[i][1]) == 0, "%s: %s cross, not %s", cases[i][0], got,
                cases[i][1]);
    }
}
END_TEST

/* A kept value is computed in its first pass only, everything a pass reads is computed in it or
 * kept, and nothing changes in the last pass but what keeping saves. */
static void check_demand(const ng_program *p, const char *text) {
    uint8_t keep[NG_MAX_KEEP];
    uint16_t passes[NG_MAX_OPS];
    bool kept[NG_MAX_OPS] = {false};
    memset(keep, NG_SCRATCH, sizeof keep);
    ng_program_demand(p, keep, passes);
    for (int j = 0; j < p->keeps; j++) {
        int v = p->keep[j];
        kept[v] = true;
        REQUIRE(passes[v] && !(passes[v] & (passes[v] - 1)), "%s: op %d", text, v);
        REQUIRE(passes[v] == 1u << ng_op_first_pass(&p->op[v]), "%s: op %d", text, v);
    }
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        uint16_t use = op->scalar ? 0 : passes[i];
        if (op->code == NG_STORE && !op->scalar) use = (uint16_t)(1u << (p->passes - 1));
        if (ng_op_reduces(op)) use = (uint16_t)(1u << (op->level - 1));
        for (int j = 0; j < ng_op_operands(op); j++) {
            int a = op->a[j];
            if (p->op[a].scalar) continue;
            bool there = kept[a] ? (passes[a] & -passes[a]) <= (use & -use) : !(use & ~passes[a]);
            REQUIRE(there, "%s: op %d lacks op %d", text, i, a);
        }
        if (!op->scalar && op->code != NG_STORE)
            REQUIRE(!(passes[i] & ~op->passes), "%s: op %d in a new pass", text, i);
    }
}

START_TEST(kept_values_are_computed_once) { for_all_shapes(check_demand); }
END_TEST

START_TEST(only_values_that_fit_are_reloaded) {
    static const struct {
        const char *spec;
        int stream_role; /* -1: cannot be reloaded */
    } cases[] = {
        {"rms hidden=9 eps=0 x=bf16 residual=bf16 sum=bf16", NG_ROLE_sum},
        {"rms hidden=9 eps=0 x=bf16 residual=bf16 sum=f32", NG_ROLE_sum},
        {"rms hidden=9 eps=0 x=bf16 residual=bf16 sum=bf16 stat_of=exact", -1},
        {"rms hidden=9 eps=0 x=f32 residual=f32 sum=f32 compute=f64", NG_ROLE_sum},
        {"rms hidden=9 eps=0 x=f32 residual=f32 sum=f32 stat_of=exact compute=f64", -1},
        {"rms hidden=9 eps=0", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ng_program p = build(cases[i].spec);
        int store = ng_program_reload_store(&p, 0);
        int role = store < 0 ? -1 : p.stream[p.op[store].stream].role;
        REQUIRE(role == cases[i].stream_role, "%s: %d", cases[i].spec, role);
    }
}
END_TEST

/* ---- the interpreter's buffers ---- */

/* Walks each pass as the interpreter does and checks that each operand is still in its buffer:
 * reductions and stores read theirs when all values of the pass have been computed. */
static void check_slots(const ng_program *p, const char *text) {
    ck_assert_int_le(p->slots, NG_MAX_SLOTS);
    for (int pass = 0; pass < p->passes; pass++) {
        int owner[NG_MAX_SLOTS] = {0};
        for (int round = 0; round < 2; round++)
            for (int i = 0; i < p->ops; i++) {
                const ng_op *op = &p->op[i];
                bool late = ng_op_reduces(op) || op->code == NG_STORE;
                if (late != (round == 1) || (!late && op->scalar)) continue;
                if (ng_op_reduces(op) && op->level - 1 != pass) continue;
                if (op->code == NG_STORE && pass + 1 < p->passes) continue;
                if (!late && !(op->passes >> pass & 1)) continue;
                for (int j = 0; j < ng_op_operands(op); j++) {
                    const ng_op *a = &p->op[op->a[j]];
                    if (a->scalar) continue;
                    REQUIRE(owner[a->slot] == op->a[j], "%s: op %d lost op %d in pass %d", text, i,
                            op->a[j], pass);
                    REQUIRE(late || op->slot != a->slot, "%s: op %d in its operand's buffer", text,
                            i);
                }
                if (!late) owner[op->slot] = i;
            }
    }
}

START_TEST(interpreter_buffers_live_as_long_as_needed) { for_all_shapes(check_slots); }
END_TEST

/* x loaded and summed, then residual loaded and summed: the second load must not take the buffer
 * of the first, which is added up when both are there. */
START_TEST(a_hand_made_program_with_two_sums_keeps_both_operands) {
    ng_program p = {.hidden = 100, .compute = NORMGEN_F32, .lanes = 16, .ops = 6, .streams = 4};
    static const ng_role roles[] = {NG_ROLE_x, NG_ROLE_residual, NG_ROLE_mean, NG_ROLE_rstd};
    float x[100], r[100], sum_x = -1, sum_r = -1;
    for (int s = 0; s < 4; s++)
        p.stream[s] = (ng_stream){.role = (uint8_t)roles[s],
                                  .type = NORMGEN_F32,
                                  .width = s < 2 ? NG_HIDDEN : NG_UNIT,
                                  .out = s >= 2};
    for (int16_t s = 0; s < 2; s++) {
        int16_t load = (int16_t)(2 * s), sum = (int16_t)(2 * s + 1), none = -1;
        p.op[load] = (ng_op){
            .code = NG_LOAD, .type = NORMGEN_F32, .stream = s, .a = {none, none, none, none}};
        p.op[sum] = (ng_op){.code = NG_SUM, .stream = -1, .a = {load, none, none, none}};
        p.op[4 + s] = (ng_op){.code = NG_STORE,
                              .type = NORMGEN_F32,
                              .stream = (int16_t)(2 + s),
                              .a = {sum, none, none, none}};
    }
    for (int i = 0; i < 100; i++) x[i] = 1, r[i] = 2;
    ng_program_finish(&p);
    check_slots(&p, "two sums");
    normgen_bound_args args = {1, {{x, 0, 0}, {r, 0, 0}, {&sum_x, 0, 0}, {&sum_r, 0, 0}}};
    ng_interp_baseline(&p, &args, 0, 1);
    ck_assert_int_eq((int)sum_x, 100);
    ck_assert_int_eq((int)sum_r, 200);
}
END_TEST

/* How far each pass goes, and what slices have to hold whole. */
START_TEST(widths_and_spans_follow_from_the_operations) {
    static const struct {
        const char *text;
        int passes, span;
        int64_t width[4];
    } cases[] = {
        {"rms hidden=96 eps=0", 2, 1, {96, 96}},
        {"rms hidden=96 eps=0 stat_first=40", 2, 1, {40, 96}},
        {"rms hidden=96 eps=0 y=i8 quant=row stat_first=40", 3, 1, {40, 96, 96}},
        {"rms hidden=96 eps=0 y=q8_0", 2, 32, {96, 96}},
        {"rms hidden=256 eps=0 y=i8 quant=group128", 2, 128, {256, 256}},
        {"rms hidden=96 eps=0 rope=half", 2, 96, {96, 96}},
        {"rms hidden=96 eps=0 rope=interleaved", 2, 2, {96, 96}},
        {"rms hidden=96 eps=0 groups=4", 2, 1, {24, 24}},
        {"rms hidden=96 eps=0 residual=f32 sum=f32 post_weight=f32", 3, 1, {96, 96, 96}},
        {"rms hidden=96 eps=0 weight=none stats=partial", 2, 1, {96, 0}},
        {"layer hidden=96 eps=0 weight=none stats=partial", 3, 1, {96, 96, 0}},
        {"layer hidden=96 eps=0 stats=apply", 1, 1, {96}},
        {"dyt hidden=96 eps=0", 1, 1, {96}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ng_program p = build(cases[i].text);
        ck_assert_msg(p.passes == cases[i].passes && p.span == cases[i].span, "%s: %d, %d",
                      cases[i].text, p.passes, p.span);
        for (int pass = 0; pass < p.passes; pass++)
            ck_assert_msg(p.width[pass] == cases[i].width[pass], "%s: pass %d", cases[i].text,
                          pass);
    }
}
END_TEST

START_TEST(footprints_count_every_stream) {
    ng_program p = build("layer hidden=100 eps=0 x=bf16 y=f32 weight=f32 bias=f16 residual=f16 "
                         "sum=bf16 mean=yes rstd=yes");
    size_t row, shared;
    ng_program_footprint(&p, &row, &shared);
    ck_assert_uint_eq(row, 100 * (2 + 4 + 2 + 2) + 4 + 4);
    ck_assert_uint_eq(shared, 100 * (4 + 2));
}
END_TEST

/* ---- the covering design ---- */

START_TEST(cover_misses_only_pairs_that_cannot_be) {
    case_list list = {0};
    cover_score score;
    ck_assert(cover_pairs(1, 64, 65537, &list, &score));
    /* The rules between fields leave about one pair in twenty: eps with dyt, codes in place of
     * wider elements, sizes that no group or block divides … */
    ck_assert_uint_gt(score.covered, 17500);
    ck_assert_uint_lt(score.impossible, 1000);
    ck_assert_uint_gt(list.count, 25 * 12); /* hidden sizes x types of y */
    case_list_fini(&list);
}
END_TEST

START_TEST(the_text_of_a_case_reads_back) {
    case_list list = {0};
    ck_assert(cover_pairs(2, 64, 17, &list, NULL));
    for (size_t i = 0; i < list.count; i++) {
        char text[CASE_TEXT], again[CASE_TEXT];
        test_case c;
        case_text(&list.items[i], text);
        REQUIRE(case_parse(text, &c), "%s", text);
        case_text(&c, again);
        ck_assert_str_eq(text, again);
    }
    case_list_fini(&list);
}
END_TEST

int main(void) {
    Suite *s = suite_create("program");
    TCase *t = tcase_create("program");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, operations_follow_their_operands_and_stores_stand_last);
    tcase_add_test(t, passes_follow_from_the_formulas);
    tcase_add_test(t, values_cross_where_a_later_pass_uses_them);
    tcase_add_test(t, kept_values_are_computed_once);
    tcase_add_test(t, only_values_that_fit_are_reloaded);
    tcase_add_test(t, interpreter_buffers_live_as_long_as_needed);
    tcase_add_test(t, a_hand_made_program_with_two_sums_keeps_both_operands);
    tcase_add_test(t, widths_and_spans_follow_from_the_operations);
    tcase_add_test(t, footprints_count_every_stream);
    tcase_add_test(t, cover_misses_only_pairs_that_cannot_be);
    tcase_add_test(t, the_text_of_a_case_reads_back);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
