/* SPDX-License-Identifier: Apache-2.0 */
/* normgen-worker: the process that may crash. `--compile` makes and checks kernels, `--measure`
 * owns the buffers of one place and times kernels on them. Speaks over descriptor 3 with its
 * parent, ends when the parent does, and knows no store. */
#include "barrier.h"
#include "build_id.h"
#include "error.h"
#include "gen.h"
#include "measure.h"
#include "spec.h"
#include "verify.h"
#include "wire.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SOCKET = 3, CPU_SECONDS = 3600, NORMAL_PAGES = 1 << 20 };

/* What the process keeps between requests. */
typedef struct worker {
    const ng_cpu *cpu;
    ng_message in, out;
    /* --compile */
    char spec[NORMGEN_SPEC_TEXT]; /* of program and case */
    ng_program program;
    ng_case *test;
    int64_t seed;
    /* --measure */
    ng_bed *bed;
    ng_jit *jit;
    struct loaded {
        ng_subject_kind kind;
        normgen_fn fn;
    } *loaded;
    size_t loads;
} worker;

/* ---- the process ---- */

static void limit(__rlimit_resource_t what, rlim_t most) {
    struct rlimit l;
    if (getrlimit(what, &l) != 0) return;
    if (l.rlim_max != RLIM_INFINITY && l.rlim_max < most) most = l.rlim_max;
    l.rlim_cur = most;
    setrlimit(what, &l);
}

/* Virtual size: what address sanitizers reserve makes a limit on it meaningless. */
static long pages_mapped(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%ld", &pages) != 1) pages = LONG_MAX;
    if (f) fclose(f);
    return pages;
}

/* Says what it was at, for the parent's message, and dies of the signal. */
static void on_crash(int number) {
    const char *now = ng_case_now();
    size_t n = strlen(now);
    if (n && write(STDERR_FILENO, now, n) < 0) {
    }
    raise(number); /* SA_RESETHAND: the default action */
}

static void prepare_process(bool measures) {
    static char stack[64 * 1024];
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, CPU_SECONDS);
    if (!measures && pages_mapped() < NORMAL_PAGES) limit(RLIMIT_AS, (rlim_t)8 << 30);
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_handler = on_crash,
                               .sa_flags = (int)SA_RESETHAND | SA_ONSTACK | SA_NODEFER};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], &action, NULL);
}

/* ---- replies ---- */

static bool reply(worker *w) { return ng_wire_send(SOCKET, &w->out, -1); }

static void start_reply(worker *w, ng_message_type type, normgen_status status) {
    ng_message_start(&w->out, type);
    ng_put_int(&w->out, status);
    ng_put_text(&w->out, status == NORMGEN_OK ? "" : normgen_error());
}

static bool reply_done(worker *w, normgen_status status) {
    start_reply(w, NG_MSG_DONE, status);
    return reply(w);
}

static normgen_status build(const char *text, ng_program *program) {
    normgen_spec spec;
    normgen_status status = normgen_spec_parse(&spec, text);
    if (status == NORMGEN_OK) status = ng_spec_resolve(&spec, &spec);
    if (status == NORMGEN_OK) ng_program_build(program, &spec);
    return status;
}

/* ---- --compile ---- */

typedef struct make_request {
    char spec[NORMGEN_SPEC_TEXT], schedule[NG_SCHEDULE_TEXT], isa[32];
    int kind;
    int64_t seed;
    bool check;
} make_request;

static make_request read_make(ng_message *in) {
    make_request r;
    ng_get_text(in, r.spec, sizeof r.spec);
    r.kind = (int)ng_get_int(in);
    ng_get_text(in, r.schedule, sizeof r.schedule);
    ng_get_text(in, r.isa, sizeof r.isa);
    r.seed = ng_get_int(in);
    r.check = ng_get_int(in) != 0;
    return r;
}

