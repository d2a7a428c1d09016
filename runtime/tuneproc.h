/* SPDX-License-Identifier: Apache-2.0 */
/* A `normgen tune` as a child process, and the lock that lets only one run for a store. The child
 * reads nothing: its standard input is a pipe whose end tells it that the host is gone or done. It
 * belongs to one thread. */
#ifndef NG_TUNEPROC_H
#define NG_TUNEPROC_H

#include "normgen/normgen.h"

#include <stdbool.h>
#include <sys/types.h>

/* Opens the lock file beside a store. E_STORE with path and reason. The caller closes *fd. */
normgen_status ng_tunelock_open(const char *store, int *fd);
/* Whether it could be taken now. The child inherits it: when the host dies first, the lock is free
 * once the child has ended too. */
bool ng_tunelock_take(int fd);
void ng_tunelock_leave(int fd);

typedef struct ng_tuneproc {
    pid_t pid;       /* 0: not running */
    int alive;       /* the write end of its standard input */
    int out;         /* what it prints, both ways */
    char line[1024]; /* of it, the running line */
    size_t length;
    char last[256]; /* the last line that is not JSON: why it failed */
} ng_tuneproc;

/* Starts $NORMGEN_CLI, else the normgen beside this library, else the one in PATH. E_GENERATOR. */
normgen_status ng_tuneproc_start(ng_tuneproc *p, const char *spec, const char *store, int threads,
                                 int lock);
/* Reads what is there. *ended: it has closed its output; else *result tells whether a regime was
 * finished. */
void ng_tuneproc_read(ng_tuneproc *p, bool *result, bool *ended);
/* Tells it to end, waits, kills it after one second of silence and another. Returns its exit code,
 * or 128 + signal; 0 when somebody else has waited for it. */
int ng_tuneproc_stop(ng_tuneproc *p);

#endif
