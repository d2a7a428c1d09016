/* SPDX-License-Identifier: Apache-2.0 */
/* The same arithmetic by one thread and by the team, in turns. It touches no memory but a few lines
 * that are written for each call, as its arguments are, so that what the team takes longer than its
 * share is the price of starting and gathering it. */
#include "barrier.h"

#include "team.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 1001, WARM_ROUNDS = 200, STEPS = 2000, WORDS = 16 };

/* A call that pays only on average loses half of the time, and a call of a kernel costs more than
 * one of this arithmetic: it checks, divides rows, and its code and rows change places. The upper
 * quartile of the team's times is taken, and as much again: with half as much more calls at the
 * cut-off took from 2 % less to 6 % more than alone, a fifth above it 3 to 10 % less
 * (`./dev bench threads`, Sapphire Rapids). */
static const double margin = 2;

typedef struct piece {
    uint64_t sum;
    char apart[120]; /* no two in a line, nor in a pair of lines that is fetched together */
} piece;

/* What a call writes and each thread reads, and where the pieces are, which is known only then. */
typedef struct order {
    piece *pieces;
    uint64_t start[WORDS];
} order;

/* A chain of multiplications: as long on every core, some 2 us. */
static void work(void *ctx, size_t i) {
    const order *o = ctx;
    piece *p = o->pieces + i;
    uint64_t v = p->sum | 1;
    for (int k = 0; k < WORDS; k++) v += o->start[k];
    for (int k = 0; k < STEPS; k++) v = v * 6364136223846793005u + 1442695040888963407u;
    p->sum = v;
}

static double clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *v, size_t n, size_t quarters) {
    qsort(v, n, sizeof *v, ascending);
    return v[n * quarters / 4];
}

double ng_barrier_cutoff(void) {
    size_t n = (size_t)ng_team_size();
    if (n < 2) return 0;
    piece *pieces = calloc(n, sizeof *pieces);
    double *alone = malloc(2 * ROUNDS * sizeof *alone), *team = alone + ROUNDS, cutoff = 0;
    if (pieces && alone) {
        for (int i = -WARM_ROUNDS; i < ROUNDS; i++) {
            double start = clock_ns();
            work(&(order){.pieces = pieces, .start = {(uint64_t)i}}, 0);
            double middle = clock_ns();
            ng_team_for(NULL, n, work, &(order){.pieces = pieces, .start = {(uint64_t)i}});
            double end = clock_ns();
            if (i < 0) continue;
            alone[i] = middle - start;
            team[i] = end - middle;
        }
        double cost = quantile(team, ROUNDS, 3) - quantile(alone, ROUNDS, 2);
        cutoff = margin * (cost > 0 ? cost : 0) * (double)n / (double)(n - 1);
    }
    free(pieces);
    free(alone);
    return cutoff;
}
