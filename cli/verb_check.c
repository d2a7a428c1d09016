/* SPDX-License-Identifier: Apache-2.0 */
/* normgen check: compares this machine's interpreter with the baseline one, then the kernels of a
 * sample of schedules on every ISA level with the interpreter. Says how much it compared. */
#include "verbs.h"

#include "error.h"
#include "gentable.h"
#include "interpcheck.h"
#include "interrupt.h"
#include "json.h"
#include "specargs.h"

#include <string.h>

enum { SCHEDULES = 32 };

typedef struct counts {
    int64_t compared, kernels, failed;
    bool json;
} counts;

static void tell(const counts *c, const char *line) {
    cli_json json;
    if (!c->json) {
        printf("%s\n", line);
        return;
    }
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "event", "failure");
    cli_json_text(&json, "text", line);
    cli_json_end(&json);
}

static void failure(void *ctx, const char *line) { tell(ctx, line); }

static normgen_status check_interpreter(const ng_cpu *cpu, const cli_args *args,
                                        const normgen_spec *spec, counts *c) {
    cli_interp_check r;
    char text[NORMGEN_SPEC_TEXT], line[NORMGEN_SPEC_TEXT + 128];
    normgen_status st = cli_interp_compare(cpu, spec, args->seed, &r);
    if (st == NORMGEN_E_MEMORY) return ng_fail(st, "out of memory for the rows of a case");
    if (st != NORMGEN_OK) return st;
    c->compared += r.compared;
    c->failed += r.failed;
    if (r.failed == 0) return NORMGEN_OK;
    ng_spec_text(spec, text);
    snprintf(line, sizeof line,
             "%s: the interpreter of %s differs from the baseline one in %s, row %zu, seed %lld",
             text, cpu->isa->name, r.first, r.row, (long long)args->seed);
    tell(c, line);
    return NORMGEN_OK;
}

static normgen_status check_kernels(const ng_gen_table *gen, const cli_args *args,
                                    const normgen_spec *spec, counts *c) {
    ng_check_request request = {.spec = spec,
                                .schedule = args->schedule,
                                .schedules = args->schedules ? args->schedules : SCHEDULES,
                                .seed = args->seed,
                                .stop = &cli_stop,
                                .failure = failure,
                                .ctx = c};
    normgen_status st = gen->check(&request);
    c->compared += request.compared;
    c->kernels += request.kernels;
    c->failed += request.failed;
    return st;
}

static void report(const counts *c, size_t specs, const char *without) {
    cli_json json;
    if (!c->json) {
        printf("%lld comparisons of %lld kernels and the interpreter, %zu spec%s: %lld failed\n",
               (long long)c->compared, (long long)c->kernels, specs, specs == 1 ? "" : "s",
               (long long)c->failed);
        if (without) printf("no kernels were compared: %s\n", without);
        return;
    }
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "event", "done");
    cli_json_integer(&json, "specs", (int64_t)specs);
    cli_json_integer(&json, "compared", c->compared);
    cli_json_integer(&json, "kernels", c->kernels);
    cli_json_integer(&json, "failed", c->failed);
    cli_json_end(&json);
}

static int outcome(const counts *c, normgen_status st, const char *detail) {
    if (st == NORMGEN_E_INTERRUPTED) {
        cli_error("interrupted; the counts are of what was done");
        return cli_stop ? CLI_SIGNAL + cli_stop : CLI_FAILED;
    }
    if (st != NORMGEN_OK) return cli_failed(detail);
    return c->failed ? CLI_FAILED : CLI_DONE;
}

static int check(const cli_args *args, const ng_cpu *cpu, const ng_spec_list *specs) {
    counts c = {.json = args->json != 0};
    char without[NG_ERROR_TEXT] = "", detail[NG_ERROR_TEXT] = "";
    const ng_gen_table *gen = ng_gen();
    if (!gen) snprintf(without, sizeof without, "%s", normgen_error());
    if (!gen && args->schedule) return cli_failed(without);
    normgen_status st = NORMGEN_OK;
    cli_interrupt_catch();
    for (size_t i = 0; i < specs->count && st == NORMGEN_OK; i++) {
        const normgen_spec *spec = &specs->items[i].spec;
        st = check_interpreter(cpu, args, spec, &c);
        if (st != NORMGEN_OK)
            snprintf(detail, sizeof detail, "%s", normgen_error());
        else if (gen && (st = check_kernels(gen, args, spec, &c)) != NORMGEN_OK)
            snprintf(detail, sizeof detail, "%s", gen->error());
        if (cli_stop && st == NORMGEN_OK) st = NORMGEN_E_INTERRUPTED;
    }
    report(&c, specs->count, gen ? NULL : without);
    return outcome(&c, st, detail);
}

static int run(const cli_args *args) {
    ng_spec_list specs = {0};
    const ng_cpu *cpu;
    if (ng_cpu_host(&cpu) != NORMGEN_OK) return cli_failed(NULL);
    int code = cli_specs_read(args, false, &specs);
    if (code == CLI_DONE) code = check(args, cpu, &specs);
    ng_spec_list_fini(&specs);
    return code;
}

static const cli_option options[] = {
    {"schedule", 0, CLI_TEXT, offsetof(cli_args, schedule), "TEXT", NULL, 0, 0,
     "only this schedule (default: a sample of the legal ones)"},
    {"schedules", 0, CLI_INTEGER, offsetof(cli_args, schedules), "N", NULL, 1, 1000000,
     "how many schedules are sampled for each spec and ISA level (default 32)"},
    CLI_OPTION_SEED,
    CLI_OPTIONS_SPEC,
    CLI_OPTION_JSON,
    {0},
};

const cli_verb cli_verb_check = {
    "check",
    "SPEC…",
    "Compare kernels with the interpreter, bit for bit",
    CLI_SPEC_HELP "Sampled schedules x the ISA levels of this machine x awkward input. Exit code 1 "
                  "when anything\n"
                  "differs; each difference is a line that names the case.\n",
    options,
    true,
    NULL,
    0,
    SIZE_MAX,
    run,
};
