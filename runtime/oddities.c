/* SPDX-License-Identifier: Apache-2.0 */
/* What looks wrong with a machine, in sentences for people. Known models stand in a table; nothing
 * here asks the processor, and nothing is decided by it. */
#include "cpu_facts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Models of x86 processors: what the first and the last of that number could do, as levels. Says
 * when a model number and the features beside it do not go together. */
static const struct {
    const char *vendor;
    int family, first, last;
    const char *name, *least, *most;
} models[] = {
    {"GenuineIntel", 6, 60, 60, "Haswell", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 61, 61, "Broadwell", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 63, 63, "Haswell server", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 69, 71, "Haswell or Broadwell", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 78, 78, "Skylake", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 79, 79, "Broadwell server", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 85, 85, "Skylake to Cooper Lake server", "x86-64-v4", "x86-64-v4+bf16"},
    {"GenuineIntel", 6, 86, 86, "Broadwell server", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 94, 94, "Skylake", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 106, 108, "Ice Lake server", "x86-64-v4", "x86-64-v4"},
    {"GenuineIntel", 6, 125, 126, "Ice Lake", "x86-64-v4", "x86-64-v4"},
    {"GenuineIntel", 6, 140, 141, "Tiger Lake", "x86-64-v4", "x86-64-v4"},
    {"GenuineIntel", 6, 142, 142, "Kaby Lake", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 143, 143, "Sapphire Rapids", "x86-64-v4+bf16", "x86-64-v4+bf16"},
    {"GenuineIntel", 6, 151, 154, "Alder Lake", "x86-64-v3", "x86-64-v4+bf16"},
    {"GenuineIntel", 6, 158, 158, "Kaby or Coffee Lake", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 165, 166, "Comet Lake", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 167, 167, "Rocket Lake", "x86-64-v4", "x86-64-v4"},
    {"GenuineIntel", 6, 170, 172, "Meteor Lake", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 173, 174, "Granite Rapids", "x86-64-v4+bf16", "x86-64-v4+bf16"},
    {"GenuineIntel", 6, 175, 175, "Sierra Forest", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 183, 191, "Raptor or Lunar Lake", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 197, 198, "Arrow Lake", "x86-64-v3", "x86-64-v3"},
    {"GenuineIntel", 6, 207, 207, "Emerald Rapids", "x86-64-v4+bf16", "x86-64-v4+bf16"},
    {"AuthenticAMD", 23, 0, 255, "Zen to Zen 2", "x86-64-v3", "x86-64-v3"},
    {"HygonGenuine", 24, 0, 255, "Dhyana", "x86-64-v3", "x86-64-v3"},
    {"AuthenticAMD", 25, 0, 15, "Zen 3", "x86-64-v3", "x86-64-v3"},
    {"AuthenticAMD", 25, 16, 31, "Zen 4", "x86-64-v4+bf16", "x86-64-v4+bf16"},
    {"AuthenticAMD", 25, 32, 95, "Zen 3", "x86-64-v3", "x86-64-v3"},
    {"AuthenticAMD", 25, 96, 127, "Zen 4", "x86-64-v4+bf16", "x86-64-v4+bf16"},
    {"AuthenticAMD", 25, 160, 175, "Zen 4c", "x86-64-v4+bf16", "x86-64-v4+bf16"},
    {"AuthenticAMD", 26, 0, 255, "Zen 5", "x86-64-v4+bf16", "x86-64-v4+bf16"},
};

typedef struct report {
    void (*found)(void *ctx, const char *sentence);
    void *ctx;
} report;

