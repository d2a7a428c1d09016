/* SPDX-License-Identifier: Apache-2.0 */
#include "clibox.h"

#include "array.h"
#include "types.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char program[512];
char cli_folder[64], cli_with_fake[640];
char cli_out[1 << 16], cli_err[1 << 16];

/* ---- running ---- */

static void slurp(const char *name, char *text, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", cli_folder, name);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, size - 1, f)] = 0;
    fclose(f);
}

int cli_run_after(const char *before, const char *words) {
    char command[4096];
    ck_assert_uint_lt((size_t)snprintf(command, sizeof command,
                                       "cd '%s' && unset NORMGEN_DB NORMGEN_ISA NORMGEN_MODE && "
                                       "export XDG_DATA_HOME=$PWD/data LC_ALL=C && %s '%s' %s "
                                       ">stdout 2>stderr </dev/null",
                                       cli_folder, before, program, words),
                      sizeof command);
    int status = system(command);
    slurp("stdout", cli_out, sizeof cli_out);
    slurp("stderr", cli_err, sizeof cli_err);
    ck_assert_msg(WIFEXITED(status), "%s: signal", words);
    return WEXITSTATUS(status);
}

int cli_run(const char *words) {
    return cli_run_after("env NORMGEN_GEN_LIBRARY=/nonexistent/lib.so", words);
}
int cli_run_fake(const char *words) { return cli_run_after(cli_with_fake, words); }

void cli_says(const char *text, const char *pattern, const char *words) {
    ck_assert_msg(strstr(text, pattern) != NULL, "normgen %s: '%s' is not in: %s", words, pattern,
                  text);
}

/* ---- arrays ---- */

static void save(const char *name, const cli_array *a) {
    char path[128];
    cli_output o;
    snprintf(path, sizeof path, "%s/%s", cli_folder, name);
    ck_assert_msg(cli_output_write(path, a, &o) == NORMGEN_OK, "%s", normgen_error());
    ck_assert_int_eq(cli_output_commit(&o), NORMGEN_OK);
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

void cli_put(const char *name, const void *bytes, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", cli_folder, name);
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
    cli_put(name, image, 10 + n + data);
}

void cli_setup(void) {
    static const int64_t cube[] = {2, 3, CLI_HIDDEN}, row[] = {CLI_HIDDEN},
                         less[] = {CLI_HIDDEN - 1}, flat[] = {CLI_ROWS, CLI_HIDDEN};
    const char *build = getenv("NORMGEN_BUILD");
    char fake[512];
    snprintf(program, sizeof program, "%s/normgen", build ? build : "build");
    snprintf(fake, sizeof fake, "%s/libnormgen-fakelib.so", build ? build : "build");
    snprintf(cli_with_fake, sizeof cli_with_fake, "env NORMGEN_GEN_LIBRARY='%s'", fake);
    snprintf(cli_folder, sizeof cli_folder, "/tmp/normgen-cli-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(cli_folder));
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
    cli_put("noise.npy", "once upon a time", 16);
    cli_put("ragged.txt", "1 2 3\n4 5\n", 10);
    cli_put("specs.lua", "return {}", 9);
}

void cli_teardown(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", cli_folder);
    ck_assert_int_eq(system(command), 0);
}
