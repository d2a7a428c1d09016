/* SPDX-License-Identifier: Apache-2.0 */
/* A host for background.sh: gets a kernel, tells what it hears, and ends when the kernel was
 * replaced by a better one. */
#include <normgen/normgen.h>

#include <stdio.h>
#include <time.h>

static void tell(void *ctx, normgen_log_level level, const char *line) {
    (void)ctx, (void)level;
    puts(line);
    fflush(stdout);
}

static uint64_t renewals(const normgen *ng) {
    normgen_counters counters = NORMGEN_COUNTERS;
    normgen_get_counters(ng, &counters);
    return counters.renewals;
}

int main(int argc, char **argv) {
    const struct timespec moment = {0, 10000000};
    normgen_options options = normgen_options_default();
    normgen *ng;
    normgen_spec spec;
    normgen_kernel *kernel;
    options.log = tell;
    if (argc < 2 || normgen_open(&ng, &options) || normgen_spec_parse(&spec, argv[1]) ||
        normgen_get(ng, &spec, &kernel)) {
        fprintf(stderr, "%s\n", normgen_error());
        return 1;
    }
    while (renewals(ng) == 0) nanosleep(&moment, NULL);
    printf("renewed: %s\n", normgen_kernel_describe(kernel, 4));
    normgen_close(ng);
    return 0;
}
