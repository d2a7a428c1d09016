/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels are made and checked by the workshop; a place is a measuring process of its own, so its
 * memory is as fresh as its kernels' crashes are harmless. */
#include "live.h"

#include "candidates.h"
#include "error.h"
#include "gen.h"
#include "measure.h"
#include "pool.h"
#include "spec.h"
#include "workshop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seconds that filling the buffers and loading an object may take on a busy machine. */
static const double enter_seconds = 120, load_seconds = 10, team_seconds = 20;

struct ng_live {
    ng_meter meter;
    uint64_t seed;
    const volatile int *stop;
    ng_workshop *shop;
    ng_worker bench;
    bool entered;
    ng_place place;
    uint32_t generation, next_id; /* of the measuring process; of subjects */
    char host[256];
    ng_message out;
};

static double now(void *ctx) {
    (void)ctx;
    return ng_clock();
}

static void host(void *ctx, char *text, size_t size) {
    snprintf(text, size, "%s", ((ng_live *)ctx)->host);
}

/* ---- making ---- */

typedef struct batch {
    ng_live *live;
    char spec[NORMGEN_SPEC_TEXT];
    char schedules[64][NG_SCHEDULE_TEXT]; /* of the orders under way */
    ng_subject *const *subjects;
    size_t n, next;
    double deadline;
    const ng_program *program;
} batch;

static bool next_order(void *ctx, ng_order *order) {
    batch *b = ctx;
    for (; b->next < b->n; b->next++) {
        ng_subject *s = b->subjects[b->next];
        if (s->ready || s->failed) continue;
        s->ready = s->kind == NG_SUBJECT_MEMCPY || s->kind == NG_SUBJECT_INTERP;
        if (s->ready) continue;
        if (b->next > 0 && ng_clock() > b->deadline)
            return false;                        /* the first one is always tried */
        char *text = b->schedules[b->next % 64]; /* sent at once, so it need not live long */
        ng_schedule_text(b->program, &s->schedule, text);
        *order = (ng_order){.spec = b->spec,
                            .schedule = text,
                            .isa = b->live->meter.cpu->isa->name,
                            .kind = s->kind,
                            .seed = (int64_t)b->live->seed,
                            .check = true,
                            .tag = s};
        b->next++;
        return true;
    }
    return false;
}

static void take_product(void *ctx, const ng_order *order, ng_product *product) {
    ng_subject *s = order->tag;
    (void)ctx;
    s->ready = product->made && product->checked;
    s->failed = !s->ready;
    snprintf(s->reason, sizeof s->reason, "%.*s", (int)sizeof s->reason - 1, product->reason);
    free(s->object.bytes);
    s->object = product->object;
    product->object.bytes = NULL;
}

static normgen_status prepare(void *ctx, const ng_place *place, ng_subject *const *subjects,
                              size_t n, double deadline) {
    ng_live *live = ctx;
    batch b = {.live = live, .subjects = subjects, .n = n, .deadline = deadline};
    b.program = place->program;
    ng_spec_text(place->spec, b.spec);
    ng_clients clients = {next_order, take_product, &b, live->stop};
    return ng_workshop_run(live->shop, &clients);
}

/* ---- measuring ---- */

static normgen_status interrupted(void) {
    return ng_fail(NORMGEN_E_INTERRUPTED, "stopped on request");
}

/* Sends `out` and waits. The process is ended when it does not answer; `how` then says why. */
static ng_outcome ask(ng_live *live, double seconds, char *how, size_t size) {
    ng_worker *bench = &live->bench;
    size_t which;
    ng_worker_send(bench, &live->out, seconds);
    ng_outcome outcome = ng_workers_wait(&bench, 1, live->stop, &which);
    if (outcome == NG_REPLIED) return outcome;
    if (outcome == NG_DIED) ng_worker_epitaph(bench, how, size);
    if (outcome == NG_LATE) snprintf(how, size, "no answer after %.3g s", seconds);
    ng_worker_stop(bench);
    return outcome;
}

