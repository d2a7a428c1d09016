/* SPDX-License-Identifier: Apache-2.0 */
/* A bench is a worker with the order that it is at. Each order has two replies: the object, then
 * the result of the check; each reply has a deadline of its own. */
#include "workshop.h"

#include "error.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seconds. A compile takes some 10 ms, a check some more; huge rows take seconds. */
static const double make_seconds = 10, check_seconds = 60;

enum { BENCHES_MOST = 64, STILLBORN_MOST = 4 };

typedef struct bench {
    ng_worker worker;
    ng_order order;
    ng_product product;
    bool busy;
} bench;

struct ng_workshop {
    double make_seconds, check_seconds;
    size_t n, stillborn; /* workers in a row that did not start */
    ng_message out;
    bench benches[BENCHES_MOST];
};

static int cores(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

normgen_status ng_workshop_new(int workers, ng_workshop **made) {
    ng_workshop *shop = calloc(1, sizeof *shop);
    if (!shop) return ng_fail(NORMGEN_E_MEMORY, "no memory for compile workers");
    ng_workshop_patience(shop, make_seconds, check_seconds);
    int n = workers ? workers : cores();
    shop->n = n < 1 ? 1 : n > BENCHES_MOST ? BENCHES_MOST : (size_t)n;
    for (size_t i = 0; i < shop->n; i++)
        shop->benches[i].worker.fd = shop->benches[i].worker.log = -1;
    *made = shop;
    return NORMGEN_OK;
}

void ng_workshop_patience(ng_workshop *shop, double make, double check) {
    shop->make_seconds = make;
    shop->check_seconds = check;
}

static void drop_product(bench *b) {
    free(b->product.object.bytes);
    b->product = (ng_product){0};
    b->busy = false;
}

void ng_workshop_free(ng_workshop *shop) {
    if (!shop) return;
    for (size_t i = 0; i < shop->n; i++) {
        drop_product(&shop->benches[i]);
        ng_worker_stop(&shop->benches[i].worker);
    }
    ng_message_fini(&shop->out);
    free(shop);
}

/* ---- one bench ---- */

static void deliver(bench *b, const ng_clients *clients) {
    clients->deliver(clients->ctx, &b->order, &b->product);
    drop_product(b);
}

static normgen_status begin(ng_workshop *shop, bench *b) {
    normgen_status status = NORMGEN_OK;
    if (b->worker.pid == 0) status = ng_worker_start(&b->worker, "--compile");
    if (status != NORMGEN_OK) return status;
    ng_message_start(&shop->out, NG_MSG_MAKE);
    ng_put_text(&shop->out, b->order.spec);
    ng_put_int(&shop->out, b->order.kind);
    ng_put_text(&shop->out, b->order.schedule);
    ng_put_text(&shop->out, b->order.isa);
    ng_put_int(&shop->out, b->order.seed);
    ng_put_int(&shop->out, b->order.check);
    b->busy = true;
    /* When the worker is gone already, waiting for it says so. */
    ng_worker_send(&b->worker, &shop->out, shop->make_seconds);
    return NORMGEN_OK;
}

/* The object, or why there is none. True when a second reply will follow. */
static bool read_object(bench *b) {
    ng_message *in = &b->worker.in;
    ng_product *p = &b->product;
    normgen_status status = (normgen_status)ng_get_int(in);
    ng_get_text(in, p->reason, sizeof p->reason);
    p->object.code_bytes = (size_t)ng_get_int(in);
    ng_get_text(in, p->object.symbol, sizeof p->object.symbol);
    const void *bytes = ng_get_bytes(in, &p->object.size);
    p->object.bytes = status == NORMGEN_OK && bytes ? malloc(p->object.size + 1) : NULL;
    if (status != NORMGEN_OK) return false;
    if (!p->object.bytes) {
        snprintf(p->reason, sizeof p->reason, "the worker's object did not arrive");
        return false;
    }
    memcpy(p->object.bytes, bytes, p->object.size);
    p->made = true;
    return true;
}

static void read_check(bench *b) {
    ng_message *in = &b->worker.in;
    normgen_status status = (normgen_status)ng_get_int(in);
    ng_get_text(in, b->product.reason, sizeof b->product.reason);
    b->product.compared = ng_get_int(in);
    b->product.checked = status == NORMGEN_OK && !in->bad;
}

static void mourn(const ng_workshop *shop, bench *b, ng_outcome outcome) {
    char how[400];
    const char *at = b->product.made ? "checking" : "compiling";
    if (outcome == NG_LATE)
        snprintf(how, sizeof how, "no answer after %g s",
                 b->product.made ? shop->check_seconds : shop->make_seconds);
    else
        ng_worker_epitaph(&b->worker, how, sizeof how);
    snprintf(b->product.reason, sizeof b->product.reason, "worker, %s: %s", at, how);
    ng_worker_stop(&b->worker);
}

/* A worker that does not even greet says nothing about its order: another one gets it, unless that
 * has happened too often. */
static normgen_status stillborn(ng_workshop *shop, bench *b) {
    char how[400];
    ng_worker_epitaph(&b->worker, how, sizeof how);
    ng_worker_stop(&b->worker);
    if (++shop->stillborn < STILLBORN_MOST) return begin(shop, b);
    return ng_fail(NORMGEN_E_GENERATOR,
                   "normgen-worker does not start, or is of another build than this library: %s",
                   how);
}

static void hear(const ng_workshop *shop, bench *b, ng_outcome outcome, const ng_clients *clients) {
    if (outcome != NG_REPLIED) {
        mourn(shop, b, outcome);
    } else if (!b->product.made) {
        bool more = read_object(b);
        if (more && b->order.check) {
            ng_worker_expect(&b->worker, shop->check_seconds);
            return;
        }
    } else {
        read_check(b);
    }
    deliver(b, clients);
}

/* ---- all benches ---- */

/* Gives orders to those that are free; the number that is busy then. */
static normgen_status hand_out(ng_workshop *shop, const ng_clients *clients, size_t *busy) {
    *busy = 0;
    for (size_t i = 0; i < shop->n; i++) {
        bench *b = &shop->benches[i];
        if (!b->busy && clients->next(clients->ctx, &b->order)) {
            normgen_status status = begin(shop, b);
            if (status != NORMGEN_OK) return status;
        }
        *busy += b->busy;
    }
    return NORMGEN_OK;
}

static void abandon(ng_workshop *shop) {
    for (size_t i = 0; i < shop->n; i++)
        if (shop->benches[i].busy) {
            drop_product(&shop->benches[i]);
            ng_worker_stop(&shop->benches[i].worker);
        }
}

normgen_status ng_workshop_run(ng_workshop *shop, const ng_clients *clients) {
    for (;;) {
        ng_worker *waiting[BENCHES_MOST];
        size_t busy, which = 0;
        normgen_status status = hand_out(shop, clients, &busy);
        if (status != NORMGEN_OK) abandon(shop);
        if (status != NORMGEN_OK || busy == 0) return status;
        for (size_t i = 0; i < shop->n; i++)
            waiting[i] = shop->benches[i].busy ? &shop->benches[i].worker : NULL;
        ng_outcome outcome = ng_workers_wait(waiting, shop->n, clients->stop, &which);
        if (outcome == NG_STOPPED) {
            abandon(shop);
            return ng_fail(NORMGEN_E_INTERRUPTED, "stopped on request");
        }
        bench *b = &shop->benches[which];
        if (outcome != NG_REPLIED && !b->worker.greeted) {
            status = stillborn(shop, b);
            if (status == NORMGEN_OK) continue;
            abandon(shop);
            return status;
        }
        shop->stillborn = 0;
        hear(shop, b, outcome, clients);
    }
}
