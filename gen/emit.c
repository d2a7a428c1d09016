/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle from request to folder: what was asked for is checked first and whole, then schedules,
 * kernels, header, dispatcher, files. Nothing is written before everything is made. */
#include "emit.h"

#include "error.h"
#include "gen.h"
#include "store.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void note(const ng_bundle *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(const ng_bundle *b, const char *format, ...) {
    char line[1024];
    va_list ap;
    if (!b->request->note) return;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    b->request->note(b->request->ctx, line);
}

/* ---- names ---- */

static bool is_identifier(const char *s) {
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_') return false;
    return true;
}

static normgen_status check_prefix(const char *prefix) {
    if (!is_identifier(prefix))
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "prefix '%.60s' is no C identifier: letters, digits and _, no digit first",
                       prefix);
    if (strlen(prefix) > NG_PREFIX_MOST)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "prefix '%.60s' has %zu characters, at most %d are taken", prefix,
                       strlen(prefix), NG_PREFIX_MOST);
    if (strcasecmp(prefix, "normgen") == 0)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "prefix '%s' belongs to the headers of libnormgen: take another one",
                       prefix);
    return NORMGEN_OK;
}

/* Appends with everything that a C identifier has not as _. */
static void append(char *name, size_t size, const char *text) {
    size_t n = strlen(name);
    for (; *text && n + 1 < size; text++) name[n++] = isalnum((unsigned char)*text) ? *text : '_';
    name[n] = 0;
}

/* "rms_4096_bf16", and every field that is not what follows from these: no two specs share one. */
static void invent_name(const char *text, char *name, size_t size) {
    char copy[NORMGEN_SPEC_TEXT], x[16] = "", *state = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    *name = 0;
    for (char *word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
        char *value = strchr(word, '=');
        if (!value) {
            append(name, size, word);
            continue;
        }
        *value++ = 0;
        bool is_x = strcmp(word, "x") == 0, hidden = strcmp(word, "hidden") == 0;
        if (is_x) snprintf(x, sizeof x, "%s", value);
        if (strcmp(word, "eps") == 0 && strcmp(value, "1e-05") == 0) continue;
        if ((strcmp(word, "y") == 0 || strcmp(word, "weight") == 0) && strcmp(value, x) == 0)
            continue;
        append(name, size, "_");
        if (!is_x && !hidden) append(name, size, word);
        append(name, size, value);
    }
}

/* What the header declares for the bundle as a whole, in upper case behind the prefix's too. */
static bool is_taken(const char *name) {
    static const char *const words[] = {"isa", "bundle", "status", "status_text", "H", "OK"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(name, words[i]) == 0) return true;
    return strncmp(name, "E_", 2) == 0;
}

/* Whether the header declares for b, beside its function, what is called `name`. */
static bool derives(const char *b, const char *name) {
    size_t n = strlen(b);
    if (strncmp(name, b, n) != 0) return false;
    return strcmp(name + n, "_rows") == 0 || strcmp(name + n, "_args") == 0;
}

/* No name of the header may stand for two things. */
static normgen_status check_name(const ng_bundle *b, const ng_bundle_spec *s, const char *name) {
    if (is_taken(name))
        return ng_fail(NORMGEN_E_SPEC,
                       "spec '%s' cannot be called '%s', which the header of every bundle has for "
                       "something else; rename it",
                       s->text, name);
    for (const ng_bundle_spec *o = b->spec; o < s; o++) {
        if (strcmp(o->name, name) == 0)
            return ng_fail(NORMGEN_E_SPEC,
                           "two specs are called '%s': '%s' and '%s'; rename one of them", name,
                           o->text, s->text);
        if (derives(o->name, name) || derives(name, o->name))
            return ng_fail(NORMGEN_E_SPEC,
                           "specs '%s' and '%s' do not go into one header, which declares NAME, "
                           "NAME_rows and NAME_args for each; rename one of them",
                           o->name, name);
    }
    return NORMGEN_OK;
}

static normgen_status name_spec(const ng_bundle *b, ng_bundle_spec *s, const char *given) {
    char full[256];
    if (*given) {
        full[0] = 0;
        append(full, sizeof full, given);
    } else {
        invent_name(s->text, full, sizeof full);
    }
    if (strlen(full) >= sizeof s->name || !is_identifier(full))
        return ng_fail(
            NORMGEN_E_SPEC,
            "spec '%s' cannot be called '%s' in C; give it a name of at most %zu letters "
            "in a Lua file",
            s->text, full, sizeof s->name - 1);
    normgen_status st = check_name(b, s, full);
    if (st != NORMGEN_OK) return st;
    snprintf(s->name, sizeof s->name, "%s", full);
    return NORMGEN_OK;
}

