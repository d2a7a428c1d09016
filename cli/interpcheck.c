/* SPDX-License-Identifier: Apache-2.0 */
/* A case is a set of arrays with a gap after every row; both interpreters get the same inputs and
 * an output each. Outputs are compared whole, gaps included, after NaN has become one NaN. */
#include "interpcheck.h"

#include "call.h"
#include "types.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 64, CASE_BYTES = 64 << 20, INNER = 4 /* where the spec leaves it to the call */ };

typedef struct side {
    unsigned char *data[NG_ROLE_COUNT];
    size_t bytes[NG_ROLE_COUNT];
    normgen_args args;
} side;

static uint64_t next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Sign, and a size from 2^-6 to 2^6. */
static double ordinary(uint64_t *state) {
    uint64_t z = next(state);
    double size = ldexp(1 + (double)(z >> 12) * 0x1p-52, (int)(z % 13) - 6);
    return z & 0x800 ? -size : size;
}

/* Kinds of rows; every second one is ordinary. */
static double element(size_t row, size_t i, uint64_t *state) {
    double v = ordinary(state);
    switch (row % 16) {
    case 1: return 0;
    case 3: return 3.25;                           /* constant */
    case 5: return 1e4 + v;                        /* large mean */
    case 7: return i == 0 ? 60000 : v;             /* an outlier first */
    case 9: return v * 1e-39;                      /* subnormal */
    case 11: return i % 7 == 3 ? (double)NAN : v;  /* NaN */
    case 13: return i == 2 ? (double)INFINITY : v; /* infinity */
    case 15: return v * 1e36;                      /* near overflow */
    default: return v;
    }
}

static void fill(const ng_stream *stream, unsigned char *data, size_t rows, size_t width,
                 size_t stride, uint64_t *state) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            double v = ng_stream_moves(stream) ? element(r, i, state) : ordinary(state);
            ng_type_write(stream->type, data + r * stride, i, v);
        }
}

static void side_fini(side *s) {
    for (int r = 0; r < NG_ROLE_COUNT; r++) free(s->data[r]);
}

/* `rows` whole ones, a multiple of `inner`; all parts of a row are side by side. */
static bool side_init(side *s, const ng_program *p, size_t rows, size_t inner, int64_t seed) {
    uint64_t state = (uint64_t)seed;
    s->args = NORMGEN_ARGS;
    s->args.rows = rows;
    s->args.inner = p->parts > 1 ? 0 : inner;
    for (int i = 0; i < p->streams; i++) {
        const ng_stream *t = &p->stream[i];
        const ng_role_info *role = &ng_roles[t->role];
        size_t width = ng_stream_width(p, i), bytes = ng_types[t->type].bytes;
        size_t n = ng_stream_rows(t, rows, inner ? inner : rows);
        if (p->parts > 1) {
            bool whole = t->rows == NG_EACH || t->rows == NG_INNER;
            width *= whole ? (size_t)p->parts : 1;
            n = t->rows == NG_EACH || t->rows == NG_OUTER ? rows : 1;
        }
        size_t stride = (width + 3) * bytes;
        s->bytes[t->role] = n * stride;
        s->data[t->role] = malloc(n * stride);
        if (!s->data[t->role]) return false;
        memset(s->data[t->role], 0x5a, n * stride);
        if (!t->out) fill(t, s->data[t->role], n, width, stride, &state);
        *(void **)(void *)((char *)&s->args + role->base) = s->data[t->role];
        if (role->stride)
            *(ptrdiff_t *)(void *)((char *)&s->args + role->stride) = (ptrdiff_t)stride;
    }
    return true;
}

static bool same_element(int type, const unsigned char *a, const unsigned char *b, size_t i) {
    size_t bytes = ng_types[type].bytes;
    if (memcmp(a + i * bytes, b + i * bytes, bytes) == 0) return true;
    return isnan(ng_type_read(type, a, i)) && isnan(ng_type_read(type, b, i));
}

static void compare(const ng_program *p, const side *a, const side *b, cli_interp_check *result) {
    for (int s = 0; s < p->streams; s++) {
        const ng_stream *t = &p->stream[s];
        if (!t->out) continue;
        result->compared++;
        size_t n = a->bytes[t->role] / ng_types[t->type].bytes, i = 0;
        while (i < n && same_element(t->type, a->data[t->role], b->data[t->role], i)) i++;
        if (i == n) continue;
        if (result->failed++ == 0) {
            result->first = ng_roles[t->role].name;
            result->row = i / (ng_stream_width(p, s) + 3);
        }
    }
}

/* Runs [0, cut) and [cut, rows) and compares with the baseline's one run. */
static normgen_status run_case(const ng_program *p, ng_interp_fn interp, side *a, side *b,
                               size_t cut, cli_interp_check *result) {
    normgen_bound_args base, host;
    normgen_status st = ng_bind(p, &a->args, &base);
    if (st == NORMGEN_OK) st = ng_bind(p, &b->args, &host);
    if (st != NORMGEN_OK) return st;
    uint64_t saved = ng_fp_enter();
    size_t parts = (size_t)p->parts;
    ng_interp_baseline(p, &base, 0, a->args.rows * parts);
    interp(p, &host, 0, cut * parts);
    interp(p, &host, cut * parts, a->args.rows * parts);
    ng_fp_leave(saved);
    compare(p, a, b, result);
    return NORMGEN_OK;
}

normgen_status cli_interp_compare(const ng_cpu *cpu, const normgen_spec *spec, int64_t seed,
                                  cli_interp_check *result) {
    ng_program p;
    side a = {0}, b = {0};
    size_t row, shared;
    *result = (cli_interp_check){0};
    ng_program_build(&p, spec);
    ng_program_footprint(&p, &row, &shared);
    size_t rows = CASE_BYTES / row < ROWS ? CASE_BYTES / row + 1 : ROWS;
    size_t inner = p.inner ? (size_t)p.inner : p.levels ? INNER : 0;
    if (inner && p.parts == 1) rows = (rows + inner - 1) / inner * inner;
    normgen_status st = NORMGEN_OK;
    for (size_t i = 0; i < 3 && st == NORMGEN_OK; i++) {
        bool ready = side_init(&a, &p, rows, inner, seed + (int64_t)i) &&
                     side_init(&b, &p, rows, inner, seed + (int64_t)i);
        st = ready ? run_case(&p, cpu->interp, &a, &b, i * rows / 3, result) : NORMGEN_E_MEMORY;
        side_fini(&a);
        side_fini(&b);
        a = b = (side){0};
    }
    return st;
}
