/* SPDX-License-Identifier: Apache-2.0 */
/* normgen db: what is done with stores as a whole. One row of `actions` a word. */
#include "verbs.h"

#include "gentable.h"
#include "json.h"
#include "replace.h"
#include "storearg.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* ---- reports ---- */

/* key: how JSON calls the rows that are ignored. */
static void report(const cli_args *args, const char *path, const ng_store_counts *c,
                   const char *what, const char *key, int64_t ignored) {
    cli_json json;
    if (!args->json) {
        printf("%s: %lld sessions, %lld trials, %lld winners%s", path, (long long)c->sessions,
               (long long)c->trials, (long long)c->winners, what);
        if (ignored) printf("; %lld of them unusable here and ignored", (long long)ignored);
        putchar('\n');
        return;
    }
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "store", path);
    cli_json_integer(&json, "sessions", c->sessions);
    cli_json_integer(&json, "trials", c->trials);
    cli_json_integer(&json, "winners", c->winners);
    if (key) cli_json_integer(&json, key, ignored);
    cli_json_end(&json);
}

/* ---- check and merge ---- */

static int check(const cli_args *args) {
    char path[CLI_STORE_PATH];
    ng_store *store = NULL;
    ng_store_counts counts;
    int64_t illegal = 0;
    int code = cli_store_open(args, NG_STORE_READ, path, &store);
    if (code == CLI_DONE && ng_store_check(store, &counts, &illegal) != NORMGEN_OK)
        code = cli_failed(NULL);
    if (code == CLI_DONE) report(args, path, &counts, ", intact", "illegal", illegal);
    ng_store_close(store);
    return code;
}

/* Adds what `from` has. */
typedef normgen_status (*adder)(ng_store *store, const char *from, ng_store_counts *added);

static int add_all(const cli_args *args, adder add) {
    char path[CLI_STORE_PATH];
    ng_store *store = NULL;
    int code = cli_store_open(args, NG_STORE_WRITE, path, &store);
    for (size_t i = 1; i < args->n_words && code == CLI_DONE; i++) {
        ng_store_counts added = {0};
        int64_t before = ng_store_ignored(store);
        if (add(store, args->words[i], &added) != NORMGEN_OK)
            code = cli_failed(NULL);
        else
            report(args, args->words[i], &added, " added", "ignored",
                   ng_store_ignored(store) - before);
    }
    ng_store_close(store);
    return code;
}

static int merge(const cli_args *args) { return add_all(args, ng_store_merge); }

/* ---- text ---- */

static normgen_status import_file(ng_store *store, const char *from, ng_store_counts *added) {
    if (strcmp(from, "-") == 0) return ng_store_import(store, stdin, "standard input", added);
    FILE *in = fopen(from, "re");
    if (!in) return cli_io_failed(from, "cannot be opened");
    normgen_status status = ng_store_import(store, in, from, added);
    fclose(in);
    return status;
}

static int import(const cli_args *args) { return add_all(args, import_file); }

static int export_to(const cli_args *args, ng_store *store, FILE *out, ng_store_counts *counts) {
    return ng_store_export(store, args->winners, out, counts) == NORMGEN_OK ? CLI_DONE
                                                                            : cli_failed(NULL);
}

static int export_file(const cli_args *args, ng_store *store) {
    ng_store_counts counts;
    cli_replacement file;
    int code = cli_replace_begin(args->output, &file);
    if (code != CLI_DONE) return code;
    code = cli_replace_end(&file, export_to(args, store, file.out, &counts));
    if (code == CLI_DONE) report(args, args->output, &counts, " written", NULL, 0);
    return code;
}

static int export(const cli_args *args) {
    char path[CLI_STORE_PATH];
    ng_store *store = NULL;
    int code = cli_store_open(args, NG_STORE_READ, path, &store);
    if (code == CLI_DONE)
        code = args->output ? export_file(args, store) : export_to(args, store, stdout, NULL);
    if (code == CLI_DONE && ng_store_ignored(store))
        fprintf(stderr, "normgen: warning: %s: %lld rows that do not fit were left out\n", path,
                (long long)ng_store_ignored(store));
    ng_store_close(store);
    return code;
}

/* ---- gc ---- */

#define DAY 86400
#define OLDER_DEFAULT 30

