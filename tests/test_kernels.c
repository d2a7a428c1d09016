/* SPDX-License-Identifier: Apache-2.0 */
/* Generated kernels equal the interpreter, byte for byte: specs of a covering design and four named
 * ones at every hidden size, a sample of each spec's schedules, every ISA level of this machine.
 *
 * A failure prints one line; CASE='that line' in the environment runs it alone. */
#include "awkward.h"
#include "cover.h"
#include "gen.h"
#include "schedule.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* One comparison: rows first to last-1, in `parts` ranges on as many threads. */
typedef struct turn {
    size_t first, last;
    unsigned parts;
} turn;

#define LINE_TEXT (CASE_TEXT + NG_SCHEDULE_TEXT + 128)
/* "ISA ; SCHEDULE ; CASE ; FIRST-LAST/PARTS" */
static void line_text(const ng_isa *isa, const ng_program *p, const ng_schedule *s,
                      const test_case *c, const turn *t, char line[LINE_TEXT]) {
    char schedule[NG_SCHEDULE_TEXT], text[CASE_TEXT];
    ng_schedule_text(p, s, schedule);
    case_text(c, text);
    snprintf(line, LINE_TEXT, "%s ; %s ; %s ; %zu-%zu/%u", isa->name, schedule, text, t->first,
             t->last, t->parts);
}

/* ---- what all workers share ---- */

enum { FAILURES = 40, KEYS = 1 << 18, NG_LEVELS = 8 };
/* In memory that the worker processes share. Processes, because LLVM aborts on a fatal error: that
 * costs one case, not the rest of the test. */
typedef struct job {
    const case_list *list;
    size_t step, schedules; /* every step-th case; schedules for each of its ISA levels */
    bool one_level;         /* of each case, by turns */
    atomic_size_t next;
    pthread_mutex_t lock; /* of what follows */
    size_t kernels, compared, failed;
    uint64_t keys[KEYS]; /* of (spec, schedule, ISA level) */
    char failure[FAILURES][LINE_TEXT + WHY_TEXT + 16];
} job;

static void note(job *j, const char *line, const char *why) {
    pthread_mutex_lock(&j->lock);
    if (j->failed < FAILURES)
        snprintf(j->failure[j->failed], sizeof j->failure[0], "%s\n    CASE='%s'", why, line);
    j->failed++;
    pthread_mutex_unlock(&j->lock);
}

static void count_kernel(job *j, const char *line, size_t compared) {
    const char *end = strstr(line, " ; rows="); /* ISA, schedule and spec */
    uint64_t key = 0xcbf29ce484222325u;         /* FNV-1a */
    for (const char *c = line; c < end; c++) key = (key ^ (unsigned char)*c) * 0x100000001b3u;
    pthread_mutex_lock(&j->lock);
    if (j->kernels < KEYS) j->keys[j->kernels++] = key;
    j->compared += compared;
    pthread_mutex_unlock(&j->lock);
}

static int compare_keys(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t distinct(job *j) {
    size_t n = 0;
    if (j->kernels) qsort(j->keys, j->kernels, sizeof *j->keys, compare_keys);
    for (size_t i = 0; i < j->kernels; i++) n += i == 0 || j->keys[i] != j->keys[i - 1];
    return n;
}

/* A crash notes the line that this process was at. */
static char at_line[LINE_TEXT];
static job *at_job;

static void crashed(int sig) {
    char why[32];
    snprintf(why, sizeof why, "signal %d", sig); /* not safe here in theory; the process is lost */
    signal(sig, SIG_DFL);
    note(at_job, at_line, why);
    raise(sig);
}

static void report_crashes(job *j) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};
    at_job = j;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) signal(signals[i], crashed);
}

/* ---- one case ---- */

/* The arrays of a case, and of the same case with rows aligned for streaming stores. */
typedef struct bench {
    test_case c;
    fixture plain, aligned;
    bool has_plain, has_aligned;
    ng_jit *jit;
} bench;

