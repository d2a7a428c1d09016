/* SPDX-License-Identifier: Apache-2.0 */
/* normgen: normalization kernels. The run-time library's public interface.
 *
 * A spec says what a norm computes (docs/numerics.md has every formula); normgen_get finds or makes
 * a kernel for it; normgen_run applies the kernel to rows. The bits of the result depend on the
 * spec alone.
 *
 * Functions return a status; after a failure normgen_error() has the detail, per thread. Out
 * parameters are untouched on failure. A normgen handle may be used from many threads; a kernel
 * handle belongs to its normgen handle, lives as long, and normgen_run* on it are safe from any
 * number of threads at once. */
#ifndef NORMGEN_H
#define NORMGEN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(NORMGEN_BUILD) && defined(__GNUC__)
#define NORMGEN_API __attribute__((visibility("default")))
#else
#define NORMGEN_API
#endif

/* Version of this interface, and of the rules of docs/numerics.md that fix the bits. */
#define NORMGEN_VERSION "0.1.0"
#define NORMGEN_NUMERICS 1

typedef enum normgen_status {
    NORMGEN_OK = 0,
    NORMGEN_E_ARGUMENT,    /* an argument of a call is wrong: null, negative, overlapping ... */
    NORMGEN_E_SPEC,        /* a spec is malformed or means nothing */
    NORMGEN_E_SCHEDULE,    /* a schedule is malformed, or not legal for its spec and ISA */
    NORMGEN_E_UNSUPPORTED, /* this machine or this build cannot do it */
    NORMGEN_E_MEMORY,      /* out of memory */
    NORMGEN_E_IO,          /* a file could not be read or written */
    NORMGEN_E_STORE,       /* the store is broken, foreign, newer, locked or full */
    NORMGEN_E_GENERATOR,   /* the generator or its worker failed */
    NORMGEN_E_INTERRUPTED  /* stopped on request; what was done is kept */
} normgen_status;

/* Text of the last failure of this thread, naming thing, value, limit and remedy; "" when there was
 * none. Valid until the next normgen call of this thread. Never NULL. */
NORMGEN_API const char *normgen_error(void);
/* A short constant name of a status, such as "E_SPEC". */
NORMGEN_API const char *normgen_status_name(normgen_status status);
/* "0.1.0 numerics=1". */
NORMGEN_API const char *normgen_version(void);

/* ---- specs ---- */

/* Zero always means the field's default: y and weight default to the type of x, x to f32, the other
 * streams to none. Where x is i8, what defaults to its type defaults to f32. */
typedef enum normgen_type {
    NORMGEN_DEFAULT = 0,
    NORMGEN_NONE = 1,
    NORMGEN_F32 = 2,
    NORMGEN_F64 = 3,
    NORMGEN_BF16 = 4,
    NORMGEN_F16 = 5,
    NORMGEN_I8 = 6,
    NORMGEN_U8 = 7,
    NORMGEN_E4M3 = 8,  /* eight-bit float 1-4-3 without infinities (e4m3fn) */
    NORMGEN_E5M2 = 9,  /* eight-bit float 1-5-2 */
    NORMGEN_Q8_0 = 10, /* ggml's blocks of 32: a scale (f16), 32 codes (i8) */
    NORMGEN_Q8_1 = 11  /* the same with scale times the sum of the codes (f16) after the scale */
} normgen_type;

