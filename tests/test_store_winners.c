/* SPDX-License-Identifier: Apache-2.0 */
/* The store's winners: which one counts, the laws of a set union that merging obeys, and the check
 * of what nothing would use. */
#include "storebox.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- winners ---- */

static void add_winner(ng_store *store, const char *session, ng_unit u, ng_slot slot,
                       const char *schedule, int64_t pairs) {
    ng_winner w = {.slot = slot, .ns = 5, .pairs = pairs};
    snprintf(w.schedule, sizeof w.schedule, "%s", schedule);
    ok(ng_store_commit(store, session, &u, NULL, 0, &w, 1));
}

static const char *winners(ng_store *store, ng_query q) {
    static box_list l;
    l = (box_list){0};
    ok(ng_store_winners(store, &q, box_list_winner, &l));
    return l.text;
}

#define ANY {.regime = -1, .slot = -1}

/* The columns, from the most important: effort, pairs, started, uuid. */
START_TEST(effective_winner_is_the_greatest) {
    static const struct {
        const char *uuid, *started;
        int effort;
        int64_t pairs;
    } order[] = {{"a", "2026-01-01T00:00:00.000000Z", NG_QUICK, 10},
                 {"b", "2026-01-01T00:00:00.000000Z", NG_QUICK, 10},
                 {"a1", "2026-01-01T00:00:00.000001Z", NG_QUICK, 10},
                 {"a2", "2020-01-01T00:00:00.000000Z", NG_QUICK, 11},
                 {"a3", "2019-01-01T00:00:00.000000Z", NG_NORMAL, 1},
                 {"a4", "2018-01-01T00:00:00.000000Z", NG_THOROUGH, 0}};
    enum { N = sizeof order / sizeof order[0] };
    for (int turn = 0; turn < 2; turn++) {
        char name[16];
        snprintf(name, sizeof name, "%d.db", turn);
        ng_store *store = box_open(box_file(name), NG_STORE_WRITE);
        for (int i = 0; i < N; i++) {
            int k = turn ? N - 1 - i : i;
            ng_session s = {.effort = order[k].effort, .noise = (double)NAN};
            char expected[64];
            snprintf(s.uuid, sizeof s.uuid, "%s", order[k].uuid);
            snprintf(s.started, sizeof s.started, "%s", order[k].started);
            ok(ng_store_begin(store, &s));
            add_winner(store, s.uuid, box_unit(0), NG_SLOT_ANY, order[k].uuid, order[k].pairs);
            snprintf(expected, sizeof expected, "%s;", order[turn ? N - 1 : k].uuid);
            ck_assert_str_eq(winners(store, (ng_query)ANY), expected);
        }
        ng_store_close(store);
    }
}
END_TEST

START_TEST(winners_come_in_order_and_can_be_chosen) {
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ng_unit u = {"a", "m", "t", NG_DRAM, 1, 1};
    box_session(store, "s", NG_QUICK);
    add_winner(store, "s", u, NG_SLOT_ANY, "a dram 1 any", 1);
    u.regime = NG_LLC;
    u.threads = 2;
    add_winner(store, "s", u, NG_SLOT_CACHED, "a llc 2 cached", 1);
    u.threads = 1;
    add_winner(store, "s", u, NG_SLOT_LIMIT, "a llc 1 limit", 1);
    u.regime = NG_L1;
    u.toolchain = "t2";
    add_winner(store, "s", u, NG_SLOT_LIMIT, "a l1 t2", 1);
    u.spec = "b";
    u.machine = "m2";
    add_winner(store, "s", u, NG_SLOT_ANY, "b l1 m2", 1);
    ck_assert_str_eq(winners(store, (ng_query)ANY),
                     "a l1 t2;a llc 1 limit;a llc 2 cached;a dram 1 any;b l1 m2;");
#define CHOSEN(column, value, expected)                                                            \
    do {                                                                                           \
        ng_query q = ANY;                                                                          \
        q.column = value;                                                                          \
        ck_assert_str_eq(winners(store, q), expected);                                             \
    } while (0)
    CHOSEN(spec, "b", "b l1 m2;");
    CHOSEN(machine, "m2", "b l1 m2;");
    CHOSEN(toolchain, "t", "a llc 1 limit;a llc 2 cached;a dram 1 any;");
    CHOSEN(regime, NG_L1, "a l1 t2;b l1 m2;");
    CHOSEN(slot, NG_SLOT_LIMIT, "a l1 t2;a llc 1 limit;");
    CHOSEN(threads, 2, "a llc 2 cached;");
    CHOSEN(spec, "' OR 1=1 --", "");
    ng_store_close(store);
}
END_TEST

