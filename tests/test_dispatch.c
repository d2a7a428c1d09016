/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: options and environment, providers, what a store may and may not do, fallback rungs,
 * threads, and systems that forbid executable memory. The generator is a fake; nothing here needs
 * LLVM. */
#include "dispatch.h"
#include "fakegen.h"
#include "hostcall.h"
#include "nocode.h"
#include "shipped.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPEC "rms hidden=1024 eps=1e-05 x=f32 y=f32 weight=f32"
#define ODD_SCHEDULE "vec=128 block=2 keep=recompute store=cached prefetch=none overlap=no"
#define ODD_STREAM "vec=128 block=2 keep=recompute store=stream prefetch=none overlap=no"

/* ---- fixture ---- */

static char folder[64], path[96];
static char warnings[4096];
static int warned;

static void hear(void *ctx, normgen_log_level level, const char *line) {
    ck_assert_ptr_eq(ctx, warnings);
    ck_assert_ptr_null(strchr(line, '\n'));
    if (level != NORMGEN_LOG_WARNING) return;
    warned++;
    snprintf(warnings, sizeof warnings, "%s", line);
}

static void setup(void) {
    static const char *const variables[] = {"NORMGEN_MODE",        "NORMGEN_STRICT", "NORMGEN_DB",
                                            "NORMGEN_GEN_LIBRARY", "XDG_DATA_HOME",  "HOME"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) unsetenv(variables[i]);
    snprintf(folder, sizeof folder, "%s/normgen-dispatch-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tuned.db", folder);
    warned = 0;
    ng_shipped_text = "normgen-store 1\nend\n";
    fake_install();
}

static void teardown(void) {
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(path); /* one test makes a folder of it */
    rmdir(folder);
    ck_assert(!fake_misaligned());
}

static normgen_options options(void) {
    normgen_options o = normgen_options_default();
    o.store = path;
    o.log = hear;
    o.log_ctx = warnings;
    return o;
}

static normgen *open_with(int mode, int strict) {
    normgen_options o = options();
    normgen *ng = NULL;
    o.mode = mode;
    o.strict = strict;
    ck_assert_msg(normgen_open(&ng, &o) == NORMGEN_OK, "%s", normgen_error());
    return ng;
}

static normgen_status try_get(normgen *ng, const char *text, normgen_kernel **k) {
    normgen_spec spec;
    ck_assert_msg(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s", normgen_error());
    return normgen_get(ng, &spec, k);
}

static normgen_kernel *get(normgen *ng, const char *text) {
    normgen_kernel *k = NULL;
    ck_assert_msg(try_get(ng, text, &k) == NORMGEN_OK, "%s", normgen_error());
    return k;
}

static normgen_counters counters(const normgen *ng) {
    normgen_counters c = NORMGEN_COUNTERS;
    normgen_get_counters(ng, &c);
    return c;
}

/* Runs a few calls of the kernel at several sizes and alignments. */
static void check_bits(normgen_kernel *k, const char *text) {
    static const size_t rows[] = {1, 3, 70};
    for (size_t i = 0; i < 6; i++) {
        host_call c;
        host_call_init(&c, text, rows[i / 2], i % 2 * 4);
        ck_assert_int_eq(normgen_run(k, &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, c.rows));
        host_call_blank(&c);
        ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, c.rows));
        host_call_fini(&c);
    }
}

static const ng_cpu *host_cpu(void) {
    const ng_cpu *cpu = NULL;
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    return cpu;
}

/* One winner as the tuner stores it; machine NULL: this one. */
typedef struct entry {
    const char *spec, *machine, *schedule;
    ng_regime regime;
    int threads;
    ng_slot slot;
    const char *toolchain;
    int effort;
    int64_t cutoff;
} entry;

static void put(const entry *e) {
    char machine[NG_MACHINE_TEXT];
    ng_store *store = NULL;
    ng_session session = {.effort = e->effort ? e->effort : NG_NORMAL, .noise = (double)NAN};
    session.cutoff = e->cutoff;
    ng_winner winner = {.slot = e->slot, .ns = 100, .pairs = 5};
    ng_cpu_machine_text(host_cpu(), machine);
    snprintf(winner.schedule, sizeof winner.schedule, "%s", e->schedule);
    ng_unit unit = {.spec = e->spec ? e->spec : SPEC,
                    .machine = e->machine ? e->machine : machine,
                    .toolchain = e->toolchain ? e->toolchain : FAKE_TOOLCHAIN,
                    .regime = e->regime,
                    .threads = e->threads ? e->threads : 1,
                    .rows = 10};
    ck_assert_msg(!ng_store_open(path, NG_STORE_WRITE, &store), "%s", normgen_error());
    ck_assert_msg(!ng_store_begin(store, &session), "%s", normgen_error());
    ck_assert_msg(!ng_store_update(store, &session), "%s", normgen_error());
    ck_assert_msg(!ng_store_commit(store, session.uuid, &unit, NULL, 0, &winner, 1), "%s",
                  normgen_error());
    ng_store_close(store);
}

static void put_everywhere(const char *schedule) {
    for (int r = 0; r < NG_REGIME_COUNT; r++)
        put(&(entry){.schedule = schedule, .regime = (ng_regime)r});
}

static void put_bytes(const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
    chmod(path, 0600);
}

/* ---- options and environment ---- */

