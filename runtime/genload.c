/* SPDX-License-Identifier: Apache-2.0 */
/* The door to libnormgen-gen. It is opened once per process, only when somebody really wants to
 * compile: it brings LLVM with it. A library of another build is refused, since the two share
 * structs. What was found out once, good or bad, stays. */
#include "genload.h"

#include "build_id.h"
#include "error.h"
#include "neighbour.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const ng_gen_table *loaded;
static normgen_status load_status;
static char load_text[NG_ERROR_TEXT];
static _Atomic(const ng_gen_table *) injected;

/* A table that fits, or NULL and why it does not. */
static const ng_gen_table *fitting(void *library, const char *name) {
    const ng_gen_table *table = dlsym(library, "normgen_gen_table");
    if (!table)
        ng_fail(NORMGEN_E_GENERATOR, "%s has no normgen_gen_table: it is not a generator library",
                name);
    else if (table->struct_size != sizeof *table || strcmp(table->build, NG_BUILD_ID) != 0)
        ng_fail(NORMGEN_E_GENERATOR,
                "%s comes from another build (%s, this is %s): install libnormgen and "
                "libnormgen-gen of one build",
                name, table->struct_size == sizeof *table ? table->build : "other layout",
                NG_BUILD_ID);
    else
        return table;
    return NULL;
}

static normgen_status load_file(const char *name, normgen_status absent) {
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return ng_fail(absent,
                       "the generator is not available (%s): install %s beside libnormgen, or "
                       "name it in NORMGEN_GEN_LIBRARY",
                       dlerror(), NG_GEN_SONAME);
    loaded = fitting(library, name);
    if (loaded) return NORMGEN_OK;
    dlclose(library);
    return NORMGEN_E_GENERATOR;
}

static normgen_status find(void) {
    char path[PATH_MAX];
    const char *named = secure_getenv("NORMGEN_GEN_LIBRARY");
    if (named && *named) return load_file(named, NORMGEN_E_GENERATOR);
    if (ng_neighbour_find(NG_PART_GENERATOR, path, sizeof path))
        return load_file(path, NORMGEN_E_GENERATOR);
    return load_file(NG_GEN_SONAME, NORMGEN_E_UNSUPPORTED);
}

static void load_once(void) {
    load_status = find();
    if (load_status != NORMGEN_OK) snprintf(load_text, sizeof load_text, "%s", normgen_error());
}

normgen_status ng_gen_load(const ng_gen_table **table) {
    const ng_gen_table *other = atomic_load(&injected);
    if (!other) {
        pthread_once(&once, load_once);
        if (load_status != NORMGEN_OK) return ng_fail(load_status, "%s", load_text);
    }
    *table = other ? other : loaded;
    return NORMGEN_OK;
}

const ng_gen_table *ng_gen(void) {
    const ng_gen_table *table = NULL;
    return ng_gen_load(&table) == NORMGEN_OK ? table : NULL;
}

void ng_gen_set(const ng_gen_table *table) { atomic_store(&injected, table); }