static bool keep_found(void *ctx, const ng_found *f) {
    *(ng_found *)ctx = *f;
    return false;
}

START_TEST(found_winner_tells_where_it_comes_from) {
    ng_found f = {0};
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ng_session s = box_session(store, "s", NG_NORMAL);
    ok(box_commit(store, "s", 5));
    ng_unit u = box_unit(5);
    ng_query q = {u.spec, u.machine, u.toolchain, (int)u.regime, NG_SLOT_ANY, u.threads};
    ok(ng_store_winners(store, &q, keep_found, &f));
    ck_assert_str_eq(f.spec, u.spec);
    ck_assert_str_eq(f.machine, u.machine);
    ck_assert_str_eq(f.toolchain, u.toolchain);
    ck_assert_str_eq(f.session, "s");
    ck_assert_str_eq(f.started, s.started);
    ck_assert_str_eq(f.winner.schedule, BOX_SCHEDULE);
    ck_assert(f.regime == u.regime && f.threads == u.threads && f.rows == u.rows);
    ck_assert(f.effort == NG_NORMAL && f.winner.ns == 6 && f.winner.pairs == 9);
    ng_store_close(store);
}
END_TEST

/* ---- merging ---- */

/* From small pools, so that stores share sessions, units and trials, and have twins: the same key
 * with other numbers, as in copies of an unfinished session. */
static void random_session(ng_store *store, char *uuid) {
    ng_session s = {.effort = 1 + (int)box_random(3), .noise = (double)NAN};
    snprintf(s.uuid, sizeof s.uuid, "session-%u", box_random(2));
    snprintf(s.started, sizeof s.started, "2026-01-0%uT00:00:00.000000Z", 1 + box_random(2));
    if (box_random(2)) s.noise = box_random(3) / 8.0;
    s.cutoff = box_random(2) * 8;
    s.finished = box_random(2);
    ok(ng_store_begin(store, &s));
    snprintf(uuid, sizeof s.uuid, "%s", s.uuid);
}

static void random_unit(ng_store *store, const char *uuid) {
    static const char *const words[] = {"memcpy", "limit a", BOX_SCHEDULE};
    ng_trial t[3] = {0};
    ng_winner w[2] = {0};
    unsigned n_trials = box_random(4), n_winners = box_random(3);
    ng_unit u = box_unit((int)box_random(2));
    u.rows = 1 + box_random(5) / 4;
    for (unsigned i = 0; i < n_trials; i++) {
        snprintf(t[i].schedule, sizeof t[i].schedule, "%s", words[box_random(3)]);
        t[i].valid = box_random(4) != 0;
        t[i].ns = 1 + box_random(3) / 4.0;
    }
    for (unsigned i = 0; i < n_winners; i++) {
        w[i].slot = (ng_slot)box_random(NG_SLOT_COUNT);
        snprintf(w[i].schedule, sizeof w[i].schedule, "%s", words[box_random(3)]);
        w[i].ns = 1 + box_random(3) / 4.0;
        w[i].pairs = box_random(3);
    }
    ok(ng_store_commit(store, uuid, &u, t, n_trials, w, n_winners));
}

