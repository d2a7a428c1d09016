/* SPDX-License-Identifier: Apache-2.0 */
/* The spec that shows what another one hides. */
#ifndef NG_TWIN_H
#define NG_TWIN_H

#include "spec.h"

/* Outputs of 16 bits and less hide small errors of the sums; the same spec with its rstd saved,
 * which is of the compute type, does not. False when the spec needs or has no such twin; both are
 * resolved. */
bool ng_spec_twin(const normgen_spec *spec, normgen_spec *twin);

#endif
