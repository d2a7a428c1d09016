/* SPDX-License-Identifier: Apache-2.0 */
/* From public arguments to a bound call. The ordinary case is a short walk over the program's
 * streams without a division or a branch that misses; what it cannot vouch for is looked at
 * exactly, out of line, and only there found wrong. Nothing is allocated. It must not know what a
 * program means: names and offsets come from the role table. */
#include "call.h"

#include "error.h"
#include "levels.h"
#include "types.h"

#include <string.h>

/* More than any row number, so that no call ever reaches a second outer step. */
#define ROWS_PER_OUTER (SIZE_MAX >> 1)

#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))

/* What one stream touches: rows [base + i * stride, + bytes), i < rows. */
typedef struct region {
    uintptr_t base;
    size_t stride, bytes, rows;
} region;

/* ---- words ---- */

static const char *name_of(const ng_program *p, int stream) {
    return ng_roles[p->stream[stream].role].name;
}

static COLD normgen_status bad_size(size_t size) {
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "args.struct_size is %zu; this library knows %zu to %zu: start from "
                   "NORMGEN_ARGS, and use a library at least as new as the header",
                   size, offsetof(normgen_args, weight), sizeof(normgen_args));
}

static COLD normgen_status bad_pointer(const ng_program *p, int s, const void *base) {
    const ng_type_info *t = &ng_types[p->stream[s].type];
    if (!base)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "args.%s is a null pointer, but the spec has %s; point it at rows of %zu "
                       "%s element%s",
                       name_of(p, s), name_of(p, s), ng_stream_width(p, s), t->name,
                       ng_stream_width(p, s) == 1 ? "" : "s");
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "args.%s is %p, which is not aligned to its elements (%s, %d bytes)",
                   name_of(p, s), base, t->name, t->bytes);
}

static COLD normgen_status bad_stride(const ng_program *p, int s, ptrdiff_t stride, size_t row) {
    const ng_type_info *t = &ng_types[p->stream[s].type];
    if (stride < 0)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "args.%s_stride is %td, negative; rows go upwards in memory: use 0 for "
                       "contiguous rows, or at least %zu bytes",
                       name_of(p, s), stride, row);
    if ((size_t)stride < row)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "args.%s_stride is %td bytes, less than a row of %zu bytes; use 0 for "
                       "contiguous rows (strides are in bytes)",
                       name_of(p, s), stride, row);
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "args.%s_stride is %td bytes, not a multiple of its element size (%s, %d "
                   "bytes)",
                   name_of(p, s), stride, t->name, t->bytes);
}

static COLD normgen_status bad_extent(const ng_program *p, int s, size_t rows, size_t stride) {
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "args.rows is %zu; rows of args.%s, %zu bytes apart, would not fit the address "
                   "space",
                   rows, name_of(p, s), stride);
}

/* ---- overlap ---- */

/* Whether rows with one common stride meet: row i of a and row j of b do when, with k = i - j,
 * k * stride lies in (d - a.bytes, d + b.bytes), d = b.base - a.base. No row is longer than the
 * stride, so only the two multiples next to d can. */
static bool meet_in_step(const region *a, const region *b) {
    if (a->base > b->base) return meet_in_step(b, a);
    uintptr_t d = b->base - a->base;
    size_t k = d / a->stride, rest = d % a->stride;
    if (k < a->rows && rest < a->bytes) return true;
    return k + 1 < a->rows && a->stride - rest < b->bytes;
}

/* Whether rows at any strides meet: two pointers, each jumping over what ends before the other
 * begins. */
static bool meet(const region *a, const region *b) {
    if (a->stride == b->stride) return meet_in_step(a, b);
    uintptr_t at = a->base, bt = b->base;
    for (size_t i = 0, j = 0;;) {
        if (at + a->bytes <= bt) {
            size_t skip = (bt - at - a->bytes) / a->stride + 1;
            if (skip >= a->rows - i) return false;
            i += skip;
            at += skip * a->stride;
        } else if (bt + b->bytes <= at) {
            size_t skip = (at - bt - b->bytes) / b->stride + 1;
            if (skip >= b->rows - j) return false;
            j += skip;
            bt += skip * b->stride;
        } else {
            return true;
        }
    }
}

static bool same_rows(const region *a, const region *b) {
    return a->base == b->base && a->stride == b->stride && a->bytes == b->bytes;
}

/* Output o against stream s. In place is fine: at one position a kernel loads before it stores. */
static normgen_status check_overlap(const ng_program *p, const region *r, int o, int s) {
    const ng_stream *ss = &p->stream[s];
    if (!ss->out && ss->rows == p->stream[o].rows && ss->width == p->stream[o].width &&
        same_rows(&r[o], &r[s]))
        return NORMGEN_OK;
    if (!meet(&r[o], &r[s])) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "args.%s (%p, rows %zu bytes apart) overlaps args.%s (%p, %zu bytes apart); %s",
                   name_of(p, o), (void *)r[o].base, r[o].stride, name_of(p, s), (void *)r[s].base,
                   r[s].stride,
                   ss->out ? "outputs need memory of their own"
                   : ng_stream_shared(ss)
                       ? "an output may not touch what all rows share"
                       : "an output may be exactly one input (same pointer, stride and element "
                         "size) or apart from it");
}

/* ---- exact checks ---- */

