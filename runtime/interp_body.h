/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter for one compute type: REAL, with UINT and INT of its size; included by interp.c
 * for each. One row at a time; in a row one pass at a time; in a pass one chunk at a time,
 * operation by operation. */

static inline UINT NAME(bits)(REAL v) {
    UINT u;
    memcpy(&u, &v, sizeof u);
    return u;
}
static inline REAL NAME(real)(UINT u) {
    REAL v;
    memcpy(&v, &u, sizeof v);
    return v;
}

/* One row being worked on. */
typedef struct NAME(row) {
    const ng_program *p;
    char *base[NORMGEN_MAX_STREAMS];
    REAL scalar[NG_MAX_OPS];
    _Alignas(64) REAL spread[4][MOST_CHUNK];
    _Alignas(64) char memory[SLOT_BYTES + SUM_BYTES];
    char *sums;   /* behind the slots */
    size_t room;  /* bytes of sums */
    size_t chunk; /* elements, a power of two and at least the program's span */
} NAME(row);

static REAL *NAME(slot)(NAME(row) * r, int op) {
    return (REAL *)(void *)r->memory + r->chunk * r->p->op[op].slot;
}

/* ---- memory ---- */

static void NAME(load)(int type, const char *from, size_t n, REAL *restrict v) {
    switch (type) {
#define LOOP(ctype, convert)                                                                       \
    for (size_t i = 0; i < n; i++) {                                                               \
        ctype e;                                                                                   \
        memcpy(&e, from + i * sizeof e, sizeof e);                                                 \
        v[i] = (REAL)convert(e);                                                                   \
    }                                                                                              \
    return
    case NORMGEN_F32: LOOP(float, );
    case NORMGEN_F64: LOOP(double, );
    case NORMGEN_BF16: LOOP(uint16_t, ng_from_bf16);
    case NORMGEN_I8: LOOP(int8_t, );
    case NORMGEN_U8: LOOP(uint8_t, );
    case NORMGEN_E4M3: LOOP(uint8_t, ng_from_e4m3);
    case NORMGEN_E5M2: LOOP(uint8_t, ng_from_e5m2);
    default: LOOP(uint16_t, ng_from_f16);
#undef LOOP
    }
}

static inline int8_t NAME(to_i8)(REAL a) {
    REAL v = a < -128 ? -128 : a > 127 ? 127 : a;
    return (int8_t)(v != v ? 0 : RINT(v));
}
static inline uint8_t NAME(to_u8)(REAL a) {
    REAL v = a < 0 ? 0 : a > 255 ? 255 : a;
    return (uint8_t)(v != v ? 0 : RINT(v));
}

/* Element i comes from v[i * per] and goes to `step` bytes behind the one before it. */
static void NAME(store)(int type, char *to, size_t step, size_t n, size_t per,
                        const REAL *restrict v) {
    switch (type) {
#define LOOP(ctype, convert, via)                                                                  \
    if (step == sizeof(ctype) && per == 1)                                                         \
        for (size_t i = 0; i < n; i++) {                                                           \
            ctype e = convert((via)v[i]);                                                          \
            memcpy(to + i * sizeof e, &e, sizeof e);                                               \
        }                                                                                          \
    else                                                                                           \
        for (size_t i = 0; i < n; i++) {                                                           \
            ctype e = convert((via)v[i * per]);                                                    \
            memcpy(to + i * step, &e, sizeof e);                                                   \
        }                                                                                          \
    return
    case NORMGEN_F32: LOOP(float, , float);
    case NORMGEN_F64: LOOP(double, , double);
    case NORMGEN_BF16: LOOP(uint16_t, ng_to_bf16, float);
    case NORMGEN_I8: LOOP(int8_t, NAME(to_i8), REAL);
    case NORMGEN_U8: LOOP(uint8_t, NAME(to_u8), REAL);
    case NORMGEN_E4M3: LOOP(uint8_t, ng_to_e4m3, float);
    case NORMGEN_E5M2: LOOP(uint8_t, ng_to_e5m2, float);
    default: LOOP(uint16_t, ng_to_f16, float);
#undef LOOP
    }
}

static void NAME(round_to)(int type, size_t n, const REAL *restrict a, REAL *restrict v) {
    assert(type == NORMGEN_F32 || type == NORMGEN_BF16 || type == NORMGEN_F16);
    for (size_t i = 0; i < n; i++) {
        float f = (float)a[i];
        float b = ng_from_bf16(ng_to_bf16(f)), h = ng_from_f16(ng_to_f16(f));
        v[i] = (REAL)(type == NORMGEN_BF16 ? b : type == NORMGEN_F16 ? h : f);
    }
}

