/* SPDX-License-Identifier: Apache-2.0 */
/* Regimes, for machines that exist and machines that do not: thresholds by counting bytes, tuned
 * rows that fall in their regime, default schedules that are always legal. */
#include "regime.h"

#include "spec.h"
#include "types.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* Millions of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* L1d, L2 and last-level cache. */
static const size_t caches[][3] = {
    {32 * KIB, 1 * MIB, 32 * MIB},   {48 * KIB, 2 * MIB, 105 * MIB},
    {32 * KIB, 256 * KIB, 6 * MIB},  {32 * KIB, 1 * MIB, 1 * MIB},
    {48 * KIB, 1280 * KIB, 2 * MIB}, {32 * KIB, 512 * KIB, 1152 * MIB},
    {128 * KIB, 16 * MIB, 16 * MIB}, {8 * KIB, 64 * KIB, 64 * KIB},
};
enum { MACHINES = sizeof caches / sizeof caches[0] };
static const int threads[] = {1, 2, 5, 64};
static const uint64_t rams[] = {256 * (uint64_t)MIB, 1 * GIB, 8 * GIB, 512 * GIB};

static ng_cpu machine(int i) {
    ng_cpu cpu = {.l1d = caches[i][0], .l2 = caches[i][1], .llc = caches[i][2], .cores = 64};
    return cpu;
}

static const char *const specs[] = {
    "rms hidden=4096 eps=1e-05",
    "rms hidden=1 eps=1e-05 weight=none",
    "rms hidden=64 eps=1e-05 x=bf16",
    "layer hidden=768 eps=1e-12 x=bf16 weight=f32 bias=f32 residual=bf16",
    "layer hidden=128 eps=1e-05 mean=yes rstd=yes bias=f32",
    "rms hidden=2730 eps=1e-05 weight=none",
    "rms hidden=65537 eps=1e-05 residual=f32 sum=f32",
    "rms hidden=1048576 eps=1e-05 x=f64",
    "rms hidden=16777216 eps=1e-05 x=f64 residual=f64 sum=f64",
};
enum { SPECS = sizeof specs / sizeof specs[0] };

static ng_program program_of(const char *text) {
    normgen_spec spec;
    ng_program p;
    REQUIRE(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s: %s", text, normgen_error());
    ng_program_build(&p, &spec);
    return p;
}

/* A case, and what every failure says about it. */
typedef struct setting {
    ng_cpu cpu;
    ng_program program;
    int threads;
    char text[256];
} setting;

/* Calls check for all specs, machines and numbers of threads. */
static void for_all(void (*check)(const setting *s)) {
    for (int i = 0; i < SPECS; i++)
        for (int m = 0; m < MACHINES; m++)
            for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
                setting s = {machine(m), program_of(specs[i]), threads[t], ""};
                snprintf(s.text, sizeof s.text, "%s; l1d=%zuK l2=%zuK llc=%zuK threads=%d",
                         specs[i], caches[m][0] / KIB, caches[m][1] / KIB, caches[m][2] / KIB,
                         threads[t]);
                check(&s);
            }
}

/* Bytes of rows counted stream by stream. */
static double footprint(const ng_program *p, double rows) {
    double bytes = 0;
    for (int s = 0; s < p->streams; s++) {
        double row = p->stream[s].width == NG_UNIT ? 1 : (double)p->hidden;
        row *= ng_types[p->stream[s].type].bytes;
        bytes += p->stream[s].rows == NG_ONE ? row : rows * row;
    }
    return bytes;
}

/* Bytes of one thread for l1 and l2, of all for llc, that count for the threshold. */
static bool fits(const setting *s, ng_regime r, size_t rows) {
    size_t share = (rows + (size_t)s->threads - 1) / (size_t)s->threads;
    double bytes = footprint(&s->program, (double)(r == NG_LLC ? rows : share));
    return bytes <= (double)(r == NG_L1 ? s->cpu.l1d : r == NG_L2 ? s->cpu.l2 : s->cpu.llc / 2);
}

