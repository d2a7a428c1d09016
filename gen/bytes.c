/* SPDX-License-Identifier: Apache-2.0 */
/* Element types of eight bits: integers, which saturate, and floats. What is rare (a NaN, or more
 * than an integer of 32 bits holds) is looked for in all vectors at once and computed out of line.
 */
#include "lower.h"

#include "types.h"

#include <math.h>

static ng_t vector_of(ng_t element, unsigned n) { return LLVMVectorType(element, n); }
static unsigned size_of(ng_v v) { return LLVMGetVectorSize(LLVMTypeOf(v)); }

/* ---- integers ---- */

typedef struct integer {
    const char *pack; /* instruction from words to saturated bytes */
    double lowest, highest;
} integer;

static const integer integers[NG_TYPE_COUNT] = {
    [NORMGEN_I8] = {"llvm.x86.avx512.packsswb.512", -128, 127},
    [NORMGEN_U8] = {"llvm.x86.avx512.packuswb.512", 0, 255},
};

/* Packs work in quarters of a vector. Whether they are what n vectors of 32-bit integers become
 * bytes by. */
static bool packs(const ng_lower *l, unsigned n) { return l->s->vec == 512 && n % 4 == 0; }

/* Pairs of n vectors of integers to saturated words. */
static void pack_words(const ng_lower *l, const ng_v *v, unsigned n, ng_v *out) {
    for (unsigned i = 0; i < n / 2; i++) {
        ng_v pair[2] = {v[2 * i], v[2 * i + 1]};
        out[i] = ng_intrinsic(&l->g, "llvm.x86.avx512.packssdw.512", NULL, 0, pair, 2);
    }
}

/* Two such vectors of words to one of saturated bytes: the four-byte pieces that come out are put
 * in order. */
static ng_v pack_bytes(const ng_lower *l, const integer *f, ng_v *half) {
    const ng_build *g = &l->g;
    int order[16];
    ng_v v = ng_intrinsic(g, f->pack, NULL, 0, half, 2);
    for (int i = 0; i < 16; i++) order[i] = 4 * (i % 4) + i / 4;
    v = ng_bitcast(g, v, vector_of(g->t_i32, 16));
    return ng_bitcast(g, ng_shuffle(g, v, v, order, 16), vector_of(g->t_i8, 64));
}

static ng_v saturated(const ng_lower *l, const integer *f, ng_v v) {
    const ng_build *g = &l->g;
    ng_t t = LLVMTypeOf(v);
    ng_v low[2] = {v, ng_int_const(t, (uint64_t)(int64_t)f->lowest)};
    ng_v high[2] = {ng_intrinsic(g, "llvm.smax", &t, 1, low, 2),
                    ng_int_const(t, (uint64_t)(int64_t)f->highest)};
    v = ng_intrinsic(g, "llvm.smin", &t, 1, high, 2);
    return LLVMBuildTrunc(g->b, v, vector_of(g->t_i8, size_of(v)), "");
}

/* NaN becomes 0; nothing is above the highest. What is too low for 32 bits needs no clamp: the
 * conversion makes the lowest integer of it, and saturating the lowest of the type. */
static ng_v tame(const ng_lower *l, const integer *f, ng_v v) {
    const ng_build *g = &l->g;
    ng_t t = LLVMTypeOf(v);
    ng_v v_number = LLVMBuildFCmp(g->b, LLVMRealORD, v, v, "");
    ng_v v_high = ng_real_const(t, f->highest);
    v = LLVMBuildSelect(g->b, LLVMBuildFCmp(g->b, LLVMRealOLT, v, v_high, ""), v, v_high, "");
    return LLVMBuildSelect(g->b, v_number, v, LLVMConstNull(t), "");
}

/* x86's conversions of a vector of floats: of NaN and of what is too large or too low for 32 bits
 * they make the lowest integer. NULL where no such instruction fits. */
static const char *conversion(const ng_lower *l, bool truncate) {
    static const struct {
        int bits;
        const char *name[2];
    } forms[] = {{512, {"llvm.x86.avx512.mask.cvtps2dq.512", "llvm.x86.avx512.mask.cvttps2dq.512"}},
                 {256, {"llvm.x86.avx.cvt.ps2dq.256", "llvm.x86.avx.cvtt.ps2dq.256"}},
                 {128, {"llvm.x86.sse2.cvtps2dq", "llvm.x86.sse2.cvttps2dq"}}};
    if (l->isa->arch != NG_X86_64 || l->p->compute != NORMGEN_F32) return NULL;
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (forms[i].bits == l->s->vec) return forms[i].name[truncate];
    return NULL;
}

