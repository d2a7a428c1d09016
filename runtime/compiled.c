/* SPDX-License-Identifier: Apache-2.0 */
/* The provider that compiles: schedules from the store or predicted ones, one kernel for each
 * different one. Trouble is counted, told once, and ends in a schedule or a provider further down.
 * The store is open within one function only. */
#include "dispatch.h"

#include "background.h"
#include "error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- the store ---- */

/* E_STORE, counted and told; goes on without a store unless the caller is strict. */
static normgen_status store_trouble(normgen *ng, normgen_status status) {
    ng->counters.store_ignored++;
    if (ng->strict) return status;
    ng_warn_once(ng, NG_ABOUT_STORE, "the store is not used: %s", normgen_error());
    return NORMGEN_OK;
}

/* *store stays NULL when there is none, which is no trouble; neither is an empty file, which
 * somebody is about to make a store of. */
static normgen_status open_store(normgen *ng, ng_store **store) {
    struct stat st;
    if (!*ng->store) return NORMGEN_OK;
    if (stat(ng->store, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return NORMGEN_OK;
    } else if (S_ISREG(st.st_mode) && st.st_size == 0) {
        return NORMGEN_OK;
    }
    normgen_status status = ng_store_open(ng->store, NG_STORE_READ, store);
    if (status != NORMGEN_OK) return store_trouble(ng, status);
    const char *note = ng_store_note(*store);
    if (*note) ng_warn_once(ng, NG_ABOUT_NOTE, "%s", note);
    return NORMGEN_OK;
}

/* Stored winners that cannot be used: counted, told once, an error under strictness. */
static normgen_status ignored(normgen *ng, size_t count, const char *why) {
    if (count == 0) return NORMGEN_OK;
    ng->counters.store_ignored += count;
    if (ng->strict)
        return ng_fail(NORMGEN_E_STORE, "store '%s' holds a winner that cannot be used: %s",
                       ng->store, why);
    ng_warn_once(ng, NG_ABOUT_SCHEDULE,
                 "store '%s' holds winners that cannot be used (ignored): %s", ng->store, why);
    return NORMGEN_OK;
}

/* What to use with one number of threads; complete whatever the store is. */
static normgen_status choose(normgen *ng, ng_store *store, const normgen_kernel *k, int threads,
                             ng_choices *choices) {
    normgen_status status =
        ng_choose(store, ng->cpu, &k->spec, &k->program, ng->gen->toolchain, threads, choices);
    if (status != NORMGEN_OK) status = store_trouble(ng, status);
    return status == NORMGEN_OK ? ignored(ng, choices->ignored, choices->why) : status;
}

/* ---- compiling ---- */

typedef struct making {
    normgen *ng;
    const normgen_kernel *kernel;
    ng_plan *plan; /* equal schedules are compiled once for it */
    ng_choices alone, team;
} making;

/* Brings the generator's error text over to this library. */
static normgen_status generator_failed(const normgen *ng, normgen_status status) {
    return ng_fail(status, "%s", ng->gen->error());
}

static normgen_status compile(making *m, const ng_schedule *schedule, normgen_fn *fn) {
    const ng_gen_table *gen = m->ng->gen;
    ng_object object;
    normgen_status status = gen->compile(&m->kernel->program, schedule, m->ng->cpu->isa, &object);
    if (status != NORMGEN_OK) return generator_failed(m->ng, status);
    status = gen->jit_load(m->ng->jit, &object, fn);
    gen->object_fini(&object);
    if (status == NORMGEN_OK) return NORMGEN_OK;
    if (status == NORMGEN_E_UNSUPPORTED) m->ng->no_code = true;
    return generator_failed(m->ng, status);
}

/* The function of a schedule, compiled unless it was before. */
static normgen_status make(making *m, const ng_choice *choice, normgen_fn *fn) {
    const ng_program *p = &m->kernel->program;
    ng_plan *plan = m->plan;
    for (int i = 0; i < plan->count; i++) {
        if (ng_schedule_compare(p, &plan->made[i].schedule, &choice->schedule) != 0) continue;
        *fn = plan->made[i].fn;
        return NORMGEN_OK;
    }
    normgen_status status = compile(m, &choice->schedule, fn);
    if (status != NORMGEN_OK) return status;
    plan->made[plan->count].schedule = choice->schedule;
    plan->made[plan->count++].fn = *fn;
    m->ng->counters.compiled++;
    if (choice->rung < NG_RUNG_SHIPPED) m->ng->counters.store_hits++;
    return NORMGEN_OK;
}

/* A stored schedule that does not compile gives way to the built-in one, but under strictness. */
static normgen_status make_or_default(making *m, ng_choice *choice, const ng_choice *preset,
                                      normgen_fn *fn) {
    normgen_status status = make(m, choice, fn);
    if (status != NORMGEN_E_GENERATOR || choice->rung == NG_RUNG_DEFAULT || m->ng->strict)
        return status;
    ng_warn_once(m->ng, NG_ABOUT_COMPILE, "schedule '%s' does not compile: %s",
                 choice->found.winner.schedule, normgen_error());
    *choice = *preset;
    return make(m, choice, fn);
}

/* Outputs that `any` streams need aligned addresses. */
static void note_alignment(ng_entry *e, const ng_program *p, const ng_schedule *schedule) {
    e->streamed = 0;
    for (int s = 0; s < p->streams; s++) {
        size_t alignment = p->stream[s].out ? ng_schedule_alignment(p, schedule, s) : 1;
        if (alignment == 1) continue;
        e->aligned[e->streamed].stream = (uint16_t)s;
        e->aligned[e->streamed++].mask = (uint16_t)(alignment - 1);
    }
}

static normgen_status make_entry(making *m, ng_choice at[], const ng_choice preset[], ng_entry *e) {
    const ng_program *p = &m->kernel->program;
    normgen_status status = make_or_default(m, &at[NG_SLOT_ANY], &preset[NG_SLOT_ANY], &e->any);
    if (status != NORMGEN_OK) return status;
    note_alignment(e, p, &at[NG_SLOT_ANY].schedule);
    char text[NG_SCHEDULE_TEXT];
    ng_schedule_text(p, &at[NG_SLOT_ANY].schedule, text);
    snprintf(e->text, sizeof e->text, "compiled %s", text);
    e->rung = at[NG_SLOT_ANY].rung;
    e->threads = at[NG_SLOT_ANY].found.threads;
    e->block = ng_schedule_turn(&at[NG_SLOT_ANY].schedule);
    e->cached = e->any;
    if (e->streamed == 0) return NORMGEN_OK;
    int cached = ng_schedule_turn(&at[NG_SLOT_CACHED].schedule);
    if (cached > e->block) e->block = cached;
    return make_or_default(m, &at[NG_SLOT_CACHED], &preset[NG_SLOT_CACHED], &e->cached);
}

/* Entries of the regimes that a call can fall in. */
static normgen_status make_entries(making *m, ng_choices *choices, ng_entry entries[]) {
    const normgen_kernel *k = m->kernel;
    ng_choices *preset = malloc(sizeof *preset);
    if (!preset) return ng_fail(NORMGEN_E_MEMORY, "no memory to choose schedules");
    normgen_status status = NORMGEN_OK;
    ng_choose_defaults(m->ng->cpu, &k->program, preset);
    for (int r = 0; r < NG_REGIME_COUNT && status == NORMGEN_OK; r++)
        if (k->max_rows[r] > 0) status = make_entry(m, choices->at[r], preset->at[r], &entries[r]);
    free(preset);
    return status;
}

/* The measured cut-off, once for each handle. */
static normgen_status look_up_cutoff(normgen *ng, ng_store *store) {
    char machine[NG_MACHINE_TEXT];
    int64_t cutoff = 0;
    normgen_status status = NORMGEN_OK;
    if (ng->cutoff > 0) return status;
    ng_cpu_machine_text(ng->cpu, machine);
    if (store) status = ng_store_cutoff(store, machine, &cutoff);
    if (status == NORMGEN_OK) ng->cutoff = cutoff > 0 ? (double)cutoff : NG_CUTOFF_DEFAULT;
    return status == NORMGEN_OK ? status : store_trouble(ng, status);
}

/* In rows: with what the tuner measured of these very kernels, where it did. */
static void set_cutoff(making *m) {
    double row_ns[NG_REGIME_COUNT] = {0};
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        const ng_choice *c = &m->alone.at[r][NG_SLOT_ANY];
        if (c->rung <= NG_RUNG_CACHES && c->found.threads == 1) row_ns[r] = c->found.winner.ns;
    }
    if (m->ng->cutoff > 0) m->plan->cutoff = ng_kernel_cutoff(m->kernel, m->ng->cutoff, row_ns);
}

