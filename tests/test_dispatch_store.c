/* SPDX-License-Identifier: Apache-2.0 */
/* Handles and the store: whose winners serve which calls, and what a broken, foreign or hostile
 * store may do, which is to give a warning. */
#include "dispatch.h"
#include "fakegen.h"
#include "hosthandle.h"
#include "suite.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(streaming_winners_serve_aligned_calls_only) {
    host_put_everywhere(HOST_STREAM);
    normgen *ng = host_open(0, 0);
    normgen_kernel *k = host_get(ng, HOST_SPEC);
    if (!host_cpu()->isa->streams) {
        ck_assert_uint_gt(host_counters(ng).store_ignored, 0);
        normgen_close(ng);
        return;
    }
    host_call c;
    for (size_t shift = 0; shift <= 4; shift += 4) {
        host_call_init(&c, HOST_SPEC, 5, shift);
        ck_assert_int_eq(normgen_run(k, &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, 5));
        const char *last = fake_last();
        ck_assert_int_eq(strcmp(last, HOST_STREAM) == 0, shift == 0);
        ck_assert_int_eq(strstr(last, "store=stream") != NULL, shift == 0);
        host_call_fini(&c);
    }
    ck_assert_ptr_nonnull(strstr(normgen_kernel_describe(k, 5), "store=stream"));
    normgen_close(ng);
}
END_TEST

START_TEST(a_winner_serves_its_own_regime) {
    normgen *ng = host_open(0, 0);
    host_put(&(stored_winner){.schedule = HOST_SCHEDULE, .regime = NG_L2});
    normgen_kernel *k = host_get(ng, HOST_SPEC);
    ck_assert_str_eq(normgen_kernel_describe(k, k->max_rows[NG_L2]), "compiled " HOST_SCHEDULE);
    ck_assert_str_ne(normgen_kernel_describe(k, k->max_rows[NG_L1]), "compiled " HOST_SCHEDULE);
    ck_assert_str_ne(normgen_kernel_describe(k, SIZE_MAX), "compiled " HOST_SCHEDULE);
    ck_assert_int_eq(k->first.alone[NG_L2].rung, NG_RUNG_MACHINE);
    ck_assert_int_eq(k->first.alone[NG_L1].rung, NG_RUNG_DEFAULT);
    ck_assert_uint_eq(host_counters(ng).store_hits, 1);
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
    host_put(&(stored_winner){.schedule = illegal[_i], .regime = NG_L1});
    normgen *ng = host_open(0, 0);
    host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
    ck_assert_uint_ge(host_counters(ng).store_ignored, 1);
    ck_assert_uint_eq(host_counters(ng).store_hits, 0);
    ck_assert_uint_eq(host_counters(ng).interpreted, 0);
    ck_assert_int_eq(host_warned, 1);
    ck_assert_ptr_nonnull(strstr(host_warnings, host_store));
    normgen_close(ng);
    normgen_kernel *k = NULL;
    ng = host_open(0, 1);
    ck_assert_int_eq(host_try_get(ng, HOST_SPEC, &k), NORMGEN_E_STORE);
    ck_assert_ptr_nonnull(strstr(normgen_error(), "strict"));
    normgen_close(ng);
}
END_TEST

START_TEST(the_slot_for_all_addresses_never_streams) {
    host_put(&(stored_winner){.schedule = HOST_STREAM, .regime = NG_L1, .slot = NG_SLOT_CACHED});
    normgen *ng = host_open(0, 0);
    host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
    ck_assert_uint_ge(host_counters(ng).store_ignored, 1);
    normgen_close(ng);
}
END_TEST

static size_t read_store(char *bytes, size_t size) {
    FILE *f = fopen(host_store, "rb");
    size_t n = f ? fread(bytes, 1, size, f) : 0;
    if (f) fclose(f);
    return n;
}

