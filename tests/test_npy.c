/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays in files: what is written is read back, what is wrong is refused with words, and nothing
 * that a file says brings the reader down. */
#include "array.h"
#include "npy.h"
#include "types.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_V2 ((cli_array_rules){NORMGEN_F32, NORMGEN_NONE})
#define V2_BF16 ((cli_array_rules){NORMGEN_F32, NORMGEN_BF16})

static char folder[64], path[128];

static void setup(void) {
    snprintf(folder, sizeof folder, "/tmp/normgen-npy-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.npy", folder);
}

static void teardown(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static const char *in_folder(const char *name) {
    static char text[256];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

static void put(const char *name, const void *bytes, size_t size) {
    FILE *f = fopen(name, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static uint64_t next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 27;
}

static normgen_status parse(const char *dictionary, cli_array *a) {
    size_t n = strlen(dictionary); /* an exact copy, so that reading past it is seen */
    char *copy = malloc(n ? n : 1);
    memcpy(copy, dictionary, n);
    normgen_status st = cli_npy_parse(copy, n, NORMGEN_NONE, a);
    free(copy);
    return st;
}

/* ---- headers ---- */

static const struct {
    const char *text;
    int type, dims;
    int64_t shape[3];
} good[] = {
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }", NORMGEN_F32, 2, {3, 5, 0}},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }      \n", NORMGEN_F32, 2, {3, 5}},
    {"{\"shape\":(7,),\"fortran_order\":False,\"descr\":\"<f8\"}", NORMGEN_F64, 1, {7}},
    {"{'descr':'<f2','shape':(2L,3L,4L),'fortran_order':False,}", NORMGEN_F16, 3, {2, 3, 4}},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", NORMGEN_F32, 0, {0}},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4096), }", NORMGEN_F32, 2, {0, 4096}},
};

START_TEST(headers_as_numpy_writes_them_are_read) {
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cli_array a;
        ck_assert_msg(parse(good[i].text, &a) == NORMGEN_OK, "%s: %s", good[i].text,
                      normgen_error());
        ck_assert_int_eq(a.type, good[i].type);
        ck_assert_int_eq(a.dims, good[i].dims);
        size_t count = 1;
        for (int d = 0; d < a.dims; d++) {
            ck_assert_int_eq(a.shape[d], good[i].shape[d]);
            count *= (size_t)a.shape[d];
        }
        ck_assert_uint_eq(a.count, count);
        ck_assert_uint_eq(a.bytes, count * ng_types[a.type].bytes);
    }
}
END_TEST

#define REST ", 'fortran_order': False, 'shape': (3, 5), }"
static const struct {
    const char *text, *says;
} bad[] = {
    {"", "malformed"},
    {"{", "malformed"},
    {"{}", "missing"},
    {"[1, 2]", "malformed"},
    {"{'descr': '<f4', 'fortran_order': False}", "missing"},
    {"{'descr': '<f4', 'descr': '<f4'" REST, "twice"},
    {"{'descr': '<f4', 'what': 1" REST, "unknown"},
    {"{'descr': '<f4'" REST " x", "after the }"},
    {"{'descr': '>f4'" REST, "big-endian"},
    {"{'descr': '<i4'" REST, "'<i4'"},
    {"{'descr': '<c8'" REST, "'<c8'"},
    {"{'descr': '|O'" REST, "pickled"},
    {"{'descr': '|V2'" REST, "--v2 bf16"},
    {"{'descr': '|V4'" REST, "'|V4'"},
    {"{'descr': [('a', '<f4')]" REST, "structured"},
    {"{'descr': '<f4\\''" REST, "malformed"},
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (3, 5), }", "Fortran order"},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (3, 5), }", "True or False"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 5), }", "whole number"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3.5, 5), }", "does not end"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (5), }", "not a tuple"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': 5, }", "no tuple"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,), }", "whole number"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "memory"},
    {"{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,), }", "memory"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
     "1,1,1,1,1,1,1,1,1,1,1,1), }",
     "32 dimensions"},
};

START_TEST(wrong_headers_are_refused_with_the_reason) {
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cli_array a = {.dims = 77};
        ck_assert_msg(parse(bad[i].text, &a) == NORMGEN_E_IO, "accepted: %s", bad[i].text);
        ck_assert_msg(strstr(normgen_error(), bad[i].says) != NULL, "%s: %s", bad[i].text,
                      normgen_error());
        ck_assert_int_eq(a.dims, 77); /* untouched on failure */
    }
}
END_TEST

