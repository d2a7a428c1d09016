/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions of 16-bit types, against a slow rounding written from the definition, against the
 * compiler's own half type, and against the processor's instructions where it has them. */
#include "types.h"

#include <check.h>
#include <math.h>
#include <stdio.h>

/* Millions of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

/* ---- the definition ---- */

/* The value of a 16-bit pattern with `bits` fraction bits, from its fields. */
static double value_of(uint16_t h, int fraction) {
    int bias = (1 << (14 - fraction)) - 1, e = (h & 0x7fff) >> fraction;
    int m = h & ((1 << fraction) - 1);
    double sign = h & 0x8000 ? -1.0 : 1.0;
    if (e == 2 * bias + 1) return m ? (double)NAN : sign * (double)INFINITY;
    if (e == 0) return sign * ldexp(m, 1 - bias - fraction);
    return sign * ldexp(m + (1 << fraction), e - bias - fraction);
}

/* To nearest even with `fraction` fraction bits, by exact arithmetic in f64; NaN is not handled. */
static uint16_t nearest(double v, int fraction) {
    int bias = (1 << (14 - fraction)) - 1, e;
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    v = fabs(v);
    if (v == 0) return sign;
    frexp(v, &e);
    int unit = e - 1 - fraction < 1 - bias - fraction ? 1 - bias - fraction : e - 1 - fraction;
    double scaled = isinf(v) ? v : ldexp(v, -unit), whole = floor(scaled), rest = scaled - whole;
    if (rest > 0.5 || (rest == 0.5 && fmod(whole, 2) == 1)) whole += 1;
    double rounded = ldexp(whole, unit);
    if (isinf(v) || rounded >= ldexp(1, bias + 1))
        return (uint16_t)(sign | ((2 * bias + 1) << fraction));
    frexp(rounded, &e);
    if (rounded < ldexp(1, 1 - bias)) return (uint16_t)(sign | (int)whole); /* subnormal or zero */
    int m = (int)ldexp(rounded, fraction - (e - 1)) - (1 << fraction);
    return (uint16_t)(sign | ((e - 1 + bias) << fraction) | m);
}

static uint16_t definition_f16(float f) {
    uint32_t u = ng_bits32(f);
    if (isnan(f)) return (uint16_t)((u >> 16 & 0x8000u) | 0x7e00u | (u >> 13 & 0x3ffu));
    return nearest((double)f, 10);
}

static uint16_t definition_bf16(float f) {
    uint32_t u = ng_bits32(f);
    if (isnan(f)) return (uint16_t)(u >> 16 | 0x40u);
    if ((u & 0x7f800000u) == 0) return (uint16_t)(u >> 16 & 0x8000u); /* rule 6 */
    return nearest((double)f, 7);
}

static void narrows_as_defined(uint32_t u) {
    float f = ng_float32(u);
    uint16_t h = ng_to_f16(f), b = ng_to_bf16(f);
    REQUIRE(h == definition_f16(f), "f32 bits %08x to f16: %04x, not %04x", u, h,
            definition_f16(f));
    REQUIRE(b == definition_bf16(f), "f32 bits %08x to bf16: %04x, not %04x", u, b,
            definition_bf16(f));
}

/* ---- widening ---- */

START_TEST(every_f16_widens_exactly_and_comes_back) {
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)i;
        float f = ng_from_f16(h);
        double v = value_of(h, 10);
        REQUIRE(isnan(v) ? isnan(f) : (double)f == v && !signbit(f) == !(h & 0x8000),
                "f16 %04x widens to %a, not %a", h, (double)f, v);
        uint16_t back = isnan(v) ? h | 0x200 : h;
        REQUIRE(ng_to_f16(f) == back, "f16 %04x comes back as %04x", h, ng_to_f16(f));
    }
}
END_TEST

START_TEST(every_bf16_widens_exactly_and_comes_back_but_for_subnormals) {
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)i;
        float f = ng_from_bf16(h);
        double v = value_of(h, 7);
        REQUIRE(isnan(v) ? isnan(f) : (double)f == v && !signbit(f) == !(h & 0x8000),
                "bf16 %04x widens to %a, not %a", h, (double)f, v);
        uint16_t back = h;
        if (isnan(v)) back = h | 0x40;
        if ((h & 0x7f80) == 0) back = h & 0x8000;
        REQUIRE(ng_to_bf16(f) == back, "bf16 %04x comes back as %04x", h, ng_to_bf16(f));
    }
}
END_TEST

/* ---- narrowing ---- */

