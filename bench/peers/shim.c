/* SPDX-License-Identifier: Apache-2.0 */
/* The loop that times everything with a C call, and the contenders that need nothing but libnormgen
 * and libc. Built by CMake, loaded by bench/peers with ctypes; keeps no state of its own. */
#include "shim.h"
#include "../timing.h"

#include <normgen/normgen.h>

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT double peers_run(peers_fn fn, void *state, size_t calls, size_t start, size_t slices,
                        char *const *read_back, size_t bytes);
EXPORT uint64_t peers_read(const char *at, size_t bytes);
EXPORT void peers_keep_memory(void);
EXPORT void *peers_normgen(const peers_job *job, normgen_kernel *kernel, peers_fn *fn);
EXPORT void *peers_memcpy(const peers_job *job, peers_fn *fn);
EXPORT void *peers_bare(const peers_job *job, normgen_kernel *kernel, normgen_fn code,
                        peers_fn *fn);

/* One word of each cache line is enough to bring it near. */
uint64_t peers_read(const char *at, size_t bytes) {
    uint64_t sum = 0, word;
    for (size_t i = 0; i + sizeof word <= bytes; i += 64) {
        memcpy(&word, at + i, sizeof word);
        sum += word;
    }
    __asm__ volatile("" ::"r"(sum));
    return sum;
}

/* Nanoseconds of so many calls on slices start, start+1, …; after each the output is read once
 * unless read_back is null. */
double peers_run(peers_fn fn, void *state, size_t calls, size_t start, size_t slices,
                 char *const *read_back, size_t bytes) {
    size_t at = start;
    double begin = now_ns();
    for (size_t i = 0; i < calls; i++) {
        fn(state, at);
        if (read_back) peers_read(read_back[at], bytes);
        if (++at == slices) at = 0;
    }
    return now_ns() - begin;
}

/* The C library keeps what is freed from here on, whatever its size and thread: outputs that a
 * framework allocates for each call are not paid for with page faults. */
void peers_keep_memory(void) {
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    mallopt(M_TOP_PAD, 64 << 20);
}

/* ---- normgen through its public calls ---- */

typedef struct calls {
    normgen_kernel *kernel;
    normgen_fn code;
    size_t rows, bytes;
    int threads;
    normgen_args *args;
    normgen_bound_args *bound;
} calls;

static void call_run(void *state, size_t i) {
    const calls *c = state;
    if (normgen_run(c->kernel, &c->args[i]) != NORMGEN_OK) abort();
}

static void call_parallel(void *state, size_t i) {
    const calls *c = state;
    if (normgen_run_parallel(c->kernel, &c->args[i]) != NORMGEN_OK) abort();
}

static normgen_args args_of(const peers_job *job, const peers_slice *s) {
    normgen_args a = NORMGEN_ARGS;
    a.rows = job->rows;
    a.x = s->x, a.residual = s->residual;
    a.y = s->y, a.sum = s->sum;
    a.weight = job->weight, a.bias = job->bias;
    return a;
}

/* The state lives as long as the process: a bench has few of them. */
static calls *calls_new(const peers_job *job) {
    calls *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->rows = job->rows, c->threads = job->threads;
    c->bytes = job->rows * job->hidden * (job->type ? 2 : 4);
    c->args = calloc(job->slices, sizeof *c->args);
    c->bound = calloc(job->slices, sizeof *c->bound);
    if (!c->args || !c->bound) abort();
    for (size_t i = 0; i < job->slices; i++) c->args[i] = args_of(job, &job->slice[i]);
    return c;
}

void *peers_normgen(const peers_job *job, normgen_kernel *kernel, peers_fn *fn) {
    calls *c = calls_new(job);
    c->kernel = kernel;
    *fn = job->threads > 1 ? call_parallel : call_run;
    return c;
}

/* ---- what only moves bytes ---- */

static size_t part(size_t n, int i, int parts) { return n / (size_t)parts * (size_t)i; }

static void call_memcpy(void *state, size_t i) {
    const calls *c = state;
    char *to = c->args[i].y;
    const char *from = c->args[i].x;
    if (c->threads == 1) {
        memcpy(to, from, c->bytes);
        __asm__ volatile("" ::: "memory");
        return;
    }
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (int t = 0; t < c->threads; t++) {
        size_t first = part(c->bytes, t, c->threads) & ~(size_t)63;
        size_t last =
            t + 1 == c->threads ? c->bytes : part(c->bytes, t + 1, c->threads) & ~(size_t)63;
        memcpy(to + first, from + first, last - first);
    }
}

void *peers_memcpy(const peers_job *job, peers_fn *fn) {
    *fn = call_memcpy;
    return calls_new(job);
}

static void call_bare(void *state, size_t i) {
    const calls *c = state;
    if (c->threads == 1) {
        c->code(&c->bound[i], 0, c->rows);
        return;
    }
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (int t = 0; t < c->threads; t++)
        c->code(&c->bound[i], part(c->rows, t, c->threads),
                t + 1 == c->threads ? c->rows : part(c->rows, t + 1, c->threads));
}

/* Machine code that takes bound arguments: the limit. Null when the arguments cannot be bound. */
void *peers_bare(const peers_job *job, normgen_kernel *kernel, normgen_fn code, peers_fn *fn) {
    calls *c = calls_new(job);
    c->code = code;
    for (size_t i = 0; i < job->slices; i++)
        if (normgen_kernel_bind(kernel, &c->args[i], &c->bound[i]) != NORMGEN_OK) return NULL;
    *fn = call_bare;
    return c;
}
