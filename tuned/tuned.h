/* SPDX-License-Identifier: Apache-2.0 */
/* What the tuner offers to the generator's table (runtime/gentable.h, which says what each does).
 */
#ifndef NG_TUNED_H
#define NG_TUNED_H

#include "gentable.h"

normgen_status ng_tune(const ng_tune_request *request);
normgen_status ng_bench(const ng_tune_request *request);
normgen_status ng_check(ng_check_request *request);

#endif
