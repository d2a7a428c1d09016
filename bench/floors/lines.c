/* SPDX-License-Identifier: Apache-2.0 */
/* An L1 cache with LRU replacement, and the lines that the passes of a row program touch: how many
 * have to be fetched from L2 for one row. 64 sets, as in every L1 that is looked up beside the page
 * table; streams begin at pages and rows follow each other, as in the tuner's buffers. */
#include "floors.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 64, SETS = 64, MOST_WAYS = 32, MOST_BLOCK = 8, WARM = 16, ROWS = 16, PAGE = 4096 };

typedef struct cache {
    size_t ways;
    uint64_t line[SETS][MOST_WAYS]; /* most recently used first; 0: empty */
    uint64_t missed;
} cache;

static void touch(cache *c, uint64_t line) {
    uint64_t *set = c->line[line % SETS];
    size_t i = 0;
    while (i < c->ways - 1 && set[i] != line) i++;
    c->missed += set[i] != line;
    memmove(set + 1, set, i * sizeof *set);
    set[0] = line;
}

typedef struct visit {
    const ng_program *p;
    uint64_t base[NORMGEN_MAX_STREAMS]; /* bytes */
    uint16_t passes[NORMGEN_MAX_STREAMS];
    size_t steps; /* lines of the widest row */
} visit;

static void prepare(visit *v, const ng_program *p) {
    uint64_t at = PAGE;
    *v = (visit){.p = p};
    for (int s = 0; s < p->streams; s++) {
        size_t bytes = p->stream[s].row_bytes, lines = (bytes + LINE - 1) / LINE;
        v->base[s] = at;
        at += (bytes * (WARM + ROWS) + PAGE - 1) / PAGE * PAGE;
        if (lines > v->steps) v->steps = lines;
    }
    for (int i = 0; i < p->ops; i++) {
        if (p->op[i].code == NG_LOAD) v->passes[p->op[i].stream] |= p->op[i].passes;
        if (p->op[i].code == NG_STORE)
            v->passes[p->op[i].stream] |= (uint16_t)(1u << (p->passes - 1));
    }
}

/* The lines of a row of a stream that belong to one step of the widest. */
static void touch_step(cache *c, const visit *v, int s, size_t row, size_t step) {
    const ng_stream *t = &v->p->stream[s];
    uint64_t first = v->base[s] + (t->rows == NG_EACH ? row * t->row_bytes : 0);
    uint64_t from = first + t->row_bytes * step / v->steps;
    uint64_t to = first + t->row_bytes * (step + 1) / v->steps;
    for (uint64_t line = from / LINE; line * LINE < to; line++) touch(c, line);
}

static void run_pass(cache *c, const visit *v, int pass, size_t row, size_t rows, bool down) {
    for (size_t i = 0; i < v->steps; i++)
        for (size_t r = row; r < row + rows; r++)
            for (int s = 0; s < v->p->streams; s++)
                if (v->passes[s] >> pass & 1) touch_step(c, v, s, r, down ? v->steps - 1 - i : i);
}

static double run(const visit *v, size_t l1d, size_t block, bool turn) {
    static cache c;
    memset(&c, 0, sizeof c);
    c.ways = l1d / (LINE * SETS);
    if (c.ways < 1) c.ways = 1;
    if (c.ways > MOST_WAYS) c.ways = MOST_WAYS;
    for (size_t row = 0; row < WARM + ROWS; row += block) {
        if (row == WARM) c.missed = 0;
        for (int pass = 0; pass < v->p->passes; pass++)
            run_pass(&c, v, pass, row, block, turn && pass % 2);
    }
    return (double)c.missed / (double)ROWS;
}

void ng_lines_of(const ng_program *p, size_t l1d, double *kernel, double *copy) {
    visit v;
    prepare(&v, p);
    *copy = 0;
    for (int s = 0; s < p->streams; s++)
        if (p->stream[s].rows == NG_EACH) *copy += (double)p->stream[s].row_bytes / (double)LINE;
    *kernel = -1;
    for (size_t block = 1; block <= MOST_BLOCK; block *= 2)
        for (int turn = 0; turn < 2; turn++) {
            double lines = run(&v, l1d, block, turn);
            if (*kernel < 0 || lines < *kernel) *kernel = lines;
        }
}
