/* SPDX-License-Identifier: Apache-2.0 */
/* normgen_run_parallel, with the default team and with a pool of pinned threads that wait awake,
 * beside one thread and beside independent copies: as many pinned threads, each with arrays of its
 * own that hold its share of the rows. Sizes from one row to beyond the
 * caches, in turns. `./dev bench threads [SPEC…]` runs it; the store in use gives schedules and
 * cut-off. */
#include "crew.h"
#include "dispatch.h"
#include "spec.h"
#include "stats.h"
#include "types.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { ALONE, TOGETHER, POOL, COPIES, WAYS };
enum { ROUNDS = 9, SIZES_MOST = 32, DRAM_FACTOR = 3, PAGE = 4096, LARGE_PAGE = 2 << 20 };

/* A turn: what the team may need to fall asleep, so that it does not spin beside the others; what
 * cores need to be at full speed again after they slept; what is timed. */
static const double asleep_ns = 10e6, warm_ns = 5e6, turn_ns = 2e6;
/* Slower than one thread by more than this is told apart from noise. */
static const double slower = 0.03;

/* Arrays of one set of rows. */
typedef struct arrays {
    normgen_args args;
    void *memory;
} arrays;

typedef struct bench {
    normgen *ng;
    normgen_kernel *kernel;
    const ng_program *program;
    size_t rows, share, repeat;
    int threads;
    arrays whole, *own; /* of the call; of each copy */
    ng_crew *crew;
    int way;
    void (*body)(void *body_ctx, size_t i); /* of the call that the pool works on */
    void *body_ctx;
    size_t parts;
    double result;
} bench;

static double clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static size_t stream_bytes(const ng_program *p, int s, size_t rows) {
    const ng_stream *t = &p->stream[s];
    size_t bytes = ng_stream_width(p, s) * ng_types[t->type].bytes;
    return (bytes * (ng_stream_shared(t) ? 1 : rows) + PAGE - 1) / PAGE * PAGE;
}

/* In large pages: which small ones an array gets decides how much of it L2 holds, so two sets of
 * arrays would be as far apart as one way from another. But for subnormals times do not depend on
 * values. */
static void fill(arrays *a, const ng_program *p, size_t rows) {
    size_t all = 0;
    for (int s = 0; s < p->streams; s++) all += stream_bytes(p, s, rows);
    all = (all + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    char *at = a->memory = aligned_alloc(LARGE_PAGE, all);
    if (!at) exit(1);
    madvise(at, all, MADV_HUGEPAGE);
    memset(at, 0, all);
    a->args = (normgen_args)NORMGEN_ARGS;
    a->args.rows = rows;
    for (int s = 0; s < p->streams; s++) {
        memcpy((char *)&a->args + ng_roles[p->stream[s].role].base, &at, sizeof(void *));
        at += stream_bytes(p, s, rows);
    }
}

static void drop(arrays *a) {
    free(a->memory);
    memset(a, 0, sizeof *a);
}

/* ---- four ways ---- */

static void alone(bench *b) {
    for (size_t i = 0; i < b->repeat; i++) normgen_run(b->kernel, &b->whole.args);
}

static void together(bench *b) {
    for (size_t i = 0; i < b->repeat; i++) normgen_run_parallel(b->kernel, &b->whole.args);
}

static void copy(void *ctx, int member) {
    bench *b = ctx;
    for (size_t i = 0; i < b->repeat; i++) normgen_run(b->kernel, &b->own[member].args);
}

/* The pool of a host whose threads wait for the next call awake, and pinned. */
static void part(void *ctx, int member) {
    bench *b = ctx;
    if ((size_t)member < b->parts) b->body(b->body_ctx, (size_t)member);
}

static void crew_for(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i), void *body_ctx) {
    bench *b = ctx;
    b->parts = n;
    b->body = body;
    b->body_ctx = body_ctx;
    ng_crew_work(b->crew);
}

static void copies(bench *b) { ng_crew_work(b->crew); }

/* Nanoseconds of one call in a series that takes so long. */
static double series(bench *b, void (*way)(bench *b), double ns, double each) {
    b->repeat = each < ns ? (size_t)(ns / each) + 1 : 1;
    double start = clock_ns();
    way(b);
    return (clock_ns() - start) / (double)b->repeat;
}

static double timed(bench *b, void (*way)(bench *b)) {
    double each = series(b, way, warm_ns, series(b, way, 1, 1));
    return series(b, way, turn_ns, each);
}

/* Without sleeping: a core that slept is slow for a while. */
static void pass_time(void) {
    double end = clock_ns() + asleep_ns;
    while (clock_ns() < end) {
    }
}

/* On a thread of its own: the crew pins who makes it, and the team's threads must not descend from
 * a pinned one. */
static void *timed_crew(void *ctx) {
    bench *b = ctx;
    bool pool = b->way == POOL;
    if (ng_crew_new(b->threads, pool ? part : copy, b, &b->crew) != NORMGEN_OK) {
        fprintf(stderr, "threads: %s\n", normgen_error());
        exit(1);
    }
    ng_crew_wake(b->crew);
    ng_crew_gather(b->crew);
    if (pool) normgen_set_parallel_for(b->ng, crew_for, b, b->threads);
    b->result = timed(b, pool ? together : copies);
    normgen_set_parallel_for(b->ng, NULL, NULL, 0);
    ng_crew_rest(b->crew);
    ng_crew_free(b->crew);
    return NULL;
}

