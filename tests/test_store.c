/* SPDX-License-Identifier: Apache-2.0 */
/* The store when nothing goes wrong: where it is, its sessions, what is written comes back, older
 * files. */
#include "storebox.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- where it is ---- */

START_TEST(default_path_follows_the_environment) {
    char path[256], tiny[8];
    setenv("NORMGEN_DB", "/a/b.db", 1);
    setenv("XDG_DATA_HOME", "/data", 1);
    setenv("HOME", "/home/me", 1);
    ok(ng_store_default_path(path, sizeof path));
    ck_assert_str_eq(path, "/a/b.db");
    unsetenv("NORMGEN_DB");
    ok(ng_store_default_path(path, sizeof path));
    ck_assert_str_eq(path, "/data/normgen/tuned.db");
    ck_assert_int_eq(ng_store_default_path(tiny, sizeof tiny), NORMGEN_E_ARGUMENT);
    setenv("XDG_DATA_HOME", "relative", 1);
    ok(ng_store_default_path(path, sizeof path));
    ck_assert_str_eq(path, "/home/me/.local/share/normgen/tuned.db");
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    ck_assert_int_eq(ng_store_default_path(path, sizeof path), NORMGEN_E_ARGUMENT);
}
END_TEST

static unsigned mode_of(const char *path) {
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_mode & 07777;
}

START_TEST(new_store_is_private_whatever_the_umask) {
    static const mode_t masks[] = {0, 022, 0777};
    for (int i = 0; i < 3; i++) {
        char path[160];
        umask(masks[i]);
        snprintf(path, sizeof path, "%s/a%d/b/tuned.db", box_dir, i);
        ng_store_close(box_open(path, NG_STORE_WRITE));
        ck_assert_uint_eq(mode_of(path), 0600);
        *strrchr(path, '/') = 0;
        ck_assert_uint_eq(mode_of(path), 0700);
        *strrchr(path, '/') = 0;
        ck_assert_uint_eq(mode_of(path), 0700);
    }
}
END_TEST

START_TEST(names_of_files_mean_nothing_to_sqlite) {
    static const char *const names[] = {"file:x.db?mode=memory", ":memory:", "a 'b' \"c\".db",
                                        "\xc3\xa4%20.db", "-x"};
    ck_assert_int_eq(chdir(box_dir), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ng_store *store = box_open(names[i], NG_STORE_WRITE);
        box_session(store, "s", NG_QUICK);
        ng_store_close(store);
        ck_assert_msg(access(names[i], F_OK) == 0, "%s is not there", names[i]);
    }
}
END_TEST

START_TEST(reading_a_store_never_changes_it) {
    size_t before, after;
    ng_session s = {.noise = (double)NAN};
    ng_unit u = box_unit(0);
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "s", NG_QUICK);
    ng_store_close(store);
    char *a = box_read(box_path, &before);
    store = box_open(box_path, NG_STORE_READ);
    refused(ng_store_begin(store, &s), "opened for reading");
    refused(ng_store_update(store, &s), "opened for reading");
    refused(ng_store_commit(store, "s", &u, NULL, 0, NULL, 0), "opened for reading");
    refused(ng_store_merge(store, box_path, NULL), "opened for reading");
    ok(ng_store_check(store, NULL, NULL));
    ng_store_close(store);
    char *b = box_read(box_path, &after);
    ck_assert_uint_eq(before, after);
    ck_assert_mem_eq(a, b, before);
    free(a);
    free(b);
}
END_TEST

/* ---- sessions ---- */

START_TEST(session_gets_a_uuid_and_its_time) {
    ng_session a = {.effort = NG_QUICK, .noise = (double)NAN}, b = a;
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ok(ng_store_begin(store, &a));
    ok(ng_store_begin(store, &b));
    ck_assert_uint_eq(strlen(a.uuid), 36);
    ck_assert_int_eq(a.uuid[14], '4');
    ck_assert_str_ne(a.uuid, b.uuid);
    ck_assert_uint_eq(strlen(a.started), strlen("2026-01-02T03:04:05.678901Z"));
    ck_assert_int_eq(a.started[26], 'Z');
    ck_assert(strcmp(a.started, b.started) <= 0);
    ng_store_close(store);
}
END_TEST

