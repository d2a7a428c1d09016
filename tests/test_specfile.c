/* SPDX-License-Identifier: Apache-2.0 */
/* Spec files as files: what cannot be read, lists, the shipped families, refusals, damage. Runs
 * from the root of the repository. */
#include "refused.h"
#include "script.h"
#include "suite.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- files ---- */

static void check_unread(const char *file, const char *error) {
    ng_spec_list list = {NULL, 0};
    char expected[256];
    ck_assert_int_eq(ng_specfile_read(file, &list), NORMGEN_E_IO);
    snprintf(expected, sizeof expected, "%s: %s", file, error);
    ck_assert_str_eq(normgen_error(), expected);
    ck_assert_ptr_null(list.items);
}

START_TEST(file_that_cannot_be_read_is_named) {
    check_unread("/nonexistent/x.lua", "cannot be opened: No such file or directory");
    check_unread("/tmp", "is a directory; name a spec file in it");
    check_unread("/dev/zero", "is not a regular file");
    ck_assert_int_eq(mkfifo(script_path, 0600), 0);
    check_unread(script_path, "is not a regular file");
}
END_TEST

START_TEST(file_of_someone_else_is_named) {
    script_write("return {}", 9);
    ck_assert_int_eq(chmod(script_path, 0), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(script_folder, 0755), 0);
        ck_assert_int_eq(seteuid(65534), 0);
    }
    check_unread(script_path, "cannot be opened: Permission denied");
    if (getuid() == 0) ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(long_file_and_long_path_are_refused_whole) {
    char *text = malloc(NG_SPECFILE_BYTES + 2), deep[3000];
    ng_spec_list list = {NULL, 0};
    memset(text, ' ', NG_SPECFILE_BYTES + 1);
    script_write(text, NG_SPECFILE_BYTES + 1);
    ck_assert_int_eq(ng_specfile_read(script_path, &list), NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(strstr(normgen_error(), ": the file is longer than 1048576 bytes"));
    script_write(text, NG_SPECFILE_BYTES);
    ck_assert_int_eq(ng_specfile_read(script_path, &list), NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(strstr(normgen_error(), ": the file returns nothing"));
    free(text);
    script_write("error 'at the end'", 18);
    size_t at = (size_t)snprintf(deep, sizeof deep, "%s", script_folder);
    while (at < 2000) at += (size_t)snprintf(deep + at, sizeof deep - at, "/./.");
    snprintf(deep + at, sizeof deep - at, "/t.lua");
    ck_assert_int_eq(ng_specfile_read(deep, &list), NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "/t.lua:1: at the end"));
}
END_TEST

START_TEST(list_grows_whole_or_not_at_all) {
    ng_spec_list list = {NULL, 0};
    ck_assert_int_eq(script_read("return spec { " GOOD " }", &list), NORMGEN_OK);
    ck_assert_int_eq(ng_specfile_read(script_path, &list), NORMGEN_OK);
    ck_assert_uint_eq(list.count, 1); /* the same spec under the same name is there already */
    ck_assert_int_eq(
        script_read("return { spec { name = 'b', kind = 'rms', hidden = 9, eps = 0 },\n"
                    "spec { name = 'c', kind = 'rms', hidden = 9, eps = 0 },\n"
                    "spec { name = 'a', kind = 'rms', hidden = 9, eps = 0 } }",
                    &list),
        NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(
        strstr(normgen_error(), ":3: name a is the name of another spec that was read before"));
    ck_assert_uint_eq(list.count, 1);
    ck_assert_int_eq(ng_specfile_read("specs/bert.lua", &list), NORMGEN_OK);
    ck_assert_uint_eq(list.count, 13);
    ng_spec_list_fini(&list);
}
END_TEST

/* ---- the shipped families ---- */

static const char *const shipped[] = {"specs/llama.lua",    "specs/qwen.lua", "specs/gemma.lua",
                                      "specs/deepseek.lua", "specs/olmo.lua", "specs/layer.lua",
                                      "specs/bert.lua",     "specs/t5.lua",   "specs/mamba2.lua"};
static const struct {
    const char *name, *text;
} known[] = {
    {"llama_2_13b_f32__norm", "rms hidden=5120 eps=1e-05 x=f32 y=f32 weight=f32 rounding=llama"},
    {"llama_3_8b__norm", "rms hidden=4096 eps=1e-05 x=bf16 y=bf16 weight=bf16 rounding=llama"},
    {"mixtral_8x22b_f16__add", "rms hidden=6144 eps=1e-05 x=f16 y=f16 weight=f16 residual=f16 "
                               "sum=f16 rounding=llama"},
    {"qwen3_8b__qk", "rms hidden=128 eps=1e-06 x=bf16 y=bf16 weight=bf16 rounding=llama"},
    {"gemma_3_1b__qk", "rms hidden=256 eps=1e-06 x=bf16 y=bf16 weight=bf16 offset=1"},
    {"bert_base__post",
     "layer hidden=768 eps=1e-12 x=bf16 y=bf16 weight=bf16 bias=bf16 residual=bf16"},
    {"gpt_2_f32__norm", "layer hidden=768 eps=1e-05 x=f32 y=f32 weight=f32 bias=f32"},
    {"command_r__norm", "layer hidden=8192 eps=1e-05 x=bf16 y=bf16 weight=bf16"},
    {"olmo_1_7b__norm", "layer hidden=4096 eps=1e-05 x=bf16 y=bf16 weight=none"},
    {"mamba2_2p7b__add",
     "rms hidden=2560 eps=1e-05 x=bf16 y=bf16 weight=bf16 residual=f32 sum=f32"},
};

static void read_shipped(ng_spec_list *list) {
    for (size_t i = 0; i < COUNT(shipped); i++)
        ck_assert_msg(ng_specfile_read(shipped[i], list) == NORMGEN_OK, "%s", normgen_error());
}

START_TEST(shipped_families_are_known_models) {
    ng_spec_list list = {NULL, 0};
    char text[NORMGEN_SPEC_TEXT];
    read_shipped(&list);
    for (size_t k = 0; k < COUNT(known); k++) {
        size_t i = 0;
        while (i < list.count && strcmp(list.items[i].name, known[k].name) != 0) i++;
        ck_assert_msg(i < list.count, "%s is not there", known[k].name);
        ng_spec_text(&list.items[i].spec, text);
        ck_assert_str_eq(text, known[k].text);
    }
    ng_spec_list_fini(&list);
}
END_TEST

/* What `--model M` and `--type T` rely on: MODEL__norm in bf16, MODEL_T__norm otherwise. */
START_TEST(presets_come_in_three_types) {
    static const struct {
        const char *suffix;
        int type;
    } types[] = {{"_f16", NORMGEN_F16}, {"_f32", NORMGEN_F32}};
    ng_spec_list list = {NULL, 0};
    char name[80];
    size_t models = 0;
    read_shipped(&list);
    for (size_t i = 0; i < list.count; i++) {
        const char *norm = strstr(list.items[i].name, "__");
        ck_assert_msg(norm != NULL, "%s", list.items[i].name);
        if (list.items[i].spec.x != NORMGEN_BF16) continue;
        models++;
        for (size_t t = 0; t < COUNT(types); t++) {
            size_t k = 0;
            snprintf(name, sizeof name, "%.*s%s%s", (int)(norm - list.items[i].name),
                     list.items[i].name, types[t].suffix, norm);
            while (k < list.count && strcmp(list.items[k].name, name) != 0) k++;
            ck_assert_msg(k < list.count, "%s is not there", name);
            ck_assert_int_eq(list.items[k].spec.x, types[t].type);
        }
    }
    ck_assert_uint_eq(3 * models, list.count);
    ng_spec_list_fini(&list);
}
END_TEST

/* "hidden=64 eps=1e-06 y=q8_0" as fields of a Lua table. */
static void lua_fields(const char *fields, char *text, size_t size) {
    size_t at = 0;
    while (*fields && at < size) {
        size_t length = strcspn(fields, " "), name = strcspn(fields, "=");
        const char *value = fields + name + 1;
        bool quote = !isdigit((unsigned char)*value);
        at += (size_t)snprintf(text + at, size - at, ", %.*s = %s%.*s%s", (int)name, fields,
                               quote ? "'" : "", (int)(length - name - 1), value, quote ? "'" : "");
        fields += length;
        fields += strspn(fields, " ");
    }
}

START_TEST(nonsense_is_refused_with_its_line_and_both_fields) {
    ng_spec_list list = {NULL, 0};
    char fields[512], text[640];
    lua_fields(refused[_i].fields, fields, sizeof fields);
    snprintf(text, sizeof text, "\nreturn spec { name = 'n', kind = '%s'%s }", refused[_i].kind,
             fields);
    ck_assert_msg(script_read(text, &list) == NORMGEN_E_SPEC, "%s", text);
    ck_assert_msg(strstr(normgen_error(), ":2: ") && strstr(normgen_error(), refused[_i].a) &&
                      strstr(normgen_error(), refused[_i].b),
                  "%s: %s", text, normgen_error());
}
END_TEST

START_TEST(every_field_stands_in_the_readme) {
    static char text[16384];
    char row[64];
    FILE *f = fopen("specs/README.md", "rb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_lt(fread(text, 1, sizeof text - 1, f), sizeof text - 1);
    fclose(f);
    char *fields = strstr(text, "\n## spec {");
    ck_assert_ptr_nonnull(fields);
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        snprintf(row, sizeof row, "\n| `%s` | ", ng_fields[i].name);
        char *at = strstr(fields, row);
        ck_assert_msg(at != NULL, "field %s", ng_fields[i].name);
        for (const ng_word *w = ng_fields[i].words; w && w->text; w++) {
            ck_assert_msg(strstr(at, w->text) && strstr(at, w->text) < strchr(at + 1, '\n'),
                          "field %s: %s", ng_fields[i].name, w->text);
        }
    }
}
END_TEST

/* ---- random damage ---- */

static uint64_t random_state;
static size_t below(size_t n) { /* SplitMix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (size_t)((z ^ z >> 31) % n);
}

static void damage(char *text, size_t *size) {
    if (*size && below(4) == 0) *size = below(*size);
    for (size_t n = below(4) + 1; n > 0 && *size > 8; n--) {
        size_t at = below(*size - 8), from = below(*size - 8);
        switch (below(4)) {
        case 0: text[at] = (char)below(256); break;
        case 1: text[at] = (char)(text[at] ^ (char)(1 << below(8))); break;
        case 2: text[at] = "(){}=,.-+*/%^#<>~0123456789\"'[];:"[below(33)]; break;
        default: memmove(text + at, text + from, below(8) + 1);
        }
    }
}