/* Entries of a stream that elements [at, at + n) of the row read. */
static void NAME(load_view)(NAME(row) * r, const ng_op *op, size_t at, size_t n, REAL *restrict v) {
    const char *base = r->base[op->stream];
    size_t half = (size_t)r->p->hidden / 2, bytes = ng_types[op->type].bytes;
    if (op->pairing == NG_PLAIN) {
        NAME(load)(op->type, base + at * bytes, n, v);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        size_t entry = op->pairing == NG_HALVES ? (at + i) % half : (at + i) / 2;
        NAME(load)(op->type, base + entry * bytes, 1, v + i);
    }
}

/* What elements [at, at + n) leave in a stream: one field of its blocks. */
static void NAME(store_field)(NAME(row) * r, const ng_op *op, size_t at, size_t n) {
    const ng_stream *s = &r->p->stream[op->stream];
    const REAL *v = NAME(slot)(r, op->a[0]);
    size_t bytes = ng_types[op->type].bytes, per = op->per ? op->per : 1;
    if (s->block == 1) {
        NAME(store)(op->type, r->base[op->stream] + at * bytes, bytes, n, 1, v);
        return;
    }
    for (size_t i = 0; i < n; i += s->block)
        NAME(store)(op->type, r->base[op->stream] + (at + i) / s->block * s->block_bytes + op->at,
                    bytes, s->block / per, per, v + i);
}

/* ---- operations ---- */

/* Operands are whole chunks; what is a scalar was spread to one by `evaluate`. */
static void NAME(apply)(const ng_op *op, const REAL *const o[4], size_t n, REAL *restrict v) {
    const REAL *a = o[0], *b = o[1], *c = o[2], *d = o[3];
    UINT k = op->code == NG_CONST ? 0 : (UINT)(INT)op->k; /* a constant may be out of range */
#define BITS(x) NAME(bits)(x)
#define EACH(expression)                                                                           \
    for (size_t i = 0; i < n; i++) v[i] = (expression);                                            \
    return
    switch ((ng_code)op->code) {
    case NG_CONST: EACH((REAL)op->k);
    case NG_BITS: EACH(NAME(real)(k));
    case NG_ADD: EACH(a[i] + b[i]);
    case NG_SUB: EACH(a[i] - b[i]);
    case NG_MUL: EACH(a[i] * b[i]);
    case NG_DIV: EACH(a[i] / b[i]);
    case NG_FMA: EACH(FMA(a[i], b[i], c[i]));
    case NG_SQRT: EACH(SQRT(a[i]));
    case NG_NEG: EACH(-a[i]);
    case NG_SELLT: EACH(a[i] < b[i] ? c[i] : d[i]);
    case NG_RINT: EACH(RINT(a[i]));
    case NG_TRUNC: EACH(TRUNC(a[i]));
    case NG_ABS: EACH(NAME(real)(BITS(a[i]) << 1 >> 1));
    case NG_AND: EACH(NAME(real)(BITS(a[i]) & BITS(b[i])));
    case NG_OR: EACH(NAME(real)(BITS(a[i]) | BITS(b[i])));
    case NG_XOR: EACH(NAME(real)(BITS(a[i]) ^ BITS(b[i])));
    case NG_ROUND: NAME(round_to)(op->type, n, a, v); return;
    case NG_SHL: EACH(NAME(real)(BITS(a[i]) << k));
    case NG_SHR: EACH(NAME(real)(BITS(a[i]) >> k));
    case NG_IADD: EACH(NAME(real)(BITS(a[i]) + BITS(b[i])));
    case NG_ISUB: EACH(NAME(real)(BITS(a[i]) - BITS(b[i])));
    case NG_ISELLT: EACH((INT)BITS(a[i]) < (INT)BITS(b[i]) ? c[i] : d[i]);
    default: assert(!"an operation that is not elementwise");
    }
#undef BITS
#undef EACH
}

/* ---- operations that look at other elements of the same span ---- */

/* The order of the rule: the group folds in halves. */
static REAL NAME(group_value)(int code, size_t n, const REAL *a) {
    REAL v[128];
    for (size_t i = 0; i < n; i++)
        v[i] = code == NG_GAMAX ? NAME(real)(NAME(bits)(a[i]) << 1 >> 1) : a[i];
    for (size_t s = n / 2; s; s /= 2)
        for (size_t i = 0; i < s; i++) {
            UINT p = NAME(bits)(v[i]), q = NAME(bits)(v[i + s]);
            v[i] = code == NG_GAMAX ? NAME(real)(p > q ? p : q) : v[i] + v[i + s];
        }
    return v[0];
}

