/* SPDX-License-Identifier: Apache-2.0 */
/* Code stays short, whatever the spec and the level. Nothing is run, so the levels are all that
 * there are. What is served without tuning has at most 8 KiB; what the estimate of
 * runtime/schedule_code.c lets through, for the tuner to look at, seldom has more (the tuner takes
 * none of that: test_tuner_faults). Only the plain schedule may be longer, since something must serve.
 *
 * `--full` draws more; `--list` prints estimate and size of every kernel, to fit the estimate by;
 * SEED in the environment draws others. */
#include "awkward.h"
#include "choose.h"
#include "cover.h"
#include "gen.h"
#include "schedule.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EACH = 3, QUICK_SPECS = 8, FULL_SPECS = 80, MOST_HIDDEN = 8192 };
enum { ONE_IN = 50, BEYOND = NG_CODE_MOST / 4 }; /* what the estimate may miss, and by how much */

static size_t specs = QUICK_SPECS;
static bool list_all;
static size_t compiled, too_long, far_too_long;

/* A spec on a level. */
typedef struct target {
    ng_program program;
    char text[NORMGEN_SPEC_TEXT];
    const ng_isa *isa;
} target;

/* Bytes of its code; 0 of the plain schedule's, whose length is free. */
static size_t measure(const target *on, const ng_schedule *s) {
    char text[NG_SCHEDULE_TEXT];
    ng_object object = {0};
    ng_schedule_text(&on->program, s, text);
    ck_assert_msg(ng_compile(&on->program, s, on->isa, &object) == NORMGEN_OK, "%s, %s, %s: %s",
                  on->text, on->isa->name, text, normgen_error());
    size_t bytes = object.code_bytes;
    ng_object_fini(&object);
    bool plain = ng_schedule_plain(&on->program, on->isa, s);
    if (list_all || (bytes > NG_CODE_MOST && !plain))
        printf("%zu bytes, estimate %lld: %s | %s | %s\n", bytes,
               (long long)ng_schedule_size(&on->program, on->isa, s), on->isa->name, on->text,
               text);
    return plain ? 0 : bytes;
}

/* The one with the greatest estimate, and others at random. */
static void sample_space(const target *on, uint64_t *state) {
    ng_schedule *all;
    size_t count, greatest = 0;
    ck_assert_int_eq(ng_schedule_space(&on->program, on->isa, &all, &count), NORMGEN_OK);
    for (size_t i = 1; i < count; i++)
        if (ng_schedule_size(&on->program, on->isa, &all[i]) >
            ng_schedule_size(&on->program, on->isa, &all[greatest]))
            greatest = i;
    for (int i = 0; i < EACH && count; i++) {
        size_t bytes = measure(on, &all[i ? awkward_below(state, count) : greatest]);
        compiled++;
        too_long += bytes > NG_CODE_MOST;
        far_too_long += bytes > NG_CODE_MOST + BEYOND;
    }
    free(all);
}

static void check_defaults(const target *on) {
    const ng_cpu cpu = {.arch = on->isa->arch,
                        .features = on->isa->required,
                        .l1d = 32u << 10,
                        .l2 = 1u << 20,
                        .llc = 32u << 20,
                        .cores = 1,
                        .isa = on->isa};
    static ng_choices choices;
    ng_choose_defaults(&cpu, &on->program, &choices);
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        size_t bytes = measure(on, &choices.at[r][NG_SLOT_ANY].schedule);
        ck_assert_msg(bytes <= NG_CODE_MOST, "%s, %s, first schedule in %s: %zu bytes", on->text,
                      on->isa->name, ng_regime_names[r], bytes);
    }
}

START_TEST(kernels_stay_short) {
    const char *seed = getenv("SEED");
    case_list cases = {0};
    uint64_t state = 7;
    ck_assert(cover_random(seed ? strtoull(seed, NULL, 10) : 11, 1, MOST_HIDDEN, specs, &cases));
    for (size_t c = 0; c < cases.count; c++) {
        target on;
        ng_program_build(&on.program, &cases.items[c].spec);
        ng_spec_text(&cases.items[c].spec, on.text);
        for (size_t i = 0; i < ng_isa_count; i++) {
            on.isa = &ng_isas[i];
            if (!on.isa->max_vec) continue;
            sample_space(&on, &state);
            check_defaults(&on);
        }
    }
    case_list_fini(&cases);
    printf("%zu kernels, %zu with more than %d bytes\n", compiled, too_long, NG_CODE_MOST);
    ck_assert_uint_le(too_long, compiled / ONE_IN);
    ck_assert_uint_eq(far_too_long, 0);
}
END_TEST

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0) specs = FULL_SPECS;
        if (strcmp(argv[i], "--list") == 0) list_all = true;
    }
    Suite *suite = suite_create("codesize");
    TCase *tc = tcase_create("codesize");
    tcase_set_timeout(tc, 600);
    tcase_add_test(tc, kernels_stay_short);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
