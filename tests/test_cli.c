/* SPDX-License-Identifier: Apache-2.0 */
/* The normgen program from outside: exit codes, what it says and where, and numbers that a plain
 * f64 formula agrees with. Cases are command lines. The generator is a fake one (fakelib.c), or
 * none. */
#include "array.h"
#include "refused.h"
#include "types.h"
#include "verbs.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 6, HIDDEN = 200 };

static char folder[64], program[512], fake[512];
static char out[1 << 16], err[1 << 16];

/* ---- running ---- */

static void slurp(const char *name, char *text, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, size - 1, f)] = 0;
    fclose(f);
}

/* Runs `before` normgen `words` in the folder by the shell; fills out and err, returns the exit
 * code. */
static int run_after(const char *before, const char *words) {
    char command[4096];
    ck_assert_uint_lt((size_t)snprintf(command, sizeof command,
                                       "cd '%s' && unset NORMGEN_DB NORMGEN_ISA NORMGEN_MODE && "
                                       "export XDG_DATA_HOME=$PWD/data LC_ALL=C && %s '%s' %s "
                                       ">stdout 2>stderr </dev/null",
                                       folder, before, program, words),
                      sizeof command);
    int status = system(command);
    slurp("stdout", out, sizeof out);
    slurp("stderr", err, sizeof err);
    ck_assert_msg(WIFEXITED(status), "%s: signal", words);
    return WEXITSTATUS(status);
}

static char with_fake[640];
static int run(const char *words) {
    return run_after("env NORMGEN_GEN_LIBRARY=/nonexistent/lib.so", words);
}
static int run_fake(const char *words) { return run_after(with_fake, words); }

static void says(const char *text, const char *pattern, const char *words) {
    ck_assert_msg(strstr(text, pattern) != NULL, "normgen %s: '%s' is not in: %s", words, pattern,
                  text);
}

/* ---- arrays ---- */

static void save(const char *name, const cli_array *a) {
    char path[128];
    cli_output o;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_msg(cli_output_write(path, a, &o) == NORMGEN_OK, "%s", normgen_error());
    ck_assert_int_eq(cli_output_commit(&o), NORMGEN_OK);
}

static cli_array load(const char *name) {
    char path[128];
    cli_array a;
    cli_array_rules rules = {NORMGEN_F32, NORMGEN_BF16};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_msg(cli_array_read(path, &rules, &a) == NORMGEN_OK, "%s", normgen_error());
    return a;
}

static double noise(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return (double)(int64_t)(z ^ z >> 27) * 0x1p-62;
}

static void make(const char *name, int type, int dims, const int64_t *shape, uint64_t seed) {
    cli_array a;
    ck_assert_int_eq(cli_array_new(type, dims, shape, &a), NORMGEN_OK);
    for (size_t i = 0; i < a.count; i++) ng_type_write(type, a.data, i, 0.25 + noise(&seed));
    save(name, &a);
    cli_array_fini(&a);
}

