/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to have a kernel: compiling one, getting a handle, one checked call, memory. Prints
 * a table; every line is a median with its quartiles. `./dev bench costs` runs it. */
#include "call.h"
#include "gen.h"
#include "spec.h"
#include "timing.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 20000, ROUNDS = 101 };

static int failed(void) {
    fprintf(stderr, "costs: %s\n", normgen_error());
    return 1;
}

/* Kernels of the schedules that the tuner tries on this machine, as a worker compiles them. */
static int compiling(const char *text, const ng_isa *isa) {
    normgen_spec spec;
    ng_program program;
    ng_schedule *space;
    size_t count, most = 0;
    if (normgen_spec_parse(&spec, text)) return failed();
    ng_program_build(&program, &spec);
    if (ng_schedule_space(&program, isa, &space, &count)) return failed();
    double *times = malloc(count * sizeof *times);
    size_t tried = 0;
    for (size_t i = 0; i < count; i++) {
        ng_object object;
        if (4 * space[i].vec <= isa->max_vec) continue; /* as in tuned/candidates.c */
        double start = now_ns();
        if (ng_compile(&program, &space[i], isa, &object)) return failed();
        times[tried++] = now_ns() - start;
        if (object.code_bytes > most) most = object.code_bytes;
        ng_object_fini(&object);
    }
    printf("%s\n", text);
    report("  compile one kernel", times, tried, 1e6, "ms");
    printf("  largest kernel: %zu bytes of code\n", most);
    free(times);
    free(space);
    return 0;
}

static int getting(normgen *ng, const char *text) {
    normgen_spec spec;
    normgen_kernel *kernel;
    double start = now_ns(), took;
    if (normgen_spec_parse(&spec, text) || normgen_get(ng, &spec, &kernel)) return failed();
    took = now_ns() - start;
    printf("%-58s %9.2f ms\n", text, took / 1e6);
    return 0;
}

/* One row, so that the kernel is short beside the call; pairs in turn. */
static int calling(normgen *ng, int64_t hidden) {
    static float x[1024], y[1024], w[1024];
    static double checked[ROUNDS], bare[ROUNDS], difference[ROUNDS];
    char what[64];
    normgen_spec spec = normgen_rms(hidden);
    normgen_kernel *kernel;
    normgen_bound_args bound;
    normgen_args args = NORMGEN_ARGS;
    args.rows = 1, args.x = x, args.y = y, args.weight = w;
    if (normgen_get(ng, &spec, &kernel) || normgen_kernel_bind(kernel, &args, &bound))
        return failed();
    normgen_fn fn = normgen_kernel_fn(kernel, 1);
    if (!fn) return printf("no compiled kernel: the interpreter serves\n"), 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < CALLS; i++) fn(&bound, 0, 1);
        double middle = now_ns();
        for (int i = 0; i < CALLS; i++) normgen_run(kernel, &args);
        bare[round] = (middle - start) / (double)CALLS;
        checked[round] = (now_ns() - middle) / (double)CALLS;
        difference[round] = checked[round] - bare[round];
    }
    snprintf(what, sizeof what, "rms hidden=%lld, one row: the kernel itself", (long long)hidden);
    report(what, bare, ROUNDS, 1, "ns");
    report("  normgen_run", checked, ROUNDS, 1, "ns");
    report("  normgen_run beyond the kernel", difference, ROUNDS, 1, "ns");
    return 0;
}

static long resident_kib(void) {
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * sysconf(_SC_PAGESIZE) / 1024;
}

/* What a host without the generator holds: asked of a process that has done nothing else. */
static int holding(void) {
    normgen *ng;
    normgen_kernel *kernel;
    normgen_options options = normgen_options_default();
    normgen_spec spec = normgen_rms(4096);
    long before = resident_kib();
    options.mode = NORMGEN_MODE_LOOKUP;
    if (normgen_open(&ng, &options) || normgen_get(ng, &spec, &kernel)) return failed();
    printf("%-58s %9ld KiB beyond %ld\n", "resident, normgen_open and _get without compiling",
           resident_kib() - before, before);
    normgen_close(ng);
    return 0;
}

int main(void) {
    const ng_cpu *cpu;
    normgen *ng;
    if (holding()) return 1;
    if (ng_cpu_host(&cpu) || normgen_open(&ng, NULL)) return failed();
    printf("first normgen_get loads the generator\n");
    int bad =
        getting(ng, "rms hidden=4096 eps=1e-05") || getting(ng, "rms hidden=4096 eps=1e-06") ||
        getting(ng, "layer hidden=768 eps=1e-05 bias=f32") || calling(ng, 64) || calling(ng, 1024);
    normgen_close(ng);
    return bad || compiling("rms hidden=4096 eps=1e-05", cpu->isa) ||
           compiling("layer hidden=4096 eps=1e-05 bias=f32", cpu->isa) ||
           compiling("rms hidden=4096 eps=1e-05 x=bf16 residual=bf16 sum=bf16 rounding=llama",
                     cpu->isa) ||
           compiling("rms hidden=128 eps=1e-06 x=bf16", cpu->isa);
}