START_TEST(session_is_found_again_until_it_is_finished) {
    bool found;
    ng_session r;
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ng_session a = box_session(store, "", NG_QUICK), b = box_session(store, "", NG_QUICK);
    ok(ng_store_resume(store, "job", NG_QUICK, 7, &r, &found));
    ck_assert(found);
    ck_assert_str_eq(r.uuid, b.uuid);
    ck_assert(isnan(r.noise));
    ok(ng_store_resume(store, "job", NG_NORMAL, 7, &r, &found));
    ck_assert(!found);
    ok(ng_store_resume(store, "job", NG_QUICK, 8, &r, &found));
    ck_assert(!found);
    ok(ng_store_resume(store, "jo", NG_QUICK, 7, &r, &found));
    ck_assert(!found);
    b.noise = 0.25;
    b.cutoff = 77;
    snprintf(b.host, sizeof b.host, "two cores");
    ok(ng_store_update(store, &b));
    ok(ng_store_resume(store, "job", NG_QUICK, 7, &r, &found));
    ck_assert(found && r.noise == 0.25 && r.cutoff == 77 && !r.finished);
    ck_assert_str_eq(r.host, "two cores");
    b.finished = true;
    ok(ng_store_update(store, &b));
    ok(ng_store_resume(store, "job", NG_QUICK, 7, &r, &found));
    ck_assert(found);
    ck_assert_str_eq(r.uuid, a.uuid);
    a.finished = true;
    ok(ng_store_update(store, &a));
    ok(ng_store_resume(store, "job", NG_QUICK, 7, &r, &found));
    ck_assert(!found);
    ng_store_close(store);
}
END_TEST

static bool keep_session(void *ctx, const ng_session *s) {
    *(ng_session *)ctx = *s;
    return false;
}

START_TEST(cutoff_is_clamped) {
    static const int64_t cases[][2] = {
        {0, 0}, {1, 2}, {2, 2}, {1 << 20, 1 << 20}, {INT64_MAX, 1 << 20}};
    ng_session r;
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ng_session s = box_session(store, "s", NG_QUICK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s.cutoff = cases[i][0];
        ok(ng_store_update(store, &s));
        ok(ng_store_sessions(store, keep_session, &r));
        ck_assert_int_eq(r.cutoff, cases[i][1]);
    }
    ng_store_close(store);
}
END_TEST

START_TEST(cutoff_is_of_the_newest_session_on_the_machine) {
    static const struct {
        const char *uuid;
        int64_t cutoff;
        int unit; /* -1: none, so of no machine */
    } cases[] = {{"a", 500, 0}, {"b", 700, 1}, {"c", 0, 2}, {"d", 900, -1}};
    int64_t cutoff = -1;
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ok(ng_store_cutoff(store, BOX_MACHINE, &cutoff));
    ck_assert_int_eq(cutoff, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ng_session s = box_session(store, cases[i].uuid, NG_QUICK);
        if (cases[i].unit >= 0) ok(box_commit(store, cases[i].uuid, cases[i].unit));
        s.cutoff = cases[i].cutoff;
        ok(ng_store_update(store, &s));
    }
    ok(ng_store_cutoff(store, BOX_MACHINE, &cutoff));
    ck_assert_int_eq(cutoff, 700);
    ok(ng_store_cutoff(store, "another machine", &cutoff));
    ck_assert_int_eq(cutoff, 0);
    ng_store_close(store);
}
END_TEST

START_TEST(texts_of_people_cannot_drive_a_terminal) {
    bool found;
    ng_session s = {.effort = NG_QUICK, .noise = (double)NAN}, r;
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    snprintf(s.job, sizeof s.job, "a\x1b[2J\n\xc3\xa4");
    snprintf(s.host, sizeof s.host, "\x1b[31mred");
    ok(ng_store_begin(store, &s));
    ok(ng_store_resume(store, s.job, NG_QUICK, 0, &r, &found));
    ck_assert(found);
    ck_assert_str_eq(r.job, "a?[2J???");
    ck_assert_str_eq(r.host, "?[31mred");
    ng_store_close(store);
}
END_TEST