typedef enum normgen_kind {
    NORMGEN_RMS = 1,   /* x / sqrt(mean of squares + eps) */
    NORMGEN_LAYER = 2, /* (x - mean) / sqrt(variance + eps) */
    NORMGEN_L2 = 3,    /* x / sqrt(sum of squares + eps) */
    NORMGEN_DYT = 4    /* tanh(alpha * x): no statistics */
} normgen_kind;
typedef enum normgen_rounding {
    NORMGEN_ROUNDING_F32 = 0,
    NORMGEN_ROUNDING_LLAMA = 1,
    NORMGEN_ROUNDING_GATED = 2 /* as llama, and the weighted value is rounded before the gate */
} normgen_rounding;
typedef enum normgen_stat_of {
    NORMGEN_STAT_ROUNDED = 0, /* the sum rounded to its type, everywhere */
    NORMGEN_STAT_EXACT = 1,   /* the unrounded sum, everywhere */
    NORMGEN_STAT_SPLIT =
        2 /* text stat_exact: statistics of the unrounded sum, output of the rounded one */
} normgen_stat_of;
typedef enum normgen_variance { NORMGEN_TWO_PASS = 0, NORMGEN_SHIFTED = 1 } normgen_variance;
typedef enum normgen_range { NORMGEN_RANGE_PLAIN = 0, NORMGEN_RANGE_SCALED = 1 } normgen_range;
typedef enum normgen_eps_mode { NORMGEN_EPS_ADD = 0, NORMGEN_EPS_MAX = 1 } normgen_eps_mode;
typedef enum normgen_gate_act {
    NORMGEN_SILU = 0,
    NORMGEN_SIGMOID = 1,
    NORMGEN_GELU = 2,
    NORMGEN_GELU_TANH = 3
} normgen_gate_act;
typedef enum normgen_gate_at { NORMGEN_GATE_AFTER = 0, NORMGEN_GATE_BEFORE = 1 } normgen_gate_at;
/* Which row of the residual a row adds: its own, its outer index's, its inner index's, one for all
 */
typedef enum normgen_rows {
    NORMGEN_ROWS_EACH = 0,
    NORMGEN_ROWS_OUTER = 1,
    NORMGEN_ROWS_INNER = 2,
    NORMGEN_ROWS_ONE = 3
} normgen_rows;
typedef enum normgen_quant {
    NORMGEN_QUANT_NONE = 0,
    NORMGEN_QUANT_STATIC = 1,
    NORMGEN_QUANT_ROW = 2,
    NORMGEN_QUANT_GROUP32 = 3,
    NORMGEN_QUANT_GROUP64 = 4,
    NORMGEN_QUANT_GROUP128 = 5
} normgen_quant;
typedef enum normgen_rope {
    NORMGEN_ROPE_NONE = 0,
    NORMGEN_ROPE_HALF = 1,
    NORMGEN_ROPE_INTERLEAVED = 2
} normgen_rope;
typedef enum normgen_stats {
    NORMGEN_STATS_WHOLE = 0,
    NORMGEN_STATS_PARTIAL = 1, /* only the statistics of a slice are written */
    NORMGEN_STATS_APPLY = 2    /* mean and rstd are inputs */
} normgen_stats;

/* What a norm computes. Start from normgen_rms(hidden) or normgen_layer(hidden), then set fields.
 * Later versions append fields; struct_size tells which the caller knows, missing ones mean
 * defaults. */
