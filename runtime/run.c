/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: checks the arguments, picks what serves this many rows at these addresses, and runs it,
 * on one thread or several. No file, lock or allocation. It must not know where kernels come from.
 */
#include "dispatch.h"

#include "call.h"
#include "error.h"
#include "levels.h"
#include "team.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROW_UNIT 8        /* no kernel works on more rows together */
#define MAX_THREADS 65536 /* of a host's pool; more is a mistake */

/* A cut-off in rows is at least two, and so many at most whatever a store says. */
#define CUTOFF_ROWS_MOST ((size_t)1 << 20)
/* Rows that nobody timed are taken to move at the speed of L2: nothing is faster for long. */
#define BYTES_PER_NS 64
/* Each thread gets at least this part of a cut-off: many threads shall not share little. */
#define SHARES_PER_CUTOFF 4
/* The default team wakes its threads before its caller's part begins, and they leave it while it
 * still waits: the caller gets so much of a share less. Measured: 160 ns later, and 140 ns that it
 * gains by being there first; 3 to 5 % of a call of 5 us. */
#define LATE_PER_SHARE 4
/* Waking a team that sleeps costs 50 to 80 times as much as calling one that is awake (measured:
 * 35 to 55 us and 0.6; docs/ARCHITECTURE.md). */
#define WAKING_CUTOFFS 64

#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ---- cut-offs ---- */

/* Rows that take one thread at least so long. */
static size_t rows_taking(const normgen_kernel *k, double ns, const double *row_ns) {
    size_t row, shared, rows = 2;
    ng_program_footprint(&k->program, &row, &shared);
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        double each = row_ns && row_ns[r] > 0 ? row_ns[r] : (double)row / BYTES_PER_NS;
        double want = ns / each;
        if (k->max_rows[r] < 2) continue;
        rows = want >= (double)CUTOFF_ROWS_MOST ? CUTOFF_ROWS_MOST : (size_t)want;
        if ((double)rows < want) rows++;
        if (rows < 2) rows = 2;
        if (rows <= k->max_rows[r]) break;
    }
    return rows;
}

ng_cutoff ng_kernel_cutoff(const normgen_kernel *k, double cutoff, const double *row_ns) {
    size_t rows = rows_taking(k, cutoff, row_ns);
    return (ng_cutoff){.parallel_rows = rows,
                       .waking_rows = rows_taking(k, cutoff * WAKING_CUTOFFS, row_ns),
                       .share_rows = (rows + SHARES_PER_CUTOFF - 1) / SHARES_PER_CUTOFF};
}

void ng_kernel_init(normgen_kernel *k, normgen *ng, const ng_cpu *cpu, const normgen_spec *spec) {
    normgen_spec own = *spec; /* may be the one that the handle has */
    memset(k, 0, sizeof *k);
    k->ng = ng;
    k->team_state = &ng->team;
    k->interp = cpu->interp;
    k->spec = own;
    ng_program_build(&k->program, &own);
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        k->max_rows[r] = ng_regime_max_rows(cpu, &k->program, (ng_regime)r, 1);
        ng_entry *e = &k->first.alone[r];
        snprintf(e->text, sizeof e->text, "interpreter");
        k->first.team[r] = *e;
    }
    atomic_init(&k->plan, &k->first);
    k->first.cutoff = ng_kernel_cutoff(k, NG_CUTOFF_DEFAULT, NULL);
}

/* ---- picking ---- */

/* share: rows of one thread, which l1 and l2 count. */
static inline int regime_of(const normgen_kernel *k, size_t share, size_t rows) {
    if (share <= k->max_rows[NG_L1]) return NG_L1;
    if (share <= k->max_rows[NG_L2]) return NG_L2;
    return rows <= k->max_rows[NG_LLC] ? NG_LLC : NG_DRAM;
}

