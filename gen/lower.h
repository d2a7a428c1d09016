/* SPDX-License-Identifier: Apache-2.0 */
/* The lowering, from row program and schedule to one LLVM function. Split by concern:
 *   lower.c    the function: blocks of rows, addressing, overlap
 *   tiles.c    blocks whose rows take turns
 *   strips.c   short rows in strips that share their folds
 *   sweep.c    one or two passes over the elements of a block: loops, segments, remainders
 *   ahead.c    a pass whose elements wait for their group, one slice ahead
 *   haste.c    maxima of groups that overlook NaN, until an integer shows it
 *   early.c    passes that divide, their divisors a slice ahead
 *   values.c   the value of an operation for a slice of elements, or for the rows of a block
 *   once.c     values that all rows share, computed before the first one
 *   spans.c    operations that look at other elements of the slice
 *   reduce.c   accumulators, the binary counter over segments, the fold over lanes
 *   convert.c  memory types to and from the compute type
 *   bytes.c    those of eight bits
 *   expand.c   what a level without FMA and F16C spells out
 *   move.c     the limit
 * None of them knows what a program means. */
#ifndef NG_LOWER_H
#define NG_LOWER_H

#include "build.h"
#include "cpu.h"
#include "schedule.h"

enum {
    MAX_BLOCK = 8,   /* rows worked on together */
    MAX_VECTOR = 16, /* elements of a vector of the compute type */
    MAX_SLICE = 128, /* vectors of a slice: a span of 256 elements of f64, 128 bits */
    MAX_SLICE_ELEMENTS = 256,
    MAX_REDUCTIONS = 8,     /* of one pass */
    MAX_CARRIED = 8,        /* values of a pass that go around its loop */
    MAX_LANE_VECTORS = 128, /* 256 lanes of f64 in 128-bit vectors */
    STAGE = 16              /* vectors of the buffer of store=staged */
};

/* One function being made. */
typedef struct ng_flight ng_flight; /* blocks of which several are in work: overlap.c */

typedef struct ng_lower {
    ng_build g;
    const ng_program *p;
    const ng_schedule *s;
    const ng_isa *isa;
    bool limit; /* move bytes, compute nothing */
    int vector; /* elements of a vector of the compute type */
    int slice;  /* vectors of a whole slice */
    int real_bytes;
    ng_t t_real, t_vec, t_int;   /* compute type, a vector of it, the integer of its size */
    uint16_t passes[NG_MAX_OPS]; /* in which passes an operation is computed under this schedule */
    uint8_t group[NG_MAX_OPS];   /* neighbours that have one elem value: 1, or a group */
    bool alike[NG_MAX_OPS];      /* the same for all rows of a block, and computed once */
    bool hurries;                /* see haste.c */
    int works;                   /* passes in the sweep at hand */
    bool careful;                /* nothing is left to doubts */
    struct ng_doubts *doubts;    /* where conversions to integers tell of theirs, or NULL */
    bool unrolled;               /* no loops over elements: some value is kept in registers */
    ng_v v_args, v_first, v_last, v_per_outer;
    ng_v base[NORMGEN_MAX_STREAMS], inner[NORMGEN_MAX_STREAMS], outer[NORMGEN_MAX_STREAMS];
    ng_v strides[NORMGEN_MAX_STREAMS][MAX_BLOCK]; /* odd multiples of inner */
    ng_v scratch[NG_MAX_KEEP]; /* stack arrays: [rows][hidden + a vector] of the compute type */
    ng_v stage;                /* stack array of STAGE vectors, of store=staged */
    unsigned staged;           /* vectors that went through it so far */
    ng_v once[NG_MAX_OPS];     /* stack arrays of the values of shared=once, or NULL */
    ng_v v_uppers;             /* mask: the upper halves of the words of a vector, or NULL */
    ng_v v_doubled[2];         /* orders of bytes: each word of a half twice; or NULL */
    ng_v v_turns;              /* two halves in turns */
    ng_v between;              /* stack array: scalars of each row of a block or strip */
    ng_v sums;                 /* stack array: what is left of the sums of each row of a strip */
    ng_v spread;               /* stack array: values of the groups of a slice; or NULL */
    ng_v *given;               /* room for values that are the same for all rows of a strip */
    ng_v counter;              /* stack array for the binary counter of segment sums */
    ng_v *pool;                /* room for the values of the slices at hand */
    size_t pooled;             /* of it in use */
    ng_flight *flying;         /* room for blocks in flight */
} ng_lower;

