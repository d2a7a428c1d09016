/* SPDX-License-Identifier: Apache-2.0 */
/* The detection of a bundle's dispatcher: straight code without a branch but for XGETBV, ten CPUID
 * instructions at most (each traps and costs microseconds on a virtual machine). It decides as
 * runtime/cpu.c does. What the two threads of a race find out is the same, so both may store it. */
#include "emit_ir.h"

#include <assert.h>

enum { EAX, EBX, ECX, EDX };

typedef struct leaf {
    ng_v r[4];
} leaf;

static ng_v zero32(const ng_build *g) { return ng_i32(g, 0); }

static leaf cpuid(ng_build *g, ng_v v_number, uint32_t sub) {
    ng_t parts[4] = {g->t_i32, g->t_i32, g->t_i32, g->t_i32}, in[2] = {g->t_i32, g->t_i32};
    ng_t t = LLVMFunctionType(LLVMStructTypeInContext(g->context, parts, 4, false), in, 2, false);
    const char *constraints = "={ax},={bx},={cx},={dx},0,2,~{dirflag},~{fpsr},~{flags}";
    ng_v v_asm = LLVMGetInlineAsm(t, "cpuid", 5, constraints, strlen(constraints), true, false,
                                  LLVMInlineAsmDialectATT, false);
    ng_v args[2] = {v_number, ng_i32(g, (int32_t)sub)};
    ng_v v = LLVMBuildCall2(g->b, t, v_asm, args, 2, "");
    leaf l;
    for (unsigned i = 0; i < 4; i++) l.r[i] = LLVMBuildExtractValue(g->b, v, i, "");
    return l;
}

/* The leaf, or zeros where it is beyond the largest one. */
static leaf leaf_within(ng_build *g, ng_v v_max, uint32_t number, uint32_t sub) {
    ng_v v_number = ng_i32(g, (int32_t)number);
    ng_v v_there = ng_is(g, LLVMIntUGE, v_max, v_number);
    leaf l = cpuid(g, v_number, sub);
    for (int i = 0; i < 4; i++) l.r[i] = ng_pick(g, v_there, l.r[i], zero32(g));
    return l;
}

static ng_v all_of(ng_build *g, ng_v v_word, uint32_t mask) {
    ng_v v_mask = ng_i32(g, (int32_t)mask);
    return ng_is(g, LLVMIntEQ, ng_and(g, v_word, v_mask), v_mask);
}

/* The low half of XCR0 where the system lets programs ask for it, else 0. */
static ng_v xcr0(ng_build *g, ng_v v_one_ecx) {
    LLVMBasicBlockRef b_here = ng_block_here(g), b_ask = ng_block_new(g, "xgetbv"),
                      b_go = ng_block_new(g, "features");
    LLVMBuildCondBr(g->b, all_of(g, v_one_ecx, 1u << 27), b_ask, b_go);
    ng_block_start(g, b_ask);
    ng_t parts[2] = {g->t_i32, g->t_i32};
    ng_t t =
        LLVMFunctionType(LLVMStructTypeInContext(g->context, parts, 2, false), &g->t_i32, 1, false);
    const char *constraints = "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}";
    /* in bytes: the assembler knows the name only where the level has the instruction */
    ng_v v_asm = LLVMGetInlineAsm(t, ".byte 0x0f, 0x01, 0xd0", 22, constraints, strlen(constraints),
                                  true, false, LLVMInlineAsmDialectATT, false);
    ng_v v_index = zero32(g), v = LLVMBuildCall2(g->b, t, v_asm, &v_index, 1, "");
    ng_v v_low = LLVMBuildExtractValue(g->b, v, 0, "");
    LLVMBuildBr(g->b, b_go);
    ng_block_start(g, b_go);
    ng_v phi = ng_phi(g, zero32(g), b_here);
    ng_phi_add(phi, v_low, b_ask);
    return phi;
}

/* ---- levels ---- */

typedef struct words {
    leaf one, seven, seven_one, extended;
    ng_v v_saved; /* XCR0 */
} words;

