/* SPDX-License-Identifier: Apache-2.0 */
/* Which schedule serves each (spec, level, regime) of a bundle, and the kernels that follow: equal
 * ones once, whatever asks for them. A kernel's symbol names what it was made from, so that objects
 * of different bundles or runs never pass for one another. */
#include "emit.h"

#include "choose.h"
#include "error.h"
#include "gen.h"
#include "sha256.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- choosing ---- */

/* A machine of the level: this one when it is of just that level, else one with common caches, so
 * that what is emitted does not depend on where. */
static ng_cpu machine_of(const ng_isa *isa) {
    const ng_cpu *host;
    ng_cpu_host(&host);
    if (host->isa == isa) return *host;
    return (ng_cpu){.arch = isa->arch,
                    .vendor = "any",
                    .detected = isa->required,
                    .features = isa->required,
                    .l1d = 32u << 10,
                    .l2 = 1u << 20,
                    .llc = 32u << 20,
                    .cores = 1,
                    .isa = isa};
}

/* The simplest schedule there is: all that a level without FMA has, for every regime. */
static ng_schedule plain(const ng_isa *isa) {
    return (ng_schedule){.vec = (int16_t)isa->max_vec, .block = 1};
}

static void choose_plain(const ng_isa *isa, ng_choices *choices) {
    memset(choices, 0, sizeof *choices);
    for (int r = 0; r < NG_REGIME_COUNT; r++)
        for (int slot = 0; slot <= NG_SLOT_CACHED; slot++)
            choices->at[r][slot] = (ng_choice){.schedule = plain(isa), .rung = NG_RUNG_DEFAULT};
}

static normgen_status choose(const ng_bundle_spec *s, const ng_isa *isa, ng_store *store,
                             ng_choices *choices) {
    if (!isa->fma) {
        choose_plain(isa, choices);
        return NORMGEN_OK;
    }
    ng_cpu cpu = machine_of(isa);
    return ng_choose(store, &cpu, &s->spec, &s->program, ng_toolchain, 1, choices);
}

/* ---- kernels ---- */

static void name_kernel(const ng_bundle *b, ng_bundle_kernel *k) {
    char text[NORMGEN_SPEC_TEXT + NG_SCHEDULE_TEXT + 256], digest[NG_SHA256_TEXT];
    int n = snprintf(text, sizeof text, "%s\n%s\n%s\n%s\n", k->spec->text, k->schedule_text,
                     b->level[k->level]->name, ng_toolchain);
    ng_sha256_text(text, (size_t)n, digest);
    snprintf(k->object.symbol, sizeof k->object.symbol, "%.*s_k%.*s", NG_PREFIX_MOST, b->prefix,
             NG_DIGEST_DIGITS, digest);
}

/* The kernel's index, an equal one's when there is one; -1 for want of memory. */
static int need_kernel(ng_bundle *b, const ng_bundle_spec *s, int level,
                       const ng_schedule *schedule) {
    ng_bundle_kernel k = {.spec = s, .level = level, .schedule = *schedule};
    ng_schedule_text(&s->program, schedule, k.schedule_text);
    name_kernel(b, &k);
    for (size_t i = 0; i < b->kernels; i++)
        if (strcmp(b->kernel[i].object.symbol, k.object.symbol) == 0) return (int)i;
    ng_bundle_kernel *grown = realloc(b->kernel, (b->kernels + 1) * sizeof *grown);
    if (!grown) return -1;
    b->kernel = grown;
    b->kernel[b->kernels] = k;
    return (int)b->kernels++;
}

/* What the schedule streams, added to the spec's. */
static size_t note_streams(ng_bundle_spec *s, const ng_schedule *schedule) {
    size_t alignment = 1;
    for (int i = 0; i < s->program.streams; i++) {
        size_t need =
            s->program.stream[i].out ? ng_schedule_alignment(&s->program, schedule, i) : 1;
        if (need > 1) s->streamed |= 1u << i;
        if (need > alignment) alignment = need;
    }
    return alignment;
}

static bool pick(ng_bundle *b, const ng_bundle_spec *s, int level, const ng_choice *from,
                 ng_bundle_pick *out) {
    out->kernel = need_kernel(b, s, level, &from->schedule);
    out->rung = ng_rung_names[from->rung];
    snprintf(out->machine, sizeof out->machine, "%s", from->found.machine);
    snprintf(out->session, sizeof out->session, "%s", from->found.session);
    snprintf(out->started, sizeof out->started, "%s", from->found.started);
    return out->kernel >= 0;
}

