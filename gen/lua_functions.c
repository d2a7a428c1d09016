/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a script can call. Each does bounded work per call: strings are short
 * (limits.string), no function loops over more than one table or one argument list, and those that
 * do pay for it with `ng_lua_spend`. Keep it so: table.concat, string.rep or a finalizer would run
 * for hours between two hooks. */
#include "lua_state.h"

#include "decimal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_MAX 1023 /* bytes of a formatted text */

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
    lua_pushstring(L, lua_isuserdata(L, 1) ? ng_lua_of(L)->job->constructor : luaL_typename(L, 1));
    return 1;
}

static int base_error(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_Integer level = luaL_optinteger(L, 2, 1);
    luaL_argcheck(L, level >= 0 && level <= NG_LUA_LEVELS, 2, "a level is 0 to 64");
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
    return ng_lua_fail_here(L, luaL_optstring(L, 2, "assertion failed"));
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

/* Pushes a list of the keys of the table at stack place 1, in order. Lua's own order hangs on
 * addresses and time, and a spec file must say the same on every run. */
static void push_sorted_keys(lua_State *L) {
    int64_t n = ng_lua_count_keys(L, 1);
    ng_lua_spend(L, n);
    ng_lua_value *keys = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *keys, 0);
    size_t i = 0;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        keys[i] = ng_lua_value_at(L, -2);
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

static const luaL_Reg base[] = {{"assert", base_assert},     {"error", base_error},
                                {"format", base_format},     {"ipairs", base_ipairs},
                                {"pairs", base_pairs},       {"select", base_select},
                                {"type", base_type},         {"tonumber", base_tonumber},
                                {"tostring", base_tostring}, {NULL, NULL}};
static const luaL_Reg math[] = {{"abs", math_abs}, {"ceil", math_ceil}, {"floor", math_floor},
                                {"max", math_max}, {"min", math_min},   {"sqrt", math_sqrt},
                                {NULL, NULL}};

void ng_lua_add_functions(lua_State *L) {
    lua_pushglobaltable(L);
    luaL_setfuncs(L, base, 0);
    luaL_newlib(L, math);
    lua_setfield(L, -2, "math");
    lua_pop(L, 1);
}
