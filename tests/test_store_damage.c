/* SPDX-License-Identifier: Apache-2.0 */
/* The store's file when it is none, belongs to others, is damaged or was written to do harm. Every
 * failure is E_STORE with a text that says what and why; such files are left as they are. */
#include "storebox.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files that are not stores ---- */

START_TEST(missing_file_is_a_miss_for_readers) {
    ng_store *store = (ng_store *)box_dir;
    refused(ng_store_open(box_path, NG_STORE_READ, &store), "no such file");
    ck_assert_ptr_null(store);
    ck_assert_int_ne(access(box_path, F_OK), 0);
    refused(ng_store_open(box_file("no/such/dir.db"), NG_STORE_READ, &store), "no such file");
    ck_assert_int_ne(access(box_file("no"), F_OK), 0);
}
END_TEST

START_TEST(empty_file_is_a_miss_for_readers_and_a_start_for_writers) {
    ng_store *store = NULL;
    box_write(box_path, "", 0);
    refused(ng_store_open(box_path, NG_STORE_READ, &store), "is empty");
    box_make(box_path, 1);
}
END_TEST

START_TEST(things_that_are_no_files_are_refused) {
    char *big = malloc(6000);
    ck_assert_ptr_nonnull(big);
    box_refused(box_dir, "a directory");
    ck_assert_int_eq(mkfifo(box_file("fifo"), 0600), 0);
    box_refused(box_file("fifo"), "not a regular file");
    box_refused("/dev/null", "not a regular file");
    box_refused("", "1 to 499");
    box_write(box_path, "x", 1);
    box_refused(box_file("tuned.db/below.db"), box_file("tuned.db"));
    for (size_t n = 500; n < 6000; n += 5000 - 1) {
        memset(big, 'x', n);
        big[n] = 0;
        box_refused(big, "allowed are 1 to 499");
    }
    memset(big, 'x', 400);
    memcpy(big, box_dir, strlen(box_dir));
    big[strlen(box_dir)] = '/';
    big[400] = 0;
    box_refused(big, ""); /* a name of more than 255 bytes */
    free(big);
}
END_TEST

START_TEST(random_bytes_are_refused) {
    static const size_t sizes[] = {1, 15, 16, 99, 100, 101, 511, 512, 4096, 40000};
    static unsigned char bytes[40000];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        box_seed(i + 1);
        for (size_t k = 0; k < sizes[i]; k++) bytes[k] = (unsigned char)box_random(256);
        box_write(box_path, bytes, sizes[i]);
        box_refused_untouched(box_path, "not a store");
        memset(bytes, 0, sizes[i]);
        box_write(box_path, bytes, sizes[i]);
        box_refused_untouched(box_path, "not a store");
    }
}
END_TEST

START_TEST(database_of_another_program_is_refused) {
    box_raw(box_path, "CREATE TABLE t (x)");
    box_refused_untouched(box_path, "another program");
    box_raw(box_path, "PRAGMA application_id=1; PRAGMA user_version=1");
    box_refused_untouched(box_path, "another program");
}
END_TEST

START_TEST(newer_version_is_refused) {
    box_make(box_path, 1);
    box_raw(box_path, "PRAGMA user_version=2");
    box_refused_untouched(box_path, "version 2, this normgen knows up to 1");
    box_raw(box_path, "PRAGMA user_version=-5");
    box_refused_untouched(box_path, "damaged");
}
END_TEST

START_TEST(write_ahead_log_is_refused) {
    box_make(box_path, 1);
    box_raw(box_path, "PRAGMA journal_mode=WAL; INSERT INTO session VALUES ('a','b','c',1,1)");
    box_refused_untouched(box_path, "write-ahead log");
    ck_assert_int_ne(access(box_file("tuned.db-wal"), F_OK), 0);
    box_raw(box_path, "PRAGMA journal_mode=DELETE");
    ng_store_close(box_open(box_path, NG_STORE_WRITE));
}
END_TEST

/* ---- damage ---- */

