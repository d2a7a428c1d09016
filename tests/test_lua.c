/* SPDX-License-Identifier: Apache-2.0 */
/* Spec files: the language, its closed environment, its budgets. Files in tests/lua are hostile;
 * the second line of each says how it must fail. Runs from the root of the repository. */
#include "refused.h"
#include "specfile.h"

#include <check.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define GOOD "name = 'a', kind = 'rms', hidden = 8, eps = 1e-5"

static char folder[64], path[96];

static void make_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/normgen-lua-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/t.lua", folder);
}

static void remove_folder(void) {
    unlink(path);
    rmdir(folder);
}

static void write_bytes(const char *text, size_t size) {
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static normgen_status read_text(const char *text, ng_spec_list *list) {
    write_bytes(text, strlen(text));
    return ng_specfile_read(path, list);
}

/* The text must fail with E_SPEC and "PATH" followed by `error`. */
static void check_error(const char *text, const char *error) {
    ng_spec_list list = {NULL, 0};
    normgen_status st = read_text(text, &list);
    const char *got = normgen_error();
    ck_assert_msg(st == NORMGEN_E_SPEC, "%s\n%s, %zu specs", text, normgen_status_name(st),
                  list.count);
    ck_assert_msg(strncmp(got, path, strlen(path)) == 0 && strcmp(got + strlen(path), error) == 0,
                  "%s\nexpected PATH%s\ngot      %s", text, error, got);
    ck_assert_uint_eq(list.count, 0);
    ng_spec_list_fini(&list);
}

/* The text must give specs whose "NAME TEXT\n" follow each other in `specs`. */
static void check_specs(const char *text, const char *specs) {
    ng_spec_list list = {NULL, 0};
    char canonical[NORMGEN_SPEC_TEXT], all[4096] = "";
    size_t at = 0;
    normgen_status st = read_text(text, &list);
    ck_assert_msg(st == NORMGEN_OK, "%s\n%s", text, normgen_error());
    for (size_t i = 0; i < list.count; i++) {
        ng_spec_text(&list.items[i].spec, canonical);
        at += (size_t)snprintf(all + at, sizeof all - at, "%s %s\n", list.items[i].name, canonical);
        ck_assert_uint_lt(at, sizeof all);
    }
    ck_assert_msg(strcmp(all, specs) == 0, "%s\nexpected\n%sgot\n%s", text, specs, all);
    ng_spec_list_fini(&list);
}

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

START_TEST(mistake_is_named_with_its_line) { check_error(bad[_i].text, bad[_i].error); }
END_TEST

/* ---- the closed environment ---- */

START_TEST(environment_is_this_and_no_more) {
    check_error("local s = '' for k, v in pairs(_ENV) do s = s .. ' ' .. k end error(s)",
                ":1:  assert error format ipairs math pairs select spec tonumber tostring type");
    check_error("local s = '' for k, v in pairs(math) do s = s .. ' ' .. k end error(s)",
                ":1:  abs ceil floor max min sqrt");
}
END_TEST

static const char *const absent[] = {
    "print",     "require",      "load",         "loadstring",     "loadfile",
    "dofile",    "io",           "os",           "debug",          "string",
    "table",     "utf8",         "coroutine",    "package",        "pcall",
    "xpcall",    "setmetatable", "getmetatable", "collectgarbage", "rawset",
    "rawget",    "rawlen",       "rawequal",     "next",           "unpack",
    "warn",      "_G",           "_VERSION",     "math.random",    "math.randomseed",
    "math.huge", "math.log",     "arg"};

START_TEST(dangerous_names_are_nil) {
    char text[128], error[128];
    snprintf(text, sizeof text, "error(type(%s))", absent[_i]);
    check_error(text, ":1: nil");
    snprintf(text, sizeof text, "%s()", absent[_i]);
    const char *dot = strchr(absent[_i], '.');
    snprintf(error, sizeof error, ":1: attempt to call a nil value (%s '%s')",
             dot ? "field" : "global", dot ? dot + 1 : absent[_i]);
    check_error(text, error);
}
END_TEST

static const char *const methods[] = {"rep",     "format", "gsub", "find",
                                      "reverse", "dump",   "byte", "pack"};

START_TEST(strings_have_no_methods) {
    char text[128];
    snprintf(text, sizeof text, "local s = 'x' return s:%s('a', 1000000000)", methods[_i]);
    check_error(text, ":1: attempt to index a string value (local 's')");
    snprintf(text, sizeof text, "return ('x').%s", methods[_i]);
    check_error(text, ":1: attempt to index a string value (constant 'x')");
}
END_TEST

/* An expression and its text; `error` is the only way out of a script. */
static const struct {
    const char *expression, *value;
} values[] = {
    {"type(spec { " GOOD " })", "spec"},
    {"type(1) .. type('') .. type({}) .. type(nil) .. type(type)", "numberstringtablenilfunction"},
    {"tostring(nil) .. tostring(true) .. tostring(2) .. tostring('s')", "niltrue2s"},
    {"tostring(1.5)", "1.5"},
    {"format('%d|%d|%s|%s|%g|%g|%g|%%', 4096, 4096.0, 'a', true, 1e-5, 4096.0, 0.1)",
     "4096|4096|a|true|1e-05|4096|0.1|%"},
    {"format('')", ""},
    {"tostring(tonumber('0x10')) .. tostring(tonumber('1e3')) .. tostring(tonumber('x'))",
     "161000.0nil"},
    {"tostring(tonumber(7)) .. tostring(tonumber({})) .. tostring(tonumber('1\\0'))", "7nilnil"},
    {"tostring(select('#')) .. select('#', nil, nil) .. select(2, 'a', 'b') .. select(-1, 'a')",
     "02ba"},
    {"format('%d %d %d', math.floor(-1.5), math.ceil(-1.5), math.floor(7))", "-2 -1 7"},
    {"tostring(math.floor(1e300)) .. tostring(math.sqrt(16))", "1e+3004.0"},
    {"format('%g %g %g', math.min(3, 1, 2), math.max(3, 1, 2.5), math.max(1))", "1 3 1"},
    {"format('%g %d %g', math.abs(-2.5), math.abs(-3), math.abs(math.abs(-9223372036854775807)))",
     "2.5 3 9.223372036854776e+18"},
    {"assert(1, 'no') .. select(2, assert('a', 'b'))", "1b"},
    {"7 // 2 .. ' ' .. 7 % 4 .. ' ' .. 2 ^ 3 .. ' ' .. (5 & 4) .. ' ' .. #'abc'", "3 3 8.0 4 3"},
    {"(function(t) t[4] = 0 for i, v in ipairs(t) do t[5] = i .. v end return t[5] end)"
     "({ 'a', 'b' })",
     "2b"},
    {"(function(t) local s = '' for k in pairs(t) do t.b = nil s = s .. tostring(k) end return s "
     "end)({ c = 1, b = 2, a = 3, [true] = 4, [1] = 5, [-1.5] = 6 })",
     "true-1.51ac"},
};

START_TEST(functions_of_the_environment_work) {
    char text[512], error[128];
    snprintf(text, sizeof text, "error(%s)", values[_i].expression);
    snprintf(error, sizeof error, ":1: %s", values[_i].value);
    check_error(text, error);
}
END_TEST

/* ---- hostile files ---- */

/* Reads tests/lua/NAME; its error must be the path and what its second line says. */
static void check_hostile(const char *name) {
    char file[320], line[256], expected[640];
    ng_spec_list list = {NULL, 0};
    snprintf(file, sizeof file, "tests/lua/%s", name);
    FILE *f = fopen(file, "rb");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    fclose(f);
    line[strcspn(line, "\n")] = 0;
    ck_assert_int_eq(strncmp(line, "-- error: ", 10), 0);
    snprintf(expected, sizeof expected, "%s%s", file, line + 10);
    ck_assert_int_eq(ng_specfile_read(file, &list), NORMGEN_E_SPEC);
    ck_assert_str_eq(normgen_error(), expected);
    ck_assert_ptr_null(list.items);
}

START_TEST(hostile_files_end_with_their_error) {
    DIR *d = opendir("tests/lua");
    ck_assert_msg(d != NULL, "tests/lua is not there: run from the root of the repository");
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".lua")) n++, check_hostile(e->d_name);
    closedir(d);
    ck_assert_int_ge(n, 18);
}
END_TEST

