/* SPDX-License-Identifier: Apache-2.0 */
/* Robust statistics of timings: medians and quartiles, and a confidence interval that assumes
 * nothing about the distribution. Knows numbers only. */
#ifndef NG_STATS_H
#define NG_STATS_H

#include <stddef.h>

/* Median; sorts v. NAN when n is 0. */
double ng_median(double *v, size_t n);
/* Interquartile range over median of sorted v; 0 when n < 4. */
double ng_spread(const double *v, size_t n);

/* Of log(a/b) over paired samples: the median and its 95 % interval from order statistics. */
typedef struct ng_interval {
    double low, middle, high;
} ng_interval;
/* scratch: n doubles. All zero when n is 0. */
ng_interval ng_paired(const double *a, const double *b, size_t n, double *scratch);

#endif