/* Bytes of valid headers replaced, removed, doubled and cut. */
static size_t mutate(char *text, size_t n, size_t room, uint64_t *state) {
    for (unsigned edits = (unsigned)(next(state) % 4) + 1; edits && n; edits--) {
        size_t at = (size_t)(next(state) % n);
        static const char likely[] = "{}()',:<>0123456789fFV|OL \n\\\"-TFalse";
        switch (next(state) % 4) {
        case 0: text[at] = (char)next(state); break;
        case 1: text[at] = likely[next(state) % (sizeof likely - 1)]; break;
        case 2: memmove(text + at, text + at + 1, --n - at); break;
        default:
            if (n < room) {
                memmove(text + at + 1, text + at, n++ - at);
                text[at] = likely[next(state) % (sizeof likely - 1)];
            }
        }
    }
    return next(state) % 8 ? n : (size_t)(next(state) % (n + 1));
}

START_TEST(mutated_headers_never_bring_the_parser_down) {
    uint64_t state = 1;
    int accepted = 0;
    for (int i = 0; i < 300000; i++) {
        char text[256];
        const char *seed = good[next(&state) % (sizeof good / sizeof good[0])].text;
        size_t n = mutate(text, (size_t)sprintf(text, "%s", seed), sizeof text, &state);
        char *exact = malloc(n ? n : 1);
        memcpy(exact, text, n);
        cli_array a;
        if (cli_npy_parse(exact, n, NORMGEN_BF16, &a) == NORMGEN_OK) {
            accepted++;
            ck_assert_int_le(a.dims, CLI_ARRAY_DIMS);
            ck_assert_uint_eq(a.bytes, a.count * ng_types[a.type].bytes);
            ck_assert_uint_le(a.bytes, (size_t)PTRDIFF_MAX);
        }
        free(exact);
    }
    ck_assert_int_gt(accepted, 1000); /* or the mutations test nothing */
}
END_TEST

/* ---- files ---- */

static cli_array make(int type, int dims, const int64_t *shape) {
    cli_array a;
    ck_assert_int_eq(cli_array_new(type, dims, shape, &a), NORMGEN_OK);
    for (size_t i = 0; i < a.bytes; i++) a.data[i] = (unsigned char)(i * 37 + 11);
    return a;
}

static void save(const char *name, const cli_array *a) {
    cli_output o;
    ck_assert_msg(cli_output_write(name, a, &o) == NORMGEN_OK, "%s", normgen_error());
    ck_assert_int_eq(cli_output_commit(&o), NORMGEN_OK);
}

START_TEST(arrays_of_every_type_and_shape_come_back) {
    static const int64_t shapes[][4] = {{7}, {1, 5}, {2, 3, 5}, {2, 2, 2, 9}, {0, 5}, {300, 1000}};
    static const int dims[] = {1, 2, 3, 4, 2, 2};
    static const int types[] = {NORMGEN_F32, NORMGEN_F64, NORMGEN_F16, NORMGEN_BF16};
    for (size_t s = 0; s < sizeof dims / sizeof dims[0]; s++)
        for (size_t t = 0; t < 4; t++) {
            cli_array a = make(types[t], dims[s], shapes[s]), b;
            save(path, &a);
            ck_assert_msg(cli_array_read(path, &V2_BF16, &b) == NORMGEN_OK, "%s", normgen_error());
            ck_assert_int_eq(b.type, a.type);
            ck_assert_int_eq(b.dims, a.dims);
            ck_assert_mem_eq(b.shape, a.shape, (size_t)a.dims * sizeof a.shape[0]);
            ck_assert_uint_eq(b.bytes, a.bytes);
            ck_assert_int_eq(memcmp(b.data, a.data, a.bytes), 0);
            ck_assert_uint_eq((uintptr_t)b.data % 64, 0);
            cli_array_fini(&a);
            cli_array_fini(&b);
        }
}
END_TEST

/* A whole file: preamble of the version, dictionary, `data` bytes. */
static size_t file_image(unsigned char *to, int major, const char *dictionary, size_t data) {
    size_t n = strlen(dictionary), field = major == 1 ? 2 : 4;
    memcpy(to, "\x93NUMPY", 6);
    to[6] = (unsigned char)major;
    to[7] = 0;
    for (size_t i = 0; i < field; i++) to[8 + i] = (unsigned char)(n >> (8 * i));
    memcpy(to + 8 + field, dictionary, n);
    memset(to + 8 + field + n, 0x3f, data);
    return 8 + field + n + data;
}

