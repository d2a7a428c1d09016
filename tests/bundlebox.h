/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle for each test, in a folder of its own. */
#ifndef NG_TESTS_BUNDLEBOX_H
#define NG_TESTS_BUNDLEBOX_H

#include "emit.h"
#include "gen.h"
#include "normgen/bundle.h"

/* Where the running test emits to; it is not there before. Checked fixtures make and remove what it
 * lies in. */
extern char bundle_folder[96];
void bundle_setup(void);
void bundle_teardown(void);

/* Emits the specs, with the baseline and as a library that can be loaded. */
normgen_status bundle_emit(ng_spec_list *specs, const char *isas, const char *prefix);
/* The emitted library, for dlclose, and its table. */
void *bundle_open(const char *prefix);
const normgen_bundle *bundle_table(void *library, const char *prefix);
/* A function of the bundle with prefix "t", by what stands before the digest in its symbol: the
 * header has it. */
void *bundle_function(void *library, const char *stem);
/* libnormgen that compiles nothing and has no store. */
normgen *bundle_lookup(void);

#endif
