/* SPDX-License-Identifier: Apache-2.0 */
/* Regimes: from cache sizes to row counts, and the schedule where nothing was tuned. Thresholds are
 * those of docs/ARCHITECTURE.md: a regime is the smallest level of the memory that a call's bytes
 * fit in. It must not know what a program means. */
#include "regime.h"

#include "types.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define LLC_ROWS_BYTES (64 * MIB)   /* more tells nothing new about a shared cache */
#define DRAM_ROWS_BYTES (256 * MIB) /* at least, so that no cache that was not found matters */
#define REASON 160

const char *const ng_regime_names[NG_REGIME_COUNT] = {"l1", "l2", "llc", "dram"};

int ng_regime_find(const char *name) {
    for (int r = 0; r < NG_REGIME_COUNT; r++)
        if (strcmp(ng_regime_names[r], name) == 0) return r;
    return -1;
}

/* ---- thresholds ---- */

/* Rows whose bytes fit in `bytes` beside the shared streams. */
static size_t rows_in(const ng_program *p, uint64_t bytes) {
    size_t row, shared;
    ng_program_footprint(p, &row, &shared);
    return bytes <= shared ? 0 : (size_t)((bytes - shared) / row);
}

/* l1 and l2 belong to a thread each, what lies beyond is shared. */
static size_t of_threads(ng_regime regime, size_t rows, int threads) {
    size_t n = regime <= NG_L2 && threads > 1 ? (size_t)threads : 1;
    return rows > SIZE_MAX / n ? SIZE_MAX : rows * n;
}

static uint64_t threshold(const ng_cpu *cpu, ng_regime regime) {
    return regime == NG_L1 ? cpu->l1d : regime == NG_L2 ? cpu->l2 : cpu->llc / 2;
}

size_t ng_regime_max_rows(const ng_cpu *cpu, const ng_program *program, ng_regime regime,
                          int threads) {
    if (regime == NG_DRAM) return SIZE_MAX;
    return of_threads(regime, rows_in(program, threshold(cpu, regime)), threads);
}

ng_regime ng_regime_of(const ng_cpu *cpu, const ng_program *program, size_t rows, int threads) {
    for (ng_regime r = NG_L1; r < NG_DRAM; r++)
        if (rows <= ng_regime_max_rows(cpu, program, r, threads)) return r;
    return NG_DRAM;
}

/* ---- rows to measure with ---- */

/* Bytes of a measurement; with threads, of each for l1 and l2. */
static uint64_t tuned_bytes(const ng_cpu *cpu, ng_regime regime) {
    uint64_t l2 = cpu->l2, llc = cpu->llc;
    switch (regime) {
    case NG_L1: return cpu->l1d / 4 * 3;
    case NG_L2: return l2 / 2;
    case NG_LLC: {
        uint64_t most = llc / 4 < LLC_ROWS_BYTES ? llc / 4 : LLC_ROWS_BYTES;
        return 4 * l2 > most ? 4 * l2 : most;
    }
    default: return 3 * llc > DRAM_ROWS_BYTES ? 3 * llc : DRAM_ROWS_BYTES;
    }
}

/* Largest number of rows of all smaller regimes: this one begins above it. */
static size_t rows_below(const ng_cpu *cpu, const ng_program *p, ng_regime regime, int threads) {
    size_t below = 0;
    for (ng_regime r = NG_L1; r < regime; r++) {
        size_t rows = ng_regime_max_rows(cpu, p, r, threads);
        if (rows > below) below = rows;
    }
    return below;
}

static size_t absent(ng_regime regime, uint64_t row, uint64_t limit, char *reason) {
    static const char *const places[NG_REGIME_COUNT] = {"the L1 data cache", "the L2 cache",
                                                        "half of the last-level cache",
                                                        "a quarter of the memory"};
    snprintf(reason, REASON, "one row and what rows share (%llu bytes) do not fit %s (%llu bytes)",
             (unsigned long long)row, places[regime], (unsigned long long)limit);
    return 0;
}

size_t ng_regime_rows(const ng_cpu *cpu, const ng_program *program, ng_regime regime, int threads,
                      uint64_t ram, char *reason) {
    size_t row, shared, below = rows_below(cpu, program, regime, threads);
    uint64_t limit = regime == NG_DRAM ? ram / 4 : threshold(cpu, regime);
    uint64_t bytes = tuned_bytes(cpu, regime);
    ng_program_footprint(program, &row, &shared);
    reason[0] = 0;
    size_t most = of_threads(regime, rows_in(program, limit), threads);
    if (most == 0) return absent(regime, (uint64_t)row + shared, limit, reason);
    if (most <= below) {
        snprintf(reason, REASON, "every call within its %llu bytes belongs to a faster regime",
                 (unsigned long long)limit);
        return 0;
    }
    if (regime == NG_DRAM && limit < 3 * (uint64_t)cpu->llc)
        snprintf(reason, REASON,
                 "measured with a quarter of the memory (%llu MiB), less than three times the "
                 "last-level cache (%llu MiB)",
                 (unsigned long long)(limit / MIB), (unsigned long long)(3 * cpu->llc / MIB));
    size_t each = rows_in(program, bytes), rows = of_threads(regime, each ? each : 1, threads);
    if (rows <= below) rows = below + 1;
    return rows < most ? rows : most;
}