START_TEST(formats_1_to_3_are_read_and_no_others) {
    unsigned char image[512];
    for (int major = 0; major <= 4; major++) {
        cli_array a;
        put(path, image, file_image(image, major, good[0].text, 60));
        bool known = major >= 1 && major <= 3;
        ck_assert_int_eq(cli_array_read(path, &NO_V2, &a), known ? NORMGEN_OK : NORMGEN_E_IO);
        if (known)
            cli_array_fini(&a);
        else
            ck_assert_ptr_nonnull(strstr(normgen_error(), "format"));
    }
}
END_TEST

static void refused(const char *name, const char *says) {
    cli_array a;
    ck_assert_msg(cli_array_read(name, &NO_V2, &a) == NORMGEN_E_IO, "%s was read", name);
    ck_assert_msg(strstr(normgen_error(), says) && strstr(normgen_error(), name), "%s",
                  normgen_error());
}

START_TEST(files_that_are_missing_cut_or_too_long_are_refused) {
    unsigned char image[512];
    size_t n = file_image(image, 1, good[0].text, 60);
    refused(in_folder("none.npy"), "No such file");
    refused(folder, "read");
    for (size_t size = 0; size < n; size++) {
        put(path, image, size);
        refused(path, "cut off");
    }
    put(path, image, n);
    ck_assert_int_eq(truncate(path, (off_t)n + 1), 0);
    refused(path, "after the array");
    put(path, "hello, world", 12);
    refused(path, "no .npy file");
}
END_TEST

START_TEST(sizes_that_a_file_only_claims_take_no_memory) {
    unsigned char image[512];
    static const char huge[] =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1024), }";
    put(path, image, file_image(image, 2, huge, 100));
    refused(path, "cut off");
    memcpy(image + 8, "\xff\xff\xff\xff", 4); /* the header's length */
    put(path, image, 200);
    refused(path, "header has");
    /* through a pipe nothing is known but the claim */
    int ends[2];
    char pipe_path[64];
    ck_assert_int_eq(pipe(ends), 0);
    size_t n = file_image(image, 2, huge, 100);
    ck_assert_int_eq(write(ends[1], image, n), (ssize_t)n);
    close(ends[1]);
    snprintf(pipe_path, sizeof pipe_path, "/dev/fd/%d", ends[0]);
    refused(pipe_path, "cut off");
    close(ends[0]);
}
END_TEST

START_TEST(mutated_files_never_bring_the_reader_down) {
    uint64_t state = 2;
    for (int i = 0; i < 3000; i++) {
        unsigned char image[1024];
        size_t n = file_image(image, 1 + (int)(next(&state) % 3),
                              good[next(&state) % (sizeof good / sizeof good[0])].text, 60);
        n = mutate((char *)image, n, sizeof image, &state);
        put(path, image, n);
        cli_array a;
        if (cli_array_read(path, &V2_BF16, &a) == NORMGEN_OK) cli_array_fini(&a);
    }
}
END_TEST

/* ---- text ---- */

START_TEST(text_is_read_by_rows_and_written_so_that_it_comes_back) {
    static const char text[] = "# a comment\n1 2.5 -3e2\n\n4,5 , nan # and another\n0.1 inf -0\n";
    char name[256];
    snprintf(name, sizeof name, "%s", in_folder("a.txt"));
    for (int type = NORMGEN_F32; type <= NORMGEN_F16; type++) {
        cli_array a, b;
        cli_array_rules rules = {type, NORMGEN_NONE};
        put(name, text, sizeof text - 1);
        ck_assert_msg(cli_array_read(name, &rules, &a) == NORMGEN_OK, "%s", normgen_error());
        ck_assert_int_eq(a.dims, 2);
        ck_assert_int_eq(a.shape[0], 3);
        ck_assert_int_eq(a.shape[1], 3);
        ck_assert_double_eq(ng_type_read(type, a.data, 1), 2.5);
        ck_assert_double_eq(ng_type_read(type, a.data, 4), 5);
        ck_assert(isnan(ng_type_read(type, a.data, 5)));
        save(name, &a);
        ck_assert_int_eq(cli_array_read(name, &rules, &b), NORMGEN_OK);
        for (size_t i = 0; i < a.count; i++)
            if (!isnan(ng_type_read(type, a.data, i)))
                ck_assert_mem_eq(a.data + i * ng_types[type].bytes,
                                 b.data + i * ng_types[type].bytes, ng_types[type].bytes);
        cli_array_fini(&a);
        cli_array_fini(&b);
    }
}
END_TEST

