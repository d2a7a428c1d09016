/* SPDX-License-Identifier: Apache-2.0 */
/* The tuner's exact check: right subjects pass, every planted fault is caught and told. Subjects
 * are the interpreter with something done to it. */
#include "verify.h"

#include "spec.h"
#include "types.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum fault {
    NONE,
    OTHER_NAN,       /* another payload: allowed */
    WRITES_BEHIND,   /* an element after each row */
    WRITES_BEFORE,   /* an element before the first row */
    WRITES_NEXT_ROW, /* a row that it was not asked for */
    ALL_ROWS,        /* ignores the range */
    CHANGES_INPUT,   /* an element of an input that is no output */
    STORES_EARLY,    /* an output before the inputs are read: wrong in place only */
    ONE_LEVEL,       /* knows the inner stride only */
    WANTS_ALIGNED,   /* wrong unless all outputs are aligned to 64 bytes */
    LAST_BIT,        /* one bit of one element of one row */
    SKIPS_LAST,      /* leaves the last element as it was */
    READS_BEHIND,    /* an element behind the last row */
    READS_BEFORE     /* an element before the first */
} fault;

typedef struct faulty {
    ng_program program; /* what it computes: may differ from what is right */
    fault fault;
    size_t rows;
} faulty;

static int find_stream(const ng_program *p, ng_role role) {
    for (int s = 0; s < p->streams; s++)
        if (p->stream[s].role == role) return s;
    return -1;
}

static size_t bytes_of(const ng_program *p, int s) {
    return ng_stream_width(p, s) * ng_types[p->stream[s].type].bytes;
}

static volatile unsigned char sink;

static void before(const faulty *f, normgen_bound_args *a, size_t *first, size_t *last) {
    int y = find_stream(&f->program, NG_ROLE_y), x = find_stream(&f->program, NG_ROLE_x);
    if (f->fault == ALL_ROWS) *first = 0, *last = f->rows;
    if (f->fault == ONE_LEVEL) a->rows_per_outer = SIZE_MAX >> 1;
    if (f->fault == STORES_EARLY)
        for (size_t r = *first; r < *last; r++) *ng_row_address(a, y, r) = 0x11;
    if (f->fault == READS_BEHIND && *last == f->rows)
        sink = (unsigned char)ng_row_address(a, x, *last - 1)[bytes_of(&f->program, x)];
    if (f->fault == READS_BEFORE && *first == 0)
        sink = (unsigned char)ng_row_address(a, x, 0)[-(ptrdiff_t)sizeof(double)];
}

static void after(const faulty *f, const normgen_bound_args *a, size_t first, size_t last) {
    const ng_program *p = &f->program;
    int y = find_stream(p, NG_ROLE_y), w = find_stream(p, NG_ROLE_weight);
    size_t n = bytes_of(p, y);
    for (size_t r = first; r < last; r++) {
        unsigned char *row = (unsigned char *)ng_row_address(a, y, r);
        if (f->fault == WRITES_BEHIND && r + 1 < f->rows) row[n] = 0;
        if (f->fault == LAST_BIT && r == 18) row[8] ^= 1;
        if (f->fault == SKIPS_LAST) memset(row + n - 2, 0xff, 2);
        if (f->fault == WANTS_ALIGNED && (uintptr_t)row % 64) row[0] ^= 1;
        if (f->fault == OTHER_NAN)
            for (size_t i = 0; i < ng_stream_width(p, y); i++) {
                uint32_t nan = 0x7f812345;
                if (ng_type_read(p->stream[y].type, row, i) !=
                    ng_type_read(p->stream[y].type, row, i))
                    memcpy(row + 4 * i, &nan, sizeof nan);
            }
    }
    if (f->fault == WRITES_BEFORE && first == 0) ng_row_address(a, y, 0)[-1] = 0;
    if (f->fault == WRITES_NEXT_ROW && last < f->rows) *ng_row_address(a, y, last) = 1;
    if (f->fault == CHANGES_INPUT && last > first) *ng_row_address(a, w, 0) ^= 1;
}

