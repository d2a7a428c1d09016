/* SPDX-License-Identifier: Apache-2.0 */
/* Passes in which elements wait for their group: maximum, divisions and broadcast take longer than
 * the processor looks ahead. So the groups' values of the next slice are computed before the
 * elements of this one: what the slice has of values by then goes around the loop. */
#include "lower.h"

#include <string.h>

/* Loads of a slice, and all that leads to a group's value. */
static void begin(ng_values *e, ng_lower *l, const ng_work *work, ng_v v_at) {
    ng_slice s = {.v_at = v_at, .vectors = l->slice};
    ng_values_begin(e, l, work, s);
    for (int row = 0; row < work->rows->n; row++) ng_evaluate_groups(e, row);
    ng_prefetch_slice(l, work, 0, work->rows->n, &s);
}

static void finish(ng_values *e) {
    for (int row = 0; row < e->work->rows->n; row++) ng_evaluate_stores(e, row);
    for (int row = 0; row < e->work->rows->n; row++) ng_store_slice(e, row);
}

static ng_v *take(ng_lower *l, size_t n) {
    ng_v *v = l->pool + l->pooled;
    l->pooled += n;
    return v;
}

/* The values that a slice has so far, one after the other; returns how many. */
static unsigned list(const ng_values *e, ng_v *to) {
    unsigned n = 0;
    for (int i = 0; i < e->l->p->ops; i++)
        for (int row = 0; row < e->work->rows->n; row++) {
            if (e->group[i][row]) to[n++] = e->group[i][row];
            for (int k = 0; e->memo[i][row] && k < e->slice.vectors; k++)
                to[n++] = e->memo[i][row][k];
        }
    return n;
}

/* Those of a list as values of a slice that has the same ones as `like`. */
static void unlist(ng_values *e, const ng_values *like, const ng_v *from) {
    for (int i = 0; i < e->l->p->ops; i++)
        for (int row = 0; row < e->work->rows->n; row++) {
            if (like->group[i][row]) e->group[i][row] = *from++;
            if (!like->memo[i][row]) continue;
            e->memo[i][row] = take(e->l, (size_t)e->slice.vectors);
            for (int k = 0; k < e->slice.vectors; k++) e->memo[i][row][k] = *from++;
        }
}

void ng_run_ahead(ng_lower *l, const ng_work *work, ng_v v_from, int64_t count) {
    const ng_build *g = &l->g;
    ng_values first, here, next;
    ng_loop loop;
    int64_t step = (int64_t)l->slice * l->vector;
    l->pooled = 0;
    size_t most = (size_t)(l->p->ops * work->rows->n * (l->slice + 1));
    ng_v *carried = take(l, most);
    begin(&first, l, work, v_from);
    unsigned n = list(&first, carried);
    ng_v v_end = LLVMBuildAdd(g->b, v_from, ng_i64(g, count - step), "");
    ng_loop_begin(g, &loop, v_from, v_end, step, carried, n);
    ng_values_begin(&here, l, work, (ng_slice){.v_at = loop.v_index, .vectors = l->slice});
    unlist(&here, &first, carried);
    begin(&next, l, work, LLVMBuildAdd(g->b, loop.v_index, ng_i64(g, step), ""));
    finish(&here);
    list(&next, carried);
    ng_loop_end(g, &loop);
    next.slice.v_at = loop.v_index;
    finish(&next);
}
