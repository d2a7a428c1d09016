/* SPDX-License-Identifier: Apache-2.0 */
/* A thin wrapper of SQLite: opening hardened, statements, transactions, and result codes turned
 * into messages that name the file, what is wrong and the remedy. Knows nothing of normgen's
 * tables. A connection belongs to one thread at a time. */
#ifndef NG_SQL_H
#define NG_SQL_H

#include "normgen/normgen.h"

#include <stdbool.h>

typedef struct ng_sql ng_sql;
typedef struct sqlite3_stmt ng_stmt;

typedef enum ng_sql_mode {
    NG_SQL_READ,  /* the file is never touched */
    NG_SQL_QUERY, /* statements cannot write, but a transaction that was cut off is rolled back */
    NG_SQL_WRITE, /* the file must exist */
    NG_SQL_RAW    /* creates the file, no hardening: for tests that make hostile files */
} ng_sql_mode;

/* Opens a database; path ":memory:" is one in memory. Waits up to busy_ms for locks. E_STORE,
 * E_MEMORY. The caller closes. */
normgen_status ng_sql_open(ng_sql **sql, const char *path, ng_sql_mode mode, int busy_ms);
void ng_sql_close(ng_sql *sql);

/* What the first bytes of the file say, read without trusting it and without a lock. */
typedef struct ng_sql_header {
    int64_t size; /* bytes of the file; the rest is 0 when it is too short */
    bool sqlite;  /* has SQLite's mark and a possible page size */
    bool journal; /* written with a rollback journal, not a write-ahead log */
    uint32_t page_size, pages, user_version, application_id;
} ng_sql_header;
normgen_status ng_sql_read_header(ng_sql *sql, ng_sql_header *header);

/* Runs statements without parameters or results. */
normgen_status ng_sql_exec(ng_sql *sql, const char *text);
/* The first column of the first row as an integer, 0 when there is none. */
normgen_status ng_sql_number(ng_sql *sql, const char *text, int64_t *value);

/* BEGIN IMMEDIATE. E_STORE when the file is known to be damaged: nothing is written then. */
normgen_status ng_sql_begin(ng_sql *sql);
/* Commits when status is OK, else rolls back; a commit that fails is rolled back too. Returns the
 * first failure. */
normgen_status ng_sql_end(ng_sql *sql, normgen_status status);

/* A parameter of a statement; texts are copied. */
typedef struct ng_value {
    enum { NG_VALUE_TEXT, NG_VALUE_INTEGER, NG_VALUE_REAL } form;
    const char *text;
    int64_t integer;
    double real;
} ng_value;
#define NG_T(x) ((ng_value){NG_VALUE_TEXT, (x), 0, 0})
#define NG_I(x) ((ng_value){NG_VALUE_INTEGER, NULL, (x), 0})
#define NG_R(x) ((ng_value){NG_VALUE_REAL, NULL, 0, (x)})
#define NG_VALUES(...)                                                                             \
    (const ng_value[]){__VA_ARGS__}, sizeof((const ng_value[]){__VA_ARGS__}) / sizeof(ng_value)

/* *stmt is the caller's, freed with ng_sql_finish. */
normgen_status ng_sql_prepare(ng_sql *sql, const char *text, ng_stmt **stmt);
void ng_sql_finish(ng_stmt *stmt);
/* Makes the statement fresh and gives it parameters 1 to n; see NG_VALUES. */
normgen_status ng_sql_bind(ng_sql *sql, ng_stmt *stmt, const ng_value *values, size_t n);
/* Next row; *row is false after the last one. */
normgen_status ng_sql_step(ng_sql *sql, ng_stmt *stmt, bool *row);
/* Binds and runs a statement that returns no rows; `changes` (may be NULL) is how many it made. */
normgen_status ng_sql_run(ng_sql *sql, ng_stmt *stmt, const ng_value *values, size_t n,
                          int64_t *changes);
/* Rewrites the file without the room of deleted rows; E_STORE leaves it as it was. Not within a
 * transaction. */
normgen_status ng_sql_shrink(ng_sql *sql);
int64_t ng_sql_last_id(ng_sql *sql);

/* Columns of the current row, counted from 0. False, and *out untouched, when the value is of
 * another type, does not fit or, for texts, has bytes that are not printable ASCII. */
bool ng_sql_text(ng_stmt *stmt, int column, char *out, size_t size);
bool ng_sql_integer(ng_stmt *stmt, int column, int64_t least, int64_t most, int64_t *out);
bool ng_sql_real(ng_stmt *stmt, int column, double least, double most, double *out);
/* Whether a column holds the same text in the current rows of two statements. */
bool ng_sql_same(ng_stmt *a, ng_stmt *b, int column);

/* E_STORE with the first finding when the file is damaged; `full` also checks the indexes. */
normgen_status ng_sql_check(ng_sql *sql, bool full);

#endif