START_TEST(null_and_odd_sized_arguments_are_errors) {
    normgen *ng = NULL;
    normgen_kernel *k = NULL;
    normgen_spec spec = normgen_rms(64);
    normgen_options o = options();
    ck_assert_int_eq(normgen_open(NULL, NULL), NORMGEN_E_ARGUMENT);
    static const size_t bad[] = {0, 4, sizeof o + 8, SIZE_MAX};
    for (size_t i = 0; i < 4; i++) {
        o.struct_size = bad[i];
        ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
        ck_assert_ptr_null(ng);
    }
    ck_assert_int_eq(normgen_open(&ng, NULL), NORMGEN_OK);
    ck_assert_int_eq(normgen_get(NULL, &spec, &k), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_get(ng, NULL, &k), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_get(ng, &spec, NULL), NORMGEN_E_ARGUMENT);
    spec.hidden = 0;
    ck_assert_int_eq(normgen_get(ng, &spec, &k), NORMGEN_E_SPEC);
    spec.struct_size = 3;
    ck_assert_int_eq(normgen_get(ng, &spec, &k), NORMGEN_E_SPEC);
    ck_assert_ptr_null(k);
    normgen_get_counters(NULL, NULL);
    normgen_get_counters(ng, NULL);
    normgen_set_parallel_for(NULL, NULL, NULL, 1);
    normgen_close(ng);
    normgen_close(NULL);
}
END_TEST

START_TEST(older_callers_have_shorter_options) {
    normgen *ng = NULL;
    normgen_options o = options();
    o.struct_size = offsetof(normgen_options, mode);
    o.mode = 77; /* beyond what the caller knows */
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
    check_bits(get(ng, SPEC), SPEC);
    normgen_close(ng);
}
END_TEST

START_TEST(wrong_option_values_are_errors) {
    normgen *ng = NULL;
    normgen_options o = options();
    o.mode = 4;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
    o.mode = -1;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
    o = options();
    o.strict = 2;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
    o = options();
    char *far = calloc(1, 10000);
    memset(far, 'a', 9999);
    o.store = far;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_E_ARGUMENT);
    free(far);
    ck_assert_ptr_null(ng);
}
END_TEST

static const struct {
    const char *name, *value, *says; /* says NULL: it is fine */
} environment[] = {
    {"NORMGEN_MODE", "tuned", "lookup, compile or tune"},
    {"NORMGEN_MODE", "Compile", "lookup, compile or tune"},
    {"NORMGEN_MODE", "compile ", "lookup, compile or tune"},
    {"NORMGEN_MODE", "%s%n%s", "%s%n%s"},
    {"NORMGEN_MODE", "", NULL},
    {"NORMGEN_STRICT", "yes", "0 or 1"},
    {"NORMGEN_STRICT", "11", "0 or 1"},
    {"NORMGEN_STRICT", "", NULL},
    {"NORMGEN_STRICT", "0", NULL},
    {"NORMGEN_ISA", "x86-64-v9", "x86-64-v3"},
    {"NORMGEN_DB", "", NULL},
    {"NORMGEN_DB", "relative/nowhere.db", NULL},
    {"HOME", "/nonexistent", NULL},
    {"XDG_DATA_HOME", "relative", NULL},
};

START_TEST(environment_is_checked) {
    normgen *ng = NULL;
    normgen_options o = options();
    o.store = NULL;
    setenv(environment[_i].name, environment[_i].value, 1);
    normgen_status status = normgen_open(&ng, &o);
    if (!environment[_i].says) {
        ck_assert_msg(status == NORMGEN_OK, "%s", normgen_error());
        check_bits(get(ng, SPEC), SPEC);
        normgen_close(ng);
        return;
    }
    ck_assert_int_eq(status, NORMGEN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(normgen_error(), environment[_i].name));
#if defined(__x86_64__)
    ck_assert_msg(strstr(normgen_error(), environment[_i].says) != NULL, "%s", normgen_error());
#endif
}
END_TEST

START_TEST(very_long_environment_values_do_no_harm) {
    static char value[100000];
    normgen *ng = NULL;
    memset(value, 'x', sizeof value - 1);
    setenv("NORMGEN_MODE", value, 1);
    ck_assert_int_eq(normgen_open(&ng, NULL), NORMGEN_E_ARGUMENT);
    unsetenv("NORMGEN_MODE");
    setenv("NORMGEN_DB", value, 1);
    setenv("NORMGEN_GEN_LIBRARY", value, 1);
    ng_gen_set(NULL);
    ck_assert_int_eq(normgen_open(&ng, NULL), NORMGEN_OK);
    check_bits(get(ng, SPEC), SPEC);
    normgen_close(ng);
}
END_TEST

START_TEST(options_win_over_environment) {
    setenv("NORMGEN_MODE", "lookup", 1);
    normgen *ng = open_with(NORMGEN_MODE_DEFAULT, 0);
    get(ng, SPEC);
    ck_assert_uint_eq(counters(ng).interpreted, 1);
    normgen_close(ng);
    ng = open_with(NORMGEN_MODE_COMPILE, 0);
    get(ng, SPEC);
    ck_assert_uint_eq(counters(ng).interpreted, 0);
    normgen_close(ng);
}
END_TEST

/* ---- providers ---- */