static fixture *prepare(bench *b, fixture *f, bool *has, case_place place) {
    test_case c = b->c;
    const ng_cpu *cpu;
    ng_cpu_host(&cpu);
    if (*has) return f;
    c.place = place;
    if (!fixture_init(f, &c)) return NULL;
    *has = true;
    interpreted ctx = {cpu->interp, &f->program};
    subject reference = subject_interp(&ctx);
    fixture_expect(f, &reference);
    return f;
}

static fixture *fixture_for(bench *b, const ng_program *p, const ng_schedule *s) {
    size_t alignment = 1;
    for (int i = 0; i < p->streams; i++) {
        size_t a = ng_schedule_alignment(p, s, i);
        if (a > alignment && p->stream[i].out) alignment = a;
    }
    if (alignment == 1) return prepare(b, &b->plain, &b->has_plain, b->c.place);
    return prepare(b, &b->aligned, &b->has_aligned, PLACE_aligned);
}

/* Rows {0, 1, 2, 3, 7, all}, all on 2 and 5 threads, and two ranges in the middle. */
enum { TURNS = 10 };
static void choose_turns(const test_case *c, uint64_t *state, turn turns[TURNS]) {
    static const size_t rows[] = {0, 1, 2, 3, 7};
    size_t n = c->rows;
    for (int i = 0; i < 5; i++) turns[i] = (turn){0, rows[i] < n ? rows[i] : n, 1};
    turns[5] = (turn){0, n, 1};
    turns[6] = (turn){0, n, 2};
    turns[7] = (turn){0, n, 5};
    for (int i = 8; i < TURNS; i++) {
        size_t first = awkward_below(state, n);
        turns[i] = (turn){first, first + awkward_below(state, n - first) + 1, i == 9 ? 3 : 1};
    }
}

/* Compiles and compares; returns how many comparisons were made. */
static size_t check_kernel(job *j, bench *b, const ng_isa *isa, const ng_schedule *s,
                           const turn *turns, size_t count) {
    ng_program p;
    ng_object object = {0};
    normgen_fn fn;
    char why[WHY_TEXT];
    size_t done = 0;
    ng_program_build(&p, &b->c.spec);
    line_text(isa, &p, s, &b->c, &turns[0], at_line);
    fixture *f = fixture_for(b, &p, s);
    if (!f || ng_compile(&p, s, isa, &object) != NORMGEN_OK ||
        ng_jit_load(b->jit, &object, &fn) != NORMGEN_OK) {
        note(j, at_line, f ? normgen_error() : "no memory for the arrays");
        ng_object_fini(&object);
        return 0;
    }
    subject kernel = subject_kernel(&fn);
    for (bool same = true; done < count && same; done++) {
        line_text(isa, &p, s, &f->c, &turns[done], at_line);
        same =
            fixture_check(f, &kernel, turns[done].first, turns[done].last, turns[done].parts, why);
        if (!same) note(j, at_line, why);
    }
    ng_object_fini(&object);
    return done;
}

static bool bench_init(bench *b, const test_case *c) {
    *b = (bench){.c = *c};
    return ng_jit_new(&b->jit) == NORMGEN_OK;
}

static void bench_fini(bench *b) {
    if (b->has_plain) fixture_fini(&b->plain);
    if (b->has_aligned) fixture_fini(&b->aligned);
    if (b->jit) ng_jit_free(b->jit);
}

/* A sample of the schedules of one ISA level, each drawn once. */
static void check_level(job *j, bench *b, const ng_isa *isa, uint64_t *state) {
    ng_program p;
    ng_schedule *space = NULL;
    size_t n = 0;
    turn turns[TURNS];
    ng_program_build(&p, &b->c.spec);
    if (ng_schedule_space(&p, isa, &space, &n) != NORMGEN_OK) {
        note(j, isa->name, normgen_error());
        return;
    }
    for (size_t i = 0; i < j->schedules && i < n; i++) {
        size_t pick = i + awkward_below(state, n - i);
        ng_schedule s = space[pick];
        space[pick] = space[i];
        choose_turns(&b->c, state, turns);
        size_t compared = check_kernel(j, b, isa, &s, turns, TURNS);
        count_kernel(j, at_line, compared);
    }
    free(space);
}

