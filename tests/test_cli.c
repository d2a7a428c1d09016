/* SPDX-License-Identifier: Apache-2.0 */
/* The normgen program from outside: exit codes, what it says and where. Cases are command lines.
 * The generator is a fake one (fakelib.c), or none. */
#include "clibox.h"
#include "refused.h"
#include "suite.h"
#include "verbs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
        int code = cli_run(wrong[i].words);
        ck_assert_msg(code == wrong[i].code, "normgen %s: exit %d, %s", wrong[i].words, code,
                      cli_err);
        cli_says(cli_err, wrong[i].says, wrong[i].words);
        ck_assert_msg(!*wrong[i].words || strncmp(cli_err, "normgen: ", 9) == 0, "%s", cli_err);
        ck_assert_msg(access(strcat(strcpy(cli_out, cli_folder), "/y.npy"), F_OK) != 0,
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
            int code = cli_run(words[k]);
            ck_assert_msg(code == 2, "normgen %s: exit %d, %s", words[k], code, cli_err);
            cli_says(cli_err, refused[i].a, words[k]);
            cli_says(cli_err, refused[i].b, words[k]);
        }
    }
}
END_TEST

START_TEST(output_that_cannot_be_printed_is_a_failure) {
    ck_assert_int_eq(cli_run_after("sh -c 'exec \"$@\" >/dev/full' sh", "cpu"), 1);
    cli_says(cli_err, "standard output cannot be written", "cpu >/dev/full");
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
    cli_says(cli_out, option, words);
}

START_TEST(help_lists_every_option_of_every_verb) {
    ck_assert_int_eq(cli_run("--help"), 0);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        cli_says(cli_out, verbs[i]->name, "--help");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        char words[64], first[sizeof cli_out];
        snprintf(words, sizeof words, "%s --help", verbs[i]->name);
        ck_assert_int_eq(cli_run(words), 0);
        cli_says(cli_out, verbs[i]->summary, words);
        has_option("help", words);
        for (const cli_option *o = verbs[i]->options; o->name; o++) has_option(o->name, words);
        for (size_t f = 0; f < NG_FIELD_COUNT; f++)
            if (cli_verb_takes_field(verbs[i], f)) has_option(ng_fields[f].name, words);
        for (char *line = strtok(strcpy(first, cli_out), "\n"); line; line = strtok(NULL, "\n"))
            ck_assert_msg(strlen(line) <= 110, "too wide: %s", line);
        strcpy(first, cli_out);
        snprintf(words, sizeof words, "help %s", verbs[i]->name);
        ck_assert_int_eq(cli_run(words), 0);
        ck_assert_str_eq(cli_out, first);
    }
}
END_TEST

START_TEST(version_names_numerics_and_toolchain) {
    ck_assert_int_eq(cli_run("--version"), 0);
    cli_says(cli_out, "normgen " NORMGEN_VERSION " numerics=1", "--version");
    cli_says(cli_out, "toolchain: none", "--version");
    ck_assert_int_eq(cli_run_fake("--version"), 0);
    cli_says(cli_out, "toolchain: fake=1", "--version");
}
END_TEST

/* ---- verbs without a generator ---- */

START_TEST(what_needs_no_generator_works_without) {
    ck_assert_int_eq(cli_run("cpu"), 0);
    cli_says(cli_out, "machine ", "cpu");
    cli_says(cli_out, "ISA levels", "cpu");
    ck_assert_int_eq(cli_run("cpu --json"), 0);
    cli_says(cli_out, "\"machine\": \"", "cpu --json");
    ck_assert_int_eq(cli_run("list"), 0);
    cli_says(cli_out, "has no winners", "list");
    ck_assert_int_eq(cli_run("show layer hidden=4096 eps=1e-05"), 0); /* quotes forgotten */
    cli_says(cli_out, "layer hidden=4096 eps=1e-05 x=f32 y=f32 weight=f32\n", "show");
    cli_says(cli_out, "DOT", "show");
    cli_says(cli_out, "keep=", "show");
    ck_assert_int_eq(cli_run("explain --hidden 4096"), 0);
    cli_says(cli_out, "dram: ", "explain");
    cli_says(cli_out, "from: ", "explain");
    ck_assert_int_eq(cli_run("check --kind layer --hidden 1000 --x bf16 --mean yes"), 0);
    cli_says(cli_out, "6 comparisons of 0 kernels and the interpreter, 1 spec: 0 failed", "check");
    cli_says(cli_out, "no kernels were compared: the generator is not available", "check");
    ck_assert_int_eq(cli_run("check --kind layer --hidden 60 --groups 5 --mean yes --bias f32"), 0);
    cli_says(cli_out, "6 comparisons of 0 kernels and the interpreter, 1 spec: 0 failed", "groups");
    ck_assert_int_eq(cli_run("check --hidden 64 --heads 3 --rope half"), 0);
    ck_assert_int_eq(cli_run("check --hidden 64 --modulate f32"), 0);
    cli_says(cli_out, "3 comparisons of 0 kernels and the interpreter, 1 spec: 0 failed",
             "samples");
}
END_TEST

