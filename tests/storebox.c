/* SPDX-License-Identifier: Apache-2.0 */
#include "storebox.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char box_dir[64], box_path[128];

void box_setup(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(box_dir, sizeof box_dir, "%.40s/ngstoreXXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(box_dir));
    snprintf(box_path, sizeof box_path, "%s/tuned.db", box_dir);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

void box_teardown(void) { nftw(box_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

const char *box_file(const char *name) {
    static char paths[2][256];
    static int next;
    next = 1 - next;
    snprintf(paths[next], sizeof paths[next], "%s/%s", box_dir, name);
    return paths[next];
}

ng_store *box_open(const char *path, ng_store_access access) {
    ng_store *store = NULL;
    ok(ng_store_open(path, access, &store));
    ck_assert_ptr_nonnull(store);
    return store;
}

ng_unit box_unit(int n) {
    static char specs[2][NORMGEN_SPEC_TEXT];
    static int next;
    next = 1 - next;
    snprintf(specs[next], sizeof specs[next], "rms hidden=%d eps=1e-05 x=f32 y=f32 weight=f32",
             1 + n / 8);
    return (ng_unit){.spec = specs[next],
                     .machine = BOX_MACHINE,
                     .toolchain = BOX_TOOLCHAIN,
                     .regime = (ng_regime)(n % 4),
                     .threads = 1 + n / 4 % 2,
                     .rows = 64};
}

ng_session box_session(ng_store *store, const char *uuid, int effort) {
    ng_session s = {.effort = effort, .seed = 7, .noise = (double)NAN};
    snprintf(s.uuid, sizeof s.uuid, "%s", uuid);
    snprintf(s.job, sizeof s.job, "job");
    ok(ng_store_begin(store, &s));
    return s;
}

normgen_status box_commit(ng_store *store, const char *session, int n) {
    ng_trial t[BOX_TRIALS] = {0};
    ng_winner w[2] = {{.slot = NG_SLOT_ANY, .schedule = BOX_SCHEDULE, .ns = n + 1, .pairs = 9},
                      {.slot = NG_SLOT_LIMIT, .schedule = "memcpy", .ns = n + 0.5, .pairs = 9}};
    ng_unit unit = box_unit(n);
    for (int i = 0; i < BOX_TRIALS; i++) {
        snprintf(t[i].schedule, sizeof t[i].schedule, "schedule %d of unit %d", i, n);
        t[i].valid = true;
        t[i].ns = n + i + 1;
        t[i].samples = 100;
    }
    return ng_store_commit(store, session, &unit, t, BOX_TRIALS, w, 2);
}

bool box_count_trial(void *ctx, const ng_trial *t) {
    (void)t;
    ++*(int *)ctx;
    return true;
}

bool box_count_winner(void *ctx, const ng_found *f) {
    (void)f;
    ++*(int *)ctx;
    return true;
}

static bool list(void *ctx, const char *schedule) {
    box_list *l = ctx;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s;", schedule);
    return --l->stop != 0;
}

bool box_list_trial(void *ctx, const ng_trial *t) { return list(ctx, t->schedule); }
bool box_list_winner(void *ctx, const ng_found *f) { return list(ctx, f->winner.schedule); }

bool box_whole(ng_store *store, const char *session, int n) {
    int trials = 0, winners = 0;
    bool done = false;
    ng_unit u = box_unit(n);
    ng_query q = {u.spec, u.machine, u.toolchain, (int)u.regime, -1, u.threads};
    ok(ng_store_done(store, session, &u, &done));
    ok(ng_store_trials(store, session, &u, box_count_trial, &trials));
    ok(ng_store_winners(store, &q, box_count_winner, &winners));
    ck_assert_msg(trials == (done ? BOX_TRIALS : 0) && winners == (done ? 2 : 0),
                  "unit %d of %s: done %d, %d trials, %d winners", n, session, done, trials,
                  winners);
    return done;
}

void box_make(const char *path, int n) {
    ng_store *store = box_open(path, NG_STORE_WRITE);
    box_session(store, "s", NG_QUICK);
    for (int i = 0; i < n; i++) ok(box_commit(store, "s", i));
    ng_store_close(store);
}

void box_refused(const char *path, const char *part) {
    ng_store *store = NULL;
    refused(ng_store_open(path, NG_STORE_READ, &store), part);
    ck_assert_ptr_null(store);
    refused(ng_store_open(path, NG_STORE_WRITE, &store), part);
    ck_assert_ptr_null(store);
}

void box_refused_untouched(const char *path, const char *part) {
    size_t before, after;
    char *a = box_read(path, &before);
    box_refused(path, part);
    char *b = box_read(path, &after);
    ck_assert_uint_eq(before, after);
    ck_assert_mem_eq(a, b, before);
    free(a);
    free(b);
}

/* Quoted values tell 1 from 1.0 and from '1'. */
static const char *const dumps[] = {
    "SELECT 'session ' || quote(uuid) || quote(started) || quote(job) || quote(effort) || "
    "quote(seed) FROM session ORDER BY 1",
    "SELECT 'state ' || quote(session) || quote(revision) || ' ' || quote(finished) || ' ' || "
    "quote(noise) || ' ' || quote(cutoff) || quote(host) FROM session_state ORDER BY 1",
    "SELECT 'unit ' || quote(spec) || quote(machine) || quote(toolchain) || quote(regime) || "
    "quote(threads) || quote(session) || quote(rows) FROM unit ORDER BY 1",
    "SELECT 'trial ' || quote(spec) || quote(machine) || quote(toolchain) || quote(regime) || "
    "quote(threads) || quote(session) || quote(rows) || quote(schedule) || quote(valid) || "
    "quote(reason) || quote(ns) || ' ' || quote(spread) || ' ' || quote(samples) || ' ' || "
    "quote(code_bytes) FROM trial LEFT JOIN unit ON id = unit ORDER BY 1",
    "SELECT 'winner ' || quote(spec) || quote(machine) || quote(toolchain) || quote(regime) || "
    "quote(threads) || quote(session) || quote(rows) || quote(slot) || quote(schedule) || "
    "quote(ns) || ' ' || quote(pairs) FROM winner LEFT JOIN unit ON id = unit ORDER BY 1"};

char *box_dump(const char *path) {
    char *text = NULL, line[4096];
    size_t size;
    ng_sql *sql = NULL;
    FILE *f = open_memstream(&text, &size);
    ok(ng_sql_open(&sql, path, NG_SQL_QUERY, 1000));
    for (size_t i = 0; i < sizeof dumps / sizeof dumps[0]; i++) {
        ng_stmt *stmt;
        bool row;
        ok(ng_sql_prepare(sql, dumps[i], &stmt));
        for (;;) {
            ok(ng_sql_step(sql, stmt, &row));
            if (!row) break;
            ck_assert(ng_sql_text(stmt, 0, line, sizeof line));
            fprintf(f, "%s\n", line);
        }
        ng_sql_finish(stmt);
    }
    ng_sql_close(sql);
    fclose(f);
    return text;
}

char *box_read(const char *path, size_t *size) {
    struct stat st;
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fstat(fileno(f), &st), 0);
    char *bytes = calloc(1, (size_t)st.st_size + 1);
    ck_assert_ptr_nonnull(bytes);
    *size = fread(bytes, 1, (size_t)st.st_size, f);
    ck_assert_int_eq((long long)*size, st.st_size);
    fclose(f);
    return bytes;
}

void box_write(const char *path, const void *bytes, size_t size) {
    unlink(path);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fchmod(fileno(f), 0600), 0);
    fclose(f);
}

void box_copy(const char *from, const char *to) {
    size_t size;
    char *bytes = box_read(from, &size);
    box_write(to, bytes, size);
    free(bytes);
}

void box_raw(const char *path, const char *text) {
    ng_sql *sql = NULL;
    ok(ng_sql_open(&sql, path, NG_SQL_RAW, 1000));
    ok(ng_sql_exec(sql, text));
    ng_sql_close(sql);
}

static bool any_session(void *ctx, const ng_session *s) {
    ck_assert_uint_lt(strlen(s->uuid), sizeof s->uuid);
    ck_assert(s->cutoff == 0 || (s->cutoff >= 2 && s->cutoff <= 1 << 20));
    ck_assert(isnan(s->noise) || (isfinite(s->noise) && s->noise >= 0));
    return box_count_trial(ctx, NULL);
}

static bool any_found(void *ctx, const ng_found *f) {
    ck_assert(isfinite(f->winner.ns) && f->winner.ns > 0);
    ck_assert(f->threads >= 1 && f->effort >= 0 && f->effort <= NG_THOROUGH);
    return box_count_trial(ctx, NULL);
}

normgen_status box_use_all(const char *path) {
    char other[160];
    ng_store *store = NULL, *fresh = NULL;
    ng_query q = {.regime = -1, .slot = -1};
    ng_unit u = box_unit(0);
    int n = 0;
    snprintf(other, sizeof other, "%s/fresh.db", box_dir);
    unlink(other);
    ok(ng_store_open(other, NG_STORE_WRITE, &fresh));
    normgen_status status = ng_store_merge(fresh, path, NULL);
    ng_store_close(fresh);
    normgen_status opened = ng_store_open(path, NG_STORE_READ, &store);
    if (opened) return opened;
    normgen_status s[] = {status, ng_store_sessions(store, any_session, &n),
                          ng_store_winners(store, &q, any_found, &n),
                          ng_store_trials(store, NULL, &u, box_count_trial, &n),
                          ng_store_check(store, NULL, NULL)};
    ng_store_close(store);
    for (size_t i = 0; i < sizeof s / sizeof s[0]; i++) {
        ck_assert(s[i] == NORMGEN_OK || s[i] == NORMGEN_E_STORE);
        if (!status) status = s[i];
    }
    return status;
}

static uint64_t random_state = 1;

void box_seed(uint64_t seed) { random_state = seed; }

unsigned box_random(unsigned limit) { /* Knuth's MMIX constants */
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((random_state >> 33) % limit);
}
