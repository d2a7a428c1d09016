/* SPDX-License-Identifier: Apache-2.0 */
/* Values of operations: elem values for one slice of elements and one row, evaluated on demand and
 * once; scalar values as a vector over the rows of the block. A value of streams that have one row
 * for all rows of a block is evaluated once for them. */
#include "lower.h"

#include "types.h"

#include <assert.h>
#include <string.h>

/* ---- one operation on vectors of any size ---- */

static ng_v integer_of(const ng_lower *l, ng_v v) {
    ng_t t = LLVMTypeOf(v);
    return ng_bitcast(&l->g, v, LLVMVectorType(l->t_int, ng_vector_size(t)));
}
static ng_v real_of(const ng_lower *l, ng_v v) {
    return ng_bitcast(&l->g, v, LLVMVectorType(l->t_real, ng_vector_size(LLVMTypeOf(v))));
}

static ng_v select_if(const ng_lower *l, ng_v v_condition, const ng_v *a) {
    return LLVMBuildSelect(l->g.b, v_condition, a[2], a[3], "");
}

ng_v ng_arithmetic(const ng_lower *l, const ng_op *op, ng_t t, ng_v *a) {
    const ng_build *g = &l->g;
    ng_t t_bits = LLVMVectorType(l->t_int, LLVMGetVectorSize(t));
    uint64_t k = (uint64_t)(int64_t)op->k;
    ng_v v_a = ng_op_operands(op) > 0 ? integer_of(l, a[0]) : NULL;
    ng_v v_b = ng_op_operands(op) > 1 ? integer_of(l, a[1]) : NULL;
    switch ((ng_code)op->code) {
    case NG_CONST:
        return ng_real_const(t, l->p->compute == NORMGEN_F32 ? (double)(float)op->k : op->k);
    case NG_BITS: return real_of(l, ng_int_const(t_bits, k));
    case NG_ADD: return LLVMBuildFAdd(g->b, a[0], a[1], "");
    case NG_SUB: return LLVMBuildFSub(g->b, a[0], a[1], "");
    case NG_MUL: return LLVMBuildFMul(g->b, a[0], a[1], "");
    case NG_DIV: return LLVMBuildFDiv(g->b, a[0], a[1], "");
    case NG_FMA: return ng_fma(l, a);
    case NG_SQRT: return ng_intrinsic(g, "llvm.sqrt", &t, 1, a, 1);
    case NG_NEG: return LLVMBuildFNeg(g->b, a[0], "");
    case NG_RINT: return ng_rint(l, a[0]);
    case NG_TRUNC: return ng_trunc(l, a[0]);
    case NG_ABS: return ng_intrinsic(g, "llvm.fabs", &t, 1, a, 1);
    case NG_AND: return real_of(l, LLVMBuildAnd(g->b, v_a, v_b, ""));
    case NG_OR: return real_of(l, LLVMBuildOr(g->b, v_a, v_b, ""));
    case NG_XOR: return real_of(l, LLVMBuildXor(g->b, v_a, v_b, ""));
    case NG_SELLT: return select_if(l, LLVMBuildFCmp(g->b, LLVMRealOLT, a[0], a[1], ""), a);
    case NG_ROUND: return ng_widen(l, op->type, ng_narrow(l, op->type, a[0]));
    case NG_SHL: return real_of(l, LLVMBuildShl(g->b, v_a, ng_int_const(t_bits, k), ""));
    case NG_SHR: return real_of(l, LLVMBuildLShr(g->b, v_a, ng_int_const(t_bits, k), ""));
    case NG_IADD: return real_of(l, LLVMBuildAdd(g->b, v_a, v_b, ""));
    case NG_ISUB: return real_of(l, LLVMBuildSub(g->b, v_a, v_b, ""));
    case NG_ISELLT: return select_if(l, LLVMBuildICmp(g->b, LLVMIntSLT, v_a, v_b, ""), a);
    default: assert(!"an operation that is not elementwise"); return NULL;
    }
}

/* ---- scalars ---- */