/* ---- specs ---- */

static bool listed(const ng_spec_list *list, const normgen_spec *spec) {
    for (size_t i = 0; i < list->count; i++)
        if (ng_spec_same(&list->items[i].spec, spec)) return true;
    return false;
}

/* The same spec under the same name: asked for twice, wanted once. */
static bool listed_as(const ng_spec_list *list, const char *name, const normgen_spec *spec) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0 && ng_spec_same(&list->items[i].spec, spec))
            return true;
    return false;
}

typedef struct gathering {
    ng_spec_list *list;
    normgen_status status;
} gathering;

static bool gather(void *ctx, const ng_found *found) {
    gathering *g = ctx;
    normgen_spec spec;
    if (normgen_spec_parse(&spec, found->spec) != NORMGEN_OK || listed(g->list, &spec)) return true;
    g->status = ng_spec_list_add(g->list, "", &spec);
    return g->status == NORMGEN_OK;
}

/* The specs asked for, then those of the store that are not among them. */
static normgen_status list_specs(const ng_bundle *b, ng_store *store, ng_spec_list *all) {
    const ng_spec_list *asked = b->request->specs;
    normgen_status st = NORMGEN_OK;
    for (size_t i = 0; i < asked->count && st == NORMGEN_OK; i++) {
        normgen_spec spec;
        const char *name = asked->items[i].name;
        st = ng_spec_resolve(&asked->items[i].spec, &spec);
        if (st == NORMGEN_OK && !listed_as(all, name, &spec))
            st = ng_spec_list_add(all, name, &spec);
    }
    gathering g = {all, st};
    const ng_query query = {.regime = -1, .slot = NG_SLOT_ANY};
    if (st == NORMGEN_OK && b->request->tuned && store) {
        st = ng_store_winners(store, &query, gather, &g);
        if (st == NORMGEN_OK) st = g.status;
    }
    if (st == NORMGEN_OK && all->count == 0)
        return ng_fail(NORMGEN_E_SPEC, b->request->tuned
                                           ? "the store has no winners; run normgen tune first"
                                           : "no spec is given");
    return st;
}

static normgen_status take_specs(ng_bundle *b, const ng_spec_list *all) {
    b->spec = calloc(all->count, sizeof *b->spec);
    if (!b->spec) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu specs", all->count);
    for (size_t i = 0; i < all->count; i++) {
        ng_bundle_spec *s = &b->spec[i];
        s->spec = all->items[i].spec;
        ng_spec_text(&s->spec, s->text);
        normgen_status st = name_spec(b, s, all->items[i].name);
        if (st != NORMGEN_OK) return st;
        ng_program_build(&s->program, &s->spec);
        s->at = calloc((size_t)b->levels, sizeof *s->at);
        if (!s->at) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu specs", all->count);
        b->specs++;
    }
    return NORMGEN_OK;
}

static normgen_status read_specs(ng_bundle *b, ng_store *store) {
    ng_spec_list all = {0};
    normgen_status st = list_specs(b, store, &all);
    if (st == NORMGEN_OK) st = take_specs(b, &all);
    ng_spec_list_fini(&all);
    return st;
}

/* ---- levels and regimes ---- */

static normgen_status unknown_level(const char *name, size_t length) {
    char names[256] = "";
    for (size_t i = 0, at = 0; i < ng_isa_count && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, " %s", ng_isas[i].name);
    return ng_fail(NORMGEN_E_ARGUMENT, "'%.*s' is no ISA level; there are%s", (int)length, name,
                   names);
}

/* Calls each(b, word, length) for the words of a list with commas. */
static normgen_status each_word(ng_bundle *b, const char *text,
                                normgen_status (*each)(ng_bundle *b, const char *, size_t)) {
    normgen_status st = NORMGEN_OK;
    for (const char *at = text; st == NORMGEN_OK; at++) {
        size_t n = strcspn(at, ",");
        st = each(b, at, n);
        at += n;
        if (!*at) break;
    }
    return st;
}

/* The position of a level in the order of weakness; the spelled-out one takes that of its name. */
static normgen_status take_level(ng_bundle *b, const char *name, size_t length) {
    char text[64] = "";
    if (length < sizeof text) memcpy(text, name, length);
    const ng_isa *isa = ng_isa_find(text);
    if (!isa) return unknown_level(name, length < 60 ? length : 60);
    if (isa->max_vec == 0) isa = &ng_isa_spelled_out;
    for (int i = 0; i < b->levels; i++)
        if (b->level[i] == isa) return NORMGEN_OK;
    b->level[b->levels++] = isa;
    return NORMGEN_OK;
}

