/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a store. A row whose values have the wrong type, length or range is ignored and counted;
 * of what is left, the effective winner is taken here and not in SQL, so that a bad row cannot hide
 * a good one. */
#include "store_impl.h"

#include "error.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- statements ---- */

void ng_select_add(ng_select *select, const char *text) {
    size_t used = strlen(select->text);
    snprintf(select->text + used, sizeof select->text - used, "%s", text);
}

void ng_select_where(ng_select *select, const char *column, ng_value value) {
    char text[64];
    if (value.form == NG_VALUE_TEXT && !value.text) return;
    select->values[select->n++] = value;
    snprintf(text, sizeof text, " AND %s = ?%zu", column, select->n);
    ng_select_add(select, text);
}

normgen_status ng_select_start(ng_store *store, const ng_select *select, ng_stmt **stmt) {
    ng_stmt *made = NULL;
    normgen_status status = ng_sql_prepare(store->sql, select->text, &made);
    if (!status) status = ng_sql_bind(store->sql, made, select->values, select->n);
    if (status)
        ng_sql_finish(made);
    else
        *stmt = made;
    return status;
}

/* Regimes stand in the file by name and are listed in their own order. */
static void order_by_regime(ng_select *select) {
    char text[40];
    ng_select_add(select, "CASE u.regime");
    for (int i = 0; i < NG_REGIME_COUNT; i++) {
        snprintf(text, sizeof text, " WHEN '%s' THEN %d", ng_regime_names[i], i);
        ng_select_add(select, text);
    }
    ng_select_add(select, " END");
}

/* ---- columns ---- */

static bool read_int(ng_stmt *stmt, int column, int least, int most, int *out) {
    int64_t value;
    if (!ng_sql_integer(stmt, column, least, most, &value)) return false;
    *out = (int)value;
    return true;
}

static bool read_bool(ng_stmt *stmt, int column, bool *out) {
    int value;
    if (!read_int(stmt, column, 0, 1, &value)) return false;
    *out = value == 1;
    return true;
}

static bool read_name(ng_stmt *stmt, int column, char *out, size_t size) {
    return ng_sql_text(stmt, column, out, size) && out[0];
}

static bool read_slot(ng_stmt *stmt, int column, ng_slot *out) {
    char text[16];
    if (!ng_sql_text(stmt, column, text, sizeof text)) return false;
    for (int i = 0; i < NG_SLOT_COUNT; i++)
        if (strcmp(text, ng_slot_names[i]) == 0) {
            *out = (ng_slot)i;
            return true;
        }
    return false;
}

static bool read_regime(ng_stmt *stmt, int column, ng_regime *out) {
    char text[16];
    int regime = ng_sql_text(stmt, column, text, sizeof text) ? ng_regime_find(text) : -1;
    if (regime < 0) return false;
    *out = (ng_regime)regime;
    return true;
}

bool ng_read_trial(ng_stmt *stmt, int c, ng_trial *t) {
    return read_name(stmt, c, t->schedule, sizeof t->schedule) &&
           read_bool(stmt, c + 1, &t->valid) &&
           ng_sql_text(stmt, c + 2, t->reason, sizeof t->reason) &&
           ng_sql_real(stmt, c + 3, 0, NG_NS_MAX, &t->ns) &&
           ng_sql_real(stmt, c + 4, 0, NG_NS_MAX, &t->spread) &&
           ng_sql_integer(stmt, c + 5, 0, INT64_MAX, &t->samples) &&
           ng_sql_integer(stmt, c + 6, 0, INT64_MAX, &t->code_bytes);
}

bool ng_read_winner(ng_stmt *stmt, int c, ng_winner *w) {
    return read_slot(stmt, c, &w->slot) &&
           read_name(stmt, c + 1, w->schedule, sizeof w->schedule) &&
           ng_sql_real(stmt, c + 2, 0, NG_NS_MAX, &w->ns) && w->ns > 0 &&
           ng_sql_integer(stmt, c + 3, 0, INT64_MAX, &w->pairs);
}

bool ng_read_session(ng_stmt *stmt, int c, ng_session *s) {
    return read_name(stmt, c, s->uuid, sizeof s->uuid) &&
           read_name(stmt, c + 1, s->started, sizeof s->started) &&
           ng_sql_text(stmt, c + 2, s->job, sizeof s->job) &&
           read_int(stmt, c + 3, 0, NG_THOROUGH, &s->effort) &&
           ng_sql_integer(stmt, c + 4, INT64_MIN, INT64_MAX, &s->seed);
}

int64_t ng_clamp_cutoff(int64_t ns) {
    if (ns <= 0) return 0;
    return ns < 2 ? 2 : ns > 1 << 20 ? 1 << 20 : ns;
}

