/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that a level without FMA and F16C has not, spelled out: LLVM would call libm, lane by
 * lane. The bits are those of the instructions. Each is a function of its own inside the object,
 * because in place they would make the code ten times as long. */
#include "lower.h"
#include "object.h"

#include <stdio.h>

static ng_v select_bits(const ng_build *g, ng_v v_if, ng_v a, ng_v b) {
    return LLVMBuildSelect(g->b, v_if, a, b, "");
}

static ng_v shifted(const ng_build *g, ng_v v, uint64_t bits) {
    return LLVMBuildLShr(g->b, v, ng_int_const(LLVMTypeOf(v), bits), "");
}

static ng_v masked_bits(const ng_build *g, ng_v v, uint64_t mask) {
    return LLVMBuildAnd(g->b, v, ng_int_const(LLVMTypeOf(v), mask), "");
}

static ng_v added(const ng_build *g, ng_v v, uint64_t k) {
    return LLVMBuildAdd(g->b, v, ng_int_const(LLVMTypeOf(v), k), "");
}

/* ---- functions ---- */

typedef ng_v (*body)(const ng_build *g, ng_v *a);

/* The module's function of that name for vectors of this size; made at its first use. */
static ng_v function_of(const ng_lower *l, const char *name, body make, ng_t t, unsigned n) {
    const ng_build *g = &l->g;
    ng_v v_fn = LLVMGetNamedFunction(g->module, name), params[3];
    if (v_fn) return v_fn;
    v_fn = LLVMAddFunction(g->module, name, t);
    LLVMSetLinkage(v_fn, LLVMInternalLinkage);
    ng_function_attributes(g, v_fn, l->isa);
    for (unsigned i = 0; i < n; i++) params[i] = LLVMGetParam(v_fn, i);
    LLVMBasicBlockRef b_here = ng_block_here(g);
    ng_block_start(g, LLVMAppendBasicBlockInContext(g->context, v_fn, "entry"));
    LLVMBuildRet(g->b, make(g, params));
    ng_block_start(g, b_here);
    return v_fn;
}

static ng_v call(const ng_lower *l, const char *stem, body make, ng_t t_result, ng_v *a,
                 unsigned n) {
    char name[32];
    ng_t types[3];
    for (unsigned i = 0; i < n; i++) types[i] = LLVMTypeOf(a[i]);
    snprintf(name, sizeof name, "%s%u", stem, ng_vector_size(types[0]));
    ng_t t = LLVMFunctionType(t_result, types, n, false);
    ng_v v_fn = function_of(l, name, make, t, n);
    return LLVMBuildCall2(l->g.b, t, v_fn, a, n, "");
}

/* ---- fma ---- */

/* p + z rounded to odd: s is the nearest, e its exact error (TwoSum). Where s is inexact and even,
 * the odd neighbour lies towards e: one more or one less in the magnitude's bits. */
static ng_v sum_to_odd(const ng_build *g, ng_v v_p, ng_v v_z) {
    LLVMBuilderRef b = g->b;
    ng_t t = LLVMTypeOf(v_p), t_bits = LLVMVectorType(g->t_i64, ng_vector_size(t));
    ng_v v_s = LLVMBuildFAdd(b, v_p, v_z, ""), v_t = LLVMBuildFSub(b, v_s, v_p, "");
    ng_v v_p_lost = LLVMBuildFSub(b, v_p, LLVMBuildFSub(b, v_s, v_t, ""), "");
    ng_v v_e = LLVMBuildFAdd(b, v_p_lost, LLVMBuildFSub(b, v_z, v_t, ""), "");
    ng_v v_s_bits = ng_bitcast(g, v_s, t_bits), v_e_bits = ng_bitcast(g, v_e, t_bits);
    ng_v v_inexact = LLVMBuildFCmp(b, LLVMRealONE, v_e, LLVMConstNull(t), ""); /* not of NaN */
    ng_v v_odd = masked_bits(g, v_s_bits, 1);
    ng_v v_even = LLVMBuildICmp(b, LLVMIntEQ, v_odd, LLVMConstNull(t_bits), "");
    ng_v v_away = LLVMBuildXor(b, v_s_bits, v_e_bits, ""); /* its sign: towards zero */
    ng_v v_minus = LLVMBuildAShr(b, v_away, ng_int_const(t_bits, 63), "");
    ng_v v_step = LLVMBuildOr(b, v_minus, ng_int_const(t_bits, 1), "");
    ng_v v_moved = LLVMBuildAdd(b, v_s_bits, v_step, "");
    ng_v v_move = LLVMBuildAnd(b, v_inexact, v_even, "");
    return ng_bitcast(g, select_bits(g, v_move, v_moved, v_s_bits), t);
}

