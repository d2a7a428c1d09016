/* SPDX-License-Identifier: Apache-2.0 */
/* Two counters: `round` is raised to start a piece of work, `done` counts who has finished it and
 * who is ready. A crew of one touches neither. */
#include "crew.h"

#include "error.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SPINS = 4096 /* then the core is offered to others: there may be fewer than it seems */ };

typedef struct crew_member {
    ng_crew *crew;
    pthread_t thread;
    int number, core;
} crew_member;

struct ng_crew {
    int n, started;
    void (*work)(void *ctx, int member);
    void *ctx;
    atomic_uint round, ready;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool awake, leave; /* under lock; the others also see `resting` while they spin */
    atomic_bool resting;
    crew_member *members;
};

static void pause_a_little(unsigned *spins) {
    if (++*spins >= SPINS) {
        sched_yield();
        *spins = 0;
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

static bool sleep_until_woken(ng_crew *c) {
    pthread_mutex_lock(&c->lock);
    while (!c->awake && !c->leave) pthread_cond_wait(&c->wake, &c->lock);
    bool stay = !c->leave;
    pthread_mutex_unlock(&c->lock);
    return stay;
}

static void *serve(void *argument) {
    crew_member *m = argument;
    ng_crew *c = m->crew;
    while (sleep_until_woken(c)) {
        for (;;) {
            unsigned seen = atomic_load(&c->round), spins = 0;
            atomic_fetch_add(&c->ready, 1);
            while (atomic_load(&c->round) == seen) pause_a_little(&spins);
            if (atomic_load(&c->resting)) break;
            c->work(c->ctx, m->number);
        }
        atomic_fetch_add(&c->ready, 1); /* gone to sleep: ng_crew_rest waits for it */
    }
    return NULL;
}

static bool pin(pthread_t thread, int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    return pthread_setaffinity_np(thread, sizeof set, &set) == 0;
}

/* The last cores first: interrupts and other people's work prefer the first. */
static int choose_cores(ng_crew *c) {
    cpu_set_t set;
    int found = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    for (int core = CPU_SETSIZE - 1; core >= 0 && found < c->n; core--)
        if (CPU_ISSET((size_t)core, &set)) c->members[found++].core = core;
    return found;
}

static normgen_status start(ng_crew *c) {
    int cores = choose_cores(c);
    if (cores < c->n)
        return ng_fail(NORMGEN_E_UNSUPPORTED,
                       "%d threads asked for, but this process may use %d "
                       "cores; use --threads %d or less",
                       c->n, cores, cores);
    for (int i = 0; i < c->n; i++) {
        crew_member *m = &c->members[i];
        m->crew = c;
        m->number = i;
        m->thread = pthread_self();
        if (i > 0 && pthread_create(&m->thread, NULL, serve, m) != 0)
            return ng_fail(NORMGEN_E_MEMORY, "thread %d of %d cannot be started", i + 1, c->n);
        c->started = i;
        if (!pin(m->thread, m->core))
            return ng_fail(NORMGEN_E_UNSUPPORTED, "a thread cannot be pinned to core %d", m->core);
    }
    return NORMGEN_OK;
}

normgen_status ng_crew_new(int n, void (*work)(void *ctx, int member), void *ctx, ng_crew **made) {
    ng_crew *c = calloc(1, sizeof *c);
    if (c) c->members = calloc((size_t)n, sizeof *c->members);
    if (!c || !c->members) {
        free(c);
        return ng_fail(NORMGEN_E_MEMORY, "no memory for %d threads", n);
    }
    c->n = n;
    c->work = work;
    c->ctx = ctx;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    normgen_status status = start(c);
    if (status != NORMGEN_OK)
        ng_crew_free(c);
    else
        *made = c;
    return status;
}

void ng_crew_free(ng_crew *c) {
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->leave = true;
    pthread_cond_broadcast(&c->wake);
    pthread_mutex_unlock(&c->lock);
    for (int i = 1; i <= c->started; i++) pthread_join(c->members[i].thread, NULL);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c->members);
    free(c);
}

void ng_crew_wake(ng_crew *c) {
    if (c->n == 1) return;
    atomic_store(&c->ready, 0);
    atomic_store(&c->resting, false);
    pthread_mutex_lock(&c->lock);
    c->awake = true;
    pthread_cond_broadcast(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void ng_crew_gather(ng_crew *c) {
    unsigned others = (unsigned)c->n - 1, spins = 0;
    while (others && atomic_load(&c->ready) != others) pause_a_little(&spins);
}

/* Those who have finished wait for the next round, which makes them ready. */
void ng_crew_work(ng_crew *c) {
    if (c->n > 1) {
        atomic_store(&c->ready, 0);
        atomic_fetch_add(&c->round, 1);
    }
    c->work(c->ctx, 0);
    ng_crew_gather(c);
}

void ng_crew_rest(ng_crew *c) {
    if (c->n == 1) return;
    ng_crew_gather(c);
    pthread_mutex_lock(&c->lock);
    c->awake = false;
    pthread_mutex_unlock(&c->lock);
    atomic_store(&c->ready, 0);
    atomic_store(&c->resting, true);
    atomic_fetch_add(&c->round, 1);
    ng_crew_gather(c);
}

int ng_crew_core(const ng_crew *c, int number) { return c->members[number].core; }
