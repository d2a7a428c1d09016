/* SPDX-License-Identifier: Apache-2.0 */
/* Binding on two levels, and overlap of what is bound. All checks are exact: rows of one array may
 * stand between those of another (q, k and v of one token side by side). Nothing is allocated. It
 * must not know what a program means: names and offsets come from the role table. */
#include "levels.h"

#include "error.h"
#include "types.h"

#include <string.h>

/* `count` things that begin `stride` bytes apart. */
typedef struct run {
    size_t stride, count;
} run;

/* What a stream touches: `bytes` at base + i * low.stride + j * high.stride. A low run ends before
 * the next one begins. */
typedef struct region {
    uintptr_t base;
    run low, high;
    size_t bytes;
} region;

static const char *name_of(const ng_program *p, int s) { return ng_roles[p->stream[s].role].name; }

static size_t run_bytes(run r, size_t bytes) { return (r.count - 1) * r.stride + bytes; }
static size_t low_bytes(const region *r) { return run_bytes(r->low, r->bytes); }

/* ---- whether two regions meet ---- */

/* Two runs of pieces: two pointers, each jumping over what ends before the other begins. */
static bool runs_meet(uintptr_t at, run a, size_t a_bytes, uintptr_t bt, run b, size_t b_bytes) {
    for (size_t i = 0, j = 0;;) {
        if (at + a_bytes <= bt) {
            size_t skip = (bt - at - a_bytes) / a.stride + 1;
            if (skip >= a.count - i) return false;
            i += skip;
            at += skip * a.stride;
        } else if (bt + b_bytes <= at) {
            size_t skip = (at - bt - b_bytes) / b.stride + 1;
            if (skip >= b.count - j) return false;
            j += skip;
            bt += skip * b.stride;
        } else {
            return true;
        }
    }
}

static bool lows_meet(const region *a, uintptr_t at, const region *b, uintptr_t bt) {
    return runs_meet(at, a->low, a->bytes, bt, b->low, b->bytes);
}

/* Equal steps: only neighbours at two distances can meet, however many there are. */
static bool meet_in_step(const region *a, const region *b) {
    if (a->base > b->base) return meet_in_step(b, a);
    size_t step = a->high.stride, k = (b->base - a->base) / step;
    uintptr_t here = a->base + k * step; /* the last low run of a at or before b's first */
    if (k < a->high.count && lows_meet(a, here, b, b->base)) return true;
    return k + 1 < a->high.count && lows_meet(a, here + step, b, b->base);
}

static bool meet(const region *a, const region *b) {
    size_t la = low_bytes(a), lb = low_bytes(b);
    if (!runs_meet(a->base, (run){1, 1}, run_bytes(a->high, la), b->base, (run){1, 1},
                   run_bytes(b->high, lb)))
        return false;
    if (a->high.stride == b->high.stride) return meet_in_step(a, b);
    uintptr_t at = a->base, bt = b->base;
    for (size_t i = 0, j = 0; i < a->high.count && j < b->high.count;) {
        if (lows_meet(a, at, b, bt)) return true;
        if (at + la <= bt + lb)
            i++, at += a->high.stride;
        else
            j++, bt += b->high.stride;
    }
    return false;
}

/* ---- from arguments to regions ---- */

static size_t member(const normgen_args *args, size_t offset) {
    size_t v = 0;
    if (offset) memcpy(&v, (const char *)args + offset, sizeof v);
    return v;
}

/* Strides as the caller means them: 0 is contiguous. */
typedef struct strides {
    size_t inner, outer;
} strides;

static strides strides_of(const ng_program *p, const ng_stream *t, const normgen_args *args,
                          size_t inner) {
    size_t row = t->row_bytes, stride = member(args, t->stride);
    if (t->rows == NG_ONE) return (strides){0, 0};
    if (t->rows == NG_OUTER) return (strides){0, stride ? stride : row};
    if (t->rows == NG_INNER) return (strides){stride ? stride : row, 0};
    if (p->parts > 1) return (strides){row, stride ? stride : inner * row};
    size_t step = stride ? stride : row, outer = member(args, t->outer);
    return (strides){step, outer ? outer : inner * step};
}