static normgen_status choose_schedules(making *m) {
    ng_store *store = NULL;
    normgen_status status = open_store(m->ng, &store);
    if (status == NORMGEN_OK) status = choose(m->ng, store, m->kernel, 1, &m->alone);
    int threads = ng_pool_threads(m->ng);
    m->team = m->alone;
    if (status == NORMGEN_OK && store && threads > 1)
        status = choose(m->ng, store, m->kernel, threads, &m->team);
    if (status == NORMGEN_OK) status = look_up_cutoff(m->ng, store);
    if (status == NORMGEN_OK) set_cutoff(m);
    if (status == NORMGEN_OK && store)
        status = ignored(m->ng, (size_t)ng_store_ignored(store), "a row does not fit its table");
    ng_store_close(store);
    return status;
}

static normgen_status make_plan(normgen *ng, const normgen_kernel *k, ng_plan *plan) {
    making *m = calloc(1, sizeof *m);
    if (!m) return ng_fail(NORMGEN_E_MEMORY, "no memory to compile");
    m->ng = ng;
    m->kernel = k;
    m->plan = plan;
    normgen_status status = choose_schedules(m);
    if (status == NORMGEN_OK) status = make_entries(m, &m->alone, plan->alone);
    if (status == NORMGEN_OK) status = make_entries(m, &m->team, plan->team);
    free(m);
    return status;
}

