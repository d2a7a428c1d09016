/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that knows SQLite. A database is opened as hostile: no triggers, views, extensions,
 * memory mapping or schema tricks, and no value over 1 MiB. Every failure becomes one sentence for
 * the user; after a sign of damage nothing is written through the connection any more. */
#include "sql.h"

#include "dbfile.h"
#include "error.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUE_BYTES (1 << 20)

struct ng_sql {
    sqlite3 *db;
    bool damaged;
    char path[NG_DBFILE_PATH];
};

/* Primary result codes: what is wrong, what to do. */
static const struct {
    int code;
    normgen_status status;
    const char *what, *remedy;
} codes[] = {
    {SQLITE_BUSY, NORMGEN_E_STORE, "is locked by another process",
     "wait for it to end, or name another store (NORMGEN_DB)"},
    {SQLITE_LOCKED, NORMGEN_E_STORE, "is locked by another use in this process", "end that first"},
    {SQLITE_FULL, NORMGEN_E_STORE, "cannot grow: the disk is full",
     "make room; what was stored before is intact"},
    {SQLITE_IOERR, NORMGEN_E_STORE, "cannot be read or written",
     "check the disk and its limits; what was stored before is intact"},
    {SQLITE_READONLY, NORMGEN_E_STORE, "is read-only",
     "chmod u+w it and its directory, or name another store (NORMGEN_DB)"},
    {SQLITE_PERM, NORMGEN_E_STORE, "may not be opened", "check its permissions"},
    {SQLITE_CANTOPEN, NORMGEN_E_STORE, "or its journal cannot be opened",
     "check the permissions of file and directory"},
    {SQLITE_AUTH, NORMGEN_E_STORE, "may not be opened", "check its permissions"},
    {SQLITE_NOTADB, NORMGEN_E_STORE, "is not a store", "name another file, or move it away"},
    {SQLITE_CORRUPT, NORMGEN_E_STORE, "is damaged",
     "move it away and tune again; normgen db check says more"},
    {SQLITE_TOOBIG, NORMGEN_E_STORE, "holds a value of more than 1 MiB",
     "it was not made by normgen: move it away"},
    {SQLITE_SCHEMA, NORMGEN_E_STORE, "was changed while it was read", "try again"},
    {SQLITE_NOMEM, NORMGEN_E_MEMORY, "needs more memory than there is", "free some"},
};

static bool means_damage(int primary) {
    return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
}

/* Runs an integrity pragma; `text` is its first line, "" when it finds nothing. */
static int first_finding(ng_sql *sql, const char *pragma, char *text, size_t size) {
    sqlite3_stmt *stmt = NULL;
    text[0] = 0;
    int rc = sqlite3_prepare_v2(sql->db, pragma, -1, &stmt, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
    const char *line = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (line && strcmp(line, "ok") != 0) snprintf(text, size, "%.160s", line);
    for (char *p = text; *p; p++)
        if (*p < ' ' || *p > '~') *p = ' ';
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static normgen_status fail(ng_sql *sql, int code) {
    char detail[320], extra[200] = "";
    int primary = code & 0xff;
    snprintf(detail, sizeof detail, "%.300s", sql->db ? sqlite3_errmsg(sql->db) : "out of memory");
    int system = sql->db ? sqlite3_system_errno(sql->db) : 0;
    if (means_damage(primary) && !sql->damaged) {
        sql->damaged = true;
        first_finding(sql, "PRAGMA quick_check(1)", extra, sizeof extra);
    } else if (primary == SQLITE_BUSY) {
        ng_dbfile_holder(sql->path, extra, sizeof extra);
    } else if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) {
        if (system) /* not known when a commit fails */
            snprintf(extra, sizeof extra, " (%.100s)", strerror(system));
        else
            snprintf(extra, sizeof extra, " (SQLite result %d)", code);
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].code != primary) continue;
        if (means_damage(primary))
            return ng_fail(codes[i].status, "store %s %s (%s%s%s): %s", sql->path, codes[i].what,
                           detail, extra[0] ? "; " : "", extra, codes[i].remedy);
        return ng_fail(codes[i].status, "store %s %s%s: %s", sql->path, codes[i].what, extra,
                       codes[i].remedy);
    }
    return ng_fail(NORMGEN_E_STORE, "store %s: %s (SQLite result %d)", sql->path, detail, code);
}

/* ---- opening ---- */

