/* SPDX-License-Identifier: Apache-2.0 */
/* Merging stores: a set union of rows. The whole row is the key in every table, so the order of
 * merges does not matter and repeating one changes nothing; whether a row fits depends on the row
 * alone. The source is hostile until it was checked, and stays read-only. */
#include "store_impl.h"

#include "error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* From, to, and one statement for reading and one for adding. */
typedef struct merging {
    ng_store *to, *from;
    ng_store_counts added;
} merging;

/* Calls copy for every row of a query, with the statement that adds. */
static normgen_status copy_rows(merging *m, const char *select, const char *insert,
                                normgen_status (*copy)(merging *m, ng_stmt *row, ng_stmt *add)) {
    ng_stmt *rows = NULL, *add = NULL;
    bool row = true;
    normgen_status status = ng_sql_prepare(m->from->sql, select, &rows);
    if (!status) status = ng_sql_prepare(m->to->sql, insert, &add);
    while (!status) {
        status = ng_sql_step(m->from->sql, rows, &row);
        if (status || !row) break;
        status = copy(m, rows, add);
    }
    ng_sql_finish(add);
    ng_sql_finish(rows);
    return status;
}

static normgen_status ignore(merging *m) {
    m->to->ignored++;
    return NORMGEN_OK;
}

static normgen_status copy_session(merging *m, ng_stmt *row, ng_stmt *add) {
    ng_session s;
    int64_t n = 0;
    if (!ng_read_session(row, 0, &s)) return ignore(m);
    normgen_status status = ng_sql_run(
        m->to->sql, add,
        NG_VALUES(NG_T(s.uuid), NG_T(s.started), NG_T(s.job), NG_I(s.effort), NG_I(s.seed)), &n);
    m->added.sessions += n;
    return status;
}

static normgen_status copy_state(merging *m, ng_stmt *row, ng_stmt *add) {
    ng_session s;
    int64_t revision;
    if (!ng_read_state(row, 0, &s) || !ng_sql_text(row, 4, s.uuid, sizeof s.uuid) || !s.uuid[0] ||
        !ng_sql_integer(row, 5, 1, INT32_MAX, &revision))
        return ignore(m);
    return ng_sql_run(m->to->sql, add,
                      NG_VALUES(NG_T(s.uuid), NG_I(revision), NG_I(s.finished),
                                NG_R(isnan(s.noise) ? -1 : s.noise), NG_I(s.cutoff), NG_T(s.host)),
                      NULL);
}

#define UNIT_VALUES(u)                                                                             \
    NG_T((u).spec), NG_T((u).machine), NG_T((u).toolchain), NG_T(ng_regime_names[(u).regime]),     \
        NG_I((u).threads), NG_T((u).session), NG_I((u).rows)

static normgen_status copy_unit(merging *m, ng_stmt *row, ng_stmt *add) {
    ng_unit_row u;
    if (!ng_read_unit(row, 0, &u)) return ignore(m);
    return ng_sql_run(m->to->sql, add, NG_VALUES(UNIT_VALUES(u)), NULL);
}

/* Rows of trials and winners name their unit by its content: ids differ between files. */
#define UNIT_ID                                                                                    \
    "(SELECT id FROM unit WHERE spec = ?1 AND machine = ?2 AND toolchain = ?3 AND regime = ?4 "    \
    "AND threads = ?5 AND session = ?6 AND rows = ?7)"

static normgen_status copy_trial(merging *m, ng_stmt *row, ng_stmt *add) {
    ng_unit_row u;
    ng_trial t;
    int64_t n = 0;
    if (!ng_read_unit(row, 0, &u) || !ng_read_trial(row, 7, &t)) return ignore(m);
    normgen_status status =
        ng_sql_run(m->to->sql, add,
                   NG_VALUES(UNIT_VALUES(u), NG_T(t.schedule), NG_I(t.valid), NG_T(t.reason),
                             NG_R(t.ns), NG_R(t.spread), NG_I(t.samples), NG_I(t.code_bytes)),
                   &n);
    m->added.trials += n;
    return status;
}

static normgen_status copy_winner(merging *m, ng_stmt *row, ng_stmt *add) {
    ng_unit_row u;
    ng_winner w;
    int64_t n = 0;
    if (!ng_read_unit(row, 0, &u) || !ng_read_winner(row, 7, &w)) return ignore(m);
    normgen_status status = ng_sql_run(m->to->sql, add,
                                       NG_VALUES(UNIT_VALUES(u), NG_T(ng_slot_names[w.slot]),
                                                 NG_T(w.schedule), NG_R(w.ns), NG_I(w.pairs)),
                                       &n);
    m->added.winners += n;
    return status;
}

static const struct {
    const char *select, *insert;
    normgen_status (*copy)(merging *m, ng_stmt *row, ng_stmt *add);
} tables[] = {
    {"SELECT " NG_SESSION_COLUMNS " FROM session s",
     "INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?)", copy_session},
    {"SELECT " NG_STATE_COLUMNS ", h.session, h.revision FROM session_state h",
     "INSERT OR IGNORE INTO session_state VALUES (?, ?, ?, ?, ?, ?)", copy_state},
    {"SELECT " NG_UNIT_COLUMNS " FROM unit u",
     "INSERT OR IGNORE INTO unit(spec, machine, toolchain, regime, threads, session, rows) "
     "VALUES (?, ?, ?, ?, ?, ?, ?)",
     copy_unit},
    {"SELECT " NG_UNIT_COLUMNS ", " NG_TRIAL_COLUMNS
     " FROM trial t LEFT JOIN unit u ON u.id = t.unit",
     "INSERT OR IGNORE INTO trial SELECT " UNIT_ID ", ?8, ?9, ?10, ?11, ?12, ?13, ?14", copy_trial},
    {"SELECT " NG_UNIT_COLUMNS ", " NG_WINNER_COLUMNS
     " FROM winner w LEFT JOIN unit u ON u.id = w.unit",
     "INSERT OR IGNORE INTO winner SELECT " UNIT_ID ", ?8, ?9, ?10, ?11", copy_winner},
};

static normgen_status copy_tables(merging *m) {
    normgen_status status = ng_sql_begin(m->to->sql);
    if (status) return status;
    for (size_t i = 0; !status && i < sizeof tables / sizeof tables[0]; i++)
        status = copy_rows(m, tables[i].select, tables[i].insert, tables[i].copy);
    return ng_sql_end(m->to->sql, status);
}

normgen_status ng_store_unite(ng_store *to, ng_store *from, ng_store_counts *added) {
    merging m = {.to = to, .from = from};
    normgen_status status = copy_tables(&m);
    if (!status && added) *added = m.added;
    return status;
}

normgen_status ng_store_merge(ng_store *store, const char *from, ng_store_counts *added) {
    ng_store *source = NULL;
    normgen_status status = ng_store_may_write(store);
    if (!status) status = ng_store_open(from, NG_STORE_READ, &source);
    if (status) return status;
    status = ng_sql_check(source->sql, true);
    if (!status) status = ng_store_unite(store, source, added);
    ng_store_close(source);
    return status;
}
