/* SPDX-License-Identifier: Apache-2.0 */
/* The language of spec files: what a file may say, and the message for each mistake in one. */
#include "script.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- what a file may say ---- */

#define A "a rms hidden=8 eps=1e-05 x=f32 y=f32 weight=f32"
static const struct {
    const char *text, *specs;
} good[] = {
    {"return spec { " GOOD " }", A "\n"},
    {"\xef\xbb\xbf\r\nreturn spec {\r\n" GOOD " }\r\n", A "\n"},
    {"return { spec { " GOOD " } }", A "\n"},
    {"return { { { spec { " GOOD " } } }, {} }", A "\n"},
    {"return {}", ""},
    {"return spec { name = 'a', kind = 'rms', hidden = 8.0, eps = 1e-5 }", A "\n"},
    {"return spec { name = 'a', kind = 'rms', hidden = 2^24, eps = 0 }",
     "a rms hidden=16777216 eps=0 x=f32 y=f32 weight=f32\n"},
    {"return spec { name = 'a', kind = 'rms', hidden = 8, eps = 1 }",
     "a rms hidden=8 eps=1 x=f32 y=f32 weight=f32\n"},
    {"return spec { name = 'a', kind = 'rms', hidden = 8, eps = -0.0 }",
     "a rms hidden=8 eps=0 x=f32 y=f32 weight=f32\n"},
    {"return spec { name = 'a', kind = 'layer', hidden = 768, eps = 1e-12, x = 'bf16', "
     "weight = 'f32', bias = 'f32', residual = 'bf16' }",
     "a layer hidden=768 eps=1e-12 x=bf16 y=bf16 weight=f32 bias=f32 residual=bf16\n"},
    {"return spec { name = 'a', kind = 'layer', hidden = 8, eps = 1e-5, x = 'f16', y = 'f32', "
     "weight = 'bf16', bias = 'f64', residual = 'f64', sum = 'f16', offset = 1, "
     "rounding = 'llama', stat_of = 'exact', variance = 'shifted', range = 'scaled', "
     "compute = 'f32', lanes = 128, mean = true, rstd = 'yes' }",
     "a layer hidden=8 eps=1e-05 x=f16 y=f32 weight=bf16 bias=f64 residual=f64 sum=f16 offset=1 "
     "rounding=llama stat_of=exact variance=shifted range=scaled compute=f32 lanes=128 mean=yes "
     "rstd=yes\n"},
    {"return spec { " GOOD ", rstd = false, lanes = 64.0, bias = 'none' }", A "\n"},
    {"return { spec { " GOOD " }, spec { name = 'b', kind = 'rms', hidden = 8, eps = 1e-5 } }",
     A "\nb rms hidden=8 eps=1e-05 x=f32 y=f32 weight=f32\n"},
    /* a spec that is made and not returned is none */
    {"spec { " GOOD " } return spec { " GOOD " }", A "\n"},
    /* pairs has one order */
    {"local l, t = {}, { z = 3, b = 2, [10] = 5, [2] = 4, [2.5] = 6 }\n"
     "for k, h in pairs(t) do l[#l + 1] = spec { name = format('n%d', h), kind = 'rms',\n"
     "hidden = h, eps = 0 } end return l",
     "n4 rms hidden=4 eps=0 x=f32 y=f32 weight=f32\nn6 rms hidden=6 eps=0 x=f32 y=f32 weight=f32\n"
     "n5 rms hidden=5 eps=0 x=f32 y=f32 weight=f32\nn2 rms hidden=2 eps=0 x=f32 y=f32 weight=f32\n"
     "n3 rms hidden=3 eps=0 x=f32 y=f32 weight=f32\n"},
};

/* The text must give specs whose "NAME TEXT\n" follow each other in `specs`. */
static void check_specs(const char *text, const char *specs) {
    ng_spec_list list = {NULL, 0};
    char canonical[NORMGEN_SPEC_TEXT], all[4096] = "";
    size_t at = 0;
    normgen_status st = script_read(text, &list);
    ck_assert_msg(st == NORMGEN_OK, "%s\n%s", text, normgen_error());
    for (size_t i = 0; i < list.count; i++) {
        ng_spec_text(&list.items[i].spec, canonical);
        at += (size_t)snprintf(all + at, sizeof all - at, "%s %s\n", list.items[i].name, canonical);
        ck_assert_uint_lt(at, sizeof all);
    }
    ck_assert_msg(strcmp(all, specs) == 0, "%s\nexpected\n%sgot\n%s", text, specs, all);
    ng_spec_list_fini(&list);
}

