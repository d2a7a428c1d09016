/* SPDX-License-Identifier: Apache-2.0 */
/* Groups' maxima in haste: one instruction takes the larger of two magnitudes, but it overlooks a
 * NaN beside a number. Where whatever is NaN in a group becomes NaN in what is stored as integers,
 * the conversion notices it. Then this slice of the row is computed again, with care, out of line,
 * before any of it is stored. */
#include "lower.h"

#include "types.h"

/* Whether value i is NaN in every element where another one is. */
static bool shows_nan(const ng_program *p, int i, int of) {
    const ng_op *op = &p->op[i];
    if (i == of) return true;
    switch ((ng_code)op->code) {
    case NG_ADD:
    case NG_SUB:
    case NG_MUL:
    case NG_DIV:
    case NG_FMA:
    case NG_NEG:
    case NG_RINT:
    case NG_TRUNC: break;
    default: return false;
    }
    for (int j = 0; j < ng_op_operands(op); j++)
        if (shows_nan(p, op->a[j], of)) return true;
    return false;
}

static bool stored_as_integers(const ng_program *p, int of) {
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        if (op->code == NG_STORE && !op->scalar && op->per <= 1 && ng_type_is_integer(op->type) &&
            shows_nan(p, op->a[0], of))
            return true;
    }
    return false;
}

/* Whether a value follows from what is loaded alone. */
static bool from_loads(const ng_program *p, int i) {
    const ng_op *op = &p->op[i];
    if (op->scalar || op->pairing != NG_PLAIN || op->group > 1) return false;
    for (int j = 0; j < ng_op_operands(op); j++)
        if (!from_loads(p, op->a[j])) return false;
    return true;
}

/* Whether a slice can be computed again when its last pass has begun. With overlap a scratch has
 * the next row's values by then: they are loaded again, which is right until they are stored. */
static bool comes_again(const ng_lower *l) {
    for (int j = 0; j < l->p->keeps && l->s->overlap; j++)
        if (l->s->keep[j] != NG_RECOMPUTE &&
            !(l->s->keep[j] == NG_SCRATCH && from_loads(l->p, l->p->keep[j])))
            return false;
    return true;
}

bool ng_hurries(const ng_lower *l) {
    bool any = false;
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        if (op->code != NG_GAMAX) continue;
        if (!stored_as_integers(l->p, op->a[0])) return false;
        any = true;
    }
    return any && ng_by_range(l) && comes_again(l) && !l->limit;
}

/* Only in the loop over blocks: elsewhere a second copy of the code would be long for nothing. */
bool ng_in_haste(const ng_lower *l, const ng_work *work, const ng_slice *s) {
    bool often = work->rows->n == ng_schedule_rows(l->s) && (l->works > 1 || !l->s->overlap);
    return l->hurries && often && work->pass == l->p->passes - 1 && !s->partial;
}

/* ---- doubts ---- */

void ng_doubt(const ng_lower *l, ng_v v_integers) {
    ng_doubts *d = l->doubts;
    ng_t t = LLVMTypeOf(v_integers);
    for (unsigned i = 0; i < d->n; i++) {
        if (LLVMTypeOf(d->v_least[i]) != t) continue;
        ng_v args[2] = {d->v_least[i], v_integers};
        d->v_least[i] = ng_intrinsic(&l->g, "llvm.smin", &t, 1, args, 2);
        return;
    }
    d->v_least[d->n++] = v_integers;
}

static ng_v any_doubt(const ng_lower *l) {
    ng_v v_any = LLVMConstInt(l->g.t_i1, 0, false);
    for (unsigned i = 0; i < l->doubts->n; i++)
        v_any = LLVMBuildOr(l->g.b, v_any, ng_any_lowest(&l->g, l->doubts->v_least[i]), "");
    return v_any;
}

/* Nothing of the slice may be taken from what has been computed: it would have to wait in a
 * register. So LLVM does not know that it is the same slice. */
static void again_with_care(ng_values *e, int row) {
    ng_lower *l = e->l;
    ng_values again;
    ng_slice s = e->slice;
    size_t pooled = l->pooled;
    if (!l->unrolled) s.v_at = ng_opaque(&l->g, s.v_at);
    ng_values_begin(&again, l, e->work, s);
    again.haste = false;
    again.afresh = l->works > 1;
    l->careful = true;
    ng_store_values(&again, row);
    l->careful = false;
    l->pooled = pooled;
}

void ng_store_in_haste(ng_values *e, int row) {
    ng_lower *l = e->l;
    const ng_build *g = &l->g;
    ng_doubts doubts = {.n = 0};
    l->doubts = &doubts;
    ng_form_integers(e, row);
    ng_v v_doubt = any_doubt(l);
    l->doubts = NULL;
    LLVMBasicBlockRef b_again = ng_block_new(g, "again"), b_usual = ng_block_new(g, "usual"),
                      b_stored = ng_block_new(g, "stored");
    ng_branch_rarely(g, v_doubt, b_again, b_usual);
    ng_block_start(g, b_again);
    again_with_care(e, row);
    LLVMBuildBr(g->b, b_stored);
    ng_block_start(g, b_usual);
    ng_store_values(e, row);
    LLVMBuildBr(g->b, b_stored);
    ng_block_start(g, b_stored);
}
