/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the stored winners a place gets: rungs, shipped winners, numbers of threads and from how
 * many rows on there are several. */
#include "choose.h"
#include "dispatch.h"
#include "fakegen.h"
#include "hosthandle.h"
#include "shipped.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- rungs ---- */

/* Four that are legal wherever code is generated. */
#define A "vec=128 block=1 keep=recompute store=cached prefetch=none overlap=no"
#define B "vec=128 block=1 keep=recompute store=cached prefetch=next overlap=no"
#define C "vec=128 block=2 keep=recompute store=cached prefetch=none overlap=no"
#define D "vec=128 block=2 keep=recompute store=cached prefetch=next overlap=no"

/* A machine like this one, with another model and caches `factor` times as big. */
static const char *machine_like(char *text, int model, size_t factor, const char *isa) {
    ng_cpu cpu = *host_cpu();
    ng_isa level = *cpu.isa;
    if (isa) level.name = isa;
    cpu.isa = &level;
    cpu.model += model;
    cpu.l1d *= factor, cpu.l2 *= factor, cpu.llc *= factor;
    ng_cpu_machine_text(&cpu, text);
    return text;
}

static ng_choice chosen(int threads, ng_regime regime) {
    static ng_choices choices;
    normgen_spec spec;
    ng_program program;
    ng_store *store = NULL;
    ck_assert_int_eq(normgen_spec_parse(&spec, HOST_SPEC), NORMGEN_OK);
    ng_program_build(&program, &spec);
    ck_assert_msg(!ng_store_open(host_store, NG_STORE_READ, &store), "%s", normgen_error());
    ck_assert_msg(!ng_choose(store, host_cpu(), &spec, &program, FAKE_TOOLCHAIN, threads, &choices),
                  "%s", normgen_error());
    ng_store_close(store);
    return choices.at[regime][NG_SLOT_ANY];
}

/* Without a store, whatever the status. */
static ng_choice chosen_anyhow(void) {
    normgen_spec spec;
    ng_program program;
    ng_choices choices;
    ck_assert_int_eq(normgen_spec_parse(&spec, HOST_SPEC), NORMGEN_OK);
    ck_assert_int_eq(ng_spec_resolve(&spec, &spec), NORMGEN_OK);
    ng_program_build(&program, &spec);
    ck_assert_int_eq(ng_choose(NULL, host_cpu(), &spec, &program, NULL, 1, &choices),
                     NORMGEN_E_STORE);
    return choices.at[NG_L2][NG_SLOT_ANY];
}

static void expect_choice(ng_rung rung, const char *schedule) {
    ng_choice c = chosen(1, NG_L2);
    ck_assert_msg(c.rung == rung, "rung '%s'", ng_rung_names[c.rung]);
    if (schedule) ck_assert_str_eq(c.found.winner.schedule, schedule);
}

START_TEST(rungs_are_climbed_in_order) {
    char text[NG_MACHINE_TEXT];
    host_put(&(stored_winner){.schedule = HOST_SCHEDULE, .regime = NG_L1});
    expect_choice(NG_RUNG_DEFAULT, NULL);
    host_put(&(stored_winner){.schedule = D,
                              .regime = NG_L2,
                              .machine = machine_like(text, 1, 1, "no-such-isa"),
                              .effort = NG_THOROUGH});
    expect_choice(NG_RUNG_DEFAULT, NULL);
    host_put(&(stored_winner){.spec = "rms hidden=8192 eps=1e-05 x=f32 y=f32 weight=f32",
                              .schedule = A,
                              .regime = NG_L2,
                              .machine = machine_like(text, 1, 1, NULL)});
    expect_choice(NG_RUNG_HIDDEN, A);
    host_put(&(stored_winner){.spec = "rms hidden=1536 eps=1e-05 x=f32 y=f32 weight=f32",
                              .schedule = B,
                              .regime = NG_L2,
                              .machine = machine_like(text, 1, 2, NULL)});
    expect_choice(NG_RUNG_HIDDEN, B); /* nearer, though elsewhere */
    host_put(&(stored_winner){.spec = "rms hidden=1025 eps=1e-05 x=f32 y=bf16 weight=f32",
                              .schedule = D,
                              .regime = NG_L2});
    expect_choice(NG_RUNG_HIDDEN, B); /* other bytes are moved */
    host_put(&(stored_winner){.spec = "rms hidden=1025 eps=1e-05 x=f32 y=f32 weight=none",
                              .schedule = A,
                              .regime = NG_L2});
    expect_choice(NG_RUNG_HIDDEN, A); /* the same bytes */
    host_put(&(stored_winner){.spec = "rms hidden=1025 eps=1e-06 x=f32 y=f32 weight=f32",
                              .schedule = D,
                              .regime = NG_L2});
    expect_choice(NG_RUNG_HIDDEN, D); /* and the same formula */
    host_put(&(stored_winner){
        .schedule = C, .regime = NG_L2, .machine = machine_like(text, 1, 2, NULL)});
    expect_choice(NG_RUNG_ISA, C);
    host_put(&(stored_winner){
        .schedule = B, .regime = NG_L2, .machine = machine_like(text, 1, 1, NULL)});
    expect_choice(NG_RUNG_CACHES, B);
    host_put(&(stored_winner){.schedule = D,
                              .regime = NG_L2,
                              .machine = machine_like(text, 2, 1, NULL),
                              .effort = NG_THOROUGH});
    expect_choice(NG_RUNG_CACHES, D); /* more effort, same rung */
    host_put(&(stored_winner){.schedule = A, .regime = NG_L2, .effort = NG_QUICK});
    expect_choice(NG_RUNG_MACHINE, A);
    host_put(&(stored_winner){.schedule = B,
                              .regime = NG_L2,
                              .toolchain = "llvm=99.1.7 gen=1 numerics=1",
                              .effort = NG_THOROUGH});
    expect_choice(NG_RUNG_MACHINE, A); /* our toolchain first */
    ck_assert_int_eq(chosen(1, NG_DRAM).rung, NG_RUNG_DEFAULT);
}
END_TEST