static ng_v convert_vector(const ng_lower *l, const char *name, ng_v v) {
    const ng_build *g = &l->g;
    ng_t t = vector_of(g->t_i32, size_of(v));
    ng_v args[4] = {v, LLVMConstNull(t), LLVMConstInt(g->t_i16, 0xffff, false), /* all elements */
                    ng_i32(g, 4) /* the rounding mode as it is */};
    return ng_intrinsic(g, name, NULL, 0, args, l->s->vec == 512 ? 4 : 1);
}

/* The lowest elements of n vectors, a power of two. */
static ng_v least_of(const ng_build *g, const ng_v *v, unsigned n) {
    ng_v least[MAX_SLICE];
    ng_t t = LLVMTypeOf(v[0]);
    for (unsigned i = 0; i < n; i++) least[i] = v[i];
    for (unsigned half = n / 2; half; half /= 2)
        for (unsigned i = 0; i < half; i++) {
            ng_v args[2] = {least[i], least[i + half]};
            least[i] = ng_intrinsic(g, "llvm.smin", &t, 1, args, 2);
        }
    return least[0];
}

ng_v ng_any_lowest(const ng_build *g, ng_v v) {
    unsigned bits = LLVMGetIntTypeWidth(LLVMGetElementType(LLVMTypeOf(v)));
    ng_t t_mask = LLVMIntTypeInContext(g->context, size_of(v));
    ng_v v_lowest = ng_int_const(LLVMTypeOf(v), 1ull << (bits - 1));
    ng_v v_is = ng_bitcast(g, LLVMBuildICmp(g->b, LLVMIntEQ, v, v_lowest, ""), t_mask);
    return LLVMBuildICmp(g->b, LLVMIntNE, v_is, LLVMConstNull(t_mask), "");
}

/* Integers of n vectors, as words where they are packed. */
static unsigned convert(const ng_lower *l, const char *name, const ng_v *in, unsigned n,
                        ng_v *out) {
    ng_v whole[MAX_SLICE];
    bool words = packs(l, n);
    for (unsigned i = 0; i < n; i++) (words ? whole : out)[i] = convert_vector(l, name, in[i]);
    if (words) pack_words(l, whole, n, out);
    return words ? n / 2 : n;
}

static ng_v bytes_of(const ng_lower *l, const integer *f, ng_v *v, unsigned n, bool words) {
    ng_v out[MAX_SLICE];
    if (!words) return saturated(l, f, ng_concat_all(&l->g, v, n));
    for (unsigned i = 0; i < n / 2; i++) out[i] = pack_bytes(l, f, v + 2 * i);
    return ng_concat_all(&l->g, out, n / 2);
}

/* By x86's instructions: only where they made the lowest integer of something, all is converted
 * again with care, here or by whoever takes doubts. Words are looked at rather than what they were
 * packed of: they are half as many, and of what saturates to their lowest value the careful
 * conversion makes the same. */
static ng_v by_instruction(const ng_lower *l, const integer *f, const char *name, ng_v v) {
    const ng_build *g = &l->g;
    unsigned n = size_of(v) / (unsigned)l->vector;
    ng_v in[MAX_SLICE], out[MAX_SLICE], tamed[MAX_SLICE], again[MAX_SLICE];
    for (unsigned i = 0; i < n; i++)
        in[i] = ng_subvector(g, v, i * (unsigned)l->vector, (unsigned)l->vector);
    for (unsigned i = 0; i < n && l->careful; i++) in[i] = tame(l, f, in[i]);
    unsigned n_out = convert(l, name, in, n, out);
    ng_v v_least = least_of(g, out, n_out);
    if (l->doubts) ng_doubt(l, v_least);
    if (l->doubts || l->careful) return bytes_of(l, f, out, n_out, packs(l, n));
    LLVMBasicBlockRef b_here = ng_block_here(g), b_rare = ng_block_new(g, "rare"),
                      b_go = ng_block_new(g, "usual");
    ng_branch_rarely(g, ng_any_lowest(g, v_least), b_rare, b_go);
    ng_block_start(g, b_rare);
    for (unsigned i = 0; i < n; i++) tamed[i] = tame(l, f, in[i]);
    convert(l, name, tamed, n, again);
    LLVMBuildBr(g->b, b_go);
    ng_block_start(g, b_go);
    for (unsigned i = 0; i < n_out; i++) {
        out[i] = ng_phi(g, out[i], b_here);
        ng_phi_add(out[i], again[i], b_rare);
    }
    return bytes_of(l, f, out, n_out, packs(l, n));
}

