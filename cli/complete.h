/* SPDX-License-Identifier: Apache-2.0 */
/* What may follow on a command line, from the tables that parse it. The shells' scripts
 * (completions/) call `normgen __complete WORDS…` at every Tab. */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include "options.h"

/* Prints, one a line, the whole words that the last of argv may become; a line CLI_COMPLETE_FILES
 * means that files may stand there too. verbs ends with NULL. Returns CLI_DONE. */
#define CLI_COMPLETE_FILES "//files"
int cli_complete(const cli_verb *const verbs[], int argc, char **argv);

#endif
