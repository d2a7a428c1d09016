/* SPDX-License-Identifier: Apache-2.0 */
/* normgen explain: which schedule a call of so many rows gets, where it comes from, and what else
 * was measured there. Asks the same function as normgen_get. */
#include "verbs.h"

#include "choose.h"
#include "gentable.h"
#include "json.h"
#include "results.h"
#include "specargs.h"
#include "storearg.h"

#include <string.h>

enum { TRIALS_SHOWN = 5 };

typedef struct state {
    const cli_args *args;
    const ng_cpu *cpu;
    normgen_spec spec;
    ng_program program;
    ng_store *store; /* NULL: there is none */
    ng_choices choices;
    int threads;
    int64_t shown, limit; /* trials */
    cli_table *table;
    cli_json *json;
    double best;
} state;

/* First and last number of rows that dispatch counts to the regime; false when there is none. */
static bool row_range(const state *s, int regime, size_t *first, size_t *last) {
    size_t below = 0;
    for (int r = 0; r < regime; r++) {
        size_t max = ng_regime_max_rows(s->cpu, &s->program, (ng_regime)r, s->threads);
        if (max > below) below = max;
    }
    *last = ng_regime_max_rows(s->cpu, &s->program, (ng_regime)regime, s->threads);
    *first = below + 1;
    return *last > below;
}

static void range_text(size_t first, size_t last, char *text, size_t size) {
    if (last == SIZE_MAX)
        snprintf(text, size, "%zu rows and more", first);
    else
        snprintf(text, size, "%zu to %zu rows", first, last);
}

/* Trials of the limit are no schedules that a call could get. */
static bool is_schedule(const state *s, const ng_trial *trial) {
    ng_schedule schedule;
    return ng_schedule_parse(&s->program, trial->schedule, &schedule) == NORMGEN_OK;
}

static bool print_trial(void *ctx, const ng_trial *trial) {
    state *s = ctx;
    char text[24];
    if (s->shown == s->limit) return false;
    if (!is_schedule(s, trial)) return true;
    s->shown++;
    if (s->best == 0) s->best = trial->ns;
    cli_table_add(s->table, "%s", cli_ns_text(trial->ns, text));
    cli_table_add(s->table, trial->ns > 0 && s->best > 0 ? "%.2fx" : "-", trial->ns / s->best);
    cli_table_add(s->table, "%s%s%s", trial->schedule,
                  trial->valid ? "" : "  invalid: ", trial->valid ? "" : trial->reason);
    return true;
}

static bool json_trial(void *ctx, const ng_trial *trial) {
    state *s = ctx;
    if (s->shown == s->limit) return false;
    s->shown++;
    cli_json_open(s->json, NULL, '{');
    cli_json_text(s->json, "schedule", trial->schedule);
    cli_json_bool(s->json, "valid", trial->valid);
    if (!trial->valid) cli_json_text(s->json, "reason", trial->reason);
    cli_json_decimal(s->json, "ns_per_row", trial->ns);
    cli_json_close(s->json);
    return true;
}

static normgen_status each_trial(state *s, const ng_found *f,
                                 bool (*each)(void *ctx, const ng_trial *trial)) {
    ng_unit unit = {f->spec, f->machine, f->toolchain, f->regime, f->threads, f->rows};
    s->shown = 0;
    s->best = 0;
    s->limit = s->args->trials ? s->args->trials : TRIALS_SHOWN;
    return ng_store_trials(s->store, f->session, &unit, each, s);
}

static int print_trials(state *s, const ng_choice *c) {
    cli_table t;
    cli_table_init(&t, "rrl");
    cli_table_add(&t, "ns/row");
    cli_table_add(&t, "to best");
    cli_table_add(&t, "trials, %lld rows, %d thread%s", (long long)c->found.rows, c->found.threads,
                  c->found.threads == 1 ? "" : "s");
    s->table = &t;
    normgen_status st = each_trial(s, &c->found, print_trial);
    if (st == NORMGEN_OK && s->shown) cli_table_print(&t, 4, stdout);
    cli_table_fini(&t);
    return st == NORMGEN_OK ? CLI_DONE : cli_failed(NULL);
}

static void print_choice(const state *s, const ng_choice *c, const char *slot) {
    char text[NG_SCHEDULE_TEXT];
    ng_schedule_text(&s->program, &c->schedule, text);
    printf("  %-7s %s\n          from: %s", slot, text, ng_rung_names[c->rung]);
    if (c->rung != NG_RUNG_DEFAULT) {
        printf(", %s effort, %.10s", ng_effort_names[c->found.effort], c->found.started);
        if (c->rung != NG_RUNG_MACHINE) printf(", %s", c->found.machine);
        if (c->rung >= NG_RUNG_HIDDEN) printf(", '%s'", c->found.spec);
    }
    putchar('\n');
}

static int print_regime(state *s, int regime) {
    size_t first, last;
    char text[64];
    if (!row_range(s, regime, &first, &last)) {
        printf("%s: no call is in it: one row does not fit\n", ng_regime_names[regime]);
        return CLI_DONE;
    }
    range_text(first, last, text, sizeof text);
    printf("%s: %s\n", ng_regime_names[regime], text);
    const ng_choice *any = &s->choices.at[regime][NG_SLOT_ANY];
    print_choice(s, any, ng_slot_names[NG_SLOT_ANY]);
    print_choice(s, &s->choices.at[regime][NG_SLOT_CACHED], ng_slot_names[NG_SLOT_CACHED]);
    return any->rung >= NG_RUNG_SHIPPED ? CLI_DONE : print_trials(s, any);
}

