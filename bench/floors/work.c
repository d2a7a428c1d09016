/* SPDX-License-Identifier: Apache-2.0 */
/* The instructions that a row program forces, whatever the code: each operation once (not once a
 * pass), each stream read and written once, each crossing value read once more for every later pass
 * unless a row fits the registers. Constants, sign changes and what rows share are free; what rows
 * need once (folds, square roots) is shared by as many rows as a vector holds. Where there are
 * several ways to say an operation, the shortest known one counts. */
#include "floors.h"

#include "types.h"

#include <string.h>

typedef struct entry {
    uint8_t kind; /* ng_kind */
    double n;     /* per vector of the compute type */
} entry;
#define END_OF_LIST NG_KINDS_COUNT
#define LIST(...) {__VA_ARGS__, {END_OF_LIST, 0}}
enum { LONGEST = 8 };

/* Operations on elements. Not here: loads, stores, roundings, selections, spans. Of two bitwise
 * ones AVX-512 makes one. */
static const entry of_code[NG_CODE_COUNT][LONGEST] = {
    [NG_ADD] = LIST({NG_KIND_ADD, 1}),     [NG_SUB] = LIST({NG_KIND_ADD, 1}),
    [NG_MUL] = LIST({NG_KIND_MUL, 1}),     [NG_DIV] = LIST({NG_KIND_DIV, 1}),
    [NG_FMA] = LIST({NG_KIND_FMA, 1}),     [NG_SQRT] = LIST({NG_KIND_SQRT, 1}),
    [NG_SHL] = LIST({NG_KIND_SHIFT, 1}),   [NG_SHR] = LIST({NG_KIND_SHIFT, 1}),
    [NG_IADD] = LIST({NG_KIND_IADD, 1}),   [NG_ISUB] = LIST({NG_KIND_IADD, 1}),
    [NG_ISELLT] = LIST({NG_KIND_IMAX, 1}), [NG_RINT] = LIST({NG_KIND_RINT, 1}),
    [NG_ABS] = LIST({NG_KIND_LOGIC, 1}),   [NG_AND] = LIST({NG_KIND_LOGIC, 0.5}),
    [NG_OR] = LIST({NG_KIND_LOGIC, 0.5}),  [NG_XOR] = LIST({NG_KIND_LOGIC, 0.5}),
    [NG_GAMAX] = LIST({NG_KIND_IMAX, 1}),  [NG_GSUM] = LIST({NG_KIND_ADD, 1}),
    [NG_SUM] = LIST({NG_KIND_ADD, 1}),     [NG_DOT] = LIST({NG_KIND_FMA, 1}),
    [NG_AMAX] = LIST({NG_KIND_IMAX, 1}),   [NG_CONST] = {{END_OF_LIST, 0}},
};

/* From memory form to f32. Half of the bf16 are the upper half of a word: one `and`; the others a
 * shift. */
static const entry widening[NG_TYPE_COUNT][LONGEST] = {
    [NORMGEN_F32] = {{END_OF_LIST, 0}},
    [NORMGEN_F64] = {{END_OF_LIST, 0}},
    [NORMGEN_BF16] = LIST({NG_KIND_SHIFT, 0.5}, {NG_KIND_LOGIC, 0.5}),
    [NORMGEN_F16] = LIST({NG_KIND_FROM_F16, 1}),
    [NORMGEN_I8] = LIST({NG_KIND_EXTEND, 1}, {NG_KIND_FROM_INT, 1}),
    [NORMGEN_U8] = LIST({NG_KIND_EXTEND, 1}, {NG_KIND_FROM_INT, 1}),
    [NORMGEN_E4M3] = LIST({NG_KIND_EXTEND, 1}, {NG_KIND_SHIFT, 1}, {NG_KIND_MUL, 1}),
    [NORMGEN_E5M2] = LIST({NG_KIND_EXTEND, 1}, {NG_KIND_SHIFT, 1}, {NG_KIND_MUL, 1}),
};

/* From f32 to memory form. Bytes: four vectors take three packs. Floats of eight bits: clamp, one
 * addition that rounds, its power of two, units of the last place, sign. */
static const entry narrowing[NG_TYPE_COUNT][LONGEST] = {
    [NORMGEN_F32] = {{END_OF_LIST, 0}},
    [NORMGEN_F64] = {{END_OF_LIST, 0}},
    [NORMGEN_BF16] = LIST({NG_KIND_TO_BF16, 0.5}),
    [NORMGEN_F16] = LIST({NG_KIND_TO_F16, 1}),
    [NORMGEN_I8] = LIST({NG_KIND_TO_INT, 1}, {NG_KIND_PACK, 0.75}),
    [NORMGEN_U8] = LIST({NG_KIND_TO_INT, 1}, {NG_KIND_PACK, 0.75}),
    [NORMGEN_E4M3] = LIST({NG_KIND_MIN, 1}, {NG_KIND_ADD, 1}, {NG_KIND_LOGIC, 2}, {NG_KIND_IADD, 2},
                          {NG_KIND_PACK, 0.75}),
    [NORMGEN_E5M2] = LIST({NG_KIND_MIN, 1}, {NG_KIND_ADD, 1}, {NG_KIND_LOGIC, 2}, {NG_KIND_IADD, 2},
                          {NG_KIND_PACK, 0.75}),
};
/* Without the instruction. */
static const entry narrowing_bf16[LONGEST] =
    LIST({NG_KIND_SHIFT, 1}, {NG_KIND_LOGIC, 1}, {NG_KIND_IADD, 2}, {NG_KIND_PACK, 0.5});