static void random_store(const char *path) {
    ng_store *store = box_open(path, NG_STORE_WRITE);
    ok(ng_sql_exec(store->sql, "PRAGMA synchronous=OFF"));
    for (unsigned n = 1 + box_random(3); n > 0; n--) {
        char uuid[37];
        random_session(store, uuid);
        for (unsigned k = 1 + box_random(2); k > 0; k--) random_unit(store, uuid);
    }
    ng_store_close(store);
}

/* Merges the stores named by the letters, in turn, into a copy of the first; returns its dump. */
static char *merged(const char *letters) {
    char from[160], to[160];
    ng_store_counts added;
    snprintf(from, sizeof from, "%s/%c.db", box_dir, letters[0]);
    snprintf(to, sizeof to, "%s/%s.db", box_dir, letters);
    if (letters[1]) box_copy(from, to);
    ng_store *store = box_open(to, NG_STORE_WRITE);
    for (int i = 1; letters[i]; i++) {
        snprintf(from, sizeof from, "%s/%c.db", box_dir, letters[i]);
        ok(ng_store_merge(store, from, &added));
    }
    ck_assert_int_eq(ng_store_ignored(store), 0);
    ng_store_close(store);
    return box_dump(to);
}

static void same_dump(const char *a, const char *b, uint64_t seed) {
    char *x = merged(a), *y = merged(b);
    ck_assert_msg(strcmp(x, y) == 0, "seed %llu: %s:\n%s\n%s:\n%s", (unsigned long long)seed, a, x,
                  b, y);
    free(x);
    free(y);
}

static void all_winners(const char *letters, char *text, size_t size) {
    char path[160];
    ng_query q = ANY;
    box_list l = {0};
    snprintf(path, sizeof path, "%s/%s.db", box_dir, letters);
    ng_store *store = box_open(path, NG_STORE_READ);
    ok(ng_store_winners(store, &q, box_list_winner, &l));
    snprintf(text, size, "%s", l.text);
    ng_store_close(store);
}

START_TEST(merge_is_idempotent_commutative_and_associative) {
    for (uint64_t seed = 1; seed <= 15; seed++) {
        char x[2048], y[2048];
        box_seed(seed);
        for (int i = 0; i < 3; i++)
            random_store(box_file((const char *[]){"a.db", "b.db", "c.db"}[i]));
        same_dump("ab", "ba", seed);
        same_dump("abc", "cab", seed);
        same_dump("abb", "ab", seed);
        same_dump("aba", "ab", seed);
        same_dump("abc", "cba", seed);
        free(merged("bc"));
        box_copy(box_file("bc.db"), box_file("d.db"));
        same_dump("ad", "abc", seed);
        all_winners("abc", x, sizeof x);
        all_winners("cab", y, sizeof y);
        ck_assert_str_eq(x, y);
        box_teardown();
        box_setup();
    }
}
END_TEST

static size_t lines_missing(const char *part, const char *whole) {
    size_t missing = 0;
    char line[4096];
    while (*part) {
        size_t n = strcspn(part, "\n");
        snprintf(line, sizeof line, "%.*s\n", (int)n, part);
        missing += strstr(whole, line) == NULL;
        part += n + 1;
    }
    return missing;
}

START_TEST(merge_keeps_everything_and_counts_what_it_added) {
    ng_store_counts added = {-1, -1, -1};
    box_seed(99);
    random_store(box_file("a.db"));
    random_store(box_file("b.db"));
    char *a = box_dump(box_file("a.db")), *b = box_dump(box_file("b.db")), *ab = merged("ab");
    ck_assert_uint_eq(lines_missing(a, ab), 0);
    ck_assert_uint_eq(lines_missing(b, ab), 0);
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "s", NG_QUICK);
    ok(box_commit(store, "s", 1));
    ng_store *other = box_open(box_file("o.db"), NG_STORE_WRITE);
    ok(ng_store_merge(other, box_path, &added));
    ck_assert(added.sessions == 1 && added.trials == BOX_TRIALS && added.winners == 2);
    ok(ng_store_merge(other, box_path, &added));
    ck_assert(added.sessions == 0 && added.trials == 0 && added.winners == 0);
    ok(ng_store_merge(store, box_path, &added)); /* with itself */
    ck_assert(added.sessions == 0 && added.trials == 0 && added.winners == 0);
    ck_assert(box_whole(other, "s", 1));
    ng_store_close(other);
    ng_store_close(store);
    free(a);
    free(b);
    free(ab);
}
END_TEST

