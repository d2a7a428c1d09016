/* SPDX-License-Identifier: Apache-2.0 */
/* The main of a test program. */
#ifndef NG_TESTS_SUITE_H
#define NG_TESTS_SUITE_H

#include <check.h>

/* Runs the suite and frees it; returns what main returns. */
static inline int suite_main(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
