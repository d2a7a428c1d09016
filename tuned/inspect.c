/* SPDX-License-Identifier: Apache-2.0 */
/* `check`: schedules of a spec on every ISA level of this machine against the interpreter; the
 * levels that do not run here are at least compiled. */
#include "error.h"
#include "rng.h"
#include "spec.h"
#include "tuned.h"
#include "twin.h"
#include "types.h"
#include "workshop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A kernel to be checked. */
typedef struct item {
    const char *spec;
    const ng_isa *isa;
    char schedule[NG_SCHEDULE_TEXT];
} item;

typedef struct inspection {
    ng_check_request *request;
    const ng_cpu *cpu;
    ng_program program;
    char spec[NORMGEN_SPEC_TEXT], twin[NORMGEN_SPEC_TEXT];
    item *items;
    size_t n, next;
} inspection;

static bool add_twins(inspection *c, const normgen_spec *twin) {
    ng_program program;
    size_t n = c->n;
    item *grown = realloc(c->items, 2 * n * sizeof *grown + 1);
    if (!grown) return false;
    c->items = grown;
    ng_program_build(&program, twin);
    ng_spec_text(twin, c->twin);
    for (size_t i = 0; i < n; i++) {
        ng_schedule schedule;
        if (ng_schedule_parse(&program, grown[i].schedule, &schedule) != NORMGEN_OK ||
            !ng_schedule_legal(&program, grown[i].isa, &schedule, NULL))
            continue; /* one more store can be one too many */
        grown[c->n] = grown[i];
        grown[c->n++].spec = c->twin;
    }
    return true;
}

static bool add(inspection *c, const ng_isa *isa, const ng_schedule *schedule) {
    item *grown = realloc(c->items, (c->n + 1) * sizeof *grown);
    if (!grown) return false;
    c->items = grown;
    c->items[c->n].spec = c->spec;
    c->items[c->n].isa = isa;
    ng_schedule_text(&c->program, schedule, c->items[c->n++].schedule);
    return true;
}

/* The first `want` of a random order; all when want is 0. */
static normgen_status sample(inspection *c, const ng_isa *isa, size_t want) {
    ng_schedule *space;
    size_t n;
    normgen_status status = ng_schedule_space(&c->program, isa, &space, &n);
    if (status != NORMGEN_OK) return status;
    ng_rng rng = ng_rng_for((uint64_t)c->request->seed, isa->name);
    if (want == 0 || want > n) want = n;
    for (size_t i = 0; i < want && status == NORMGEN_OK; i++) {
        size_t j = i + (size_t)ng_rng_below(&rng, n - i);
        ng_schedule chosen = space[j];
        space[j] = space[i];
        if (!add(c, isa, &chosen)) status = ng_fail(NORMGEN_E_MEMORY, "no memory for schedules");
    }
    free(space);
    return status;
}

static normgen_status take_given(inspection *c, const ng_isa *isa, const ng_schedule *schedule) {
    if (!ng_schedule_legal(&c->program, isa, schedule, NULL) || add(c, isa, schedule))
        return NORMGEN_OK;
    return ng_fail(NORMGEN_E_MEMORY, "no memory for schedules");
}

static normgen_status collect(inspection *c) {
    const ng_check_request *r = c->request;
    ng_schedule given;
    char reason[NG_SCHEDULE_TEXT];
    normgen_status status = NORMGEN_OK;
    if (r->schedule) status = ng_schedule_parse(&c->program, r->schedule, &given);
    for (size_t i = 0; i < ng_isa_count && status == NORMGEN_OK; i++) {
        const ng_isa *isa = &ng_isas[i];
        size_t want = r->schedules < 0 ? 0 : (size_t)r->schedules;
        if (isa->max_vec == 0) continue;
        if (!ng_cpu_runs(c->cpu, isa) && (want == 0 || want > 4)) want = 4;
        status = r->schedule ? take_given(c, isa, &given) : sample(c, isa, want);
    }
    if (status == NORMGEN_OK && r->schedule && c->n == 0) {
        ng_schedule_legal(&c->program, c->cpu->isa, &given, reason);
        return ng_fail(NORMGEN_E_SCHEDULE, "schedule '%s' is legal on no ISA level; on %s: %s",
                       r->schedule, c->cpu->isa->name, reason);
    }
    return status;
}

static bool next_order(void *ctx, ng_order *order) {
    inspection *c = ctx;
    if (c->next == c->n) return false;
    item *it = &c->items[c->next++];
    *order = (ng_order){.spec = it->spec,
                        .schedule = it->schedule,
                        .isa = it->isa->name,
                        .kind = NG_SUBJECT_KERNEL,
                        .seed = c->request->seed,
                        .check = ng_cpu_runs(c->cpu, it->isa),
                        .tag = it};
    return true;
}

static void take_product(void *ctx, const ng_order *order, ng_product *product) {
    inspection *c = ctx;
    char line[2400];
    c->request->kernels++;
    c->request->compared += product->compared;
    if (product->made && (product->checked || !order->check)) return;
    c->request->failed++;
    snprintf(line, sizeof line, "%s | %s | %s: %s", order->spec, order->schedule, order->isa,
             product->reason);
    if (c->request->failure) c->request->failure(c->request->ctx, line);
}

static normgen_status run(inspection *c) {
    ng_workshop *shop;
    ng_clients clients = {next_order, take_product, c, c->request->stop};
    normgen_status status = ng_workshop_new(0, &shop);
    if (status != NORMGEN_OK) return status;
    status = ng_workshop_run(shop, &clients);
    ng_workshop_free(shop);
    return status;
}

normgen_status ng_check(ng_check_request *request) {
    inspection c = {.request = request};
    normgen_spec spec, twin;
    request->compared = request->kernels = request->failed = 0;
    normgen_status status = ng_spec_resolve(request->spec, &spec);
    if (status == NORMGEN_OK) status = ng_cpu_host(&c.cpu);
    if (status != NORMGEN_OK) return status;
    ng_spec_text(&spec, c.spec);
    ng_program_build(&c.program, &spec);
    status = collect(&c);
    if (status == NORMGEN_OK && ng_spec_twin(&spec, &twin) && !add_twins(&c, &twin))
        status = ng_fail(NORMGEN_E_MEMORY, "no memory for schedules");
    if (status == NORMGEN_OK) status = run(&c);
    free(c.items);
    return status;
}
