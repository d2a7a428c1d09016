/* SPDX-License-Identifier: Apache-2.0 */
/* Spec texts and spec structs: what one field table promises about both. Every failure prints the
 * text at hand. */
#include "program.h"
#include "spec.h"

#include "decimal.h"

#include <check.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Millions of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

static uint64_t random_bits(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state ^ *state >> 31;
    return x * 0x9e3779b97f4a7c15u >> 16;
}

static int32_t *word_at(normgen_spec *s, const ng_field *f) {
    return (int32_t *)(void *)((char *)s + f->offset);
}

static size_t words_of(const ng_field *f) {
    size_t n = 0;
    while (f->words[n].text) n++;
    return n;
}

/* Words at random, a third of them left to their defaults. Most are no valid spec. */
static normgen_spec random_spec(uint64_t *state) {
    static const double numbers[] = {0, 1e-5, 1e-6, 1e-12, 0.1, 1.0 / 3, 3.4028234e38, 5e-324, 2};
    normgen_spec s = {.struct_size = sizeof s};
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        bool rare = i >= 18; /* the fusions: all at once are never valid */
        if (f->form != NG_FIELD_WORD || random_bits(state) % (rare ? 6 : 3) == !rare) continue;
        if (rare && random_bits(state) % 6 > 0) continue;
        *word_at(&s, f) = f->words[random_bits(state) % words_of(f)].value;
    }
    s.hidden = 1 + (int64_t)(random_bits(state) % (uint64_t)NG_HIDDEN_MAX);
    if (random_bits(state) % 2) s.hidden = 64 * (1 + s.hidden % 4);
    if (random_bits(state) % 6 == 0) s.heads = 1 + (int64_t)(random_bits(state) % 9);
    if (random_bits(state) % 6 == 0) s.groups = 1 + (int64_t)(random_bits(state) % 9);
    if (random_bits(state) % 6 == 0) s.stat_first = (int64_t)(random_bits(state) % 300);
    if (random_bits(state) % 6 == 0) s.multiplier = (double)(random_bits(state) % 9);
    s.eps = numbers[random_bits(state) % 9];
    if (random_bits(state) % 4 == 0) s.offset = -numbers[random_bits(state) % 9];
    return s;
}

/* The next valid random spec, resolved, with its text. */
static normgen_spec valid_spec(uint64_t *state, char *text) {
    for (;;) {
        normgen_spec raw = random_spec(state), s;
        if (ng_spec_resolve(&raw, &s) != NORMGEN_OK) continue;
        ng_spec_text(&s, text);
        return s;
    }
}

static bool same_struct(const normgen_spec *a, const normgen_spec *b) {
    return memcmp(a, b, sizeof *a) ==
           0; /* the struct has no padding beyond `kind`; all are zeroed */
}

/* ---- text ---- */

START_TEST(printing_what_was_parsed_is_the_identity) {
    uint64_t state = 1;
    for (int i = 0; i < 20000; i++) {
        char text[NORMGEN_SPEC_TEXT], again[NORMGEN_SPEC_TEXT];
        normgen_spec s = valid_spec(&state, text), parsed;
        REQUIRE(normgen_spec_parse(&parsed, text) == NORMGEN_OK, "%s: %s", text, normgen_error());
        REQUIRE(same_struct(&s, &parsed), "%s parses to another struct", text);
        REQUIRE(normgen_spec_print(&parsed, again, sizeof again) == NORMGEN_OK, "%s", text);
        REQUIRE(strcmp(text, again) == 0, "%s prints as %s", text, again);
    }
}
END_TEST

/* Splits canonical text and writes its fields after the kind in another order, with other blanks.
 */
static void shuffle(const char *text, uint64_t *state, char *out) {
    static const char *const blanks[] = {" ", "  ", "\t", "\n", " \r\n\t "};
    char copy[NORMGEN_SPEC_TEXT], *part[NG_FIELD_COUNT], *save = NULL;
    size_t n = 0;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save)) part[n++] = t;
    for (size_t i = n - 1; i > 1; i--) {
        size_t j = 1 + random_bits(state) % i;
        char *t = part[i];
        part[i] = part[j];
        part[j] = t;
    }
    out += sprintf(out, "%s", random_bits(state) & 1 ? " \n" : "");
    for (size_t i = 0; i < n; i++)
        out += sprintf(out, "%s%s", part[i], blanks[random_bits(state) % 5]);
}

