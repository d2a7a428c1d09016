/* SPDX-License-Identifier: Apache-2.0 */
/* The tuner's decisions, on a simulated machine: what is found, what is not claimed, what stays.
 * SIM_SEEDS in the environment: how many machines each promise is tried on (default 4). */
#include "candidates.h"
#include "simclock.h"
#include "storebox.h"
#include "suite.h"
#include "tuner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned seeds(void) {
    const char *text = getenv("SIM_SEEDS");
    return text ? (unsigned)atoi(text) : 4;
}

/* All candidates of the spec in l2. */
static size_t candidates(const sim *s, ng_schedule **list, ng_program *program) {
    normgen_spec spec;
    size_t n;
    ok(normgen_spec_parse(&spec, SIM_SPEC));
    ng_program_build(program, &spec);
    ng_place place = {&spec, program, NG_L2, SIM_L2_ROWS, 1, false};
    ok(ng_candidates(&place, s->cpu.isa, NULL, 0, list, &n));
    return n;
}

/* ---- what is found ---- */

START_TEST(planted_five_percent_is_found) {
    for (unsigned seed = 1; seed <= seeds(); seed++) {
        sim s;
        sim_job job;
        ng_schedule *list;
        ng_program program;
        char text[NG_SCHEDULE_TEXT];
        sim_init(&s, seed);
        size_t n = candidates(&s, &list, &program);
        ng_schedule_text(&program, &list[seed * 37 % n], text);
        s.planted = text;
        s.factor = 0.95;
        ok(sim_tune_once(&s, &job, "", SIM_L2_ROWS));
        ck_assert_uint_eq(job.log.results, 1);
        ck_assert_str_eq(job.log.result[0].best.schedule, text);
        sim_job_fini(&job);
        free(list);
    }
}
END_TEST

START_TEST(planted_sliver_is_not_claimed) {
    for (unsigned seed = 1; seed <= seeds(); seed++) {
        sim s;
        sim_job job;
        ng_schedule *list;
        ng_program program;
        char text[NG_SCHEDULE_TEXT], simplest[NG_SCHEDULE_TEXT];
        sim_init(&s, seed);
        size_t n = candidates(&s, &list, &program);
        size_t at = 1 + seed * 37 % (n - 1);
        ng_schedule preset; /* what is faster than the simplest, if it is the default, may stay */
        ng_regime_default_schedule(&program, &s.cpu, s.cpu.isa, NG_L2, &preset);
        if (ng_schedule_compare(&program, &list[at], &preset) == 0) at = at > 1 ? at - 1 : at + 1;
        ng_schedule_text(&program, &list[at], text);
        ng_schedule_text(&program, &list[0], simplest);
        s.planted = text;
        s.factor = 0.997;
        ok(sim_tune_once(&s, &job, "", SIM_L2_ROWS));
        ck_assert_str_ne(job.log.result[0].best.schedule, text);
        sim_job_fini(&job);
        free(list);
    }
}
END_TEST

START_TEST(ties_go_to_the_simpler_schedule) {
    sim s;
    sim_job job;
    sim_init(&s, 5);
    s.noise = 0;
    ok(sim_tune_once(&s, &job, "", SIM_L2_ROWS));
    ck_assert_str_eq(job.log.result[0].best.schedule,
                     "vec=256 block=1 keep=recompute store=cached prefetch=none overlap=no");
    sim_job_fini(&job);
}
END_TEST

START_TEST(each_regime_gets_its_own_winners) {
    static const char *const want[] = {
        "vec=256 block=1 keep=recompute store=cached prefetch=none overlap=no",
        "vec=256 block=4 keep=recompute store=cached prefetch=none overlap=no",
        "vec=512 block=2 keep=recompute store=cached prefetch=next overlap=no",
        "vec=512 block=2 keep=recompute store=stream prefetch=none overlap=yes"};
    for (int effort = NG_QUICK; effort <= NG_NORMAL; effort++) {
        sim s;
        sim_job job;
        sim_init(&s, 3);
        s.model = sim_hills;
        sim_job_init(&job, &s, SIM_SPEC);
        job.request.effort = effort;
        ok(sim_tune(&job, &s));
        ck_assert_uint_eq(job.log.results, 4);
        for (int r = 0; r < 4; r++) {
            const ng_event *e = &job.log.result[r];
            ck_assert_int_eq(e->regime, r);
            ck_assert_str_eq(e->best.schedule, want[r]);
            ck_assert(strstr(e->cached.schedule, "store=cached") != NULL ||
                      strstr(e->cached.schedule, "store=ahead") != NULL);
            ck_assert_double_gt(e->limit.ns, 0);
            ck_assert_double_lt(e->limit.ns, e->best.ns);
            ck_assert_double_le(e->best.ns, e->preset.ns * (1 + e->noise));
        }
        sim_job_fini(&job);
    }
}
END_TEST

START_TEST(memcpy_is_the_limit_where_it_is_fastest) {
    sim s;
    sim_job job;
    sim_init(&s, 3);
    s.model = sim_hills;
    ok(sim_tune_once(&s, &job, "", SIM_L2_ROWS));
    ck_assert_str_eq(job.log.result[0].limit.schedule, "memcpy");
    sim_job_fini(&job);
}
END_TEST

