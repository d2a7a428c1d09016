/* SPDX-License-Identifier: Apache-2.0 */
/* The LLVM side of a dispatcher: its parts, and short words for integer code. */
#ifndef NG_EMIT_IR_H
#define NG_EMIT_IR_H

#include "emit.h"
#include "object.h"

#include <string.h>

static inline ng_v ng_add(const ng_build *g, ng_v a, ng_v b) {
    return LLVMBuildAdd(g->b, a, b, "");
}
static inline ng_v ng_sub(const ng_build *g, ng_v a, ng_v b) {
    return LLVMBuildSub(g->b, a, b, "");
}
static inline ng_v ng_mul(const ng_build *g, ng_v a, ng_v b) {
    return LLVMBuildMul(g->b, a, b, "");
}
static inline ng_v ng_and(const ng_build *g, ng_v a, ng_v b) {
    return LLVMBuildAnd(g->b, a, b, "");
}
static inline ng_v ng_or(const ng_build *g, ng_v a, ng_v b) { return LLVMBuildOr(g->b, a, b, ""); }
static inline ng_v ng_is(const ng_build *g, LLVMIntPredicate how, ng_v a, ng_v b) {
    return LLVMBuildICmp(g->b, how, a, b, "");
}
static inline ng_v ng_pick(const ng_build *g, ng_v v_if, ng_v a, ng_v b) {
    return LLVMBuildSelect(g->b, v_if, a, b, "");
}
/* v >> n, unsigned. */
static inline ng_v ng_shr(const ng_build *g, ng_v v, unsigned n) {
    return LLVMBuildLShr(g->b, v, LLVMConstInt(LLVMTypeOf(v), n, false), "");
}
/* `count` bits of v from bit `from` on. */
static inline ng_v ng_bits(const ng_build *g, ng_v v, unsigned from, unsigned count) {
    return ng_and(g, ng_shr(g, v, from), LLVMConstInt(LLVMTypeOf(v), (1u << count) - 1, false));
}
static inline ng_v ng_wide(const ng_build *g, ng_v v) {
    return LLVMBuildZExt(g->b, v, g->t_i64, "");
}

/* emit_bind.c */
typedef struct ng_binding {
    ng_v v_args, v_first, v_last, v_rows;
    ng_v base[NORMGEN_MAX_STREAMS], stride[NORMGEN_MAX_STREAMS]; /* i64 */
} ng_binding;
/* Loads the arguments of a call where the builder stands. */
void ng_bind_load(const ng_build *g, const ng_program *program, ng_binding *bind);
/* i1: whether anything about them is not beyond doubt; straight code, no branch. */
ng_v ng_bind_doubt(const ng_build *g, const ng_program *program, const ng_binding *bind);
/* The exact checks, for a call in doubt; returns from the function with the status of the first
 * that fails. v_meet: the function of ng_bind_meet. */
void ng_bind_check(const ng_build *g, const ng_program *program, const ng_binding *bind,
                   ng_v v_meet);
/* Adds the function that says whether two strided regions meet. */
ng_v ng_bind_meet(ng_build *g);
/* Writes the struct normgen_bound_args. */
void ng_bind_store(const ng_build *g, const ng_program *program, const ng_binding *bind,
                   ng_v v_bound);

/* emit_detect.c: adds the function that sets v_level (an i32: 1 + index of the best level of the
 * array that runs here, or 0) and v_limits ([3 x i64]: bytes of the regimes). */
ng_v ng_detect(ng_build *g, const ng_isa *const *levels, int n, ng_v v_level, ng_v v_limits);

#endif