START_TEST(narrowing_around_every_tie_is_to_nearest_even) {
    for (uint32_t i = 0; i < 65536; i++) {
        /* the f32 next to each 16-bit value and next to the middle between it and the next one */
        uint32_t b = i << 16, h = ng_bits32(ng_from_f16((uint16_t)i));
        uint32_t sign = (i & 0x8000u) << 16;
        float next = ng_from_f16((uint16_t)(i + 1)), middle = (ng_float32(h) + next) / 2;
        uint32_t hm = isfinite(middle) ? ng_bits32(middle) : 0x477ff000u | sign;
        for (uint32_t d = 0; d < 5; d++) {
            narrows_as_defined(b + d - 2);
            narrows_as_defined(b + 0x8000u + d - 2);
            narrows_as_defined(h + d - 2);
            narrows_as_defined(hm + d - 2);
        }
    }
}
END_TEST

START_TEST(narrowing_at_every_exponent_is_to_nearest_even) {
    static const uint32_t fractions[] = {
        0,        1,        0xfff,    0x1000,   0x1001,   0x1fff,   0x2000,   0x2fff,
        0x3000,   0x3001,   0x7fff,   0x8000,   0x8001,   0x17fff,  0x18000,  0x3fffff,
        0x400000, 0x400001, 0x7fe000, 0x7fefff, 0x7ff000, 0x7f7fff, 0x7f8000, 0x7fffff};
    for (uint32_t e = 0; e < 512; e++) /* signs and exponents */
        for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++)
            narrows_as_defined(e << 23 | fractions[i]);
}
END_TEST

START_TEST(narrowing_random_floats_is_to_nearest_even) {
    uint64_t state = 1;
    for (int i = 0; i < 1000000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        narrows_as_defined((uint32_t)(state >> 32));
    }
}
END_TEST

START_TEST(edges_of_the_ranges_are_what_the_rules_say) {
    ck_assert_uint_eq(ng_to_f16(65504.0f), 0x7bff);
    ck_assert_uint_eq(ng_to_f16(65519.996f), 0x7bff);
    ck_assert_uint_eq(ng_to_f16(65520.0f), 0x7c00);
    ck_assert_uint_eq(ng_to_f16(-INFINITY), 0xfc00);
    ck_assert_uint_eq(ng_to_f16(0x1p-24f), 0x0001);
    ck_assert_uint_eq(ng_to_f16(0x1p-25f), 0x0000); /* tie with zero */
    ck_assert_uint_eq(ng_to_f16(0x1.000002p-25f), 0x0001);
    ck_assert_uint_eq(ng_to_f16(-0.0f), 0x8000);
    ck_assert_uint_eq(ng_to_bf16(0x1.fffffep127f), 0x7f80);
    ck_assert_uint_eq(ng_to_bf16(0x1p-126f), 0x0080);
    ck_assert_uint_eq(ng_to_bf16(-0x1.fffffcp-127f), 0x8000); /* flushed, not rounded up */
    ck_assert_uint_eq(ng_to_bf16(ng_float32(0x7f800001u)), 0x7fc0);
}
END_TEST

START_TEST(f64_narrows_to_16_bits_through_f32) {
    uint16_t h;
    double v = 1.0 + 0x1p-11 + 0x1p-40; /* above the tie, but f32 makes it the tie */
    ng_type_write(NORMGEN_F16, &h, 0, v);
    ck_assert_uint_eq(h, 0x3c00);
    ck_assert_uint_eq(nearest(v, 10), 0x3c01);
    v = 1.0 + 0x1p-8 + 0x1p-40;
    ng_type_write(NORMGEN_BF16, &h, 0, v);
    ck_assert_uint_eq(h, 0x3f80);
    ng_type_write(NORMGEN_F16, &h, 0, 1e300);
    ck_assert_uint_eq(h, 0x7c00);
}
END_TEST

/* ---- against others ---- */

START_TEST(the_compilers_half_type_agrees) {
    uint64_t state = 7;
    for (int i = 0; i < 1000000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        float f = ng_float32((uint32_t)(state >> 32));
        if (!isfinite(f)) continue;
        if (i & 1) f = ldexpf(f, -(int)(log2((double)fabsf(f) + 1e-30)) + (i >> 1) % 44 - 26);
        _Float16 c = (_Float16)f;
        uint16_t h;
        memcpy(&h, &c, sizeof h);
        REQUIRE(h == ng_to_f16(f), "%a to f16: %04x, the compiler says %04x", (double)f,
                ng_to_f16(f), h);
    }
}
END_TEST

