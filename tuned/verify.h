/* SPDX-License-Identifier: Apache-2.0 */
/* The exact check of a kernel: same bytes as the interpreter, and nothing else touched. Operands
 * lie between guard pages, at odd offsets, strided, in place, with NaN in every gap; a fault of the
 * kernel may therefore end the process. Knows streams and rows, not what a program means. */
#ifndef NG_VERIFY_H
#define NG_VERIFY_H

#include "interp.h"
#include "schedule.h"

/* Inputs of one program made from a seed, and the outputs that are right. Used by one thread. */
typedef struct ng_case ng_case;

/* rows 0: 64, fewer for rows of more than 16384 elements. E_MEMORY. */
normgen_status ng_case_new(const ng_program *program, uint64_t seed, size_t rows,
                           ng_interp_fn oracle, ng_case **made);
void ng_case_free(ng_case *made);

typedef struct ng_case_subject {
    void (*run)(void *ctx, const normgen_bound_args *args, size_t first, size_t last);
    void *ctx;
    const char *name; /* begins the message */
    /* What base and stride of each stream must be multiples of; NULL: the elements' size. */
    const size_t *alignment;
    bool
        moves_only; /* a limit: what it writes into its rows is its own affair, out of place only */
} ng_case_subject;

#define NG_DIFFERENCE_TEXT 1024
/* Runs the subject on sub-ranges of all layouts. Adds to *compared the number of runs that were
 * compared. False at the first difference, which `difference` (NG_DIFFERENCE_TEXT bytes) then tells
 * in one line. */
bool ng_case_check(ng_case *made, const ng_case_subject *subject, int64_t *compared,
                   char *difference);

/* What this process is checking right now, for a handler of crashes; "" when nothing. */
const char *ng_case_now(void);

/* ng_schedule_alignment of every stream. */
void ng_case_alignment(const ng_program *program, const ng_schedule *schedule,
                       size_t alignment[NORMGEN_MAX_STREAMS]);

#endif
