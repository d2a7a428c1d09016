/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: argument checks, the choice between a handle's kernels, ranges, threads, and hosts with
 * another floating-point environment. Kernels are fakes; nothing here needs LLVM. */
#include "call.h"
#include "dispatch.h"
#include "fakegen.h"
#include "hostcall.h"
#include "team.h"
#include "types.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define RICH                                                                                       \
    "layer hidden=100 eps=1e-05 x=bf16 y=f32 weight=f32 bias=f32 residual=bf16 sum=bf16 "          \
    "mean=yes rstd=yes"
#define PLAIN "rms hidden=1024 eps=1e-05 x=f32 y=f32 weight=f32"

static normgen *ng;

static void setup(void) {
    unsetenv("NORMGEN_MODE");
    unsetenv("NORMGEN_STRICT");
    fake_install();
    normgen_options o = normgen_options_default();
    o.store = "";
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
}

static void teardown(void) { normgen_close(ng); }

static normgen_kernel *get(const char *text) {
    normgen_spec spec;
    normgen_kernel *k = NULL;
    ck_assert_int_eq(normgen_spec_parse(&spec, text), NORMGEN_OK);
    ck_assert_msg(normgen_get(ng, &spec, &k) == NORMGEN_OK, "%s", normgen_error());
    return k;
}

/* ---- arguments ---- */

START_TEST(wrong_arguments_are_errors_and_write_nothing) {
    host_call c;
    host_call_init(&c, PLAIN, 4, 0);
    normgen_kernel *k = get(PLAIN);
    normgen_bound_args bound;
    ck_assert_int_eq(normgen_run(NULL, &c.args), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_run(k, NULL), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_run_rows(NULL, &c.args, 0, 1), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_run_rows(k, NULL, 0, 1), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_run_rows(k, &c.args, 2, 1), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_run_rows(k, &c.args, 0, 5), NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "args.rows = 4"));
    ck_assert_int_eq(normgen_run_parallel(NULL, &c.args), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_run_parallel(k, NULL), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_kernel_bind(NULL, &c.args, &bound), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_kernel_bind(k, &c.args, NULL), NORMGEN_E_ARGUMENT);
    c.args.struct_size = 8;
    ck_assert_int_eq(normgen_run(k, &c.args), NORMGEN_E_ARGUMENT);
    c.args.struct_size = sizeof c.args;
    c.args.weight = NULL;
    ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_E_ARGUMENT);
    ck_assert_ptr_null(normgen_kernel_fn(NULL, 1));
    ck_assert_str_eq(normgen_kernel_describe(NULL, 1), "");
    ck_assert(host_call_right(&c, 0, 0));
    host_call_fini(&c);
}
END_TEST

START_TEST(older_callers_have_shorter_arguments) {
    host_call c;
    host_call_init(&c, PLAIN, 3, 0);
    c.args.struct_size = offsetof(normgen_args, bias);
    c.args.y_stride = 1; /* beyond what the caller knows */
    ck_assert_int_eq(normgen_run(get(PLAIN), &c.args), NORMGEN_OK);
    ck_assert(host_call_right(&c, 0, 3));
    host_call_fini(&c);
}
END_TEST

START_TEST(no_rows_are_fine) {
    normgen_args a = NORMGEN_ARGS;
    normgen_kernel *k = get(PLAIN);
    ck_assert_int_eq(normgen_run(k, &a), NORMGEN_OK);
    ck_assert_int_eq(normgen_run_rows(k, &a, 0, 0), NORMGEN_OK);
    ck_assert_int_eq(normgen_run_parallel(k, &a), NORMGEN_OK);
    ck_assert_str_eq(fake_last(), "");
    ck_assert_ptr_nonnull(normgen_kernel_fn(k, 0));
}
END_TEST

/* ---- ranges ---- */

START_TEST(ranges_give_the_bytes_of_the_whole) {
    host_call c;
    host_call_init(&c, RICH, 21, 0);
    normgen_kernel *k = get(RICH);
    for (size_t first = 0; first <= c.rows; first++) {
        for (size_t last = first; last <= c.rows; last++) {
            host_call_blank(&c);
            ck_assert_int_eq(normgen_run_rows(k, &c.args, first, last), NORMGEN_OK);
            ck_assert_msg(host_call_right(&c, first, last), "rows %zu to %zu", first, last);
        }
    }
    host_call_blank(&c);
    for (size_t r = 0; r < c.rows; r += 4)
        normgen_run_rows(k, &c.args, r, r + 4 < c.rows ? r + 4 : c.rows);
    ck_assert(host_call_right(&c, 0, c.rows));
    host_call_fini(&c);
}
END_TEST