static int print_text(state *s) {
    char text[NORMGEN_SPEC_TEXT];
    size_t row, shared;
    int code = CLI_DONE;
    ng_spec_text(&s->spec, text);
    ng_program_footprint(&s->program, &row, &shared);
    printf("%s\n%zu bytes a row, %zu shared by all rows; ISA level %s; %d thread%s\n", text, row,
           shared, s->cpu->isa->name, s->threads, s->threads == 1 ? "" : "s");
    if (s->choices.ignored)
        printf("%zu stored schedules are ignored, the last because %s\n", s->choices.ignored,
               s->choices.why);
    for (int r = 0; r < NG_REGIME_COUNT && code == CLI_DONE; r++) {
        putchar('\n');
        code = print_regime(s, r);
    }
    return code;
}

static void json_choice(state *s, const ng_choice *c, const char *slot) {
    char text[NG_SCHEDULE_TEXT];
    ng_schedule_text(&s->program, &c->schedule, text);
    cli_json_open(s->json, slot, '{');
    cli_json_text(s->json, "schedule", text);
    cli_json_text(s->json, "from", ng_rung_names[c->rung]);
    if (c->rung != NG_RUNG_DEFAULT) {
        cli_json_text(s->json, "machine", c->found.machine);
        cli_json_text(s->json, "spec", c->found.spec);
        cli_json_decimal(s->json, "ns_per_row", c->found.winner.ns);
    }
    cli_json_close(s->json);
}

static int print_json(state *s) {
    char text[NORMGEN_SPEC_TEXT];
    normgen_status st = NORMGEN_OK;
    ng_spec_text(&s->spec, text);
    for (int r = 0; r < NG_REGIME_COUNT && st == NORMGEN_OK; r++) {
        size_t first, last;
        cli_json json;
        if (!row_range(s, r, &first, &last)) continue;
        s->json = &json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "spec", text);
        cli_json_text(&json, "regime", ng_regime_names[r]);
        cli_json_integer(&json, "first_rows", (int64_t)first);
        if (last != SIZE_MAX) cli_json_integer(&json, "last_rows", (int64_t)last);
        for (int slot = 0; slot <= NG_SLOT_CACHED; slot++)
            json_choice(s, &s->choices.at[r][slot], ng_slot_names[slot]);
        const ng_choice *any = &s->choices.at[r][NG_SLOT_ANY];
        cli_json_open(&json, "trials", '[');
        if (any->rung < NG_RUNG_SHIPPED) st = each_trial(s, &any->found, json_trial);
        cli_json_end(&json);
    }
    return st == NORMGEN_OK ? CLI_DONE : cli_failed(NULL);
}

/* No store is as good as an empty one, unless it was asked for by name. */
static int open_store(state *s) {
    char path[CLI_STORE_PATH];
    int code = cli_store_path(s->args, path);
    if (code == CLI_DONE && !s->args->db && cli_store_missing(path)) return CLI_DONE;
    return code == CLI_DONE ? cli_store_open(s->args, NG_STORE_READ, path, &s->store) : code;
}

static int explain(state *s) {
    ng_program_build(&s->program, &s->spec);
    if (s->cpu->isa->max_vec == 0) {
        printf("ISA level %s has no generated code: the interpreter serves every call\n",
               s->cpu->isa->name);
        return CLI_DONE;
    }
    int code = open_store(s);
    if (code != CLI_DONE) return code;
    const ng_gen_table *gen = ng_gen();
    if (ng_choose(s->store, s->cpu, &s->spec, &s->program, gen ? gen->toolchain : NULL, s->threads,
                  &s->choices) != NORMGEN_OK)
        code = cli_failed(NULL);
    else
        code = s->args->json ? print_json(s) : print_text(s);
    if (!gen && code == CLI_DONE)
        fprintf(stderr, "normgen: warning: calls are served by the interpreter: %s\n",
                ng_gen() ? "" : normgen_error());
    ng_store_close(s->store);
    return code;
}

static int run(const cli_args *args) {
    state s = {.args = args, .threads = args->threads ? (int)args->threads : 1};
    if (ng_cpu_host(&s.cpu) != NORMGEN_OK) return cli_failed(NULL);
    int code = cli_spec_read(args, &s.spec);
    return code == CLI_DONE ? explain(&s) : code;
}

static const cli_option options[] = {
    CLI_OPTION_THREADS,
    {"trials", 0, CLI_INTEGER, offsetof(cli_args, trials), "N", NULL, 1, 100000,
     "how many trials are shown for each regime (default 5)"},
    CLI_OPTIONS_SPEC,
    CLI_OPTION_DB,
    CLI_OPTION_JSON,
    {0},
};

const cli_verb cli_verb_explain = {
    "explain",
    "SPEC",
    "Explain which schedule a spec runs with, and why",
    CLI_SPEC_HELP
    "\nFor each regime: the row counts that fall in it, the schedule for calls whose addresses "
    "allow\n"
    "everything (any) and for all others (cached), the place it was found, and the trials there.\n",
    options,
    true,
    NULL,
    0,
    64,
    run,
};
