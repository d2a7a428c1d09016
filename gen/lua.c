/* SPDX-License-Identifier: Apache-2.0 */
/* The closed Lua environment. It is built up from nothing: no library of Lua is opened, every
 * function that a script can call stands in this file.
 *
 * Budgets: a hook counts instructions and looks at the CPU clock every STEP of them; the allocator
 * counts bytes. That is enough only because every function here does bounded work per call: strings
 * are short (limits.string), no function loops over more than one table or one argument list, and
 * those that do pay for it with `spend`. Keep it so: table.concat, string.rep or a finalizer would
 * run for hours between two hooks.
 *
 * Lua reports errors by longjmp. They all end at the one lua_pcall of ng_lua_run; below it nothing
 * is held that C would have to free. */
#include "lua.h"

#include "decimal.h"
#include "error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lauxlib.h> /* includes Lua's own lua.h */

#define STEP 100         /* instructions between two looks at the clock */
#define CHUNK "(script)" /* Lua cuts long chunk names; `report` puts the path in its place */
#define PIECE 512        /* bytes of text parsed between two looks at the clock */
#define DEPTH 8          /* of lists in lists */
#define FORMAT_MAX 1023  /* bytes of a formatted text */
#define PLACE_LEVELS                                                                               \
    64 /* functions between the constructor and the main chunk that we look through */

typedef enum overrun { OVER_NONE, OVER_LIVE, OVER_TOTAL, OVER_STRING, OVER_SYSTEM } overrun;

struct ng_lua {
    const ng_lua_job *job;
    lua_State *L;
    int64_t instructions, records, visited;
    size_t live, total;
    double start;
    overrun over; /* why the allocator last said no */
    normgen_status status;
};

/* ---- budgets ---- */

static overrun refuses(const ng_lua *lua, int kind, size_t had, size_t size) {
    const ng_lua_limits *l = &lua->job->limits;
    if (kind == LUA_TSTRING && size > l->string) return OVER_STRING;
    if (size > l->live || lua->live - had > l->live - size) return OVER_LIVE;
    return size > l->total || lua->total > l->total - size ? OVER_TOTAL : OVER_NONE;
}

/* The allocator of the state. Without an old block, old_size is the kind of the object. Shrinking
 * never fails. */
static void *allocate(void *ctx, void *old, size_t old_size, size_t size) {
    ng_lua *lua = ctx;
    size_t had = old ? old_size : 0;
    if (size == 0) {
        free(old);
        lua->live -= had;
        return NULL;
    }
    if (size > had) {
        overrun over = refuses(lua, old ? LUA_TNIL : (int)old_size, had, size);
        if (over != OVER_NONE) {
            lua->over = over;
            return NULL;
        }
    }
    void *block = realloc(old, size);
    if (!block && size > had) {
        lua->over = OVER_SYSTEM;
        return NULL;
    }
    if (size > had) lua->total += size;
    lua->live = lua->live - had + size;
    return block ? block : old;
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ng_lua *lua_of(lua_State *L) {
    void *ctx;
    lua_getallocf(L, &ctx);
    return ctx;
}

/* The innermost line that runs, and the main chunk's. */
static ng_lua_place place_of(lua_State *L) {
    ng_lua_place p = {0, 0};
    lua_Debug ar;
    for (int level = 0; level < PLACE_LEVELS && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline <= 0) continue;
        if (p.line == 0)
            p.line = ar.currentline;
        else if (*ar.what == 'm')
            p.from = ar.currentline;
        if (*ar.what == 'm') break;
    }
    return p;
}

/* Raises text with the line that runs before it. */
static int fail_here(lua_State *L, const char *text) {
    lua_pushfstring(L, CHUNK ":%d: %s", place_of(L).line, text);
    return lua_error(L);
}