/* A block of rows being worked on, and what is known about it so far. */
typedef struct ng_rows {
    int n;                                     /* rows */
    ng_v base[NORMGEN_MAX_STREAMS][MAX_BLOCK]; /* addresses of first elements */
    ng_v scalar[NG_MAX_OPS];                   /* <n x real>: scalar values, once computed */
    ng_v splat[NG_MAX_OPS][MAX_BLOCK];         /* their broadcasts for elem operations */
    ng_v *kept[NG_MAX_KEEP];                   /* keep=regs: [n][vectors of a row] */
    ng_v *given[NG_MAX_OPS]; /* values that are known already, the same for all rows, or NULL */
    ng_v v_number; /* number of the first one in its strip, or among those that have a scratch; or
                      NULL */
    ng_v again[NG_MAX_REQUESTS][NORMGEN_MAX_STREAMS][MAX_BLOCK]; /* of rows to come: where each
                                                                    request is made */
} ng_rows;

/* A place among the rows: row = outer * rows_per_outer + inner, kept in parts so that no division
 * is needed. Rows that are worked on together lie within one outer row: their addresses are
 * multiples of a stride apart, and what has a row for each outer row is the same for all of them.
 */
typedef struct ng_position {
    ng_v v_row, v_outer, v_inner;
} ng_position;

/* Some neighbouring elements, whole spans of them: whole vectors, then perhaps a part of one. */
typedef struct ng_slice {
    ng_v v_at;   /* index of the first element */
    int64_t at;  /* the same when it is known (unrolled), else its offset in the loop's step */
    int vectors; /* 1 to the lowering's slice, the partial one included */
    int partial; /* elements of the last vector when it is partial, else 0 */
} ng_slice;

/* No pass of a row: what rows share, before any of them. */
enum { NG_SHARED_PASS = -1 };

/* A pass over the elements of a block. */
typedef struct ng_work {
    ng_rows *rows;
    int pass;          /* or NG_SHARED_PASS */
    ng_rows *prefetch; /* rows to prefetch meanwhile, or NULL */
    ng_rows *ahead;    /* of the limit: rows to load meanwhile, or NULL */
} ng_work;

/* sweep.c: runs up to NG_MAX_TOGETHER passes over the same elements, each for its own rows; leaves
 * the reductions' results in rows->scalar. Later passes come first. */
void ng_sweep(ng_lower *l, const ng_work *work, int works);

/* The values of shared=once, into their arrays. */
void ng_sweep_shared(ng_lower *l);

/* The last pass over `count` elements from v_from on: elements only, not scalars. */
void ng_sweep_tile(ng_lower *l, const ng_work *work, ng_v v_from, int64_t count);

/* overlap.c: blocks of n rows with overlap from a position on, where ng_blocks_fit; returns the
 * place behind them. */
ng_position ng_overlapped_blocks(ng_lower *l, int n, ng_position at);
/* i1: whether as many blocks of n rows fit as the schedule needs at least; 1 without overlap. */
ng_v ng_blocks_fit(ng_lower *l, int n, ng_position at);
/* What l->flying is: free() it. NULL for want of memory. */
ng_flight *ng_flight_new(void);

/* tiles.c: blocks with visit=tiles from a position on, until no row is left. */
void ng_tiled_blocks(ng_lower *l, ng_rows *rows, ng_position at);

/* strips.c: stack arrays for them. */
void ng_strip_reserve(ng_lower *l);
/* One sweep of a strip for each work; the strips' first rows are known. */
void ng_strip_sweep(ng_lower *l, const ng_work *work, int works);
/* Keeps what is left of a row's sum number `item` (ng_load_group vectors) until the fold. */
void ng_strip_sum(ng_lower *l, const ng_rows *rows, int item, int row, const ng_v *v);

/* Of rows `from` to `to` - 1 of the block: prefetches what lies at the slice's place in the row to
 * come, and what is stored soon. */
void ng_prefetch_slice(ng_lower *l, const ng_work *work, int from, int to, const ng_slice *s);