static ng_v narrow(const ng_lower *l, int type, bool truncate, ng_v v) {
    const ng_build *g = &l->g;
    const integer *f = &integers[type];
    const char *name = conversion(l, truncate);
    unsigned n = size_of(v), vector = (unsigned)l->vector;
    if (name && n >= vector && n / vector <= MAX_SLICE) return by_instruction(l, f, name, v);
    ng_t types[2] = {vector_of(g->t_i32, n), LLVMTypeOf(v)};
    if (truncate) v = ng_trunc(l, v);
    v = tame(l, f, v);
    return saturated(l, f, ng_intrinsic(g, "llvm.lrint", types, 2, &v, 1));
}

ng_v ng_narrow_integers(const ng_lower *l, int type, ng_v v) { return narrow(l, type, false, v); }
ng_v ng_truncate_integers(const ng_lower *l, int type, ng_v v) { return narrow(l, type, true, v); }

ng_v ng_widen_integers(const ng_lower *l, int type, ng_v v) {
    unsigned n = size_of(v);
    ng_t t = vector_of(l->g.t_i32, n);
    v = integers[type].lowest < 0 ? LLVMBuildSExt(l->g.b, v, t, "")
                                  : LLVMBuildZExt(l->g.b, v, t, "");
    return LLVMBuildSIToFP(l->g.b, v, vector_of(l->t_real, n), "");
}

/* ---- floats ---- */

typedef struct minifloat {
    float highest;
    uint8_t mantissa;     /* bits */
    int8_t exponent;      /* the smallest, of normal numbers */
    uint8_t special, nan; /* codes: from here on no numbers; what NaN becomes */
} minifloat;

static const minifloat minifloats[NG_TYPE_COUNT] = {
    [NORMGEN_E4M3] = {448, 3, -6, .special = 0x7f, .nan = 0x7f},
    [NORMGEN_E5M2] = {57344, 2, -14, .special = 0x7c, .nan = 0x7e},
};

static ng_v extremum(const ng_build *g, const char *name, ng_v v, uint32_t k) {
    ng_t t = LLVMTypeOf(v);
    ng_v args[2] = {v, ng_int_const(t, k)};
    return ng_intrinsic(g, name, &t, 1, args, 2);
}

/* Whether AVX-512's instructions for whole vectors of 32-bit elements fit. */
static bool is_whole(const ng_lower *l, ng_v v) {
    return l->isa->arch == NG_X86_64 && l->s->vec == 512 && size_of(v) == 16;
}

/* The lesser of the magnitude and the highest number by one instruction, where a mask leaves what
 * stands for NaN. */
static ng_v magnitude_by_range(const ng_build *g, const minifloat *f, ng_v v, uint32_t beyond) {
    enum { LESSER_MAGNITUDE = 2, SIGN_CLEARED = 2 << 2, NO_EXCEPTION = 4 };
    ng_t t = LLVMTypeOf(v), t_bits = vector_of(g->t_i32, size_of(v));
    ng_v v_number = LLVMBuildFCmp(g->b, LLVMRealORD, v, v, "");
    ng_v args[6] = {v,
                    ng_real_const(t, (double)f->highest),
                    ng_i32(g, LESSER_MAGNITUDE | SIGN_CLEARED),
                    ng_bitcast(g, ng_int_const(t_bits, beyond), t),
                    ng_bitcast(g, v_number, g->t_i16),
                    ng_i32(g, NO_EXCEPTION)};
    return ng_intrinsic(g, "llvm.x86.avx512.mask.range.ps.512", NULL, 0, args, 6);
}

/* The magnitude, at most the highest number, or what the code of NaN would be as a number: from
 * there on NaN is like others. */
static ng_v magnitude(const ng_lower *l, const minifloat *f, ng_v v) {
    const ng_build *g = &l->g;
    unsigned n = size_of(v);
    ng_t t = vector_of(g->t_i32, n), t_float = vector_of(g->t_float, n);
    uint32_t drop = 23u - f->mantissa;
    uint32_t beyond = ((uint32_t)(126 + f->exponent) << 23) + ((uint32_t)f->nan << drop);
    if (is_whole(l, v)) return magnitude_by_range(g, f, v, beyond);
    v = ng_intrinsic(g, "llvm.fabs", &t_float, 1, &v, 1);
    ng_v v_high = ng_real_const(t_float, (double)f->highest);
    v = LLVMBuildSelect(g->b, LLVMBuildFCmp(g->b, LLVMRealOLT, v_high, v, ""), v_high, v, "");
    return ng_bitcast(g, extremum(g, "llvm.umin", ng_bitcast(g, v, t), beyond), t_float);
}