/* Counts n instructions, and raises when a budget is spent. */
static void spend(lua_State *L, int64_t n) {
    ng_lua *lua = lua_of(L);
    const ng_lua_limits *l = &lua->job->limits;
    char text[120];
    lua->instructions += n;
    if (lua->instructions > l->instructions) {
        snprintf(text, sizeof text, "over budget: the file runs more than %lld instructions",
                 (long long)l->instructions);
        fail_here(L, text);
    }
    if (cpu_seconds() - lua->start > l->seconds) {
        snprintf(text, sizeof text, "over budget: the file takes more than %g s of CPU time",
                 l->seconds);
        fail_here(L, text);
    }
}

static void on_count(lua_State *L, lua_Debug *ar) {
    (void)ar;
    spend(L, STEP);
}

/* ---- the functions of a script ---- */

/* Pushes the text of a scalar. Tables and functions have none: it would be an address. */
static const char *push_text(lua_State *L, int arg) {
    switch (lua_type(L, arg)) {
    case LUA_TNIL: return lua_pushliteral(L, "nil");
    case LUA_TBOOLEAN: return lua_pushstring(L, lua_toboolean(L, arg) ? "true" : "false");
    case LUA_TNUMBER:
    case LUA_TSTRING: lua_pushvalue(L, arg); return lua_tostring(L, -1);
    default: luaL_typeerror(L, arg, "number, string, boolean or nil"); return NULL;
    }
}

static int base_tostring(lua_State *L) {
    luaL_checkany(L, 1);
    push_text(L, 1);
    return 1;
}

static int base_tonumber(lua_State *L) {
    luaL_checkany(L, 1);
    luaL_argcheck(L, lua_isnoneornil(L, 2), 2, "tonumber takes no base here");
    if (lua_type(L, 1) == LUA_TSTRING) {
        size_t length;
        const char *text = lua_tolstring(L, 1, &length);
        if (lua_stringtonumber(L, text) != length + 1) lua_pushnil(L);
    } else if (lua_type(L, 1) != LUA_TNUMBER) {
        lua_pushnil(L);
    } else {
        lua_settop(L, 1);
    }
    return 1;
}

static int base_type(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushstring(L, lua_isuserdata(L, 1) ? lua_of(L)->job->constructor : luaL_typename(L, 1));
    return 1;
}

