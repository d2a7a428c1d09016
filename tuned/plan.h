/* SPDX-License-Identifier: Apache-2.0 */
/* The units of a request, in order: for each spec its regimes, those that do not exist included,
 * with the reason. */
#ifndef NG_PLAN_H
#define NG_PLAN_H

#include "meter.h"

typedef struct ng_unit_item {
    const ng_named_spec *spec; /* of the request */
    ng_regime regime;
    size_t rows;    /* 0: does not exist */
    char note[160]; /* why not, or a caution, or "" */
} ng_unit_item;

typedef struct ng_units {
    ng_unit_item *items;
    size_t count;
} ng_units;

/* E_ARGUMENT for a request without specs, E_MEMORY. */
normgen_status ng_units_plan(const ng_tune_request *request, const ng_meter *meter,
                             ng_units *units);
void ng_units_fini(ng_units *units);

#endif
