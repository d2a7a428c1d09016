/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's own files share: the handle, and reading rows with distrust. Not for others. */
#ifndef NG_STORE_IMPL_H
#define NG_STORE_IMPL_H

#include "dbfile.h"
#include "sql.h"
#include "store.h"

#define NG_STORE_VERSION 1
#define NG_STORE_APPLICATION 0x6e726d67 /* "nrmg" */
#define NG_STORE_BUSY_MS 5000
#define NG_TOOLCHAIN_TEXT 96
#define NG_NS_MAX 1e18 /* 30 years a row */

struct ng_store {
    ng_sql *sql;
    bool writable;
    int64_t ignored;
    ng_dbfile file;
};

/* ng_store_open with another patience. */
normgen_status ng_store_open_wait(const char *path, ng_store_access access, int busy_ms,
                                  ng_store **store);
/* In a transaction: makes the tables of an empty file, or brings an older one up to `version` with
 * steps[v], which leads from v to v + 1. */
normgen_status ng_store_migrate(ng_sql *sql, const char *schema, const char *const *steps,
                                int version);
/* E_STORE when tables, indexes, triggers or views are not exactly what the schema makes. */
normgen_status ng_store_same_schema(ng_sql *sql, const char *schema, const char *path);
/* E_STORE when the handle was opened for reading. */
normgen_status ng_store_may_write(const ng_store *store);

/* Adds all rows of `from` that fit and are not there yet, in one transaction; `added` may be NULL.
 */
normgen_status ng_store_unite(ng_store *to, ng_store *from, ng_store_counts *added);
/* Adds a session with its state, as they are, outside of any transaction of its own. */
normgen_status ng_store_put_session(ng_store *store, const ng_session *session);

/* The cut-off steers the dispatcher, so it is bounded: 0 (not measured) or 2 to 2^20 ns. */
int64_t ng_clamp_cutoff(int64_t ns);

/* A statement that is put together from fixed text and conditions with their values. */
typedef struct ng_select {
    char text[1600];
    ng_value values[8];
    size_t n;
} ng_select;
void ng_select_add(ng_select *select, const char *text);
/* Adds " AND column = ?"; a NULL text adds nothing. */
void ng_select_where(ng_select *select, const char *column, ng_value value);
/* Prepares and binds; *stmt is the caller's. */
normgen_status ng_select_start(ng_store *store, const ng_select *select, ng_stmt **stmt);

/* Columns read as their C types; each is false, and *out undefined, when a value does not fit.
 * `column` counts on. */
#define NG_TRIAL_COLUMNS "t.schedule, t.valid, t.reason, t.ns, t.spread, t.samples, t.code_bytes"
bool ng_read_trial(ng_stmt *stmt, int column, ng_trial *out);
#define NG_WINNER_COLUMNS "w.slot, w.schedule, w.ns, w.pairs"
bool ng_read_winner(ng_stmt *stmt, int column, ng_winner *out);
#define NG_SESSION_COLUMNS "s.uuid, s.started, s.job, s.effort, s.seed"
bool ng_read_session(ng_stmt *stmt, int column, ng_session *out);
#define NG_STATE_COLUMNS "h.finished, h.noise, h.cutoff, h.host"
bool ng_read_state(ng_stmt *stmt, int column, ng_session *out);
/* A unit with room for its texts. */
typedef struct ng_unit_row {
    char spec[NORMGEN_SPEC_TEXT], machine[NG_MACHINE_TEXT], toolchain[NG_TOOLCHAIN_TEXT],
        session[37];
    ng_regime regime;
    int threads;
    int64_t rows;
} ng_unit_row;
#define NG_UNIT_COLUMNS "u.spec, u.machine, u.toolchain, u.regime, u.threads, u.session, u.rows"
bool ng_read_unit(ng_stmt *stmt, int column, ng_unit_row *out);

#endif
