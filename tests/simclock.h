/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated machine for the tuner: every kernel has a true time, samples scatter around it, the
 * clock is a number. What it answers depends on its seed and on the place alone, so that a job that
 * is interrupted and continued sees what an uninterrupted one sees. */
#ifndef NG_TESTS_SIMCLOCK_H
#define NG_TESTS_SIMCLOCK_H

#include "meter.h"
#include "rng.h"
#include "store.h"

typedef struct sim sim;
struct sim {
    ng_meter meter;
    ng_cpu cpu;
    uint64_t seed;
    double clock;
    double noise; /* relative standard deviation of a sample, about */
    double luck;  /* by how much at most a kernel is slower throughout one measuring process */
    /* True nanoseconds per row. */
    double (*model)(const sim *s, const ng_place *place, const ng_subject *subject);
    /* Says how a subject fails when it is made; NULL when it does not. May itself be NULL. */
    const char *(*breaks)(const sim *s, const ng_subject *subject);
    /* The same for when it is measured. */
    const char *(*crashes)(const sim *s, const ng_subject *subject);
    size_t planted_bytes; /* of code, of the planted schedule; 0: as all */
    const char *planted;  /* for models: a schedule text */
    double factor;        /* and what its time is multiplied with */
    ng_place place;
    const normgen_spec *making; /* while something is made */
    ng_rng rng;
    bool entered;
    size_t processes;      /* that this place was entered with */
    size_t made, measured; /* subjects, turns */
    long pause_us;         /* real microseconds that a request takes, for tests that kill */
    volatile int stop;
};

/* A machine with AVX-512, 48 KiB, 2 MiB and 32 MiB of caches. */
void sim_init(sim *s, uint64_t seed);

/* Models: all kernels alike; or an ideal schedule per regime, every axis away from it costs 4 %;
 * the limit takes 0.8 of a kernel. Both apply planted and factor. */
double sim_flat(const sim *s, const ng_place *place, const ng_subject *subject);
double sim_hills(const sim *s, const ng_place *place, const ng_subject *subject);

/* Everything that a job told. */
typedef struct sim_log {
    size_t results, skips, notes, progress;
    ng_event result[8]; /* texts and spec are not valid any more */
    char last_note[512], last_skip[512];
    volatile int *stop_after; /* set to 1 ... */
    size_t stop_results;      /* ... at this result */
} sim_log;

typedef struct sim_job {
    ng_spec_list specs;
    sim_log log;
    ng_tune_request request;
} sim_job;

/* A job for one spec text, normal effort, seed 1, no store. */
void sim_job_init(sim_job *job, sim *s, const char *spec);
void sim_job_fini(sim_job *job);
normgen_status sim_tune(sim_job *job, sim *s);
#define SIM_SPEC "rms hidden=1024 eps=1e-05"
#define SIM_L2_ROWS 64 /* l2 on the simulated machine */
/* Makes a job for SIM_SPEC with that store and as many rows (0: every regime), and runs it. */
normgen_status sim_tune_once(sim *s, sim_job *job, const char *store, int64_t rows);

/* All effective winners of a store as lines, with times; the caller frees. */
char *sim_winners(const char *path);
/* Trials of a unit. */
size_t sim_count_trials(const char *path, const ng_unit *unit, bool valid, const char *reason);

#endif
