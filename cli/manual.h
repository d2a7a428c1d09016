/* SPDX-License-Identifier: Apache-2.0 */
/* Manual pages: texts of docs/man with the tables of the program put in, so that they cannot lie.
 * The build calls `normgen __manual FILE` for each. */
#ifndef CLI_MANUAL_H
#define CLI_MANUAL_H

#include "options.h"

/* Prints the mdoc text of a file; a line "@verbs@", "@options@" or "@fields@" becomes what the
 * tables say. verbs ends with NULL. Returns CLI_DONE, or CLI_FAILED after saying why. */
int cli_manual(const cli_verb *const verbs[], const char *path);

#endif
