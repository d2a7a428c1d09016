/* SPDX-License-Identifier: Apache-2.0 */
/* Binding arguments: each rule of normgen_args with its words, overlap against a map of every byte,
 * and the floating-point environment. */
#include "call.h"

#include "spec.h"
#include "types.h"

#include "interp.h"

#include <check.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Millions of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

static ng_program program_of(const char *text) {
    normgen_spec spec;
    ng_program p;
    REQUIRE(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s: %s", text, normgen_error());
    ng_program_build(&p, &spec);
    return p;
}

/* Arrays for up to 4 rows of 8 f64, apart from each other, and arguments that use all of them. */
enum { ROOM = 512 };
static _Alignas(64) char memory[NG_ROLE_COUNT][ROOM];

static normgen_args ordinary(size_t rows) {
    normgen_args a = NORMGEN_ARGS;
    a.rows = rows;
    a.x = memory[NG_ROLE_x], a.residual = memory[NG_ROLE_residual];
    a.weight = memory[NG_ROLE_weight], a.bias = memory[NG_ROLE_bias];
    a.y = memory[NG_ROLE_y], a.sum = memory[NG_ROLE_sum];
    a.mean = memory[NG_ROLE_mean], a.rstd = memory[NG_ROLE_rstd];
    return a;
}

static void *pointer_of(const normgen_args *a, int role) {
    void *p;
    memcpy(&p, (const char *)a + ng_roles[role].base, sizeof p);
    return p;
}
static void set_pointer(normgen_args *a, int role, const void *p) {
    memcpy((char *)a + ng_roles[role].base, &p, sizeof p);
}
static ptrdiff_t stride_of(const normgen_args *a, int role) {
    ptrdiff_t s = 0;
    if (ng_roles[role].stride) memcpy(&s, (const char *)a + ng_roles[role].stride, sizeof s);
    return s;
}
static void set_stride(normgen_args *a, int role, ptrdiff_t s) {
    memcpy((char *)a + ng_roles[role].stride, &s, sizeof s);
}

static void binds(const ng_program *p, const normgen_args *a) {
    normgen_bound_args bound;
    REQUIRE(ng_bind(p, a, &bound) == NORMGEN_OK, "refused: %s", normgen_error());
}
/* Refused, with both words in the message. */
static void refuses(const ng_program *p, const normgen_args *a, const char *first,
                    const char *second) {
    normgen_bound_args bound;
    REQUIRE(ng_bind(p, a, &bound) == NORMGEN_E_ARGUMENT, "accepted; expected '%s' '%s'", first,
            second);
    REQUIRE(strstr(normgen_error(), first) && strstr(normgen_error(), second),
            "'%s' or '%s' is missing: %s", first, second, normgen_error());
}

static const char everything[] = "layer hidden=8 eps=1e-5 x=bf16 y=f32 weight=f16 bias=f32 "
                                 "residual=f32 sum=f64 compute=f64 mean=yes rstd=yes";

/* ---- what is bound ---- */

START_TEST(rows_are_found_at_their_strides) {
    ng_program p = program_of(everything);
    for (int wide = 0; wide < 2; wide++) {
        normgen_args a = ordinary(3);
        normgen_bound_args bound;
        for (int r = 0; wide && r < NG_ROLE_COUNT; r++)
            if (ng_roles[r].stride) set_stride(&a, r, 72 + 8 * r);
        ck_assert_int_eq(ng_bind(&p, &a, &bound), NORMGEN_OK);
        for (int s = 0; s < p.streams; s++)
            for (size_t row = 0; row < 3; row++) {
                int role = p.stream[s].role;
                ptrdiff_t step =
                    wide ? 72 + 8 * role
                         : (ptrdiff_t)(ng_stream_width(&p, s) * ng_types[p.stream[s].type].bytes);
                char *at = memory[role] + (ng_roles[role].stride ? (ptrdiff_t)row * step : 0);
                REQUIRE(ng_row_address(&bound, s, row) == at, "%s row %zu", ng_roles[role].name,
                        row);
            }
    }
}
END_TEST

START_TEST(no_rows_need_no_pointers) {
    ng_program p = program_of(everything);
    normgen_args a = NORMGEN_ARGS;
    binds(&p, &a);
    a.x_stride = -1; /* nothing of it is used */
    binds(&p, &a);
}
END_TEST

START_TEST(members_that_the_spec_has_not_are_ignored) {
    ng_program p = program_of("rms hidden=8 eps=1e-5 weight=none");
    normgen_args a = ordinary(2);
    a.weight = NULL, a.bias = (void *)1, a.residual = a.y, a.sum = a.y, a.mean = a.y;
    a.residual_stride = -5, a.sum_stride = 3, a.rstd_stride = PTRDIFF_MIN;
    binds(&p, &a);
}
END_TEST

START_TEST(older_callers_have_zeros_where_their_struct_ends) {
    ng_program p = program_of("rms hidden=8 eps=1e-5 weight=none"), q = program_of(everything);
    for (size_t size = offsetof(normgen_args, weight); size <= sizeof(normgen_args); size += 8) {
        normgen_args *a = malloc(size), whole = ordinary(2);
        whole.struct_size = size;
        memcpy(a, &whole, size);
        normgen_bound_args bound;
        REQUIRE(ng_bind(&p, a, &bound) == NORMGEN_OK, "size %zu: %s", size, normgen_error());
        REQUIRE(bound.stream[0].inner == 32, "size %zu", size);
        bool has_rstd = size > offsetof(normgen_args, rstd);
        REQUIRE((ng_bind(&q, a, &bound) == NORMGEN_OK) == has_rstd, "size %zu", size);
        free(a);
    }
    static const size_t bad[] = {0, 8, offsetof(normgen_args, weight) - 1, sizeof(normgen_args) + 1,
                                 SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        normgen_args a = ordinary(2);
        a.struct_size = bad[i];
        refuses(&p, &a, "struct_size", "NORMGEN_ARGS");
    }
}
END_TEST

/* ---- one rule after another ---- */

START_TEST(null_arguments_are_refused) {
    ng_program p = program_of(everything);
    normgen_args a = ordinary(1);
    normgen_bound_args bound;
    ck_assert_int_eq(ng_bind(&p, NULL, &bound), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(ng_bind(&p, &a, NULL), NORMGEN_E_ARGUMENT);
}
END_TEST

START_TEST(every_array_of_the_spec_is_needed) {
    ng_program p = program_of(everything);
    ck_assert_int_eq(p.streams, NG_ROLE_rstd + 1);
    for (int r = 0; r < p.streams; r++) {
        char name[32];
        normgen_args a = ordinary(1);
        set_pointer(&a, r, NULL);
        snprintf(name, sizeof name, "args.%s ", ng_roles[r].name);
        refuses(&p, &a, name, "null pointer");
    }
}
END_TEST

START_TEST(pointers_need_the_alignment_of_an_element_and_no_more) {
    ng_program p = program_of(everything);
    for (int s = 0; s < p.streams; s++) {
        int role = p.stream[s].role, bytes = ng_types[p.stream[s].type].bytes;
        for (int by = 1; by <= 16; by++) {
            normgen_args a = ordinary(1);
            set_pointer(&a, role, memory[role] + by);
            if (by % bytes == 0)
                binds(&p, &a);
            else
                refuses(&p, &a, ng_roles[role].name, "aligned");
        }
    }
}
END_TEST

START_TEST(strides_are_contiguous_or_at_least_a_row) {
    ng_program p = program_of(everything);
    for (int s = 0; s < p.streams; s++) {
        int role = p.stream[s].role, bytes = ng_types[p.stream[s].type].bytes;
        if (!ng_roles[role].stride) continue;
        ptrdiff_t row = (ptrdiff_t)ng_stream_width(&p, s) * bytes;
        char name[32];
        snprintf(name, sizeof name, "args.%s_stride", ng_roles[role].name);
        for (size_t rows = 1; rows < 4; rows++)
            for (ptrdiff_t stride = -2 * row; stride <= row + 3 * bytes; stride++) {
                normgen_args a = ordinary(rows);
                set_stride(&a, role, stride);
                if (stride == 0 || (stride >= row && stride % bytes == 0))
                    binds(&p, &a);
                else
                    refuses(&p, &a, name,
                            stride < 0     ? "negative"
                            : stride < row ? "less than a row"
                                           : "multiple");
            }
        normgen_args a = ordinary(2);
        set_stride(&a, role, PTRDIFF_MIN);
        refuses(&p, &a, name, "negative");
    }
}
END_TEST

START_TEST(rows_that_leave_the_address_space_are_refused) {
    ng_program p = program_of("rms hidden=8 eps=1e-5");
    static const size_t rows[] = {SIZE_MAX,        SIZE_MAX / 32,   PTRDIFF_MAX,
                                  (size_t)1 << 60, (size_t)1 << 59, ((size_t)1 << 58) + 1};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        normgen_args a = ordinary(rows[i]);
        refuses(&p, &a, "args.rows", "address space");
    }
    for (int bit = 31; bit < 62; bit++) { /* products that wrap around to something small */
        normgen_args a = ordinary((size_t)1 << (64 - bit));
        a.y_stride = (ptrdiff_t)1 << bit;
        refuses(&p, &a, "args.y", "address space");
        a.rows += 1;
        refuses(&p, &a, "args.y", "address space");
    }
    normgen_args a = ordinary(2);
    a.y_stride = PTRDIFF_MAX - 3;
    refuses(&p, &a, "args.y", "address space");
    a.rows = 1; /* a stride that is not used may be as long as it likes */
    binds(&p, &a);
}
END_TEST

START_TEST(large_calls_that_are_right_are_accepted) {
    ng_program p = program_of("rms hidden=8 eps=1e-5 weight=none");
    normgen_args a = ordinary(0);
    a.rows = (size_t)1 << 33; /* 256 GiB each, never touched */
    a.x = (void *)((uintptr_t)1 << 40);
    a.y = (void *)((uintptr_t)1 << 42);
    binds(&p, &a);
    a.y = (char *)a.y - ((uintptr_t)1 << 42) + ((uintptr_t)1 << 40) + ((uintptr_t)1 << 38);
    binds(&p, &a);
    a.y = (char *)a.y - 4;
    refuses(&p, &a, "args.y", "overlaps");
}
END_TEST

/* ---- overlap ---- */

START_TEST(any_output_may_take_the_place_of_one_input) {
    static const char *const inputs[] = {"x", "residual"};
    ng_program p = program_of("layer hidden=8 eps=1e-5 residual=f32 sum=f32 bias=f32");
    for (int wide = 0; wide < 2; wide++)
        for (int i = 0; i < 2; i++)
            for (int both = 0; both < 2; both++) {
                normgen_args a = ordinary(3);
                if (wide) a.x_stride = a.y_stride = a.residual_stride = a.sum_stride = 48;
                a.y = (void *)(uintptr_t)(i ? a.residual : a.x);
                if (both) a.sum = (void *)(uintptr_t)(i ? a.x : a.residual);
                normgen_bound_args bound;
                REQUIRE(ng_bind(&p, &a, &bound) == NORMGEN_OK, "y in place of %s, sum too: %d: %s",
                        inputs[i], both, normgen_error());
            }
    normgen_args a = ordinary(3);
    a.residual = a.x; /* inputs share what they like */
    a.weight = a.bias;
    a.y = (void *)(uintptr_t)a.x;
    binds(&p, &a);
}
END_TEST

START_TEST(other_overlap_is_refused_with_both_names) {
    ng_program p = program_of("rms hidden=8 eps=1e-5 residual=f32 sum=f32 rstd=yes");
    normgen_args a = ordinary(3);
    a.y = (char *)(uintptr_t)a.x + 4;
    refuses(&p, &a, "args.y", "args.x");
    a = ordinary(3), a.y = (void *)(uintptr_t)a.x, a.y_stride = 40;
    refuses(&p, &a, "args.y", "args.x");
    a = ordinary(3), a.sum = a.y;
    refuses(&p, &a, "args.sum", "args.y");
    a = ordinary(1), a.y = (void *)(uintptr_t)a.weight; /* one row, but not a row stream */
    refuses(&p, &a, "args.y", "args.weight");
    a = ordinary(3), a.rstd = (char *)(uintptr_t)a.x + 32;
    refuses(&p, &a, "args.rstd", "args.x");
    ng_program q = program_of("rms hidden=8 eps=1e-5 x=f32 y=bf16");
    a = ordinary(3), a.y = (void *)(uintptr_t)a.x, a.y_stride = a.x_stride = 32;
    refuses(&q, &a, "args.y", "element size");
    ng_program r = program_of("rms hidden=8 eps=1e-5 x=f16 y=bf16"); /* other type, same size */
    a = ordinary(3), a.y = (void *)(uintptr_t)a.x;
    binds(&r, &a);
}
END_TEST

START_TEST(columns_of_one_buffer_are_apart) {
    ng_program p = program_of("rms hidden=8 eps=1e-5 residual=f32 sum=f32 rstd=yes");
    normgen_args a = ordinary(2); /* row: x, residual, y, sum, rstd */
    char *buffer = memory[0];
    a.x = buffer, a.residual = buffer + 32, a.y = buffer + 64, a.sum = buffer + 96;
    a.rstd = buffer + 128;
    a.x_stride = a.residual_stride = a.y_stride = a.sum_stride = a.rstd_stride = 132;
    binds(&p, &a);
    a.rstd = buffer + 124;
    refuses(&p, &a, "args.rstd", "args.sum");
    a.rstd = buffer + 132; /* the next row's x */
    refuses(&p, &a, "args.rstd", "args.x");
    a.rstd = buffer + 132 + 128; /* one row further down is beside it again */
    binds(&p, &a);
    a = ordinary(2); /* every second row: y between the rows of x */
    a.x = buffer, a.y = buffer + 32, a.x_stride = a.y_stride = 64;
    binds(&p, &a);
    a.x_stride = 96; /* x in rows 0 and 3 of the buffer, y in 1 and 3 */
    refuses(&p, &a, "args.y", "args.x");
}
END_TEST

START_TEST(the_order_of_streams_does_not_matter) {
    ng_program p = program_of("rms hidden=8 eps=1e-5 residual=f32 sum=f32"), q = p;
    for (int s = 0; s < p.streams; s++) q.stream[p.streams - 1 - s] = p.stream[s];
    for (int i = 0; i < q.ops; i++)
        if (q.op[i].stream >= 0) q.op[i].stream = (int16_t)(p.streams - 1 - q.op[i].stream);
    ng_program_finish(&q);
    ck_assert(q.stream[0].out); /* outputs stand first now */
    normgen_args a = ordinary(3);
    binds(&q, &a);
    a.y = (void *)(uintptr_t)a.x, a.sum = (void *)(uintptr_t)a.residual;
    binds(&q, &a);
    a.y = (char *)(uintptr_t)a.x + 4;
    refuses(&q, &a, "args.y", "args.x");
    a = ordinary(3), a.sum = a.y;
    refuses(&q, &a, "args.sum", "args.y");
    a = ordinary(1), a.sum = (void *)(uintptr_t)a.weight;
    refuses(&q, &a, "args.sum", "args.weight");
}
END_TEST

/* Bytes that the streams of a bound call touch, one bit per stream. */
static uint32_t touched[4096];

static void mark(const ng_program *p, const normgen_args *a, const char *origin, int s) {
    int role = p->stream[s].role;
    size_t bytes = ng_stream_width(p, s) * ng_types[p->stream[s].type].bytes;
    size_t step = stride_of(a, role) ? (size_t)stride_of(a, role) : bytes;
    size_t rows = ng_roles[role].stride ? a->rows : 1;
    size_t base = (size_t)((const char *)pointer_of(a, role) - origin);
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < bytes; b++) touched[base + r * step + b] |= 1u << s;
}

