/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a bundle, all made in memory and written as one step:
 *   include/PREFIX.h                    for every architecture
 *   lib/ARCH/libPREFIX.a (.so)          kernels and dispatcher
 *   lib/ARCH/pkgconfig/PREFIX.pc
 *   lib/cmake/PREFIX/PREFIX-config.cmake
 *   manifest.json                       what is in it, where it comes from, digests */
#include "emit.h"

#include "archive.h"
#include "elfcheck.h"
#include "error.h"
#include "gen.h"
#include "linker.h"
#include "manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST "manifest.json"

typedef struct maker {
    const ng_bundle *b;
    ng_folder folder;
    size_t archived;
} maker;

static const char *const arch_names[] = {[NG_X86_64] = "x86_64", [NG_AARCH64] = "aarch64"};
enum { ARCHES = sizeof arch_names / sizeof arch_names[0] };

static bool has_arch(const ng_bundle *b, int arch) {
    for (int i = 0; i < b->levels; i++)
        if ((int)b->level[i]->arch == arch) return true;
    return false;
}

/* ---- libraries ---- */

typedef struct parts {
    ng_member *member;
    char (*name)[96];
    const char **symbol;
    size_t n;
} parts;

/* "NAME.LEVEL.DIGEST.o" */
static void add_kernel(const ng_bundle *b, const ng_bundle_kernel *k, parts *p) {
    const char *digest = strrchr(k->object.symbol, 'k') + 1;
    snprintf(p->name[p->n], sizeof p->name[0], "%.40s.%s.%.8s.o", k->spec->name,
             b->level[k->level]->name, digest);
    p->symbol[p->n] = k->object.symbol;
    p->member[p->n] =
        (ng_member){p->name[p->n], k->object.bytes, k->object.size, &p->symbol[p->n], 1};
    p->n++;
}

/* The symbols that the dispatcher defines for others. */
static char **public_symbols(const ng_bundle *b, size_t *n) {
    char **list = calloc(2 * b->specs + 2, sizeof *list);
    *n = 0;
    for (size_t i = 0; list && i < 2 * b->specs + 2; i++) {
        if (!(list[i] = malloc(160))) break;
        if (i < 2 * b->specs)
            ng_emit_symbol(b, &b->spec[i / 2], i % 2, list[i]);
        else
            snprintf(list[i], 160, "%s_%s", b->prefix, i % 2 ? "bundle" : "isa");
        (*n)++;
    }
    if (list && *n == 2 * b->specs + 2) return list;
    for (size_t i = 0; i < *n; i++) free(list[i]);
    free(list);
    return NULL;
}

static bool is_kernel(const void *ctx, const char *symbol) {
    const ng_bundle *b = ctx;
    for (size_t i = 0; i < b->kernels; i++)
        if (strcmp(b->kernel[i].object.symbol, symbol) == 0) return true;
    return false;
}

static normgen_status archive(const ng_bundle *b, ng_arch arch, parts *p, unsigned char **bytes,
                              size_t *size) {
    unsigned char *dispatcher = NULL;
    size_t n = 0, symbols = 0;
    char **list = public_symbols(b, &symbols);
    normgen_status st = list ? ng_emit_dispatcher(b, arch, &dispatcher, &n)
                             : ng_fail(NORMGEN_E_MEMORY, "no memory for a library");
    if (st == NORMGEN_OK) st = ng_elf_check_needs(dispatcher, n, is_kernel, b);
    for (size_t i = 0; i < b->kernels; i++)
        if (b->level[b->kernel[i].level]->arch == arch) add_kernel(b, &b->kernel[i], p);
    if (st == NORMGEN_OK) {
        p->member[p->n++] =
            (ng_member){"dispatch.o", dispatcher, n, (const char *const *)list, symbols};
        st = ng_archive_make(p->member, p->n, bytes, size);
    }
    for (size_t i = 0; i < symbols && list; i++) free(list[i]);
    free(list);
    free(dispatcher);
    return st;
}

static normgen_status make_static(const ng_bundle *b, ng_arch arch, unsigned char **bytes,
                                  size_t *size) {
    size_t most = b->kernels + 1;
    parts p = {.member = calloc(most, sizeof *p.member),
               .name = calloc(most, sizeof *p.name),
               .symbol = calloc(most, sizeof *p.symbol)};
    normgen_status st = p.member && p.name && p.symbol
                            ? archive(b, arch, &p, bytes, size)
                            : ng_fail(NORMGEN_E_MEMORY, "no memory for a library");
    free(p.member);
    free(p.name);
    free(p.symbol);
    return st;
}

static normgen_status make_libraries(maker *m, ng_arch arch) {
    char path[160];
    unsigned char *bytes = NULL, *shared = NULL;
    size_t size, shared_size;
    normgen_status st = make_static(m->b, arch, &bytes, &size);
    if (st != NORMGEN_OK) return st;
    if (m->b->request->shared)
        st = ng_link_shared(arch, m->b->prefix, bytes, size, &shared, &shared_size);
    m->archived += size;
    snprintf(path, sizeof path, "lib/%s/lib%s.a", arch_names[arch], m->b->prefix);
    if (st == NORMGEN_OK)
        st = ng_folder_take(&m->folder, path, bytes, size);
    else
        free(bytes);
    if (st != NORMGEN_OK || !shared) return st;
    snprintf(path, sizeof path, "lib/%s/lib%s.so", arch_names[arch], m->b->prefix);
    return ng_folder_take(&m->folder, path, shared, shared_size);
}