START_TEST(cut_off_file_is_refused_at_every_length) {
    size_t size;
    box_make(box_path, 30);
    char *bytes = box_read(box_path, &size);
    ck_assert_uint_gt(size, 20000);
    for (size_t n = 1; n < size; n += n < 200 ? 1 : 501) {
        ng_store *store = NULL;
        box_write(box_file("cut.db"), bytes, n);
        normgen_status status = ng_store_open(box_file("cut.db"), NG_STORE_READ, &store);
        ck_assert_msg(status == NORMGEN_E_STORE, "%zu of %zu bytes: %d", n, size, status);
        ck_assert_ptr_nonnull(strstr(normgen_error(), "cut.db"));
        status = ng_store_open(box_file("cut.db"), NG_STORE_WRITE, &store);
        ck_assert_msg(status == NORMGEN_E_STORE, "%zu of %zu bytes: %d", n, size, status);
    }
    free(bytes);
}
END_TEST

START_TEST(damaged_bytes_never_crash) {
    size_t size;
    int found = 0;
    box_make(box_path, 20);
    char *bytes = box_read(box_path, &size), *copy = malloc(size);
    ck_assert_ptr_nonnull(copy);
    for (unsigned seed = 1; seed <= 150; seed++) {
        box_seed(seed);
        memcpy(copy, bytes, size);
        for (unsigned n = 1 + box_random(20); n > 0; n--) {
            size_t at = box_random(4) == 0 ? box_random(200) : box_random((unsigned)size);
            copy[at] = (char)box_random(256);
        }
        box_write(box_file("bad.db"), copy, size);
        found += box_use_all(box_file("bad.db")) != NORMGEN_OK;
    }
    ck_assert_int_gt(found, 50);
    free(copy);
    free(bytes);
}
END_TEST

/* Overwrites the content of the page that holds the text. */
static void destroy_page_with(const char *path, const char *text) {
    size_t size;
    char *bytes = box_read(path, &size);
    char *at = memmem(bytes + 4096, size - 4096, text, strlen(text));
    ck_assert_ptr_nonnull(at);
    memset(bytes + (at - bytes) / 4096 * 4096, 0x5a, 4096);
    box_write(path, bytes, size);
    free(bytes);
}

START_TEST(nothing_is_written_after_a_sign_of_damage) {
    ng_query q = {.regime = -1, .slot = -1};
    int n = 0;
    box_make(box_path, 30);
    destroy_page_with(box_path, BOX_SCHEDULE); /* winners */
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    refused(ng_store_winners(store, &q, NULL, &n), "is damaged");
    refused(box_commit(store, "s", 100), "nothing is written");
    refused(ng_store_check(store, NULL, NULL), "damaged");
    ng_store_close(store);
    ng_store *fresh = box_open(box_file("fresh.db"), NG_STORE_WRITE);
    refused(ng_store_merge(fresh, box_path, NULL), "damaged");
    ng_store_close(fresh);
    char *dump = box_dump(box_file("fresh.db"));
    ck_assert_str_eq(dump, "");
    free(dump);
}
END_TEST

/* ---- hostile content ---- */

START_TEST(tables_of_others_are_refused) {
    static const char *const changes[] = {
        "CREATE TRIGGER t AFTER INSERT ON trial BEGIN DELETE FROM trial; END",
        "CREATE VIEW v AS SELECT * FROM trial",
        "CREATE TABLE extra (x)",
        "CREATE INDEX i ON trial (ns)",
        "DROP TABLE winner",
        "DROP TABLE winner; CREATE VIEW winner AS SELECT * FROM trial",
        "ALTER TABLE trial ADD COLUMN more TEXT",
        "DROP TABLE trial; CREATE VIRTUAL TABLE trial USING fts3(unit, schedule, valid)",
        "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET rootpage = 2",
        "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE (x' WHERE name='trial'"};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        unlink(box_path);
        box_make(box_path, 1);
        box_raw(box_path, changes[i]);
        normgen_status status = box_use_all(box_path);
        ck_assert_msg(status == NORMGEN_E_STORE, "%s: %d", changes[i], status);
    }
}
END_TEST

/* Lets any type and NULL-free value in, then puts the definitions back. */
static void add_hostile_rows(const char *path, const char *sql) {
    box_raw(path, "PRAGMA writable_schema=ON; "
                  "UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT, ', ''), "
                  "') STRICT', ')')");
    box_raw(path, sql);
    box_raw(path,
            "PRAGMA writable_schema=ON; "
            "UPDATE sqlite_schema SET sql = replace(sql, 'WITHOUT ROWID', 'STRICT, WITHOUT ROWID')"
            "; UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'unit'");
}

