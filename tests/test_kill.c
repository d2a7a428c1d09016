/* SPDX-License-Identifier: Apache-2.0 */
/* SIGKILL and SIGINT at random moments of a tuning job on the simulated clock: nothing that was
 * committed is lost, the store stays whole, and the winners are those of a job that nobody touched.
 * NORMGEN_KILLS: how many kills (default 10). */
#include "simclock.h"
#include "spec.h"
#include "store.h"
#include "storebox.h"
#include "suite.h"
#include "tuner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const specs[] = {"rms hidden=1024 eps=1e-05", "layer hidden=768 eps=1e-12",
                                    "rms hidden=4096 eps=1e-06 x=bf16"};
enum { UNITS = 12 }; /* four regimes each */

/* A run of the job ends when done, or when killed; results are told through a pipe the moment they
 * are reported, which is after they were committed. */
static int told = -1;
static sim machine;

static void on_event(void *ctx, const ng_event *e) {
    (void)ctx;
    if (e->kind == NG_EVENT_RESULT && write(told, "r", 1) != 1) _exit(9);
}

static void on_interrupt(int number) {
    (void)number;
    machine.stop = 1;
}

static normgen_status run_job(const char *path, long pause_us) {
    ng_spec_list list = {0};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        normgen_spec spec;
        ok(normgen_spec_parse(&spec, specs[i]));
        ok(ng_spec_list_add(&list, "", &spec));
    }
    sim_init(&machine, 4);
    machine.model = sim_hills;
    machine.pause_us = pause_us;
    ng_tune_request request = {.specs = &list,
                               .store = path,
                               .effort = NG_QUICK,
                               .threads = 1,
                               .seed = 6,
                               .stop = &machine.stop,
                               .event = on_event};
    normgen_status status = ng_tune_with(&request, &machine.meter);
    ng_spec_list_fini(&list);
    return status;
}

/* In a process of its own. Returns how it ended; *results: how many units it told. */
static int run_and_kill(const char *path, int number, long after_us, size_t *results) {
    int ends[2], status;
    char byte;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(ends[0]);
        told = ends[1];
        signal(SIGINT, on_interrupt);
        normgen_status result = run_job(path, 400);
        if (result != NORMGEN_OK && result != NORMGEN_E_INTERRUPTED)
            fprintf(stderr, "tuning: %s\n", normgen_error());
        _exit(result == NORMGEN_OK ? 0 : result == NORMGEN_E_INTERRUPTED ? 130 : 1);
    }
    close(ends[1]);
    struct timespec wait = {after_us / 1000000, after_us % 1000000 * 1000};
    nanosleep(&wait, NULL);
    kill(pid, number);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    while (read(ends[0], &byte, 1) == 1) ++*results;
    close(ends[0]);
    return status;
}

/* Units that the store has, after a full check of it. */
static size_t units_in(const char *path) {
    ng_store *store;
    ng_store_counts counts;
    int64_t illegal;
    if (access(path, F_OK) != 0) return 0;
    if (ng_store_open(path, NG_STORE_READ, &store) != NORMGEN_OK) {
        /* Killed between the file's creation and its schema: empty, which a writer mends. */
        ck_assert_msg(strstr(normgen_error(), "is empty") != NULL, "%s", normgen_error());
        return 0;
    }
    ok(ng_store_check(store, &counts, &illegal));
    ck_assert_int_eq(illegal, 0);
    ck_assert_int_eq(counts.winners % 3, 0); /* any, cached, limit of each unit, or none */
    ng_store_close(store);
    return (size_t)counts.winners / 3;
}

static unsigned kills_wanted(void) {
    const char *text = getenv("NORMGEN_KILLS");
    return text ? (unsigned)atoi(text) : 10;
}

START_TEST(killed_job_loses_nothing_and_ends_alike) {
    char whole_path[160], path[160];
    unsigned kills = 0;
    snprintf(whole_path, sizeof whole_path, "%s/whole.db", box_dir);
    told = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    ok(run_job(whole_path, 400));
    clock_gettime(CLOCK_MONOTONIC, &end);
    unsigned whole_us =
        (unsigned)((end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000);
    char *whole = sim_winners(whole_path);
    ck_assert_uint_eq(units_in(whole_path), UNITS);
    for (unsigned round = 0; kills < kills_wanted(); round++) {
        size_t results = 0;
        snprintf(path, sizeof path, "%s/%u.db", box_dir, round);
        for (;;) {
            int number = box_random(3) ? SIGKILL : SIGINT;
            long after = box_random(whole_us / 3 + 1);
            int status = run_and_kill(path, number, after, &results);
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
            ck_assert_msg(WIFSIGNALED(status) || WEXITSTATUS(status) == 130, "ended with %x",
                          (unsigned)status);
            kills++;
            /* A unit is told after its commit; the kill may fall between. */
            ck_assert_uint_ge(units_in(path), results);
            results = units_in(path);
        }
        char *both = sim_winners(path);
        ck_assert_str_eq(both, whole);
        free(both);
    }
    printf("%u kills\n", kills);
    free(whole);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kill");
    TCase *tc = tcase_create("kill");
    tcase_add_checked_fixture(tc, box_setup, box_teardown);
    tcase_set_timeout(tc, 3600);
    tcase_add_test(tc, killed_job_loses_nothing_and_ends_alike);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