static int base_error(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_Integer level = luaL_optinteger(L, 2, 1);
    luaL_argcheck(L, level >= 0 && level <= PLACE_LEVELS, 2, "a level is 0 to 64");
    lua_settop(L, 1);
    if (level > 0) {
        luaL_where(L, (int)level);
        lua_insert(L, 1);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int base_assert(lua_State *L) {
    luaL_checkany(L, 1);
    if (lua_toboolean(L, 1)) return lua_gettop(L);
    return fail_here(L, luaL_optstring(L, 2, "assertion failed"));
}

static int base_select(lua_State *L) {
    int n = lua_gettop(L);
    if (lua_type(L, 1) == LUA_TSTRING && strcmp(lua_tostring(L, 1), "#") == 0) {
        lua_pushinteger(L, n - 1);
        return 1;
    }
    lua_Integer i = luaL_checkinteger(L, 1);
    luaL_argcheck(L, i != 0 && i >= -(lua_Integer)(n - 1), 1, "index out of range");
    if (i < 0) i += n;
    return i >= n ? 0 : n - (int)i;
}

static int ipairs_step(lua_State *L) {
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    if (i == LUA_MAXINTEGER) return 0;
    lua_pushinteger(L, i + 1);
    return lua_rawgeti(L, 1, i + 1) == LUA_TNIL ? 1 : 2;
}

static int base_ipairs(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushcfunction(L, ipairs_step);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

static ng_lua_value value_at(lua_State *L, int index) {
    ng_lua_value v = {NG_LUA_OTHER, luaL_typename(L, index), false, 0, 0, NULL, 0};
    switch (lua_type(L, index)) {
    case LUA_TNONE:
    case LUA_TNIL: v.type = NG_LUA_NIL; break;
    case LUA_TBOOLEAN:
        v.type = NG_LUA_BOOLEAN;
        v.boolean = lua_toboolean(L, index);
        break;
    case LUA_TNUMBER:
        v.type = lua_isinteger(L, index) ? NG_LUA_INTEGER : NG_LUA_FLOAT;
        v.integer = lua_isinteger(L, index) ? lua_tointeger(L, index) : 0;
        v.number = lua_tonumber(L, index);
        break;
    case LUA_TSTRING:
        v.type = NG_LUA_STRING;
        v.string = lua_tolstring(L, index, &v.length);
        break;
    case LUA_TUSERDATA: v.type_name = lua_of(L)->job->constructor; break;
    default: break;
    }
    return v;
}

static void push_value(lua_State *L, const ng_lua_value *v) {
    switch (v->type) {
    case NG_LUA_BOOLEAN: lua_pushboolean(L, v->boolean); break;
    case NG_LUA_INTEGER: lua_pushinteger(L, v->integer); break;
    case NG_LUA_FLOAT: lua_pushnumber(L, v->number); break;
    case NG_LUA_STRING: lua_pushlstring(L, v->string, v->length); break;
    default: lua_pushnil(L); break;
    }
}

/* Booleans, then numbers, then strings by their bytes. */
static int key_order(const void *pa, const void *pb) {
    const ng_lua_value *a = pa, *b = pb;
    bool numbers = (a->type == NG_LUA_INTEGER || a->type == NG_LUA_FLOAT) &&
                   (b->type == NG_LUA_INTEGER || b->type == NG_LUA_FLOAT);
    if (!numbers && a->type != b->type) return a->type < b->type ? -1 : 1;
    if (a->type == NG_LUA_BOOLEAN) return (int)a->boolean - (int)b->boolean;
    if (a->type == NG_LUA_INTEGER && b->type == NG_LUA_INTEGER)
        return (a->integer > b->integer) - (a->integer < b->integer);
    if (numbers) return (a->number > b->number) - (a->number < b->number);
    size_t shorter = a->length < b->length ? a->length : b->length;
    int c = memcmp(a->string, b->string, shorter);
    return c ? c : (a->length > b->length) - (a->length < b->length);
}

static int64_t count_keys(lua_State *L, int table) {
    int64_t n = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) n++;
    return n;
}

/* Pushes a list of the keys of the table at stack place 1, in order. Lua's own order hangs on
 * addresses and time, and a spec file must say the same on every run. */
static void push_sorted_keys(lua_State *L) {
    int64_t n = count_keys(L, 1);
    spend(L, n);
    ng_lua_value *keys = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *keys, 0);
    size_t i = 0;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        keys[i] = value_at(L, -2);
        if (keys[i++].type == NG_LUA_OTHER)
            luaL_error(L, "pairs: a key is a %s; keys are numbers, strings or booleans",
                       keys[i - 1].type_name);
    }
    qsort(keys, (size_t)n, sizeof *keys, key_order);
    lua_createtable(L, (int)n, 0);
    for (i = 0; i < (size_t)n; i++) { /* the strings live: table 1 still holds them */
        push_value(L, &keys[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* Up-values: the list of keys, how many were visited. Keys that were removed are passed over. */
static int pairs_step(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
    while (lua_rawgeti(L, lua_upvalueindex(1), ++i) != LUA_TNIL) {
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) != LUA_TNIL) break;
        lua_pop(L, 2);
    }
    lua_pushinteger(L, i);
    lua_replace(L, lua_upvalueindex(2));
    return lua_isnil(L, -1) ? 1 : 2;
}

static int base_pairs(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    push_sorted_keys(L);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, pairs_step, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static void append(lua_State *L, char *out, size_t *at, const char *text, size_t length) {
    if (length > FORMAT_MAX - *at)
        luaL_error(L, "format: the result is longer than %d bytes", FORMAT_MAX);
    memcpy(out + *at, text, length);
    *at += length;
}

static void append_argument(lua_State *L, char *out, size_t *at, char verb, int arg) {
    char number[NG_DECIMAL_TEXT];
    const char *text = number;
    size_t length;
    luaL_checkany(L, arg);
    if (verb == 's') {
        push_text(L, arg);
        text = lua_tolstring(L, -1, &length);
    } else {
        luaL_checktype(L, arg, LUA_TNUMBER);
        if (verb == 'd')
            snprintf(number, sizeof number, "%lld", (long long)luaL_checkinteger(L, arg));
        else
            ng_decimal_print(lua_tonumber(L, arg), number);
        length = strlen(number);
    }
    append(L, out, at, text, length);
    if (verb == 's') lua_pop(L, 1);
}

/* Knows %d %s %g %% only, without widths: its work and its result are small. */
static int base_format(lua_State *L) {
    char out[FORMAT_MAX];
    size_t at = 0, length;
    int arg = 1, given = lua_gettop(L);
    const char *f = luaL_checklstring(L, 1, &length), *end = f + length;
    for (; f < end; f++) {
        if (*f != '%') {
            append(L, out, &at, f, 1);
        } else if (*++f == '%') { /* the text ends with a 0 */
            append(L, out, &at, "%", 1);
        } else if (*f == 'd' || *f == 's' || *f == 'g') {
            append_argument(L, out, &at, *f, ++arg);
        } else {
            return luaL_error(L, "format: it knows %%d, %%s, %%g and %%%% only");
        }
    }
    if (arg < given) return luaL_error(L, "format: value %d is not used", arg);
    lua_pushlstring(L, out, at);
    return 1;
}

/* Pushes `rounded`, which argument `arg` was rounded to, as an integer when it fits. */
static int push_whole(lua_State *L, int arg, double rounded) {
    lua_Integer i;
    if (lua_isinteger(L, arg))
        lua_pushvalue(L, arg);
    else if (lua_numbertointeger(rounded, &i))
        lua_pushinteger(L, i);
    else
        lua_pushnumber(L, rounded);
    return 1;
}

static int math_floor(lua_State *L) { return push_whole(L, 1, floor(luaL_checknumber(L, 1))); }

static int math_ceil(lua_State *L) { return push_whole(L, 1, ceil(luaL_checknumber(L, 1))); }

static int math_abs(lua_State *L) {
    double v = fabs(luaL_checknumber(L, 1));
    lua_Integer i = lua_tointeger(L, 1);
    if (lua_isinteger(L, 1))
        lua_pushinteger(L, i < 0 ? (lua_Integer)(0u - (lua_Unsigned)i) : i);
    else
        lua_pushnumber(L, v);
    return 1;
}

static int math_sqrt(lua_State *L) {
    lua_pushnumber(L, sqrt(luaL_checknumber(L, 1)));
    return 1;
}

/* The least of all arguments by `<`, with swapped sides the greatest. */
static int extreme(lua_State *L, bool greatest) {
    int best = 1;
    luaL_checknumber(L, 1);
    for (int i = 2; i <= lua_gettop(L); i++) {
        luaL_checknumber(L, i);
        if (greatest ? lua_compare(L, best, i, LUA_OPLT) : lua_compare(L, i, best, LUA_OPLT))
            best = i;
    }
    lua_pushvalue(L, best);
    return 1;
}

static int math_min(lua_State *L) { return extreme(L, false); }
static int math_max(lua_State *L) { return extreme(L, true); }

/* ---- records ---- */

static int construct(lua_State *L) {
    ng_lua *lua = lua_of(L);
    const ng_lua_job *job = lua->job;
    char text[120];
    if (lua_gettop(L) != 1 || !lua_istable(L, 1)) {
        snprintf(text, sizeof text, "%s takes one table: %s { ... }", job->constructor,
                 job->constructor);
        return fail_here(L, text);
    }
    if (++lua->records > job->limits.records) {
        snprintf(text, sizeof text, "over budget: the file makes more than %lld %ss",
                 (long long)job->limits.records, job->constructor);
        return fail_here(L, text);
    }
    void *record = lua_newuserdatauv(L, job->record_size, 0);
    memset(record, 0, job->record_size);
    lua->status = job->make(lua, place_of(L), record);
    return lua->status == NORMGEN_OK ? 1 : fail_here(L, normgen_error());
}

ng_lua_value ng_lua_field(ng_lua *lua, const char *name) {
    lua_pushstring(lua->L, name);
    lua_rawget(lua->L, 1);
    ng_lua_value v = value_at(lua->L, -1);
    lua_pop(lua->L, 1);
    return v;
}

void ng_lua_keys(ng_lua *lua, void (*visit)(void *ctx, const ng_lua_value *key), void *ctx) {
    lua_State *L = lua->L;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        ng_lua_value key = value_at(L, -2);
        visit(ctx, &key);
    }
}

/* ---- what the script returns ---- */

static void collect(lua_State *L, ng_lua *lua, int depth);

/* Takes all elements of the list on top of the stack. */
static void collect_list(lua_State *L, ng_lua *lua, int depth) {
    int list = lua_gettop(L);
    const char *what = lua->job->constructor;
    lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    if (depth >= DEPTH)
        luaL_error(L, "the returned lists stand in each other more than %d deep", DEPTH);
    for (lua_pushnil(L); lua_next(L, list); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING)
            luaL_error(L,
                       "the returned list has a field '%s'; a list has %ss only: write %s { ... }",
                       lua_tostring(L, -2), what, what);
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_rawgeti(L, list, i) != LUA_TTABLE && !lua_isuserdata(L, -1))
            luaL_error(L, "element %d of the returned list is a %s value, not a %s", (int)i,
                       luaL_typename(L, -1), what);
        collect(L, lua, depth + 1);
    }
    if (count_keys(L, list) != n) luaL_error(L, "the returned list has gaps");
}