static void put(const char *name, const void *bytes, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void put_npy(const char *name, size_t data, const char *dictionary) {
    char image[512];
    size_t n = strlen(dictionary);
    memset(image, 0, sizeof image);
    memcpy(image, "\x93NUMPY\x01\x00", 8);
    image[8] = (char)n;
    memcpy(image + 10, dictionary, n);
    put(name, image, 10 + n + data);
}

static void setup(void) {
    static const int64_t cube[] = {2, 3, HIDDEN}, row[] = {HIDDEN}, less[] = {HIDDEN - 1},
                         flat[] = {ROWS, HIDDEN};
    const char *build = getenv("NORMGEN_BUILD");
    snprintf(program, sizeof program, "%s/normgen", build ? build : "build");
    snprintf(fake, sizeof fake, "%s/libnormgen-fakelib.so", build ? build : "build");
    snprintf(with_fake, sizeof with_fake, "env NORMGEN_GEN_LIBRARY='%s'", fake);
    snprintf(folder, sizeof folder, "/tmp/normgen-cli-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    make("x.npy", NORMGEN_F32, 3, cube, 1);
    make("r.npy", NORMGEN_F32, 3, cube, 2);
    make("w.npy", NORMGEN_F32, 1, row, 3);
    make("b.npy", NORMGEN_F32, 1, row, 4);
    make("w64.npy", NORMGEN_F64, 1, row, 3);
    make("less.npy", NORMGEN_F32, 1, less, 5);
    make("flat.npy", NORMGEN_F32, 2, flat, 6);
    make("half.npy", NORMGEN_F16, 2, flat, 7);
    make("brain.npy", NORMGEN_BF16, 2, flat, 8);
    put_npy("fortran.npy", 24, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }");
    put_npy("object.npy", 24, "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }");
    put_npy("int.npy", 24, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }");
    put_npy("big.npy", 24, "{'descr': '>f8', 'fortran_order': False, 'shape': (3,), }");
    put_npy("cut.npy", 24, "{'descr': '<f4', 'fortran_order': False, 'shape': (7, 3), }");
    put_npy("scalar.npy", 8, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }");
    put_npy("nothing.npy", 0, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0), }");
    put("noise.npy", "once upon a time", 16);
    put("ragged.txt", "1 2 3\n4 5\n", 10);
    put("specs.lua", "return {}", 9);
}

static void teardown(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

/* ---- errors ---- */

#define SPEC200 "'rms hidden=200 eps=1e-05'"

static const struct {
    const char *words;
    int code;
    const char *says;
} wrong[] = {
    /* the command line */
    {"", 2, "usage: normgen VERB"},
    {"dance", 2, "'dance' is not a normgen verb"},
    {"help dance", 2, "'dance' is not a normgen verb"},
    {"tune", 2, "no spec is given; for example: normgen tune --hidden 4096"},
    {"tune --hiden 4096", 2, "did you mean --hidden?"},
    {"tune --hidden", 2, "--hidden needs a value"},
    {"tune --hidden 0", 2, "hidden: '0' is not allowed; it takes a whole number from 1 to"},
    {"tune --hidden 768.5", 2, "'768.5' is not allowed"},
    {"tune --hidden 4096 --hidden 4096", 2, "--hidden is given twice"},
    {"tune --x f33 --hidden 4", 2, "it takes f32 f64 bf16 f16"},
    {"tune --x bf16", 2, "no --hidden is given"},
    {"tune --hidden 4 --mean yes", 2, "spec field mean does not apply: it needs kind=layer"},
    {"tune --hidden 4 --effort huge", 2,
     "--effort: 'huge' is not allowed; it takes quick normal thorough"},
    {"tune --hidden 4 --budget 0", 2, "not a number of seconds above 0"},
    {"tune --hidden 4 --threads 0", 2, "from 1 to 1024"},
    {"tune --hidden 4 --seed -1", 2, "--seed: '-1'"},
    {"tune --hidden 4 --json=yes", 2, "--json takes no value"},
    {"tune --hidden 4 --db ''", 2, "--db: the value is empty"},
    {"tune -z", 2, "unknown option -z"},
    {"tune 'rms hidden=4'", 2, "lacks eps="},
    {"tune 'rms hidden=4 eps=1 speed=9'", 2, "'speed=9' is not a known FIELD=VALUE"},
    {"tune " SPEC200 " --hidden 4", 2, "both as"},
    {"tune --hidden 4 --name a", 2, "--name selects from a Lua file or a model"},
    {"tune --model m --hidden 4", 2, "both by --model m and in another way"},
    {"tune --model m " SPEC200, 2, "both by --model m and in another way"},
    {"tune --hidden 4 --type f16", 2, "--type selects among the presets of --model"},
    {"tune --model m --type f64", 2, "--type: 'f64' is not allowed; it takes bf16 f16 f32"},
    {"tune --model ''", 2, "--model: the value is empty"},
    {"show " SPEC200 " " SPEC200, 2, "2 are given"},
    {"show " SPEC200 " --isa pdp11", 2, "there are x86-64 x86-64-v3"},
    {"show " SPEC200 " --schedule 'vec=3'", 2, "--schedule:"},
    {"show " SPEC200 " --ir --asm", 2, "exclude each other"},
    {"cpu now", 2, "'now' is one word too many"},
    {"db", 2, "usage: normgen db merge FROM"},
    {"db compact", 2, "there are merge, check, export"},
    {"db merge", 2, "at least one file to read"},
    {"db check this", 2, "no further words"},
    /* what is not there */
    {"tune --hidden 4096", 1, "tuning: the generator is not available"},
    {"bench --hidden 4096", 1, "benchmarks: the generator is not available"},
    {"show --hidden 4096 --asm --isa x86-64-v3", 1, "the generator is not available"},
    {"show --hidden 4096 --asm --isa x86-64", 1, "x86-64 has no generated code"},
    {"tune specs.lua", 1, "specs.lua: reading Lua spec files: the generator is not available"},
    {"tune --model m", 1, "reading presets: the generator is not available"},
    {"list --models", 1, "reading presets: the generator is not available"},
    {"list --db none.db", 1, "none.db: there is no store yet"},
    {"explain --hidden 4 --db none.db", 1, "none.db: there is no store yet"},
    {"db check", 1, "there is no store yet"},
    {"db check --db x.npy", 1, "x.npy"},
    {"list --db x.npy", 1, "x.npy"},
    {"db merge x.npy --db new.db", 1, "x.npy"},
    /* arrays */
    {"run -o y.npy", 2, "no input is given: --x FILE"},
    {"run --x x.npy", 2, "no output is given: -o FILE"},
    {"run --x - --weight - -o y.npy", 2, "only one array can come from '-'"},
    {"run --x x.npy -o y.npy --rstd-out y.npy", 2, "name one file"},
    {"run --x x.npy -o - --json", 2, "both want standard output"},
    {"run --x x.npy -o y.npy --v2 f16", 2, "it takes bf16"},
    {"run --x x.npy --hidden=-1 -o y.npy", 2, "hidden: '-1'"},
    {"run --x none.npy -o y.npy", 1, "none.npy: No such file"},
    {"run --x . -o y.npy", 1, ".: "},
    {"run --x noise.npy -o y.npy", 1, "noise.npy: it is no .npy file"},
    {"run --x cut.npy -o y.npy", 1, "cut.npy: it is cut off: f32 7 x 3 needs 84 bytes, and 24"},
    {"run --x fortran.npy -o y.npy", 1, "fortran.npy: it is in Fortran order"},
    {"run --x object.npy -o y.npy", 1, "object.npy: it holds pickled Python objects"},
    {"run --x int.npy -o y.npy", 1, "int.npy: its elements are '<i8'"},
    {"run --x big.npy -o y.npy", 1, "big.npy: its elements are big-endian"},
    {"run --x brain.npy -o y.npy", 1, "add --v2 bf16"},
    {"run --x ragged.txt -o y.npy", 1, "ragged.txt: line 2 has 2 numbers"},
    {"run --x nothing.npy -o y.npy", 1, "rows of no elements"},
    {"run " SPEC200 " --x x.npy --weight w64.npy -o y.npy", 1,
     "--weight is f64 200; it must be f32, as the spec says"},
    {"run " SPEC200 " --x half.npy --weight w.npy -o y.npy", 1, "--x is f16 6 x 200"},
    {"run 'rms hidden=100 eps=1e-05' --x x.npy --weight w.npy -o y.npy", 1,
     "--x is f32 2 x 3 x 200; it must be rows of 100 elements"},
    {"run --hidden 100 --x x.npy -o y.npy", 1, "must be rows of 100 elements"},
    {"run --x x.npy --weight less.npy -o y.npy", 1, "must be one row of 200 elements"},
    {"run --x x.npy --weight flat.npy -o y.npy", 1, "must be one row of 200 elements"},
    {"run --x x.npy --residual flat.npy -o y.npy", 1, "as large as --x, which is f32 2 x 3 x 200"},
    {"run " SPEC200 " --x x.npy -o y.npy", 1, "the spec has weight=f32, and no file has it"},
    {"run " SPEC200 " --x x.npy --weight w.npy --bias b.npy -o y.npy", 1, "the spec has no bias"},
    {"run " SPEC200 " --x x.npy --weight w.npy -o y.npy --mean-out m.npy", 1,
     "the spec has no mean"},
    {"run --x x.npy -o y.npy --mean-out m.npy", 1, "needs kind=layer"},
    {"run --x x.npy -o y.npy --sum-out s.npy", 1, "needs residual"},
    {"run --x x.npy -o y.npy --rstd-out none/t.npy", 1, "none/t.npy: it cannot be written"},
    {"run --x x.npy -o none/y.npy", 1, "none/y.npy: it cannot be written"},
    {"run --x x.npy -o /dev/full", 1, "/dev/full: it cannot be written"},
    {"run --x scalar.npy --hidden 1 -o y.npy", 1, "--x is f64 scalar"},
};

START_TEST(every_mistake_has_its_exit_code_and_its_words) {
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int code = run(wrong[i].words);
        ck_assert_msg(code == wrong[i].code, "normgen %s: exit %d, %s", wrong[i].words, code, err);
        says(err, wrong[i].says, wrong[i].words);
        ck_assert_msg(!*wrong[i].words || strncmp(err, "normgen: ", 9) == 0, "%s", err);
        ck_assert_msg(access(strcat(strcpy(out, folder), "/y.npy"), F_OK) != 0,
                      "normgen %s left an output", wrong[i].words);
    }
}
END_TEST

/* As a text and as flags: "hidden=64 eps=0" becomes "--hidden=64 --eps=0". */
START_TEST(nonsense_is_refused_by_text_and_by_flags) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char words[2][600];
        snprintf(words[0], sizeof words[0], "show '%s %s'", refused[i].kind, refused[i].fields);
        size_t at =
            (size_t)snprintf(words[1], sizeof words[1], "show --kind %s --", refused[i].kind);
        for (const char *f = refused[i].fields; *f; f++) {
            if (*f == ' ')
                at += (size_t)snprintf(words[1] + at, sizeof words[1] - at, " --");
            else
                words[1][at++] = *f;
        }
        words[1][at] = 0;
        for (int k = 0; k < 2; k++) {
            int code = run(words[k]);
            ck_assert_msg(code == 2, "normgen %s: exit %d, %s", words[k], code, err);
            says(err, refused[i].a, words[k]);
            says(err, refused[i].b, words[k]);
        }
    }
}
END_TEST

