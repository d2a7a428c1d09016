/* SPDX-License-Identifier: Apache-2.0 */
/* Element types in memory, and the conversions of docs/numerics.md rule 6. Vectors travel to and
 * from memory as integers: LLVM loses non-temporal stores of vectors cast from bfloat, and breaks
 * conversions of bfloat into calls. */
#include "lower.h"

#include "types.h"

static ng_t vector_of(ng_t element, unsigned n) { return LLVMVectorType(element, n); }
static ng_t floats(const ng_build *g, unsigned n) { return vector_of(g->t_float, n); }

ng_t ng_memory_type(const ng_build *g, int type, unsigned n) {
    return vector_of(LLVMIntTypeInContext(g->context, 8u * ng_types[type].bytes), n);
}

ng_v ng_real_of_float(const ng_lower *l, ng_v v) {
    if (l->p->compute == NORMGEN_F32) return v;
    return LLVMBuildFPExt(l->g.b, v, vector_of(l->t_real, LLVMGetVectorSize(LLVMTypeOf(v))), "");
}

ng_v ng_float_of_real(const ng_lower *l, ng_v v) {
    if (l->p->compute == NORMGEN_F32) return v;
    return LLVMBuildFPTrunc(l->g.b, v, floats(&l->g, LLVMGetVectorSize(LLVMTypeOf(v))), "");
}

/* An element type: from memory form to reals, and back. */
typedef struct format {
    ng_v (*widen)(const ng_lower *l, int type, ng_v v_memory);
    ng_v (*narrow)(const ng_lower *l, int type, ng_v v_real);
} format;

static unsigned size_of(ng_v v) { return LLVMGetVectorSize(LLVMTypeOf(v)); }

static ng_v from_f32(const ng_lower *l, int type, ng_v v) {
    (void)type;
    return ng_real_of_float(l, ng_bitcast(&l->g, v, floats(&l->g, size_of(v))));
}
static ng_v to_f32(const ng_lower *l, int type, ng_v v) {
    (void)type;
    return ng_bitcast(&l->g, ng_float_of_real(l, v), vector_of(l->g.t_i32, size_of(v)));
}

static ng_v from_f64(const ng_lower *l, int type, ng_v v) {
    const ng_build *g = &l->g;
    (void)type;
    v = ng_bitcast(g, v, vector_of(g->t_double, size_of(v)));
    return l->p->compute == NORMGEN_F64 ? v : LLVMBuildFPTrunc(g->b, v, floats(g, size_of(v)), "");
}
static ng_v to_f64(const ng_lower *l, int type, ng_v v) {
    const ng_build *g = &l->g;
    (void)type;
    if (l->p->compute == NORMGEN_F32)
        v = LLVMBuildFPExt(g->b, v, vector_of(g->t_double, size_of(v)), "");
    return ng_bitcast(g, v, vector_of(g->t_i64, size_of(v)));
}

/* i16 to float and back by way of half. A single element goes as the scalar it is: LLVM 19 for
 * aarch64 crashes on vectors of one half. */
static ng_v half_to_float(const ng_lower *l, ng_v v, unsigned n) {
    const ng_build *g = &l->g;
    if (!l->isa->fma) return ng_half_spelled_wide(l, v);
    if (n > 1)
        return LLVMBuildFPExt(g->b, ng_bitcast(g, v, vector_of(g->t_half, n)), floats(g, n), "");
    v = ng_bitcast(g, LLVMBuildExtractElement(g->b, v, ng_i32(g, 0), ""), g->t_half);
    v = LLVMBuildFPExt(g->b, v, g->t_float, "");
    return LLVMBuildInsertElement(g->b, LLVMGetPoison(floats(g, 1)), v, ng_i32(g, 0), "");
}

