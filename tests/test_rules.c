/* SPDX-License-Identifier: Apache-2.0 */
/* Specs that mean nothing are refused, by a message that names both fields and the rule. */
#include "awkward.h"
#include "cover.h"
#include "refused.h"

#include <check.h>
#include <stdio.h>

/* The text of a spec that need not be legal: what is 0, a default, is left out. */
static void raw_text(const normgen_spec *s, char *text) {
    size_t at = 0;
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        const char *member = (const char *)s + f->offset, *word = NULL;
        char value[40], *to = text + at;
        int32_t code;
        int64_t integer;
        double decimal;
        memcpy(&code, member, sizeof code);
        for (const ng_word *w = f->words; w && w->text; w++)
            if (w->value == code) word = w->text;
        if (f->words && (!word || (i > 0 && code == 0))) continue;
        if (f->words && !f->always && strcmp(word, "none") == 0) continue;
        if (f->form == NG_FIELD_INTEGER) {
            memcpy(&integer, member, sizeof integer);
            if (integer == 0 || (double)integer == f->standard) continue;
            snprintf(value, sizeof value, "%lld", (long long)integer);
        } else if (f->form == NG_FIELD_DECIMAL) {
            memcpy(&decimal, member, sizeof decimal);
            if (i != 2 && (decimal == 0 || decimal == f->standard)) continue;
            snprintf(value, sizeof value, "%.17g", decimal);
        } else {
            snprintf(value, sizeof value, "%s", word);
        }
        at += (size_t)sprintf(to, i ? " %s=%s" : "%.0s%s", f->name, value);
    }
}

static void check_message(const char *text, const char *a, const char *b) {
    const char *error = normgen_error();
    ck_assert_msg(strstr(error, a) && strstr(error, b), "%s: '%s' names %s and %s?", text, error, a,
                  b);
}

START_TEST(every_rule_is_told_by_struct_and_by_text) {
    size_t rules = 0;
    for (const ng_rule *r = ng_rules; r->a; r++, rules++) {
        char text[NORMGEN_SPEC_TEXT];
        normgen_spec bad, out = {.struct_size = 7};
        ck_assert_msg(cover_broken(rules, r, &bad), "no spec breaks only the rule of %s and %s: %s",
                      r->a, r->b, r->sentence);
        raw_text(&bad, text);
        ck_assert_msg(ng_spec_resolve(&bad, &out) == NORMGEN_E_SPEC, "%s", text);
        ck_assert_uint_eq(out.struct_size, 7); /* untouched */
        check_message(text, r->a, r->b);
        ck_assert_msg(strstr(normgen_error(), r->sentence) != NULL, "%s", normgen_error());
        ck_assert_msg(normgen_spec_parse(&out, text) == NORMGEN_E_SPEC, "%s", text);
        check_message(text, r->a, r->b);
    }
    printf("%zu rules\n", rules);
    ck_assert_uint_gt(rules, 40);
}
END_TEST

START_TEST(listed_nonsense_is_refused) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[NORMGEN_SPEC_TEXT];
        normgen_spec s;
        snprintf(text, sizeof text, "%s %s", refused[i].kind, refused[i].fields);
        ck_assert_msg(normgen_spec_parse(&s, text) == NORMGEN_E_SPEC, "%s", text);
        check_message(text, refused[i].a, refused[i].b);
    }
}
END_TEST

/* Fields that need another one say so, also with their default value. */
START_TEST(fields_without_what_they_need_are_refused) {
    size_t fields = 0;
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        normgen_spec plain = normgen_rms(64), out;
        char text[NORMGEN_SPEC_TEXT], value[32];
        ck_assert_int_eq(ng_spec_resolve(&plain, &out), NORMGEN_OK);
        if (!f->applies || f->applies(&out)) continue;
        snprintf(value, sizeof value, "%s", f->words ? f->words[0].text : "1");
        snprintf(text, sizeof text, "rms hidden=64 eps=1e-05 %s=%s", f->name, value);
        ck_assert_msg(normgen_spec_parse(&out, text) == NORMGEN_E_SPEC, "%s", text);
        ck_assert_msg(strstr(normgen_error(), f->name) && strstr(normgen_error(), f->needs), "%s",
                      normgen_error());
        fields++;
    }
    ck_assert_uint_gt(fields, 10);
}
END_TEST

int main(void) {
    Suite *s = suite_create("rules");
    TCase *t = tcase_create("rules");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, every_rule_is_told_by_struct_and_by_text);
    tcase_add_test(t, listed_nonsense_is_refused);
    tcase_add_test(t, fields_without_what_they_need_are_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
