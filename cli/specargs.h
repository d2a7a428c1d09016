/* SPDX-License-Identifier: Apache-2.0 */
/* Specs of a command line: canonical texts, Lua files, or one flag for each field. */
#ifndef CLI_SPECARGS_H
#define CLI_SPECARGS_H

#include "options.h"

/* Adds the specs that words[first..] and the flags of args name to *list (freed by the caller).
 * Returns CLI_DONE; CLI_USAGE for a wrong command line; CLI_FAILED for a file that cannot be read
 * or is wrong; in both cases after saying so. No spec at all is CLI_USAGE unless `optional`. */
int cli_specs_read(const cli_args *args, bool optional, ng_spec_list *list);
/* The same where exactly one spec is wanted. */
int cli_spec_read(const cli_args *args, normgen_spec *spec);
/* The spec of the flags: kind and eps get their command-line defaults, the rest is resolved. */
normgen_status cli_spec_of_flags(const normgen_spec *flags, uint64_t given, normgen_spec *spec);

/* What help says about SPEC. */
#define CLI_SPEC_HELP                                                                              \
    "SPEC is the canonical text of a spec, such as \"rms hidden=4096 eps=1e-05 x=bf16\", or a "    \
    "Lua\nspec file (*.lua). See specs/README.md. --model MODEL stands for the norms of a "        \
    "model.\n"

#endif