static const char *const known_from_memory[][2] = {
    {"layer hidden=1152 eps=1e-05 x=bf16 weight=none modulate=bf16",
     "block=1 keep=recompute,scratch store=stream prefetch=l2 overlap=all slice=line"},
    {"rms hidden=4096 eps=1e-05 x=bf16 y=i8 weight=bf16 quant=row",
     "block=1 keep=recompute,scratch store=stream prefetch=l2 overlap=all"}};

static double sim_one_is_fast(const sim *s, const ng_place *place, const ng_subject *subject) {
    (void)place;
    const char *found = strstr(subject->text, s->planted);
    return found && !found[strlen(s->planted)] ? 700 : 1000;
}

/* No slope leads to these. */
START_TEST(quick_tries_what_is_known_to_win_from_memory) {
    sim s;
    sim_job job;
    sim_init(&s, 5);
    s.model = sim_one_is_fast;
    s.planted = known_from_memory[_i][1];
    sim_job_init(&job, &s, known_from_memory[_i][0]);
    job.request.effort = NG_QUICK;
    job.request.rows = 1 << 20;
    ok(sim_tune(&job, &s));
    const ng_event *e = &job.log.result[0];
    ck_assert_int_eq(e->regime, NG_DRAM);
    ck_assert_ptr_nonnull(strstr(e->best.schedule, s.planted));
    sim_job_fini(&job);
}
END_TEST

/* A kernel that takes 700 where others take 1000, and copies that take 900 but for one. */
static const char fast_from_memory[] =
    "vec=256 block=1 keep=recompute store=staged prefetch=l2 overlap=yes slice=line";
static const char *const fast_copies[] = {
    "vec=256 block=1 keep=recompute store=staged prefetch=l2 overlap=yes slice=line",
    "vec=256 block=1 keep=recompute store=staged prefetch=thrice overlap=yes slice=line"};

static double sim_moves(const sim *s, const ng_place *place, const ng_subject *subject) {
    (void)place;
    if (subject->kind == NG_SUBJECT_KERNEL)
        return strcmp(subject->text, fast_from_memory) == 0 ? 700 : 1000;
    bool fast =
        strncmp(subject->text, "limit ", 6) == 0 && strcmp(subject->text + 6, s->planted) == 0;
    return fast ? 690 : 900;
}

/* Only the search around the kernel's own copy comes upon the second of them. */
static const char *breaks_unlike_the_fast(const sim *s, const ng_subject *subject) {
    bool kernel = subject->kind == NG_SUBJECT_KERNEL;
    if (!kernel || strcmp(s->planted, fast_from_memory) == 0) return NULL;
    return strstr(subject->text, "prefetch=thrice") ? "!broken" : NULL;
}

/* What a kernel does to memory, or something near to it, is tried without its arithmetic. */
START_TEST(no_limit_is_slower_than_a_kernel_that_a_copy_can_follow) {
    sim s;
    sim_job job;
    sim_init(&s, 7);
    s.model = sim_moves;
    s.planted = fast_copies[_i / 2];
    s.breaks = breaks_unlike_the_fast;
    sim_job_init(&job, &s, SIM_SPEC);
    job.request.effort = _i % 2 ? NG_NORMAL : NG_QUICK;
    job.request.rows = 1 << 20;
    ok(sim_tune(&job, &s));
    const ng_event *e = &job.log.result[0];
    ck_assert_int_eq(e->regime, NG_DRAM);
    ck_assert_str_eq(e->best.schedule, fast_from_memory);
    ck_assert_str_eq(e->limit.schedule + strlen("limit "), s.planted);
    ck_assert_double_lt(e->limit.ns, e->best.ns);
    sim_job_fini(&job);
}
END_TEST

START_TEST(quick_ends_within_its_time) {
    sim s;
    sim_job job;
    sim_init(&s, 3);
    s.model = sim_hills;
    sim_job_init(&job, &s, SIM_SPEC);
    job.request.effort = NG_QUICK;
    ok(sim_tune(&job, &s));
    ck_assert_double_lt(s.clock, 7.5);
    sim_job_fini(&job);
}
END_TEST

/* Streaming what the next reader wants in cache, in l2: normal effort does not even try. */
START_TEST(thorough_finds_what_hardly_pays) {
    static const char odd[] =
        "vec=128 block=1 keep=recompute store=stream prefetch=none overlap=no";
    for (int effort = NG_NORMAL; effort <= NG_THOROUGH; effort++) {
        sim s;
        sim_job job;
        sim_init(&s, 3);
        s.model = sim_hills;
        s.planted = odd;
        s.factor = 0.5;
        sim_job_init(&job, &s, SIM_SPEC);
        job.request.rows = SIM_L2_ROWS;
        job.request.effort = effort;
        ok(sim_tune(&job, &s));
        ck_assert_int_eq(strcmp(job.log.result[0].best.schedule, odd) == 0, effort == NG_THOROUGH);
        sim_job_fini(&job);
    }
}
END_TEST

/* ---- what stays ---- */