START_TEST(regimes_have_names) {
    for (int r = 0; r < NG_REGIME_COUNT; r++)
        ck_assert_int_eq(ng_regime_find(ng_regime_names[r]), r);
    ck_assert_int_eq(ng_regime_find("l3"), -1);
    ck_assert_int_eq(ng_regime_find(""), -1);
}
END_TEST

static void check_thresholds(const setting *s) {
    for (ng_regime r = NG_L1; r < NG_DRAM; r++) {
        size_t most = ng_regime_max_rows(&s->cpu, &s->program, r, s->threads);
        REQUIRE(most == 0 || fits(s, r, most), "%s: %s: %zu rows", s->text, ng_regime_names[r],
                most);
        REQUIRE(!fits(s, r, most + 1), "%s: %s: %zu rows", s->text, ng_regime_names[r], most);
    }
    REQUIRE(ng_regime_max_rows(&s->cpu, &s->program, NG_DRAM, s->threads) == SIZE_MAX, "%s",
            s->text);
}
START_TEST(thresholds_count_every_byte) { for_all(check_thresholds); }
END_TEST

static void check_dispatch(const setting *s) {
    ng_regime last = NG_L1;
    for (size_t rows = 1; rows < SIZE_MAX / 3; rows += rows / 7 + 1) {
        ng_regime r = ng_regime_of(&s->cpu, &s->program, rows, s->threads);
        for (ng_regime q = NG_L1; q < r; q++)
            REQUIRE(!fits(s, q, rows), "%s: %zu rows fit %s, not %s", s->text, rows,
                    ng_regime_names[q], ng_regime_names[r]);
        REQUIRE(r == NG_DRAM || fits(s, r, rows), "%s: %zu rows are not %s", s->text, rows,
                ng_regime_names[r]);
        REQUIRE(r >= last, "%s: %zu rows go back to %s", s->text, rows, ng_regime_names[r]);
        last = r;
    }
    REQUIRE(ng_regime_of(&s->cpu, &s->program, SIZE_MAX, s->threads) == NG_DRAM, "%s", s->text);
}
START_TEST(a_call_is_in_the_smallest_regime_it_fits) { for_all(check_dispatch); }
END_TEST

static void check_tuned_rows(const setting *s) {
    for (ng_regime r = NG_L1; r < NG_REGIME_COUNT; r++)
        for (size_t i = 0; i < sizeof rams / sizeof rams[0]; i++) {
            char why[160] = "?";
            size_t rows = ng_regime_rows(&s->cpu, &s->program, r, s->threads, rams[i], why);
            bool quarter = footprint(&s->program, (double)rows) <= (double)rams[i] / 4;
            if (rows == 0) {
                REQUIRE(why[0] && why[0] != '?', "%s: no reason against %s", s->text,
                        ng_regime_names[r]);
                continue;
            }
            REQUIRE(ng_regime_of(&s->cpu, &s->program, rows, s->threads) == r,
                    "%s: %s is measured with %zu rows, which are not in it", s->text,
                    ng_regime_names[r], rows);
            REQUIRE(r != NG_DRAM || quarter, "%s: %zu rows in %llu bytes of memory", s->text, rows,
                    (unsigned long long)rams[i]);
            bool small = r == NG_DRAM && (double)rams[i] / 4 < 3.0 * (double)s->cpu.llc;
            REQUIRE((why[0] != 0) == small, "%s: %s of %llu bytes of memory: note '%s'", s->text,
                    ng_regime_names[r], (unsigned long long)rams[i], why);
        }
}
START_TEST(tuned_rows_fall_in_their_regime) { for_all(check_tuned_rows); }
END_TEST

/* A regime is missing only where no number of rows is in it, or memory does not allow it. */
static void check_missing(const setting *s) {
    for (ng_regime r = NG_L1; r < NG_DRAM; r++) {
        char why[160];
        size_t rows = ng_regime_rows(&s->cpu, &s->program, r, s->threads, 512 * GIB, why);
        size_t most = ng_regime_max_rows(&s->cpu, &s->program, r, s->threads);
        bool exists = most > 0 && ng_regime_of(&s->cpu, &s->program, most, s->threads) == r;
        REQUIRE((rows > 0) == exists, "%s: %s: %zu rows, %s", s->text, ng_regime_names[r], rows,
                why);
    }
}
START_TEST(no_regime_is_missing_without_need) { for_all(check_missing); }
END_TEST