/* ---- checking ---- */

static void add_trial(ng_store *store, ng_unit u, const char *schedule) {
    ng_trial t = {.valid = true, .ns = 1};
    ng_session s = {.effort = NG_QUICK, .noise = (double)NAN};
    snprintf(t.schedule, sizeof t.schedule, "%s", schedule);
    ok(ng_store_begin(store, &s));
    ok(ng_store_commit(store, s.uuid, &u, &t, 1, NULL, 0));
}

START_TEST(check_counts_what_nothing_would_use) {
    ng_store_counts counts;
    int64_t illegal;
    ng_unit u = {BOX_SPEC, BOX_MACHINE, BOX_TOOLCHAIN, NG_L2, 1, 64}, v;
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    add_trial(store, u, BOX_SCHEDULE);
    add_trial(store, u, "memcpy");
    add_trial(store, u, "limit vec=512");
    ok(ng_store_check(store, &counts, &illegal));
    ck_assert(counts.sessions == 3 && counts.trials == 3 && counts.winners == 0);
    ck_assert_int_eq(illegal, 0);
    add_trial(store, u, "vec=1000 block=1 keep=recompute store=cached prefetch=none overlap=no");
    add_trial(store, u, "nonsense");
    add_trial(store, (v = u, v.spec = "rms hidden=0", v), BOX_SCHEDULE);
    add_trial(store, (v = u, v.machine = "no level", v), BOX_SCHEDULE);
    add_trial(store, (v = u, v.machine = "x isa=x86-64-v3 y", v), BOX_SCHEDULE); /* vec=512 */
    add_trial(store, (v = u, v.machine = "isa=unheard-of", v), BOX_SCHEDULE);
    ok(ng_store_check(store, &counts, &illegal));
    ck_assert_int_eq(counts.trials, 9);
    ck_assert_int_eq(illegal, 6);
    ng_store_close(store);
}
END_TEST

START_TEST(limit_slot_holds_limits_only) {
    int64_t illegal;
    ng_unit u = {BOX_SPEC, BOX_MACHINE, BOX_TOOLCHAIN, NG_L2, 1, 64};
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "s", NG_QUICK);
    add_winner(store, "s", u, NG_SLOT_LIMIT, BOX_SCHEDULE, 1);
    u.threads = 2;
    add_winner(store, "s", u, NG_SLOT_ANY, "memcpy", 1);
    u.threads = 3;
    add_winner(store, "s", u, NG_SLOT_ANY, BOX_SCHEDULE, 1);
    u.threads = 4;
    add_winner(store, "s", u, NG_SLOT_LIMIT, "memcpy", 1);
    ok(ng_store_check(store, NULL, &illegal));
    ck_assert_int_eq(illegal, 2);
    ng_store_close(store);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {effective_winner_is_the_greatest,
                                  winners_come_in_order_and_can_be_chosen,
                                  found_winner_tells_where_it_comes_from,
                                  merge_is_idempotent_commutative_and_associative,
                                  merge_keeps_everything_and_counts_what_it_added,
                                  check_counts_what_nothing_would_use,
                                  limit_slot_holds_limits_only};
    Suite *suite = suite_create("store_winners");
    TCase *tc = tcase_create("store_winners");
    tcase_add_checked_fixture(tc, box_setup, box_teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