static bool in_place(const ng_program *p, const normgen_args *a, int o, int s) {
    int ro = p->stream[o].role, rs = p->stream[s].role, to = p->stream[o].type,
        ts = p->stream[s].type;
    size_t bo = ng_stream_width(p, o) * ng_types[to].bytes,
           bs = ng_stream_width(p, s) * ng_types[ts].bytes;
    ptrdiff_t so = stride_of(a, ro) ? stride_of(a, ro) : (ptrdiff_t)bo;
    ptrdiff_t ss = stride_of(a, rs) ? stride_of(a, rs) : (ptrdiff_t)bs;
    return ng_roles[ro].rows == ng_roles[rs].rows && ng_roles[ro].width == ng_roles[rs].width &&
           !p->stream[s].out && pointer_of(a, ro) == pointer_of(a, rs) && so == ss &&
           ng_types[to].bytes == ng_types[ts].bytes;
}

/* What the rules say, byte by byte. */
static bool allowed(const ng_program *p, const normgen_args *a, const char *origin) {
    memset(touched, 0, sizeof touched);
    for (int s = 0; s < p->streams; s++) mark(p, a, origin, s);
    for (int o = 0; o < p->streams; o++)
        for (int s = 0; s < p->streams && p->stream[o].out; s++) {
            if (s == o || in_place(p, a, o, s)) continue;
            for (size_t b = 0; b < sizeof touched / sizeof touched[0]; b++)
                if ((touched[b] >> o & 1u) && (touched[b] >> s & 1u)) return false;
        }
    return true;
}

