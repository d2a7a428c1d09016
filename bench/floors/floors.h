/* SPDX-License-Identifier: Apache-2.0 */
/* Floors of a kernel's time that do not depend on how good its code is:
 *   mix.c    what a mix of instructions takes on this machine, measured
 *   work.c   the instructions that the bits of a row program force
 *   lines.c  the cache lines that its passes bring into L1
 *   floors.c measures them beside the tuned kernel and the limit */
#ifndef NG_FLOORS_H
#define NG_FLOORS_H

#include "schedule.h"

/* Kinds of instructions: name, the registers that instances write, then the instruction for AVX-512
 * and for AVX2 ("" where the instruction set lacks it). Registers 0 to 7 are read and written, 8 to
 * 11 written, 12 to 14 sources. */
#define NG_READ_WRITTEN "0,1,2,3,4,5,6,7"
#define NG_WRITTEN "8,9,10,11,8,9,10,11"
#define NG_MASKS "2,3,4,5,6,7,2,3"
#define NG_ALU(op) op " %zmm12, %zmm13, %zmm\\i", op " %ymm12, %ymm13, %ymm\\i"
#define NG_ONE(op) op " %zmm12, %zmm\\i", op " %ymm12, %ymm\\i"
#define NG_KINDS(X)                                                                                \
    X(LOAD, "load", NG_WRITTEN, "vmovups 64(%rsi), %zmm\\i", "vmovups 64(%rsi), %ymm\\i")          \
    X(STORE, "store", NG_WRITTEN, "vmovups %zmm12, 64(%rdx)", "vmovups %ymm12, 64(%rdx)")          \
    X(FMA, "fma", NG_READ_WRITTEN, NG_ALU("vfmadd231ps"))                                          \
    X(MUL, "mul", NG_WRITTEN, NG_ALU("vmulps"))                                                    \
    X(ADD, "add", NG_WRITTEN, NG_ALU("vaddps"))                                                    \
    X(DIV, "div", NG_WRITTEN, NG_ALU("vdivps"))                                                    \
    X(SQRT, "sqrt", NG_WRITTEN, NG_ONE("vsqrtps"))                                                 \
    X(LOGIC, "and, or, xor", NG_WRITTEN, NG_ALU("vandps"))                                         \
    X(SHIFT, "shift", NG_WRITTEN, NG_ONE("vpslld $3,"))                                            \
    X(IADD, "integer add", NG_WRITTEN, NG_ALU("vpaddd"))                                           \
    X(IMAX, "integer max", NG_WRITTEN, NG_ALU("vpmaxud"))                                          \
    X(MIN, "min, max", NG_WRITTEN, NG_ALU("vminps"))                                               \
    X(COMPARE, "compare", NG_MASKS, "vcmpltps %zmm12, %zmm13, %k\\i",                              \
      "vcmpltps %ymm12, %ymm13, %ymm\\i")                                                          \
    X(BLEND, "select", NG_READ_WRITTEN, "vmovaps %zmm12, %zmm\\i{%k1}",                            \
      "vblendvps %ymm12, %ymm13, %ymm14, %ymm\\i")                                                 \
    X(SCALE, "times 2^n", NG_WRITTEN, "vscalefps %zmm12, %zmm13, %zmm\\i", "")                     \
    X(RINT, "to a whole number", NG_WRITTEN, "vrndscaleps $8, %zmm12, %zmm\\i",                    \
      "vroundps $8, %ymm12, %ymm\\i")                                                              \
    X(TO_INT, "f32 to i32", NG_WRITTEN, NG_ONE("vcvtps2dq"))                                       \
    X(FROM_INT, "i32 to f32", NG_WRITTEN, NG_ONE("vcvtdq2ps"))                                     \
    X(EXTEND, "i8 to i32", NG_WRITTEN, "vpmovsxbd %xmm12, %zmm\\i", "vpmovsxbd %xmm12, %ymm\\i")   \
    X(PACK, "pack", NG_WRITTEN, "vpackssdw %zmm12, %zmm13, %zmm\\i",                               \
      "vpackssdw %ymm12, %ymm13, %ymm\\i")                                                         \
    X(SHUFFLE, "shuffle", NG_WRITTEN, NG_ALU("vpermd"))                                            \
    X(TO_BF16, "two f32 to bf16", NG_WRITTEN, "vcvtne2ps2bf16 %zmm12, %zmm13, %zmm\\i", "")        \
    X(FROM_F16, "f16 to f32", NG_WRITTEN, "vcvtph2ps %ymm12, %zmm\\i",                             \
      "vcvtph2ps %xmm12, %ymm\\i")                                                                 \
    X(TO_F16, "f32 to f16", NG_WRITTEN, "vcvtps2ph $8, %zmm12, %ymm\\i",                           \
      "vcvtps2ph $8, %ymm12, %xmm\\i")

typedef enum ng_kind {
#define X(name, ...) NG_KIND_##name,
    NG_KINDS(X)
#undef X
        NG_KINDS_COUNT
} ng_kind;
extern const char *const ng_kind_names[NG_KINDS_COUNT];

/* mix.c: one thread, the calling one. */
enum { NG_MIX_MOST = 4000 }; /* instructions of a mix */
/* Whether instructions can be measured here at all: x86-64 with AVX2, and memory for code. */
bool ng_mix_init(const ng_cpu *cpu);
bool ng_mix_has(ng_kind kind);
/* Bits of the vectors that are measured: the widest. */
int ng_mix_bits(void);
/* Nanoseconds of one round of a loop with `count` instructions of each kind. None waits for
 * another, but what accumulates for itself eight instances before. The least of several orders:
 * evenly spread and shuffled. */
double ng_mix_ns(const int count[NG_KINDS_COUNT]);
/* Nanoseconds of a cycle: additions of integers, each of which waits for the one before. */
double ng_cycle_ns(void);

/* work.c: instructions of each kind for one row that any code for the program executes with vectors
 * of `bits`; fractions where several rows or vectors can share one. What rows share, constants and
 * sign changes count nothing. */
void ng_needs_of(const ng_program *p, const ng_isa *isa, int bits, double needs[NG_KINDS_COUNT]);

/* lines.c: lines of 64 bytes that enter an L1 of `l1d` bytes for one row, in the best of the orders
 * of visiting that schedules have (1 to 8 rows at a time, each pass up or down), and those that a
 * copy of the row streams brings. */
void ng_lines_of(const ng_program *p, size_t l1d, double *kernel, double *copy);

#endif
