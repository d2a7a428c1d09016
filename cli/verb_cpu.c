/* SPDX-License-Identifier: Apache-2.0 */
/* normgen cpu: what was detected, what it is called in the store, what runs here, what looks wrong.
 */
#include "verbs.h"

#include "json.h"
#include "regime.h"
#include "columns.h"

static void print_bytes(cli_table *t, const char *name, size_t bytes) {
    cli_table_add(t, "%s", name);
    static const char units[] = "KMGT";
    double amount = (double)bytes / 1024;
    size_t unit = 0;
    for (; amount >= 1024 && unit < 3; unit++) amount /= 1024;
    cli_table_add(t, "%.4g %ciB", amount, units[unit]);
}

static void add_features(cli_table *t, const char *name, uint32_t features) {
    char text[256] = "";
    for (size_t i = 0, at = 0; i < NG_FEATURE_COUNT && at < sizeof text; i++)
        if (features >> i & 1u)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", at ? " " : "",
                                   ng_feature_names[i]);
    cli_table_add(t, "%s", name);
    cli_table_add(t, "%s", text);
}

static void print_machine(const ng_cpu *cpu) {
    char text[NG_MACHINE_TEXT];
    cli_table t;
    cli_table_init(&t, "ll");
    ng_cpu_machine_text(cpu, text);
    cli_table_add(&t, "processor");
    cli_table_add(&t, "%s", cpu->brand);
    cli_table_add(&t, "model");
    cli_table_add(&t, "%s family %d model %d stepping %d", cpu->vendor, cpu->family, cpu->model,
                  cpu->stepping);
    cli_table_add(&t, "cores");
    cli_table_add(&t, "%d", cpu->cores);
    print_bytes(&t, "L1d", cpu->l1d);
    print_bytes(&t, "L2", cpu->l2);
    print_bytes(&t, "LLC", cpu->llc);
    print_bytes(&t, "RAM", (size_t)ng_machine_ram());
    add_features(&t, "detected", cpu->detected);
    if (cpu->features != cpu->detected) add_features(&t, "used", cpu->features);
    cli_table_add(&t, "NORMGEN_ISA");
    cli_table_add(&t, "%s", cpu->cap ? cpu->cap : "not set");
    cli_table_add(&t, "machine");
    cli_table_add(&t, "%s", text);
    cli_table_print(&t, 0, stdout);
    cli_table_fini(&t);
}

static const char *isa_state(const ng_cpu *cpu, const ng_isa *isa) {
    if (!ng_cpu_runs(cpu, isa)) return "not on this machine";
    if (isa->max_vec == 0) return "runs here, by the interpreter";
    return isa == cpu->isa ? "runs here, used" : "runs here";
}

static void print_isas(const ng_cpu *cpu) {
    cli_table t;
    cli_table_init(&t, "lll");
    for (size_t i = 0; i < ng_isa_count; i++) {
        cli_table_add(&t, "%s", ng_isas[i].name);
        if (ng_isas[i].max_vec)
            cli_table_add(&t, "%d-bit vectors", ng_isas[i].max_vec);
        else
            cli_table_add(&t, "no generated code");
        cli_table_add(&t, "%s", isa_state(cpu, &ng_isas[i]));
    }
    puts("\nISA levels");
    cli_table_print(&t, 2, stdout);
    cli_table_fini(&t);
}

static void print_oddity(void *ctx, const char *sentence) {
    bool *first = ctx;
    if (*first) puts("\nwhat looks wrong");
    *first = false;
    printf("  %s\n", sentence);
}

static void json_oddity(void *ctx, const char *sentence) { cli_json_text(ctx, NULL, sentence); }

static void json_features(cli_json *json, const char *key, uint32_t features) {
    cli_json_open(json, key, '[');
    for (size_t i = 0; i < NG_FEATURE_COUNT; i++)
        if (features >> i & 1u) cli_json_text(json, NULL, ng_feature_names[i]);
    cli_json_close(json);
}

static void print_json(const ng_cpu *cpu) {
    char text[NG_MACHINE_TEXT];
    cli_json json;
    ng_cpu_machine_text(cpu, text);
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "machine", text);
    cli_json_text(&json, "brand", cpu->brand);
    cli_json_text(&json, "vendor", cpu->vendor);
    cli_json_integer(&json, "family", cpu->family);
    cli_json_integer(&json, "model", cpu->model);
    cli_json_integer(&json, "stepping", cpu->stepping);
    cli_json_integer(&json, "cores", cpu->cores);
    cli_json_integer(&json, "l1d", (int64_t)cpu->l1d);
    cli_json_integer(&json, "l2", (int64_t)cpu->l2);
    cli_json_integer(&json, "llc", (int64_t)cpu->llc);
    cli_json_integer(&json, "ram", (int64_t)ng_machine_ram());
    json_features(&json, "detected", cpu->detected);
    json_features(&json, "features", cpu->features);
    cli_json_text(&json, "cap", cpu->cap);
    cli_json_text(&json, "isa", cpu->isa->name);
    cli_json_open(&json, "runs", '[');
    for (size_t i = 0; i < ng_isa_count; i++)
        if (ng_cpu_runs(cpu, &ng_isas[i])) cli_json_text(&json, NULL, ng_isas[i].name);
    cli_json_close(&json);
    cli_json_open(&json, "oddities", '[');
    ng_cpu_oddities(cpu, json_oddity, &json);
    cli_json_end(&json);
}

static int run(const cli_args *args) {
    const ng_cpu *cpu;
    bool first = true;
    normgen_status st = ng_cpu_host(&cpu);
    if (st != NORMGEN_OK) return cli_failed(NULL);
    if (args->json) {
        print_json(cpu);
        return CLI_DONE;
    }
    print_machine(cpu);
    print_isas(cpu);
    ng_cpu_oddities(cpu, print_oddity, &first);
    return CLI_DONE;
}

static const cli_option options[] = {CLI_OPTION_JSON, {0}};

const cli_verb cli_verb_cpu = {
    "cpu", "",      "Say what was detected of this machine, and what looks wrong",
    NULL,  options, false,
    NULL,  0,       0,
    run,
};