/* Element 0 of the rows of the block. */
static ng_v peek(ng_lower *l, const ng_rows *rows, const ng_op *op) {
    const ng_build *g = &l->g;
    ng_t t = ng_memory_type(g, op->type, 1);
    ng_v v_all = LLVMGetPoison(ng_memory_type(g, op->type, (unsigned)rows->n));
    for (int r = 0; r < rows->n; r++) {
        ng_v v =
            ng_load(g, LLVMGetElementType(t), rows->base[op->stream][r], ng_types[op->type].bytes);
        v_all = LLVMBuildInsertElement(g->b, v_all, v, ng_i32(g, r), "");
    }
    return ng_widen(l, op->type, v_all);
}

ng_v ng_scalar(ng_lower *l, ng_rows *rows, int i) {
    const ng_op *op = &l->p->op[i];
    ng_v a[4];
    if (rows->scalar[i]) return rows->scalar[i];
    assert(op->scalar && !ng_op_reduces(op));
    if (op->code == NG_PEEK) return rows->scalar[i] = peek(l, rows, op);
    for (int j = 0; j < ng_op_operands(op); j++) a[j] = ng_scalar(l, rows, op->a[j]);
    return rows->scalar[i] = ng_arithmetic(l, op, LLVMVectorType(l->t_real, (unsigned)rows->n), a);
}

void ng_prepare_scalars(ng_lower *l, const ng_work *work) {
    const ng_program *p = l->p;
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        /* The first element of a row is read before anything is written to the row. */
        if (op->code == NG_PEEK && work->pass == 0) ng_scalar(l, work->rows, i);
        if (!op->scalar || !(l->passes[i] >> work->pass & 1)) continue;
        ng_v v = ng_scalar(l, work->rows, i);
        for (int r = 0; r < work->rows->n; r++)
            work->rows->splat[i][r] = ng_broadcast(&l->g, v, (unsigned)r, (unsigned)l->vector);
    }
    for (int i = 0; i < p->ops; i++) { /* scalars that are stored after the last pass */
        const ng_op *op = &p->op[i];
        if (op->code == NG_STORE && op->scalar && work->pass == p->passes - 1)
            ng_scalar(l, work->rows, op->a[0]);
    }
}

void ng_store_scalars(ng_lower *l, ng_rows *rows) {
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        if (op->code != NG_STORE || !op->scalar) continue;
        ng_v v = ng_narrow(l, op->type, ng_scalar(l, rows, op->a[0]));
        for (int r = 0; r < rows->n; r++) {
            ng_v v_r = LLVMBuildExtractElement(l->g.b, v, ng_i32(&l->g, r), "");
            ng_store(&l->g, v_r, rows->base[op->stream][r], ng_types[op->type].bytes);
        }
    }
}

/* ---- elements ---- */

void ng_values_begin(ng_values *e, ng_lower *l, const ng_work *work, ng_slice slice) {
    memset(e->memo, 0, sizeof e->memo[0] * (size_t)l->p->ops);
    memset(e->packed, 0, sizeof e->packed[0] * (size_t)l->p->ops);
    memset(e->group, 0, sizeof e->group[0] * (size_t)l->p->ops);
    memset(e->formed, 0, sizeof e->formed[0] * (size_t)l->p->ops);
    e->haste = ng_in_haste(l, work, &slice);
    e->forming = e->afresh = false;
    e->l = l;
    e->work = work;
    e->slice = slice;
}

static bool is_partial(const ng_slice *s, int k) { return s->partial && k == s->vectors - 1; }

/* base + (at + k vectors) elements of `bytes` */
static ng_v address(const ng_lower *l, ng_v v_base, const ng_slice *s, int k, int bytes) {
    const ng_build *g = &l->g;
    ng_v v_at = LLVMBuildMul(g->b, s->v_at, ng_i64(g, bytes), "");
    ng_v v = ng_offset(g, v_base, v_at);
    return ng_offset(g, v, ng_i64(g, (int64_t)k * l->vector * bytes));
}

ng_v ng_element_address(ng_lower *l, const ng_rows *rows, int stream, int row, const ng_slice *s,
                        int k) {
    return address(l, rows->base[stream][row], s, k, ng_types[l->p->stream[stream].type].bytes);
}