static double turn(bench *b, int way) {
    pthread_t thread;
    b->way = way;
    if (way == TOGETHER) return timed(b, together);
    pass_time();
    if (way == ALONE) return timed(b, alone);
    if (pthread_create(&thread, NULL, timed_crew, b) != 0) exit(1);
    pthread_join(thread, NULL);
    return b->result;
}

/* ---- sizes ---- */

static void prepare(bench *b, size_t rows) {
    b->rows = rows;
    b->share = (rows + (size_t)b->threads - 1) / (size_t)b->threads;
    fill(&b->whole, b->program, rows);
    for (int i = 0; i < b->threads; i++) fill(&b->own[i], b->program, b->share);
}

static void clean(bench *b) {
    drop(&b->whole);
    for (int i = 0; i < b->threads; i++) drop(&b->own[i]);
}

static void measure(bench *b, size_t rows) {
    double v[WAYS][ROUNDS], ns[WAYS];
    size_t row, shared;
    prepare(b, rows);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < WAYS; i++) v[(i + round) % WAYS][round] = turn(b, (i + round) % WAYS);
    for (int i = 0; i < WAYS; i++) ns[i] = ng_median(v[i], ROUNDS) / (double)rows;
    ns[COPIES] *= (double)rows / (double)(b->share * (size_t)b->threads);
    clean(b);
    ng_program_footprint(b->program, &row, &shared);
    printf("%9zu %10.1f %10.1f %10.1f %10.1f %10.1f %9.2f %9.2f %9.2f %s\n", rows,
           (double)(rows * row) / 1024, ns[ALONE], ns[TOGETHER], ns[POOL], ns[COPIES],
           ns[ALONE] / ns[TOGETHER], ns[COPIES] / ns[TOGETHER], ns[COPIES] / ns[POOL],
           ns[TOGETHER] > ns[ALONE] * (1 + slower)        ? "slower than one thread"
           : rows < b->kernel->first.cutoff.parallel_rows ? "on one thread"
                                                          : "");
    fflush(stdout);
}

/* Powers of two, and the sizes about the cut-off. */
static size_t sizes(const bench *b, size_t llc, size_t list[SIZES_MOST]) {
    size_t row, shared, n = 0, cut = b->kernel->first.cutoff.parallel_rows;
    ng_program_footprint(b->program, &row, &shared);
    for (size_t rows = 1; n < SIZES_MOST - 2 && rows * row < 2 * llc; rows *= 2) {
        if (rows < cut && 2 * rows > cut) list[n++] = rows;
        if (rows < cut && 2 * rows > cut && n < SIZES_MOST) list[n++] = cut;
        if (!(rows < cut && 2 * rows > cut)) list[n++] = rows;
    }
    list[n++] = DRAM_FACTOR * llc / row;
    return n;
}

static int run_spec(bench *b, normgen *ng, const ng_cpu *cpu, const char *text) {
    normgen_spec spec;
    size_t list[SIZES_MOST];
    if (normgen_spec_parse(&spec, text) || normgen_get(ng, &spec, &b->kernel)) {
        fprintf(stderr, "threads: %s\n", normgen_error());
        return 1;
    }
    b->program = &b->kernel->program;
    printf("%s\n%d threads from %zu rows (awake), %zu rows (asleep); cut-off %.0f ns\n", text,
           b->threads, b->kernel->first.cutoff.parallel_rows, b->kernel->first.cutoff.waking_rows,
           ng->cutoff);
    printf("%9s %10s %10s %10s %10s %10s %9s %9s %9s\n", "rows", "KiB", "one ns/row", "parallel",
           "pool", "copies", "to one", "of copies", "pool");
    size_t n = sizes(b, cpu->llc, list);
    for (size_t i = 0; i < n; i++) measure(b, list[i]);
    return 0;
}

int main(int argc, char **argv) {
    static const char *const usual[] = {"rms hidden=1024 eps=1e-05", "rms hidden=4096 eps=1e-05",
                                        "rms hidden=4096 eps=1e-05 x=bf16",
                                        "layer hidden=768 eps=1e-05 bias=f32",
                                        "rms hidden=128 eps=1e-06 x=bf16"};
    int given = argc - 1, n = given ? given : (int)(sizeof usual / sizeof usual[0]), bad = 0;
    const ng_cpu *cpu;
    normgen *ng;
    if (ng_cpu_host(&cpu) || normgen_open(&ng, NULL)) {
        fprintf(stderr, "threads: %s\n", normgen_error());
        return 1;
    }
    bench b = {.ng = ng, .threads = ng_pool_threads(ng)};
    b.own = calloc((size_t)b.threads, sizeof *b.own);
    if (b.threads < 2) puts("one thread only: nothing to compare");
    for (int i = 0; b.own && b.threads > 1 && i < n && !bad; i++)
        bad = run_spec(&b, ng, cpu, given ? argv[i + 1] : usual[i]);
    free(b.own);
    normgen_close(ng);
    return bad;
}
