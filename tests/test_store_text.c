/* SPDX-License-Identifier: Apache-2.0 */
/* The store as text, and dropping trials: what is exported comes back row for row, a text that is
 * malformed or cut off brings nothing, and no winner is ever dropped. */
#include "storebox.h"
#include "suite.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- there and back ---- */

/* The caller frees. */
static char *exported(const char *path, bool winners_only) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    ng_store *store = box_open(path, NG_STORE_READ);
    ok(ng_store_export(store, winners_only, f, NULL));
    ng_store_close(store);
    fclose(f);
    return text;
}

static FILE *text_file(const char *text, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/text", box_dir);
    box_write(path, text, size);
    return fopen(path, "r");
}

static normgen_status import(const char *path, const char *text, size_t size,
                             ng_store_counts *added) {
    FILE *in = text_file(text, size);
    ng_store *store = box_open(path, NG_STORE_WRITE);
    normgen_status status = ng_store_import(store, in, "text", added);
    ng_store_close(store);
    fclose(in);
    return status;
}

/* A store with everything that a text has to carry: awkward texts, twins, all kinds of numbers. */
static void make_store(const char *path, int units) {
    ng_trial t[3] = {{.schedule = "say \"x\\y\" = 'z'", .valid = false, .reason = "a \"b\" \\ c"},
                     {.schedule = BOX_SCHEDULE, .valid = true, .ns = 0.1, .spread = 1.0 / 3},
                     {.schedule = "#", .valid = true, .ns = 1e-300, .samples = INT64_MAX}};
    ng_winner w = {.slot = NG_SLOT_CACHED, .schedule = BOX_SCHEDULE, .ns = 5e17, .pairs = 3};
    ng_unit u = box_unit(3);
    ng_store *store = box_open(path, NG_STORE_WRITE);
    ng_session s = box_session(store, "one", NG_QUICK), q = box_session(store, "", NG_THOROUGH);
    s.noise = 0.0125;
    s.cutoff = 77;
    s.finished = true;
    snprintf(s.host, sizeof s.host, "two \\ cores ");
    ok(ng_store_update(store, &s));
    for (int n = 0; n < units; n++) ok(box_commit(store, "one", n));
    ok(ng_store_commit(store, q.uuid, &u, t, 3, &w, 1));
    u.threads = 7;
    ok(ng_store_commit(store, q.uuid, &u, NULL, 0, NULL, 0));
    ng_store_close(store);
}

START_TEST(export_comes_back_row_for_row) {
    ng_store_counts added;
    make_store(box_path, 9);
    char *text = exported(box_path, false), *before = box_dump(box_path);
    ok(import(box_file("b.db"), text, strlen(text), &added));
    char *after = box_dump(box_file("b.db")), *again = exported(box_file("b.db"), false);
    ck_assert_str_eq(before, after);
    ck_assert_str_eq(text, again);
    ck_assert(added.sessions == 2 && added.trials == 9 * BOX_TRIALS + 3 && added.winners == 19);
    ok(import(box_file("b.db"), text, strlen(text), &added));
    ck_assert(added.sessions == 0 && added.trials == 0 && added.winners == 0);
    free(text);
    free(before);
    free(after);
    free(again);
}
END_TEST

START_TEST(import_is_the_same_set_union_as_merge) {
    ng_store_counts a, b;
    make_store(box_file("a.db"), 5);
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "two", NG_QUICK);
    ok(box_commit(store, "two", 2));
    ng_store_close(store);
    box_copy(box_path, box_file("c.db"));
    char *text = exported(box_file("a.db"), false);
    ok(import(box_path, text, strlen(text), &a));
    store = box_open(box_file("c.db"), NG_STORE_WRITE);
    ok(ng_store_merge(store, box_file("a.db"), &b));
    ng_store_close(store);
    char *x = box_dump(box_path), *y = box_dump(box_file("c.db"));
    ck_assert_str_eq(x, y);
    ck_assert(a.sessions == b.sessions && a.trials == b.trials && a.winners == b.winners);
    free(text);
    free(x);
    free(y);
}
END_TEST

