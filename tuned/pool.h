/* SPDX-License-Identifier: Apache-2.0 */
/* Worker processes: started, spoken to with deadlines, ended, mourned. What a worker does may
 * crash, hang or abort; this process goes on. Knows messages, not what they mean. */
#ifndef NG_POOL_H
#define NG_POOL_H

#include "normgen/normgen.h"
#include "wire.h"

#include <sys/types.h>

typedef struct ng_worker {
    pid_t pid; /* 0: not running */
    int fd;    /* our end of the socket */
    int log;   /* file in memory that its standard error goes to */
    ng_message in;
    bool greeted;    /* it runs and is of our build */
    double deadline; /* of the reply that is waited for, on ng_clock */
} ng_worker;

/* Seconds of the monotonic clock. */
double ng_clock(void);

/* Starts `normgen-worker ROLE`: $NORMGEN_WORKER, else found beside this library or program.
 * E_GENERATOR when there is none or it does not start. */
normgen_status ng_worker_start(ng_worker *worker, const char *role);
/* Ends it, whatever it is doing; fine when it is not running. Frees its buffers. */
void ng_worker_stop(ng_worker *worker);
/* Sends a request whose reply is due within so many seconds. False when the worker is gone. */
bool ng_worker_send(ng_worker *worker, ng_message *message, double seconds);
/* Waits for one more reply, due within so many seconds, to a request that has several. */
void ng_worker_expect(ng_worker *worker, double seconds);

typedef enum ng_outcome {
    NG_REPLIED, /* worker->in holds the reply, opened */
    NG_DIED,
    NG_LATE,    /* its deadline has passed */
    NG_STOPPED, /* *stop is set */
    NG_PENDING
} ng_outcome;
/* Waits until one of the n workers (NULL entries are left out) has an outcome; *which is set, but
 * for NG_STOPPED. A worker that died or is late still has to be stopped. */
ng_outcome ng_workers_wait(ng_worker *const *workers, size_t n, const volatile int *stop,
                           size_t *which);
/* Says how a worker that died ended, with the last line that it wrote. Reaps it. One that was never
 * `greeted` did not start or is of another build. */
void ng_worker_epitaph(ng_worker *worker, char *text, size_t size);

#endif