/* ahead.c: a pass without reductions over whole slices, `count` elements, at least two slices. */
void ng_run_ahead(ng_lower *l, const ng_work *work, ng_v v_from, int64_t count);

/* values.c */
typedef struct ng_values {
    ng_lower *l;
    const ng_work *work;
    ng_slice slice;
    ng_v *memo[NG_MAX_OPS][MAX_BLOCK];   /* slice.vectors each, in the lowering's pool */
    ng_v *packed[NG_MAX_OPS][MAX_BLOCK]; /* memory forms of ROUND, each at its first vector */
    ng_v group[NG_MAX_OPS][MAX_BLOCK];   /* one element for each group of the slice: see spans.c */
    bool haste;                          /* see haste.c */
    bool afresh;                         /* nothing comes from a scratch */
    bool forming;                        /* what is stored takes its memory form, no more */
    ng_v *formed[NG_MAX_OPS];            /* such forms of a store, each at its first vector */
} ng_values;
void ng_values_begin(ng_values *e, ng_lower *l, const ng_work *work, ng_slice slice);
/* Elem value of operation i for a row of the block: an array of slice.vectors vectors. Evaluated
 * once per slice. */
const ng_v *ng_value(ng_values *e, int i, int row);
/* The row of the block that operation i's value for a row is computed for. */
static inline int ng_row_of(const ng_lower *l, int i, int row) { return l->alike[i] ? 0 : row; }
/* Number of the crossing value that operation i is, when the schedule keeps it; else -1. */
int ng_kept_as(const ng_lower *l, int i);
/* One operation on vectors of type t; a: operands. */
ng_v ng_arithmetic(const ng_lower *l, const ng_op *op, ng_t t, ng_v *a);
/* Loads the slice of a stream's row, converted. */
void ng_load_slice(ng_values *e, int stream, int row, const ng_slice *slice, ng_v *out);
/* Computes the scalars that the pass needs, and their broadcasts, where the builder stands. */
void ng_prepare_scalars(ng_lower *l, const ng_work *work);
/* Scalar value of operation i: <rows x real>. */
ng_v ng_scalar(ng_lower *l, ng_rows *rows, int i);
/* Computes what the pass has to write for this slice and row, and writes it; elements, not scalars.
 */
void ng_evaluate_stores(ng_values *e, int row);
void ng_store_slice(ng_values *e, int row);
/* The two halves of the latter: memory forms of what becomes integers; all stores. */
void ng_form_integers(ng_values *e, int row);
void ng_store_values(ng_values *e, int row);
/* Whether a pass stores elements into a stream. */
bool ng_writes(const ng_lower *l, int pass, int stream);
void ng_store_scalars(ng_lower *l, ng_rows *rows);
/* Address of the slice's vector k in a stream's row. */
ng_v ng_element_address(ng_lower *l, const ng_rows *rows, int stream, int row,
                        const ng_slice *slice, int k);

/* haste.c */
typedef struct ng_doubts {
    ng_v v_least[2]; /* lowest elements, by type: words and integers of 32 bits */
    unsigned n;
} ng_doubts;
/* Whether the program's maxima of groups may overlook NaN; in a slice of a pass. */
bool ng_hurries(const ng_lower *l);
bool ng_in_haste(const ng_lower *l, const ng_work *work, const ng_slice *slice);
/* Integers of which the lowest of their type is in doubt. */
void ng_doubt(const ng_lower *l, ng_v v_integers);
/* ng_store_slice in haste. */
void ng_store_in_haste(ng_values *e, int row);

/* early.c: of slice=ahead. What goes around a loop over slices, of up to NG_MAX_TOGETHER works. */
typedef struct ng_early {
    bool carried[NG_MAX_TOGETHER][NG_MAX_OPS]; /* values of the next slice */
    ng_v v_last;                               /* index of the last slice */
    ng_v *v;                                   /* the vectors of those values */
    unsigned n;                                /* how many; 0 when no pass divides */
} ng_early;
/* Before a loop over `count` elements, whole slices; a->v is the caller's. */
void ng_early_begin(ng_early *a, ng_lower *l, const ng_work *work, int works, ng_v v_from,
                    int64_t count);
/* e[works], just begun, gets what was computed of its slice; a that of the next slice. */
void ng_early_step(ng_early *a, ng_values *e, int works);