static bool plan_regime(ng_bundle *b, ng_bundle_spec *s, int level, const ng_choices *choices,
                        int regime) {
    ng_bundle_choice *c = &s->at[level][regime];
    const ng_choice *from = choices->at[b->regime_of[regime]];
    c->alignment = note_streams(s, &from[NG_SLOT_ANY].schedule);
    if (!pick(b, s, level, &from[NG_SLOT_ANY], &c->any)) return false;
    c->cached = c->any;
    return c->alignment == 1 || pick(b, s, level, &from[NG_SLOT_CACHED], &c->cached);
}

/* Without FMA not every spec can be done: docs/numerics.md rule 9. */
static bool can_do(const ng_isa *isa, const ng_program *p) {
    ng_schedule s = plain(isa);
    return isa->fma || ng_schedule_legal(p, isa, &s, NULL);
}

static normgen_status plan_spec(ng_bundle *b, ng_bundle_spec *s, ng_store *store) {
    ng_choices *choices = malloc(sizeof *choices);
    normgen_status st = choices ? NORMGEN_OK : NORMGEN_E_MEMORY;
    for (int level = 0; level < b->levels && st == NORMGEN_OK; level++) {
        s->can[level] = can_do(b->level[level], &s->program);
        if (!s->can[level]) continue;
        st = choose(s, b->level[level], store, choices);
        for (int r = 0; r < NG_REGIME_COUNT && st == NORMGEN_OK; r++)
            if (!plan_regime(b, s, level, choices, r)) st = NORMGEN_E_MEMORY;
    }
    free(choices);
    return st == NORMGEN_E_MEMORY ? ng_fail(st, "no memory to choose schedules") : st;
}

normgen_status ng_emit_plan(ng_bundle *b, struct ng_store *store) {
    normgen_status st = NORMGEN_OK;
    for (size_t i = 0; i < b->specs && st == NORMGEN_OK; i++) st = plan_spec(b, &b->spec[i], store);
    return st;
}

/* ---- compiling ---- */

enum { MOST_THREADS = 64 };

typedef struct work {
    ng_bundle *bundle;
    atomic_size_t next;
    atomic_int failed; /* 1 + the thread whose error text counts */
} work;

typedef struct worker {
    work *work;
    int number;
    pthread_t thread;
    normgen_status status;
    char why[1024];
} worker;

static normgen_status compile(const ng_bundle *b, ng_bundle_kernel *k) {
    char symbol[sizeof k->object.symbol];
    memcpy(symbol, k->object.symbol, sizeof symbol);
    return ng_compile_as(&k->spec->program, &k->schedule, b->level[k->level], symbol, &k->object);
}

static void *run_worker(void *arg) {
    worker *w = arg;
    ng_bundle *b = w->work->bundle;
    while (!atomic_load(&w->work->failed)) {
        size_t i = atomic_fetch_add(&w->work->next, 1);
        if (i >= b->kernels) break;
        w->status = compile(b, &b->kernel[i]);
        if (w->status == NORMGEN_OK) continue;
        snprintf(w->why, sizeof w->why, "%s, schedule '%s' on %s: %.600s", b->kernel[i].spec->name,
                 b->kernel[i].schedule_text, b->level[b->kernel[i].level]->name, normgen_error());
        int none = 0;
        atomic_compare_exchange_strong(&w->work->failed, &none, w->number + 1);
    }
    return NULL;
}

static int threads_for(const ng_bundle *b) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n > MOST_THREADS) n = MOST_THREADS;
    if ((size_t)n > b->kernels) n = (long)b->kernels;
    return n < 1 ? 1 : (int)n;
}

normgen_status ng_emit_compile(ng_bundle *b) {
    work w = {.bundle = b};
    int n = threads_for(b), started = 1;
    worker *workers = calloc((size_t)n, sizeof *workers);
    if (!workers) return ng_fail(NORMGEN_E_MEMORY, "no memory to compile");
    for (int i = 0; i < n; i++) workers[i] = (worker){.work = &w, .number = i};
    while (started < n &&
           pthread_create(&workers[started].thread, NULL, run_worker, &workers[started]) == 0)
        started++;
    run_worker(&workers[0]); /* this thread is one of them; it would do alone, too */
    for (int i = 1; i < started; i++) pthread_join(workers[i].thread, NULL);
    int failed = atomic_load(&w.failed);
    normgen_status st = NORMGEN_OK;
    if (failed) st = ng_fail(workers[failed - 1].status, "%s", workers[failed - 1].why);
    free(workers);
    return st;
}