/* Whole vectors from k up to `to` that are loaded, rounded or stored together. */
static int group_at(int k, int to, int group) {
    while (k + group > to) group /= 2;
    return group;
}

static int whole_vectors(const ng_slice *s) { return s->vectors - (s->partial ? 1 : 0); }

void ng_load_slice(ng_values *e, int stream, int row, const ng_slice *slice, ng_v *out) {
    ng_lower *l = e->l;
    int type = l->p->stream[stream].type;
    for (int k = 0, n; k < slice->vectors; k += n) {
        n = is_partial(slice, k) ? 1 : group_at(k, whole_vectors(slice), ng_load_together(l, type));
        unsigned elements = (unsigned)(n * l->vector);
        ng_v v_ptr = ng_element_address(l, e->work->rows, stream, row, slice, k);
        ng_v v = is_partial(slice, k)
                     ? ng_load_partial(l, type, v_ptr, elements, (unsigned)slice->partial)
                     : ng_load(&l->g, ng_memory_type(&l->g, type, elements), v_ptr,
                               ng_types[type].bytes);
        ng_widen_group(l, type, v, (unsigned)n, out + k);
    }
}

int ng_kept_as(const ng_lower *l, int i) {
    for (int j = 0; j < l->p->keeps; j++)
        if (l->p->keep[j] == i && l->s->keep[j] != NG_RECOMPUTE) return j;
    return -1;
}

static ng_v scratch_address(const ng_values *e, int j, int row, int k) {
    const ng_lower *l = e->l;
    int64_t pitch = (l->p->hidden + l->vector) * l->real_bytes;
    ng_v v_row = ng_offset(&l->g, l->scratch[j], ng_i64(&l->g, pitch * row)),
         v_number = e->work->rows->v_number;
    if (v_number)
        v_row = ng_offset(&l->g, v_row, LLVMBuildMul(l->g.b, v_number, ng_i64(&l->g, pitch), ""));
    return address(l, v_row, &e->slice, k, l->real_bytes);
}

static ng_v *register_place(const ng_values *e, int j, int row) {
    const ng_lower *l = e->l;
    int64_t vectors = (l->p->hidden + l->vector - 1) / l->vector;
    return e->work->rows->kept[j] + row * vectors + e->slice.at / l->vector;
}

/* A later pass than the one that computed the value. */
static void recall(ng_values *e, int j, int row, ng_v *out) {
    ng_lower *l = e->l;
    if (l->s->keep[j] == NG_RELOAD) {
        ng_load_slice(e, l->p->op[ng_program_reload_store(l->p, j)].stream, row, &e->slice, out);
        return;
    }
    for (int k = 0; k < e->slice.vectors; k++)
        out[k] = l->s->keep[j] == NG_REGS ? register_place(e, j, row)[k]
                                          : ng_load(&l->g, l->t_vec, scratch_address(e, j, row, k),
                                                    (unsigned)l->real_bytes);
}

static void remember(ng_values *e, int j, int row, const ng_v *v) {
    ng_lower *l = e->l;
    for (int k = 0; k < e->slice.vectors; k++) {
        if (l->s->keep[j] == NG_REGS) register_place(e, j, row)[k] = v[k];
        if (l->s->keep[j] == NG_SCRATCH)
            ng_store(&l->g, v[k], scratch_address(e, j, row, k), (unsigned)l->real_bytes);
    }
}

/* Room for the vectors of one value. */
static ng_v *take(ng_values *e) {
    ng_v *out = e->l->pool + e->l->pooled;
    e->l->pooled += (size_t)e->slice.vectors;
    return out;
}

