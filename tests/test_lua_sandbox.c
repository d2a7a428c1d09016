/* SPDX-License-Identifier: Apache-2.0 */
/* The closed environment of a spec file and its budgets. Files in tests/lua are hostile; the second
 * line of each says how it must fail. Runs from the root of the repository. */
#include "script.h"
#include "suite.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- the closed environment ---- */

START_TEST(environment_is_this_and_no_more) {
    script_fails("local s = '' for k, v in pairs(_ENV) do s = s .. ' ' .. k end error(s)",
                 ":1:  assert error format ipairs math pairs select spec tonumber tostring type");
    script_fails("local s = '' for k, v in pairs(math) do s = s .. ' ' .. k end error(s)",
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
    script_fails(text, ":1: nil");
    snprintf(text, sizeof text, "%s()", absent[_i]);
    const char *dot = strchr(absent[_i], '.');
    snprintf(error, sizeof error, ":1: attempt to call a nil value (%s '%s')",
             dot ? "field" : "global", dot ? dot + 1 : absent[_i]);
    script_fails(text, error);
}
END_TEST

static const char *const methods[] = {"rep",     "format", "gsub", "find",
                                      "reverse", "dump",   "byte", "pack"};

START_TEST(strings_have_no_methods) {
    char text[128];
    snprintf(text, sizeof text, "local s = 'x' return s:%s('a', 1000000000)", methods[_i]);
    script_fails(text, ":1: attempt to index a string value (local 's')");
    snprintf(text, sizeof text, "return ('x').%s", methods[_i]);
    script_fails(text, ":1: attempt to index a string value (constant 'x')");
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
    script_fails(text, error);
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
    ck_assert_int_eq(script_read("local l = {} for i = 1, 10000 do l[i] = spec { name = 's' .. i,\n"
                                 "kind = 'rms', hidden = i, eps = 0 } end return l",
                                 &list),
                     NORMGEN_OK);
    ck_assert_uint_eq(list.count, 10000);
    ck_assert_int_eq(list.items[9999].spec.hidden, 10000);
    ng_spec_list_fini(&list);
}
END_TEST

int main(void) {
    Suite *s = suite_create("lua_sandbox");
    TCase *t = tcase_create("lua_sandbox");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, script_setup, script_teardown);
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
    suite_add_tcase(s, t);
    return suite_main(s);
}