START_TEST(lookup_never_compiles) {
    put_everywhere(ODD_SCHEDULE);
    normgen *ng = open_with(NORMGEN_MODE_LOOKUP, 0);
    normgen_kernel *k = get(ng, SPEC);
    check_bits(k, SPEC);
    ck_assert_str_eq(normgen_kernel_describe(k, 1), "interpreter");
    ck_assert(normgen_kernel_fn(k, 1) == NULL);
    ck_assert_int_eq(fake_compiled(), 0);
    ck_assert_int_eq(warned, 0);
    ck_assert_uint_eq(counters(ng).interpreted, 1);
    normgen_close(ng);
}
END_TEST

START_TEST(strictness_forbids_the_interpreter) {
    normgen_kernel *k = NULL;
    normgen *ng = open_with(NORMGEN_MODE_LOOKUP, 1);
    ck_assert_int_eq(try_get(ng, SPEC, &k), NORMGEN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "mode=lookup"));
    normgen_close(ng);
    setenv("NORMGEN_STRICT", "1", 1);
    setenv("NORMGEN_GEN_LIBRARY", "/nonexistent/lib.so", 1);
    ng_gen_set(NULL);
    ng = open_with(NORMGEN_MODE_DEFAULT, 0);
    ck_assert_int_eq(try_get(ng, SPEC, &k), NORMGEN_E_GENERATOR);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "/nonexistent/lib.so"));
    ck_assert_ptr_null(k);
    ck_assert_uint_eq(counters(ng).interpreted, 0);
    normgen_close(ng);
}
END_TEST

START_TEST(without_store_the_default_schedules_are_compiled) {
    normgen *ng = open_with(NORMGEN_MODE_DEFAULT, 0);
    normgen_kernel *k = get(ng, SPEC);
    ng_schedule schedule;
    char text[NG_SCHEDULE_TEXT], expected[NG_SCHEDULE_TEXT + 16];
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        ng_regime_default_schedule(&k->program, host_cpu(), host_cpu()->isa, (ng_regime)r,
                                   &schedule);
        ng_schedule_text(&k->program, &schedule, text);
        snprintf(expected, sizeof expected, "compiled %s", text);
        size_t rows = r == NG_DRAM ? k->max_rows[NG_LLC] + 1 : k->max_rows[r];
        if (rows > 0) ck_assert_str_eq(normgen_kernel_describe(k, rows), expected);
    }
    check_bits(k, SPEC);
    normgen_counters c = counters(ng);
    ck_assert_uint_eq(c.compiled, (unsigned)fake_compiled());
    ck_assert_uint_ge(c.compiled, 1);
    ck_assert_uint_le(c.compiled, 5); /* one for each regime, and one past streaming */
    ck_assert_uint_eq(c.interpreted + c.store_hits + c.store_ignored, 0);
    ck_assert_int_eq(warned, 0); /* a missing store is no news */
    ck_assert_int_ne(access(path, F_OK), 0);
    normgen_close(ng);
    ck_assert_int_eq(fake_jits(), 0);
}
END_TEST

START_TEST(equal_specs_share_a_handle) {
    normgen *ng = open_with(0, 0);
    normgen_kernel *k = get(ng, "layer hidden=64 eps=1e-05");
    int compiled = fake_compiled();
    ck_assert_ptr_eq(k, get(ng, "layer y=f32 weight=f32 eps=0.00001 bias=none hidden=64"));
    ck_assert_int_eq(fake_compiled(), compiled);
    ck_assert_ptr_ne(k, get(ng, "layer hidden=64 eps=1e-06"));
    ck_assert_uint_eq(counters(ng).gets, 3);
    normgen_close(ng);
}
END_TEST

START_TEST(equal_schedules_are_compiled_once) {
    put_everywhere(ODD_SCHEDULE);
    normgen *ng = open_with(0, 0);
    normgen_kernel *k = get(ng, SPEC);
    ck_assert_uint_eq(counters(ng).compiled, 1);
    ck_assert_uint_eq(counters(ng).store_hits, 1);
    ck_assert_ptr_eq(normgen_kernel_fn(k, 1), normgen_kernel_fn(k, SIZE_MAX));
    check_bits(k, SPEC);
    ck_assert_str_eq(fake_last(), ODD_SCHEDULE);
    ck_assert_str_eq(normgen_kernel_describe(k, 1), "compiled " ODD_SCHEDULE);
    normgen_close(ng);
}
END_TEST

START_TEST(a_missing_generator_is_told_to_who_asked_for_it) {
    ng_gen_set(NULL);
    setenv("NORMGEN_GEN_LIBRARY", "libm.so.6", 1); /* a library, but not this one */
    normgen *ng = open_with(NORMGEN_MODE_COMPILE, 0);
    check_bits(get(ng, SPEC), SPEC);
    check_bits(get(ng, "layer hidden=7 eps=1e-05"), "layer hidden=7 eps=1e-05");
    ck_assert_int_eq(warned, 1);
    ck_assert_ptr_nonnull(strstr(warnings, "normgen_gen_table"));
    ck_assert_uint_eq(counters(ng).interpreted, 2);
    ck_assert_ptr_null(ng_gen());
    ck_assert_ptr_nonnull(strstr(normgen_error(), "libm.so.6"));
    normgen_close(ng);
}
END_TEST

