/* SPDX-License-Identifier: Apache-2.0 */
/* Two scans of the store at most: the winners of this spec, then, where a place is still empty,
 * those of all specs for the nearest hidden; then the same with the winners that the library has
 * inside. Every row gets a rank, the best one that is legal stays. It must not know what serves a
 * call, or that there is a generator. */
#include "choose.h"

#include "error.h"
#include "shipped.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const ng_rung_names[NG_RUNG_COUNT] = {"this machine",   "same ISA and cache class",
                                                  "same ISA",       "nearest hidden",
                                                  "shipped winner", "built-in default"};

/* ---- machines ---- */

/* The value of " key=" in a machine text, cut at the next blank; false when it is not there. */
static bool machine_field(const char *machine, const char *key, char *value, size_t size) {
    const char *at = strstr(machine, key);
    if (!at) return false;
    at += strlen(key);
    size_t n = strcspn(at, " ");
    if (n == 0 || n >= size) return false;
    memcpy(value, at, n);
    value[n] = 0;
    return true;
}

/* Neither is twice the other. */
static bool same_class(double a, double b) { return a < 2 * b && b < 2 * a; }

static bool same_cache(const char *machine, const char *key, size_t ours) {
    char value[32], *unit;
    if (!machine_field(machine, key, value, sizeof value)) return false;
    double bytes = strtod(value, &unit);
    if (*unit == 'K') bytes *= 1024;
    if (*unit == 'M') bytes *= 1024 * 1024;
    return same_class(bytes, (double)ours);
}

ng_rung ng_machine_rung(const ng_cpu *cpu, const char *machine) {
    char ours[NG_MACHINE_TEXT], level[64];
    ng_cpu_machine_text(cpu, ours);
    if (strcmp(ours, machine) == 0) return NG_RUNG_MACHINE;
    if (!machine_field(machine, " isa=", level, sizeof level)) return NG_RUNG_DEFAULT;
    const ng_isa *isa = ng_isa_find(level);
    /* Levels with the same vectors count as the same: v4 with and without bf16. */
    if (!isa || !ng_cpu_runs(cpu, isa) || isa->max_vec != cpu->isa->max_vec) return NG_RUNG_DEFAULT;
    bool caches = same_cache(machine, " l1d=", cpu->l1d) && same_cache(machine, " l2=", cpu->l2) &&
                  same_cache(machine, " llc=", cpu->llc);
    return caches ? NG_RUNG_CACHES : NG_RUNG_ISA;
}

/* ---- ranks ---- */

/* Compared member by member, smaller is better; winners of one rank are told apart by
 * newer_winner. */
typedef struct rank {
    int rung;
    double distance; /* see spec_distance */
    int machine;     /* rung of the machine alone */
    int threads;     /* negated: the most that are not too many */
    int toolchain;   /* 0: ours */
} rank;

static int rank_compare(const rank *a, const rank *b) {
    if (a->rung != b->rung) return a->rung < b->rung ? -1 : 1;
    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    if (a->machine != b->machine) return a->machine < b->machine ? -1 : 1;
    if (a->threads != b->threads) return a->threads < b->threads ? -1 : 1;
    return a->toolchain - b->toolchain;
}

/* The order of effective winners: effort, pairs, start, uuid. */
static bool newer_winner(const ng_found *a, const ng_found *b) {
    if (a->effort != b->effort) return a->effort > b->effort;
    if (a->winner.pairs != b->winner.pairs) return a->winner.pairs > b->winner.pairs;
    int started = strcmp(a->started, b->started);
    return started ? started > 0 : strcmp(a->session, b->session) > 0;
}

/* ---- scans ---- */

typedef struct scan {
    const ng_cpu *cpu;
    const normgen_spec *spec;
    const ng_program *program;
    const char *toolchain;
    int threads;
    bool near;    /* second scan: other hiddens */
    bool shipped; /* of what the library has inside */
    ng_choices *out;
    rank best[NG_REGIME_COUNT][NG_SLOT_CACHED + 1];
    /* the rows come sorted, so what the last one meant is worth keeping */
    char last_spec[NORMGEN_SPEC_TEXT], last_machine[NG_MACHINE_TEXT];
    double last_distance; /* -1: not our spec at another hidden */
    ng_rung last_rung;
} scan;

