/* SPDX-License-Identifier: Apache-2.0 */
/* The limit of a spec for `./dev bench peers`: the kernels of gen/move.c that tuner and `normgen
 * bench` take the limit from, with the same candidates. It stands apart from the shim because it
 * has the generator inside and shares nothing with libnormgen. */
#include "candidates.h"
#include "gen.h"
#include "spec.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int peers_limits(const char *text, const char *regime, size_t rows, int threads, int most,
                        normgen_fn *code, char (*names)[NG_SCHEDULE_TEXT]);
EXPORT const char *peers_limits_error(void);
EXPORT size_t peers_limits_name_bytes(void);

static ng_jit *jit; /* code lives as long as the process */

const char *peers_limits_error(void) { return normgen_error(); }

/* Bytes of each element of `names`. */
size_t peers_limits_name_bytes(void) { return NG_SCHEDULE_TEXT; }

static normgen_status candidates(const ng_place *place, const ng_cpu *cpu, ng_schedule **list,
                                 size_t *n) {
    ng_schedule first, *all = NULL;
    size_t n_all = 0;
    ng_regime_default_schedule(place->program, cpu, cpu->isa, place->regime, &first);
    normgen_status status = ng_candidates(place, cpu->isa, &first, 1, &all, &n_all);
    if (status == NORMGEN_OK) status = ng_limit_candidates(place, cpu->isa, all, n_all, list, n);
    free(all);
    return status;
}

static normgen_status make(const ng_program *program, const ng_schedule *schedule,
                           const ng_isa *isa, normgen_fn *code) {
    ng_object object;
    normgen_status status = jit ? NORMGEN_OK : ng_jit_new(&jit);
    if (status == NORMGEN_OK) status = ng_compile_limit(program, schedule, isa, &object);
    if (status != NORMGEN_OK) return status;
    status = ng_jit_load(jit, &object, code);
    ng_object_fini(&object);
    return status;
}

/* Makes up to `most` limits and names them. Returns how many, or -1 (peers_limits_error). */
int peers_limits(const char *text, const char *regime, size_t rows, int threads, int most,
                 normgen_fn *code, char (*names)[NG_SCHEDULE_TEXT]) {
    normgen_spec spec;
    ng_program program;
    ng_schedule *list = NULL;
    size_t n = 0;
    int made = 0;
    const ng_cpu *cpu = NULL;
    if (ng_cpu_host(&cpu) != NORMGEN_OK || normgen_spec_parse(&spec, text) != NORMGEN_OK) return -1;
    ng_program_build(&program, &spec);
    ng_place place = {&spec, &program, (ng_regime)ng_regime_find(regime), rows, threads, false};
    if (candidates(&place, cpu, &list, &n) != NORMGEN_OK) return -1;
    for (size_t i = 0; i < n && made < most; i++) {
        if (make(&program, &list[i], cpu->isa, &code[made]) != NORMGEN_OK) {
            made = -1;
            break;
        }
        ng_schedule_text(&program, &list[i], names[made++]);
    }
    free(list);
    return made;
}
