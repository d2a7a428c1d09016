/* SPDX-License-Identifier: Apache-2.0 */
/* What a bundle costs its user: the CPUID instructions and the time of the first call, later calls
 * beside the bare kernel, a kernel handle of libnormgen from it. Emits one into a folder that is
 * removed again. `./dev bench emitted` runs it. */
#include "emit.h"
#include "gen.h"
#include "normgen/bundle.h"
#include "timing.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 20000, ROUNDS = 101, FIRSTS = 51, HIDDEN = 64 };

/* What the header declares for the spec. */
typedef struct rms_args {
    size_t rows;
    const float *x, *weight;
    float *y;
    ptrdiff_t strides[8]; /* all contiguous */
} rms_args;
typedef int (*rms_fn)(const rms_args *);

static float x[HIDDEN], y[HIDDEN], w[HIDDEN];
static char folder[] = "/tmp/normgen-bench-XXXXXX";
static const rms_args args = {.rows = 1, .x = x, .weight = w, .y = y};

static int failed(const char *why) {
    fprintf(stderr, "bundle: %s\n", why);
    return 1;
}

static bool emit(void) {
    ng_spec_list specs = {0};
    normgen_spec spec = normgen_rms(HIDDEN);
    ng_emit_request r = {.specs = &specs,
                         .isas = "x86-64-v3,x86-64-v4,x86-64-v4+bf16",
                         .folder = folder,
                         .prefix = "b",
                         .shared = true,
                         .baseline = true};
    if (!mkdtemp(folder) || ng_spec_list_add(&specs, "n", &spec) != NORMGEN_OK) return false;
    bool done = ng_emit(&r) == NORMGEN_OK;
    ng_spec_list_fini(&specs);
    return done;
}

/* The function's symbol, which has a digest in it, stands in the header. */
static rms_fn function(void *library) {
    char path[128], line[256], name[64];
    rms_fn fn = NULL;
    snprintf(path, sizeof path, "%s/include/b.h", folder);
    FILE *f = fopen(path, "r");
    while (f && !fn && fgets(line, sizeof line, f))
        if (sscanf(line, "int %63[a-z0-9_](", name) == 1 && !strstr(name, "rows"))
            *(void **)&fn = dlsym(library, name);
    if (f) fclose(f);
    return fn;
}

static void *load(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/lib/x86_64/libb.so", folder);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* ---- the first call ---- */

/* In a fresh process each, where the operands and the kernel are warm: what the system takes to map
 * pages of code and data at their first use is not the bundle's. */
static void warm(void *library) {
    const normgen_bundle *(*getter)(void);
    normgen_bound_args bound = {.rows_per_outer = SIZE_MAX >> 1,
                                .stream = {{x, sizeof x, 0}, {w, 0, 0}, {y, sizeof y, 0}}};
    *(void **)&getter = dlsym(library, "b_bundle");
    const normgen_bundle *b = getter();
    const ng_cpu *cpu;
    ng_cpu_host(&cpu);
    for (size_t level = 0; level < b->levels; level++)
        if (ng_cpu_runs(cpu, ng_isa_find(b->level[level])))
            b->spec[0].entries[level * b->regimes].any(&bound, 0, 1);
}

/* The instructions that detection executes, each with the leaf that it has there. */
static void same_cpuids(void) {
#if defined(__x86_64__)
    static const unsigned leaves[][2] = {
        {0, 0},           {1, 0},           {7, 0},           {7, 1},           {0x80000000u, 0},
        {0x80000001u, 0}, {0x8000001du, 0}, {0x8000001du, 1}, {0x8000001du, 2}, {0x8000001du, 3}};
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        unsigned a = leaves[i][0], b, c = leaves[i][1], d;
        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    }
#endif
}

typedef struct first {
    double took, cpuids; /* ns of the call; of its CPUID instructions alone */
    long faults;         /* of pages, during the call */
} first;

static long faults(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_minflt;
}

static first time_first(rms_fn run) {
    first f;
    double start = now_ns();
    same_cpuids();
    f.cpuids = now_ns() - start;
    long before = faults();
    start = now_ns();
    run(&args);
    f.took = now_ns() - start;
    f.faults = faults() - before;
    return f;
}