/* Only settings that do not make SQLite read the schema: the header was not looked at yet. */
static int harden(ng_sql *sql, ng_sql_mode mode) {
    static const struct {
        int option, value;
    } options[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                   {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                   {SQLITE_DBCONFIG_DQS_DDL, 0},        {SQLITE_DBCONFIG_DQS_DML, 0},
                   {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        int rc = sqlite3_db_config(sql->db, options[i].option, options[i].value, (int *)NULL);
        if (rc != SQLITE_OK) return rc;
    }
    sqlite3_limit(sql->db, SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES);
    sqlite3_limit(sql->db, SQLITE_LIMIT_ATTACHED, 0);
    return sqlite3_exec(sql->db,
                        mode == NG_SQL_WRITE ? "PRAGMA mmap_size=0; PRAGMA cell_size_check=ON;"
                                               "PRAGMA temp_store=MEMORY"
                                             : "PRAGMA mmap_size=0; PRAGMA cell_size_check=ON;"
                                               "PRAGMA temp_store=MEMORY; PRAGMA query_only=ON",
                        NULL, NULL, NULL);
}

normgen_status ng_sql_open(ng_sql **out, const char *path, ng_sql_mode mode, int busy_ms) {
    int flags = SQLITE_OPEN_NOMUTEX;
    flags |= mode == NG_SQL_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (mode == NG_SQL_RAW) flags |= SQLITE_OPEN_CREATE;
    ng_sql *sql = calloc(1, sizeof *sql);
    if (!sql) return ng_fail(NORMGEN_E_MEMORY, "store %.400s: out of memory", path);
    snprintf(sql->path, sizeof sql->path, "%s", path);
    int rc = sqlite3_open_v2(path, &sql->db, flags, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_extended_result_codes(sql->db, 1);
    if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(sql->db, busy_ms);
    if (rc == SQLITE_OK && mode != NG_SQL_RAW) rc = harden(sql, mode);
    if (rc != SQLITE_OK) {
        normgen_status status = fail(sql, rc);
        ng_sql_close(sql);
        return status;
    }
    *out = sql;
    return NORMGEN_OK;
}

void ng_sql_close(ng_sql *sql) {
    if (!sql) return;
    sqlite3_close_v2(sql->db);
    free(sql);
}

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads through SQLite's own descriptor: closing another one would drop this process's locks.
 * Offsets: sqlite.org/fileformat2.html section 1.3. */
normgen_status ng_sql_read_header(ng_sql *sql, ng_sql_header *header) {
    ng_sql_header h = {0};
    unsigned char b[100];
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    int rc = sqlite3_file_control(sql->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK && (!file || !file->pMethods)) rc = SQLITE_CANTOPEN;
    if (rc == SQLITE_OK) rc = file->pMethods->xFileSize(file, &size);
    if (rc == SQLITE_OK && size >= (sqlite3_int64)sizeof b)
        rc = file->pMethods->xRead(file, b, sizeof b, 0);
    if (rc != SQLITE_OK) return fail(sql, rc);
    h.size = size;
    if (size >= (sqlite3_int64)sizeof b) {
        h.page_size = (uint32_t)b[16] << 8 | b[17];
        if (h.page_size == 1) h.page_size = 65536;
        h.sqlite = memcmp(b, "SQLite format 3", 16) == 0 && h.page_size >= 512 &&
                   (h.page_size & (h.page_size - 1)) == 0;
        h.journal = b[18] == 1 && b[19] == 1;
        h.pages = big_endian(b + 28);
        h.user_version = big_endian(b + 60);
        h.application_id = big_endian(b + 68);
    }
    *header = h;
    return NORMGEN_OK;
}

/* ---- statements ---- */

normgen_status ng_sql_exec(ng_sql *sql, const char *text) {
    int rc = sqlite3_exec(sql->db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? NORMGEN_OK : fail(sql, rc);
}

normgen_status ng_sql_number(ng_sql *sql, const char *text, int64_t *value) {
    ng_stmt *stmt = NULL;
    bool row = false;
    normgen_status status = ng_sql_prepare(sql, text, &stmt);
    if (!status) status = ng_sql_step(sql, stmt, &row);
    if (!status) *value = row ? sqlite3_column_int64(stmt, 0) : 0;
    ng_sql_finish(stmt);
    return status;
}

normgen_status ng_sql_begin(ng_sql *sql) {
    if (sql->damaged)
        return ng_fail(NORMGEN_E_STORE,
                       "store %s is damaged, nothing is written to it: move it away and tune again",
                       sql->path);
    return ng_sql_exec(sql, "PRAGMA synchronous=FULL; BEGIN IMMEDIATE");
}

normgen_status ng_sql_end(ng_sql *sql, normgen_status status) {
    if (!status) status = ng_sql_exec(sql, "COMMIT");
    /* some failures have rolled back already */
    if (status && !sqlite3_get_autocommit(sql->db))
        sqlite3_exec(sql->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

normgen_status ng_sql_prepare(ng_sql *sql, const char *text, ng_stmt **stmt) {
    int rc = sqlite3_prepare_v2(sql->db, text, -1, stmt, NULL);
    return rc == SQLITE_OK ? NORMGEN_OK : fail(sql, rc);
}

void ng_sql_finish(ng_stmt *stmt) { sqlite3_finalize(stmt); }

static int bind_one(ng_stmt *stmt, int i, const ng_value *v) {
    switch (v->form) {
    case NG_VALUE_TEXT: return sqlite3_bind_text(stmt, i, v->text, -1, SQLITE_TRANSIENT);
    case NG_VALUE_INTEGER: return sqlite3_bind_int64(stmt, i, v->integer);
    case NG_VALUE_REAL: return sqlite3_bind_double(stmt, i, v->real);
    }
    return SQLITE_MISUSE;
}

normgen_status ng_sql_bind(ng_sql *sql, ng_stmt *stmt, const ng_value *values, size_t n) {
    sqlite3_reset(stmt); /* repeats the code of the step before, which was reported then */
    for (size_t i = 0; i < n; i++) {
        int rc = bind_one(stmt, (int)i + 1, &values[i]);
        if (rc != SQLITE_OK) return fail(sql, rc);
    }
    return NORMGEN_OK;
}

normgen_status ng_sql_step(ng_sql *sql, ng_stmt *stmt, bool *row) {
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        normgen_status status = fail(sql, rc);
        sqlite3_reset(stmt);
        return status;
    }
    *row = rc == SQLITE_ROW;
    return NORMGEN_OK;
}

normgen_status ng_sql_run(ng_sql *sql, ng_stmt *stmt, const ng_value *values, size_t n,
                          int64_t *changes) {
    bool row = true;
    int64_t before = sqlite3_total_changes(sql->db);
    normgen_status status = ng_sql_bind(sql, stmt, values, n);
    while (!status && row) status = ng_sql_step(sql, stmt, &row);
    if (!status && changes) *changes = sqlite3_total_changes(sql->db) - before;
    sqlite3_reset(stmt);
    return status;
}

/* It attaches a database of its own, which harden() forbids. */
normgen_status ng_sql_shrink(ng_sql *sql) {
    sqlite3_limit(sql->db, SQLITE_LIMIT_ATTACHED, 1);
    normgen_status status = ng_sql_exec(sql, "VACUUM");
    sqlite3_limit(sql->db, SQLITE_LIMIT_ATTACHED, 0);
    return status;
}

int64_t ng_sql_last_id(ng_sql *sql) { return sqlite3_last_insert_rowid(sql->db); }

bool ng_sql_text(ng_stmt *stmt, int column, char *out, size_t size) {
    if (sqlite3_column_type(stmt, column) != SQLITE_TEXT) return false;
    const unsigned char *text = sqlite3_column_text(stmt, column);
    size_t length = (size_t)sqlite3_column_bytes(stmt, column);
    if (!text || length >= size) return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~') return false;
    memcpy(out, text, length);
    out[length] = 0;
    return true;
}

bool ng_sql_integer(ng_stmt *stmt, int column, int64_t least, int64_t most, int64_t *out) {
    if (sqlite3_column_type(stmt, column) != SQLITE_INTEGER) return false;
    int64_t value = sqlite3_column_int64(stmt, column);
    if (value < least || value > most) return false;
    *out = value;
    return true;
}

bool ng_sql_real(ng_stmt *stmt, int column, double least, double most, double *out) {
    int type = sqlite3_column_type(stmt, column);
    if (type != SQLITE_FLOAT && type != SQLITE_INTEGER) return false;
    double value = sqlite3_column_double(stmt, column);
    if (!isfinite(value) || value < least || value > most) return false;
    *out = value;
    return true;
}

bool ng_sql_same(ng_stmt *a, ng_stmt *b, int column) {
    const void *ta = sqlite3_column_blob(a, column), *tb = sqlite3_column_blob(b, column);
    int na = sqlite3_column_bytes(a, column), nb = sqlite3_column_bytes(b, column);
    return na == nb && (na == 0 || (ta && tb && memcmp(ta, tb, (size_t)na) == 0));
}

normgen_status ng_sql_check(ng_sql *sql, bool full) {
    char finding[200];
    int rc = first_finding(sql, full ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)",
                           finding, sizeof finding);
    if (rc != SQLITE_OK) return fail(sql, rc);
    if (!finding[0]) return NORMGEN_OK;
    sql->damaged = true;
    return ng_fail(NORMGEN_E_STORE,
                   "store %s is damaged (%s): move it away and tune again, or save what can be "
                   "saved with sqlite3's .recover",
                   sql->path, finding);
}