START_TEST(tuned_rows_are_those_of_the_design) {
    ng_cpu cpu = machine(0); /* 32K 1M 32M */
    ng_program p = program_of("rms hidden=64 eps=1e-05");
    char why[160];
    size_t row = 512, shared = 256;
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_L1, 1, 64 * GIB, why), (24 * KIB - shared) / row);
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_L2, 1, 64 * GIB, why), (MIB / 2 - shared) / row);
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_LLC, 1, 64 * GIB, why), (8 * MIB - shared) / row);
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_DRAM, 1, 64 * GIB, why),
                      (256 * MIB - shared) / row);
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_L2, 2, 64 * GIB, why),
                      2 * ((MIB / 2 - shared) / row));
    cpu.llc = 512 * MIB; /* 64 MiB are enough for llc; three times the cache for dram */
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_LLC, 1, 64 * GIB, why),
                      (64 * MIB - shared) / row);
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_DRAM, 1, 64 * GIB, why),
                      (1536 * MIB - shared) / row);
    ck_assert_str_eq(why, "");
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_DRAM, 1, 4 * GIB, why),
                      (1024 * MIB - shared) / row);
    ck_assert_ptr_nonnull(strstr(why, "quarter of the memory"));
    cpu.llc = 4 * MIB; /* 4 x L2 would be dram already: as much as llc may have */
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_LLC, 1, 64 * GIB, why), (2 * MIB - shared) / row);
    p = program_of("rms hidden=4096 eps=1e-05");
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_L1, 1, 64 * GIB, why), 0);
    ck_assert_ptr_nonnull(strstr(why, "L1 data cache"));
    cpu.l1d = 48 * KIB; /* one row and the weight, exactly */
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_L1, 1, 64 * GIB, why), 1);
    ck_assert_uint_eq(ng_regime_rows(&cpu, &p, NG_L1, 3, 64 * GIB, why), 3);
}
END_TEST

START_TEST(the_memory_of_this_machine_is_plausible) {
    ck_assert_uint_ge(ng_machine_ram(), 16 * MIB);
    ck_assert_uint_le(ng_machine_ram(), (uint64_t)1 << 50);
}
END_TEST

/* ---- default schedules ---- */

static uint32_t below(uint64_t *state, uint32_t n) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static bool random_program(uint64_t *state, ng_program *p, char *text) {
    static const int32_t some[] = {0,           NORMGEN_NONE, NORMGEN_F32,
                                   NORMGEN_F64, NORMGEN_BF16, NORMGEN_F16};
    normgen_spec s = normgen_rms(1 + below(state, 1u << below(state, 24)));
    if (below(state, 2)) s.hidden = 64 * (1 + s.hidden % 128); /* what models have */
    s.kind = 1 + (int32_t)below(state, 2);
    s.x = some[2 + below(state, 4)], s.y = some[2 + below(state, 4)];
    s.weight = some[below(state, 6)], s.bias = some[below(state, 6)];
    s.residual = some[below(state, 6)], s.sum = some[below(state, 6)];
    s.rounding = (int32_t)below(state, 2), s.stat_of = (int32_t)below(state, 3);
    s.variance = (int32_t)below(state, 2), s.range = (int32_t)below(state, 2);
    s.compute = below(state, 2) ? NORMGEN_F64 : NORMGEN_F32;
    s.lanes = 16 << below(state, 5);
    s.mean = (int32_t)below(state, 2), s.rstd = (int32_t)below(state, 2);
    if (ng_spec_resolve(&s, &s) != NORMGEN_OK) return false;
    ng_spec_text(&s, text);
    ng_program_build(p, &s);
    return true;
}

/* Whether each streamed output of contiguous rows starts at a vector. */
static bool rows_are_aligned(const ng_program *p, const ng_schedule *s) {
    for (int i = 0; i < p->streams; i++) {
        size_t row = ng_stream_width(p, i) * ng_types[p->stream[i].type].bytes;
        if (p->stream[i].out && row % ng_schedule_alignment(p, s, i)) return false;
    }
    return true;
}