#define LONG_WORD "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void ship(const char *spec, const char *machine, const char *schedule) {
    static char texts[2][2000]; /* another address is another text */
    char *text = ng_shipped_text == texts[0] ? texts[1] : texts[0];
    snprintf(text, sizeof texts[0],
             "normgen-store 1\nsession uuid=s started=2026-01-01T00:00:00.000000Z effort=2\n"
             "unit spec=\"%s\" machine=\"%s\" toolchain=\"%s\" regime=l2 session=s rows=9\n"
             "winner slot=any schedule=\"%s\" ns=1\nend\n",
             spec, machine, FAKE_TOOLCHAIN, schedule);
    ng_shipped_text = text;
}

START_TEST(shipped_winners_come_last_but_one) {
    char machine[NG_MACHINE_TEXT];
    static const char near[] = "rms hidden=2048 eps=1e-06 x=f32 y=f32 weight=f32";
    ng_cpu_machine_text(host_cpu(), machine);
    host_put(
        &(stored_winner){.spec = "layer hidden=8 eps=1 x=f64 y=f64 weight=f64", .schedule = C});
    ship(HOST_SPEC, machine, A);
    expect_choice(NG_RUNG_SHIPPED, A);
    ck_assert_int_eq(chosen(1, NG_DRAM).rung, NG_RUNG_DEFAULT);
    ng_shipped_text = "normgen-store 1\nend\n";
    expect_choice(NG_RUNG_DEFAULT, NULL);
    ng_shipped_text = "no text of a store";
    ck_assert_int_eq(chosen_anyhow().rung, NG_RUNG_DEFAULT);
    static char hostile[] = "vec=512 block=3 keep=recompute store=cached prefetch=none overlap=no";
    ship(HOST_SPEC, machine, hostile);
    expect_choice(NG_RUNG_DEFAULT, NULL);
    ship(near, machine, B);
    expect_choice(NG_RUNG_SHIPPED, B);
    host_put(&(stored_winner){.schedule = C, .regime = NG_L2});
    expect_choice(NG_RUNG_MACHINE, C);
}
END_TEST

static bool count_found(void *ctx, const ng_found *found) {
    (void)found;
    ++*(int *)ctx;
    return true;
}

START_TEST(packed_winners_are_the_file) {
    char name[4096];
    const char *source = getenv("NORMGEN_SOURCE");
    snprintf(name, sizeof name, "%s/tuned/winners.txt", source ? source : ".");
    FILE *file = fopen(name, "r");
    ck_assert_msg(file != NULL, "%s", name);
    char *text = ng_shipped_unpack();
    ck_assert_ptr_nonnull(text);
    for (const char *at = text; *at; at++) ck_assert_int_eq(fgetc(file), *at);
    ck_assert_int_eq(fgetc(file), EOF);
    fclose(file);
    free(text);
    int winners = 0;
    ng_query all = {.regime = -1, .slot = -1};
    ng_shipped_text = NULL;
    ck_assert(ng_shipped_winners(&all, count_found, &winners) == NORMGEN_OK);
    ck_assert_int_gt(winners, 0);
}
END_TEST

