/* SPDX-License-Identifier: Apache-2.0 */
/* The digests of golden.txt, by generated kernels of every ISA level of this machine: the same with
 * every LLVM that normgen is built with. */
#include "awkward.h"
#include "gen.h"
#include "golden.h"
#include "schedule.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static golden lines[GOLDEN_MOST];
static int count;

static void read_golden(void) {
    char path[4096];
    const char *source = getenv("NORMGEN_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden.txt", source ? source : ".");
    count = golden_read(path, lines);
    ck_assert_int_ge(count, 60);
}

static void compare(ng_jit *jit, const golden *g, const ng_isa *isa, const ng_schedule *s) {
    char schedule[NG_SCHEDULE_TEXT], spec[NORMGEN_SPEC_TEXT];
    ng_object object = {0};
    normgen_fn fn;
    ng_schedule_text(&g->program, s, schedule);
    ng_spec_text(&g->spec, spec);
    ck_assert_msg(ng_compile(&g->program, s, isa, &object) == NORMGEN_OK, "%s", normgen_error());
    ck_assert_msg(ng_jit_load(jit, &object, &fn) == NORMGEN_OK, "%s", normgen_error());
    subject kernel = subject_kernel(&fn);
    ck_assert_msg(golden_digest(g, &kernel) == g->digest, "%s ; %s ; seed=%" PRIu64 " %s",
                  isa->name, schedule, g->seed, spec);
    ng_object_fini(&object);
}

/* Arrays of a digest are packed and not aligned for streaming stores. */
static bool usable(const golden *g, const ng_schedule *s) {
    for (int i = 0; i < g->program.streams; i++)
        if (ng_schedule_alignment(&g->program, s, i) > 1) return false;
    return true;
}

static size_t compare_line(ng_jit *jit, const golden *g, const ng_isa *isa) {
    ng_schedule *space = NULL;
    size_t n = 0, done = 0;
    uint64_t state = g->seed;
    ck_assert_int_eq(ng_schedule_space(&g->program, isa, &space, &n), NORMGEN_OK);
    for (int tries = 0; tries < 20 && done < (isa->fma ? 2u : 1u) && n > 0; tries++) {
        const ng_schedule *s = &space[tries == 0 ? 0 : awkward_below(&state, n)];
        if (!usable(g, s)) continue;
        compare(jit, g, isa, s);
        done++;
    }
    free(space);
    return done;
}

START_TEST(kernels_give_the_golden_digests) {
    const ng_cpu *cpu;
    size_t kernels = 0;
    read_golden();
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    const ng_isa *isa = (size_t)_i < ng_isa_count ? &ng_isas[_i] : &ng_isa_spelled_out;
    if (!isa->max_vec || !ng_cpu_runs(cpu, isa)) return;
    for (int i = 0; i < count; i++) {
        ng_jit *jit;
        ck_assert_msg(ng_jit_new(&jit) == NORMGEN_OK, "%s", normgen_error());
        kernels += compare_line(jit, &lines[i], isa);
        ng_jit_free(jit);
    }
    ck_assert_uint_ge(kernels, isa->fma ? (size_t)count : 40); /* compute=f64 needs FMA */
    printf("%s: %zu kernels give the digests of %d specs\n", isa->name, kernels, count);
}
END_TEST

int main(void) {
    Suite *s = suite_create("digests");
    TCase *t = tcase_create("digests");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, kernels_give_the_golden_digests, 0, (int)ng_isa_count + 1);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
