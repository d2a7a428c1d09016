/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a store from text. A text is hostile until it was read to its end: its rows go into a
 * store in memory first, and what is there is merged like any other store, in one transaction, with
 * the same checks of every value. A text that breaks the form anywhere brings nothing. */
#include "store_text.h"

#include "decimal.h"
#include "error.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const inserts[NG_TEXT_KINDS] = {
    [NG_TEXT_SESSION] = "INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?)",
    [NG_TEXT_STATE] = "INSERT OR IGNORE INTO session_state(finished, noise, cutoff, host, session, "
                      "revision) VALUES (?, ?, ?, ?, ?, ?)",
    [NG_TEXT_UNIT] = "INSERT OR IGNORE INTO unit(spec, machine, toolchain, regime, threads, "
                     "session, rows) VALUES (?, ?, ?, ?, ?, ?, ?)",
    /* ?8 is the unit that the line before named */
    [NG_TEXT_WINNER] = "INSERT OR IGNORE INTO winner(slot, schedule, ns, pairs, unit) "
                       "VALUES (?1, ?2, ?3, ?4, ?8)",
    [NG_TEXT_TRIAL] = "INSERT OR IGNORE INTO trial(schedule, valid, reason, ns, spread, samples, "
                      "code_bytes, unit) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
};
static const char find_unit[] =
    "SELECT id FROM unit WHERE spec = ? AND machine = ? AND toolchain = ? AND regime = ? AND "
    "threads = ? AND session = ? AND rows = ?";

typedef struct reading {
    FILE *in;
    const char *name;
    ng_store *to;
    ng_stmt *insert[NG_TEXT_KINDS], *unit_id;
    int64_t line, bytes, unit; /* unit: 0 before the first */
    bool ended;
    char text[NG_TEXT_LINE];
    char value[NG_TEXT_COLUMNS][NG_TEXT_VALUE]; /* of the running line */
    char above[NG_TEXT_COLUMNS][NG_TEXT_VALUE]; /* of the last unit */
} reading;

