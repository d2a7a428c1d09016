/* SPDX-License-Identifier: Apache-2.0 */
/* normgen: finds the verb and runs it. Adding a verb: a file verb_NAME.c and a line in `verbs`. */
#include "complete.h"
#include "manual.h"
#include "verbs.h"

#include "gentable.h"

#include <errno.h>
#include <string.h>

static const cli_verb *const verbs[] = {
    &cli_verb_tune, &cli_verb_run,     &cli_verb_bench, &cli_verb_emit, &cli_verb_list,
    &cli_verb_show, &cli_verb_explain, &cli_verb_check, &cli_verb_db,   &cli_verb_cpu,
    NULL,
};
enum { VERBS = sizeof verbs / sizeof verbs[0] - 1 };

static void print_help(FILE *out) {
    fputs("usage: normgen VERB [ARGUMENTS] [OPTIONS]\n\n"
          "Generates, tunes, runs and emits normalization kernels for CPUs.\n\n"
          "verbs:\n",
          out);
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    fputs("  help       print the help of a verb\n\n"
          "`normgen VERB --help` has the arguments, options and an example of each.\n"
          "`normgen --version` prints the versions of everything that matters.\n\n"
          "environment:\n"
          "  NORMGEN_DB      path of the store\n"
          "  NORMGEN_MODE    lookup: never compile; compile: compile what is missing;\n"
          "                  tune: and tune it in the background\n"
          "  NORMGEN_CLI     the program that mode tune starts (default: beside the library)\n"
          "  NORMGEN_STRICT  1: an error where a fallback would serve\n"
          "  NORMGEN_ISA     caps the instructions that are used (normgen cpu lists the levels)\n\n"
          "exit codes: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted\n",
          out);
}

static int print_version(void) {
    const ng_gen_table *gen = ng_gen();
    printf("normgen %s\n", normgen_version());
    if (gen)
        printf("toolchain: %s\n", gen->toolchain);
    else
        printf("toolchain: none: %s\n", normgen_error());
    return CLI_DONE;
}

static const cli_verb *find_verb(const char *name) {
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(verbs[i]->name, name) == 0) return verbs[i];
    return NULL;
}

static int unknown_verb(const char *name) {
    cli_error("'%.60s' is not a normgen verb (normgen --help lists them)", name);
    return CLI_USAGE;
}

static int run_help(int argc, char **argv) {
    if (argc == 0) {
        print_help(stdout);
        return CLI_DONE;
    }
    const cli_verb *verb = find_verb(argv[0]);
    if (!verb) return unknown_verb(argv[0]);
    cli_verb_help(verb, stdout);
    return CLI_DONE;
}

static int run_verb(const char *name, int argc, char **argv) {
    cli_args args;
    const cli_verb *verb = find_verb(name);
    if (!verb) return unknown_verb(name);
    int code = cli_args_parse(verb, argc, argv, &args);
    if (code == CLI_DONE && args.help)
        cli_verb_help(verb, stdout);
    else if (code == CLI_DONE)
        code = verb->run(&args);
    cli_args_fini(&args);
    return code;
}

static bool is(const char *word, const char *a, const char *b) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (is(argv[1], "--help", "-h") || strcmp(argv[1], "help") == 0)
        return run_help(argc - 2, argv + 2);
    if (is(argv[1], "--version", "version")) return print_version();
    /* for completions/ and the build, not for people */
    if (strcmp(argv[1], "__complete") == 0) return cli_complete(verbs, argc - 2, argv + 2);
    if (strcmp(argv[1], "__manual") == 0 && argc == 3) return cli_manual(verbs, argv[2]);
    return run_verb(argv[1], argc - 2, argv + 2);
}

int main(int argc, char **argv) {
    int code = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    int failed = cli_error("standard output cannot be written: %s", strerror(errno));
    return code == CLI_DONE ? failed : code;
}