START_TEST(output_that_cannot_be_printed_is_a_failure) {
    ck_assert_int_eq(run_after("sh -c 'exec \"$@\" >/dev/full' sh", "cpu"), 1);
    says(err, "standard output cannot be written", "cpu >/dev/full");
}
END_TEST

/* ---- help ---- */

static const cli_verb *const verbs[] = {
    &cli_verb_tune,    &cli_verb_run,   &cli_verb_bench, &cli_verb_list, &cli_verb_show,
    &cli_verb_explain, &cli_verb_check, &cli_verb_db,    &cli_verb_cpu,
};

static void has_option(const char *name, const char *words) {
    char option[64];
    snprintf(option, sizeof option, "--%s ", name);
    says(out, option, words);
}

START_TEST(help_lists_every_option_of_every_verb) {
    ck_assert_int_eq(run("--help"), 0);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) says(out, verbs[i]->name, "--help");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        char words[64], first[sizeof out];
        snprintf(words, sizeof words, "%s --help", verbs[i]->name);
        ck_assert_int_eq(run(words), 0);
        says(out, verbs[i]->summary, words);
        has_option("help", words);
        for (const cli_option *o = verbs[i]->options; o->name; o++) has_option(o->name, words);
        for (size_t f = 0; f < NG_FIELD_COUNT; f++)
            if (cli_verb_takes_field(verbs[i], f)) has_option(ng_fields[f].name, words);
        for (char *line = strtok(strcpy(first, out), "\n"); line; line = strtok(NULL, "\n"))
            ck_assert_msg(strlen(line) <= 110, "too wide: %s", line);
        strcpy(first, out);
        snprintf(words, sizeof words, "help %s", verbs[i]->name);
        ck_assert_int_eq(run(words), 0);
        ck_assert_str_eq(out, first);
    }
}
END_TEST

