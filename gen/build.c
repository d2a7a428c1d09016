/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers over the LLVM-C builder; they know nothing of norms. */
#include "build.h"

#include <assert.h>
#include <string.h>

ng_t ng_element_type(ng_t type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}
unsigned ng_vector_size(ng_t type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 1;
}

ng_v ng_splat_const(ng_t type, ng_v v_element) {
    ng_v all[256];
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind) return v_element;
    unsigned n = LLVMGetVectorSize(type);
    assert(n <= 256);
    for (unsigned i = 0; i < n; i++) all[i] = v_element;
    return LLVMConstVector(all, n);
}
ng_v ng_int_const(ng_t type, uint64_t value) {
    return ng_splat_const(type, LLVMConstInt(ng_element_type(type), value, false));
}
ng_v ng_real_const(ng_t type, double value) {
    return ng_splat_const(type, LLVMConstReal(ng_element_type(type), value));
}

ng_v ng_intrinsic(const ng_build *g, const char *name, ng_t *types, unsigned n_types, ng_v *args,
                  unsigned n_args) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    assert(id);
    ng_v f = LLVMGetIntrinsicDeclaration(g->module, id, types, n_types);
    return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->context, id, types, n_types), f, args,
                          n_args, "");
}

ng_v ng_shuffle(const ng_build *g, ng_v v_a, ng_v v_b, const int *mask, unsigned n) {
    ng_v index[256];
    assert(n <= 256);
    for (unsigned i = 0; i < n; i++)
        index[i] = mask[i] < 0 ? LLVMGetPoison(g->t_i32) : ng_i32(g, mask[i]);
    return LLVMBuildShuffleVector(g->b, v_a, v_b, LLVMConstVector(index, n), "");
}

ng_v ng_subvector(const ng_build *g, ng_v v, unsigned from, unsigned count) {
    int mask[256];
    unsigned n = LLVMGetVectorSize(LLVMTypeOf(v));
    if (from == 0 && count == n) return v;
    for (unsigned i = 0; i < count; i++) mask[i] = from + i < n ? (int)(from + i) : -1;
    return ng_shuffle(g, v, LLVMGetPoison(LLVMTypeOf(v)), mask, count);
}

ng_v ng_concat(const ng_build *g, ng_v v_a, ng_v v_b) {
    int mask[256];
    unsigned n = LLVMGetVectorSize(LLVMTypeOf(v_a)) * 2;
    for (unsigned i = 0; i < n; i++) mask[i] = (int)i;
    return ng_shuffle(g, v_a, v_b, mask, n);
}

ng_v ng_concat_all(const ng_build *g, const ng_v *v, unsigned n) {
    if (n == 1) return v[0];
    assert(n % 2 == 0);
    return ng_concat(g, ng_concat_all(g, v, n / 2), ng_concat_all(g, v + n / 2, n / 2));
}

ng_v ng_broadcast(const ng_build *g, ng_v v, unsigned index, unsigned count) {
    int mask[256];
    for (unsigned i = 0; i < count; i++) mask[i] = (int)index;
    return ng_shuffle(g, v, LLVMGetPoison(LLVMTypeOf(v)), mask, count);
}

ng_v ng_offset(const ng_build *g, ng_v v_base, ng_v v_bytes) {
    return LLVMBuildGEP2(g->b, g->t_i8, v_base, &v_bytes, 1, "");
}

ng_v ng_load(const ng_build *g, ng_t type, ng_v v_ptr, unsigned align) {
    ng_v v = LLVMBuildLoad2(g->b, type, v_ptr, "");
    LLVMSetAlignment(v, align);
    return v;
}

ng_v ng_store(const ng_build *g, ng_v v, ng_v v_ptr, unsigned align) {
    ng_v s = LLVMBuildStore(g->b, v, v_ptr);
    LLVMSetAlignment(s, align);
    return s;
}

ng_v ng_first_mask(const ng_build *g, unsigned n, unsigned set) {
    ng_v bits[64];
    assert(n <= 64);
    for (unsigned i = 0; i < n; i++) bits[i] = LLVMConstInt(g->t_i1, i < set, false);
    return LLVMConstVector(bits, n);
}