static bool count_sessions(void *ctx, const ng_session *s) {
    ck_assert(s->cutoff <= 1 << 20);
    ++*(int *)ctx;
    return true;
}

/* Reads everything; asserts how many winners, trials of unit 0 and sessions fit. */
static void expect_fits(const char *path, int winners, int trials, int sessions) {
    ng_query q = {.regime = -1, .slot = -1};
    ng_unit u = box_unit(0);
    int n[3] = {0};
    ng_store *store = box_open(path, NG_STORE_READ);
    ok(ng_store_winners(store, &q, box_count_winner, &n[0]));
    ok(ng_store_trials(store, NULL, &u, box_count_trial, &n[1]));
    ok(ng_store_sessions(store, count_sessions, &n[2]));
    ck_assert_msg(n[0] == winners && n[1] == trials && n[2] == sessions,
                  "%d winners, %d trials, %d sessions", n[0], n[1], n[2]);
    ck_assert_int_gt(ng_store_ignored(store), 0);
    ng_store_close(store);
}

START_TEST(rows_that_do_not_fit_are_ignored_and_counted) {
    box_make(box_path, 1);
    add_hostile_rows(
        box_path,
        "INSERT INTO winner SELECT 1, 'any', 'x', v.column1, 1000 FROM "
        "(VALUES (9e999), (-9e999), (-1), (0), (x'31'), ('nan'), (1e300)) v;"
        "INSERT INTO winner SELECT 1, 'any', 'y', 1, v.column1 FROM "
        "(VALUES (-1), (1.5), ('many'), (x'00')) v;"
        "INSERT INTO winner SELECT 1, v.column1, 'z', 1, 1000 FROM "
        "(VALUES (''), ('ANY'), (1), (x'616e79'), ('any '), (hex(zeroblob(5000)))) v;"
        "INSERT INTO winner SELECT 1, 'any', v.column1, 1, 1000 FROM "
        "(VALUES (''), (x'78'), ('a' || char(27) || '[2J'), ('a' || char(0) || 'b'), "
        "('new' || char(10) || 'line'), (char(228)), (substr(hex(zeroblob(200)), 1, 160)), "
        "(hex(zeroblob(300000)))) v;"
        "INSERT INTO winner SELECT v.column1, 'any', 'orphan', 1, 1000 FROM "
        "(VALUES (77), ('1x'), (-1), (9e18)) v;"
        "INSERT INTO trial SELECT 1, 'x', v.column1, '', 1, 1, 1, 1 FROM "
        "(VALUES (2), (-1), ('yes'), (0.5)) v;"
        "INSERT INTO trial SELECT 1, 'x', 1, v.column1, 1, 1, 1, 1 FROM "
        "(VALUES (x'00'), (hex(zeroblob(128))), (char(9))) v;"
        "INSERT INTO trial SELECT 1, 'x', 1, '', v.column1, v.column1, 1, 1 FROM "
        "(VALUES (-1), (9e999), ('fast'), (x'31')) v;"
        "INSERT INTO trial SELECT 1, 'x', 1, '', 1, 1, v.column1, v.column1 FROM "
        "(VALUES (-1), (1.5), ('n'), (9e99)) v;"
        "INSERT INTO unit SELECT NULL, v.column1, 'm', 't', 'l1', 1, 's', 1 FROM "
        "(VALUES (''), (hex(zeroblob(512))), (x'41')) v;"
        "INSERT INTO unit SELECT NULL, 'spec', 'm', 't', v.column1, 1, 's', 1 FROM "
        "(VALUES (''), (0), ('l9'), (hex(zeroblob(50)))) v;"
        "INSERT INTO unit SELECT NULL, 'spec', 'm', 't', 'l1', v.column1, 's', 1 FROM "
        "(VALUES (0), (-1), (5000000000), ('one'), (1.5)) v;"
        "INSERT INTO unit SELECT NULL, 'spec', 'm', 't', 'l1', 1, 's', v.column1 FROM "
        "(VALUES (-1), ('r'), (1e99)) v;"
        "INSERT INTO winner SELECT id, 'any', 'x', 1, 1000 FROM unit WHERE id > 1;"
        "INSERT INTO session SELECT v.column1, '2026', 'j', 1, 1 FROM "
        "(VALUES (''), (hex(zeroblob(19))), (char(7))) v;"
        "INSERT INTO session SELECT 'u' || v.column1, '2026', 'j', v.column1, 1 FROM "
        "(VALUES (-1), (4), ('high'), (2.5)) v;"
        "INSERT INTO session SELECT 'v', '2026', 'j', 1, v.column1 FROM (VALUES (1.5), ('x')) v;"
        "INSERT INTO session SELECT 'w', '2026', hex(zeroblob(576)), 1, 1;"
        "INSERT INTO session_state SELECT 's', v.column1, 0, 1, 1, 'h' FROM "
        "(VALUES ('r'), (9e99)) v;"
        "INSERT INTO session_state SELECT 's', 99, 0, v.column1, 1, 'h' FROM "
        "(VALUES (9e999), (-9e999), ('loud')) v;"
        "INSERT INTO session_state SELECT 's', 99, v.column1, 0, 1, 'h' FROM "
        "(VALUES (2), ('x')) v;"
        "INSERT INTO session_state SELECT 's', 99, 0, 0, 1, hex(zeroblob(128));"
        "INSERT INTO session_state SELECT 's', 98, 0, 0, 9000000000000000000, 'h'");
    expect_fits(box_path, 2, BOX_TRIALS, 1);
}
END_TEST

