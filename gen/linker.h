/* SPDX-License-Identifier: Apache-2.0 */
/* The system's linker, for shared libraries. */
#ifndef NG_LINKER_H
#define NG_LINKER_H

#include "cpu.h"

/* Links a static library's members to a shared one, libPREFIX.so; bytes are freed with free().
 * E_UNSUPPORTED when no linker for the architecture is found, E_GENERATOR when it fails. */
normgen_status ng_link_shared(ng_arch arch, const char *prefix, const unsigned char *archive,
                              size_t archive_size, unsigned char **bytes, size_t *size);

#endif