static inline uintptr_t base_of(const ng_stream *stream, const normgen_args *args) {
    uintptr_t base;
    memcpy(&base, (const char *)args + stream->at, sizeof base);
    return base;
}

/* Bytes from row to row; a negative stride is a huge one here. */
static inline size_t stride_of(const ng_stream *stream, const normgen_args *args) {
    size_t stride = 0;
    if (stream->stride) memcpy(&stride, (const char *)args + stream->stride, sizeof stride);
    return stride ? stride : stream->row_bytes;
}

static inline size_t rows_of(const ng_stream *stream, const normgen_args *args) {
    return ng_stream_shared(stream) ? 1 : args->rows;
}

static normgen_status check_stream(const ng_program *p, int s, const region *r) {
    size_t element = p->stream[s].element, span;
    if (!r->base || r->base % element) return bad_pointer(p, s, (const void *)r->base);
    if (r->stride > PTRDIFF_MAX || r->stride < r->bytes || r->stride % element)
        return bad_stride(p, s, (ptrdiff_t)r->stride, r->bytes);
    if (__builtin_mul_overflow(r->rows - 1, r->stride, &span) || span > PTRDIFF_MAX - r->bytes ||
        r->base > UINTPTR_MAX - span - r->bytes)
        return bad_extent(p, s, r->rows, r->stride);
    return NORMGEN_OK;
}

static COLD normgen_status check_all(const ng_program *p, const normgen_args *args) {
    region r[NORMGEN_MAX_STREAMS];
    normgen_status status = NORMGEN_OK;
    for (int s = 0; s < p->streams && status == NORMGEN_OK; s++) {
        const ng_stream *t = &p->stream[s];
        r[s] = (region){base_of(t, args), stride_of(t, args), t->row_bytes, rows_of(t, args)};
        status = check_stream(p, s, &r[s]);
    }
    for (int o = 0; o < p->streams; o++)
        for (int s = 0; s < p->streams && status == NORMGEN_OK; s++)
            if (p->stream[o].out && s != o && !(p->stream[s].out && s > o)) /* two outputs once */
                status = check_overlap(p, r, o, s);
    return status;
}

/* ---- binding ---- */

/* Whether two streams with crossing address ranges are two inputs, or one of each in place. */
static bool may_share(const ng_program *p, const normgen_stream *b, int s, int t) {
    const ng_stream *x = &p->stream[s], *y = &p->stream[t];
    if (!x->out && !y->out) return true;
    return x->out != y->out && x->rows == y->rows && x->width == y->width &&
           x->row_bytes == y->row_bytes && b[s].base == b[t].base && b[s].inner == b[t].inner;
}

/* Vouches for calls that keep the rules by a wide margin: strides and rows below 2^31, addresses
 * that no span of that size carries past the end (a null base wraps), ranges apart or in place.
 * Anything that leaves a bit of doubt is checked exactly. */
static normgen_status bind(const ng_program *p, const normgen_args *args,
                           normgen_bound_args *bound) {
    normgen_stream *b = bound->stream;
    uintptr_t end[NORMGEN_MAX_STREAMS];
    uint64_t doubt = args->rows >> 31;
    bool outputs = false;
    for (int s = 0; s < p->streams; s++) {
        const ng_stream *stream = &p->stream[s];
        uintptr_t base = base_of(stream, args);
        size_t stride = stride_of(stream, args);
        bool shared = ng_stream_shared(stream);
        b[s] = (normgen_stream){(void *)base, shared ? 0 : (ptrdiff_t)stride, 0};
        end[s] = base + (shared ? 1 : args->rows) * stride;
        doubt |= stride >> 31 | (base - 1) >> 62 | (stride - stream->row_bytes) >> 62 |
                 ((base | stride) & (stream->element - 1u));
        outputs |= stream->out;
        for (int t = 0; t < s && outputs; t++) /* what stands before all outputs may share memory */
            if (end[s] > (uintptr_t)b[t].base && end[t] > base && !may_share(p, b, s, t)) doubt = 1;
    }
    bound->rows_per_outer = ROWS_PER_OUTER;
    return UNLIKELY(doubt) ? check_all(p, args) : NORMGEN_OK;
}

/* Arguments of a caller built with an older header: what it did not know is zero. */
static COLD normgen_status bind_older(const ng_program *p, const normgen_args *args,
                                      normgen_bound_args *bound) {
    normgen_args whole = {0};
    if (args->struct_size < offsetof(normgen_args, weight) || args->struct_size > sizeof whole)
        return bad_size(args->struct_size);
    memcpy(&whole, args, args->struct_size);
    whole.struct_size = sizeof whole;
    return ng_bind(p, &whole, bound);
}

normgen_status ng_bind(const ng_program *program, const normgen_args *args,
                       normgen_bound_args *bound) {
    if (UNLIKELY(!args || !bound))
        return ng_fail(NORMGEN_E_ARGUMENT, "%s is a null pointer", args ? "bound" : "args");
    if (UNLIKELY(args->struct_size != sizeof *args)) return bind_older(program, args, bound);
    if (UNLIKELY(args->rows == 0)) {
        memset(bound, 0, sizeof *bound);
        bound->rows_per_outer = ROWS_PER_OUTER;
        return NORMGEN_OK;
    }
    if (UNLIKELY(!ng_one_level(program, args))) return ng_bind_levels(program, args, bound);
    return bind(program, args, bound);
}