/* ---- budgets, with a constructor of our own ---- */

static normgen_status make_point(ng_lua *lua, ng_lua_place place, void *record) {
    (void)place;
    *(int64_t *)record = ng_lua_field(lua, "v").integer;
    return NORMGEN_OK;
}

static normgen_status take_point(void *ctx, const void *record) {
    *(int64_t *)ctx += *(const int64_t *)record;
    return NORMGEN_OK;
}

static normgen_status run_points(const char *text, ng_lua_limits limits, int64_t *sum) {
    ng_lua_job job = {.path = "points",
                      .text = text,
                      .size = strlen(text),
                      .constructor = "point",
                      .record_size = sizeof(int64_t),
                      .make = make_point,
                      .take = take_point,
                      .ctx = sum,
                      .limits = limits};
    return ng_lua_run(&job);
}

START_TEST(budgets_are_those_that_were_promised) {
    const ng_lua_limits *l = &ng_specfile_limits;
    ck_assert_int_eq(l->instructions, 50000000);
    ck_assert_uint_eq(l->live, 16 * 1048576);
    ck_assert_uint_eq(l->total, 1024 * 1048576);
    ck_assert_int_eq(l->records, 10000);
    ck_assert(l->seconds == 10);
}
END_TEST

START_TEST(cpu_time_is_bounded) {
    ng_lua_limits l = ng_specfile_limits;
    int64_t sum = 0;
    l.seconds = 0.05;
    l.instructions = INT64_MAX;
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    /* comparing two long equal strings is the slowest single instruction there is */
    ck_assert_int_eq(run_points("local s = 'xxxxxxxxxxxxxxxx' for i = 1, 11 do s = s .. s end\n"
                                "local a, b = s .. 'y', s .. 'z'\n"
                                "while a < b do end",
                                l, &sum),
                     NORMGEN_E_SPEC);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    ck_assert_str_eq(normgen_error(),
                     "points:3: over budget: the file takes more than 0.05 s of CPU time");
    ck_assert_int_le(b.tv_sec - a.tv_sec, 3);
}
END_TEST

