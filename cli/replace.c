/* SPDX-License-Identifier: Apache-2.0 */
#include "replace.h"

#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

normgen_status cli_io_failed(const char *path, const char *what) {
    return ng_fail(NORMGEN_E_IO, "%.400s: %s: %s", path, what, strerror(errno));
}

int cli_replace_begin(const char *path, cli_replacement *file) {
    struct stat st;
    *file = (cli_replacement){.path = path};
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) { /* a pipe or device is written as it is */
        file->out = fopen(path, "we");
        return file->out ? CLI_DONE : cli_error("%s: cannot be written: %s", path, strerror(errno));
    }
    if ((size_t)snprintf(file->beside, sizeof file->beside, "%s.XXXXXX", path) >=
        sizeof file->beside)
        return cli_error("%.100s...: the path is too long", path);
    int fd = mkostemp(file->beside, O_CLOEXEC);
    if (fd >= 0) file->out = fdopen(fd, "w");
    if (file->out) return CLI_DONE;
    int code = cli_error("%s: cannot be written: %s", path, strerror(errno));
    if (fd >= 0) {
        unlink(file->beside);
        close(fd);
    }
    return code;
}

/* mkostemp made it 0600; a written file has the mode of any other. */
static void ordinary_mode(int fd) {
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask);
}

int cli_replace_end(cli_replacement *file, int code) {
    bool beside = file->beside[0] != 0;
    if (beside) ordinary_mode(fileno(file->out));
    bool good = fflush(file->out) == 0 && (!beside || fsync(fileno(file->out)) == 0);
    good = fclose(file->out) == 0 && good;
    if (good && code == CLI_DONE && beside) good = rename(file->beside, file->path) == 0;
    if (!good && code == CLI_DONE)
        code = cli_error("%s: cannot be written: %s", file->path, strerror(errno));
    if (code != CLI_DONE && beside) unlink(file->beside);
    return code;
}
