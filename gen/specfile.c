/* SPDX-License-Identifier: Apache-2.0 */
/* The spec language: what `spec { ... }` takes, and what a list of specs may hold. Knows no field
 * by itself: names, words and rules come from ng_fields. Knows no Lua: that is lua.c. */
#include "specfile.h"

#include "decimal.h"
#include "error.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const ng_lua_limits ng_specfile_limits = {
    .instructions = 50000000,
    .live = (size_t)16 << 20,
    .total = (size_t)1 << 30,
    .string = (size_t)1 << 16,
    .seconds = 10,
    .records = 10000,
};

#define NAME_ALLOWED "a letter or _, then letters, digits or _, at most 63 in all"

typedef struct record {
    ng_named_spec named;
    ng_lua_place place;
} record;

/* ---- values ---- */

typedef char value_text[96];

/* The value as a spec text would have it: true is yes, 4096.0 is 4096. False when it has none. */
static bool field_text(const ng_lua_value *v, value_text text) {
    switch (v->type) {
    case NG_LUA_BOOLEAN: snprintf(text, sizeof(value_text), "%s", v->boolean ? "yes" : "no"); break;
    case NG_LUA_INTEGER: snprintf(text, sizeof(value_text), "%" PRId64, v->integer); break;
    case NG_LUA_FLOAT:
        if (v->number == floor(v->number) && fabs(v->number) < 0x1p53)
            snprintf(text, sizeof(value_text), "%.0f", v->number + 0.0);
        else
            ng_decimal_print(v->number, text);
        break;
    case NG_LUA_STRING:
        if (v->length >= sizeof(value_text) || strlen(v->string) != v->length) return false;
        memcpy(text, v->string, v->length + 1);
        break;
    default: return false;
    }
    return true;
}

/* The value as the file has it, for messages. */
static void shown_text(const ng_lua_value *v, value_text text) {
    if (v->type == NG_LUA_BOOLEAN)
        snprintf(text, sizeof(value_text), "%s", v->boolean ? "true" : "false");
    else if (v->type == NG_LUA_STRING)
        snprintf(text, sizeof(value_text), "'%.60s%s'", v->string, v->length > 60 ? "..." : "");
    else if (v->type == NG_LUA_FLOAT && isnan(v->number))
        snprintf(text, sizeof(value_text), "nan");
    else if (!field_text(v, text))
        snprintf(text, sizeof(value_text), "a %s", v->type_name);
}

/* Whether a field wants a number from Lua: lanes has words, but they are numbers. */
static bool takes_number(const ng_field *f) {
    return f->form != NG_FIELD_WORD || isdigit((unsigned char)f->words[0].text[0]);
}

static bool fits(const ng_field *f, const ng_lua_value *v) {
    bool number = v->type == NG_LUA_INTEGER || v->type == NG_LUA_FLOAT;
    return number == takes_number(f) && (number || f->form == NG_FIELD_WORD);
}

static normgen_status set_field(normgen_spec *spec, const ng_field *f, const ng_lua_value *v) {
    value_text text;
    char allowed[160];
    if (fits(f, v) && field_text(v, text) && ng_spec_set(spec, f, text) == NORMGEN_OK)
        return NORMGEN_OK;
    ng_field_allowed(f, allowed, sizeof allowed);
    if (v->type == NG_LUA_NIL)
        return ng_fail(NORMGEN_E_SPEC, "field %s is missing; it takes %s", f->name, allowed);
    shown_text(v, text);
    return ng_fail(NORMGEN_E_SPEC, "field %s: %s is not allowed; it takes %s%s", f->name, text,
                   allowed, v->type == NG_LUA_STRING && takes_number(f) ? ", not a string" : "");
}

/* ---- fields that are not there ---- */

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Edit distance (insert, remove, replace) of two words under 32 bytes. */
static size_t distance(const char *a, const char *b) {
    size_t row[32], n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(least(row[j], row[j - 1]) + 1, replaced);
        }
    }
    return row[n];
}

/* How far off a field name is: 0 for a beginning, such as eps of epsilon. */
static size_t unlike(const char *word, const char *field) {
    size_t n = least(strlen(word), strlen(field));
    return n >= 3 && strncmp(word, field, n) == 0 ? 0 : distance(word, field);
}

static normgen_status unknown_field(const char *word) {
    char all[600];
    const char *near = NULL;
    size_t best = 3, at = (size_t)snprintf(all, sizeof all, "name");
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const char *field = ng_fields[i].name;
        size_t d = strlen(word) < 32 ? unlike(word, field) : best;
        if (d < best && d < strlen(field)) {
            best = d;
            near = field;
        }
        at += (size_t)snprintf(all + at, sizeof all - at, " %s", field);
    }
    if (near) return ng_fail(NORMGEN_E_SPEC, "field %s is unknown; did you mean %s?", word, near);
    return ng_fail(NORMGEN_E_SPEC, "field %.60s is unknown; there are %s", word, all);
}

