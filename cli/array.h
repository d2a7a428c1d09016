/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays and their files: .npy (npy.h), and text, one row a line, in files called *.txt and in "-",
 * the standard streams. */
#ifndef CLI_ARRAY_H
#define CLI_ARRAY_H

#include "normgen/normgen.h"

#include <stdbool.h>

#define CLI_ARRAY_DIMS 32
#define CLI_PATH 4096

typedef struct cli_array {
    int type; /* element type */
    int dims;
    int64_t shape[CLI_ARRAY_DIMS];
    size_t count, bytes; /* elements, and bytes of all of them */
    unsigned char *data; /* on a multiple of 64; freed with cli_array_fini */
} cli_array;

/* Sets count and bytes from type and shape; false when they do not fit a size. */
bool cli_array_measure(cli_array *array);
/* An array of this type and shape with unset elements. E_MEMORY. */
normgen_status cli_array_new(int type, int dims, const int64_t *shape, cli_array *array);
void cli_array_fini(cli_array *array);
/* "f32 6 x 5". Returns text. */
const char *cli_array_describe(const cli_array *array, char *text, size_t size);
/* Whether the path means the standard stream. */
bool cli_path_is_stream(const char *path);

/* How an array is read. */
typedef struct cli_array_rules {
    int text_type; /* element type that text is read as */
    int v2;        /* element type of 2-byte void elements; NORMGEN_NONE: they are refused */
} cli_array_rules;
/* Reads a file; E_IO or E_MEMORY with the path. */
normgen_status cli_array_read(const char *path, const cli_array_rules *rules, cli_array *array);

/* An output file that appears under its name only when it is whole: it is written beside it, then
 * renamed. What is no regular file (a pipe, /dev/null) is written directly. */
typedef struct cli_output {
    char path[CLI_PATH], beside[CLI_PATH]; /* beside is empty when there is nothing to rename */
} cli_output;
normgen_status cli_output_write(const char *path, const cli_array *array, cli_output *output);
normgen_status cli_output_commit(cli_output *output);
/* Removes what was written and not committed. */
void cli_output_abort(cli_output *output);

#endif
