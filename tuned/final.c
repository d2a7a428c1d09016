/* SPDX-License-Identifier: Apache-2.0 */
/* What may be claimed: a stored winner falls only to a kernel whose whole confidence interval lies
 * below it by more than the noise floor; among those that cannot be told from the fastest the
 * simplest wins. So tuning again flips nothing. */
#include "final.h"

#include "candidates.h"
#include "error.h"
#include "limit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* However noisy the machine: a kernel that was this much slower in the median is no tie. */
static const double tie_most = 0.02;
/* Who was this much slower than the leader tells nothing about how fine the final was. */
static const double near_leader = 0.03;

/* How many of the races' fastest are in the final: a race is run in one process, in which a kernel
 * may have been unlucky (ng_race_heats). */
enum { FASTEST = 7, FASTEST_CACHED = 2 };

/* ---- entering ---- */

static bool entered(const ng_final *f, const ng_contender *c) {
    for (size_t i = 0; i < f->entries; i++)
        if (f->entry[i] == c) return true;
    return false;
}

static void enter(ng_final *f, ng_contender *c) {
    if (!c || c->subject->failed || entered(f, c)) return;
    if (f->entries < NG_FINALISTS) f->entry[f->entries++] = c;
}

static bool simpler(const ng_final *f, const ng_contender *a, const ng_contender *b) {
    int order = ng_schedule_compare(f->program, &a->subject->schedule, &b->subject->schedule);
    return order ? order < 0 : a->subject->object.code_bytes < b->subject->object.code_bytes;
}

static bool streams(const ng_final *f, const ng_contender *c) {
    return ng_schedule_any_stream(f->program, &c->subject->schedule);
}

/* The fastest few of a race's survivors and the simplest. */
static void enter_survivors(ng_final *f, ng_contender *const *list, size_t n, size_t few) {
    ng_contender *plain = ng_race_leader(list, n);
    for (size_t i = 0; i < n; i++)
        if (list[i]->in && list[i]->turns && simpler(f, list[i], plain)) plain = list[i];
    for (; few > 0; few--) {
        ng_contender *next = NULL;
        for (size_t i = 0; i < n; i++) {
            ng_contender *c = list[i];
            if (c->in && c->turns && !entered(f, c) && (!next || c->ns < next->ns)) next = c;
        }
        enter(f, next);
    }
    enter(f, plain);
}

normgen_status ng_final_enter(ng_final *f, size_t race_passes) {
    ng_contender *const *all = f->kernels->items;
    ng_contender *leader = ng_race_leader(all, f->kernels->count);
    enter(f, f->preset);
    enter(f, f->incumbent[0]);
    enter(f, f->incumbent[1]);
    enter_survivors(f, all, f->kernels->count, FASTEST);
    if (!leader || !streams(f, leader)) return NORMGEN_OK;
    ng_contender **cached = malloc((f->kernels->count + 1) * sizeof(ng_contender *));
    size_t n = 0;
    if (!cached) return ng_fail(NORMGEN_E_MEMORY, "no memory for the final");
    for (size_t i = 0; i < f->kernels->count; i++)
        if (!all[i]->subject->failed && !streams(f, all[i])) cached[n++] = all[i];
    normgen_status status = ng_race_run(f->race, cached, n, 2, race_passes);
    if (status == NORMGEN_OK) enter_survivors(f, cached, n, FASTEST_CACHED);
    free(cached);
    return status;
}

/* ---- deciding ---- */

typedef struct choice {
    ng_contender *const *list;
    size_t n;
    ng_contender *incumbent;
} choice;

/* Whether a is faster than b beyond doubt. */
static bool beats(const ng_final *f, const ng_contender *a, const ng_contender *b) {
    return ng_race_compare(a, b).high < -log1p(f->race->floor);
}

/* Simplicity is no reason to be slower, beyond doubt, than what would run without tuning. */
static bool slower_than_preset(const ng_final *f, const ng_contender *c) {
    return f->preset && f->preset->in && f->preset->turns > 0 && c != f->preset &&
           ng_race_compare(c, f->preset).low > 0;
}

/* The simplest of a tie, unless what runs without tuning was measured faster than that: then it
 * wins, so that no winner stands below the default in its own table. */