START_TEST(hostile_machine_texts_are_far_away) {
    static const char *const texts[] = {"",
                                        " isa=",
                                        "isa=x86-64",
                                        "x isa=x86-64-v3 l1d=nanK l2=inf llc=1e400",
                                        "x isa=x86-64-v3 l1d= l2= llc=",
                                        "x isa=" LONG_WORD LONG_WORD};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_int_ge((int)ng_machine_rung(host_cpu(), texts[i]), NG_RUNG_ISA);
    char own[NG_MACHINE_TEXT];
    ng_cpu_machine_text(host_cpu(), own);
    ck_assert_int_eq((int)ng_machine_rung(host_cpu(), own), NG_RUNG_MACHINE);
}
END_TEST

START_TEST(threads_take_the_nearest_smaller_number_that_was_tuned) {
    host_put(&(stored_winner){.schedule = A, .regime = NG_L2, .threads = 1});
    host_put(&(stored_winner){.schedule = B, .regime = NG_L2, .threads = 4});
    host_put(&(stored_winner){.schedule = C, .regime = NG_L2, .threads = 8});
    static const struct {
        int threads;
        const char *schedule;
    } cases[] = {{1, A}, {3, A}, {4, B}, {7, B}, {8, C}, {100, C}, {0, A}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(chosen(cases[i].threads, NG_L2).found.winner.schedule, cases[i].schedule);
}
END_TEST

static void serial_for(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i),
                       void *body_ctx) {
    (void)ctx;
    for (size_t i = 0; i < n; i++) body(body_ctx, i);
}

START_TEST(parallel_calls_have_kernels_of_their_own) {
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        host_put(&(stored_winner){.schedule = A, .regime = (ng_regime)r, .threads = 1});
        host_put(&(stored_winner){.schedule = B, .regime = (ng_regime)r, .threads = 4});
    }
    normgen *ng = host_open(0, 0);
    normgen_set_parallel_for(ng, serial_for, NULL, 6);
    normgen_kernel *k = host_get(ng, HOST_SPEC);
    ck_assert_uint_eq(host_counters(ng).compiled, 2);
    host_call c;
    host_call_init(&c, HOST_SPEC, 200, 0);
    normgen_run(k, &c.args);
    ck_assert_str_eq(fake_last(), A);
    normgen_run_parallel(k, &c.args);
    ck_assert_str_eq(fake_last(), B);
    c.args.rows = 2; /* one thread after all */
    normgen_run_parallel(k, &c.args);
    ck_assert_str_eq(fake_last(), A);
    host_call_fini(&c);
    normgen_close(ng);
}
END_TEST

/* Winners take 100 ns a row; the other regimes' rows are longer than the cut-off. */
START_TEST(threads_start_where_the_measured_cutoff_says) {
    static const int64_t cutoffs[] = {1, 1700, 1 << 20, INT64_MAX};
    static const size_t rows[] = {2, 17, 10486, 10486};
    for (size_t i = 0; i < sizeof cutoffs / sizeof cutoffs[0]; i++) {
        unlink(host_store);
        for (int r = 0; r < NG_REGIME_COUNT; r++)
            host_put(&(stored_winner){.schedule = A, .regime = (ng_regime)r, .cutoff = cutoffs[i]});
        normgen *ng = host_open(0, 0);
        ck_assert_uint_eq(host_get(ng, HOST_SPEC)->first.cutoff.parallel_rows, rows[i]);
        normgen_close(ng);
    }
    unlink(host_store);
    host_put(&(stored_winner){.schedule = A, .regime = NG_L2});
    normgen *ng = host_open(0, 0);
    ng_cutoff c = host_get(ng, HOST_SPEC)->first.cutoff;
    ck_assert(c.parallel_rows >= 2 && c.parallel_rows <= 1 << 20);
    ck_assert_uint_ge(c.waking_rows, c.parallel_rows);
    normgen_close(ng);
}
END_TEST

int main(void) {
    Suite *s = suite_create("choose");
    TCase *t = tcase_create("choose");
    tcase_add_checked_fixture(t, host_setup, host_teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, rungs_are_climbed_in_order);
    tcase_add_test(t, hostile_machine_texts_are_far_away);
    tcase_add_test(t, threads_take_the_nearest_smaller_number_that_was_tuned);
    tcase_add_test(t, parallel_calls_have_kernels_of_their_own);
    tcase_add_test(t, shipped_winners_come_last_but_one);
    tcase_add_test(t, packed_winners_are_the_file);
    tcase_add_test(t, threads_start_where_the_measured_cutoff_says);
    suite_add_tcase(s, t);
    return suite_main(s);
}
