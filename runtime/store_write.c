/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to a store: sessions, their states, units with their trials and winners. Rows are only
 * ever added, units whole or not at all. Everything is checked before the file is locked. */
#include "store_impl.h"

#include "error.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

normgen_status ng_store_may_write(const ng_store *store) {
    if (store->writable) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_STORE, "store %s was opened for reading", store->file.path);
}

/* ---- sessions ---- */

/* Texts of people become printable ASCII, so that showing a store cannot drive a terminal. */
static void clean(const char *text, char *out, size_t size) {
    size_t n = 0;
    for (; text[n] && n + 1 < size; n++) out[n] = text[n] < ' ' || text[n] > '~' ? '?' : text[n];
    out[n] = 0;
}

static normgen_status new_uuid(char *text) {
    unsigned char b[16];
    ssize_t n;
    do {
        n = getrandom(b, sizeof b, 0);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof b)
        return ng_fail(NORMGEN_E_IO, "no random bytes for a session id: %s", strerror(errno));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4, variant 10 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return NORMGEN_OK;
}

static void now(char *text, size_t size) {
    struct timespec t;
    struct tm tm;
    char date[24];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, size, "%s.%06uZ", date, (unsigned)(t.tv_nsec / 1000) % 1000000u);
}

static normgen_status check_session(const ng_session *s) {
    if (s->effort < 0 || s->effort > NG_THOROUGH)
        return ng_fail(NORMGEN_E_ARGUMENT, "session effort %d: allowed are 0 to %d", s->effort,
                       NG_THOROUGH);
    if (isinf(s->noise) || s->noise < 0 || s->cutoff < 0)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "session noise %g, cutoff %lld: neither may be negative or infinite",
                       s->noise, (long long)s->cutoff);
    return NORMGEN_OK;
}

/* Adds a state with the next revision. */
static normgen_status add_state(ng_store *store, const ng_session *s) {
    char host[sizeof s->host];
    ng_stmt *stmt = NULL;
    clean(s->host, host, sizeof host);
    normgen_status status = ng_sql_prepare(
        store->sql,
        "INSERT INTO session_state SELECT ?1, coalesce(max(revision), 0) + 1, ?2, ?3, ?4, ?5 "
        "FROM session_state WHERE session = ?1",
        &stmt);
    if (!status)
        status = ng_sql_run(store->sql, stmt,
                            NG_VALUES(NG_T(s->uuid), NG_I(s->finished),
                                      NG_R(isnan(s->noise) ? -1 : s->noise),
                                      NG_I(ng_clamp_cutoff(s->cutoff)), NG_T(host)),
                            NULL);
    ng_sql_finish(stmt);
    return status;
}

static normgen_status add_session(ng_store *store, const ng_session *s) {
    char job[sizeof s->job];
    ng_stmt *stmt = NULL;
    clean(s->job, job, sizeof job);
    normgen_status status =
        ng_sql_prepare(store->sql, "INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?)", &stmt);
    if (!status)
        status = ng_sql_run(
            store->sql, stmt,
            NG_VALUES(NG_T(s->uuid), NG_T(s->started), NG_T(job), NG_I(s->effort), NG_I(s->seed)),
            NULL);
    ng_sql_finish(stmt);
    return status;
}

normgen_status ng_store_put_session(ng_store *store, const ng_session *session) {
    normgen_status status = add_session(store, session);
    return status ? status : add_state(store, session);
}

normgen_status ng_store_begin(ng_store *store, ng_session *session) {
    ng_session s = *session;
    normgen_status status = ng_store_may_write(store);
    if (!status) status = check_session(&s);
    if (!status && !s.uuid[0]) status = new_uuid(s.uuid);
    if (status) return status;
    if (!s.started[0]) now(s.started, sizeof s.started);
    status = ng_sql_begin(store->sql);
    if (status) return status;
    status = ng_store_put_session(store, &s);
    status = ng_sql_end(store->sql, status);
    if (!status) *session = s;
    return status;
}

