/* SPDX-License-Identifier: Apache-2.0 */
#include "hosthandle.h"

#include "fakegen.h"
#include "hostcall.h"
#include "shipped.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char host_folder[64], host_store[96];
char host_warnings[4096];
int host_warned;

static void hear(void *ctx, normgen_log_level level, const char *line) {
    ck_assert_ptr_eq(ctx, host_warnings);
    ck_assert_ptr_null(strchr(line, '\n'));
    if (level != NORMGEN_LOG_WARNING) return;
    host_warned++;
    snprintf(host_warnings, sizeof host_warnings, "%s", line);
}

void host_setup(void) {
    static const char *const variables[] = {"NORMGEN_MODE",        "NORMGEN_STRICT", "NORMGEN_DB",
                                            "NORMGEN_GEN_LIBRARY", "XDG_DATA_HOME",  "HOME"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) unsetenv(variables[i]);
    snprintf(host_folder, sizeof host_folder, "%s/normgen-dispatch-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(host_folder));
    snprintf(host_store, sizeof host_store, "%s/tuned.db", host_folder);
    host_warned = 0;
    ng_shipped_text = "normgen-store 1\nend\n";
    fake_install();
}

void host_teardown(void) {
    DIR *d = opendir(host_folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(host_store); /* one test makes a folder of it */
    rmdir(host_folder);
    ck_assert(!fake_misaligned());
}

normgen_options host_options(void) {
    normgen_options o = normgen_options_default();
    o.store = host_store;
    o.log = hear;
    o.log_ctx = host_warnings;
    return o;
}

normgen *host_open(int mode, int strict) {
    normgen_options o = host_options();
    normgen *ng = NULL;
    o.mode = mode;
    o.strict = strict;
    ck_assert_msg(normgen_open(&ng, &o) == NORMGEN_OK, "%s", normgen_error());
    return ng;
}

normgen_status host_try_get(normgen *ng, const char *text, normgen_kernel **k) {
    normgen_spec spec;
    ck_assert_msg(normgen_spec_parse(&spec, text) == NORMGEN_OK, "%s", normgen_error());
    return normgen_get(ng, &spec, k);
}

normgen_kernel *host_get(normgen *ng, const char *text) {
    normgen_kernel *k = NULL;
    ck_assert_msg(host_try_get(ng, text, &k) == NORMGEN_OK, "%s", normgen_error());
    return k;
}

normgen_counters host_counters(const normgen *ng) {
    normgen_counters c = NORMGEN_COUNTERS;
    normgen_get_counters(ng, &c);
    return c;
}

void host_check(normgen_kernel *k, const char *text) {
    static const size_t rows[] = {1, 3, 70};
    for (size_t i = 0; i < 6; i++) {
        host_call c;
        host_call_init(&c, text, rows[i / 2], i % 2 * 4);
        ck_assert_int_eq(normgen_run(k, &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, c.rows));
        host_call_blank(&c);
        ck_assert_int_eq(normgen_run_parallel(k, &c.args), NORMGEN_OK);
        ck_assert(host_call_right(&c, 0, c.rows));
        host_call_fini(&c);
    }
}

const ng_cpu *host_cpu(void) {
    const ng_cpu *cpu = NULL;
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    return cpu;
}

void host_put(const stored_winner *e) {
    char machine[NG_MACHINE_TEXT];
    ng_store *store = NULL;
    ng_session session = {.effort = e->effort ? e->effort : NG_NORMAL, .noise = (double)NAN};
    session.cutoff = e->cutoff;
    ng_winner winner = {.slot = e->slot, .ns = 100, .pairs = 5};
    ng_cpu_machine_text(host_cpu(), machine);
    snprintf(winner.schedule, sizeof winner.schedule, "%s", e->schedule);
    ng_unit unit = {.spec = e->spec ? e->spec : HOST_SPEC,
                    .machine = e->machine ? e->machine : machine,
                    .toolchain = e->toolchain ? e->toolchain : FAKE_TOOLCHAIN,
                    .regime = e->regime,
                    .threads = e->threads ? e->threads : 1,
                    .rows = 10};
    ck_assert_msg(!ng_store_open(host_store, NG_STORE_WRITE, &store), "%s", normgen_error());
    ck_assert_msg(!ng_store_begin(store, &session), "%s", normgen_error());
    ck_assert_msg(!ng_store_update(store, &session), "%s", normgen_error());
    ck_assert_msg(!ng_store_commit(store, session.uuid, &unit, NULL, 0, &winner, 1), "%s",
                  normgen_error());
    ng_store_close(store);
}

void host_put_everywhere(const char *schedule) {
    for (int r = 0; r < NG_REGIME_COUNT; r++)
        host_put(&(stored_winner){.schedule = schedule, .regime = (ng_regime)r});
}
