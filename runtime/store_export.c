/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a store as text. Rows come in one order, whatever the history of the file, so equal
 * stores give equal texts. Rows that do not fit are left out and counted, as everywhere. */
#include "store_text.h"

#include "decimal.h"
#include "error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
const ng_text_row ng_text_rows[NG_TEXT_KINDS] = {
    {"session", {{"uuid", NG_TEXT_WORDS, NULL}, {"started", NG_TEXT_WORDS, NULL},
                 {"job", NG_TEXT_WORDS, ""}, {"effort", NG_TEXT_INTEGER, NULL},
                 {"seed", NG_TEXT_INTEGER, "0"}}},
    {"state", {{"finished", NG_TEXT_INTEGER, "1"}, {"noise", NG_TEXT_REAL, "-1"},
               {"cutoff", NG_TEXT_INTEGER, "0"}, {"host", NG_TEXT_WORDS, ""},
               {"session", NG_TEXT_WORDS, NULL}, {"revision", NG_TEXT_INTEGER, "1"}}},
    {"unit", {{"spec", NG_TEXT_WORDS, NG_TEXT_ABOVE}, {"machine", NG_TEXT_WORDS, NG_TEXT_ABOVE},
              {"toolchain", NG_TEXT_WORDS, NG_TEXT_ABOVE}, {"regime", NG_TEXT_WORDS, NULL},
              {"threads", NG_TEXT_INTEGER, "1"}, {"session", NG_TEXT_WORDS, NG_TEXT_ABOVE},
              {"rows", NG_TEXT_INTEGER, NULL}}},
    {"winner", {{"slot", NG_TEXT_WORDS, NULL}, {"schedule", NG_TEXT_WORDS, NULL},
                {"ns", NG_TEXT_REAL, NULL}, {"pairs", NG_TEXT_INTEGER, "0"}}},
    {"trial", {{"schedule", NG_TEXT_WORDS, NULL}, {"valid", NG_TEXT_INTEGER, "1"},
               {"reason", NG_TEXT_WORDS, ""}, {"ns", NG_TEXT_REAL, "0"},
               {"spread", NG_TEXT_REAL, "0"}, {"samples", NG_TEXT_INTEGER, "0"},
               {"code_bytes", NG_TEXT_INTEGER, "0"}}},
};
/* clang-format on */

/* ---- lines ---- */

static bool bare(const char *text) {
    for (const char *p = text; *p; p++)
        if (*p == ' ' || *p == '"' || *p == '\\') return false;
    return *text != 0;
}

static void put_text(const char *text, FILE *out) {
    if (bare(text)) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\') putc('\\', out);
        putc(*p, out);
    }
    putc('"', out);
}

/* The value as text; false when the column does not hold such a one. */
static bool value_text(ng_stmt *row, int at, const ng_text_column *column, char *text) {
    int64_t integer;
    double real;
    switch (column->form) {
    case NG_TEXT_WORDS: return ng_sql_text(row, at, text, NG_TEXT_VALUE);
    case NG_TEXT_INTEGER:
        if (!ng_sql_integer(row, at, INT64_MIN, INT64_MAX, &integer)) return false;
        snprintf(text, NG_TEXT_VALUE, "%" PRId64, integer);
        return true;
    default:
        if (!ng_sql_real(row, at, -NG_NS_MAX, NG_NS_MAX, &real)) return false;
        ng_decimal_print(real, text);
        return true;
    }
}

/* Writes the columns of a row that was found to fit. No line leaves out what another one says, so
 * that lines can be sorted and compared. */
static void put_row(ng_text_kind kind, ng_stmt *row, FILE *out) {
    char text[NG_TEXT_VALUE];
    fputs(ng_text_rows[kind].word, out);
    for (int i = 0; ng_text_rows[kind].columns[i].name; i++) {
        const ng_text_column *c = &ng_text_rows[kind].columns[i];
        if (!value_text(row, i, c, text)) continue;
        if (c->preset && strcmp(text, c->preset) == 0) continue;
        fprintf(out, " %s=", c->name);
        put_text(text, out);
    }
    putc('\n', out);
}

/* ---- rows ---- */

typedef struct exporting {
    ng_store *store;
    FILE *out;
    ng_store_counts counts;
} exporting;

static bool fits_session(ng_stmt *row) {
    ng_session s;
    return ng_read_session(row, 0, &s);
}

