/* SPDX-License-Identifier: Apache-2.0 */
/* The race. Every round gives every contender that is left its turns in a new random order, so
 * drift and after-effects of the neighbour fall on all alike. */
#include "race.h"

#include "error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Below this the clock, alignment and page placement decide, not the schedule; above the upper one
 * the machine is too busy to say anything finer. */
static const double floor_least = 0.005, floor_most = 0.10;

enum { GROUP = 8 /* turns of one request: keeps the answer to a stop quick */, SAMPLES_MOST = 16 };

void ng_contender_fini(ng_contender *c) { free(c->turn); }
void ng_contender_restart(ng_contender *c) {
    c->turns = 0;
    c->in = !c->subject->failed;
}

static bool add_turn(ng_contender *c, double ns) {
    if (c->turns == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 16;
        double *turn = realloc(c->turn, capacity * sizeof *turn);
        if (!turn) return false;
        c->turn = turn;
        c->capacity = capacity;
    }
    c->turn[c->turns++] = ns;
    return true;
}

void ng_contender_sum_up(ng_contender *c) {
    double few[64], *v = c->turns <= 64 ? few : malloc(c->turns * sizeof *v);
    if (c->turns == 0 || !v) return;
    memcpy(v, c->turn, c->turns * sizeof *v);
    c->ns = ng_median(v, c->turns);
    c->spread = ng_spread(v, c->turns);
    if (v != few) free(v);
}

ng_contender *ng_race_leader(ng_contender *const *list, size_t n) {
    ng_contender *leader = NULL;
    for (size_t i = 0; i < n; i++)
        if (list[i]->in && list[i]->turns && (!leader || list[i]->ns < leader->ns))
            leader = list[i];
    return leader;
}

static void shuffle(ng_rng *rng, ng_contender **list, size_t n) {
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)ng_rng_below(rng, i);
        ng_contender *t = list[i - 1];
        list[i - 1] = list[j];
        list[j] = t;
    }
}

/* One request to the meter. */
static normgen_status measure_group(ng_race *race, ng_contender *const *group, size_t n) {
    ng_subject *order[GROUP] = {NULL};
    double ns[GROUP * SAMPLES_MOST];
    size_t k = race->samples;
    for (size_t i = 0; i < n; i++) order[i] = group[i]->subject;
    normgen_status status = race->meter->measure(race->meter->ctx, order, n, k, ns);
    for (size_t i = 0; i < n && status == NORMGEN_OK; i++) {
        ng_contender *c = group[i];
        c->samples += k;
        if (c->subject->failed)
            c->in = false;
        else if (!add_turn(c, ng_median(ns + i * k, k)))
            status = ng_fail(NORMGEN_E_MEMORY, "no memory for timings");
    }
    return status;
}

normgen_status ng_race_pass(ng_race *race, ng_contender *const *list, size_t n) {
    ng_contender **order = malloc((n + 1) * sizeof *order);
    if (!order) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu contenders", n);
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i]->in) order[left++] = list[i];
    shuffle(race->rng, order, left);
    normgen_status status = NORMGEN_OK;
    for (size_t i = 0; i < left && status == NORMGEN_OK; i += GROUP) {
        status = measure_group(race, order + i, left - i < GROUP ? left - i : GROUP);
        if (race->progress) race->progress(race->ctx, ng_race_leader(list, n));
    }
    free(order);
    for (size_t i = 0; i < n; i++) ng_contender_sum_up(list[i]);
    return status;
}

static bool late(const ng_race *race) {
    return race->meter->now(race->meter->ctx) >= race->deadline;
}

normgen_status ng_race_paired(ng_race *race, ng_contender *const *list, size_t n, size_t passes) {
    normgen_status status = NORMGEN_OK;
    for (size_t i = 0; i < n; i++) ng_contender_restart(list[i]);
    for (size_t i = 0; i < passes && status == NORMGEN_OK; i++) {
        if (i > 0 && late(race)) break;
        status = ng_race_pass(race, list, n);
    }
    return status;
}

ng_figure ng_contender_figure(const ng_contender *c) {
    ng_figure figure = {0};
    if (!c || c->subject->failed || c->turns == 0) return figure;
    memcpy(figure.schedule, c->subject->text, sizeof figure.schedule);
    figure.ns = c->ns;
    figure.spread = c->spread;
    return figure;
}

ng_interval ng_race_compare(const ng_contender *a, const ng_contender *b) {
    size_t n = a->turns < b->turns ? a->turns : b->turns;
    double few[64], *v = n <= 64 ? few : malloc(n * sizeof *v);
    if (!v) return (ng_interval){-HUGE_VAL, 0, HUGE_VAL}; /* nothing can be claimed */
    ng_interval result = ng_paired(a->turn, b->turn, n, v);
    if (v != few) free(v);
    return result;
}

/* Standard deviation of one turn from the quartiles' distance (1.349 of them in a normal
 * distribution). */
static double jitter_of(const ng_contender *a, const ng_contender *b) {
    return (a->spread > b->spread ? a->spread : b->spread) / 1.349;
}

static double clamp(double v, double least, double most) {
    return v < least ? least : v > most ? most : v;
}

normgen_status ng_race_noise(ng_race *race, ng_subject *subject, size_t passes) {
    ng_contender one = {.subject = subject}, two = {.subject = subject};
    ng_contender *twins[] = {&one, &two};
    normgen_status status = ng_race_paired(race, twins, 2, passes);
    if (status == NORMGEN_OK && !subject->failed) {
        ng_interval i = ng_race_compare(&one, &two);
        race->floor = clamp(fmax(-i.low, i.high), floor_least, floor_most);
        race->jitter = clamp(jitter_of(&one, &two), floor_least / 2, floor_most);
    }
    ng_contender_fini(&one);
    ng_contender_fini(&two);
    return status;
}

/* The median of n turns scatters with about 1.25 jitter / sqrt(n), a difference of two with sqrt(2)
 * of that; three deviations lose the best of a few hundred rarely. */
static size_t drop_slow(ng_race *race, ng_contender *const *list, size_t n, size_t turns) {
    const ng_contender *leader = ng_race_leader(list, n);
    double slack = race->floor + 3 * 1.25 * race->jitter * sqrt(2 / (double)turns);
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i]->in && leader && list[i]->ns > leader->ns * (1 + slack)) list[i]->in = false;
        left += list[i]->in;
    }
    return left;
}

normgen_status ng_race_run(ng_race *race, ng_contender *const *list, size_t n, size_t keep,
                           size_t passes) {
    for (size_t i = 0; i < n; i++) ng_contender_restart(list[i]);
    for (size_t done = 0, round = 1; done < passes; round *= 2) {
        for (size_t i = 0; i < round; i++) {
            normgen_status status = ng_race_pass(race, list, n);
            if (status != NORMGEN_OK) return status;
            done++;
            if (late(race)) break;
        }
        if (drop_slow(race, list, n, done) <= keep || late(race)) break;
    }
    return NORMGEN_OK;
}
