/* SPDX-License-Identifier: Apache-2.0 */
/* The store when things go wrong: damaged, foreign, hostile, locked, full and forbidden files,
 * killed and competing writers. Every failure is E_STORE with a text that says what and why, and
 * what was committed before is still there. */
#include "storebox.h"

#include <errno.h>
#include <fcntl.h>
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

/* A store with one session "s" that has committed units 0 to n-1. */
static void make_store(const char *path, int n) {
    ng_store *store = box_open(path, NG_STORE_WRITE);
    box_session(store, "s", NG_QUICK);
    for (int i = 0; i < n; i++) ok(box_commit(store, "s", i));
    ng_store_close(store);
}

static void refused_both_ways(const char *path, const char *part) {
    ng_store *store = NULL;
    refused(ng_store_open(path, NG_STORE_READ, &store), part);
    ck_assert_ptr_null(store);
    refused(ng_store_open(path, NG_STORE_WRITE, &store), part);
    ck_assert_ptr_null(store);
}

/* The file is refused and left exactly as it is. */
static void refused_untouched(const char *path, const char *part) {
    size_t before, after;
    char *a = box_read(path, &before);
    refused_both_ways(path, part);
    char *b = box_read(path, &after);
    ck_assert_uint_eq(before, after);
    ck_assert_mem_eq(a, b, before);
    free(a);
    free(b);
}

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
    make_store(box_path, 1);
}
END_TEST

START_TEST(things_that_are_no_files_are_refused) {
    char *big = malloc(6000);
    ck_assert_ptr_nonnull(big);
    refused_both_ways(box_dir, "a directory");
    ck_assert_int_eq(mkfifo(box_file("fifo"), 0600), 0);
    refused_both_ways(box_file("fifo"), "not a regular file");
    refused_both_ways("/dev/null", "not a regular file");
    refused_both_ways("", "1 to 499");
    box_write(box_path, "x", 1);
    refused_both_ways(box_file("tuned.db/below.db"), box_file("tuned.db"));
    for (size_t n = 500; n < 6000; n += 5000 - 1) {
        memset(big, 'x', n);
        big[n] = 0;
        refused_both_ways(big, "allowed are 1 to 499");
    }
    memset(big, 'x', 400);
    memcpy(big, box_dir, strlen(box_dir));
    big[strlen(box_dir)] = '/';
    big[400] = 0;
    refused_both_ways(big, ""); /* a name of more than 255 bytes */
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
        refused_untouched(box_path, "not a store");
        memset(bytes, 0, sizes[i]);
        box_write(box_path, bytes, sizes[i]);
        refused_untouched(box_path, "not a store");
    }
}
END_TEST

START_TEST(database_of_another_program_is_refused) {
    box_raw(box_path, "CREATE TABLE t (x)");
    refused_untouched(box_path, "another program");
    box_raw(box_path, "PRAGMA application_id=1; PRAGMA user_version=1");
    refused_untouched(box_path, "another program");
}
END_TEST

START_TEST(newer_version_is_refused) {
    make_store(box_path, 1);
    box_raw(box_path, "PRAGMA user_version=2");
    refused_untouched(box_path, "version 2, this normgen knows up to 1");
    box_raw(box_path, "PRAGMA user_version=-5");
    refused_untouched(box_path, "damaged");
}
END_TEST

START_TEST(write_ahead_log_is_refused) {
    make_store(box_path, 1);
    box_raw(box_path, "PRAGMA journal_mode=WAL; INSERT INTO session VALUES ('a','b','c',1,1)");
    refused_untouched(box_path, "write-ahead log");
    ck_assert_int_ne(access(box_file("tuned.db-wal"), F_OK), 0);
    box_raw(box_path, "PRAGMA journal_mode=DELETE");
    ng_store_close(box_open(box_path, NG_STORE_WRITE));
}
END_TEST

/* ---- damage ---- */

