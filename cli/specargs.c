/* SPDX-License-Identifier: Apache-2.0 */
/* Reads specs from words and flags. Knows no field by meaning except the three that every spec
 * needs: kind, hidden, eps. */
#include "specargs.h"

#include "error.h"
#include "gentable.h"
#include "models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* Keeps of the specs that were added from `first` on only the ones called `name`; the norm's part
 * of a preset's name will do. */
static int select_named(const char *where, const char *name, size_t first, ng_spec_list *list) {
    if (!name) return CLI_DONE;
    size_t kept = first;
    for (size_t i = first; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0 ||
            strcmp(cli_model_norm(list->items[i].name), name) == 0)
            list->items[kept++] = list->items[i];
    size_t had = list->count - first;
    list->count = kept;
    if (kept > first) return CLI_DONE;
    return cli_error("%s: none of its %zu specs is called '%s'", where, had, name);
}

static int read_model(const cli_args *args, ng_spec_list *list) {
    size_t first = list->count;
    int code = cli_model_read(args->model, args->type, list);
    return code == CLI_DONE ? select_named(args->model, args->name, first, list) : code;
}

static int read_file(const cli_args *args, const char *path, ng_spec_list *list) {
    const ng_gen_table *gen = ng_gen();
    if (!gen) return cli_error("%s: reading Lua spec files: %s", path, normgen_error());
    size_t first = list->count;
    if (gen->read_specs(path, list) != NORMGEN_OK) return cli_failed(gen->error());
    return select_named(path, args->name, first, list);
}

/* The shell has cut an unquoted text at its blanks: a kind, then FIELD=VALUE words. */
static size_t words_of_text(const cli_args *args, size_t at) {
    size_t end = at + 1;
    while (end < args->n_words && strchr(args->words[end], '=') &&
           !strpbrk(args->words[end], " /") && !ends_with(args->words[end], ".lua"))
        end++;
    return end - at;
}

static int read_text(const cli_args *args, size_t at, size_t words, ng_spec_list *list) {
    char text[2 * NORMGEN_SPEC_TEXT] = "";
    size_t length = 0;
    for (size_t i = at; i < at + words && length < sizeof text; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", i > at ? " " : "",
                                   args->words[i]);
    if (length >= sizeof text)
        return cli_usage_error(args->verb, "a spec text of %zu characters is too long", length);
    normgen_spec spec;
    if (normgen_spec_parse(&spec, text) != NORMGEN_OK)
        return cli_usage_error(args->verb, "'%.100s': %s", text, normgen_error());
    if (ng_spec_list_add(list, "", &spec) != NORMGEN_OK) return cli_failed(NULL);
    return CLI_DONE;
}

static int read_words(const cli_args *args, ng_spec_list *list) {
    for (size_t i = 0, n; i < args->n_words; i += n) {
        bool file = ends_with(args->words[i], ".lua");
        n = file ? 1 : words_of_text(args, i);
        int code = file ? read_file(args, args->words[i], list) : read_text(args, i, n, list);
        if (code != CLI_DONE) return code;
    }
    return CLI_DONE;
}

normgen_status cli_spec_of_flags(const normgen_spec *flags, uint64_t given, normgen_spec *spec) {
    normgen_spec s = *flags;
    if (s.kind == 0) s.kind = NORMGEN_RMS;
    bool none = s.kind == NORMGEN_DYT || s.stats != NORMGEN_STATS_WHOLE;
    if (isnan(s.eps)) s.eps = none ? 0 : 1e-5;
    if (s.hidden == 0) return ng_fail(NORMGEN_E_SPEC, "no --hidden is given");
    return ng_spec_resolve_given(&s, given, spec);
}

static int read_flags(const cli_args *args, ng_spec_list *list) {
    normgen_spec spec;
    if (cli_spec_of_flags(&args->spec, args->given, &spec) != NORMGEN_OK)
        return cli_usage_error(args->verb, "%s", normgen_error());
    if (ng_spec_list_add(list, "", &spec) != NORMGEN_OK) return cli_failed(NULL);
    return CLI_DONE;
}

/* At most one source: words, flags or a model. */
static int check_sources(const cli_args *args) {
    if (args->n_words && args->given)
        return cli_usage_error(args->verb,
                               "a spec is given both as '%.60s' and by flags; use one of them",
                               args->words[0]);
    if (args->model && (args->n_words || args->given))
        return cli_usage_error(args->verb,
                               "specs are given both by --model %.60s and in another way; use one "
                               "of them",
                               args->model);
    if (args->name && !args->n_words && !args->model)
        return cli_usage_error(args->verb,
                               "--name selects from a Lua file or a model, and none is given");
    if (args->type && !args->model)
        return cli_usage_error(args->verb, "--type selects among the presets of --model, and none "
                                           "is given; a spec's own types are --x, --y, --weight");
    return CLI_DONE;
}

int cli_specs_read(const cli_args *args, bool optional, ng_spec_list *list) {
    int code = check_sources(args);
    if (code != CLI_DONE) return code;
    if (args->n_words) return read_words(args, list);
    if (args->model) return read_model(args, list);
    if (args->given) return read_flags(args, list);
    if (optional) return CLI_DONE;
    return cli_usage_error(args->verb, "no spec is given; for example: normgen %s --hidden 4096",
                           args->verb->name);
}

int cli_spec_read(const cli_args *args, normgen_spec *spec) {
    ng_spec_list list = {0};
    int code = cli_specs_read(args, false, &list);
    if (code == CLI_DONE && list.count != 1)
        code = list.count ? cli_usage_error(args->verb,
                                            "it takes one spec, and %zu are given; select one "
                                            "with --name",
                                            list.count)
                          : cli_error("the file has no spec");
    if (code == CLI_DONE) *spec = list.items[0].spec;
    ng_spec_list_fini(&list);
    return code;
}