normgen_status ng_store_update(ng_store *store, const ng_session *session) {
    normgen_status status = ng_store_may_write(store);
    if (!status) status = check_session(session);
    if (!status) status = ng_sql_begin(store->sql);
    if (status) return status;
    status = add_state(store, session);
    return ng_sql_end(store->sql, status);
}

typedef struct resume_search {
    char job[sizeof((ng_session *)0)->job];
    int effort;
    int64_t seed;
    ng_session found;
    bool hit;
} resume_search;

static bool resume_each(void *ctx, const ng_session *s) {
    resume_search *search = ctx;
    if (s->finished || s->effort != search->effort || s->seed != search->seed ||
        strcmp(s->job, search->job) != 0)
        return true;
    search->found = *s;
    search->hit = true;
    return false;
}

normgen_status ng_store_resume(ng_store *store, const char *job, int effort, int64_t seed,
                               ng_session *session, bool *found) {
    resume_search search = {.effort = effort, .seed = seed};
    clean(job, search.job, sizeof search.job);
    normgen_status status = ng_store_sessions(store, resume_each, &search);
    if (status) return status;
    if (search.hit) *session = search.found;
    *found = search.hit;
    return NORMGEN_OK;
}

/* ---- units ---- */

static bool plain(const char *text, size_t size) {
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~') return false;
    return n > 0 && n < size;
}

static bool in_range(double value, bool zero) {
    return isfinite(value) && value <= NG_NS_MAX && (zero ? value >= 0 : value > 0);
}

static normgen_status check_unit(const ng_unit *u) {
    if (!plain(u->spec, NORMGEN_SPEC_TEXT) || !plain(u->machine, NG_MACHINE_TEXT) ||
        !plain(u->toolchain, NG_TOOLCHAIN_TEXT))
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "a unit's spec, machine and toolchain must be short printable texts: "
                       "\"%.100s\", \"%.100s\", \"%.100s\"",
                       u->spec, u->machine, u->toolchain);
    if ((int)u->regime < 0 || u->regime >= NG_REGIME_COUNT || u->threads < 1 || u->rows < 0)
        return ng_fail(NORMGEN_E_ARGUMENT, "a unit has regime %d, threads %d, rows %lld",
                       (int)u->regime, u->threads, (long long)u->rows);
    return NORMGEN_OK;
}

static normgen_status check_results(const ng_trial *t, size_t n_trials, const ng_winner *w,
                                    size_t n_winners) {
    for (size_t i = 0; i < n_trials; i++)
        if (!plain(t[i].schedule, NG_SCHEDULE_TEXT) || !in_range(t[i].ns, true) ||
            !in_range(t[i].spread, true) || t[i].samples < 0 || t[i].code_bytes < 0)
            return ng_fail(NORMGEN_E_ARGUMENT,
                           "trial \"%.150s\": ns %g, spread %g, samples %lld, code %lld: all must "
                           "be finite and not negative",
                           t[i].schedule, t[i].ns, t[i].spread, (long long)t[i].samples,
                           (long long)t[i].code_bytes);
    for (size_t i = 0; i < n_winners; i++)
        if ((int)w[i].slot < 0 || w[i].slot >= NG_SLOT_COUNT ||
            !plain(w[i].schedule, NG_SCHEDULE_TEXT) || !in_range(w[i].ns, false) || w[i].pairs < 0)
            return ng_fail(NORMGEN_E_ARGUMENT,
                           "winner \"%.150s\": slot %d, ns %g, pairs %lld: ns must be positive",
                           w[i].schedule, (int)w[i].slot, w[i].ns, (long long)w[i].pairs);
    return NORMGEN_OK;
}

static normgen_status find_unit(ng_store *store, const char *session, const ng_unit *u,
                                bool *found) {
    ng_stmt *stmt = NULL;
    normgen_status status =
        ng_sql_prepare(store->sql,
                       "SELECT 1 FROM unit WHERE spec = ? AND machine = ? AND toolchain = ? "
                       "AND regime = ? AND threads = ? AND session = ?",
                       &stmt);
    if (!status)
        status = ng_sql_bind(store->sql, stmt,
                             NG_VALUES(NG_T(u->spec), NG_T(u->machine), NG_T(u->toolchain),
                                       NG_T(ng_regime_names[u->regime]), NG_I(u->threads),
                                       NG_T(session)));
    if (!status) status = ng_sql_step(store->sql, stmt, found);
    ng_sql_finish(stmt);
    return status;
}

