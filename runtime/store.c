/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store. A file is not trusted before its mark, version and every table definition are
 * exactly ours; until then nothing of it is read or written. */
#include "store_impl.h"

#include "error.h"
#include "schema_sql.h"
#include "store_text.h"

#include <stdio.h>
#include <stdlib.h>

const char *const ng_effort_names[4] = {"none", "quick", "normal", "thorough"};
const char *const ng_slot_names[NG_SLOT_COUNT] = {"any", "cached", "limit"};

/* migrations[v] leads from version v to v + 1 and must end in the very text of schema.sql; new
 * stores start from schema.sql. */
static const char *const migrations[NG_STORE_VERSION] = {NULL};

normgen_status ng_store_default_path(char *path, size_t size) {
    const char *db = getenv("NORMGEN_DB"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;
    if (db && db[0])
        n = snprintf(path, size, "%s", db);
    else if (data && data[0] == '/') /* the XDG specification: relative ones are ignored */
        n = snprintf(path, size, "%s/normgen/tuned.db", data);
    else if (home && home[0])
        n = snprintf(path, size, "%s/.local/share/normgen/tuned.db", home);
    else
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "no place for the store: set NORMGEN_DB, XDG_DATA_HOME or HOME");
    if (n < 0 || (size_t)n >= size)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "the store's path has %d bytes, the limit is %zu: set NORMGEN_DB to a "
                       "shorter one",
                       n, size - 1);
    return NORMGEN_OK;
}

/* ---- opening ---- */

normgen_status ng_store_migrate(ng_sql *sql, const char *schema, const char *const *steps,
                                int version) {
    char text[120];
    int64_t from = 0, objects = 0;
    normgen_status status = ng_sql_begin(sql);
    if (status) return status;
    status = ng_sql_number(sql, "PRAGMA user_version", &from);
    if (!status) status = ng_sql_number(sql, "SELECT count(*) FROM sqlite_schema", &objects);
    /* someone else may have been faster, and may even be newer or another program */
    bool ours = objects == 0 || (from >= 1 && from < version);
    if (!status && objects == 0) status = ng_sql_exec(sql, schema);
    for (; !status && ours && objects > 0 && from < version; from++)
        status = ng_sql_exec(sql, steps[from]);
    snprintf(text, sizeof text, "PRAGMA application_id=%d; PRAGMA user_version=%d",
             NG_STORE_APPLICATION, version);
    if (!status && ours) status = ng_sql_exec(sql, text);
    return ng_sql_end(sql, status);
}

/* Whether two databases have the same objects with the same definitions. */
static normgen_status compare_schemas(ng_sql *a, ng_sql *b, bool *same) {
    static const char listing[] =
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name";
    ng_stmt *sa = NULL, *sb = NULL;
    bool ra = false, rb = false, equal = true;
    normgen_status status = ng_sql_prepare(a, listing, &sa);
    if (!status) status = ng_sql_prepare(b, listing, &sb);
    while (!status && equal) {
        status = ng_sql_step(a, sa, &ra);
        if (!status) status = ng_sql_step(b, sb, &rb);
        if (status || ra != rb || !ra) break;
        for (int i = 0; i < 4; i++) equal = equal && ng_sql_same(sa, sb, i);
    }
    if (!status) *same = equal && ra == rb;
    ng_sql_finish(sa);
    ng_sql_finish(sb);
    return status;
}

normgen_status ng_store_same_schema(ng_sql *sql, const char *schema, const char *path) {
    ng_sql *model = NULL;
    bool same = false;
    normgen_status status = ng_sql_open(&model, ":memory:", NG_SQL_RAW, 0);
    if (!status) status = ng_sql_exec(model, schema);
    if (!status) status = compare_schemas(sql, model, &same);
    ng_sql_close(model);
    if (!status && !same)
        status = ng_fail(NORMGEN_E_STORE,
                         "store %s: its tables are not those that normgen makes: move it away and "
                         "tune again",
                         path);
    return status;
}