START_TEST(any_order_and_any_blanks_mean_the_same_spec) {
    uint64_t state = 2;
    for (int i = 0; i < 5000; i++) {
        char text[NORMGEN_SPEC_TEXT], other[8 * NORMGEN_SPEC_TEXT];
        normgen_spec s = valid_spec(&state, text), parsed;
        shuffle(text, &state, other);
        REQUIRE(normgen_spec_parse(&parsed, other) == NORMGEN_OK, "%s: %s", other, normgen_error());
        REQUIRE(same_struct(&s, &parsed), "%s is not %s", other, text);
        REQUIRE(ng_spec_same(&s, &parsed), "%s is not %s", other, text);
    }
}
END_TEST

/* Text as a person writes it, and the canonical form. */
static const char *const forms[][2] = {
    {"rms hidden=4096 eps=1e-5", "rms hidden=4096 eps=1e-05 x=f32 y=f32 weight=f32"},
    {"rms eps=0.00001 hidden=4096", "rms hidden=4096 eps=1e-05 x=f32 y=f32 weight=f32"},
    {"rms hidden=1 eps=0", "rms hidden=1 eps=0 x=f32 y=f32 weight=f32"},
    {"rms hidden=1 eps=-0", "rms hidden=1 eps=0 x=f32 y=f32 weight=f32"},
    {"rms hidden=007 eps=.5", "rms hidden=7 eps=0.5 x=f32 y=f32 weight=f32"},
    {"rms hidden=8 eps=0.0001 x=bf16", "rms hidden=8 eps=0.0001 x=bf16 y=bf16 weight=bf16"},
    {"rms hidden=8 eps=1e-6 x=f16 y=f32 weight=none",
     "rms hidden=8 eps=1e-06 x=f16 y=f32 weight=none"},
    {"rms hidden=8 eps=1e-6 offset=1.0", "rms hidden=8 eps=1e-06 x=f32 y=f32 weight=f32 offset=1"},
    {"rms hidden=8 eps=1e-6 bias=none residual=none offset=0 rounding=f32 range=plain "
     "compute=f32 lanes=64 rstd=no",
     "rms hidden=8 eps=1e-06 x=f32 y=f32 weight=f32"},
    {"rms hidden=8 eps=1e-6 x=f64 compute=f64 lanes=32",
     "rms hidden=8 eps=1e-06 x=f64 y=f64 weight=f64"},
    {"rms hidden=8 eps=1e-6 x=f64 compute=f32 lanes=64",
     "rms hidden=8 eps=1e-06 x=f64 y=f64 weight=f64 compute=f32"},
    {"rms hidden=8 eps=1e-6 residual=f64",
     "rms hidden=8 eps=1e-06 x=f32 y=f32 weight=f32 residual=f64"},
    {"rms hidden=8 eps=1e-6 residual=f64 lanes=64",
     "rms hidden=8 eps=1e-06 x=f32 y=f32 weight=f32 residual=f64 lanes=64"},
    {"layer residual=bf16 bias=f32 weight=f32 y=bf16 x=bf16 eps=1e-12 hidden=768",
     "layer hidden=768 eps=1e-12 x=bf16 y=bf16 weight=f32 bias=f32 residual=bf16"},
    {"layer hidden=16777216 eps=3.0e-06 rstd=yes mean=yes variance=shifted stat_of=stat_exact "
     "sum=f32 residual=f16",
     "layer hidden=16777216 eps=3e-06 x=f32 y=f32 weight=f32 residual=f16 sum=f32 "
     "stat_of=stat_exact variance=shifted mean=yes rstd=yes"},
};

START_TEST(canonical_text_is_what_the_documents_say) {
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        normgen_spec s;
        char text[NORMGEN_SPEC_TEXT];
        REQUIRE(normgen_spec_parse(&s, forms[i][0]) == NORMGEN_OK, "%s: %s", forms[i][0],
                normgen_error());
        ng_spec_text(&s, text);
        REQUIRE(strcmp(text, forms[i][1]) == 0, "%s prints as %s", forms[i][0], text);
    }
}
END_TEST

/* ---- what is refused ---- */

