/* SPDX-License-Identifier: Apache-2.0 */
/* `normgen run` from outside: numbers that a plain f64 formula agrees with, types and texts of
 * arrays. */
#include "array.h"
#include "clibox.h"
#include "suite.h"
#include "types.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static cli_array load(const char *name) {
    char path[128];
    cli_array a;
    cli_array_rules rules = {NORMGEN_F32, NORMGEN_BF16};
    snprintf(path, sizeof path, "%s/%s", cli_folder, name);
    ck_assert_msg(cli_array_read(path, &rules, &a) == NORMGEN_OK, "%s", normgen_error());
    return a;
}

typedef struct stats {
    double mean, rstd, scale; /* scale: mean magnitude of the elements, times rstd */
} stats;

static stats row_stats(const double *v, bool layer, double eps) {
    double sum = 0, squares = 0, size = 0;
    for (int i = 0; i < CLI_HIDDEN; i++) {
        sum += v[i];
        size += fabs(v[i]);
    }
    double mean = layer ? sum / (double)CLI_HIDDEN : 0;
    for (int i = 0; i < CLI_HIDDEN; i++) squares += (v[i] - mean) * (v[i] - mean);
    double rstd = 1 / sqrt(squares / (double)CLI_HIDDEN + eps);
    return (stats){mean, rstd, size / (double)CLI_HIDDEN * rstd};
}

/* The bound of docs/numerics.md for f32, c = 200/64 + 6 + 3 rounded up. */
static void near(double y, double want, double weight, double bias, double kappa) {
    double u = 0x1p-24, bound = fabs(weight) * kappa * u +
                                (14 / 2.0 + 8) * u * (fabs(want - bias) + fabs(want)) + 0x1p-126;
    ck_assert_msg(fabs(y - want) <= bound, "%.9g is not %.9g", y, want);
}

static double at(const cli_array *a, size_t i) { return ng_type_read(a->type, a->data, i); }

static void check_rows(const char *names, bool layer) {
    cli_array x = load("x.npy"), r = load("r.npy"), w = load("w.npy"), b = load("b.npy"),
              y = load("y.npy"), s = load("s.npy"), t = load("t.npy");
    ck_assert_msg(y.dims == 3 && y.shape[0] == 2 && y.shape[1] == 3 && y.shape[2] == CLI_HIDDEN,
                  "%s", names);
    ck_assert(t.dims == 2 && t.shape[0] == 2 && t.shape[1] == 3);
    for (size_t row = 0; row < CLI_ROWS; row++) {
        double v[CLI_HIDDEN];
        for (size_t i = 0; i < CLI_HIDDEN; i++) {
            v[i] = (double)(float)(at(&x, row * CLI_HIDDEN + i) + at(&r, row * CLI_HIDDEN + i));
            ck_assert_double_eq(at(&s, row * CLI_HIDDEN + i), v[i]);
        }
        stats st = row_stats(v, layer, 1e-3);
        near(at(&t, row), st.rstd, 0, 0, 0);
        for (size_t i = 0; i < CLI_HIDDEN; i++)
            near(at(&y, row * CLI_HIDDEN + i),
                 (v[i] - st.mean) * st.rstd * at(&w, i) + (layer ? at(&b, i) : 0), at(&w, i),
                 layer ? at(&b, i) : 0, st.scale);
    }
    cli_array *all[] = {&x, &r, &w, &b, &y, &s, &t};
    for (size_t i = 0; i < 7; i++) cli_array_fini(all[i]);
}

START_TEST(results_are_those_of_the_plain_formula) {
    static const char layer[] = "run --kind layer --eps 1e-3 --x x.npy --residual r.npy --weight "
                                "w.npy --bias b.npy -o y.npy --sum-out s.npy --rstd-out t.npy "
                                "--mean-out m.npy";
    static const char rms[] = "run 'rms hidden=200 eps=0.001 residual=f32 sum=f32 rstd=yes' --x "
                              "x.npy --residual r.npy --weight w.npy -o y.npy --sum-out s.npy "
                              "--rstd-out t.npy";
    ck_assert_msg(cli_run(layer) == 0, "%s", cli_err);
    cli_says(cli_out, "y.npy: f32 2 x 3 x 200\n", layer);
    cli_says(cli_out, "m.npy: f32 2 x 3\n", layer);
    cli_says(cli_out, "rstd=yes: interpreter\n", layer);
    check_rows(layer, true);
    ck_assert_msg(cli_run(rms) == 0, "%s", cli_err);
    check_rows(rms, false);
}
END_TEST

START_TEST(compiled_or_not_the_bytes_are_the_same) {
    static const char *const words[] = {
        "run --x x.npy --weight w.npy -o y.npy",
        "run --v2 bf16 --x brain.npy --residual brain.npy -o y.npy",
        "run --kind layer --x half.npy --bias b.npy --y f32 -o y.npy",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        ck_assert_msg(cli_run(words[i]) == 0, "%s", cli_err);
        cli_array a = load("y.npy");
        ck_assert_msg(cli_run_after("env", words[i]) == 0, "%s",
                      cli_err); /* the real generator, if any */
        cli_array b = load("y.npy");
        ck_assert_uint_eq(a.bytes, b.bytes);
        ck_assert_int_eq(memcmp(a.data, b.data, a.bytes), 0);
        cli_array_fini(&a);
        cli_array_fini(&b);
    }
}
END_TEST

