/* SPDX-License-Identifier: Apache-2.0 */
/* The store when the system fails it: locked, full and forbidden files, killed and competing
 * writers. Every failure is E_STORE with a text that says what and why, and what was committed
 * before is still there. */
#include "storebox.h"
#include "suite.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534

/* ---- locks and killed writers ---- */

/* Runs in a child until killed, or until it returns; the pipe carries what it says. */
typedef struct child {
    pid_t pid;
    int from;
} child;

static child start(void (*body)(int to)) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    child c = {fork(), ends[0]};
    ck_assert_int_ge(c.pid, 0);
    if (c.pid == 0) {
        close(ends[0]);
        body(ends[1]);
        _exit(0);
    }
    close(ends[1]);
    return c;
}

static void say(int to, int number) { (void)!write(to, &number, sizeof number); }

/* The next number that the child said, or -1 at its end. */
static int hear(const child *c) {
    int number;
    return read(c->from, &number, sizeof number) == (ssize_t)sizeof number ? number : -1;
}

static int end(child *c, int signal_number) {
    int status;
    if (signal_number) kill(c->pid, signal_number);
    ck_assert_int_eq(waitpid(c->pid, &status, 0), c->pid);
    close(c->from);
    return status;
}

static void hold_lock(int to) {
    box_raw(box_path, "PRAGMA user_version");
    ng_sql *sql = NULL;
    if (ng_sql_open(&sql, box_path, NG_SQL_RAW, 1000) || ng_sql_exec(sql, "BEGIN EXCLUSIVE"))
        _exit(1);
    say(to, 1);
    pause();
}

START_TEST(locked_store_names_the_process) {
    char who[40];
    ng_store *other = NULL;
    box_make(box_path, 1);
    ng_store *store = NULL;
    ok(ng_store_open_wait(box_path, NG_STORE_WRITE, 200, &store));
    child c = start(hold_lock);
    ck_assert_int_eq(hear(&c), 1);
    refused(box_commit(store, "s", 1), "is locked by another process");
    snprintf(who, sizeof who, "(process %d)", (int)c.pid);
    if (access("/proc/locks", R_OK) == 0) ck_assert_ptr_nonnull(strstr(normgen_error(), who));
    refused(ng_store_open_wait(box_path, NG_STORE_READ, 200, &other), "is locked");
    refused(ng_store_open_wait(box_path, NG_STORE_WRITE, 200, &other), "is locked");
    end(&c, SIGKILL);
    ok(box_commit(store, "s", 1));
    ck_assert(box_whole(store, "s", 0) && box_whole(store, "s", 1));
    ng_store_close(store);
}
END_TEST

static void commit_forever(int to) {
    ng_store *store = NULL;
    if (ng_store_open(box_path, NG_STORE_WRITE, &store)) _exit(1);
    for (int n = 0; n < 10000; n++) {
        bool done = false;
        ng_unit u = box_unit(n);
        if (ng_store_done(store, "s", &u, &done)) _exit(1);
        if (done) continue;
        if (box_commit(store, "s", n)) _exit(1);
        say(to, n);
    }
}

START_TEST(killed_writer_loses_no_committed_unit) {
    int committed = -1;
    box_make(box_path, 0);
    box_seed((uint64_t)time(NULL));
    for (int kills = 0; kills < 15; kills++) {
        child c = start(commit_forever);
        int first = hear(&c);
        ck_assert_int_gt(first, committed);
        committed = first;
        struct timespec delay = {0, (long)box_random(20000) * 1000};
        nanosleep(&delay, NULL);
        kill(c.pid, SIGKILL);
        for (int n; (n = hear(&c)) >= 0;) committed = n;
        end(&c, 0);
        ng_store *store = box_open(box_path, NG_STORE_READ);
        ok(ng_store_check(store, NULL, NULL));
        for (int n = 0; n <= committed; n++)
            ck_assert_msg(box_whole(store, "s", n), "unit %d of %d is lost", n, committed);
        /* one more may be there: committed, but not reported yet */
        if (box_whole(store, "s", committed + 1)) committed++;
        ck_assert(!box_whole(store, "s", committed + 1));
        ng_store_close(store);
    }
}
END_TEST

