/* SPDX-License-Identifier: Apache-2.0 */
/* A case: a spec, how its arrays lie in memory, and a seed. A fixture: the case's arrays, each
 * between two guard pages with every byte around the rows filled with NaN, inputs read-only, and
 * what the reference makes of them. A checker runs a subject on a fixture and compares every byte.
 * One thread at a time per fixture. */
#ifndef NG_TESTS_FIXTURE_H
#define NG_TESTS_FIXTURE_H

#include "interp.h"
#include "spec.h"

/* Factors of a case beside the fields of its spec, as words of its text form. */
#define LAYOUTS(X)                                                                                 \
    X(packed) /* strides are a row's bytes */                                                      \
    X(padded) /* all rows one element apart */                                                     \
    X(mixed)  /* every stream has another stride */                                                \
    X(nested) /* rows in groups (fixture.c; or as many as the spec says), groups further apart */
#define PLACES(X)                                                                                  \
    X(start)   /* the first element at the lower guard page */                                     \
    X(odd)     /* an odd number of elements above the lower guard page */                          \
    X(end)     /* the last element at the upper guard page */                                      \
    X(odd_end) /* an odd number of elements below the upper guard page */                          \
    X(aligned) /* bases and strides of row streams multiples of 64 bytes, for streaming stores */
#define ALIASES(X) /* outputs in the place of inputs */                                            \
    X(apart)                                                                                       \
    X(y_x)                                                                                         \
    X(y_residual)                                                                                  \
    X(sum_x)                                                                                       \
    X(sum_residual)                                                                                \
    X(y_x_sum_residual)                                                                            \
    X(y_residual_sum_x)                                                                            \
    X(y_gate)                                                                                      \
    X(y_after)
#define X(word) LAYOUT_##word,
typedef enum case_layout { LAYOUTS(X) LAYOUT_COUNT } case_layout;
#undef X
#define X(word) PLACE_##word,
typedef enum case_place { PLACES(X) PLACE_COUNT } case_place;
#undef X
#define X(word) ALIAS_##word,
typedef enum case_alias { ALIASES(X) ALIAS_COUNT } case_alias;
#undef X

typedef struct test_case {
    normgen_spec spec; /* resolved */
    size_t rows;
    case_layout layout;
    case_place place;
    case_alias alias;
    bool specials; /* zeros, infinities and NaN among the weights */
    uint64_t seed;
} test_case;

/* "rms hidden=… ; rows=64 layout=packed place=odd alias=y_x specials=no seed=7". */
#define CASE_TEXT (NORMGEN_SPEC_TEXT + 160)
void case_text(const test_case *c, char *text);
/* Reads what case_text wrote; false when it is anything else. */
bool case_parse(const char *text, test_case *c);
/* Whether the spec has the streams, of one element size, that the alias joins. */
bool case_alias_applies(const normgen_spec *spec, case_alias alias);

/* Memory of whole pages between two pages that cannot be touched. */
typedef struct guarded {
    unsigned char *bytes;
    size_t size; /* a multiple of the page size */
} guarded;
bool guarded_init(guarded *g, size_t size);
void guarded_fini(guarded *g);

/* One array: a stream, or an input and the output in its place. */
typedef struct operand {
    guarded live;
    unsigned char *initial, *expected; /* images of the live bytes, of outputs only */
    size_t offset;                     /* of row 0 in them */
    size_t row_bytes;
    size_t group; /* rows from one outer index to the next */
    ptrdiff_t inner, outer;
    int type; /* of the output when there is one */
    bool out;
} operand;

typedef struct fixture {
    test_case c;
    ng_program program;
    normgen_bound_args args;
    operand operand[NORMGEN_MAX_STREAMS];
    int of[NORMGEN_MAX_STREAMS]; /* operand of a stream */
    int operands;
} fixture;

/* Allocates and fills the arrays of a case; false when there is no memory. */
bool fixture_init(fixture *f, const test_case *c);
void fixture_fini(fixture *f);

/* What is tested, or the reference: computes rows first to last-1. */
typedef struct subject {
    void (*run)(void *ctx, const normgen_bound_args *args, size_t first, size_t last);
    void *ctx;
} subject;
/* Subjects made of an interpreter and a kernel; the pointed-to things stay the caller's. */
typedef struct interpreted {
    ng_interp_fn interp;
    const ng_program *program;
} interpreted;
subject subject_interp(interpreted *ctx);
subject subject_kernel(normgen_fn *ctx);

/* Runs the reference over all rows and keeps its outputs as the expected ones. */
void fixture_expect(fixture *f, const subject *reference);
/* Puts back the inputs in place, fills the outputs. */
void fixture_restore(fixture *f);
/* Restores, runs rows first to last-1 cut into `parts` ranges of uneven size, on as many threads,
 * and compares: computed rows with the reference's (NaN is NaN), every other byte with what was
 * there before. On a difference writes one line and returns false. */
#define WHY_TEXT 256
bool fixture_check(fixture *f, const subject *s, size_t first, size_t last, unsigned parts,
                   char why[WHY_TEXT]);

/* Whether two elements are the same bytes, or both NaN. */
bool element_same(int type, const void *a, const void *b);

#endif
