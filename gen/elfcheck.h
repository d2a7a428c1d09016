/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into object files that LLVM made. */
#ifndef NG_ELFCHECK_H
#define NG_ELFCHECK_H

#include "normgen/normgen.h"

/* E_GENERATOR when the object is no 64-bit ELF object, has an undefined symbol or writable data;
 * else the size of its text section and, if wanted, where that stands in the file. */
normgen_status ng_elf_check_leaf(const unsigned char *bytes, size_t size, size_t *code_bytes);
normgen_status ng_elf_text(const unsigned char *bytes, size_t size, const unsigned char **code,
                           size_t *code_bytes);

#endif
