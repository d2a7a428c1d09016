/* SPDX-License-Identifier: Apache-2.0 */
/* What a script may spend. A hook counts instructions and looks at the CPU clock every STEP of
 * them; the allocator counts bytes. That is enough only because every function of lua_functions.c
 * does bounded work per call. */
#include "lua_state.h"

#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STEP 100 /* instructions between two looks at the clock */

static ng_lua_overrun refuses(const ng_lua *lua, int kind, size_t had, size_t size) {
    const ng_lua_limits *l = &lua->job->limits;
    if (kind == LUA_TSTRING && size > l->string) return NG_LUA_OVER_STRING;
    if (size > l->live || lua->live - had > l->live - size) return NG_LUA_OVER_LIVE;
    return size > l->total || lua->total > l->total - size ? NG_LUA_OVER_TOTAL : NG_LUA_OVER_NONE;
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
        ng_lua_overrun over = refuses(lua, old ? LUA_TNIL : (int)old_size, had, size);
        if (over != NG_LUA_OVER_NONE) {
            lua->over = over;
            return NULL;
        }
    }
    void *block = realloc(old, size);
    if (!block && size > had) {
        lua->over = NG_LUA_OVER_SYSTEM;
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

lua_State *ng_lua_new_state(ng_lua *lua) {
    lua->start = cpu_seconds();
    lua->L = lua_newstate(allocate, lua);
    return lua->L;
}

ng_lua *ng_lua_of(lua_State *L) {
    void *ctx;
    lua_getallocf(L, &ctx);
    return ctx;
}

void ng_lua_spend(lua_State *L, int64_t n) {
    ng_lua *lua = ng_lua_of(L);
    const ng_lua_limits *l = &lua->job->limits;
    char text[120];
    lua->instructions += n;
    if (lua->instructions > l->instructions) {
        snprintf(text, sizeof text, "over budget: the file runs more than %lld instructions",
                 (long long)l->instructions);
        ng_lua_fail_here(L, text);
    }
    if (cpu_seconds() - lua->start > l->seconds) {
        snprintf(text, sizeof text, "over budget: the file takes more than %g s of CPU time",
                 l->seconds);
        ng_lua_fail_here(L, text);
    }
}

static void on_count(lua_State *L, lua_Debug *ar) {
    (void)ar;
    ng_lua_spend(L, STEP);
}

void ng_lua_watch(lua_State *L, bool on) {
    lua_sethook(L, on ? on_count : NULL, on ? LUA_MASKCOUNT : 0, on ? STEP : 0);
}

normgen_status ng_lua_fail_memory(const ng_lua *lua, const char *path) {
    const ng_lua_limits *l = &lua->job->limits;
    switch (lua->over) {
    case NG_LUA_OVER_LIVE:
        return ng_fail(NORMGEN_E_SPEC,
                       "%s: over budget: the file uses more than %.4g MiB of memory at a time",
                       path, (double)l->live / 1048576);
    case NG_LUA_OVER_TOTAL:
        return ng_fail(NORMGEN_E_SPEC,
                       "%s: over budget: the file allocates more than %.4g MiB in all", path,
                       (double)l->total / 1048576);
    case NG_LUA_OVER_STRING:
        return ng_fail(NORMGEN_E_SPEC,
                       "%s: over budget: the file makes a string of more than %zu bytes", path,
                       l->string);
    default: return ng_fail(NORMGEN_E_MEMORY, "%s: out of memory", path);
    }
}
