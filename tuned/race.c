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
static const double floor_least = 0.005;
const double ng_floor_most = 0.10;
/* A heat that is slower than the fastest by so much on average was disturbed from end to end. */
static const double slow_heat = 0.04;

enum {
    GROUP = 8, /* turns of one request: keeps the answer to a stop quick */
    SAMPLES_MOST = 16,
    FIRST_TURNS = 2, /* before the first are dropped */
    FEW_TURNS = 6
};

void ng_contender_fini(ng_contender *c) { free(c->turn); }
void ng_contender_restart(ng_contender *c) {
    c->turns = c->heats = 0;
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
    double sum = 0;
    for (size_t h = 0; h < c->heats; h++) {
        size_t from = h ? c->heat_end[h - 1] : 0, n = c->heat_end[h] - from;
        memcpy(v, c->turn + from, n * sizeof *v);
        sum += log(ng_median(v, n));
    }
    if (c->heats > 1) c->ns = exp(sum / (double)c->heats);
    if (v != few) free(v);
}

ng_contender *ng_race_leader(ng_contender *const *list, size_t n) {
    ng_contender *leader = NULL;
    for (size_t i = 0; i < n; i++)
        if (list[i]->in && list[i]->turns && (!leader || list[i]->ns < leader->ns))
            leader = list[i];
    return leader;
}

size_t ng_race_best(ng_contender *const *list, size_t n, ng_contender **best, size_t most) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        ng_contender *c = list[i];
        if (!c->in || c->turns == 0) continue;
        size_t at = count < most ? count++ : count;
        for (; at > 0 && best[at - 1]->ns > c->ns; at--)
            if (at < most) best[at] = best[at - 1];
        if (at < most) best[at] = c;
    }
    return count;
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

/* ---- heats ---- */

/* How slow the machine was in a pass: logarithms, of all that ran to the end. */
static double pass_level(ng_contender *const *list, size_t n, size_t pass) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i]->in) sum += log(list[i]->turn[pass]);
    return sum;
}

typedef struct level {
    double value;
    size_t pass;
} level;

static int by_level(const void *a, const void *b) {
    double x = ((const level *)a)->value, y = ((const level *)b)->value;
    return (x > y) - (x < y);
}

/* Passes first to last - 1 without the slower half, to `kept`; how many, and how slow on average.
 */
static size_t quiet_half(ng_contender *const *list, size_t n, size_t first, size_t last,
                         level *kept, double *mean) {
    size_t all = last - first, few = all > 3 ? (all + 1) / 2 : all;
    for (size_t i = 0; i < all; i++) kept[i] = (level){pass_level(list, n, first + i), first + i};
    qsort(kept, all, sizeof *kept, by_level);
    *mean = 0;
    for (size_t i = 0; i < few; i++) *mean += kept[i].value / (double)few;
    return few;
}

/* Leaves only the passes `kept` in a contender's turns, which `heat_end` divides. */
static bool keep_turns(ng_contender *c, const level *kept, const size_t *heat_end, size_t heats) {
    size_t n = heat_end[heats - 1];
    double *turn = malloc((n + 1) * sizeof *turn);
    if (!turn) return false;
    for (size_t i = 0; i < n; i++) turn[i] = c->turn[kept[i].pass];
    memcpy(c->turn, turn, n * sizeof *turn);
    free(turn);
    c->turns = n;
    c->heats = heats;
    memcpy(c->heat_end, heat_end, heats * sizeof *heat_end);
    ng_contender_sum_up(c);
    return true;
}

/* A neighbour on the same core slows some kernels down by more than others, for milliseconds or for
 * minutes: what was measured then says nothing about the quiet machine. */
static bool keep_quiet(ng_contender *const *list, size_t n, const size_t *end, size_t heats) {
    size_t count = 0, total = 0, kept_heats = 0, kept_end[NG_HEATS_MOST], part[NG_HEATS_MOST];
    double mean[NG_HEATS_MOST] = {0}, sorted[NG_HEATS_MOST], most;
    for (size_t i = 0; i < n; i++) count += list[i]->in;
    level *all = calloc(end[heats - 1] + 1, sizeof *all), *kept = all;
    if (!all) return false;
    for (size_t h = 0; h < heats; h++) {
        size_t first = h ? end[h - 1] : 0;
        part[h] = quiet_half(list, n, first, end[h], all + first, &mean[h]);
    }
    memcpy(sorted, mean, sizeof sorted);
    most = fmax(ng_median(sorted, heats), sorted[0] + slow_heat * (double)count);
    for (size_t h = 0; h < heats; h++) {
        size_t first = h ? end[h - 1] : 0;
        if (mean[h] > most) continue;
        memmove(kept + total, all + first, part[h] * sizeof *all);
        kept_end[kept_heats++] = total += part[h];
    }
    bool done = true;
    for (size_t i = 0; i < n && done; i++)
        if (list[i]->in) done = keep_turns(list[i], kept, kept_end, kept_heats);
    free(all);
    return done;
}