START_TEST(bare_function_does_what_run_does) {
    host_call c;
    host_call_init(&c, RICH, 9, 4);
    normgen_kernel *k = get(RICH);
    normgen_bound_args b;
    ck_assert_int_eq(normgen_kernel_bind(k, &c.args, &b), NORMGEN_OK);
    normgen_kernel_fn(k, 9)(&b, 0, 9);
    ck_assert(host_call_right(&c, 0, 9));
    host_call_fini(&c);
}
END_TEST

/* ---- which kernel ---- */

static normgen_fn threshold_seen;
static void threshold_l1(const normgen_bound_args *a, size_t first, size_t last) {
    (void)a, (void)first, (void)last;
    threshold_seen = threshold_l1;
}
static void threshold_l2(const normgen_bound_args *a, size_t first, size_t last) {
    (void)a, (void)first, (void)last;
    threshold_seen = threshold_l2;
}
static void threshold_llc(const normgen_bound_args *a, size_t first, size_t last) {
    (void)a, (void)first, (void)last;
    threshold_seen = threshold_llc;
}
static void threshold_dram(const normgen_bound_args *a, size_t first, size_t last) {
    (void)a, (void)first, (void)last;
    threshold_seen = threshold_dram;
}

/* Arrays are never touched, so they need not be there. */
START_TEST(row_counts_pick_the_regime) {
    static const normgen_fn functions[NG_REGIME_COUNT] = {threshold_l1, threshold_l2, threshold_llc,
                                                          threshold_dram};
    normgen_kernel *k = get(PLAIN);
    const ng_cpu *cpu = ng->cpu;
    for (int r = 0; r < NG_REGIME_COUNT; r++)
        k->first.alone[r].any = k->first.alone[r].cached = functions[r];
    normgen_args a = NORMGEN_ARGS;
    a.x = (void *)0x100000000;
    a.y = (void *)0x100000000;
    a.weight = (void *)0x4000;
    for (int r = 0; r < NG_DRAM; r++) {
        size_t most = k->max_rows[r];
        for (a.rows = most; a.rows <= most + 1; a.rows++) {
            if (a.rows == 0) continue;
            ng_regime regime = ng_regime_of(cpu, &k->program, a.rows, 1);
            ck_assert_int_eq(normgen_run(k, &a), NORMGEN_OK);
            ck_assert_msg(threshold_seen == functions[regime], "%zu rows", a.rows);
            ck_assert_ptr_eq(normgen_kernel_fn(k, a.rows), functions[regime]);
            ck_assert_str_eq(normgen_kernel_describe(k, a.rows), k->first.alone[regime].text);
        }
        a.rows = most + 5; /* a range counts as many rows as it has */
        ck_assert_int_eq(normgen_run_rows(k, &a, 5, most + 5), NORMGEN_OK);
        if (most > 0)
            ck_assert(threshold_seen == functions[ng_regime_of(cpu, &k->program, most, 1)]);
    }
}
END_TEST

/* What dispatch does for a winner that streams, written by hand so that small arrays will do. */
static void pretend_streaming(ng_entry *e, const ng_program *p, normgen_fn any, normgen_fn cached) {
    e->any = any;
    e->cached = cached;
    e->streamed = 0;
    for (int s = 0; s < p->streams; s++) {
        if (!p->stream[s].out || !ng_stream_moves(&p->stream[s])) continue;
        e->aligned[e->streamed].stream = (uint16_t)s;
        e->aligned[e->streamed++].mask = 63;
    }
}