/* What a row moves and how often it is passed over: on that, not on what is computed, it depends
 * which schedule is good. */
static bool same_shape(const ng_program *a, const ng_program *b) {
    if (a->compute != b->compute || a->lanes != b->lanes || a->passes != b->passes ||
        a->keeps != b->keeps)
        return false;
    int i = 0, j = 0;
    for (;; i++, j++) {
        while (i < a->streams && !ng_stream_moves(&a->stream[i])) i++;
        while (j < b->streams && !ng_stream_moves(&b->stream[j])) j++;
        if (i == a->streams || j == b->streams) break;
        if (a->stream[i].type != b->stream[j].type || a->stream[i].out != b->stream[j].out)
            return false;
    }
    return i == a->streams && j == b->streams;
}

/* How far a spec is from ours: |log2| of the ratio of the hiddens when they differ in that and eps
 * only; half a step more when they differ in more, but not in shape. -1: too far, or the same. */
static double spec_distance(const scan *s, const char *text) {
    normgen_spec other;
    ng_program program;
    if (normgen_spec_parse(&other, text) != NORMGEN_OK || ng_spec_same(s->spec, &other)) return -1;
    double distance = fabs(log2((double)other.hidden / (double)s->spec->hidden));
    normgen_spec moved = other;
    moved.hidden = s->spec->hidden;
    moved.eps = s->spec->eps;
    if (ng_spec_same(s->spec, &moved)) return distance;
    ng_program_build(&program, &other);
    return same_shape(s->program, &program) ? distance + 0.5 : -1;
}

static bool rank_of(scan *s, const ng_found *f, rank *r) {
    if (strcmp(s->last_machine, f->machine) != 0) {
        snprintf(s->last_machine, sizeof s->last_machine, "%s", f->machine);
        s->last_rung = ng_machine_rung(s->cpu, f->machine);
    }
    if (s->near && strcmp(s->last_spec, f->spec) != 0) {
        snprintf(s->last_spec, sizeof s->last_spec, "%s", f->spec);
        s->last_distance = spec_distance(s, f->spec);
    }
    if (s->last_rung == NG_RUNG_DEFAULT || f->threads > s->threads || f->threads < 1) return false;
    if (s->near && s->last_distance < 0) return false;
    *r = (rank){.rung = (int)(s->shipped ? NG_RUNG_SHIPPED
                              : s->near  ? NG_RUNG_HIDDEN
                                         : s->last_rung),
                .distance = s->near ? s->last_distance : 0,
                .machine = (int)s->last_rung,
                .threads = -f->threads,
                .toolchain = s->toolchain && strcmp(s->toolchain, f->toolchain) != 0};
    return true;
}

static bool streams(const ng_program *p, const ng_schedule *s) {
    for (int i = 0; i < p->streams; i++)
        if (p->stream[i].out && ng_schedule_alignment(p, s, i) > 1) return true;
    return false;
}

/* Whether the text is a schedule that may stand in the slot; if not, the error text says why. */
static bool usable(const scan *s, const ng_found *f, ng_schedule *schedule) {
    char reason[NG_SCHEDULE_TEXT];
    if (ng_schedule_parse(s->program, f->winner.schedule, schedule) != NORMGEN_OK) return false;
    if (!ng_schedule_legal(s->program, s->cpu->isa, schedule, reason)) {
        ng_fail(NORMGEN_E_SCHEDULE, "schedule '%s' is not legal: %s", f->winner.schedule, reason);
        return false;
    }
    if (f->winner.slot != NG_SLOT_CACHED || !streams(s->program, schedule)) return true;
    ng_fail(NORMGEN_E_SCHEDULE, "schedule '%s' streams, which slot %s must not", f->winner.schedule,
            ng_slot_names[NG_SLOT_CACHED]);
    return false;
}

/* One winner of the store. What was won with another hidden may well be illegal here: no trouble.
 */