static region region_of(const ng_stream *t, const normgen_args *args, strides s, size_t inner,
                        size_t outer) {
    run in = {s.inner ? s.inner : 1, s.inner ? inner : 1};
    run out = {s.outer ? s.outer : 1, s.outer ? outer : 1};
    bool swapped = in.count > 1 && out.count > 1 && in.stride > out.stride;
    uintptr_t base = (uintptr_t)member(args, t->at);
    if (in.count == 1) in.stride = 1; /* steps that are not taken make no difference */
    if (out.count == 1) out.stride = SIZE_MAX >> 1;
    return (region){base, swapped ? out : in, swapped ? in : out, t->row_bytes};
}

/* Rows per outer index; *rows is those of the program. */
static normgen_status levels_of(const ng_program *p, const normgen_args *args, size_t *inner,
                                size_t *rows) {
    size_t fixed = (size_t)p->inner;
    *rows = args->rows;
    *inner = args->inner ? args->inner : fixed;
    if (p->parts > 1) {
        if (args->inner)
            return ng_fail(NORMGEN_E_ARGUMENT,
                           "args.inner is %zu, but the rows of a spec with groups are whole rows "
                           "on one level; set it to 0",
                           args->inner);
        if (args->rows > (size_t)PTRDIFF_MAX / fixed)
            return ng_fail(NORMGEN_E_ARGUMENT, "args.rows is %zu, too many for %d groups each",
                           args->rows, p->parts);
        *rows = args->rows * fixed;
        return NORMGEN_OK;
    }
    if (fixed && *inner != fixed)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "args.inner is %zu, but the spec has heads=%zu; set it to that or to 0",
                       args->inner, fixed);
    for (int s = 0; s < p->streams && *inner == 0; s++) {
        uint8_t of = p->stream[s].rows;
        if (of == NG_OUTER || of == NG_INNER)
            return ng_fail(
                NORMGEN_E_ARGUMENT,
                "args.inner is 0, but the spec has %s, which has one row per %s index; "
                "set it to the rows per outer index (heads of a token, rows of a sample)",
                name_of(p, s), of == NG_OUTER ? "outer" : "inner");
    }
    if (args->rows % *inner != 0)
        return ng_fail(NORMGEN_E_ARGUMENT, "args.rows is %zu, not a multiple of args.inner, %zu",
                       args->rows, *inner);
    return NORMGEN_OK;
}

/* ---- checks of one stream ---- */

static normgen_status check_base(const ng_program *p, int s, const region *r) {
    const ng_stream *t = &p->stream[s];
    if (!r->base)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "args.%s is a null pointer, but the spec has %s; point it at rows of %zu "
                       "element%s of type %s",
                       name_of(p, s), name_of(p, s), ng_stream_width(p, s),
                       ng_stream_width(p, s) == 1 ? "" : "s", ng_types[t->type].name);
    if (r->base % t->element)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "args.%s is %p, which is not aligned to its elements (%s, %d bytes)",
                       name_of(p, s), (void *)r->base, ng_types[t->type].name, t->element);
    return NORMGEN_OK;
}

static normgen_status check_step(const ng_program *p, int s, const char *what, size_t stride,
                                 size_t least) {
    if (stride == 0 ||
        (stride >= least && stride <= PTRDIFF_MAX && stride % p->stream[s].element == 0))
        return NORMGEN_OK;
    const char *why = stride > PTRDIFF_MAX ? "negative; rows go upwards in memory"
                      : stride < least     ? "less than what lies between"
                                           : "not a multiple of its element size";
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "args.%s_%s is %td bytes, %s; use 0 for contiguous rows, or at least %zu bytes "
                   "in multiples of %d",
                   name_of(p, s), what, (ptrdiff_t)stride, why, least, p->stream[s].element);
}

static normgen_status check_stream(const ng_program *p, int s, strides given, const region *r) {
    const ng_stream *t = &p->stream[s];
    bool by_stride = t->rows == NG_OUTER || p->parts > 1; /* which member the outer one came from */
    size_t span, low,
        whole = p->parts > 1 && t->rows == NG_EACH ? (size_t)p->parts * t->row_bytes : t->row_bytes;
    normgen_status st = check_base(p, s, r);
    if (st == NORMGEN_OK) st = check_step(p, s, "stride", given.inner, t->row_bytes);
    if (st == NORMGEN_OK) st = check_step(p, s, by_stride ? "stride" : "outer", given.outer, whole);
    if (st != NORMGEN_OK) return st;
    if (__builtin_mul_overflow(r->low.count - 1, r->low.stride, &low) ||
        low > PTRDIFF_MAX - r->bytes ||
        (r->high.count > 1 && __builtin_mul_overflow(r->high.count - 1, r->high.stride, &span)) ||
        (r->high.count > 1 && span > PTRDIFF_MAX - r->bytes - low) ||
        r->base > UINTPTR_MAX - PTRDIFF_MAX)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "args.rows is too large: rows of args.%s would not fit the address space",
                       name_of(p, s));
    if (r->high.count > 1 && r->high.stride < low_bytes(r))
        return ng_fail(
            NORMGEN_E_ARGUMENT,
            "args.%s: rows %td bytes apart in groups %td bytes apart overlap each other; "
            "one of the two has to pass over all that the other spans",
            name_of(p, s), (ptrdiff_t)given.inner, (ptrdiff_t)given.outer);
    return NORMGEN_OK;
}

