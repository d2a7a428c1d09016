/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of the limit: every byte of the rows moves, nothing else is touched, and with overlap the
 * rows to come are loaded meanwhile. */
#include "candidates.h"
#include "gen.h"
#include "schedule.h"
#include "spec.h"
#include "verify.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static ng_jit *jit;
static const ng_isa *isa;

static void setup(void) {
    const ng_cpu *cpu;
    ck_assert(ng_cpu_host(&cpu) == NORMGEN_OK && ng_jit_new(&jit) == NORMGEN_OK);
    isa = cpu->isa;
}

static void teardown(void) { ng_jit_free(jit); }

static ng_program program_of(const char *text, normgen_spec *spec) {
    ng_program p;
    ck_assert_msg(normgen_spec_parse(spec, text) == NORMGEN_OK, "%s", normgen_error());
    ng_program_build(&p, spec);
    return p;
}

static normgen_fn limit_of(const ng_program *p, const ng_schedule *s, size_t *bytes) {
    ng_object o;
    normgen_fn fn = NULL;
    ck_assert_msg(ng_compile_limit(p, s, isa, &o) == NORMGEN_OK, "%s", normgen_error());
    ck_assert_msg(ng_jit_load(jit, &o, &fn) == NORMGEN_OK, "%s", normgen_error());
    if (bytes) *bytes = o.code_bytes;
    ng_object_fini(&o);
    return fn;
}

static void run(void *ctx, const normgen_bound_args *args, size_t first, size_t last) {
    normgen_fn fn = NULL;
    memcpy(&fn, ctx, sizeof fn);
    fn(args, first, last);
}

static const char *const specs[] = {
    "rms hidden=512 eps=1e-05", "layer hidden=200 eps=1e-05 x=bf16 bias=f32",
    "rms hidden=192 eps=1e-05 x=bf16 residual=bf16 sum=bf16", "rms hidden=128 eps=1e-05 heads=5",
    "rms hidden=256 eps=1e-05 y=q8_0"};
enum { SPECS = sizeof specs / sizeof specs[0], EVERY = 17 };

/* Rows to come are looked for at the end of a call, too, and at the end of an outer row. */
START_TEST(limits_stay_within_their_rows) {
    normgen_spec spec;
    ng_program p = program_of(specs[_i], &spec);
    ng_place place = {&spec, &p, NG_DRAM, 1 << 20, 1, false};
    ng_schedule *space;
    size_t n, overlapping = 0;
    ng_case *c;
    ck_assert(ng_schedule_space(&p, isa, &space, &n) == NORMGEN_OK);
    ck_assert(ng_case_new(&p, 3, 0, ng_interp_baseline, &c) == NORMGEN_OK);
    for (size_t i = 0; i < n; i += EVERY) {
        char difference[NG_DIFFERENCE_TEXT], text[NG_SCHEDULE_TEXT];
        size_t alignment[NORMGEN_MAX_STREAMS];
        int64_t compared = 0;
        ng_schedule s;
        if (!ng_limit_of(&place, isa, &space[i], &s)) continue;
        normgen_fn fn = limit_of(&p, &s, NULL);
        ng_case_alignment(&p, &s, alignment);
        ng_schedule_text(&p, &s, text);
        ng_case_subject subject = {run, &fn, text, alignment, true};
        ck_assert_msg(ng_case_check(c, &subject, &compared, difference), "%s", difference);
        overlapping += s.overlap != NG_OVERLAP_NO;
    }
    ck_assert_uint_gt(overlapping, 0);
    ng_case_free(c);
    free(space);
}
END_TEST

static const char *const copies[] = {
    "vec=256 block=4 keep=recompute store=stream prefetch=none overlap=no slice=line",
    "vec=256 block=1 keep=recompute store=cached prefetch=twice overlap=yes slice=line",
    "vec=256 block=1 keep=recompute store=staged prefetch=l2 overlap=two"};
enum { COPIES = sizeof copies / sizeof copies[0], ROWS = 23, HIDDEN = 328 };

START_TEST(limits_move_every_byte) {
    normgen_spec spec;
    ng_program p = program_of("rms hidden=328 eps=1e-05", &spec);
    ng_schedule s;
    size_t bytes = ROWS * HIDDEN * sizeof(float);
    float *x = aligned_alloc(64, bytes), *y = aligned_alloc(64, bytes);
    ck_assert_msg(ng_schedule_parse(&p, copies[_i], &s) == NORMGEN_OK, "%s", normgen_error());
    normgen_bound_args args = {.rows_per_outer = SIZE_MAX >> 1};
    for (int i = 0; i < p.streams; i++) {
        const ng_stream *t = &p.stream[i];
        if (ng_stream_shared(t)) continue;
        args.stream[i] = ng_stream_place(t, t->out ? y : x, HIDDEN * sizeof(float), 0);
    }
    for (int i = 0; i < ROWS * HIDDEN; i++) x[i] = (float)i + 1;
    memset(y, 0, bytes);
    normgen_fn fn = limit_of(&p, &s, NULL);
    fn(&args, 0, ROWS);
    ck_assert_mem_eq(y, x, bytes);
    free(x);
    free(y);
}
END_TEST

START_TEST(with_overlap_rows_to_come_are_loaded) {
    normgen_spec spec;
    ng_program p = program_of(specs[0], &spec);
    ng_schedule s = {.vec = 256, .block = 1};
    size_t without, with;
    limit_of(&p, &s, &without);
    s.overlap = NG_OVERLAP_YES;
    limit_of(&p, &s, &with);
    ck_assert_uint_gt(with, without);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("limit");
    TCase *tc = tcase_create("limit");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, limits_stay_within_their_rows, 0, SPECS);
    tcase_add_loop_test(tc, limits_move_every_byte, 0, COPIES);
    tcase_add_test(tc, with_overlap_rows_to_come_are_loaded);
    suite_add_tcase(suite, tc);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