/* Levels that run here, and the one that spells out what it lacks. */
static size_t levels_here(const ng_isa *levels[NG_LEVELS]) {
    const ng_cpu *cpu;
    size_t n = 0;
    ng_cpu_host(&cpu);
    for (size_t i = 0; i < ng_isa_count && n + 1 < NG_LEVELS; i++)
        if (ng_isas[i].max_vec && ng_cpu_runs(cpu, &ng_isas[i])) levels[n++] = &ng_isas[i];
    if (ng_cpu_runs(cpu, &ng_isa_spelled_out)) levels[n++] = &ng_isa_spelled_out;
    return n;
}

/* On all levels, or on one of them, by turns. */
static void check_case(job *j, const test_case *c) {
    bench b;
    const ng_isa *levels[NG_LEVELS];
    size_t n = levels_here(levels);
    uint64_t state = c->seed ^ (uint64_t)c->spec.hidden;
    if (!bench_init(&b, c)) note(j, "no JIT", normgen_error());
    for (size_t i = 0; b.jit && i < n; i++)
        if (!j->one_level || i == c->seed % n) check_level(j, &b, levels[i], &state);
    bench_fini(&b);
}

/* ---- all cases ---- */

static job *job_new(void) {
    job *j = mmap(NULL, sizeof *j, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t shared;
    ck_assert_ptr_ne(j, MAP_FAILED);
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&j->lock, &shared);
    return j;
}

/* Takes cases until none is left; a case may take two minutes. */
static pid_t start_worker(job *j) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    report_crashes(j);
    for (size_t i; (i = atomic_fetch_add(&j->next, j->step)) < j->list->count;) {
        alarm(120);
        check_case(j, &j->list->items[i]);
    }
    _exit(0);
}

/* As many workers as cores; one that crashed is replaced. */
static void run_job(job *j) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int running = 0, status;
    for (; running < (cores < 1 ? 1 : cores > 8 ? 8 : cores); running++)
        ck_assert_int_gt(start_worker(j), 0);
    while (running > 0 && wait(&status) > 0)
        if (WIFEXITED(status) || start_worker(j) <= 0) running--;
    printf("%zu comparisons over %zu kernels, %zu distinct: %zu failed\n", j->compared, j->kernels,
           distinct(j), j->failed);
    for (size_t i = 0; i < j->failed && i < FAILURES; i++) printf("%s\n", j->failure[i]);
    fflush(stdout);
    ck_assert_msg(j->failed == 0, "%zu failed", j->failed);
}

static void add_named(case_list *list, int64_t most) {
    for (size_t which = 0; cover_named[which]; which++)
        for (size_t h = 0; cover_hidden[h] && cover_hidden[h] <= most; h++) {
            test_case c = cover_named_case(which, cover_hidden[h], 64, 7000 + 100 * which + h);
            ck_assert(case_list_add(list, &c));
        }
}

/* The kernel of a line, all turns or the one that the line names. */
static void run_line(const char *line) {
    const char *schedule, *text, *rows;
    char level[64] = "", one[NG_SCHEDULE_TEXT] = "";
    test_case c;
    schedule = strchr(line, ';');
    text = schedule ? strchr(schedule + 1, ';') : NULL;
    ck_assert_msg(text && case_parse(text + 2, &c), "%s is not a line of this test", line);
    snprintf(level, sizeof level, "%.*s", (int)strcspn(line, " ;"), line);
    snprintf(one, sizeof one, "%.*s", (int)(text - schedule - 1), schedule + 1);
    const ng_isa *isa = ng_isa_find(level);
    ck_assert_msg(isa != NULL, "no ISA level is called %s", level);
    ng_program p;
    ng_schedule s;
    ng_program_build(&p, &c.spec);
    ck_assert_msg(ng_schedule_parse(&p, one, &s) == NORMGEN_OK, "%s", normgen_error());
    turn turns[TURNS];
    choose_turns(&c, &(uint64_t){1}, turns);
    rows = strrchr(line, ';');
    bool named =
        sscanf(rows, "; %zu-%zu/%u", &turns[0].first, &turns[0].last, &turns[0].parts) == 3;
    bench b;
    ck_assert(bench_init(&b, &c));
    job *j = job_new();
    report_crashes(j);
    size_t done = check_kernel(j, &b, isa, &s, turns, named ? 1 : TURNS);
    printf("%zu comparisons\n", done);
    bench_fini(&b);
    ck_assert_msg(j->failed == 0, "%s", j->failure[0]);
}