static uint32_t below(uint64_t *state, uint32_t n) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static void case_text(const ng_program *p, const normgen_args *a, const char *origin, char *text,
                      size_t size) {
    size_t at = (size_t)snprintf(text, size, "hidden=%d rows=%zu", (int)p->hidden, a->rows);
    for (int s = 0; s < p->streams && at < size; s++) {
        int role = p->stream[s].role;
        at += (size_t)snprintf(text + at, size - at, " %s=%s@%td+%td", ng_roles[role].name,
                               ng_types[p->stream[s].type].name,
                               (const char *)pointer_of(a, role) - origin, stride_of(a, role));
    }
}

START_TEST(overlap_is_what_a_map_of_all_bytes_says) {
    static const char *const specs[] = {
        "rms hidden=%d eps=0 weight=none",
        "rms hidden=%d eps=0 x=bf16",
        "rms hidden=%d eps=0 x=bf16 y=f32 weight=none",
        "rms hidden=%d eps=0 residual=f32 sum=f32 weight=none",
        "layer hidden=%d eps=0 x=f16 y=bf16 weight=none mean=yes rstd=yes",
        "rms hidden=%d eps=0 x=f64 y=f32 residual=f16 sum=f16 weight=none rstd=yes"};
    static char origin[4096];
    uint64_t state = 11;
    size_t right = 0, wrong = 0;
    for (int i = 0; i < 150000; i++) {
        char text[512];
        snprintf(text, sizeof text, specs[below(&state, 6)], 1 + (int)below(&state, 4));
        ng_program p = program_of(text);
        normgen_args a = NORMGEN_ARGS;
        a.rows = 1 + below(&state, 6);
        ptrdiff_t common = 8 * (2 + (ptrdiff_t)below(&state, 12)); /* often one stride for all */
        bool interleaved = below(&state, 3) != 0;
        for (int s = 0; s < p.streams; s++) {
            int role = p.stream[s].role;
            size_t e = ng_types[p.stream[s].type].bytes, row = e * ng_stream_width(&p, s);
            size_t space = interleaved ? 2 * (size_t)common : 400;
            set_pointer(&a, role, origin + below(&state, (uint32_t)(space / e)) * e);
            if (s > 0 && below(&state, 3) == 0)
                set_pointer(&a, role, pointer_of(&a, p.stream[below(&state, (uint32_t)s)].role));
            if ((uintptr_t)pointer_of(&a, role) % e) set_pointer(&a, role, origin);
            if (!ng_roles[role].stride) continue;
            ptrdiff_t own = (ptrdiff_t)(row + e * below(&state, 8));
            ptrdiff_t stride = interleaved && (size_t)common >= row ? common : own;
            if (stride % (ptrdiff_t)e) stride = (ptrdiff_t)row;
            set_stride(&a, role, below(&state, 4) ? stride : 0);
        }
        normgen_bound_args bound;
        bool ok = ng_bind(&p, &a, &bound) == NORMGEN_OK, expected = allowed(&p, &a, origin);
        case_text(&p, &a, origin, text, sizeof text);
        REQUIRE(ok == expected, "%s: %s, but the bytes say otherwise (%s)", text,
                ok ? "accepted" : "refused", ok ? "" : normgen_error());
        *(ok ? &right : &wrong) += 1;
    }
    REQUIRE(right > 15000 && wrong > 15000, "%zu accepted, %zu refused: no fair mixture", right,
            wrong);
}
END_TEST

