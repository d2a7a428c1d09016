/* SPDX-License-Identifier: Apache-2.0 */
/* q8_0 and q8_1 against ggml's reference quantizers, byte for byte. They are written here from
 * their public definition (ggml-quants.c, quantize_row_q8_0_ref and quantize_row_q8_1_ref): the
 * scale from the largest magnitude, codes by roundf, halves to nearest even. Where C does not
 * define them (codes of NaN or beyond int8_t) docs/numerics.md rules, and the naive norm. */
#include "awkward.h"
#include "cpu.h"
#include "interp.h"
#include "reference.h"
#include "spec.h"
#include "types.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Hundreds of thousands of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

enum { BLOCK = 32, HIDDEN = 4096, MOST_BYTES = HIDDEN / BLOCK * 36 };

static void put_half(unsigned char *to, float f) {
    uint16_t h = ng_to_f16(f);
    memcpy(to, &h, sizeof h);
}

/* One block; returns its bytes, 0 where C does not say what they are. */
static size_t ggml_block(const float *x, bool sums, unsigned char *to) {
    float amax = 0;
    for (int i = 0; i < BLOCK; i++) {
        if (!isfinite(x[i])) return 0;
        amax = fmaxf(amax, fabsf(x[i]));
    }
    float d = amax / 127, id = d != 0 ? 1 / d : 0;
    if (isinf(id)) return 0;
    size_t head = sums ? 4 : 2;
    int sum = 0;
    for (int i = 0; i < BLOCK; i++) {
        int8_t code = (int8_t)roundf(x[i] * id);
        memcpy(to + head + i, &code, 1);
        sum += code;
    }
    put_half(to, d);
    if (sums) put_half(to + 2, (float)sum * d);
    return head + BLOCK;
}

/* Kinds of blocks: what can go wrong in a quantizer. */
static float value(uint64_t *state, size_t kind, size_t i) {
    uint64_t u = awkward_next(state);
    float unit = (float)(int32_t)(u >> 32) * 0x1p-31f;
    switch (kind % 8) {
    case 0: return unit;
    case 1:
        return i == 0 ? 127 * 0x1p-3f
                      : (float)((int)(u % 255) - 127) * 0x1p-3f + 0x1p-4f; /* ties */
    case 2: return ng_float32((uint32_t)u);                                /* random bits */
    case 3: return unit * ldexpf(1, (int)(u % 60) - 30);
    case 4: return u % 3 ? 0.0f : -0.0f;
    case 5: return unit * 3e38f;
    case 6: return unit * 0x1p-120f;
    default: return u % 40 == 0 ? (u & 64 ? INFINITY : NAN) : unit;
    }
}

static size_t same, skipped;

static void check_row(const ng_program *p, const normgen_spec *s, uint64_t seed) {
    static float x[HIDDEN], one = 1;
    static unsigned char got[MOST_BYTES], naive_says[MOST_BYTES], want[36];
    bool sums = s->y == NORMGEN_Q8_1;
    size_t bytes = sums ? 36 : 34;
    normgen_bound_args args = {.rows_per_outer = 1};
    const ng_cpu *cpu;
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    for (size_t i = 0; i < HIDDEN; i++) x[i] = value(&seed, i / BLOCK, i % BLOCK);
    for (int k = 0; k < p->streams; k++) {
        int role = p->stream[k].role;
        args.stream[k].base = role == NG_ROLE_x   ? (void *)x
                              : role == NG_ROLE_y ? got
                                                  : (void *)&one;
    }
    cpu->interp(p, &args, 0, 1);
    for (int k = 0; k < p->streams; k++)
        if (p->stream[k].role == NG_ROLE_y) args.stream[k].base = naive_says;
    naive n = {.spec = s, .program = p};
    subject_naive(&n).run(&n, &args, 0, 1);
    for (size_t b = 0; b < HIDDEN / BLOCK; b++) {
        size_t size = ggml_block(x + b * BLOCK, sums, want);
        REQUIRE(element_same(s->y, got + b * bytes, naive_says + b * bytes), "block %zu", b);
        if (size == 0) {
            skipped++;
            continue;
        }
        REQUIRE(size == bytes && memcmp(got + b * bytes, want, size) == 0, "block %zu, kind %zu", b,
                b % 8);
        same++;
    }
}

/* y' is x itself: x times a given rstd of 1. */
START_TEST(blocks_are_those_of_ggml) {
    static const char *const specs[] = {"rms hidden=4096 eps=0 y=q8_0 weight=none stats=apply",
                                        "rms hidden=4096 eps=0 y=q8_1 weight=none stats=apply"};
    normgen_spec s;
    ng_program p;
    ck_assert_msg(normgen_spec_parse(&s, specs[_i]) == NORMGEN_OK, "%s", normgen_error());
    ng_program_build(&p, &s);
    same = skipped = 0;
    for (uint64_t row = 0; row < 500; row++) check_row(&p, &s, row);
    printf("%zu blocks are ggml's, %zu are not defined by it\n", same, skipped);
    ck_assert_uint_gt(same, 40000);
    ck_assert_uint_gt(skipped, 1000);
}
END_TEST

int main(void) {
    Suite *s = suite_create("blocks");
    TCase *t = tcase_create("blocks");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, blocks_are_those_of_ggml, 0, 2);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
