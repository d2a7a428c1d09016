/* SPDX-License-Identifier: Apache-2.0 */
/* A generator library that generates nothing: what the command line does with specs, events,
 * failures and interruptions can be tested without LLVM. NORMGEN_FAKE=fail makes every function
 * fail, NORMGEN_FAKE=wait makes the tuner wait for the stop flag. */
#include "gentable.h"

#include "build_id.h"
#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool told(const char *what) {
    const char *word = getenv("NORMGEN_FAKE");
    return word && strcmp(word, what) == 0;
}

static normgen_status failed(void) {
    return ng_fail(NORMGEN_E_GENERATOR, "the fake generator was told to fail");
}

static const char *error_text(void) { return normgen_error(); }

static normgen_status compile(const ng_program *program, const ng_schedule *schedule,
                              const ng_isa *isa, ng_object *out) {
    (void)program, (void)schedule, (void)isa, (void)out;
    return ng_fail(NORMGEN_E_UNSUPPORTED, "the fake generator has no code");
}

static void object_fini(ng_object *object) { (void)object; }

static normgen_status show(const ng_program *program, const ng_schedule *schedule,
                           const ng_isa *isa, ng_view view, char **text) {
    (void)program, (void)schedule;
    if (told("fail")) return failed();
    *text = malloc(128);
    if (!*text) return NORMGEN_E_MEMORY;
    snprintf(*text, 128, "fake %s of %s\n", view == NG_VIEW_IR ? "ir" : "asm", isa->name);
    return NORMGEN_OK;
}

static normgen_status jit_new(ng_jit **jit) {
    (void)jit;
    return ng_fail(NORMGEN_E_UNSUPPORTED, "the fake generator loads no code");
}

static normgen_status jit_load(ng_jit *jit, const ng_object *object, normgen_fn *fn) {
    (void)jit, (void)object, (void)fn;
    return NORMGEN_E_UNSUPPORTED;
}

static void jit_free(ng_jit *jit) { (void)jit; }

static normgen_status read_specs(const char *path, ng_spec_list *list) {
    if (told("fail"))
        return ng_fail(NORMGEN_E_SPEC, "%s:7: hidden: 768.5 is no whole number", path);
    normgen_spec a = normgen_rms(64), b = normgen_layer(128);
    normgen_status st = ng_spec_resolve(&a, &a);
    if (st == NORMGEN_OK) st = ng_spec_resolve(&b, &b);
    if (st == NORMGEN_OK) st = ng_spec_list_add(list, "first", &a);
    if (st == NORMGEN_OK) st = ng_spec_list_add(list, "second", &b);
    return st;
}

static ng_figure figure(const char *schedule, double ns) {
    ng_figure f = {.ns = ns, .spread = 0.01};
    snprintf(f.schedule, sizeof f.schedule, "%s", schedule);
    return f;
}

/* A note, progress, a regime that does not exist and one result, for each spec. */
static void tell(const ng_tune_request *request, const ng_named_spec *spec) {
    ng_event e = {.kind = NG_EVENT_NOTE, .text = "a note", .spec = spec, .threads = 1};
    request->event(request->ctx, &e);
    e.kind = NG_EVENT_SKIP;
    e.text = "one row does not fit";
    request->event(request->ctx, &e);
    e = (ng_event){.kind = NG_EVENT_PROGRESS,
                   .text = "racing",
                   .spec = spec,
                   .regime = NG_L2,
                   .threads = 1,
                   .done = 1,
                   .total = 2,
                   .best = figure("vec=512 leader", 123.4)};
    request->event(request->ctx, &e);
    e.kind = NG_EVENT_RESULT;
    e.text = "";
    e.rows = 32;
    e.noise = 0.012;
    e.best = figure("vec=512 winner", 100);
    e.cached = figure("vec=256 cached", 125);
    e.limit = figure("limit", 80);
    e.preset = figure("vec=512 default", 150);
    e.interp = figure("", 2000);
    e.trials = 40;
    e.invalid = 2;
    request->event(request->ctx, &e);
}

static normgen_status tune(const ng_tune_request *request) {
    if (told("fail")) return failed();
    for (size_t i = 0; i < request->specs->count; i++) tell(request, &request->specs->items[i]);
    if (!told("wait") && !told("deaf")) return NORMGEN_OK;
    for (int ms = 0; ms < 20000 && (!*request->stop || told("deaf")); ms++) usleep(1000);
    return ng_fail(NORMGEN_E_INTERRUPTED, "stopped");
}

static normgen_status check(ng_check_request *request) {
    if (told("fail")) request->failure(request->ctx, "a difference in row 7");
    request->compared = 1000;
    request->kernels = 10;
    request->failed = told("fail") ? 1 : 0;
    return NORMGEN_OK;
}

static normgen_status emit(ng_emit_request *request) {
    request->spec_count = request->specs->count;
    return told("fail") ? failed() : NORMGEN_OK;
}

__attribute__((visibility("default"))) extern const ng_gen_table normgen_gen_table;
const ng_gen_table normgen_gen_table = {
    .struct_size = sizeof(ng_gen_table),
    .build = NG_BUILD_ID,
    .toolchain = "fake=1",
    .error = error_text,
    .compile = compile,
    .object_fini = object_fini,
    .show = show,
    .jit_new = jit_new,
    .jit_load = jit_load,
    .jit_free = jit_free,
    .read_specs = read_specs,
    .tune = tune,
    .bench = tune,
    .check = check,
    .emit = emit,
};
