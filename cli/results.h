/* SPDX-License-Identifier: Apache-2.0 */
/* What tuner and bench tell, turned into progress, tables and JSON. A verb hands cli_results_event
 * to the generator and prints at the end. */
#ifndef CLI_RESULTS_H
#define CLI_RESULTS_H

#include "gentable.h"
#include "options.h"
#include "progress.h"
#include "columns.h"

#include <stdio.h>

typedef struct cli_result {
    bool skipped;
    char reason[256]; /* of a skipped regime */
    char spec_text[NORMGEN_SPEC_TEXT], name[64];
    double row_bytes; /* moved for one row, shared streams spread over the rows */
    ng_event event;   /* text and spec are not valid */
} cli_result;

/* The columns of a verb's table. */
typedef struct cli_results_form {
    const char *columns; /* cli_table */
    const char *const *heads;
    void (*add)(cli_table *table, const cli_result *result);
} cli_results_form;

typedef struct cli_results {
    const cli_results_form *form;
    bool json, failed; /* failed: out of memory */
    cli_progress progress;
    cli_result *items;
    size_t count, capacity;
} cli_results;

void cli_results_init(cli_results *results, const cli_results_form *form, bool json);
/* What the command line asks of tuner or bench, with events to `results` and a stop at SIGINT or
 * SIGTERM; borrows all its arguments. */
ng_tune_request cli_request(const cli_args *args, const ng_spec_list *specs, const char *store,
                            cli_results *results);
/* The event function of a request; ctx is the cli_results. */
void cli_results_event(void *ctx, const ng_event *event);
/* Prints a table for each spec and what is common to all; nothing after --json. */
void cli_results_print(cli_results *results);
void cli_results_fini(cli_results *results);

/* Time of a row for people: "201.3", "1430", "-" when it is 0. Returns text (24 bytes). */
const char *cli_ns_text(double ns, char *text);
/* "0.83": how much of `of` the value reaches, "-" when one of them is missing. */
const char *cli_share_text(double of, double value, char *text);

#endif