static bool list_found(void *ctx, const ng_found *f) {
    fprintf(ctx, "%s|%s|%s|%s|%d|%d|%s|%s|%a|%lld|%s|%d|%s\n", f->spec, f->machine, f->toolchain,
            ng_regime_names[f->regime], f->threads, (int)f->winner.slot, f->winner.schedule,
            f->session, f->winner.ns, (long long)f->winner.pairs, f->started, f->effort, "");
    return true;
}

static char *winners_of(ng_store *store) {
    char *text = NULL;
    size_t size;
    ng_query q = {.regime = -1, .slot = -1};
    FILE *f = open_memstream(&text, &size);
    ok(ng_store_winners(store, &q, list_found, f));
    fclose(f);
    return text;
}

START_TEST(winners_only_has_the_effective_winners_and_no_trials) {
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    box_session(store, "quick", NG_QUICK);
    box_session(store, "slow", NG_THOROUGH);
    box_session(store, "loser", NG_QUICK);
    for (int n = 0; n < 4; n++) ok(box_commit(store, "quick", n));
    ok(box_commit(store, "slow", 1));
    ok(box_commit(store, "loser", 1));
    char *all = winners_of(store);
    ng_store_close(store);
    char *text = exported(box_path, true);
    ck_assert_ptr_null(strstr(text, "\ntrial "));
    ck_assert_ptr_null(strstr(text, "loser"));
    ck_assert_ptr_nonnull(strstr(text, "session uuid=slow"));
    ok(ng_store_open_text(text, "inside", &store));
    char *shipped = winners_of(store);
    ck_assert_str_eq(all, shipped);
    ck_assert_int_eq(ng_store_ignored(store), 0);
    ng_store_close(store);
    free(all);
    free(text);
    free(shipped);
}
END_TEST

START_TEST(export_is_one_text_whatever_the_order_of_writing) {
    for (int back = 0; back < 2; back++) {
        ng_store *store = box_open(box_file(back ? "b.db" : "a.db"), NG_STORE_WRITE);
        ng_session s = {.uuid = "s", .started = "2026", .job = "j", .noise = (double)NAN};
        ok(ng_store_begin(store, &s));
        for (int n = 0; n < 12; n++) ok(box_commit(store, "s", back ? 11 - n : n));
        ng_store_close(store);
    }
    char *a = exported(box_file("a.db"), false), *b = exported(box_file("b.db"), false);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
}
END_TEST

START_TEST(full_disk_is_said) {
    FILE *full = fopen("/dev/full", "w");
    if (!full) return;
    make_store(box_path, 2);
    ng_store *store = box_open(box_path, NG_STORE_READ);
    ck_assert_int_eq(ng_store_export(store, false, full, NULL), NORMGEN_E_IO);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "No space left"));
    ng_store_close(store);
    fclose(full);
}
END_TEST

/* ---- texts that are wrong ---- */

#define MARK "normgen-store 1\n"
#define SESSION "session uuid=s started=2026 effort=1\n"
#define UNIT "unit spec=\"rms hidden=8\" machine=m toolchain=t regime=l2 session=s rows=7\n"

