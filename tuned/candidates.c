/* SPDX-License-Identifier: Apache-2.0 */
/* Enumeration, pruning and order of candidates. Knows the axes by what they do to memory; it must
 * not know what a program computes. */
#include "candidates.h"

#include "error.h"
#include "types.h"

#include <stdlib.h>
#include <string.h>

enum { FEW_ROWS = 4 };

static int16_t axis_value(const ng_schedule *s, const ng_axis *axis) {
    int16_t v;
    memcpy(&v, (const char *)s + axis->offset, sizeof v);
    return v;
}

int ng_schedule_distance(const ng_program *p, const ng_schedule *a, const ng_schedule *b) {
    int distance = 0;
    for (int i = 0; i < NG_AXIS_COUNT; i++) {
        if (!ng_axes[i].per_value)
            distance += axis_value(a, &ng_axes[i]) != axis_value(b, &ng_axes[i]);
        else
            for (int j = 0; j < p->keeps; j++) distance += a->keep[j] != b->keep[j];
    }
    return distance;
}

bool ng_schedule_fits_rows(const ng_program *p, const ng_schedule *schedule) {
    for (int s = 0; s < p->streams; s++) {
        size_t bytes = p->stream[s].row_bytes;
        if (p->stream[s].out && bytes % ng_schedule_alignment(p, schedule, s) != 0) return false;
    }
    return true;
}

bool ng_schedule_any_stream(const ng_program *p, const ng_schedule *schedule) {
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == NG_STORE && ng_schedule_streams(p, schedule, &p->op[i])) return true;
    return false;
}

/* Blocks of more rows than there are (or lie in an outer row, as a block does), prefetching or
 * overlapping with a next block that never comes, streaming what the next reader wants in cache,
 * tiles where everything stays in L1, what rows share computed once for next to no rows; where
 * memory does not set the pace, vectors of a quarter of what there is, slices of a line and lines
 * asked for again: none can win. */
static bool can_pay(const ng_place *place, const ng_isa *isa, const ng_schedule *s) {
    size_t rows = place->rows / (size_t)place->threads, block = (size_t)ng_schedule_turn(s);
    if (rows == 0) rows = 1;
    bool big = place->regime == NG_LLC || place->regime == NG_DRAM;
    if (block > rows || (place->program->inner && (int64_t)block > place->program->inner))
        return false;
    if (place->whole_space) return true;
    if (4 * s->vec <= isa->max_vec && place->regime != NG_DRAM) return false;
    if ((s->slice == NG_SLICE_LINE || ng_schedule_requests(s) > 1) && place->regime != NG_DRAM)
        return false;
    if ((s->overlap || s->prefetch) && rows < 2 * block) return false;
    int lag = ng_overlap_lag(place->program, s, place->program->passes - 1);
    if (rows < (size_t)(lag + 1) * block) return false;
    if ((s->prefetch || s->visit == NG_VISIT_TILES) && place->regime == NG_L1) return false;
    if (s->shared && rows < FEW_ROWS) return false;
    if (s->store == NG_STORE_AHEAD) return place->regime != NG_L1;
    return big || s->store == NG_STORE_CACHED;
}

normgen_status ng_neighbours(const ng_place *place, const ng_isa *isa, const ng_schedule *schedule,
                             ng_schedule **list, size_t *count) {
    ng_schedule *all = NULL;
    size_t n = 0, kept = 0;
    normgen_status status = ng_schedule_neighbours(place->program, isa, schedule, &all, &n);
    if (status != NORMGEN_OK) return status;
    for (size_t i = 0; i < n; i++)
        if (can_pay(place, isa, &all[i]) && ng_schedule_fits_rows(place->program, &all[i]))
            all[kept++] = all[i];
    *list = all;
    *count = kept;
    return NORMGEN_OK;
}

/* A candidate with its place in the order. */
typedef struct ranked {
    ng_schedule schedule;
    int distance;
    size_t index; /* in the order of simplicity */
} ranked;