__attribute__((format(printf, 2, 3))) static normgen_status wrong(const reading *r,
                                                                  const char *format, ...) {
    char what[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return ng_fail(NORMGEN_E_STORE, "%.200s:%lld: %s; nothing was imported", r->name,
                   (long long)r->line, what);
}

/* ---- lines and words ---- */

/* The next line without its end; *more is false at the end of the file. */
static normgen_status read_line(reading *r, bool *more) {
    size_t n = 0;
    int c;
    r->line++;
    while ((c = getc(r->in)) != EOF && c != '\n') {
        if ((c < ' ' || c > '~'))
            return wrong(r, "a byte %d, where only printable ASCII may stand", c);
        if (n == sizeof r->text - 1)
            return wrong(r, "a line of more than %zu bytes", sizeof r->text - 1);
        r->text[n++] = (char)c;
    }
    r->text[n] = 0;
    r->bytes += (int64_t)n + 1;
    if (ferror(r->in)) return wrong(r, "cannot be read: %s", strerror(errno));
    if (r->bytes > NG_TEXT_BYTES)
        return wrong(r, "the text has more than %lld bytes: import it in parts",
                     (long long)NG_TEXT_BYTES);
    if (c == EOF && n > 0) return wrong(r, "the text is cut off within a line");
    *more = c != EOF;
    return NORMGEN_OK;
}

/* Moves *at over "value" or value; false when it is malformed or too long. */
static bool take_value(const char **at, char *out) {
    const char *p = *at;
    bool quoted = *p == '"';
    size_t n = 0;
    for (p += quoted; *p && *p != (quoted ? '"' : ' '); p++) {
        if (!quoted && (*p == '"' || *p == '\\')) return false;
        if (*p == '\\' && *++p != '"' && *p != '\\') return false;
        if (n == NG_TEXT_VALUE - 1) return false;
        out[n++] = *p;
    }
    out[n] = 0;
    if (quoted && *p++ != '"') return false;
    *at = p;
    return *p == 0 || *p == ' ';
}

static int column_of(const ng_text_row *row, const char *name, size_t length) {
    for (int i = 0; row->columns[i].name; i++)
        if (strlen(row->columns[i].name) == length &&
            memcmp(row->columns[i].name, name, length) == 0)
            return i;
    return -1;
}

/* Reads all "name=value" behind the first word into r->value. */
static normgen_status take_values(reading *r, const ng_text_row *row, const char *at) {
    unsigned given = 0;
    while (*at == ' ') {
        const char *name = ++at;
        size_t length = strcspn(name, "= ");
        if (name[length] != '=') return wrong(r, "'%.40s' is no name=value", name);
        int i = column_of(row, name, length);
        if (i < 0)
            return wrong(r, "a %s has no '%.*s'", row->word, (int)(length < 40 ? length : 40),
                         name);
        if (given >> i & 1u) return wrong(r, "%s stands twice", row->columns[i].name);
        given |= 1u << i;
        at = name + length + 1;
        if (!take_value(&at, r->value[i]))
            return wrong(r, "the value of %s is malformed or longer than %d bytes",
                         row->columns[i].name, NG_TEXT_VALUE - 1);
    }
    for (int i = 0; row->columns[i].name; i++) {
        const ng_text_column *c = &row->columns[i];
        if (given >> i & 1u) continue;
        bool above = c->preset && strcmp(c->preset, NG_TEXT_ABOVE) == 0;
        if (!c->preset || (above && !r->unit)) return wrong(r, "%s is missing", c->name);
        memcpy(r->value[i], above ? r->above[i] : c->preset,
               1 + strlen(above ? r->above[i] : c->preset));
    }
    return NORMGEN_OK;
}

/* ---- rows ---- */

static normgen_status to_value(const reading *r, const ng_text_column *c, const char *text,
                               ng_value *out) {
    int64_t integer;
    double real;
    switch (c->form) {
    case NG_TEXT_WORDS: *out = NG_T(text); return NORMGEN_OK;
    case NG_TEXT_INTEGER:
        if (!ng_integer_parse(text, &integer))
            return wrong(r, "%s: '%.40s' is no whole number", c->name, text);
        *out = NG_I(integer);
        return NORMGEN_OK;
    default:
        if (!ng_decimal_parse(text, &real) || !isfinite(real))
            return wrong(r, "%s: '%.40s' is no finite number", c->name, text);
        *out = NG_R(real);
        return NORMGEN_OK;
    }
}

/* The unit with these values is the one that winners and trials belong to from now on. */
static normgen_status enter_unit(reading *r, const ng_value *values) {
    bool row = false;
    memcpy(r->above, r->value, sizeof r->above);
    normgen_status status = ng_sql_bind(r->to->sql, r->unit_id, values, NG_TEXT_COLUMNS);
    if (!status) status = ng_sql_step(r->to->sql, r->unit_id, &row);
    if (!status && (!row || !ng_sql_integer(r->unit_id, 0, 1, INT64_MAX, &r->unit)))
        status = wrong(r, "the unit cannot be read back");
    return status;
}

static normgen_status add_row(reading *r, ng_text_kind kind) {
    ng_value values[NG_TEXT_COLUMNS + 1];
    normgen_status status = NORMGEN_OK;
    size_t n = 0;
    for (const ng_text_column *c = ng_text_rows[kind].columns; c->name && !status; c++, n++)
        status = to_value(r, c, r->value[n], &values[n]);
    if (status) return status;
    if (kind == NG_TEXT_WINNER || kind == NG_TEXT_TRIAL) {
        if (r->unit == 0) return wrong(r, "a %s before any unit", ng_text_rows[kind].word);
        for (; n < NG_TEXT_COLUMNS; n++) values[n] = NG_I(0); /* not used by the statement */
        values[n++] = NG_I(r->unit);
    }
    status = ng_sql_run(r->to->sql, r->insert[kind], values, n, NULL);
    if (!status && kind == NG_TEXT_UNIT) status = enter_unit(r, values);
    return status;
}

static normgen_status read_row(reading *r) {
    size_t length = strcspn(r->text, " ");
    if (strcmp(r->text, NG_TEXT_END) == 0) {
        r->ended = true;
        return NORMGEN_OK;
    }
    for (int k = 0; k < NG_TEXT_KINDS; k++) {
        const ng_text_row *row = &ng_text_rows[k];
        if (strlen(row->word) != length || memcmp(row->word, r->text, length) != 0) continue;
        normgen_status status = take_values(r, row, r->text + length);
        return status ? status : add_row(r, (ng_text_kind)k);
    }
    return wrong(r, "'%.40s' begins no line of such a text", r->text);
}

static normgen_status read_mark(reading *r) {
    int64_t version;
    bool more = false;
    static const char mark[] = NG_TEXT_MARK " ";
    normgen_status status = read_line(r, &more);
    if (status && ferror(r->in)) return status;
    if (status || strncmp(r->text, mark, sizeof mark - 1) != 0 ||
        !ng_integer_parse(r->text + sizeof mark - 1, &version))
        return wrong(r, "this is no text of a store, which begins with '" NG_TEXT_MARK " %d'",
                     NG_TEXT_VERSION);
    if (version != NG_TEXT_VERSION)
        return wrong(r,
                     "the text has version %lld, this normgen knows %d: use the normgen that "
                     "wrote it, or a newer one",
                     (long long)version, NG_TEXT_VERSION);
    return NORMGEN_OK;
}

static normgen_status read_all(reading *r) {
    bool more = true;
    normgen_status status = read_mark(r);
    while (!status && more) {
        status = read_line(r, &more);
        if (status || !r->text[0] || r->text[0] == '#') continue;
        status = r->ended ? wrong(r, "something stands behind '" NG_TEXT_END "'") : read_row(r);
    }
    if (!status && !r->ended)
        status = wrong(r, "the text is cut off: its last line is not '" NG_TEXT_END "'");
    return status;
}

static normgen_status prepare(reading *r) {
    normgen_status status = ng_sql_prepare(r->to->sql, find_unit, &r->unit_id);
    for (int k = 0; k < NG_TEXT_KINDS && !status; k++)
        status = ng_sql_prepare(r->to->sql, inserts[k], &r->insert[k]);
    return status;
}

/* A store in memory with what the text says. */
static normgen_status read_text(FILE *in, const char *name, ng_store **store) {
    reading *r = calloc(1, sizeof *r);
    if (!r) return ng_fail(NORMGEN_E_MEMORY, "%.400s: out of memory", name);
    r->in = in;
    r->name = name;
    normgen_status status = ng_store_in_memory(name, &r->to);
    if (!status) status = prepare(r);
    if (!status) status = ng_sql_exec(r->to->sql, "BEGIN");
    if (!status) status = ng_sql_end(r->to->sql, read_all(r));
    for (int k = 0; k < NG_TEXT_KINDS; k++) ng_sql_finish(r->insert[k]);
    ng_sql_finish(r->unit_id);
    if (status)
        ng_store_close(r->to);
    else
        *store = r->to;
    free(r);
    return status;
}

normgen_status ng_store_import(ng_store *store, FILE *in, const char *name,
                               ng_store_counts *added) {
    ng_store *from = NULL;
    normgen_status status = ng_store_may_write(store);
    if (!status) status = read_text(in, name, &from);
    if (!status) status = ng_store_unite(store, from, added);
    ng_store_close(from);
    return status;
}

normgen_status ng_store_open_text(const char *text, const char *name, ng_store **store) {
    *store = NULL;
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    if (!in) return ng_fail(NORMGEN_E_MEMORY, "%.400s: %s", name, strerror(errno));
    normgen_status status = read_text(in, name, store);
    fclose(in);
    return status;
}