static long rank_of(const ng_isa *isa) { return isa->fma ? 1 + (isa - ng_isas) : 0; }

static int compare_levels(const void *a, const void *b) {
    long x = rank_of(*(const ng_isa *const *)a), y = rank_of(*(const ng_isa *const *)b);
    return (x > y) - (x < y);
}

static normgen_status read_levels(ng_bundle *b) {
    bool x86 = false, spelled = false;
    if (ng_isa_count + 1 > NG_MAX_LEVELS)
        return ng_fail(NORMGEN_E_UNSUPPORTED, "more than %d ISA levels", NG_MAX_LEVELS);
    normgen_status st = each_word(b, b->request->isas, take_level);
    for (int i = 0; i < b->levels; i++) {
        x86 = x86 || b->level[i]->arch == NG_X86_64;
        spelled = spelled || b->level[i] == &ng_isa_spelled_out;
    }
    if (st != NORMGEN_OK) return st;
    if (spelled && !b->request->baseline)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "level %s is the baseline, which is not wanted: leave one of the two out",
                       ng_isa_spelled_out.name);
    if (x86 && !spelled && b->request->baseline) b->level[b->levels++] = &ng_isa_spelled_out;
    qsort(b->level, (size_t)b->levels, sizeof b->level[0], compare_levels);
    return NORMGEN_OK;
}

static normgen_status take_regime(ng_bundle *b, const char *name, size_t length) {
    char text[16] = "";
    if (length < sizeof text) memcpy(text, name, length);
    int regime = ng_regime_find(text);
    if (regime < 0)
        return ng_fail(NORMGEN_E_ARGUMENT, "'%.*s' is no regime; there are l1 l2 llc dram",
                       (int)(length < 60 ? length : 60), name);
    b->regime_of[regime] = regime;
    return NORMGEN_OK;
}

/* A regime without schedules of its own is served by the next smaller one, or the smallest. */
static normgen_status read_regimes(ng_bundle *b) {
    int nearest = -1;
    for (int r = 0; r < NG_REGIME_COUNT; r++) b->regime_of[r] = b->request->regimes ? -1 : r;
    if (b->request->regimes) {
        normgen_status st = each_word(b, b->request->regimes, take_regime);
        if (st != NORMGEN_OK) return st;
    }
    for (int r = NG_REGIME_COUNT - 1; r >= 0; r--)
        if (b->regime_of[r] == r) nearest = r;
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        if (b->regime_of[r] == r) nearest = r;
        b->regime_of[r] = nearest;
    }
    return NORMGEN_OK;
}

/* ---- the steps ---- */

static normgen_status make(ng_bundle *b, size_t *library_bytes) {
    ng_store *store = NULL;
    normgen_status st = check_prefix(b->prefix);
    if (st == NORMGEN_OK) st = read_levels(b);
    if (st == NORMGEN_OK) st = read_regimes(b);
    if (st == NORMGEN_OK && b->request->store)
        st = ng_store_open(b->request->store, NG_STORE_READ, &store);
    if (st == NORMGEN_OK) st = read_specs(b, store);
    if (st == NORMGEN_OK) st = ng_emit_plan(b, store);
    ng_store_close(store);
    if (st == NORMGEN_OK) st = ng_emit_header(b);
    if (st == NORMGEN_OK) st = ng_emit_compile(b);
    if (st == NORMGEN_OK) st = ng_emit_files(b, library_bytes);
    return st;
}

static void tell_gaps(const ng_bundle *b) {
    for (size_t i = 0; i < b->specs; i++)
        for (int level = 0; level < b->levels; level++)
            if (!b->spec[i].can[level])
                note(b, "%s has no entry for %s: its compute type is f64, which needs FMA",
                     b->spec[i].name, b->level[level]->name);
}

static void fini(ng_bundle *b) {
    for (size_t i = 0; i < b->specs; i++) free(b->spec[i].at);
    for (size_t i = 0; i < b->kernels; i++) ng_object_fini(&b->kernel[i].object);
    free(b->spec);
    free(b->kernel);
    free(b->header);
}

normgen_status ng_emit(ng_emit_request *request) {
    ng_bundle b = {.request = request, .prefix = request->prefix};
    normgen_status st = make(&b, &request->library_bytes);
    if (st == NORMGEN_OK) {
        tell_gaps(&b);
        request->spec_count = b.specs;
        request->kernel_count = b.kernels;
    }
    fini(&b);
    return st;
}
