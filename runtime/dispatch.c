/* SPDX-License-Identifier: Apache-2.0 */
/* normgen_open and normgen_get: an ordered list of providers, the first that can serve a spec does.
 * All trouble on the way (no generator, a broken store, forbidden executable memory) makes a
 * provider decline with a reason; the interpreter never does. Files are open within normgen_get
 * only. It must not know how a call is run. */
#include "background.h"

#include "call.h"
#include "error.h"
#include "team.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_OF(x) #x
#define NUMBER_TEXT(x) TEXT_OF(x)

const char *normgen_version(void) {
    return NORMGEN_VERSION " numerics=" NUMBER_TEXT(NORMGEN_NUMERICS);
}

/* ---- log ---- */

static void say(const normgen *ng, normgen_log_level level, const char *format, va_list ap) {
    char line[NG_ERROR_TEXT];
    vsnprintf(line, sizeof line, format, ap);
    ng->log(ng->log_ctx, level, line);
}

void ng_warn_once(normgen *ng, ng_topic about, const char *format, ...) {
    if (!ng->log || (ng->told >> about & 1u)) return;
    ng->told |= 1u << about;
    va_list ap;
    va_start(ap, format);
    say(ng, NORMGEN_LOG_WARNING, format, ap);
    va_end(ap);
}

void ng_inform(const normgen *ng, const char *format, ...) {
    if (!ng->log) return;
    va_list ap;
    va_start(ap, format);
    say(ng, NORMGEN_LOG_INFO, format, ap);
    va_end(ap);
}

/* ---- providers ---- */

static normgen_status interpreted_kernel(normgen *ng, normgen_kernel *k) {
    ng_kernel_init(k, ng, ng->cpu, &k->spec); /* forget what a provider before left unfinished */
    ng->counters.interpreted++;
    return NORMGEN_OK;
}

/* In this order; a provider declines with a status and the reason as error text. */
static const struct provider {
    const char *name;
    normgen_status (*serve)(normgen *ng, normgen_kernel *kernel);
    bool last_resort; /* not under strictness */
} providers[] = {
    {"bundle", ng_bundled_kernel, false},
    {"compiled", ng_compiled_kernel, false},
    {"interpreter", interpreted_kernel, true},
};

static normgen_status provide(normgen *ng, normgen_kernel *k) {
    normgen_status status = NORMGEN_E_UNSUPPORTED;
    for (size_t i = 0; i < sizeof providers / sizeof providers[0]; i++) {
        if (ng->strict && providers[i].last_resort) continue;
        status = providers[i].serve(ng, k);
        if (status == NORMGEN_OK) {
            k->provider = providers[i].name;
            return NORMGEN_OK;
        }
        ng_inform(ng, "provider %s declines: %s", providers[i].name, normgen_error());
    }
    return ng_fail_in(status, "strict: only a fallback could serve this spec");
}

/* ---- handles ---- */

/* NORMGEN_MODE, when the caller left it open. */
static normgen_status mode_of(int option, int *mode) {
    const char *text = getenv("NORMGEN_MODE");
    if (option < NORMGEN_MODE_DEFAULT || option > NORMGEN_MODE_TUNE)
        return ng_fail(
            NORMGEN_E_ARGUMENT,
            "options.mode is %d; it takes NORMGEN_MODE_DEFAULT, _LOOKUP, _COMPILE or _TUNE",
            option);
    *mode = option;
    if (option != NORMGEN_MODE_DEFAULT || !text || !*text) return NORMGEN_OK;
    static const char *const names[] = {
        [NORMGEN_MODE_LOOKUP] = "lookup",
        [NORMGEN_MODE_COMPILE] = "compile",
        [NORMGEN_MODE_TUNE] = "tune",
    };
    for (*mode = NORMGEN_MODE_LOOKUP; *mode <= NORMGEN_MODE_TUNE; ++*mode)
        if (strcmp(text, names[*mode]) == 0) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_ARGUMENT,
                   "NORMGEN_MODE is '%.64s'; it takes lookup, compile or tune, or leave it unset",
                   text);
}

static normgen_status strict_of(int option, bool *strict) {
    const char *text = getenv("NORMGEN_STRICT");
    if (option < 0 || option > 1)
        return ng_fail(NORMGEN_E_ARGUMENT, "options.strict is %d; it takes 0 or 1", option);
    *strict = option == 1;
    if (option == 1 || !text || !*text) return NORMGEN_OK;
    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "NORMGEN_STRICT is '%.64s'; it takes 0 or 1, or leave it unset", text);
    *strict = text[0] == '1';
    return NORMGEN_OK;
}

/* A process without a home has no default store: the same as a missing file. */
static normgen_status store_of(const char *option, char *path) {
    if (!option) {
        if (ng_store_default_path(path, NG_STORE_PATH) != NORMGEN_OK) path[0] = 0;
        return NORMGEN_OK;
    }
    if (strlen(option) >= NG_STORE_PATH)
        return ng_fail(NORMGEN_E_ARGUMENT, "options.store has %zu characters, at most %d are taken",
                       strlen(option), NG_STORE_PATH - 1);
    memcpy(path, option, strlen(option) + 1);
    return NORMGEN_OK;
}