START_TEST(version_names_numerics_and_toolchain) {
    ck_assert_int_eq(run("--version"), 0);
    says(out, "normgen " NORMGEN_VERSION " numerics=1", "--version");
    says(out, "toolchain: none", "--version");
    ck_assert_int_eq(run_fake("--version"), 0);
    says(out, "toolchain: fake=1", "--version");
}
END_TEST

/* ---- numbers ---- */

typedef struct stats {
    double mean, rstd, scale; /* scale: mean magnitude of the elements, times rstd */
} stats;

static stats row_stats(const double *v, bool layer, double eps) {
    double sum = 0, squares = 0, size = 0;
    for (int i = 0; i < HIDDEN; i++) {
        sum += v[i];
        size += fabs(v[i]);
    }
    double mean = layer ? sum / (double)HIDDEN : 0;
    for (int i = 0; i < HIDDEN; i++) squares += (v[i] - mean) * (v[i] - mean);
    double rstd = 1 / sqrt(squares / (double)HIDDEN + eps);
    return (stats){mean, rstd, size / (double)HIDDEN * rstd};
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
    ck_assert_msg(y.dims == 3 && y.shape[0] == 2 && y.shape[1] == 3 && y.shape[2] == HIDDEN, "%s",
                  names);
    ck_assert(t.dims == 2 && t.shape[0] == 2 && t.shape[1] == 3);
    for (size_t row = 0; row < ROWS; row++) {
        double v[HIDDEN];
        for (size_t i = 0; i < HIDDEN; i++) {
            v[i] = (double)(float)(at(&x, row * HIDDEN + i) + at(&r, row * HIDDEN + i));
            ck_assert_double_eq(at(&s, row * HIDDEN + i), v[i]);
        }
        stats st = row_stats(v, layer, 1e-3);
        near(at(&t, row), st.rstd, 0, 0, 0);
        for (size_t i = 0; i < HIDDEN; i++)
            near(at(&y, row * HIDDEN + i),
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
    ck_assert_msg(run(layer) == 0, "%s", err);
    says(out, "y.npy: f32 2 x 3 x 200\n", layer);
    says(out, "m.npy: f32 2 x 3\n", layer);
    says(out, "rstd=yes: interpreter\n", layer);
    check_rows(layer, true);
    ck_assert_msg(run(rms) == 0, "%s", err);
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
        ck_assert_msg(run(words[i]) == 0, "%s", err);
        cli_array a = load("y.npy");
        ck_assert_msg(run_after("env", words[i]) == 0, "%s", err); /* the real generator, if any */
        cli_array b = load("y.npy");
        ck_assert_uint_eq(a.bytes, b.bytes);
        ck_assert_int_eq(memcmp(a.data, b.data, a.bytes), 0);
        cli_array_fini(&a);
        cli_array_fini(&b);
    }
}
END_TEST

START_TEST(arrays_of_16_bits_and_their_types_come_through) {
    ck_assert_msg(run("run --x half.npy -o y.npy") == 0, "%s", err);
    says(out, "y.npy: f16 6 x 200", "f16");
    says(out, "x=f16 y=f16 weight=none", "f16");
    ck_assert_msg(run("run --v2 bf16 --x brain.npy --weight w.npy --y f32 -o y.npy") == 0, "%s",
                  err);
    says(out, "x=bf16 y=f32 weight=f32", "bf16");
    ck_assert_msg(run("run --v2 bf16 --x brain.npy --y bf16 -o y.npy") == 0, "%s", err);
    cli_array y = load("y.npy");
    ck_assert_int_eq(y.type, NORMGEN_BF16);
    double squares = 0;
    for (size_t i = 0; i < HIDDEN; i++) squares += at(&y, i) * at(&y, i);
    ck_assert_double_eq_tol(squares / (double)HIDDEN, 1, 0.01);
    cli_array_fini(&y);
}
END_TEST

START_TEST(arrays_of_the_fusions_come_through) {
    put("a.txt", "3 4\n1 1\n", 8);
    put("cos.txt", "0\n", 2);
    put("sin.txt", "1\n", 2);
    static const char quarter[] = "run 'rms hidden=2 eps=0 weight=none rope=half' --x a.txt --cos "
                                  "cos.txt --sin sin.txt -o -";
    char with_inner[256];
    ck_assert_int_eq(run(quarter), 1);
    says(err, "args.inner is 0", "rows per token");
    snprintf(with_inner, sizeof with_inner, "%s --inner 2", quarter);
    ck_assert_msg(run(with_inner) == 0, "%s", err);
    ck_assert_str_eq(out, "    -1.1313709     0.84852815\n            -1              1\n");
    ck_assert_msg(run("run --y i8 --quant row --x a.txt -o c.npy --y-scale-out s.npy") == 0, "%s",
                  err);
    says(out, "c.npy: i8 2 x 2", "codes");
    says(out, "s.npy: f32 2", "scales");
    ck_assert_int_eq(run("run --y i8 --quant static --x a.txt -o c.npy"), 1);
    says(err, "--y-scale FILE", "an input that is missing");
}
END_TEST

START_TEST(text_goes_in_and_out) {
    ck_assert_msg(run("run --eps 0 --x ragged.txt -o -") == 1, "%s", err);
    put("a.txt", "3 4\n1 1\n", 8);
    ck_assert_msg(run("run --eps 0 --x a.txt -o -") == 0, "%s", err);
    ck_assert_str_eq(out, "    0.84852815      1.1313709\n             1              1\n");
    ck_assert_msg(run("run 'rms hidden=2 eps=0 x=bf16 weight=none' --x a.txt -o y.npy") == 0, "%s",
                  err);
    says(out, "y.npy: bf16 2 x 2", "a spec's type");
    ck_assert_int_eq(run("run --eps 0 --x a.txt -o b.npy --json"), 0);
    says(out, "{\"spec\": \"rms hidden=2 eps=0 ", "--json");
    says(out, "\"y\": \"b.npy\"}\n", "--json");
}
END_TEST

START_TEST(the_input_may_be_the_output) {
    ck_assert_int_eq(run("run --x x.npy -o y.npy"), 0);
    ck_assert_int_eq(run("run --x x.npy -o x.npy"), 0);
    cli_array a = load("x.npy"), b = load("y.npy");
    ck_assert_mem_eq(a.data, b.data, a.bytes);
    cli_array_fini(&a);
    cli_array_fini(&b);
}
END_TEST

/* ---- verbs without a generator ---- */

START_TEST(what_needs_no_generator_works_without) {
    ck_assert_int_eq(run("cpu"), 0);
    says(out, "machine ", "cpu");
    says(out, "ISA levels", "cpu");
    ck_assert_int_eq(run("cpu --json"), 0);
    says(out, "\"machine\": \"", "cpu --json");
    ck_assert_int_eq(run("list"), 0);
    says(out, "has no winners", "list");
    ck_assert_int_eq(run("show layer hidden=4096 eps=1e-05"), 0); /* quotes forgotten */
    says(out, "layer hidden=4096 eps=1e-05 x=f32 y=f32 weight=f32\n", "show");
    says(out, "DOT", "show");
    says(out, "keep=", "show");
    ck_assert_int_eq(run("explain --hidden 4096"), 0);
    says(out, "dram: ", "explain");
    says(out, "from: ", "explain");
    ck_assert_int_eq(run("check --kind layer --hidden 1000 --x bf16 --mean yes"), 0);
    says(out, "6 comparisons of 0 kernels and the interpreter, 1 spec: 0 failed", "check");
    says(out, "no kernels were compared: the generator is not available", "check");
    ck_assert_int_eq(run("check --kind layer --hidden 60 --groups 5 --mean yes --bias f32"), 0);
    says(out, "6 comparisons of 0 kernels and the interpreter, 1 spec: 0 failed", "groups");
    ck_assert_int_eq(run("check --hidden 64 --heads 3 --rope half"), 0);
    ck_assert_int_eq(run("check --hidden 64 --modulate f32"), 0);
    says(out, "3 comparisons of 0 kernels and the interpreter, 1 spec: 0 failed", "samples");
}
END_TEST

/* ---- verbs with a generator ---- */

START_TEST(tuning_prints_a_table_and_plain_lines) {
    ck_assert_int_eq(run_fake("tune specs.lua --name second --db t.db"), 0);
    says(out, "second: layer hidden=128 ", "tune");
    says(out, "l1         - ", "tune");
    says(out, "one row does not fit", "tune");
    says(out, "0.80        1.50  vec=512 winner", "tune");
    says(out, "vec=256 cached", "tune");
    says(out, "noise floor 1.2 %; 40 trials, 2 invalid", "tune");
    says(out, "stored in t.db", "tune");
    ck_assert_ptr_null(strstr(out, "first"));
    says(err, "normgen: a note\n", "tune");
    says(err, "l2: 32 rows: 100.0 ns/row, 0.80 of the limit: vec=512 winner\n", "tune");
    ck_assert_ptr_null(strchr(err, '\r'));
    ck_assert_int_eq(run_fake("tune specs.lua --name third"), 1);
    says(err, "none of its 2 specs is called 'third'", "tune");
}
END_TEST

START_TEST(tuning_for_machines_is_an_object_a_line) {
    ck_assert_int_eq(run_fake("tune specs.lua --json"), 0);
    int lines = 0;
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"), lines++)
        ck_assert(line[0] == '{' && line[strlen(line) - 1] == '}');
    ck_assert_int_eq(lines, 5); /* two regimes of two specs, and the end */
    ck_assert_int_eq(run_fake("tune --hidden 64 --json"), 0);
    says(out, "{\"event\": \"skip\", \"spec\": \"rms hidden=64 ", "tune --json");
    says(out, "\"winner\": {\"schedule\": \"vec=512 winner\", \"ns_per_row\": 100, ",
         "tune --json");
    says(out, "{\"event\": \"done\", \"status\": \"OK\", ", "tune --json");
}
END_TEST

START_TEST(a_terminal_gets_a_progress_bar) {
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    char before[800], drawn[4096];
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) return;
    snprintf(before, sizeof before, "%s TERM=xterm sh -c 'exec \"$@\" 2>%s' sh", with_fake,
             ptsname(terminal));
    int slave = open(ptsname(terminal), O_RDWR | O_NOCTTY); /* keeps what is written */
    ck_assert_int_eq(run_after(before, "tune --hidden 64"), 0);
    ssize_t n = read(terminal, drawn, sizeof drawn - 1);
    ck_assert_int_gt(n, 0);
    drawn[n] = 0;
    says(drawn, "[##########----------] l2 racing; leader 123.4 ns/row", "progress");
    says(drawn, "\r\033[K", "progress");
    close(slave);
    close(terminal);
}
END_TEST