static void run(void *ctx, const normgen_bound_args *args, size_t first, size_t last) {
    const faulty *f = ctx;
    normgen_bound_args a = *args;
    before(f, &a, &first, &last);
    ng_interp_baseline(&f->program, &a, first, last);
    after(f, &a, first, last);
}

static ng_program program_of(const char *text) {
    normgen_spec spec;
    ng_program program;
    ck_assert_msg(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s", normgen_error());
    ng_program_build(&program, &spec);
    return program;
}

static char difference[NG_DIFFERENCE_TEXT];

/* Whether the subject, made of `does`, passes as a kernel of `right`. */
static bool passes(const char *right, const char *does, fault what, const size_t *alignment,
                   int64_t *compared) {
    ng_program p = program_of(right);
    faulty f = {program_of(does), what, 64};
    ng_case *c;
    ck_assert(ng_case_new(&p, 11, 0, ng_interp_baseline, &c) == NORMGEN_OK);
    ng_case_subject subject = {run, &f, "subject", alignment, false};
    *compared = 0;
    difference[0] = 0;
    bool ok = ng_case_check(c, &subject, compared, difference);
    ck_assert(ok == (difference[0] == 0));
    ck_assert_str_eq(ng_case_now(), "");
    ng_case_free(c);
    return ok;
}

#define RMS "rms hidden=77 eps=1e-05"
#define FUSED                                                                                      \
    "layer hidden=130 eps=1e-05 x=bf16 weight=f32 bias=f16 residual=bf16 sum=bf16 mean=yes "       \
    "rstd=yes"

START_TEST(right_subjects_pass) {
    static const char *const specs[] = {
        RMS,
        FUSED,
        "rms hidden=1 eps=1",
        "layer hidden=2048 eps=0 x=f64 residual=f32 sum=f32",
        "rms hidden=300 eps=1e-06 x=f16 rounding=llama range=scaled",
        "layer hidden=96 eps=1e-05 x=bf16 weight=none modulate=bf16", /* rows that several share */
        "rms hidden=64 eps=1e-06 x=bf16 rope=half",
        "rms hidden=70000 eps=1e-05 x=f32"};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        int64_t compared;
        ck_assert_msg(passes(specs[i], specs[i], NONE, NULL, &compared), "%s", difference);
        ck_assert_int_ge(compared, 15);
    }
}
END_TEST

START_TEST(payload_of_a_nan_does_not_matter) {
    int64_t compared;
    ck_assert_msg(passes(RMS, RMS, OTHER_NAN, NULL, &compared), "%s", difference);
}
END_TEST

START_TEST(every_alias_is_run) {
    int64_t alone, pair;
    ck_assert(passes(RMS, RMS, NONE, NULL, &alone));
    ck_assert(passes(FUSED, FUSED, NONE, NULL, &pair));
    ck_assert_int_eq(pair - alone, 3 * (6 - 1)); /* y and sum on x and residual: 6 ways, else 1 */
}
END_TEST

/* What is planted, and what the message has to name. */
static const struct {
    fault fault;
    const char *told;
} faults[] = {{WRITES_BEHIND, "changed"},
              {WRITES_BEFORE, "gap before"},
              {WRITES_NEXT_ROW, "outside the run"},
              {ALL_ROWS, "outside the run"},
              {CHANGES_INPUT, "weight row 0"},
              {STORES_EARLY, "y=x"},
              {ONE_LEVEL, "layout=nested"},
              {WANTS_ALIGNED, "base at"},
              {LAST_BIT, "y row 18"},
              {SKIPS_LAST, "element 76"}};

START_TEST(fault_is_caught_and_told) {
    int64_t compared;
    ck_assert(!passes(RMS, RMS, faults[_i].fault, NULL, &compared));
    ck_assert_msg(strstr(difference, faults[_i].told) != NULL, "not told '%s': %s", faults[_i].told,
                  difference);
    ck_assert_ptr_nonnull(strstr(difference, "seed=11"));
    ck_assert_ptr_nonnull(strstr(difference, "subject: "));
}
END_TEST

