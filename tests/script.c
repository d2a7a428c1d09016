/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char script_folder[64], script_path[96];

void script_setup(void) {
    snprintf(script_folder, sizeof script_folder, "/tmp/normgen-lua-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(script_folder));
    snprintf(script_path, sizeof script_path, "%s/t.lua", script_folder);
}

void script_teardown(void) {
    unlink(script_path);
    rmdir(script_folder);
}

void script_write(const char *text, size_t size) {
    FILE *f = fopen(script_path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

normgen_status script_read(const char *text, ng_spec_list *list) {
    script_write(text, strlen(text));
    return ng_specfile_read(script_path, list);
}

void script_fails(const char *text, const char *error) {
    ng_spec_list list = {NULL, 0};
    normgen_status st = script_read(text, &list);
    const char *got = normgen_error();
    ck_assert_msg(st == NORMGEN_E_SPEC, "%s\n%s, %zu specs", text, normgen_status_name(st),
                  list.count);
    ck_assert_msg(strncmp(got, script_path, strlen(script_path)) == 0 &&
                      strcmp(got + strlen(script_path), error) == 0,
                  "%s\nexpected PATH%s\ngot      %s", text, error, got);
    ck_assert_uint_eq(list.count, 0);
    ng_spec_list_fini(&list);
}
