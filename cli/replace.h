/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a file as a whole or not at all: beside it, synced, then renamed over it. */
#ifndef CLI_REPLACE_H
#define CLI_REPLACE_H

#include "options.h"

typedef struct cli_replacement {
    FILE *out;
    const char *path; /* borrowed */
    char beside[4096];
} cli_replacement;

/* Opens a file beside `path` for writing. Returns CLI_DONE, or CLI_FAILED after saying why. */
int cli_replace_begin(const char *path, cli_replacement *file);
/* Puts it in the place of `path` when code is CLI_DONE, else removes it; returns what became. */
int cli_replace_end(cli_replacement *file, int code);

/* E_IO with path, what failed and errno's text. */
normgen_status cli_io_failed(const char *path, const char *what);

#endif
