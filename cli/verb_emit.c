/* SPDX-License-Identifier: Apache-2.0 */
/* normgen emit: hands the generator what the command line asks for. */
#include "verbs.h"

#include "gentable.h"
#include "json.h"
#include "specargs.h"
#include "storearg.h"

#include <string.h>

#define DEFAULT_PREFIX "norms"
#define ISAS_TEXT 512

/* All levels of this machine's architecture that have generated code. */
static const char *default_isas(char text[ISAS_TEXT]) {
    const ng_cpu *cpu;
    size_t at = 0;
    text[0] = 0;
    ng_cpu_host(&cpu);
    for (size_t i = 0; i < ng_isa_count && at < ISAS_TEXT; i++)
        if (ng_isas[i].arch == cpu->arch && ng_isas[i].max_vec)
            at +=
                (size_t)snprintf(text + at, ISAS_TEXT - at, "%s%s", at ? "," : "", ng_isas[i].name);
    return text;
}

/* A store that was not asked for may be missing. */
static int find_store(const cli_args *args, char *path, const char **store) {
    int code = cli_store_path(args, path);
    *store = path;
    if (code == CLI_DONE && !cli_store_missing(path)) return CLI_DONE;
    *store = NULL;
    if (args->db || args->tuned)
        return code == CLI_DONE
                   ? cli_error("%s: there is no store yet; `normgen tune` makes one", path)
                   : code;
    return CLI_DONE;
}

static void print_note(void *ctx, const char *line) {
    (void)ctx;
    fprintf(stderr, "normgen: note: %s\n", line);
}

static void report(const cli_args *args, const ng_emit_request *r) {
    if (!args->json) {
        printf("%s: %zu spec%s, %zu kernels, %s, %.1f KB of libraries\n", r->folder, r->spec_count,
               r->spec_count == 1 ? "" : "s", r->kernel_count, r->isas,
               (double)r->library_bytes / 1000);
        return;
    }
    cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "folder", r->folder);
    cli_json_text(&json, "prefix", r->prefix);
    cli_json_integer(&json, "specs", (int64_t)r->spec_count);
    cli_json_integer(&json, "kernels", (int64_t)r->kernel_count);
    cli_json_integer(&json, "library_bytes", (int64_t)r->library_bytes);
    cli_json_end(&json);
}

static int emit(const cli_args *args, const ng_gen_table *gen, const ng_spec_list *specs) {
    char path[CLI_STORE_PATH], isas[ISAS_TEXT];
    const char *store;
    int code = find_store(args, path, &store);
    if (code != CLI_DONE) return code;
    ng_emit_request request = {.specs = specs,
                               .isas = args->isa ? args->isa : default_isas(isas),
                               .folder = args->output,
                               .prefix = args->prefix ? args->prefix : DEFAULT_PREFIX,
                               .regimes = args->regimes,
                               .store = store,
                               .tuned = args->tuned,
                               .shared = args->shared,
                               .baseline = !args->no_baseline,
                               .note = print_note};
    normgen_status st = gen->emit(&request);
    if (st == NORMGEN_E_ARGUMENT) return cli_usage_error(args->verb, "%s", gen->error());
    if (st != NORMGEN_OK) return cli_failed(gen->error());
    report(args, &request);
    return CLI_DONE;
}

static int run(const cli_args *args) {
    ng_spec_list specs = {0};
    if (!args->output)
        return cli_usage_error(args->verb, "no output folder is given; for example: -o bundle");
    int code = cli_specs_read(args, args->tuned, &specs);
    const ng_gen_table *gen = code == CLI_DONE ? ng_gen() : NULL;
    if (code == CLI_DONE && !gen) code = cli_error("emitting: %s", normgen_error());
    if (code == CLI_DONE) code = emit(args, gen, &specs);
    ng_spec_list_fini(&specs);
    return code;
}

static const cli_option options[] = {
    {"out", 'o', CLI_TEXT, offsetof(cli_args, output), "DIR", NULL, 0, 0,
     "the bundle's folder; one that holds an earlier bundle is replaced as a whole"},
    {"isa", 0, CLI_TEXT, offsetof(cli_args, isa), "NAMES", NULL, 0, 0,
     "ISA levels with commas, also of another architecture (default: all of this one's)"},
    {"prefix", 0, CLI_TEXT, offsetof(cli_args, prefix), "NAME", NULL, 0, 0,
     "of the library, the header and all symbols (default " DEFAULT_PREFIX ")"},
    {"regimes", 0, CLI_TEXT, offsetof(cli_args, regimes), "NAMES", NULL, 0, 0,
     "those with schedules of their own, with commas (default l1,l2,llc,dram)"},
    {"tuned", 0, CLI_FLAG, offsetof(cli_args, tuned), NULL, NULL, 0, 0,
     "all specs that the store has winners of, too"},
    {"shared", 0, CLI_FLAG, offsetof(cli_args, shared), NULL, NULL, 0, 0,
     "a shared library, too, by the system's linker ($LD)"},
    {"no-baseline", 0, CLI_FLAG, offsetof(cli_args, no_baseline), NULL, NULL, 0, 0,
     "nothing for x86-64 processors without FMA"},
    CLI_OPTIONS_SPEC,
    CLI_OPTION_DB,
    CLI_OPTION_JSON,
    {0},
};

const cli_verb cli_verb_emit = {
    "emit",
    "SPEC… -o DIR",
    "Write a library, a header and a manifest that need nothing at run time",
    CLI_SPEC_HELP
    "\n"
    "DIR gets:\n"
    "  include/NAME.h         one struct and two functions for each spec, for C and C++\n"
    "  lib/ARCH/libNAME.a     kernels for every level, and what picks one by CPU and size;\n"
    "                         ARCH is x86_64 or aarch64\n"
    "  lib/ARCH/pkgconfig, lib/cmake\n"
    "                         for pkg-config and find_package(NAME): target NAME::NAME\n"
    "  manifest.json          specs, schedules and where they were tuned, digests\n"
    "Schedules are the store's winners for each level where it has them, else predicted ones.\n"
    "The same input gives the same bytes. Header and library of different runs link only if\n"
    "their functions are the same.\n\n"
    "example: normgen emit specs/llama.lua --name llama3_8b_bf16 -o bundle\n"
    "         cc main.c -Ibundle/include bundle/lib/x86_64/libnorms.a\n",
    options,
    true,
    NULL,
    0,
    SIZE_MAX,
    run,
};
