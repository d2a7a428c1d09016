/* SPDX-License-Identifier: Apache-2.0 */
/* What the tuner tries: candidates, and the neighbours of a schedule. */
#include "candidates.h"
#include "simclock.h"
#include "storebox.h"
#include "suite.h"

#include <stdlib.h>

static bool same(const ng_program *p, const ng_schedule *a, const ng_schedule *b) {
    return ng_schedule_distance(p, a, b) == 0;
}

START_TEST(candidates_are_legal_different_and_begin_with_the_hints) {
    static const char *const specs[] = {
        SIM_SPEC, "layer hidden=768 eps=1e-12 x=bf16 y=bf16 weight=f32 bias=f32 residual=bf16",
        "rms hidden=1000 eps=0 x=f16 y=f32", "rms hidden=1 eps=1 x=f64"};
    sim s;
    sim_init(&s, 1);
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
        for (int regime = 0; regime < NG_REGIME_COUNT; regime++) {
            normgen_spec spec;
            ng_program p;
            ng_schedule preset, *list;
            size_t n;
            ok(normgen_spec_parse(&spec, specs[i]));
            ng_program_build(&p, &spec);
            ng_regime_default_schedule(&p, &s.cpu, s.cpu.isa, (ng_regime)regime, &preset);
            ng_place place = {&spec, &p, (ng_regime)regime, regime == NG_L1 ? 1 : 4096, 1, false};
            ok(ng_candidates(&place, s.cpu.isa, &preset, 1, &list, &n));
            ck_assert_uint_gt(n, 0);
            ck_assert(same(&p, &list[0], &preset));
            for (size_t a = 0; a < n; a++) {
                ck_assert(ng_schedule_legal(&p, s.cpu.isa, &list[a], NULL));
                ck_assert(ng_schedule_fits_rows(&p, &list[a]));
                ck_assert(a == 0 || regime != NG_L1 || list[a].block == 1);
                for (size_t b = 0; b < a; b++) ck_assert(!same(&p, &list[a], &list[b]));
            }
            free(list);
        }
}
END_TEST

static int count_keeps(const ng_program *p, const ng_schedule *s) {
    int odd = 0;
    for (int j = 1; j < p->keeps; j++) odd += s->keep[j] != s->keep[0];
    return odd;
}

/* Steps to neighbours lead everywhere, so also to what the list of a program with many crossing
 * values leaves out; and there are few of them. */
START_TEST(neighbours_are_legal_and_one_step_away) {
    static const char *const specs[] = {
        SIM_SPEC, "layer hidden=64 eps=1e-05 range=scaled residual=f32 sum=f32 stat_of=stat_exact"};
    sim s;
    sim_init(&s, 1);
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        normgen_spec spec;
        ng_program p;
        ng_schedule *space, *near;
        size_t n, n_near, mixed = 0;
        ok(normgen_spec_parse(&spec, specs[i]));
        ng_program_build(&p, &spec);
        ok(ng_schedule_space(&p, s.cpu.isa, &space, &n));
        for (size_t a = 0; a < n; a += 7) {
            size_t in_space = 0;
            ok(ng_schedule_neighbours(&p, s.cpu.isa, &space[a], &near, &n_near));
            for (size_t b = 0; b < n_near; b++) {
                ck_assert(ng_schedule_legal(&p, s.cpu.isa, &near[b], NULL));
                ck_assert_int_eq(ng_schedule_distance(&p, &space[a], &near[b]), 1);
            }
            for (size_t b = 0; b < n; b++)
                in_space += ng_schedule_distance(&p, &space[a], &space[b]) == 1;
            ck_assert_uint_eq(n_near, in_space); /* up to three values the space is whole */
            mixed += count_keeps(&p, &space[a]) > 0;
            free(near);
        }
        ck_assert(p.keeps < 2 || mixed > 0);
        free(space);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {neighbours_are_legal_and_one_step_away,
                                  candidates_are_legal_different_and_begin_with_the_hints};
    Suite *suite = suite_create("candidates");
    TCase *tc = tcase_create("candidates");
    tcase_set_timeout(tc, 120);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