/* The chunk begins at element `at` of the row and has whole spans. */
static void NAME(across)(const ng_program *p, const ng_op *op, const REAL *a, size_t at, size_t n,
                         REAL *restrict v) {
    size_t half = (size_t)p->hidden / 2;
    bool halves = op->pairing == NG_HALVES;
    for (size_t i = 0; i < n && op->group; i++)
        v[i] = i % op->group ? v[i - 1] : NAME(group_value)(op->code, op->group, a + i);
    for (size_t i = 0; i < n && !op->group; i++) {
        bool first = halves ? at + i < half : i % 2 == 0;
        size_t step = halves ? half : 1;
        v[i] = op->code == NG_NEGFIRST ? (first ? -a[i] : a[i]) : a[first ? i + step : i - step];
    }
}

static bool NAME(is_across)(const ng_op *op) {
    return op->code == NG_GAMAX || op->code == NG_GSUM || op->code == NG_PARTNER ||
           op->code == NG_NEGFIRST;
}

static void NAME(evaluate)(NAME(row) * r, int i, size_t n, REAL *v) {
    const ng_op *op = &r->p->op[i];
    const REAL *o[4] = {NULL};
    for (int j = 0; j < ng_op_operands(op); j++) {
        if (!r->p->op[op->a[j]].scalar) {
            o[j] = NAME(slot)(r, op->a[j]);
            continue;
        }
        for (size_t e = 0; e < n; e++) r->spread[j][e] = r->scalar[op->a[j]];
        o[j] = r->spread[j];
    }
    NAME(apply)(op, o, n, v);
}

/* ---- reductions: docs/numerics.md rules 3 to 5 ---- */

/* One reduction in progress: level 0 is the segment at hand, level 1+j a finished run of 2^j
 * segments. */
typedef struct NAME(reduction) {
    const ng_op *op;
    int index;
    REAL *sum; /* [levels][lanes] */
} NAME(reduction);

static void NAME(combine)(int code, size_t n, const REAL *older, REAL *newer) {
    for (size_t i = 0; i < n; i++) {
        UINT a = NAME(bits)(older[i]), b = NAME(bits)(newer[i]);
        newer[i] = code == NG_AMAX ? NAME(real)(a > b ? a : b) : older[i] + newer[i];
    }
}

/* Adds elements [at, at+n) of the row, which lie in one segment. */
static void NAME(accumulate)(NAME(row) * r, const NAME(reduction) * red, size_t at, size_t n) {
    size_t lanes = (size_t)r->p->lanes;
    const REAL *a = NAME(slot)(r, red->op->a[0]);
    const REAL *b = red->op->code == NG_DOT ? NAME(slot)(r, red->op->a[1]) : a;
    for (size_t from = 0; from < n; from += lanes) {
        REAL *acc = red->sum + (at + from) % lanes;
        size_t m = n - from < lanes ? n - from : lanes;
        const REAL *va = a + from, *vb = b + from;
        if (red->op->code == NG_SUM) {
            for (size_t i = 0; i < m; i++) acc[i] += va[i];
        } else if (red->op->code == NG_DOT) {
            for (size_t i = 0; i < m; i++) acc[i] = FMA(va[i], vb[i], acc[i]);
        } else {
            for (size_t i = 0; i < m; i++) {
                UINT u = NAME(bits)(va[i]) << 1 >> 1, w = NAME(bits)(acc[i]);
                acc[i] = NAME(real)(u > w ? u : w);
            }
        }
    }
}

/* Segment number `s` (from 0) is finished: adds it to the binary counter. */
static void NAME(carry)(NAME(row) * r, const NAME(reduction) * red, size_t s) {
    size_t lanes = (size_t)r->p->lanes, level = 1;
    for (; s & 1; s >>= 1)
        NAME(combine)(red->op->code, lanes, red->sum + lanes * level++, red->sum);
    memcpy(red->sum + lanes * level, red->sum, lanes * sizeof(REAL));
    memset(red->sum, 0, lanes * sizeof(REAL));
}

/* Leftover runs from the newest to the oldest, then the lanes in halves. */
static REAL NAME(fold)(NAME(row) * r, const NAME(reduction) * red, size_t segments) {
    size_t lanes = (size_t)r->p->lanes, level = 1;
    while (!(segments & 1)) segments >>= 1, level++;
    REAL *total = red->sum + lanes * level;
    for (segments >>= 1, level++; segments; segments >>= 1, level++)
        if (segments & 1) NAME(combine)(red->op->code, lanes, red->sum + lanes * level, total);
    for (size_t s = lanes / 2; s; s /= 2) NAME(combine)(red->op->code, s, total + s, total);
    return total[0];
}

/* ---- passes ---- */