static int by_rank(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool contains(const ng_program *p, const ng_schedule *list, size_t n,
                     const ng_schedule *schedule) {
    for (size_t i = 0; i < n; i++)
        if (ng_schedule_distance(p, &list[i], schedule) == 0) return true;
    return false;
}

static size_t take_hints(const ng_place *place, const ng_isa *isa, const ng_schedule *hints,
                         size_t n_hints, ng_schedule *list) {
    size_t n = 0;
    for (size_t i = 0; i < n_hints; i++)
        if (!contains(place->program, list, n, &hints[i]) &&
            ng_schedule_legal(place->program, isa, &hints[i], NULL) &&
            ng_schedule_fits_rows(place->program, &hints[i]))
            list[n++] = hints[i];
    return n;
}

normgen_status ng_candidates(const ng_place *place, const ng_isa *isa, const ng_schedule *hints,
                             size_t n_hints, ng_schedule **list, size_t *count) {
    const ng_program *p = place->program;
    ng_schedule *space = NULL, *out = NULL;
    ranked *rank = NULL;
    size_t n = 0, kept = 0;
    normgen_status status = ng_schedule_space(p, isa, &space, &n);
    if (status != NORMGEN_OK) return status;
    out = malloc((n + n_hints + 1) * sizeof *out);
    rank = malloc((n + 1) * sizeof *rank);
    if (!out || !rank) {
        status = ng_fail(NORMGEN_E_MEMORY, "no memory for %zu candidates", n);
        free(out);
        goto done;
    }
    size_t taken = take_hints(place, isa, hints, n_hints, out);
    for (size_t i = 0; i < n; i++) {
        if (!can_pay(place, isa, &space[i]) || !ng_schedule_fits_rows(p, &space[i])) continue;
        int nearest = NG_AXIS_COUNT + NG_MAX_KEEP;
        for (size_t h = 0; h < taken; h++) {
            int d = ng_schedule_distance(p, &space[i], &out[h]);
            if (d < nearest) nearest = d;
        }
        if (nearest > 0) rank[kept++] = (ranked){space[i], nearest, i};
    }
    qsort(rank, kept, sizeof *rank, by_rank);
    for (size_t i = 0; i < kept; i++) out[taken + i] = rank[i].schedule;
    *list = out;
    *count = taken + kept;
done:
    free(rank);
    free(space);
    return status;
}

/* What a copy may be fastest with when it comes from memory, on one machine or another; kernels
 * that compute may not want these first. */
static const struct {
    int16_t vec, block, store, prefetch, overlap, slice; /* vec 0: the widest */
} copies_from_memory[] = {
    {0, 4, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_NO, NG_SLICE_LINE},
    {0, 2, NG_STORE_STAGED, NG_PREFETCH_L2, NG_OVERLAP_NO, NG_SLICE_FOUR},
    {0, 1, NG_STORE_STREAM, NG_PREFETCH_TWICE, NG_OVERLAP_YES, NG_SLICE_LINE},
    {0, 2, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_NO, NG_SLICE_LINE},
    {0, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_NO, NG_SLICE_FOUR},
    {0, 8, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_NO, NG_SLICE_FOUR},
    {0, 1, NG_STORE_STREAM, NG_PREFETCH_L2, NG_OVERLAP_YES, NG_SLICE_LINE},
    {0, 1, NG_STORE_STREAM, NG_PREFETCH_TWICE, NG_OVERLAP_NO, NG_SLICE_LINE},
    {0, 1, NG_STORE_STAGED, NG_PREFETCH_TWICE, NG_OVERLAP_NO, NG_SLICE_LINE},
    {0, 1, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_NO, NG_SLICE_FOUR},
    {0, 1, NG_STORE_STREAM, NG_PREFETCH_THRICE, NG_OVERLAP_NO, NG_SLICE_FOUR},
    {0, 1, NG_STORE_STAGED, NG_PREFETCH_L2, NG_OVERLAP_NO, NG_SLICE_FOUR},
    {128, 1, NG_STORE_STREAM, NG_PREFETCH_NONE, NG_OVERLAP_NO, NG_SLICE_FOUR}};
enum { COPIES = sizeof copies_from_memory / sizeof copies_from_memory[0] };

static bool copy_works(const ng_place *place, const ng_isa *isa, const ng_schedule *s) {
    return can_pay(place, isa, s) && ng_schedule_legal(place->program, isa, s, NULL) &&
           ng_schedule_fits_rows(place->program, s);
}

/* Loading the rows to come as well, as kernels with overlap do, pays where they are far away. How
 * values are kept says nothing about bytes, but may be what makes a kernel with overlap legal. With
 * keep=reload some outputs are not streamed, which a limit does not tell from others. */
bool ng_limit_of(const ng_place *place, const ng_isa *isa, const ng_schedule *schedule,
                 ng_schedule *limit) {
    bool far = place->regime == NG_LLC || place->regime == NG_DRAM;
    ng_schedule s = *schedule;
    s.visit = NG_VISIT_BESIDE;
    s.layout = NG_LAYOUT_LINEAR;
    s.shared = NG_SHARED_ANEW;
    for (int j = 0; j < NG_MAX_KEEP; j++)
        if (s.keep[j] == NG_RELOAD) s.keep[j] = NG_RECOMPUTE;
    *limit = s;
    memset(limit->keep, NG_RECOMPUTE, sizeof limit->keep);
    if (!s.overlap || (far && copy_works(place, isa, limit))) return copy_works(place, isa, limit);
    if (far && copy_works(place, isa, &s)) {
        *limit = s;
        return true;
    }
    limit->overlap = NG_OVERLAP_NO;
    return copy_works(place, isa, limit);
}

static void add_copy(const ng_place *place, const ng_isa *isa, const ng_schedule *of,
                     ng_schedule *list, size_t *n) {
    ng_schedule s;
    if (ng_limit_of(place, isa, of, &s) && !contains(place->program, list, *n, &s))
        list[(*n)++] = s;
}

normgen_status ng_limit_candidates(const ng_place *place, const ng_isa *isa,
                                   const ng_schedule *from, size_t n, ng_schedule **list,
                                   size_t *count) {
    ng_schedule *out = malloc((n + COPIES + 1) * sizeof *out);
    if (!out) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu candidates", n);
    size_t kept = 0;
    for (size_t i = 0; i < COPIES && place->regime == NG_DRAM; i++) {
        ng_schedule s = {.vec = copies_from_memory[i].vec,
                         .block = copies_from_memory[i].block,
                         .store = copies_from_memory[i].store,
                         .prefetch = copies_from_memory[i].prefetch,
                         .overlap = copies_from_memory[i].overlap,
                         .slice = copies_from_memory[i].slice};
        if (!s.vec) s.vec = (int16_t)isa->max_vec;
        add_copy(place, isa, &s, out, &kept);
    }
    for (size_t i = 0; i < n; i++) add_copy(place, isa, &from[i], out, &kept);
    *list = out;
    *count = kept;
    return NORMGEN_OK;
}

bool ng_memcpy_applies(const ng_program *p, int *from, int *to) {
    *from = *to = -1;
    for (int s = 0; s < p->streams; s++) {
        int *end = p->stream[s].out ? to : from;
        if (ng_stream_shared(&p->stream[s])) continue;
        if (!ng_stream_moves(&p->stream[s]) || *end >= 0) return false;
        *end = s;
    }
    return *from >= 0 && *to >= 0 && p->stream[*from].row_bytes == p->stream[*to].row_bytes;
}
