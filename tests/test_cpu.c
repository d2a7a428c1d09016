/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about the machine: against the system's own description, under every cap, and for
 * made-up machines. Every test runs in a process of its own, so each detects anew. */
#include "cpu.h"

#include "call.h"
#include "spec.h"

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const ng_cpu *host(void) {
    const ng_cpu *cpu;
    ck_assert_msg(ng_cpu_host(&cpu) == NORMGEN_OK, "%s", normgen_error());
    return cpu;
}

/* ---- tables ---- */

START_TEST(levels_of_an_architecture_grow) {
    for (size_t i = 0; i < ng_isa_count; i++) {
        const ng_isa *isa = &ng_isas[i], *next = isa + 1;
        ck_assert_ptr_eq(ng_isa_find(isa->name), isa);
        ck_assert_msg(isa->max_vec == 0 || (isa->max_vec >= 128 && isa->max_vec <= 512), "%s",
                      isa->name);
        ck_assert(isa->llvm_cpu && isa->llvm_features && isa->triple);
        if (i + 1 == ng_isa_count || next->arch != isa->arch) continue;
        ck_assert_msg((isa->required & ~next->required) == 0 && isa->required != next->required,
                      "%s and %s", isa->name, next->name);
        ck_assert_msg(isa->max_vec <= next->max_vec, "%s and %s", isa->name, next->name);
    }
    ck_assert_ptr_null(ng_isa_find("x86-64-v9"));
    ck_assert_ptr_null(ng_isa_find(""));
}
END_TEST

START_TEST(features_are_named_once) {
    for (int i = 0; i < NG_FEATURE_COUNT; i++)
        for (int j = 0; j < i; j++) ck_assert_str_ne(ng_feature_names[i], ng_feature_names[j]);
}
END_TEST

/* ---- this machine ---- */

/* Whether the word stands in the flags of the system's description of the processors; -1 when there
 * is none. The system lists only what it has enabled. */
static int system_flag(const char *word) {
    FILE *f = fopen("/proc/cpuinfo", "re");
    static char line[16384];
    int found = -1;
    while (f && found < 0 && fgets(line, sizeof line, f)) {
        if (strncmp(line, "flags", 5) != 0 && strncmp(line, "Features", 8) != 0) continue;
        char *save = NULL;
        found = 0;
        for (char *t = strtok_r(line, " \t\n:", &save); t; t = strtok_r(NULL, " \t\n:", &save))
            found = found || strcmp(t, word) == 0;
    }
    if (f) fclose(f);
    return found;
}

START_TEST(features_are_those_the_system_lists) {
    const ng_cpu *cpu = host();
    for (int i = 0; i < NG_FEATURE_COUNT; i++) {
        const char *name = ng_feature_names[i];
        if (strcmp(name, "avx512bf16") == 0) name = "avx512_bf16";
        if (strcmp(name, "neon") == 0) name = "asimd";
        int listed = system_flag(name);
        if (listed < 0) {
            printf("not run: features against /proc/cpuinfo (it cannot be read)\n");
            return;
        }
        ck_assert_msg(listed == (int)(cpu->detected >> i & 1u), "%s: listed %d, detected %d", name,
                      listed, (int)(cpu->detected >> i & 1u));
    }
}
END_TEST

START_TEST(the_host_is_plausible) {
    const ng_cpu *cpu = host(), *again = host();
    ck_assert_ptr_eq(cpu, again);
    ck_assert(ng_cpu_runs(cpu, cpu->isa));
    ck_assert_uint_eq(cpu->features, cpu->detected);
    ck_assert_ptr_null(cpu->cap);
    ck_assert_uint_ge(cpu->l1d, 8u << 10);
    ck_assert_uint_ge(cpu->l2, cpu->l1d);
    ck_assert_uint_ge(cpu->llc, cpu->l2);
    ck_assert_int_ge(cpu->cores, 1);
    ck_assert_int_le(cpu->cores, (int)sysconf(_SC_NPROCESSORS_CONF));
    ck_assert_uint_gt(strlen(cpu->vendor), 0);
}
END_TEST

