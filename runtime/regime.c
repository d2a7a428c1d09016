/* SPDX-License-Identifier: Apache-2.0 */
/* Regimes: from cache sizes to row counts, and the schedule where nothing was tuned. Thresholds are
 * those of docs/ARCHITECTURE.md: a regime is the smallest level of the memory that a call's bytes
 * fit in. It must not know what a program means. */
#include "regime.h"

#include "types.h"

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