/* ---- the floating-point environment ---- */

static bool rounds_up(void) {
    volatile float one = 1, tiny = 0x1p-40f;
    return one + tiny > 1;
}

START_TEST(the_default_rounding_is_set_and_the_callers_put_back) {
    ck_assert_int_eq(fesetround(FE_UPWARD), 0);
    ck_assert(rounds_up());
    uint64_t saved = ng_fp_enter();
    ck_assert(!rounds_up());
    ng_fp_leave(saved);
    ck_assert(rounds_up());
    fesetround(FE_TONEAREST);
    saved = ng_fp_enter();
    ck_assert(!rounds_up());
    ng_fp_leave(saved);
    ck_assert(!rounds_up());
}
END_TEST

int main(void) {
    Suite *suite = suite_create("call");
    TCase *tc = tcase_create("call");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, rows_are_found_at_their_strides);
    tcase_add_test(tc, no_rows_need_no_pointers);
    tcase_add_test(tc, members_that_the_spec_has_not_are_ignored);
    tcase_add_test(tc, older_callers_have_zeros_where_their_struct_ends);
    tcase_add_test(tc, null_arguments_are_refused);
    tcase_add_test(tc, every_array_of_the_spec_is_needed);
    tcase_add_test(tc, pointers_need_the_alignment_of_an_element_and_no_more);
    tcase_add_test(tc, strides_are_contiguous_or_at_least_a_row);
    tcase_add_test(tc, rows_that_leave_the_address_space_are_refused);
    tcase_add_test(tc, large_calls_that_are_right_are_accepted);
    tcase_add_test(tc, any_output_may_take_the_place_of_one_input);
    tcase_add_test(tc, other_overlap_is_refused_with_both_names);
    tcase_add_test(tc, columns_of_one_buffer_are_apart);
    tcase_add_test(tc, the_order_of_streams_does_not_matter);
    tcase_add_test(tc, overlap_is_what_a_map_of_all_bytes_says);
    tcase_add_test(tc, the_default_rounding_is_set_and_the_callers_put_back);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