/* ---- units ---- */

START_TEST(committed_unit_is_done_and_only_that) {
    bool done;
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ng_session s = box_session(store, "one", NG_QUICK);
    box_session(store, "two", NG_QUICK);
    ok(box_commit(store, s.uuid, 3));
    for (int n = 0; n < 20; n++) ck_assert(box_whole(store, "one", n) == (n == 3));
    ng_unit u = box_unit(3);
    ok(ng_store_done(store, "two", &u, &done));
    ck_assert(!done);
    u.machine = "another isa=none";
    ok(ng_store_done(store, "one", &u, &done));
    ck_assert(!done);
    ng_store_close(store);
    store = box_open(box_path, NG_STORE_READ);
    ck_assert(box_whole(store, "one", 3));
    ng_store_close(store);
}
END_TEST

START_TEST(unit_without_trials_is_done_too) {
    bool done;
    ng_unit u = box_unit(0);
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "one", NG_QUICK);
    ok(ng_store_commit(store, "one", &u, NULL, 0, NULL, 0));
    ok(ng_store_done(store, "one", &u, &done));
    ck_assert(done);
    ng_store_close(store);
}
END_TEST

START_TEST(unit_committed_twice_stays_as_it_was) {
    ng_unit u = box_unit(1);
    ng_winner w = {.slot = NG_SLOT_ANY, .schedule = "other", .ns = 1, .pairs = 1000};
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "one", NG_QUICK);
    ok(box_commit(store, "one", 1));
    char *before = box_dump(box_path);
    ok(ng_store_commit(store, "one", &u, NULL, 0, &w, 1));
    u.rows++;
    ok(ng_store_commit(store, "one", &u, NULL, 0, &w, 1));
    char *after = box_dump(box_path);
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    ng_store_close(store);
}
END_TEST

START_TEST(wrong_arguments_store_nothing) {
    ng_unit good = box_unit(1), u = good;
    ng_trial t = {.schedule = "x", .valid = true, .ns = 1};
    ng_winner w = {.slot = NG_SLOT_ANY, .schedule = "x", .ns = 1};
    char longer[NORMGEN_SPEC_TEXT + 1];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "one", NG_QUICK);
    char *before = box_dump(box_path);
#define WRONG(session, change, restore)                                                            \
    change;                                                                                        \
    ck_assert_int_eq(ng_store_commit(store, session, &u, &t, 1, &w, 1), NORMGEN_E_ARGUMENT);       \
    restore
    WRONG("nobody", (void)0, (void)0);
    WRONG("one", u.spec = "a\nb", u = good);
    WRONG("one", u.machine = "", u = good);
    WRONG("one", u.spec = longer, u = good);
    WRONG("one", u.regime = NG_REGIME_COUNT, u = good);
    WRONG("one", u.threads = 0, u = good);
    WRONG("one", u.rows = -1, u = good);
    WRONG("one", t.ns = (double)NAN, t.ns = 1);
    WRONG("one", t.ns = (double)INFINITY, t.ns = 1);
    WRONG("one", t.spread = -1, t.spread = 0);
    WRONG("one", t.schedule[0] = 0, t.schedule[0] = 'x');
    WRONG("one", w.ns = 0, w.ns = 1);
    WRONG("one", w.ns = (double)NAN, w.ns = 1);
    WRONG("one", w.slot = NG_SLOT_COUNT, w.slot = NG_SLOT_ANY);
    WRONG("one", w.pairs = -1, w.pairs = 0);
    char *after = box_dump(box_path);
    ck_assert_str_eq(before, after);
    ok(ng_store_commit(store, "one", &u, &t, 1, &w, 1));
    free(before);
    free(after);
    ng_store_close(store);
}
END_TEST