static const struct {
    const char *text, *says;
} bad[] = {
    {"", ":1: this is no text of a store"},
    {"normgen-store", ":1: "},
    {"normgen-store x\nend\n", ":1: this is no text"},
    {"normgen-store 2\nend\n", "version 2, this normgen knows 1"},
    {"SQLite format 3\n", ":1: this is no text"},
    {MARK, "its last line is not 'end'"},
    {MARK SESSION, "its last line is not 'end'"},
    {MARK SESSION "end", ":3: the text is cut off within a line"},
    {MARK SESSION "end\n" SESSION, ":4: something stands behind 'end'"},
    {MARK "trial schedule=a\nend\n", ":2: a trial before any unit"},
    {MARK "winner slot=any schedule=a ns=1\nend\n", ":2: a winner before any unit"},
    {MARK "sessions uuid=s\nend\n", "'sessions uuid=s' begins no line"},
    {MARK " \nend\n", "begins no line"},
    {MARK "session uuid=s started=1\nend\n", "effort is missing"},
    {MARK SESSION "unit spec=a machine=m toolchain=t regime=l2 rows=7\nend\n",
     "session is missing"},
    {MARK SESSION UNIT "unit rows=7\nend\n", ":4: regime is missing"},
    {MARK "session uuid=s uuid=s started=1 effort=1\nend\n", "uuid stands twice"},
    {MARK "session uuid=s started=1 effort=1 pid=7\nend\n", "a session has no 'pid'"},
    {MARK "session uuid=s  started=1 effort=1\nend\n", "is no name=value"},
    {MARK "session uuid=s started=1 effort=1 \nend\n", "is no name=value"},
    {MARK "session uuid=\"s started=1 effort=1\nend\n", "the value of uuid is malformed"},
    {MARK "session uuid=\"s\"x started=1 effort=1\nend\n", "the value of uuid is malformed"},
    {MARK "session uuid=\"\\n\" started=1 effort=1\nend\n", "the value of uuid is malformed"},
    {MARK "session uuid=a\"b started=1 effort=1\nend\n", "the value of uuid is malformed"},
    {MARK "session uuid=s started=1 effort=quick\nend\n", "effort: 'quick' is no whole number"},
    {MARK "session uuid=s started=1 effort=99999999999999999999\nend\n", "no whole number"},
    {MARK SESSION UNIT "winner slot=any schedule=a ns=inf\nend\n", ":4: ns: 'inf' is no finite"},
    {MARK SESSION UNIT "winner slot=any schedule=a ns=nan\nend\n", "no finite"},
    {MARK SESSION UNIT "winner slot=any schedule=a ns=1,5\nend\n", "no finite"},
    {MARK SESSION UNIT "winner slot=any schedule=a\tns=1\nend\n", "a byte 9"},
    {MARK SESSION UNIT "winner slot=any schedule=\xc3\xa4 ns=1\nend\n", "a byte 195"},
    {MARK SESSION "end\r\n", "a byte 13"},
};

START_TEST(malformed_text_brings_nothing_and_names_the_line) {
    make_store(box_path, 1);
    char *before = box_dump(box_path);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        normgen_status status = import(box_path, bad[i].text, strlen(bad[i].text), NULL);
        ck_assert_msg(status == NORMGEN_E_STORE && strstr(normgen_error(), bad[i].says), "%s: %s",
                      bad[i].text, normgen_error());
        char *after = box_dump(box_path);
        ck_assert_str_eq(before, after);
        free(after);
    }
    free(before);
}
END_TEST

START_TEST(unit_may_leave_out_what_the_one_above_has) {
    static const char full[] = MARK SESSION UNIT
        "winner slot=any schedule=a ns=1\n"
        "unit spec=\"rms hidden=8\" machine=m toolchain=t regime=l1 session=s rows=2\n"
        "winner slot=any schedule=b ns=2\n"
        "unit spec=\"rms hidden=9\" machine=m toolchain=t regime=l1 session=s rows=3\nend\n";
    static const char shorter[] =
        MARK SESSION UNIT "winner slot=any schedule=a ns=1\n"
                          "unit regime=l1 rows=2\n"
                          "winner slot=any schedule=b ns=2\n"
                          "unit spec=\"rms hidden=9\" regime=l1 rows=3\nend\n";
    ok(import(box_file("a.db"), full, strlen(full), NULL));
    ok(import(box_file("b.db"), shorter, strlen(shorter), NULL));
    char *a = exported(box_file("a.db"), false), *b = exported(box_file("b.db"), false);
    ck_assert_str_eq(a, b);
    ck_assert_ptr_nonnull(strstr(a, "regime=l1 session=s rows=3"));
    free(a);
    free(b);
}
END_TEST

START_TEST(text_cut_off_anywhere_brings_nothing) {
    make_store(box_path, 1);
    char *text = exported(box_path, false);
    ng_store *store = box_open(box_file("b.db"), NG_STORE_WRITE);
    ng_store_close(store);
    char *before = box_dump(box_file("b.db"));
    for (size_t n = 0; n + 1 < strlen(text); n += 1 + n / 50)
        refused(import(box_file("b.db"), text, n, NULL), "nothing was imported");
    refused(import(box_file("b.db"), text, strlen(text) - 1, NULL), "cut off");
    char *after = box_dump(box_file("b.db"));
    ck_assert_str_eq(before, after);
    free(text);
    free(before);
    free(after);
}
END_TEST

