/* SPDX-License-Identifier: Apache-2.0 */
/* Row programs: a spec as operations on one row, in SSA form. The one place where fusion lives:
 * interpreter, lowering and tuner know values, streams, levels and spans, never "residual" or
 * "gate".
 *
 * A value is `elem` (one per element of the row) or `scalar` (one per row). The level of a value is
 * the maximum of its operands', a reduction adds one. Pass p computes the reductions whose operands
 * have level p; the last pass has all the stores. Every value is of the program's compute type;
 * integer operations work on its bits. */
#ifndef NG_PROGRAM_H
#define NG_PROGRAM_H

#include "normgen/normgen.h"

#include <stdbool.h>

/* Primitives: code, operands. Each has a line here, one in the interpreter and one in the emitter.
 * "Bits" are those of the compute type, as an integer of its size.
 * LOAD     elements of a stream, converted to the compute type; `pairing` says which: element i
 *          reads entry i (plain), i mod hidden/2 (halves), i/2 (neighbours)
 * PEEK     the one value of a stream of width NG_UNIT, or element 0 of a row, as a scalar; read
 *          before anything is written to the row
 * CONST    k rounded to the compute type          BITS   the integer k as a bit pattern
 * SELLT    a < b ? c : d                          ISELLT the same for the bits as signed integers
 * RINT     to the nearest integer, ties to even   TRUNC  to the next integer towards zero
 * ABS      the sign bit cleared
 * ROUND    to element type `type` and back: f32, bf16 or f16 (what else y may be is rounded by its
 *          store alone)
 * SHL SHR  the bits shifted by k (SHR: zeros in)  IADD ISUB  on the bits, wrapping
 * AND OR XOR  of the bits
 * GAMAX    of each aligned group of `group` elements, in every element of it: the unsigned maximum
 *          of the bits with the sign cleared (rule 5)
 * GSUM     the same with the sum; only for integers whose sums stay below 2^24, so that any order
 *          of additions gives the same bits (and for NaN)
 * PARTNER  the value of the element that this one is rotated with: i +- hidden/2 (halves), i ^ 1
 *          (neighbours), by `pairing`
 * NEGFIRST -a in the first element of each pair (i < hidden/2; i even), a in the second
 * SUM DOT  docs/numerics.md rules 3 and 4         AMAX   rule 5
 *          over the elements [0, first) of the row, or all when `first` is 0; whole spans of the
 *          operations that it needs
 * STORE    a value to a stream, converted from the compute type to `type`. Element i of the row
 *          goes to base + i / block * block_bytes + at + i % block / per * bytes of `type`, with
 *          the stream's block and block_bytes; only i that are multiples of `per` are stored. */
#define NG_OPS(X)                                                                                  \
    X(LOAD, 0)                                                                                     \
    X(PEEK, 0)                                                                                     \
    X(CONST, 0)                                                                                    \
    X(BITS, 0)                                                                                     \
    X(ADD, 2)                                                                                      \
    X(SUB, 2)                                                                                      \
    X(MUL, 2)                                                                                      \
    X(DIV, 2)                                                                                      \
    X(FMA, 3)                                                                                      \
    X(SQRT, 1)                                                                                     \
    X(NEG, 1)                                                                                      \
    X(SELLT, 4)                                                                                    \
    X(ROUND, 1)                                                                                    \
    X(SHL, 1)                                                                                      \
    X(SHR, 1)                                                                                      \
    X(IADD, 2)                                                                                     \
    X(ISUB, 2)                                                                                     \
    X(ISELLT, 4)                                                                                   \
    X(RINT, 1)                                                                                     \
    X(TRUNC, 1)                                                                                    \
    X(ABS, 1) X(AND, 2) X(OR, 2) X(XOR, 2) X(GAMAX, 1) X(GSUM, 1) X(PARTNER, 1) X(NEGFIRST, 1)     \
        X(SUM, 1) X(DOT, 2) X(AMAX, 1) X(STORE, 1)

typedef enum ng_code {
#define X(name, operands) NG_##name,
    NG_OPS(X)
#undef X
        NG_CODE_COUNT
} ng_code;

/* Which elements of a row belong together: in both halves, or side by side. */
typedef enum ng_pairing { NG_PLAIN, NG_HALVES, NG_NEIGHBOURS } ng_pairing;

/* Which row of a stream's data belongs to a row of the program, which is number inner of group
 * outer: one of its own; the one of its outer index (inner stride 0); the one of its inner index
 * (outer stride 0); the same for all (both 0). */
typedef enum ng_rows_of { NG_EACH, NG_OUTER, NG_INNER, NG_ONE } ng_rows_of;
/* Entries of one row of a stream's data: hidden; hidden/2; one; one for each block of elements. */
typedef enum ng_width { NG_HIDDEN, NG_HALF, NG_UNIT, NG_BLOCKS } ng_width;