static bool consider(void *ctx, const ng_found *f) {
    scan *s = ctx;
    rank r;
    ng_schedule schedule;
    if (f->winner.slot > NG_SLOT_CACHED || (unsigned)f->regime >= NG_REGIME_COUNT) return true;
    if (!rank_of(s, f, &r)) return true;
    ng_choice *choice = &s->out->at[f->regime][f->winner.slot];
    rank *best = &s->best[f->regime][f->winner.slot];
    if (!usable(s, f, &schedule)) {
        if (s->near || s->shipped) return true;
        s->out->ignored++;
        snprintf(s->out->why, sizeof s->out->why, "%s", normgen_error());
        return true;
    }
    int order = rank_compare(&r, best);
    if (order > 0 || (order == 0 && !newer_winner(f, &choice->found))) return true;
    *best = r;
    *choice = (ng_choice){schedule, (ng_rung)r.rung, *f};
    return true;
}

void ng_choose_defaults(const ng_cpu *cpu, const ng_program *program, ng_choices *choices) {
    memset(choices, 0, sizeof *choices);
    for (int regime = 0; regime < NG_REGIME_COUNT; regime++) {
        ng_choice *at = choices->at[regime];
        for (int slot = 0; slot <= NG_SLOT_CACHED; slot++) {
            ng_regime_default_schedule(program, cpu, cpu->isa, (ng_regime)regime,
                                       &at[slot].schedule);
            at[slot].rung = NG_RUNG_DEFAULT;
        }
        ng_schedule *cached = &at[NG_SLOT_CACHED].schedule;
        cached->store = NG_STORE_CACHED;
        if (!ng_schedule_legal(program, cpu->isa, cached, NULL))
            ng_regime_default_schedule(program, cpu, cpu->isa, NG_L1, cached);
    }
}

/* Whether the store said enough about every regime that exists: where the first winner streams
 * nothing, it serves all addresses. */
static bool complete(const scan *s) {
    for (int regime = 0; regime < NG_REGIME_COUNT; regime++) {
        const ng_choice *at = s->out->at[regime];
        if (ng_regime_max_rows(s->cpu, s->program, (ng_regime)regime, s->threads) == 0) continue;
        if (at[NG_SLOT_ANY].rung == NG_RUNG_DEFAULT) return false;
        if (!streams(s->program, &at[NG_SLOT_ANY].schedule)) continue;
        if (at[NG_SLOT_CACHED].rung == NG_RUNG_DEFAULT) return false;
    }
    return true;
}

static normgen_status winners(ng_store *store, const ng_query *query, scan *s) {
    return store ? ng_store_winners(store, query, consider, s)
                 : ng_shipped_winners(query, consider, s);
}

/* store NULL: what the library has inside. */
static normgen_status look_through(scan *s, ng_store *store, const ng_query *query) {
    ng_query all = *query;
    s->near = false;
    normgen_status status = winners(store, query, s);
    if (status != NORMGEN_OK || complete(s)) return status;
    s->near = true;
    all.spec = NULL;
    return winners(store, &all, s);
}

normgen_status ng_choose(ng_store *store, const ng_cpu *cpu, const normgen_spec *spec,
                         const ng_program *program, const char *toolchain, int threads,
                         ng_choices *choices) {
    scan s = {.cpu = cpu,
              .spec = spec,
              .program = program,
              .toolchain = toolchain,
              .threads = threads < 1 ? 1 : threads,
              .out = choices,
              .last_distance = -1,
              .last_rung = NG_RUNG_DEFAULT};
    char text[NORMGEN_SPEC_TEXT];
    ng_choose_defaults(cpu, program, choices);
    for (int i = 0; i < NG_REGIME_COUNT * (NG_SLOT_CACHED + 1); i++)
        s.best[i / (NG_SLOT_CACHED + 1)][i % (NG_SLOT_CACHED + 1)].rung = NG_RUNG_DEFAULT;
    ng_spec_text(spec, text);
    ng_query query = {.spec = text, .regime = -1, .slot = -1};
    normgen_status status = store ? look_through(&s, store, &query) : NORMGEN_OK;
    s.shipped = true;
    if (!complete(&s) && look_through(&s, NULL, &query) != NORMGEN_OK && status == NORMGEN_OK)
        status = NORMGEN_E_STORE;
    return status;
}
