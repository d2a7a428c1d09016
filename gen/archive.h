/* SPDX-License-Identifier: Apache-2.0 */
/* Static libraries: the ar format of GNU with a symbol index, no times, owners or modes of this
 * machine. */
#ifndef NG_ARCHIVE_H
#define NG_ARCHIVE_H

#include "normgen/normgen.h"

/* An object file and the symbols that it defines for others. */
typedef struct ng_member {
    const char *name; /* without a slash */
    const unsigned char *bytes;
    size_t size;
    const char *const *symbols;
    size_t n_symbols;
} ng_member;

/* Bytes of a library, freed with free(). E_MEMORY; E_UNSUPPORTED beyond 4 GiB. */
normgen_status ng_archive_make(const ng_member *members, size_t n, unsigned char **bytes,
                               size_t *size);

#endif