/* Instructions of one architecture can only be named under an #if. */
#if defined(__x86_64__)
#include <immintrin.h>
__attribute__((target("avx,f16c"))) static void hardware_f16(const float *f, uint16_t *h) {
    _mm_storeu_si128((__m128i *)(void *)h, _mm256_cvtps_ph(_mm256_loadu_ps(f), 0));
}
__attribute__((target("avx512bf16,avx512vl"))) static void hardware_bf16(const float *f,
                                                                         uint16_t *h) {
    __m128bh v = _mm256_cvtneps_pbh(_mm256_loadu_ps(f));
    memcpy(h, &v, sizeof v);
}
static bool has_f16(void) { return __builtin_cpu_supports("f16c"); }
static bool has_bf16(void) { return __builtin_cpu_supports("avx512bf16"); }
#else
static void hardware_f16(const float *f, uint16_t *h) { (void)f, (void)h; }
static void hardware_bf16(const float *f, uint16_t *h) { (void)f, (void)h; }
static bool has_f16(void) { return false; }
static bool has_bf16(void) { return false; }
#endif

/* Every 257th f32, which meets all exponents and, over the fractions, all rounding cases. */
static void compare_hardware(const char *name, void (*hardware)(const float *, uint16_t *),
                             uint16_t (*ours)(float)) {
    for (uint64_t u = 0; u < (uint64_t)1 << 32; u += 8 * 257) {
        float f[8];
        uint16_t h[8];
        for (uint32_t i = 0; i < 8; i++) f[i] = ng_float32((uint32_t)(u + i * 257));
        hardware(f, h);
        for (int i = 0; i < 8; i++)
            REQUIRE(h[i] == ours(f[i]), "f32 bits %08x to %s: %04x, the processor says %04x",
                    ng_bits32(f[i]), name, ours(f[i]), h[i]);
    }
}

static uint16_t our_f16(float f) { return ng_to_f16(f); }
static uint16_t our_bf16(float f) { return ng_to_bf16(f); }

START_TEST(the_processor_agrees_on_f16) {
    if (has_f16())
        compare_hardware("f16", hardware_f16, our_f16);
    else
        printf("not run: f16 against the processor (needs F16C)\n");
}
END_TEST

START_TEST(the_processor_agrees_on_bf16) {
    if (has_bf16())
        compare_hardware("bf16", hardware_bf16, our_bf16);
    else
        printf("not run: bf16 against the processor (needs AVX512-BF16)\n");
}
END_TEST

/* ---- eight bits ---- */

/* The value of a code by the definition of the format; NaN and infinities apart. */
static double narrow_value(int type, int code) {
    int fraction = type == NORMGEN_E4M3 ? 3 : 2, bias = type == NORMGEN_E4M3 ? 7 : 15;
    int exponent = (code & 0x7f) >> fraction, m = code & ((1 << fraction) - 1);
    double v = exponent ? ldexp((1 << fraction) + m, exponent - bias - fraction)
                        : ldexp(m, 1 - bias - fraction);
    return code & 0x80 ? -v : v;
}

static int narrowed(int type, double v) {
    uint8_t code;
    ng_type_write(type, &code, 0, v);
    return code;
}

START_TEST(eight_bit_floats_round_to_nearest_even_and_clamp) {
    static const struct {
        int type, largest;
    } formats[] = {{NORMGEN_E4M3, 0x7e}, {NORMGEN_E5M2, 0x7b}};
    for (int f = 0; f < 2; f++) {
        int type = formats[f].type, top = formats[f].largest;
        for (int code = 0; code <= top; code++)
            for (int sign = 0; sign <= 0x80; sign += 0x80) {
                uint8_t c = (uint8_t)(code | sign);
                double v = narrow_value(type, c), next = narrow_value(type, (code + 1) | sign);
                ck_assert(ng_type_read(type, &c, 0) == v);
                REQUIRE(narrowed(type, v) == c, "%s: %g", ng_types[type].name, v);
                if (code == top) continue;
                double tie = (v + next) / 2;
                int even = code & 1 ? code + 1 : code;
                REQUIRE(narrowed(type, tie) == (even | sign), "%s: tie %g", ng_types[type].name,
                        tie);
                REQUIRE(narrowed(type, (double)nextafterf((float)tie, (float)v)) == c, "%g", tie);
                REQUIRE(narrowed(type, (double)nextafterf((float)tie, (float)next)) ==
                            ((code + 1) | sign),
                        "%g", tie);
            }
        ck_assert_int_eq(narrowed(type, 1e9), top);
        ck_assert_int_eq(narrowed(type, -(double)INFINITY), top | 0x80);
        ck_assert_int_eq(narrowed(type, 1e-30), 0);
        ck_assert_int_eq(narrowed(type, -0.0), 0x80);
        uint8_t nan = (uint8_t)narrowed(type, (double)NAN);
        ck_assert(isnan(ng_type_read(type, &nan, 0)));
    }
}
END_TEST