START_TEST(a_jit_that_cannot_start_leaves_the_interpreter) {
    fake_trouble_now.jit_new = NORMGEN_E_GENERATOR;
    normgen *ng = open_with(0, 0);
    check_bits(get(ng, SPEC), SPEC);
    ck_assert_int_eq(warned, 1);
    normgen_close(ng);
}
END_TEST

START_TEST(a_stored_schedule_that_does_not_compile_gives_way_to_the_default) {
    put_everywhere(ODD_SCHEDULE);
    fake_trouble_now.uncompilable = ODD_SCHEDULE;
    normgen *ng = open_with(0, 0);
    normgen_kernel *k = get(ng, SPEC);
    check_bits(k, SPEC);
    ck_assert_int_eq(warned, 1);
    ck_assert_uint_eq(counters(ng).interpreted, 0);
    ck_assert_str_ne(fake_last(), "");
    normgen_close(ng);
    ng = open_with(0, 1);
    ck_assert_int_eq(try_get(ng, SPEC, &k), NORMGEN_E_GENERATOR);
    normgen_close(ng);
}
END_TEST

/* ---- the store ---- */

START_TEST(streaming_winners_serve_aligned_calls_only) {
    put_everywhere(ODD_STREAM);
    normgen *ng = open_with(0, 0);
    normgen_kernel *k = get(ng, SPEC);
    if (!host_cpu()->isa->streams) {
        ck_assert_uint_gt(counters(ng).store_ignored, 0);
        normgen_close(ng);
        return;
    }
    host_call c;
    for (size_t shift = 0; shift <= 4; shift += 4) {
        host_call_init(&c, SPEC, 5, shift);
        ck_assert_int_eq(normgen_run(k, &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, 5));
        const char *last = fake_last();
        ck_assert_int_eq(strcmp(last, ODD_STREAM) == 0, shift == 0);
        ck_assert_int_eq(strstr(last, "store=stream") != NULL, shift == 0);
        host_call_fini(&c);
    }
    ck_assert_ptr_nonnull(strstr(normgen_kernel_describe(k, 5), "store=stream"));
    normgen_close(ng);
}
END_TEST

START_TEST(a_winner_serves_its_own_regime) {
    normgen *ng = open_with(0, 0);
    put(&(entry){.schedule = ODD_SCHEDULE, .regime = NG_L2});
    normgen_kernel *k = get(ng, SPEC);
    ck_assert_str_eq(normgen_kernel_describe(k, k->max_rows[NG_L2]), "compiled " ODD_SCHEDULE);
    ck_assert_str_ne(normgen_kernel_describe(k, k->max_rows[NG_L1]), "compiled " ODD_SCHEDULE);
    ck_assert_str_ne(normgen_kernel_describe(k, SIZE_MAX), "compiled " ODD_SCHEDULE);
    ck_assert_int_eq(k->first.alone[NG_L2].rung, NG_RUNG_MACHINE);
    ck_assert_int_eq(k->first.alone[NG_L1].rung, NG_RUNG_DEFAULT);
    ck_assert_uint_eq(counters(ng).store_hits, 1);
    normgen_close(ng);
}
END_TEST

static const char *const illegal[] = {
    "vec=512 block=3 keep=recompute store=cached prefetch=none overlap=no",
    "vec=1024 block=1 keep=recompute store=cached prefetch=none overlap=no",
    "vec=128 block=1 keep=reload store=cached prefetch=none overlap=no",
    "block=1",
    "DROP TABLE trial",
    "%s%s%s%n",
    "vec=128 block=1 keep=recompute store=cached prefetch=none overlap=no extra=1",
};

START_TEST(stored_schedules_that_are_not_legal_are_ignored) {
    put(&(entry){.schedule = illegal[_i], .regime = NG_L1});
    normgen *ng = open_with(0, 0);
    check_bits(get(ng, SPEC), SPEC);
    ck_assert_uint_ge(counters(ng).store_ignored, 1);
    ck_assert_uint_eq(counters(ng).store_hits, 0);
    ck_assert_uint_eq(counters(ng).interpreted, 0);
    ck_assert_int_eq(warned, 1);
    ck_assert_ptr_nonnull(strstr(warnings, path));
    normgen_close(ng);
    normgen_kernel *k = NULL;
    ng = open_with(0, 1);
    ck_assert_int_eq(try_get(ng, SPEC, &k), NORMGEN_E_STORE);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "strict"));
    normgen_close(ng);
}
END_TEST

START_TEST(the_slot_for_all_addresses_never_streams) {
    put(&(entry){.schedule = ODD_STREAM, .regime = NG_L1, .slot = NG_SLOT_CACHED});
    normgen *ng = open_with(0, 0);
    check_bits(get(ng, SPEC), SPEC);
    ck_assert_uint_ge(counters(ng).store_ignored, 1);
    normgen_close(ng);
}
END_TEST

static size_t read_store(char *bytes, size_t size) {
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(bytes, 1, size, f) : 0;
    if (f) fclose(f);
    return n;
}

enum broken { EMPTY_FOLDER, GARBAGE, TEXT, TRUNCATED, FOREIGN, NEWER, ZEROED, SCRIBBLED, BROKEN };

