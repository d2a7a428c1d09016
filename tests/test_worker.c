/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning with real workers that are killed, missing, strange or stopped. Times mean nothing here.
 */
#include "spec.h"
#include "storebox.h"
#include "suite.h"
#include "tuned.h"
#include "verify.h"
#include "workshop.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct watch {
    int kills;   /* of workers, still to do */
    int number;  /* signal */
    int stop_at; /* progress event at which to stop, 0: never */
    volatile int stop;
    int events, results;
    ng_event last;
} watch;

/* Children of this process. */
static size_t children(pid_t *list, size_t most) {
    char path[64];
    size_t n = 0;
    int pid;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    while (n < most && fscanf(f, "%d", &pid) == 1) list[n++] = pid;
    fclose(f);
    return n;
}

static void on_event(void *ctx, const ng_event *e) {
    watch *w = ctx;
    pid_t pids[64];
    if (e->kind == NG_EVENT_RESULT) {
        w->results++;
        w->last = *e;
    }
    if (e->kind != NG_EVENT_PROGRESS) return;
    if (++w->events == w->stop_at) w->stop = 1;
    if (w->kills <= 0 || w->events % 3) return;
    size_t n = children(pids, 64);
    if (n == 0) return;
    kill(pids[(size_t)w->events % n], w->number);
    w->kills--;
}

static normgen_status tune(watch *w, const char *text) {
    ng_spec_list list = {0};
    normgen_spec spec;
    ok(normgen_spec_parse(&spec, text));
    ok(ng_spec_list_add(&list, "", &spec));
    ng_tune_request request = {.specs = &list,
                               .store = box_path,
                               .effort = NG_QUICK,
                               .threads = 1,
                               .rows = 16,
                               .seed = 3,
                               .stop = &w->stop,
                               .event = on_event,
                               .ctx = w};
    normgen_status status = ng_tune(&request);
    ng_spec_list_fini(&list);
    return status;
}

START_TEST(real_unit_has_winner_and_limit) {
    watch w = {0};
    ok(tune(&w, "rms hidden=512 eps=1e-05"));
    ck_assert_int_eq(w.results, 1);
    ck_assert_double_gt(w.last.best.ns, 0);
    ck_assert_double_gt(w.last.limit.ns, 0);
    ck_assert_uint_eq(w.last.invalid, 0);
    pid_t left[4];
    ck_assert_uint_eq(children(left, 4), 0);
}
END_TEST

START_TEST(killed_workers_cost_at_most_their_candidates) {
    static const int numbers[] = {SIGSEGV, SIGKILL, SIGABRT};
    watch w = {.kills = 4, .number = numbers[_i]};
    ok(tune(&w, "rms hidden=512 eps=1e-05"));
    ck_assert_int_eq(w.kills, 0);
    ck_assert_int_eq(w.results, 1);
    ck_assert_double_gt(w.last.best.ns, 0);
    ck_assert_uint_le(w.last.invalid, 4);
}
END_TEST

START_TEST(stop_is_obeyed_and_leaves_no_process) {
    for (int at = 1; at <= 9; at += 4) {
        watch w = {.stop_at = at};
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        ck_assert_int_eq(tune(&w, "rms hidden=512 eps=1e-05"), NORMGEN_E_INTERRUPTED);
        clock_gettime(CLOCK_MONOTONIC, &end);
        pid_t left[4];
        ck_assert_uint_eq(children(left, 4), 0);
        ck_assert_int_lt(end.tv_sec - begin.tv_sec, 10);
    }
}
END_TEST

START_TEST(missing_or_strange_worker_is_an_error) {
    static const char *const workers[] = {"/nonexistent", "/bin/true", "/bin/cat", "/etc/passwd"};
    watch w = {0};
    setenv("NORMGEN_WORKER", workers[_i], 1);
    ck_assert_int_eq(tune(&w, "rms hidden=512 eps=1e-05"), NORMGEN_E_GENERATOR);
    ck_assert_int_eq(w.results, 0);
    ck_assert_ptr_nonnull(strstr(normgen_error(), _i == 0 || _i == 3 ? workers[_i] : "worker"));
}
END_TEST

/* Workers become children of this process when their parent is gone. */
START_TEST(workers_die_with_their_parent) {
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (int round = 0; round < 3; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            watch w = {0};
            tune(&w, "layer hidden=4096 eps=1e-05 x=bf16 residual=bf16 sum=bf16");
            _exit(0);
        }
        usleep(200000 + 300000 * (unsigned)round);
        kill(pid, SIGKILL);
        int left = 1;
        for (int i = 0; i < 100 && left; i++) {
            while (waitpid(-1, NULL, WNOHANG) > 0) {
            }
            left = !(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
            usleep(50000);
        }
        ck_assert_msg(!left, "a worker outlives its parent");
    }
}
END_TEST