/* The product of two floats is exact in double, and 53 bits rounded to odd are enough to round once
 * more to 24 or fewer: docs/numerics.md rule 9. */
static ng_v fma_by_doubles(const ng_build *g, ng_v *a) {
    ng_t t = LLVMTypeOf(a[0]), t_wide = LLVMVectorType(g->t_double, ng_vector_size(t));
    ng_v v_x = LLVMBuildFPExt(g->b, a[0], t_wide, "");
    ng_v v_y = LLVMBuildFPExt(g->b, a[1], t_wide, "");
    ng_v v_z = LLVMBuildFPExt(g->b, a[2], t_wide, "");
    ng_v v_p = LLVMBuildFMul(g->b, v_x, v_y, "");
    return LLVMBuildFPTrunc(g->b, sum_to_odd(g, v_p, v_z), t, "");
}

ng_v ng_fma(const ng_lower *l, ng_v *a) {
    ng_t t = LLVMTypeOf(a[0]);
    if (l->isa->fma) return ng_intrinsic(&l->g, "llvm.fma", &t, 1, a, 3);
    return call(l, "fma", fma_by_doubles, t, a, 3);
}

/* ---- rint ---- */

/* Adding 2^23 leaves no fraction; what is larger has none. The sign stays, also of zeros. */
ng_v ng_rint(const ng_lower *l, ng_v v) {
    const ng_build *g = &l->g;
    ng_t t = LLVMTypeOf(v), t_bits = LLVMVectorType(g->t_i32, ng_vector_size(t));
    if (l->isa->fma) return ng_intrinsic(g, "llvm.rint", &t, 1, &v, 1);
    ng_v v_large = ng_real_const(t, 0x1p23), v_bits = ng_bitcast(g, v, t_bits);
    ng_v v_size = ng_bitcast(g, masked_bits(g, v_bits, 0x7fffffff), t);
    ng_v v_whole = LLVMBuildFSub(g->b, LLVMBuildFAdd(g->b, v_size, v_large, ""), v_large, "");
    ng_v v_fraction = LLVMBuildFCmp(g->b, LLVMRealOLT, v_size, v_large, ""); /* not NaN */
    v_whole = ng_bitcast(g, select_bits(g, v_fraction, v_whole, v_size), t_bits);
    ng_v v_sign = masked_bits(g, v_bits, 0x80000000u);
    return ng_bitcast(g, LLVMBuildOr(g->b, v_whole, v_sign, ""), t);
}

/* What rint took away from zero goes back. */
ng_v ng_trunc(const ng_lower *l, ng_v v) {
    const ng_build *g = &l->g;
    ng_t t = LLVMTypeOf(v), t_bits = LLVMVectorType(g->t_i32, ng_vector_size(t));
    if (l->isa->fma) return ng_intrinsic(g, "llvm.trunc", &t, 1, &v, 1);
    ng_v v_size = ng_bitcast(g, masked_bits(g, ng_bitcast(g, v, t_bits), 0x7fffffff), t);
    ng_v v_whole = ng_rint(l, v_size);
    ng_v v_over = LLVMBuildFCmp(g->b, LLVMRealOLT, v_size, v_whole, "");
    ng_v v_less = LLVMBuildFSub(g->b, v_whole, ng_real_const(t, 1), "");
    v_whole = ng_bitcast(g, select_bits(g, v_over, v_less, v_whole), t_bits);
    ng_v v_sign = masked_bits(g, ng_bitcast(g, v, t_bits), 0x80000000u);
    return ng_bitcast(g, LLVMBuildOr(g->b, v_whole, v_sign, ""), t);
}