/* Keeps the memory form as well: who stores the value converts nothing. */
static void round_elements(ng_values *e, int i, int row, ng_v *out) {
    const ng_op *op = &e->l->p->op[i];
    const ng_v *v = ng_value(e, op->a[0], row);
    int whole = whole_vectors(&e->slice), group = ng_store_group(e->l, op->type);
    ng_v *packed = e->packed[i][ng_row_of(e->l, i, row)] = take(e);
    memset(packed, 0, (size_t)e->slice.vectors * sizeof *packed);
    for (int k = 0, n; k < e->slice.vectors; k += n) {
        n = k < whole ? group_at(k, whole, group) : 1;
        packed[k] = ng_narrow_group(e->l, op->type, v + k, (unsigned)n);
        ng_widen_group(e->l, op->type, packed[k], (unsigned)n, out + k);
    }
}

static void compute(ng_values *e, int i, int row, ng_v *out) {
    ng_lower *l = e->l;
    const ng_op *op = &l->p->op[i];
    const ng_v *elements[4] = {NULL};
    for (int j = 0; j < ng_op_operands(op); j++)
        if (!l->p->op[op->a[j]].scalar) elements[j] = ng_value(e, op->a[j], row);
    for (int k = 0; k < e->slice.vectors; k++) {
        ng_v a[4];
        for (int j = 0; j < ng_op_operands(op); j++)
            a[j] = elements[j] ? elements[j][k] : e->work->rows->splat[op->a[j]][row];
        out[k] = ng_arithmetic(l, op, l->t_vec, a);
    }
}

const ng_v *ng_value(ng_values *e, int i, int row) {
    const ng_op *op = &e->l->p->op[i];
    int at = ng_row_of(e->l, i, row), j = ng_kept_as(e->l, i);
    ng_v *out = e->memo[i][at];
    if (!out) out = e->memo[i][at] = e->work->rows->given[i];
    if (out) return out;
    out = e->memo[i][at] = take(e);
    bool later = e->work->pass > ng_op_first_pass(op);
    if (j >= 0 && later && !(e->afresh && e->l->s->keep[j] == NG_SCRATCH))
        recall(e, j, row, out);
    else if (e->l->once[i] && e->work->pass != NG_SHARED_PASS)
        ng_load_shared(e, i, out);
    else if (ng_spans(e->l, i))
        ng_span_value(e, i, row, out);
    else if (op->code == NG_LOAD)
        ng_load_slice(e, op->stream, row, &e->slice, out);
    else if (op->code == NG_ROUND)
        round_elements(e, i, row, out);
    else
        compute(e, i, row, out);
    if (j >= 0 && !later) remember(e, j, row, out);
    return out;
}

/* ---- stores ---- */

/* One streaming store for each full vector of a value that is one or more of them. */
static void stream_vectors(ng_lower *l, ng_v v_memory, ng_v v_ptr) {
    unsigned bytes = LLVMGetIntTypeWidth(LLVMGetElementType(LLVMTypeOf(v_memory))) / 8;
    unsigned each = (unsigned)l->s->vec / 8 / bytes, n = LLVMGetVectorSize(LLVMTypeOf(v_memory));
    for (unsigned from = 0; from < n; from += each)
        ng_store_stream(l, ng_subvector(&l->g, v_memory, from, each),
                        ng_offset(&l->g, v_ptr, ng_i64(&l->g, (int64_t)from * bytes)));
}

/* The value's n vectors from k on as they stand in memory: rounded to that type already, or to be
 * narrowed now. */
static ng_v memory_form_now(ng_values *e, const ng_op *store, int row, const ng_v *v, int k,
                            int n) {
    const ng_op *op = &e->l->p->op[store->a[0]];
    ng_v *packed = e->packed[store->a[0]][ng_row_of(e->l, store->a[0], row)];
    unsigned elements = (unsigned)(n * e->l->vector);
    if (packed && op->type == store->type && packed[k] &&
        LLVMGetVectorSize(LLVMTypeOf(packed[k])) == elements)
        return packed[k];
    if (op->code == NG_TRUNC && ng_type_is_integer(store->type)) /* converting truncates as well */
        return ng_truncate_group(e->l, store->type, ng_value(e, op->a[0], row) + k, (unsigned)n);
    return ng_narrow_group(e->l, store->type, v + k, (unsigned)n);
}

