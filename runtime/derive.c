/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from the operations of a row program: shapes, levels, passes, spans, values that
 * cross passes, the interpreter's buffers; and the tables of roles and operations. It must not know
 * what a program means. */
#include "program.h"

#include "types.h"

#include <assert.h>
#include <string.h>

const ng_role_info ng_roles[NG_ROLE_COUNT] = {
#define X(name, rows, width, out, stride, outer)                                                   \
    {#name, rows, width, out, offsetof(normgen_args, name), stride, outer},
    NG_ROLES(X)
#undef X
};

static const struct {
    const char *name;
    int operands;
} codes[NG_CODE_COUNT] = {
#define X(name, operands) {#name, operands},
    NG_OPS(X)
#undef X
};

int ng_op_operands(const ng_op *op) { return codes[op->code].operands; }
const char *ng_op_name(int code) { return codes[code].name; }

int ng_op_first_pass(const ng_op *op) {
    assert(op->passes);
    return __builtin_ctz(op->passes);
}

size_t ng_stream_width(const ng_program *p, int stream) {
    const ng_stream *s = &p->stream[stream];
    switch ((ng_width)s->width) {
    case NG_HALF: return (size_t)p->hidden / 2;
    case NG_UNIT: return 1;
    case NG_BLOCKS: return (size_t)p->hidden / s->block;
    default: return (size_t)p->hidden;
    }
}

size_t ng_stream_rows(const ng_stream *s, size_t rows, size_t inner) {
    switch ((ng_rows_of)s->rows) {
    case NG_OUTER: return (rows + inner - 1) / inner;
    case NG_INNER: return inner < rows ? inner : rows;
    case NG_ONE: return 1;
    default: return rows;
    }
}

normgen_stream ng_stream_place(const ng_stream *s, void *base, size_t pitch, size_t inner) {
    bool in = s->rows == NG_EACH || s->rows == NG_INNER, out = s->rows == NG_OUTER;
    size_t group = s->rows == NG_EACH ? inner * pitch : out ? pitch : 0;
    return (normgen_stream){base, in ? (ptrdiff_t)pitch : 0, (ptrdiff_t)group};
}

void ng_program_footprint(const ng_program *p, size_t *row_bytes, size_t *shared_bytes) {
    *row_bytes = *shared_bytes = 0;
    for (int s = 0; s < p->streams; s++) {
        const ng_stream *t = &p->stream[s];
        size_t rows = t->rows == NG_INNER && p->inner > 0 ? (size_t)p->inner : 1;
        *(t->rows == NG_EACH ? row_bytes : shared_bytes) += rows * t->row_bytes;
    }
}

/* ---- what follows from the operations ---- */

static void derive_streams(ng_program *p) {
    if (p->parts == 0) p->parts = 1;
    p->levels = false;
    for (int i = 0; i < p->streams; i++) {
        ng_stream *s = &p->stream[i];
        const ng_type_info *t = &ng_types[s->type];
        const ng_role_info *role = &ng_roles[s->role];
        if (s->block == 0) s->block = t->block;
        s->block_bytes = t->block_bytes;
        s->element = t->bytes;
        s->at = (uint16_t)role->base;
        s->stride = (uint16_t)role->stride;
        s->outer = (uint16_t)role->outer;
        size_t width = ng_stream_width(p, i);
        s->row_bytes = (uint32_t)((width + t->block - 1) / t->block * t->block_bytes);
        p->levels = p->levels || s->rows == NG_OUTER || s->rows == NG_INNER;
    }
}

/* Element types that hold every value of the operation. */
static uint16_t types_for(const ng_program *p, const ng_op *op) {
    uint16_t fits = 0;
    for (int t = NORMGEN_F32; t <= NORMGEN_E5M2; t++) {
        int held = op->code == NG_ROUND || op->code == NG_LOAD ? op->type : p->compute;
        bool flushed =
            op->code == NG_LOAD && t == NORMGEN_BF16; /* a bf16 subnormal comes back as zero */
        if (!flushed && (ng_type_holds(t, held) || ng_type_holds(t, p->compute)))
            fits |= (uint16_t)(1u << t);
    }
    return fits;
}

static void derive_shapes(ng_program *p) {
    for (int i = 0; i < p->ops; i++) {
        ng_op *op = &p->op[i];
        const ng_stream *s = op->stream >= 0 ? &p->stream[op->stream] : NULL;
        op->scalar = op->code != NG_LOAD;
        op->shared = !s || s->rows == NG_ONE;
        op->level = 0;
        for (int j = 0; j < ng_op_operands(op); j++) {
            const ng_op *a = &p->op[op->a[j]];
            op->scalar = op->scalar && a->scalar;
            op->shared = op->shared && a->shared;
            if (a->level > op->level) op->level = a->level;
        }
        if (ng_op_reduces(op)) op->scalar = true, op->level++;
        op->fits = types_for(p, op);
        assert(op->code == NG_STORE || i == 0 || p->op[i - 1].code != NG_STORE);
    }
}

static int span_of(const ng_program *p, const ng_op *op) {
    if (op->code == NG_GAMAX || op->code == NG_GSUM) return op->group;
    if (op->code == NG_STORE && !op->scalar)
        return op->per > p->stream[op->stream].block ? op->per : p->stream[op->stream].block;
    return op->pairing == NG_HALVES ? (int)p->hidden : op->pairing == NG_NEIGHBOURS ? 2 : 1;
}

/* Passes, how far each goes, and the span of the program. */
static void derive_passes(ng_program *p) {
    p->passes = p->span = 1;
    for (int i = 0; i < p->ops; i++) {
        if (p->op[i].level >= p->passes) p->passes = p->op[i].level + 1;
        if (span_of(p, &p->op[i]) > p->span) p->span = span_of(p, &p->op[i]);
    }
    assert(p->passes <= NG_MAX_PASSES && p->hidden % p->span == 0);
    memset(p->width, 0, sizeof p->width);
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        if (ng_op_reduces(op)) p->width[op->level - 1] = op->first ? op->first : p->hidden;
        if (op->code == NG_STORE && !op->scalar) p->width[p->passes - 1] = p->hidden;
    }
}