/* A memory limit of a container, or `ram` when there is none. */
static uint64_t limited(const char *path, uint64_t ram) {
    FILE *f = fopen(path, "re");
    if (!f) return ram;
    char line[32], *end = line;
    unsigned long long limit = fgets(line, sizeof line, f) ? strtoull(line, &end, 10) : 0;
    fclose(f);
    return end != line && limit != 0 && limit < ram ? limit : ram;
}

uint64_t ng_machine_ram(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t ram = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 1024 * MIB;
    ram = limited("/sys/fs/cgroup/memory.max", ram);
    return limited("/sys/fs/cgroup/memory/memory.limit_in_bytes", ram);
}

/* ---- the default schedule ---- */

static void keep_all(ng_schedule *s, const ng_program *p, ng_residency how) {
    memset(s->keep, 0, sizeof s->keep);
    for (int j = 0; j < p->keeps; j++) s->keep[j] = (uint8_t)how;
}

/* Whether every row output begins at a vector when its rows are contiguous. */
static bool streamable(const ng_program *p, const ng_schedule *s) {
    for (int i = 0; i < p->streams; i++) {
        const ng_stream *t = &p->stream[i];
        if (t->out && ng_stream_moves(t) && t->row_bytes % ng_schedule_alignment(p, s, i) != 0)
            return false;
    }
    return true;
}

/* What measurements suggest (docs/ARCHITECTURE.md): rows together where the fold of a short row
 * costs more than the row, registers for what is short enough; while a row and what comes next fit
 * the caches near by, the next row's first pass hides in the last one; in dram two rows at once
 * past the caches, with those to come on their way into L2. */
static void wish(const ng_program *p, const ng_isa *isa, ng_regime regime, ng_schedule *s) {
    bool small = p->hidden <= 256;
    *s = (ng_schedule){.vec = (int16_t)(isa->max_vec < 512 ? isa->max_vec : 512), .block = 1};
    if (small) s->block = p->hidden <= 128 ? 8 : 4;
    if (small) keep_all(s, p, NG_REGS);
    s->overlap = !small && p->hidden <= 2048;
    if (regime != NG_DRAM) return;
    s->overlap = 0;
    s->prefetch = NG_PREFETCH_L2;
    s->store = NG_STORE_STAGED;
    if (!isa->streams || !streamable(p, s)) s->store = NG_STORE_CACHED;
}

/* As wished, or without the overlap, or without the prefetch too. */
static bool settle_order(const ng_program *p, const ng_isa *isa, ng_schedule *s) {
    ng_schedule t = *s;
    bool legal = ng_schedule_legal(p, isa, &t, NULL);
    if (!legal && t.overlap) {
        t.overlap = 0;
        legal = ng_schedule_legal(p, isa, &t, NULL);
    }
    if (!legal) {
        t.prefetch = NG_PREFETCH_NONE;
        legal = ng_schedule_legal(p, isa, &t, NULL);
    }
    if (legal) *s = t;
    return legal;
}

/* With as many rows together as is legal. */
static bool settle_block(const ng_program *p, const ng_isa *isa, ng_schedule *s) {
    for (ng_schedule t = *s; t.block >= 1; t.block = (int16_t)(t.block / 2))
        if (settle_order(p, isa, &t)) {
            *s = t;
            return true;
        }
    return false;
}

/* Gives up registers, then width, last of all streaming. One row at a time, computed again and
 * again with some width of vectors, is legal everywhere. */
void ng_regime_default_schedule(const ng_program *program, const ng_isa *isa, ng_regime regime,
                                ng_schedule *schedule) {
    ng_schedule first;
    wish(program, isa, regime, &first);
    for (int store = first.store; store >= NG_STORE_CACHED; store--)
        for (int vec = first.vec; vec >= 128; vec /= 2)
            for (int plain = 0; plain < 2; plain++) {
                *schedule = first;
                schedule->store = (int16_t)store;
                schedule->vec = (int16_t)vec;
                if (plain) keep_all(schedule, program, NG_RECOMPUTE);
                if (settle_block(program, isa, schedule)) return;
            }
    assert(false && "the last try is legal on every level with generated code");
}
