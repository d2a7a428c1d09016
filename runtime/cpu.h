/* SPDX-License-Identifier: Apache-2.0 */
/* The machine: what its CPU can do, how big its caches are, what it is called in the store. ISA
 * levels and features stand in one table each. */
#ifndef NG_CPU_H
#define NG_CPU_H

#include "interp.h"

/* Features that normgen can use, in the order of their bits: name as LLVM and /proc/cpuinfo readers
 * know it. */
#define NG_FEATURES(X)                                                                             \
    X(avx2)                                                                                        \
    X(fma)                                                                                         \
    X(f16c) X(avx512f) X(avx512bw) X(avx512cd) X(avx512dq) X(avx512vl) X(avx512bf16) X(avx512vbmi) \
        X(neon)

typedef enum ng_feature {
#define X(name) NG_FEATURE_##name,
    NG_FEATURES(X)
#undef X
        NG_FEATURE_COUNT
} ng_feature;
extern const char *const ng_feature_names[NG_FEATURE_COUNT];

typedef enum ng_arch { NG_X86_64, NG_AARCH64 } ng_arch;

/* One level of instructions that kernels are generated for, weakest first. */
typedef struct ng_isa {
    const char *name; /* "x86-64-v4+bf16" */
    ng_arch arch;
    uint32_t required; /* feature bits */
    int max_vec;       /* bits of the widest vector; 0: no generated code, the interpreter serves */
    int mask_bytes;    /* smallest element that can be loaded and stored under a mask; 0: none */
    bool native_bf16;  /* narrowing to bf16 is an instruction */
    bool streams;      /* non-temporal stores */
    bool fma;          /* fma and conversions of f16 are instructions; else they are spelled out */
    const char *llvm_cpu, *llvm_features;
    const char *triple;
} ng_isa;
extern const ng_isa ng_isas[];
extern const size_t ng_isa_count;
/* x86-64 with code generated for it, slow and long: only what bundles have for CPUs without FMA. In
 * ng_isas that level is the interpreter's. */
extern const ng_isa ng_isa_spelled_out;
/* Whether an instruction of the level narrows to the element type as docs/numerics.md says. */
bool ng_isa_narrows(const ng_isa *isa, int type);
/* The level of that name, or NULL. */
const ng_isa *ng_isa_find(const char *name);

typedef struct ng_cpu {
    ng_arch arch;
    char vendor[16]; /* "AuthenticAMD"; on Arm the implementer number */
    char brand[64];  /* marketing name, for people only */
    int family, model, stepping;
    uint32_t detected;   /* feature bits: CPUID and XCR0, or the auxiliary vector */
    uint32_t features;   /* the same after the NORMGEN_ISA cap */
    size_t l1d, l2, llc; /* bytes of this core's caches */
    int cores;           /* that this process may run on */
    const ng_isa *isa;   /* the best level of `features` */
    ng_interp_fn interp; /* the interpreter for them */
    const char *cap;     /* value of NORMGEN_ISA, or NULL */
} ng_cpu;

/* Words of CPUID and XCR0 that features stand in: leaf 1 ecx, leaf 7 ebx and ecx, leaf 7.1 eax,
 * leaf 0x80000001 ecx. */
typedef enum ng_x86_word {
    NG_X86_1C,
    NG_X86_7B,
    NG_X86_7C,
    NG_X86_71A,
    NG_X86_EXTENDED_C,
    NG_X86_XCR0,
    NG_X86_WORDS
} ng_x86_word;
/* The bits that all have to be set for these features to be used: their own, what compilers use
 * beside them, and the registers that the system has to save. */
void ng_x86_needs(uint32_t features, uint32_t need[NG_X86_WORDS]);

/* The machine this runs on; detected once. E_ARGUMENT when NORMGEN_ISA names no level (the text
 * lists the right ones): *cpu is then the uncapped machine all the same. */
normgen_status ng_cpu_host(const ng_cpu **cpu);
/* Whether kernels of the level run on the machine. */
bool ng_cpu_runs(const ng_cpu *cpu, const ng_isa *isa);
/* The machine's key in the store: architecture, vendor/family/model/stepping, level, caches. */
#define NG_MACHINE_TEXT 192
void ng_cpu_machine_text(const ng_cpu *cpu, char *text);
/* Calls found(ctx, sentence) for all that looks wrong with what was detected (oddities.c). */
void ng_cpu_oddities(const ng_cpu *cpu, void (*found)(void *ctx, const char *sentence), void *ctx);

#endif