START_TEST(arrays_of_16_bits_and_their_types_come_through) {
    ck_assert_msg(cli_run("run --x half.npy -o y.npy") == 0, "%s", cli_err);
    cli_says(cli_out, "y.npy: f16 6 x 200", "f16");
    cli_says(cli_out, "x=f16 y=f16 weight=none", "f16");
    ck_assert_msg(cli_run("run --v2 bf16 --x brain.npy --weight w.npy --y f32 -o y.npy") == 0, "%s",
                  cli_err);
    cli_says(cli_out, "x=bf16 y=f32 weight=f32", "bf16");
    ck_assert_msg(cli_run("run --v2 bf16 --x brain.npy --y bf16 -o y.npy") == 0, "%s", cli_err);
    cli_array y = load("y.npy");
    ck_assert_int_eq(y.type, NORMGEN_BF16);
    double squares = 0;
    for (size_t i = 0; i < CLI_HIDDEN; i++) squares += at(&y, i) * at(&y, i);
    ck_assert_double_eq_tol(squares / (double)CLI_HIDDEN, 1, 0.01);
    cli_array_fini(&y);
}
END_TEST

START_TEST(arrays_of_the_fusions_come_through) {
    cli_put("a.txt", "3 4\n1 1\n", 8);
    cli_put("cos.txt", "0\n", 2);
    cli_put("sin.txt", "1\n", 2);
    static const char quarter[] = "run 'rms hidden=2 eps=0 weight=none rope=half' --x a.txt --cos "
                                  "cos.txt --sin sin.txt -o -";
    char with_inner[256];
    ck_assert_int_eq(cli_run(quarter), 1);
    cli_says(cli_err, "args.inner is 0", "rows per token");
    snprintf(with_inner, sizeof with_inner, "%s --inner 2", quarter);
    ck_assert_msg(cli_run(with_inner) == 0, "%s", cli_err);
    ck_assert_str_eq(cli_out, "    -1.1313709     0.84852815\n            -1              1\n");
    ck_assert_msg(cli_run("run --y i8 --quant row --x a.txt -o c.npy --y-scale-out s.npy") == 0,
                  "%s", cli_err);
    cli_says(cli_out, "c.npy: i8 2 x 2", "codes");
    cli_says(cli_out, "s.npy: f32 2", "scales");
    ck_assert_int_eq(cli_run("run --y i8 --quant static --x a.txt -o c.npy"), 1);
    cli_says(cli_err, "--y-scale FILE", "an input that is missing");
}
END_TEST

START_TEST(text_goes_in_and_out) {
    ck_assert_msg(cli_run("run --eps 0 --x ragged.txt -o -") == 1, "%s", cli_err);
    cli_put("a.txt", "3 4\n1 1\n", 8);
    ck_assert_msg(cli_run("run --eps 0 --x a.txt -o -") == 0, "%s", cli_err);
    ck_assert_str_eq(cli_out, "    0.84852815      1.1313709\n             1              1\n");
    ck_assert_msg(cli_run("run 'rms hidden=2 eps=0 x=bf16 weight=none' --x a.txt -o y.npy") == 0,
                  "%s", cli_err);
    cli_says(cli_out, "y.npy: bf16 2 x 2", "a spec's type");
    ck_assert_int_eq(cli_run("run --eps 0 --x a.txt -o b.npy --json"), 0);
    cli_says(cli_out, "{\"spec\": \"rms hidden=2 eps=0 ", "--json");
    cli_says(cli_out, "\"y\": \"b.npy\"}\n", "--json");
}
END_TEST

START_TEST(the_input_may_be_the_output) {
    ck_assert_int_eq(cli_run("run --x x.npy -o y.npy"), 0);
    ck_assert_int_eq(cli_run("run --x x.npy -o x.npy"), 0);
    cli_array a = load("x.npy"), b = load("y.npy");
    ck_assert_mem_eq(a.data, b.data, a.bytes);
    cli_array_fini(&a);
    cli_array_fini(&b);
}
END_TEST

int main(void) {
    Suite *s = suite_create("cli_run");
    TCase *tc = tcase_create("cli_run");
    tcase_add_checked_fixture(tc, cli_setup, cli_teardown);
    tcase_set_timeout(tc, 50);
    tcase_add_test(tc, results_are_those_of_the_plain_formula);
    tcase_add_test(tc, compiled_or_not_the_bytes_are_the_same);
    tcase_add_test(tc, arrays_of_16_bits_and_their_types_come_through);
    tcase_add_test(tc, arrays_of_the_fusions_come_through);
    tcase_add_test(tc, text_goes_in_and_out);
    tcase_add_test(tc, the_input_may_be_the_output);
    suite_add_tcase(s, tc);
    return suite_main(s);
}