/* Dies in the middle of a transaction that has reached the file already. */
static void die_while_writing(int to) {
    ng_sql *sql = NULL;
    (void)to;
    if (ng_sql_open(&sql, box_path, NG_SQL_RAW, 1000)) _exit(1);
    if (ng_sql_exec(sql,
                    "PRAGMA cache_size=1; BEGIN IMMEDIATE; DELETE FROM trial;"
                    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n "
                    "WHERE i < 3000) INSERT INTO winner SELECT 1, 'any', 'never', 1, i FROM n"))
        _exit(1);
    raise(SIGKILL);
}

static void die_and_leave_journal(void) {
    child c = start(die_while_writing);
    ck_assert(WIFSIGNALED(end(&c, 0)));
    ck_assert_int_eq(access(box_file("tuned.db-journal"), F_OK), 0);
}

START_TEST(cut_off_transaction_is_undone_by_the_next_reader) {
    static const ng_store_access ways[] = {NG_STORE_READ, NG_STORE_WRITE};
    box_make(box_path, 40);
    char *before = box_dump(box_path);
    for (int i = 0; i < 2; i++) {
        die_and_leave_journal();
        ng_store *store = box_open(box_path, ways[i]);
        ok(ng_store_check(store, NULL, NULL));
        ng_store_close(store);
        char *after = box_dump(box_path);
        ck_assert_str_eq(before, after);
        free(after);
    }
    free(before);
}
END_TEST

static void commit_share(int to) {
    int me = 0;
    ng_store *store = NULL;
    char uuid[37];
    while (access(box_file("go"), F_OK) != 0) usleep(100);
    snprintf(uuid, sizeof uuid, "own-%d", (int)getpid());
    say(to, (int)getpid());
    /* all start together: making the file is part of the race */
    if (ng_store_open_wait(box_path, NG_STORE_WRITE, 30000, &store)) me = 1;
    ng_session own = {.effort = NG_QUICK, .noise = (double)NAN}, shared = own;
    snprintf(own.uuid, sizeof own.uuid, "%s", uuid);
    snprintf(shared.uuid, sizeof shared.uuid, "shared");
    snprintf(shared.started, sizeof shared.started, "2026");
    if (!me && (ng_store_begin(store, &own) || ng_store_begin(store, &shared))) me = 2;
    for (int n = 0; !me && n < 25; n++)
        if (box_commit(store, uuid, n) || box_commit(store, "shared", n)) me = 3;
    if (me) fprintf(stderr, "writer: step %d: %s\n", me, normgen_error());
    say(to, me);
}

START_TEST(writers_at_once_lose_nothing) {
    enum { WRITERS = 3 };
    child c[WRITERS];
    char uuid[WRITERS][37];
    bool done;
    for (int i = 0; i < WRITERS; i++) c[i] = start(commit_share);
    box_write(box_file("go"), "", 0);
    for (int i = 0; i < WRITERS; i++) {
        snprintf(uuid[i], sizeof uuid[i], "own-%d", hear(&c[i]));
        ck_assert_int_eq(hear(&c[i]), 0);
        end(&c[i], 0);
    }
    ng_store *store = box_open(box_path, NG_STORE_READ);
    ng_store_counts counts;
    ok(ng_store_check(store, &counts, NULL));
    for (int n = 0; n < 25; n++) {
        ng_unit u = box_unit(n);
        for (int i = 0; i <= WRITERS; i++) {
            ok(ng_store_done(store, i < WRITERS ? uuid[i] : "shared", &u, &done));
            ck_assert(done);
        }
    }
    ck_assert_int_eq(counts.sessions, WRITERS + 1);
    ck_assert_int_eq(counts.trials, (WRITERS + 1) * 25 * BOX_TRIALS);
    ck_assert_int_eq(counts.winners, (WRITERS + 1) * 25 * 2);
    ng_store_close(store);
}
END_TEST

