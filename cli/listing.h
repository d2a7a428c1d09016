/* SPDX-License-Identifier: Apache-2.0 */
/* A row program as text for people. */
#ifndef CLI_LISTING_H
#define CLI_LISTING_H

#include "program.h"

#include <stdio.h>

/* Prints streams, operations with shape, level and passes, and the values that cross passes; every
 * line starts with `prefix`. */
void cli_listing_print(const ng_program *program, const char *prefix, FILE *out);
/* "%3 = FMA %1 %1 %2"; returns text. */
const char *cli_listing_op(const ng_program *program, int op, char *text, size_t size);

#endif
