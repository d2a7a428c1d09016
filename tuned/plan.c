/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its units. */
#include "plan.h"

#include "error.h"

#include <stdlib.h>

static void add_regimes(const ng_tune_request *r, const ng_meter *meter, const ng_named_spec *spec,
                        ng_units *units) {
    ng_program program;
    ng_program_build(&program, &spec->spec);
    for (int regime = 0; regime < NG_REGIME_COUNT; regime++) {
        ng_unit_item *u = &units->items[units->count];
        *u = (ng_unit_item){.spec = spec, .regime = (ng_regime)regime};
        if (r->rows > 0) {
            u->rows = (size_t)r->rows;
            if (ng_regime_of(meter->cpu, &program, u->rows, r->threads) != u->regime) continue;
        } else {
            u->rows =
                ng_regime_rows(meter->cpu, &program, u->regime, r->threads, meter->ram, u->note);
        }
        units->count++;
    }
}

normgen_status ng_units_plan(const ng_tune_request *r, const ng_meter *meter, ng_units *units) {
    if (!r->specs || r->specs->count == 0)
        return ng_fail(NORMGEN_E_ARGUMENT, "there is no spec to tune");
    if (r->rows < 0)
        return ng_fail(NORMGEN_E_ARGUMENT, "rows is %lld, negative", (long long)r->rows);
    ng_units made = {calloc(r->specs->count * NG_REGIME_COUNT + 1, sizeof *made.items), 0};
    if (!made.items) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu specs", r->specs->count);
    for (size_t i = 0; i < r->specs->count; i++) add_regimes(r, meter, &r->specs->items[i], &made);
    *units = made;
    return NORMGEN_OK;
}

void ng_units_fini(ng_units *units) {
    free(units->items);
    *units = (ng_units){0};
}