START_TEST(changed_bytes_never_crash) {
    make_store(box_path, 1);
    char *text = exported(box_path, false);
    size_t size = strlen(text);
    box_seed(5);
    for (int i = 0; i < 150; i++) {
        char *copy = strdup(text);
        for (unsigned k = 1 + box_random(4); k > 0; k--)
            copy[box_random((unsigned)size)] = (char)box_random(256);
        normgen_status status = import(box_file("b.db"), copy, size, NULL);
        ck_assert(status == NORMGEN_OK || status == NORMGEN_E_STORE);
        free(copy);
    }
    ok(box_use_all(box_file("b.db")));
    free(text);
}
END_TEST

START_TEST(rows_that_do_not_fit_are_ignored_and_counted) {
    static const char text[] =
        MARK SESSION UNIT "winner slot=any schedule=a ns=1\n"
                          "winner slot=all schedule=a ns=1\n"
                          "winner slot=any schedule=a ns=-1\n"
                          "winner slot=any schedule=\"\" ns=1\n"
                          "trial schedule=a valid=2\n"
                          "trial schedule=a samples=-1\n"
                          "# no regime has this name, so its winner belongs nowhere\n\n"
                          "unit spec=s machine=m toolchain=t regime=l9 session=s rows=7\n"
                          "winner slot=any schedule=b ns=1\n"
                          "end\n";
    ng_store_counts added;
    FILE *in = text_file(text, sizeof text - 1);
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ok(ng_store_import(store, in, "text", &added));
    ck_assert_int_eq(ng_store_ignored(store), 7);
    ck_assert(added.sessions == 1 && added.trials == 0 && added.winners == 1);
    ng_store_close(store);
    fclose(in);
}
END_TEST

static void long_line(char *text, size_t n) {
    memset(text, 'x', n);
    text[n] = 0;
}

START_TEST(huge_texts_are_refused_where_they_become_huge) {
    static char line[8192], text[10000];
    long_line(line, 1100);
    snprintf(text, sizeof text, MARK "session uuid=s started=1 effort=1 job=%s\nend\n", line);
    refused(import(box_path, text, strlen(text), NULL), "longer than 1023 bytes");
    long_line(line, 5000);
    snprintf(text, sizeof text, MARK "%s\nend\n", line);
    refused(import(box_path, text, strlen(text), NULL), ":2: a line of more than 4095 bytes");
    /* endless input ends at the limit of a line, not of the memory */
    FILE *zero = fopen("/dev/zero", "r");
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    refused(ng_store_import(store, zero, "zero", NULL), "this is no text of a store");
    ng_store_close(store);
    fclose(zero);
    FILE *folder = fopen(box_dir, "r");
    store = box_open(box_path, NG_STORE_WRITE);
    refused(ng_store_import(store, folder, "folder", NULL),
            "folder:1: cannot be read: Is a directory");
    ng_store_close(store);
    fclose(folder);
}
END_TEST

START_TEST(imports_at_once_lose_nothing) {
    make_store(box_file("a.db"), 6);
    char *text = exported(box_file("a.db"), false);
    fclose(text_file(text, strlen(text)));
    ng_store_close(box_open(box_path, NG_STORE_WRITE));
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i]) continue;
        FILE *in = fopen(box_file("text"), "r");
        ng_store *store = NULL;
        int bad_end = ng_store_open_wait(box_path, NG_STORE_WRITE, 20000, &store) != NORMGEN_OK ||
                      ng_store_import(store, in, "text", NULL) != NORMGEN_OK;
        ng_store_close(store);
        _exit(bad_end);
    }
    for (int i = 0; i < 4; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "import %d failed", i);
    }
    char *x = box_dump(box_path), *y = box_dump(box_file("a.db"));
    ck_assert_str_eq(x, y);
    free(text);
    free(x);
    free(y);
}
END_TEST

/* ---- dropping trials ---- */

static ng_gc_result collect(const char *since, const char *toolchain, bool dry_run) {
    ng_gc gc = {since, toolchain, dry_run};
    ng_gc_result r;
    ng_store *store = box_open(box_path, dry_run ? NG_STORE_READ : NG_STORE_WRITE);
    ok(ng_store_gc(store, &gc, &r));
    ng_store_close(store);
    return r;
}