static ng_v float_to_half(const ng_lower *l, ng_v v, unsigned n) {
    const ng_build *g = &l->g;
    if (!l->isa->fma) return ng_half_spelled_narrow(l, v);
    ng_t t = vector_of(g->t_i16, n);
    if (n > 1) return ng_bitcast(g, LLVMBuildFPTrunc(g->b, v, vector_of(g->t_half, n), ""), t);
    v = LLVMBuildExtractElement(g->b, v, ng_i32(g, 0), "");
    v = ng_bitcast(g, LLVMBuildFPTrunc(g->b, v, g->t_half, ""), g->t_i16);
    return LLVMBuildInsertElement(g->b, LLVMGetPoison(t), v, ng_i32(g, 0), "");
}

static ng_v from_f16(const ng_lower *l, int type, ng_v v) {
    (void)type;
    return ng_real_of_float(l, half_to_float(l, v, size_of(v)));
}
static ng_v to_f16(const ng_lower *l, int type, ng_v v) {
    (void)type;
    return float_to_half(l, ng_float_of_real(l, v), size_of(v));
}

/* Words of a whole vector in another order. Where bytes can be moved, they are: shuffles of words
 * take twice as long on some machines, and LLVM would make one of them if it knew the order. */
static ng_v move_bytes(const ng_lower *l, ng_v v, ng_v v_order) {
    const ng_build *g = &l->g;
    ng_t t = LLVMTypeOf(v_order);
    ng_v args[2] = {ng_bitcast(g, v, t), v_order};
    return ng_intrinsic(g, "llvm.x86.avx512.permvar.qi.512", NULL, 0, args, 2);
}

static ng_v uppers_of(const ng_lower *l, ng_v v) {
    const ng_build *g = &l->g;
    v = LLVMBuildSelect(g->b, l->v_uppers, v, LLVMConstNull(LLVMTypeOf(v)), "");
    return ng_bitcast(g, v, vector_of(g->t_i32, MAX_VECTOR));
}

/* One shuffle that puts each element where a word's upper half is and zero below it, where
 * extending and shifting would be two instructions. The zeros come from a mask register: shuffled
 * in as a second operand they take three instructions' time on some machines. NULL for other than
 * full vectors, and where words have no such shuffle. */
static ng_v bf16_by_shuffle(const ng_lower *l, ng_v v) {
    const ng_build *g = &l->g;
    unsigned n = size_of(v);
    int mask[MAX_VECTOR * 2];
    if (!l->v_uppers || n != MAX_VECTOR) return NULL;
    for (unsigned i = 0; i < 2 * n; i++)
        mask[i] = !l->v_doubled[0] ? (int)(i / 2) : i < n ? (int)i : -1;
    v = ng_shuffle(g, v, LLVMGetPoison(LLVMTypeOf(v)), mask, 2 * n);
    return uppers_of(l, l->v_doubled[0] ? move_bytes(l, v, l->v_doubled[0]) : v);
}

/* Two vectors from whole ones in memory form: no half has to be taken out. */
static bool widens_pairs(const ng_lower *l, int type, unsigned n, unsigned each) {
    return n == 2 && each == MAX_VECTOR && type == NORMGEN_BF16 && l->v_doubled[0];
}

enum { BYTES = 64, WORDS = 32 };

/* The bytes of the words of a vector in an order, in a register of which LLVM knows no more. */
static ng_v order_of(const ng_build *g, const int words[WORDS]) {
    ng_v byte[BYTES];
    for (int i = 0; i < BYTES; i++)
        byte[i] = LLVMConstInt(g->t_i8, (unsigned)(2 * words[i / 2] + i % 2), false);
    ng_t t = floats(g, BYTES / 4);
    ng_v v = ng_bitcast(g, LLVMConstVector(byte, BYTES), t);
    return ng_bitcast(g, ng_opaque(g, v), vector_of(g->t_i8, BYTES));
}

/* From the even and the odd elements of 2 * each to all of them in turns. */
static void in_turns(int *order, int n, int each) {
    int pair = 2 * each;
    for (int i = 0; i < n; i++) order[i] = i / pair * pair + i % pair / 2 + i % 2 * each;
}

static bool moves_bytes(const ng_isa *isa) { return isa->required >> NG_FEATURE_avx512vbmi & 1u; }