bool ng_read_state(ng_stmt *stmt, int c, ng_session *s) {
    double noise;
    int64_t cutoff;
    if (!read_bool(stmt, c, &s->finished) || !ng_sql_real(stmt, c + 1, -1, NG_NS_MAX, &noise) ||
        !ng_sql_integer(stmt, c + 2, INT64_MIN, INT64_MAX, &cutoff) ||
        !ng_sql_text(stmt, c + 3, s->host, sizeof s->host))
        return false;
    s->noise = noise < 0 ? (double)NAN : noise;
    s->cutoff = ng_clamp_cutoff(cutoff);
    return true;
}

bool ng_read_unit(ng_stmt *stmt, int c, ng_unit_row *u) {
    return read_name(stmt, c, u->spec, sizeof u->spec) &&
           read_name(stmt, c + 1, u->machine, sizeof u->machine) &&
           read_name(stmt, c + 2, u->toolchain, sizeof u->toolchain) &&
           read_regime(stmt, c + 3, &u->regime) && read_int(stmt, c + 4, 1, INT_MAX, &u->threads) &&
           read_name(stmt, c + 5, u->session, sizeof u->session) &&
           ng_sql_integer(stmt, c + 6, 0, INT64_MAX, &u->rows);
}

/* ---- sessions ---- */

/* Fills in the state that holds: the largest revision, and of twins the largest row. */
static normgen_status load_state(ng_store *store, ng_stmt *states, ng_session *s) {
    bool row = false, read = false;
    s->noise = (double)NAN;
    s->cutoff = 0;
    s->host[0] = 0;
    s->finished = false;
    normgen_status status = ng_sql_bind(store->sql, states, NG_VALUES(NG_T(s->uuid)));
    while (!status && !read) {
        ng_session state;
        status = ng_sql_step(store->sql, states, &row);
        if (status || !row) break;
        read = ng_read_state(states, 0, &state);
        if (!read) {
            store->ignored++;
            continue;
        }
        s->noise = state.noise;
        s->cutoff = state.cutoff;
        s->finished = state.finished;
        memcpy(s->host, state.host, sizeof s->host);
    }
    return status;
}

normgen_status ng_store_sessions(ng_store *store,
                                 bool (*each)(void *ctx, const ng_session *session), void *ctx) {
    ng_session s;
    ng_stmt *sessions = NULL, *states = NULL;
    bool row = true;
    normgen_status status = ng_sql_prepare(store->sql,
                                           "SELECT " NG_SESSION_COLUMNS
                                           " FROM session s ORDER BY s.started DESC, s.uuid DESC, "
                                           "s.job DESC, s.effort DESC, s.seed DESC",
                                           &sessions);
    if (!status)
        status = ng_sql_prepare(store->sql,
                                "SELECT " NG_STATE_COLUMNS " FROM session_state h "
                                "WHERE h.session = ? ORDER BY h.revision DESC, h.finished DESC, "
                                "h.noise DESC, h.cutoff DESC, h.host DESC",
                                &states);
    while (!status) {
        status = ng_sql_step(store->sql, sessions, &row);
        if (status || !row) break;
        if (!ng_read_session(sessions, 0, &s)) {
            store->ignored++;
            continue;
        }
        status = load_state(store, states, &s);
        if (!status && !each(ctx, &s)) break;
    }
    ng_sql_finish(states);
    ng_sql_finish(sessions);
    return status;
}

/* Newest first, so the first state of the first session counts; of a session with several states
 * none is older than its measurement. */
normgen_status ng_store_cutoff(ng_store *store, const char *machine, int64_t *cutoff) {
    ng_stmt *stmt = NULL;
    bool row = true;
    int64_t value;
    normgen_status status = ng_sql_prepare(
        store->sql,
        "SELECT h.cutoff FROM session s JOIN session_state h ON h.session = s.uuid "
        "WHERE h.cutoff > 0 AND s.uuid IN (SELECT session FROM unit WHERE machine = ?) "
        "ORDER BY s.started DESC, s.uuid DESC, h.revision DESC, h.cutoff DESC",
        &stmt);
    if (!status) status = ng_sql_bind(store->sql, stmt, NG_VALUES(NG_T(machine)));
    *cutoff = 0;
    while (!status && *cutoff == 0) {
        status = ng_sql_step(store->sql, stmt, &row);
        if (status || !row) break;
        if (ng_sql_integer(stmt, 0, 1, INT64_MAX, &value))
            *cutoff = ng_clamp_cutoff(value);
        else
            store->ignored++;
    }
    ng_sql_finish(stmt);
    return status;
}

/* ---- winners and trials ---- */