START_TEST(addresses_pick_between_streaming_and_cached) {
    const char *spec = "rms hidden=32 eps=1e-05 x=f32 y=f32 weight=f32 residual=f32 sum=f32";
    normgen_kernel *k = get(spec);
    pretend_streaming(&k->first.alone[NG_L1], &k->program, threshold_l1, threshold_l2);
    static _Alignas(64) char y[4096], sum[4096], x[4096], w[4096], residual[4096];
    normgen_args a = NORMGEN_ARGS;
    a.rows = 4;
    a.x = x + 4, a.weight = w + 4, a.residual = residual + 4; /* inputs do not matter */
    const struct {
        size_t y, sum;
        ptrdiff_t y_stride, sum_stride;
        normgen_fn expected;
    } cases[] = {
        {0, 0, 0, 0, threshold_l1},       {64, 128, 0, 192, threshold_l1},
        {4, 0, 0, 0, threshold_l2},       {0, 32, 0, 0, threshold_l2},
        {0, 0, 132, 0, threshold_l2},     {0, 0, 0, 160, threshold_l2},
        {32, 32, 160, 160, threshold_l2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        a.y = y + cases[i].y;
        a.sum = sum + cases[i].sum;
        a.y_stride = cases[i].y_stride;
        a.sum_stride = cases[i].sum_stride;
        ck_assert_int_eq(normgen_run(k, &a), NORMGEN_OK);
        ck_assert_msg(threshold_seen == cases[i].expected, "case %zu", i);
    }
}
END_TEST

/* ---- threads ---- */

typedef struct pool {
    size_t threads, asked, calls;
} pool;
typedef struct job {
    void (*body)(void *ctx, size_t i);
    void *ctx;
    size_t i;
} job;

static void *run_job(void *arg) {
    job *j = arg;
    j->body(j->ctx, j->i);
    return NULL;
}

/* A pool of a host, one thread for each part, last part first. */
static void pool_for(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i), void *body_ctx) {
    pool *p = ctx;
    pthread_t thread[64];
    job jobs[64];
    p->asked = n;
    p->calls++;
    ck_assert_uint_le(n, 64);
    for (size_t i = n; i-- > 0;) {
        jobs[i] = (job){body, body_ctx, i};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run_job, &jobs[i]), 0);
    }
    for (size_t i = 0; i < n; i++) pthread_join(thread[i], NULL);
}

START_TEST(bytes_do_not_depend_on_threads) {
    static const int32_t threads[] = {1, 2, 5, 64, -3};
    static const size_t rows[] = {1, 2, 7, 1000, 1001, 1003};
    normgen_kernel *k = get(RICH);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        host_call c;
        host_call_init(&c, RICH, rows[r], 0);
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
            pool p = {0};
            normgen_set_parallel_for(ng, pool_for, &p, threads[t]);
            host_call_blank(&c);
            ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_OK);
            ck_assert_msg(host_call_right(&c, 0, c.rows), "%zu rows, %d threads", rows[r],
                          (int)threads[t]);
            ck_assert_int_le((int)p.asked, threads[t] < 1 ? 0 : threads[t]);
            if (rows[r] >= 1000 && threads[t] > 1) ck_assert_uint_gt(p.asked, 1);
        }
        normgen_set_parallel_for(ng, NULL, NULL, 0);
        host_call_blank(&c);
        ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, c.rows));
        host_call_fini(&c);
    }
}
END_TEST

/* The first part of the default team is shorter than the others. */
START_TEST(the_default_team_leaves_no_row_out) {
    host_call c;
    normgen_kernel *k = get(RICH);
    k->team_state->awake_ns = UINT64_MAX >> 1;
    k->team_state->worked = 0;
    host_call_init(&c, RICH, 400, 0);
    size_t from = ng_plan_of(k)->cutoff.parallel_rows;
    ck_assert_uint_lt(from + 100, c.rows);
    for (size_t rows = from; rows < from + 100; rows++) {
        host_call_blank(&c);
        c.args.rows = rows;
        ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_OK);
        ck_assert_msg(host_call_right(&c, 0, rows), "%zu rows", rows);
    }
    host_call_fini(&c);
}
END_TEST