void ng_program_demand(const ng_program *p, const uint8_t *keep, uint16_t passes[NG_MAX_OPS]) {
    uint16_t last = (uint16_t)(1u << (p->passes - 1));
    memset(passes, 0, NG_MAX_OPS * sizeof passes[0]);
    for (int i = p->ops - 1; i >= 0; i--) {
        const ng_op *op = &p->op[i];
        uint16_t use = passes[i];
        if (op->code == NG_STORE) use = op->scalar ? 0 : last;
        if (ng_op_reduces(op)) use = (uint16_t)(1u << (op->level - 1));
        if (op->scalar && !ng_op_reduces(op)) continue; /* scalars are computed between passes */
        for (int j = 0; keep && j < p->keeps;
             j++) /* a kept value is computed once, in its first pass */
            if (p->keep[j] == i && keep[j] != NG_RECOMPUTE) use &= (uint16_t)-use;
        for (int j = 0; j < ng_op_operands(op); j++) passes[op->a[j]] |= use;
        if (!op->scalar) passes[i] = use;
    }
}

static int first_use(const ng_program *p, int i) {
    const ng_op *op = &p->op[i];
    if (op->code == NG_STORE) return p->passes - 1;
    return ng_op_reduces(op) ? op->level - 1 : ng_op_first_pass(op);
}

/* Whether some operation in a later pass than the value's first one uses it: then it may pay to
 * keep it. Values that are only steps towards such a value are not worth a choice of their own. */
static bool crosses(const ng_program *p, int v) {
    const ng_op *op = &p->op[v];
    if (op->scalar || op->shared || !(op->passes & (op->passes - 1))) return false;
    for (int u = v + 1; u < p->ops; u++) {
        const ng_op *user = &p->op[u];
        if (user->scalar && !ng_op_reduces(user)) continue;
        for (int j = 0; j < ng_op_operands(user); j++)
            if (user->a[j] == v &&
                (user->code == NG_STORE || ng_op_reduces(user) || user->passes) &&
                first_use(p, u) > ng_op_first_pass(op))
                return true;
    }
    return false;
}

/* The operation up to which user `u` needs its operands. Reductions take them when all values of
 * their pass have been computed. */
static int needs_until(const ng_program *p, int u) {
    int last = u;
    if (!ng_op_reduces(&p->op[u])) return u;
    for (int i = u + 1; i < p->ops; i++)
        if (!p->op[i].scalar && p->op[i].passes >> (p->op[u].level - 1) & 1) last = i;
    return last;
}

/* Whether no pass ends inside a span of an operation that it computes. */
static bool spans_are_whole(const ng_program *p) {
    for (int i = 0; i < p->ops; i++)
        for (int pass = 0; pass < p->passes; pass++)
            if (!p->op[i].scalar && p->op[i].passes >> pass & 1 &&
                p->width[pass] % span_of(p, &p->op[i]) != 0)
                return false;
    return true;
}

/* Interpreter buffers: a value's buffer is free again after its last user, in SSA order. */
static void assign_slots(ng_program *p) {
    int last_use[NG_MAX_OPS] = {0};
    bool busy[NG_MAX_SLOTS] = {false};
    for (int i = 0; i < p->ops; i++)
        for (int j = 0; j < ng_op_operands(&p->op[i]); j++) {
            int *last = &last_use[p->op[i].a[j]], until = needs_until(p, i);
            if (until > *last) *last = until;
        }
    p->slots = 0;
    for (int i = 0; i < p->ops; i++) {
        ng_op *op = &p->op[i];
        if (!op->scalar && op->code != NG_STORE) {
            int s = 0;
            while (s < NG_MAX_SLOTS && busy[s]) s++;
            assert(s < NG_MAX_SLOTS);
            busy[s] = true;
            op->slot = (uint8_t)s;
            if (s >= p->slots) p->slots = s + 1;
        }
        for (int v = 0; v <= i; v++)
            if (!p->op[v].scalar && p->op[v].code != NG_STORE && last_use[v] == i)
                busy[p->op[v].slot] = false;
    }
}

void ng_program_finish(ng_program *p) {
    uint16_t passes[NG_MAX_OPS];
    derive_streams(p);
    derive_shapes(p);
    derive_passes(p);
    ng_program_demand(p, NULL, passes);
    for (int i = 0; i < p->ops; i++) p->op[i].passes = passes[i];
    assert(spans_are_whole(p));
    p->keeps = 0;
    for (int i = 0; i < p->ops; i++)
        if (crosses(p, i)) {
            assert(p->keeps < NG_MAX_KEEP);
            p->keep[p->keeps++] = (int16_t)i;
        }
    assign_slots(p);
}

int ng_program_reload_store(const ng_program *p, int j) {
    int v = p->keep[j];
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        bool plain = op->code == NG_STORE && op->per <= 1 && p->stream[op->stream].block == 1;
        if (plain && op->a[0] == v && p->op[v].fits >> op->type & 1) return i;
    }
    return -1;
}