normgen_status ng_store_done(ng_store *store, const char *session, const ng_unit *unit,
                             bool *done) {
    normgen_status status = check_unit(unit);
    return status ? status : find_unit(store, session, unit, done);
}

static normgen_status add_unit(ng_store *store, const char *session, const ng_unit *u,
                               int64_t *id) {
    ng_stmt *stmt = NULL;
    int64_t changes = 0;
    normgen_status status =
        ng_sql_prepare(store->sql,
                       "INSERT INTO unit(spec, machine, toolchain, regime, threads, session, rows) "
                       "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 "
                       "WHERE EXISTS (SELECT 1 FROM session WHERE uuid = ?6)",
                       &stmt);
    if (!status)
        status = ng_sql_run(store->sql, stmt,
                            NG_VALUES(NG_T(u->spec), NG_T(u->machine), NG_T(u->toolchain),
                                      NG_T(ng_regime_names[u->regime]), NG_I(u->threads),
                                      NG_T(session), NG_I(u->rows)),
                            &changes);
    if (!status && changes != 1)
        status =
            ng_fail(NORMGEN_E_ARGUMENT, "store %s has no session %.40s", store->file.path, session);
    if (!status) *id = ng_sql_last_id(store->sql);
    ng_sql_finish(stmt);
    return status;
}

static normgen_status add_trials(ng_store *store, int64_t unit, const ng_trial *t, size_t n) {
    char reason[sizeof t->reason];
    ng_stmt *stmt = NULL;
    normgen_status status = ng_sql_prepare(
        store->sql, "INSERT OR IGNORE INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?)", &stmt);
    for (size_t i = 0; !status && i < n; i++) {
        clean(t[i].reason, reason, sizeof reason);
        status = ng_sql_run(store->sql, stmt,
                            NG_VALUES(NG_I(unit), NG_T(t[i].schedule), NG_I(t[i].valid),
                                      NG_T(reason), NG_R(t[i].ns), NG_R(t[i].spread),
                                      NG_I(t[i].samples), NG_I(t[i].code_bytes)),
                            NULL);
    }
    ng_sql_finish(stmt);
    return status;
}

static normgen_status add_winners(ng_store *store, int64_t unit, const ng_winner *w, size_t n) {
    ng_stmt *stmt = NULL;
    normgen_status status =
        ng_sql_prepare(store->sql, "INSERT OR IGNORE INTO winner VALUES (?, ?, ?, ?, ?)", &stmt);
    for (size_t i = 0; !status && i < n; i++)
        status = ng_sql_run(store->sql, stmt,
                            NG_VALUES(NG_I(unit), NG_T(ng_slot_names[w[i].slot]),
                                      NG_T(w[i].schedule), NG_R(w[i].ns), NG_I(w[i].pairs)),
                            NULL);
    ng_sql_finish(stmt);
    return status;
}

normgen_status ng_store_commit(ng_store *store, const char *session, const ng_unit *unit,
                               const ng_trial *trials, size_t n_trials, const ng_winner *winners,
                               size_t n_winners) {
    bool done = false;
    int64_t id = 0;
    normgen_status status = ng_store_may_write(store);
    if (!status) status = check_unit(unit);
    if (!status) status = check_results(trials, n_trials, winners, n_winners);
    if (!status) status = ng_sql_begin(store->sql);
    if (status) return status;
    status = find_unit(store, session, unit, &done);
    if (!status && !done) {
        status = add_unit(store, session, unit, &id);
        if (!status) status = add_trials(store, id, trials, n_trials);
        if (!status) status = add_winners(store, id, winners, n_winners);
    }
    return ng_sql_end(store->sql, status);
}
