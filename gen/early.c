/* SPDX-License-Identifier: Apache-2.0 */
/* slice=ahead: in passes that divide elements, the divisors of the next slice are computed before
 * what is left of this one. What leads to a quotient is one long chain, exp with its polynomial as
 * a rule, and while a chain of this length waits for itself, a processor looks ahead at hardly more
 * than one slice. */
#include "lower.h"

#include <string.h>

enum { DIVISION = 16 };

/* About what processors take, in cycles; only how they compare counts. */
static int latency(const ng_op *op) {
    switch ((ng_code)op->code) {
    case NG_DIV:
    case NG_SQRT: return DIVISION;
    case NG_CONST:
    case NG_BITS:
    case NG_NEG: return 0;
    case NG_LOAD: return 8;
    case NG_ABS:
    case NG_AND:
    case NG_OR:
    case NG_XOR:
    case NG_SHL:
    case NG_SHR:
    case NG_IADD:
    case NG_ISUB: return 1;
    default: return 4;
    }
}

/* What of a pass can be cut. */
typedef struct chains {
    bool here[NG_MAX_OPS];    /* elem values that the pass computes */
    bool before[NG_MAX_OPS];  /* those that quotients are made of */
    int16_t done[NG_MAX_OPS]; /* the cycle they are there, from their loads on */
    int16_t last;             /* quotient */
} chains;

static bool is_loaded(const ng_lower *l, int i, int pass) {
    return l->p->op[i].code == NG_LOAD || l->once[i] ||
           (ng_kept_as(l, i) >= 0 && pass > ng_op_first_pass(&l->p->op[i]));
}

static void look(const ng_lower *l, int pass, chains *c) {
    const ng_program *p = l->p;
    memset(c, 0, sizeof *c);
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        c->here[i] = !op->scalar && op->code != NG_STORE && l->passes[i] >> pass & 1;
        if (!c->here[i]) continue;
        for (int j = 0; j < ng_op_operands(op) && !is_loaded(l, i, pass); j++)
            if (c->done[op->a[j]] > c->done[i]) c->done[i] = c->done[op->a[j]];
        c->done[i] = (int16_t)(c->done[i] + latency(op));
        c->before[i] = op->code == NG_DIV && !is_loaded(l, i, pass);
        if (c->before[i] && c->done[i] > c->last) c->last = c->done[i];
    }
    for (int i = p->ops - 1; i >= 0; i--)
        for (int j = 0; c->before[i] && !is_loaded(l, i, pass) && j < ng_op_operands(&p->op[i]);
             j++)
            c->before[p->op[i].a[j]] |= c->here[p->op[i].a[j]];
}

/* Values that are computed before the cut, and those of them that are used behind it. What is
 * loaded is loaded again there, what is rounded or kept stays together with its store. */
static int cut(const ng_lower *l, int pass, const chains *c, int at, bool *carried) {
    const ng_program *p = l->p;
    bool early[NG_MAX_OPS];
    int n = 0;
    memset(carried, 0, NG_MAX_OPS * sizeof *carried);
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        early[i] = c->before[i] && c->done[i] <= at && op->code != NG_ROUND && !ng_spans(l, i) &&
                   (ng_kept_as(l, i) < 0 || is_loaded(l, i, pass));
        for (int j = 0; j < ng_op_operands(op) && !is_loaded(l, i, pass); j++)
            early[i] = early[i] && (early[op->a[j]] || p->op[op->a[j]].scalar);
    }
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        bool computes = c->here[i] ? !is_loaded(l, i, pass) : op->code == NG_STORE || op->scalar;
        for (int j = 0; computes && !early[i] && j < ng_op_operands(op); j++) {
            int a = op->a[j];
            n += early[a] && !is_loaded(l, a, pass) && !carried[a];
            carried[a] = carried[a] || (early[a] && !is_loaded(l, a, pass));
        }
    }
    return n;
}

/* Right before the last division. Where that would be more than a few values, nothing is carried.
 */
static void cut_chains(const ng_lower *l, int pass, bool *carried) {
    chains c;
    look(l, pass, &c);
    if (cut(l, pass, &c, c.last - DIVISION, carried) > MAX_CARRIED)
        memset(carried, 0, NG_MAX_OPS * sizeof *carried);
}

/* Every carried value of a work, and the vectors of it. */
#define FOR_CARRIED(a, e, w, i, row)                                                               \
    for (int i = 0; i < (e)->l->p->ops; i++)                                                       \
        for (int row = 0; (a)->carried[w][i] && row < (e)->work->rows->n; row++)                   \
            if (ng_row_of((e)->l, i, row) == row)

/* The values to carry of a slice. */
static void begin(ng_early *a, ng_lower *l, const ng_work *work, int works, ng_slice s) {
    ng_values e;
    unsigned n = 0;
    for (int w = 0; w < works; w++) {
        ng_values_begin(&e, l, &work[w], s);
        FOR_CARRIED(a, &e, w, i, row) {
            memcpy(a->v + n, ng_value(&e, i, row), (size_t)s.vectors * sizeof *a->v);
            n += (unsigned)s.vectors;
        }
    }
    a->n = n;
}

void ng_early_begin(ng_early *a, ng_lower *l, const ng_work *work, int works, ng_v v_from,
                    int64_t count) {
    int64_t most = (int64_t)l->slice * l->vector;
    for (int w = 0; w < works; w++) cut_chains(l, work[w].pass, a->carried[w]);
    a->v_last = LLVMBuildAdd(l->g.b, v_from, ng_i64(&l->g, count - most), "");
    l->pooled = 0;
    begin(a, l, work, works, (ng_slice){.v_at = v_from, .vectors = l->slice});
}

/* Behind the last slice comes the last slice again, of which nobody will use anything. */
void ng_early_step(ng_early *a, ng_values *e, int works) {
    ng_lower *l = e->l;
    const ng_build *g = &l->g;
    ng_t t = g->t_i64;
    unsigned n = 0;
    ng_slice s = e->slice;
    if (a->n == 0) return;
    for (int w = 0; w < works; w++) FOR_CARRIED(a, &e[w], w, i, row) {
            ng_v *v = e[w].memo[i][row] = l->pool + l->pooled;
            l->pooled += (size_t)s.vectors;
            memcpy(v, a->v + n, (size_t)s.vectors * sizeof *v);
            n += (unsigned)s.vectors;
        }
    ng_v next[2] = {LLVMBuildAdd(g->b, s.v_at, ng_i64(g, (int64_t)l->slice * l->vector), ""),
                    a->v_last};
    s.v_at = ng_intrinsic(g, "llvm.umin", &t, 1, next, 2);
    begin(a, l, e->work, works, s);
}