/* once.c: of shared=once */
/* The scalars that are made of what rows share. */
void ng_prepare_shared(ng_lower *l, ng_rows *rows);
/* Computes a slice of all such values, into their arrays; loads one of operation i from its. */
void ng_store_shared(ng_values *e);
void ng_load_shared(ng_values *e, int i, ng_v *out);

/* spans.c */
int64_t ng_slice_elements(const ng_lower *l, const ng_slice *slice);
/* Fills l->group. */
void ng_groups_find(ng_lower *l);
/* Whether the operation looks at other elements, or has one value for a group of them. */
bool ng_spans(const ng_lower *l, int i);
/* Values of such an operation for a row. */
void ng_span_value(ng_values *e, int i, int row, ng_v *out);
/* Whether any operation has one value for a group. */
bool ng_has_groups(const ng_lower *l);
/* Whether a pass computes such values; and those that it needs, of a slice. */
bool ng_waits_for_groups(const ng_lower *l, const ng_work *work);
void ng_evaluate_groups(ng_values *e, int row);
/* The value of each group of `per` elements of the slice, in a vector that may be longer. */
ng_v ng_group_values(ng_values *e, int i, int row, int64_t per);

/* reduce.c */
/* Folds n vectors, a power of two, in halves: <n x real>. */
ng_v ng_fold(ng_lower *l, int code, ng_v *v, int n);
/* Folds one vector of each of n rows, of at most n lanes, or two of each: its even lanes, and its
 * odd ones n vectors on. */
ng_v ng_fold_crossed(ng_lower *l, int code, ng_v *v, int n, int of_row);
typedef struct ng_reductions {
    int n;
    struct {
        int op, work;
    } item[MAX_REDUCTIONS];
    unsigned lane_vectors; /* of one row of one reduction */
    unsigned sums;         /* vectors of all sums, whose items come first: they go by segments */
    unsigned total;        /* of all reductions */
    unsigned carried;      /* and masks of maxima: see ng_accumulate */
    ng_v *acc;             /* [item][row][lane vector], then [item of a maximum][row], a mask */
} ng_reductions;
/* Finds the reductions of the passes and counts their accumulators; acc is the caller's and has
 * room for MAX_REDUCTIONS * MAX_BLOCK * MAX_LANE_VECTORS. */
void ng_reductions_find(ng_lower *l, const ng_work *work, int works, ng_reductions *r);
/* Starts all of them for a row; the sums for a segment. */
void ng_reductions_start(ng_lower *l, ng_reductions *r);
void ng_reductions_zero(ng_lower *l, ng_reductions *r);
/* Adds a slice of one row of one pass. */
void ng_accumulate(ng_values *e, ng_reductions *r, const ng_work *work, int work_index, int row);
/* A finished segment, number v_segment, into the counter in memory. */
void ng_carry(ng_lower *l, ng_reductions *r, ng_v v_segment);
/* acc of the last segment (or nothing when it is in the counter as well) plus the `segments` that
 * the counter holds; then the fold over lanes into rows->scalar. */
void ng_finish(ng_lower *l, ng_reductions *r, const ng_work *work, int64_t segments, bool tail);
/* a + b, or the maximum of bits. */
ng_v ng_combine(ng_lower *l, int code, ng_v v_a, ng_v v_b);
/* The larger magnitude by one instruction, which overlooks a NaN beside a number; whether there is
 * one. */
bool ng_by_range(const ng_lower *l);
ng_v ng_larger_magnitude(const ng_lower *l, ng_v v_a, ng_v v_b);
/* Vectors of the counter: all sums of the pass that has most, at every level. */
uint64_t ng_counter_vectors(const ng_lower *l);

/* convert.c */
/* What widening uses all over the function: called once, at its beginning. */
void ng_prepare_widening(ng_lower *l);
/* Integer vector type that a vector of n elements of an element type is loaded and stored as. */
ng_t ng_memory_type(const ng_build *g, int type, unsigned n);
/* From memory form to <n x real>, and back. */
ng_v ng_widen(const ng_lower *l, int type, ng_v v_memory);
ng_v ng_narrow(const ng_lower *l, int type, ng_v v_real);
/* Of several vectors at once: `n` vectors of neighbouring elements and their memory form, one
 * vector. With layout=evenodd n is 2: the even elements, then the odd ones. */