START_TEST(integers_round_to_nearest_even_and_saturate) {
    static const struct {
        double v;
        int i8, u8;
    } cases[] = {
        {0.5, 0, 0},       {1.5, 2, 2},         {2.5, 2, 2},       {-0.5, 0, 0},
        {-1.5, -2, 0},     {126.5, 126, 126},   {127.5, 127, 128}, {200, 127, 200},
        {254.5, 127, 254}, {255.5, 127, 255},   {1e300, 127, 255}, {-128.5, -128, 0},
        {-1e300, -128, 0}, {(double)NAN, 0, 0}, {-0.0, 0, 0},      {(double)INFINITY, 127, 255}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq((int8_t)narrowed(NORMGEN_I8, cases[i].v), cases[i].i8);
        ck_assert_int_eq(narrowed(NORMGEN_U8, cases[i].v), cases[i].u8);
    }
}
END_TEST

/* ---- the table ---- */

START_TEST(a_type_holds_another_exactly_when_its_values_come_back) {
    static const int types[] = {NORMGEN_F32, NORMGEN_F64, NORMGEN_BF16, NORMGEN_F16,
                                NORMGEN_I8,  NORMGEN_U8,  NORMGEN_E4M3, NORMGEN_E5M2};
    for (int o = 0; o < 8; o++)
        for (int i = 0; i < 8; i++) {
            bool all = true;
            uint64_t state = 3;
            for (int n = 0; n < 20000; n++) {
                state = state * 6364136223846793005u + 1442695040888963407u;
                uint64_t element = state ^ state >> 29, stored;
                double v = ng_type_read(types[i], &element, 0);
                bool flushed = types[i] == NORMGEN_BF16 && fabs(v) < 0x1p-126;
                if (isnan(v) || (flushed && types[o] == NORMGEN_BF16)) continue;
                if (isinf(v) && types[i] == NORMGEN_E5M2) continue; /* no narrowing makes them */
                ng_type_write(types[o], &stored, 0, v);
                all = all && ng_type_read(types[o], &stored, 0) == v;
            }
            REQUIRE(ng_type_holds(types[o], types[i]) == all, "%s holds %s: %d, found %d",
                    ng_types[types[o]].name, ng_types[types[i]].name,
                    ng_type_holds(types[o], types[i]), all);
        }
}
END_TEST

START_TEST(elements_are_read_and_written_at_any_alignment) {
    for (int type = NORMGEN_F32; type <= NORMGEN_E5M2; type++) {
        unsigned char bytes[64];
        double value = ng_types[type].exponent ? -1.5 : 3;
        memset(bytes, 0xa5, sizeof bytes);
        ng_type_write(type, bytes + 1, 2, value);
        size_t n = ng_types[type].bytes;
        ck_assert(ng_type_read(type, bytes + 1, 2) == value);
        for (size_t i = 0; i < sizeof bytes; i++)
            if (i < 1 + 2 * n || i >= 1 + 3 * n)
                REQUIRE(bytes[i] == 0xa5, "%s wrote byte %zu", ng_types[type].name, i);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("types");
    TCase *tc = tcase_create("types");
    tcase_set_timeout(tc, 50);
    tcase_add_test(tc, every_f16_widens_exactly_and_comes_back);
    tcase_add_test(tc, every_bf16_widens_exactly_and_comes_back_but_for_subnormals);
    tcase_add_test(tc, narrowing_around_every_tie_is_to_nearest_even);
    tcase_add_test(tc, narrowing_at_every_exponent_is_to_nearest_even);
    tcase_add_test(tc, narrowing_random_floats_is_to_nearest_even);
    tcase_add_test(tc, edges_of_the_ranges_are_what_the_rules_say);
    tcase_add_test(tc, f64_narrows_to_16_bits_through_f32);
    tcase_add_test(tc, the_compilers_half_type_agrees);
    tcase_add_test(tc, the_processor_agrees_on_f16);
    tcase_add_test(tc, the_processor_agrees_on_bf16);
    tcase_add_test(tc, eight_bit_floats_round_to_nearest_even_and_clamp);
    tcase_add_test(tc, integers_round_to_nearest_even_and_saturate);
    tcase_add_test(tc, a_type_holds_another_exactly_when_its_values_come_back);
    tcase_add_test(tc, elements_are_read_and_written_at_any_alignment);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