/* ---- full disks ---- */

/* Commits until it fails; returns the number of the unit that did. */
static int fill(ng_store *store) {
    for (int n = 1; n < 1000; n++) {
        normgen_status status = box_commit(store, "s", n);
        if (status == NORMGEN_OK) continue;
        ck_assert_int_eq(status, NORMGEN_E_STORE);
        return n;
    }
    ck_abort_msg("the limit did not work");
}

START_TEST(full_disk_loses_only_the_unit_that_did_not_fit) {
    box_make(box_path, 1);
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ok(ng_sql_exec(store->sql, "PRAGMA max_page_count=20"));
    int n = fill(store);
    ck_assert_int_gt(n, 1);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "the disk is full"));
    for (int i = 0; i <= n; i++) ck_assert(box_whole(store, "s", i) == (i < n));
    ok(ng_store_check(store, NULL, NULL));
    ok(ng_sql_exec(store->sql, "PRAGMA max_page_count=100000"));
    ok(box_commit(store, "s", n));
    ck_assert(box_whole(store, "s", n));
    ng_store_close(store);
}
END_TEST

START_TEST(failing_write_loses_only_the_unit_that_did_not_fit) {
    struct rlimit old, small = {60000, RLIM_INFINITY};
    box_make(box_path, 1);
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    int n = fill(store);
    ck_assert_msg(strstr(normgen_error(), "check the disk and its limits"), "%s", normgen_error());
    for (int i = 0; i <= n; i++) ck_assert(box_whole(store, "s", i) == (i < n));
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    ok(box_commit(store, "s", n));
    ok(ng_store_check(store, NULL, NULL));
    ng_store_close(store);
}
END_TEST

/* ---- permissions ---- */

/* Whether somebody else can be played; says so when not. */
static bool can_change_user(void) {
    const char *ci = getenv("CI");
    if (geteuid() == 0) return true;
    fprintf(stderr, "not run: files of another user (run the tests as root)\n");
    ck_assert_msg(!ci || strcmp(ci, "true") != 0, "CI must run this as root");
    return false;
}

/* Becomes an ordinary user for the rest of the test; the files then stay for the teardown. */
static void become_nobody(void) {
    if (geteuid() != 0) return;
    ck_assert_int_eq(setegid(NOBODY), 0);
    ck_assert_int_eq(seteuid(NOBODY), 0);
}

static void become_root_again(void) {
    if (getuid() == 0) ck_assert_int_eq(seteuid(0), 0);
}

/* Everything in the box belongs to that user. */
static void give_to(uid_t uid) {
    if (geteuid() != 0) return;
    ck_assert_int_eq(chown(box_dir, uid, (gid_t)-1), 0);
    ck_assert_int_eq(chown(box_path, uid, (gid_t)-1), 0);
}

/* The store can be read, with a note, and is not written. */
static void read_but_not_written(const char *part) {
    ng_store *store = box_open(box_path, NG_STORE_READ), *none = NULL;
    ck_assert_msg(strstr(ng_store_note(store), part), "%s", ng_store_note(store));
    ck_assert(box_whole(store, "s", 0));
    ok(ng_store_check(store, NULL, NULL));
    ng_store_close(store);
    refused(ng_store_open(box_path, NG_STORE_WRITE, &none), part);
}