static void put_bytes(const void *bytes, size_t n) {
    FILE *f = fopen(host_store, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
    chmod(host_store, 0600);
}

enum broken { EMPTY_FOLDER, GARBAGE, TEXT, TRUNCATED, FOREIGN, NEWER, ZEROED, SCRIBBLED, BROKEN };

static void break_store(enum broken how) {
    static char bytes[1 << 20];
    unlink(host_store);
    if (how == EMPTY_FOLDER) {
        ck_assert_int_eq(mkdir(host_store, 0700), 0);
        return;
    }
    host_put_everywhere(HOST_SCHEDULE);
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
    normgen *ng = host_open(0, 0);
    host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
    host_check(host_get(ng, "layer hidden=9 eps=0"), "layer hidden=9 eps=0");
    ck_assert_msg(host_warned == 1, "%d warnings, last: %s", host_warned, host_warnings);
    ck_assert_ptr_nonnull(strstr(host_warnings, host_store));
    ck_assert_uint_eq(host_counters(ng).interpreted, 0);
    ck_assert_uint_ge(host_counters(ng).store_ignored, 2);
    normgen_close(ng);
    normgen_kernel *k = NULL;
    ng = host_open(0, 1);
    ck_assert_int_eq(host_try_get(ng, HOST_SPEC, &k), NORMGEN_E_STORE);
    ck_assert_ptr_null(k);
    normgen_close(ng);
}
END_TEST

START_TEST(an_unreadable_store_is_a_warning) {
    host_put_everywhere(HOST_SCHEDULE);
    chmod(host_store, 0);
    chmod(host_folder, 0755);
    if (geteuid() == 0) ck_assert_int_eq(setresuid(65534, 65534, 0), 0); /* root reads anything */
    normgen *ng = host_open(0, 0);
    host_check(host_get(ng, HOST_SPEC), HOST_SPEC);
    ck_assert_int_eq(host_warned, 1);
    ck_assert_uint_eq(host_counters(ng).store_hits, 0);
    normgen_close(ng);
    if (getuid() == 65534) ck_assert_int_eq(setresuid(0, 0, 0), 0);
}
END_TEST

START_TEST(nobody_finds_the_store_open_between_calls) {
    host_put_everywhere(HOST_SCHEDULE);
    normgen *ng = host_open(0, 0);
    host_get(ng, HOST_SPEC);
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e; d && (e = readdir(d));) {
        char target[256] = "";
        if (readlinkat(dirfd(d), e->d_name, target, sizeof target - 1) > 0)
            ck_assert_msg(!strstr(target, "tuned.db"), "%s", target);
    }
    if (d) closedir(d);
    host_put(&(stored_winner){.schedule = HOST_STREAM, .regime = NG_L1}); /* so others can write */
    normgen_close(ng);
}
END_TEST

START_TEST(an_empty_path_is_no_store) {
    setenv("NORMGEN_DB", host_store, 1);
    host_put_everywhere(HOST_SCHEDULE);
    normgen_options o = host_options();
    normgen *ng = NULL;
    o.store = "";
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
    host_get(ng, HOST_SPEC);
    ck_assert_uint_eq(host_counters(ng).store_hits, 0);
    normgen_close(ng);
    o.store = NULL;
    ck_assert_int_eq(normgen_open(&ng, &o), NORMGEN_OK);
    host_get(ng, HOST_SPEC);
    ck_assert_uint_eq(host_counters(ng).store_hits, 1);
    normgen_close(ng);
}
END_TEST

int main(void) {
    Suite *s = suite_create("dispatch_store");
    TCase *t = tcase_create("dispatch_store");
    tcase_add_checked_fixture(t, host_setup, host_teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, streaming_winners_serve_aligned_calls_only);
    tcase_add_test(t, a_winner_serves_its_own_regime);
    tcase_add_loop_test(t, stored_schedules_that_are_not_legal_are_ignored, 0,
                        sizeof illegal / sizeof illegal[0]);
    tcase_add_test(t, the_slot_for_all_addresses_never_streams);
    tcase_add_loop_test(t, a_broken_store_is_a_warning_and_a_miss, 0, BROKEN);
    tcase_add_test(t, an_unreadable_store_is_a_warning);
    tcase_add_test(t, nobody_finds_the_store_open_between_calls);
    tcase_add_test(t, an_empty_path_is_no_store);
    suite_add_tcase(s, t);
    return suite_main(s);
}
