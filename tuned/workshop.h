/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling and checking kernels in worker processes, one per core. An order whose worker crashes
 * or hangs is a product with a reason, no error. Knows texts only. */
#ifndef NG_WORKSHOP_H
#define NG_WORKSHOP_H

#include "meter.h"
#include "pool.h"

typedef struct ng_order {
    const char *spec, *schedule, *isa; /* canonical texts; valid until the product is delivered */
    ng_subject_kind kind;              /* a kernel or a limit */
    int64_t seed;                      /* of the case that it is checked with */
    bool check;                        /* where this machine can run it */
    void *tag;
} ng_order;

typedef struct ng_product {
    bool made, checked;
    int64_t compared;  /* runs that were compared with the interpreter */
    ng_object object;  /* may be moved out by whoever takes the delivery: set .bytes to NULL then */
    char reason[1200]; /* when not made, or made but wrong: one line */
} ng_product;

typedef struct ng_clients {
    /* Fills in the next order; false when there is none (for now: it is asked again). */
    bool (*next)(void *ctx, ng_order *order);
    void (*deliver)(void *ctx, const ng_order *order, ng_product *product);
    void *ctx;
    const volatile int *stop; /* may be NULL */
} ng_clients;

typedef struct ng_workshop ng_workshop;
/* Starts nothing yet. workers 0: one per core that this process may use. E_MEMORY. */
normgen_status ng_workshop_new(int workers, ng_workshop **made);
void ng_workshop_free(ng_workshop *workshop);
/* Seconds after which a worker that does not answer is ended: 10 for a compile, 60 for a check
 * unless set. */
void ng_workshop_patience(ng_workshop *workshop, double make_seconds, double check_seconds);
/* Works until no order is left. E_INTERRUPTED; E_GENERATOR when workers cannot be started. */
normgen_status ng_workshop_run(ng_workshop *workshop, const ng_clients *clients);

#endif
