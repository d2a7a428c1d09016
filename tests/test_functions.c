/* SPDX-License-Identifier: Apache-2.0 */
/* exp, tanh, erf and round half away as the interpreter computes them: their bits against
 * docs/numerics.md written out again, their errors against libm in more precision. --all: all 2^32
 * floats. */
#include "cpu.h"
#include "interp.h"
#include "ops.h"
#include "reference.h"
#include "types.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Hundreds of thousands of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

enum { CHUNK = 4096, MOST_THREADS = 64 };

typedef struct function {
    const char *name;
    int (*put)(ng_program *p, int x);
    float (*naive32)(float x);
    double (*naive64)(double x);
    double (*libm)(double x);
    long double (*libml)(long double x);
    double bound32, bound64; /* ULP, docs/numerics.md */
} function;
/* The divisor of silu and sigmoid: one addition after exp, in fewer operations. */
static float naive_divisor_f32(float x) { return 1 + naive_exp_f32(-x); }
static double naive_divisor_f64(double x) { return 1 + naive_exp_f64(-x); }
static double divisor(double x) { return 1 + exp(-x); }
static long double divisorl(long double x) { return 1 + expl(-x); }

static const function functions[] = {
    {"exp", ng_put_exp, naive_exp_f32, naive_exp_f64, exp, expl, 1.02, 1.25},
    {"tanh", ng_put_tanh, naive_tanh_f32, naive_tanh_f64, tanh, tanhl, 1.5, 2},
    {"erf", ng_put_erf, naive_erf_f32, naive_erf_f64, erf, erfl, 1.25, 1.25},
    {"1 + exp(-x)", ng_put_one_plus_exp_neg, naive_divisor_f32, naive_divisor_f64, divisor,
     divisorl, 1.52, 1.75},
    {"round half away", ng_put_half_away, roundf, round, round, roundl, 0, 0},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static void build(ng_program *p, const function *f, int type) {
    memset(p, 0, sizeof *p);
    p->hidden = CHUNK;
    p->compute = type;
    p->lanes = 64;
    int v = f->put(p, ng_put_memory(p, NG_LOAD, NG_ROLE_x, type, -1));
    ng_put_memory(p, NG_STORE, NG_ROLE_y, type, v);
    ng_program_finish(p);
}

static void evaluate(const ng_program *p, void *x, void *y) {
    normgen_bound_args args = {.rows_per_outer = 1};
    const ng_cpu *cpu;
    if (ng_cpu_host(&cpu) != NORMGEN_OK) abort();
    args.stream[0].base = x;
    args.stream[1].base = y;
    cpu->interp(p, &args, 0, 1);
}

static double ulp32(double v) {
    int e = v == 0 ? -126 : ilogb(v);
    return ldexp(1, (e < -126 ? -126 : e) - 23);
}

/* The error of g in ULP, infinite where it has to be exact and is not. */
static double error32(const function *f, float x, float g) {
    double want = f->libm((double)x);
    if (isnan(x)) return isnan(g) ? 0 : (double)INFINITY;
    bool tiny = f->put == ng_put_exp && want < 0x1p-126; /* exp has no subnormal results */
    if (tiny || isinf((float)want)) return g == (tiny ? 0 : (float)want) ? 0 : (double)INFINITY;
    return fabs((double)g - want) / ulp32(want);
}

/* Every `step`-th float from `first` on: the largest error and where, and whether the bits are
 * those of the naive function. */
typedef struct sweep {
    const function *f;
    uint64_t first, step;
    double worst;
    float at;
    bool bits;
} sweep;

static void *run_sweep(void *ctx) {
    sweep *s = ctx;
    ng_program p;
    static _Thread_local float x[CHUNK], y[CHUNK];
    build(&p, s->f, NORMGEN_F32);
    s->bits = true;
    for (uint64_t u = s->first; u < (uint64_t)1 << 32; u += CHUNK * s->step) {
        for (size_t i = 0; i < CHUNK; i++) {
            uint64_t v = u + i * s->step;
            x[i] = ng_float32(v >> 32 ? 0 : (uint32_t)v);
        }
        evaluate(&p, x, y);
        for (size_t i = 0; i < CHUNK; i++) {
            double e = error32(s->f, x[i], y[i]);
            if (!(e <= s->worst)) s->worst = e, s->at = x[i];
            float n = s->f->naive32(x[i]);
            s->bits = s->bits && (ng_bits32(n) == ng_bits32(y[i]) || (isnan(n) && isnan(y[i])));
        }
    }
    return NULL;
}

/* Over all threads, each with its share of the floats. */
static sweep sweep_all(const function *f, uint64_t step) {
    sweep part[MOST_THREADS], all = {.f = f, .bits = true};
    pthread_t thread[MOST_THREADS];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t n = cores < 1 ? 1 : cores > MOST_THREADS ? MOST_THREADS : (uint64_t)cores;
    for (uint64_t i = 0; i < n; i++) {
        part[i] = (sweep){.f = f, .first = i * step, .step = n * step};
        if (pthread_create(&thread[i], NULL, run_sweep, &part[i]) != 0) abort();
    }
    for (uint64_t i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
        if (!(part[i].worst <= all.worst)) all.worst = part[i].worst, all.at = part[i].at;
        all.bits = all.bits && part[i].bits;
    }
    return all;
}

static uint64_t step = 997;

START_TEST(floats_are_within_their_bound) {
    const function *f = &functions[_i];
    sweep s = sweep_all(f, step);
    printf("%s, every %llu. float: %.3f ULP at %a\n", f->name, (unsigned long long)step, s.worst,
           (double)s.at);
    ck_assert_msg(s.worst <= f->bound32, "%s: %g ULP at %a", f->name, s.worst, (double)s.at);
    ck_assert_msg(s.bits, "%s: not the bits of docs/numerics.md", f->name);
}
END_TEST

static double random_double(uint64_t *state, size_t i) {
    uint64_t u = *state = *state * 6364136223846793005u + 1442695040888963407u;
    double unit = (double)(u >> 11) * 0x1p-52 - 1;
    static const double spans[] = {750, 7, 1.2};
    double v = unit * spans[i % 3];
    return i % 7 ? v : ldexp(v, -(int)(i % 60));
}

START_TEST(doubles_are_within_their_bound) {
    const function *f = &functions[_i];
    static double x[CHUNK], y[CHUNK];
    uint64_t state = 17;
    double worst = 0;
    ng_program p;
    build(&p, f, NORMGEN_F64);
    for (int round = 0; round < 100; round++) {
        for (size_t i = 0; i < CHUNK; i++) x[i] = random_double(&state, i);
        evaluate(&p, x, y);
        for (size_t i = 0; i < CHUNK; i++) {
            long double want = f->libml((long double)x[i]);
            REQUIRE(ng_bits64(y[i]) == ng_bits64(f->naive64(x[i])), "%s(%a)", f->name, x[i]);
            if (fabsl(want) < 0x1p-1022L || fabsl(want) > 0x1p1023L) continue;
            double e = (double)(fabsl((long double)y[i] - want) / ldexpl(1, ilogbl(want) - 52));
            if (!(e <= worst)) worst = e;
        }
    }
    printf("%s, doubles: %.3f ULP\n", f->name, worst);
    ck_assert_msg(worst <= f->bound64, "%s: %g ULP", f->name, worst);
}
END_TEST

START_TEST(ends_are_exact) {
    static const float ends[] = {INFINITY, -INFINITY, 0.0f, -0.0f, 89, -88, 0x1p-149f, 0x1p127f};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        float x = ends[i];
        ck_assert(naive_exp_f32(x) == (x < -87 ? 0 : x > 88.8f ? INFINITY : 1));
        if (fabsf(x) > 10) ck_assert(naive_tanh_f32(x) == copysignf(1, x));
        if (fabsf(x) > 10) ck_assert(naive_erf_f32(x) == copysignf(1, x));
        if (x == 0) ck_assert(naive_tanh_f32(x) == 0 && naive_erf_f32(x) == 0);
    }
}
END_TEST

