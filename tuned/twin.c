/* SPDX-License-Identifier: Apache-2.0 */
/* Knows of a spec that it can save a statistic, not what it computes. */
#include "twin.h"

#include "types.h"

bool ng_spec_twin(const normgen_spec *spec, normgen_spec *twin) {
    normgen_spec with = *spec;
    if (ng_types[spec->y].bytes > 2 || spec->rstd) return false;
    with.rstd = 1;
    return ng_spec_resolve(&with, twin) == NORMGEN_OK;
}
