/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is. ISA levels stand in a table; detection is the only place that asks the
 * processor or the kernel. A feature counts only if the operating system saves its registers, so
 * CPUID alone is never believed. Everything is read once: CPUID traps on virtual machines and costs
 * microseconds. This is the one file with architecture #ifs. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* sched_getaffinity, sched_getcpu */
#endif
#include "cpu_facts.h"

#include "error.h"
#include "types.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#else
#error "normgen supports x86-64 and aarch64 only"
#endif

const char *const ng_feature_names[NG_FEATURE_COUNT] = {
#define X(name) #name,
    NG_FEATURES(X)
#undef X
};

#define X86_TRIPLE "x86_64-unknown-linux-gnu"
#define ARM_TRIPLE "aarch64-unknown-linux-gnu"

/* In the order of the struct: see cpu.h. */
const ng_isa ng_isas[] = {
    {"x86-64", NG_X86_64, 0, 0, 0, false, true, false, "x86-64", "", X86_TRIPLE},
    {"x86-64-v3", NG_X86_64, NG_NEEDS_V3, 256, 4, false, true, true, "x86-64-v3", "", X86_TRIPLE},
    {"x86-64-v4", NG_X86_64, NG_NEEDS_V4, 512, 1, false, true, true, "x86-64-v4", "", X86_TRIPLE},
    {"x86-64-v4+bf16", NG_X86_64, NG_NEEDS_BF16, 512, 1, true, true, true, "x86-64-v4",
     "+avx512bf16,+avx512vbmi", X86_TRIPLE},
    {"aarch64", NG_AARCH64, NG_BIT(neon), 128, 0, false, false, true, "generic", "+neon",
     ARM_TRIPLE},
};
const ng_isa ng_isa_spelled_out = {"x86-64", NG_X86_64, 0,        128, 0,         false,
                                   true,     false,     "x86-64", "",  X86_TRIPLE};
const size_t ng_isa_count = sizeof ng_isas / sizeof ng_isas[0];

/* Interpreters, best first; the first whose features are there serves. */
static const struct {
    uint32_t required;
    ng_interp_fn run;
} interps[] = {
#if defined(__x86_64__)
    {NG_NEEDS_V4, ng_interp_v4},
    {NG_NEEDS_V3, ng_interp_v3},
#endif
    {0, ng_interp_baseline},
};

/* ---- levels ---- */

const ng_isa *ng_isa_find(const char *name) {
    for (size_t i = 0; i < ng_isa_count; i++)
        if (strcmp(ng_isas[i].name, name) == 0) return &ng_isas[i];
    return NULL;
}

bool ng_isa_narrows(const ng_isa *isa, int type) {
    if (type == NORMGEN_BF16) return isa->native_bf16;
    if (type == NORMGEN_F16) return isa->fma;
    return ng_types[type].bytes > 2; /* saturating has none */
}

bool ng_cpu_runs(const ng_cpu *cpu, const ng_isa *isa) {
    return cpu->arch == isa->arch && (isa->required & ~cpu->features) == 0;
}

/* Level and interpreter that follow from the features. */
static void choose(ng_cpu *cpu) {
    for (size_t i = 0; i < ng_isa_count; i++)
        if (ng_cpu_runs(cpu, &ng_isas[i])) cpu->isa = &ng_isas[i];
    size_t i = 0;
    while (interps[i].required & ~cpu->features) i++;
    cpu->interp = interps[i].run;
}

/* ---- detection ---- */

bool ng_cache_plausible(ng_cache l, size_t bytes) {
    static const size_t least[NG_CACHE_LEVELS] = {8u << 10, 64u << 10, 256u << 10};
    static const size_t most[NG_CACHE_LEVELS] = {1u << 20, 256u << 20, (size_t)4 << 30};
    return bytes >= least[l] && bytes <= most[l];
}

static bool read_line(const char *path, char *line, int size) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool got = fgets(line, size, f) != NULL;
    fclose(f);
    return got;
}

