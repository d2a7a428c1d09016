/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines as data. A verb is one const struct with a const table of options; the parser fills
 * in one struct of arguments from it and --help prints it. Fields of a spec are options of most
 * verbs: they come from ng_fields. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "models.h"
#include "program.h"
#include "spec.h"

#include <stdio.h>

/* Exit codes of the program. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_SIGNAL = 128 };

typedef struct cli_verb cli_verb;

/* What a command line says. Texts are borrowed from argv. */
typedef struct cli_args {
    const cli_verb *verb;
    const char **words; /* what is no option, in order; owned */
    size_t n_words;
    normgen_spec spec; /* from one flag for each field; defaults are not filled in */
    uint64_t given;    /* bit i: ng_fields[i] was a flag */
    const char *name, *model, *db, *schedule, *isa;
    const char *in[NG_ROLE_COUNT], *out[NG_ROLE_COUNT]; /* array files of run, by role */
    const char *prefix, *regimes;                       /* of emit */
    const char *output;                                 /* the file that is written */
    int64_t inner, effort, rows, threads, seed, schedules, trials, v2, older;
    int64_t type; /* of presets: index of cli_model_types */
    double budget;
    int64_t models, json, ir, assembly, tuned, shared, no_baseline, help; /* flags: 0 or 1 */
    int64_t winners, dry_run, other_toolchains, background;
} cli_args;

typedef enum cli_form { CLI_FLAG, CLI_TEXT, CLI_INTEGER, CLI_SECONDS, CLI_WORD } cli_form;

typedef struct cli_option {
    const char *name; /* without its dashes; NULL ends a table */
    char letter;      /* 0: none */
    cli_form form;
    size_t offset;            /* in cli_args: of a const char *, int64_t or double */
    const char *value;        /* how help calls the value */
    const char *const *words; /* of CLI_WORD, ended by NULL: the value is the index, plus min */
    int64_t min, max;         /* of CLI_INTEGER; of CLI_WORD: the first word's value */
    const char *help;
} cli_option;

struct cli_verb {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *summary;   /* one line, without a full stop */
    const char *details;   /* the rest of the help text, whole lines */
    const cli_option *options;
    bool fields;                /* the fields of a spec are options too … */
    const char *const *without; /* … but for these names, ended by NULL; NULL: none */
    size_t least_words, most_words;
    int (*run)(const cli_args *args); /* the exit code */
};

/* Whether ng_fields[index] is an option of the verb. */
bool cli_verb_takes_field(const cli_verb *verb, size_t index);

/* Options that several verbs share. */
#define CLI_OPTION_DB                                                                              \
    {"db",                                                                                         \
     0,                                                                                            \
     CLI_TEXT,                                                                                     \
     offsetof(cli_args, db),                                                                       \
     "PATH",                                                                                       \
     NULL,                                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     "the store (default: $NORMGEN_DB, else $XDG_DATA_HOME/normgen/tuned.db)"}
#define CLI_OPTION_NAME                                                                            \
    {"name",                                                                                       \
     0,                                                                                            \
     CLI_TEXT,                                                                                     \
     offsetof(cli_args, name),                                                                     \
     "NAME",                                                                                       \
     NULL,                                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     "of the specs in a Lua file or of a model, the one of that name"}
/* What selects among specs, for every verb that takes them. */
#define CLI_OPTIONS_SPEC                                                                           \
    CLI_OPTION_NAME,                                                                               \
        {"model",                                                                                  \
         0,                                                                                        \
         CLI_TEXT,                                                                                 \
         offsetof(cli_args, model),                                                                \
         "MODEL",                                                                                  \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         "all norms of a known model, such as llama-3-8b (normgen list --models)"},                \
        {"type",                                                                                   \
         0,                                                                                        \
         CLI_WORD,                                                                                 \
         offsetof(cli_args, type),                                                                 \
         NULL,                                                                                     \
         cli_model_types,                                                                          \
         0,                                                                                        \
         0,                                                                                        \
         "element type of the model (default bf16)"}
#define CLI_OPTION_JSON                                                                            \
    {"json", 0, CLI_FLAG, offsetof(cli_args, json), NULL, NULL, 0, 0, "one JSON object per line"}
#define CLI_OPTION_THREADS                                                                         \
    {"threads",                                                                                    \
     0,                                                                                            \
     CLI_INTEGER,                                                                                  \
     offsetof(cli_args, threads),                                                                  \
     "N",                                                                                          \
     NULL,                                                                                         \
     1,                                                                                            \
     1024,                                                                                         \
     "measured with so many pinned threads (default 1)"}
#define CLI_OPTION_SEED                                                                            \
    {"seed",                                                                                       \
     0,                                                                                            \
     CLI_INTEGER,                                                                                  \
     offsetof(cli_args, seed),                                                                     \
     "N",                                                                                          \
     NULL,                                                                                         \
     0,                                                                                            \
     INT64_MAX,                                                                                    \
     "seed of every random choice (default 1)"}

/* Reads argv[0..argc-1], the words after the verb. Returns CLI_DONE, or CLI_USAGE after saying what
 * is wrong. args->words is freed with cli_args_fini in both cases. */
int cli_args_parse(const cli_verb *verb, int argc, char **argv, cli_args *args);
void cli_args_fini(cli_args *args);
/* Prints the help of a verb. */
void cli_verb_help(const cli_verb *verb, FILE *out);

/* "normgen: text" on stderr; returns CLI_FAILED. */
int cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with where to read on; returns CLI_USAGE. */
int cli_usage_error(const cli_verb *verb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Reports `detail` (NULL: normgen_error()) of a failed call; returns CLI_FAILED. */
int cli_failed(const char *detail);

#endif