/* ---- f16: the same operations as in types.h ---- */

static ng_v half_to_float(const ng_build *g, ng_v *a) {
    ng_v v = a[0];
    unsigned n = ng_vector_size(LLVMTypeOf(v));
    ng_t t = LLVMVectorType(g->t_i32, n), t_float = LLVMVectorType(g->t_float, n);
    ng_v v_h = LLVMBuildZExt(g->b, v, t, "");
    ng_v v_magnitude = LLVMBuildShl(g->b, masked_bits(g, v_h, 0x7fff), ng_int_const(t, 13), "");
    ng_v v_sign = LLVMBuildShl(g->b, masked_bits(g, v_h, 0x8000), ng_int_const(t, 16), "");
    ng_v v_scaled = LLVMBuildFMul(g->b, ng_bitcast(g, v_magnitude, t_float),
                                  ng_real_const(t_float, 0x1p112), "");
    ng_v v_huge =
        LLVMBuildICmp(g->b, LLVMIntEQ, masked_bits(g, v_h, 0x7c00), ng_int_const(t, 0x7c00), "");
    ng_v v_all_ones = LLVMBuildOr(g->b, v_magnitude, ng_int_const(t, 0x7f800000), "");
    ng_v v_u = select_bits(g, v_huge, v_all_ones, ng_bitcast(g, v_scaled, t));
    return ng_bitcast(g, LLVMBuildOr(g->b, v_u, v_sign, ""), t_float);
}

static ng_v below(const ng_build *g, ng_v v, uint64_t k) {
    return LLVMBuildICmp(g->b, LLVMIntSLT, v, ng_int_const(LLVMTypeOf(v), k), "");
}

static ng_v float_to_half(const ng_build *g, ng_v *a) {
    ng_v v = a[0];
    unsigned n = ng_vector_size(LLVMTypeOf(v));
    ng_t t = LLVMVectorType(g->t_i32, n), t_float = LLVMTypeOf(v);
    ng_v v_u = ng_bitcast(g, v, t), v_m = masked_bits(g, v_u, 0x7fffffff);
    ng_v v_odd = masked_bits(g, shifted(g, v_m, 13), 1);
    uint64_t rebias = (uint32_t)(0xfffu - 0x38000000u);
    ng_v v_normal = shifted(g, LLVMBuildAdd(g->b, added(g, v_m, rebias), v_odd, ""), 13);
    ng_v v_is_small = below(g, v_m, 0x38800000);
    ng_v v_low = ng_bitcast(g, select_bits(g, v_is_small, v_m, LLVMConstNull(t)), t_float);
    ng_v v_sum = LLVMBuildFAdd(g->b, v_low, ng_real_const(t_float, 0.5), "");
    ng_v v_small = added(g, ng_bitcast(g, v_sum, t), (uint32_t)-0x3f000000);
    ng_v v_r = select_bits(g, v_is_small, v_small, v_normal);
    v_r = select_bits(g, below(g, v_m, 0x477ff000), v_r, ng_int_const(t, 0x7c00));
    ng_v v_payload = masked_bits(g, shifted(g, v_m, 13), 0x3ff);
    ng_v v_nan = LLVMBuildOr(g->b, v_payload, ng_int_const(t, 0x7e00), "");
    v_r = select_bits(g, below(g, v_m, 0x7f800001), v_r, v_nan);
    ng_v v_sign = masked_bits(g, shifted(g, v_u, 16), 0x8000);
    return LLVMBuildTrunc(g->b, LLVMBuildOr(g->b, v_r, v_sign, ""), LLVMVectorType(g->t_i16, n),
                          "");
}

ng_v ng_half_spelled_wide(const ng_lower *l, ng_v v) {
    ng_t t = LLVMVectorType(l->g.t_float, ng_vector_size(LLVMTypeOf(v)));
    return call(l, "from_half", half_to_float, t, &v, 1);
}

ng_v ng_half_spelled_narrow(const ng_lower *l, ng_v v) {
    ng_t t = LLVMVectorType(l->g.t_i16, ng_vector_size(LLVMTypeOf(v)));
    return call(l, "to_half", float_to_half, t, &v, 1);
}