/* Takes the record or list on top of the stack, and pops it. */
static void collect(lua_State *L, ng_lua *lua, int depth) {
    luaL_checkstack(L, 8, "nested lists");
    if (++lua->visited > 4 * lua->job->limits.records)
        luaL_error(L, "over budget: the returned lists have more than %I elements",
                   (LUAI_UACINT)(4 * lua->job->limits.records));
    if (lua_istable(L, -1)) {
        collect_list(L, lua, depth);
    } else {
        lua->status = lua->job->take(lua->job->ctx, lua_touserdata(L, -1));
        if (lua->status != NORMGEN_OK) luaL_error(L, "%s", normgen_error());
    }
    lua_pop(L, 1);
}

static void collect_results(lua_State *L, ng_lua *lua, int n) {
    const char *what = lua->job->constructor;
    if (n == 0 || (n == 1 && lua_isnil(L, -1)))
        luaL_error(L, "the file returns nothing; end it with: return %s { ... }", what);
    if (n > 1) luaL_error(L, "the file returns %d values; put them in one list: { ... }", n);
    if (!lua_istable(L, -1) && !lua_isuserdata(L, -1))
        luaL_error(L, "the file returns a %s value; it must return a %s or a list of them",
                   luaL_typename(L, -1), what);
    collect(L, lua, 0);
}