/* ---- verbs with a generator ---- */

START_TEST(tuning_prints_a_table_and_plain_lines) {
    ck_assert_int_eq(cli_run_fake("tune specs.lua --name second --db t.db"), 0);
    cli_says(cli_out, "second: layer hidden=128 ", "tune");
    cli_says(cli_out, "l1         - ", "tune");
    cli_says(cli_out, "one row does not fit", "tune");
    cli_says(cli_out, "0.80        1.50  vec=512 winner", "tune");
    cli_says(cli_out, "vec=256 cached", "tune");
    cli_says(cli_out, "noise floor 1.2 %; 40 trials, 2 invalid", "tune");
    cli_says(cli_out, "stored in t.db", "tune");
    ck_assert_ptr_null(strstr(cli_out, "first"));
    cli_says(cli_err, "normgen: a note\n", "tune");
    cli_says(cli_err, "l2: 32 rows: 100.0 ns/row, 0.80 of the limit: vec=512 winner\n", "tune");
    ck_assert_ptr_null(strchr(cli_err, '\r'));
    ck_assert_int_eq(cli_run_fake("tune specs.lua --name third"), 1);
    cli_says(cli_err, "none of its 2 specs is called 'third'", "tune");
}
END_TEST

START_TEST(tuning_for_machines_is_an_object_a_line) {
    ck_assert_int_eq(cli_run_fake("tune specs.lua --json"), 0);
    int lines = 0;
    for (char *line = strtok(cli_out, "\n"); line; line = strtok(NULL, "\n"), lines++)
        ck_assert(line[0] == '{' && line[strlen(line) - 1] == '}');
    ck_assert_int_eq(lines, 5); /* two regimes of two specs, and the end */
    ck_assert_int_eq(cli_run_fake("tune --hidden 64 --json"), 0);
    cli_says(cli_out, "{\"event\": \"skip\", \"spec\": \"rms hidden=64 ", "tune --json");
    cli_says(cli_out, "\"winner\": {\"schedule\": \"vec=512 winner\", \"ns_per_row\": 100, ",
             "tune --json");
    cli_says(cli_out, "{\"event\": \"done\", \"status\": \"OK\", ", "tune --json");
}
END_TEST

START_TEST(a_terminal_gets_a_progress_bar) {
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    char before[800], drawn[4096];
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) return;
    snprintf(before, sizeof before, "%s TERM=xterm sh -c 'exec \"$@\" 2>%s' sh", cli_with_fake,
             ptsname(terminal));
    int slave = open(ptsname(terminal), O_RDWR | O_NOCTTY); /* keeps what is written */
    ck_assert_int_eq(cli_run_after(before, "tune --hidden 64"), 0);
    ssize_t n = read(terminal, drawn, sizeof drawn - 1);
    ck_assert_int_gt(n, 0);
    drawn[n] = 0;
    cli_says(drawn, "[##########----------] l2 racing; leader 123.4 ns/row", "progress");
    cli_says(drawn, "\r\033[K", "progress");
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
                 cli_with_fake, signals[i].name);
        ck_assert_int_eq(cli_run_after(before, "tune --hidden 64"), signals[i].code);
        cli_says(cli_err, "normgen: interrupted; finished regimes are stored in ", "tune");
        cli_says(cli_err, "Run the same command again", "tune");
        cli_says(cli_out, "vec=512 winner", "tune"); /* what is finished is shown */
    }
}
END_TEST