/* Sizes as /sys tells them, of the core this runs on. */
static void system_caches(size_t size[NG_CACHE_LEVELS]) {
    int core = sched_getcpu();
    for (int i = 0; i < 8; i++) {
        char path[128], line[64];
        int at = snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/",
                          core < 0 ? 0 : core, i);
        char *leaf = path + at;
        snprintf(leaf, 16, "level");
        if (!read_line(path, line, sizeof line)) return;
        long l = strtol(line, NULL, 10);
        snprintf(leaf, 16, "type");
        if (l < 1 || l > NG_CACHE_LEVELS || !read_line(path, line, sizeof line) || line[0] == 'I')
            continue;
        snprintf(leaf, 16, "size");
        if (!read_line(path, line, sizeof line)) continue;
        char *unit;
        unsigned long long n = strtoull(line, &unit, 10);
        size[l - 1] = (size_t)n << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : 0);
    }
}

/* Fills in what the processor left out: from the system, else common sizes. A missing L3 is no
 * trouble: then the L2 is the last level. */
static void complete_caches(ng_cpu *cpu, ng_cpu_facts *f) {
    static const size_t common[NG_CACHE_LEVELS] = {32u << 10, 1u << 20, 8u << 20};
    size_t told[NG_CACHE_LEVELS] = {0};
    bool nothing = true;
    if (!ng_cache_plausible(NG_CACHE_L1D, f->size[NG_CACHE_L1D]) ||
        !ng_cache_plausible(NG_CACHE_L2, f->size[NG_CACHE_L2]) || f->size[NG_CACHE_L3] == 0)
        system_caches(told);
    for (ng_cache l = NG_CACHE_L1D; l < NG_CACHE_LEVELS; l++) {
        if (ng_cache_plausible(l, f->size[l])) nothing = false;
        if (ng_cache_plausible(l, f->size[l]) || (l == NG_CACHE_L3 && !nothing && told[l] == 0))
            continue;
        f->from_system[l] = ng_cache_plausible(l, told[l]);
        f->guessed[l] = !f->from_system[l];
        f->size[l] = f->from_system[l] ? told[l] : common[l];
        if (f->from_system[l]) nothing = false;
    }
    cpu->l1d = f->size[NG_CACHE_L1D];
    cpu->l2 = f->size[NG_CACHE_L2] > cpu->l1d ? f->size[NG_CACHE_L2] : cpu->l1d;
    cpu->llc = f->size[NG_CACHE_L3] > cpu->l2 ? f->size[NG_CACHE_L3] : cpu->l2;
}

static void count_cores(ng_cpu *cpu, ng_cpu_facts *f) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    f->online = online > 0 ? (int)online : 1;
    cpu->cores = f->online;
    cpu_set_t allowed; /* 1024 processors; on larger systems the call fails and all online count */
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) cpu->cores = CPU_COUNT(&allowed);
    if (cpu->cores < 1) cpu->cores = 1;
}

/* Bits of leaf 1 ecx and leaf 7 ebx that x86-64-v3 has besides its vectors: compilers use them
 * too. */
#define COMPANIONS_1 (1u << 0 | 1u << 9 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 28)
#define COMPANIONS_7 (1u << 3 | 1u << 8) /* BMI1, BMI2 */
#define LZCNT (1u << 5)                  /* leaf 0x80000001 ecx */
#define OSXSAVE (1u << 27)               /* leaf 1 ecx: xgetbv may be used */
#define SAVES_AVX 0x6u                   /* of XCR0 */
#define SAVES_AVX512 0xe6u

/* Where CPUID tells of a feature. */
static const struct {
    uint32_t feature;
    ng_x86_word word;
    int bit;
} x86_bits[] = {
    {NG_BIT(fma), NG_X86_1C, 12},        {NG_BIT(f16c), NG_X86_1C, 29},
    {NG_BIT(avx2), NG_X86_7B, 5},        {NG_BIT(avx512f), NG_X86_7B, 16},
    {NG_BIT(avx512dq), NG_X86_7B, 17},   {NG_BIT(avx512cd), NG_X86_7B, 28},
    {NG_BIT(avx512bw), NG_X86_7B, 30},   {NG_BIT(avx512vl), NG_X86_7B, 31},
    {NG_BIT(avx512bf16), NG_X86_71A, 5}, {NG_BIT(avx512vbmi), NG_X86_7C, 1},
};
enum { X86_BITS = sizeof x86_bits / sizeof x86_bits[0] };