static normgen_status read_options(const normgen_options *options, normgen_options *out) {
    *out = normgen_options_default();
    if (!options) return NORMGEN_OK;
    if (options->struct_size < offsetof(normgen_options, store) ||
        options->struct_size > sizeof *out)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "options.struct_size is %zu; this library knows %zu to %zu: start from "
                       "normgen_options_default(), and use a library at least as new as the header",
                       options->struct_size, offsetof(normgen_options, store), sizeof *out);
    memcpy(out, options, options->struct_size);
    return NORMGEN_OK;
}

static normgen_status init(normgen *ng, const normgen_options *options) {
    normgen_options o;
    normgen_status status = read_options(options, &o);
    if (status == NORMGEN_OK) status = mode_of(o.mode, &ng->mode);
    if (status == NORMGEN_OK) status = strict_of(o.strict, &ng->strict);
    if (status == NORMGEN_OK) status = store_of(o.store, ng->store);
    if (status == NORMGEN_OK) status = ng_cpu_host(&ng->cpu);
    if (status != NORMGEN_OK) return status;
    ng->team.awake_ns = ng_team_awake();
    ng->log = o.log;
    ng->log_ctx = o.log_ctx;
    if (pthread_mutex_init(&ng->lock, NULL) != 0)
        return ng_fail(NORMGEN_E_MEMORY, "the system gives no mutex");
    return NORMGEN_OK;
}

normgen_status normgen_open(normgen **ng, const normgen_options *options) {
    if (!ng) return ng_fail(NORMGEN_E_ARGUMENT, "normgen_open: ng is a null pointer");
    normgen *n = calloc(1, sizeof *n);
    if (!n) return ng_fail(NORMGEN_E_MEMORY, "no memory for a handle (%zu bytes)", sizeof *n);
    normgen_status status = init(n, options);
    if (status != NORMGEN_OK)
        free(n);
    else
        *ng = n;
    return status;
}

static void free_kernel(normgen_kernel *k) {
    for (ng_plan *plan = k->plan, *older; plan != &k->first; plan = older) {
        older = plan->older;
        free(plan);
    }
    free(k);
}

void normgen_close(normgen *ng) {
    if (!ng) return;
    ng_background_end(ng->background);
    for (normgen_kernel *k = ng->kernels, *next; k; k = next) {
        next = k->next;
        free_kernel(k);
    }
    if (ng->jit) ng->gen->jit_free(ng->jit);
    ng_bundles_free(ng->bundles);
    pthread_mutex_destroy(&ng->lock);
    free(ng);
}

/* ---- kernels ---- */

static normgen_kernel *find(const normgen *ng, const normgen_spec *spec) {
    normgen_kernel *k = ng->kernels;
    while (k && !ng_spec_same(&k->spec, spec)) k = k->next;
    return k;
}

static normgen_status add(normgen *ng, const normgen_spec *spec, normgen_kernel **kernel) {
    normgen_kernel *k = malloc(sizeof *k);
    if (!k) return ng_fail(NORMGEN_E_MEMORY, "no memory for a kernel (%zu bytes)", sizeof *k);
    ng_kernel_init(k, ng, ng->cpu, spec);
    normgen_status status = provide(ng, k);
    if (status != NORMGEN_OK) {
        free(k);
        return status;
    }
    k->next = ng->kernels;
    ng->kernels = k;
    *kernel = k;
    return NORMGEN_OK;
}

/* A host's flush-to-zero mode would turn a tiny eps into zero. */
normgen_status normgen_get(normgen *ng, const normgen_spec *spec, normgen_kernel **kernel) {
    normgen_spec resolved;
    if (!ng || !kernel)
        return ng_fail(NORMGEN_E_ARGUMENT, "normgen_get: %s is a null pointer",
                       ng ? "kernel" : "ng");
    uint64_t saved = ng_fp_enter();
    normgen_status status = ng_spec_resolve(spec, &resolved);
    if (status == NORMGEN_OK) {
        pthread_mutex_lock(&ng->lock);
        ng->counters.gets++;
        normgen_kernel *k = find(ng, &resolved);
        if (k)
            *kernel = k;
        else
            status = add(ng, &resolved, kernel);
        pthread_mutex_unlock(&ng->lock);
    }
    ng_fp_leave(saved);
    return status;
}

void normgen_get_counters(const normgen *ng, normgen_counters *out) {
    if (!ng || !out || out->struct_size < sizeof out->struct_size) return;
    size_t size = out->struct_size < sizeof *out ? out->struct_size : sizeof *out;
    pthread_mutex_t *lock = (pthread_mutex_t *)&ng->lock; /* a handle is never a const object */
    pthread_mutex_lock(lock);
    size_t head = sizeof out->struct_size;
    memcpy((char *)out + head, (const char *)&ng->counters + head, size - head);
    pthread_mutex_unlock(lock);
}