/* Another computation: right spec, what is computed instead. */
static const char *const mistakes[][2] = {
    {"rms hidden=4096 eps=1e-05", "rms hidden=4096 eps=1e-05 lanes=32"}, /* half the fold */
    {"rms hidden=4096 eps=1e-05 x=bf16 rstd=yes",
     "rms hidden=4096 eps=1e-05 x=bf16 rstd=yes lanes=32"},
    {"layer hidden=768 eps=1e-12 bias=f32", "layer hidden=768 eps=1e-12 bias=f32 variance=shifted"},
    {"rms hidden=384 eps=1e-05 x=bf16", "rms hidden=384 eps=1e-05 x=bf16 rounding=llama"},
    {"rms hidden=384 eps=1e-05 residual=f32 sum=bf16",
     "rms hidden=384 eps=1e-05 residual=f32 sum=bf16 stat_of=exact"},
    {"rms hidden=64 eps=1e-05 range=scaled", "rms hidden=64 eps=1e-05"},
    {"rms hidden=1024 eps=1e-05", "rms hidden=1024 eps=1.0000001e-05"}};

START_TEST(another_computation_is_caught) {
    int64_t compared;
    ck_assert(!passes(mistakes[_i][0], mistakes[_i][1], NONE, NULL, &compared));
    ck_assert_ptr_nonnull(strstr(difference, "want "));
}
END_TEST

START_TEST(asked_for_alignment_is_given) {
    size_t alignment[NORMGEN_MAX_STREAMS];
    int64_t compared;
    for (int i = 0; i < NORMGEN_MAX_STREAMS; i++) alignment[i] = 64;
    ck_assert_msg(passes(RMS, RMS, WANTS_ALIGNED, alignment, &compared), "%s", difference);
    ck_assert_int_ge(compared, 15);
}
END_TEST

START_TEST(read_beyond_the_operands_is_fatal) {
    static const fault reads[] = {READS_BEHIND, READS_BEFORE};
    for (int i = 0; i < 2; i++) {
        int status;
        int64_t compared;
        pid_t pid = fork();
        if (pid == 0) {
            signal(SIGSEGV, SIG_DFL);
            passes(RMS, RMS, reads[i], NULL, &compared);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %x", status);
    }
}
END_TEST

/* A limit may write what it likes into its rows and nothing anywhere else. */
START_TEST(limit_is_held_to_its_rows) {
    ng_program p = program_of(RMS);
    ng_case *c;
    ck_assert(ng_case_new(&p, 3, 0, ng_interp_baseline, &c) == NORMGEN_OK);
    static const fault planted[] = {LAST_BIT, WRITES_BEHIND, WRITES_NEXT_ROW, CHANGES_INPUT};
    for (int i = 0; i < 4; i++) {
        int64_t compared = 0;
        faulty f = {p, planted[i], 64};
        ng_case_subject subject = {run, &f, "limit", NULL, true};
        ck_assert(ng_case_check(c, &subject, &compared, difference) == (planted[i] == LAST_BIT));
    }
    ng_case_free(c);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify");
    TCase *tc = tcase_create("verify");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, right_subjects_pass);
    tcase_add_test(tc, payload_of_a_nan_does_not_matter);
    tcase_add_test(tc, every_alias_is_run);
    tcase_add_loop_test(tc, fault_is_caught_and_told, 0, sizeof faults / sizeof faults[0]);
    tcase_add_loop_test(tc, another_computation_is_caught, 0, sizeof mistakes / sizeof mistakes[0]);
    tcase_add_test(tc, asked_for_alignment_is_given);
    tcase_add_test(tc, read_beyond_the_operands_is_fatal);
    tcase_add_test(tc, limit_is_held_to_its_rows);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
