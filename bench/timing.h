/* SPDX-License-Identifier: Apache-2.0 */
/* The clock and the order of timings, for the programs of this folder. */
#ifndef NG_BENCH_TIMING_H
#define NG_BENCH_TIMING_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Nanoseconds; no clock adjustment moves it. */
static inline double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Of doubles, for qsort. */
static inline int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v and prints its median with quartiles, in units of `unit` ns. */
static inline void report(const char *what, double *v, size_t n, double unit, const char *name) {
    qsort(v, n, sizeof *v, ascending);
    printf("%-58s %9.2f %s  (%.2f to %.2f, %zu times)\n", what, v[n / 2] / unit, name,
           v[n / 4] / unit, v[3 * n / 4] / unit, n);
}

#endif