/* CASE=… in the environment. */
static bool only_line(void) {
    const char *line = getenv("CASE");
    if (line) run_line(line);
    return line != NULL;
}

/* How much: a few kernels of every 16th case or so; two schedules of 3,000 specs on one level each;
 * five of 6,000 on every level. */
static const struct {
    const char *option;
    int64_t hidden;
    size_t specs, sample, schedules;
    bool one_level;
    size_t compared, distinct;
} amounts[] = {
    {"", 4096, 0, 75, 1, false, 1000, 200},
    {"--full", 65537, 3000, SIZE_MAX, 2, true, 40000, 4000},
    {"--soak", 65537, 6000, SIZE_MAX, 5, false, 500000, 50000},
};
enum { AMOUNTS = sizeof amounts / sizeof amounts[0] };

START_TEST(kernels_equal_the_interpreter) {
    case_list list = {0};
    if (only_line()) return;
    ck_assert(cover_pairs(21, 64, amounts[_i].hidden, &list, NULL));
    ck_assert(cover_random(22, 64, amounts[_i].hidden, amounts[_i].specs, &list));
    add_named(&list, amounts[_i].hidden);
    job *j = job_new();
    j->list = &list;
    j->step = list.count > amounts[_i].sample ? list.count / amounts[_i].sample : 1;
    j->schedules = amounts[_i].schedules;
    j->one_level = amounts[_i].one_level;
    run_job(j);
    ck_assert_uint_ge(j->compared, amounts[_i].compared);
    ck_assert_uint_ge(distinct(j), amounts[_i].distinct);
    case_list_fini(&list);
}
END_TEST

/* Strips need many rows and short ones, which random cases seldom have together. */
static const char *const strips[] = {
    "x86-64-v4 ; vec=512 block=1 keep=recompute store=cached prefetch=none overlap=two "
    "layout=evenodd visit=strips ; rms hidden=128 eps=1e-05 x=bf16 rstd=yes ; rows=64",
    "x86-64-v4+bf16 ; vec=512 block=2 keep=recompute store=stream prefetch=none overlap=two "
    "layout=evenodd visit=strips ; rms hidden=128 eps=1e-05 x=bf16 heads=32 ; rows=64",
    "x86-64-v4+bf16 ; vec=512 block=1 keep=recompute store=cached prefetch=none overlap=two "
    "visit=strips ; rms hidden=128 eps=1e-05 x=bf16 rope=half ; rows=64",
    "x86-64-v4 ; vec=512 block=2 keep=recompute store=cached prefetch=none overlap=two "
    "visit=strips ; rms hidden=72 eps=1e-05 x=f16 bias=f32 offset=1 ; rows=64",
    "x86-64-v4 ; vec=512 block=1 keep=recompute store=cached prefetch=none overlap=two "
    "visit=strips ; layer hidden=40 eps=1e-05 x=f32 bias=f32 variance=shifted lanes=16 mean=yes "
    "rstd=yes ; "
    "rows=64",
};

static void run_chosen(const char *chosen, const char *specials, int seed) {
    char line[400];
    snprintf(line, sizeof line, "%s layout=mixed place=odd_end alias=apart specials=%s seed=%d",
             chosen, specials, seed);
    if (!getenv("CASE")) run_line(line);
}

START_TEST(strips_equal_the_interpreter) { run_chosen(strips[_i], "no", 2 + 2 * _i); }
END_TEST