static bool read_found(ng_stmt *stmt, ng_found *f) {
    ng_unit_row unit;
    if (!ng_read_winner(stmt, 0, &f->winner) || !ng_read_unit(stmt, 4, &unit) ||
        !read_name(stmt, 11, f->started, sizeof f->started) ||
        !read_int(stmt, 12, 0, NG_THOROUGH, &f->effort))
        return false;
    memcpy(f->spec, unit.spec, sizeof f->spec);
    memcpy(f->machine, unit.machine, sizeof f->machine);
    memcpy(f->toolchain, unit.toolchain, sizeof f->toolchain);
    memcpy(f->session, unit.session, sizeof f->session);
    f->regime = unit.regime;
    f->threads = unit.threads;
    f->rows = unit.rows;
    return true;
}

/* Whether two winners compete for one place, of which only the first, the greatest, counts. */
static bool same_place(const ng_found *a, const ng_found *b) {
    return a->winner.slot == b->winner.slot && a->regime == b->regime && a->threads == b->threads &&
           strcmp(a->spec, b->spec) == 0 && strcmp(a->machine, b->machine) == 0 &&
           strcmp(a->toolchain, b->toolchain) == 0;
}

static void select_winners(ng_select *s, const ng_query *q) {
    ng_select_add(s, "SELECT " NG_WINNER_COLUMNS ", " NG_UNIT_COLUMNS ", s.started, s.effort "
                     "FROM winner w, unit u, session s WHERE u.id = w.unit AND s.uuid = u.session");
    ng_select_where(s, "u.spec", NG_T(q->spec));
    ng_select_where(s, "u.machine", NG_T(q->machine));
    ng_select_where(s, "u.toolchain", NG_T(q->toolchain));
    if (q->regime >= 0) ng_select_where(s, "u.regime", NG_T(ng_regime_names[q->regime]));
    if (q->slot >= 0) ng_select_where(s, "w.slot", NG_T(ng_slot_names[q->slot]));
    if (q->threads > 0) ng_select_where(s, "u.threads", NG_I(q->threads));
    ng_select_add(s, " ORDER BY u.spec, u.machine, ");
    order_by_regime(s);
    /* slots happen to sort by name; the end breaks ties of twins the same way in every store */
    ng_select_add(s, ", u.threads, w.slot, u.toolchain, s.effort DESC, w.pairs DESC, "
                     "s.started DESC, u.session DESC, w.schedule, w.ns, u.rows");
}

normgen_status ng_store_winners(ng_store *store, const ng_query *query,
                                bool (*each)(void *ctx, const ng_found *found), void *ctx) {
    ng_select select = {0};
    ng_found found[2] = {0};
    ng_stmt *stmt = NULL;
    bool row = true, any = false;
    int next = 0;
    if (query->regime >= NG_REGIME_COUNT || query->slot >= NG_SLOT_COUNT)
        return ng_fail(NORMGEN_E_ARGUMENT, "a query has regime %d, slot %d", query->regime,
                       query->slot);
    select_winners(&select, query);
    normgen_status status = ng_select_start(store, &select, &stmt);
    while (!status) {
        status = ng_sql_step(store->sql, stmt, &row);
        if (status || !row) break;
        if (!read_found(stmt, &found[next])) {
            store->ignored++;
            continue;
        }
        if (any && same_place(&found[0], &found[1])) continue;
        any = true;
        if (!each(ctx, &found[next])) break;
        next = 1 - next;
    }
    ng_sql_finish(stmt);
    return status;
}

normgen_status ng_store_trials(ng_store *store, const char *session, const ng_unit *unit,
                               bool (*each)(void *ctx, const ng_trial *trial), void *ctx) {
    ng_select select = {0};
    ng_trial trial;
    ng_stmt *stmt = NULL;
    bool row = true;
    if ((int)unit->regime < 0 || unit->regime >= NG_REGIME_COUNT)
        return ng_fail(NORMGEN_E_ARGUMENT, "a unit has regime %d", (int)unit->regime);
    ng_select_add(&select, "SELECT " NG_TRIAL_COLUMNS " FROM trial t, unit u WHERE u.id = t.unit");
    ng_select_where(&select, "u.spec", NG_T(unit->spec));
    ng_select_where(&select, "u.machine", NG_T(unit->machine));
    ng_select_where(&select, "u.toolchain", NG_T(unit->toolchain));
    ng_select_where(&select, "u.session", NG_T(session));
    ng_select_where(&select, "u.regime", NG_T(ng_regime_names[unit->regime]));
    ng_select_where(&select, "u.threads", NG_I(unit->threads));
    ng_select_add(&select, " ORDER BY t.valid DESC, t.ns = 0, t.ns, t.schedule, t.reason, "
                           "t.spread, t.samples, t.code_bytes");
    normgen_status status = ng_select_start(store, &select, &stmt);
    while (!status) {
        status = ng_sql_step(store->sql, stmt, &row);
        if (status || !row) break;
        if (!ng_read_trial(stmt, 0, &trial))
            store->ignored++;
        else if (!each(ctx, &trial))
            break;
    }
    ng_sql_finish(stmt);
    return status;
}

