/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the store share: a directory per test, made-up sessions and units, and a text
 * dump of a store in which files with the same content are equal. */
#ifndef NG_TESTS_STOREBOX_H
#define NG_TESTS_STOREBOX_H

#include "store_impl.h"

#include <check.h>

/* Directory and main store of the running test; checked fixtures make and remove them. */
extern char box_dir[64], box_path[128];
void box_setup(void);
void box_teardown(void);

#define ok(call) ck_assert_msg((call) == NORMGEN_OK, #call ": %s", normgen_error())
/* The call fails with E_STORE and a text that has `part` in it. */
#define refused(call, part)                                                                        \
    do {                                                                                           \
        normgen_status refused_status = (call);                                                    \
        ck_assert_msg(refused_status == NORMGEN_E_STORE && strstr(normgen_error(), part),          \
                      #call ": status %d, \"%s\"", refused_status, normgen_error());               \
    } while (0)

#define BOX_MACHINE "x86_64 AuthenticAMD/25/17/1 isa=x86-64-v4 l1d=32K l2=1M llc=32M"
#define BOX_TOOLCHAIN "llvm=19.1.7 gen=1 numerics=1"
#define BOX_SPEC "rms hidden=4096 eps=1e-05 x=f32 y=f32 weight=f32"
#define BOX_SCHEDULE "vec=512 block=1 keep=recompute store=cached prefetch=none overlap=no"

/* A path in the box. Valid until the call after next. */
const char *box_file(const char *name);
ng_store *box_open(const char *path, ng_store_access access);
/* Unit number n: one of many that differ. The texts stay valid until the call after next. */
ng_unit box_unit(int n);
/* A new session of the store. */
ng_session box_session(ng_store *store, const char *uuid, int effort);
/* Commits unit n with box_trials() trials and two winners made from n. */
normgen_status box_commit(ng_store *store, const char *session, int n);
#define BOX_TRIALS 12
/* Asserts that of unit n the session has everything or nothing; returns which. */
bool box_whole(ng_store *store, const char *session, int n);

/* A store with one session "s" that has committed units 0 to n-1. */
void box_make(const char *path, int n);

/* For the queries: what adds one to the int at ctx, and what appends "SCHEDULE;" to a list. */
bool box_count_trial(void *ctx, const ng_trial *t);
bool box_count_winner(void *ctx, const ng_found *f);
typedef struct box_list {
    char text[2048];
    int stop; /* after so many */
} box_list;
bool box_list_trial(void *ctx, const ng_trial *t);
bool box_list_winner(void *ctx, const ng_found *f);

/* The file is refused by readers and writers with a text that has `part` in it; untouched: and is
 * left exactly as it is. */
void box_refused(const char *path, const char *part);
void box_refused_untouched(const char *path, const char *part);

/* All rows of all tables, sorted, without ids; the caller frees. */
char *box_dump(const char *path);
void box_copy(const char *from, const char *to);
/* Bytes of a file, NULL-terminated; the caller frees. */
char *box_read(const char *path, size_t *size);
void box_write(const char *path, const void *bytes, size_t size);
/* Runs statements without any hardening on a file. */
void box_raw(const char *path, const char *sql);
/* Everything that reads, and a merge into a fresh store; each step may fail with E_STORE. Returns
 * the first failure. */
normgen_status box_use_all(const char *path);

/* Repeatable random numbers. */
unsigned box_random(unsigned limit);
void box_seed(uint64_t seed);

#endif
