/* SPDX-License-Identifier: Apache-2.0 */
/* Expected bytes come from the baseline interpreter, called directly on a hand-bound call. */
#include "hostcall.h"

#include "awkward.h"
#include "interp.h"
#include "spec.h"
#include "types.h"

#include <check.h>
#include <stdlib.h>

enum { BLANK = 0xa5, GROUND = 64 };

static size_t row_bytes(const host_call *c, int s) {
    return ng_stream_width(&c->program, s) * ng_types[c->program.stream[s].type].bytes;
}

/* Row 0 of awkward_row is an ordinary one. */
static void fill_input(const host_call *c, int s) {
    size_t n = ng_stream_width(&c->program, s), row = row_bytes(c, s);
    for (size_t r = 0; r * row < c->bytes[s]; r++)
        awkward_row(c->program.stream[s].type, (char *)c->array[s] + r * row, n, 0, r + 1,
                    (unsigned)s);
}

static void expect(host_call *c) {
    normgen_bound_args b = {.rows_per_outer = SIZE_MAX >> 1};
    for (int s = 0; s < c->program.streams; s++) {
        const ng_stream *t = &c->program.stream[s];
        ptrdiff_t inner = t->rows == NG_ONE ? 0 : (ptrdiff_t)row_bytes(c, s);
        b.stream[s] = (normgen_stream){t->out ? c->expected[s] : c->array[s], inner, 0};
    }
    ng_interp_baseline(&c->program, &b, 0, c->rows);
}

void host_call_init(host_call *c, const char *text, size_t rows, size_t shift) {
    normgen_spec spec;
    memset(c, 0, sizeof *c);
    ck_assert_msg(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s", normgen_error());
    ng_program_build(&c->program, &spec);
    c->rows = rows;
    c->args = NORMGEN_ARGS;
    c->args.rows = rows;
    for (int s = 0; s < c->program.streams; s++) {
        const ng_stream *t = &c->program.stream[s];
        c->bytes[s] = row_bytes(c, s) * (t->rows == NG_ONE ? 1 : rows);
        size_t size = (c->bytes[s] + shift + GROUND) / GROUND * GROUND;
        char *ground = aligned_alloc(GROUND, size);
        ck_assert_ptr_nonnull(ground);
        c->array[s] = ground + shift;
        memcpy((char *)&c->args + ng_roles[t->role].base, &c->array[s], sizeof c->array[s]);
        if (t->out)
            c->expected[s] = calloc(1, c->bytes[s] + 1);
        else
            fill_input(c, s);
    }
    expect(c);
    host_call_blank(c);
}

void host_call_fini(host_call *c) {
    for (int s = 0; s < c->program.streams; s++) {
        free((void *)((uintptr_t)c->array[s] / GROUND * GROUND));
        free(c->expected[s]);
    }
}

void host_call_blank(host_call *c) {
    for (int s = 0; s < c->program.streams; s++)
        if (c->program.stream[s].out) memset(c->array[s], BLANK, c->bytes[s]);
}

static bool blank(const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != BLANK) return false;
    return true;
}

bool host_call_right(const host_call *c, size_t first, size_t last) {
    for (int s = 0; s < c->program.streams; s++) {
        if (!c->program.stream[s].out) continue;
        const unsigned char *got = c->array[s], *want = c->expected[s];
        size_t row = row_bytes(c, s), from = first * row, to = last * row;
        if (memcmp(got + from, want + from, to - from) != 0) return false;
        if (!blank(got, from) || !blank(got + to, c->bytes[s] - to)) return false;
    }
    return true;
}