void ng_x86_needs(uint32_t features, uint32_t need[NG_X86_WORDS]) {
    memset(need, 0, NG_X86_WORDS * sizeof need[0]);
    for (int i = 0; i < X86_BITS; i++)
        if (features & x86_bits[i].feature) need[x86_bits[i].word] |= 1u << x86_bits[i].bit;
    if (!features) return;
    need[NG_X86_1C] |= COMPANIONS_1 | OSXSAVE;
    need[NG_X86_7B] |= COMPANIONS_7;
    need[NG_X86_EXTENDED_C] |= LZCNT;
    need[NG_X86_XCR0] |= features & ~NG_NEEDS_V3 ? SAVES_AVX512 : SAVES_AVX;
}

#if defined(__x86_64__)

typedef struct leaf {
    uint32_t a, b, c, d;
} leaf;

/* The leaf, or zeros when it is beyond `max`. */
static leaf cpuid(uint32_t max, uint32_t number, uint32_t sub) {
    leaf l = {0};
    if (number <= max) __cpuid_count(number, sub, l.a, l.b, l.c, l.d);
    return l;
}

/* Which register states the system saves: bits 1 and 2 for AVX, 5 to 7 for AVX-512. */
static uint32_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static uint32_t detect_features(leaf one, leaf seven, leaf seven_one, leaf extended,
                                ng_cpu_facts *f) {
    const uint32_t word[NG_X86_WORDS] = {one.c, seven.b, seven.c, seven_one.a, extended.c, 0};
    uint32_t has = 0, saved = one.c & OSXSAVE ? xcr0() : 0;
    for (int i = 0; i < X86_BITS; i++)
        if (word[x86_bits[i].word] >> x86_bits[i].bit & 1u) has |= x86_bits[i].feature;
    uint32_t v3 = has & NG_NEEDS_V3, v4 = has & ~NG_NEEDS_V3;
    bool companions = (one.c & COMPANIONS_1) == COMPANIONS_1 &&
                      (seven.b & COMPANIONS_7) == COMPANIONS_7 && (extended.c & LZCNT);
    bool avx = (saved & SAVES_AVX) == SAVES_AVX, avx512 = (saved & SAVES_AVX512) == SAVES_AVX512;
    f->companions_missing = (v3 & NG_BIT(avx2)) && !companions;
    f->avx_disabled = v3 && !avx;
    f->avx512_disabled = v4 && !avx512;
    if (!avx || !companions) return 0;
    return avx512 ? v3 | v4 : v3;
}

/* Leaf 4 of Intel and 0x8000001D of AMD have one form. */
static void processor_caches(uint32_t max, uint32_t number, size_t size[NG_CACHE_LEVELS]) {
    for (uint32_t sub = 0; sub < 8; sub++) {
        leaf l = cpuid(max, number, sub);
        uint32_t type = l.a & 31u, depth = l.a >> 5 & 7u;
        if (type == 0) return;
        if (type == 2 || depth < 1 || depth > NG_CACHE_LEVELS) continue; /* instructions */
        size[depth - 1] = (size_t)((l.b >> 22) + 1) * ((l.b >> 12 & 1023u) + 1) *
                          ((l.b & 4095u) + 1) * ((size_t)l.c + 1);
    }
}

static void name_model(ng_cpu *cpu, leaf zero, leaf one, uint32_t max_extended) {
    memcpy(cpu->vendor, &zero.b, 4);
    memcpy(cpu->vendor + 4, &zero.d, 4);
    memcpy(cpu->vendor + 8, &zero.c, 4);
    uint32_t family = one.a >> 8 & 15u, model = one.a >> 4 & 15u;
    if (family == 6 || family == 15) model |= one.a >> 12 & 0xf0u;
    if (family == 15) family += one.a >> 20 & 255u;
    cpu->family = (int)family;
    cpu->model = (int)model;
    cpu->stepping = (int)(one.a & 15u);
    for (uint32_t i = 0; i < 3 && max_extended >= 0x80000004u; i++) {
        leaf l = cpuid(max_extended, 0x80000002u + i, 0);
        memcpy(cpu->brand + 16 * i, &l, sizeof l);
    }
}

static void detect(ng_cpu *cpu, ng_cpu_facts *f) {
    cpu->arch = NG_X86_64;
    leaf zero = cpuid(0, 0, 0), one = cpuid(zero.a, 1, 0), seven = cpuid(zero.a, 7, 0);
    leaf seven_one = seven.a >= 1 ? cpuid(zero.a, 7, 1) : (leaf){0};
    uint32_t max_extended = cpuid(0x80000000u, 0x80000000u, 0).a;
    leaf extended = cpuid(max_extended, 0x80000001u, 0);
    name_model(cpu, zero, one, max_extended);
    f->hypervisor = one.c >> 31;
    cpu->detected = detect_features(one, seven, seven_one, extended, f);
    if (extended.c >> 22 & 1u) /* AMD's topology extensions */
        processor_caches(max_extended, 0x8000001du, f->size);
    else
        processor_caches(zero.a, 4, f->size);
}

