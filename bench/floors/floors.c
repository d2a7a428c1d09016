/* SPDX-License-Identifier: Apache-2.0 */
/* What bounds the tuned kernel of a spec: its time and the limit's, in turns, and beside them
 * floors. floors costs               what single instructions take, and pairs that exclude one
 * another floors STORE SPEC REGIME…  a line of CSV for each regime that the store has a winner for
 * `./dev bench floors` runs it for many points and writes the tables. */
#include "floors.h"

#include "gen.h"
#include "measure.h"
#include "spec.h"
#include "store.h"
#include "../timing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { ROUNDS = 9, SAMPLES = 3, UNIT = 32, L1_SAMPLES = 31, STREAM_GAP = 4096 + 320, BEDS = 5 };

static double median(double *v, size_t n) {
    qsort(v, n, sizeof *v, ascending);
    return v[n / 2];
}

static int failed(void) {
    fprintf(stderr, "floors: %s\n", normgen_error());
    return 1;
}

/* The first milliseconds of a process may run at another speed. */
static void warm_up(void) {
    for (double start = now_ns(); now_ns() - start < 30e6;) ng_cycle_ns();
}

/* ---- single instructions ---- */

static double alone(int kind, int other) {
    int count[NG_KINDS_COUNT] = {0};
    count[kind] += UNIT;
    if (other >= 0) count[other] += UNIT;
    return ng_mix_ns(count) / (double)UNIT;
}

/* Kinds that take as long beside this one as one after the other. */
static void print_partners(int kind, const double *ns) {
    const char *comma = "";
    for (int other = 0; other < NG_KINDS_COUNT; other++) {
        if (other == kind || ns[other] <= 0) continue;
        double both = alone(kind, other), more = ns[kind] < ns[other] ? ns[other] : ns[kind];
        double less = ns[kind] + ns[other] - more;
        if (both - more < 0.8 * less) continue;
        printf("%s%s", comma, ng_kind_names[other]);
        comma = ", ";
    }
}

static int costs(void) {
    double ns[NG_KINDS_COUNT] = {0}, cycle = ng_cycle_ns();
    printf("| instruction, %d bits | cycles | excludes |\n|---|---|---|\n", ng_mix_bits());
    for (int k = 0; k < NG_KINDS_COUNT; k++)
        if (ng_mix_has((ng_kind)k)) ns[k] = alone(k, -1);
    for (int k = 0; k < NG_KINDS_COUNT; k++) {
        if (ns[k] <= 0) continue;
        printf("| %s | %.2f | ", ng_kind_names[k], ns[k] / cycle);
        print_partners(k, ns);
        printf(" |\n");
    }
    return 0;
}

/* ---- necessary instructions ---- */

/* As a loop for so many vectors that the fractions are whole numbers to within a few percent; what
 * is still less than one is left out. */
static double pipes_ns(const ng_program *p, const ng_isa *isa) {
    double needs[NG_KINDS_COUNT], all = 0;
    int count[NG_KINDS_COUNT];
    ng_needs_of(p, isa, ng_mix_bits(), needs);
    for (int k = 0; k < NG_KINDS_COUNT; k++) all += ng_mix_has((ng_kind)k) ? needs[k] : 0;
    double parts = all / (double)(NG_MIX_MOST / 8);
    for (int k = 0; k < NG_KINDS_COUNT; k++)
        count[k] = ng_mix_has((ng_kind)k) ? (int)(needs[k] / parts) : 0;
    return ng_mix_ns(count) * parts;
}

/* ---- the kernel on one row that stays in L1 ---- */

typedef struct made {
    ng_jit *jit;
    normgen_fn fn;
} made;

static bool make(made *m, const ng_program *p, const ng_schedule *s, const ng_isa *isa,
                 bool limit) {
    ng_object o;
    if ((limit ? ng_compile_limit(p, s, isa, &o) : ng_compile(p, s, isa, &o)) != NORMGEN_OK)
        return false;
    normgen_status st = ng_jit_load(m->jit, &o, &m->fn);
    ng_object_fini(&o);
    return st == NORMGEN_OK;
}

/* All rows of a stream are the same one. Ones everywhere: as floats of any type small numbers. */
static char *one_row(const ng_program *p, normgen_bound_args *args, size_t *size) {
    size_t all = 0;
    *args = (normgen_bound_args){.rows_per_outer = p->inner ? (size_t)p->inner : SIZE_MAX >> 1};
    for (int s = 0; s < p->streams; s++) all += p->stream[s].row_bytes + STREAM_GAP;
    *size = all;
    char *memory = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    char *at = memory;
    memset(memory, 0x3c, all);
    for (int s = 0; s < p->streams; s++) {
        args->stream[s] = (normgen_stream){.base = at};
        at += (p->stream[s].row_bytes + STREAM_GAP) / 64 * 64;
    }
    return memory;
}

