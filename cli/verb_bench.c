/* SPDX-License-Identifier: Apache-2.0 */
/* normgen bench: one spec in every regime, the tuned schedule beside the default one, the
 * interpreter and the limit. Stores nothing. */
#include "verbs.h"

#include "interrupt.h"
#include "results.h"
#include "specargs.h"
#include "storearg.h"

static void add_pair(cli_table *t, const ng_figure *f, const ng_figure *limit) {
    char text[24];
    cli_table_add(t, "%s", cli_ns_text(f->ns, text));
    cli_table_add(t, "%s", cli_share_text(limit->ns, f->ns, text));
}

static void add_result(cli_table *t, const cli_result *result) {
    const ng_event *e = &result->event;
    char text[24];
    cli_table_add(t, "%s", ng_regime_names[e->regime]);
    cli_table_add(t, "%lld", (long long)e->rows);
    cli_table_add(t, "%s", cli_ns_text(e->limit.ns, text));
    add_pair(t, &e->best, &e->limit);
    add_pair(t, &e->preset, &e->limit);
    add_pair(t, &e->interp, &e->limit);
    cli_table_add(t, "%s", e->best.ns > 0 ? e->best.schedule : "not tuned: normgen tune");
}

static const char *const heads[] = {"regime",   "rows",           "limit ns", "tuned ns",
                                    "of limit", "default ns",     "of limit", "interp ns",
                                    "of limit", "tuned schedule", NULL};
static const cli_results_form form = {"lrrrrrrrrl", heads, add_result};

/* Winners come from the store if there is one. */
static int find_store(const cli_args *args, char *path, const char **store) {
    int code = cli_store_path(args, path);
    if (code != CLI_DONE) return code;
    bool missing = cli_store_missing(path);
    if (missing && args->db) return cli_error("%s: there is no store", path);
    *store = missing ? NULL : path;
    return CLI_DONE;
}

static int bench(const cli_args *args, const ng_gen_table *gen, const ng_spec_list *specs) {
    char path[CLI_STORE_PATH];
    const char *store = NULL;
    cli_results results;
    int code = find_store(args, path, &store);
    if (code != CLI_DONE) return code;
    cli_results_init(&results, &form, args->json);
    ng_tune_request request = cli_request(args, specs, store, &results);
    normgen_status st = gen->bench(&request);
    cli_results_print(&results);
    cli_results_fini(&results);
    if (st == NORMGEN_OK) return CLI_DONE;
    if (st != NORMGEN_E_INTERRUPTED) return cli_failed(gen->error());
    cli_error("interrupted");
    return cli_stop ? CLI_SIGNAL + cli_stop : CLI_FAILED;
}

static int run(const cli_args *args) {
    ng_spec_list specs = {0};
    int code = cli_specs_read(args, false, &specs);
    const ng_gen_table *gen = code == CLI_DONE ? ng_gen() : NULL;
    if (code == CLI_DONE && !gen) code = cli_error("benchmarks: %s", normgen_error());
    if (code == CLI_DONE) code = bench(args, gen, &specs);
    ng_spec_list_fini(&specs);
    return code;
}

static const cli_option options[] = {
    {"rows", 0, CLI_INTEGER, offsetof(cli_args, rows), "N", NULL, 1, (int64_t)1 << 40,
     "only the regime that N rows fall in, at N rows (default: every regime)"},
    {"budget", 0, CLI_SECONDS, offsetof(cli_args, budget), "SECONDS", NULL, 0, 0,
     "end after so many seconds"},
    CLI_OPTION_THREADS,
    CLI_OPTION_SEED,
    CLI_OPTIONS_SPEC,
    CLI_OPTION_DB,
    CLI_OPTION_JSON,
    {0},
};

const cli_verb cli_verb_bench = {
    "bench",
    "SPEC",
    "Measure a spec in every regime, beside the limit and the alternatives",
    CLI_SPEC_HELP "All contenders of a regime are measured in turns; nothing is stored.\n\n"
                  "example: normgen bench --hidden 4096\n",
    options,
    true,
    NULL,
    0,
    SIZE_MAX,
    run,
};