START_TEST(pairs_pays_for_its_sorting) {
    ng_lua_limits l = ng_specfile_limits;
    int64_t sum = 0;
    const char *text = "local t = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17 }\n"
                       "for i = 1, 100 do for k in pairs(t) do break end end return {}";
    l.instructions = 3000;
    ck_assert_int_eq(run_points(text, l, &sum), NORMGEN_OK);
    l.instructions = 2000;
    ck_assert_int_eq(run_points(text, l, &sum), NORMGEN_E_SPEC);
}
END_TEST

/* Every allocation fails once on the way to success: nothing may leak or crash (run it under
 * AddressSanitizer). */
START_TEST(any_amount_of_memory_fails_cleanly) {
    const char *text = "local l = {} for i, v in pairs { a = 1, b = 2, c = 3 } do\n"
                       "l[#l + 1] = point { v = v, [format('%s_%d', i, v)] = i .. 'xyz' } end\n"
                       "return { l, { point { v = math.max(10, 5) } } }";
    ng_lua_limits l = ng_specfile_limits;
    normgen_status st = NORMGEN_E_SPEC;
    int64_t sum = 0;
    for (l.live = 0; l.live < 200000 && st != NORMGEN_OK; l.live += 16) {
        sum = 0;
        st = run_points(text, l, &sum);
        if (st == NORMGEN_OK) break;
        ck_assert_int_eq(st, NORMGEN_E_SPEC);
        ck_assert_ptr_nonnull(strstr(normgen_error(), "points: over budget: the file uses more"));
    }
    ck_assert_int_eq(st, NORMGEN_OK);
    ck_assert_int_eq(sum, 16);
    ck_assert_uint_gt(l.live, 5000);
}
END_TEST

START_TEST(exactly_ten_thousand_specs_are_fine) {
    ng_spec_list list = {NULL, 0};
    ck_assert_int_eq(read_text("local l = {} for i = 1, 10000 do l[i] = spec { name = 's' .. i,\n"
                               "kind = 'rms', hidden = i, eps = 0 } end return l",
                               &list),
                     NORMGEN_OK);
    ck_assert_uint_eq(list.count, 10000);
    ck_assert_int_eq(list.items[9999].spec.hidden, 10000);
    ng_spec_list_fini(&list);
}
END_TEST

/* ---- files ---- */

static void check_unread(const char *file, const char *error) {
    ng_spec_list list = {NULL, 0};
    char expected[256];
    ck_assert_int_eq(ng_specfile_read(file, &list), NORMGEN_E_IO);
    snprintf(expected, sizeof expected, "%s: %s", file, error);
    ck_assert_str_eq(normgen_error(), expected);
    ck_assert_ptr_null(list.items);
}

