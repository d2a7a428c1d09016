/* SPDX-License-Identifier: Apache-2.0 */
/* A generator without LLVM for tests of the run time: every "compiled" kernel is the interpreter in
 * disguise, counts its calls, and checks the alignment that its schedule promised. */
#ifndef NG_TESTS_FAKEGEN_H
#define NG_TESTS_FAKEGEN_H

#include "gentable.h"

#define FAKE_TOOLCHAIN "llvm=0.0.0 gen=1 numerics=1"

/* What is to go wrong. */
typedef struct fake_trouble {
    const char *uncompilable; /* schedule text that does not compile */
    normgen_status jit_new;   /* fails with this, when not OK */
    bool maps_code;           /* jit_load maps an executable page, as the real one does */
} fake_trouble;
extern fake_trouble fake_trouble_now;

/* Makes ng_gen() find the fake. */
void fake_install(void);
/* Kernels compiled, and JITs that live. */
int fake_compiled(void);
int fake_jits(void);
/* Schedule text of the kernel that ran last on any thread, "" when none did since the last look. */
const char *fake_last(void);
/* Whether some kernel streamed to an address that is not aligned. */
bool fake_misaligned(void);

#endif