typedef struct keys {
    const char
        *unknown; /* the first in the alphabet, so that the message does not hang on chance */
    bool unnamed;
} keys;

static void visit_key(void *ctx, const ng_lua_value *key) {
    keys *k = ctx;
    if (key->type != NG_LUA_STRING)
        k->unnamed = true;
    else if (strcmp(key->string, "name") != 0 && !ng_field_find(key->string, key->length) &&
             (!k->unknown || strcmp(key->string, k->unknown) < 0))
        k->unknown = key->string;
}

static normgen_status check_keys(ng_lua *lua) {
    keys k = {NULL, false};
    ng_lua_keys(lua, visit_key, &k);
    if (k.unknown) return unknown_field(k.unknown);
    if (k.unnamed)
        return ng_fail(NORMGEN_E_SPEC,
                       "spec has a value without a field name; write field = value");
    return NORMGEN_OK;
}

/* ---- one spec ---- */

static bool is_name(const char *s) {
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    for (; *s; s++)
        if ((unsigned char)*s >= 0x80 || (!isalnum((unsigned char)*s) && *s != '_')) return false;
    return true;
}

static normgen_status set_name(ng_named_spec *named, const ng_lua_value *v) {
    value_text text;
    if (v->type == NG_LUA_NIL)
        return ng_fail(NORMGEN_E_SPEC, "field name is missing; it takes " NAME_ALLOWED);
    if (v->type == NG_LUA_STRING && field_text(v, text) && v->length < sizeof named->name &&
        is_name(text)) {
        memcpy(named->name, text, v->length + 1);
        return NORMGEN_OK;
    }
    shown_text(v, text);
    return ng_fail(NORMGEN_E_SPEC, "field name: %s is not allowed; it takes " NAME_ALLOWED, text);
}

static normgen_status fill(ng_lua *lua, ng_named_spec *named) {
    ng_lua_value name = ng_lua_field(lua, "name");
    normgen_status st = set_name(named, &name);
    normgen_spec spec = ng_spec_blank();
    uint64_t given = 0;
    if (st == NORMGEN_OK) st = check_keys(lua);
    for (size_t i = 0; i < NG_FIELD_COUNT && st == NORMGEN_OK; i++) {
        const ng_field *f = &ng_fields[i];
        ng_lua_value v = ng_lua_field(lua, f->name);
        bool needed = i <= 2; /* kind, hidden, eps: first in the table, in every spec */
        if (v.type == NG_LUA_NIL && !needed) continue;
        st = set_field(&spec, f, &v);
        given |= (uint64_t)1 << i;
    }
    return st == NORMGEN_OK ? ng_spec_resolve_given(&spec, given, &named->spec) : st;
}

/* Adds to the error text which spec it is and who called the function that makes it: the line of
 * `spec` inside a function says neither. */
static normgen_status make(ng_lua *lua, ng_lua_place place, void *out) {
    record *r = out;
    char from[40] = "";
    r->place = place;
    normgen_status st = fill(lua, &r->named);
    if (st == NORMGEN_OK) return st;
    const char *name = r->named.name;
    if (place.from > 0)
        snprintf(from, sizeof from, "%scalled from line %d", *name ? ", " : "", place.from);
    if (!*name && !*from) return st;
    return ng_fail(st, "%s (%s%s%s)", normgen_error(), *name ? "spec " : "", name, from);
}

/* ---- the list ---- */

typedef struct record_list {
    record *items;
    size_t count, capacity;
} record_list;

static normgen_status take(void *ctx, const void *item) {
    record_list *l = ctx;
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 16;
        record *grown = realloc(l->items, capacity * sizeof *grown);
        if (!grown) return ng_fail(NORMGEN_E_MEMORY, "out of memory for %zu specs", capacity);
        l->items = grown;
        l->capacity = capacity;
    }
    memcpy(&l->items[l->count++], item, sizeof(record));
    return NORMGEN_OK;
}

static int name_order(const void *pa, const void *pb) {
    const record *a = *(const record *const *)pa, *b = *(const record *const *)pb;
    int c = strcmp(a->named.name, b->named.name);
    return c ? c : (a > b) - (a < b);
}

static int line_of(const record *r) { return r->place.from ? r->place.from : r->place.line; }

/* One name is one spec: finds the first record whose name an earlier one has. */
static normgen_status check_names(const char *path, const record_list *l) {
    const record **order = malloc((l->count + 1) * sizeof(const record *)), *first = NULL,
                 *second = NULL;
    if (!order) return ng_fail(NORMGEN_E_MEMORY, "out of memory for %zu specs", l->count);
    for (size_t i = 0; i < l->count; i++) order[i] = &l->items[i];
    qsort(order, l->count, sizeof(const record *), name_order);
    for (size_t i = 1; i < l->count; i++)
        if (strcmp(order[i - 1]->named.name, order[i]->named.name) == 0 &&
            (!second || order[i] < second)) {
            first = order[i - 1];
            second = order[i];
        }
    free(order);
    if (!second) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_SPEC, "%s:%d: name %s is given twice: by line %d already", path,
                   line_of(second), second->named.name, line_of(first));
}

