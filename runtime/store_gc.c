/* SPDX-License-Identifier: Apache-2.0 */
/* Dropping trials that no winner rests on: the one place where rows of a store go away. Winners,
 * units and sessions never do, so nothing that the dispatcher or a resumed session reads changes.
 */
#include "store_impl.h"

#include "error.h"

/* A trial is kept when a winner of its unit has its schedule (any winner, effective or not: which
 * one is may change with the next merge), or when it is young enough and of the right toolchain. A
 * trial whose unit or session is not there can never be seen. */
#define NOT_NEEDED                                                                                 \
    " FROM trial WHERE NOT EXISTS (SELECT 1 FROM winner w WHERE w.unit = trial.unit AND "          \
    "w.schedule = trial.schedule) AND NOT EXISTS (SELECT 1 FROM unit u, session s WHERE "          \
    "u.id = trial.unit AND s.uuid = u.session AND s.started >= ?1 AND ?2 IN ('', u.toolchain))"

static normgen_status count(ng_store *store, const ng_gc *gc, int64_t *dropped) {
    ng_stmt *stmt = NULL;
    bool row = false;
    normgen_status status = ng_sql_prepare(store->sql, "SELECT count(*)" NOT_NEEDED, &stmt);
    if (!status)
        status = ng_sql_bind(store->sql, stmt, NG_VALUES(NG_T(gc->since), NG_T(gc->toolchain)));
    if (!status) status = ng_sql_step(store->sql, stmt, &row);
    if (!status && !(row && ng_sql_integer(stmt, 0, 0, INT64_MAX, dropped))) *dropped = 0;
    ng_sql_finish(stmt);
    return status;
}

static normgen_status drop(ng_store *store, const ng_gc *gc, int64_t *dropped) {
    ng_stmt *stmt = NULL;
    normgen_status status = ng_sql_begin(store->sql);
    if (status) return status;
    status = ng_sql_prepare(store->sql, "DELETE" NOT_NEEDED, &stmt);
    if (!status)
        status =
            ng_sql_run(store->sql, stmt, NG_VALUES(NG_T(gc->since), NG_T(gc->toolchain)), dropped);
    ng_sql_finish(stmt);
    return ng_sql_end(store->sql, status);
}

normgen_status ng_store_gc(ng_store *store, const ng_gc *gc, ng_gc_result *out) {
    ng_gc_result result = {0};
    normgen_status status = gc->dry_run ? NORMGEN_OK : ng_store_may_write(store);
    if (!status) status = ng_sql_check(store->sql, true);
    if (!status)
        status = gc->dry_run ? count(store, gc, &result.dropped) : drop(store, gc, &result.dropped);
    if (!status) status = ng_sql_number(store->sql, "SELECT count(*) FROM trial", &result.kept);
    if (status) return status;
    if (gc->dry_run) result.kept -= result.dropped;
    /* Needs the file for itself and as much room again; without it the room is used by later rows.
     */
    result.shrunk = !gc->dry_run && ng_sql_shrink(store->sql) == NORMGEN_OK;
    *out = result;
    return NORMGEN_OK;
}