/* Bits of every word that the features ask for. */
static ng_v runs(ng_build *g, const words *w, const ng_isa *isa) {
    uint32_t need[NG_X86_WORDS];
    ng_x86_needs(isa->required, need);
    ng_v v_words[NG_X86_WORDS] = {[NG_X86_1C] = w->one.r[ECX],
                                  [NG_X86_7B] = w->seven.r[EBX],
                                  [NG_X86_7C] = w->seven.r[ECX],
                                  [NG_X86_71A] = w->seven_one.r[EAX],
                                  [NG_X86_EXTENDED_C] = w->extended.r[ECX],
                                  [NG_X86_XCR0] = w->v_saved};
    ng_v v = LLVMConstInt(g->t_i1, 1, false);
    for (int i = 0; i < NG_X86_WORDS; i++)
        if (need[i]) v = ng_and(g, v, all_of(g, v_words[i], need[i]));
    return v;
}

/* ---- caches ---- */

enum { L1D, L2, L3, CACHES };

/* Bytes that leaf 4, or AMD's 0x8000001D, tells of a cache. */
static ng_v cache_bytes(ng_build *g, const leaf *l) {
    ng_v v_ways = ng_add(g, ng_shr(g, l->r[EBX], 22), ng_i32(g, 1));
    ng_v v_parts = ng_add(g, ng_bits(g, l->r[EBX], 12, 10), ng_i32(g, 1));
    ng_v v_line = ng_add(g, ng_bits(g, l->r[EBX], 0, 12), ng_i32(g, 1));
    ng_v v_sets = ng_add(g, ng_wide(g, l->r[ECX]), ng_i64(g, 1));
    ng_v v = ng_mul(g, ng_wide(g, v_ways), ng_wide(g, v_parts));
    return ng_mul(g, ng_mul(g, v, ng_wide(g, v_line)), v_sets);
}

static void read_caches(ng_build *g, ng_v v_max, ng_v v_max_extended, ng_v v_extended_ecx,
                        ng_v size[CACHES]) {
    ng_v v_amd = all_of(g, v_extended_ecx, 1u << 22); /* topology extensions */
    ng_v v_number = ng_pick(g, v_amd, ng_i32(g, (int32_t)0x8000001du), ng_i32(g, 4));
    ng_v v_last = ng_pick(g, v_amd, v_max_extended, v_max);
    ng_v v_there = ng_is(g, LLVMIntUGE, v_last, v_number);
    for (int i = 0; i < CACHES; i++) size[i] = ng_i64(g, 0);
    for (uint32_t sub = 0; sub < 4; sub++) {
        leaf l = cpuid(g, v_number, sub);
        ng_v v_type = ng_bits(g, l.r[EAX], 0, 5), v_depth = ng_bits(g, l.r[EAX], 5, 3);
        ng_v v_data = ng_is(g, LLVMIntEQ, ng_and(g, v_type, ng_i32(g, 1)), ng_i32(g, 1));
        v_data = ng_and(g, ng_and(g, v_data, ng_is(g, LLVMIntULE, v_type, ng_i32(g, 3))), v_there);
        ng_v v_bytes = cache_bytes(g, &l);
        for (int i = 0; i < CACHES; i++) {
            ng_v v_this = ng_and(g, v_data, ng_is(g, LLVMIntEQ, v_depth, ng_i32(g, i + 1)));
            size[i] = ng_pick(g, v_this, v_bytes, size[i]);
        }
    }
}

/* Sizes that no processor has come from a hypervisor or an emulator: common ones take their place.
 * A missing L3 beside a known L1 is no trouble: then the L2 is the last level. */