static inline normgen_fn pick(const ng_entry *e, const normgen_bound_args *args) {
    uintptr_t off = 0;
    for (int i = 0; i < e->streamed; i++) {
        const normgen_stream *s = &args->stream[e->aligned[i].stream];
        off |=
            ((uintptr_t)s->base | (uintptr_t)s->inner | (uintptr_t)s->outer) & e->aligned[i].mask;
    }
    return off ? e->cached : e->any;
}

static inline void run_range(const normgen_kernel *k, normgen_fn fn, const normgen_bound_args *args,
                             size_t first, size_t last) {
    uint64_t saved = ng_fp_enter();
    if (fn)
        fn(args, first, last);
    else
        k->interp(&k->program, args, first, last);
    ng_fp_leave(saved);
}

static normgen_status null_kernel(void) {
    return ng_fail(NORMGEN_E_ARGUMENT, "kernel is a null pointer; get one with normgen_get");
}

static inline normgen_status bind(const normgen_kernel *k, const normgen_args *args,
                                  normgen_bound_args *bound) {
    return UNLIKELY(!k) ? null_kernel() : ng_bind(&k->program, args, bound);
}

/* Rows of the program in one of the caller. */
static inline size_t parts_of(const normgen_kernel *k) { return (size_t)k->program.parts; }

/* ---- one thread ---- */

static inline void run_alone(const normgen_kernel *k, const normgen_bound_args *bound, size_t first,
                             size_t last) {
    size_t rows = last - first;
    if (rows == 0) return;
    run_range(k, pick(&ng_plan_of(k)->alone[regime_of(k, rows, rows)], bound), bound, first, last);
}

normgen_status normgen_run(const normgen_kernel *kernel, const normgen_args *args) {
    normgen_bound_args bound;
    normgen_status status = bind(kernel, args, &bound);
    if (UNLIKELY(status != NORMGEN_OK)) return status;
    run_alone(kernel, &bound, 0, args->rows * parts_of(kernel));
    return NORMGEN_OK;
}

normgen_status normgen_run_rows(const normgen_kernel *kernel, const normgen_args *args,
                                size_t first, size_t last) {
    normgen_bound_args bound;
    normgen_status status = bind(kernel, args, &bound);
    if (UNLIKELY(status != NORMGEN_OK)) return status;
    if (UNLIKELY(first > last || last > args->rows))
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "rows %zu to %zu (last is exclusive) are no range of args.rows = %zu", first,
                       last, args->rows);
    run_alone(kernel, &bound, first * parts_of(kernel), last * parts_of(kernel));
    return NORMGEN_OK;
}

/* ---- several threads ---- */

/* bound: the lines of up to seven streams. */
enum { LINE = 64, BOUND_LINES = 3 };

/* Rows of one call, or of several sets behind each other. What a call wrote lies with the core that
 * made it, and each line that another one waits for costs it 50 to 150 ns: so all lies together,
 * and a part asks for the lines of `bound` when it knows where the first one is. */
typedef struct team_call {
    _Alignas(LINE) const normgen_kernel *kernel;
    const ng_entry *entry;
    const normgen_args *sets; /* already checked; NULL: `bound` */
    size_t n;
    size_t rows, parts, unit;
    size_t late; /* units that the first part has less than the others */
    normgen_bound_args bound;
} team_call;

/* First row of part i: parts differ by one unit at most, but for the first one's. */
static size_t part_start(const team_call *c, size_t i) {
    if (i == 0) return 0;
    size_t units = (c->rows + c->unit - 1) / c->unit, first = units / c->parts;
    first -= c->late < first ? c->late : first;
    size_t others = c->parts - 1, each = (units - first) / others, extra = (units - first) % others;
    size_t start = (first + each * (i - 1) + (i - 1 < extra ? i - 1 : extra)) * c->unit;
    return start < c->rows ? start : c->rows;
}

/* Rows first to last - 1 of all sets. Each is bound again, since there may be any number of them
 * and nothing is allocated. */
