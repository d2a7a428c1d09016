/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the first linker that the system has, in a folder of its own that is removed afterwards.
 * $LD names another one. Nothing of the folder's name gets into the library. */
#include "linker.h"

#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* By architecture; the plain name is right for this machine's own only. */
static const struct {
    ng_arch arch;
    const char *names[5];
} linkers[] = {
    {NG_X86_64, {"x86_64-linux-gnu-ld", "ld.lld", "ld.lld-19", NULL}},
    {NG_AARCH64, {"aarch64-linux-gnu-ld", "ld.lld", "ld.lld-19", NULL}},
};

typedef struct job {
    char folder[256], in[300], out[300], soname[96];
} job;

/* Exit code of the program, or -1 when it cannot be started. */
static int run(char *const argv[], const char *folder) {
    pid_t pid;
    int status;
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) return -1;
    bool fine = posix_spawn_file_actions_addchdir_np(&actions, folder) == 0 &&
                posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    if (!fine) return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) != 127) return WEXITSTATUS(status);
    return WIFEXITED(status) ? -1 : 128;
}

static int link_with(const char *linker, const job *j) {
    char name[256];
    snprintf(name, sizeof name, "%s", linker);
    char *argv[] = {name,
                    "-shared",
                    "--build-id=none",
                    "-soname",
                    (char *)j->soname,
                    "-z",
                    "noexecstack",
                    "-z",
                    "relro",
                    "-z",
                    "now",
                    "--no-undefined",
                    "--whole-archive",
                    "in.a",
                    "-o",
                    "out.so",
                    NULL};
    return run(argv, j->folder);
}

static bool write_all(const char *path, const unsigned char *bytes, size_t size) {
    FILE *f = fopen(path, "wxe");
    if (!f) return false;
    bool written = fwrite(bytes, 1, size, f) == size;
    return fclose(f) == 0 && written;
}

static unsigned char *read_all(const char *path, size_t *size) {
    struct stat st;
    FILE *f = fopen(path, "re");
    if (!f) return NULL;
    unsigned char *bytes = NULL;
    if (fstat(fileno(f), &st) == 0 && st.st_size > 0 && (bytes = malloc((size_t)st.st_size))) {
        *size = (size_t)st.st_size;
        if (fread(bytes, 1, *size, f) != *size) {
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(f);
    return bytes;
}

static normgen_status link_in(ng_arch arch, const job *j) {
    const char *chosen = getenv("LD");
    const ng_cpu *host;
    int code = -1;
    if (chosen && *chosen) {
        code = link_with(chosen, j);
        if (code < 0)
            return ng_fail(NORMGEN_E_UNSUPPORTED, "the linker '%.100s' of $LD cannot be run",
                           chosen);
    }
    ng_cpu_host(&host);
    if (code < 0 && host->arch == arch) code = link_with("ld", j);
    for (int i = 0; code < 0 && linkers[arch].names[i]; i++)
        code = link_with(linkers[arch].names[i], j);
    if (code < 0)
        return ng_fail(
            NORMGEN_E_UNSUPPORTED,
            "no linker for a shared library (tried %s%s, %s): install binutils, name one "
            "in $LD, or leave out --shared",
            host->arch == arch ? "ld, " : "", linkers[arch].names[0], linkers[arch].names[1]);
    if (code > 0) return ng_fail(NORMGEN_E_GENERATOR, "the linker failed with exit code %d", code);
    return NORMGEN_OK;
}

normgen_status ng_link_shared(ng_arch arch, const char *prefix, const unsigned char *archive,
                              size_t archive_size, unsigned char **bytes, size_t *size) {
    const char *temporary = getenv("TMPDIR");
    job j;
    snprintf(j.folder, sizeof j.folder, "%s/normgen-XXXXXX",
             temporary && *temporary && strlen(temporary) < 200 ? temporary : "/tmp");
    snprintf(j.soname, sizeof j.soname, "lib%s.so", prefix);
    if (!mkdtemp(j.folder))
        return ng_fail(NORMGEN_E_IO, "no folder for the linker (%s): %s", j.folder,
                       strerror(errno));
    snprintf(j.in, sizeof j.in, "%s/in.a", j.folder);
    snprintf(j.out, sizeof j.out, "%s/out.so", j.folder);
    normgen_status st = write_all(j.in, archive, archive_size)
                            ? link_in(arch, &j)
                            : ng_fail(NORMGEN_E_IO, "cannot write '%s'", j.in);
    if (st == NORMGEN_OK && !(*bytes = read_all(j.out, size)))
        st = ng_fail(NORMGEN_E_IO, "cannot read what the linker wrote ('%s')", j.out);
    unlink(j.in);
    unlink(j.out);
    rmdir(j.folder);
    return st;
}