void ng_prepare_widening(ng_lower *l) {
    const ng_build *g = &l->g;
    bool bytes = moves_bytes(l->isa);
    int doubled[WORDS], upper_doubled[WORDS], turns[WORDS];
    if (l->s->vec != 8 * BYTES) return;
    in_turns(turns, WORDS, WORDS / 2);
    for (int i = 0; i < WORDS; i++) {
        doubled[i] = i / 2;
        upper_doubled[i] = (i + WORDS) / 2;
    }
    uint64_t uppers = bytes ? 0xccccccccccccccccu : 0xaaaaaaaau;
    ng_v v = ng_opaque(g, ng_int_const(bytes ? g->t_i64 : g->t_i32, uppers));
    l->v_uppers = ng_bitcast(g, v, vector_of(g->t_i1, bytes ? BYTES : WORDS));
    if (!bytes) return;
    l->v_doubled[0] = order_of(g, doubled);
    l->v_doubled[1] = order_of(g, upper_doubled);
    l->v_turns = order_of(g, turns);
}

static ng_v from_bf16(const ng_lower *l, int type, ng_v v) {
    const ng_build *g = &l->g;
    ng_t t = vector_of(g->t_i32, size_of(v));
    (void)type;
    ng_v v_shuffled = bf16_by_shuffle(l, v);
    if (v_shuffled) return ng_real_of_float(l, ng_bitcast(g, v_shuffled, floats(g, size_of(v))));
    v = LLVMBuildShl(g->b, LLVMBuildZExt(g->b, v, t, ""), ng_int_const(t, 16), "");
    return ng_real_of_float(l, ng_bitcast(g, v, floats(g, size_of(v))));
}

/* The same operations as ng_to_bf16 in types.h. */
static ng_v bf16_by_integers(const ng_build *g, ng_v v) {
    unsigned n = size_of(v);
    ng_t t = vector_of(g->t_i32, n);
    ng_v v_u = ng_bitcast(g, v, t), v_high = LLVMBuildLShr(g->b, v_u, ng_int_const(t, 16), "");
    ng_v v_odd = LLVMBuildAnd(g->b, v_high, ng_int_const(t, 1), "");
    ng_v v_up = LLVMBuildAdd(g->b, v_u, LLVMBuildAdd(g->b, v_odd, ng_int_const(t, 0x7fff), ""), "");
    ng_v v_rounded = LLVMBuildLShr(g->b, v_up, ng_int_const(t, 16), "");
    ng_v v_quiet = LLVMBuildOr(g->b, v_high, ng_int_const(t, 0x40), "");
    ng_v v_is_nan = LLVMBuildFCmp(g->b, LLVMRealUNO, v, v, "");
    ng_v v_r = LLVMBuildSelect(g->b, v_is_nan, v_quiet, v_rounded, "");
    ng_v v_exponent = LLVMBuildAnd(g->b, v_u, ng_int_const(t, 0x7f800000), "");
    ng_v v_tiny = LLVMBuildICmp(g->b, LLVMIntEQ, v_exponent, ng_int_const(t, 0), "");
    ng_v v_zero = LLVMBuildAnd(g->b, v_high, ng_int_const(t, 0x8000), "");
    v_r = LLVMBuildSelect(g->b, v_tiny, v_zero, v_r, "");
    return LLVMBuildTrunc(g->b, v_r, vector_of(g->t_i16, n), "");
}

/* AVX512-BF16: one instruction narrows one vector to half a vector, or two to a whole one. Forms
 * wider than the schedule's vectors are not legal in its functions. NULL where no form fits. */