START_TEST(a_second_signal_ends_what_does_not_stop) {
    char before[800];
    snprintf(before, sizeof before,
             "%s NORMGEN_FAKE=deaf sh -c '\"$@\" & p=$!; sleep 0.3; kill $p; kill $p; sleep 0.6; "
             "kill -0 $p && kill $p; wait $p' sh",
             cli_with_fake);
    ck_assert_int_eq(cli_run_after(before, "tune --hidden 64"), 143);
    ck_assert_ptr_null(strstr(cli_err, "interrupted"));
}
END_TEST

START_TEST(failures_of_the_generator_are_told) {
    char before[800];
    snprintf(before, sizeof before, "%s NORMGEN_FAKE=fail", cli_with_fake);
    ck_assert_int_eq(cli_run_after(before, "tune --hidden 64"), 1);
    ck_assert_str_eq(cli_err, "normgen: the fake generator was told to fail\n");
    ck_assert_int_eq(cli_run_after(before, "tune specs.lua"), 1);
    cli_says(cli_err, "normgen: specs.lua:7: hidden: 768.5", "tune specs.lua");
    ck_assert_int_eq(cli_run_after(before, "bench --hidden 64"), 1);
    ck_assert_int_eq(cli_run_after(before, "show --hidden 64 --ir --isa x86-64-v3"), 1);
    ck_assert_int_eq(cli_run_after(before, "check --hidden 64"), 1);
    cli_says(cli_out, "a difference in row 7\n", "check");
    cli_says(cli_out, "1003 comparisons of 10 kernels and the interpreter, 1 spec: 1 failed",
             "check");
}
END_TEST

START_TEST(bench_show_and_check_print_what_the_generator_says) {
    ck_assert_int_eq(cli_run_fake("bench --hidden 64"), 0);
    cli_says(cli_out,
             "80.0     100.0      0.80       150.0      0.53       2000      0.04  vec=512 winner",
             "bench");
    ck_assert_int_eq(cli_run_fake("show --hidden 64 --ir --isa x86-64-v3"), 0);
    cli_says(cli_out, "; spec\n;   rms hidden=64", "show --ir");
    cli_says(cli_out, "\nfake ir of x86-64-v3\n", "show --ir");
    ck_assert_int_eq(cli_run_fake("show --hidden 64 --asm --isa aarch64"), 0);
    cli_says(cli_out, "// spec\n", "show --asm");
    ck_assert_int_eq(cli_run_fake("check --hidden 64"), 0);
    cli_says(cli_out, "1003 comparisons of 10 kernels", "check");
}
END_TEST

int main(void) {
    Suite *s = suite_create("cli");
    TCase *tc = tcase_create("cli");
    tcase_add_checked_fixture(tc, cli_setup, cli_teardown);
    tcase_set_timeout(tc, 50);
    tcase_add_test(tc, every_mistake_has_its_exit_code_and_its_words);
    tcase_add_test(tc, nonsense_is_refused_by_text_and_by_flags);
    tcase_add_test(tc, output_that_cannot_be_printed_is_a_failure);
    tcase_add_test(tc, help_lists_every_option_of_every_verb);
    tcase_add_test(tc, version_names_numerics_and_toolchain);
    tcase_add_test(tc, what_needs_no_generator_works_without);
    tcase_add_test(tc, tuning_prints_a_table_and_plain_lines);
    tcase_add_test(tc, tuning_for_machines_is_an_object_a_line);
    tcase_add_test(tc, a_terminal_gets_a_progress_bar);
    tcase_add_test(tc, an_interrupted_run_says_how_to_go_on);
    tcase_add_test(tc, a_second_signal_ends_what_does_not_stop);
    tcase_add_test(tc, failures_of_the_generator_are_told);
    tcase_add_test(tc, bench_show_and_check_print_what_the_generator_says);
    suite_add_tcase(s, tc);
    return suite_main(s);
}