/* The lowest byte of each integer, of which 7 bits are from one vector and the sign from the top of
 * another. */
static ng_v join_sign(const ng_lower *l, ng_v v_code, ng_v v_signed) {
    const ng_build *g = &l->g;
    ng_t t = LLVMTypeOf(v_code);
    ng_v v_sign = LLVMBuildLShr(g->b, v_signed, ng_int_const(t, 24), ""),
         v_low = ng_int_const(t, 0x7f);
    enum { FIRST_WHERE_THIRD = 0xe4 }; /* else the second */
    if (is_whole(l, v_code)) {
        ng_v args[4] = {v_code, v_sign, v_low, ng_i32(g, FIRST_WHERE_THIRD)};
        return ng_intrinsic(g, "llvm.x86.avx512.pternlog.d.512", NULL, 0, args, 4);
    }
    v_sign = LLVMBuildAnd(g->b, v_sign, ng_int_const(t, 0x80), "");
    return LLVMBuildOr(g->b, LLVMBuildAnd(g->b, v_code, v_low, ""), v_sign, "");
}

/* Integers from 0 to 255 to bytes. */
static ng_v lowest_bytes(const ng_lower *l, ng_v v) {
    const ng_build *g = &l->g;
    ng_v part[MAX_SLICE];
    unsigned n = size_of(v) / 16;
    if (l->isa->arch != NG_X86_64 || size_of(v) % 16 || !packs(l, n))
        return LLVMBuildTrunc(g->b, v, vector_of(g->t_i8, size_of(v)), "");
    for (unsigned i = 0; i < n; i++) part[i] = ng_subvector(g, v, 16 * i, 16);
    pack_words(l, part, n, part);
    return bytes_of(l, &integers[NORMGEN_U8], part, n / 2, true);
}

/* a times a constant, plus b; the product is exact, so that any fma and none give the same bits. */
static ng_v scaled_sum(const ng_lower *l, ng_v v_a, double k, ng_v v_b) {
    const ng_build *g = &l->g;
    ng_t t = LLVMTypeOf(v_a);
    ng_v args[3] = {v_a, ng_real_const(t, k), v_b};
    if (l->isa->fma) return ng_intrinsic(g, "llvm.fma", &t, 1, args, 3);
    return LLVMBuildFAdd(g->b, LLVMBuildFMul(g->b, v_a, args[1], ""), v_b, "");
}

/* Adding 2^(e+drop), drop being the bits of f32's mantissa that have no place, to a magnitude of
 * exponent e puts its last bit at the last bit of the f32 sum, which rounds to nearest even; e
 * stops at the smallest exponent, so subnormals need nothing else. The sum's last bits count units
 * of the last place; the exponents below e are worth 2^mantissa units each, an even number that the
 * power has to bring along: then the sum's last seven bits are the code. */

/* Powers with these units, taken from one register, or from two where the type has more exponents
 * than one has elements, by the last bits of the exponents. */
static ng_v powers_from_table(const ng_build *g, const minifloat *f, ng_v v_e) {
    enum { EACH = 16 };
    ng_t t_float = vector_of(g->t_float, EACH);
    ng_v entry[2 * EACH];
    uint32_t n = f->special >> f->mantissa < EACH ? EACH : 2 * EACH;
    uint32_t first = (uint32_t)(127 + f->exponent), drop = 23u - f->mantissa;
    for (uint32_t i = 0; i < n; i++)
        entry[(first + i) % n] =
            LLVMConstInt(g->t_i32, ((first + i + drop) << 23) + (i << f->mantissa), false);
    ng_v v_table = ng_bitcast(g, LLVMConstVector(entry, EACH), t_float);
    if (n == EACH) {
        ng_v args[2] = {v_table, v_e};
        return ng_intrinsic(g, "llvm.x86.avx512.permvar.sf.512", NULL, 0, args, 2);
    }
    ng_v args[3] = {v_table, v_e, ng_bitcast(g, LLVMConstVector(entry + EACH, EACH), t_float)};
    return ng_intrinsic(g, "llvm.x86.avx512.vpermi2var.ps.512", NULL, 0, args, 3);
}

