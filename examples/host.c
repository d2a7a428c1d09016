/* SPDX-License-Identifier: Apache-2.0 */
/* A whole program that uses normgen: RMSNorm of bf16 rows with an f32 weight, in place, on all
 * threads.
 *
 *     cc host.c -lnormgen -o host && ./host
 *
 * It prints what served the call: a compiled kernel with its schedule where libnormgen-gen is
 * installed, the interpreter elsewhere. The numbers are the same. */
#include <normgen/normgen.h>

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 512, HIDDEN = 4096 };

static void tell(void *ctx, normgen_log_level level, const char *line) {
    (void)ctx;
    if (level == NORMGEN_LOG_WARNING) fprintf(stderr, "host: %s\n", line);
}

static int failed(void) {
    fprintf(stderr, "host: %s\n", normgen_error());
    return 1;
}

int main(void) {
    normgen_options options = normgen_options_default();
    options.log = tell;
    normgen *ng;
    if (normgen_open(&ng, &options)) return failed();

    normgen_spec spec = normgen_rms(HIDDEN);
    spec.x = NORMGEN_BF16;
    spec.weight = NORMGEN_F32;
    normgen_kernel *kernel;
    if (normgen_get(ng, &spec, &kernel)) return failed();

    uint16_t *x = malloc(sizeof(uint16_t) * ROWS * HIDDEN);
    float *weight = malloc(sizeof(float) * HIDDEN);
    if (!x || !weight) return 1;
    for (size_t i = 0; i < (size_t)ROWS * HIDDEN; i++) x[i] = i % 2 ? 0x4000 : 0xbf80; /* 2, -1 */
    for (size_t i = 0; i < HIDDEN; i++) weight[i] = 1;

    normgen_args args = NORMGEN_ARGS;
    args.rows = ROWS;
    args.x = args.y = x;
    args.weight = weight;
    if (normgen_run_parallel(kernel, &args)) return failed();

    printf("%d rows served by: %s\n", ROWS, normgen_kernel_describe(kernel, ROWS));
    printf("first row: %04x %04x ... (bf16 of -0.632 and 1.265 are bf22 3fa2)\n", x[0], x[1]);
    normgen_close(ng); /* frees the kernel too */
    free(x);
    free(weight);
    return 0;
}