static void believe(ng_build *g, ng_v size[CACHES]) {
    static const int64_t least[CACHES] = {8 << 10, 64 << 10, 256 << 10};
    static const int64_t most[CACHES] = {1 << 20, 256 << 20, (int64_t)4 << 30};
    static const int64_t common[CACHES] = {32 << 10, 1 << 20, 8 << 20};
    ng_v v_good[CACHES];
    for (int i = 0; i < CACHES; i++)
        v_good[i] = ng_and(g, ng_is(g, LLVMIntUGE, size[i], ng_i64(g, least[i])),
                           ng_is(g, LLVMIntULE, size[i], ng_i64(g, most[i])));
    ng_v v_none = ng_and(g, ng_is(g, LLVMIntEQ, size[L3], ng_i64(g, 0)), v_good[L1D]);
    for (int i = 0; i < CACHES; i++) size[i] = ng_pick(g, v_good[i], size[i], ng_i64(g, common[i]));
    size[L3] = ng_pick(g, v_none, size[L2], size[L3]);
}

static ng_v larger(ng_build *g, ng_v a, ng_v b) {
    return ng_pick(g, ng_is(g, LLVMIntUGT, a, b), a, b);
}

/* Bytes up to which a call is in l1, l2, llc; ascending, so that a call may count how many it
 * exceeds. */
static void store_limits(ng_build *g, ng_v size[CACHES], ng_v v_limits) {
    ng_v limit[CACHES] = {size[L1D], larger(g, size[L2], size[L1D]), NULL};
    limit[L3] = larger(g, LLVMBuildLShr(g->b, size[L3], ng_i64(g, 1), ""), limit[L2]);
    for (int i = 0; i < CACHES; i++) {
        ng_v v = ng_store(g, limit[i], ng_offset(g, v_limits, ng_i64(g, 8 * i)), 8);
        LLVMSetOrdering(v, LLVMAtomicOrderingMonotonic);
    }
}

/* ---- the function ---- */

static ng_v detect_x86(ng_build *g, const ng_isa *const *levels, int n, ng_v size[CACHES]) {
    uint32_t need[NG_X86_WORDS], any = 0;
    for (int i = 0; i < n; i++) {
        ng_x86_needs(levels[i]->required, need);
        any |= need[NG_X86_71A];
    }
    ng_v v_max = cpuid(g, zero32(g), 0).r[EAX];
    words w = {.one = leaf_within(g, v_max, 1, 0), .seven = leaf_within(g, v_max, 7, 0)};
    w.seven_one.r[EAX] = zero32(g);
    if (any) {
        ng_v v_has = ng_is(g, LLVMIntUGE, w.seven.r[EAX], ng_i32(g, 1));
        w.seven_one = leaf_within(g, v_max, 7, 1);
        w.seven_one.r[EAX] = ng_pick(g, v_has, w.seven_one.r[EAX], zero32(g));
    }
    ng_v v_max_extended = cpuid(g, ng_i32(g, (int32_t)0x80000000u), 0).r[EAX];
    w.extended = leaf_within(g, v_max_extended, 0x80000001u, 0);
    read_caches(g, v_max, v_max_extended, w.extended.r[ECX], size);
    w.v_saved = xcr0(g, w.one.r[ECX]);
    ng_v v_level = zero32(g);
    for (int i = 0; i < n; i++) /* weakest first: the last one that runs stays */
        v_level = ng_pick(g, runs(g, &w, levels[i]), ng_i32(g, i + 1), v_level);
    return v_level;
}

ng_v ng_detect(ng_build *g, const ng_isa *const *levels, int n, ng_v v_level, ng_v v_limits) {
    ng_t t = LLVMFunctionType(LLVMVoidTypeInContext(g->context), NULL, 0, false);
    ng_v fn = g->fn = LLVMAddFunction(g->module, "detect", t), size[CACHES];
    ng_v v_found = ng_i32(g, 1); /* all of aarch64 is one level; its caches cannot be asked for */
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    ng_block_start(g, ng_block_new(g, "entry"));
    for (int i = 0; i < CACHES; i++) size[i] = ng_i64(g, 0);
    if (levels[0]->arch == NG_X86_64)
        v_found = detect_x86(g, levels, n, size);
    else
        assert(n == 1 && "several levels of aarch64 need the auxiliary vector");
    believe(g, size);
    store_limits(g, size, v_limits);
    LLVMSetOrdering(ng_store(g, v_found, v_level, 4), LLVMAtomicOrderingRelease);
    LLVMBuildRetVoid(g->b);
    return fn;
}
