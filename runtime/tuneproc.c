/* SPDX-License-Identifier: Apache-2.0 */
/* The host may have closed its standard descriptors, handle SIGCHLD itself, and have any signal
 * mask: descriptors are moved out of the way, a child that was reaped by others is nothing special,
 * and the child starts with signals as a shell would give them. */
#include "tuneproc.h"

#include "error.h"
#include "neighbour.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { ABOVE = 10, GRACE_MS = 1000, LOCK_FD = 3 };

/* ---- the lock ---- */

normgen_status ng_tunelock_open(const char *store, int *fd) {
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s-tuning", store) >= sizeof path)
        return ng_fail(NORMGEN_E_STORE, "store %.200s...: its path is too long", store);
    int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (opened < 0)
        return ng_fail(NORMGEN_E_STORE, "%.400s: cannot be opened: %s", path, strerror(errno));
    *fd = opened;
    return NORMGEN_OK;
}

bool ng_tunelock_take(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0; }

void ng_tunelock_leave(int fd) { flock(fd, LOCK_UN); }

/* ---- starting ---- */

static void close_if(int fd) {
    if (fd >= 0) close(fd);
}

/* A pipe whose ends are above what the child gets. */
static int make_pipe(int ends[2]) {
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0) return errno;
    for (int i = 0; i < 2; i++) ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, ABOVE);
    int error = ends[0] < 0 || ends[1] < 0 ? errno : 0;
    close(low[0]);
    close(low[1]);
    if (error) {
        close_if(ends[0]);
        close_if(ends[1]);
    }
    return error;
}

static int spawn(const char *path, char *const arguments[], int in, int out, int lock, pid_t *pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_init(&files);
    if (error) return error;
    error = posix_spawnattr_init(&how);
    if (error) {
        posix_spawn_file_actions_destroy(&files);
        return error;
    }
    /* a group of its own: Ctrl-C is for the host, and the host's end ends it */
    error = posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                               POSIX_SPAWN_SETPGROUP);
    if (!error) error = posix_spawnattr_setsigmask(&how, &none);
    if (!error) error = posix_spawnattr_setsigdefault(&how, &all);
    if (!error) error = posix_spawnattr_setpgroup(&how, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, lock, LOCK_FD);
    if (!error) error = posix_spawnp(pid, path, &files, &how, arguments, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* A name without a slash is looked for in PATH. */
static const char *find_program(char *path, size_t size) {
    const char *named = secure_getenv("NORMGEN_CLI");
    if (named && *named) return named;
    return ng_neighbour_find(NG_PART_CLI, path, size) ? path : "normgen";
}

static char *word(const char *text) { return (char *)(uintptr_t)text; }

normgen_status ng_tuneproc_start(ng_tuneproc *p, const char *spec, const char *store, int threads,
                                 int lock) {
    char path[PATH_MAX], number[16];
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    const char *program = find_program(path, sizeof path);
    snprintf(number, sizeof number, "%d", threads);
    char *arguments[] = {word("normgen"),   word("tune"), word("--background"),
                         word("--json"),    word("--db"), word(store),
                         word("--threads"), number,       word("--"),
                         word(spec),        NULL};
    *p = (ng_tuneproc){.alive = -1, .out = -1};
    int high = fcntl(lock, F_DUPFD_CLOEXEC, ABOVE);
    int error = high < 0 ? errno : make_pipe(in);
    if (!error) error = make_pipe(out);
    if (!error) error = spawn(program, arguments, in[0], out[1], high, &p->pid);
    close_if(high);
    close_if(in[0]);
    close_if(out[1]);
    if (error) {
        close_if(in[1]);
        close_if(out[0]);
        p->pid = 0;
        return ng_fail(NORMGEN_E_GENERATOR,
                       "%s cannot be started (%s): install the program, or name it in NORMGEN_CLI",
                       program, strerror(error));
    }
    p->alive = in[1];
    p->out = out[0];
    fcntl(p->out, F_SETFL, O_NONBLOCK);
    return NORMGEN_OK;
}

/* ---- listening ---- */

static bool take_line(ng_tuneproc *p) {
    p->line[p->length] = 0;
    p->length = 0;
    if (p->line[0] == '{') return strstr(p->line, "\"result\"") != NULL;
    if (p->line[0]) snprintf(p->last, sizeof p->last, "%.255s", p->line);
    return false;
}

void ng_tuneproc_read(ng_tuneproc *p, bool *result, bool *ended) {
    char bytes[512];
    ssize_t n;
    *result = *ended = false;
    while ((n = read(p->out, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            char c = bytes[i];
            if (c == '\n')
                *result = take_line(p) || *result;
            else if (p->length < sizeof p->line - 1) /* of longer lines, the beginning */
                p->line[p->length++] = c >= ' ' && c <= '~' ? c : '?';
        }
    *ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* ---- ending ---- */

/* Waits until the output ends or the time is over. */
static void drain(ng_tuneproc *p, int ms) {
    struct pollfd fd = {.fd = p->out, .events = POLLIN};
    bool result, ended = false;
    while (!ended && poll(&fd, 1, ms) > 0) ng_tuneproc_read(p, &result, &ended);
}

int ng_tuneproc_stop(ng_tuneproc *p) {
    int status = 0;
    if (p->pid <= 0) return 0;
    close_if(p->alive);
    drain(p, GRACE_MS);
    close_if(p->out);
    pid_t waited = waitpid(p->pid, &status, WNOHANG);
    for (int ms = 0; waited == 0 && ms < GRACE_MS; ms += 10) { /* it may close, then end */
        usleep(10000);
        waited = waitpid(p->pid, &status, WNOHANG);
    }
    if (waited == 0) { /* still ours, so the number is too */
        kill(-p->pid, SIGKILL);
        waited = waitpid(p->pid, &status, 0);
    }
    p->pid = 0;
    if (waited < 0) return 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
