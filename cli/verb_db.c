/* SPDX-License-Identifier: Apache-2.0 */
/* normgen db: merges stores and checks one. */
#include "verbs.h"

#include "json.h"
#include "storearg.h"

#include <string.h>

static void report(const cli_args *args, const char *path, const ng_store_counts *c,
                   const char *what, int64_t illegal) {
    cli_json json;
    if (!args->json) {
        printf("%s: %lld sessions, %lld trials, %lld winners%s", path, (long long)c->sessions,
               (long long)c->trials, (long long)c->winners, what);
        if (illegal) printf("; %lld of them unusable here and ignored", (long long)illegal);
        putchar('\n');
        return;
    }
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "store", path);
    cli_json_integer(&json, "sessions", c->sessions);
    cli_json_integer(&json, "trials", c->trials);
    cli_json_integer(&json, "winners", c->winners);
    if (illegal >= 0) cli_json_integer(&json, "illegal", illegal);
    cli_json_end(&json);
}

static int check(const cli_args *args) {
    char path[CLI_STORE_PATH];
    ng_store *store = NULL;
    ng_store_counts counts;
    int64_t illegal = 0;
    if (args->n_words > 1)
        return cli_usage_error(args->verb, "check takes no further words; --db names the store");
    int code = cli_store_open(args, NG_STORE_READ, path, &store);
    if (code == CLI_DONE && ng_store_check(store, &counts, &illegal) != NORMGEN_OK)
        code = cli_failed(NULL);
    if (code == CLI_DONE) report(args, path, &counts, ", intact", illegal);
    ng_store_close(store);
    return code;
}

static int merge(const cli_args *args) {
    char path[CLI_STORE_PATH];
    ng_store *store = NULL;
    if (args->n_words < 2)
        return cli_usage_error(args->verb, "merge needs at least one store to merge from");
    int code = cli_store_open(args, NG_STORE_WRITE, path, &store);
    for (size_t i = 1; i < args->n_words && code == CLI_DONE; i++) {
        ng_store_counts added = {0};
        if (ng_store_merge(store, args->words[i], &added) != NORMGEN_OK)
            code = cli_failed(NULL);
        else
            report(args, args->words[i], &added, " added", args->json ? -1 : 0);
    }
    ng_store_close(store);
    return code;
}

static int run(const cli_args *args) {
    if (strcmp(args->words[0], "check") == 0) return check(args);
    if (strcmp(args->words[0], "merge") == 0) return merge(args);
    return cli_usage_error(args->verb, "'%.60s' is no verb of db; there are merge and check",
                           args->words[0]);
}

static const cli_option options[] = {CLI_OPTION_DB, CLI_OPTION_JSON, {0}};

const cli_verb cli_verb_db = {
    "db",
    "merge FROM… | check",
    "Merge stores, or check one",
    "merge adds all sessions, trials and winners of other stores that are not there yet; nothing "
    "is\n"
    "overwritten, and the order does not matter. check reads the whole file and counts the "
    "schedules\n"
    "that nothing here would use.\n",
    options,
    false,
    NULL,
    1,
    SIZE_MAX,
    run,
};
