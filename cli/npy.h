/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of NumPy's .npy files, format 1.0 to 3.0: C order, little-endian f2 f4 f8, and bf16 as
 * 2-byte void. */
#ifndef CLI_NPY_H
#define CLI_NPY_H

#include "array.h"

/* Parses the dictionary of a header, `size` bytes without an end mark, into type, dims, shape,
 * count and bytes; v2 as in cli_array_rules. E_IO with what is wrong. */
normgen_status cli_npy_parse(const char *header, size_t size, int v2, cli_array *array);
/* Writes magic, version 1.0, length and dictionary; returns its size, a multiple of 64. 1024 bytes
 * are always enough. */
size_t cli_npy_header(const cli_array *array, char *header, size_t size);

#endif
