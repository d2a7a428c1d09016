/* SPDX-License-Identifier: Apache-2.0 */
/* One thread a handle, started at the first kernel that wants tuning. It takes one job after the
 * other: waits for the store's lock, looks whether another process did the work meanwhile, else
 * runs `normgen tune` and renews the kernel's plan at every regime that it finishes. It holds
 * ng->lock only while a plan is renewed or something is told, never its own lock and that one. */
#include "background.h"

#include "call.h"
#include "error.h"
#include "tuneproc.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 300, STACK_BYTES = 8 << 20 /* LLVM runs on it */ };

typedef struct job {
    normgen_kernel *kernel;
    int threads;
    struct job *next;
} job;

struct ng_background {
    normgen *ng;
    pthread_t thread;
    pid_t process;        /* that the thread is in: a forked child has none */
    int wake;             /* an event: there is a job, or the end */
    pthread_mutex_t lock; /* over the two that follow */
    job *first;
    bool ending;
};

/* ---- talking ---- */

static void warn(ng_background *b, const char *text) {
    pthread_mutex_lock(&b->ng->lock);
    ng_warn_once(b->ng, NG_ABOUT_TUNING, "nothing is tuned in the background: %s", text);
    pthread_mutex_unlock(&b->ng->lock);
}

static void tell(ng_background *b, const char *what, const job *j, long number) {
    char text[NORMGEN_SPEC_TEXT];
    if (!b->ng->log) return;
    ng_spec_text(&j->kernel->spec, text);
    pthread_mutex_lock(&b->ng->lock);
    ng_inform(b->ng, "%s: %s for %d thread%s (process %ld)", text, what, j->threads,
              j->threads == 1 ? "" : "s", number);
    pthread_mutex_unlock(&b->ng->lock);
}

/* ---- jobs ---- */

static void wake(ng_background *b) {
    uint64_t one = 1;
    ssize_t n = write(b->wake, &one, sizeof one);
    (void)n; /* it can fail only when it is awake anyway */
}

static bool ending(ng_background *b) {
    pthread_mutex_lock(&b->lock);
    bool is = b->ending;
    pthread_mutex_unlock(&b->lock);
    return is;
}

/* Sleeps until woken, until something can be read from fd (-1: none), or for so long (-1: ever).
 * All that a wake-up can mean is looked at after it. */