static ng_v sum_by_table(const ng_build *g, const minifloat *f, ng_v v) {
    ng_t t_float = LLVMTypeOf(v), t = vector_of(g->t_i32, size_of(v));
    ng_v v_least = ng_real_const(t_float, ldexp(1, f->exponent));
    ng_v v_is = LLVMBuildFCmp(g->b, LLVMRealOGT, v, v_least, "");
    ng_v v_e = ng_bitcast(g, LLVMBuildSelect(g->b, v_is, v, v_least, ""), t);
    v_e = LLVMBuildLShr(g->b, v_e, ng_int_const(t, 23), "");
    return ng_bitcast(g, LLVMBuildFAdd(g->b, powers_from_table(g, f, v_e), v, ""), t);
}

/* Powers by a multiplication, with one even number below 128 of units for all. The sum's own
 * exponent, shifted down, counts the rest. */
static ng_v sum_by_fma(const ng_lower *l, const minifloat *f, ng_v v) {
    const ng_build *g = &l->g;
    ng_t t_float = LLVMTypeOf(v), t = vector_of(g->t_i32, size_of(v));
    int drop = 23 - f->mantissa, bias = 127 + f->exponent;
    unsigned units = -((unsigned)(bias + drop) << f->mantissa) & 0x7fu;
    ng_v v_e = LLVMBuildAnd(g->b, ng_bitcast(g, v, t), ng_int_const(t, 0x7f800000), "");
    v_e = extremum(g, "llvm.umax", v_e, (uint32_t)bias << 23);
    v = scaled_sum(l, ng_bitcast(g, v_e, t_float), ldexp(1, drop) + ldexp(units, drop - 23), v);
    v = ng_bitcast(g, v, t);
    return LLVMBuildAdd(g->b, v, LLVMBuildLShr(g->b, v, ng_int_const(t, (unsigned)drop), ""), "");
}

static ng_v minifloat_codes(const ng_lower *l, const minifloat *f, ng_v v) {
    ng_v v_m = magnitude(l, f, v);
    ng_v v_sum = is_whole(l, v) ? sum_by_table(&l->g, f, v_m) : sum_by_fma(l, f, v_m);
    return join_sign(l, v_sum, ng_bitcast(&l->g, v, LLVMTypeOf(v_sum)));
}

ng_v ng_narrow_minifloats(const ng_lower *l, int type, ng_v v) {
    const ng_build *g = &l->g;
    const minifloat *f = &minifloats[type];
    ng_v part[MAX_SLICE];
    unsigned n = size_of(v), each = n > (unsigned)l->vector ? (unsigned)l->vector : n;
    for (unsigned i = 0; i < n / each; i++)
        part[i] = minifloat_codes(l, f, ng_float_of_real(l, ng_subvector(g, v, i * each, each)));
    return lowest_bytes(l, ng_concat_all(g, part, n / each));
}

/* The exponent is moved by a multiplication with a power of two; codes from the type's `special`
 * on are infinities and NaN. */
ng_v ng_widen_minifloats(const ng_lower *l, int type, ng_v v) {
    const ng_build *g = &l->g;
    const minifloat *f = &minifloats[type];
    unsigned n = size_of(v);
    ng_t t = vector_of(g->t_i32, n), t_float = vector_of(g->t_float, n);
    ng_v v_bits = LLVMBuildZExt(g->b, v, t, "");
    ng_v v_code = LLVMBuildAnd(g->b, v_bits, ng_int_const(t, 0x7f), "");
    ng_v v_size = LLVMBuildShl(g->b, v_code, ng_int_const(t, 23u - f->mantissa), "");
    ng_v v_number = LLVMBuildFMul(g->b, ng_bitcast(g, v_size, t_float),
                                  ng_real_const(t_float, ldexp(1, 126 + f->exponent)), "");
    ng_v v_special = LLVMBuildOr(g->b, v_size, ng_int_const(t, 0x7f800000), "");
    ng_v v_is = LLVMBuildICmp(g->b, LLVMIntUGE, v_code, ng_int_const(t, f->special), "");
    v_size = LLVMBuildSelect(g->b, v_is, v_special, ng_bitcast(g, v_number, t), "");
    ng_v v_sign = LLVMBuildShl(g->b, LLVMBuildAnd(g->b, v_bits, ng_int_const(t, 0x80), ""),
                               ng_int_const(t, 24), "");
    return ng_real_of_float(l, ng_bitcast(g, LLVMBuildOr(g->b, v_size, v_sign, ""), t_float));
}