START_TEST(file_that_cannot_be_read_is_named) {
    check_unread("/nonexistent/x.lua", "cannot be opened: No such file or directory");
    check_unread("/tmp", "is a directory; name a spec file in it");
    check_unread("/dev/zero", "is not a regular file");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    check_unread(path, "is not a regular file");
}
END_TEST

START_TEST(file_of_someone_else_is_named) {
    write_bytes("return {}", 9);
    ck_assert_int_eq(chmod(path, 0), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(folder, 0755), 0);
        ck_assert_int_eq(seteuid(65534), 0);
    }
    check_unread(path, "cannot be opened: Permission denied");
    if (getuid() == 0) ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(long_file_and_long_path_are_refused_whole) {
    char *text = malloc(NG_SPECFILE_BYTES + 2), deep[3000];
    ng_spec_list list = {NULL, 0};
    memset(text, ' ', NG_SPECFILE_BYTES + 1);
    write_bytes(text, NG_SPECFILE_BYTES + 1);
    ck_assert_int_eq(ng_specfile_read(path, &list), NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(strstr(normgen_error(), ": the file is longer than 1048576 bytes"));
    write_bytes(text, NG_SPECFILE_BYTES);
    ck_assert_int_eq(ng_specfile_read(path, &list), NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(strstr(normgen_error(), ": the file returns nothing"));
    free(text);
    write_bytes("error 'at the end'", 18);
    size_t at = (size_t)snprintf(deep, sizeof deep, "%s", folder);
    while (at < 2000) at += (size_t)snprintf(deep + at, sizeof deep - at, "/./.");
    snprintf(deep + at, sizeof deep - at, "/t.lua");
    ck_assert_int_eq(ng_specfile_read(deep, &list), NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "/t.lua:1: at the end"));
}
END_TEST

START_TEST(list_grows_whole_or_not_at_all) {
    ng_spec_list list = {NULL, 0};
    ck_assert_int_eq(read_text("return spec { " GOOD " }", &list), NORMGEN_OK);
    ck_assert_int_eq(ng_specfile_read(path, &list), NORMGEN_OK);
    ck_assert_uint_eq(list.count, 1); /* the same spec under the same name is there already */
    ck_assert_int_eq(read_text("return { spec { name = 'b', kind = 'rms', hidden = 9, eps = 0 },\n"
                               "spec { name = 'c', kind = 'rms', hidden = 9, eps = 0 },\n"
                               "spec { name = 'a', kind = 'rms', hidden = 9, eps = 0 } }",
                               &list),
                     NORMGEN_E_SPEC);
    ck_assert_ptr_nonnull(
        strstr(normgen_error(), ":3: name a is the name of another spec that was read before"));
    ck_assert_uint_eq(list.count, 1);
    ck_assert_int_eq(ng_specfile_read("specs/bert.lua", &list), NORMGEN_OK);
    ck_assert_uint_eq(list.count, 13);
    ng_spec_list_fini(&list);
}
END_TEST

/* ---- the shipped families ---- */

static const char *const shipped[] = {"specs/llama.lua",    "specs/qwen.lua", "specs/gemma.lua",
                                      "specs/deepseek.lua", "specs/olmo.lua", "specs/layer.lua",
                                      "specs/bert.lua",     "specs/t5.lua",   "specs/mamba2.lua"};
static const struct {
    const char *name, *text;
} known[] = {
    {"llama_2_13b_f32__norm", "rms hidden=5120 eps=1e-05 x=f32 y=f32 weight=f32 rounding=llama"},
    {"llama_3_8b__norm", "rms hidden=4096 eps=1e-05 x=bf16 y=bf16 weight=bf16 rounding=llama"},
    {"mixtral_8x22b_f16__add", "rms hidden=6144 eps=1e-05 x=f16 y=f16 weight=f16 residual=f16 "
                               "sum=f16 rounding=llama"},
    {"qwen3_8b__qk", "rms hidden=128 eps=1e-06 x=bf16 y=bf16 weight=bf16 rounding=llama"},
    {"gemma_3_1b__qk", "rms hidden=256 eps=1e-06 x=bf16 y=bf16 weight=bf16 offset=1"},
    {"bert_base__post",
     "layer hidden=768 eps=1e-12 x=bf16 y=bf16 weight=bf16 bias=bf16 residual=bf16"},
    {"gpt_2_f32__norm", "layer hidden=768 eps=1e-05 x=f32 y=f32 weight=f32 bias=f32"},
    {"command_r__norm", "layer hidden=8192 eps=1e-05 x=bf16 y=bf16 weight=bf16"},
    {"olmo_1_7b__norm", "layer hidden=4096 eps=1e-05 x=bf16 y=bf16 weight=none"},
    {"mamba2_2p7b__add",
     "rms hidden=2560 eps=1e-05 x=bf16 y=bf16 weight=bf16 residual=f32 sum=f32"},
};

static void read_shipped(ng_spec_list *list) {
    for (size_t i = 0; i < COUNT(shipped); i++)
        ck_assert_msg(ng_specfile_read(shipped[i], list) == NORMGEN_OK, "%s", normgen_error());
}

START_TEST(shipped_families_are_known_models) {
    ng_spec_list list = {NULL, 0};
    char text[NORMGEN_SPEC_TEXT];
    read_shipped(&list);
    for (size_t k = 0; k < COUNT(known); k++) {
        size_t i = 0;
        while (i < list.count && strcmp(list.items[i].name, known[k].name) != 0) i++;
        ck_assert_msg(i < list.count, "%s is not there", known[k].name);
        ng_spec_text(&list.items[i].spec, text);
        ck_assert_str_eq(text, known[k].text);
    }
    ng_spec_list_fini(&list);
}
END_TEST

/* What `--model M` and `--type T` rely on: MODEL__norm in bf16, MODEL_T__norm otherwise. */
START_TEST(presets_come_in_three_types) {
    static const struct {
        const char *suffix;
        int type;
    } types[] = {{"_f16", NORMGEN_F16}, {"_f32", NORMGEN_F32}};
    ng_spec_list list = {NULL, 0};
    char name[80];
    size_t models = 0;
    read_shipped(&list);
    for (size_t i = 0; i < list.count; i++) {
        const char *norm = strstr(list.items[i].name, "__");
        ck_assert_msg(norm != NULL, "%s", list.items[i].name);
        if (list.items[i].spec.x != NORMGEN_BF16) continue;
        models++;
        for (size_t t = 0; t < COUNT(types); t++) {
            size_t k = 0;
            snprintf(name, sizeof name, "%.*s%s%s", (int)(norm - list.items[i].name),
                     list.items[i].name, types[t].suffix, norm);
            while (k < list.count && strcmp(list.items[k].name, name) != 0) k++;
            ck_assert_msg(k < list.count, "%s is not there", name);
            ck_assert_int_eq(list.items[k].spec.x, types[t].type);
        }
    }
    ck_assert_uint_eq(3 * models, list.count);
    ng_spec_list_fini(&list);
}
END_TEST

/* "hidden=64 eps=1e-06 y=q8_0" as fields of a Lua table. */
static void lua_fields(const char *fields, char *text, size_t size) {
    size_t at = 0;
    while (*fields && at < size) {
        size_t length = strcspn(fields, " "), name = strcspn(fields, "=");
        const char *value = fields + name + 1;
        bool quote = !isdigit((unsigned char)*value);
        at += (size_t)snprintf(text + at, size - at, ", %.*s = %s%.*s%s", (int)name, fields,
                               quote ? "'" : "", (int)(length - name - 1), value, quote ? "'" : "");
        fields += length;
        fields += strspn(fields, " ");
    }
}

START_TEST(nonsense_is_refused_with_its_line_and_both_fields) {
    ng_spec_list list = {NULL, 0};
    char fields[512], text[640];
    lua_fields(refused[_i].fields, fields, sizeof fields);
    snprintf(text, sizeof text, "\nreturn spec { name = 'n', kind = '%s'%s }", refused[_i].kind,
             fields);
    ck_assert_msg(read_text(text, &list) == NORMGEN_E_SPEC, "%s", text);
    ck_assert_msg(strstr(normgen_error(), ":2: ") && strstr(normgen_error(), refused[_i].a) &&
                      strstr(normgen_error(), refused[_i].b),
                  "%s: %s", text, normgen_error());
}
END_TEST

START_TEST(every_field_stands_in_the_readme) {
    static char text[16384];
    char row[64];
    FILE *f = fopen("specs/README.md", "rb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_lt(fread(text, 1, sizeof text - 1, f), sizeof text - 1);
    fclose(f);
    char *fields = strstr(text, "\n## spec {");
    ck_assert_ptr_nonnull(fields);
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        snprintf(row, sizeof row, "\n| `%s` | ", ng_fields[i].name);
        char *at = strstr(fields, row);
        ck_assert_msg(at != NULL, "field %s", ng_fields[i].name);
        for (const ng_word *w = ng_fields[i].words; w && w->text; w++) {
            ck_assert_msg(strstr(at, w->text) && strstr(at, w->text) < strchr(at + 1, '\n'),
                          "field %s: %s", ng_fields[i].name, w->text);
        }
    }
}
END_TEST

/* ---- random damage ---- */

static uint64_t random_state;
static size_t below(size_t n) { /* SplitMix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (size_t)((z ^ z >> 31) % n);
}

static void damage(char *text, size_t *size) {
    if (*size && below(4) == 0) *size = below(*size);
    for (size_t n = below(4) + 1; n > 0 && *size > 8; n--) {
        size_t at = below(*size - 8), from = below(*size - 8);
        switch (below(4)) {
        case 0: text[at] = (char)below(256); break;
        case 1: text[at] = (char)(text[at] ^ (char)(1 << below(8))); break;
        case 2: text[at] = "(){}=,.-+*/%^#<>~0123456789\"'[];:"[below(33)]; break;
        default: memmove(text + at, text + from, below(8) + 1);
        }
    }
}