static normgen_status start_bench(ng_live *live) {
    char spec[NORMGEN_SPEC_TEXT], how[400], text[1024];
    normgen_status status = ng_worker_start(&live->bench, "--measure");
    if (status != NORMGEN_OK) return status;
    live->generation++;
    ng_spec_text(live->place.spec, spec);
    ng_message_start(&live->out, NG_MSG_ENTER);
    ng_put_text(&live->out, spec);
    ng_put_int(&live->out, live->place.regime);
    ng_put_int(&live->out, (int64_t)live->place.rows);
    ng_put_int(&live->out, live->place.threads);
    ng_put_int(&live->out, (int64_t)live->seed);
    ng_outcome outcome = ask(live, enter_seconds, how, sizeof how);
    if (outcome == NG_STOPPED) return interrupted();
    if (outcome != NG_REPLIED)
        return ng_fail(NORMGEN_E_GENERATOR, "the measuring worker, filling its buffers: %s", how);
    status = (normgen_status)ng_get_int(&live->bench.in);
    ng_get_text(&live->bench.in, text, sizeof text);
    ng_get_text(&live->bench.in, live->host, sizeof live->host);
    return status == NORMGEN_OK ? status : ng_fail(status, "%s", text);
}

static void leave(void *ctx) {
    ng_live *live = ctx;
    ng_worker_stop(&live->bench);
    live->entered = false;
}

static normgen_status enter(void *ctx, const ng_place *place) {
    ng_live *live = ctx;
    leave(live);
    live->place = *place;
    normgen_status status = start_bench(live);
    if (status != NORMGEN_OK)
        leave(live);
    else
        live->entered = true;
    return status;
}

/* In a process of its own: its threads are not pinned, as a host's are not. */
static double cutoff(void *ctx) {
    ng_live *live = ctx;
    char how[400];
    double ns = 0;
    if (live->entered || ng_worker_start(&live->bench, "--measure") != NORMGEN_OK) return 0;
    ng_message_start(&live->out, NG_MSG_TEAM);
    if (ask(live, team_seconds, how, sizeof how) == NG_REPLIED) ns = ng_get_real(&live->bench.in);
    leave(live);
    return ns > 0 ? ns : 0;
}

static void fail_subject(ng_subject *s, const char *doing, const char *how) {
    s->failed = true;
    s->ready = false;
    snprintf(s->reason, sizeof s->reason, "worker, %s: %.200s", doing, how);
}

static normgen_status load(ng_live *live, ng_subject *s) {
    char text[1024];
    if (s->id == 0) s->id = ++live->next_id;
    if (s->loaded == live->generation) return NORMGEN_OK;
    ng_message_start(&live->out, NG_MSG_LOAD);
    ng_put_int(&live->out, s->id);
    ng_put_int(&live->out, s->kind);
    ng_put_text(&live->out, s->object.symbol);
    ng_put_bytes(&live->out, s->object.bytes, s->object.size);
    ng_outcome outcome = ask(live, load_seconds, text, sizeof text);
    if (outcome == NG_STOPPED) return interrupted();
    s->loaded = live->generation;
    if (outcome != NG_REPLIED) {
        fail_subject(s, "loading", text);
        return start_bench(live);
    }
    normgen_status status = (normgen_status)ng_get_int(&live->bench.in);
    ng_get_text(&live->bench.in, text, sizeof text);
    if (status != NORMGEN_OK) fail_subject(s, "loading", text);
    return NORMGEN_OK;
}

/* 20 times what a turn takes at 2 GB/s, and some for waking up. */
static double turn_seconds(const ng_live *live, const ng_subject *s, size_t samples) {
    size_t row, shared, slice = ng_slice_rows(&live->place, live->meter.cpu);
    ng_program_footprint(live->place.program, &row, &shared);
    double bytes = (double)slice * (double)row * (double)(samples + 2);
    if (live->place.regime == NG_LLC) bytes += (double)live->place.rows * (double)row;
    if (s->kind == NG_SUBJECT_INTERP) bytes *= 10;
    return 20 * (bytes / 2e9 + 200e-6 * (double)(samples + 2));
}

