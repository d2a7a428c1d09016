/* SPDX-License-Identifier: Apache-2.0 */
/* Values that rows share, computed once a call (shared=once): before the first row into stack
 * arrays of the compute type, [hidden + a vector] each, from which every pass loads them. */
#include "lower.h"

void ng_prepare_shared(ng_lower *l, ng_rows *rows) {
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        if (!op->scalar || !op->shared || op->code == NG_STORE || ng_op_reduces(op)) continue;
        rows->splat[i][0] = ng_broadcast(&l->g, ng_scalar(l, rows, i), 0, (unsigned)l->vector);
    }
}

static ng_v once_address(const ng_values *e, int i, int k) {
    const ng_lower *l = e->l;
    int64_t bytes = l->real_bytes;
    ng_v v_at = LLVMBuildMul(l->g.b, e->slice.v_at, ng_i64(&l->g, bytes), "");
    return ng_offset(&l->g, ng_offset(&l->g, l->once[i], v_at),
                     ng_i64(&l->g, k * l->vector * bytes));
}

void ng_load_shared(ng_values *e, int i, ng_v *out) {
    ng_lower *l = e->l;
    for (int k = 0; k < e->slice.vectors; k++)
        out[k] = ng_load(&l->g, l->t_vec, once_address(e, i, k), (unsigned)l->real_bytes);
}

void ng_store_shared(ng_values *e) {
    ng_lower *l = e->l;
    for (int i = 0; i < l->p->ops; i++)
        for (int k = 0; l->once[i] && k < e->slice.vectors; k++)
            ng_store(&l->g, ng_value(e, i, 0)[k], once_address(e, i, k), (unsigned)l->real_bytes);
}
