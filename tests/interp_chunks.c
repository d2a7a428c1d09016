/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter once more, with other chunks: a test shows that they have no influence. */
#include "interp_chunks.h"

#define NG_INTERP interp_chunks_of_8
#define NG_INTERP_CHUNK 8
#include "../runtime/interp.c"