/* `text` is refused, the message has `word`, and nothing is written. */
static void refuses(const char *text, const char *word) {
    normgen_spec s, before;
    memset(&s, 0x5a, sizeof s);
    before = s;
    REQUIRE(normgen_spec_parse(&s, text) == NORMGEN_E_SPEC, "'%s' was accepted", text);
    REQUIRE(strstr(normgen_error(), word), "'%s': the message lacks '%s': %s", text, word,
            normgen_error());
    REQUIRE(memcmp(&s, &before, sizeof s) == 0, "'%s' was refused but written", text);
}

static const char *const bad_words[] = {"", "bogus", "F32", "0", "f32,", "default", "f3", "f322"};
static const char *const bad_integers[] = {"",         "0",
                                           "-1",       "768.5",
                                           "1e3",      "nan",
                                           "16777217", "9223372036854775808",
                                           "0x10",     "7f",
                                           "+",        "18446744073709551617",
                                           "1,024",    "99999999999999999999999999999999999999"};
static const char *const bad_decimals[] = {"",   "nan",   "-nan",  "inf",   "-inf",  "infinity",
                                           "1e", "1e400", "0x1p3", "1,5",   "1.2.3", ".",
                                           "-",  "e5",    "one",   "1e-5f", "--1",   "1_0"};

/* What a field (with that value, or with any) needs around it. */
static const struct {
    const char *field, *value, *base;
} bases[] = {
    {"y", "i8", "rms hidden=64 eps=1e-5 quant=row"},
    {"y", "u8", "rms hidden=64 eps=1e-5 quant=row"},
    {"y", NULL, "rms hidden=64 eps=1e-5"},
    {"rounding", NULL, "rms hidden=8 eps=1e-5 gate=f32"},
    {"stat_first", NULL, "rms hidden=8 eps=1e-5"},
    {"eps_mode", NULL, "l2 hidden=8 eps=1e-5"},
    {"gate_act", NULL, "rms hidden=8 eps=1e-5 gate=f32"},
    {"gate_at", NULL, "rms hidden=8 eps=1e-5 gate=f32"},
    {"post_weight", NULL, "rms hidden=8 eps=1e-5 residual=f32 sum=f32"},
    {"y2", NULL, "rms hidden=64 eps=1e-5 y=q8_0"},
    {"weight2", NULL, "rms hidden=64 eps=1e-5 y=q8_0 y2=f32"},
    {"bias2", NULL, "rms hidden=64 eps=1e-5 y2=f32 weight2=f32"},
    {"quant", NULL, "rms hidden=128 eps=1e-5 y=e4m3"},
    {"rope_type", NULL, "rms hidden=8 eps=1e-5 rope=half"},
    {"stats", "partial", "rms hidden=8 eps=0 weight=none"},
    {"stats", NULL, "rms hidden=8 eps=0"},
};

static const char *base_for(const ng_field *f, const char *value) {
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++)
        if (strcmp(bases[i].field, f->name) == 0 &&
            (!bases[i].value || strcmp(bases[i].value, value) == 0))
            return bases[i].base;
    return NULL;
}

/* A spec text in which field f, which may need others, has the value. */
static void with_value(const ng_field *f, const char *value, char *text, size_t size) {
    const char *base = base_for(f, value);
    if (f == &ng_fields[0]) {
        snprintf(text, size, "%s hidden=8 eps=0", value);
        return;
    }
    if (base) {
        snprintf(text, size, "%s %s=%s", base, f->name, value);
        return;
    }
    bool hidden = strcmp(f->name, "hidden") == 0, eps = strcmp(f->name, "eps") == 0;
    snprintf(text, size, "layer %s%s residual=f32 %s %s=%s", hidden ? "" : "hidden=8",
             eps ? "" : " eps=1e-5", strcmp(f->name, "sum") == 0 ? "" : "sum=f32", f->name, value);
    if (strcmp(f->name, "residual") == 0)
        snprintf(text, size, "layer hidden=8 eps=1e-5 residual=%s", value);
}

START_TEST(every_field_refuses_bad_values_and_names_itself) {
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        const char *const *list = f->form == NG_FIELD_WORD      ? bad_words
                                  : f->form == NG_FIELD_INTEGER ? bad_integers
                                                                : bad_decimals;
        size_t n = f->form == NG_FIELD_WORD      ? sizeof bad_words / sizeof bad_words[0]
                   : f->form == NG_FIELD_INTEGER ? sizeof bad_integers / sizeof bad_integers[0]
                                                 : sizeof bad_decimals / sizeof bad_decimals[0];
        for (size_t j = 0; j < n; j++) {
            char text[256];
            if (i == 0 && list[j][0] == 0) continue;
            if (f->form == NG_FIELD_INTEGER && f->least == 0 && strcmp(list[j], "0") == 0) continue;
            with_value(f, list[j], text, sizeof text);
            refuses(text, f->name);
        }
    }
    refuses("rms hidden=8 eps=-1e-30", "eps");
}
END_TEST

