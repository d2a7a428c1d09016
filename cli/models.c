/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the folder of presets, reads its files through the generator library, and selects by name.
 * Knows nothing of what is in a spec. */
#include "models.h"

#include "gentable.h"
#include "options.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const cli_model_types[] = {"bf16", "f16", "f32", NULL};

/* ---- names ---- */

static size_t model_length(const char *name) {
    const char *norm = strstr(name, "__");
    return norm ? (size_t)(norm - name) : strlen(name);
}

const char *cli_model_norm(const char *name) {
    const char *norm = strstr(name, "__");
    return norm ? norm + 2 : name;
}

void cli_model_text(const char *name, char text[CLI_MODEL_TEXT]) {
    size_t n = model_length(name);
    if (n >= CLI_MODEL_TEXT) n = CLI_MODEL_TEXT - 1;
    for (size_t i = 0; i < n; i++) {
        bool point = name[i] == 'p' && i > 0 && isdigit((unsigned char)name[i - 1]) &&
                     isdigit((unsigned char)name[i + 1]);
        text[i] = (char)(point ? '.' : name[i] == '_' ? '-' : name[i]);
    }
    text[n] = 0;
}

/* What a person wrote, as a preset's name has it, with the type's suffix. */
static void model_name(const char *model, int64_t type, char *name, size_t size) {
    size_t at = 0;
    for (; model[at] && at + 8 < size; at++) {
        char c = (char)tolower((unsigned char)model[at]);
        name[at] = (char)(c == '.' ? 'p' : c == '-' ? '_' : c);
    }
    snprintf(name + at, size - at, "%s%s", type ? "_" : "", type ? cli_model_types[type] : "");
}

static bool is_model(const char *name, const char *model) {
    return strlen(model) == model_length(name) && strncmp(name, model, strlen(model)) == 0;
}

/* Edit distance (insert, remove, replace). */
static size_t distance(const char *a, const char *b) {
    size_t row[CLI_MODEL_TEXT], n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]), other;
            diagonal = row[j];
            other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < other ? change : other;
        }
    }
    return row[n];
}

/* ---- the folder ---- */

/* From the folder of the program: a build tree, an installed tree. */
static const char *const places[] = {"specs", "../share/normgen/specs"};
enum { PLACES = sizeof places / sizeof places[0] };

static int find_folder(char *path, size_t size) {
    const char *named = getenv("NORMGEN_SPECS");
    char self[PATH_MAX];
    if (named && *named) {
        snprintf(path, size, "%s", named);
        if (access(path, R_OK) == 0) return CLI_DONE;
        return cli_error("NORMGEN_SPECS names '%.400s', which cannot be read: %s", path,
                         strerror(errno));
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    const char *slash = strrchr(self, '/');
    for (int i = 0; slash && i < PLACES; i++) {
        snprintf(path, size, "%.*s/%s", (int)(slash - self), self, places[i]);
        if (access(path, R_OK) == 0) return CLI_DONE;
    }
    return cli_error("the folder of presets is not in %s or %s beside %s: set NORMGEN_SPECS to it",
                     places[0], places[1], *self ? self : "the program");
}

static int is_lua(const struct dirent *entry) {
    size_t n = strlen(entry->d_name);
    return n > 4 && strcmp(entry->d_name + n - 4, ".lua") == 0;
}

int cli_models_read_all(ng_spec_list *list) {
    char folder[PATH_MAX], path[PATH_MAX + 256];
    struct dirent **entries;
    int code = find_folder(folder, sizeof folder);
    if (code != CLI_DONE) return code;
    const ng_gen_table *gen = ng_gen();
    if (!gen) return cli_error("%.400s: reading presets: %s", folder, normgen_error());
    int n = scandir(folder, &entries, is_lua, alphasort);
    if (n < 0) return cli_error("%.400s: cannot be read: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (code == CLI_DONE && gen->read_specs(path, list) != NORMGEN_OK)
            code = cli_failed(gen->error());
        free(entries[i]);
    }
    free(entries);
    if (code == CLI_DONE && list->count == 0)
        code =
            cli_error("%.400s has no presets: set NORMGEN_SPECS to a folder of spec files", folder);
    return code;
}

/* ---- one model ---- */

enum { NEAR = 3 };

/* The three models whose names are most like the one asked for; a beginning counts as like. */
static int unknown_model(const char *model, const char *name, const ng_spec_list *all) {
    char near[NEAR][CLI_MODEL_TEXT] = {""}, other[CLI_MODEL_TEXT], asked[CLI_MODEL_TEXT];
    size_t distances[NEAR] = {SIZE_MAX, SIZE_MAX, SIZE_MAX};
    snprintf(asked, sizeof asked, "%s", name);
    for (size_t i = 0; i < all->count; i++) {
        if (i > 0 && is_model(all->items[i - 1].name, all->items[i].name)) continue;
        snprintf(other, sizeof other, "%.*s", (int)model_length(all->items[i].name),
                 all->items[i].name);
        size_t d = strncmp(asked, other, strlen(asked)) == 0 ? strlen(other) - strlen(asked)
                                                             : 2 * distance(asked, other);
        cli_model_text(other, other);
        bool there = false;
        for (int k = 0; k < NEAR; k++) there = there || strcmp(near[k], other) == 0;
        for (int k = NEAR - 1; k >= 0 && !there && d < distances[k]; k--) {
            if (k + 1 < NEAR) {
                memcpy(near[k + 1], near[k], sizeof near[k]);
                distances[k + 1] = distances[k];
            }
            memcpy(near[k], other, sizeof other);
            distances[k] = d;
        }
    }
    return cli_error("no model is called '%.60s'; the nearest are %s, %s and %s (normgen list "
                     "--models has all)",
                     model, near[0], near[1], near[2]);
}

int cli_model_read(const char *model, int64_t type, ng_spec_list *list) {
    ng_spec_list all = {0};
    char name[CLI_MODEL_TEXT];
    model_name(model, type, name, sizeof name);
    int code = cli_models_read_all(&all);
    size_t before = list->count;
    for (size_t i = 0; i < all.count && code == CLI_DONE; i++)
        if (is_model(all.items[i].name, name) &&
            ng_spec_list_add(list, all.items[i].name, &all.items[i].spec) != NORMGEN_OK)
            code = cli_failed(NULL);
    if (code == CLI_DONE && list->count == before) code = unknown_model(model, name, &all);
    ng_spec_list_fini(&all);
    return code;
}