/* ---- running ---- */

static const luaL_Reg base[] = {{"assert", base_assert},     {"error", base_error},
                                {"format", base_format},     {"ipairs", base_ipairs},
                                {"pairs", base_pairs},       {"select", base_select},
                                {"type", base_type},         {"tonumber", base_tonumber},
                                {"tostring", base_tostring}, {NULL, NULL}};
static const luaL_Reg math[] = {{"abs", math_abs}, {"ceil", math_ceil}, {"floor", math_floor},
                                {"max", math_max}, {"min", math_min},   {"sqrt", math_sqrt},
                                {NULL, NULL}};

typedef struct source {
    const char *text;
    size_t left;
} source;

/* Hands out the text in small pieces, and looks at the budgets between them: so that a text made to
 * be slow to parse is caught as well. */
static const char *read_text(lua_State *L, void *ctx, size_t *size) {
    source *s = ctx;
    const char *piece = s->text;
    *size = s->left < PIECE ? s->left : PIECE;
    spend(L, (int64_t)*size);
    s->text += *size;
    s->left -= *size;
    return piece;
}

/* All of a script's life that can raise an error. */
static int run(lua_State *L) {
    ng_lua *lua = lua_touserdata(L, 1);
    source text = {lua->job->text, lua->job->size};
    lua_pushglobaltable(L);
    luaL_setfuncs(L, base, 0);
    luaL_newlib(L, math);
    lua_setfield(L, -2, "math");
    lua_pushcfunction(L, construct);
    lua_setfield(L, -2, lua->job->constructor);
    lua_settop(L, 0);
    if (lua_load(L, read_text, &text, "=" CHUNK, "t") != LUA_OK) return lua_error(L);
    lua_sethook(L, on_count, LUA_MASKCOUNT, STEP);
    lua_call(L, 0, LUA_MULTRET);
    lua_sethook(L, NULL, 0, 0);
    collect_results(L, lua, lua_gettop(L));
    return 0;
}