static normgen_status use_spec(worker *w, const make_request *r) {
    if (strcmp(w->spec, r->spec) == 0 && w->seed == r->seed) return NORMGEN_OK;
    ng_case_free(w->test);
    w->test = NULL;
    w->spec[0] = 0;
    normgen_status status = build(r->spec, &w->program);
    if (status != NORMGEN_OK) return status;
    memcpy(w->spec, r->spec, sizeof w->spec);
    w->seed = r->seed;
    return NORMGEN_OK;
}

static normgen_status compile(worker *w, const make_request *r, const ng_isa **isa,
                              ng_schedule *schedule, ng_object *object) {
    normgen_status status = use_spec(w, r);
    if (status == NORMGEN_OK) status = ng_schedule_parse(&w->program, r->schedule, schedule);
    if (status != NORMGEN_OK) return status;
    *isa = ng_isa_find(r->isa);
    if (!*isa) return ng_fail(NORMGEN_E_ARGUMENT, "'%s' is no ISA level", r->isa);
    return r->kind == NG_SUBJECT_LIMIT ? ng_compile_limit(&w->program, schedule, *isa, object)
                                       : ng_compile(&w->program, schedule, *isa, object);
}

static void call_fn(void *ctx, const normgen_bound_args *args, size_t first, size_t last) {
    normgen_fn fn;
    memcpy(&fn, ctx, sizeof fn);
    fn(args, first, last);
}

static normgen_status check_fn(worker *w, const make_request *r, const ng_schedule *schedule,
                               normgen_fn fn, int64_t *compared) {
    char difference[NG_DIFFERENCE_TEXT];
    size_t alignment[NORMGEN_MAX_STREAMS];
    if (!w->test) {
        normgen_status status =
            ng_case_new(&w->program, (uint64_t)w->seed, 0, w->cpu->interp, &w->test);
        if (status != NORMGEN_OK) return status;
    }
    ng_case_alignment(&w->program, schedule, alignment);
    ng_case_subject subject = {call_fn, &fn, "wrong", alignment, r->kind == NG_SUBJECT_LIMIT};
    if (ng_case_check(w->test, &subject, compared, difference)) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_GENERATOR, "%s", difference);
}

static normgen_status check(worker *w, const make_request *r, const ng_schedule *schedule,
                            const ng_object *object, int64_t *compared) {
    ng_jit *jit = NULL;
    normgen_fn fn = NULL;
    normgen_status status = ng_jit_new(&jit);
    if (status == NORMGEN_OK) status = ng_jit_load(jit, object, &fn);
    if (status == NORMGEN_OK) status = check_fn(w, r, schedule, fn, compared);
    ng_jit_free(jit);
    return status;
}

static bool make(worker *w) {
    make_request r = read_make(&w->in);
    const ng_isa *isa = NULL;
    ng_schedule schedule;
    ng_object object = {0};
    int64_t compared = 0;
    normgen_status status =
        w->in.bad ? NORMGEN_E_ARGUMENT : compile(w, &r, &isa, &schedule, &object);
    start_reply(w, NG_MSG_OBJECT, status);
    ng_put_int(&w->out, (int64_t)object.code_bytes);
    ng_put_text(&w->out, object.symbol);
    ng_put_bytes(&w->out, object.bytes, object.size);
    bool sent = reply(w);
    if (sent && status == NORMGEN_OK && r.check && ng_cpu_runs(w->cpu, isa)) {
        status = check(w, &r, &schedule, &object, &compared);
        start_reply(w, NG_MSG_CHECKED, status);
        ng_put_int(&w->out, compared);
        sent = reply(w);
    }
    ng_object_fini(&object);
    return sent;
}

/* ---- --measure ---- */

static bool enter(worker *w) {
    char text[NORMGEN_SPEC_TEXT], host[256] = "";
    ng_get_text(&w->in, text, sizeof text);
    ng_place place = {.program = &w->program};
    place.regime = (ng_regime)ng_get_int(&w->in);
    place.rows = (size_t)ng_get_int(&w->in);
    place.threads = (int)ng_get_int(&w->in);
    uint64_t seed = (uint64_t)ng_get_int(&w->in);
    normgen_status status = w->in.bad ? NORMGEN_E_ARGUMENT : build(text, &w->program);
    if (status == NORMGEN_OK) status = ng_bed_new(&place, w->cpu, seed, &w->bed);
    if (status == NORMGEN_OK) ng_bed_host(w->bed, host, sizeof host);
    start_reply(w, NG_MSG_DONE, status);
    ng_put_text(&w->out, host);
    return reply(w);
}