void ng_widen_group(const ng_lower *l, int type, ng_v v_memory, unsigned n, ng_v *out);
ng_v ng_narrow_group(const ng_lower *l, int type, const ng_v *v, unsigned n);
/* The same of the vectors after ng_trunc; only to integers. */
ng_v ng_truncate_group(const ng_lower *l, int type, const ng_v *v, unsigned n);
/* Vectors that are loaded together (whole ones only). */
int ng_load_group(const ng_lower *l);
/* Neighbouring vectors that are best loaded as one. */
int ng_load_together(const ng_lower *l, int type);
/* Vectors that are narrowed to one full vector of the type, or that the layout keeps together. */
int ng_store_group(const ng_lower *l, int type);
/* The first `count` of n elements at an address; the others are zero. */
ng_v ng_load_partial(const ng_lower *l, int type, ng_v v_ptr, unsigned n, unsigned count);
void ng_store_partial(const ng_lower *l, int type, ng_v v_memory, ng_v v_ptr, unsigned count);
/* A whole vector that goes past the caches. */
void ng_store_stream(ng_lower *l, ng_v v_memory, ng_v v_ptr);

/* <n x float> and <n x real>. */
ng_v ng_real_of_float(const ng_lower *l, ng_v v);
ng_v ng_float_of_real(const ng_lower *l, ng_v v);

/* bytes.c: as ng_widen and ng_narrow; truncate: the same bits as of the value after ng_trunc. */
ng_v ng_widen_integers(const ng_lower *l, int type, ng_v v_memory);
ng_v ng_narrow_integers(const ng_lower *l, int type, ng_v v_real);
ng_v ng_truncate_integers(const ng_lower *l, int type, ng_v v_real);
/* i1: whether any element is the lowest integer of its size. */
ng_v ng_any_lowest(const ng_build *g, ng_v v);
ng_v ng_widen_minifloats(const ng_lower *l, int type, ng_v v_memory);
ng_v ng_narrow_minifloats(const ng_lower *l, int type, ng_v v_real);

/* expand.c */
/* a[0] * a[1] + a[2], rounded once; without FMA only for f32. */
ng_v ng_fma(const ng_lower *l, ng_v *a);
/* To the nearest integer, ties to even; without SSE4.1 only for f32. */
ng_v ng_rint(const ng_lower *l, ng_v v);
/* To the next integer towards zero. */
ng_v ng_trunc(const ng_lower *l, ng_v v);
/* <n x i16> of f16 to <n x float> and back. */
ng_v ng_half_spelled_wide(const ng_lower *l, ng_v v);
ng_v ng_half_spelled_narrow(const ng_lower *l, ng_v v);

/* move.c: moves the bytes of one slice for a row of the block. */
void ng_move_slice(ng_lower *l, const ng_work *work, int row, const ng_slice *s);

/* lower.c */
/* n rows, the first of which is at first[stream]; what was known of others is forgotten. */
void ng_rows_from(ng_lower *l, ng_rows *rows, int n, const ng_v *first);
/* The n rows from a position on; *at moves behind them. */
void ng_rows_at(ng_lower *l, ng_rows *rows, int n, ng_position *at);
/* An aligned array on the stack. */
ng_v ng_stack_vectors(ng_lower *l, uint64_t vectors);
/* The rows from a position on, for prefetching; where there are none, the current ones. */
void ng_rows_to_prefetch(ng_lower *l, ng_rows *rows, const ng_rows *current, ng_position at);
/* The place n rows on, which lie within the outer row. */
ng_position ng_rows_on(ng_lower *l, ng_position at, int n);
/* i1: whether there are n more rows, and all within the outer row. */
ng_v ng_rows_fit(ng_lower *l, ng_position at, int n);
/* A position that is carried around a loop: three phis, and their next values from a block, or from
 * where the builder stands (to the top of a loop: see ng_opaque). */
ng_position ng_position_carry(ng_lower *l, ng_position from, LLVMBasicBlockRef b_from);
void ng_position_back_from(ng_position phi, ng_position next, LLVMBasicBlockRef b_from);
void ng_position_back(ng_lower *l, ng_position phi, ng_position next);
/* Adds the function `symbol` to the module of l->g. Fails only for want of memory. */
bool ng_lower_function(ng_lower *l, const char *symbol);

#endif