static double time_one_row(const made *m, const ng_program *p) {
    normgen_bound_args args;
    double ns[L1_SAMPLES];
    size_t size, rows = 64;
    char *memory = one_row(p, &args, &size);
    if (!memory) return 0;
    for (double took = 0; took < 30e3 && rows < 1 << 20; rows *= 2) {
        double start = now_ns();
        m->fn(&args, 0, rows);
        took = now_ns() - start;
    }
    for (int i = 0; i < L1_SAMPLES; i++) {
        double start = now_ns();
        m->fn(&args, 0, rows);
        ns[i] = (now_ns() - start) / (double)rows;
    }
    munmap(memory, size);
    return median(ns, L1_SAMPLES);
}

static size_t l1_bytes(const ng_program *p) {
    size_t row, shared;
    ng_program_footprint(p, &row, &shared);
    return row + shared;
}

/* Nanoseconds of a row of `hidden` elements under the schedule without what is for memory; 0 when
 * that cannot be had. */
static double at_hidden(const normgen_spec *spec, int64_t hidden, ng_schedule s, const ng_isa *isa,
                        const ng_cpu *cpu) {
    normgen_spec shorter = *spec, resolved;
    ng_program p;
    made m = {0};
    double ns = 0;
    shorter.hidden = hidden;
    if (ng_spec_resolve(&shorter, &resolved) != NORMGEN_OK) return 0;
    ng_program_build(&p, &resolved);
    s.store = NG_STORE_CACHED, s.prefetch = NG_PREFETCH_NONE;
    if (l1_bytes(&p) > cpu->l1d || !ng_schedule_legal(&p, isa, &s, NULL)) return 0;
    if (ng_jit_new(&m.jit) != NORMGEN_OK) return 0;
    if (make(&m, &p, &s, isa, false)) ns = time_one_row(&m, &p);
    ng_jit_free(m.jit);
    return ns;
}

/* Where a row does not fit L1, from the two largest halves of it that do, as a straight line. */
static double free_ns(const normgen_spec *spec, const ng_schedule *s, const ng_cpu *cpu) {
    double whole = at_hidden(spec, spec->hidden, *s, cpu->isa, cpu);
    for (int64_t h = spec->hidden / 2; whole <= 0 && h >= 512; h /= 2) {
        double long_ns = at_hidden(spec, h, *s, cpu->isa, cpu);
        if (long_ns <= 0) continue;
        double short_ns = at_hidden(spec, h / 2, *s, cpu->isa, cpu);
        if (short_ns <= 0) return 0;
        return long_ns + (double)(spec->hidden - h) / (double)(h - h / 2) * (long_ns - short_ns);
    }
    return whole;
}

/* ---- a line from L2 ---- */

/* Words of lines that L1 cannot hold and L2 can. */
static double line_ns(const ng_cpu *cpu) {
    size_t size = cpu->l2 / 2, lines = size / 64;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    double best = 0;
    if (memory == MAP_FAILED) return 0;
    memset(memory, 1, size);
    for (int i = 0; i < L1_SAMPLES; i++) {
        double start = now_ns();
        for (size_t j = 0; j < lines; j++) (void)*(volatile const uint64_t *)(memory + j * 64);
        double ns = (now_ns() - start) / (double)lines;
        if (i == 0 || ns < best) best = ns;
    }
    munmap(memory, size);
    return best;
}

/* ---- one point ---- */

typedef struct winners {
    ng_schedule kernel, limit;
    bool has_kernel, has_limit, copy; /* copy: memcpy is the limit */
    const ng_program *p;
} winners;

static bool take(void *ctx, const ng_found *f) {
    winners *w = ctx;
    const char *text = f->winner.schedule;
    if (f->winner.slot == NG_SLOT_ANY)
        w->has_kernel = ng_schedule_parse(w->p, text, &w->kernel) == NORMGEN_OK || w->has_kernel;
    if (f->winner.slot != NG_SLOT_LIMIT) return true;
    w->copy = strcmp(text, "memcpy") == 0;
    if (strncmp(text, "limit ", 6) == 0)
        w->has_limit = ng_schedule_parse(w->p, text + 6, &w->limit) == NORMGEN_OK;
    return true;
}

static void nothing(const normgen_bound_args *args, size_t first, size_t last) {
    (void)args, (void)first, (void)last;
}

enum { KERNEL, LIMIT, READ, SUBJECTS };