static void run_range_of_sets(const team_call *c, size_t first, size_t last) {
    size_t begin = 0;
    for (size_t i = 0; i < c->n && begin < last; i++) {
        size_t rows = c->sets[i].rows * parts_of(c->kernel), end = begin + rows;
        size_t from = first > begin ? first - begin : 0, to = last < end ? last - begin : rows;
        normgen_bound_args bound;
        if (from < to && ng_bind(&c->kernel->program, &c->sets[i], &bound) == NORMGEN_OK)
            run_range(c->kernel, pick(c->entry, &bound), &bound, from, to);
        begin = end;
    }
}

static void run_part(void *ctx, size_t i) {
    const team_call *c = ctx;
    for (int line = 0; line < BOUND_LINES; line++)
        __builtin_prefetch((const char *)&c->bound + (size_t)line * LINE);
    size_t first = part_start(c, i), last = part_start(c, i + 1);
    if (first >= last) return;
    if (c->sets)
        run_range_of_sets(c, first, last);
    else
        run_range(c->kernel, pick(c->entry, &c->bound), &c->bound, first, last);
}

/* Whole blocks, unless there are so few rows that balance matters more. */
static size_t unit_for(const ng_entry *e, size_t rows, size_t parts) {
    size_t unit = e->block > 0 ? (size_t)e->block : ROW_UNIT;
    while (unit > 1 && rows / parts < 4 * unit) unit /= 2;
    return unit;
}

int ng_pool_threads(const normgen *ng) { return ng->pool.fn ? ng->pool.threads : ng_team_size(); }

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Whether the team sleeps, and this call is not worth waking it. Calls in quick succession are
 * worth as much as one with the rows of all: a host that only makes small ones gets its threads
 * too, and loses at most about as much as waking them once costs. Several host threads may get in
 * each other's way here: that costs time, nothing else. */
static bool better_asleep(const normgen_kernel *k, size_t rows, size_t waking_rows) {
    ng_team_state *t = k->team_state;
    uint64_t now = clock_ns();
    if (now - atomic_load_explicit(&t->worked, memory_order_relaxed) < t->awake_ns) return false;
    uint64_t before = atomic_exchange_explicit(&t->asked, now, memory_order_relaxed);
    uint32_t share = (uint32_t)((rows << 16) / waking_rows);
    if (now - before < t->awake_ns) share += atomic_load_explicit(&t->saved, memory_order_relaxed);
    bool worth = share >= 1 << 16;
    atomic_store_explicit(&t->saved, worth ? 0 : share, memory_order_relaxed);
    return !worth;
}

static size_t parts_for(const normgen_kernel *k, size_t rows) {
    const ng_cutoff *c = &ng_plan_of(k)->cutoff;
    if (rows < c->parallel_rows) return 1;
    size_t threads = (size_t)ng_pool_threads(k->ng), most = rows / c->share_rows;
    if (threads > most) threads = most;
    if (threads < 2) return 1;
    if (!k->ng->pool.fn && rows < c->waking_rows && better_asleep(k, rows, c->waking_rows))
        return 1;
    return threads;
}

/* Divides the rows and runs them. */
static void run_team(team_call *c) {
    const normgen_kernel *k = c->kernel;
    const ng_pool *pool = &k->ng->pool;
    c->entry = &ng_plan_of(k)->team[regime_of(k, (c->rows - 1) / c->parts + 1, c->rows)];
    c->unit = unit_for(c->entry, c->rows, c->parts);
    c->late = pool->fn ? 0 : ng_plan_of(k)->cutoff.share_rows / LATE_PER_SHARE / c->unit;
    (pool->fn ? pool->fn : ng_team_for)(pool->ctx, c->parts, run_part, c);
    if (!pool->fn) atomic_store_explicit(&k->team_state->worked, clock_ns(), memory_order_relaxed);
}

/* On as many threads as it takes, at best one. */
normgen_status normgen_run_parallel(const normgen_kernel *kernel, const normgen_args *args) {
    team_call c; /* most of it stays as it is: zeroing it takes longer than binding */
    normgen_status status = bind(kernel, args, &c.bound);
    if (UNLIKELY(status != NORMGEN_OK)) return status;
    c.kernel = kernel;
    c.sets = NULL;
    c.rows = args->rows * parts_of(kernel);
    c.parts = parts_for(kernel, c.rows);
    if (c.parts > 1)
        run_team(&c);
    else
        run_alone(kernel, &c.bound, 0, c.rows);
    return NORMGEN_OK;
}

