/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the store of a command line. A store that was asked for by name or by verb is not
 * optional: what is wrong with it is an error. */
#include "storearg.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int cli_store_path(const cli_args *args, char *path) {
    if (!args->db)
        return ng_store_default_path(path, CLI_STORE_PATH) == NORMGEN_OK ? CLI_DONE
                                                                         : cli_failed(NULL);
    if ((size_t)snprintf(path, CLI_STORE_PATH, "%s", args->db) < CLI_STORE_PATH) return CLI_DONE;
    return cli_error("--db: the path is too long");
}

bool cli_store_missing(const char *path) { return access(path, F_OK) != 0 && errno == ENOENT; }

int cli_store_open(const cli_args *args, ng_store_access mode, char *path, ng_store **store) {
    int code = cli_store_path(args, path);
    if (code != CLI_DONE) return code;
    if (mode == NG_STORE_READ && cli_store_missing(path))
        return cli_error("%s: there is no store yet; `normgen tune` makes one, --db names another",
                         path);
    if (ng_store_open(path, mode, store) != NORMGEN_OK) return cli_failed(NULL);
    const char *note = ng_store_note(*store);
    if (*note) fprintf(stderr, "normgen: warning: %s\n", note);
    return CLI_DONE;
}
