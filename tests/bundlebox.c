/* SPDX-License-Identifier: Apache-2.0 */
#include "bundlebox.h"

#include "cpu.h"
#include "sha256.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[64];
char bundle_folder[96];

void bundle_setup(void) {
    snprintf(folder, sizeof folder, "/tmp/normgen-emit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(bundle_folder, sizeof bundle_folder, "%s/out", folder);
}

void bundle_teardown(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

normgen_status bundle_emit(ng_spec_list *specs, const char *isas, const char *prefix) {
    ng_emit_request r = {.specs = specs,
                         .isas = isas,
                         .folder = bundle_folder,
                         .prefix = prefix,
                         .shared = true,
                         .baseline = true};
    return ng_emit(&r);
}

void *bundle_open(const char *prefix) {
    const ng_cpu *cpu;
    char path[256];
    ng_cpu_host(&cpu);
    snprintf(path, sizeof path, "%s/lib/%s/lib%s.so", bundle_folder,
             cpu->arch == NG_X86_64 ? "x86_64" : "aarch64", prefix);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    return library;
}

const normgen_bundle *bundle_table(void *library, const char *prefix) {
    const normgen_bundle *(*getter)(void);
    char name[64];
    snprintf(name, sizeof name, "%s_bundle", prefix);
    *(void **)&getter = dlsym(library, name);
    ck_assert_msg(getter != NULL, "%s", name);
    return getter();
}

void *bundle_function(void *library, const char *stem) {
    char path[160], line[512], *name = NULL;
    snprintf(path, sizeof path, "%s/include/t.h", bundle_folder);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (!name && fgets(line, sizeof line, f)) {
        char *at = strncmp(line, "int ", 4) == 0 ? line + 4 : NULL;
        if (at && strncmp(at, stem, strlen(stem)) == 0 &&
            strspn(at + strlen(stem), "0123456789abcdef") == NG_DIGEST_DIGITS)
            name = at;
    }
    fclose(f);
    ck_assert_msg(name != NULL, "%s", stem);
    name[strlen(stem) + NG_DIGEST_DIGITS] = 0;
    void *fn = dlsym(library, name);
    ck_assert_msg(fn != NULL, "%s", name);
    return fn;
}

normgen *bundle_lookup(void) {
    normgen_options o = normgen_options_default();
    normgen *ng;
    o.mode = NORMGEN_MODE_LOOKUP;
    o.store = "";
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
    return ng;
}
