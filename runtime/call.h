/* SPDX-License-Identifier: Apache-2.0 */
/* Calling kernels: checked resolution of public arguments into a bound call, and the floating-point
 * environment. Needs no store. */
#ifndef NG_CALL_H
#define NG_CALL_H

#include "program.h"

/* Checks args against the program and resolves them. E_ARGUMENT names the array, the value and the
 * rule; *bound is scratch then (what normgen_run can spare: a copy of it costs as much as all the
 * checks). */
normgen_status ng_bind(const ng_program *program, const normgen_args *args,
                       normgen_bound_args *bound);

/* Saves the thread's rounding and flush-to-zero modes and sets the default ones where they differ;
 * ng_fp_leave puts back what ng_fp_enter returned. */
static inline uint64_t ng_fp_enter(void);
static inline void ng_fp_leave(uint64_t saved);

#if defined(__x86_64__)
#include <xmmintrin.h>
#define NG_FP_CONTROL 0xffc0u /* without the sticky exception flags */
#define NG_FP_DEFAULT 0x1f80u
static inline uint64_t ng_fp_enter(void) {
    uint32_t saved = _mm_getcsr();
    if (__builtin_expect((saved & NG_FP_CONTROL) != NG_FP_DEFAULT, 0)) _mm_setcsr(NG_FP_DEFAULT);
    return saved;
}
static inline void ng_fp_leave(uint64_t saved) {
    if (__builtin_expect(((uint32_t)saved & NG_FP_CONTROL) != NG_FP_DEFAULT, 0))
        _mm_setcsr((uint32_t)saved);
}
#elif defined(__aarch64__)
static inline uint64_t ng_fp_enter(void) {
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    if (saved != 0) __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)0));
    return saved;
}
static inline void ng_fp_leave(uint64_t saved) {
    if (saved != 0) __asm__ volatile("msr fpcr, %0" ::"r"(saved));
}
#else
#error "normgen supports x86-64 and aarch64 only"
#endif

#endif