/* Whatever comes back is an error with the path, or specs that are what they say. */
static void check_damaged(const char *text, size_t size, uint64_t seed) {
    ng_spec_list list = {NULL, 0};
    write_bytes(text, size);
    normgen_status st = ng_specfile_read(path, &list);
    if (st != NORMGEN_OK)
        ck_assert_msg(st == NORMGEN_E_SPEC && strncmp(normgen_error(), path, strlen(path)) == 0 &&
                          list.count == 0,
                      "seed %llu: %s", (unsigned long long)seed, normgen_error());
    for (size_t i = 0; i < list.count; i++) {
        char canonical[NORMGEN_SPEC_TEXT];
        normgen_spec back;
        ng_spec_text(&list.items[i].spec, canonical);
        ck_assert_int_eq(normgen_spec_parse(&back, canonical), NORMGEN_OK);
    }
    ng_spec_list_fini(&list);
}

START_TEST(damaged_files_never_crash_or_hang) {
    static char whole[16384], text[16384];
    FILE *f = fopen(shipped[_i], "rb");
    ck_assert_ptr_nonnull(f);
    size_t length = fread(whole, 1, sizeof whole, f);
    fclose(f);
    ck_assert_uint_lt(length, sizeof whole);
    for (uint64_t seed = 0; seed < 2000; seed++) {
        size_t size = length;
        random_state = seed;
        memcpy(text, whole, length);
        damage(text, &size);
        check_damaged(text, size, seed);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("lua");
    TCase *t = tcase_create("lua");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_loop_test(t, language_gives_the_specs_it_says, 0, (int)COUNT(good));
    tcase_add_loop_test(t, mistake_is_named_with_its_line, 0, (int)COUNT(bad));
    tcase_add_test(t, environment_is_this_and_no_more);
    tcase_add_loop_test(t, dangerous_names_are_nil, 0, (int)COUNT(absent));
    tcase_add_loop_test(t, strings_have_no_methods, 0, (int)COUNT(methods));
    tcase_add_loop_test(t, functions_of_the_environment_work, 0, (int)COUNT(values));
    tcase_add_test(t, hostile_files_end_with_their_error);
    tcase_add_test(t, budgets_are_those_that_were_promised);
    tcase_add_test(t, cpu_time_is_bounded);
    tcase_add_test(t, pairs_pays_for_its_sorting);
    tcase_add_test(t, any_amount_of_memory_fails_cleanly);
    tcase_add_test(t, exactly_ten_thousand_specs_are_fine);
    tcase_add_test(t, file_that_cannot_be_read_is_named);
    tcase_add_test(t, file_of_someone_else_is_named);
    tcase_add_test(t, long_file_and_long_path_are_refused_whole);
    tcase_add_test(t, list_grows_whole_or_not_at_all);
    tcase_add_test(t, shipped_families_are_known_models);
    tcase_add_test(t, presets_come_in_three_types);
    tcase_add_loop_test(t, nonsense_is_refused_with_its_line_and_both_fields, 0,
                        (int)COUNT(refused));
    tcase_add_test(t, every_field_stands_in_the_readme);
    tcase_add_loop_test(t, damaged_files_never_crash_or_hang, 0, (int)COUNT(shipped));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