static normgen_status load(worker *w, size_t id, ng_subject_kind kind, const ng_object *object) {
    struct loaded *grown = w->loaded;
    if (id >= w->loads) grown = realloc(w->loaded, (id + 1) * sizeof *grown);
    if (!grown) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu kernels", id);
    w->loaded = grown;
    if (id >= w->loads) w->loads = id + 1;
    normgen_fn fn = NULL;
    normgen_status status = NORMGEN_OK;
    if (kind == NG_SUBJECT_KERNEL || kind == NG_SUBJECT_LIMIT) {
        if (!w->jit) status = ng_jit_new(&w->jit);
        if (status == NORMGEN_OK) status = ng_jit_load(w->jit, object, &fn);
    }
    w->loaded[id] = (struct loaded){kind, fn};
    return status;
}

static bool load_subject(worker *w) {
    ng_object object = {0};
    size_t id = (size_t)ng_get_int(&w->in);
    ng_subject_kind kind = (ng_subject_kind)ng_get_int(&w->in);
    ng_get_text(&w->in, object.symbol, sizeof object.symbol);
    const void *bytes = ng_get_bytes(&w->in, &object.size);
    object.bytes = (unsigned char *)(uintptr_t)bytes;
    if (w->in.bad || id > 1 << 20) return reply_done(w, ng_fail(NORMGEN_E_ARGUMENT, "bad request"));
    return reply_done(w, load(w, id, kind, &object));
}

static bool time_subjects(worker *w) {
    double ns[64];
    size_t samples = (size_t)ng_get_int(&w->in), n = (size_t)ng_get_int(&w->in);
    if (samples > 64 || !w->bed) return false;
    ng_message_start(&w->out, NG_MSG_TIMES);
    for (size_t i = 0; i < n; i++) {
        size_t id = (size_t)ng_get_int(&w->in);
        if (w->in.bad || id >= w->loads) return false;
        ng_bed_turn(w->bed, w->loaded[id].kind, w->loaded[id].fn, samples, ns);
        for (size_t j = 0; j < samples; j++) ng_put_real(&w->out, ns[j]);
    }
    return reply(w);
}

static bool time_team(worker *w) {
    ng_message_start(&w->out, NG_MSG_TIMES);
    ng_put_real(&w->out, ng_barrier_cutoff());
    return reply(w);
}

/* ---- */

static bool handle(worker *w) {
    switch (ng_message_open(&w->in)) {
    case NG_MSG_MAKE: return make(w);
    case NG_MSG_ENTER: return enter(w);
    case NG_MSG_LOAD: return load_subject(w);
    case NG_MSG_TIME: return time_subjects(w);
    case NG_MSG_TEAM: return time_team(w);
    default: return false;
    }
}

int main(int argc, char **argv) {
    static worker w;
    bool measures = argc == 2 && strcmp(argv[1], "--measure") == 0;
    if (!measures && !(argc == 2 && strcmp(argv[1], "--compile") == 0)) {
        fputs("normgen-worker is started by normgen; there is nothing to do with it by hand\n",
              stderr);
        return 2;
    }
    prepare_process(measures);
    ng_cpu_host(&w.cpu);
    ng_message_start(&w.out, NG_MSG_HELLO);
    ng_put_text(&w.out, NG_BUILD_ID);
    if (!reply(&w)) return 1;
    for (;;) {
        w.in.at = 0;
        if (ng_wire_receive(SOCKET, &w.in) <= 0 || !handle(&w)) break;
    }
    ng_bed_free(w.bed); /* so that leak checkers see what really leaks */
    ng_case_free(w.test);
    ng_jit_free(w.jit);
    free(w.loaded);
    ng_message_fini(&w.in);
    ng_message_fini(&w.out);
    return 0;
}