START_TEST(an_interrupted_run_says_how_to_go_on) {
    static const struct {
        const char *name;
        int code;
    } signals[] = {{"INT", 130}, {"TERM", 143}};
    for (size_t i = 0; i < 2; i++) {
        char before[800];
        snprintf(before, sizeof before, "%s NORMGEN_FAKE=wait timeout --preserve-status -s %s 0.5",
                 with_fake, signals[i].name);
        ck_assert_int_eq(run_after(before, "tune --hidden 64"), signals[i].code);
        says(err, "normgen: interrupted; finished regimes are stored in ", "tune");
        says(err, "Run the same command again", "tune");
        says(out, "vec=512 winner", "tune"); /* what is finished is shown */
    }
}
END_TEST

START_TEST(a_second_signal_ends_what_does_not_stop) {
    char before[800];
    snprintf(before, sizeof before,
             "%s NORMGEN_FAKE=deaf sh -c '\"$@\" & p=$!; sleep 0.3; kill $p; kill $p; sleep 0.6; "
             "kill -0 $p && kill $p; wait $p' sh",
             with_fake);
    ck_assert_int_eq(run_after(before, "tune --hidden 64"), 143);
    ck_assert_ptr_null(strstr(err, "interrupted"));
}
END_TEST

START_TEST(failures_of_the_generator_are_told) {
    char before[800];
    snprintf(before, sizeof before, "%s NORMGEN_FAKE=fail", with_fake);
    ck_assert_int_eq(run_after(before, "tune --hidden 64"), 1);
    ck_assert_str_eq(err, "normgen: the fake generator was told to fail\n");
    ck_assert_int_eq(run_after(before, "tune specs.lua"), 1);
    says(err, "normgen: specs.lua:7: hidden: 768.5", "tune specs.lua");
    ck_assert_int_eq(run_after(before, "bench --hidden 64"), 1);
    ck_assert_int_eq(run_after(before, "show --hidden 64 --ir --isa x86-64-v3"), 1);
    ck_assert_int_eq(run_after(before, "check --hidden 64"), 1);
    says(out, "a difference in row 7\n", "check");
    says(out, "1003 comparisons of 10 kernels and the interpreter, 1 spec: 1 failed", "check");
}
END_TEST

