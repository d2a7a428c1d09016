/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the other parts of normgen from where this one is: in a build tree all lie side by side,
 * installed they stand in the folders of generated/layout.h. Nothing knows an absolute path, so an
 * installed tree may be moved. */
#ifndef NG_NEIGHBOUR_H
#define NG_NEIGHBOUR_H

#include <stdbool.h>
#include <stddef.h>

#define NG_GEN_SONAME "libnormgen-gen.so.0"

typedef enum ng_part { NG_PART_GENERATOR, NG_PART_WORKER, NG_PART_CLI } ng_part;

/* Path of a part, looked for from the library or program that this code is linked into, then from
 * the running program. False when it is in none of its places. */
bool ng_neighbour_find(ng_part part, char *path, size_t size);

#endif