static void report(const normgen *ng, const normgen_kernel *k) {
    char text[NORMGEN_SPEC_TEXT];
    if (!ng->log) return;
    ng_spec_text(&k->spec, text);
    const ng_entry *alone = ng_plan_of(k)->alone;
    for (int r = 0; r < NG_REGIME_COUNT; r++)
        if (k->max_rows[r] > 0)
            ng_inform(ng, "%s: %s: %s (%s)", text, ng_regime_names[r], alone[r].text,
                      ng_rung_names[alone[r].rung]);
}

/* ---- the provider ---- */

/* A generator that is missing is worth a warning only to who asked for it. */
static normgen_status need_generator(normgen *ng) {
    if (ng->jit) return NORMGEN_OK;
    normgen_status status = ng_gen_load(&ng->gen);
    bool missing = status == NORMGEN_E_UNSUPPORTED;
    if (status == NORMGEN_OK) {
        status = ng->gen->jit_new(&ng->jit);
        if (status != NORMGEN_OK) generator_failed(ng, status);
    }
    if (status != NORMGEN_OK && (!missing || ng->mode >= NORMGEN_MODE_COMPILE))
        ng_warn_once(ng, NG_ABOUT_GENERATOR, "nothing is compiled: %s", normgen_error());
    return status;
}

static normgen_status may_compile(normgen *ng) {
    if (ng->mode == NORMGEN_MODE_LOOKUP)
        return ng_fail(NORMGEN_E_UNSUPPORTED, "mode=lookup never compiles");
    if (ng->cpu->isa->max_vec == 0)
        return ng_fail(NORMGEN_E_UNSUPPORTED, "there is no generated code for ISA level %s",
                       ng->cpu->isa->name);
    if (ng->no_code) return ng_fail(NORMGEN_E_UNSUPPORTED, "the system forbids executable memory");
    return need_generator(ng);
}

/* A failure on the way to a kernel, told once. */
static void compile_trouble(normgen *ng, normgen_status status) {
    if (ng->no_code)
        ng_warn_once(ng, NG_ABOUT_CODE,
                     "the system forbids executable memory, nothing is compiled: %s",
                     normgen_error());
    else if (status != NORMGEN_E_STORE)
        ng_warn_once(ng, NG_ABOUT_COMPILE, "a kernel is not compiled: %s", normgen_error());
}

normgen_status ng_compiled_kernel(normgen *ng, normgen_kernel *k) {
    normgen_status status = may_compile(ng);
    if (status != NORMGEN_OK) return status;
    status = make_plan(ng, k, &k->first);
    if (status != NORMGEN_OK) {
        compile_trouble(ng, status);
        return status;
    }
    report(ng, k);
    if (ng->mode == NORMGEN_MODE_TUNE) ng_background_want(ng, k);
    return NORMGEN_OK;
}

/* ---- once more ---- */

bool ng_plan_wants_tuning(const normgen_kernel *k, int threads) {
    const ng_plan *plan = ng_plan_of(k);
    uint64_t ram = ng_machine_ram();
    char reason[160];
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        const ng_entry *e = threads == 1 ? &plan->alone[r] : &plan->team[r];
        if (ng_regime_rows(k->ng->cpu, &k->program, (ng_regime)r, threads, ram, reason) == 0)
            continue; /* the tuner will not measure it either */
        if (e->rung != NG_RUNG_MACHINE || e->threads != threads) return true;
    }
    return false;
}

static bool uses(const ng_entry *e, normgen_fn fn) { return e->any == fn || e->cached == fn; }

/* A plan in which everything is as in `old`; what that compiled and does not use is left behind. */
static ng_plan *plan_after(const ng_plan *old) {
    ng_plan *plan = malloc(sizeof *plan);
    if (!plan) return NULL;
    *plan = *old;
    plan->count = 0;
    for (int i = 0; i < old->count; i++) {
        bool used = false;
        for (int r = 0; r < NG_REGIME_COUNT; r++)
            used = used || uses(&old->alone[r], old->made[i].fn) ||
                   uses(&old->team[r], old->made[i].fn);
        if (used) plan->made[plan->count++] = old->made[i];
    }
    return plan;
}

static bool same_entries(const ng_entry a[], const ng_entry b[]) {
    for (int r = 0; r < NG_REGIME_COUNT; r++)
        if (a[r].any != b[r].any || a[r].cached != b[r].cached || a[r].rung != b[r].rung ||
            a[r].threads != b[r].threads)
            return false;
    return true;
}

normgen_status ng_compiled_renew(normgen *ng, normgen_kernel *k) {
    ng_plan *old =
        atomic_load_explicit(&k->plan, memory_order_relaxed); /* written under the lock */
    ng_plan *plan = plan_after(old);
    if (!plan) return ng_fail(NORMGEN_E_MEMORY, "no memory for a plan");
    normgen_status status = make_plan(ng, k, plan);
    if (status != NORMGEN_OK ||
        (same_entries(old->alone, plan->alone) && same_entries(old->team, plan->team))) {
        free(plan);
        return status;
    }
    plan->older = old;
    atomic_store_explicit(&k->plan, plan, memory_order_release);
    ng->counters.renewals++;
    report(ng, k);
    return NORMGEN_OK;
}