static void break_store(enum broken how) {
    static char bytes[1 << 20];
    unlink(path);
    if (how == EMPTY_FOLDER) {
        ck_assert_int_eq(mkdir(path, 0700), 0);
        return;
    }
    put_everywhere(ODD_SCHEDULE);
    size_t n = read_store(bytes, sizeof bytes);
    ck_assert_uint_gt(n, 4096);
    switch (how) {
    case GARBAGE:
        for (size_t i = 0; i < n; i++) bytes[i] = (char)(i * 2654435761u >> 24);
        break;
    case TEXT: n = (size_t)snprintf(bytes, sizeof bytes, "hidden=4096 is fast\n"); break;
    case TRUNCATED: n = n / 2 / 512 * 512; break;
    case FOREIGN: memset(bytes + 68, 1, 4); break;
    case NEWER: bytes[60] = 1; break; /* the top byte of user_version */
    case ZEROED: memset(bytes, 0, n); break;
    default: memset(bytes + 4096, 0x5a, n - 4096); break;
    }
    put_bytes(bytes, n);
}

START_TEST(a_broken_store_is_a_warning_and_a_miss) {
    break_store((enum broken)_i);
    normgen *ng = open_with(0, 0);
    check_bits(get(ng, SPEC), SPEC);
    check_bits(get(ng, "layer hidden=9 eps=0"), "layer hidden=9 eps=0");
    ck_assert_msg(warned == 1, "%d warnings, last: %s", warned, warnings);
    ck_assert_ptr_nonnull(strstr(warnings, path));
    ck_assert_uint_eq(counters(ng).interpreted, 0);
    ck_assert_uint_ge(counters(ng).store_ignored, 2);
    normgen_close(ng);
    normgen_kernel *k = NULL;
    ng = open_with(0, 1);
    ck_assert_int_eq(try_get(ng, SPEC, &k), NORMGEN_E_STORE);
    ck_assert_ptr_null(k);
    normgen_close(ng);
}
END_TEST

START_TEST(an_unreadable_store_is_a_warning) {
    put_everywhere(ODD_SCHEDULE);
    chmod(path, 0);
    chmod(folder, 0755);
    if (geteuid() == 0) ck_assert_int_eq(setresuid(65534, 65534, 0), 0); /* root reads anything */
    normgen *ng = open_with(0, 0);
    check_bits(get(ng, SPEC), SPEC);
    ck_assert_int_eq(warned, 1);
    ck_assert_uint_eq(counters(ng).store_hits, 0);
    normgen_close(ng);
    if (getuid() == 65534) ck_assert_int_eq(setresuid(0, 0, 0), 0);
}
END_TEST

START_TEST(nobody_finds_the_store_open_between_calls) {
    put_everywhere(ODD_SCHEDULE);
    normgen *ng = open_with(0, 0);
    get(ng, SPEC);
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e; d && (e = readdir(d));) {
        char target[256] = "";
        if (readlinkat(dirfd(d), e->d_name, target, sizeof target - 1) > 0)
            ck_assert_msg(!strstr(target, "tuned.db"), "%s", target);
    }
    if (d) closedir(d);
    put(&(entry){.schedule = ODD_STREAM, .regime = NG_L1}); /* so others can write */
    normgen_close(ng);
}
END_TEST

START_TEST(an_empty_path_is_no_store) {
    setenv("NORMGEN_DB", path, 1);
    put_everywhere(ODD_SCHEDULE);
    normgen_options o = options();
    normgen *ng = NULL;
    o.store = "";
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
    get(ng, SPEC);
    ck_assert_uint_eq(counters(ng).store_hits, 0);
    normgen_close(ng);
    o.store = NULL;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
    get(ng, SPEC);
    ck_assert_uint_eq(counters(ng).store_hits, 1);
    normgen_close(ng);
}
END_TEST

/* ---- rungs ---- */

/* Four that are legal wherever code is generated. */
#define A "vec=128 block=1 keep=recompute store=cached prefetch=none overlap=no"
#define B "vec=128 block=1 keep=recompute store=cached prefetch=next overlap=no"
#define C "vec=128 block=2 keep=recompute store=cached prefetch=none overlap=no"
#define D "vec=128 block=2 keep=recompute store=cached prefetch=next overlap=no"

/* A machine like this one, with another model and caches `factor` times as big. */
static const char *machine_like(char *text, int model, size_t factor, const char *isa) {
    ng_cpu cpu = *host_cpu();
    ng_isa level = *cpu.isa;
    if (isa) level.name = isa;
    cpu.isa = &level;
    cpu.model += model;
    cpu.l1d *= factor, cpu.l2 *= factor, cpu.llc *= factor;
    ng_cpu_machine_text(&cpu, text);
    return text;
}

static ng_choice chosen(int threads, ng_regime regime) {
    static ng_choices choices;
    normgen_spec spec;
    ng_program program;
    ng_store *store = NULL;
    ck_assert_int_eq(normgen_spec_parse(&spec, SPEC), NORMGEN_OK);
    ng_program_build(&program, &spec);
    ck_assert_msg(!ng_store_open(path, NG_STORE_READ, &store), "%s", normgen_error());
    ck_assert_msg(!ng_choose(store, host_cpu(), &spec, &program, FAKE_TOOLCHAIN, threads, &choices),
                  "%s", normgen_error());
    ng_store_close(store);
    return choices.at[regime][NG_SLOT_ANY];
}