START_TEST(default_schedules_are_always_legal) {
    uint64_t state = 3;
    int streaming = 0;
    for (int i = 0; i < 20000; i++) {
        ng_program p;
        char text[NORMGEN_SPEC_TEXT], schedule[NG_SCHEDULE_TEXT], why[NG_SCHEDULE_TEXT];
        if (!random_program(&state, &p, text)) continue;
        const ng_isa *isa = &ng_isas[below(&state, (uint32_t)ng_isa_count)];
        if (isa->max_vec == 0) continue;
        ng_regime regime = (ng_regime)below(&state, NG_REGIME_COUNT);
        ng_schedule s;
        ng_cpu cpu = machine((int)below(&state, sizeof caches / sizeof caches[0]));
        ng_regime_default_schedule(&p, &cpu, isa, regime, &s);
        ng_schedule_text(&p, &s, schedule);
        REQUIRE(ng_schedule_legal(&p, isa, &s, why), "%s on %s in %s: %s: %s", text, isa->name,
                ng_regime_names[regime], schedule, why);
        bool streams = ng_schedule_past_caches(&s);
        REQUIRE(!streams || (regime == NG_DRAM && isa->streams && rows_are_aligned(&p, &s)),
                "%s on %s in %s: %s", text, isa->name, ng_regime_names[regime], schedule);
        streaming += streams;
    }
    REQUIRE(streaming > 50, "only %d streaming schedules", streaming);
}
END_TEST