static ng_v bf16_by_instruction(const ng_lower *l, ng_v v) {
    static const struct {
        unsigned floats;
        int bits;
        bool pair;
        const char *name;
    } forms[] = {{16, 512, false, "llvm.x86.avx512bf16.cvtneps2bf16.512"},
                 {8, 256, false, "llvm.x86.avx512bf16.cvtneps2bf16.256"},
                 {32, 512, true, "llvm.x86.avx512bf16.cvtne2ps2bf16.512"},
                 {16, 256, true, "llvm.x86.avx512bf16.cvtne2ps2bf16.256"},
                 {8, 128, true, "llvm.x86.avx512bf16.cvtne2ps2bf16.128"}};
    const ng_build *g = &l->g;
    unsigned n = size_of(v);
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (forms[i].floats != n || forms[i].bits > l->s->vec) continue;
        ng_v args[2] = {v, NULL};
        if (forms[i].pair) {
            args[0] =
                ng_subvector(g, v, n / 2, n / 2); /* the first operand becomes the upper half */
            args[1] = ng_subvector(g, v, 0, n / 2);
        }
        ng_v v_narrow = ng_intrinsic(g, forms[i].name, NULL, 0, args, forms[i].pair ? 2 : 1);
        return ng_bitcast(g, v_narrow, vector_of(g->t_i16, n));
    }
    return NULL;
}

static ng_v to_bf16(const ng_lower *l, int type, ng_v v) {
    (void)type;
    v = ng_float_of_real(l, v);
    ng_v v_native = l->isa->native_bf16 ? bf16_by_instruction(l, v) : NULL;
    return v_native ? v_native : bf16_by_integers(&l->g, v);
}

/* ---- the types ---- */

static const format formats[NG_TYPE_COUNT] = {
    [NORMGEN_F32] = {from_f32, to_f32},
    [NORMGEN_F64] = {from_f64, to_f64},
    [NORMGEN_BF16] = {from_bf16, to_bf16},
    [NORMGEN_F16] = {from_f16, to_f16},
    [NORMGEN_I8] = {ng_widen_integers, ng_narrow_integers},
    [NORMGEN_U8] = {ng_widen_integers, ng_narrow_integers},
    [NORMGEN_E4M3] = {ng_widen_minifloats, ng_narrow_minifloats},
    [NORMGEN_E5M2] = {ng_widen_minifloats, ng_narrow_minifloats},
};

ng_v ng_widen(const ng_lower *l, int type, ng_v v) { return formats[type].widen(l, type, v); }

ng_v ng_narrow(const ng_lower *l, int type, ng_v v) { return formats[type].narrow(l, type, v); }

/* ---- several vectors ---- */

static bool even_odd(const ng_lower *l) { return l->s->layout == NG_LAYOUT_EVENODD; }

int ng_load_group(const ng_lower *l) { return even_odd(l) ? 2 : 1; }

int ng_load_together(const ng_lower *l, int type) {
    return widens_pairs(l, type, 2, (unsigned)l->vector) ? 2 : ng_load_group(l);
}

int ng_store_group(const ng_lower *l, int type) {
    int group = l->real_bytes / ng_types[type].bytes;
    if (even_odd(l)) return ng_types[type].bytes == 1 ? 4 : 2;
    if (ng_type_is_integer(type)) group *= 2; /* looked at together: see bytes.c */
    return group < 1 ? 1 : group;
}

/* Every second of 2n elements, from the first or the second one on. */
static ng_v every_second(const ng_build *g, ng_v v, unsigned from) {
    int mask[64];
    unsigned n = LLVMGetVectorSize(LLVMTypeOf(v)) / 2;
    for (unsigned i = 0; i < n; i++) mask[i] = (int)(2 * i + from);
    return ng_shuffle(g, v, LLVMGetPoison(LLVMTypeOf(v)), mask, n);
}

/* From pairs of vectors, the even and the odd elements, to elements of the two in turns. */
static ng_v interleave(const ng_lower *l, ng_v v) {
    int mask[64];
    ng_t t = LLVMTypeOf(v);
    unsigned n = LLVMGetVectorSize(t);
    bool words = LLVMGetIntTypeWidth(LLVMGetElementType(t)) == 16;
    if (l->v_turns && words && n == WORDS)
        return ng_bitcast(&l->g, move_bytes(l, v, l->v_turns), t);
    in_turns(mask, (int)n, l->vector);
    return ng_shuffle(&l->g, v, LLVMGetPoison(t), mask, n);
}