START_TEST(threads_divide_the_rows_of_all_sets) {
    static const size_t rows[] = {300, 1, 7, 500, 0, 1003};
    enum { SETS = sizeof rows / sizeof rows[0] };
    normgen_kernel *k = get(RICH);
    host_call c[SETS];
    normgen_args set[SETS];
    for (int i = 0; i < SETS; i++) {
        host_call_init(&c[i], RICH, rows[i] ? rows[i] : 1, 0);
        set[i] = c[i].args;
        set[i].rows = rows[i];
    }
    for (int32_t threads = 2; threads <= 64; threads *= 2) {
        pool p = {0};
        normgen_set_parallel_for(ng, pool_for, &p, threads);
        for (int i = 0; i < SETS; i++) host_call_blank(&c[i]);
        ck_assert_int_eq(normgen_run_sets_parallel(k, set, SETS), NORMGEN_OK);
        ck_assert_uint_eq(p.calls, 1); /* the threads meet once */
        ck_assert_uint_gt(p.asked, 1);
        for (int i = 0; i < SETS; i++)
            ck_assert_msg(host_call_right(&c[i], 0, rows[i]), "set %d, %d threads", i,
                          (int)threads);
    }
    for (int i = 0; i < SETS; i++) host_call_fini(&c[i]);
}
END_TEST

START_TEST(small_calls_stay_on_one_thread) {
    normgen_kernel *k = get(PLAIN); /* 8 KiB a row */
    pool p = {0};
    host_call c;
    normgen_set_parallel_for(ng, pool_for, &p, 8);
    host_call_init(&c, PLAIN, 31, 0);
    ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_OK);
    ck_assert_uint_eq(p.calls, 0);
    ck_assert(host_call_right(&c, 0, 31));
    host_call_fini(&c);
    host_call_init(&c, PLAIN, 32, 0); /* 256 KiB: four threads get 64 KiB each */
    ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_OK);
    ck_assert_uint_eq(p.calls, 1);
    ck_assert_uint_eq(p.asked, 4);
    ck_assert(host_call_right(&c, 0, 32));
    host_call_fini(&c);
}
END_TEST

/* The default team with a clock of the test's own making. */
START_TEST(a_sleeping_team_is_woken_by_what_pays_for_it) {
    host_call c;
    normgen_kernel *k = get(PLAIN);
    ng_team_state *t = k->team_state;
    if (ng_team_size() < 2) return;
    host_call_init(&c, PLAIN, 64, 0);
    t->awake_ns = UINT64_MAX >> 1; /* everything is quick succession … */
    t->worked = 0;
    ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_OK);
    ck_assert_uint_gt(t->worked, 0); /* … and the team always awake */
    t->awake_ns = 0;                 /* always asleep, nothing in succession */
    uint64_t worked = t->worked;
    for (int i = 0; i < 100; i++) normgen_run_parallel(k, &c.args);
    ck_assert_uint_eq(t->worked, worked);
    t->awake_ns =
        (uint64_t)3600 * 1000000000u; /* asleep since an hour, then a call after another */
    t->worked = t->asked - 2 * t->awake_ns;
    t->saved = 0;
    size_t calls = 0;
    for (worked = t->worked; t->worked == worked && calls < 1000; calls++)
        normgen_run_parallel(k, &c.args);
    size_t enough = ng_plan_of(k)->cutoff.waking_rows / 64;
    ck_assert_uint_ge(calls, enough);
    ck_assert_uint_le(calls, enough + 2);
    ck_assert(host_call_right(&c, 0, 64));
    host_call_fini(&c);
}
END_TEST

static void run_inside(void *ctx, size_t i) {
    host_call *c = ctx;
    ck_assert_int_eq(ng_team_size(), 1);
    ck_assert_int_eq(normgen_run_parallel(get(PLAIN), &c[i].args), NORMGEN_OK);
}

START_TEST(a_parallel_region_of_the_host_gets_one_thread_each) {
    host_call c[2];
    for (int i = 0; i < 2; i++) host_call_init(&c[i], PLAIN, 40, 0);
    if (ng_team_size() > 1)
        ng_team_for(NULL, 2, run_inside, c);
    else
        for (size_t i = 0; i < 2; i++) run_inside(c, i);
    for (int i = 0; i < 2; i++) {
        ck_assert(host_call_right(&c[i], 0, 40));
        host_call_fini(&c[i]);
    }
}
END_TEST

static void *run_often(void *arg) {
    host_call c;
    host_call_init(&c, RICH, 13, 0);
    for (int i = 0; i < 50; i++) {
        host_call_blank(&c);
        ck_assert_int_eq(normgen_run(arg, &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, 13));
    }
    host_call_fini(&c);
    return NULL;
}