typedef struct normgen_spec {
    size_t struct_size;
    int32_t kind;     /* normgen_kind */
    int64_t hidden;   /* elements of a row, 1 to 2^24 */
    double eps;       /* added to the variance or mean square, finite and >= 0 */
    int32_t x;        /* element types (normgen_type) */
    int32_t y;        /* default: type of x */
    int32_t weight;   /* default: type of x; NORMGEN_NONE: no weight */
    int32_t bias;     /* default: none */
    int32_t residual; /* default: none; else x + residual is normalized */
    int32_t sum;      /* default: none; else x + residual is also written */
    double offset;    /* weight + offset is used; default 0 */
    int32_t rounding; /* normgen_rounding */
    int32_t stat_of;  /* normgen_stat_of, only with a sum */
    int32_t variance; /* normgen_variance, layer only */
    int32_t range;    /* normgen_range */
    int32_t compute;  /* NORMGEN_F32 or NORMGEN_F64; default f64 when x or residual is f64 */
    int32_t lanes;    /* 16 32 64 128 256; default 64, or 32 when compute is f64 */
    int32_t mean;     /* 1: save the mean of each row, layer only */
    int32_t rstd;     /* 1: save 1/sqrt(variance + eps) of each row */
    int64_t heads;  /* default 1; weight and bias have a row for each head: row r, head r % heads */
    int64_t groups; /* default 1; a row is so many rows of hidden/groups, each normalized alone */
    int64_t
        stat_first;   /* default 0, all; rms: the statistic is that of the first so many elements */
    int32_t eps_mode; /* normgen_eps_mode, l2 only */
    int32_t gate;     /* type of the gate z; default none */
    int32_t gate_act; /* normgen_gate_act */
    int32_t gate_at;  /* normgen_gate_at */
    int32_t modulate; /* type of mod_scale and mod_shift; default none */
    int32_t xbias;    /* type of a bias that is added to x first; default none */
    double multiplier;     /* factor of x before the residual is added; default 1 */
    int32_t xgate;         /* type of a factor of x, one row per outer index; default none */
    int32_t residual_rows; /* normgen_rows */
    int32_t after;         /* type of a residual that is added to the result; default none */
    int32_t post_weight;   /* type of the weight of a norm of x before the residual; default none */
    int32_t y2;            /* type of a second output; default none */
    int32_t weight2;       /* its own weight and bias; default none */
    int32_t bias2;
    int32_t quant;     /* normgen_quant, with y i8, u8, e4m3 or e5m2 */
    int32_t rope;      /* normgen_rope */
    int32_t rope_type; /* type of cos and sin, default f32 */
    int32_t stats;     /* normgen_stats */
} normgen_spec;

static inline normgen_spec normgen_spec_of(normgen_kind kind, int64_t hidden) {
    normgen_spec s;
    memset(&s, 0, sizeof s);
    s.struct_size = sizeof s;
    s.kind = (int32_t)kind;
    s.hidden = hidden;
    s.eps = 1e-5;
    return s;
}
/* RMSNorm, f32, eps 1e-5, with a weight. */
static inline normgen_spec normgen_rms(int64_t hidden) {
    return normgen_spec_of(NORMGEN_RMS, hidden);
}
/* LayerNorm, f32, eps 1e-5, with a weight; set .bias for the usual affine form. */
static inline normgen_spec normgen_layer(int64_t hidden) {
    return normgen_spec_of(NORMGEN_LAYER, hidden);
}

/* L2 norm, f32, eps 1e-5, with a weight. */
static inline normgen_spec normgen_l2(int64_t hidden) {
    return normgen_spec_of(NORMGEN_L2, hidden);
}
/* DyT, f32, with a weight; set .bias for the usual affine form. */
static inline normgen_spec normgen_dyt(int64_t hidden) {
    normgen_spec s = normgen_spec_of(NORMGEN_DYT, hidden);
    s.eps = 0;
    return s;
}

/* Longest canonical text with its end mark, of any spec. */
#define NORMGEN_SPEC_TEXT 1024

/* Reads canonical text, any field order, any blanks: "rms hidden=4096 eps=1e-05 x=bf16". E_SPEC on
 * bad text. */
NORMGEN_API normgen_status normgen_spec_parse(normgen_spec *spec, const char *text);
/* Writes canonical text; size must be at least NORMGEN_SPEC_TEXT. E_SPEC when the spec is not
 * valid. */
NORMGEN_API normgen_status normgen_spec_print(const normgen_spec *spec, char *text, size_t size);

/* ---- handles ---- */

typedef struct normgen normgen;
typedef struct normgen_kernel normgen_kernel;

typedef enum normgen_mode {
    NORMGEN_MODE_DEFAULT =
        0, /* NORMGEN_MODE of the environment; else compile when the generator is installed */
    NORMGEN_MODE_LOOKUP = 1, /* never compiles: the interpreter serves what nothing else does */
    NORMGEN_MODE_COMPILE =
        2, /* compiles the stored, or else the predicted, schedule in normgen_get */
    NORMGEN_MODE_TUNE =
        3 /* the same, and tunes what this machine has no winners for in the background */
} normgen_mode;

