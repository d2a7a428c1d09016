/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: options and environment, providers, many threads, and systems that forbid executable
 * memory. The generator is a fake; nothing here needs LLVM. */
#include "dispatch.h"
#include "fakegen.h"
#include "hosthandle.h"
#include "nocode.h"
#include "suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- options and environment ---- */

START_TEST(null_and_odd_sized_arguments_are_errors) {
    normgen *ng = NULL;
    normgen_kernel *k = NULL;
    normgen_spec spec = normgen_rms(64);
    normgen_options o = host_options();
    ck_assert_int_eq(normgen_open(NULL, NULL), NORMGEN_E_ARGUMENT);
    static const size_t bad[] = {0, 4, sizeof o + 8, SIZE_MAX};
    for (size_t i = 0; i < 4; i++) {
        o.struct_size = bad[i];
        ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
        ck_assert_ptr_null(ng);
    }
    ck_assert_int_eq(normgen_open(&ng, NULL), NORMGEN_OK);
    ck_assert_int_eq(normgen_get(NULL, &spec, &k), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_get(ng, NULL, &k), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_get(ng, &spec, NULL), NORMGEN_E_ARGUMENT);
    spec.hidden = 0;
    ck_assert_int_eq(normgen_get(ng, &spec, &k), NORMGEN_E_SPEC);
    spec.struct_size = 3;
    ck_assert_int_eq(normgen_get(ng, &spec, &k), NORMGEN_E_SPEC);
    ck_assert_ptr_null(k);
    normgen_get_counters(NULL, NULL);
    normgen_get_counters(ng, NULL);
    normgen_set_parallel_for(NULL, NULL, NULL, 1);
    normgen_close(ng);
    normgen_close(NULL);
}
END_TEST

START_TEST(older_callers_have_shorter_options) {
    normgen *ng = NULL;
    normgen_options o = host_options();
    o.struct_size = offsetof(normgen_options, mode);
    o.mode = 77; /* beyond what the caller knows */
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
    host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
    normgen_close(ng);
}
END_TEST

START_TEST(wrong_option_values_are_errors) {
    normgen *ng = NULL;
    normgen_options o = host_options();
    o.mode = 4;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
    o.mode = -1;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
    o = host_options();
    o.strict = 2;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
    o = host_options();
    char *far = calloc(1, 10000);
    memset(far, 'a', 9999);
    o.store = far;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
    free(far);
    ck_assert_ptr_null(ng);
}
END_TEST

static const struct {
    const char *name, *value, *says; /* says NULL: it is fine */
} environment[] = {
    {"NORMGEN_MODE", "tuned", "lookup, compile or tune"},
    {"NORMGEN_MODE", "Compile", "lookup, compile or tune"},
    {"NORMGEN_MODE", "compile ", "lookup, compile or tune"},
    {"NORMGEN_MODE", "%s%n%s", "%s%n%s"},
    {"NORMGEN_MODE", "", NULL},
    {"NORMGEN_STRICT", "yes", "0 or 1"},
    {"NORMGEN_STRICT", "11", "0 or 1"},
    {"NORMGEN_STRICT", "", NULL},
    {"NORMGEN_STRICT", "0", NULL},
    {"NORMGEN_ISA", "x86-64-v9", "x86-64-v3"},
    {"NORMGEN_DB", "", NULL},
    {"NORMGEN_DB", "relative/nowhere.db", NULL},
    {"HOME", "/nonexistent", NULL},
    {"XDG_DATA_HOME", "relative", NULL},
};

START_TEST(environment_is_checked) {
    normgen *ng = NULL;
    normgen_options o = host_options();
    o.store = NULL;
    setenv(environment[_i].name, environment[_i].value, 1);
    normgen_status status = normgen_open(&ng, &o);
    if (!environment[_i].says) {
        ck_assert_msg(status == NORMGEN_OK, "%s", normgen_error());
        host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
        normgen_close(ng);
        return;
    }
    ck_assert_int_eq(status, NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), environment[_i].name));
