/* SPDX-License-Identifier: Apache-2.0 */
/* Deterministic operands for tests: ordinary rows and every kind of row that has ever broken a
 * norm. Only integer arithmetic and exact conversions, so that a seed means the same bytes on every
 * machine; the golden digests rest on that. */
#ifndef NG_TESTS_AWKWARD_H
#define NG_TESTS_AWKWARD_H

#include "types.h"

/* The next number of a stream that starts at any *state (splitmix64). */
uint64_t awkward_next(uint64_t *state);
/* A number below n. */
size_t awkward_below(uint64_t *state, size_t n);

/* Fills row number `index` of a stream with n elements of `type`. Every third row, from row 0 on,
 * is ordinary: signs and exponents -6 to 6 at random. `salt` tells streams of one case apart: it
 * changes the numbers, and which kind of awkward row stands where. */
void awkward_row(int type, void *row, size_t n, size_t index, uint64_t seed, unsigned salt);
/* Fills the one row of a shared stream (weights): near one; with `specials`, a few zeros,
 * infinities, NaN and huge values among them. */
void awkward_shared(int type, void *row, size_t n, uint64_t seed, unsigned salt, bool specials);
/* What kind of row that is, for messages. */
const char *awkward_name(size_t index, unsigned salt);

#endif