static void doze(ng_background *b, int fd, int ms) {
    struct pollfd fds[2] = {{.fd = b->wake, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    uint64_t count;
    poll(fds, 2, ms);
    ssize_t n = read(b->wake, &count, sizeof count);
    (void)n; /* nothing to read when it was not this that ended the sleep */
}

/* The next job, owned by the caller; NULL at the end. */
static job *next_job(ng_background *b) {
    for (;;) {
        pthread_mutex_lock(&b->lock);
        bool end = b->ending;
        job *j = end ? NULL : b->first;
        if (j) b->first = j->next;
        pthread_mutex_unlock(&b->lock);
        if (j || end) return j;
        doze(b, -1, -1);
    }
}

/* Tries the lock again and again; false at the end. */
static bool wait_for_lock(ng_background *b, int lock) {
    while (!ending(b)) {
        if (ng_tunelock_take(lock)) return true;
        doze(b, -1, LOCK_WAIT_MS);
    }
    return false;
}

/* Renews the plan; true while the store lacks something that the job is for. */
static bool renew(ng_background *b, const job *j) {
    pthread_mutex_lock(&b->ng->lock);
    normgen_status status = ng_compiled_renew(b->ng, j->kernel);
    bool wanted = status == NORMGEN_OK && ng_plan_wants_tuning(j->kernel, j->threads);
    pthread_mutex_unlock(&b->ng->lock);
    return wanted;
}

/* Follows the tuner to its end, or to the handle's. */
static void mind(ng_background *b, const job *j, ng_tuneproc *p) {
    bool result, ended = false;
    while (!ended && !ending(b)) {
        doze(b, p->out, -1);
        ng_tuneproc_read(p, &result, &ended);
        if (result) renew(b, j);
    }
}

static void tune(ng_background *b, const job *j, int lock) {
    char spec[NORMGEN_SPEC_TEXT], text[NG_ERROR_TEXT];
    ng_tuneproc p;
    ng_spec_text(&j->kernel->spec, spec);
    if (ng_tuneproc_start(&p, spec, b->ng->store, j->threads, lock) != NORMGEN_OK) {
        warn(b, normgen_error());
        return;
    }
    pthread_mutex_lock(&b->ng->lock);
    b->ng->counters.tunings++;
    pthread_mutex_unlock(&b->ng->lock);
    tell(b, "tuning in the background", j, (long)p.pid);
    long pid = p.pid;
    mind(b, j, &p);
    int code = ng_tuneproc_stop(&p);
    if (ending(b)) return;
    renew(b, j);
    tell(b, code ? "tuning failed" : "tuned in the background", j, pid);
    if (!code) return;
    snprintf(text, sizeof text, "normgen tune ended with %d: %s", code,
             p.last[0] ? p.last : "it said nothing");
    warn(b, text);
}

/* The store is made here, so that the lock has a folder to stand in. */
static normgen_status open_lock(const ng_background *b, int *lock) {
    ng_store *store = NULL;
    normgen_status status = ng_store_open(b->ng->store, NG_STORE_WRITE, &store);
    ng_store_close(store);
    return status ? status : ng_tunelock_open(b->ng->store, lock);
}

static void do_job(ng_background *b, const job *j) {
    int lock = -1;
    if (open_lock(b, &lock) != NORMGEN_OK) {
        warn(b, normgen_error());
        return;
    }
    if (wait_for_lock(b, lock)) {
        if (renew(b, j)) tune(b, j, lock);
        ng_tunelock_leave(lock);
    }
    close(lock);
}

static void *run(void *ctx) {
    ng_background *b = ctx;
    ng_fp_enter(); /* a new thread has the floating-point environment of the one that made it */
    for (job *j; (j = next_job(b));) {
        do_job(b, j);
        free(j);
    }
    return NULL;
}

/* ---- the outside ---- */

/* Signals are the host's: none is handled on this thread. */
static int start_thread(ng_background *b) {
    pthread_attr_t attr;
    sigset_t all, before;
    sigfillset(&all);
    int error = pthread_attr_init(&attr);
    if (error) return error;
    error = pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (!error) error = pthread_create(&b->thread, &attr, run, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return error;
}

static ng_background *start(normgen *ng) {
    ng_background *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->ng = ng;
    b->process = getpid();
    b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->wake >= 0 && pthread_mutex_init(&b->lock, NULL) == 0) {
        if (start_thread(b) == 0) return b;
        pthread_mutex_destroy(&b->lock);
    }
    if (b->wake >= 0) close(b->wake);
    free(b);
    return NULL;
}

static void add_job(ng_background *b, normgen_kernel *k, int threads) {
    job *j = malloc(sizeof *j), **at = &b->first;
    if (!j) return; /* the next process will tune it */
    *j = (job){k, threads, NULL};
    pthread_mutex_lock(&b->lock);
    while (*at) at = &(*at)->next;
    *at = j;
    pthread_mutex_unlock(&b->lock);
    wake(b);
}

void ng_background_want(normgen *ng, normgen_kernel *k) {
    int threads = ng_pool_threads(ng);
    bool alone = ng_plan_wants_tuning(k, 1);
    bool team = threads > 1 && ng_plan_wants_tuning(k, threads);
    if (!alone && !team) return;
    if (!*ng->store) {
        ng_warn_once(ng, NG_ABOUT_TUNING,
                     "nothing is tuned in the background: the handle has no store to keep it in");
        return;
    }
    if (!ng->background) ng->background = start(ng);
    if (!ng->background) {
        ng_warn_once(ng, NG_ABOUT_TUNING,
                     "nothing is tuned in the background: the system gives no thread");
        return;
    }
    if (alone) add_job(ng->background, k, 1);
    if (team) add_job(ng->background, k, threads);
}

void ng_background_end(ng_background *b) {
    if (!b || b->process != getpid()) return; /* in a forked child the lock may be held forever */
    pthread_mutex_lock(&b->lock);
    b->ending = true;
    pthread_mutex_unlock(&b->lock);
    wake(b);
    pthread_join(b->thread, NULL);
    for (job *j = b->first, *next; j; j = next) {
        next = j->next;
        free(j);
    }
    close(b->wake);
    pthread_mutex_destroy(&b->lock);
    free(b);
}