START_TEST(trials_come_fastest_first) {
    ng_trial t[] = {{.schedule = "invalid", .ns = 1, .reason = "bits differ"},
                    {.schedule = "untimed", .valid = true},
                    {.schedule = "slow", .valid = true, .ns = 30.5},
                    {.schedule = "fast", .valid = true, .ns = 2},
                    {.schedule = "middle", .valid = true, .ns = 10}};
    ng_unit u = box_unit(0), any = u;
    box_list all = {0}, two = {.stop = 2}, none = {0};
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "one", NG_QUICK);
    ok(ng_store_commit(store, "one", &u, t, 5, NULL, 0));
    any.machine = any.toolchain = NULL;
    ok(ng_store_trials(store, NULL, &any, box_list_trial, &all));
    ck_assert_str_eq(all.text, "fast;middle;slow;untimed;invalid;");
    ok(ng_store_trials(store, "one", &u, box_list_trial, &two));
    ck_assert_str_eq(two.text, "fast;middle;");
    ok(ng_store_trials(store, "two", &u, box_list_trial, &none));
    ck_assert_str_eq(none.text, "");
    ng_store_close(store);
}
END_TEST

/* ---- versions ---- */

START_TEST(older_file_is_brought_up_to_date) {
    static const char first[] = "CREATE TABLE a (x);", now[] = "CREATE TABLE a (x); "
                                                               "CREATE TABLE b (y);"
                                                               "CREATE TABLE c (z);";
    static const char *const steps[] = {NULL, "CREATE TABLE b (y)", "CREATE TABLE c (z)"};
    ng_sql *sql = NULL;
    int64_t version;
    box_write(box_path, "", 0);
    ok(ng_sql_open(&sql, box_path, NG_SQL_WRITE, 100));
    ok(ng_store_migrate(sql, first, steps, 1));
    ok(ng_sql_exec(sql, "INSERT INTO a VALUES (42)"));
    ok(ng_store_migrate(sql, now, steps, 3));
    ok(ng_sql_number(sql, "PRAGMA user_version", &version));
    ck_assert_int_eq(version, 3);
    ok(ng_store_same_schema(sql, now, box_path));
    refused(ng_store_same_schema(sql, first, box_path), "not those that normgen makes");
    ok(ng_store_migrate(sql, first, steps, 1)); /* a newer one is left alone */
    ok(ng_sql_number(sql, "PRAGMA user_version", &version));
    ck_assert_int_eq(version, 3);
    ok(ng_sql_number(sql, "SELECT x FROM a", &version));
    ck_assert_int_eq(version, 42);
    ng_sql_close(sql);
}
END_TEST

START_TEST(failed_migration_changes_nothing) {
    static const char *const steps[] = {NULL, "CREATE TABLE b (y); SELECT nonsense"};
    ng_sql *sql = NULL;
    int64_t n;
    box_write(box_path, "", 0);
    ok(ng_sql_open(&sql, box_path, NG_SQL_WRITE, 100));
    ok(ng_store_migrate(sql, "CREATE TABLE a (x)", steps, 1));
    refused(ng_store_migrate(sql, "", steps, 2), "nonsense");
    ok(ng_sql_number(sql, "PRAGMA user_version", &n));
    ck_assert_int_eq(n, 1);
    ok(ng_sql_number(sql, "SELECT count(*) FROM sqlite_schema", &n));
    ck_assert_int_eq(n, 1);
    ng_sql_close(sql);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {default_path_follows_the_environment,
                                  new_store_is_private_whatever_the_umask,
                                  names_of_files_mean_nothing_to_sqlite,
                                  reading_a_store_never_changes_it,
                                  session_gets_a_uuid_and_its_time,
                                  session_is_found_again_until_it_is_finished,
                                  cutoff_is_clamped,
                                  cutoff_is_of_the_newest_session_on_the_machine,
                                  texts_of_people_cannot_drive_a_terminal,
                                  committed_unit_is_done_and_only_that,
                                  unit_without_trials_is_done_too,
                                  unit_committed_twice_stays_as_it_was,
                                  wrong_arguments_store_nothing,
                                  trials_come_fastest_first,
                                  older_file_is_brought_up_to_date,
                                  failed_migration_changes_nothing};
    Suite *suite = suite_create("store");
    TCase *tc = tcase_create("store");
    tcase_add_checked_fixture(tc, box_setup, box_teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
