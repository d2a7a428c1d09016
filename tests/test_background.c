/* SPDX-License-Identifier: Apache-2.0 */
/* Mode tune: which kernels are tuned, by how many processes, what becomes of calls that run while a
 * plan is replaced, and of the tuner when its host ends in one way or another. The tuner is a shell
 * script that imports winners made here. */
#include "background.h"
#include "fakegen.h"
#include "hostcall.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SPEC "rms hidden=256 eps=1e-05 x=f32 y=f32 weight=f32"
#define OTHER "rms hidden=320 eps=1e-05 x=f32 y=f32 weight=f32"
#define SCHEDULE "vec=128 block=2 keep=recompute store=cached prefetch=none overlap=no"

static char folder[64], store[96];
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER; /* several handles write to it */
static char log_text[1 << 16];
static int warned;

/* ---- fixture ---- */

static void hear(void *ctx, normgen_log_level level, const char *line) {
    (void)ctx;
    pthread_mutex_lock(&log_lock);
    size_t used = strlen(log_text);
    warned += level == NORMGEN_LOG_WARNING;
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
    pthread_mutex_unlock(&log_lock);
}

static const char *in_folder(const char *name) {
    static char path[2][128];
    static int next;
    next = 1 - next;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static void setup(void) {
    static const char *const variables[] = {"NORMGEN_MODE", "NORMGEN_STRICT", "NORMGEN_DB"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) unsetenv(variables[i]);
    snprintf(folder, sizeof folder, "/tmp/normgen-background-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(store, sizeof store, "%s/tuned.db", folder);
    log_text[0] = 0;
    warned = 0;
    fake_install();
    setenv("NORMGEN_CLI", in_folder("normgen"), 1);
    setenv("FOLDER", folder, 1);
}

static void teardown(void) {
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(folder);
}

/* The tuner: notes its arguments, then does as told. */
static void script(const char *body) {
    FILE *f = fopen(in_folder("normgen"), "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "#!/bin/sh\necho \"$*\" >>\"$FOLDER/calls\"\n%s\n", body);
    ck_assert_int_eq(fchmod(fileno(f), 0755), 0);
    fclose(f);
}
/* What it imports, given as names of files in the folder, and says of each. */
#define IMPORT(file)                                                                               \
    "\"$NORMGEN_BUILD/normgen\" db import \"$FOLDER/" file "\" --db \"$5\" >&2 && "                \
    "echo '{\"event\": \"result\"}'\n"

/* Winners of this machine for every regime of a spec, as text in the folder. */
static void make_winners(const char *spec, int threads, const char *name) {
    const ng_cpu *cpu = NULL;
    char machine[NG_MACHINE_TEXT];
    ng_store *s = NULL;
    ng_session session = {.effort = NG_NORMAL, .noise = (double)NAN, .finished = true};
    ng_winner winner = {.slot = NG_SLOT_ANY, .schedule = SCHEDULE, .ns = 100, .pairs = 5};
    char path[128];
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    ng_cpu_machine_text(cpu, machine);
    snprintf(path, sizeof path, "%s/made.db", folder);
    unlink(path);
    ck_assert_int_eq(ng_store_open(path, NG_STORE_WRITE, &s), NORMGEN_OK);
    ck_assert_int_eq(ng_store_begin(s, &session), NORMGEN_OK);
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        ng_unit unit = {spec, machine, FAKE_TOOLCHAIN, (ng_regime)r, threads, 10};
        ck_assert_int_eq(ng_store_commit(s, session.uuid, &unit, NULL, 0, &winner, 1), NORMGEN_OK);
    }
    FILE *f = fopen(in_folder(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(ng_store_export(s, true, f, NULL), NORMGEN_OK);
    fclose(f);
    ng_store_close(s);
}

static void serial(void *ctx, size_t n, void (*body)(void *, size_t), void *body_ctx) {
    (void)ctx;
    for (size_t i = 0; i < n; i++) body(body_ctx, i);
}

static normgen *open_for(int threads, const char *path) {
    normgen_options o = normgen_options_default();
    normgen *ng = NULL;
    o.store = path;
    o.log = hear;
    o.mode = NORMGEN_MODE_TUNE;
    ck_assert_msg(normgen_open(&ng, &o) == NORMGEN_OK, "%s", normgen_error());
    normgen_set_parallel_for(ng, serial, NULL, threads);
    return ng;
}

static normgen_kernel *get(normgen *ng, const char *text) {
    normgen_spec spec;
    normgen_kernel *k = NULL;
    ck_assert_int_eq(normgen_spec_parse(&spec, text), NORMGEN_OK);
    ck_assert_msg(normgen_get(ng, &spec, &k) == NORMGEN_OK, "%s", normgen_error());
    return k;
}

static normgen_counters counters(const normgen *ng) {
    normgen_counters c = NORMGEN_COUNTERS;
    normgen_get_counters(ng, &c);
    return c;
}

static int calls(void) {
    FILE *f = fopen(in_folder("calls"), "r");
    int lines = 0, c;
    if (!f) return 0;
    while ((c = getc(f)) != EOF) lines += c == '\n';
    fclose(f);
    return lines;
}

static void pause_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Waits for a condition; the test's own time limit ends what never comes. */
#define wait_until(condition)                                                                      \
    while (!(condition)) pause_ms(5)

static bool served_by(const normgen_kernel *k, const char *schedule) {
    return strstr(normgen_kernel_describe(k, 1), schedule) != NULL;
}

static bool logged(const char *what) {
    pthread_mutex_lock(&log_lock);
    bool is = strstr(log_text, what) != NULL;
    pthread_mutex_unlock(&log_lock);
    return is;
}

/* ---- finding winners ---- */

typedef struct caller {
    const normgen_kernel *kernel;
    atomic_bool stop;
    atomic_int calls;
    atomic_bool wrong;
} caller;

static void *call_on(void *ctx) {
    caller *c = ctx;
    host_call call;
    host_call_init(&call, SPEC, 7, 0);
    while (!atomic_load(&c->stop)) {
        host_call_blank(&call);
        if (normgen_run(c->kernel, &call.args) != NORMGEN_OK || !host_call_right(&call, 0, 7))
            atomic_store(&c->wrong, true);
        atomic_fetch_add(&c->calls, 1);
    }
    host_call_fini(&call);
    return NULL;
}

START_TEST(winners_of_the_tuner_replace_the_plan_while_calls_run) {
    pthread_t threads[2];
    caller c = {0};
    make_winners(SPEC, 1, "winners");
    script(IMPORT("winners"));
    normgen *ng = open_for(1, store);
    normgen_kernel *k = get(ng, SPEC);
    c.kernel = k;
    const char *before = normgen_kernel_describe(k, 1);
    ck_assert_ptr_null(strstr(before, SCHEDULE));
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, call_on, &c);
    wait_until(served_by(k, SCHEDULE));
    int then = atomic_load(&c.calls);
    wait_until(atomic_load(&c.calls) > then + 10);
    atomic_store(&c.stop, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    ck_assert(!atomic_load(&c.wrong));
    ck_assert_ptr_null(strstr(before, SCHEDULE)); /* still there, still what it was */
    wait_until(logged("tuned in the background for 1 thread"));
    ck_assert(logged("tuning in the background for 1 thread"));
    normgen_counters n = counters(ng);
    ck_assert(n.tunings == 1 && n.renewals >= 1 && n.gets == 1);
    ck_assert_int_eq(calls(), 1);
    normgen_close(ng);
    ck_assert_int_eq(warned, 0);
}
END_TEST

START_TEST(tuned_kernels_start_nothing) {
    make_winners(SPEC, 1, "winners");
    script(IMPORT("winners"));
    normgen *ng = open_for(1, store);
    normgen_kernel *k = get(ng, SPEC);
    wait_until(served_by(k, SCHEDULE));
    normgen_close(ng);
    ng = open_for(1, store);
    k = get(ng, SPEC);
    ck_assert(served_by(k, SCHEDULE));
    ck_assert_ptr_null(ng->background);
    normgen_close(ng);
    ck_assert_int_eq(calls(), 1);
}
END_TEST

START_TEST(every_regime_is_used_as_soon_as_it_is_finished) {
    make_winners(SPEC, 1, "winners");
    script(IMPORT("winners") "cat >/dev/null\n"); /* finished one regime, still at work */
    normgen *ng = open_for(1, store);
    normgen_kernel *k = get(ng, SPEC);
    wait_until(served_by(k, SCHEDULE));
    normgen_close(ng);
}
END_TEST

START_TEST(a_team_is_tuned_apart) {
    make_winners(SPEC, 1, "one");
    make_winners(SPEC, 3, "three");
    script("case $* in *'--threads 1 '*)\n" IMPORT("one") ";; *)\n" IMPORT("three") ";; esac\n");
    normgen *ng = open_for(3, store);
    normgen_kernel *k = get(ng, SPEC);
    wait_until(ng_plan_of(k)->team[NG_L2].threads == 3);
    ck_assert_int_eq(ng_plan_of(k)->alone[NG_L2].threads, 1);
    ck_assert_int_eq(calls(), 2);
    normgen_close(ng);
}
END_TEST

START_TEST(two_hosts_do_not_tune_the_same) {
    make_winners(SPEC, 1, "winners");
    script("sleep 0.3\n" IMPORT("winners"));
    normgen *a = open_for(1, store), *b = open_for(1, store); /* as good as two processes */
    normgen_kernel *ka = get(a, SPEC), *kb = get(b, SPEC);
    wait_until(served_by(ka, SCHEDULE) && served_by(kb, SCHEDULE));
    normgen_close(a);
    normgen_close(b);
    ck_assert_int_eq(calls(), 1);
}
END_TEST

START_TEST(specs_are_tuned_one_after_the_other) {
    make_winners(SPEC, 1, "a");
    make_winners(OTHER, 1, "b");
    script("mkdir \"$FOLDER/busy\" || echo overlap >>\"$FOLDER/calls\"\nsleep 0.1\n"
           "rmdir \"$FOLDER/busy\"\n"
           "case $* in *hidden=256*)\n" IMPORT("a") ";; *)\n" IMPORT("b") ";; esac\n");
    normgen *ng = open_for(1, store);
    normgen_kernel *ka = get(ng, SPEC), *kb = get(ng, OTHER);
    wait_until(served_by(ka, SCHEDULE) && served_by(kb, SCHEDULE));
    normgen_close(ng);
    ck_assert_int_eq(calls(), 2);
}
END_TEST

/* ---- trouble ---- */

static const struct {
    const char *body, *says;
} failures[] = {
    {"echo 'normgen: no luck' >&2; exit 1", "normgen tune ended with 1: normgen: no luck"},
    {"exit 3", "ended with 3: it said nothing"},
    {"kill -9 $$", "ended with 137"},
    {"head -c 100000 /dev/urandom; echo; exit 1", "ended with 1"},
    {"printf 'no end of a line'; exit 1", "ended with 1"},
};

START_TEST(a_failing_tuner_is_told_once_and_changes_nothing) {
    script(failures[_i].body);
    normgen *ng = open_for(1, store);
    normgen_kernel *k = get(ng, SPEC);
    char before[256];
    snprintf(before, sizeof before, "%s", normgen_kernel_describe(k, 1));
    get(ng, OTHER);
    wait_until(logged(failures[_i].says));
    wait_until(calls() == 2);
    ck_assert_str_eq(before, normgen_kernel_describe(k, 1));
    normgen_close(ng);
    ck_assert_msg(warned == 1, "%s", log_text);
}
END_TEST

START_TEST(a_missing_program_is_told_with_the_remedy) {
    normgen *ng = open_for(1, store);
    get(ng, SPEC);
    wait_until(logged("name it in NORMGEN_CLI"));
    ck_assert_uint_eq(counters(ng).tunings, 0);
    normgen_close(ng);
    ck_assert_msg(warned == 1, "%s", log_text);
}
END_TEST

START_TEST(without_a_store_nothing_is_tuned) {
    script("");
    normgen *ng = open_for(1, "");
    get(ng, SPEC);
    get(ng, OTHER);
    ck_assert_ptr_null(ng->background);
    normgen_close(ng);
    ck_assert_int_eq(warned, 1);
    ck_assert_ptr_nonnull(strstr(log_text, "no store to keep it in"));
    ck_assert_int_eq(calls(), 0);
}
END_TEST

START_TEST(a_store_that_cannot_be_written_is_told) {
    script("");
    FILE *f = fopen(store, "w");
    fputs("this is not a store", f);
    fclose(f);
    normgen *ng = open_for(1, store);
    get(ng, SPEC);
    wait_until(logged("nothing is tuned in the background: store"));
    normgen_close(ng);
    ck_assert_int_eq(calls(), 0);
}
END_TEST

START_TEST(winners_that_are_not_legal_are_not_used) {
    make_winners(SPEC, 1, "winners");
    script("sed -i 's/vec=128/vec=4096/' \"$FOLDER/winners\"\n" IMPORT("winners"));
    normgen *ng = open_for(1, store);
    normgen_kernel *k = get(ng, SPEC);
    wait_until(logged("winners that cannot be used"));
    wait_until(logged("tuned in the background"));
    ck_assert(!served_by(k, "4096"));
    normgen_close(ng);
}
END_TEST

/* ---- the end of a host ---- */

static bool there(const char *name) { return access(in_folder(name), F_OK) == 0; }

START_TEST(closing_ends_the_tuner) {
    script("echo $$ >\"$FOLDER/pid\"; cat; touch \"$FOLDER/ended\"");
    normgen *ng = open_for(1, store);
    get(ng, SPEC);
    get(ng, OTHER); /* never begun */
    wait_until(there("pid"));
    normgen_close(ng);
    ck_assert(there("ended"));
    ck_assert_int_eq(calls(), 1);
    ck_assert_int_eq(warned, 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left to wait for */
}
END_TEST

START_TEST(a_tuner_that_does_not_end_is_killed) {
    script("trap '' TERM\necho $$ >\"$FOLDER/pid\"\nexec sleep 1000");
    normgen *ng = open_for(1, store);
    get(ng, SPEC);
    wait_until(there("pid"));
    normgen_close(ng);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(a_killed_host_takes_its_tuner_along) {
    script("touch \"$FOLDER/begun\"; cat; touch \"$FOLDER/ended\"");
    pid_t host = fork();
    if (host == 0) {
        normgen *ng = open_for(1, store);
        get(ng, SPEC);
        for (;;) pause();
    }
    wait_until(there("begun"));
    kill(host, SIGKILL);
    waitpid(host, NULL, 0);
    wait_until(there("ended"));
}
END_TEST

START_TEST(a_forked_child_may_close_the_handle) {
    script("cat");
    normgen *ng = open_for(1, store);
    get(ng, SPEC);
    wait_until(calls() == 1);
    pid_t child = fork();
    if (child == 0) {
        normgen_close(ng);
        _exit(7);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    normgen_close(ng);
}
END_TEST

START_TEST(a_host_that_ignores_its_children_is_served) {
    signal(SIGCHLD, SIG_IGN);
    make_winners(SPEC, 1, "winners");
    script(IMPORT("winners"));
    normgen *ng = open_for(1, store);
    normgen_kernel *k = get(ng, SPEC);
    wait_until(served_by(k, SCHEDULE));
    wait_until(logged("tuned in the background for"));
    normgen_close(ng);
    ck_assert_int_eq(warned, 0);
}
END_TEST

START_TEST(the_tuner_gets_what_it_needs) {
    char line[512] = "", expected[512];
    script("exit 1");
    normgen *ng = open_for(1, store);
    get(ng, SPEC);
    wait_until(logged("ended with 1"));
    normgen_close(ng);
    FILE *f = fopen(in_folder("calls"), "r");
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    fclose(f);
    snprintf(expected, sizeof expected,
             "tune --background --json --db %s --threads 1 -- " SPEC "\n", store);
    ck_assert_str_eq(line, expected);
}
END_TEST

static int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(void) {
    Suite *suite = suite_create("background");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 50);
    const TTest *const all[] = {winners_of_the_tuner_replace_the_plan_while_calls_run,
                                tuned_kernels_start_nothing,
                                every_regime_is_used_as_soon_as_it_is_finished,
                                a_team_is_tuned_apart,
                                two_hosts_do_not_tune_the_same,
                                specs_are_tuned_one_after_the_other,
                                a_missing_program_is_told_with_the_remedy,
                                without_a_store_nothing_is_tuned,
                                a_store_that_cannot_be_written_is_told,
                                winners_that_are_not_legal_are_not_used,
                                closing_ends_the_tuner,
                                a_tuner_that_does_not_end_is_killed,
                                a_killed_host_takes_its_tuner_along,
                                a_forked_child_may_close_the_handle,
                                a_host_that_ignores_its_children_is_served,
                                the_tuner_gets_what_it_needs};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) tcase_add_test(tests, all[i]);
    tcase_add_loop_test(tests, a_failing_tuner_is_told_once_and_changes_nothing, 0,
                        (int)(sizeof failures / sizeof failures[0]));
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
