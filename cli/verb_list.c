/* SPDX-License-Identifier: Apache-2.0 */
/* normgen list: the winners of the store, a table for each spec and machine. */
#include "verbs.h"

#include "json.h"
#include "results.h"
#include "storearg.h"
#include "specargs.h"

#include <stdlib.h>
#include <string.h>

/* Winners are collected first: the store is not kept locked while a terminal is slow. */
typedef struct winners {
    ng_found *items;
    size_t count, capacity;
} winners;

static bool collect(void *ctx, const ng_found *found) {
    winners *w = ctx;
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : 64;
        ng_found *grown = realloc(w->items, capacity * sizeof *grown);
        if (!grown) return false;
        w->items = grown;
        w->capacity = capacity;
    }
    w->items[w->count++] = *found;
    return true;
}

static bool same_unit(const ng_found *a, const ng_found *b) {
    return strcmp(a->spec, b->spec) == 0 && strcmp(a->machine, b->machine) == 0 &&
           strcmp(a->toolchain, b->toolchain) == 0 && a->regime == b->regime &&
           a->threads == b->threads;
}

/* Time of the limit that the winner was measured with, 0 when there is none. */
static double limit_of(const winners *w, size_t i) {
    for (size_t k = 0; k < w->count; k++)
        if (w->items[k].winner.slot == NG_SLOT_LIMIT && same_unit(&w->items[k], &w->items[i]))
            return w->items[k].winner.ns;
    return 0;
}

static void print_json(const winners *w) {
    for (size_t i = 0; i < w->count; i++) {
        const ng_found *f = &w->items[i];
        cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "spec", f->spec);
        cli_json_text(&json, "machine", f->machine);
        cli_json_text(&json, "toolchain", f->toolchain);
        cli_json_text(&json, "regime", ng_regime_names[f->regime]);
        cli_json_integer(&json, "rows", f->rows);
        cli_json_integer(&json, "threads", f->threads);
        cli_json_text(&json, "slot", ng_slot_names[f->winner.slot]);
        cli_json_text(&json, "schedule", f->winner.schedule);
        cli_json_decimal(&json, "ns_per_row", f->winner.ns);
        cli_json_integer(&json, "pairs", f->winner.pairs);
        cli_json_text(&json, "effort", ng_effort_names[f->effort]);
        cli_json_text(&json, "started", f->started);
        cli_json_text(&json, "session", f->session);
        cli_json_end(&json);
    }
}

static void add_row(cli_table *t, const winners *w, size_t i) {
    const ng_found *f = &w->items[i];
    double limit = limit_of(w, i);
    char text[24];
    cli_table_add(t, "%s", ng_regime_names[f->regime]);
    cli_table_add(t, "%lld", (long long)f->rows);
    cli_table_add(t, "%d", f->threads);
    cli_table_add(t, "%s", ng_slot_names[f->winner.slot]);
    cli_table_add(t, "%s", cli_ns_text(f->winner.ns, text));
    cli_table_add(t, "%s", cli_share_text(limit, f->winner.ns, text));
    cli_table_add(t, "%s", ng_effort_names[f->effort]);
    cli_table_add(t, "%.10s", f->started);
    cli_table_add(t, "%s", f->winner.schedule);
}

/* Prints the winners from `first` that share its spec, machine and toolchain; returns the next. */
static size_t print_group(const winners *w, size_t first) {
    static const char *const head[] = {"regime",   "rows",   "threads", "slot",    "ns/row",
                                       "of limit", "effort", "tuned",   "schedule"};
    const ng_found *f = &w->items[first];
    cli_table t;
    cli_table_init(&t, "lrrlrrlll");
    for (size_t c = 0; c < sizeof head / sizeof head[0]; c++) cli_table_add(&t, "%s", head[c]);
    size_t i = first;
    for (; i < w->count; i++) {
        const ng_found *g = &w->items[i];
        if (strcmp(f->spec, g->spec) != 0 || strcmp(f->machine, g->machine) != 0 ||
            strcmp(f->toolchain, g->toolchain) != 0)
            break;
        bool same = i > first && same_unit(g, g - 1) &&
                    strcmp(g->winner.schedule, (g - 1)->winner.schedule) == 0;
        if (!same) add_row(&t, w, i); /* `cached` is often the same as `any` */
    }
    printf("%s%s\n  machine %s\n  toolchain %s\n", first ? "\n" : "", f->spec, f->machine,
           f->toolchain);
    cli_table_print(&t, 2, stdout);
    cli_table_fini(&t);
    return i;
}

