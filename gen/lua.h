/* SPDX-License-Identifier: Apache-2.0 */
/* Runs an untrusted Lua script in a closed environment, under budgets. The script builds records
 * with one constructor function and returns them; its caller says what a record is. This is the
 * only door to Lua: no type of Lua stands here, and lua_state.h, which has them, is for lua*.c
 * alone.
 *
 * The environment holds the constructor, ipairs pairs type tostring tonumber error assert select
 * format, and math with floor ceil min max abs sqrt. Nothing in it reads a clock, a file or an
 * address, and pairs goes through keys in order: the same text gives the same records. */
#ifndef NG_LUA_H
#define NG_LUA_H

#include "normgen/normgen.h"

#include <stdbool.h>

/* A script at work, as `make` below sees it. */
typedef struct ng_lua ng_lua;

typedef enum ng_lua_type {
    NG_LUA_NIL,
    NG_LUA_BOOLEAN,
    NG_LUA_INTEGER,
    NG_LUA_FLOAT,
    NG_LUA_STRING,
    NG_LUA_OTHER /* table, function, record */
} ng_lua_type;

typedef struct ng_lua_value {
    ng_lua_type type;
    const char *type_name; /* in the script's words: "nil", "table" */
    bool boolean;
    int64_t integer;
    double number;
    const char *string; /* ended by 0, may hold others; lives as long as the `make` call */
    size_t length;
} ng_lua_value;

/* Where the constructor was called: its line, and, when that is in a function, the line outside all
 * functions from which that was called (else 0). */
typedef struct ng_lua_place {
    int line, from;
} ng_lua_place;

typedef struct ng_lua_limits {
    int64_t instructions; /* of Lua's virtual machine */
    size_t live;          /* bytes allocated at a time */
    size_t total;         /* bytes allocated in all */
    size_t string;        /* bytes of one string: bounds what one comparison may cost */
    double seconds;       /* of CPU time of this thread */
    int64_t records;      /* constructor calls */
} ng_lua_limits;

typedef struct ng_lua_job {
    const char *path; /* for messages */
    const char *text; /* Lua source */
    size_t size;
    const char *constructor; /* its name in the script: "spec" */
    size_t record_size;      /* bytes of one record */
    /* Fills a record, zeroed before, from the table that the constructor was given. On failure the
     * error text gets "path:line: " put before it. Calls of ng_lua_* in here may not return: hold
     * nothing that must be freed. */
    normgen_status (*make)(ng_lua *lua, ng_lua_place place, void *record);
    /* Receives each returned record, in the order of the lists. Must not call ng_lua_*. */
    normgen_status (*take)(void *ctx, const void *record);
    void *ctx;
    ng_lua_limits limits;
} ng_lua_job;

/* Runs the script and takes the records it returns: one, or lists (of lists) of them. E_SPEC with
 * path and line for whatever the script does wrong, budgets included; E_MEMORY. */
normgen_status ng_lua_run(const ng_lua_job *job);

/* The value of a field in the table at hand; type NG_LUA_NIL when it is not there. */
ng_lua_value ng_lua_field(ng_lua *lua, const char *name);
/* Calls visit with every key of the table at hand, in no order. visit must not call ng_lua_*. */
void ng_lua_keys(ng_lua *lua, void (*visit)(void *ctx, const ng_lua_value *key), void *ctx);

#endif