START_TEST(default_schedules_are_those_of_the_rules) {
    static const struct {
        const char *spec, *isa;
        ng_regime regime;
        const char *schedule; /* what it has in it */
        int machine;          /* of `caches` */
    } known[] = {
        {"rms hidden=4096 eps=1e-05", "x86-64-v4", NG_L2,
         "vec=512 block=1 keep=recompute store=cached prefetch=none overlap=no", 0},
        {"rms hidden=4096 eps=1e-05", "x86-64-v4", NG_LLC,
         "vec=512 block=1 keep=recompute store=cached prefetch=none overlap=no", 0},
        {"rms hidden=1024 eps=1e-05", "x86-64-v4", NG_LLC,
         "vec=512 block=1 keep=recompute store=cached prefetch=none overlap=two", 0},
        {"rms hidden=5120 eps=1e-05", "x86-64-v4", NG_L2, "block=8 keep=recompute store=cached", 0},
        {"rms hidden=5120 eps=1e-05", "x86-64-v4", NG_L2, "overlap=no visit=tiles", 0},
        {"rms hidden=4096 eps=1e-05", "x86-64-v4", NG_DRAM,
         "block=1 keep=recompute store=staged prefetch=twice overlap=yes slice=line", 0},
        {"rms hidden=4095 eps=1e-05", "x86-64-v4", NG_DRAM, "store=cached", 0},
        {"rms hidden=256 eps=1e-05", "x86-64-v4", NG_DRAM,
         "store=stream prefetch=l2 overlap=yes", 0},
        {"rms hidden=128 eps=1e-05 x=bf16", "x86-64-v4+bf16", NG_DRAM,
         "block=4 keep=scratch store=stream prefetch=l2 overlap=two shared=once", 0},
        {"rms hidden=32 eps=1e-05 x=bf16", "x86-64-v4", NG_DRAM,
         "keep=recompute store=stream prefetch=none overlap=two layout=evenodd", 0},
        {"rms hidden=4096 eps=1e-05", "aarch64", NG_DRAM, "store=cached", 0},
        {"rms hidden=64 eps=1e-05", "x86-64-v4", NG_L1, "block=8 keep=recompute store=cached", 0},
        {"rms hidden=64 eps=1e-05", "x86-64-v4", NG_L1, "overlap=two", 0},
        {"rms hidden=128 eps=1e-05 x=bf16 residual=bf16 sum=bf16", "x86-64-v4+bf16", NG_LLC,
         "block=2 keep=reload store=cached prefetch=none overlap=two", 0},
        {"layer hidden=512 eps=1e-05", "x86-64-v4", NG_DRAM,
         "store=stream prefetch=none overlap=yes", 0},
        {"layer hidden=768 eps=1e-05", "x86-64-v4", NG_L2,
         "block=1 keep=recompute store=cached", 0},
        {"layer hidden=768 eps=1e-05", "x86-64-v4", NG_L2, "overlap=two", 0},
        {"layer hidden=1024 eps=1e-05", "x86-64-v4", NG_L2, "overlap=all", 0},
        /* two loads and an addition, or a conversion with shuffles, are worth keeping */
        {"rms hidden=1024 eps=1e-05 x=f16", "x86-64-v4", NG_L2, "block=2 keep=scratch", 0},
        {"rms hidden=1024 eps=1e-05 x=bf16", "x86-64-v4", NG_L2, "block=2 keep=recompute", 0},
        {"rms hidden=1024 eps=1e-05 x=bf16", "x86-64-v4", NG_L2, "layout=evenodd", 0},
        {"rms hidden=4096 eps=1e-05 residual=f32", "x86-64-v4", NG_L2, "keep=scratch", 0},
        {"rms hidden=1024 eps=1e-05 x=bf16 residual=bf16 sum=bf16", "x86-64-v4+bf16", NG_L2,
         "block=2 keep=reload", 0},
        {"rms hidden=1024 eps=1e-05 x=bf16", "x86-64-v4", NG_L2, "overlap=two layout=evenodd", 0},
        {"rms hidden=1024 eps=1e-05 x=bf16", "x86-64-v4", NG_L2, "shared=once", 0},
        {"rms hidden=128 eps=1e-05 x=bf16", "x86-64-v4+bf16", NG_L2,
         "block=4 keep=scratch store=cached prefetch=none overlap=two shared=once", 0},
        {"rms hidden=1024 eps=1e-05", "x86-64-v4", NG_L1,
         "vec=512 block=2 keep=recompute store=cached prefetch=none overlap=two", 0},
        /* what fits a quarter of L1 */
        {"layer hidden=1536 eps=1e-05", "x86-64-v4", NG_L2, "overlap=yes", 0},
        {"layer hidden=1536 eps=1e-05", "x86-64-v4", NG_L2, "overlap=all", 1},
        /* a last level that is as far as memory */
        {"rms hidden=4096 eps=1e-05", "x86-64-v4", NG_LLC,
         "vec=512 block=1 keep=recompute store=ahead prefetch=l2 overlap=yes", 5},
        {"layer hidden=5120 eps=1e-05", "x86-64-v4", NG_LLC,
         "vec=512 block=1 keep=recompute store=ahead prefetch=l2 overlap=all", 5},
        {"rms hidden=4096 eps=1e-05 compute=f64 lanes=16", "x86-64-v4", NG_L1, "vec=512", 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ng_program p = program_of(known[i].spec);
        ng_schedule s;
        char text[NG_SCHEDULE_TEXT];
        ng_cpu cpu = machine(known[i].machine);
        ng_regime_default_schedule(&p, &cpu, ng_isa_find(known[i].isa), known[i].regime, &s);
        ng_schedule_text(&p, &s, text);
        REQUIRE(strstr(text, known[i].schedule), "%s on %s in %s: %s", known[i].spec, known[i].isa,
                ng_regime_names[known[i].regime], text);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("regime");
    TCase *tc = tcase_create("regime");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, regimes_have_names);
    tcase_add_test(tc, thresholds_count_every_byte);
    tcase_add_test(tc, a_call_is_in_the_smallest_regime_it_fits);
    tcase_add_test(tc, tuned_rows_fall_in_their_regime);
    tcase_add_test(tc, no_regime_is_missing_without_need);
    tcase_add_test(tc, tuned_rows_are_those_of_the_design);
    tcase_add_test(tc, the_memory_of_this_machine_is_plausible);
    tcase_add_test(tc, default_schedules_are_always_legal);
    tcase_add_test(tc, default_schedules_are_those_of_the_rules);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
