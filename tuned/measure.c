/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, slices, warm-up and samples. In llc and dram a sample is a slice of the buffers, and the
 * next one goes on where it stopped, whoever it belongs to: data is as cold as it should be. */
#include "measure.h"

#include "candidates.h"
#include "crew.h"
#include "error.h"
#include "operands.h"
#include "types.h"

#include <alloca.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* A sample takes at least this long, so that reading the clock (some 30 ns) is below 0.1 %. */
static const double sample_ns = 100e3;
static const double warm_ns = 25e3, stable = 0.03;

enum {
    WARM_TRIES = 5,
    SMALL_PAGE = 4096,
    LARGE_PAGE = 2 << 20,
    DRAM_SLICE = 8 << 20,  /* bytes: well above 100 us, and far below the buffers */
    PATTERN = 1 << 16,     /* random elements that rows are cut from */
    ROWS_PER_OUTER = 16,   /* where rows have two levels: rows of a sample */
    SLICE_ROWS_LEAST = 32, /* so that the ends of a slice do not count */
    REPEAT_MOST = 1 << 20,
    /* Bytes that stacks are moved by at most. Which cache lines a kernel's own stack competes with
     * follows from bits 6 to 19 of its address (sets; on Zen also the tags that predict ways). */
    DEPTH_MOST = 512 << 10,
    DEPTH_STEP = 64,
    DEPTH_PART = 8 /* never more than this part of the stack that there is */
};

/* What all threads do together. */
typedef struct job {
    enum { FILL, RUN } what;
    ng_subject_kind kind;
    normgen_fn fn;
    size_t repeat;
    size_t depth; /* bytes that the stack is moved by */
} job;

/* Rows of one thread. */
typedef struct share {
    size_t first, last, cursor;
    uint64_t sum; /* of what was read back: keeps the reads alive */
    char apart[64];
} share;

struct ng_bed {
    ng_program program;
    ng_place place;
    ng_interp_fn interp;
    uint64_t seed;
    ng_rng rng; /* of depths */
    size_t deepest;
    normgen_bound_args args;
    void *memory; /* of all streams; MAP_FAILED or NULL where there is none */
    size_t mapped;
    size_t slice;
    int from, to; /* streams of memcpy, or -1 */
    int reader;   /* stream that is read once after each slice, or -1 */
    ng_crew *crew;
    job job;
    share *shares;
};

static size_t row_bytes(const ng_program *p, int s) { return p->stream[s].row_bytes; }

/* ---- slices ---- */

/* In llc a slice is larger than L2, so that what the reader of the output finds in cache is what
 * the stores left in the last level. */
size_t ng_slice_rows(const ng_place *place, const ng_cpu *cpu) {
    size_t row, shared, rows = place->rows / (size_t)place->threads;
    if (rows == 0) rows = 1;
    if (place->regime == NG_L1 || place->regime == NG_L2) return rows;
    ng_program_footprint(place->program, &row, &shared);
    size_t slice = (place->regime == NG_LLC ? 4 * cpu->l2 : (size_t)DRAM_SLICE) / row;
    if (slice < SLICE_ROWS_LEAST) slice = SLICE_ROWS_LEAST;
    slice -= slice % 8;
    return slice < rows ? slice : rows;
}

/* ---- memory ---- */

/* Rows of data that a stream has. */
static size_t stream_rows(const ng_bed *bed, int s) {
    return ng_stream_rows(&bed->program.stream[s], bed->place.rows, bed->args.rows_per_outer);
}

static void fill_stream(ng_bed *bed, int s, size_t first, size_t last) {
    const ng_stream *t = &bed->program.stream[s];
    size_t e = ng_types[t->type].bytes, n = row_bytes(&bed->program, s);
    unsigned char *pattern = malloc(PATTERN * e);
    ng_rng rng = {bed->seed + (uint64_t)s};
    if (!pattern) return; /* zeros then: but for subnormals, times do not depend on values */
    ng_operand_measured(t->type, pattern, PATTERN, &rng);
    for (size_t r = first; r < last; r++) {
        char *row = (char *)bed->args.stream[s].base + r * n; /* rows of data are contiguous */
        for (size_t at = 0; at < n;) {
            size_t offset = (size_t)ng_rng_below(&rng, PATTERN / 2) * e;
            size_t part = n - at < PATTERN * e - offset ? n - at : PATTERN * e - offset;
            memcpy(row + at, pattern + offset, part);
            at += part;
        }
    }
    free(pattern);
}

