/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the generator library; ng_gen() itself stands in gentable.h. */
#ifndef NG_GENLOAD_H
#define NG_GENLOAD_H

#include "gentable.h"

/* As ng_gen(), with the reason as a status: E_UNSUPPORTED when the library is not installed,
 * E_GENERATOR when it is there and cannot be used. */
normgen_status ng_gen_load(const ng_gen_table **table);
/* For tests: uses this table instead of the library's; NULL ends it. */
void ng_gen_set(const ng_gen_table *table);

#endif
