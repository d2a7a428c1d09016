/* SPDX-License-Identifier: Apache-2.0 */
/* From spec to row program. A new fusion is written here and nowhere else. The formulas are those
 * of docs/numerics.md; the functions below keep their names. */
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

/* ---- building ---- */

static int push(ng_program *p, ng_op op) {
    assert(p->ops < NG_MAX_OPS);
    p->op[p->ops] = op;
    return p->ops++;
}
static int op4(ng_program *p, ng_code code, int a, int b, int c, int d) {
    return push(p, (ng_op){.code = (uint8_t)code,
                           .stream = -1,
                           .a = {(int16_t)a, (int16_t)b, (int16_t)c, (int16_t)d}});
}
static int op2(ng_program *p, ng_code code, int a, int b) { return op4(p, code, a, b, -1, -1); }
static int op1(ng_program *p, ng_code code, int a) { return op4(p, code, a, -1, -1, -1); }
static int with_k(ng_program *p, ng_code code, int a, double k) {
    int v = op1(p, code, a);
    p->op[v].k = k;
    return v;
}
static int constant(ng_program *p, double k) { return with_k(p, NG_CONST, -1, k); }
static int fma3(ng_program *p, int a, int b, int c) { return op4(p, NG_FMA, a, b, c, -1); }

/* The stream of a role, declared at its first use. */
static int stream_of(ng_program *p, ng_role role, int type) {
    for (int s = 0; s < p->streams; s++)
        if (p->stream[s].role == role) return s;
    assert(p->streams < NORMGEN_MAX_STREAMS);
    const ng_role_info *r = &ng_roles[role];
    p->stream[p->streams] = (ng_stream){.role = (uint8_t)role,
                                        .type = (uint8_t)type,
                                        .rows = (uint8_t)r->rows,
                                        .width = (uint8_t)r->width,
                                        .out = r->out};
    return p->streams++;
}
static int memory(ng_program *p, ng_code code, ng_role role, int type, int a) {
    int v = op1(p, code, a);
    p->op[v].stream = (int16_t)stream_of(p, role, type);
    p->op[v].type = (uint8_t)type;
    return v;
}
static void store(ng_program *p, ng_role role, int type, int v) {
    memory(p, NG_STORE, role, type, v);
}

/* T(v): nothing to do when the type holds every value of the compute type. */
static int rounded(ng_program *p, int type, int v) {
    if (ng_type_holds(type, p->compute)) return v;
    int r = op1(p, NG_ROUND, v);
    p->op[r].type = (uint8_t)type;
    return r;
}

/* The formulas' v: what is measured, what is normalized, and what is written as the sum. */
typedef struct input {
    int measured, normalized, sum;
} input;

/* `code` is NG_LOAD for the row, NG_PEEK for its first element. */
static input load_input(ng_program *p, const normgen_spec *s, ng_code code) {
    int v = memory(p, code, NG_ROLE_x, s->x, -1);
    if (s->residual != NORMGEN_NONE)
        v = op2(p, NG_ADD, v, memory(p, code, NG_ROLE_residual, s->residual, -1));
    if (s->sum == NORMGEN_NONE || s->stat_of == NORMGEN_STAT_EXACT) return (input){v, v, v};
    int r = rounded(p, s->sum, v);
    return (input){s->stat_of == NORMGEN_STAT_SPLIT ? v : r, r, r};
}

/* range=scaled: 2^-k and 2^k with k = max(0, ilogb(max |v|) - 40), 0 when the maximum is 0, Inf or
 * NaN. */
typedef struct scaling {
    int down, up;
} scaling;

static scaling scale_of(ng_program *p, int v) {
    int mantissa = p->compute == NORMGEN_F64 ? 52 : 23,
        bias = p->compute == NORMGEN_F64 ? 1023 : 127;
    int zero = with_k(p, NG_BITS, -1, 0), base = with_k(p, NG_BITS, -1, bias);
    int exponent = with_k(p, NG_SHR, op1(p, NG_AMAX, v), mantissa);
    int over = op2(p, NG_ISUB, exponent, with_k(p, NG_BITS, -1, bias + 40));
    int positive = op4(p, NG_ISELLT, over, zero, zero, over);
    int k = op4(p, NG_ISELLT, with_k(p, NG_BITS, -1, 2 * bias), exponent, zero, positive);
    return (scaling){with_k(p, NG_SHL, op2(p, NG_ISUB, base, k), mantissa),
                     with_k(p, NG_SHL, op2(p, NG_IADD, base, k), mantissa)};
}