START_TEST(every_field_takes_each_of_its_words) {
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        for (const ng_word *w = f->words; w && w->text; w++) {
            char text[256], allowed[128];
            normgen_spec s;
            with_value(f, w->text, text, sizeof text);
            if (strcmp(f->name, "sum") == 0 && w->value == NORMGEN_NONE) continue;
            if (strcmp(f->name, "residual") == 0 && w->value == NORMGEN_NONE) continue;
            REQUIRE(normgen_spec_parse(&s, text) == NORMGEN_OK, "%s: %s", text, normgen_error());
            REQUIRE(*word_at(&s, f) == w->value, "%s: %d", text, *word_at(&s, f));
            ng_field_allowed(f, allowed, sizeof allowed);
            REQUIRE(strstr(allowed, w->text), "%s: help lacks %s: %s", f->name, w->text, allowed);
        }
    }
}
END_TEST

START_TEST(unknown_repeated_missing_and_misplaced_fields_are_refused) {
    refuses("", "empty");
    refuses(" \t\n", "empty");
    refuses("rms", "hidden");
    refuses("rms hidden=8", "eps");
    refuses("rms eps=1e-5", "hidden");
    refuses("hidden=8 eps=1e-5 rms", "kind");
    refuses("kind=rms hidden=8 eps=1e-5", "kind");
    refuses("rms hidden=8 eps=1e-5 kind=rms", "kind");
    refuses("rms hidden=8 eps=1e-5 layer", "layer");
    refuses("rms hidden=8 eps=1e-5 hidden=8", "twice");
    refuses("rms hidden=8 eps=1e-5 x=f32 x=f32", "twice");
    refuses("rms hidden=8 eps=1e-5 gatee=f32", "gatee");
    refuses("rms hidden=8 eps=1e-5 =f32", "=f32");
    refuses("rms hidden=8 eps=1e-5 x", "x");
    refuses("rms hidden=8 eps=1e-5 x =f32", "x");
    refuses("rms hidden=8 eps=1e-5 Hidden=8", "Hidden");
    refuses("rms hidden=8 eps=1e-5 struct_size=8", "struct_size");
    refuses("rms\xc2\xa0hidden=8 eps=1e-5", "kind");
    char longer[4096];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    refuses(longer, "too long");
    memcpy(longer, "rms hidden=8 eps=1e-5 x=", 24);
    refuses(longer, "too long");
}
END_TEST

/* Fields that need another one are refused without it, also with the value they would have. */
START_TEST(fields_that_do_not_apply_are_refused) {
    refuses("rms hidden=8 eps=1e-5 sum=f32", "residual");
    refuses("rms hidden=8 eps=1e-5 sum=none residual=none", "residual");
    refuses("rms hidden=8 eps=1e-5 weight=none offset=1", "weight");
    refuses("rms hidden=8 eps=1e-5 weight=none offset=0", "weight");
    refuses("rms hidden=8 eps=1e-5 residual=f32 stat_of=exact", "sum");
    refuses("rms hidden=8 eps=1e-5 stat_of=rounded", "sum");
    refuses("rms hidden=8 eps=1e-5 variance=shifted", "layer");
    refuses("rms hidden=8 eps=1e-5 variance=two_pass", "layer");
    refuses("rms hidden=8 eps=1e-5 mean=yes", "layer");
    refuses("rms hidden=8 eps=1e-5 mean=no", "layer");
    refuses("rms hidden=8 eps=1e39", "compute=f64");
    refuses("rms hidden=8 eps=1e-5 offset=-1e39", "compute=f64");
    normgen_spec s;
    ck_assert_int_eq(normgen_spec_parse(&s, "rms hidden=8 eps=1e39 compute=f64"), NORMGEN_OK);
}
END_TEST

START_TEST(null_pointers_and_short_buffers_are_refused) {
    normgen_spec s = normgen_rms(8);
    char text[NORMGEN_SPEC_TEXT];
    ck_assert_int_eq(normgen_spec_parse(NULL, "rms hidden=8 eps=1"), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_spec_parse(&s, NULL), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_spec_print(NULL, text, sizeof text), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_spec_print(&s, NULL, sizeof text), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_spec_print(&s, text, sizeof text - 1), NORMGEN_E_ARGUMENT);
    ck_assert_int_eq(normgen_spec_print(&s, text, sizeof text), NORMGEN_OK);
}
END_TEST

