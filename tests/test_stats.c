/* SPDX-License-Identifier: Apache-2.0 */
/* Medians, spreads and intervals. */
#include "rng.h"
#include "stats.h"
#include "suite.h"

#include <math.h>

START_TEST(interval_holds_the_median_nineteen_times_of_twenty) {
    ng_rng rng = {7};
    int outside = 0;
    for (int i = 0; i < 2000; i++) {
        double a[25], b[25], scratch[25];
        for (int j = 0; j < 25; j++) {
            a[j] = 100 * (1 + 0.1 * ng_rng_unit(&rng));
            b[j] = 100 * (1 + 0.1 * ng_rng_unit(&rng));
        }
        ng_interval v = ng_paired(a, b, 25, scratch);
        ck_assert(v.low <= v.middle && v.middle <= v.high);
        outside += v.low > 0 || v.high < 0;
    }
    ck_assert_int_lt(outside, 2000 / 20 + 30);
}
END_TEST

START_TEST(medians_and_spreads) {
    double odd[] = {3, 1, 2}, even[] = {4, 1, 2, 3}, eight[] = {1, 2, 3, 4, 5, 6, 7, 8};
    ck_assert_double_eq(ng_median(odd, 3), 2);
    ck_assert_double_eq(ng_median(even, 4), 2.5);
    ck_assert(isnan(ng_median(odd, 0)));
    ck_assert_double_eq(ng_spread(odd, 3), 0);
    ck_assert_double_eq_tol(ng_spread(eight, 8), (6 - 3) / 4.5, 1e-12);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {interval_holds_the_median_nineteen_times_of_twenty,
                                  medians_and_spreads};
    Suite *suite = suite_create("stats");
    TCase *tc = tcase_create("stats");
    tcase_set_timeout(tc, 120);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return suite_main(suite);
}