static bool fits_state(ng_stmt *row) {
    ng_session s;
    int64_t revision;
    return ng_read_state(row, 0, &s) && ng_sql_text(row, 4, s.uuid, sizeof s.uuid) && s.uuid[0] &&
           ng_sql_integer(row, 5, 1, INT32_MAX, &revision);
}

static bool fits_winner(ng_stmt *row) {
    ng_winner w;
    return ng_read_winner(row, 0, &w);
}

static bool fits_trial(ng_stmt *row) {
    ng_trial t;
    return ng_read_trial(row, 0, &t);
}

/* Writes all rows of a started statement; `count` (may be NULL) says how many. */
static normgen_status put_rows(exporting *e, ng_stmt *rows, ng_text_kind kind,
                               bool (*fits)(ng_stmt *row), int64_t *count) {
    bool row = true;
    for (;;) {
        normgen_status status = ng_sql_step(e->store->sql, rows, &row);
        if (status || !row) return status;
        if (!fits(rows)) {
            e->store->ignored++;
            continue;
        }
        put_row(kind, rows, e->out);
        if (count) ++*count;
    }
}

static normgen_status put_table(exporting *e, const char *select, ng_text_kind kind,
                                bool (*fits)(ng_stmt *row), int64_t *count) {
    ng_stmt *rows = NULL;
    normgen_status status = ng_sql_prepare(e->store->sql, select, &rows);
    if (!status) status = put_rows(e, rows, kind, fits, count);
    ng_sql_finish(rows);
    return status;
}

static normgen_status put_results(exporting *e, int64_t unit, ng_stmt *winners, ng_stmt *trials) {
    normgen_status status = ng_sql_bind(e->store->sql, winners, NG_VALUES(NG_I(unit)));
    if (!status) status = put_rows(e, winners, NG_TEXT_WINNER, fits_winner, &e->counts.winners);
    if (!status) status = ng_sql_bind(e->store->sql, trials, NG_VALUES(NG_I(unit)));
    if (!status) status = put_rows(e, trials, NG_TEXT_TRIAL, fits_trial, &e->counts.trials);
    return status;
}

static normgen_status put_each_unit(exporting *e, ng_stmt *units, ng_stmt *winners,
                                    ng_stmt *trials) {
    ng_unit_row unit;
    int64_t id;
    bool row = true;
    for (;;) {
        normgen_status status = ng_sql_step(e->store->sql, units, &row);
        if (status || !row) return status;
        if (!ng_read_unit(units, 0, &unit) ||
            !ng_sql_integer(units, 7, INT64_MIN, INT64_MAX, &id)) {
            e->store->ignored++;
            continue;
        }
        put_row(NG_TEXT_UNIT, units, e->out);
        status = put_results(e, id, winners, trials);
        if (status) return status;
    }
}

static normgen_status put_units(exporting *e) {
    ng_sql *sql = e->store->sql;
    ng_stmt *units = NULL, *winners = NULL, *trials = NULL;
    normgen_status status =
        ng_sql_prepare(sql,
                       "SELECT " NG_UNIT_COLUMNS ", u.id FROM unit u ORDER BY u.spec, u.machine, "
                       "u.toolchain, u.regime, u.threads, u.session, u.rows",
                       &units);
    if (!status)
        status = ng_sql_prepare(sql,
                                "SELECT " NG_WINNER_COLUMNS " FROM winner w WHERE w.unit = ? "
                                "ORDER BY w.slot, w.schedule, w.ns, w.pairs",
                                &winners);
    if (!status)
        status = ng_sql_prepare(sql,
                                "SELECT " NG_TRIAL_COLUMNS " FROM trial t WHERE t.unit = ? "
                                "ORDER BY t.schedule, t.valid, t.reason, t.ns, t.spread, "
                                "t.samples, t.code_bytes",
                                &trials);
    if (!status) status = put_each_unit(e, units, winners, trials);
    ng_sql_finish(trials);
    ng_sql_finish(winners);
    ng_sql_finish(units);
    return status;
}

