/* SPDX-License-Identifier: Apache-2.0 */
/* The tuner on a simulated machine when kernels fail, the store is broken, time is short or
 * somebody interrupts it. */
#include "simclock.h"
#include "storebox.h"
#include "suite.h"
#include "tuner.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what fails ---- */

static const char *wide_breaks(const sim *s, const ng_subject *subject) {
    (void)s;
    return strstr(subject->text, "vec=512") ? "worker, checking: ended by signal 11" : NULL;
}

static const char *block4_crashes(const sim *s, const ng_subject *subject) {
    (void)s;
    return strstr(subject->text, "block=4") ? "worker, measuring: no answer after 3 s" : NULL;
}

static ng_unit unit_of(const sim *s, char *machine) {
    ng_cpu_machine_text(&s->cpu, machine);
    return (ng_unit){.spec = "rms hidden=1024 eps=1e-05 x=f32 y=f32 weight=f32",
                     .machine = machine,
                     .toolchain = s->meter.toolchain,
                     .regime = NG_L2,
                     .threads = 1,
                     .rows = SIM_L2_ROWS};
}

/* What 16 bits of output hide: wrong only where the statistic is written out. */
static const char *twin_breaks(const sim *s, const ng_subject *subject) {
    return s->making->rstd && strstr(subject->text, "vec=256") ? "wrong rstd" : NULL;
}

START_TEST(a_finalist_whose_rstd_is_wrong_does_not_win) {
    static const char text[] = "rms hidden=1024 eps=1e-05 x=bf16";
    sim s;
    sim_job job;
    for (int broken = 0; broken < 2; broken++) {
        sim_init(&s, 1);
        s.model = sim_hills;
        s.breaks = broken ? twin_breaks : NULL;
        sim_job_init(&job, &s, text);
        job.request.rows = 2 * SIM_L2_ROWS;
        ok(sim_tune(&job, &s));
        const ng_event *e = &job.log.result[0];
        ck_assert_int_eq(strstr(e->best.schedule, "vec=256") != NULL, !broken);
        ck_assert_int_eq(e->invalid > 0, broken);
        sim_job_fini(&job);
    }
}
END_TEST

START_TEST(failing_candidates_become_invalid_trials) {
    sim s;
    sim_job job;
    char machine[NG_MACHINE_TEXT];
    sim_init(&s, 1);
    s.model = sim_hills;
    s.breaks = wide_breaks;
    s.crashes = block4_crashes;
    ok(sim_tune_once(&s, &job, box_path, SIM_L2_ROWS));
    ng_unit unit = unit_of(&s, machine);
    ck_assert(strstr(job.log.result[0].best.schedule, "vec=256 block=2") != NULL ||
              strstr(job.log.result[0].best.schedule, "vec=256 block=8") != NULL ||
              strstr(job.log.result[0].best.schedule, "vec=256 block=1") != NULL);
    ck_assert_uint_gt(sim_count_trials(box_path, &unit, false, "signal 11"), 10);
    ck_assert_uint_gt(sim_count_trials(box_path, &unit, false, "no answer"), 2);
    ck_assert_uint_gt(sim_count_trials(box_path, &unit, true, NULL), 10);
    ck_assert_uint_eq(job.log.result[0].trials,
                      sim_count_trials(box_path, &unit, true, NULL) + job.log.result[0].invalid);
    sim_job_fini(&job);
}
END_TEST

START_TEST(code_that_is_too_long_does_not_win) {
    sim s;
    sim_job job;
    char machine[NG_MACHINE_TEXT];
    sim_init(&s, 1);
    s.model = sim_flat;
    s.planted = "vec=512 block=4 keep=recompute store=cached prefetch=none overlap=no";
    s.factor = 0.5;
    s.planted_bytes = NG_CODE_MOST + 1;
    ok(sim_tune_once(&s, &job, box_path, SIM_L2_ROWS));
    ng_unit unit = unit_of(&s, machine);
    ck_assert_str_ne(job.log.result[0].best.schedule, s.planted);
    ck_assert_uint_eq(sim_count_trials(box_path, &unit, false, "has 8193 bytes, more than 8192"),
                      1);
    sim_job_fini(&job);
}
END_TEST

static const char *all_break(const sim *s, const ng_subject *subject) {
    (void)s;
    (void)subject;
    return "the object has an undefined symbol: fmaf";
}

START_TEST(nothing_works_is_an_error_with_the_reason) {
    sim s;
    sim_job job;
    char machine[NG_MACHINE_TEXT];
    sim_init(&s, 1);
    s.breaks = all_break;
    ck_assert_int_eq(sim_tune_once(&s, &job, box_path, SIM_L2_ROWS), NORMGEN_E_GENERATOR);
    ck_assert_msg(strstr(normgen_error(), "undefined symbol: fmaf") != NULL, "%s", normgen_error());
    ng_unit unit = unit_of(&s, machine);
    ck_assert_uint_gt(sim_count_trials(box_path, &unit, false, "fmaf"), 10);
    sim_job_fini(&job);
}
END_TEST