START_TEST(one_kernel_serves_many_threads_at_once) {
    pthread_t thread[5];
    normgen_kernel *k = get(RICH);
    for (int i = 0; i < 5; i++) pthread_create(&thread[i], NULL, run_often, k);
    for (int i = 0; i < 5; i++) pthread_join(thread[i], NULL);
}
END_TEST

/* ---- the floating-point environment ---- */

#if defined(__x86_64__)
static uint64_t fp_get(void) { return _mm_getcsr(); }
static void fp_set(uint64_t value) { _mm_setcsr((uint32_t)value); }
static const uint64_t foreign[] = {0x9fc0 /* FTZ and DAZ */, 0xffc0 /* and toward zero */};
#else
static uint64_t fp_get(void) {
    uint64_t v;
    __asm__ volatile("mrs %0, fpcr" : "=r"(v));
    return v;
}
static void fp_set(uint64_t value) { __asm__ volatile("msr fpcr, %0" ::"r"(value)); }
static const uint64_t foreign[] = {1u << 24, 1u << 24 | 3u << 22};
#endif

/* Rows of f32 subnormals, which FTZ and DAZ would turn into zeros. */
static void make_tiny(host_call *c) {
    float *x = c->array[0];
    for (size_t i = 0; i < c->bytes[0] / sizeof *x; i++)
        x[i] = ng_float32((uint32_t)(i * 7919 % 0x7fffff));
    normgen_bound_args b;
    ck_assert_int_eq(ng_bind(&c->program, &c->args, &b), NORMGEN_OK);
    for (int s = 0; s < c->program.streams; s++)
        if (c->program.stream[s].out) b.stream[s].base = c->expected[s];
    ng_interp_baseline(&c->program, &b, 0, c->rows);
}

static void check_foreign(normgen_kernel *k, host_call *c, uint64_t environment) {
    pool p = {0};
    normgen_set_parallel_for(ng, pool_for, &p, 3);
    uint64_t before = fp_get();
    normgen_status status[3];
    bool right[3];
    uint64_t after[3];
    for (int i = 0; i < 3; i++) {
        host_call_blank(c);
        fp_set(environment);
        status[i] = i == 0   ? normgen_run(k, &c->args)
                    : i == 1 ? normgen_run_rows(k, &c->args, 0, c->rows)
                             : normgen_run_parallel(k, &c->args);
        after[i] = fp_get();
        fp_set(before);
        right[i] = host_call_right(c, 0, c->rows);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(status[i], NORMGEN_OK);
        ck_assert_msg(right[i], "call %d", i);
        ck_assert_uint_eq(after[i], environment);
    }
}

START_TEST(hosts_with_flush_to_zero_get_the_same_bytes) {
    const char *spec = "rms hidden=1024 eps=1e-40 x=f32 y=f32 weight=f32";
    host_call c;
    host_call_init(&c, spec, 50, 0);
    make_tiny(&c);
    fp_set(foreign[_i]);
    normgen_kernel *k = get(spec); /* its eps must survive, too */
    ck_assert(normgen_kernel_fn(k, 1) != NULL);
    check_foreign(k, &c, foreign[_i]);
    host_call_fini(&c);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("run");
    TCase *t = tcase_create("run");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, wrong_arguments_are_errors_and_write_nothing);
    tcase_add_test(t, older_callers_have_shorter_arguments);
    tcase_add_test(t, no_rows_are_fine);
    tcase_add_test(t, ranges_give_the_bytes_of_the_whole);
    tcase_add_test(t, bare_function_does_what_run_does);
    tcase_add_test(t, row_counts_pick_the_regime);
    tcase_add_test(t, addresses_pick_between_streaming_and_cached);
    tcase_add_test(t, bytes_do_not_depend_on_threads);
    tcase_add_test(t, the_default_team_leaves_no_row_out);
    tcase_add_test(t, threads_divide_the_rows_of_all_sets);
    tcase_add_test(t, small_calls_stay_on_one_thread);
    tcase_add_test(t, a_sleeping_team_is_woken_by_what_pays_for_it);
    tcase_add_test(t, a_parallel_region_of_the_host_gets_one_thread_each);
    tcase_add_test(t, one_kernel_serves_many_threads_at_once);
    tcase_add_loop_test(t, hosts_with_flush_to_zero_get_the_same_bytes, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

int main(void) {
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
