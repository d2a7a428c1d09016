/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into object files that LLVM made. */
#ifndef NG_ELFCHECK_H
#define NG_ELFCHECK_H

#include "normgen/normgen.h"

#include <stdbool.h>

/* E_GENERATOR when the object is no 64-bit ELF object, has an undefined symbol or writable data;
 * else the size of its text section and, if wanted, where that stands in the file. */
normgen_status ng_elf_check_leaf(const unsigned char *bytes, size_t size, size_t *code_bytes);
/* E_GENERATOR when the object has an undefined symbol that `allowed` does not know. */
normgen_status ng_elf_check_needs(const unsigned char *bytes, size_t size,
                                  bool (*allowed)(const void *ctx, const char *symbol),
                                  const void *ctx);
normgen_status ng_elf_text(const unsigned char *bytes, size_t size, const unsigned char **code,
                           size_t *code_bytes);

#endif