static first first_call(void) {
    int pipes[2];
    first f = {0};
    if (pipe(pipes) != 0) return f;
    pid_t pid = fork();
    if (pid == 0) {
        void *library = load();
        rms_fn run = library ? function(library) : NULL;
        rms_args none = {.rows = 1};
        if (!run) _exit(1);
        warm(library);
        run(&none); /* refused before the CPU is looked at: maps the function's pages */
        f = time_first(run);
        _exit(write(pipes[1], &f, sizeof f) != sizeof f);
    }
    close(pipes[1]);
    if (read(pipes[0], &f, sizeof f) != sizeof f) f = (first){0};
    close(pipes[0]);
    waitpid(pid, NULL, 0);
    return f;
}

/* Steps through the first call of a child and counts its CPUID instructions. */
static int count_cpuids(void) {
#if defined(__x86_64__)
    int status, n = 0;
    pid_t pid = fork();
    if (pid == 0) {
        void *library = load();
        rms_fn run = library ? function(library) : NULL;
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        if (run) run(&args);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    while (WIFSTOPPED(status)) {
        struct {
            unsigned long registers[27];
        } r;
        if (ptrace(PTRACE_GETREGS, pid, NULL, &r) != 0) break;
        long code = ptrace(PTRACE_PEEKTEXT, pid, (void *)r.registers[16], NULL); /* rip */
        n += (code & 0xffff) == 0xa20f;
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0) break;
        waitpid(pid, &status, 0);
    }
    return n;
#else
    return 0;
#endif
}

static void first_calls(void) {
    static double took[FIRSTS], cpuids[FIRSTS], rest[FIRSTS], pages[FIRSTS];
    printf("%-58s %9d\n", "first call: CPUID instructions", count_cpuids());
    for (int i = 0; i < FIRSTS; i++) {
        first f = first_call();
        took[i] = f.took;
        cpuids[i] = f.cpuids;
        rest[i] = f.took - f.cpuids;
        pages[i] = (double)f.faults;
    }
    report("  the first call", took, FIRSTS, 1e3, "us");
    report("  such CPUID instructions alone", cpuids, FIRSTS, 1e3, "us");
    report("  the call without them", rest, FIRSTS, 1e3, "us");
    report("  page faults in the call", pages, FIRSTS, 1, "  ");
}

/* ---- later calls ---- */

static void later_calls(rms_fn run, normgen_fn fn) {
    static double bare[ROUNDS], checked[ROUNDS], difference[ROUNDS];
    normgen_bound_args bound = {.rows_per_outer = SIZE_MAX >> 1,
                                .stream = {{x, sizeof x, 0}, {w, 0, 0}, {y, sizeof y, 0}}};
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < CALLS; i++) fn(&bound, 0, 1);
        double middle = now_ns();
        for (int i = 0; i < CALLS; i++) run(&args);
        bare[round] = (middle - start) / (double)CALLS;
        checked[round] = (now_ns() - middle) / (double)CALLS;
        difference[round] = checked[round] - bare[round];
    }
    report("the kernel itself, one row of 64", bare, ROUNDS, 1, "ns");
    report("  the bundle's function", checked, ROUNDS, 1, "ns");
    report("  beyond the kernel", difference, ROUNDS, 1, "ns");
}

/* ---- in libnormgen ---- */

static void handles(void) {
    static double took[FIRSTS];
    char path[128];
    normgen_options o = normgen_options_default();
    normgen_spec spec = normgen_rms(HIDDEN);
    o.store = "";
    snprintf(path, sizeof path, "%s/lib/x86_64/libb.so", folder);
    for (int i = 0; i < FIRSTS; i++) {
        normgen *ng;
        normgen_kernel *k;
        double start = now_ns();
        if (normgen_open(&ng, &o) != NORMGEN_OK) return;
        if (normgen_open_bundle(ng, path) == NORMGEN_OK) normgen_get(ng, &spec, &k);
        took[i] = now_ns() - start;
        normgen_close(ng);
    }
    report("normgen_open, _open_bundle, _get", took, FIRSTS, 1e3, "us");
}

int main(void) {
    const ng_cpu *cpu;
    char command[64];
    ng_cpu_host(&cpu);
    if (cpu->arch != NG_X86_64) return failed("it counts CPUID instructions: x86-64 only");
    if (!emit()) return failed(normgen_error());
    first_calls();
    void *library = load();
    rms_fn run = library ? function(library) : NULL;
    const normgen_bundle *(*getter)(void) = NULL;
    if (library) *(void **)&getter = dlsym(library, "b_bundle");
    if (run && getter) {
        const normgen_bundle *b = getter();
        size_t level = b->levels;
        while (level-- > 1 && !ng_cpu_runs(cpu, ng_isa_find(b->level[level]))) continue;
        later_calls(run, b->spec[0].entries[level * b->regimes].any);
        handles();
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0 || !run;
}
