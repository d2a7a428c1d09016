/* SPDX-License-Identifier: Apache-2.0 */
/* The provider that serves from bundles of `normgen emit`: tuned kernels without a compiler. A
 * bundle is believed about a spec only when its text, the numerics number, the struct layouts and
 * the order of the streams are ours. Levels are chosen here, so that NORMGEN_ISA counts. */
#include "normgen/bundle.h"

#include "dispatch.h"
#include "error.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- registering ---- */

static normgen_status check_bundle(const normgen_bundle *b) {
    if (b->struct_size < sizeof *b || b->abi != NORMGEN_BUNDLE_ABI)
        return ng_fail(
            NORMGEN_E_UNSUPPORTED,
            "the bundle has interface %u of %zu bytes, this library takes %d of %zu: emit "
            "it again with the normgen that this library belongs to",
            b->abi, b->struct_size, NORMGEN_BUNDLE_ABI, sizeof *b);
    if (b->numerics != NORMGEN_NUMERICS)
        return ng_fail(NORMGEN_E_UNSUPPORTED,
                       "bundle '%.60s' computes by numerics=%u, this library by %d: their bits "
                       "differ; emit it again",
                       b->prefix, b->numerics, NORMGEN_NUMERICS);
    if (b->regimes == NG_REGIME_COUNT) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_UNSUPPORTED, "bundle '%.60s' has %zu regimes, this library %d",
                   b->prefix, b->regimes, NG_REGIME_COUNT);
}

/* Takes the library's handle, also on failure. */
static normgen_status add(normgen *ng, const normgen_bundle *bundle, void *library) {
    normgen_status status = check_bundle(bundle);
    ng_bundle_link *link = status == NORMGEN_OK ? malloc(sizeof *link) : NULL;
    if (status == NORMGEN_OK && !link)
        status = ng_fail(NORMGEN_E_MEMORY, "no memory to register a bundle");
    if (status != NORMGEN_OK) {
        if (library) dlclose(library);
        return status;
    }
    *link = (ng_bundle_link){bundle, library, NULL};
    pthread_mutex_lock(&ng->lock);
    ng_bundle_link **end = &ng->bundles;
    while (*end) end = &(*end)->next;
    *end = link;
    pthread_mutex_unlock(&ng->lock);
    return NORMGEN_OK;
}

normgen_status normgen_add_bundle(normgen *ng, const normgen_bundle *bundle) {
    if (!ng || !bundle)
        return ng_fail(NORMGEN_E_ARGUMENT, "normgen_add_bundle: %s is a null pointer",
                       ng ? "bundle" : "ng");
    return add(ng, bundle, NULL);
}

/* "PREFIX_bundle" from ".../libPREFIX.so"; false when the file is not called so. */
static bool getter_name(const char *path, char *name, size_t size) {
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    if (strncmp(base, "lib", 3) != 0) return false;
    const char *end = strstr(base, ".so");
    if (!end || end == base + 3) return false;
    int n = snprintf(name, size, "%.*s_bundle", (int)(end - base - 3), base + 3);
    return n > 0 && (size_t)n < size;
}

normgen_status normgen_open_bundle(normgen *ng, const char *path) {
    char name[256];
    if (!ng || !path)
        return ng_fail(NORMGEN_E_ARGUMENT, "normgen_open_bundle: %s is a null pointer",
                       ng ? "path" : "ng");
    if (!getter_name(path, name, sizeof name))
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "'%.200s' is not called libPREFIX.so, as `normgen emit --shared --prefix "
                       "PREFIX` calls it",
                       path);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return ng_fail(NORMGEN_E_IO, "the bundle cannot be loaded: %s", dlerror());
    const normgen_bundle *(*getter)(void);
    *(void **)&getter = dlsym(library, name);
    const normgen_bundle *bundle = getter ? getter() : NULL;
    if (bundle) return add(ng, bundle, library);
    dlclose(library);
    return ng_fail(NORMGEN_E_UNSUPPORTED, "'%.200s' has no %s %s: it is no bundle", path,
                   getter ? "table behind" : "function", name);
}

void ng_bundles_free(ng_bundle_link *list) {
    for (ng_bundle_link *next; list; list = next) {
        next = list->next;
        if (list->library) dlclose(list->library);
        free(list);
    }
}

/* ---- serving ---- */

static const normgen_bundle_spec *find(const normgen_bundle *b, const char *text) {
    for (size_t i = 0; i < b->specs; i++)
        if (strcmp(b->spec[i].spec, text) == 0) return &b->spec[i];
    return NULL;
}

/* The entries of the best level that runs here, or NULL. */
static const normgen_bundle_entry *level_of(const normgen_bundle *b, const normgen_bundle_spec *s,
                                            const ng_cpu *cpu) {
    for (size_t i = b->levels; i-- > 0;) {
        const ng_isa *isa = ng_isa_find(b->level[i]);
        const normgen_bundle_entry *e = &s->entries[i * NG_REGIME_COUNT];
        if (isa && ng_cpu_runs(cpu, isa) && e->any) return e;
    }
    return NULL;
}

static void fill(ng_entry *out, const normgen_bundle_entry *e, uint64_t streamed,
                 const ng_program *p) {
    *out = (ng_entry){.any = e->any, .cached = e->cached, .rung = NG_RUNG_DEFAULT};
    for (int s = 0; s < p->streams && e->mask; s++) {
        if (!(streamed >> s & 1u)) continue;
        out->aligned[out->streamed].stream = (uint16_t)s;
        out->aligned[out->streamed++].mask = (uint16_t)e->mask;
    }
    snprintf(out->text, sizeof out->text, "bundle %.*s", NG_SCHEDULE_TEXT, e->schedule);
}

static bool same_streams(const ng_program *p, const char *streams) {
    char ours[NORMGEN_MAX_STREAMS * 24] = "";
    for (int s = 0, at = 0; s < p->streams && at < (int)sizeof ours; s++)
        at += snprintf(ours + at, sizeof ours - (size_t)at, "%s%s", s ? " " : "",
                       ng_roles[p->stream[s].role].name);
    return strcmp(ours, streams) == 0;
}

static bool serve(normgen_kernel *k, const normgen_bundle *b, const char *text) {
    const normgen_bundle_spec *s = find(b, text);
    if (!s || !same_streams(&k->program, s->streams)) return false;
    const normgen_bundle_entry *e = level_of(b, s, k->ng->cpu);
    if (!e) return false;
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        fill(&k->first.alone[r], &e[r], s->streamed, &k->program);
        k->first.team[r] = k->first.alone[r];
    }
    return true;
}

normgen_status ng_bundled_kernel(normgen *ng, normgen_kernel *k) {
    char text[NORMGEN_SPEC_TEXT];
    ng_spec_text(&k->spec, text);
    for (const ng_bundle_link *l = ng->bundles; l; l = l->next)
        if (serve(k, l->bundle, text)) {
            ng->counters.bundled++;
            ng_inform(ng, "%s: bundle %s", text, l->bundle->prefix);
            return NORMGEN_OK;
        }
    return ng_fail(NORMGEN_E_UNSUPPORTED, "no registered bundle has '%s' for this machine", text);
}