/* ---- structs ---- */

START_TEST(every_struct_member_refuses_what_is_out_of_range) {
    static const double bad_doubles[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    static const int64_t bad_hidden[] = {0, -1, INT64_MIN, NG_HIDDEN_MAX + 1, INT64_MAX};
    normgen_spec out;
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        for (int v = -1; v < 1000 && f->form == NG_FIELD_WORD; v += v < 20 ? 1 : 49) {
            normgen_spec s = normgen_layer(8);
            const char *word = "";
            s.residual = s.sum = NORMGEN_F32;
            bool listed = v == 0 && i > 0; /* zero is the default of all but the kind */
            for (const ng_word *w = f->words; w->text; w++) {
                if (w->value == v) word = w->text;
                listed = listed || w->value == v;
            }
            if (v == 0 && !*word && base_for(f, "none")) word = "none";
            if (base_for(f, word)) {
                char text[256];
                with_value(f, word, text, sizeof text);
                if (normgen_spec_parse(&s, text) != NORMGEN_OK)
                    ck_assert_int_eq(normgen_spec_parse(&s, base_for(f, word)), NORMGEN_OK);
            }
            if (i == 0) s.eps = 0;
            *word_at(&s, f) = v;
            if (strcmp(f->name, "residual") == 0) s.sum = 0;
            REQUIRE((ng_spec_resolve(&s, &out) == NORMGEN_OK) == listed, "%s = %d: %s", f->name, v,
                    normgen_error());
            REQUIRE(listed || strstr(normgen_error(), f->name), "%s: %s", f->name, normgen_error());
        }
    }
    for (int i = 0; i < 5; i++) {
        normgen_spec s = normgen_rms(bad_hidden[i]);
        ck_assert_int_eq(ng_spec_resolve(&s, &out), NORMGEN_E_SPEC);
    }
    for (int i = 0; i < 3; i++) {
        normgen_spec s = normgen_rms(8);
        s.eps = bad_doubles[i];
        ck_assert_int_eq(ng_spec_resolve(&s, &out), NORMGEN_E_SPEC);
        s.eps = 1;
        s.offset = bad_doubles[i];
        ck_assert_int_eq(ng_spec_resolve(&s, &out), NORMGEN_E_SPEC);
    }
}
END_TEST

/* Structs of older headers end earlier; what is missing is default, and not even read. */
START_TEST(a_shorter_struct_means_defaults_for_the_rest) {
    normgen_spec bare = normgen_layer(96), expected;
    ck_assert_int_eq(ng_spec_resolve(&bare, &expected), NORMGEN_OK);
    for (size_t size = offsetof(normgen_spec, x); size <= sizeof bare; size += sizeof(int32_t)) {
        unsigned char *copy = malloc(size); /* a sanitizer sees a read past its end */
        normgen_spec out, s = bare;
        s.struct_size = size;
        memcpy(copy, &s, size);
        REQUIRE(ng_spec_resolve((const normgen_spec *)(void *)copy, &out) == NORMGEN_OK,
                "struct_size %zu: %s", size, normgen_error());
        REQUIRE(same_struct(&out, &expected), "struct_size %zu", size);
        free(copy);
    }
    static const size_t bad[] = {0, 8, offsetof(normgen_spec, x) - 1, sizeof bare + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        normgen_spec out, s = bare;
        s.struct_size = bad[i];
        REQUIRE(ng_spec_resolve(&s, &out) == NORMGEN_E_SPEC, "struct_size %zu", bad[i]);
        REQUIRE(strstr(normgen_error(), "struct_size"), "%s", normgen_error());
    }
}
END_TEST

START_TEST(resolving_twice_changes_nothing) {
    uint64_t state = 5;
    for (int i = 0; i < 5000; i++) {
        char text[NORMGEN_SPEC_TEXT];
        normgen_spec s = valid_spec(&state, text), again = s;
        REQUIRE(ng_spec_resolve(&again, &again) == NORMGEN_OK, "%s", text);
        REQUIRE(same_struct(&s, &again), "%s", text);
    }
}
END_TEST