ng_v ng_bitcast(const ng_build *g, ng_v v, ng_t type) {
    return LLVMBuildBitCast(g->b, v, type, "");
}

LLVMBasicBlockRef ng_block_new(const ng_build *g, const char *name) {
    return LLVMAppendBasicBlockInContext(g->context, g->fn, name);
}

ng_v ng_phi(const ng_build *g, ng_v v_first, LLVMBasicBlockRef b_first) {
    ng_v phi = LLVMBuildPhi(g->b, LLVMTypeOf(v_first), "");
    ng_phi_add(phi, v_first, b_first);
    return phi;
}

ng_v ng_opaque(const ng_build *g, ng_v v) {
    ng_t t = LLVMTypeOf(v), t_asm = LLVMFunctionType(t, &t, 1, false);
    const char *where = LLVMGetTypeKind(t) == LLVMVectorTypeKind ? "=v,0" : "=r,0";
    ng_v v_asm =
        LLVMGetInlineAsm(t_asm, "", 0, where, 4, false, false, LLVMInlineAsmDialectATT, false);
    return LLVMBuildCall2(g->b, t_asm, v_asm, &v, 1, "");
}

void ng_memory_order(const ng_build *g) {
    LLVMTypeRef t_asm = LLVMFunctionType(LLVMVoidTypeInContext(g->context), NULL, 0, false);
    ng_v v_asm = LLVMGetInlineAsm(t_asm, "", 0, "~{memory}", 9, true, false,
                                  LLVMInlineAsmDialectATT, false);
    LLVMBuildCall2(g->b, t_asm, v_asm, NULL, 0, "");
}

void ng_phi_add(ng_v phi, ng_v v, LLVMBasicBlockRef b) { LLVMAddIncoming(phi, &v, &b, 1); }

void ng_branch_rarely(const ng_build *g, ng_v v_if, LLVMBasicBlockRef b_rare,
                      LLVMBasicBlockRef b_usual) {
    LLVMMetadataRef weights[3] = {LLVMMDStringInContext2(g->context, "branch_weights", 14),
                                  LLVMValueAsMetadata(ng_i32(g, 1)),
                                  LLVMValueAsMetadata(ng_i32(g, 1 << 20))};
    ng_v v_branch = LLVMBuildCondBr(g->b, v_if, b_rare, b_usual);
    LLVMMetadataRef node = LLVMMDNodeInContext2(g->context, weights, 3);
    LLVMSetMetadata(v_branch, LLVMGetMDKindIDInContext(g->context, "prof", 4),
                    LLVMMetadataAsValue(g->context, node));
}

void ng_loop_begin(const ng_build *g, ng_loop *loop, ng_v v_from, ng_v v_limit, int64_t step,
                   ng_v *carried, unsigned n) {
    *loop = (ng_loop){
        .b_entry = ng_block_here(g), .v_limit = v_limit, .carried = carried, .n = n, .step = step};
    loop->b_head = ng_block_new(g, "loop");
    LLVMBuildBr(g->b, loop->b_head);
    ng_block_start(g, loop->b_head);
    loop->v_index = ng_phi(g, v_from, loop->b_entry);
    for (unsigned i = 0; i < n; i++) carried[i] = ng_phi(g, carried[i], loop->b_entry);
}

void ng_loop_end(const ng_build *g, ng_loop *loop) {
    LLVMBasicBlockRef b_latch = ng_block_here(g), b_exit = ng_block_new(g, "done");
    ng_v v_next = ng_opaque(g, LLVMBuildAdd(g->b, loop->v_index, ng_i64(g, loop->step), ""));
    ng_v v_more = LLVMBuildICmp(g->b, LLVMIntULT, v_next, loop->v_limit, "");
    LLVMBuildCondBr(g->b, v_more, loop->b_head, b_exit);
    ng_v phi = loop->v_index; /* the phis stand behind one another at the top of the head */
    ng_phi_add(phi, v_next, b_latch);
    for (unsigned i = 0; i < loop->n; i++) {
        phi = LLVMGetNextInstruction(phi);
        ng_phi_add(phi, loop->carried[i], b_latch);
    }
    loop->v_index = v_next;
    ng_block_start(g, b_exit);
}