START_TEST(wrong_text_is_refused_with_the_line) {
    char name[256];
    snprintf(name, sizeof name, "%s", in_folder("a.txt"));
    put(name, "1 2\n3\n", 6);
    refused(name, "line 2 has 1 numbers");
    put(name, "1 2\n\n3 x4\n", 10);
    refused(name, "line 3: 'x4'");
    put(name, "# nothing\n", 10);
    refused(name, "no numbers");
}
END_TEST

/* ---- outputs ---- */

static size_t files_in_folder(void) {
    char command[160];
    snprintf(command, sizeof command, "ls '%s' | wc -l", folder);
    FILE *f = popen(command, "r");
    size_t n = 0;
    ck_assert_int_eq(fscanf(f, "%zu", &n), 1);
    pclose(f);
    return n;
}

START_TEST(an_output_appears_whole_or_not_at_all) {
    static const int64_t shape[] = {4};
    cli_array a = make(NORMGEN_F32, 1, shape), b = make(NORMGEN_F64, 1, shape), c;
    cli_output o;
    save(path, &a);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_int_eq(cli_output_write(path, &b, &o), NORMGEN_OK);
    ck_assert_int_eq(cli_array_read(path, &NO_V2, &c), NORMGEN_OK);
    ck_assert_int_eq(c.type, NORMGEN_F32); /* still the old one */
    cli_array_fini(&c);
    cli_output_abort(&o);
    ck_assert_uint_eq(files_in_folder(), 1);
    save(path, &b);
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0640);
    ck_assert_uint_eq(files_in_folder(), 1);
    ck_assert_int_eq(cli_output_write(in_folder("none/a.npy"), &a, &o), NORMGEN_E_IO);
    ck_assert_int_eq(cli_output_write(folder, &a, &o), NORMGEN_E_IO);
    cli_array_fini(&a);
    cli_array_fini(&b);
}
END_TEST

START_TEST(links_stay_links_and_devices_stay_devices) {
    static const int64_t shape[] = {4};
    cli_array a = make(NORMGEN_F32, 1, shape), c;
    char link[256];
    snprintf(link, sizeof link, "%s", in_folder("link.npy"));
    save(path, &a);
    ck_assert_int_eq(symlink("a.npy", link), 0);
    a.data[0] ^= 1;
    save(link, &a);
    struct stat info;
    ck_assert_int_eq(lstat(link, &info), 0);
    ck_assert(S_ISLNK(info.st_mode));
    ck_assert_int_eq(cli_array_read(path, &NO_V2, &c), NORMGEN_OK);
    ck_assert_int_eq(c.data[0], a.data[0]);
    save("/dev/null", &a);
    ck_assert_int_eq(stat("/dev/null", &info), 0);
    ck_assert(S_ISCHR(info.st_mode));
    cli_output o;
    ck_assert_int_eq(cli_output_write("/dev/full", &a, &o), NORMGEN_E_IO);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "No space"));
    cli_array_fini(&a);
    cli_array_fini(&c);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("npy");
    TCase *tc = tcase_create("npy");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 50);
    tcase_add_test(tc, headers_as_numpy_writes_them_are_read);
    tcase_add_test(tc, wrong_headers_are_refused_with_the_reason);
    tcase_add_test(tc, mutated_headers_never_bring_the_parser_down);
    tcase_add_test(tc, arrays_of_every_type_and_shape_come_back);
    tcase_add_test(tc, formats_1_to_3_are_read_and_no_others);
    tcase_add_test(tc, files_that_are_missing_cut_or_too_long_are_refused);
    tcase_add_test(tc, sizes_that_a_file_only_claims_take_no_memory);
    tcase_add_test(tc, mutated_files_never_bring_the_reader_down);
    tcase_add_test(tc, text_is_read_by_rows_and_written_so_that_it_comes_back);
    tcase_add_test(tc, wrong_text_is_refused_with_the_line);
    tcase_add_test(tc, an_output_appears_whole_or_not_at_all);
    tcase_add_test(tc, links_stay_links_and_devices_stay_devices);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