START_TEST(the_interpreter_of_the_host_runs) {
    const ng_cpu *cpu = host();
    float x[3] = {3, 4, 0}, w[3] = {1, 1, 1}, y[3] = {0};
    normgen_spec spec;
    ng_program program;
    normgen_args args = NORMGEN_ARGS;
    normgen_bound_args bound;
    ck_assert_int_eq(normgen_spec_parse(&spec, "rms hidden=3 eps=0"), NORMGEN_OK);
    ng_program_build(&program, &spec);
    args.rows = 1, args.x = x, args.y = y, args.weight = w;
    ck_assert_int_eq(ng_bind(&program, &args, &bound), NORMGEN_OK);
    cpu->interp(&program, &bound, 0, 1);
    ck_assert(y[0] > 1.03f && y[0] < 1.04f && y[2] == 0);
}
END_TEST

/* ---- caps ---- */

/* The host as a process with NORMGEN_ISA sees it. Check has forked, so nothing was detected yet. */
static const ng_cpu *capped(const char *cap, normgen_status *status) {
    const ng_cpu *cpu;
    setenv("NORMGEN_ISA", cap, 1);
    *status = ng_cpu_host(&cpu);
    return cpu;
}

START_TEST(a_cap_limits_features_level_and_interpreter) { /* _i: the level */
    const ng_isa *isa = &ng_isas[_i];
    normgen_status status;
    const ng_cpu *cpu = capped(isa->name, &status);
    if (isa->arch != cpu->arch) {
        ck_assert_msg(status == NORMGEN_E_ARGUMENT, "%s", isa->name);
        return;
    }
    ck_assert_msg(status == NORMGEN_OK, "%s: %s", isa->name, normgen_error());
    ck_assert_uint_eq(cpu->features, cpu->detected & isa->required);
    ck_assert(ng_cpu_runs(cpu, cpu->isa));
    ck_assert_msg(cpu->isa <= isa, "%s gives %s", isa->name, cpu->isa->name);
    if ((isa->required & ~cpu->detected) == 0) ck_assert_ptr_eq(cpu->isa, isa);
    if (isa->required == 0) ck_assert(cpu->interp == ng_interp_baseline);
    ck_assert_str_eq(cpu->cap, isa->name);
    char text[NG_MACHINE_TEXT];
    ng_cpu_machine_text(cpu, text);
    ck_assert_ptr_nonnull(strstr(text, cpu->isa->name));
}
END_TEST

START_TEST(a_wrong_cap_is_an_error_that_lists_the_right_ones) {
    static const char *const wrong[] = {
        "avx512",   "X86-64-V3", "x86-64-v3 ",
        "x86-64-v", "best",      "a value much longer than any name of any level will be"};
    normgen_status status;
    const ng_cpu *cpu = capped(wrong[_i], &status);
    ck_assert_int_eq(status, NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "NORMGEN_ISA"));
    ck_assert_ptr_nonnull(strstr(normgen_error(), wrong[_i]));
    for (size_t i = 0; i < ng_isa_count; i++)
        if (ng_isas[i].arch == cpu->arch)
            ck_assert_msg(strstr(normgen_error(), ng_isas[i].name) != NULL, "%s", normgen_error());
    ck_assert_uint_eq(cpu->features, cpu->detected); /* usable all the same, uncapped */
    ck_assert(ng_cpu_runs(cpu, cpu->isa));
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_E_ARGUMENT); /* not only the first time */
}
END_TEST

START_TEST(an_empty_cap_is_none) {
    normgen_status status;
    const ng_cpu *cpu = capped("", &status);
    ck_assert_int_eq(status, NORMGEN_OK);
    ck_assert_ptr_null(cpu->cap);
}
END_TEST

/* ---- made-up machines ---- */

#define BIT(name) (1u << NG_FEATURE_##name)

static ng_cpu made_up(const char *vendor, int family, int model, const char *level) {
    ng_cpu cpu = {.arch = NG_X86_64, .family = family, .model = model, .stepping = 1};
    snprintf(cpu.vendor, sizeof cpu.vendor, "%s", vendor);
    cpu.isa = ng_isa_find(level);
    cpu.detected = cpu.features = cpu.isa->required;
    cpu.l1d = 48u << 10, cpu.l2 = 1280u << 10, cpu.llc = 24u << 20, cpu.cores = 8;
    return cpu;
}

