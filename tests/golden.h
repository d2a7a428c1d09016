/* SPDX-License-Identifier: Apache-2.0 */
/* Golden digests: for a spec and a seed, a digest of all that a kernel writes. They pin the bits of
 * this version of docs/numerics.md on every machine; who changes one changes NORMGEN_NUMERICS. */
#ifndef NG_TESTS_GOLDEN_H
#define NG_TESTS_GOLDEN_H

#include "fixture.h"

/* One line of golden.txt: "0123456789abcdef seed=7 rms hidden=…". Lines of # are comments. */
typedef struct golden {
    uint64_t digest, seed;
    normgen_spec spec;
    ng_program program;
} golden;
#define GOLDEN_MOST 128
/* Reads the file; returns how many lines it has, or -1 after saying on stderr what is wrong. */
int golden_read(const char *path, golden lines[GOLDEN_MOST]);
/* FNV-1a, 64 bits, of all outputs of 32 awkward rows computed by the subject; every NaN counts as
 * one. 0 when there is no memory. */
uint64_t golden_digest(const golden *g, const subject *s);

/* Kernels linked into a static program, ended by a NULL fn: made by emit_kernels. */
typedef struct linked_kernel {
    int line; /* of golden.txt, from 0, comments not counted */
    const char *schedule;
    normgen_fn fn;
} linked_kernel;
extern const linked_kernel linked_kernels[];

#endif