static const char *all_crash(const sim *s, const ng_subject *subject) {
    return all_break(s, subject);
}

START_TEST(everything_crashing_while_measured_ends) {
    sim s;
    sim_job job;
    sim_init(&s, 1);
    s.crashes = all_crash;
    ck_assert_int_eq(sim_tune_once(&s, &job, box_path, SIM_L2_ROWS), NORMGEN_E_GENERATOR);
    sim_job_fini(&job);
}
END_TEST

static void refuse_store(const char *path) {
    sim s;
    sim_job job;
    sim_init(&s, 1);
    ck_assert_int_eq(sim_tune_once(&s, &job, path, SIM_L2_ROWS), NORMGEN_E_STORE);
    ck_assert_uint_eq(job.log.results, 1);
    ck_assert_uint_eq(job.log.notes, 1);
    sim_job_fini(&job);
}

START_TEST(broken_store_is_one_warning_and_an_error_at_the_end) {
    box_write(box_path, "this is no store, but long enough to be looked at", 49);
    refuse_store(box_path);
    refuse_store("/proc/no/such/place.db");
    refuse_store(box_dir);
}
END_TEST

/* ---- time and interruption ---- */

START_TEST(budget_is_kept) {
    for (int64_t tenths = 1; tenths <= 100; tenths *= 10) {
        sim s;
        sim_job job;
        sim_init(&s, 1);
        s.model = sim_hills;
        sim_job_init(&job, &s, SIM_SPEC);
        job.request.budget = (double)tenths / 10;
        ok(sim_tune(&job, &s));
        ck_assert_double_lt(s.clock, job.request.budget + 0.75); /* what is begun is finished */
        ck_assert_uint_ge(job.log.results, 1);
        ck_assert_uint_eq(job.log.results + job.log.skips, 4);
        sim_job_fini(&job);
    }
}
END_TEST

START_TEST(spent_budget_is_continued_later) {
    sim s;
    sim_job job;
    size_t results = 0;
    sim_init(&s, 1);
    s.model = sim_hills;
    sim_job_init(&job, &s, SIM_SPEC);
    job.request.store = box_path;
    job.request.budget = 0.01;
    do {
        ok(sim_tune(&job, &s));
        ck_assert_uint_ge(job.log.results, 1);
        results += job.log.results;
    } while (strstr(job.log.last_skip, "budget"));
    ck_assert_uint_eq(results, 4);
    sim_job_fini(&job);
}
END_TEST

START_TEST(interrupted_job_continues_to_the_same_winners) {
    char path[160];
    snprintf(path, sizeof path, "%s/whole.db", box_dir);
    sim s;
    sim_job job;
    sim_init(&s, 9);
    s.model = sim_hills;
    sim_job_init(&job, &s, SIM_SPEC);
    job.request.store = path;
    ok(sim_tune(&job, &s));
    char *whole = sim_winners(path);
    for (size_t stop = 1; stop <= 3; stop++) {
        char part[160];
        snprintf(part, sizeof part, "%s/part%zu.db", box_dir, stop);
        sim_init(&s, 9);
        s.model = sim_hills;
        job.request.store = part;
        job.log.stop_after = &s.stop;
        job.log.stop_results = stop;
        ck_assert_int_eq(sim_tune(&job, &s), NORMGEN_E_INTERRUPTED);
        ck_assert_uint_eq(job.log.results, stop);
        sim_init(&s, 9);
        s.model = sim_hills;
        job.log.stop_after = NULL;
        ok(sim_tune(&job, &s));
        ck_assert_uint_eq(job.log.results, 4 - stop);
        ck_assert_uint_eq(job.log.skips, stop);
        char *both = sim_winners(part);
        ck_assert_str_eq(both, whole);
        free(both);
    }
    free(whole);
    sim_job_fini(&job);
}
END_TEST

START_TEST(finished_session_is_not_continued) {
    sim s;
    sim_job job;
    sim_init(&s, 1);
    ok(sim_tune_once(&s, &job, box_path, SIM_L2_ROWS));
    ok(sim_tune(&job, &s));
    ck_assert_uint_eq(job.log.results, 1);
    ck_assert_uint_eq(job.log.skips, 0);
    sim_job_fini(&job);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_finalist_whose_rstd_is_wrong_does_not_win,
                                  failing_candidates_become_invalid_trials,
                                  code_that_is_too_long_does_not_win,
                                  nothing_works_is_an_error_with_the_reason,
                                  everything_crashing_while_measured_ends,
                                  broken_store_is_one_warning_and_an_error_at_the_end,
                                  budget_is_kept,
                                  spent_budget_is_continued_later,
                                  interrupted_job_continues_to_the_same_winners,
                                  finished_session_is_not_continued};
    Suite *suite = suite_create("tuner_faults");
    TCase *tc = tcase_create("tuner_faults");
    tcase_add_checked_fixture(tc, box_setup, box_teardown);
    tcase_set_timeout(tc, 120);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
