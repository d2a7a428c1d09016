/* SPDX-License-Identifier: Apache-2.0 */
/* Cases that cover every pair of values of any two factors: all fields of a spec, and how the
 * arrays lie. Deterministic for a seed. */
#ifndef NG_TESTS_COVER_H
#define NG_TESTS_COVER_H

#include "fixture.h"

typedef struct case_list {
    test_case *items; /* freed with case_list_fini */
    size_t count;
} case_list;
void case_list_fini(case_list *list);
/* Appends a copy; false when there is no memory. */
bool case_list_add(case_list *list, const test_case *c);

/* Pairs of values that some case of the set has, and pairs for which no case was found, such as a
 * sum without a residual. */
typedef struct cover_score {
    size_t covered, impossible;
} cover_score;

/* Hidden sizes of the tests, ended by 0. */
extern const int64_t cover_hidden[];

/* Makes the set, of cases with `rows` rows and hidden up to `most`. */
bool cover_pairs(uint64_t seed, size_t rows, int64_t most, case_list *list, cover_score *score);
/* Adds legal cases at random until the list has `count`. */
bool cover_random(uint64_t seed, size_t rows, int64_t most, size_t count, case_list *list);
/* A spec that breaks this rule, and none before it in the table; false when none was found. */
bool cover_broken(uint64_t seed, const ng_rule *rule, normgen_spec *s);
/* Four specs that tests run with every hidden size, as text with %lld for hidden, ended by NULL. */
extern const char *const cover_named[];
/* Named spec `which` with that hidden; layout, place and alias follow from seed. */
test_case cover_named_case(size_t which, int64_t hidden, size_t rows, uint64_t seed);

#endif
