/* SPDX-License-Identifier: Apache-2.0 */
/* A whole tuning job over any meter. Knows specs, regimes and the store; how a unit is decided is
 * unit.c's, how time is taken the meter's. */
#ifndef NG_TUNER_H
#define NG_TUNER_H

#include "meter.h"

/* Tunes every regime of every spec, commits unit by unit, continues an interrupted session of the
 * same job, effort and seed. Store troubles are told once and do not stop it; then the result is
 * E_STORE. E_INTERRUPTED when stopped; E_GENERATOR when some unit had no kernel that works. A store
 * path "" keeps nothing. */
normgen_status ng_tune_with(const ng_tune_request *request, const ng_meter *meter);

#endif
