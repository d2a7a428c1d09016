/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Lua reader (lua*.c) share, and the one place where Lua's headers are
 * included. Functions that take a lua_State may raise an error of Lua, which does not return,
 * unless they say otherwise. */
#ifndef NG_LUA_STATE_H
#define NG_LUA_STATE_H

#include "lua.h"

#include <lauxlib.h> /* includes Lua's own lua.h */

/* Functions between the constructor and the main chunk that are looked through for a line. */
#define NG_LUA_LEVELS 64

typedef enum ng_lua_overrun {
    NG_LUA_OVER_NONE,
    NG_LUA_OVER_LIVE,
    NG_LUA_OVER_TOTAL,
    NG_LUA_OVER_STRING,
    NG_LUA_OVER_SYSTEM
} ng_lua_overrun;

struct ng_lua {
    const ng_lua_job *job;
    lua_State *L;
    int64_t instructions, records, visited;
    size_t live, total;
    double start;
    ng_lua_overrun over; /* why the allocator last said no */
    normgen_status status;
};

/* ---- lua_budget.c ---- */

/* Starts the clock and makes the state, whose allocator counts. NULL without memory; raises
 * nothing. */
lua_State *ng_lua_new_state(ng_lua *lua);
/* The owner of a state; raises nothing. */
ng_lua *ng_lua_of(lua_State *L);
/* Counts n instructions, and raises when a budget is spent. */
void ng_lua_spend(lua_State *L, int64_t n);
/* Says whether instructions are counted from here on; raises nothing. */
void ng_lua_watch(lua_State *L, bool on);
/* Sets the error for an allocation that failed: the limit it met, or the system's. */
normgen_status ng_lua_fail_memory(const ng_lua *lua, const char *path);

/* ---- lua_functions.c ---- */

/* Makes the environment's functions global, all but the constructor. */
void ng_lua_add_functions(lua_State *L);

/* ---- lua.c ---- */

/* The innermost line that runs, and the main chunk's; raises nothing. */
ng_lua_place ng_lua_place_of(lua_State *L);
/* Raises text with the line that runs before it. */
int ng_lua_fail_here(lua_State *L, const char *text);
/* The value at a place of the stack; its string lives as long as it stays there. Raises nothing. */
ng_lua_value ng_lua_value_at(lua_State *L, int index);
/* How many keys the table has that stands at the stack's place `table`, counted from the bottom. */
int64_t ng_lua_count_keys(lua_State *L, int table);

#endif