/* Whatever comes back is an error with the path, or specs that are what they say. */
static void check_damaged(const char *text, size_t size, uint64_t seed) {
    ng_spec_list list = {NULL, 0};
    script_write(text, size);
    normgen_status st = ng_specfile_read(script_path, &list);
    if (st != NORMGEN_OK)
        ck_assert_msg(st == NORMGEN_E_SPEC &&
                          strncmp(normgen_error(), script_path, strlen(script_path)) == 0 &&
                          list.count == 0,
                      "seed %llu: %s", (unsigned long long)seed, normgen_error());
    for (size_t i = 0; i < list.count; i++) {
        char canonical[NORMGEN_SPEC_TEXT];
        normgen_spec back;
        ng_spec_text(&list.items[i].spec, canonical);
        ck_assert_int_eq(normgen_spec_parse(&back, canonical), NORMGEN_OK);
    }
    ng_spec_list_fini(&list);
}

START_TEST(damaged_files_never_crash_or_hang) {
    static char whole[16384], text[16384];
    FILE *f = fopen(shipped[_i], "rb");
    ck_assert_ptr_nonnull(f);
    size_t length = fread(whole, 1, sizeof whole, f);
    fclose(f);
    ck_assert_uint_lt(length, sizeof whole);
    for (uint64_t seed = 0; seed < 2000; seed++) {
        size_t size = length;
        random_state = seed;
        memcpy(text, whole, length);
        damage(text, &size);
        check_damaged(text, size, seed);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("specfile");
    TCase *t = tcase_create("specfile");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, script_setup, script_teardown);
    tcase_add_test(t, file_that_cannot_be_read_is_named);
    tcase_add_test(t, file_of_someone_else_is_named);
    tcase_add_test(t, long_file_and_long_path_are_refused_whole);
    tcase_add_test(t, list_grows_whole_or_not_at_all);
    tcase_add_test(t, shipped_families_are_known_models);
    tcase_add_test(t, presets_come_in_three_types);
    tcase_add_loop_test(t, nonsense_is_refused_with_its_line_and_both_fields, 0,
                        (int)COUNT(refused));
    tcase_add_test(t, every_field_stands_in_the_readme);
    tcase_add_loop_test(t, damaged_files_never_crash_or_hang, 0, (int)COUNT(shipped));
    suite_add_tcase(s, t);
    return suite_main(s);
}
