/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the interpreter that serves on this machine with the baseline one, byte for byte. Needs
 * no generator. */
#ifndef CLI_INTERPCHECK_H
#define CLI_INTERPCHECK_H

#include "cpu.h"

typedef struct cli_interp_check {
    int64_t compared, failed; /* outputs of a case, split row ranges included */
    const char *first;        /* name of the first output that differs */
    size_t row;               /* its first row that differs */
} cli_interp_check;

/* Runs the program of a resolved spec over awkward rows with both. E_MEMORY. */
normgen_status cli_interp_compare(const ng_cpu *cpu, const normgen_spec *spec, int64_t seed,
                                  cli_interp_check *result);

#endif