/* Stream roles: name (also the member of normgen_args), rows, width, output?, and the members for
 * the strides between rows and between outer neighbours, or 0. A spec may override rows and out. */
#define NG_ARG(member) offsetof(normgen_args, member)
#define NG_ROLES(X)                                                                                \
    X(x, NG_EACH, NG_HIDDEN, false, NG_ARG(x_stride), NG_ARG(x_outer))                             \
    X(residual, NG_EACH, NG_HIDDEN, false, NG_ARG(residual_stride), NG_ARG(residual_outer))        \
    X(weight, NG_ONE, NG_HIDDEN, false, 0, 0)                                                      \
    X(bias, NG_ONE, NG_HIDDEN, false, 0, 0)                                                        \
    X(y, NG_EACH, NG_HIDDEN, true, NG_ARG(y_stride), NG_ARG(y_outer))                              \
    X(sum, NG_EACH, NG_HIDDEN, true, NG_ARG(sum_stride), NG_ARG(sum_outer))                        \
    X(mean, NG_EACH, NG_UNIT, true, NG_ARG(mean_stride), 0)                                        \
    X(rstd, NG_EACH, NG_UNIT, true, NG_ARG(rstd_stride), 0)                                        \
    X(x_scale, NG_EACH, NG_UNIT, false, NG_ARG(x_scale_stride), 0)                                 \
    X(gate, NG_EACH, NG_HIDDEN, false, NG_ARG(gate_stride), NG_ARG(gate_outer))                    \
    X(mod_scale, NG_OUTER, NG_HIDDEN, false, NG_ARG(mod_scale_stride), 0)                          \
    X(mod_shift, NG_OUTER, NG_HIDDEN, false, NG_ARG(mod_shift_stride), 0)                          \
    X(xbias, NG_ONE, NG_HIDDEN, false, 0, 0)                                                       \
    X(xgate, NG_OUTER, NG_HIDDEN, false, NG_ARG(xgate_stride), 0)                                  \
    X(after, NG_EACH, NG_HIDDEN, false, NG_ARG(after_stride), NG_ARG(after_outer))                 \
    X(post_weight, NG_ONE, NG_HIDDEN, false, 0, 0)                                                 \
    X(y2, NG_EACH, NG_HIDDEN, true, NG_ARG(y2_stride), NG_ARG(y2_outer))                           \
    X(weight2, NG_ONE, NG_HIDDEN, false, 0, 0)                                                     \
    X(bias2, NG_ONE, NG_HIDDEN, false, 0, 0)                                                       \
    X(y_scale, NG_EACH, NG_UNIT, true, NG_ARG(y_scale_stride), 0)                                  \
    X(y_zero, NG_EACH, NG_UNIT, true, NG_ARG(y_zero_stride), 0)                                    \
    X(cos, NG_OUTER, NG_HALF, false, NG_ARG(cos_stride), 0)                                        \
    X(sin, NG_OUTER, NG_HALF, false, NG_ARG(sin_stride), 0)                                        \
    X(alpha, NG_ONE, NG_UNIT, false, 0, 0)                                                         \
    X(q, NG_EACH, NG_UNIT, true, NG_ARG(q_stride), 0)                                              \
    X(m2, NG_EACH, NG_UNIT, true, NG_ARG(m2_stride), 0)

typedef enum ng_role {
#define X(name, rows, width, out, stride, outer) NG_ROLE_##name,
    NG_ROLES(X)
#undef X
        NG_ROLE_COUNT
} ng_role;

typedef struct ng_role_info {
    const char *name;
    ng_rows_of rows;
    ng_width width;
    bool out;
    size_t base;          /* offset of the pointer in normgen_args */
    size_t stride, outer; /* offsets of the strides in normgen_args, 0 when the role has none */
} ng_role_info;
extern const ng_role_info ng_roles[NG_ROLE_COUNT];

typedef struct ng_stream {
    uint8_t role;  /* ng_role */
    uint8_t type;  /* element type, or block format */
    uint8_t rows;  /* ng_rows_of */
    uint8_t width; /* ng_width */
    bool out;
    uint16_t block; /* elements of a row that share block_bytes bytes; 0: those of the type */
    /* derived by ng_program_finish: */
    uint16_t block_bytes;
    uint8_t element;            /* bytes that bases and strides are multiples of */
    uint16_t at, stride, outer; /* the role's offsets in normgen_args */
    uint32_t row_bytes;         /* of one row */
} ng_stream;