/* Two bf16 are one integer of 32 bits: the odd one is its upper half, the even one its lower. */
static void widen_pairs(const ng_lower *l, ng_v v, ng_v *out) {
    const ng_build *g = &l->g;
    ng_t t = vector_of(g->t_i32, LLVMGetVectorSize(LLVMTypeOf(v)) / 2);
    v = ng_bitcast(g, v, t);
    ng_v v_even = LLVMBuildShl(g->b, v, ng_int_const(t, 16), "");
    ng_v v_odd = LLVMBuildAnd(g->b, v, ng_int_const(t, 0xffff0000u), "");
    out[0] = ng_bitcast(g, v_even, l->t_vec);
    out[1] = ng_bitcast(g, v_odd, l->t_vec);
}

void ng_widen_group(const ng_lower *l, int type, ng_v v_memory, unsigned n, ng_v *out) {
    const ng_build *g = &l->g;
    unsigned each = LLVMGetVectorSize(LLVMTypeOf(v_memory)) / n;
    if (!even_odd(l) && widens_pairs(l, type, n, each)) {
        for (unsigned k = 0; k < n; k++) {
            ng_v v = uppers_of(l, move_bytes(l, v_memory, l->v_doubled[k]));
            out[k] = ng_real_of_float(l, ng_bitcast(g, v, floats(g, each)));
        }
    } else if (!even_odd(l)) {
        for (unsigned k = 0; k < n; k++)
            out[k] = ng_widen(l, type, ng_subvector(g, v_memory, k * each, each));
    } else if (type == NORMGEN_BF16) {
        widen_pairs(l, v_memory, out);
    } else {
        ng_v v = ng_widen(l, type, v_memory);
        for (unsigned k = 0; k < 2; k++) out[k] = every_second(g, v, k);
    }
}

static ng_v narrow_group(const ng_lower *l, int type, ng_v (*narrow)(const ng_lower *, int, ng_v),
                         const ng_v *v, unsigned n) {
    const ng_build *g = &l->g;
    ng_v v_all = ng_concat_all(g, v, n);
    if (!even_odd(l)) return narrow(l, type, v_all);
    /* The shuffle goes where the elements are narrower. */
    if (ng_types[type].bytes < l->real_bytes) return interleave(l, narrow(l, type, v_all));
    return narrow(l, type, interleave(l, v_all));
}

ng_v ng_narrow_group(const ng_lower *l, int type, const ng_v *v, unsigned n) {
    return narrow_group(l, type, ng_narrow, v, n);
}

ng_v ng_truncate_group(const ng_lower *l, int type, const ng_v *v, unsigned n) {
    return narrow_group(l, type, ng_truncate_integers, v, n);
}

/* ---- parts of vectors ---- */

static bool has_masks(const ng_lower *l, int type) {
    return l->isa->mask_bytes && ng_types[type].bytes >= l->isa->mask_bytes;
}

/* llvm.masked.load / store of integers. */
static ng_v masked(const ng_lower *l, bool store, ng_v v, ng_v v_ptr, unsigned n, unsigned count,
                   unsigned align) {
    const ng_build *g = &l->g;
    ng_t t = LLVMTypeOf(v), types[2] = {t, g->t_ptr};
    ng_v v_mask = ng_first_mask(g, n, count), v_align = ng_i32(g, (int32_t)align);
    if (NG_MASKED_ALIGN_OPERAND) {
        ng_v load_args[4] = {v_ptr, v_align, v_mask, LLVMConstNull(t)},
             store_args[4] = {v, v_ptr, v_align, v_mask};
        return store ? ng_intrinsic(g, "llvm.masked.store", types, 2, store_args, 4)
                     : ng_intrinsic(g, "llvm.masked.load", types, 2, load_args, 4);
    }
    ng_v load_args[3] = {v_ptr, v_mask, LLVMConstNull(t)}, store_args[3] = {v, v_ptr, v_mask};
    ng_v v_call = store ? ng_intrinsic(g, "llvm.masked.store", types, 2, store_args, 3)
                        : ng_intrinsic(g, "llvm.masked.load", types, 2, load_args, 3);
    LLVMSetInstrParamAlignment(v_call, store ? 2 : 1, align);
    return v_call;
}