/* One request for all; NG_REPLIED when the times are there. */
static ng_outcome time_group(ng_live *live, ng_subject *const *order, size_t n, size_t samples,
                             double *ns, char *how, size_t size) {
    double seconds = 2;
    ng_message_start(&live->out, NG_MSG_TIME);
    ng_put_int(&live->out, (int64_t)samples);
    ng_put_int(&live->out, (int64_t)n);
    for (size_t i = 0; i < n; i++) {
        ng_put_int(&live->out, order[i]->id);
        seconds += turn_seconds(live, order[i], samples);
    }
    ng_outcome outcome = ask(live, seconds, how, size);
    for (size_t i = 0; i < n * samples && outcome == NG_REPLIED; i++)
        ns[i] = ng_get_real(&live->bench.in);
    return outcome;
}

/* Somebody in the group crashed or hung: each alone shows who. */
static normgen_status time_each(ng_live *live, ng_subject *const *order, size_t n, size_t samples,
                                double *ns) {
    char how[400];
    for (size_t i = 0; i < n; i++) {
        normgen_status status = live->bench.pid ? NORMGEN_OK : start_bench(live);
        if (status == NORMGEN_OK && !order[i]->failed) status = load(live, order[i]);
        if (status != NORMGEN_OK) return status;
        for (size_t j = 0; j < samples; j++) ns[i * samples + j] = (double)NAN;
        if (order[i]->failed) continue;
        ng_outcome outcome =
            time_group(live, order + i, 1, samples, ns + i * samples, how, sizeof how);
        if (outcome == NG_STOPPED) return interrupted();
        if (outcome != NG_REPLIED) fail_subject(order[i], "measuring", how);
    }
    return live->bench.pid ? NORMGEN_OK : start_bench(live);
}

static normgen_status measure(void *ctx, ng_subject *const *order, size_t n, size_t samples,
                              double *ns) {
    ng_live *live = ctx;
    char how[400];
    bool whole = true;
    if (!live->entered) return ng_fail(NORMGEN_E_ARGUMENT, "nothing can be measured nowhere");
    for (size_t i = 0; i < n; i++) {
        normgen_status status = order[i]->failed ? NORMGEN_OK : load(live, order[i]);
        if (status != NORMGEN_OK) return status;
        /* A crash while loading started a new process: the group is not loaded any more. */
        whole = whole && !order[i]->failed;
    }
    ng_outcome outcome = whole ? time_group(live, order, n, samples, ns, how, sizeof how) : NG_DIED;
    if (outcome == NG_STOPPED) return interrupted();
    return outcome == NG_REPLIED ? NORMGEN_OK : time_each(live, order, n, samples, ns);
}

/* ---- */

normgen_status ng_live_new(uint64_t seed, const volatile int *stop, ng_live **made) {
    const ng_cpu *cpu;
    normgen_status status = ng_cpu_host(&cpu);
    if (status != NORMGEN_OK) return status;
    if (cpu->isa->max_vec == 0)
        return ng_fail(NORMGEN_E_UNSUPPORTED,
                       "there is no generated code for ISA level %s: the interpreter serves it and "
                       "nothing can be tuned",
                       cpu->isa->name);
    ng_live *live = calloc(1, sizeof *live);
    if (!live) return ng_fail(NORMGEN_E_MEMORY, "no memory for the tuner");
    live->meter = (ng_meter){.ctx = live,
                             .cpu = cpu,
                             .toolchain = ng_toolchain,
                             .ram = ng_machine_ram(),
                             .host = host,
                             .cutoff = cutoff,
                             .now = now,
                             .prepare = prepare,
                             .enter = enter,
                             .leave = leave,
                             .measure = measure};
    live->seed = seed;
    live->stop = stop;
    live->bench.fd = live->bench.log = -1;
    status = ng_workshop_new(0, &live->shop);
    if (status != NORMGEN_OK) {
        ng_live_free(live);
        return status;
    }
    *made = live;
    return NORMGEN_OK;
}

void ng_live_free(ng_live *live) {
    if (!live) return;
    ng_worker_stop(&live->bench);
    ng_workshop_free(live->shop);
    ng_message_fini(&live->out);
    free(live);
}

const ng_meter *ng_live_meter(const ng_live *live) { return &live->meter; }
