/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers over the LLVM-C builder. IR values are named v_…, basic blocks b_…, types t_…. */
#ifndef NG_BUILD_H
#define NG_BUILD_H

#include "llvm_compat.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct ng_build {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMValueRef fn;
    LLVMTypeRef t_i1, t_i8, t_i16, t_i32, t_i64, t_half, t_float, t_double, t_ptr;
} ng_build;

typedef LLVMValueRef ng_v;
typedef LLVMTypeRef ng_t;

static inline ng_v ng_i64(const ng_build *g, int64_t v) {
    return LLVMConstInt(g->t_i64, (unsigned long long)v, true);
}
static inline ng_v ng_i32(const ng_build *g, int32_t v) {
    return LLVMConstInt(g->t_i32, (unsigned long long)(int64_t)v, true);
}
/* The same constant in every element of a vector type, or itself for a scalar type. */
ng_v ng_splat_const(ng_t type, ng_v v_element);
ng_v ng_int_const(ng_t type, uint64_t value);
ng_v ng_real_const(ng_t type, double value);
/* <count x element of `like`>, with the element type of a vector or scalar type. */
ng_t ng_element_type(ng_t type);
unsigned ng_vector_size(ng_t type);

/* Calls an overloaded intrinsic; types are its overloaded types in order. */
ng_v ng_intrinsic(const ng_build *g, const char *name, ng_t *types, unsigned n_types, ng_v *args,
                  unsigned n_args);
/* Elements from, from+1 … (count of them) of v; elements past v's end are poison. */
ng_v ng_subvector(const ng_build *g, ng_v v, unsigned from, unsigned count);
/* The elements of a, then those of b. */
ng_v ng_concat(const ng_build *g, ng_v v_a, ng_v v_b);
ng_v ng_concat_all(const ng_build *g, const ng_v *v, unsigned n);
/* General two-vector shuffle. */
ng_v ng_shuffle(const ng_build *g, ng_v v_a, ng_v v_b, const int *mask, unsigned n);
/* A vector of count copies of element `index` of v. */
ng_v ng_broadcast(const ng_build *g, ng_v v, unsigned index, unsigned count);
/* base + bytes */
ng_v ng_offset(const ng_build *g, ng_v v_base, ng_v v_bytes);
ng_v ng_load(const ng_build *g, ng_t type, ng_v v_ptr, unsigned align);
ng_v ng_store(const ng_build *g, ng_v v, ng_v v_ptr, unsigned align);
/* A constant <n x i1> whose first `set` elements are true. */
ng_v ng_first_mask(const ng_build *g, unsigned n, unsigned set);
ng_v ng_bitcast(const ng_build *g, ng_v v, ng_t type);

/* A do-while loop that carries values: index from v_from, by `step`, while index < v_limit. Between
 * begin and end, carried[] are the values at the top of the body; set them to the next ones before
 * end. After end they are the last ones, as is v_index (the first index not visited). */
typedef struct ng_loop {
    LLVMBasicBlockRef b_head, b_entry;
    ng_v v_index, v_limit;
    ng_v *carried;
    unsigned n;
    int64_t step;
} ng_loop;
void ng_loop_begin(const ng_build *g, ng_loop *loop, ng_v v_from, ng_v v_limit, int64_t step,
                   ng_v *carried, unsigned n);
void ng_loop_end(const ng_build *g, ng_loop *loop);
LLVMBasicBlockRef ng_block_new(const ng_build *g, const char *name);
static inline LLVMBasicBlockRef ng_block_here(const ng_build *g) {
    return LLVMGetInsertBlock(g->b);
}
static inline void ng_block_start(const ng_build *g, LLVMBasicBlockRef b) {
    LLVMPositionBuilderAtEnd(g->b, b);
}
/* To b_rare if so, else to b_usual, whose code comes next. */
void ng_branch_rarely(const ng_build *g, ng_v v_if, LLVMBasicBlockRef b_rare,
                      LLVMBasicBlockRef b_usual);
/* A phi of the given type in the current block with one incoming value. */
ng_v ng_phi(const ng_build *g, ng_v v_first, LLVMBasicBlockRef b_first);
/* The same integer or vector, but nobody knows that it is: no instruction. What a loop counts with
 * goes through it, or loop strength reduction makes other addresses of it: half of the compile
 * time, nothing gained, and switching it off is possible for a whole process only. */
ng_v ng_opaque(const ng_build *g, ng_v v);
/* What touches memory before this place does so before what comes behind it, in the order of the
 * code. */
void ng_memory_order(const ng_build *g);
void ng_phi_add(ng_v phi, ng_v v, LLVMBasicBlockRef b);

#endif