/* Computes one chunk of all values that the pass needs, loads before stores. */
static void NAME(chunk_values)(NAME(row) * r, int pass, size_t at, size_t n) {
    const ng_program *p = r->p;
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        if (op->scalar || op->code == NG_STORE || !(op->passes >> pass & 1)) continue;
        if (op->code == NG_LOAD)
            NAME(load_view)(r, op, at, n, NAME(slot)(r, i));
        else if (NAME(is_across)(op))
            NAME(across)(p, op, NAME(slot)(r, op->a[0]), at, n, NAME(slot)(r, i));
        else
            NAME(evaluate)(r, i, n, NAME(slot)(r, i));
    }
}

/* Runs `count` reductions of one pass over the row. */
static void NAME(reduce)(NAME(row) * r, int pass, NAME(reduction) * red, int count) {
    size_t width = (size_t)r->p->width[pass], segments = (width + NG_SEGMENT - 1) / NG_SEGMENT;
    for (int j = 0; j < count; j++) memset(red[j].sum, 0, (size_t)r->p->lanes * sizeof(REAL));
    for (size_t at = 0, n; at < width; at += n) {
        n = width - at < r->chunk ? width - at : r->chunk;
        NAME(chunk_values)(r, pass, at, n);
        bool ends = (at + n) % NG_SEGMENT == 0 || at + n == width;
        for (int j = 0; j < count; j++) {
            NAME(accumulate)(r, &red[j], at, n);
            if (ends) NAME(carry)(r, &red[j], at / NG_SEGMENT);
        }
    }
    for (int j = 0; j < count; j++) r->scalar[red[j].index] = NAME(fold)(r, &red[j], segments);
}

/* All reductions of a pass, as many at a time as their partial sums have room for. */
static void NAME(run_pass)(NAME(row) * r, int pass) {
    const ng_program *p = r->p;
    size_t segments = ((size_t)p->width[pass] + NG_SEGMENT - 1) / NG_SEGMENT, levels = 2;
    while (segments >>= 1) levels++;
    size_t each = levels * (size_t)p->lanes;
    int room = (int)(r->room / (each * sizeof(REAL))), count = 0;
    NAME(reduction) red[NG_MAX_REDUCTIONS];
    assert(room > 0);
    if (room > NG_MAX_REDUCTIONS) room = NG_MAX_REDUCTIONS;
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        if (!ng_op_reduces(op) || op->level - 1 != pass) continue;
        red[count] = (NAME(reduction)){op, i, (REAL *)(void *)r->sums + each * (size_t)count};
        if (++count < room) continue;
        NAME(reduce)(r, pass, red, count);
        count = 0;
    }
    if (count) NAME(reduce)(r, pass, red, count);
}

static void NAME(store_pass)(NAME(row) * r) {
    const ng_program *p = r->p;
    for (size_t at = 0, n, width = (size_t)p->width[p->passes - 1]; at < width; at += n) {
        n = width - at < r->chunk ? width - at : r->chunk;
        NAME(chunk_values)(r, p->passes - 1, at, n);
        for (int i = 0; i < p->ops; i++)
            if (p->op[i].code == NG_STORE && !p->op[i].scalar)
                NAME(store_field)(r, &p->op[i], at, n);
    }
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_STORE && p->op[i].scalar)
            NAME(store)(p->op[i].type, r->base[p->op[i].stream], 0, 1, 1,
                        &r->scalar[p->op[i].a[0]]);
}

/* Scalars that depend on reductions up to `level`. */
static void NAME(scalars)(NAME(row) * r, int level) {
    for (int i = 0; i < r->p->ops; i++) {
        const ng_op *op = &r->p->op[i];
        if (!op->scalar || op->level != level || ng_op_reduces(op) || op->code == NG_STORE)
            continue;
        if (op->code == NG_PEEK)
            NAME(load)(op->type, r->base[op->stream], 1, &r->scalar[i]);
        else
            NAME(evaluate)(r, i, 1, &r->scalar[i]);
    }
}

static void NAME(run_row)(const ng_program *p, const normgen_bound_args *args, size_t row) {
    NAME(row) r;
    r.p = p;
    r.chunk = NG_INTERP_CHUNK < p->span ? (size_t)p->span : NG_INTERP_CHUNK;
    while (r.chunk * sizeof(REAL) * (size_t)p->slots > SLOT_BYTES && r.chunk / 2 >= (size_t)p->span)
        r.chunk /= 2;
    size_t slots = r.chunk * sizeof(REAL) * (size_t)p->slots;
    if (slots < SLOT_BYTES) slots = SLOT_BYTES;
    assert(slots < sizeof r.memory);
    r.sums = r.memory + slots;
    r.room = sizeof r.memory - slots;
    for (int s = 0; s < p->streams; s++) r.base[s] = ng_row_address(args, s, row);
    NAME(scalars)(&r, 0);
    for (int pass = 0; pass + 1 < p->passes; pass++) {
        NAME(run_pass)(&r, pass);
        NAME(scalars)(&r, pass + 1);
    }
    NAME(store_pass)(&r);
}
