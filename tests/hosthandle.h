/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of handles share: a folder with a store for each test, the log that a host hears,
 * and handles and kernels whose making must not fail. The generator is the fake one. */
#ifndef NG_TESTS_HOSTHANDLE_H
#define NG_TESTS_HOSTHANDLE_H

#include "hostcall.h"
#include "store.h"

#define HOST_SPEC "rms hidden=1024 eps=1e-05 x=f32 y=f32 weight=f32"
/* Which no rule would choose; the second is legal where there are streaming stores. */
#define HOST_SCHEDULE "vec=128 block=2 keep=recompute store=cached prefetch=none overlap=no"
#define HOST_STREAM "vec=128 block=2 keep=recompute store=stream prefetch=none overlap=no"

/* Of the running test; checked fixtures make and remove them. There is no store before something is
 * put into it. */
extern char host_folder[64], host_store[96];
void host_setup(void);
void host_teardown(void);
/* The last warning, and how many there were. */
extern char host_warnings[4096];
extern int host_warned;

/* Options with the store and the log of the test. */
normgen_options host_options(void);
normgen *host_open(int mode, int strict);
/* The kernel of a spec text; `get` where it must be had. */
normgen_status host_try_get(normgen *ng, const char *text, normgen_kernel **k);
normgen_kernel *host_get(normgen *ng, const char *text);
normgen_counters host_counters(const normgen *ng);
/* Runs a few calls of the kernel at several sizes and alignments. */
void host_check(normgen_kernel *k, const char *text);
const ng_cpu *host_cpu(void);

/* One winner as the tuner stores it. What is NULL or 0 is HOST_SPEC, this machine, the fake
 * toolchain, one thread, normal effort. */
typedef struct stored_winner {
    const char *spec, *machine, *schedule;
    ng_regime regime;
    int threads;
    ng_slot slot;
    const char *toolchain;
    int effort;
    int64_t cutoff;
} stored_winner;
void host_put(const stored_winner *e);
/* The same schedule in every regime. */
void host_put_everywhere(const char *schedule);

#endif