static void tell(const report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(const report *r, const char *format, ...) {
    char text[320];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    r->found(r->ctx, text);
}

static void odd_features(const ng_cpu *cpu, const report *r) {
    uint32_t v4 = NG_NEEDS_V4 & ~NG_NEEDS_V3, has = cpu->detected & v4;
    if ((cpu->detected & NG_BIT(avx512bf16)) && !(cpu->detected & NG_BIT(avx512vl)))
        tell(r,
             "The processor claims avx512bf16 without avx512vl: bf16 instructions are not used.");
    if (has && has != v4)
        tell(r, "The processor claims only a part of AVX-512 (f, bw, cd, dq, vl belong together): "
                "AVX-512 is not used.");
    if (has && (cpu->detected & NG_NEEDS_V3) != NG_NEEDS_V3)
        tell(r, "The processor claims AVX-512 without avx2, fma and f16c: none of it is used.");
    if (cpu->arch == NG_AARCH64 && !(cpu->detected & NG_BIT(neon)))
        tell(r, "The system does not report NEON, which every aarch64 processor has.");
}

static void odd_model(const ng_cpu *cpu, const report *r) {
    if (cpu->arch != NG_X86_64) return;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        if (strcmp(models[i].vendor, cpu->vendor) != 0 || models[i].family != cpu->family ||
            cpu->model < models[i].first || cpu->model > models[i].last)
            continue;
        uint32_t least = ng_isa_find(models[i].least)->required;
        uint32_t most = ng_isa_find(models[i].most)->required;
        uint32_t telling = NG_NEEDS_V4 | NG_BIT(avx512bf16); /* avx512vbmi tells no level */
        if (cpu->detected & telling & ~most)
            tell(r,
                 "The model number is that of %s, but the features are newer (%s at most): a "
                 "hypervisor masks the model. Decisions follow the features.",
                 models[i].name, models[i].most);
        if (least & ~cpu->detected)
            tell(r,
                 "The model number is that of %s, which has %s, but not all of it is offered: a "
                 "hypervisor, the firmware or the system hides it.",
                 models[i].name, models[i].least);
        return;
    }
    tell(r,
         "Model %s/%d/%d is not known to this version: decisions follow its features, and tuning "
         "pays more than usual.",
         cpu->vendor, cpu->family, cpu->model);
}

static void odd_caches(const ng_cpu *cpu, const report *r) {
    static const char *const names[NG_CACHE_LEVELS] = {"L1 data", "L2", "L3"};
    size_t size[NG_CACHE_LEVELS] = {cpu->l1d, cpu->l2, cpu->llc};
    for (ng_cache l = NG_CACHE_L1D; l < NG_CACHE_LEVELS; l++)
        if (!ng_cache_plausible(l, size[l]))
            tell(r,
                 "The %s cache is said to have %zu bytes, which is not plausible: regimes may be "
                 "wrong.",
                 names[l], size[l]);
    if (cpu->l2 < cpu->l1d || cpu->llc < cpu->l2)
        tell(r, "Cache sizes do not grow from level to level: regimes may be wrong.");
    if (cpu->llc == cpu->l2)
        tell(r, "No cache beyond the L2 was found: the regime llc does not exist here.");
}

/* What only detection knows. */
static void odd_detection(const ng_cpu_facts *f, const report *r) {
    static const char *const names[NG_CACHE_LEVELS] = {"L1 data", "L2", "L3"};
    if (f->hypervisor)
        tell(r, "This is a virtual machine: model, cache sizes and the share of the last-level "
                "cache may not be what they seem.");
    if (f->avx_disabled)
        tell(r, "The processor has AVX but the system does not save its registers (XCR0): only the "
                "interpreter can run.");
    else if (f->avx512_disabled)
        tell(r, "The processor has AVX-512 but the system does not save its registers (XCR0): "
                "AVX-512 is not used.");
    if (f->companions_missing)
        tell(r, "The processor claims AVX2 without the rest of x86-64-v3 (BMI, LZCNT, MOVBE …): "
                "only the interpreter can run.");
    for (ng_cache l = NG_CACHE_L1D; l < NG_CACHE_LEVELS; l++) {
        if (f->from_system[l])
            tell(r, "The processor does not tell its %s cache; /sys says %zuK.", names[l],
                 f->size[l] >> 10);
        if (f->guessed[l])
            tell(r, "The size of the %s cache is unknown; %zuK is assumed.", names[l],
                 f->size[l] >> 10);
    }
}

void ng_cpu_oddities(const ng_cpu *cpu, void (*found)(void *ctx, const char *sentence), void *ctx) {
    const ng_cpu_facts *facts = ng_cpu_facts_of(cpu);
    report r = {found, ctx};
    if (facts) odd_detection(facts, &r);
    odd_features(cpu, &r);
    odd_model(cpu, &r);
    odd_caches(cpu, &r);
    if (facts && cpu->cores < facts->online)
        tell(&r, "This process may run on %d of the %d cores that are online.", cpu->cores,
             facts->online);
    if (facts && facts->wrong_cap)
        tell(&r, "NORMGEN_ISA=%s names no level and caps nothing.", cpu->cap);
    else if (cpu->cap)
        tell(&r, "NORMGEN_ISA=%s caps the instructions that are used.", cpu->cap);
}