typedef struct ng_op {
    uint8_t code;    /* ng_code */
    uint8_t type;    /* of LOAD, PEEK, STORE: what is in memory; of ROUND: the target */
    uint8_t pairing; /* ng_pairing of LOAD, PARTNER, NEGFIRST */
    uint8_t group;   /* of GAMAX and GSUM: 32, 64 or 128 elements */
    uint8_t per;     /* of STORE: 0 and 1: every element; else the first of each `per` */
    uint8_t at;      /* of STORE: bytes before the field in its block */
    int16_t stream;  /* of LOAD, PEEK, STORE, else -1 */
    int16_t a[4];    /* operands: indices of earlier operations, -1 where none */
    uint32_t first;  /* of SUM, DOT, AMAX: elements from the row's start, 0: all */
    double k;        /* of CONST, BITS, SHL, SHR */
    /* derived by ng_program_finish: */
    bool scalar; /* one per row */
    bool shared; /* the same for all rows */
    uint8_t level;
    uint8_t slot;    /* buffer of the interpreter, for elem values */
    uint16_t fits;   /* bit t: storing to type t and loading again gives the same value */
    uint16_t passes; /* bit p: needed in pass p when nothing is kept; of scalars: by elem operations
                        there */
} ng_op;

#define NG_MAX_OPS 320
#define NG_MAX_KEEP 8
#define NG_MAX_SLOTS 24
#define NG_MAX_PASSES 8
#define NG_MAX_REDUCTIONS 8 /* of one pass */
#define NG_SEGMENT 1024     /* elements; docs/numerics.md rule 3 */

typedef struct ng_program {
    int64_t hidden; /* elements of a row of the program */
    int compute;    /* NORMGEN_F32 or NORMGEN_F64 */
    int lanes;
    int ops, streams;
    int parts;     /* rows of the program that make one row of the caller (group norms); 0 is 1 */
    int64_t inner; /* rows per outer index where the spec says it (groups, heads), else 0 */
    ng_op op[NG_MAX_OPS];
    ng_stream stream[NORMGEN_MAX_STREAMS];
    /* derived: */
    int passes;                   /* number of passes over the row; the last one stores */
    int64_t width[NG_MAX_PASSES]; /* elements that a pass goes over: hidden, or the first so many;
                                     0 for a last pass without element stores */
    int span;                     /* elements that every slice has whole and aligned: 1 when no
                                     operation looks at its neighbours */
    bool levels; /* some stream's rows are NG_OUTER or NG_INNER: a call needs rows per outer */
    int slots;   /* buffers the interpreter needs */
    int keeps;   /* values that cross passes: a schedule says for each how it gets there */
    int16_t keep[NG_MAX_KEEP];
} ng_program;

/* Builds the program of a resolved spec. Cannot fail for a resolved spec. */
void ng_program_build(ng_program *program, const normgen_spec *spec);
/* Derives shapes, levels, passes, crossing values and interpreter slots of a hand-made program
 * whose ops, streams, hidden, compute and lanes are set. Stores must be its last operations. */
void ng_program_finish(ng_program *program);

/* Whether all rows share the stream's one row of data. */
static inline bool ng_stream_shared(const ng_stream *s) { return s->rows == NG_ONE; }
/* Whether the stream has a row of elements for every row: what memory speed is about. */
static inline bool ng_stream_moves(const ng_stream *s) {
    return s->rows == NG_EACH && s->width == NG_HIDDEN;
}
/* Rows of data of a stream in a call of `rows` rows, `inner` of them per outer index. */
size_t ng_stream_rows(const ng_stream *s, size_t rows, size_t inner);
/* Bytes between neighbours and between outer neighbours, of rows that are `pitch` bytes apart. */
normgen_stream ng_stream_place(const ng_stream *s, void *base, size_t pitch, size_t inner);

static inline bool ng_op_reduces(const ng_op *op) {
    return op->code == NG_SUM || op->code == NG_DOT || op->code == NG_AMAX;
}
int ng_op_operands(const ng_op *op);
const char *ng_op_name(int code);
/* First pass that needs the elem value. */
int ng_op_first_pass(const ng_op *op);

/* How a value that crosses passes gets from its first pass to the later ones. */
typedef enum ng_residency { NG_RECOMPUTE, NG_RELOAD, NG_SCRATCH, NG_REGS } ng_residency;
/* passes[i]: in which passes operation i is computed when crossing value j is kept as keep[j]
 * (NULL: recompute). */
void ng_program_demand(const ng_program *program, const uint8_t *keep, uint16_t passes[NG_MAX_OPS]);
/* The STORE from which crossing value j can be reloaded bit for bit, or -1. */
int ng_program_reload_store(const ng_program *program, int j);

/* Bytes of one row of all streams that have one for each row, each counted though aliased, and of
 * those that rows share. */
void ng_program_footprint(const ng_program *program, size_t *row_bytes, size_t *shared_bytes);
/* Entries of one row of the stream; of a block format, elements of the program's row. */
size_t ng_stream_width(const ng_program *program, int stream);

#endif