/* Without a store, whatever the status. */
static ng_choice chosen_anyhow(void) {
    normgen_spec spec;
    ng_program program;
    ng_choices choices;
    ck_assert_int_eq(normgen_spec_parse(&spec, SPEC), NORMGEN_OK);
    ck_assert_int_eq(ng_spec_resolve(&spec, &spec), NORMGEN_OK);
    ng_program_build(&program, &spec);
    ck_assert_int_eq(ng_choose(NULL, host_cpu(), &spec, &program, NULL, 1, &choices),
                     NORMGEN_E_STORE);
    return choices.at[NG_L2][NG_SLOT_ANY];
}

static void expect_choice(ng_rung rung, const char *schedule) {
    ng_choice c = chosen(1, NG_L2);
    ck_assert_msg(c.rung == rung, "rung '%s'", ng_rung_names[c.rung]);
    if (schedule) ck_assert_str_eq(c.found.winner.schedule, schedule);
}

START_TEST(rungs_are_climbed_in_order) {
    char text[NG_MACHINE_TEXT];
    put(&(entry){.schedule = ODD_SCHEDULE, .regime = NG_L1});
    expect_choice(NG_RUNG_DEFAULT, NULL);
    put(&(entry){.schedule = D,
                 .regime = NG_L2,
                 .machine = machine_like(text, 1, 1, "no-such-isa"),
                 .effort = NG_THOROUGH});
    expect_choice(NG_RUNG_DEFAULT, NULL);
    put(&(entry){.spec = "rms hidden=8192 eps=1e-05 x=f32 y=f32 weight=f32",
                 .schedule = A,
                 .regime = NG_L2,
                 .machine = machine_like(text, 1, 1, NULL)});
    expect_choice(NG_RUNG_HIDDEN, A);
    put(&(entry){.spec = "rms hidden=1536 eps=1e-05 x=f32 y=f32 weight=f32",
                 .schedule = B,
                 .regime = NG_L2,
                 .machine = machine_like(text, 1, 2, NULL)});
    expect_choice(NG_RUNG_HIDDEN, B); /* nearer, though elsewhere */
    put(&(entry){.spec = "rms hidden=1025 eps=1e-05 x=f32 y=bf16 weight=f32",
                 .schedule = D,
                 .regime = NG_L2});
    expect_choice(NG_RUNG_HIDDEN, B); /* other bytes are moved */
    put(&(entry){.spec = "rms hidden=1025 eps=1e-05 x=f32 y=f32 weight=none",
                 .schedule = A,
                 .regime = NG_L2});
    expect_choice(NG_RUNG_HIDDEN, A); /* the same bytes */
    put(&(entry){.spec = "rms hidden=1025 eps=1e-06 x=f32 y=f32 weight=f32",
                 .schedule = D,
                 .regime = NG_L2});
    expect_choice(NG_RUNG_HIDDEN, D); /* and the same formula */
    put(&(entry){.schedule = C, .regime = NG_L2, .machine = machine_like(text, 1, 2, NULL)});
    expect_choice(NG_RUNG_ISA, C);
    put(&(entry){.schedule = B, .regime = NG_L2, .machine = machine_like(text, 1, 1, NULL)});
    expect_choice(NG_RUNG_CACHES, B);
    put(&(entry){.schedule = D,
                 .regime = NG_L2,
                 .machine = machine_like(text, 2, 1, NULL),
                 .effort = NG_THOROUGH});
    expect_choice(NG_RUNG_CACHES, D); /* more effort, same rung */
    put(&(entry){.schedule = A, .regime = NG_L2, .effort = NG_QUICK});
    expect_choice(NG_RUNG_MACHINE, A);
    put(&(entry){.schedule = B,
                 .regime = NG_L2,
                 .toolchain = "llvm=99.1.7 gen=1 numerics=1",
                 .effort = NG_THOROUGH});
    expect_choice(NG_RUNG_MACHINE, A); /* our toolchain first */
    ck_assert_int_eq(chosen(1, NG_DRAM).rung, NG_RUNG_DEFAULT);
}
END_TEST

#define LONG_WORD "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void ship(const char *spec, const char *machine, const char *schedule) {
    static char texts[2][2000]; /* another address is another text */
    char *text = ng_shipped_text == texts[0] ? texts[1] : texts[0];
    snprintf(text, sizeof texts[0],
             "normgen-store 1\nsession uuid=s started=2026-01-01T00:00:00.000000Z effort=2\n"
             "unit spec=\"%s\" machine=\"%s\" toolchain=\"%s\" regime=l2 session=s rows=9\n"
             "winner slot=any schedule=\"%s\" ns=1\nend\n",
             spec, machine, FAKE_TOOLCHAIN, schedule);
    ng_shipped_text = text;
}

START_TEST(shipped_winners_come_last_but_one) {
    char machine[NG_MACHINE_TEXT];
    static const char near[] = "rms hidden=2048 eps=1e-06 x=f32 y=f32 weight=f32";
    ng_cpu_machine_text(host_cpu(), machine);
    put(&(entry){.spec = "layer hidden=8 eps=1 x=f64 y=f64 weight=f64", .schedule = C});
    ship(SPEC, machine, A);
    expect_choice(NG_RUNG_SHIPPED, A);
    ck_assert_int_eq(chosen(1, NG_DRAM).rung, NG_RUNG_DEFAULT);
    ng_shipped_text = "normgen-store 1\nend\n";
    expect_choice(NG_RUNG_DEFAULT, NULL);
    ng_shipped_text = "no text of a store";
    ck_assert_int_eq(chosen_anyhow().rung, NG_RUNG_DEFAULT);
    static char hostile[] = "vec=512 block=3 keep=recompute store=cached prefetch=none overlap=no";
    ship(SPEC, machine, hostile);
    expect_choice(NG_RUNG_DEFAULT, NULL);
    ship(near, machine, B);
    expect_choice(NG_RUNG_SHIPPED, B);
    put(&(entry){.schedule = C, .regime = NG_L2});
    expect_choice(NG_RUNG_MACHINE, C);
}
END_TEST