/* What is built has limits (operations, buffers, values that cross passes): no spec exceeds them.
 */
START_TEST(every_valid_spec_has_a_program) {
    static const char *const long_ones[] = {
        "layer hidden=64 eps=1e-5 x=f64 y=u8 quant=row y2=f32 rope=half gate=f64 gate_act=gelu "
        "gate_at=before range=scaled residual=f64 sum=bf16 stat_of=stat_exact "
        "mean=yes rstd=yes bias=f32 xbias=f32 multiplier=2 xgate=f32 modulate=f32 offset=1",
        "layer hidden=64 eps=1e-5 x=f64 y=q8_1 y2=f32 rope=interleaved gate=f64 gate_act=gelu "
        "range=scaled residual=f64 sum=bf16 stat_of=stat_exact mean=yes rstd=yes bias=f32 "
        "modulate=f32 rounding=llama",
        ("rms hidden=64 eps=1e-5 x=bf16 y=u8 quant=row y2=f32 weight2=f32 bias2=f32 residual=bf16 "
         "sum=bf16 post_weight=f32 offset=1 rounding=llama stat_of=stat_exact rstd=yes"),
        "dyt hidden=64 eps=0 x=f64 y=q8_1 gate=f64 gate_act=gelu residual=f64 sum=f64 after=f64"};
    uint64_t state = 21;
    ng_program p;
    for (size_t i = 0; i < sizeof long_ones / sizeof long_ones[0]; i++) {
        normgen_spec s;
        REQUIRE(normgen_spec_parse(&s, long_ones[i]) == NORMGEN_OK, "%s", normgen_error());
        ng_program_build(&p, &s);
    }
    for (int i = 0; i < 10000; i++) {
        char text[NORMGEN_SPEC_TEXT];
        normgen_spec s = valid_spec(&state, text);
        ng_program_build(&p, &s);
        REQUIRE(p.passes >= 1 && p.hidden * p.parts == s.hidden, "%s", text);
        REQUIRE(p.span == 1 || p.hidden % p.span == 0, "%s", text);
    }
}
END_TEST

START_TEST(constructors_give_the_specs_of_their_names) {
    normgen_spec rms = normgen_rms(4096), layer = normgen_layer(768);
    char text[NORMGEN_SPEC_TEXT];
    ck_assert_int_eq(normgen_spec_print(&rms, text, sizeof text), NORMGEN_OK);
    ck_assert_str_eq(text, "rms hidden=4096 eps=1e-05 x=f32 y=f32 weight=f32");
    layer.bias = NORMGEN_F32;
    ck_assert_int_eq(normgen_spec_print(&layer, text, sizeof text), NORMGEN_OK);
    ck_assert_str_eq(text, "layer hidden=768 eps=1e-05 x=f32 y=f32 weight=f32 bias=f32");
}
END_TEST

START_TEST(the_longest_text_fits) {
    size_t longest = 0;
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        size_t value = f->form == NG_FIELD_INTEGER ? 8 : f->form == NG_FIELD_DECIMAL ? 24 : 0;
        for (const ng_word *w = f->words; w && w->text; w++)
            if (strlen(w->text) > value) value = strlen(w->text);
        longest += 1 + strlen(f->name) + 1 + value;
    }
    ck_assert_uint_lt(longest, NORMGEN_SPEC_TEXT);
}
END_TEST

/* ---- numbers ---- */

/* The shortest digits that read back, by the definition. */
static void decimals_round_trip(void) {
    uint64_t state = 9;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_bits(&state) << 16 ^ random_bits(&state);
        double v, back;
        if (i & 1) bits = 0x3f00000000000000u | (bits & 0xfffff00000000u); /* few digits */
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v)) continue;
        char text[NG_DECIMAL_TEXT], shorter[64];
        ng_decimal_print(v, text);
        REQUIRE(strspn(text, "+-.0123456789e") == strlen(text), "%a prints as %s", v, text);
        REQUIRE(ng_decimal_parse(text, &back) && back == v, "%a prints as %s", v, text);
        int digits = 0;
        for (const char *p = text; *p && *p != 'e'; p++) digits += *p >= '0' && *p <= '9';
        if (digits < 2 || digits > 17 || strchr(text, 'e') == NULL) continue;
        snprintf(shorter, sizeof shorter, "%.*g", digits - 1, v);
        REQUIRE(strtod(shorter, NULL) != v, "%s could be %s", text, shorter);
    }
}