static ng_contender *settle(const ng_final *f, const choice *c, ng_contender *leader,
                            ng_contender *simplest) {
    ng_contender *preset = f->preset;
    if (simplest == leader || !preset || !preset->in || preset->turns == 0) return simplest;
    if (simplest->ns <= preset->ns || leader->ns > preset->ns) return simplest;
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i] == preset) return preset;
    return leader;
}

static ng_contender *decide(const ng_final *f, const choice *c) {
    ng_contender *leader = ng_race_leader(c->list, c->n), *winner = leader;
    ng_contender *incumbent = c->incumbent && c->incumbent->in ? c->incumbent : NULL;
    if (!leader) return NULL;
    if (incumbent && (leader == incumbent || !beats(f, leader, incumbent))) return incumbent;
    bool bounded = !slower_than_preset(f, leader); /* the leader of the cached ones may be */
    double tie = log1p(f->race->floor < tie_most ? f->race->floor : tie_most);
    for (size_t i = 0; i < c->n; i++) {
        ng_contender *x = c->list[i];
        if (!x->in || x == leader || ng_race_compare(x, leader).middle > tie) continue;
        if (bounded && slower_than_preset(f, x)) continue;
        if (incumbent && !beats(f, x, incumbent)) continue;
        if (simpler(f, x, winner)) winner = x;
    }
    return settle(f, c, leader, winner);
}

static void add_winner(ng_unit_result *r, ng_slot slot, const ng_contender *c) {
    if (!c) return;
    ng_winner *w = &r->winners[r->n_winners++];
    *w = (ng_winner){.slot = slot, .ns = c->ns, .pairs = (int64_t)c->turns};
    memcpy(w->schedule, c->subject->text, sizeof w->schedule);
}

/* The copies that were fastest in their race, and the one that must be there. */
static size_t enter_limits(const ng_final *f, ng_contender **list) {
    size_t n = ng_race_best(f->limits->items, f->limits->count, list, NG_LIMITS_LEFT);
    bool there = !f->copy || f->copy->subject->failed;
    for (size_t i = 0; i < n; i++) there = there || list[i] == f->copy;
    if (!there) list[n++] = f->copy;
    return n;
}

/* Half the widest interval of who is near the leader: what a second final may find otherwise. The
 * leader is the luckiest of several, so its own interval alone would claim too much. */
static double resolution(const ng_final *f, const ng_contender *leader) {
    double widest = 0;
    for (size_t i = 0; i < f->entries && leader; i++) {
        const ng_contender *c = f->entry[i];
        if (c == leader || !c->in || c->turns == 0) continue;
        ng_interval v = ng_race_compare(c, leader);
        if (v.middle < near_leader) widest = fmax(widest, (v.high - v.low) / 2);
    }
    return fmin(expm1(widest), ng_floor_most);
}

normgen_status ng_final_run(ng_final *f, ng_unit_result *r) {
    ng_contender *list[NG_FINALISTS + NG_LIMITS_LEFT + 1], *cached[NG_FINALISTS];
    size_t n = f->entries, n_cached = 0;
    memcpy(list, f->entry, n * sizeof list[0]);
    size_t limits = enter_limits(f, list + n);
    normgen_status status = ng_race_heats(f->race, list, n + limits, f->passes, f->heats);
    if (status != NORMGEN_OK) return status;
    for (size_t i = 0; i < n; i++)
        if (!streams(f, list[i])) cached[n_cached++] = list[i];
    f->race->floor = fmax(f->race->floor, resolution(f, ng_race_leader(list, n)));
    ng_contender *any = decide(f, &(choice){list, n, f->incumbent[0]});
    ng_contender *plain = decide(f, &(choice){cached, n_cached, f->incumbent[1]});
    if (any && !streams(f, any)) plain = any; /* the fastest of all is the fastest of these */
    ng_contender *limit = ng_race_leader(list + n, limits);
    r->n_winners = 0;
    r->best = ng_contender_figure(any);
    r->cached = ng_contender_figure(plain);
    r->limit = ng_contender_figure(limit);
    r->preset = ng_contender_figure(f->preset);
    add_winner(r, NG_SLOT_ANY, any);
    add_winner(r, NG_SLOT_CACHED, plain);
    add_winner(r, NG_SLOT_LIMIT, limit);
    return NORMGEN_OK;
}