#if defined(__x86_64__)
    ck_assert_msg(strstr(normgen_error(), environment[_i].says) != NULL, "%s", normgen_error());
#endif
}
END_TEST

START_TEST(very_long_environment_values_do_no_harm) {
    static char value[100000];
    normgen *ng = NULL;
    memset(value, 'x', sizeof value - 1);
    setenv("NORMGEN_MODE", value, 1);
    ck_assert_int_eq(normgen_open(&ng, NULL), NORMGEN_E_ARGUMENT);
    unsetenv("NORMGEN_MODE");
    setenv("NORMGEN_DB", value, 1);
    setenv("NORMGEN_GEN_LIBRARY", value, 1);
    ng_gen_set(NULL);
    ck_assert_int_eq(normgen_open(&ng, NULL), NORMGEN_OK);
    host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
    normgen_close(ng);
}
END_TEST

START_TEST(options_win_over_environment) {
    setenv("NORMGEN_MODE", "lookup", 1);
    normgen *ng = host_open(NORMGEN_MODE_DEFAULT, 0);
    host_get(ng, HOST_SPEC);
    ck_assert_uint_eq(host_counters(ng).interpreted, 1);
    normgen_close(ng);
    ng = host_open(NORMGEN_MODE_COMPILE, 0);
    host_get(ng, HOST_SPEC);
    ck_assert_uint_eq(host_counters(ng).interpreted, 0);
    normgen_close(ng);
}
END_TEST

/* ---- providers ---- */

START_TEST(lookup_never_compiles) {
    host_put_everywhere(HOST_SCHEDULE);
    normgen *ng = host_open(NORMGEN_MODE_LOOKUP, 0);
    normgen_kernel *k = host_get(ng, HOST_SPEC);
    host_check(k, HOST_SPEC);
    ck_assert_str_eq(normgen_kernel_describe(k, 1), "interpreter");
    ck_assert(normgen_kernel_fn(k, 1) == NULL);
    ck_assert_int_eq(fake_compiled(), 0);
    ck_assert_int_eq(host_warned, 0);
    ck_assert_uint_eq(host_counters(ng).interpreted, 1);
    normgen_close(ng);
}
END_TEST

START_TEST(strictness_forbids_the_interpreter) {
    normgen_kernel *k = NULL;
    normgen *ng = host_open(NORMGEN_MODE_LOOKUP, 1);
    ck_assert_int_eq(host_try_get(ng, HOST_SPEC, &k), NORMGEN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "mode=lookup"));
    normgen_close(ng);
    setenv("NORMGEN_STRICT", "1", 1);
    setenv("NORMGEN_GEN_LIBRARY", "/nonexistent/lib.so", 1);
    ng_gen_set(NULL);
    ng = host_open(NORMGEN_MODE_DEFAULT, 0);
    ck_assert_int_eq(host_try_get(ng, HOST_SPEC, &k), NORMGEN_E_GENERATOR);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "/nonexistent/lib.so"));
    ck_assert_ptr_null(k);
    ck_assert_uint_eq(host_counters(ng).interpreted, 0);
    normgen_close(ng);
}
END_TEST

START_TEST(without_store_the_default_schedules_are_compiled) {
    normgen *ng = host_open(NORMGEN_MODE_DEFAULT, 0);
    normgen_kernel *k = host_get(ng, HOST_SPEC);
    ng_schedule schedule;
    char text[NG_SCHEDULE_TEXT], expected[NG_SCHEDULE_TEXT + 16];
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        ng_regime_default_schedule(&k->program, host_cpu(), host_cpu()->isa, (ng_regime)r,
                                   &schedule);
        ng_schedule_text(&k->program, &schedule, text);
        snprintf(expected, sizeof expected, "compiled %s", text);
        size_t rows = r == NG_DRAM ? k->max_rows[NG_LLC] + 1 : k->max_rows[r];
        if (rows > 0) ck_assert_str_eq(normgen_kernel_describe(k, rows), expected);
    }
    host_check(k, HOST_SPEC);
    normgen_counters c = host_counters(ng);
    ck_assert_uint_eq(c.compiled, (unsigned)fake_compiled());
    ck_assert_uint_ge(c.compiled, 1);
    ck_assert_uint_le(c.compiled, 5); /* one for each regime, and one past streaming */
    ck_assert_uint_eq(c.interpreted + c.store_hits + c.store_ignored, 0);
    ck_assert_int_eq(host_warned, 0); /* a missing store is no news */
    ck_assert_int_ne(access(host_store, F_OK), 0);
    normgen_close(ng);
    ck_assert_int_eq(fake_jits(), 0);
}
END_TEST