#else

#define HWCAP_NEON (1ul << 1)    /* "asimd" */
#define HWCAP_IDREGS (1ul << 11) /* the system answers reads of the identification registers */

static void name_model(ng_cpu *cpu, uint64_t midr) {
    snprintf(cpu->vendor, sizeof cpu->vendor, "0x%02x", (unsigned)(midr >> 24 & 255u));
    cpu->family = (int)(midr >> 16 & 15u);
    cpu->model = (int)(midr >> 4 & 4095u);
    cpu->stepping = (int)((midr >> 20 & 15u) << 4 | (midr & 15u));
    snprintf(cpu->brand, sizeof cpu->brand, "implementer %s part 0x%03x", cpu->vendor,
             (unsigned)cpu->model);
}

static void detect(ng_cpu *cpu, ng_cpu_facts *f) {
    unsigned long caps = getauxval(AT_HWCAP);
    uint64_t midr = 0;
    cpu->arch = NG_AARCH64;
    cpu->detected = caps & HWCAP_NEON ? NG_BIT(neon) : 0;
    if (caps & HWCAP_IDREGS) __asm__ volatile("mrs %0, midr_el1" : "=r"(midr));
    name_model(cpu, midr);
    system_caches(f->size); /* nothing but the system tells them here */
}

#endif

/* ---- the host ---- */

static ng_cpu host;
static ng_cpu_facts host_facts;
static char host_cap[64];
static pthread_once_t host_once = PTHREAD_ONCE_INIT;

static void apply_cap(ng_cpu *cpu) {
    const char *cap = getenv("NORMGEN_ISA");
    cpu->features = cpu->detected;
    if (!cap || !*cap) return;
    snprintf(host_cap, sizeof host_cap, "%s", cap);
    cpu->cap = host_cap;
    const ng_isa *isa = ng_isa_find(cap);
    host_facts.wrong_cap = !isa || isa->arch != cpu->arch;
    if (!host_facts.wrong_cap) cpu->features &= isa->required;
}

static void detect_host(void) {
    detect(&host, &host_facts);
    complete_caches(&host, &host_facts);
    count_cores(&host, &host_facts);
    apply_cap(&host);
    choose(&host);
}

static normgen_status wrong_cap(void) {
    char names[160];
    size_t at = 0;
    for (size_t i = 0; i < ng_isa_count && at < sizeof names; i++)
        if (ng_isas[i].arch == host.arch)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? " " : "",
                                   ng_isas[i].name);
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "NORMGEN_ISA is '%s', which is no level of this architecture; it takes %s, or "
                   "leave it unset",
                   host_cap, names);
}

normgen_status ng_cpu_host(const ng_cpu **cpu) {
    pthread_once(&host_once, detect_host);
    *cpu = &host;
    return host_facts.wrong_cap ? wrong_cap() : NORMGEN_OK;
}

const ng_cpu_facts *ng_cpu_facts_of(const ng_cpu *cpu) { return cpu == &host ? &host_facts : NULL; }

/* ---- text ---- */

static int size_text(char *text, size_t size, size_t bytes) {
    if (bytes % (1u << 20) == 0) return snprintf(text, size, "%zuM", bytes >> 20);
    if (bytes % (1u << 10) == 0) return snprintf(text, size, "%zuK", bytes >> 10);
    return snprintf(text, size, "%zu", bytes);
}

void ng_cpu_machine_text(const ng_cpu *cpu, char *text) {
    char l1d[24], l2[24], llc[24];
    size_text(l1d, sizeof l1d, cpu->l1d);
    size_text(l2, sizeof l2, cpu->l2);
    size_text(llc, sizeof llc, cpu->llc);
    snprintf(text, NG_MACHINE_TEXT, "%s %s/%d/%d/%d isa=%s l1d=%s l2=%s llc=%s",
             cpu->arch == NG_X86_64 ? "x86_64" : "aarch64", cpu->vendor, cpu->family, cpu->model,
             cpu->stepping, cpu->isa->name, l1d, l2, llc);
}
