/* SPDX-License-Identifier: Apache-2.0 */
/* Places are tried from the file that this code is in (libnormgen, libnormgen-gen, or a program
 * with the static library), then from the running program: one found through PATH has no folder in
 * its name. Existence is all that is checked; who opens the part checks that it is of the same
 * build. */
#include "neighbour.h"

#include "layout.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* From the folder of a library or a program; the first is a build tree. */
static const struct {
    int mode;
    const char *places[3];
} parts[] = {
    [NG_PART_GENERATOR] = {R_OK, {NG_GEN_SONAME, NG_LIB_FROM_BIN "/" NG_GEN_SONAME}},
    [NG_PART_WORKER] = {X_OK,
                        {"normgen-worker", NG_LIBEXEC_FROM_LIB "/normgen-worker",
                         NG_LIBEXEC_FROM_BIN "/normgen-worker"}},
    [NG_PART_CLI] = {X_OK, {"normgen", NG_BIN_FROM_LIB "/normgen"}},
};

static bool find_from(const char *file, ng_part part, char *path, size_t size) {
    const char *slash = strrchr(file, '/');
    if (!slash) return false;
    for (int i = 0; i < 3 && parts[part].places[i]; i++) {
        int n = snprintf(path, size, "%.*s/%s", (int)(slash - file), file, parts[part].places[i]);
        if (n > 0 && (size_t)n < size && access(path, parts[part].mode) == 0) return true;
    }
    return false;
}

bool ng_neighbour_find(ng_part part, char *path, size_t size) {
    static const char here = 0;
    char self[PATH_MAX];
    Dl_info info;
    if (dladdr(&here, &info) && info.dli_fname && find_from(info.dli_fname, part, path, size))
        return true;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    return find_from(self, part, path, size);
}
