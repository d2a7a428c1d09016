/* SPDX-License-Identifier: Apache-2.0 */
/* The generator library's one exported symbol: see runtime/gentable.h. */
#include "build_id.h"
#include "gen.h"
#include "specfile.h"
#include "tuned.h"

__attribute__((visibility("default"))) extern const ng_gen_table normgen_gen_table;

const ng_gen_table normgen_gen_table = {
    .struct_size = sizeof(ng_gen_table),
    .build = NG_BUILD_ID,
    .error = normgen_error,
    .toolchain = ng_toolchain,
    .compile = ng_compile,
    .object_fini = ng_object_fini,
    .show = ng_show,
    .jit_new = ng_jit_new,
    .jit_load = ng_jit_load,
    .jit_free = ng_jit_free,
    .read_specs = ng_specfile_read,
    .tune = ng_tune,
    .bench = ng_bench,
    .check = ng_check,
    .emit = ng_emit,
};