static void fill_share(ng_bed *bed, int thread) {
    const share *own = &bed->shares[thread];
    for (int s = 0; s < bed->program.streams; s++) {
        const ng_stream *t = &bed->program.stream[s];
        if (t->rows != NG_EACH) {
            if (thread == 0) fill_stream(bed, s, 0, stream_rows(bed, s));
        } else if (!t->out) {
            fill_stream(bed, s, own->first, own->last);
        } else {
            memset(ng_row_address(&bed->args, s, own->first), 0,
                   (own->last - own->first) * row_bytes(&bed->program, s));
        }
    }
}

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static size_t stream_bytes(const ng_bed *bed, int s) {
    return stream_rows(bed, s) * row_bytes(&bed->program, s);
}

/* One piece of memory for all streams, in large pages where the system gives them: what the caches
 * hold, and how far prefetches get, then depends less on which small pages a run happens to get.
 * Each stream begins at a small page, as large arrays of most programs do. */
static bool map_streams(ng_bed *bed) {
    size_t all = 0;
    const ng_program *p = &bed->program;
    size_t inner = p->inner ? (size_t)p->inner : ROWS_PER_OUTER;
    bed->args.rows_per_outer = p->levels ? inner : SIZE_MAX >> 1;
    for (int s = 0; s < bed->program.streams; s++)
        all += round_up(stream_bytes(bed, s), SMALL_PAGE);
    bed->mapped = round_up(all, LARGE_PAGE) + LARGE_PAGE;
    bed->memory =
        mmap(NULL, bed->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bed->memory == MAP_FAILED) return false;
    char *at = (char *)round_up((uintptr_t)bed->memory, LARGE_PAGE);
    madvise(at, round_up(all, LARGE_PAGE), MADV_HUGEPAGE); /* declined: small pages do as well */
    for (int s = 0; s < bed->program.streams; s++) {
        size_t row = row_bytes(p, s), per_outer = p->levels ? inner : 0;
        bed->args.stream[s] = ng_stream_place(&p->stream[s], at, row, per_outer);
        at += round_up(stream_bytes(bed, s), SMALL_PAGE);
    }
    return true;
}

/* ---- running ---- */

/* One word of each cache line is enough to bring it near. */
static uint64_t read_back(const ng_bed *bed, size_t first, size_t last) {
    const char *at = ng_row_address(&bed->args, bed->reader, first);
    const char *end = ng_row_address(&bed->args, bed->reader, last);
    uint64_t sum = 0, word;
    for (; at + sizeof word <= end; at += 64) {
        memcpy(&word, at, sizeof word);
        sum += word;
    }
    return sum;
}

static void run_slice(ng_bed *bed, share *own) {
    const job *j = &bed->job;
    size_t first = own->cursor, last = first + bed->slice;
    switch (j->kind) {
    case NG_SUBJECT_MEMCPY:
        memcpy(ng_row_address(&bed->args, bed->to, first),
               ng_row_address(&bed->args, bed->from, first),
               bed->slice * row_bytes(&bed->program, bed->from));
        __asm__ volatile("" ::: "memory");
        break;
    case NG_SUBJECT_INTERP: bed->interp(&bed->program, &bed->args, first, last); break;
    default: j->fn(&bed->args, first, last); break;
    }
    if (bed->reader >= 0) own->sum += read_back(bed, first, last);
    own->cursor = last + bed->slice <= own->last ? last : own->first;
}

/* Where a thread's stack lies differs from process to process, and kernels that spill or keep a
 * scratch there run by up to a quarter faster or slower for it, always the same in one process: a
 * host gets some place, so each sample gets another. */
static void do_share(void *ctx, int thread) {
    ng_bed *bed = ctx;
    if (bed->job.what == FILL) {
        fill_share(bed, thread);
        return;
    }
    char *moved = alloca(bed->job.depth + DEPTH_STEP);
    __asm__ volatile("" : : "r"(moved) : "memory");
    for (size_t i = 0; i < bed->job.repeat; i++) run_slice(bed, &bed->shares[thread]);
}

static double clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds of `repeat` slices. */
static double timed(ng_bed *bed, size_t repeat) {
    bed->job.repeat = repeat;
    ng_crew_gather(bed->crew);
    double start = clock_ns();
    ng_crew_work(bed->crew);
    return clock_ns() - start;
}

static size_t repeats(double want, double each) {
    double n = ceil(want / (each > 1 ? each : 1));
    return n<1 ? 1 : n>(double) REPEAT_MOST ? REPEAT_MOST : (size_t)n;
}

/* In l1 and l2 until two short series agree; in llc once around, so that what is in the cache is
 * what this subject leaves there; in dram one slice. Returns nanoseconds of a slice. */