/* Medians of the three in turns. */
static void turns(ng_bed *bed, const ng_place *place, const winners *w, const made *kernel,
                  const made *limit, double *ns) {
    static double samples[SUBJECTS][ROUNDS * SAMPLES];
    for (int round = 0; round < ROUNDS; round++) {
        double *at[SUBJECTS];
        for (int i = 0; i < SUBJECTS; i++) at[i] = samples[i] + round * SAMPLES;
        ng_bed_turn(bed, NG_SUBJECT_KERNEL, kernel->fn, SAMPLES, at[KERNEL]);
        ng_bed_turn(bed, w->copy ? NG_SUBJECT_MEMCPY : NG_SUBJECT_LIMIT, limit->fn, SAMPLES,
                    at[LIMIT]);
        if (place->regime == NG_LLC)
            ng_bed_turn(bed, NG_SUBJECT_KERNEL, nothing, SAMPLES, at[READ]);
    }
    for (int i = 0; i < SUBJECTS; i++) ns[i] = median(samples[i], ROUNDS * SAMPLES);
    if (place->regime != NG_LLC) ns[READ] = 0;
}

/* In l2 small pages may happen to share few sets of the cache: of some beds at a time the one whose
 * limit is fastest counts. */
static bool measure(const ng_place *place, const winners *w, const ng_cpu *cpu, double *ns) {
    made kernel = {0}, limit = {0};
    ng_bed *bed[BEDS] = {NULL};
    int beds = place->regime <= NG_L2 ? BEDS : 1;
    if (ng_jit_new(&kernel.jit) != NORMGEN_OK) return false;
    limit.jit = kernel.jit;
    bool ok = make(&kernel, place->program, &w->kernel, cpu->isa, false) &&
              (w->copy || make(&limit, place->program, &w->limit, cpu->isa, true));
    for (int i = 0; i < beds && ok; i++) {
        double now[SUBJECTS];
        ok = ng_bed_new(place, cpu, 1, &bed[i]) == NORMGEN_OK;
        if (!ok) break;
        turns(bed[i], place, w, &kernel, &limit, now);
        if (i == 0 || now[LIMIT] < ns[LIMIT]) memcpy(ns, now, sizeof now);
    }
    for (int i = 0; i < beds; i++) ng_bed_free(bed[i]);
    ng_jit_free(kernel.jit);
    return ok;
}

static int point(const normgen_spec *spec, const ng_program *p, ng_store *store, ng_regime regime,
                 const ng_cpu *cpu, double pipes) {
    char reason[160], machine[NG_MACHINE_TEXT], text[NORMGEN_SPEC_TEXT], schedule[NG_SCHEDULE_TEXT];
    winners w = {.p = p};
    double ns[SUBJECTS], lines, copy;
    normgen_spec_print(spec, text, sizeof text);
    ng_cpu_machine_text(cpu, machine);
    ng_query query = {.spec = text,
                      .machine = machine,
                      .toolchain = ng_toolchain,
                      .regime = (int)regime,
                      .slot = -1,
                      .threads = 1};
    if (ng_store_winners(store, &query, take, &w) != NORMGEN_OK) return failed();
    if (!w.has_kernel || !(w.has_limit || w.copy)) return 0; /* not tuned: nothing to explain */
    ng_place place = {.spec = spec,
                      .program = p,
                      .regime = regime,
                      .threads = 1,
                      .rows = ng_regime_rows(cpu, p, regime, 1, ng_machine_ram(), reason)};
    if (!place.rows) return 0;
    if (!measure(&place, &w, cpu, ns)) return failed();
    ng_lines_of(p, cpu->l1d, &lines, &copy);
    ng_schedule_text(p, &w.kernel, schedule);
    printf("%s,%s,%zu,%.2f,%.2f,%.2f,%.2f,%.2f,%.1f,%.1f,%.4f,%.4f,%s\n", text,
           ng_regime_names[regime], place.rows, ns[KERNEL], ns[LIMIT], ns[READ], pipes,
           free_ns(spec, &w.kernel, cpu), lines, copy, line_ns(cpu), ng_cycle_ns(), schedule);
    return 0;
}

int main(int argc, char **argv) {
    const ng_cpu *cpu;
    normgen_spec spec;
    ng_program p;
    ng_store *store;
    if (ng_cpu_host(&cpu) != NORMGEN_OK) return failed();
    if (!ng_mix_init(cpu))
        return fprintf(stderr, "floors: instructions are measured on x86-64 with AVX2 only\n"), 1;
    warm_up();
    if (argc == 2 && strcmp(argv[1], "costs") == 0) return costs();
    if (argc < 4) return fprintf(stderr, "floors: costs | STORE SPEC REGIME…\n"), 2;
    if (normgen_spec_parse(&spec, argv[2]) != NORMGEN_OK ||
        ng_store_open(argv[1], NG_STORE_READ, &store) != NORMGEN_OK)
        return failed();
    ng_program_build(&p, &spec);
    double pipes = pipes_ns(&p, cpu->isa);
    int bad = 0;
    for (int i = 3; i < argc && !bad; i++) {
        int regime = ng_regime_find(argv[i]);
        if (regime < 0) return fprintf(stderr, "floors: no regime %s\n", argv[i]), 2;
        bad = point(&spec, &p, store, (ng_regime)regime, cpu, pipes);
        fflush(stdout);
    }
    ng_store_close(store);
    return bad;
}