START_TEST(bench_show_and_check_print_what_the_generator_says) {
    ck_assert_int_eq(run_fake("bench --hidden 64"), 0);
    says(out, "80.0     100.0      0.80       150.0      0.53       2000      0.04  vec=512 winner",
         "bench");
    ck_assert_int_eq(run_fake("show --hidden 64 --ir --isa x86-64-v3"), 0);
    says(out, "; spec\n;   rms hidden=64", "show --ir");
    says(out, "\nfake ir of x86-64-v3\n", "show --ir");
    ck_assert_int_eq(run_fake("show --hidden 64 --asm --isa aarch64"), 0);
    says(out, "// spec\n", "show --asm");
    ck_assert_int_eq(run_fake("check --hidden 64"), 0);
    says(out, "1003 comparisons of 10 kernels", "check");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cli");
    TCase *tc = tcase_create("cli");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 50);
    tcase_add_test(tc, every_mistake_has_its_exit_code_and_its_words);
    tcase_add_test(tc, nonsense_is_refused_by_text_and_by_flags);
    tcase_add_test(tc, output_that_cannot_be_printed_is_a_failure);
    tcase_add_test(tc, help_lists_every_option_of_every_verb);
    tcase_add_test(tc, version_names_numerics_and_toolchain);
    tcase_add_test(tc, results_are_those_of_the_plain_formula);
    tcase_add_test(tc, compiled_or_not_the_bytes_are_the_same);
    tcase_add_test(tc, arrays_of_16_bits_and_their_types_come_through);
    tcase_add_test(tc, arrays_of_the_fusions_come_through);
    tcase_add_test(tc, text_goes_in_and_out);
    tcase_add_test(tc, the_input_may_be_the_output);
    tcase_add_test(tc, what_needs_no_generator_works_without);
    tcase_add_test(tc, tuning_prints_a_table_and_plain_lines);
    tcase_add_test(tc, tuning_for_machines_is_an_object_a_line);
    tcase_add_test(tc, a_terminal_gets_a_progress_bar);
    tcase_add_test(tc, an_interrupted_run_says_how_to_go_on);
    tcase_add_test(tc, a_second_signal_ends_what_does_not_stop);
    tcase_add_test(tc, failures_of_the_generator_are_told);
    tcase_add_test(tc, bench_show_and_check_print_what_the_generator_says);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
