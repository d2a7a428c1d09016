/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's address must tell which one it is, so there is a pool of functions that differ in one
 * number. */
#include "fakegen.h"

#include "build_id.h"
#include "error.h"
#include "genload.h"
#include "types.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

fake_trouble fake_trouble_now;

enum { FAKES = 64 };

typedef struct fake {
    ng_program program;
    ng_schedule schedule;
    char text[NG_SCHEDULE_TEXT];
} fake;
static fake fakes[FAKES];
static atomic_int compiled, jits, last = -1;
static atomic_bool misaligned;

struct ng_jit {
    int loads;
};

static void check_alignment(const fake *f, const normgen_bound_args *args) {
    for (int s = 0; s < f->program.streams; s++) {
        size_t need = ng_schedule_alignment(&f->program, &f->schedule, s);
        uintptr_t bits = (uintptr_t)args->stream[s].base | (uintptr_t)args->stream[s].inner;
        if (f->program.stream[s].out && bits % need != 0) atomic_store(&misaligned, true);
    }
}

static void run_fake(int index, const normgen_bound_args *args, size_t first, size_t end) {
    const fake *f = &fakes[index];
    check_alignment(f, args);
    atomic_store(&last, index);
    ng_interp_baseline(&f->program, args, first, end);
}

#define FAKE(n)                                                                                    \
    static void fake_##n(const normgen_bound_args *args, size_t first, size_t end) {               \
        run_fake(0##n, args, first, end);                                                          \
    }
#define EIGHT(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7)
#define ALL(X)                                                                                     \
    EIGHT(X, 0)                                                                                    \
    EIGHT(X, 1) EIGHT(X, 2) EIGHT(X, 3) EIGHT(X, 4) EIGHT(X, 5) EIGHT(X, 6) EIGHT(X, 7)
ALL(FAKE)
#define NAME(n) fake_##n,
static const normgen_fn functions[FAKES] = {ALL(NAME)};

static const char *fake_error(void) { return normgen_error(); }

/* Constants that are rounded while compiling need the default environment. */
static bool flushes_to_zero(void) {
    volatile double tiny = 1e-40;
    volatile float rounded = (float)tiny;
    return ng_bits32(rounded) == 0;
}

static normgen_status fake_compile(const ng_program *program, const ng_schedule *schedule,
                                   const ng_isa *isa, ng_object *out) {
    char text[NG_SCHEDULE_TEXT], reason[NG_SCHEDULE_TEXT];
    ng_schedule_text(program, schedule, text);
    if (!ng_schedule_legal(program, isa, schedule, reason))
        return ng_fail(NORMGEN_E_SCHEDULE, "asked to compile '%s': %s", text, reason);
    if (fake_trouble_now.uncompilable && strcmp(text, fake_trouble_now.uncompilable) == 0)
        return ng_fail(NORMGEN_E_GENERATOR, "told not to compile this one");
    if (flushes_to_zero()) return ng_fail(NORMGEN_E_GENERATOR, "called with flush-to-zero set");
    int index = atomic_fetch_add(&compiled, 1);
    if (index >= FAKES) return ng_fail(NORMGEN_E_GENERATOR, "out of fakes");
    fakes[index].program = *program;
    fakes[index].schedule = *schedule;
    memcpy(fakes[index].text, text, sizeof text);
    *out = (ng_object){malloc(1), 1, 1, ""};
    snprintf(out->symbol, sizeof out->symbol, "%d", index);
    return NORMGEN_OK;
}

static void fake_object_fini(ng_object *object) { free(object->bytes); }

static normgen_status fake_jit_new(ng_jit **jit) {
    if (fake_trouble_now.jit_new != NORMGEN_OK)
        return ng_fail(fake_trouble_now.jit_new, "told not to make a JIT");
    *jit = calloc(1, sizeof **jit);
    atomic_fetch_add(&jits, 1);
    return NORMGEN_OK;
}

static bool maps_code(void) {
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool may = mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
    munmap(page, 4096);
    return may;
}

static normgen_status fake_jit_load(ng_jit *jit, const ng_object *object, normgen_fn *fn) {
    if (fake_trouble_now.maps_code && !maps_code())
        return ng_fail(NORMGEN_E_UNSUPPORTED, "mprotect: not permitted");
    jit->loads++;
    *fn = functions[atoi(object->symbol)];
    return NORMGEN_OK;
}

static void fake_jit_free(ng_jit *jit) {
    atomic_fetch_sub(&jits, 1);
    free(jit);
}

static const ng_gen_table table = {.struct_size = sizeof table,
                                   .build = NG_BUILD_ID,
                                   .toolchain = FAKE_TOOLCHAIN,
                                   .error = fake_error,
                                   .compile = fake_compile,
                                   .object_fini = fake_object_fini,
                                   .jit_new = fake_jit_new,
                                   .jit_load = fake_jit_load,
                                   .jit_free = fake_jit_free};

void fake_install(void) { ng_gen_set(&table); }
int fake_compiled(void) { return atomic_load(&compiled); }
int fake_jits(void) { return atomic_load(&jits); }
const char *fake_last(void) {
    int index = atomic_exchange(&last, -1);
    return index < 0 ? "" : fakes[index].text;
}
bool fake_misaligned(void) { return atomic_load(&misaligned); }
