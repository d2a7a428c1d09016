/* SPDX-License-Identifier: Apache-2.0 */
/* posix_spawn (never fork: the host may have threads), one socket pair and one memory file for
 * standard error per worker. Workers have a process group of their own, so that Ctrl-C reaches only
 * the parent, which ends them; they also end by themselves when the socket closes. */
#include "pool.h"

#include "build_id.h"
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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
    CHILD_FD = 3,    /* the worker's end of the socket */
    STOP_CHECK = 50, /* milliseconds between looks at the stop flag */
    SEND_WAIT = 10000
};

double ng_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- finding the worker ---- */

static normgen_status find_worker(char *path, size_t size) {
    const char *given = getenv("NORMGEN_WORKER");
    if (given && *given) {
        if ((size_t)snprintf(path, size, "%s", given) < size && access(path, X_OK) == 0)
            return NORMGEN_OK;
        return ng_fail(NORMGEN_E_GENERATOR, "NORMGEN_WORKER=%s is not a program that can be run",
                       given);
    }
    if (ng_neighbour_find(NG_PART_WORKER, path, size)) return NORMGEN_OK;
    return ng_fail(
        NORMGEN_E_GENERATOR,
        "normgen-worker was found neither beside the library nor where `cmake --install` "
        "puts it; install it, or set NORMGEN_WORKER to its path");
}

/* ---- starting ---- */

/* Above the descriptors that the worker gets, so that giving them never overwrites one of ours. */
static int raised(int fd) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    close(fd);
    return high;
}

static int spawn(const char *path, const char *role, int socket, int log, pid_t *pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    char *arguments[] = {(char *)(uintptr_t)"normgen-worker", (char *)(uintptr_t)role, NULL};
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_init(&files);
    if (error) return error;
    error = posix_spawnattr_init(&how);
    if (error) {
        posix_spawn_file_actions_destroy(&files);
        return error;
    }
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, log, 2);
    posix_spawn_file_actions_adddup2(&files, socket, CHILD_FD);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                       POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    error = posix_spawn(pid, path, &files, &how, arguments, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

normgen_status ng_worker_start(ng_worker *w, const char *role) {
    char path[PATH_MAX];
    int pair[2], error = 0;
    *w = (ng_worker){.fd = -1, .log = -1};
    normgen_status status = find_worker(path, sizeof path);
    if (status != NORMGEN_OK) return status;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return ng_fail(NORMGEN_E_GENERATOR, "no socket for a worker: %s", strerror(errno));
    int theirs = raised(pair[1]);
    w->fd = raised(pair[0]);
    w->log = raised(memfd_create("normgen-worker", MFD_CLOEXEC));
    if (theirs < 0 || w->fd < 0 || w->log < 0)
        error = errno;
    else
        error = spawn(path, role, theirs, w->log, &w->pid);
    if (theirs >= 0) close(theirs);
    if (error) {
        w->pid = 0;
        ng_worker_stop(w);
        return ng_fail(NORMGEN_E_GENERATOR, "%s cannot be started: %s", path, strerror(error));
    }
    fcntl(w->fd, F_SETFL, fcntl(w->fd, F_GETFL) | O_NONBLOCK);
    return NORMGEN_OK;
}

/* ---- ending ---- */

static int reap(ng_worker *w) {
    int status = 0;
    while (w->pid > 0 && waitpid(w->pid, &status, 0) < 0 && errno == EINTR) {
    }
    w->pid = 0;
    return status;
}

void ng_worker_stop(ng_worker *w) {
    if (w->pid > 0) {
        kill(w->pid, SIGKILL);
        reap(w);
    }
    if (w->fd >= 0) close(w->fd);
    if (w->log >= 0) close(w->log);
    ng_message_fini(&w->in);
    *w = (ng_worker){.fd = -1, .log = -1};
}

/* The last line, without control characters. */
static void last_words(int log, char *text, size_t size) {
    char tail[512];
    off_t end = lseek(log, 0, SEEK_END);
    off_t from = end > (off_t)sizeof tail - 1 ? end - ((off_t)sizeof tail - 1) : 0;
    ssize_t n = end > 0 ? pread(log, tail, sizeof tail - 1, from) : 0;
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' ')) n--;
    tail[n > 0 ? n : 0] = 0;
    const char *line = strrchr(tail, '\n');
    snprintf(text, size, "%.*s", (int)size - 1, line ? line + 1 : tail);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ') *c = ' ';
}

void ng_worker_epitaph(ng_worker *w, char *text, size_t size) {
    char words[200];
    if (w->pid <= 0) {
        snprintf(text, size, "is not running");
        return;
    }
    /* The socket is closed: it is dead, about to be, or no longer talking. */
    kill(w->pid, SIGKILL);
    int status = reap(w);
    last_words(w->log, words, sizeof words);
    int n = WIFSIGNALED(status)
                ? snprintf(text, size, "ended by signal %d (%s)", WTERMSIG(status),
                           strsignal(WTERMSIG(status)))
                : snprintf(text, size, "ended with exit code %d", WEXITSTATUS(status));
    if (*words && n > 0 && (size_t)n < size) snprintf(text + n, size - (size_t)n, ": %s", words);
}

/* ---- talking ---- */

void ng_worker_expect(ng_worker *w, double seconds) {
    w->deadline = ng_clock() + seconds;
    w->in.at = w->in.size = 0;
}

bool ng_worker_send(ng_worker *w, ng_message *message, double seconds) {
    ng_worker_expect(w, seconds);
    return w->pid > 0 && ng_wire_send(w->fd, message, SEND_WAIT);
}

/* The first message tells of which build the worker is: it may be an older one that was found. */
static bool greet(ng_worker *w) {
    char build[128];
    if (ng_message_open(&w->in) != NG_MSG_HELLO) return false;
    ng_get_text(&w->in, build, sizeof build);
    w->greeted = !w->in.bad && strcmp(build, NG_BUILD_ID) == 0;
    w->in.at = w->in.size = 0;
    return w->greeted;
}

/* Whether the reply is there; opened for reading then. */
static ng_outcome look(ng_worker *w) {
    int n = ng_wire_receive(w->fd, &w->in);
    if (n > 0 && !w->greeted) n = greet(w) ? ng_wire_receive(w->fd, &w->in) : -1;
    if (n > 0) ng_message_open(&w->in);
    return n > 0 ? NG_REPLIED : n < 0 ? NG_DIED : NG_PENDING;
}

static ng_outcome look_around(ng_worker *const *workers, size_t n, size_t *which) {
    double now = ng_clock();
    for (size_t i = 0; i < n; i++) {
        if (!workers[i]) continue;
        ng_outcome outcome = look(workers[i]);
        if (outcome == NG_PENDING && now >= workers[i]->deadline) outcome = NG_LATE;
        if (outcome == NG_PENDING) continue;
        *which = i;
        return outcome;
    }
    return NG_PENDING;
}

ng_outcome ng_workers_wait(ng_worker *const *workers, size_t n, const volatile int *stop,
                           size_t *which) {
    struct pollfd polls[64];
    for (;;) {
        if (stop && *stop) return NG_STOPPED;
        ng_outcome outcome = look_around(workers, n, which);
        if (outcome != NG_PENDING) return outcome;
        nfds_t used = 0;
        for (size_t i = 0; i < n && used < 64; i++)
            if (workers[i]) polls[used++] = (struct pollfd){workers[i]->fd, POLLIN, 0};
        poll(polls, used, STOP_CHECK);
    }
}