static normgen_status put_all(exporting *e) {
    fprintf(e->out, NG_TEXT_MARK " %d\n", NG_TEXT_VERSION);
    normgen_status status =
        put_table(e,
                  "SELECT " NG_SESSION_COLUMNS " FROM session s ORDER BY s.started, s.uuid, s.job, "
                  "s.effort, s.seed",
                  NG_TEXT_SESSION, fits_session, &e->counts.sessions);
    if (!status)
        status = put_table(e,
                           "SELECT " NG_STATE_COLUMNS ", h.session, h.revision "
                           "FROM session_state h ORDER BY h.session, h.revision, h.finished, "
                           "h.noise, h.cutoff, h.host",
                           NG_TEXT_STATE, fits_state, NULL);
    if (!status) status = put_units(e);
    fputs(NG_TEXT_END "\n", e->out);
    if (!status && (fflush(e->out) != 0 || ferror(e->out)))
        status = ng_fail(NORMGEN_E_IO, "the text cannot be written: %s", strerror(errno));
    return status;
}

/* One read transaction: the text is one state of the store, whoever else writes to it. */
static normgen_status export_all(ng_store *store, FILE *out, ng_store_counts *counts) {
    exporting e = {.store = store, .out = out};
    normgen_status status = ng_sql_exec(store->sql, "BEGIN");
    if (!status) status = ng_sql_end(store->sql, put_all(&e));
    if (!status && counts) *counts = e.counts;
    return status;
}

/* ---- winners only ---- */

/* The winners of a store, on their way into one in memory that has nothing else. */
typedef struct selecting {
    ng_store *to;
    ng_stmt *unit, *winner;
    normgen_status status;
} selecting;

static bool select_winner(void *ctx, const ng_found *f) {
    selecting *s = ctx;
    const ng_value unit[] = {
        NG_T(f->spec),    NG_T(f->machine), NG_T(f->toolchain), NG_T(ng_regime_names[f->regime]),
        NG_I(f->threads), NG_T(f->session), NG_I(f->rows)};
    s->status = ng_sql_run(s->to->sql, s->unit, unit, 7, NULL);
    ng_value winner[11] = {NG_T(ng_slot_names[f->winner.slot]), NG_T(f->winner.schedule),
                           NG_R(f->winner.ns), NG_I(f->winner.pairs)};
    memcpy(winner + 4, unit, sizeof unit);
    if (!s->status) s->status = ng_sql_run(s->to->sql, s->winner, winner, 11, NULL);
    return s->status == NORMGEN_OK;
}

static bool select_session(void *ctx, const ng_session *session) {
    selecting *s = ctx;
    s->status = ng_store_put_session(s->to, session);
    return s->status == NORMGEN_OK;
}

static normgen_status select_winners(ng_store *from, selecting *s) {
    ng_query all = {.regime = -1, .slot = -1};
    ng_sql *sql = s->to->sql;
    normgen_status status =
        ng_sql_prepare(sql,
                       "INSERT OR IGNORE INTO unit(spec, machine, toolchain, regime, threads, "
                       "session, rows) VALUES (?, ?, ?, ?, ?, ?, ?)",
                       &s->unit);
    if (!status)
        status = ng_sql_prepare(sql,
                                "INSERT OR IGNORE INTO winner SELECT id, ?1, ?2, ?3, ?4 FROM unit "
                                "WHERE spec = ?5 AND machine = ?6 AND toolchain = ?7 AND regime = "
                                "?8 AND threads = ?9 AND session = ?10 AND rows = ?11",
                                &s->winner);
    if (!status) status = ng_store_winners(from, &all, select_winner, s);
    if (!status) status = s->status;
    if (!status) status = ng_store_sessions(from, select_session, s);
    if (!status) status = s->status;
    if (!status)
        status = ng_sql_exec(sql, "DELETE FROM session WHERE uuid NOT IN (SELECT session FROM "
                                  "unit); DELETE FROM session_state WHERE session NOT IN (SELECT "
                                  "session FROM unit)");
    ng_sql_finish(s->winner);
    ng_sql_finish(s->unit);
    return status;
}

normgen_status ng_store_export(ng_store *store, bool winners_only, FILE *out,
                               ng_store_counts *counts) {
    selecting s = {0};
    if (!winners_only) return export_all(store, out, counts);
    normgen_status status = ng_store_in_memory(store->file.path, &s.to);
    if (!status) status = select_winners(store, &s);
    if (!status) status = export_all(s.to, out, counts);
    ng_store_close(s.to);
    return status;
}