/* Ties and their neighbours, which a sample of all floats hardly meets. */
START_TEST(ties_go_away_from_zero) {
    const function f = {.put = ng_put_half_away};
    static float x[CHUNK], y[CHUNK];
    static double x64[CHUNK], y64[CHUNK];
    ng_program p;
    for (int i = 0; i < CHUNK; i++) {
        double tie = (i / 3 % 2 ? -1 : 1) * (i / 6 % 512 + 0.5) * ldexp(1, i / 3072 * 14);
        x[i] = i % 3 ? nextafterf((float)tie, i % 3 == 1 ? 0 : INFINITY) : (float)tie;
        x64[i] = i % 3 ? nextafter(tie, i % 3 == 1 ? 0 : (double)INFINITY) : tie;
    }
    build(&p, &f, NORMGEN_F32);
    evaluate(&p, x, y);
    build(&p, &f, NORMGEN_F64);
    evaluate(&p, x64, y64);
    for (int i = 0; i < CHUNK; i++) {
        REQUIRE(ng_bits32(y[i]) == ng_bits32(roundf(x[i])), "%a: %a", (double)x[i], (double)y[i]);
        REQUIRE(ng_bits64(y64[i]) == ng_bits64(round(x64[i])), "%a: %a", x64[i], y64[i]);
    }
}
END_TEST

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--all") == 0) step = 1;
    Suite *s = suite_create("functions");
    TCase *t = tcase_create("functions");
    tcase_set_timeout(t, step == 1 ? 7200 : 60);
    tcase_add_loop_test(t, floats_are_within_their_bound, 0, FUNCTIONS);
    tcase_add_loop_test(t, doubles_are_within_their_bound, 0, FUNCTIONS);
    tcase_add_test(t, ends_are_exact);
    tcase_add_test(t, ties_go_away_from_zero);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