START_TEST(store_of_another_user_is_read_but_not_written) {
    if (!can_change_user()) return;
    box_make(box_path, 1);
    ck_assert_int_eq(chmod(box_dir, 0755), 0);
    ck_assert_int_eq(chmod(box_path, 0666), 0);
    become_nobody();
    read_but_not_written("belongs to user 0");
    become_root_again();
    give_to(NOBODY);
    ck_assert_int_eq(chmod(box_path, 0600), 0);
    read_but_not_written("belongs to user 65534"); /* root could write, and does not either */
    ck_assert_int_eq(chown(box_path, 0, 0), 0);
    become_nobody();
    box_refused(box_path, ""); /* not even readable */
    become_root_again();
}
END_TEST

START_TEST(store_that_everyone_may_write_is_read_but_not_written) {
    box_make(box_path, 1);
    ck_assert_int_eq(chmod(box_path, 0602), 0);
    read_but_not_written("can be written by everyone");
    ck_assert_int_eq(chmod(box_path, 0600), 0);
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ck_assert_str_eq(ng_store_note(store), "");
    ng_store_close(store);
}
END_TEST

START_TEST(journal_of_another_user_is_not_played_back) {
    if (!can_change_user()) return;
    box_make(box_path, 1);
    die_and_leave_journal();
    ck_assert_int_eq(chown(box_file("tuned.db-journal"), NOBODY, NOBODY), 0);
    box_refused_untouched(box_path, "put there by user 65534");
    ck_assert_int_eq(chown(box_file("tuned.db-journal"), 0, 0), 0);
    ng_store *store = box_open(box_path, NG_STORE_READ);
    ck_assert(box_whole(store, "s", 0));
    ng_store_close(store);
}
END_TEST

START_TEST(read_only_file_and_directory_are_named) {
    ng_store *none = NULL;
    box_make(box_path, 1);
    give_to(NOBODY);
    become_nobody();
    ck_assert_int_eq(chmod(box_path, 0400), 0);
    refused(ng_store_open(box_path, NG_STORE_WRITE, &none), "is read-only");
    ng_store_close(box_open(box_path, NG_STORE_READ));
    ck_assert_int_eq(chmod(box_path, 0600), 0);
    ck_assert_int_eq(chmod(box_dir, 0500), 0);
    refused(ng_store_open(box_path, NG_STORE_WRITE, &none), "its directory is read-only");
    refused(ng_store_open(box_file("new.db"), NG_STORE_WRITE, &none), "Permission denied");
    refused(ng_store_open(box_file("a/new.db"), NG_STORE_WRITE, &none), "Permission denied");
    ng_store *store = box_open(box_path, NG_STORE_READ);
    ck_assert(box_whole(store, "s", 0));
    ng_store_close(store);
    ck_assert_int_eq(chmod(box_path, 0), 0);
    refused(ng_store_open(box_path, NG_STORE_READ, &none), "opened");
    ck_assert_int_eq(chmod(box_dir, 0700), 0);
    become_root_again();
}
END_TEST

START_TEST(network_filesystems_are_known) {
    static const struct {
        uint32_t magic;
        const char *name;
    } cases[] = {{0x6969, "NFS"},        {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"},
                 {0x0bd00bd0, "Lustre"}, {0xef53, NULL},       {0, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *name = ng_dbfile_network(cases[i].magic);
        ck_assert_pstr_eq(name, cases[i].name);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {locked_store_names_the_process,
                                  killed_writer_loses_no_committed_unit,
                                  cut_off_transaction_is_undone_by_the_next_reader,
                                  writers_at_once_lose_nothing,
                                  full_disk_loses_only_the_unit_that_did_not_fit,
                                  failing_write_loses_only_the_unit_that_did_not_fit,
                                  store_of_another_user_is_read_but_not_written,
                                  store_that_everyone_may_write_is_read_but_not_written,
                                  journal_of_another_user_is_not_played_back,
                                  read_only_file_and_directory_are_named,
                                  network_filesystems_are_known};
    Suite *suite = suite_create("store_faults");
    TCase *tc = tcase_create("store_faults");
    tcase_add_checked_fixture(tc, box_setup, box_teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
