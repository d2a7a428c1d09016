/* SPDX-License-Identifier: Apache-2.0 */
/* LLVM silently turns non-temporal stores into plain ones when it splits or bitcasts what is
 * stored. So the disassembly is read: under store=stream every store outside the stack is
 * non-temporal and a fence follows; under store=cached and store=ahead none is, and only the latter
 * asks for lines before it writes them. For every pair of element types,
 * width and ISA level, without running anything. */
#include "gen.h"
#include "program.h"
#include "schedule.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct stores {
    int plain, streaming, fences, asked;
    char example[128]; /* of a plain one */
} stores;

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* One instruction in AT&T syntax; its destination comes last. */
static void count_instruction(stores *s, const char *text) {
    static const char *const others[] = {"prefetch", "cmp", "test", "nop", "j", "vptest", "vucom"};
    size_t length = strlen(text);
    if (starts(text, "sfence")) s->fences++;
    if (starts(text, "prefetch")) s->asked++;
    if (length == 0 || text[length - 1] != ')') {
        if (!strchr(text, '{') || !strstr(text, ") {")) return; /* "vmovups %zmm0, (%rax) {%k1}" */
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (starts(text, others[i])) return;
    if (strstr(text, "movnt")) {
        s->streaming++;
        return;
    }
    if (strstr(text, "(%rsp")) return;
    s->plain++;
    snprintf(s->example, sizeof s->example, "%s", text);
}

static stores count(const ng_program *p, const ng_schedule *schedule, const ng_isa *isa) {
    stores s = {0};
    char *text = NULL, *rest;
    ck_assert_msg(ng_show(p, schedule, isa, NG_VIEW_ASM, &text) == NORMGEN_OK, "%s",
                  normgen_error());
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *instruction = strchr(line, ':');
        if (!instruction) continue;
        instruction += 1 + strspn(instruction + 1, " \t");
        char *comment = strchr(instruction, '#');
        if (comment) *comment = 0;
        for (size_t n = strlen(instruction); n && strchr(" \t", instruction[n - 1]); n--)
            instruction[n - 1] = 0;
        count_instruction(&s, instruction);
    }
    free(text);
    return s;
}

static size_t compare(const char *spec_text, const ng_isa *isa, int vec, int layout) {
    normgen_spec spec;
    ng_program p;
    ng_schedule s = {
        .vec = (int16_t)vec, .block = 1, .store = NG_STORE_STREAM, .layout = (int16_t)layout};
    ck_assert_msg(normgen_spec_parse(&spec, spec_text) == NORMGEN_OK, "%s", normgen_error());
    ng_program_build(&p, &spec);
    if (!ng_schedule_legal(&p, isa, &s, NULL)) return 0;
    stores streamed = count(&p, &s, isa);
    ck_assert_msg(streamed.streaming > 0, "%s vec=%d %s: no streaming store", isa->name, vec,
                  spec_text);
    ck_assert_msg(streamed.plain == 0, "%s vec=%d %s: %d plain stores beside %d streaming: %s",
                  isa->name, vec, spec_text, streamed.plain, streamed.streaming, streamed.example);
    ck_assert_msg(streamed.fences > 0, "%s vec=%d %s: no fence", isa->name, vec, spec_text);
    s.store = NG_STORE_STAGED;
    bool fits = ng_schedule_legal(&p, isa, &s, NULL); /* narrow vectors take much code */
    stores staged = fits ? count(&p, &s, isa) : streamed;
    ck_assert_msg(staged.streaming == streamed.streaming && staged.plain == 0 && staged.fences > 0,
                  "%s vec=%d %s: staged, %d of %d stores stream, %d do not: %s", isa->name, vec,
                  spec_text, staged.streaming, streamed.streaming, staged.plain, staged.example);
    s.store = NG_STORE_CACHED;
    stores cached = count(&p, &s, isa);
    ck_assert_msg(cached.streaming == 0 && cached.fences == 0 && cached.plain > 0,
                  "%s vec=%d %s: cached, with %d streaming and %d plain stores", isa->name, vec,
                  spec_text, cached.streaming, cached.plain);
    ck_assert_msg(cached.asked == 0, "%s vec=%d %s: cached, asks for lines", isa->name, vec,
                  spec_text);
    s.store = NG_STORE_AHEAD;
    stores ahead = ng_schedule_legal(&p, isa, &s, NULL) ? count(&p, &s, isa) : cached;
    bool asks = ahead.asked > 0 || !ng_schedule_legal(&p, isa, &s, NULL);
    ck_assert_msg(asks && ahead.plain == cached.plain && ahead.streaming == 0 && ahead.fences == 0,
                  "%s vec=%d %s: ahead, %d requests, %d plain stores of %d, %d streaming",
                  isa->name, vec, spec_text, ahead.asked, ahead.plain, cached.plain,
                  ahead.streaming);
    return 1;
}

/* One segment: more would be summed up in memory of the stack, at addresses in any register. */
static const char *const types[] = {"f32", "f64", "bf16", "f16"};
static const char *const outputs[] = {
    "f32", "f64", "bf16", "f16", "i8 quant=static", "e4m3 quant=static", "e5m2 quant=static"};
enum { OUTPUTS = sizeof outputs / sizeof outputs[0] };

START_TEST(streaming_stores_are_all_there) {
    const ng_isa *isa = &ng_isas[_i];
    size_t compared = 0;
    if (!isa->max_vec || !isa->streams || isa->arch != NG_X86_64) return;
    for (size_t x = 0; x < 4; x++)
        for (size_t y = 0; y < OUTPUTS; y++)
            for (int vec = 128; vec <= isa->max_vec; vec *= 2)
                for (int layer = 0; layer < (y < 4 ? 2 : 1); layer++) {
                    char spec[NORMGEN_SPEC_TEXT];
                    snprintf(spec, sizeof spec,
                             "%s hidden=1024 eps=1e-05 x=%s y=%s weight=f32 lanes=64",
                             layer ? "layer" : "rms", types[x], outputs[y]);
                    for (int layout = 0; layout < 2; layout++)
                        compared += compare(spec, isa, vec, layout);
                }
    printf("%s: %zu kernels stream\n", isa->name, compared);
    ck_assert_uint_ge(compared, 32);
}
END_TEST

int main(void) {
    Suite *s = suite_create("streams");
    TCase *t = tcase_create("streams");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, streaming_stores_are_all_there, 0, (int)ng_isa_count);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
