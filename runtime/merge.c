/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics of slices of rows become those of whole rows: docs/numerics.md, "Partial and apply".
 * A binary counter over the slices, so that the bits depend on the slices alone. */
#include "call.h"
#include "error.h"
#include "spec.h"

#include <math.h>
#include <string.h>

enum { LEVELS = 64 };

/* Of a run of slices. */
#define MERGE(REAL, name, FMA, SQRT)                                                               \
    typedef struct name##_run {                                                                    \
        REAL n, mean, m2, q;                                                                       \
        size_t slices;                                                                             \
    } name##_run;                                                                                  \
    static name##_run name##_join(const name##_run *a, const name##_run *b) {                      \
        name##_run r = {.n = a->n + b->n, .q = a->q + b->q, .slices = a->slices + b->slices};      \
        REAL f = b->n / r.n, delta = b->mean - a->mean;                                            \
        r.mean = FMA(delta, f, a->mean);                                                           \
        r.m2 = FMA(delta * delta, a->n * f, a->m2 + b->m2);                                        \
        return r;                                                                                  \
    }                                                                                              \
    static name##_run name##_slice(const normgen_slice *s, size_t row) {                           \
        name##_run r = {.n = (REAL)s->hidden, .slices = 1};                                        \
        const REAL *mean = s->mean, *m2 = s->m2, *q = s->q;                                        \
        if (mean) r.mean = mean[row];                                                              \
        if (m2) r.m2 = m2[row];                                                                    \
        if (q) r.q = q[row];                                                                       \
        return r;                                                                                  \
    }                                                                                              \
    static REAL name##_rstd(const normgen_spec *s, const name##_run *r) {                          \
        REAL eps = (REAL)s->eps;                                                                   \
        if (s->kind == NORMGEN_LAYER) return 1 / SQRT(r->m2 / r->n + eps);                         \
        if (s->kind == NORMGEN_RMS) return 1 / SQRT(r->q / r->n + eps);                            \
        REAL root = SQRT(r->q);                                                                    \
        return s->eps_mode == NORMGEN_EPS_MAX ? 1 / (root < eps ? eps : root)                      \
                                              : 1 / SQRT(r->q + eps);                              \
    }                                                                                              \
    static void name##_row(const normgen_spec *s, const normgen_slice *slices, size_t count,       \
                           size_t row, REAL *mean, REAL *rstd) {                                   \
        name##_run stack[LEVELS];                                                                  \
        size_t depth = 0;                                                                          \
        for (size_t i = 0; i < count; i++) {                                                       \
            stack[depth++] = name##_slice(&slices[i], row);                                        \
            for (; depth > 1 && stack[depth - 2].slices == stack[depth - 1].slices; depth--)       \
                stack[depth - 2] = name##_join(&stack[depth - 2], &stack[depth - 1]);              \
        }                                                                                          \
        for (; depth > 1; depth--)                                                                 \
            stack[depth - 2] = name##_join(&stack[depth - 2], &stack[depth - 1]);                  \
        if (s->kind == NORMGEN_LAYER) mean[row] = stack[0].mean;                                   \
        rstd[row] = name##_rstd(s, &stack[0]);                                                     \
    }

MERGE(float, single, fmaf, sqrtf)
MERGE(double, wide, fma, sqrt)

/* ---- checks ---- */

static normgen_status check_slice(const normgen_spec *s, const normgen_slice *slice, size_t i) {
    bool layer = s->kind == NORMGEN_LAYER;
    const char *missing = layer && !slice->mean ? "mean"
                          : layer && !slice->m2 ? "m2"
                          : !layer && !slice->q ? "q"
                                                : NULL;
    if (missing)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "slices[%zu].%s is a null pointer; kind %s merges %s of every slice", i,
                       missing, layer ? "layer" : "rms and l2", layer ? "mean and m2" : "q");
    if (slice->hidden >= 1 && slice->hidden <= s->hidden) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "slices[%zu].hidden is %lld; a slice of a row of %lld has 1 to so many elements",
                   i, (long long)slice->hidden, (long long)s->hidden);
}

static normgen_status check(const normgen_spec *s, const normgen_slice *slices, size_t count,
                            const void *mean, const void *rstd) {
    int64_t sum = 0;
    if (!slices || !rstd || (!mean && s->kind == NORMGEN_LAYER))
        return ng_fail(NORMGEN_E_ARGUMENT, "normgen_merge_stats: %s is a null pointer",
                       !slices ? "slices"
                       : !rstd ? "rstd"
                               : "mean");
    if (s->kind == NORMGEN_DYT)
        return ng_fail(NORMGEN_E_SPEC, "kind dyt has no statistics to merge");
    for (size_t i = 0; i < count; i++) {
        normgen_status st = check_slice(s, &slices[i], i);
        if (st != NORMGEN_OK) return st;
        sum += slices[i].hidden;
        if (sum > s->hidden) break;
    }
    if (sum == s->hidden) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "the %zu slices have %lld%s elements, and the spec has hidden=%lld; give the "
                   "spec of the whole row and all of its slices",
                   count, (long long)sum, sum > s->hidden ? " or more" : "", (long long)s->hidden);
}

normgen_status normgen_merge_stats(const normgen_spec *spec, const normgen_slice *slices,
                                   size_t count, size_t rows, void *mean, void *rstd) {
    normgen_spec s;
    normgen_status st = ng_spec_resolve(spec, &s);
    if (st == NORMGEN_OK) st = check(&s, slices, count, mean, rstd);
    if (st != NORMGEN_OK) return st;
    uint64_t saved = ng_fp_enter();
    for (size_t row = 0; row < rows; row++)
        if (s.compute == NORMGEN_F64)
            wide_row(&s, slices, count, row, mean, rstd);
        else
            single_row(&s, slices, count, row, mean, rstd);
    ng_fp_leave(saved);
    return NORMGEN_OK;
}