START_TEST(numbers_print_shortest_and_read_back) { decimals_round_trip(); }
END_TEST

/* Takes a locale of numbers with a comma, made for the occasion: few systems have one installed. */
static bool set_comma_locale(void) {
    static const char source[] = "LC_CTYPE\ncopy \"POSIX\"\nEND LC_CTYPE\n"
                                 "LC_COLLATE\ncopy \"POSIX\"\nEND LC_COLLATE\n"
                                 "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\n"
                                 "grouping -1\nEND LC_NUMERIC\n";
    char folder[] = "/tmp/normgen-locale-XXXXXX", path[64], command[256];
    if (!mkdtemp(folder)) return false;
    snprintf(path, sizeof path, "%s/source", folder);
    FILE *f = fopen(path, "w");
    if (!f || fputs(source, f) < 0 || fclose(f) != 0) return false;
    snprintf(command, sizeof command,
             "localedef -c -i %s -f ANSI_X3.4-1968 %s/comma >/dev/null 2>&1", path, folder);
    (void)!system(command); /* it ends with 1 because the other categories are missing */
    setenv("LOCPATH", folder, 1);
    bool made = setlocale(LC_NUMERIC, "comma") != NULL;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 && made;
}

START_TEST(the_locale_changes_nothing) {
    char text[NORMGEN_SPEC_TEXT];
    normgen_spec s;
    if (!set_comma_locale()) {
        const char *ci = getenv("CI");
        printf(
            "not run: a locale with a decimal comma (needs localedef: apt-get install locales)\n");
        ck_assert_msg(!ci || strcmp(ci, "true") != 0, "with CI=true nothing may be left out");
        return;
    }
    ck_assert_str_eq(localeconv()->decimal_point, ",");
    ck_assert_int_eq(normgen_spec_parse(&s, "rms hidden=8 eps=1.5e-5 offset=0.25"), NORMGEN_OK);
    ck_assert(s.eps == 1.5e-5 && s.offset == 0.25);
    ng_spec_text(&s, text);
    ck_assert_str_eq(text, "rms hidden=8 eps=1.5e-05 x=f32 y=f32 weight=f32 offset=0.25");
    refuses("rms hidden=8 eps=1,5e-5", "eps");
    decimals_round_trip();
}
END_TEST

/* ---- lists ---- */

START_TEST(lists_keep_names_and_specs) {
    ng_spec_list list = {0};
    for (int64_t i = 1; i <= 1000; i++) {
        char name[32];
        normgen_spec s = normgen_rms(i);
        snprintf(name, sizeof name, "norm%d", (int)i);
        ck_assert_int_eq(ng_spec_list_add(&list, i & 1 ? name : NULL, &s), NORMGEN_OK);
    }
    ck_assert_uint_eq(list.count, 1000);
    ck_assert_str_eq(list.items[998].name, "norm999");
    ck_assert_str_eq(list.items[999].name, "");
    ck_assert_int_eq(list.items[41].spec.hidden, 42);
    ng_spec_list_fini(&list);
    ng_spec_list_fini(&list);
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("spec");
    TCase *tc = tcase_create("spec");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, printing_what_was_parsed_is_the_identity);
    tcase_add_test(tc, any_order_and_any_blanks_mean_the_same_spec);
    tcase_add_test(tc, canonical_text_is_what_the_documents_say);
    tcase_add_test(tc, every_field_refuses_bad_values_and_names_itself);
    tcase_add_test(tc, every_field_takes_each_of_its_words);
    tcase_add_test(tc, unknown_repeated_missing_and_misplaced_fields_are_refused);
    tcase_add_test(tc, fields_that_do_not_apply_are_refused);
    tcase_add_test(tc, null_pointers_and_short_buffers_are_refused);
    tcase_add_test(tc, every_struct_member_refuses_what_is_out_of_range);
    tcase_add_test(tc, a_shorter_struct_means_defaults_for_the_rest);
    tcase_add_test(tc, resolving_twice_changes_nothing);
    tcase_add_test(tc, every_valid_spec_has_a_program);
    tcase_add_test(tc, constructors_give_the_specs_of_their_names);
    tcase_add_test(tc, the_longest_text_fits);
    tcase_add_test(tc, numbers_print_shortest_and_read_back);
    tcase_add_test(tc, the_locale_changes_nothing);
    tcase_add_test(tc, lists_keep_names_and_specs);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
