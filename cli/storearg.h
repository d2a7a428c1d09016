/* SPDX-License-Identifier: Apache-2.0 */
/* The store that a command line means. */
#ifndef CLI_STOREARG_H
#define CLI_STOREARG_H

#include "options.h"
#include "store.h"

#define CLI_STORE_PATH 4096

/* Path of --db, else of the default store; `path` has CLI_STORE_PATH bytes. Returns CLI_DONE, or
 * CLI_FAILED after saying why. */
int cli_store_path(const cli_args *args, char *path);
/* Whether nothing is there. */
bool cli_store_missing(const char *path);
/* Opens it; a caution about it goes to stderr. *store is the caller's. */
int cli_store_open(const cli_args *args, ng_store_access access, char *path, ng_store **store);

#endif
