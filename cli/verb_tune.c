/* SPDX-License-Identifier: Apache-2.0 */
/* normgen tune: hands the tuner what the command line asks for and prints what it finds. */
#include "verbs.h"

#include "interrupt.h"
#include "json.h"
#include "results.h"
#include "specargs.h"
#include "storearg.h"

#include <string.h>

static void add_figure(cli_table *t, const cli_result *result, const ng_figure *f) {
    char text[24];
    const ng_event *e = &result->event;
    cli_table_add(t, "%s", cli_ns_text(f->ns, text));
    cli_table_add(t, f->ns > 0 ? "%.1f" : "-", result->row_bytes / f->ns);
    cli_table_add(t, "%s", cli_share_text(e->limit.ns, f->ns, text));
    cli_table_add(t, "%s", cli_share_text(e->preset.ns, f->ns, text));
    cli_table_add(t, "%s", f->schedule);
}

/* One row alone, beside its own limit. */
static void add_one_row(cli_table *t, const ng_event *e) {
    char text[24];
    cli_table_add(t, "%s", ng_regime_names[e->regime]);
    cli_table_add(t, "1");
    cli_table_add(t, "any");
    cli_table_add(t, "%s", cli_ns_text(e->one.ns, text));
    cli_table_add(t, "-");
    cli_table_add(t, "%s", cli_share_text(e->one_limit.ns, e->one.ns, text));
    cli_table_add(t, "-");
    cli_table_add(t, "%s", e->one.schedule);
}

static void add_result(cli_table *t, const cli_result *result) {
    const ng_event *e = &result->event;
    cli_table_add(t, "%s", ng_regime_names[e->regime]);
    cli_table_add(t, "%lld", (long long)e->rows);
    cli_table_add(t, "any");
    add_figure(t, result, &e->best);
    if (e->one.ns > 0) add_one_row(t, e);
    if (e->cached.ns <= 0 || strcmp(e->cached.schedule, e->best.schedule) == 0) return;
    cli_table_add(t, "%s", "");
    cli_table_add(t, "%s", "");
    cli_table_add(t, "cached");
    add_figure(t, result, &e->cached);
}

static const char *const heads[] = {"regime",   "rows",       "slot",     "ns/row", "GB/s",
                                    "of limit", "to default", "schedule", NULL};
static const cli_results_form form = {"lrlrrrrl", heads, add_result};

static void finish_json(const char *store, const char *status) {
    cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "event", "done");
    cli_json_text(&json, "status", status);
    cli_json_text(&json, "store", store);
    cli_json_end(&json);
}

static int report(const cli_args *args, normgen_status st, const char *store, const char *detail) {
    if (args->json) finish_json(store, normgen_status_name(st));
    if (st == NORMGEN_OK && !args->json)
        printf("\nstored in %s\nof limit: share of the speed at which this machine moves the "
               "spec's bytes; to default: speed-up\nover the schedule that is used without "
               "tuning; cached: for calls whose addresses forbid `any`\n",
               store);
    if (st == NORMGEN_OK) return CLI_DONE;
    if (st != NORMGEN_E_INTERRUPTED) return cli_failed(detail);
    cli_error("interrupted; finished regimes are stored in %s. Run the same command again: it goes "
              "on where this one stopped",
              store);
    return cli_stop ? CLI_SIGNAL + cli_stop : CLI_FAILED;
}

static int tune(const cli_args *args, const ng_gen_table *gen, const ng_spec_list *specs) {
    char store[CLI_STORE_PATH];
    cli_results results;
    int code = cli_store_path(args, store);
    if (code != CLI_DONE) return code;
    cli_results_init(&results, &form, args->json);
    ng_tune_request request = cli_request(args, specs, store, &results);
    normgen_status st = gen->tune(&request);
    cli_results_print(&results);
    cli_results_fini(&results);
    return report(args, st, store, st == NORMGEN_OK ? NULL : gen->error());
}

static int run(const cli_args *args) {
    ng_spec_list specs = {0};
    int code = args->background ? cli_background() : CLI_DONE;
    if (code == CLI_DONE) code = cli_specs_read(args, false, &specs);
    const ng_gen_table *gen = code == CLI_DONE ? ng_gen() : NULL;
    if (code == CLI_DONE && !gen) code = cli_error("tuning: %s", normgen_error());
    if (code == CLI_DONE) code = tune(args, gen, &specs);
    ng_spec_list_fini(&specs);
    return code;
}

static const char *const efforts[] = {"quick", "normal", "thorough", NULL};

static const cli_option options[] = {
    {"effort", 0, CLI_WORD, offsetof(cli_args, effort), NULL, efforts, NG_QUICK, 0,
     "how long to search, see above (default normal)"},
    {"budget", 0, CLI_SECONDS, offsetof(cli_args, budget), "SECONDS", NULL, 0, 0,
     "end after so many seconds, with the best so far"},
    {"rows", 0, CLI_INTEGER, offsetof(cli_args, rows), "N", NULL, 1, (int64_t)1 << 40,
     "only the regime that N rows fall in, at N rows (default: every regime)"},
    {"background", 0, CLI_FLAG, offsetof(cli_args, background), NULL, NULL, 0, 0,
     "lowest priority; ends when standard input does (how mode tune calls it)"},
    CLI_OPTION_THREADS,
    CLI_OPTION_SEED,
    CLI_OPTIONS_SPEC,
    CLI_OPTION_DB,
    CLI_OPTION_JSON,
    {0},
};

const cli_verb cli_verb_tune = {
    "tune",
    "[SPEC…]",
    "Find the fastest schedules of specs on this machine and store them",
    CLI_SPEC_HELP
    "An interrupted run is resumed by the same command.\n\n"
    "quick: seconds, the likely schedules. normal: under a minute. thorough: minutes; "
    "the whole space\n"
    "of legal schedules, search from several of the best, and more samples.\n\n"
    "example: normgen tune --hidden 4096\n",
    options,
    true,
    NULL,
    0,
    SIZE_MAX,
    run,
};