typedef struct counting {
    const ng_program *p;
    const ng_isa *isa;
    double elements;          /* of a vector */
    bool own[NG_MAX_OPS];     /* differs between rows: not shared, not one a sample */
    double group[NG_MAX_OPS]; /* elements that have one value */
    double *needs;
} counting;

static void need(counting *c, const entry *list, double times) {
    for (; list->kind != END_OF_LIST && list->n > 0; list++)
        c->needs[list->kind] += times * list->n;
}

static double word(const counting *c) { return c->p->compute == NORMGEN_F64 ? 8 : 4; }

/* Least of the known ways: a minimum or a magnitude is one instruction; elsewhere a comparison,
 * where masks let the instruction that makes a branch select it. */
static void need_selection(counting *c, const ng_op *op, double times) {
    bool same = op->a[2] == op->a[0] && op->a[3] == op->a[1];
    bool swapped = op->a[2] == op->a[1] && op->a[3] == op->a[0];
    if (same || swapped) {
        c->needs[NG_KIND_MIN] += times;
        return;
    }
    c->needs[NG_KIND_COMPARE] += times;
    if (c->isa->max_vec < 512) c->needs[NG_KIND_BLEND] += times;
}

static void need_op(counting *c, const ng_op *op, double times) {
    const entry *narrow = op->type == NORMGEN_BF16 && !c->isa->native_bf16 ? narrowing_bf16
                          : op->type < NG_TYPE_COUNT                       ? narrowing[op->type]
                                                                           : narrowing[0];
    switch ((ng_code)op->code) {
    case NG_LOAD:
        c->needs[NG_KIND_LOAD] += times * ng_types[op->type].bytes / word(c);
        need(c, widening[op->type], times);
        break;
    case NG_STORE:
        c->needs[NG_KIND_STORE] += times * ng_types[op->type].bytes / word(c);
        if (c->p->op[op->a[0]].code != NG_ROUND || c->p->op[op->a[0]].type != op->type)
            need(c, narrow, times);
        break;
    case NG_ROUND:
        need(c, narrow, times);
        need(c, widening[op->type], times);
        break;
    case NG_SELLT: need_selection(c, op, times); break;
    case NG_PARTNER: c->needs[NG_KIND_SHUFFLE] += op->pairing == NG_NEIGHBOURS ? times : 0; break;
    default: need(c, of_code[op->code], times); break;
    }
}

static void look(counting *c, int i) {
    const ng_op *op = &c->p->op[i];
    int n = ng_op_operands(op);
    double least = 0;
    c->own[i] = op->stream >= 0 && c->p->stream[op->stream].rows == NG_EACH;
    for (int j = 0; j < n; j++) {
        const ng_op *a = &c->p->op[op->a[j]];
        c->own[i] = c->own[i] || c->own[op->a[j]];
        if (!a->scalar && (least == 0 || c->group[op->a[j]] < least)) least = c->group[op->a[j]];
    }
    bool makes_groups = op->code == NG_GAMAX || op->code == NG_GSUM;
    c->group[i] = makes_groups ? op->group : least > 1 ? least : 1;
}

static double times_of(const counting *c, const ng_op *op, int i) {
    double vectors = (double)c->p->hidden / c->elements;
    if (ng_op_reduces(op) && op->first) vectors = (double)op->first / c->elements;
    if (op->scalar && !ng_op_reduces(op)) return 1 / c->elements;
    if (op->code == NG_GAMAX || op->code == NG_GSUM) return vectors;
    if (op->code == NG_STORE) return vectors / (op->per > 1 ? op->per : 1);
    return vectors / c->group[i];
}

/* Lanes of a reduction to one vector, and the segments' before; then a row's share of folding as
 * many rows as a vector holds. */
static void need_fold(counting *c, const ng_op *op) {
    double vectors = c->p->lanes / c->elements, last = vectors > 1 ? vectors - 1 : 0;
    double segments = (double)((c->p->hidden + NG_SEGMENT - 1) / NG_SEGMENT);
    int kind = op->code == NG_AMAX ? NG_KIND_IMAX : NG_KIND_ADD;
    c->needs[kind] += (segments - 1) * vectors + last + 1;
}

/* Crossing values are read again: from memory when a row does not fit the registers. */
static void need_again(counting *c) {
    double vectors = (double)c->p->hidden / c->elements;
    if (vectors <= (c->isa->max_vec == 512 ? 32 : 16)) return;
    for (int j = 0; j < c->p->keeps; j++) {
        int i = c->p->keep[j], store = ng_program_reload_store(c->p, j);
        const ng_op *op = &c->p->op[i];
        if (!c->own[i]) continue;
        double bytes = op->code == NG_LOAD ? ng_types[op->type].bytes
                       : store >= 0        ? ng_types[c->p->op[store].type].bytes
                                           : word(c);
        int later = __builtin_popcount(op->passes) - 1;
        c->needs[NG_KIND_LOAD] += later * vectors * bytes / word(c);
    }
}

void ng_needs_of(const ng_program *p, const ng_isa *isa, int bits, double needs[NG_KINDS_COUNT]) {
    static counting c;
    c = (counting){.p = p, .isa = isa, .needs = needs};
    c.elements = bits / (8 * word(&c));
    memset(needs, 0, NG_KINDS_COUNT * sizeof *needs);
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        look(&c, i);
        if (!c.own[i] && op->code != NG_STORE) continue;
        need_op(&c, op, times_of(&c, op, i));
        if (ng_op_reduces(op)) need_fold(&c, op);
    }
    need_again(&c);
}
