/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled once per ISA level with NG_INTERP set to the level's function name. The body is written
 * once for both compute types. It must not know what any program means. */
#include "interp.h"

#include "types.h"

#include <assert.h>
#include <math.h>

#ifndef NG_INTERP
#define NG_INTERP ng_interp_baseline
#endif

/* Elements worked on together, at most; a power of two. Tests try others: it has no influence. */
#ifndef NG_INTERP_CHUNK
#define NG_INTERP_CHUNK 256
#endif

enum {
    MOST_CHUNK = 256,       /* elements of the longest span, too */
    SLOT_BYTES = 14 * 1024, /* of the values of one chunk; a long span takes from the sums */
    SUM_BYTES = 32 * 1024 /* of partial sums: 16 times 256 lanes of f64, enough for 2^24 elements */
};

#define REAL float
#define UINT uint32_t
#define INT int32_t
#define NAME(x) x##_f32
#define FMA fmaf
#define SQRT sqrtf
#define RINT rintf
#define TRUNC truncf
#include "interp_body.h"
#undef REAL
#undef UINT
#undef INT
#undef NAME
#undef FMA
#undef SQRT
#undef RINT
#undef TRUNC

#define REAL double
#define UINT uint64_t
#define INT int64_t
#define NAME(x) x##_f64
#define FMA fma
#define SQRT sqrt
#define RINT rint
#define TRUNC trunc
#include "interp_body.h"

void NG_INTERP(const ng_program *program, const normgen_bound_args *args, size_t first,
               size_t last) {
    for (size_t row = first; row < last; row++) {
        if (program->compute == NORMGEN_F32)
            run_row_f32(program, args, row);
        else
            run_row_f64(program, args, row);
    }
}
