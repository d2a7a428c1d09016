/* SPDX-License-Identifier: Apache-2.0 */
/* "!<arch>\n", then members: a header of 60 characters and the bytes, filled up to an even size.
 * The first two are made even themselves, as GNU ar does: readelf relies on it. The first member,
 * "/", is the symbol index (big-endian: count, offset of each symbol's member, names); the second,
 * "//", has the names that do not fit a header. */
#include "archive.h"

#include "error.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 8, HEADER = 60 };

static size_t even(size_t n) { return n + n % 2; }

typedef struct sizes {
    size_t index, names, symbols;
} sizes;

static sizes measure(const ng_member *m, size_t n) {
    sizes s = {.index = 4};
    for (size_t i = 0; i < n; i++) {
        s.names += strlen(m[i].name) + 2; /* "name/\n" */
        s.symbols += m[i].n_symbols;
        for (size_t j = 0; j < m[i].n_symbols; j++) s.index += 4 + strlen(m[i].symbols[j]) + 1;
    }
    return s;
}

static void put_header(FILE *f, const char *name, size_t size) {
    fprintf(f, "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "644", size);
}

static void put_big_endian(FILE *f, size_t n) {
    for (int shift = 24; shift >= 0; shift -= 8) fputc((int)(n >> shift & 255u), f);
}

static void pad(FILE *f, size_t size) {
    if (size % 2) fputc('\n', f);
}

static void put_index(FILE *f, const ng_member *m, size_t n, sizes s) {
    size_t at = MAGIC + HEADER + even(s.index) + HEADER + even(s.names);
    put_header(f, "/", even(s.index));
    put_big_endian(f, s.symbols);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < m[i].n_symbols; j++) put_big_endian(f, at);
        at += HEADER + even(m[i].size);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m[i].n_symbols; j++)
            fwrite(m[i].symbols[j], 1, strlen(m[i].symbols[j]) + 1, f);
    if (s.index % 2) fputc(0, f);
}

static void put_members(FILE *f, const ng_member *m, size_t n, sizes s) {
    size_t at = 0;
    put_header(f, "//", even(s.names));
    for (size_t i = 0; i < n; i++) fprintf(f, "%s/\n", m[i].name);
    pad(f, s.names);
    for (size_t i = 0; i < n; i++) {
        char name[24];
        snprintf(name, sizeof name, "/%zu", at);
        at += strlen(m[i].name) + 2;
        put_header(f, name, m[i].size);
        fwrite(m[i].bytes, 1, m[i].size, f);
        pad(f, m[i].size);
    }
}

normgen_status ng_archive_make(const ng_member *members, size_t n, unsigned char **bytes,
                               size_t *size) {
    sizes s = measure(members, n);
    char *text = NULL;
    FILE *f = open_memstream(&text, size);
    if (!f) return ng_fail(NORMGEN_E_MEMORY, "out of memory for a library of %zu objects", n);
    fputs("!<arch>\n", f);
    put_index(f, members, n, s);
    put_members(f, members, n, s);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        free(text);
        return ng_fail(NORMGEN_E_MEMORY, "out of memory for a library of %zu objects", n);
    }
    if (*size > UINT32_MAX) {
        free(text);
        return ng_fail(NORMGEN_E_UNSUPPORTED, "a library of %zu bytes is beyond 4 GiB", *size);
    }
    *bytes = (unsigned char *)text;
    return NORMGEN_OK;
}
