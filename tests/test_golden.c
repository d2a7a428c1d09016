/* SPDX-License-Identifier: Apache-2.0 */
/* The digests of golden.txt, by the interpreter at every ISA level.
 *
 * `test_golden --write` prints golden.txt with the digests of this build. A change of a digest is a
 * change of the bits: it needs a new NORMGEN_NUMERICS and a word in docs/numerics.md. */
#include "cpu.h"
#include "golden.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *path(void) {
    static char text[4096];
    const char *source = getenv("NORMGEN_SOURCE");
    snprintf(text, sizeof text, "%s/tests/golden.txt", source ? source : ".");
    return text;
}

static uint64_t digest_by(const golden *g, ng_interp_fn interp) {
    interpreted ctx = {interp, &g->program};
    subject s = subject_interp(&ctx);
    return golden_digest(g, &s);
}

static const struct {
    const char *isa;
    ng_interp_fn run;
} levels[] = {
    {NULL, ng_interp_baseline},
#if defined(__x86_64__)
    {"x86-64-v3", ng_interp_v3},
    {"x86-64-v4", ng_interp_v4},
#endif
};
enum { LEVELS = sizeof levels / sizeof levels[0] };

START_TEST(interpreters_give_the_golden_digests) {
    static golden lines[GOLDEN_MOST];
    const ng_cpu *cpu;
    int n = golden_read(path(), lines);
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    if (levels[_i].isa && !ng_cpu_runs(cpu, ng_isa_find(levels[_i].isa))) return;
    ck_assert_int_ge(n, 60);
    for (int i = 0; i < n; i++) {
        char text[NORMGEN_SPEC_TEXT];
        uint64_t digest = digest_by(&lines[i], levels[_i].run);
        ng_spec_text(&lines[i].spec, text);
        ck_assert_msg(digest == lines[i].digest,
                      "%016" PRIx64 ", not %016" PRIx64 ": seed=%" PRIu64 " %s", digest,
                      lines[i].digest, lines[i].seed, text);
    }
}
END_TEST

START_TEST(golden_digests_belong_to_these_rules) {
    char line[256] = "";
    FILE *f = fopen(path(), "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    fclose(f);
    int numerics = 0;
    ck_assert_int_eq(sscanf(line, "# numerics=%d", &numerics), 1);
    ck_assert_int_eq(numerics, NORMGEN_NUMERICS);
}
END_TEST

static int write_golden(void) {
    static golden lines[GOLDEN_MOST];
    int n = golden_read(path(), lines);
    printf("# numerics=%d\n"
           "# digest of all outputs, seed of all inputs, spec. Made by test_golden --write.\n",
           NORMGEN_NUMERICS);
    for (int i = 0; i < n; i++) {
        char text[NORMGEN_SPEC_TEXT];
        ng_spec_text(&lines[i].spec, text);
        printf("%016" PRIx64 " seed=%" PRIu64 " %s\n", digest_by(&lines[i], ng_interp_baseline),
               lines[i].seed, text);
    }
    return n <= 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--write") == 0) return write_golden();
    Suite *s = suite_create("golden");
    TCase *t = tcase_create("golden");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, interpreters_give_the_golden_digests, 0, LEVELS);
    tcase_add_test(t, golden_digests_belong_to_these_rules);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