/* The store sorts by machine before toolchain; groups want toolchains together. */
static int by_group(const void *pa, const void *pb) {
    const ng_found *a = pa, *b = pb;
    int order = strcmp(a->spec, b->spec);
    if (order == 0) order = strcmp(a->machine, b->machine);
    if (order == 0) order = strcmp(a->toolchain, b->toolchain);
    if (order == 0) order = (int)a->regime - (int)b->regime;
    if (order == 0) order = a->threads - b->threads;
    return order ? order : (int)a->winner.slot - (int)b->winner.slot;
}

static int query(ng_store *store, const ng_spec_list *specs, winners *w) {
    for (size_t i = 0; i < specs->count || (i == 0 && specs->count == 0); i++) {
        char text[NORMGEN_SPEC_TEXT];
        ng_query q = {.regime = -1, .slot = -1};
        if (specs->count) {
            ng_spec_text(&specs->items[i].spec, text);
            q.spec = text;
        }
        if (ng_store_winners(store, &q, collect, w) != NORMGEN_OK) return cli_failed(NULL);
    }
    return CLI_DONE;
}

static void print(const cli_args *args, winners *w, const char *path) {
    if (w->count) qsort(w->items, w->count, sizeof *w->items, by_group);
    if (args->json) {
        print_json(w);
        return;
    }
    if (w->count == 0)
        printf("%s has no winners%s; `normgen tune` finds some\n", path,
               args->n_words || args->given || args->model ? " of this spec" : "");
    for (size_t i = 0; i < w->count;) i = print_group(w, i);
}

/* One row for each model and type, with its norms. */
static int list_models(const cli_args *args) {
    ng_spec_list all = {0};
    int code = cli_models_read_all(&all);
    char model[CLI_MODEL_TEXT], last[CLI_MODEL_TEXT] = "", text[NORMGEN_SPEC_TEXT];
    for (size_t i = 0; i < all.count && code == CLI_DONE; i++) {
        const char *name = all.items[i].name;
        cli_model_text(name, model);
        ng_spec_text(&all.items[i].spec, text);
        if (args->json) {
            cli_json json;
            cli_json_begin(&json, stdout);
            cli_json_text(&json, "model", model);
            cli_json_text(&json, "norm", cli_model_norm(name));
            cli_json_text(&json, "name", name);
            cli_json_text(&json, "spec", text);
            cli_json_end(&json);
            continue;
        }
        if (strcmp(model, last) != 0) printf("%s%s\n", i ? "\n" : "", model);
        printf("  %-10s %s\n", cli_model_norm(name), text);
        memcpy(last, model, sizeof last);
    }
    ng_spec_list_fini(&all);
    return code;
}

static int run(const cli_args *args) {
    if (args->models) return list_models(args);
    ng_spec_list specs = {0};
    winners found = {0};
    ng_store *store = NULL;
    char path[CLI_STORE_PATH];
    int code = cli_specs_read(args, true, &specs);
    if (code == CLI_DONE) code = cli_store_path(args, path);
    bool empty = code == CLI_DONE && !args->db && cli_store_missing(path);
    if (code == CLI_DONE && !empty) code = cli_store_open(args, NG_STORE_READ, path, &store);
    if (code == CLI_DONE && !empty) code = query(store, &specs, &found);
    if (code == CLI_DONE) print(args, &found, path);
    free(found.items);
    ng_store_close(store);
    ng_spec_list_fini(&specs);
    return code;
}

static const cli_option options[] = {CLI_OPTIONS_SPEC,
                                     CLI_OPTION_DB,
                                     CLI_OPTION_JSON,
                                     {"models", 0, CLI_FLAG, offsetof(cli_args, models), NULL, NULL,
                                      0, 0, "list the presets instead: the norms of known models"},
                                     {0}};

const cli_verb cli_verb_list = {
    "list",
    "[SPEC…]",
    "List the winners in the store",
    CLI_SPEC_HELP "Without a spec, all of them are listed. `of limit` is the share of the speed at "
                  "which this\nmachine moves the spec's bytes.\n",
    options,
    true,
    NULL,
    0,
    SIZE_MAX,
    run,
};
