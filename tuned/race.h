/* SPDX-License-Identifier: Apache-2.0 */
/* Racing: who is fastest, found with as few samples as the noise allows. Knows subjects and a
 * meter, neither specs nor stores. */
#ifndef NG_RACE_H
#define NG_RACE_H

#include "meter.h"
#include "rng.h"
#include "stats.h"

enum { NG_HEATS_MOST = 8 };
extern const double ng_floor_most; /* no noise floor is above it */

/* A subject in one unit, with the time of each of its turns (median of the turn's samples). Turns
 * of heats stand behind each other. */
typedef struct ng_contender {
    ng_subject *subject;
    double *turn;
    size_t turns, capacity;
    size_t heats, heat_end[NG_HEATS_MOST]; /* 0 where there was only one */
    size_t samples;                        /* taken in this unit, races and final together */
    double ns, spread;                     /* over `turn`, after ng_contender_sum_up */
    bool in;                               /* not dropped, not failed */
} ng_contender;

typedef struct ng_race {
    const ng_meter *meter;
    const ng_place *place; /* that was entered; heats enter it again. NULL: they cannot */
    double enter_seconds;  /* what that takes, about */
    ng_rng *rng;
    size_t samples; /* of a turn */
    double floor;   /* relative noise floor */
    double jitter;  /* relative standard deviation of one turn */
    double deadline;
    /* Called now and then while measuring; `leader` may be NULL. */
    void (*progress)(void *ctx, const ng_contender *leader);
    void *ctx;
} ng_race;

void ng_contender_fini(ng_contender *contender);
/* Forgets the turns; for a new series that is to be paired. */
void ng_contender_restart(ng_contender *contender);
void ng_contender_sum_up(ng_contender *contender);
/* The fastest that is in, or NULL. */
ng_contender *ng_race_leader(ng_contender *const *list, size_t n);

/* The fastest that are in, fastest first; returns how many. */
size_t ng_race_best(ng_contender *const *list, size_t n, ng_contender **best, size_t most);

/* One turn for each contender that is in, in shuffled order. Failed ones are out afterwards. */
normgen_status ng_race_pass(ng_race *race, ng_contender *const *list, size_t n);
/* Passes until `passes` are done or the deadline is over, at least one: turn i of all contenders
 * belongs together. */
normgen_status ng_race_paired(ng_race *race, ng_contender *const *list, size_t n, size_t passes);
/* The same in so many heats, each a fresh process: whether a kernel is lucky with where its memory
 * and stack lie is decided once for a process, so one heat says nothing about the next run. Later
 * heats are left out when there is no time for them. Keeps of each heat the half of the passes in
 * which the machine was fastest, and of the heats those in which it was not slow throughout, at
 * least half of them. */
normgen_status ng_race_heats(ng_race *race, ng_contender *const *list, size_t n, size_t passes,
                             size_t heats);
/* Measures a subject against itself: sets floor and jitter of the race. */
normgen_status ng_race_noise(ng_race *race, ng_subject *subject, size_t passes);
/* Starts all anew; after 2, 4, 8 … passes drops what is slower than the leader by more than noise
 * explains, until `keep` are left, `passes` are done or the deadline is over. */
normgen_status ng_race_run(ng_race *race, ng_contender *const *list, size_t n, size_t keep,
                           size_t passes);
/* What is reported of a contender; ns 0 when it failed or never ran. */
ng_figure ng_contender_figure(const ng_contender *contender);
/* Paired comparison of a with b over their common turns. With heats the middle is the mean of the
 * heats' medians, and the interval is not narrower than these allow. */
ng_interval ng_race_compare(const ng_contender *a, const ng_contender *b);

#endif