START_TEST(cut_off_file_is_refused_at_every_length) {
    size_t size;
    make_store(box_path, 30);
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
    make_store(box_path, 20);
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
    make_store(box_path, 30);
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
        make_store(box_path, 1);
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

static bool count(void *ctx, const ng_found *f) {
    (void)f;
    ++*(int *)ctx;
    return true;
}

static bool count_sessions(void *ctx, const ng_session *s) {
    ck_assert(s->cutoff <= 1 << 20);
    ++*(int *)ctx;
    return true;
}

static bool count_trials(void *ctx, const ng_trial *t) {
    (void)t;
    ++*(int *)ctx;
    return true;
}

/* Reads everything; asserts how many winners, trials of unit 0 and sessions fit. */
static void expect_fits(const char *path, int winners, int trials, int sessions) {
    ng_query q = {.regime = -1, .slot = -1};
    ng_unit u = box_unit(0);
    int n[3] = {0};
    ng_store *store = box_open(path, NG_STORE_READ);
    ok(ng_store_winners(store, &q, count, &n[0]));
    ok(ng_store_trials(store, NULL, &u, count_trials, &n[1]));
    ok(ng_store_sessions(store, count_sessions, &n[2]));
    ck_assert_msg(n[0] == winners && n[1] == trials && n[2] == sessions,
                  "%d winners, %d trials, %d sessions", n[0], n[1], n[2]);
    ck_assert_int_gt(ng_store_ignored(store), 0);
    ng_store_close(store);
}

START_TEST(rows_that_do_not_fit_are_ignored_and_counted) {
    make_store(box_path, 1);
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
    make_store(box_path, 1);
    add_hostile_rows(box_path, "INSERT INTO winner VALUES (1, 'any', '', 1, 9000000000000000000)");
    expect_fits(box_path, 2, BOX_TRIALS, 1);
}
END_TEST

START_TEST(merge_leaves_bad_rows_behind) {
    ng_store_counts added;
    make_store(box_path, 1);
    add_hostile_rows(box_path, "INSERT INTO winner VALUES (1, 'any', 'x', 'fast', 1)");
    ng_store *store = box_open(box_file("to.db"), NG_STORE_WRITE);
    refused(ng_store_merge(store, box_path, &added), "damaged"); /* types: found by the check */
    ng_store_close(store);
    unlink(box_path);
    make_store(box_path, 1);
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
    make_store(box_path, 1);
    box_raw(box_path, "INSERT INTO winner SELECT 1, 'any', hex(zeroblob(3000000)), 1, 1");
    ng_store *store = box_open(box_path, NG_STORE_READ);
    refused(ng_store_winners(store, &q, count, &n), "more than 1 MiB");
    ng_store_close(store);
}
END_TEST

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
    make_store(box_path, 1);
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
    make_store(box_path, 0);
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
    make_store(box_path, 40);
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
    make_store(box_path, 1);
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
    make_store(box_path, 1);
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
    make_store(box_path, 1);
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
    refused_both_ways(box_path, ""); /* not even readable */
    become_root_again();
}
END_TEST

START_TEST(store_that_everyone_may_write_is_read_but_not_written) {
    make_store(box_path, 1);
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
    make_store(box_path, 1);
    die_and_leave_journal();
    ck_assert_int_eq(chown(box_file("tuned.db-journal"), NOBODY, NOBODY), 0);
    refused_untouched(box_path, "put there by user 65534");
    ck_assert_int_eq(chown(box_file("tuned.db-journal"), 0, 0), 0);
    ng_store *store = box_open(box_path, NG_STORE_READ);
    ck_assert(box_whole(store, "s", 0));
    ng_store_close(store);
}
END_TEST

START_TEST(read_only_file_and_directory_are_named) {
    ng_store *none = NULL;
    make_store(box_path, 1);
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
                                  huge_values_are_refused,
                                  locked_store_names_the_process,
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
    return box_main(suite);
}
