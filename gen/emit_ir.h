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
static inline ng_v ng_xor(const ng_build *g, ng_v a, ng_v b) {
    return LLVMBuildXor(g->b, a, b, "");
}
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

/* The member at an offset of a struct. */
static inline ng_v ng_member(const ng_build *g, ng_v v_base, size_t at) {
    return ng_load(g, g->t_i64, ng_offset(g, v_base, ng_i64(g, (int64_t)at)), 8);
}

/* emit_bind.c */
typedef struct ng_binding {
    ng_v v_args, v_first, v_last, v_rows; /* as the caller counts rows */
    ng_v v_from, v_to;                    /* first and last in rows of the program */
    ng_v v_inner;                         /* rows of the program per outer index */
    ng_v v_asked, v_outers, v_odd_rows;   /* on two levels: member inner, or NULL; outer indices of
                                             the call; i1: rows are no multiple of inner */
    ng_v base[NORMGEN_MAX_STREAMS];       /* i64, as the two strides */
    ng_v stride[NORMGEN_MAX_STREAMS], outer[NORMGEN_MAX_STREAMS];
} ng_binding;
/* Loads the arguments of a call where the builder stands. */
void ng_bind_load(const ng_build *g, const ng_program *program, ng_binding *bind);
/* i1: whether anything about them is not beyond doubt, or v_sign (i64) is negative; straight code,
 * no branch. */
ng_v ng_bind_doubt(const ng_build *g, const ng_program *program, const ng_binding *bind,
                   ng_v v_sign);
/* How doubts are collected: in numbers of which some bits must not be set, so that one comparison
 * asks them all. Stands here for both kinds of functions. */
typedef struct ng_doubts {
    ng_v v_place; /* addresses less one: below 2^61, so not null nor at the end of the space */
    ng_v v_count; /* rows and strides: below 2^31 */
    ng_v v_sign;  /* must not be negative */
    ng_v v_odd;   /* what is left over an element's alignment: zero */
} ng_doubts;
/* Rows, first and last, and their order; v_sign as above. */
void ng_doubt_begin(const ng_build *g, ng_doubts *d, const ng_binding *bind, ng_v v_sign);
void ng_doubt_base(const ng_build *g, ng_doubts *d, ng_v v_base, int64_t element);
/* least: bytes that the stride has at least. */
void ng_doubt_stride(const ng_build *g, ng_doubts *d, ng_v v_stride, int64_t least,
                     int64_t element);
ng_v ng_doubt_any(const ng_build *g, const ng_doubts *d); /* i1 */
/* The exact checks, for a call in doubt; returns from the function with the status of the first
 * that fails. v_meet: the function of ng_bind_meet, or on two levels of ng_levels_meet. */
void ng_bind_check(const ng_build *g, const ng_program *program, const ng_binding *bind,
                   ng_v v_meet);
/* Adds the function that says whether two strided regions meet: base, stride, bytes of a row and
 * rows of one, then of the other. */
ng_v ng_bind_meet(ng_build *g);
/* An output may stand in the place of an input of its shape. */
bool ng_bind_may_be_one(const ng_program *program, int s, int t);
/* i64, negative where the addresses of stream s, up to end[s], cross those of an earlier one that
 * they may not share: one of the two is an output, and they are not the same rows, which the
 * function says in the same way. Of addresses and ends below 2^63. */
typedef ng_v (*ng_rows_differ)(const ng_build *g, const ng_binding *bind, int s, int t);
ng_v ng_bind_crosses(const ng_build *g, const ng_program *program, const ng_binding *bind,
                     const ng_v *end, int s, ng_rows_differ differ);
/* Returns from the function with a status if the i1 is set. */
void ng_fail_if(const ng_build *g, ng_v v_if, ng_emit_status status);
/* Writes the struct normgen_bound_args. */
void ng_bind_store(const ng_build *g, const ng_program *program, const ng_binding *bind,
                   ng_v v_bound);

/* emit_levels.c: the same for programs with rows on two levels. */
void ng_levels_load(const ng_build *g, const ng_program *program, ng_binding *bind);
ng_v ng_levels_doubt(const ng_build *g, const ng_program *program, const ng_binding *bind,
                     ng_v v_sign);
/* v_meet: the function of ng_levels_meet. */
void ng_levels_check(const ng_build *g, const ng_program *program, const ng_binding *bind,
                     ng_v v_meet);
/* v_rows_meet: the function of ng_bind_meet. */
ng_v ng_levels_meet(ng_build *g, ng_v v_rows_meet);

/* emit_detect.c: adds the function that sets v_level (an i32: 1 + index of the best level of the
 * array that runs here, or 0) and v_limits ([3 x i64]: bytes of the regimes). */
ng_v ng_detect(ng_build *g, const ng_isa *const *levels, int n, ng_v v_level, ng_v v_limits);

#endif