START_TEST(machine_text_has_one_form) {
    ng_cpu cpu = made_up("GenuineIntel", 6, 106, "x86-64-v4");
    char text[NG_MACHINE_TEXT];
    ng_cpu_machine_text(&cpu, text);
    ck_assert_str_eq(text, "x86_64 GenuineIntel/6/106/1 isa=x86-64-v4 l1d=48K l2=1280K llc=24M");
    cpu = made_up("0x41", 15, 0xd0c, "aarch64");
    cpu.arch = NG_AARCH64;
    ng_cpu_machine_text(&cpu, text);
    ck_assert_str_eq(text, "aarch64 0x41/15/3340/1 isa=aarch64 l1d=48K l2=1280K llc=24M");
}
END_TEST

START_TEST(machine_text_tells_neither_host_nor_brand) {
    char text[NG_MACHINE_TEXT], name[256] = "";
    const ng_cpu *cpu = host();
    ng_cpu_machine_text(cpu, text);
    gethostname(name, sizeof name - 1);
    if (name[0]) ck_assert_msg(!strstr(text, name), "%s", text);
    if (cpu->brand[0]) ck_assert_msg(!strstr(text, cpu->brand), "%s", text);
}
END_TEST

START_TEST(a_level_runs_only_with_all_its_features) {
    ng_cpu cpu = made_up("GenuineIntel", 6, 106, "x86-64-v4");
    ck_assert(ng_cpu_runs(&cpu, ng_isa_find("x86-64")));
    ck_assert(ng_cpu_runs(&cpu, ng_isa_find("x86-64-v4")));
    ck_assert(!ng_cpu_runs(&cpu, ng_isa_find("x86-64-v4+bf16")));
    ck_assert(!ng_cpu_runs(&cpu, ng_isa_find("aarch64")));
    cpu.features &= ~BIT(avx512vl);
    ck_assert(!ng_cpu_runs(&cpu, ng_isa_find("x86-64-v4")));
    ck_assert(ng_cpu_runs(&cpu, ng_isa_find("x86-64-v3")));
    cpu = made_up("GenuineIntel", 6, 85, "x86-64-v4+bf16");
    ck_assert(ng_cpu_runs(&cpu, ng_isa_find("x86-64-v4+bf16")));
    cpu.features &= ~BIT(avx512vbmi); /* Cooper Lake */
    ck_assert(!ng_cpu_runs(&cpu, ng_isa_find("x86-64-v4+bf16")));
}
END_TEST

typedef struct sentences {
    char text[4096];
    int count;
} sentences;

static void collect(void *ctx, const char *sentence) {
    sentences *s = ctx;
    size_t at = strlen(s->text);
    snprintf(s->text + at, sizeof s->text - at, "%s\n", sentence);
    s->count++;
}

/* The machine is odd, and some sentence says `word`; "" means that nothing is odd. */
static void says(const ng_cpu *cpu, const char *word) {
    sentences s = {0};
    ng_cpu_oddities(cpu, collect, &s);
    if (*word)
        ck_assert_msg(strstr(s.text, word) != NULL, "'%s' is missing: %s", word, s.text);
    else
        ck_assert_msg(s.count == 0, "%s", s.text);
}