static bool count_found(void *ctx, const ng_found *found) {
    (void)found;
    ++*(int *)ctx;
    return true;
}

START_TEST(packed_winners_are_the_file) {
    char name[4096];
    const char *source = getenv("NORMGEN_SOURCE");
    snprintf(name, sizeof name, "%s/tuned/winners.txt", source ? source : ".");
    FILE *file = fopen(name, "r");
    ck_assert_msg(file != NULL, "%s", name);
    char *text = ng_shipped_unpack();
    ck_assert_ptr_nonnull(text);
    for (const char *at = text; *at; at++) ck_assert_int_eq(fgetc(file), *at);
    ck_assert_int_eq(fgetc(file), EOF);
    fclose(file);
    free(text);
    int winners = 0;
    ng_query all = {.regime = -1, .slot = -1};
    ng_shipped_text = NULL;
    ck_assert(ng_shipped_winners(&all, count_found, &winners) == NORMGEN_OK);
    ck_assert_int_gt(winners, 0);
}
END_TEST

START_TEST(hostile_machine_texts_are_far_away) {
    static const char *const texts[] = {"",
                                        " isa=",
                                        "isa=x86-64",
                                        "x isa=x86-64-v3 l1d=nanK l2=inf llc=1e400",
                                        "x isa=x86-64-v3 l1d= l2= llc=",
                                        "x isa=" LONG_WORD LONG_WORD};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_int_ge((int)ng_machine_rung(host_cpu(), texts[i]), NG_RUNG_ISA);
    char own[NG_MACHINE_TEXT];
    ng_cpu_machine_text(host_cpu(), own);
    ck_assert_int_eq((int)ng_machine_rung(host_cpu(), own), NG_RUNG_MACHINE);
}
END_TEST

START_TEST(threads_take_the_nearest_smaller_number_that_was_tuned) {
    put(&(entry){.schedule = A, .regime = NG_L2, .threads = 1});
    put(&(entry){.schedule = B, .regime = NG_L2, .threads = 4});
    put(&(entry){.schedule = C, .regime = NG_L2, .threads = 8});
    static const struct {
        int threads;
        const char *schedule;
    } cases[] = {{1, A}, {3, A}, {4, B}, {7, B}, {8, C}, {100, C}, {0, A}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(chosen(cases[i].threads, NG_L2).found.winner.schedule, cases[i].schedule);
}
END_TEST

static void serial_for(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i),
                       void *body_ctx) {
    (void)ctx;
    for (size_t i = 0; i < n; i++) body(body_ctx, i);
}

START_TEST(parallel_calls_have_kernels_of_their_own) {
    for (int r = 0; r < NG_REGIME_COUNT; r++) {
        put(&(entry){.schedule = A, .regime = (ng_regime)r, .threads = 1});
        put(&(entry){.schedule = B, .regime = (ng_regime)r, .threads = 4});
    }
    normgen *ng = open_with(0, 0);
    normgen_set_parallel_for(ng, serial_for, NULL, 6);
    normgen_kernel *k = get(ng, SPEC);
    ck_assert_uint_eq(counters(ng).compiled, 2);
    host_call c;
    host_call_init(&c, SPEC, 200, 0);
    normgen_run(k, &c.args);
    ck_assert_str_eq(fake_last(), A);
    normgen_run_parallel(k, &c.args);
    ck_assert_str_eq(fake_last(), B);
    c.args.rows = 2; /* one thread after all */
    normgen_run_parallel(k, &c.args);
    ck_assert_str_eq(fake_last(), A);
    host_call_fini(&c);
    normgen_close(ng);
}
END_TEST

/* Winners take 100 ns a row; the other regimes' rows are longer than the cut-off. */
START_TEST(threads_start_where_the_measured_cutoff_says) {
    static const int64_t cutoffs[] = {1, 1700, 1 << 20, INT64_MAX};
    static const size_t rows[] = {2, 17, 10486, 10486};
    for (size_t i = 0; i < sizeof cutoffs / sizeof cutoffs[0]; i++) {
        unlink(path);
        for (int r = 0; r < NG_REGIME_COUNT; r++)
            put(&(entry){.schedule = A, .regime = (ng_regime)r, .cutoff = cutoffs[i]});
        normgen *ng = open_with(0, 0);
        ck_assert_uint_eq(get(ng, SPEC)->first.cutoff.parallel_rows, rows[i]);
        normgen_close(ng);
    }
    unlink(path);
    put(&(entry){.schedule = A, .regime = NG_L2});
    normgen *ng = open_with(0, 0);
    ng_cutoff c = get(ng, SPEC)->first.cutoff;
    ck_assert(c.parallel_rows >= 2 && c.parallel_rows <= 1 << 20);
    ck_assert_uint_ge(c.waking_rows, c.parallel_rows);
    normgen_close(ng);
}
END_TEST

