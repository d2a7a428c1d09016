/* SPDX-License-Identifier: Apache-2.0 */
/* What a host has in its hands: public arguments over arrays of its own, and beside them the bytes
 * that the spec promises. */
#ifndef NG_TESTS_HOSTCALL_H
#define NG_TESTS_HOSTCALL_H

#include "program.h"

typedef struct host_call {
    normgen_args args;
    ng_program program;
    size_t rows;
    void *array[NORMGEN_MAX_STREAMS], *expected[NORMGEN_MAX_STREAMS]; /* of outputs */
    size_t bytes[NORMGEN_MAX_STREAMS];
} host_call;

/* Arrays of a spec, contiguous rows, aligned to 64 bytes plus `shift` bytes. Inputs are finite and
 * ordinary. */
void host_call_init(host_call *c, const char *spec, size_t rows, size_t shift);
void host_call_fini(host_call *c);
/* Fills all outputs with a pattern that no norm gives. */
void host_call_blank(host_call *c);
/* Whether rows first to last-1 of all outputs are as promised and all others blank. */
bool host_call_right(const host_call *c, size_t first, size_t last);

#endif