/* Units 0 to 3 of an old session, 4 and 5 of a new one; unit 9 of another toolchain. */
static void make_aged(void) {
    ng_store *store = box_open(box_path, NG_STORE_WRITE);
    ng_session old = {.uuid = "old", .started = "2020-01-01", .noise = (double)NAN};
    ng_session new = {.uuid = "new", .started = "2026-01-01", .noise = (double)NAN};
    ng_trial t[2] = {{.schedule = BOX_SCHEDULE, .valid = true, .ns = 1},
                     {.schedule = "slow", .valid = true, .ns = 2}};
    ng_winner w = {.slot = NG_SLOT_ANY, .schedule = BOX_SCHEDULE, .ns = 1};
    ng_unit u = box_unit(9);
    ok(ng_store_begin(store, &old));
    ok(ng_store_begin(store, &new));
    for (int n = 0; n < 4; n++) ok(box_commit(store, "old", n));
    for (int n = 4; n < 6; n++) ok(box_commit(store, "new", n));
    u.toolchain = "llvm=20";
    ok(ng_store_commit(store, "new", &u, t, 2, &w, 1));
    ng_store_close(store);
}

START_TEST(gc_drops_old_trials_and_those_of_other_toolchains) {
    make_aged();
    ng_gc_result dry = collect("2025", "", true), r = collect("2025", "", false);
    ck_assert_int_eq(r.dropped, 4 * BOX_TRIALS);
    ck_assert_int_eq(r.kept, 2 * BOX_TRIALS + 2);
    ck_assert(dry.dropped == r.dropped && dry.kept == r.kept && !dry.shrunk && r.shrunk);
    r = collect("2025", BOX_TOOLCHAIN, false);
    ck_assert_int_eq(r.dropped, 1); /* "slow"; the other is the winner's */
    r = collect("9999", "", false);
    ck_assert(r.dropped == 2 * BOX_TRIALS && r.kept == 1);
    r = collect("9999", "none", false);
    ck_assert(r.dropped == 0 && r.kept == 1);
}
END_TEST

START_TEST(gc_never_changes_a_winner_or_what_is_done) {
    make_aged();
    ng_store *store = box_open(box_path, NG_STORE_READ);
    char *before = winners_of(store);
    ng_store_close(store);
    char *dump = box_dump(box_path);
    collect("9999", "none", true);
    char *untouched = box_dump(box_path);
    ck_assert_str_eq(dump, untouched);
    collect("9999", "none", false);
    store = box_open(box_path, NG_STORE_READ);
    char *after = winners_of(store);
    ck_assert_str_eq(before, after);
    for (int n = 0; n < 4; n++) {
        bool done = false;
        ng_unit u = box_unit(n);
        ok(ng_store_done(store, "old", &u, &done));
        ck_assert(done);
    }
    ok(ng_store_check(store, NULL, NULL));
    ng_store_close(store);
    free(before);
    free(after);
    free(dump);
    free(untouched);
}
END_TEST

START_TEST(gc_needs_a_store_that_may_be_written) {
    make_aged();
    ng_gc gc = {"9999", "", false};
    ng_gc_result r;
    ng_store *store = box_open(box_path, NG_STORE_READ);
    refused(ng_store_gc(store, &gc, &r), "opened for reading");
    ng_store_close(store);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_text");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, box_setup, box_teardown);
    tcase_set_timeout(tests, 60);
    const TTest *const all[] = {export_comes_back_row_for_row,
                                import_is_the_same_set_union_as_merge,
                                winners_only_has_the_effective_winners_and_no_trials,
                                export_is_one_text_whatever_the_order_of_writing,
                                full_disk_is_said,
                                malformed_text_brings_nothing_and_names_the_line,
                                unit_may_leave_out_what_the_one_above_has,
                                text_cut_off_anywhere_brings_nothing,
                                changed_bytes_never_crash,
                                rows_that_do_not_fit_are_ignored_and_counted,
                                huge_texts_are_refused_where_they_become_huge,
                                imports_at_once_lose_nothing,
                                gc_drops_old_trials_and_those_of_other_toolchains,
                                gc_never_changes_a_winner_or_what_is_done,
                                gc_needs_a_store_that_may_be_written};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) tcase_add_test(tests, all[i]);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
