/* SPDX-License-Identifier: Apache-2.0 */
/* The one door between libnormgen and libnormgen-gen: a table of functions that the generator
 * library exports as `normgen_gen_table` and the run time finds with dlopen. The two libraries
 * share no state; error texts are fetched through the table. Both come from one build: `build` must
 * match. */
#ifndef NG_GENTABLE_H
#define NG_GENTABLE_H

#include "regime.h"
#include "spec.h"

/* A compiled kernel as object bytes (ELF). */
typedef struct ng_object {
    unsigned char *bytes; /* freed with ng_object_fini */
    size_t size;
    size_t code_bytes; /* of its text section */
    char symbol[64];   /* of its one function */
} ng_object;

typedef struct ng_jit ng_jit;
typedef enum ng_view { NG_VIEW_IR, NG_VIEW_ASM } ng_view;

/* One measured contender, ns per row. */
typedef struct ng_figure {
    char schedule[NG_SCHEDULE_TEXT];
    double ns, spread; /* median, relative interquartile range; ns 0: not measured */
} ng_figure;

/* What tuner and bench tell while they work. Texts are valid during the call only. */
typedef enum ng_event_kind {
    NG_EVENT_NOTE,     /* text: something worth knowing, one line */
    NG_EVENT_SKIP,     /* the regime does not exist for the spec, or is already done; text: why */
    NG_EVENT_PROGRESS, /* done of total steps; best: the leader so far; text: what is going on */
    NG_EVENT_RESULT    /* a unit is finished */
} ng_event_kind;
typedef struct ng_event {
    ng_event_kind kind;
    const char *text;
    const ng_named_spec *spec;
    ng_regime regime;
    int threads;
    int64_t rows;
    size_t done, total;
    double noise; /* relative noise floor */
    ng_figure best, cached, limit, preset,
        interp;               /* winners any and cached, the limit, the default schedule */
    ng_figure one, one_limit; /* of l1: winner and limit again, with a single row */
    size_t trials, invalid;   /* of this unit */
} ng_event;

typedef struct ng_tune_request {
    const ng_spec_list *specs;
    const char
        *store; /* path, NULL: the default store; of bench: NULL or where winners are looked up */
    int effort; /* ng_effort */
    double budget; /* seconds for everything, 0: what the effort takes */
    int64_t rows;  /* 0: every regime; else the regime of that many rows, at that many */
    int threads;
    int64_t seed;
    const volatile int *stop; /* set to non-zero from a signal handler to end early: E_INTERRUPTED,
                                 done work kept */
    void (*event)(void *ctx, const ng_event *event);
    void *ctx;
} ng_tune_request;

typedef struct ng_check_request {
    const normgen_spec *spec;
    const char *schedule; /* NULL: a sample of the legal ones */
    int64_t schedules;    /* how many to sample, 0: all */
    int64_t seed;
    const volatile int *stop;
    /* One difference or compile failure; one line that names spec, schedule, ISA level, case and
     * element. */
    void (*failure)(void *ctx, const char *line);
    void *ctx;
    int64_t compared, kernels, failed; /* results */
} ng_check_request;

/* A bundle to be made: see gen/emit.h. Texts are borrowed. */
typedef struct ng_emit_request {
    const ng_spec_list *specs;
    const char *isas;    /* names of levels with commas */
    const char *folder;  /* replaced as a whole; a folder with foreign files is refused */
    const char *prefix;  /* of all its symbols, a C identifier */
    const char *regimes; /* with commas: which have schedules of their own; NULL: all */
    const char *store;   /* path of the store with winners; NULL: none */
    bool tuned;          /* all specs of the store too */
    bool shared;         /* also a shared library, by the system's linker */
    bool baseline;       /* an entry for x86-64 without FMA */
    /* What is worth knowing, one line each. */
    void (*note)(void *ctx, const char *line);
    void *ctx;
    size_t spec_count, kernel_count, library_bytes; /* results */
} ng_emit_request;

typedef struct ng_gen_table {
    uint32_t struct_size;
    const char *build;     /* version and build id; must equal the run time's */
    const char *toolchain; /* "llvm=19.1.7 gen=1 numerics=1" */
    const char *(*error)(void);

    /* Compiles to an object. Safe from many threads at once. */
    normgen_status (*compile)(const ng_program *program, const ng_schedule *schedule,
                              const ng_isa *isa, ng_object *out);
    void (*object_fini)(ng_object *object);
    /* Text of the kernel's IR or disassembly; freed with free(). */
    normgen_status (*show)(const ng_program *program, const ng_schedule *schedule,
                           const ng_isa *isa, ng_view view, char **text);
    /* A place that loaded code lives in. Functions stay valid until jit_free. jit_load is safe from
     * many threads. E_UNSUPPORTED when the system forbids executable memory. */
    normgen_status (*jit_new)(ng_jit **jit);
    normgen_status (*jit_load)(ng_jit *jit, const ng_object *object, normgen_fn *fn);
    void (*jit_free)(ng_jit *jit);

    /* Runs a Lua spec file in its closed environment; appends its specs. */
    normgen_status (*read_specs)(const char *path, ng_spec_list *list);
    /* Tunes every regime of every spec and stores trials and winners. */
    normgen_status (*tune)(const ng_tune_request *request);
    /* Measures winner, default schedule, interpreter and limit of every regime, interleaved; stores
     * nothing. */
    normgen_status (*bench)(const ng_tune_request *request);
    /* Compares kernels with the interpreter, schedules x ISA levels of this machine x awkward
     * input. */
    normgen_status (*check)(ng_check_request *request);
    /* Emits a bundle: the whole folder or nothing. E_ARGUMENT for a request that means nothing. */
    normgen_status (*emit)(ng_emit_request *request);
} ng_gen_table;

/* Finds, checks and loads the generator library once per process. NULL when it is not there or does
 * not fit; the error text then says which and how to get it. */
const ng_gen_table *ng_gen(void);

#endif