static normgen_status next_heat(ng_race *race) {
    const ng_meter *m = race->meter;
    m->leave(m->ctx);
    return m->enter(m->ctx, race->place);
}

static size_t turns_of(ng_contender *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (list[i]->in) return list[i]->turns;
    return 0;
}

normgen_status ng_race_heats(ng_race *race, ng_contender *const *list, size_t n, size_t passes,
                             size_t heats) {
    size_t end[NG_HEATS_MOST], done = 0;
    const ng_meter *m = race->meter;
    normgen_status status = NORMGEN_OK;
    if (heats > NG_HEATS_MOST) heats = NG_HEATS_MOST;
    for (size_t i = 0; i < n; i++) ng_contender_restart(list[i]);
    while (done < heats && status == NORMGEN_OK) {
        double begin = m->now(m->ctx), each = (race->deadline - begin) / (double)(heats - done);
        if (done > 0 && (!race->place || each < 2 * race->enter_seconds)) break;
        if (done > 0) status = next_heat(race);
        for (size_t i = 0; i < passes / heats + 1 && status == NORMGEN_OK; i++) {
            if (i > 0 && m->now(m->ctx) > begin + each) break;
            status = ng_race_pass(race, list, n);
        }
        end[done++] = turns_of(list, n);
    }
    if (status == NORMGEN_OK && end[done - 1] > 0 && !keep_quiet(list, n, end, done))
        status = ng_fail(NORMGEN_E_MEMORY, "no memory for timings");
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

/* What the heats say among themselves: their mean with two standard errors (more where there are
 * few), joined with the interval over all turns. */
static ng_interval over_heats(const ng_contender *a, const ng_contender *b, ng_interval all,
                              double *scratch) {
    /* Student's for 95 %; of two heats that would be 12.7, with which nothing is ever claimed. */
    static const double student[NG_HEATS_MOST + 1] = {0,    0,    4.30, 4.30, 3.18,
                                                      2.78, 2.57, 2.45, 2.36};
    double middle[NG_HEATS_MOST], mean = 0, square = 0, n = (double)a->heats;
    for (size_t h = 0; h < a->heats; h++) {
        size_t from = h ? a->heat_end[h - 1] : 0, turns = a->heat_end[h] - from;
        middle[h] = ng_paired(a->turn + from, b->turn + from, turns, scratch).middle;
        mean += middle[h] / n;
    }
    for (size_t h = 0; h < a->heats; h++) square += (middle[h] - mean) * (middle[h] - mean);
    double error = student[a->heats] * sqrt(square / (n - 1) / n);
    return (ng_interval){fmin(all.low, mean - error), mean, fmax(all.high, mean + error)};
}

ng_interval ng_race_compare(const ng_contender *a, const ng_contender *b) {
    size_t n = a->turns < b->turns ? a->turns : b->turns;
    double few[64], *v = n <= 64 ? few : malloc(n * sizeof *v);
    if (!v) return (ng_interval){-HUGE_VAL, 0, HUGE_VAL}; /* nothing can be claimed */
    ng_interval result = ng_paired(a->turn, b->turn, n, v);
    if (a->heats > 1 && a->heats == b->heats && a->turns == b->turns)
        result = over_heats(a, b, result, v);
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
        race->floor = clamp(fmax(-i.low, i.high), floor_least, ng_floor_most);
        race->jitter = clamp(jitter_of(&one, &two), floor_least / 2, ng_floor_most);
    }
    ng_contender_fini(&one);
    ng_contender_fini(&two);
    return status;
}

static double fastest_turn(const ng_contender *c) {
    double least = c->turn[0];
    for (size_t i = 1; i < c->turns; i++) least = fmin(least, c->turn[i]);
    return least;
}

/* Of few turns the fastest counts: what disturbs can only slow down, and who was dropped for it
 * does not come back. */
static void sum_up_few(ng_contender *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (list[i]->in && list[i]->turns) list[i]->ns = fastest_turn(list[i]);
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
    for (size_t done = 0, round = FIRST_TURNS; done < passes; round *= 2) {
        for (size_t i = 0; i < round; i++) {
            normgen_status status = ng_race_pass(race, list, n);
            if (status != NORMGEN_OK) return status;
            done++;
            if (late(race)) break;
        }
        if (done <= FEW_TURNS) sum_up_few(list, n);
        if (drop_slow(race, list, n, done) <= keep || late(race)) break;
    }
    return NORMGEN_OK;
}
