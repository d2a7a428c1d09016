/* SPDX-License-Identifier: Apache-2.0 */
/* A script's life: its text, its run, the records it makes and returns. The environment is built up
 * from nothing: no library of Lua is opened, every function that a script can call stands in
 * lua_functions.c or here.
 *
 * Lua reports errors by longjmp. They all end at the one lua_pcall of ng_lua_run; below it nothing
 * is held that C would have to free. */
#include "lua_state.h"

#include "error.h"

#include <stdio.h>
#include <string.h>

#define CHUNK "(script)" /* Lua cuts long chunk names; `report` puts the path in its place */
#define PIECE 512        /* bytes of text parsed between two looks at the clock */
#define DEPTH 8          /* of lists in lists */

ng_lua_place ng_lua_place_of(lua_State *L) {
    ng_lua_place p = {0, 0};
    lua_Debug ar;
    for (int level = 0; level < NG_LUA_LEVELS && lua_getstack(L, level, &ar); level++) {
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

int ng_lua_fail_here(lua_State *L, const char *text) {
    lua_pushfstring(L, CHUNK ":%d: %s", ng_lua_place_of(L).line, text);
    return lua_error(L);
}

ng_lua_value ng_lua_value_at(lua_State *L, int index) {
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
    case LUA_TUSERDATA: v.type_name = ng_lua_of(L)->job->constructor; break;
    default: break;
    }
    return v;
}

int64_t ng_lua_count_keys(lua_State *L, int table) {
    int64_t n = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) n++;
    return n;
}

/* ---- records ---- */

static int construct(lua_State *L) {
    ng_lua *lua = ng_lua_of(L);
    const ng_lua_job *job = lua->job;
    char text[120];
    if (lua_gettop(L) != 1 || !lua_istable(L, 1)) {
        snprintf(text, sizeof text, "%s takes one table: %s { ... }", job->constructor,
                 job->constructor);
        return ng_lua_fail_here(L, text);
    }
    if (++lua->records > job->limits.records) {
        snprintf(text, sizeof text, "over budget: the file makes more than %lld %ss",
                 (long long)job->limits.records, job->constructor);
        return ng_lua_fail_here(L, text);
    }
    void *record = lua_newuserdatauv(L, job->record_size, 0);
    memset(record, 0, job->record_size);
    lua->status = job->make(lua, ng_lua_place_of(L), record);
    return lua->status == NORMGEN_OK ? 1 : ng_lua_fail_here(L, normgen_error());
}

ng_lua_value ng_lua_field(ng_lua *lua, const char *name) {
    lua_pushstring(lua->L, name);
    lua_rawget(lua->L, 1);
    ng_lua_value v = ng_lua_value_at(lua->L, -1);
    lua_pop(lua->L, 1);
    return v;
}

void ng_lua_keys(ng_lua *lua, void (*visit)(void *ctx, const ng_lua_value *key), void *ctx) {
    lua_State *L = lua->L;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        ng_lua_value key = ng_lua_value_at(L, -2);
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
    if (ng_lua_count_keys(L, list) != n) luaL_error(L, "the returned list has gaps");
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
    ng_lua_spend(L, (int64_t)*size);
    s->text += *size;
    s->left -= *size;
    return piece;
}

/* All of a script's life that can raise an error. */
static int run(lua_State *L) {
    ng_lua *lua = lua_touserdata(L, 1);
    source text = {lua->job->text, lua->job->size};
    ng_lua_add_functions(L);
    lua_pushcfunction(L, construct);
    lua_setglobal(L, lua->job->constructor);
    lua_settop(L, 0);
    if (lua_load(L, read_text, &text, "=" CHUNK, "t") != LUA_OK) return lua_error(L);
    ng_lua_watch(L, true);
    lua_call(L, 0, LUA_MULTRET);
    ng_lua_watch(L, false);
    collect_results(L, lua, lua_gettop(L));
    return 0;
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
    if (outcome == LUA_ERRMEM) return ng_lua_fail_memory(lua, path);
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
    ng_lua lua = {.job = job};
    if (!ng_lua_new_state(&lua)) return ng_lua_fail_memory(&lua, job->path);
    lua_pushcfunction(lua.L, run);
    lua_pushlightuserdata(lua.L, &lua);
    int outcome = lua_pcall(lua.L, 1, 0, 0);
    normgen_status status = NORMGEN_OK;
    if (outcome != LUA_OK) status = report(&lua, outcome);
    lua_close(lua.L);
    return status;
}