static normgen_status check_header(const ng_store *store, const ng_sql_header *h, bool writing) {
    const char *path = store->file.path;
    if (h->size == 0 && writing) return NORMGEN_OK;
    if (h->size == 0)
        return ng_fail(NORMGEN_E_STORE, "store %s is empty: nothing was tuned yet", path);
    if (!h->sqlite)
        return ng_fail(NORMGEN_E_STORE,
                       "store %s is not a store, or its start is damaged: name another file, or "
                       "move it away",
                       path);
    if (h->application_id != NG_STORE_APPLICATION)
        return ng_fail(NORMGEN_E_STORE,
                       "store %s is a database of another program (application_id %u, not %d): "
                       "name another file",
                       path, h->application_id, NG_STORE_APPLICATION);
    if (h->user_version > NG_STORE_VERSION && h->user_version <= INT32_MAX)
        return ng_fail(NORMGEN_E_STORE,
                       "store %s has version %u, this normgen knows up to %d: use a newer normgen, "
                       "or name another store (NORMGEN_DB)",
                       path, h->user_version, NG_STORE_VERSION);
    if (h->user_version < 1 || h->user_version > NG_STORE_VERSION)
        return ng_fail(NORMGEN_E_STORE, "store %s is damaged (version %u): move it away", path,
                       h->user_version);
    if (!h->journal)
        return ng_fail(NORMGEN_E_STORE,
                       "store %s was switched to a write-ahead log: switch it back with sqlite3 "
                       "and PRAGMA journal_mode=DELETE",
                       path);
    return NORMGEN_OK;
}

/* Under a read lock, where the file holds still. */
static normgen_status check_content(ng_store *store) {
    ng_sql_header h;
    int64_t n;
    const char *path = store->file.path;
    normgen_status status = ng_sql_exec(store->sql, "BEGIN");
    if (!status) status = ng_sql_number(store->sql, "SELECT count(*) FROM sqlite_schema", &n);
    if (!status) status = ng_sql_read_header(store->sql, &h);
    if (!status) status = check_header(store, &h, false); /* again: a cut-off write was undone */
    if (!status && h.size < (int64_t)h.page_size * h.pages)
        status = ng_fail(NORMGEN_E_STORE,
                         "store %s is cut off (%lld of %lld bytes): move it away and tune again",
                         path, (long long)h.size, (long long)h.page_size * h.pages);
    if (!status && h.user_version < NG_STORE_VERSION)
        status = ng_fail(NORMGEN_E_STORE,
                         "store %s has the older version %u: tuning into it brings it up to date",
                         path, h.user_version);
    if (!status) status = ng_store_same_schema(store->sql, schema_sql, path);
    return ng_sql_end(store->sql, status);
}

static normgen_status open_file(ng_store *store, bool writing, int busy_ms) {
    ng_sql_header h;
    ng_sql_mode mode = writing ? NG_SQL_WRITE : store->file.ours ? NG_SQL_QUERY : NG_SQL_READ;
    normgen_status status = writing ? ng_dbfile_writable(&store->file) : NORMGEN_OK;
    if (!status) status = ng_sql_open(&store->sql, store->file.path, mode, busy_ms);
    if (!status) status = ng_sql_read_header(store->sql, &h);
    if (!status) status = check_header(store, &h, writing);
    if (!status && writing && h.user_version < NG_STORE_VERSION)
        status = ng_store_migrate(store->sql, schema_sql, migrations, NG_STORE_VERSION);
    if (!status) status = check_content(store);
    return status;
}

normgen_status ng_store_open_wait(const char *path, ng_store_access access, int busy_ms,
                                  ng_store **out) {
    bool writing = access == NG_STORE_WRITE;
    ng_store *store = calloc(1, sizeof *store);
    if (!store) return ng_fail(NORMGEN_E_MEMORY, "store %.400s: out of memory", path);
    store->writable = writing;
    normgen_status status = ng_dbfile_locate(path, writing, &store->file);
    if (!status) status = open_file(store, writing, busy_ms);
    if (status)
        ng_store_close(store);
    else
        *out = store;
    return status;
}

normgen_status ng_store_open(const char *path, ng_store_access access, ng_store **store) {
    *store = NULL;
    return ng_store_open_wait(path, access, NG_STORE_BUSY_MS, store);
}

normgen_status ng_store_in_memory(const char *name, ng_store **out) {
    ng_store *store = calloc(1, sizeof *store);
    if (!store) return ng_fail(NORMGEN_E_MEMORY, "%.400s: out of memory", name);
    snprintf(store->file.path, sizeof store->file.path, "%s", name);
    normgen_status status = ng_sql_open(&store->sql, ":memory:", NG_SQL_RAW, 0);
    if (!status) status = ng_sql_exec(store->sql, schema_sql);
    if (status)
        ng_store_close(store);
    else
        *out = store;
    return status;
}

void ng_store_close(ng_store *store) {
    if (!store) return;
    ng_sql_close(store->sql);
    free(store);
}

const char *ng_store_note(const ng_store *store) { return store->file.note; }

int64_t ng_store_ignored(const ng_store *store) { return store->ignored; }