static normgen_status report_memory(const ng_lua *lua, const char *path) {
    const ng_lua_limits *l = &lua->job->limits;
    switch (lua->over) {
    case OVER_LIVE:
        return ng_fail(NORMGEN_E_SPEC,
                       "%s: over budget: the file uses more than %.4g MiB of memory at a time",
                       path, (double)l->live / 1048576);
    case OVER_TOTAL:
        return ng_fail(NORMGEN_E_SPEC,
                       "%s: over budget: the file allocates more than %.4g MiB in all", path,
                       (double)l->total / 1048576);
    case OVER_STRING:
        return ng_fail(NORMGEN_E_SPEC,
                       "%s: over budget: the file makes a string of more than %zu bytes", path,
                       l->string);
    default: return ng_fail(NORMGEN_E_MEMORY, "%s: out of memory", path);
    }
}

/* Makes Lua's message ours: the path for the chunk name, one line, nothing that moves a terminal's
 * cursor. */
static normgen_status report(const ng_lua *lua, int outcome) {
    const char *path = lua->job->path, *dots = "", *message;
    char text[NG_ERROR_TEXT];
    size_t length = strlen(path), name = sizeof CHUNK - 1;
    if (length > 400) { /* leave room for the message */
        path += length - 400;
        dots = "...";
    }
    if (outcome == LUA_ERRMEM) return report_memory(lua, path);
    message = lua_type(lua->L, -1) == LUA_TSTRING ? lua_tostring(lua->L, -1) : "unknown error";
    if (strcmp(message, "C stack overflow") == 0) message = "the source is nested too deeply";
    bool placed = strncmp(message, CHUNK ":", name + 1) == 0;
    snprintf(text, sizeof text, "%s%s:%s%s", dots, path, placed ? "" : " ",
             placed ? message + name + 1 : message);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    return ng_fail(lua->status != NORMGEN_OK ? lua->status : NORMGEN_E_SPEC, "%s", text);
}

normgen_status ng_lua_run(const ng_lua_job *job) {
    ng_lua lua = {.job = job, .start = cpu_seconds()};
    lua.L = lua_newstate(allocate, &lua);
    if (!lua.L) return report_memory(&lua, job->path);
    lua_pushcfunction(lua.L, run);
    lua_pushlightuserdata(lua.L, &lua);
    int outcome = lua_pcall(lua.L, 1, 0, 0);
    normgen_status status = NORMGEN_OK;
    if (outcome != LUA_OK) status = report(&lua, outcome);
    lua_close(lua.L);
    return status;
}
