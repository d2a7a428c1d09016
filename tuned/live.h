/* SPDX-License-Identifier: Apache-2.0 */
/* The real meter: worker processes and this machine's clock. */
#ifndef NG_LIVE_H
#define NG_LIVE_H

#include "meter.h"

typedef struct ng_live ng_live;

/* Starts no process yet. `stop` may be NULL. E_ARGUMENT when NORMGEN_ISA is wrong, E_UNSUPPORTED
 * when there is no generated code for this machine. */
normgen_status ng_live_new(uint64_t seed, const volatile int *stop, ng_live **made);
/* Ends all workers. */
void ng_live_free(ng_live *live);
const ng_meter *ng_live_meter(const ng_live *live);

#endif