/* ---- checking ---- */

/* The program of the spec read last: rows come sorted by spec. */
typedef struct checker {
    char spec[NORMGEN_SPEC_TEXT];
    bool good;
    ng_program program;
} checker;

static void use_spec(checker *c, const char *text) {
    normgen_spec spec;
    if (strcmp(c->spec, text) == 0) return;
    snprintf(c->spec, sizeof c->spec, "%s", text);
    c->good = normgen_spec_parse(&spec, text) == NORMGEN_OK;
    if (c->good) ng_program_build(&c->program, &spec);
}

/* The level that a machine text names: its word "isa=..." */
static const ng_isa *machine_isa(const char *machine) {
    char name[64];
    const char *at = strncmp(machine, "isa=", 4) == 0 ? machine : strstr(machine, " isa=");
    if (!at) return NULL;
    at = strchr(at, '=') + 1;
    size_t n = strcspn(at, " ");
    if (n >= sizeof name) return NULL;
    memcpy(name, at, n);
    name[n] = 0;
    return ng_isa_find(name);
}

static bool is_limit(const char *schedule) {
    return strncmp(schedule, "limit ", 6) == 0 || strcmp(schedule, "memcpy") == 0;
}

static bool legal(checker *c, const ng_unit_row *unit, const char *schedule) {
    ng_schedule s;
    const ng_isa *isa = machine_isa(unit->machine);
    use_spec(c, unit->spec);
    return c->good && isa && isa->max_vec > 0 &&
           ng_schedule_parse(&c->program, schedule, &s) == NORMGEN_OK &&
           ng_schedule_legal(&c->program, isa, &s, NULL);
}

static bool trial_is_good(checker *c, ng_stmt *stmt, const ng_unit_row *unit) {
    ng_trial t;
    return ng_read_trial(stmt, 7, &t) && (is_limit(t.schedule) || legal(c, unit, t.schedule));
}

static bool winner_is_good(checker *c, ng_stmt *stmt, const ng_unit_row *unit) {
    ng_winner w;
    return ng_read_winner(stmt, 7, &w) &&
           (w.slot == NG_SLOT_LIMIT ? is_limit(w.schedule) : legal(c, unit, w.schedule));
}

/* Counts the rows of a query, which begin with the columns of their unit, that are not good. */
static normgen_status count_bad(ng_store *store, checker *c, const char *query,
                                bool (*good)(checker *, ng_stmt *, const ng_unit_row *),
                                int64_t *illegal) {
    ng_unit_row unit;
    ng_stmt *stmt = NULL;
    bool row = true;
    normgen_status status = ng_sql_prepare(store->sql, query, &stmt);
    while (!status) {
        status = ng_sql_step(store->sql, stmt, &row);
        if (status || !row) break;
        if (!ng_read_unit(stmt, 0, &unit) || !good(c, stmt, &unit)) ++*illegal;
    }
    ng_sql_finish(stmt);
    return status;
}

static const char all_trials[] = "SELECT " NG_UNIT_COLUMNS ", " NG_TRIAL_COLUMNS
                                 " FROM trial t LEFT JOIN unit u ON u.id = t.unit ORDER BY u.spec";
static const char all_winners[] =
    "SELECT " NG_UNIT_COLUMNS ", " NG_WINNER_COLUMNS
    " FROM winner w LEFT JOIN unit u ON u.id = w.unit ORDER BY u.spec";

static normgen_status count_rows(ng_store *store, ng_store_counts *counts) {
    normgen_status status =
        ng_sql_number(store->sql, "SELECT count(*) FROM session", &counts->sessions);
    if (!status) status = ng_sql_number(store->sql, "SELECT count(*) FROM trial", &counts->trials);
    if (!status)
        status = ng_sql_number(store->sql, "SELECT count(*) FROM winner", &counts->winners);
    return status;
}

normgen_status ng_store_check(ng_store *store, ng_store_counts *counts, int64_t *illegal) {
    ng_store_counts n = {0};
    int64_t bad = 0;
    normgen_status status = ng_sql_check(store->sql, true);
    if (status) return status;
    checker *c = calloc(1, sizeof *c);
    if (!c) return ng_fail(NORMGEN_E_MEMORY, "store %s: out of memory", store->file.path);
    status = count_rows(store, &n);
    if (!status) status = count_bad(store, c, all_trials, trial_is_good, &bad);
    if (!status) status = count_bad(store, c, all_winners, winner_is_good, &bad);
    free(c);
    if (status) return status;
    if (counts) *counts = n;
    if (illegal) *illegal = bad;
    return NORMGEN_OK;
}