/* ---- texts ---- */

typedef struct text {
    char *bytes;
    size_t size;
    FILE *f;
} text;

static normgen_status text_begin(text *t) {
    *t = (text){0};
    t->f = open_memstream(&t->bytes, &t->size);
    return t->f ? NORMGEN_OK : ng_fail(NORMGEN_E_MEMORY, "no memory for a file");
}

static normgen_status text_end(maker *m, text *t, const char *path) {
    bool failed = ferror(t->f) != 0;
    if (fclose(t->f) == 0 && !failed) return ng_folder_take(&m->folder, path, t->bytes, t->size);
    free(t->bytes);
    return ng_fail(NORMGEN_E_MEMORY, "no memory for file %s", path);
}

static normgen_status make_header(maker *m) {
    char path[160];
    char *copy = strdup(m->b->header);
    if (!copy) return ng_fail(NORMGEN_E_MEMORY, "no memory for a header");
    snprintf(path, sizeof path, "include/%s.h", m->b->prefix);
    return ng_folder_take(&m->folder, path, copy, strlen(copy));
}

static normgen_status make_pkgconfig(maker *m, ng_arch arch) {
    const char *p = m->b->prefix;
    char path[160];
    text t;
    normgen_status st = text_begin(&t);
    if (st != NORMGEN_OK) return st;
    fprintf(t.f,
            "prefix=${pcfiledir}/../../..\n\n"
            "Name: %s\nDescription: normalization kernels, made by normgen emit\n"
            "Version: %s\nCflags: -I${prefix}/include\nLibs: -L${prefix}/lib/%s -l%s\n",
            p, NORMGEN_VERSION, arch_names[arch], p);
    snprintf(path, sizeof path, "lib/%s/pkgconfig/%s.pc", arch_names[arch], p);
    return text_end(m, &t, path);
}

static void put_target(FILE *f, const char *prefix, const char *suffix, const char *kind,
                       const char *extension) {
    fprintf(f,
            "if(NOT TARGET %1$s::%1$s%2$s)\n"
            "    add_library(%1$s::%1$s%2$s %3$s IMPORTED)\n"
            "    set_target_properties(%1$s::%1$s%2$s PROPERTIES\n"
            "        IMPORTED_LOCATION ${%1$s_folder}/lib/${%1$s_arch}/lib%1$s.%4$s\n"
            "        INTERFACE_INCLUDE_DIRECTORIES ${%1$s_folder}/include)\n"
            "endif()\n",
            prefix, suffix, kind, extension);
}

static normgen_status make_cmake(maker *m) {
    const char *p = m->b->prefix;
    char path[160];
    text t;
    normgen_status st = text_begin(&t);
    if (st != NORMGEN_OK) return st;
    fprintf(t.f, "# Made by normgen emit: the target %1$s::%1$s%2$s.\n", p,
            m->b->request->shared ? ", and the same as a shared library, _shared behind it" : "");
    fprintf(t.f,
            "get_filename_component(%1$s_folder \"${CMAKE_CURRENT_LIST_DIR}/../../..\" ABSOLUTE)\n"
            "set(%1$s_arch x86_64)\n"
            "if(CMAKE_SYSTEM_PROCESSOR MATCHES \"^(aarch64|arm64)$\")\n"
            "    set(%1$s_arch aarch64)\nendif()\n"
            "if(NOT EXISTS \"${%1$s_folder}/lib/${%1$s_arch}/lib%1$s.a\")\n"
            "    set(%1$s_FOUND FALSE)\n"
            "    set(%1$s_NOT_FOUND_MESSAGE \"this bundle has no library for "
            "${CMAKE_SYSTEM_PROCESSOR}\")\n    return()\nendif()\n",
            p);
    put_target(t.f, p, "", "STATIC", "a");
    if (m->b->request->shared) put_target(t.f, p, "_shared", "SHARED", "so");
    snprintf(path, sizeof path, "lib/cmake/%s/%s-config.cmake", p, p);
    return text_end(m, &t, path);
}

static normgen_status make_manifest(maker *m) {
    text t;
    normgen_status st = text_begin(&t);
    if (st != NORMGEN_OK) return st;
    ng_manifest_write(t.f, m->b, &m->folder);
    return text_end(m, &t, MANIFEST);
}

normgen_status ng_emit_files(const ng_bundle *b, size_t *library_bytes) {
    maker m = {.b = b};
    normgen_status st = make_header(&m);
    for (int arch = 0; arch < ARCHES && st == NORMGEN_OK; arch++) {
        if (!has_arch(b, arch)) continue;
        st = make_libraries(&m, (ng_arch)arch);
        if (st == NORMGEN_OK) st = make_pkgconfig(&m, (ng_arch)arch);
    }
    if (st == NORMGEN_OK) st = make_cmake(&m);
    if (st == NORMGEN_OK) st = make_manifest(&m);
    if (st == NORMGEN_OK) st = ng_folder_write(&m.folder, b->request->folder, MANIFEST);
    if (st == NORMGEN_OK) *library_bytes = m.archived;
    ng_folder_fini(&m.folder);
    return st;
}