START_TEST(tuning_again_flips_no_winner) {
    for (unsigned seed = 1; seed <= seeds(); seed++) {
        sim s;
        sim_job job;
        char path[160];
        snprintf(path, sizeof path, "%s/flip%u.db", box_dir, seed);
        for (unsigned run = 0; run < 4; run++) {
            sim_init(&s, seed * 100 + run); /* another day, other noise */
            s.noise = 0.02;
            sim_job_init(&job, &s, SIM_SPEC);
            job.request.store = path;
            job.request.seed = run + 1;
            job.request.rows = SIM_L2_ROWS;
            ok(sim_tune(&job, &s));
            static char first[2][NG_SCHEDULE_TEXT];
            const ng_event *e = &job.log.result[0];
            if (run == 0) {
                memcpy(first[0], e->best.schedule, NG_SCHEDULE_TEXT);
                memcpy(first[1], e->cached.schedule, NG_SCHEDULE_TEXT);
            }
            ck_assert_str_eq(e->best.schedule, first[0]);
            ck_assert_str_eq(e->cached.schedule, first[1]);
            sim_job_fini(&job);
        }
    }
}
END_TEST

/* Kernels that are alike, each of them up to 6 % slower in one process than in another: what beats
 * the stored winner in one does not in the next, and a planted 12 % is still found. */
START_TEST(luck_of_one_process_flips_no_winner) {
    for (unsigned seed = 1; seed <= seeds(); seed++) {
        static char first[NG_SCHEDULE_TEXT];
        sim s;
        sim_job job;
        char path[160];
        snprintf(path, sizeof path, "%s/luck%u.db", box_dir, seed);
        for (unsigned run = 0; run < 5; run++) {
            sim_init(&s, seed * 100 + run);
            s.noise = 0.003;
            s.luck = 0.06;
            if (run == 4)
                s.planted = "vec=512 block=4 keep=recompute store=cached prefetch=none "
                            "overlap=no";
            s.factor = 0.88;
            sim_job_init(&job, &s, SIM_SPEC);
            job.request.store = path;
            job.request.seed = run + 1;
            job.request.rows = SIM_L2_ROWS;
            ok(sim_tune(&job, &s));
            const ng_event *e = &job.log.result[0];
            if (run < 4) ck_assert_double_gt(e->noise, 0.005); /* they cannot be told apart */
            if (run == 0) memcpy(first, e->best.schedule, NG_SCHEDULE_TEXT);
            ck_assert_str_eq(e->best.schedule, run < 4 ? first : s.planted);
            sim_job_fini(&job);
        }
    }
}
END_TEST

START_TEST(stored_winner_falls_to_a_faster_kernel) {
    sim s;
    sim_job job;
    sim_init(&s, 1);
    ok(sim_tune_once(&s, &job, box_path, SIM_L2_ROWS));
    sim_job_fini(&job);
    sim_init(&s, 2);
    s.planted = "vec=512 block=4 keep=recompute store=cached prefetch=none overlap=no";
    s.factor = 0.9;
    sim_job_init(&job, &s, SIM_SPEC);
    job.request.store = box_path;
    job.request.seed = 2;
    job.request.rows = SIM_L2_ROWS;
    ok(sim_tune(&job, &s));
    ck_assert_str_eq(job.log.result[0].best.schedule, s.planted);
    sim_job_fini(&job);
}
END_TEST

static double some_cutoff(void *ctx) {
    ((sim *)ctx)->clock += 0.05;
    return 1234.5;
}

START_TEST(cutoff_is_measured_once_and_kept_in_the_session) {
    sim s;
    sim_job job;
    char machine[NG_MACHINE_TEXT];
    int64_t cutoff;
    sim_init(&s, 1);
    s.meter.cutoff = some_cutoff;
    ok(sim_tune_once(&s, &job, box_path, SIM_L2_ROWS));
    ng_cpu_machine_text(&s.cpu, machine);
    ng_store *store = box_open(box_path, NG_STORE_READ);
    ok(ng_store_cutoff(store, machine, &cutoff));
    ck_assert_int_eq(cutoff, 1235);
    ng_store_close(store);
    sim_job_fini(&job);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {planted_five_percent_is_found,
                                  planted_sliver_is_not_claimed,
                                  ties_go_to_the_simpler_schedule,
                                  each_regime_gets_its_own_winners,
                                  memcpy_is_the_limit_where_it_is_fastest,
                                  quick_ends_within_its_time,
                                  tuning_again_flips_no_winner,
                                  luck_of_one_process_flips_no_winner,
                                  thorough_finds_what_hardly_pays,
                                  stored_winner_falls_to_a_faster_kernel,
                                  cutoff_is_measured_once_and_kept_in_the_session};
    Suite *suite = suite_create("tuner");
    TCase *tc = tcase_create("tuner");
    tcase_add_checked_fixture(tc, box_setup, box_teardown);
    tcase_set_timeout(tc, 120);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, quick_tries_what_is_known_to_win_from_memory, 0, 2);
    tcase_add_loop_test(tc, no_limit_is_slower_than_a_kernel_that_a_copy_can_follow, 0, 4);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