/* x-hat and the statistics as they are saved, in the (scaled) units of the input. */
typedef struct normalized {
    int xhat, mean, rstd;
} normalized;

static int rstd_of(ng_program *p, int variance, int eps) {
    return op2(p, NG_DIV, constant(p, 1), op1(p, NG_SQRT, op2(p, NG_ADD, variance, eps)));
}

static normalized rms(ng_program *p, input v, int n, int eps) {
    int q = op2(p, NG_DOT, v.measured, v.measured);
    int r = rstd_of(p, op2(p, NG_DIV, q, n), eps);
    return (normalized){op2(p, NG_MUL, v.normalized, r), -1, r};
}

/* Deviations from `center` (the mean, or the row's first element), corrected by their own mean e.
 */
static normalized layer(ng_program *p, input v, int center, int n, int eps) {
    int d = op2(p, NG_SUB, v.measured, center);
    int q = op2(p, NG_DOT, d, d), t = op1(p, NG_SUM, d);
    int e = op2(p, NG_DIV, t, n), zero = constant(p, 0);
    int var = fma3(p, op1(p, NG_NEG, e), e, op2(p, NG_DIV, q, n));
    int r = rstd_of(p, op4(p, NG_SELLT, var, zero, zero, var), eps);
    int out = v.normalized == v.measured ? d : op2(p, NG_SUB, v.normalized, center);
    int xhat = fma3(p, out, r, op1(p, NG_NEG, op2(p, NG_MUL, e, r)));
    return (normalized){xhat, op2(p, NG_ADD, center, e), r};
}

/* Weight, offset and bias. */
static int affine(ng_program *p, const normgen_spec *s, int xhat) {
    int w = -1, b = -1;
    if (s->weight != NORMGEN_NONE) w = memory(p, NG_LOAD, NG_ROLE_weight, s->weight, -1);
    if (w >= 0 && s->offset != 0) w = op2(p, NG_ADD, w, constant(p, s->offset));
    if (s->bias != NORMGEN_NONE) b = memory(p, NG_LOAD, NG_ROLE_bias, s->bias, -1);
    if (w >= 0) return b >= 0 ? fma3(p, xhat, w, b) : op2(p, NG_MUL, xhat, w);
    return b >= 0 ? op2(p, NG_ADD, xhat, b) : xhat;
}

void ng_program_build(ng_program *p, const normgen_spec *s) {
    memset(p, 0, sizeof *p);
    p->hidden = s->hidden;
    p->compute = s->compute;
    p->lanes = s->lanes;
    bool shifted = s->kind == NORMGEN_LAYER && s->variance == NORMGEN_SHIFTED;
    bool scaled = s->range == NORMGEN_RANGE_SCALED;
    input v = load_input(p, s, NG_LOAD), first = {-1, -1, -1};
    if (shifted) first = load_input(p, s, NG_PEEK);
    int sum = v.sum, eps = constant(p, s->eps), n = constant(p, (double)s->hidden);
    scaling scale = {-1, -1};
    if (scaled) {
        scale = scale_of(p, v.measured);
        bool same = v.normalized == v.measured;
        v.measured = op2(p, NG_MUL, v.measured, scale.down);
        v.normalized = same ? v.measured : op2(p, NG_MUL, v.normalized, scale.down);
        if (shifted) first.measured = op2(p, NG_MUL, first.measured, scale.down);
        eps = op2(p, NG_MUL, op2(p, NG_MUL, eps, scale.down), scale.down);
    }
    normalized norm;
    if (s->kind == NORMGEN_RMS)
        norm = rms(p, v, n, eps);
    else
        norm = layer(p, v, shifted ? first.measured : op2(p, NG_DIV, op1(p, NG_SUM, v.measured), n),
                     n, eps);
    int y = s->rounding == NORMGEN_ROUNDING_LLAMA ? rounded(p, s->x, norm.xhat) : norm.xhat;
    y = affine(p, s, y);
    int mean = scaled && s->mean ? op2(p, NG_MUL, norm.mean, scale.up) : norm.mean;
    int rstd = scaled && s->rstd ? op2(p, NG_MUL, norm.rstd, scale.down) : norm.rstd;
    store(p, NG_ROLE_y, s->y, y);
    if (s->sum != NORMGEN_NONE) store(p, NG_ROLE_sum, s->sum, sum);
    if (s->mean) store(p, NG_ROLE_mean, s->compute, mean);
    if (s->rstd) store(p, NG_ROLE_rstd, s->compute, rstd);
    ng_program_finish(p);
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