/* A bad row with the highest claims does not hide the good one. */
START_TEST(bad_rows_do_not_hide_good_ones) {
    box_make(box_path, 1);
    add_hostile_rows(box_path, "INSERT INTO winner VALUES (1, 'any', '', 1, 9000000000000000000)");
    expect_fits(box_path, 2, BOX_TRIALS, 1);
}
END_TEST

START_TEST(merge_leaves_bad_rows_behind) {
    ng_store_counts added;
    box_make(box_path, 1);
    add_hostile_rows(box_path, "INSERT INTO winner VALUES (1, 'any', 'x', 'fast', 1)");
    ng_store *store = box_open(box_file("to.db"), NG_STORE_WRITE);
    refused(ng_store_merge(store, box_path, &added), "damaged"); /* types: found by the check */
    ng_store_close(store);
    unlink(box_path);
    box_make(box_path, 1);
    box_raw(box_path, "INSERT INTO winner VALUES (1, 'any', 'x', 9e999, 1);"
                      "INSERT INTO winner VALUES (55, 'any', 'orphan', 1, 1);"
                      "INSERT INTO trial VALUES (1, 'x', 1, '', -1, 1, 1, 1);"
                      "INSERT INTO session VALUES ('', '', '', 1, 1)");
    store = box_open(box_file("to.db"), NG_STORE_WRITE);
    ok(ng_store_merge(store, box_path, &added));
    ck_assert(added.sessions == 1 && added.trials == BOX_TRIALS && added.winners == 2);
    ck_assert_int_eq(ng_store_ignored(store), 4);
    ck_assert(box_whole(store, "s", 0));
    ng_store_close(store);
}
END_TEST

START_TEST(huge_values_are_refused) {
    ng_query q = {.regime = -1, .slot = -1};
    int n = 0;
    box_make(box_path, 1);
    box_raw(box_path, "INSERT INTO winner SELECT 1, 'any', hex(zeroblob(3000000)), 1, 1");
    ng_store *store = box_open(box_path, NG_STORE_READ);
    refused(ng_store_winners(store, &q, box_count_winner, &n), "more than 1 MiB");
    ng_store_close(store);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {missing_file_is_a_miss_for_readers,
                                  empty_file_is_a_miss_for_readers_and_a_start_for_writers,
                                  things_that_are_no_files_are_refused,
                                  random_bytes_are_refused,
                                  database_of_another_program_is_refused,
                                  newer_version_is_refused,
                                  write_ahead_log_is_refused,
                                  cut_off_file_is_refused_at_every_length,
                                  damaged_bytes_never_crash,
                                  nothing_is_written_after_a_sign_of_damage,
                                  tables_of_others_are_refused,
                                  rows_that_do_not_fit_are_ignored_and_counted,
                                  bad_rows_do_not_hide_good_ones,
                                  merge_leaves_bad_rows_behind,
                                  huge_values_are_refused};
    Suite *suite = suite_create("store_damage");
    TCase *tc = tcase_create("store_damage");
    tcase_add_checked_fixture(tc, box_setup, box_teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
