/* SPDX-License-Identifier: Apache-2.0 */
/* What the tuner needs from the world: a clock, kernels made and checked, times. Injected, so that
 * tests replay tuning with a simulated one; live.c has the real one, over worker processes. */
#ifndef NG_METER_H
#define NG_METER_H

#include "gentable.h"

typedef enum ng_subject_kind {
    NG_SUBJECT_KERNEL,
    NG_SUBJECT_LIMIT,  /* the same streams and axes without arithmetic */
    NG_SUBJECT_MEMCPY, /* the C library, where it does the same job as the limit */
    NG_SUBJECT_INTERP
} ng_subject_kind;

/* Something that can be measured. Lives as long as the tuning of its spec. */
typedef struct ng_subject {
    ng_subject_kind kind;
    ng_schedule schedule;
    char text[NG_SCHEDULE_TEXT]; /* as its trial is stored: the schedule, "limit …" or "memcpy" */
    bool ready;                  /* made and checked */
    bool failed;                 /* could not be made, was wrong, crashed or hung: never again */
    char reason[256];            /* why it failed */
    ng_object object;
    uint32_t id, loaded; /* for the meter: a number of its own, where it is loaded */
} ng_subject;

/* Where a unit is measured. */
typedef struct ng_place {
    const normgen_spec *spec;
    const ng_program *program;
    ng_regime regime;
    size_t rows;
    int threads;
    bool whole_space; /* schedules that can hardly pay here are candidates too */
} ng_place;

typedef struct ng_meter {
    void *ctx;
    const ng_cpu *cpu;
    const char *toolchain;
    uint64_t ram;
    /* Facts about the host for the session row, or NULL: called after the first enter. */
    void (*host)(void *ctx, char *text, size_t size);
    /* Nanoseconds of one thread's work from which several threads pay, 0 when that cannot be
     * measured; NULL: never. Not between enter and leave. */
    double (*cutoff)(void *ctx);
    /* Seconds on a monotonic clock. */
    double (*now)(void *ctx);
    /* Makes and checks subjects that are neither ready nor failed, and marks each as one of them.
     * Starts none after the deadline. A failing subject is no error. E_INTERRUPTED, E_GENERATOR
     * when nothing can be made at all. */
    normgen_status (*prepare)(void *ctx, const ng_place *place, ng_subject *const *subjects,
                              size_t n, double deadline);
    /* Gets the buffers of a place ready; one place at a time. leave() is fine at any time. */
    normgen_status (*enter)(void *ctx, const ng_place *place);
    void (*leave)(void *ctx);
    /* Measures each subject in this order, a turn of `samples` samples each after a warm-up;
     * ns[i * samples + j] are nanoseconds per row. A subject that crashes or hangs is marked failed
     * and its samples are NAN. */
    normgen_status (*measure)(void *ctx, ng_subject *const *order, size_t n, size_t samples,
                              double *ns);
} ng_meter;

#endif