START_TEST(language_gives_the_specs_it_says) { check_specs(good[_i].text, good[_i].specs); }
END_TEST

/* ---- what it may not ---- */

#define WHOLE "it takes a whole number from 1 to 16777216"
#define NAME "it takes a letter or _, then letters, digits or _, at most 63 in all"
#define FORMAT_ERROR ":1: format: "
#define WITH(fields) "return spec { name = 'a', " fields " }"
#define HIDDEN(value) WITH("kind = 'rms', eps = 1e-5, hidden = " value)
#define X63 "x23456789_123456789_123456789_123456789_123456789_123456789_123"
static const struct {
    const char *text, *error;
} bad[] = {
    /* numbers */
    {HIDDEN("768.5"), ":1: field hidden: 768.5 is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("0"), ":1: field hidden: 0 is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("-4"), ":1: field hidden: -4 is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("2^24 + 1"), ":1: field hidden: 16777217 is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("2^63"), ":1: field hidden: 9.223372036854776e+18 is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("2^53"), ":1: field hidden: 9007199254740992 is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("9223372036854775807"),
     ":1: field hidden: 9223372036854775807 is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("0/0"), ":1: field hidden: nan is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("1/0"), ":1: field hidden: inf is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("-1/0"), ":1: field hidden: -inf is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("'4096'"), ":1: field hidden: '4096' is not allowed; " WHOLE ", not a string (spec a)"},
    {HIDDEN("{}"), ":1: field hidden: a table is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("print"), ":1: field hidden is missing; " WHOLE " (spec a)"},
    {HIDDEN("pairs"), ":1: field hidden: a function is not allowed; " WHOLE " (spec a)"},
    {HIDDEN("true"), ":1: field hidden: true is not allowed; " WHOLE " (spec a)"},
    {WITH("kind = 'rms', hidden = 8"),
     ":1: field eps is missing; it takes a finite number >= 0 (spec a)"},
    {WITH("kind = 'rms', hidden = 8, eps = 0/0"),
     ":1: field eps: nan is not allowed; it takes a finite number >= 0 (spec a)"},
    {WITH("kind = 'rms', hidden = 8, eps = 1/0"),
     ":1: field eps: inf is not allowed; it takes a finite number >= 0 (spec a)"},
    {WITH("kind = 'rms', hidden = 8, eps = '1e-5'"),
     ":1: field eps: '1e-5' is not allowed; it takes a finite number >= 0, not a string (spec a)"},
    {WITH("kind = 'rms', hidden = 8, eps = -1"),
     ":1: spec field eps: '-1' is not allowed; it takes a finite number >= 0 (spec a)"},
    {WITH("kind = 'rms', hidden = 8, eps = 1e39"),
     ":1: spec field eps: 1e+39 does not fit compute=f32; use compute=f64 (spec a)"},
    {"return spec { " GOOD ", offset = false }",
     ":1: field offset: false is not allowed; it takes a finite number (spec a)"},
    /* words */
    {WITH("hidden = 8, eps = 0"), ":1: field kind is missing; it takes rms layer l2 dyt (spec a)"},
    {WITH("kind = 'l3', hidden = 8, eps = 0"),
     ":1: field kind: 'l3' is not allowed; it takes rms layer l2 dyt (spec a)"},
    {"return spec { " GOOD ", x = 'fp16' }",
     ":1: field x: 'fp16' is not allowed; it takes f32 f64 bf16 f16 i8 (spec a)"},
    {"return spec { " GOOD ", x = 32 }",
     ":1: field x: 32 is not allowed; it takes f32 f64 bf16 f16 i8 (spec a)"},
    {"return spec { " GOOD ", x = 'f32\\0' }",
     ":1: field x: 'f32' is not allowed; it takes f32 f64 bf16 f16 i8 (spec a)"},
    {"return spec { " GOOD ", x = true }",
     ":1: field x: true is not allowed; it takes f32 f64 bf16 f16 i8 (spec a)"},
    {"return spec { " GOOD ", lanes = 63 }",
     ":1: field lanes: 63 is not allowed; it takes 16 32 64 128 256 (spec a)"},
    {"return spec { " GOOD ", lanes = '64' }",
     ":1: field lanes: '64' is not allowed; it takes 16 32 64 128 256, not a string (spec a)"},
    {"return spec { " GOOD ", rstd = 1 }",
     ":1: field rstd: 1 is not allowed; it takes no yes (spec a)"},
    {"return spec { " GOOD ", residual = spec { " GOOD " } }",
     ":1: field residual: a spec is not allowed; it takes none f32 f64 bf16 f16 (spec a)"},
    /* fields */
    {"return spec { " GOOD ", hiden = 8 }",
     ":1: field hiden is unknown; did you mean hidden? (spec a)"},
    {"return spec { " GOOD ", epsilon = 8 }",
     ":1: field epsilon is unknown; did you mean eps? (spec a)"},
    {"return spec { " GOOD ", vxyz = 8, unseen = 1 }",
     ":1: field unseen is unknown; there are name kind hidden eps x y weight bias residual sum "
     "offset rounding stat_of variance range compute lanes mean rstd heads groups stat_first "
     "eps_mode gate gate_act gate_at modulate xbias multiplier xgate residual_rows after "
     "post_weight y2 weight2 bias2 quant rope rope_type stats (spec a)"},
    {"return spec { " GOOD ", 768 }",
     ":1: spec has a value without a field name; write field = value (spec a)"},
    {"return spec { " GOOD ", mean = true }",
     ":1: spec field mean does not apply: it needs kind=layer; leave it out (spec a)"},
    {"return spec { " GOOD ", mean = false }",
     ":1: spec field mean does not apply: it needs kind=layer; leave it out (spec a)"},
    {"return spec { " GOOD ", sum = 'f32' }",
     ":1: spec field sum does not apply: it needs residual; leave it out (spec a)"},
    {"return spec { " GOOD ", weight = 'none', offset = 0 }",
     ":1: spec field offset does not apply: it needs weight; leave it out (spec a)"},
    /* names */
    {"return spec { kind = 'rms', hidden = 8, eps = 0 }", ":1: field name is missing; " NAME},
    {"return spec { name = 'llama-3' }", ":1: field name: 'llama-3' is not allowed; " NAME},
    {"return spec { name = '3b' }", ":1: field name: '3b' is not allowed; " NAME},
    {"return spec { name = '' }", ":1: field name: '' is not allowed; " NAME},
    {"return spec { name = 'a\\0b' }", ":1: field name: 'a' is not allowed; " NAME},
    {"return spec { name = '\xc3\xa4' }", ":1: field name: '\xc3\xa4' is not allowed; " NAME},
    {"return spec { name = 7 }", ":1: field name: 7 is not allowed; " NAME},
    {"return spec { name = '" X63 "4' }",
     ":1: field name: 'x23456789_123456789_123456789_123456789_123456789_123456789_...' is not "
     "allowed; " NAME},
    {"return {\n spec { " GOOD " },\n spec { " GOOD " } }",
     ":3: name a is given twice: by line 2 already"},
    {"local a = spec { " GOOD " }\nreturn { a, a }",
     ":1: name a is given twice: by line 1 already"},
    /* places: the line of `spec`, and who called its function */
    {"\n\nreturn spec\n{ }", ":3: field name is missing; " NAME},
    {"local function f(h)\n return spec { name = 'b', kind = 'rms', eps = 0,\n hidden = h }\nend\n"
     "return { f(1),\n f(0.5) }",
     ":2: field hidden: 0.5 is not allowed; " WHOLE " (spec b, called from line 6)"},
    {"local function f(n)\n return spec { name = n }\nend\nreturn {\n f() }",
     ":2: field name is missing; " NAME " (called from line 5)"},
    {"local function f()\n return spec { " GOOD " }\nend\nreturn { f(),\n f() }",
     ":5: name a is given twice: by line 4 already"},
    /* calls of spec, and what is returned */
    {"return spec(1)", ":1: spec takes one table: spec { ... }"},
    {"return spec()", ":1: spec takes one table: spec { ... }"},
    {"return spec({}, 1)", ":1: spec takes one table: spec { ... }"},
    {"return spec 'llama'", ":1: spec takes one table: spec { ... }"},
    {"", ": the file is empty"},
    {"-- nothing", ": the file returns nothing; end it with: return spec { ... }"},
    {"return nil", ": the file returns nothing; end it with: return spec { ... }"},
    {"return 4096", ": the file returns a number value; it must return a spec or a list of them"},
    {"return spec", ": the file returns a function value; it must return a spec or a list of them"},
    {"return 1, 2", ": the file returns 2 values; put them in one list: { ... }"},
    {"return { 1 }", ": element 1 of the returned list is a number value, not a spec"},
    {"return { spec { " GOOD " }, nil, false }",
     ": element 2 of the returned list is a nil value, not a spec"},
    {"return { [3] = spec { " GOOD " } }", ": the returned list has gaps"},
    {"return { hidden = 8 }",
     ": the returned list has a field 'hidden'; a list has specs only: write spec { ... }"},
    {"return { x = spec { " GOOD " } }",
     ": the returned list has a field 'x'; a list has specs only: write spec { ... }"},
    /* Lua's own messages */
    {"return spec {\n name = 'a\n}", ":2: unfinished string near ''a'"},
    {"return nosuch { }", ":1: attempt to call a nil value (global 'nosuch')"},
    {"error 'no'", ":1: no"},
    {"local function check()\n error('no', 2)\nend\ncheck()", ":4: no"},
    {"assert(false)", ":1: assertion failed"},
    {"assert(nil, 'no')", ":1: no"},
    {"error({})", ":1: bad argument #1 to 'error' (string expected, got table)"},
    {"\033Lua", ": the file is not text; a spec file is Lua source"},
    /* format */
    {"format('%5d', 1)", FORMAT_ERROR "it knows %d, %s, %g and %% only"},
    {"format('%', 1)", FORMAT_ERROR "it knows %d, %s, %g and %% only"},
    {"format('%d', 1, 2)", FORMAT_ERROR "value 2 is not used"},
    {"format('%d')", ":1: bad argument #2 to 'format' (value expected)"},
    {"format('%d', 1.5)", ":1: bad argument #2 to 'format' (number has no integer representation)"},
    {"format('%d', '1')", ":1: bad argument #2 to 'format' (number expected, got string)"},
    {"format('%s', {})",
     ":1: bad argument #2 to 'format' (number, string, boolean or nil expected, got table)"},
    {"local s = 'xxxxxxxxxxxxxxxx' for i = 1, 6 do s = s .. s end format('%s', s)",
     FORMAT_ERROR "the result is longer than 1023 bytes"},
    /* addresses stay hidden */
    {"tostring({})",
     ":1: bad argument #1 to 'tostring' (number, string, boolean or nil expected, got table)"},
    {"tostring(pairs)",
     ":1: bad argument #1 to 'tostring' (number, string, boolean or nil expected, got function)"},
    {"pairs { [{}] = 1 }", ":1: pairs: a key is a table; keys are numbers, strings or booleans"},
    {"tonumber('10', 2)", ":1: bad argument #2 to 'tonumber' (tonumber takes no base here)"},
    {"select(0)", ":1: bad argument #1 to 'select' (index out of range)"},
};

START_TEST(mistake_is_named_with_its_line) { script_fails(bad[_i].text, bad[_i].error); }
END_TEST

int main(void) {
    Suite *s = suite_create("lua");
    TCase *t = tcase_create("lua");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, script_setup, script_teardown);
    tcase_add_loop_test(t, language_gives_the_specs_it_says, 0, (int)COUNT(good));
    tcase_add_loop_test(t, mistake_is_named_with_its_line, 0, (int)COUNT(bad));
    suite_add_tcase(s, t);
    return suite_main(s);
}