static ng_v memory_form(ng_values *e, const ng_op *store, int row, const ng_v *v, int k, int n) {
    ng_v *formed = e->formed[store - e->l->p->op];
    if (formed && !e->forming) return formed[k];
    ng_v v_memory = memory_form_now(e, store, row, v, k, n);
    if (formed) formed[k] = v_memory;
    return v_memory;
}

/* Elements that follow one another in memory: whole vectors `from` to `to`, from a pointer on. */
static void store_whole(ng_values *e, const ng_op *op, int row, int from, int to, ng_v v_ptr,
                        const ng_v *v) {
    ng_lower *l = e->l;
    int bytes = ng_types[op->type].bytes, n;
    bool stream = ng_schedule_streams(l->p, l->s, op);
    for (int k = from; k < to; k += n) {
        n = group_at(k, to, ng_store_group(l, op->type));
        ng_v v_to = ng_offset(&l->g, v_ptr, ng_i64(&l->g, (int64_t)(k - from) * l->vector * bytes));
        ng_v v_memory = memory_form(e, op, row, v, k, n);
        if (e->forming) continue;
        if (stream && n * l->vector * bytes * 8 >= l->s->vec)
            stream_vectors(l, v_memory, v_to);
        else
            ng_store(&l->g, v_memory, v_to, (unsigned)bytes);
    }
}

static void store_elements(ng_values *e, const ng_op *op, int row, const ng_v *v) {
    ng_lower *l = e->l;
    int last = e->slice.vectors - 1;
    ng_v v_ptr = ng_element_address(l, e->work->rows, op->stream, row, &e->slice, 0);
    store_whole(e, op, row, 0, whole_vectors(&e->slice), v_ptr, v);
    if (!e->slice.partial) return;
    v_ptr = ng_element_address(l, e->work->rows, op->stream, row, &e->slice, last);
    ng_store_partial(l, op->type, memory_form(e, op, row, v, last, 1), v_ptr,
                     (unsigned)e->slice.partial);
}

/* Where a field of the slice's block number `block` lies in a stream of blocks. */
static ng_v field_address(ng_values *e, const ng_op *op, int row, int64_t block) {
    const ng_build *g = &e->l->g;
    const ng_stream *s = &e->l->p->stream[op->stream];
    ng_v v_first = LLVMBuildUDiv(g->b, e->slice.v_at, ng_i64(g, s->block), "");
    ng_v v_at = LLVMBuildMul(g->b, v_first, ng_i64(g, s->block_bytes), "");
    ng_v v_ptr = ng_offset(g, e->work->rows->base[op->stream][row], v_at);
    return ng_offset(g, v_ptr, ng_i64(g, block * s->block_bytes + op->at));
}

/* Element i of a vector of which several follow: by way of an integer register, where taking an
 * element apart is a shift and needs no shuffle. */
static ng_v element_for_store(const ng_build *g, ng_v v, int64_t i, ng_v *word) {
    ng_t t = LLVMTypeOf(v);
    unsigned bits = LLVMGetIntTypeWidth(LLVMGetElementType(t)), each = 64 / bits;
    if (each < 2 || LLVMGetVectorSize(t) % each)
        return LLVMBuildExtractElement(g->b, v, ng_i32(g, (int32_t)i), "");
    if (i % each == 0) {
        ng_t t_words = LLVMVectorType(g->t_i64, LLVMGetVectorSize(t) / each);
        v = ng_bitcast(g, v, t_words);
        *word = LLVMBuildExtractElement(g->b, v, ng_i32(g, (int32_t)(i / each)), "");
        *word = ng_opaque(g, *word);
    }
    v = LLVMBuildLShr(g->b, *word, ng_i64(g, i % each * bits), "");
    return LLVMBuildTrunc(g->b, v, LLVMGetElementType(t), "");
}

