/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.json of a bundle. */
#ifndef NG_MANIFEST_H
#define NG_MANIFEST_H

#include "emit.h"

#include <stdio.h>

/* Writes it: specs, levels, schedules and where they come from, and the digests of the files. */
void ng_manifest_write(FILE *f, const ng_bundle *b, const ng_folder *files);

#endif