/* Whether the list has the spec under its name; E_SPEC when the name is another spec's. */
static normgen_status look_up(const char *path, const ng_spec_list *list, size_t count,
                              const record *r, bool *there) {
    *there = false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list->items[i].name, r->named.name) != 0) continue;
        if (!ng_spec_same(&list->items[i].spec, &r->named.spec))
            return ng_fail(NORMGEN_E_SPEC,
                           "%s:%d: name %s is the name of another spec that was read before", path,
                           line_of(r), r->named.name);
        *there = true;
    }
    return NORMGEN_OK;
}

static normgen_status append(const char *path, const record_list *from, ng_spec_list *list) {
    size_t before = list->count;
    normgen_status st = NORMGEN_OK;
    for (size_t i = 0; i < from->count && st == NORMGEN_OK; i++) {
        const record *r = &from->items[i];
        bool there;
        st = look_up(path, list, before, r, &there);
        if (st == NORMGEN_OK && !there) st = ng_spec_list_add(list, r->named.name, &r->named.spec);
    }
    if (st != NORMGEN_OK) list->count = before;
    return st;
}

/* ---- the file ---- */

static normgen_status check_kind(const char *path, int file) {
    struct stat s;
    if (fstat(file, &s) != 0)
        return ng_fail(NORMGEN_E_IO, "%.400s: cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(s.st_mode))
        return ng_fail(NORMGEN_E_IO, "%.400s: is a directory; name a spec file in it", path);
    if (!S_ISREG(s.st_mode)) return ng_fail(NORMGEN_E_IO, "%.400s: is not a regular file", path);
    return NORMGEN_OK;
}

/* Reads up to `size` bytes, fewer only at the end of the file. */
static normgen_status read_all(const char *path, int file, char *text, size_t *size) {
    size_t at = 0;
    while (at < *size) {
        ssize_t n = read(file, text + at, *size - at);
        if (n == 0) break;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return ng_fail(NORMGEN_E_IO, "%.400s: cannot be read: %s", path, strerror(errno));
        at += (size_t)n;
    }
    *size = at;
    return NORMGEN_OK;
}

/* Says early, and in plain words, what Lua would say as a syntax error. */
static normgen_status check_text(const char *path, const char *text, size_t size) {
    if (size > NG_SPECFILE_BYTES)
        return ng_fail(NORMGEN_E_SPEC, "%.400s: the file is longer than %zu bytes", path,
                       NG_SPECFILE_BYTES);
    if (size == 0) return ng_fail(NORMGEN_E_SPEC, "%.400s: the file is empty", path);
    if (memchr(text, 0, size) || text[0] == '\033')
        return ng_fail(NORMGEN_E_SPEC, "%.400s: the file is not text; a spec file is Lua source",
                       path);
    return NORMGEN_OK;
}

/* Opens without waiting: a pipe without a writer would hang. */
static normgen_status read_file(const char *path, char **text, size_t *size) {
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0)
        return ng_fail(NORMGEN_E_IO, "%.400s: cannot be opened: %s", path, strerror(errno));
    size_t got = NG_SPECFILE_BYTES + 1;
    char *buffer = malloc(got);
    normgen_status st =
        buffer ? NORMGEN_OK : ng_fail(NORMGEN_E_MEMORY, "%.400s: out of memory", path);
    if (st == NORMGEN_OK) st = check_kind(path, file);
    if (st == NORMGEN_OK) st = read_all(path, file, buffer, &got);
    if (st == NORMGEN_OK) st = check_text(path, buffer, got);
    close(file);
    if (st == NORMGEN_OK) {
        *text = buffer;
        *size = got;
    } else {
        free(buffer);
    }
    return st;
}

normgen_status ng_specfile_read(const char *path, ng_spec_list *list) {
    char *text = NULL;
    size_t size = 0;
    record_list records = {NULL, 0, 0};
    normgen_status st = read_file(path, &text, &size);
    if (st != NORMGEN_OK) return st;
    size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* byte order mark */
    ng_lua_job job = {.path = path,
                      .text = text + mark,
                      .size = size - mark,
                      .constructor = "spec",
                      .record_size = sizeof(record),
                      .make = make,
                      .take = take,
                      .ctx = &records,
                      .limits = ng_specfile_limits};
    st = ng_lua_run(&job);
    if (st == NORMGEN_OK) st = check_names(path, &records);
    if (st == NORMGEN_OK) st = append(path, &records, list);
    free(records.items);
    free(text);
    return st;
}
