/* SPDX-License-Identifier: Apache-2.0 */
/* Handles and kernel handles. Everything that a call needs was computed when its kernel handle was
 * made: a call compares a row count and a few address bits, then jumps. Of a kernel handle nothing
 * but the pointer to its plan changes after normgen_get; older plans live as long as the handle. */
#ifndef NG_DISPATCH_H
#define NG_DISPATCH_H

#include "choose.h"
#include "genload.h"

#include <pthread.h>
#include <stdatomic.h>

/* What serves one regime. */
typedef struct ng_entry {
    normgen_fn any;    /* the fastest one, for addresses that fit; NULL: the interpreter */
    normgen_fn cached; /* for all addresses */
    int streamed;      /* outputs whose base and strides `any` needs aligned */
    struct {
        uint16_t stream, mask; /* alignment - 1 */
    } aligned[NORMGEN_MAX_STREAMS];
    int block;                        /* rows that they work on together; 0: not known */
    ng_rung rung;                     /* of `any` */
    int threads;                      /* that the winner was measured with, 0: no winner */
    char text[NG_SCHEDULE_TEXT + 16]; /* "compiled vec=512 ..." or "interpreter" */
} ng_entry;

/* From how many rows on threads are used. */
typedef struct ng_cutoff {
    size_t parallel_rows; /* fewer run on one thread */
    size_t waking_rows;   /* fewer do not wake a team that sleeps */
    size_t share_rows;    /* a thread gets at least so many */
} ng_cutoff;

/* Two numbers of threads, two slots, and the same once more from the plan before. */
#define NG_PLAN_KERNELS (2 * 2 * 2 * NG_REGIME_COUNT)

/* What serves every regime. Never written to once it can be seen. */
typedef struct ng_plan {
    ng_entry alone[NG_REGIME_COUNT]; /* for one thread */
    ng_entry team[NG_REGIME_COUNT];  /* for as many as normgen_get found */
    ng_cutoff cutoff;
    struct ng_plan *older; /* the plan that this one replaced: a call may still use it */
    struct {               /* what was compiled for this plan or an older one */
        ng_schedule schedule;
        normgen_fn fn;
    } made[NG_PLAN_KERNELS];
    int count;
} ng_plan;

/* When the default team worked last: threads fall asleep when nothing comes for a while. */
typedef struct ng_team_state {
    uint64_t awake_ns;            /* how long they wait awake */
    atomic_uint_least64_t worked; /* end of the last call of the team, on the monotonic clock */
    atomic_uint_least64_t asked;  /* the last call that could have used it */
    atomic_uint_least32_t saved;  /* calls since that ran alone, in 2^-16 of waking it */
} ng_team_state;

struct normgen_kernel {
    const normgen *ng;
    ng_team_state *team_state; /* of ng */
    ng_interp_fn interp;
    size_t max_rows[NG_REGIME_COUNT]; /* rows of a call on one thread, ascending */
    ng_program program;
    _Atomic(ng_plan *) plan; /* &first, or a newer one on the heap */
    ng_plan first;           /* filled in by a provider */
    normgen_spec spec;       /* resolved */
    const char *provider;
    struct normgen_kernel *next;
};

/* The plan of a call: read once, so that a call is of one plan from beginning to end. */
static inline const ng_plan *ng_plan_of(const normgen_kernel *k) {
    return atomic_load_explicit(&k->plan, memory_order_acquire);
}

/* Threads of a host. */
typedef struct ng_pool {
    normgen_parallel_for fn; /* NULL: the default team */
    void *ctx;
    int threads;
} ng_pool;

/* A registered bundle. */
typedef struct ng_bundle_link {
    const struct normgen_bundle *bundle;
    void *library; /* of normgen_open_bundle, else NULL */
    struct ng_bundle_link *next;
} ng_bundle_link;
void ng_bundles_free(ng_bundle_link *list);

#define NG_STORE_PATH 4096

struct normgen {
    pthread_mutex_t lock; /* over all that follows, but for pool and team */
    ng_pool pool;
    ng_team_state team;
    const ng_cpu *cpu;
    double cutoff;             /* see NG_CUTOFF_DEFAULT; 0: not looked up yet */
    char store[NG_STORE_PATH]; /* "": none */
    int mode;                  /* NORMGEN_MODE_DEFAULT: compile when the generator is found */
    bool strict;
    normgen_log_fn log;
    void *log_ctx;
    uint32_t told; /* warnings that were given, one bit each */
    normgen_counters counters;
    const ng_gen_table *gen; /* with jit: loaded at the first compile */
    ng_jit *jit;
    bool no_code; /* the system forbids executable memory */
    normgen_kernel *kernels;
    struct ng_background *background; /* mode tune, from the first kernel on that wants it */
    ng_bundle_link *bundles;          /* in the order of registration */
};

/* Warnings that a handle gives once each. */
typedef enum ng_topic {
    NG_ABOUT_STORE,
    NG_ABOUT_NOTE,
    NG_ABOUT_SCHEDULE,
    NG_ABOUT_GENERATOR,
    NG_ABOUT_CODE,
    NG_ABOUT_COMPILE,
    NG_ABOUT_TUNING
} ng_topic;
void ng_warn_once(normgen *ng, ng_topic about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ng_inform(const normgen *ng, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A provider: fills in the entries of a fresh kernel handle. Declines with a status and the reason
 * as error text. */
normgen_status ng_bundled_kernel(normgen *ng, normgen_kernel *kernel);
normgen_status ng_compiled_kernel(normgen *ng, normgen_kernel *kernel);

/* Looks again what the store has and replaces the plan of a kernel that ng_compiled_kernel made,
 * when it has better. Under ng->lock; on failure the plan stays. */
normgen_status ng_compiled_renew(normgen *ng, normgen_kernel *kernel);
/* Whether some regime has no winner of this machine for so many threads. */
bool ng_plan_wants_tuning(const normgen_kernel *kernel, int threads);

/* Makes a kernel handle that the interpreter serves; spec is resolved. Needs neither store nor
 * generator. */
void ng_kernel_init(normgen_kernel *kernel, normgen *ng, const ng_cpu *cpu,
                    const normgen_spec *spec);
/* Nanoseconds that a call must take on one thread for several to be faster, where no tuner measured
 * it: two threads halve the time and a call of them costs about 2 us. */
#define NG_CUTOFF_DEFAULT 4096.0
/* The row counts of that. row_ns: of one row on one thread, by regime; NULL, or 0 in it: not known.
 */
ng_cutoff ng_kernel_cutoff(const normgen_kernel *kernel, double cutoff, const double *row_ns);
/* Threads that normgen_run_parallel would use for a big call from here. */
int ng_pool_threads(const normgen *ng);

#endif