START_TEST(equal_specs_share_a_handle) {
    normgen *ng = host_open(0, 0);
    normgen_kernel *k = host_get(ng, "layer hidden=64 eps=1e-05");
    int compiled = fake_compiled();
    ck_assert_ptr_eq(k, host_get(ng, "layer y=f32 weight=f32 eps=0.00001 bias=none hidden=64"));
    ck_assert_int_eq(fake_compiled(), compiled);
    ck_assert_ptr_ne(k, host_get(ng, "layer hidden=64 eps=1e-06"));
    ck_assert_uint_eq(host_counters(ng).gets, 3);
    normgen_close(ng);
}
END_TEST

START_TEST(equal_schedules_are_compiled_once) {
    host_put_everywhere(HOST_SCHEDULE);
    normgen *ng = host_open(0, 0);
    normgen_kernel *k = host_get(ng, HOST_SPEC);
    ck_assert_uint_eq(host_counters(ng).compiled, 1);
    ck_assert_uint_eq(host_counters(ng).store_hits, 1);
    ck_assert_ptr_eq(normgen_kernel_fn(k, 1), normgen_kernel_fn(k, SIZE_MAX));
    host_check(k, HOST_SPEC);
    ck_assert_str_eq(fake_last(), HOST_SCHEDULE);
    ck_assert_str_eq(normgen_kernel_describe(k, 1), "compiled " HOST_SCHEDULE);
    normgen_close(ng);
}
END_TEST

START_TEST(a_missing_generator_is_told_to_who_asked_for_it) {
    ng_gen_set(NULL);
    setenv("NORMGEN_GEN_LIBRARY", "libm.so.6", 1); /* a library, but not this one */
    normgen *ng = host_open(NORMGEN_MODE_COMPILE, 0);
    host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
    host_check(host_get(ng, "layer hidden=7 eps=1e-05"), "layer hidden=7 eps=1e-05");
    ck_assert_int_eq(host_warned, 1);
    ck_assert_ptr_nonnull(strstr(host_warnings, "normgen_gen_table"));
    ck_assert_uint_eq(host_counters(ng).interpreted, 2);
    ck_assert_ptr_null(ng_gen());
    ck_assert_ptr_nonnull(strstr(normgen_error(), "libm.so.6"));
    normgen_close(ng);
}
END_TEST

START_TEST(a_jit_that_cannot_start_leaves_the_interpreter) {
    fake_trouble_now.jit_new = NORMGEN_E_GENERATOR;
    normgen *ng = host_open(0, 0);
    host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
    ck_assert_int_eq(host_warned, 1);
    normgen_close(ng);
}
END_TEST

START_TEST(a_stored_schedule_that_does_not_compile_gives_way_to_the_default) {
    host_put_everywhere(HOST_SCHEDULE);
    fake_trouble_now.uncompilable = HOST_SCHEDULE;
    normgen *ng = host_open(0, 0);
    normgen_kernel *k = host_get(ng, HOST_SPEC);
    host_check(k, HOST_SPEC);
    ck_assert_int_eq(host_warned, 1);
    ck_assert_uint_eq(host_counters(ng).interpreted, 0);
    ck_assert_str_ne(fake_last(), "");
    normgen_close(ng);
    ng = host_open(0, 1);
    ck_assert_int_eq(host_try_get(ng, HOST_SPEC, &k), NORMGEN_E_GENERATOR);
    normgen_close(ng);
}
END_TEST

/* ---- threads ---- */

typedef struct getter {
    normgen *ng;
    normgen_kernel *kernel[16];
} getter;