START_TEST(check_compares_and_finds_nothing) {
    normgen_spec spec;
    ok(normgen_spec_parse(&spec, "layer hidden=65 eps=1e-05 x=bf16 bias=f32"));
    ng_check_request request = {.spec = &spec, .schedules = 6, .seed = 2};
    ok(ng_check(&request));
    ck_assert_int_eq(request.failed, 0);
    ck_assert_int_ge(request.kernels, 6);
    ck_assert_int_ge(request.compared, 90);
    request.schedule = "vec=4096 block=1 keep=recompute store=cached prefetch=none overlap=no";
    ck_assert_int_eq(ng_check(&request), NORMGEN_E_SCHEDULE);
}
END_TEST

/* Orders for one worker; how each ended. */
typedef struct hang {
    const char *spec;
    int given, delivered;
    bool stop_first; /* the worker after its first product */
    bool made[3], checked[3];
    char reason[3][200];
} hang;

static bool give_order(void *ctx, ng_order *order) {
    hang *h = ctx;
    if (h->given == 3) return false;
    h->given++;
    *order = (ng_order){.spec = h->spec,
                        .schedule =
                            "vec=128 block=1 keep=recompute store=cached prefetch=none overlap=no",
                        .isa = "x86-64-v3",
                        .kind = NG_SUBJECT_KERNEL,
                        .seed = 1,
                        .check = true};
    return true;
}

static void take_hung(void *ctx, const ng_order *order, ng_product *product) {
    hang *h = ctx;
    (void)order;
    int i = h->delivered++;
    h->made[i] = product->made;
    h->checked[i] = product->checked;
    snprintf(h->reason[i], sizeof h->reason[i], "%.199s", product->reason);
    pid_t pids[4];
    if (h->stop_first && i == 0)
        for (size_t n = children(pids, 4); n > 0; n--) kill(pids[n - 1], SIGSTOP);
}

static void run_hanging(hang *h, double make, double check) {
    ng_workshop *shop;
    ng_clients clients = {give_order, take_hung, h, NULL};
    pid_t left[4];
    ok(ng_workshop_new(1, &shop));
    ng_workshop_patience(shop, make, check);
    ok(ng_workshop_run(shop, &clients));
    ng_workshop_free(shop);
    ck_assert_int_eq(h->delivered, 3);
    ck_assert_uint_eq(children(left, 4), 0);
}

START_TEST(a_worker_that_hangs_compiling_is_replaced) {
    hang h = {.spec = "rms hidden=64 eps=1e-05", .stop_first = true};
    if (!ng_isa_find("x86-64-v3")) return;
    run_hanging(&h, 5, 60);
    ck_assert_msg(h.made[0], "%s", h.reason[0]);
    ck_assert(!h.made[1]);
    ck_assert_str_eq(h.reason[1], "worker, compiling: no answer after 5 s");
    ck_assert_msg(h.made[2], "%s", h.reason[2]);
}
END_TEST

/* Rows of millions of elements: checking them takes longer than no time at all. */
START_TEST(a_worker_that_hangs_checking_is_replaced) {
    hang h = {.spec = "rms hidden=4194304 eps=1e-05"};
    if (!ng_isa_find("x86-64-v3")) return;
    run_hanging(&h, 60, 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(h.made[i] && !h.checked[i], "%s", h.reason[i]);
        ck_assert_str_eq(h.reason[i], "worker, checking: no answer after 0 s");
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("worker");
    TCase *tc = tcase_create("worker");
    tcase_add_checked_fixture(tc, box_setup, box_teardown);
    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, real_unit_has_winner_and_limit);
    tcase_add_loop_test(tc, killed_workers_cost_at_most_their_candidates, 0, 3);
    tcase_add_test(tc, stop_is_obeyed_and_leaves_no_process);
    tcase_add_loop_test(tc, missing_or_strange_worker_is_an_error, 0, 4);
    tcase_add_test(tc, workers_die_with_their_parent);
    tcase_add_test(tc, check_compares_and_finds_nothing);
    tcase_add_test(tc, a_worker_that_hangs_compiling_is_replaced);
    tcase_add_test(tc, a_worker_that_hangs_checking_is_replaced);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