/* ---- overlap ---- */

static bool same_place(const ng_program *p, const region *r, int o, int s) {
    const ng_stream *a = &p->stream[o], *b = &p->stream[s];
    return !b->out && a->rows == b->rows && a->width == b->width &&
           memcmp(&r[o], &r[s], sizeof r[0]) == 0;
}

static normgen_status check_overlaps(const ng_program *p, const region *r) {
    for (int o = 0; o < p->streams; o++)
        for (int s = 0; s < p->streams; s++) {
            const ng_stream *t = &p->stream[s];
            if (!p->stream[o].out || s == o || (t->out && s > o)) continue;
            if (same_place(p, r, o, s) || !meet(&r[o], &r[s])) continue;
            return ng_fail(NORMGEN_E_ARGUMENT, "args.%s (%p) overlaps args.%s (%p); %s",
                           name_of(p, o), (void *)r[o].base, name_of(p, s), (void *)r[s].base,
                           t->out ? "outputs need memory of their own"
                           : t->rows == NG_EACH
                               ? "an output may be exactly one input (same pointer, strides and "
                                 "element size) or apart from it"
                               : "an output may not touch what rows share");
        }
    return NORMGEN_OK;
}

/* ---- binding ---- */

/* Regions of a call that is known to be right. */
static void regions_of(const ng_program *p, const normgen_args *args,
                       region r[NORMGEN_MAX_STREAMS]) {
    size_t inner = p->inner ? (size_t)p->inner : args->inner ? args->inner : args->rows;
    size_t rows = p->parts > 1 ? args->rows * inner : args->rows;
    for (int s = 0; s < p->streams; s++)
        r[s] = region_of(&p->stream[s], args, strides_of(p, &p->stream[s], args, inner), inner,
                         rows / inner);
}

normgen_status ng_bind_levels(const ng_program *p, const normgen_args *args,
                              normgen_bound_args *bound) {
    region r[NORMGEN_MAX_STREAMS];
    size_t inner = 0, rows = 0;
    normgen_status st = levels_of(p, args, &inner, &rows);
    memset(r, 0, sizeof r); /* compared as bytes */
    for (int s = 0; s < p->streams && st == NORMGEN_OK; s++) {
        strides given = strides_of(p, &p->stream[s], args, inner);
        r[s] = region_of(&p->stream[s], args, given, inner, rows / inner);
        bound->stream[s] =
            (normgen_stream){(void *)r[s].base, (ptrdiff_t)given.inner, (ptrdiff_t)given.outer};
        st = check_stream(p, s, given, &r[s]);
    }
    bound->rows_per_outer = inner;
    return st == NORMGEN_OK ? check_overlaps(p, r) : st;
}

normgen_status ng_check_apart(const ng_program *p, const normgen_args *a, size_t number_a,
                              const normgen_args *b, size_t number_b) {
    region ra[NORMGEN_MAX_STREAMS], rb[NORMGEN_MAX_STREAMS];
    if (a->rows == 0 || b->rows == 0) return NORMGEN_OK;
    regions_of(p, a, ra);
    regions_of(p, b, rb);
    for (int s = 0; s < p->streams; s++)
        for (int t = 0; t < p->streams; t++) {
            if (!p->stream[s].out && !p->stream[t].out) continue;
            if (!meet(&ra[s], &rb[t])) continue;
            return ng_fail(NORMGEN_E_ARGUMENT,
                           "args.%s (%p) of set %zu overlaps args.%s (%p) of set %zu; sets run in "
                           "any order: no output of one may touch an array of another",
                           name_of(p, s), (void *)ra[s].base, number_a, name_of(p, t),
                           (void *)rb[t].base, number_b);
        }
    return NORMGEN_OK;
}
