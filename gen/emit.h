/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: kernels emitted ahead of time for several ISA levels, with a dispatcher. Split by
 * concern:
 * - emit.c: what was asked for, checked; the steps in order
 * - emit_plan.c: which schedule serves each (spec, level, regime); kernels, compiled in parallel
 * - emit_dispatch.c: the dispatcher's module: tables, functions of the specs
 * - emit_bind.c: its checks of arguments; emit_levels.c: those of rows on two levels
 * - emit_detect.c: its detection of the CPU and of the caches
 * - emit_header.c: the C header
 * - emit_files.c: libraries (archive.c, linker.c), CMake and pkg-config files
 * - manifest.c: the manifest; folder.c: all files of a folder at once, or none
 * Everything about arguments follows from the streams of the row programs. */
#ifndef NG_EMIT_H
#define NG_EMIT_H

#include "gentable.h"

struct ng_store; /* of store.h */

enum {
    NG_MAX_LEVELS = 16,
    NG_PREFIX_MOST = 40, /* characters; a kernel's symbol is prefix, "_k", 16 digits */
    NG_DIGEST_DIGITS = 16
};

/* A kernel that serves, and why: texts of the winner it comes from, "" when it is predicted. */
typedef struct ng_bundle_pick {
    int kernel; /* index */
    const char *rung;
    char machine[NG_MACHINE_TEXT], session[37], started[32];
} ng_bundle_pick;

/* What serves a (spec, level, regime). */
typedef struct ng_bundle_choice {
    ng_bundle_pick any, cached;
    size_t alignment; /* of the streamed outputs of `any`; 1: none */
} ng_bundle_choice;

typedef struct ng_bundle_spec {
    char name[64]; /* a C identifier */
    normgen_spec spec;
    char text[NORMGEN_SPEC_TEXT];
    ng_program program;
    uint32_t streamed;                       /* streams that some kernel writes past the caches */
    ng_bundle_choice (*at)[NG_REGIME_COUNT]; /* [levels] */
    bool can[NG_MAX_LEVELS];                 /* the level has kernels of it */
} ng_bundle_spec;

typedef struct ng_bundle_kernel {
    const ng_bundle_spec *spec; /* the first that needs it */
    int level;
    ng_schedule schedule;
    char schedule_text[NG_SCHEDULE_TEXT];
    ng_object object; /* its symbol has the digest of what it was made from */
} ng_bundle_kernel;

typedef struct ng_bundle {
    const ng_emit_request *request;
    const char *prefix;
    const ng_isa *level[NG_MAX_LEVELS]; /* of all architectures, weakest first */
    int levels;
    int regime_of[NG_REGIME_COUNT]; /* whose schedules serve it */
    ng_bundle_spec *spec;
    size_t specs;
    ng_bundle_kernel *kernel;
    size_t kernels;
    char *header;
    char interface[NG_DIGEST_DIGITS + 1]; /* digest of the header, in the functions' symbols */
} ng_bundle;

/* emit_plan.c */
/* Chooses schedules and lists the kernels; then compiles them. */
normgen_status ng_emit_plan(ng_bundle *b, struct ng_store *store);
normgen_status ng_emit_compile(ng_bundle *b);

/* emit_header.c: fills in header and interface. */
normgen_status ng_emit_header(ng_bundle *b);
/* Whether the program's rows have two levels; others are bound as one run of rows. */
static inline bool ng_emit_levels(const ng_program *p) {
    return p->levels || p->inner || p->parts > 1;
}
/* Offsets in a spec's argument struct: rows, inner where the spec does not say it, then a pointer
 * for each stream, then the strides, then the outer ones; 0 for what it has not. */
size_t ng_emit_inner_at(const ng_program *program);
size_t ng_emit_pointer_at(const ng_program *program, int stream);
size_t ng_emit_stride_at(const ng_program *program, int stream);
size_t ng_emit_outer_at(const ng_program *program, int stream);
/* Status codes of the bundle's functions. */
typedef enum ng_emit_status {
    NG_EMIT_OK,
    NG_EMIT_NULL,
    NG_EMIT_ALIGNMENT,
    NG_EMIT_STRIDE,
    NG_EMIT_RANGE,
    NG_EMIT_OVERLAP,
    NG_EMIT_CPU,
    NG_EMIT_INNER
} ng_emit_status;
/* Symbols: PREFIX_NAME_INTERFACE, or with _rows behind the name. */
void ng_emit_symbol(const ng_bundle *b, const ng_bundle_spec *spec, bool rows, char text[160]);

/* emit_dispatch.c: the dispatcher's object for one architecture, freed with free(). */
normgen_status ng_emit_dispatcher(const ng_bundle *b, ng_arch arch, unsigned char **bytes,
                                  size_t *size);
/* emit_files.c: all files, into the folder of the request. library_bytes: of the static libraries.
 */
normgen_status ng_emit_files(const ng_bundle *b, size_t *library_bytes);

/* folder.c */
typedef struct ng_file {
    char path[160];       /* below the folder */
    unsigned char *bytes; /* owned */
    size_t size;
} ng_file;
typedef struct ng_folder {
    ng_file *file;
    size_t files;
} ng_folder;
/* Takes bytes, also on failure. */
normgen_status ng_folder_take(ng_folder *f, const char *path, void *bytes, size_t size);
/* Replaces the folder at `path` by one with just these files, as one step. E_IO when it has files
 * that no manifest (file `manifest`) of an earlier call names, or cannot be written; then nothing
 * has changed. */
normgen_status ng_folder_write(const ng_folder *f, const char *path, const char *manifest);
void ng_folder_fini(ng_folder *f);

#endif