static double warm_up(ng_bed *bed) {
    double each = timed(bed, 1);
    if (bed->place.regime == NG_DRAM) return each;
    if (bed->place.regime == NG_LLC) {
        const share *own = &bed->shares[0];
        size_t round = (own->last - own->first) / bed->slice;
        return timed(bed, round) / (double)round;
    }
    for (int i = 0; i < WARM_TRIES; i++) {
        size_t n = repeats(warm_ns, each);
        double before = each;
        each = timed(bed, n) / (double)n;
        if (fabs(each - before) < stable * each) break;
    }
    return each;
}

void ng_bed_turn(ng_bed *bed, ng_subject_kind kind, normgen_fn fn, size_t samples, double *ns) {
    bed->job = (job){RUN, kind, fn, 1, 0};
    ng_crew_wake(bed->crew);
    size_t n = repeats(sample_ns, warm_up(bed));
    double rows = (double)n * (double)bed->slice * (double)bed->place.threads;
    for (size_t i = 0; i < samples; i++) {
        bed->job.depth = ng_rng_below(&bed->rng, bed->deepest / DEPTH_STEP + 1) * DEPTH_STEP;
        ns[i] = timed(bed, n) / rows;
    }
    ng_crew_rest(bed->crew);
}

/* ---- the whole bed ---- */

static bool make_shares(ng_bed *bed) {
    size_t n = (size_t)bed->place.threads, each = bed->place.rows / n;
    bed->shares = calloc(n, sizeof *bed->shares);
    for (size_t i = 0; bed->shares && i < n; i++)
        bed->shares[i] = (share){.first = i * each, .last = (i + 1) * each, .cursor = i * each};
    return bed->shares != NULL;
}

static size_t deepest(void) {
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack) != 0 || stack.rlim_cur == RLIM_INFINITY) return DEPTH_MOST;
    size_t part = (size_t)stack.rlim_cur / DEPTH_PART;
    return part < DEPTH_MOST ? part : DEPTH_MOST;
}

/* In llc what the stores leave for the reader of the first output counts. */
static int reader_of(const ng_place *place) {
    for (int s = 0; s < place->program->streams && place->regime == NG_LLC; s++)
        if (place->program->stream[s].out && ng_stream_moves(&place->program->stream[s])) return s;
    return -1;
}

normgen_status ng_bed_new(const ng_place *place, const ng_cpu *cpu, uint64_t seed, ng_bed **made) {
    ng_bed *bed = calloc(1, sizeof *bed);
    if (!bed) return ng_fail(NORMGEN_E_MEMORY, "no memory for a measurement");
    bed->program = *place->program;
    bed->place = *place;
    bed->place.program = &bed->program;
    if (bed->place.rows < (size_t)place->threads) bed->place.rows = (size_t)place->threads;
    bed->interp = cpu->interp;
    bed->seed = seed;
    bed->rng = ng_rng_for(seed, "depths");
    bed->deepest = deepest();
    bed->slice = ng_slice_rows(&bed->place, cpu);
    bed->reader = reader_of(place);
    if (!ng_memcpy_applies(place->program, &bed->from, &bed->to)) bed->from = bed->to = -1;
    normgen_status status = ng_crew_new(place->threads, do_share, bed, &bed->crew);
    if (status == NORMGEN_OK && !(make_shares(bed) && map_streams(bed)))
        status =
            ng_fail(NORMGEN_E_MEMORY, "no memory for %zu rows to measure with", bed->place.rows);
    if (status != NORMGEN_OK) {
        ng_bed_free(bed);
        return status;
    }
    bed->job.what = FILL;
    ng_crew_wake(bed->crew);
    timed(bed, 1);
    ng_crew_rest(bed->crew);
    *made = bed;
    return NORMGEN_OK;
}

void ng_bed_free(ng_bed *bed) {
    if (!bed) return;
    ng_crew_free(bed->crew);
    if (bed->memory && bed->memory != MAP_FAILED) munmap(bed->memory, bed->mapped);
    free(bed->shares);
    free(bed);
}

/* Memory of this process in large pages. */
static size_t large_page_mib(void) {
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    char line[128];
    size_t kib = 0;
    while (f && !kib && fgets(line, sizeof line, f))
        if (strncmp(line, "AnonHugePages:", 14) == 0) kib = strtoul(line + 14, NULL, 10);
    if (f) fclose(f);
    return kib >> 10;
}

void ng_bed_host(const ng_bed *bed, char *text, size_t size) {
    int n = snprintf(text, size, "cores=");
    for (int i = 0; i < bed->place.threads && n > 0 && (size_t)n < size; i++)
        n += snprintf(text + n, size - (size_t)n, "%s%d", i ? "," : "", ng_crew_core(bed->crew, i));
    if (n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " pages=%ld large=%zuMiB", sysconf(_SC_PAGESIZE),
                 large_page_mib());
}
