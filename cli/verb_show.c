/* SPDX-License-Identifier: Apache-2.0 */
/* normgen show: a spec, its row program, a schedule and the code they become. */
#include "verbs.h"

#include "choose.h"
#include "gentable.h"
#include "listing.h"
#include "specargs.h"
#include "storearg.h"

#include <stdlib.h>
#include <string.h>

typedef struct view {
    normgen_spec spec;
    ng_program program;
    const ng_isa *isa;
    ng_schedule schedule;
    bool scheduled; /* false: the level has no generated code */
    const char *from;
} view;

static int pick_isa(const cli_args *args, const ng_cpu *cpu, view *v) {
    v->isa = args->isa ? ng_isa_find(args->isa) : cpu->isa;
    if (v->isa) return CLI_DONE;
    char names[256] = "";
    for (size_t i = 0, at = 0; i < ng_isa_count && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, " %s", ng_isas[i].name);
    return cli_usage_error(args->verb, "--isa: '%.60s' is no ISA level; there are%s", args->isa,
                           names);
}

/* The winner of l2 if this machine's store has one, else the default. */
static void choose_schedule(const cli_args *args, const ng_cpu *cpu, view *v) {
    char path[CLI_STORE_PATH];
    ng_store *store = NULL;
    ng_choices choices;
    bool stored = false;
    v->from = "the default for l2";
    ng_regime_default_schedule(&v->program, cpu, v->isa, NG_L2, &v->schedule);
    if (v->isa != cpu->isa) return;
    if (args->db)
        stored = snprintf(path, sizeof path, "%s", args->db) > 0;
    else
        stored = ng_store_default_path(path, sizeof path) == NORMGEN_OK;
    if (stored && !cli_store_missing(path)) ng_store_open(path, NG_STORE_READ, &store);
    if (ng_choose(store, cpu, &v->spec, &v->program, NULL, 1, &choices) == NORMGEN_OK &&
        choices.at[NG_L2][NG_SLOT_ANY].rung != NG_RUNG_DEFAULT) {
        v->schedule = choices.at[NG_L2][NG_SLOT_ANY].schedule;
        v->from = choices.at[NG_L2][NG_SLOT_ANY].rung == NG_RUNG_SHIPPED ? "a shipped one for l2"
                                                                         : "the stored one for l2";
    }
    ng_store_close(store);
}

static int pick_schedule(const cli_args *args, const ng_cpu *cpu, view *v) {
    char reason[NG_SCHEDULE_TEXT];
    v->scheduled = v->isa->max_vec > 0;
    if (!args->schedule) {
        if (v->scheduled) choose_schedule(args, cpu, v);
        return CLI_DONE;
    }
    v->from = "given";
    if (ng_schedule_parse(&v->program, args->schedule, &v->schedule) != NORMGEN_OK)
        return cli_usage_error(args->verb, "--schedule: %s", normgen_error());
    if (!ng_schedule_legal(&v->program, v->isa, &v->schedule, reason))
        return cli_usage_error(args->verb, "--schedule: it is not legal on %s: %s", v->isa->name,
                               reason);
    return CLI_DONE;
}

static void print_listing(const view *v, const char *prefix) {
    char text[NORMGEN_SPEC_TEXT], schedule[NG_SCHEDULE_TEXT];
    ng_spec_text(&v->spec, text);
    printf("%sspec\n%s  %s\n", prefix, prefix, text);
    cli_listing_print(&v->program, prefix, stdout);
    printf("%sISA level\n%s  %s\n", prefix, prefix, v->isa->name);
    if (!v->scheduled) {
        printf("%sschedule\n%s  none: the interpreter serves this level\n", prefix, prefix);
        return;
    }
    ng_schedule_text(&v->program, &v->schedule, schedule);
    printf("%sschedule (%s)\n%s  %s\n", prefix, v->from, prefix, schedule);
}

static int print_code(const cli_args *args, const view *v) {
    char *code = NULL;
    if (!v->scheduled)
        return cli_error("%s has no generated code: the interpreter serves it; choose another "
                         "level with --isa",
                         v->isa->name);
    const ng_gen_table *gen = ng_gen();
    if (!gen) return cli_failed(NULL);
    ng_view kind = args->ir ? NG_VIEW_IR : NG_VIEW_ASM;
    if (gen->show(&v->program, &v->schedule, v->isa, kind, &code) != NORMGEN_OK)
        return cli_failed(gen->error());
    const char *comment = args->ir ? "; " : v->isa->arch == NG_AARCH64 ? "// " : "# ";
    print_listing(v, comment);
    fputs(code, stdout);
    free(code);
    return CLI_DONE;
}

static int run(const cli_args *args) {
    view v = {0};
    const ng_cpu *cpu;
    if (args->ir && args->assembly)
        return cli_usage_error(args->verb, "--ir and --asm exclude each other");
    if (ng_cpu_host(&cpu) != NORMGEN_OK) return cli_failed(NULL);
    int code = cli_spec_read(args, &v.spec);
    if (code != CLI_DONE) return code;
    ng_program_build(&v.program, &v.spec);
    code = pick_isa(args, cpu, &v);
    if (code == CLI_DONE) code = pick_schedule(args, cpu, &v);
    if (code != CLI_DONE) return code;
    if (args->ir || args->assembly) return print_code(args, &v);
    print_listing(&v, "");
    return CLI_DONE;
}

static const cli_option options[] = {
    {"schedule", 0, CLI_TEXT, offsetof(cli_args, schedule), "TEXT", NULL, 0, 0,
     "canonical text of a schedule (default: the stored one for l2, else the default)"},
    {"isa", 0, CLI_TEXT, offsetof(cli_args, isa), "NAME", NULL, 0, 0,
     "ISA level (default: this machine's; `normgen cpu` lists them)"},
    {"ir", 0, CLI_FLAG, offsetof(cli_args, ir), NULL, NULL, 0, 0, "also the LLVM IR of the kernel"},
    {"asm", 0, CLI_FLAG, offsetof(cli_args, assembly), NULL, NULL, 0, 0,
     "also its machine code, disassembled"},
    CLI_OPTIONS_SPEC,
    CLI_OPTION_DB,
    {0},
};

const cli_verb cli_verb_show = {
    "show",
    "SPEC",
    "Show a spec, its row program, a schedule and their code",
    CLI_SPEC_HELP "\nexample: normgen show --hidden 4096 --asm\n",
    options,
    true,
    NULL,
    0,
    64,
    run,
};
