/* SPDX-License-Identifier: Apache-2.0 */
/* Regimes: where the bytes of a call live. */
#ifndef NG_REGIME_H
#define NG_REGIME_H

#include "cpu.h"
#include "schedule.h"

typedef enum ng_regime { NG_L1, NG_L2, NG_LLC, NG_DRAM, NG_REGIME_COUNT } ng_regime;
extern const char *const ng_regime_names[NG_REGIME_COUNT];
/* The regime of that name, or -1. */
int ng_regime_find(const char *name);

/* Largest number of rows of a call that is still in the regime (SIZE_MAX for dram, 0 when not even
 * one row is). With threads, l1 and l2 count one thread's share, llc the total. */
size_t ng_regime_max_rows(const ng_cpu *cpu, const ng_program *program, ng_regime regime,
                          int threads);
/* The regime that a call of `rows` rows falls in. */
ng_regime ng_regime_of(const ng_cpu *cpu, const ng_program *program, size_t rows, int threads);
/* Rows that the tuner measures the regime with; 0 when the regime does not exist for the program,
 * and then `reason` (160 bytes) says why. ram: bytes of memory of the machine. A note in `reason`
 * with rows > 0 is a caution. */
size_t ng_regime_rows(const ng_cpu *cpu, const ng_program *program, ng_regime regime, int threads,
                      uint64_t ram, char *reason);
/* What to use where nothing was ever tuned, with the caches of this processor. Always legal on the
 * level; the level must have generated code. */
void ng_regime_default_schedule(const ng_program *program, const ng_cpu *cpu, const ng_isa *isa,
                                ng_regime regime, ng_schedule *schedule);
uint64_t ng_machine_ram(void);

#endif