typedef enum normgen_log_level { NORMGEN_LOG_WARNING = 1, NORMGEN_LOG_INFO = 2 } normgen_log_level;
/* Receives one line without a newline; called from the thread that uses the handle, in mode tune
 * also from a thread of its own, one call at a time, never after normgen_close. It must not call
 * normgen with that handle. */
typedef void (*normgen_log_fn)(void *ctx, normgen_log_level level, const char *line);
/* Runs body(body_ctx, i) for every i in 0..n-1, in any order, on any threads, and returns when all
 * are done. */
typedef void (*normgen_parallel_for)(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i),
                                     void *body_ctx);

/* Options of normgen_open; zero means the default of each. */
typedef struct normgen_options {
    size_t struct_size;
    const char *store;  /* path of the store; default $NORMGEN_DB, else
                           $XDG_DATA_HOME/normgen/tuned.db; "" is none */
    int32_t mode;       /* normgen_mode */
    int32_t strict;     /* 1: an error where a fallback would serve; default NORMGEN_STRICT of the
                           environment */
    normgen_log_fn log; /* default: silent */
    void *log_ctx;
} normgen_options;
static inline normgen_options normgen_options_default(void) {
    normgen_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* Mode tune. A thread of the handle runs `normgen tune` (NORMGEN_CLI, else the program beside the
 * library, else the one in PATH) with the lowest priority for each spec of normgen_get that the
 * store has no winners of this machine for: one at a time for a store, whatever the number of
 * hosts. When a regime is finished, the kernel handles of this process switch to what won. Bits
 * never change, and calls that run meanwhile are safe. The tuner ends with the handle and with the
 * process, also when that is killed; finished regimes are kept, and the next process goes on from
 * there. In a child that was forked after normgen_open nothing is tuned. */

/* Opens a handle; options may be NULL. *ng is the caller's, freed with normgen_close. */
NORMGEN_API normgen_status normgen_open(normgen **ng, const normgen_options *options);
/* Frees the handle and all its kernels; NULL is fine. No call may be running on them. */
NORMGEN_API void normgen_close(normgen *ng);
/* Uses the host's own threads in normgen_run_parallel, `threads` of them; fn NULL restores the
 * default (OpenMP where built in). Set it before normgen_get, which looks up what was tuned for
 * that many. */
NORMGEN_API void normgen_set_parallel_for(normgen *ng, normgen_parallel_for fn, void *ctx,
                                          int32_t threads);

/* Finds or makes the kernel of a spec. *kernel is owned by ng. Repeated calls with one spec return
 * one handle. */
NORMGEN_API normgen_status normgen_get(normgen *ng, const normgen_spec *spec,
                                       normgen_kernel **kernel);

/* What served a kernel or a handle so far. */
typedef struct normgen_counters {
    size_t struct_size;   /* set it before the call; what the library knows beyond is not written */
    uint64_t gets;        /* calls of normgen_get */
    uint64_t compiled;    /* kernels compiled by this handle */
    uint64_t interpreted; /* specs that the interpreter serves */
    uint64_t store_hits;  /* schedules taken from the store */
    uint64_t store_ignored; /* stored schedules that were not legal, and other store troubles */
    uint64_t tunings;       /* processes started that tune in the background */
    uint64_t renewals;      /* times that a kernel's functions were replaced by better ones */
    uint64_t bundled;       /* specs that a registered bundle serves */
} normgen_counters;
#ifdef __cplusplus
#define NORMGEN_COUNTERS (normgen_counters{sizeof(normgen_counters)})
#else
#define NORMGEN_COUNTERS ((normgen_counters){.struct_size = sizeof(normgen_counters)})
#endif
NORMGEN_API void normgen_get_counters(const normgen *ng, normgen_counters *out);

/* ---- bundles: kernels of `normgen emit`, without a compiler ---- */

struct normgen_bundle; /* normgen/bundle.h */
/* Makes normgen_get look in the bundle before anything else; `bundle` is what PREFIX_bundle() of a
 * linked bundle returns and stays the caller's. Of several bundles the first registered one that
 * has a spec serves it. Specs that were got before stay as they are. E_UNSUPPORTED when it comes
 * from another version. Safe from any thread. */
NORMGEN_API normgen_status normgen_add_bundle(normgen *ng, const struct normgen_bundle *bundle);
/* The same for a shared one, DIR/lib/ARCH/libPREFIX.so; it is loaded until normgen_close. E_IO. */
NORMGEN_API normgen_status normgen_open_bundle(normgen *ng, const char *path);

/* ---- running ---- */

/* Arrays of one call. A row is `hidden` elements next to each other; row strides are in bytes, 0
 * means contiguous, else at least a row's bytes. Pointers need the alignment of their element only.
 * An output may be exactly one input (same base and strides, same element size); any other overlap
 * of an output is an error. Fields that the spec has not are ignored.
 *
 * Rows on two levels (heads of a token, rows of a sample): with `inner` > 0, row r is number
 * r % inner of group r / inner; NAME_stride leads from row to row in a group, NAME_outer from group
 * to group (0: inner * stride). Either may be the larger one. `rows` is a multiple of `inner`.
 * With groups in the spec, `inner` is 0 and rows are whole ones of `hidden` elements. */
typedef struct normgen_args {
    size_t struct_size;
    size_t rows;
    const void *x;
    void *y;
    const void *weight; /* one row; with heads one for each head */
    const void *bias;   /* the same */
    const void *residual;
    void *sum;
    void *mean; /* mean and rstd: one element of the compute type per row (and group) */
    void *rstd;
    ptrdiff_t x_stride;
    ptrdiff_t y_stride;
    ptrdiff_t residual_stride;
    ptrdiff_t sum_stride;
    ptrdiff_t mean_stride;
    ptrdiff_t rstd_stride;
    size_t inner; /* rows per outer index; 0: one level, or the heads of the spec */
    ptrdiff_t x_outer;
    ptrdiff_t y_outer;
    ptrdiff_t residual_outer;
    ptrdiff_t sum_outer;
    const void *x_scale; /* i8 input: one f32 per row */
    ptrdiff_t x_scale_stride;
    const void *gate; /* a row for each row */
    ptrdiff_t gate_stride;
    ptrdiff_t gate_outer;
    const void *mod_scale; /* modulate: one row per outer index, mod_scale_stride apart */
    ptrdiff_t mod_scale_stride;
    const void *mod_shift;
    ptrdiff_t mod_shift_stride;
    const void *xbias; /* one row */
    const void *xgate; /* one row per outer index */
    ptrdiff_t xgate_stride;
    const void *after; /* a row for each row */
    ptrdiff_t after_stride;
    ptrdiff_t after_outer;
    const void *post_weight; /* as weight */
    void *y2;                /* the second output */
    ptrdiff_t y2_stride;
    ptrdiff_t y2_outer;
    const void *weight2; /* as weight */
    const void *bias2;
    void *y_scale; /* quant=static: input, one f32; row: output, one f32 per row; groupN: output,
                      hidden/N f32 per row */
    ptrdiff_t y_scale_stride;
    void *y_zero; /* u8 per row: the zero point, one u8 per row */
    ptrdiff_t y_zero_stride;
    const void *cos; /* rope: hidden/2 elements per outer index (token) */
    ptrdiff_t cos_stride;
    const void *sin;
    ptrdiff_t sin_stride;
    const void *alpha; /* dyt: one f32 */
    void *q;           /* stats=partial: sum of squares of each row, in the compute type */
    ptrdiff_t q_stride;
    void *m2; /* stats=partial, layer: sum of squared deviations from the mean */
    ptrdiff_t m2_stride;
} normgen_args;
#ifdef __cplusplus
#define NORMGEN_ARGS (normgen_args{sizeof(normgen_args)})
#else
#define NORMGEN_ARGS ((normgen_args){.struct_size = sizeof(normgen_args)})
#endif

/* Applies the kernel to all rows, on this thread. Checks the arguments (E_ARGUMENT); nothing is
 * written on failure. */
NORMGEN_API normgen_status normgen_run(const normgen_kernel *kernel, const normgen_args *args);
/* The same for rows first to last-1 of args->rows. */
NORMGEN_API normgen_status normgen_run_rows(const normgen_kernel *kernel, const normgen_args *args,
                                            size_t first, size_t last);
/* All rows on several threads; one thread when that is faster or inside a parallel region. */
NORMGEN_API normgen_status normgen_run_parallel(const normgen_kernel *kernel,
                                                const normgen_args *args);

/* Several argument sets in one call, each with its own rows and arrays (q, then k, each with its
 * own weight). All are checked before anything is written; no output of one set may touch an array
 * of another. Each pair of sets is compared, so the checks grow with the square of n: meant for a
 * few sets. In parallel the rows of all sets are divided between the threads. n 0 does nothing. */
NORMGEN_API normgen_status normgen_run_sets(const normgen_kernel *kernel, const normgen_args *sets,
                                            size_t n);
NORMGEN_API normgen_status normgen_run_sets_parallel(const normgen_kernel *kernel,
                                                     const normgen_args *sets, size_t n);

/* One slice of rows, as a spec with stats=partial has measured it: arrays of one element of the
 * compute type per row, contiguous. */
typedef struct normgen_slice {
    int64_t hidden;   /* elements of the slice */
    const void *mean; /* layer */
    const void *m2;   /* layer */
    const void *q;    /* rms and l2 */
} normgen_slice;
/* Merges the statistics of slices, in their order, into those of whole rows: what stats=apply
 * takes. spec has the whole row's kind, hidden, eps, eps_mode and compute. mean (layer only, else
 * may be NULL) and rstd have `rows` elements of the compute type; mean may be a slice's own. The
 * bits depend on the slices and on nothing else (docs/numerics.md). */
NORMGEN_API normgen_status normgen_merge_stats(const normgen_spec *spec,
                                               const normgen_slice *slices, size_t count,
                                               size_t rows, void *mean, void *rstd);

/* Canonical texts of what serves `rows` rows: "compiled vec=512 ..." or "interpreter". Valid as
 * long as the kernel. */
NORMGEN_API const char *normgen_kernel_describe(const normgen_kernel *kernel, size_t rows);

/* The bare machine code that serves `rows` rows of any alignment, or NULL when the interpreter
 * does. It checks nothing and needs the default floating-point environment (round to nearest, no
 * flush to zero). Arguments: see normgen_kernel_bind; with groups in the spec, its rows are groups:
 * row r of the caller is r * groups to (r + 1) * groups. */
typedef struct normgen_bound_args normgen_bound_args;
typedef void (*normgen_fn)(const normgen_bound_args *args, size_t first_row, size_t last_row);
NORMGEN_API normgen_fn normgen_kernel_fn(const normgen_kernel *kernel, size_t rows);

/* One stream of a bound call: row r is at base + (r / rows_per_outer) * outer + (r %
 * rows_per_outer) * inner. */
typedef struct normgen_stream {
    void *base;
    ptrdiff_t inner; /* bytes */
    ptrdiff_t outer; /* bytes */
} normgen_stream;
#define NORMGEN_MAX_STREAMS 24
struct normgen_bound_args {
    size_t rows_per_outer;
    normgen_stream stream[NORMGEN_MAX_STREAMS]; /* in the order of the spec's row program */
};
/* Checks args as normgen_run does and resolves them for a bare function. */
NORMGEN_API normgen_status normgen_kernel_bind(const normgen_kernel *kernel,
                                               const normgen_args *args, normgen_bound_args *bound);

#ifdef __cplusplus
}
#endif
#endif
