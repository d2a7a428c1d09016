/* SPDX-License-Identifier: Apache-2.0 */
/* Row programs: a spec as operations on one row, in SSA form. The one place where fusion lives:
 * interpreter, lowering and tuner know values, streams and levels, never "residual" or "bias".
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
 * LOAD     elements of a stream, converted to the compute type
 * PEEK     element 0 of a row stream as a scalar
 * STORE    a value to a stream, converted from the compute type
 * CONST    k rounded to the compute type          BITS   the integer k as a bit pattern
 * SELLT    a < b ? c : d                           ISELLT the same for the bits as signed integers
 * ROUND    to element type `type` and back
 * SHL SHR  the bits shifted by k                   IADD ISUB  on the bits
 * SUM DOT  docs/numerics.md rules 3 and 4          AMAX   rule 5 */
#define NG_OPS(X)                                                                                  \
    X(LOAD, 0)                                                                                     \
    X(PEEK, 0)                                                                                     \
    X(CONST, 0)                                                                                    \
    X(BITS, 0) X(ADD, 2) X(SUB, 2) X(MUL, 2) X(DIV, 2) X(FMA, 3) X(SQRT, 1) X(NEG, 1) X(SELLT, 4)  \
        X(ROUND, 1) X(SHL, 1) X(SHR, 1) X(IADD, 2) X(ISUB, 2) X(ISELLT, 4) X(SUM, 1) X(DOT, 2)     \
            X(AMAX, 1) X(STORE, 1)

typedef enum ng_code {
#define X(name, operands) NG_##name,
    NG_OPS(X)
#undef X
        NG_CODE_COUNT
} ng_code;

typedef enum ng_extent {
    NG_ROW,
    NG_SHARED,
    NG_SCALAR
} ng_extent; /* hidden elements per row; one row; one per row */

/* Stream roles: name (also the member of normgen_args), extent, output?, stride member or none */
#define NG_ROLES(X)                                                                                \
    X(x, NG_ROW, false, offsetof(normgen_args, x_stride))                                          \
    X(residual, NG_ROW, false, offsetof(normgen_args, residual_stride))                            \
    X(weight, NG_SHARED, false, 0)                                                                 \
    X(bias, NG_SHARED, false, 0)                                                                   \
    X(y, NG_ROW, true, offsetof(normgen_args, y_stride))                                           \
    X(sum, NG_ROW, true, offsetof(normgen_args, sum_stride))                                       \
    X(mean, NG_SCALAR, true, offsetof(normgen_args, mean_stride))                                  \
    X(rstd, NG_SCALAR, true, offsetof(normgen_args, rstd_stride))

typedef enum ng_role {
#define X(name, extent, out, stride) NG_ROLE_##name,
    NG_ROLES(X)
#undef X
        NG_ROLE_COUNT
} ng_role;

typedef struct ng_role_info {
    const char *name;
    ng_extent extent;
    bool out;
    size_t base;   /* offset of the pointer in normgen_args */
    size_t stride; /* offset of the stride in normgen_args, 0 when the role has none */
} ng_role_info;
extern const ng_role_info ng_roles[NG_ROLE_COUNT];

typedef struct ng_stream {
    uint8_t role;   /* ng_role */
    uint8_t type;   /* element type */
    uint8_t extent; /* ng_extent */
    bool out;
    /* derived by ng_program_finish: */
    uint8_t element;     /* bytes */
    uint16_t at, stride; /* the role's offsets in normgen_args */
    uint32_t row_bytes;  /* of one row */
} ng_stream;

typedef struct ng_op {
    uint8_t code;   /* ng_code */
    uint8_t type;   /* of LOAD, PEEK, STORE: the stream's; of ROUND: the target */
    int16_t stream; /* of LOAD, PEEK, STORE, else -1 */
    int16_t a[4];   /* operands: indices of earlier operations, -1 where none */
    double k;       /* of CONST, BITS, SHL, SHR */
    /* derived by ng_program_finish: */
    bool scalar; /* one per row */
    bool shared; /* the same for all rows */
    uint8_t level;
    uint8_t fits;    /* bit t: storing to type t and loading again gives the same value */
    uint8_t slot;    /* buffer of the interpreter, for elem values */
    uint16_t passes; /* bit p: needed in pass p when nothing is kept; of scalars: by elem operations
                        there */
} ng_op;

#define NG_MAX_OPS 64
#define NG_MAX_KEEP 6
#define NG_MAX_SLOTS 24
#define NG_SEGMENT 1024 /* elements; docs/numerics.md rule 3 */

typedef struct ng_program {
    int64_t hidden;
    int compute; /* NORMGEN_F32 or NORMGEN_F64 */
    int lanes;
    int ops, streams;
    ng_op op[NG_MAX_OPS];
    ng_stream stream[NORMGEN_MAX_STREAMS];
    /* derived: */
    int passes; /* number of passes over the row; the last one stores */
    int slots;  /* buffers the interpreter needs */
    int keeps;  /* values that cross passes: a schedule says for each how it gets there */
    int16_t keep[NG_MAX_KEEP];
} ng_program;

/* Builds the program of a resolved spec. Cannot fail for a resolved spec. */
void ng_program_build(ng_program *program, const normgen_spec *spec);
/* Derives shapes, levels, passes, crossing values and interpreter slots of a hand-made program
 * whose ops, streams, hidden, compute and lanes are set. Stores must be its last operations. */
void ng_program_finish(ng_program *program);

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

/* Bytes of one row of all row and scalar streams, each counted though aliased, and of the shared
 * ones. */
void ng_program_footprint(const ng_program *program, size_t *row_bytes, size_t *shared_bytes);
/* Elements of one row of the stream. */
size_t ng_stream_width(const ng_program *program, int stream);

#endif
