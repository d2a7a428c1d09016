/* SPDX-License-Identifier: Apache-2.0 */
/* The file that a store lives in: where it is, whose it is, who holds it. Knows nothing of SQLite.
 * Never opens an existing file: closing any descriptor of it would drop this process's locks. */
#ifndef NG_DBFILE_H
#define NG_DBFILE_H

#include "normgen/normgen.h"

#include <stdbool.h>

/* SQLite takes paths of 512 bytes and puts "-journal" behind them. */
#define NG_DBFILE_PATH 500
#define NG_DBFILE_NOTE 640

typedef struct ng_dbfile {
    char path[NG_DBFILE_PATH]; /* absolute, links resolved */
    bool ours;                 /* may be written: our own, and not writable for everyone */
    char note[NG_DBFILE_NOTE]; /* what the user should know about it: a caution, or "" */
} ng_dbfile;

/* Finds the file; with `create`, makes missing directories (0700) and an empty file (0600).
 * E_STORE with path and reason when it is missing, not a regular file or its path is too long. */
normgen_status ng_dbfile_locate(const char *path, bool create, ng_dbfile *file);
/* E_STORE with the reason and the remedy when the file or its directory must not or cannot be
 * written. */
normgen_status ng_dbfile_writable(const ng_dbfile *file);
/* Writes " (process 123)" for a process that holds a lock on the file, "" when none is known. */
void ng_dbfile_holder(const char *path, char *text, size_t size);
/* Name of the network filesystem with this statfs magic, or NULL: locks are weak on those. */
const char *ng_dbfile_network(uint32_t magic);

#endif
