/* SPDX-License-Identifier: Apache-2.0 */
/* Medians, quartiles, and the sign-test interval of a median. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(const double *v, size_t n) {
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double ng_median(double *v, size_t n) {
    if (n == 0) return (double)NAN;
    qsort(v, n, sizeof *v, ascending);
    return middle(v, n);
}

double ng_spread(const double *v, size_t n) {
    return n < 4 ? 0 : (v[n - 1 - n / 4] - v[n / 4]) / middle(v, n);
}

/* The number of samples below the median is binomial(n, 1/2): mean n/2, deviation sqrt(n)/2. The
 * ranks 1.96 deviations on either side of the middle enclose the median with 95 %. */
ng_interval ng_paired(const double *a, const double *b, size_t n, double *scratch) {
    if (n == 0) return (ng_interval){0, 0, 0};
    for (size_t i = 0; i < n; i++) scratch[i] = log(a[i] / b[i]);
    double mid = ng_median(scratch, n);
    double rank = floor(((double)n - 1.96 * sqrt((double)n)) / 2);
    size_t k = rank > 0 ? (size_t)rank : 0;
    return (ng_interval){scratch[k], mid, scratch[n - 1 - k]};
}