/* Runs the body for pieces of `size` elements, a power of two, that make up the first `count`. */
#define FOR_PIECES(from, size, count)                                                              \
    for (unsigned from = 0, size = 1u << 7; size; size >>= 1)                                      \
        for (; count - from >= size; from += size)

ng_v ng_load_partial(const ng_lower *l, int type, ng_v v_ptr, unsigned n, unsigned count) {
    const ng_build *g = &l->g;
    unsigned bytes = ng_types[type].bytes;
    ng_v v_all = LLVMConstNull(ng_memory_type(g, type, n));
    if (has_masks(l, type)) return masked(l, false, v_all, v_ptr, n, count, bytes);
    FOR_PIECES(from, size, count) {
        ng_v v_piece = ng_load(g, ng_memory_type(g, type, size),
                               ng_offset(g, v_ptr, ng_i64(g, from * bytes)), bytes);
        int mask[64];
        for (unsigned i = 0; i < n; i++)
            mask[i] = (int)(i >= from && i < from + size ? n + i - from : i);
        v_all = ng_shuffle(g, v_all, ng_subvector(g, v_piece, 0, n), mask, n);
    }
    return v_all;
}

void ng_store_partial(const ng_lower *l, int type, ng_v v, ng_v v_ptr, unsigned count) {
    const ng_build *g = &l->g;
    unsigned bytes = ng_types[type].bytes, n = LLVMGetVectorSize(LLVMTypeOf(v));
    /* LLVM 22 turns the masked store of one lane of a truncated vector into a wider plain one. */
    if (has_masks(l, type) && count > 1) {
        masked(l, true, v, v_ptr, n, count, bytes);
        return;
    }
    FOR_PIECES(from, size, count) {
        ng_store(g, ng_subvector(g, v, from, size), ng_offset(g, v_ptr, ng_i64(g, from * bytes)),
                 bytes);
    }
}

/* Through the stack and back, which LLVM must not shorten. On some machines the ordinary stores in
 * between keep streaming ones from crowding out what is being loaded. */
static ng_v through_stage(ng_lower *l, ng_v v) {
    const ng_build *g = &l->g;
    unsigned bytes = (unsigned)l->s->vec / 8;
    ng_v v_slot = ng_offset(g, l->stage, ng_i64(g, (int64_t)(l->staged++ % STAGE) * bytes));
    LLVMSetVolatile(ng_store(g, v, v_slot, bytes), true);
    ng_v v_back = ng_load(g, LLVMTypeOf(v), v_slot, bytes);
    LLVMSetVolatile(v_back, true);
    return v_back;
}

void ng_store_stream(ng_lower *l, ng_v v, ng_v v_ptr) {
    const ng_build *g = &l->g;
    unsigned bits = (unsigned)l->s->vec;
    /* An empty assembler statement hides where the value came from: without it LLVM splits or loses
     * non-temporal stores of converted values. It costs no instruction. */
    ng_t t = floats(g, bits / 32), t_asm = LLVMFunctionType(t, &t, 1, false);
    ng_v v_asm =
        LLVMGetInlineAsm(t_asm, "", 0, "=v,0", 4, false, false, LLVMInlineAsmDialectATT, false);
    v = ng_bitcast(g, v, t);
    v = LLVMBuildCall2(g->b, t_asm, v_asm, &v, 1, "");
    if (l->s->store == NG_STORE_STAGED) v = through_stage(l, v);
    ng_v v_store = ng_store(g, v, v_ptr, bits / 8);
    LLVMValueRef one = ng_i32(g, 1);
    LLVMMetadataRef node =
        LLVMMDNodeInContext2(g->context, (LLVMMetadataRef[]){LLVMValueAsMetadata(one)}, 1);
    LLVMSetMetadata(v_store, LLVMGetMDKindIDInContext(g->context, "nontemporal", 11),
                    LLVMMetadataAsValue(g->context, node));
}