/* ---- threads ---- */

typedef struct getter {
    normgen *ng;
    normgen_kernel *kernel[16];
} getter;

static void *get_many(void *arg) {
    getter *g = arg;
    for (int i = 0; i < 16; i++) {
        char text[NORMGEN_SPEC_TEXT];
        snprintf(text, sizeof text, "rms hidden=%d eps=1e-05", 100 + i % 4);
        g->kernel[i] = get(g->ng, text);
        host_call c;
        host_call_init(&c, text, 5, 0);
        ck_assert_int_eq(normgen_run(g->kernel[i], &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, 5));
        host_call_fini(&c);
        normgen_counters counted = NORMGEN_COUNTERS;
        normgen_get_counters(g->ng, &counted);
    }
    return NULL;
}

START_TEST(many_threads_get_one_handle_for_one_spec) {
    enum { THREADS = 8 };
    getter g[THREADS];
    pthread_t thread[THREADS];
    put_everywhere(ODD_SCHEDULE);
    normgen *ng = open_with(0, 0);
    for (int i = 0; i < THREADS; i++) {
        g[i].ng = ng;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, get_many, &g[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < 16; j++) ck_assert_ptr_eq(g[i].kernel[j], g[0].kernel[j % 4]);
    ck_assert_uint_eq(counters(ng).gets, 16 * THREADS);
    normgen_close(ng);
}
END_TEST

/* ---- no executable memory ---- */

START_TEST(forbidden_executable_memory_is_one_warning) {
    fake_trouble_now.maps_code = true;
    put_everywhere(ODD_SCHEDULE);
    normgen *ng = open_with(NORMGEN_MODE_COMPILE, 0), *strict = open_with(0, 1);
    if (!forbid_code()) {
        printf("not run: forbidden_executable_memory_is_one_warning (needs a kernel with "
               "seccomp filters)\n");
        normgen_close(ng);
        normgen_close(strict);
        return;
    }
    normgen_kernel *k = get(ng, SPEC);
    ck_assert_str_eq(normgen_kernel_describe(k, 1), "interpreter");
    check_bits(k, SPEC);
    check_bits(get(ng, "layer hidden=9 eps=0"), "layer hidden=9 eps=0");
    ck_assert_int_eq(warned, 1);
    ck_assert_ptr_nonnull(strstr(warnings, "executable memory"));
    ck_assert_uint_eq(counters(ng).interpreted, 2);
    ck_assert_int_eq(fake_compiled(), 1); /* and it is not tried again */
    ck_assert_int_eq(try_get(strict, SPEC, &k), NORMGEN_E_UNSUPPORTED);
    normgen_close(ng);
    normgen_close(strict);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("dispatch");
    TCase *t = tcase_create("dispatch");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, null_and_odd_sized_arguments_are_errors);
    tcase_add_test(t, older_callers_have_shorter_options);
    tcase_add_test(t, wrong_option_values_are_errors);
    tcase_add_loop_test(t, environment_is_checked, 0, sizeof environment / sizeof environment[0]);
    tcase_add_test(t, very_long_environment_values_do_no_harm);
    tcase_add_test(t, options_win_over_environment);
    tcase_add_test(t, lookup_never_compiles);
    tcase_add_test(t, strictness_forbids_the_interpreter);
    tcase_add_test(t, without_store_the_default_schedules_are_compiled);
    tcase_add_test(t, equal_specs_share_a_handle);
    tcase_add_test(t, equal_schedules_are_compiled_once);
    tcase_add_test(t, a_missing_generator_is_told_to_who_asked_for_it);
    tcase_add_test(t, a_jit_that_cannot_start_leaves_the_interpreter);
    tcase_add_test(t, a_stored_schedule_that_does_not_compile_gives_way_to_the_default);
    tcase_add_test(t, streaming_winners_serve_aligned_calls_only);
    tcase_add_test(t, a_winner_serves_its_own_regime);
    tcase_add_loop_test(t, stored_schedules_that_are_not_legal_are_ignored, 0,
                        sizeof illegal / sizeof illegal[0]);
    tcase_add_test(t, the_slot_for_all_addresses_never_streams);
    tcase_add_loop_test(t, a_broken_store_is_a_warning_and_a_miss, 0, BROKEN);
    tcase_add_test(t, an_unreadable_store_is_a_warning);
    tcase_add_test(t, nobody_finds_the_store_open_between_calls);
    tcase_add_test(t, an_empty_path_is_no_store);
    tcase_add_test(t, rungs_are_climbed_in_order);
    tcase_add_test(t, hostile_machine_texts_are_far_away);
    tcase_add_test(t, threads_take_the_nearest_smaller_number_that_was_tuned);
    tcase_add_test(t, parallel_calls_have_kernels_of_their_own);
    tcase_add_test(t, shipped_winners_come_last_but_one);
    tcase_add_test(t, packed_winners_are_the_file);
    tcase_add_test(t, threads_start_where_the_measured_cutoff_says);
    tcase_add_test(t, many_threads_get_one_handle_for_one_spec);
    tcase_add_test(t, forbidden_executable_memory_is_one_warning);
    suite_add_tcase(s, t);
    return s;
}

int main(void) {
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
