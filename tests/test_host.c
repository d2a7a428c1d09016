/* SPDX-License-Identifier: Apache-2.0 */
/* The run time with the real generator library behind its door: found, compiled, called. */
#include "dispatch.h"
#include "hostcall.h"
#include "nocode.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int warned;
static void hear(void *ctx, normgen_log_level level, const char *line) {
    (void)ctx;
    if (level == NORMGEN_LOG_WARNING && warned++ > 0) fprintf(stderr, "second warning: %s\n", line);
}

static normgen *open_quietly(void) {
    normgen_options o = normgen_options_default();
    normgen *ng = NULL;
    o.store = "";
    o.log = hear;
    o.mode = NORMGEN_MODE_COMPILE;
    ck_assert_msg(normgen_open(&ng, &o) == NORMGEN_OK, "%s", normgen_error());
    return ng;
}

static normgen_kernel *get(normgen *ng, const char *text) {
    normgen_spec spec;
    normgen_kernel *k = NULL;
    ck_assert_int_eq(normgen_spec_parse(&spec, text), NORMGEN_OK);
    ck_assert_msg(normgen_get(ng, &spec, &k) == NORMGEN_OK, "%s", normgen_error());
    return k;
}

static const char *const specs[] = {
    "rms hidden=512 eps=1e-05 x=f32",
    "rms hidden=100 eps=1e-06 x=bf16 weight=f32 residual=bf16 sum=bf16 rounding=llama",
    "layer hidden=768 eps=1e-12 x=f16 y=f32 bias=f32 mean=yes rstd=yes",
};
enum { SPECS = sizeof specs / sizeof specs[0] };

/* Whether the addresses have the alignment that `any` needs. */
static bool fits(const ng_entry *e, const normgen_bound_args *b) {
    for (int i = 0; i < e->streamed; i++) {
        const normgen_stream *s = &b->stream[e->aligned[i].stream];
        if (((uintptr_t)s->base | (uintptr_t)s->inner) & e->aligned[i].mask) return false;
    }
    return true;
}

/* Every entry of the handle, at every number of rows of a few, aligned and not. */
static void check_entries(normgen_kernel *k, const char *text) {
    static const size_t shifts[] = {0, 8};
    for (int i = 0; i < 2; i++) {
        host_call c;
        host_call_init(&c, text, 37, shifts[i]);
        for (size_t last = 0; last <= 37; last += last < 9 ? 1 : 7) {
            host_call_blank(&c);
            ck_assert_int_eq(normgen_run_rows(k, &c.args, 0, last), NORMGEN_OK);
            ck_assert_msg(host_call_right(&c, 0, last), "%s, %zu rows", text, last);
        }
        normgen_bound_args b;
        ck_assert_int_eq(normgen_kernel_bind(k, &c.args, &b), NORMGEN_OK);
        for (int r = 0; r < NG_REGIME_COUNT; r++) {
            const ng_entry *e = &k->first.alone[r]; /* as if few rows were in the regime */
            normgen_fn fn = fits(e, &b) ? e->any : e->cached;
            if (!fn) continue;
            host_call_blank(&c);
            fn(&b, 0, 37);
            ck_assert_msg(host_call_right(&c, 0, 37), "%s, %s", text, e->text);
        }
        host_call_fini(&c);
    }
}

START_TEST(kernels_are_compiled_and_right) {
    normgen *ng = open_quietly();
    for (int i = 0; i < SPECS; i++) {
        normgen_kernel *k = get(ng, specs[i]);
        if (ng->cpu->isa->max_vec > 0)
            ck_assert_msg(normgen_kernel_fn(k, 1) != NULL, "%s", normgen_error());
        check_entries(k, specs[i]);
    }
    ck_assert_int_eq(warned, 0);
    normgen_close(ng);
}
END_TEST

START_TEST(the_generator_stays_apart_from_its_host) {
    ck_assert_ptr_null(dlsym(RTLD_DEFAULT, "LLVMContextCreate"));
    const ng_gen_table *table = ng_gen();
    ck_assert_msg(table != NULL, "%s", normgen_error());
    ck_assert_ptr_eq(table, ng_gen());
    ck_assert_ptr_null(dlsym(RTLD_DEFAULT, "LLVMContextCreate"));
    ck_assert_ptr_null(dlsym(RTLD_DEFAULT, "normgen_gen_table"));
}
END_TEST

START_TEST(without_executable_memory_the_interpreter_serves) {
    FILE *heard = tmpfile();
    ck_assert_ptr_nonnull(heard);
    ck_assert_ptr_nonnull(ng_gen()); /* its own code may be mapped */
    normgen *ng = open_quietly();
    if (!forbid_code()) {
        printf("not run: without_executable_memory_the_interpreter_serves (needs a kernel with "
               "seccomp filters)\n");
        normgen_close(ng);
        fclose(heard);
        return;
    }
    int saved = dup(2);
    dup2(fileno(heard), 2); /* LLVM must not talk */
    normgen_kernel *k[SPECS];
    for (int i = 0; i < SPECS; i++) k[i] = get(ng, specs[i]);
    dup2(saved, 2);
    close(saved);
    ck_assert_int_eq((int)lseek(fileno(heard), 0, SEEK_END), 0);
    fclose(heard);
    for (int i = 0; i < SPECS; i++) {
        ck_assert_str_eq(normgen_kernel_describe(k[i], 1), "interpreter");
        check_entries(k[i], specs[i]);
    }
    if (ng->cpu->isa->max_vec > 0) ck_assert_int_eq(warned, 1);
    normgen_close(ng);
}
END_TEST

int main(void) {
    Suite *s = suite_create("host");
    TCase *t = tcase_create("host");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, kernels_are_compiled_and_right);
    tcase_add_test(t, the_generator_stays_apart_from_its_host);
    tcase_add_test(t, without_executable_memory_the_interpreter_serves);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