/* ---- several argument sets ---- */

/* Binds every set for its checks alone: it is bound again when it runs. */
static normgen_status check_sets(const normgen_kernel *k, const normgen_args *sets, size_t n) {
    normgen_bound_args bound;
    if (!k) return null_kernel();
    if (n && !sets) return ng_fail(NORMGEN_E_ARGUMENT, "sets is a null pointer");
    for (size_t i = 0; i < n; i++) {
        if (sets[i].struct_size != sizeof sets[i])
            return ng_fail(NORMGEN_E_ARGUMENT,
                           "sets[%zu].struct_size is %zu, an array of sets needs %zu: start each "
                           "from NORMGEN_ARGS and use header and library of one version",
                           i, sets[i].struct_size, sizeof sets[i]);
        normgen_status status = ng_bind(&k->program, &sets[i], &bound);
        for (size_t j = 0; j < i && status == NORMGEN_OK; j++)
            status = ng_check_apart(&k->program, &sets[j], j, &sets[i], i);
        if (status != NORMGEN_OK) return status;
    }
    return NORMGEN_OK;
}

static normgen_status run_sets(const normgen_kernel *k, const normgen_args *sets, size_t n) {
    normgen_status status = NORMGEN_OK;
    for (size_t i = 0; i < n && status == NORMGEN_OK; i++) {
        normgen_bound_args bound;
        status = ng_bind(&k->program, &sets[i], &bound);
        if (status == NORMGEN_OK) run_alone(k, &bound, 0, sets[i].rows * parts_of(k));
    }
    return status;
}

normgen_status normgen_run_sets(const normgen_kernel *kernel, const normgen_args *sets, size_t n) {
    normgen_status status = check_sets(kernel, sets, n);
    return status == NORMGEN_OK ? run_sets(kernel, sets, n) : status;
}

/* The rows of all sets are divided together: the threads meet once. */
normgen_status normgen_run_sets_parallel(const normgen_kernel *kernel, const normgen_args *sets,
                                         size_t n) {
    normgen_status status = check_sets(kernel, sets, n);
    size_t rows = 0, parts;
    if (status != NORMGEN_OK) return status;
    for (size_t i = 0; i < n; i++) rows += sets[i].rows * parts_of(kernel);
    parts = parts_for(kernel, rows);
    if (parts < 2) return run_sets(kernel, sets, n);
    run_team(&(team_call){.kernel = kernel, .sets = sets, .n = n, .rows = rows, .parts = parts});
    return NORMGEN_OK;
}

void normgen_set_parallel_for(normgen *ng, normgen_parallel_for fn, void *ctx, int32_t threads) {
    if (!ng) return;
    int n = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    ng->pool = (ng_pool){fn, ctx, n};
}

/* ---- bare functions ---- */

normgen_status normgen_kernel_bind(const normgen_kernel *kernel, const normgen_args *args,
                                   normgen_bound_args *bound) {
    normgen_bound_args b = {0}; /* binding may leave scratch in it */
    if (!bound) return ng_fail(NORMGEN_E_ARGUMENT, "bound is a null pointer");
    normgen_status status = bind(kernel, args, &b);
    if (status == NORMGEN_OK) *bound = b;
    return status;
}

/* No rows are asked about as one row. */
static const ng_entry *entry_of(const normgen_kernel *k, size_t rows) {
    size_t n = (rows ? rows : 1) * parts_of(k);
    return &ng_plan_of(k)->alone[regime_of(k, n, n)];
}

normgen_fn normgen_kernel_fn(const normgen_kernel *kernel, size_t rows) {
    return kernel ? entry_of(kernel, rows)->cached : NULL;
}

const char *normgen_kernel_describe(const normgen_kernel *kernel, size_t rows) {
    return kernel ? entry_of(kernel, rows)->text : "";
}
