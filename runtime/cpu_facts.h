/* SPDX-License-Identifier: Apache-2.0 */
/* What detection knows beside the machine itself, for those who explain it: features by name, and
 * what was found on the way. */
#ifndef NG_CPU_FACTS_H
#define NG_CPU_FACTS_H

#include "cpu.h"

#define NG_BIT(name) (1u << NG_FEATURE_##name)
#define NG_NEEDS_V3 (NG_BIT(avx2) | NG_BIT(fma) | NG_BIT(f16c))
#define NG_NEEDS_V4                                                                                \
    (NG_NEEDS_V3 | NG_BIT(avx512f) | NG_BIT(avx512bw) | NG_BIT(avx512cd) | NG_BIT(avx512dq) |      \
     NG_BIT(avx512vl))
#define NG_NEEDS_BF16 (NG_NEEDS_V4 | NG_BIT(avx512bf16) | NG_BIT(avx512vbmi))

typedef enum ng_cache { NG_CACHE_L1D, NG_CACHE_L2, NG_CACHE_L3, NG_CACHE_LEVELS } ng_cache;

/* What was found on the way and is worth a word to people; no part of the machine's key. */
typedef struct ng_cpu_facts {
    bool hypervisor;
    bool avx_disabled, avx512_disabled; /* claimed by CPUID, not saved by the system */
    bool companions_missing;            /* AVX2 without the rest of x86-64-v3 */
    bool wrong_cap;                     /* NORMGEN_ISA names no level of this architecture */
    bool from_system[NG_CACHE_LEVELS];  /* the processor did not tell this cache's size */
    bool guessed[NG_CACHE_LEVELS];      /* nor did the system */
    size_t size[NG_CACHE_LEVELS];
    int online; /* cores */
} ng_cpu_facts;

/* Those of the machine this runs on; NULL for any other one. */
const ng_cpu_facts *ng_cpu_facts_of(const ng_cpu *cpu);
/* Sizes that no core of these architectures has are lies of a hypervisor or an emulator. */
bool ng_cache_plausible(ng_cache level, size_t bytes);

#endif