START_TEST(ordinary_machines_are_not_odd) {
    static const struct {
        const char *vendor;
        int family, model;
        const char *level;
    } known[] = {
        {"GenuineIntel", 6, 60, "x86-64-v3"},       {"GenuineIntel", 6, 85, "x86-64-v4"},
        {"GenuineIntel", 6, 85, "x86-64-v4+bf16"},  {"GenuineIntel", 6, 106, "x86-64-v4"},
        {"GenuineIntel", 6, 143, "x86-64-v4+bf16"}, {"GenuineIntel", 6, 154, "x86-64-v3"},
        {"AuthenticAMD", 23, 49, "x86-64-v3"},      {"AuthenticAMD", 25, 1, "x86-64-v3"},
        {"AuthenticAMD", 25, 17, "x86-64-v4+bf16"}, {"AuthenticAMD", 26, 2, "x86-64-v4+bf16"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ng_cpu cpu = made_up(known[i].vendor, known[i].family, known[i].model, known[i].level);
        says(&cpu, "");
    }
    ng_cpu cpu = made_up("GenuineIntel", 6, 106, "x86-64-v4"); /* Ice Lake moves bytes */
    cpu.detected |= BIT(avx512vbmi);
    says(&cpu, "");
}
END_TEST

START_TEST(masked_models_and_hidden_features_are_odd) {
    ng_cpu cpu = made_up("GenuineIntel", 6, 167, "x86-64-v4+bf16");
    says(&cpu, "Rocket Lake");
    cpu = made_up("AuthenticAMD", 25, 17, "x86-64-v3");
    says(&cpu, "hides");
    cpu = made_up("GenuineIntel", 6, 255, "x86-64-v4");
    says(&cpu, "not known");
    cpu = made_up("AuthenticAMD", 25, 1, "x86-64-v4");
    says(&cpu, "newer");
}
END_TEST

START_TEST(features_out_of_line_are_odd) {
    ng_cpu cpu = made_up("AuthenticAMD", 25, 17, "x86-64-v4+bf16");
    cpu.detected &= ~BIT(avx512vl);
    says(&cpu, "avx512bf16 without avx512vl");
    says(&cpu, "part of AVX-512");
    cpu.detected = ng_isa_find("x86-64-v4")->required & ~BIT(fma);
    says(&cpu, "without avx2, fma and f16c");
}
END_TEST

START_TEST(strange_caches_are_odd) {
    ng_cpu cpu = made_up("AuthenticAMD", 25, 17, "x86-64-v4+bf16");
    cpu.l1d = 0;
    says(&cpu, "L1 data");
    cpu.l1d = 32u << 10, cpu.l2 = 16u << 10;
    says(&cpu, "do not grow");
    cpu.l2 = 1u << 20, cpu.llc = (size_t)1 << 40;
    says(&cpu, "L3");
    cpu.llc = cpu.l2;
    says(&cpu, "beyond the L2");
}
END_TEST

START_TEST(caps_are_mentioned) {
    normgen_status status;
    const ng_cpu *cpu = capped(_i ? "nonsense" : ng_isas[0].name, &status);
    says(cpu, status != NORMGEN_OK ? "caps nothing" : "caps the instructions");
}
END_TEST

START_TEST(a_process_on_fewer_cores_is_told) {
    cpu_set_t one;
    int first = 0, online = (int)sysconf(_SC_NPROCESSORS_ONLN);
    ck_assert_int_eq(sched_getaffinity(0, sizeof one, &one), 0);
    while (!CPU_ISSET(first, &one)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(host()->cores, 1);
    if (online > 1) says(host(), "1 of the");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cpu");
    TCase *tc = tcase_create("cpu");
    tcase_add_test(tc, levels_of_an_architecture_grow);
    tcase_add_test(tc, features_are_named_once);
    tcase_add_test(tc, features_are_those_the_system_lists);
    tcase_add_test(tc, the_host_is_plausible);
    tcase_add_test(tc, the_interpreter_of_the_host_runs);
    tcase_add_loop_test(tc, a_cap_limits_features_level_and_interpreter, 0, (int)ng_isa_count);
    tcase_add_loop_test(tc, a_wrong_cap_is_an_error_that_lists_the_right_ones, 0, 6);
    tcase_add_test(tc, an_empty_cap_is_none);
    tcase_add_test(tc, machine_text_has_one_form);
    tcase_add_test(tc, machine_text_tells_neither_host_nor_brand);
    tcase_add_test(tc, a_level_runs_only_with_all_its_features);
    tcase_add_test(tc, ordinary_machines_are_not_odd);
    tcase_add_test(tc, masked_models_and_hidden_features_are_odd);
    tcase_add_test(tc, features_out_of_line_are_odd);
    tcase_add_test(tc, strange_caches_are_odd);
    tcase_add_loop_test(tc, caps_are_mentioned, 0, 2);
    tcase_add_test(tc, a_process_on_fewer_cores_is_told);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    unsetenv("NORMGEN_ISA");
    srunner_set_fork_status(runner, CK_FORK); /* the host is detected once per process */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