static void days_ago(int64_t days, char *text, size_t size) {
    time_t then = time(NULL) - (time_t)(days * DAY);
    struct tm tm;
    gmtime_r(&then, &tm);
    strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void report_gc(const cli_args *args, const char *path, const ng_gc_result *r) {
    cli_json json;
    if (!args->json) {
        printf("%s: %lld trials %s, %lld kept%s\n", path, (long long)r->dropped,
               args->dry_run ? "would be dropped" : "dropped", (long long)r->kept,
               args->dry_run || r->shrunk ? ""
                                          : "; the file keeps its size until it can be rewritten");
        return;
    }
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "store", path);
    cli_json_bool(&json, "dry_run", args->dry_run);
    cli_json_integer(&json, "dropped", r->dropped);
    cli_json_integer(&json, "kept", r->kept);
    cli_json_bool(&json, "shrunk", r->shrunk);
    cli_json_end(&json);
}

static int gc(const cli_args *args) {
    char path[CLI_STORE_PATH], since[32];
    const ng_gen_table *gen = args->other_toolchains ? ng_gen() : NULL;
    ng_store *store = NULL;
    ng_gc_result result;
    if (args->other_toolchains && !gen)
        return cli_error("--other-toolchains: which one is not ours is not known: %s",
                         normgen_error());
    days_ago(args->older < 0 ? OLDER_DEFAULT : args->older, since, sizeof since);
    ng_gc request = {since, gen ? gen->toolchain : "", args->dry_run};
    int code = cli_store_open(args, args->dry_run ? NG_STORE_READ : NG_STORE_WRITE, path, &store);
    if (code == CLI_DONE && ng_store_gc(store, &request, &result) != NORMGEN_OK)
        code = cli_failed(NULL);
    if (code == CLI_DONE) report_gc(args, path, &result);
    ng_store_close(store);
    return code;
}

/* ---- the verb ---- */

enum { TAKES_OUTPUT = 1, TAKES_GC = 2 };
static const struct {
    const char *name;
    int (*run)(const cli_args *args);
    bool from; /* names of what to add follow */
    unsigned takes;
} actions[] = {
    {"merge", merge, true, 0},   {"check", check, false, 0}, {"export", export, false, 1},
    {"import", import, true, 0}, {"gc", gc, false, 2},
};
const char *const cli_db_words[] = {"merge", "check", "export", "import", "gc", NULL};

static int run(const cli_args *args) {
    const char *word = args->words[0];
    size_t i = 0;
    for (; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(word, actions[i].name) == 0) break;
    if (i == sizeof actions / sizeof actions[0])
        return cli_usage_error(args->verb,
                               "'%.60s' is no verb of db; there are merge, check, export, import "
                               "and gc",
                               word);
    if (actions[i].from && args->n_words < 2)
        return cli_usage_error(args->verb, "%s needs at least one file to read from", word);
    if (!actions[i].from && args->n_words > 1)
        return cli_usage_error(args->verb, "%s takes no further words; --db names the store", word);
    if ((args->output || args->winners) && !(actions[i].takes & TAKES_OUTPUT))
        return cli_usage_error(args->verb, "%s takes no --output and no --winners", word);
    if ((args->older >= 0 || args->dry_run || args->other_toolchains) &&
        !(actions[i].takes & TAKES_GC))
        return cli_usage_error(args->verb,
                               "%s takes no --older, --other-toolchains and no --dry-run", word);
    return actions[i].run(args);
}

static const cli_option options[] = {
    CLI_OPTION_DB,
    {"output", 'o', CLI_TEXT, offsetof(cli_args, output), "FILE", NULL, 0, 0,
     "export: the file (default: standard output)"},
    {"winners", 0, CLI_FLAG, offsetof(cli_args, winners), NULL, NULL, 0, 0,
     "export: only the winners that are used, no trials"},
    {"older", 0, CLI_INTEGER, offsetof(cli_args, older), "DAYS", NULL, 0, 36500,
     "gc: trials of sessions that began earlier (default 30)"},
    {"other-toolchains", 0, CLI_FLAG, offsetof(cli_args, other_toolchains), NULL, NULL, 0, 0,
     "gc: and all that another LLVM or normgen made"},
    {"dry-run", 'n', CLI_FLAG, offsetof(cli_args, dry_run), NULL, NULL, 0, 0,
     "gc: say what would be dropped, change nothing"},
    CLI_OPTION_JSON,
    {0},
};

const cli_verb cli_verb_db = {
    "db",
    "merge FROM… | check | export | import FILE… | gc",
    "Merge, check, export, import stores; drop old trials",
    "merge adds all sessions, trials and winners of other stores that are not there yet; nothing "
    "is\n"
    "overwritten, and the order does not matter. export writes the store as text, import adds what "
    "a\n"
    "text says as merge does (- is standard input). check reads the whole file and counts the "
    "schedules\n"
    "that nothing here would use. gc drops trials that no winner rests on; winners stay.\n\n"
    "example: normgen db export --winners -o winners.txt\n",
    options,
    false,
    NULL,
    1,
    SIZE_MAX,
    run,
};