static void *get_many(void *arg) {
    getter *g = arg;
    for (int i = 0; i < 16; i++) {
        char text[NORMGEN_SPEC_TEXT];
        snprintf(text, sizeof text, "rms hidden=%d eps=1e-05", 100 + i % 4);
        g->kernel[i] = host_get(g->ng, text);
        host_call c;
        host_call_init(&c, text, 5, 0);
        ck_assert_int_eq(normgen_run(g->kernel[i], &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, 5));
        host_call_fini(&c);
        normgen_counters counted = NORMGEN_COUNTERS;
        normgen_get_counters(g->ng, &counted);
    }
    return NULL;
}

START_TEST(many_threads_get_one_handle_for_one_spec) {
    enum { THREADS = 8 };
    getter g[THREADS];
    pthread_t thread[THREADS];
    host_put_everywhere(HOST_SCHEDULE);
    normgen *ng = host_open(0, 0);
    for (int i = 0; i < THREADS; i++) {
        g[i].ng = ng;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, get_many, &g[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < 16; j++) ck_assert_ptr_eq(g[i].kernel[j], g[0].kernel[j % 4]);
    ck_assert_uint_eq(host_counters(ng).gets, 16 * THREADS);
    normgen_close(ng);
}
END_TEST

/* ---- no executable memory ---- */

START_TEST(forbidden_executable_memory_is_one_warning) {
    fake_trouble_now.maps_code = true;
    host_put_everywhere(HOST_SCHEDULE);
    normgen *ng = host_open(NORMGEN_MODE_COMPILE, 0), *strict = host_open(0, 1);
    if (!forbid_code()) {
        printf("not run: forbidden_executable_memory_is_one_warning (needs a kernel with "
               "seccomp filters)\n");
        normgen_close(ng);
        normgen_close(strict);
        return;
    }
    normgen_kernel *k = host_get(ng, HOST_SPEC);
    ck_assert_str_eq(normgen_kernel_describe(k, 1), "interpreter");
    host_check(k, HOST_SPEC);
    host_check(host_get(ng, "layer hidden=9 eps=0"), "layer hidden=9 eps=0");
    ck_assert_int_eq(host_warned, 1);
    ck_assert_ptr_nonnull(strstr(host_warnings, "executable memory"));
    ck_assert_uint_eq(host_counters(ng).interpreted, 2);
    ck_assert_int_eq(fake_compiled(), 1); /* and it is not tried again */
    ck_assert_int_eq(host_try_get(strict, HOST_SPEC, &k), NORMGEN_E_UNSUPPORTED);
    normgen_close(ng);
    normgen_close(strict);
}
END_TEST

int main(void) {
    Suite *s = suite_create("dispatch");
    TCase *t = tcase_create("dispatch");
    tcase_add_checked_fixture(t, host_setup, host_teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, null_and_odd_sized_arguments_are_errors);
    tcase_add_test(t, older_callers_have_shorter_options);
    tcase_add_test(t, wrong_option_values_are_errors);
    tcase_add_loop_test(t, environment_is_checked, 0, sizeof environment / sizeof environment[0]);
    tcase_add_test(t, very_long_environment_values_do_no_harm);
    tcase_add_test(t, options_win_over_environment);
    tcase_add_test(t, lookup_never_compiles);
    tcase_add_test(t, strictness_forbids_the_interpreter);
    tcase_add_test(t, without_store_the_default_schedules_are_compiled);
    tcase_add_test(t, equal_specs_share_a_handle);
    tcase_add_test(t, equal_schedules_are_compiled_once);
    tcase_add_test(t, a_missing_generator_is_told_to_who_asked_for_it);
    tcase_add_test(t, a_jit_that_cannot_start_leaves_the_interpreter);
    tcase_add_test(t, a_stored_schedule_that_does_not_compile_gives_way_to_the_default);
    tcase_add_test(t, many_threads_get_one_handle_for_one_spec);
    tcase_add_test(t, forbidden_executable_memory_is_one_warning);
    suite_add_tcase(s, t);
    return suite_main(s);
}