/* Passes that divide: one with a remainder behind its loop, one with segments and kept quotients,
 * two side by side, tiles, two slices a step. */
static const char *const ahead[] = {
    "x86-64-v4 ; vec=512 block=1 keep=recompute store=cached prefetch=none overlap=no "
    "slice=ahead ; dyt hidden=1031 eps=0 x=bf16 bias=bf16 ; rows=5",
    "x86-64-v4+bf16 ; vec=512 block=1 keep=scratch store=cached prefetch=none overlap=no "
    "layout=evenodd slice=ahead ; rms hidden=3072 eps=1e-05 x=bf16 gate=bf16 gate_at=before ; "
    "rows=7",
    "x86-64-v4+bf16 ; vec=512 block=1 keep=recompute store=stream prefetch=l2 overlap=yes "
    "slice=ahead ; rms hidden=3072 eps=1e-05 x=bf16 gate=bf16 ; rows=9",
    "x86-64-v4 ; vec=512 block=2 keep=recompute store=cached prefetch=none overlap=no visit=tiles "
    "slice=ahead ; rms hidden=3072 eps=1e-05 gate=f32 ; rows=9",
    "x86-64-v3 ; vec=256 block=1 keep=recompute store=cached prefetch=none overlap=no slice=ahead "
    "; "
    "rms hidden=1152 eps=1e-05 gate=f32 ; rows=9",
};

START_TEST(divisors_ahead_equal_the_interpreter) { run_chosen(ahead[_i], "no", 2 + 2 * _i); }
END_TEST

/* Maxima of groups overlook NaN at first: beside a scratch that has the next row's values by the
 * time they are computed again, in tiles, with several rows, in the last slice, and where the
 * integers do not show NaN. */
static const char *const hasty[] = {
    "x86-64-v4 ; vec=512 block=1 keep=scratch store=cached prefetch=none overlap=yes ; "
    "rms hidden=1024 eps=1e-05 x=bf16 y=i8 weight=bf16 quant=group128 ; rows=64",
    "x86-64-v4+bf16 ; vec=512 block=1 keep=recompute store=cached prefetch=none overlap=two ; "
    "rms hidden=512 eps=1e-05 x=f32 y=q8_0 weight=f32 ; rows=64",
    "x86-64-v4+bf16 ; vec=512 block=1 keep=scratch store=cached prefetch=none overlap=no ; "
    "rms hidden=1024 eps=1e-05 x=f32 y=q8_0 weight=f32 ; rows=64",
    "x86-64-v4+bf16 ; vec=512 block=2 keep=scratch store=cached prefetch=none overlap=no "
    "visit=tiles ; rms hidden=4096 eps=1e-05 x=bf16 y=i8 quant=group64 ; rows=64",
    "x86-64-v4 ; vec=512 block=1 keep=recompute store=cached prefetch=none overlap=no ; "
    "rms hidden=512 eps=1e-05 x=f32 y=q8_1 weight=f32 ; rows=64",
};

START_TEST(maxima_in_haste_equal_the_interpreter) { run_chosen(hasty[_i], "yes", 2 + 2 * _i); }
END_TEST

int main(int argc, char **argv) {
    int amount = 0;
    for (int i = 1; i < AMOUNTS && argc > 1; i++)
        if (strcmp(argv[1], amounts[i].option) == 0) amount = i;
    Suite *s = suite_create("kernels");
    TCase *t = tcase_create("kernels");
    tcase_set_timeout(t, amount == 2 ? 36000 : 1500);
    tcase_add_loop_test(t, kernels_equal_the_interpreter, amount, amount + 1);
    tcase_add_loop_test(t, strips_equal_the_interpreter, 0, (int)(sizeof strips / sizeof *strips));
    tcase_add_loop_test(t, divisors_ahead_equal_the_interpreter, 0,
                        (int)(sizeof ahead / sizeof *ahead));
    tcase_add_loop_test(t, maxima_in_haste_equal_the_interpreter, 0,
                        (int)(sizeof hasty / sizeof *hasty));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