/* One value of each group: side by side when the stream holds nothing else. */
static void store_groups(ng_values *e, const ng_op *op, int row) {
    ng_lower *l = e->l;
    const ng_build *g = &l->g;
    const ng_stream *s = &l->p->stream[op->stream];
    unsigned bytes = ng_types[op->type].bytes;
    int64_t n = ng_slice_elements(l, &e->slice) / op->per, in_block = s->block / op->per;
    ng_v v = ng_narrow(l, op->type, ng_group_values(e, op->a[0], row, op->per)), v_word = NULL;
    if (s->block_bytes == in_block * bytes) {
        ng_v v_ptr = field_address(e, op, row, 0);
        if (n == LLVMGetVectorSize(LLVMTypeOf(v)))
            ng_store(g, v, v_ptr, bytes);
        else
            ng_store_partial(l, op->type, v, v_ptr, (unsigned)n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        ng_v v_ptr =
            ng_offset(g, field_address(e, op, row, i / in_block), ng_i64(g, i % in_block * bytes));
        ng_store(g, element_for_store(g, v, i, &v_word), v_ptr, 1);
    }
}

/* Several blocks are narrowed together. */
static void store_blocks(ng_values *e, const ng_op *op, int row, const ng_v *v) {
    unsigned each = e->l->p->stream[op->stream].block;
    int vectors = (int)each / e->l->vector, group = ng_store_group(e->l, op->type), n;
    for (int k = 0; k < e->slice.vectors; k += n) {
        n = group_at(k, e->slice.vectors, group < vectors ? vectors : group);
        ng_v v_memory = memory_form(e, op, row, v, k, n);
        for (int i = 0; i < n / vectors && !e->forming; i++)
            ng_store(&e->l->g, ng_subvector(&e->l->g, v_memory, (unsigned)i * each, each),
                     field_address(e, op, row, k / vectors + i), 1);
    }
}

static void store_value(ng_values *e, const ng_op *op, int row) {
    if (op->per > 1)
        store_groups(e, op, row);
    else if (e->l->p->stream[op->stream].block > 1)
        store_blocks(e, op, row, ng_value(e, op->a[0], row));
    else
        store_elements(e, op, row, ng_value(e, op->a[0], row));
}

/* The pass that a store is made in: the last one, unless its value is reloaded later. */
static int store_pass(const ng_lower *l, int i) {
    for (int j = 0; j < l->p->keeps; j++)
        if (l->s->keep[j] == NG_RELOAD && ng_program_reload_store(l->p, j) == i)
            return ng_op_first_pass(&l->p->op[l->p->keep[j]]);
    return l->p->passes - 1;
}

bool ng_writes(const ng_lower *l, int pass, int stream) {
    for (int i = 0; i < l->p->ops; i++) {
        const ng_op *op = &l->p->op[i];
        if (op->code == NG_STORE && op->stream == stream &&
            pass == (l->limit ? l->p->passes - 1 : store_pass(l, i)))
            return true;
    }
    return false;
}

static bool stores_here(const ng_values *e, int i) {
    const ng_op *op = &e->l->p->op[i];
    return op->code == NG_STORE && !op->scalar && store_pass(e->l, i) == e->work->pass;
}

void ng_evaluate_stores(ng_values *e, int row) {
    const ng_program *p = e->l->p;
    for (int i = 0; i < p->ops; i++) {
        if (!stores_here(e, i)) continue;
        if (p->op[i].per > 1)
            ng_group_values(e, p->op[i].a[0], row, p->op[i].per);
        else
            ng_value(e, p->op[i].a[0], row);
    }
}

void ng_form_integers(ng_values *e, int row) {
    e->forming = true;
    for (int i = 0; i < e->l->p->ops; i++) {
        const ng_op *op = &e->l->p->op[i];
        if (!stores_here(e, i) || op->per > 1 || !ng_type_is_integer(op->type)) continue;
        e->formed[i] = take(e);
        store_value(e, op, row);
    }
    e->forming = false;
}

void ng_store_values(ng_values *e, int row) {
    for (int i = 0; i < e->l->p->ops; i++)
        if (stores_here(e, i)) store_value(e, &e->l->p->op[i], row);
    memset(e->formed, 0, sizeof e->formed[0] * (size_t)e->l->p->ops);
}

void ng_store_slice(ng_values *e, int row) {
    if (e->haste)
        ng_store_in_haste(e, row);
    else
        ng_store_values(e, row);
}
