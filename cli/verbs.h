/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs; each stands in the file verb_NAME.c. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "options.h"

extern const cli_verb cli_verb_tune, cli_verb_run, cli_verb_bench, cli_verb_emit, cli_verb_list,
    cli_verb_show, cli_verb_explain, cli_verb_check, cli_verb_db, cli_verb_cpu;

/* The words that `db` takes first, ended by NULL. */
extern const char *const cli_db_words[];

#endif
