/* SPDX-License-Identifier: Apache-2.0 */
/* Digests over plain arrays: no guard pages, so that it runs wherever C runs. */
#include "golden.h"

#include "awkward.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 32, GROUP = 8 };

static bool read_line(const char *line, golden *g) {
    int at = 0;
    if (sscanf(line, "%16" SCNx64 " seed=%" SCNu64 " %n", &g->digest, &g->seed, &at) != 2 || !at)
        return false;
    if (normgen_spec_parse(&g->spec, line + at) != NORMGEN_OK) return false;
    ng_program_build(&g->program, &g->spec);
    return true;
}

int golden_read(const char *path, golden lines[GOLDEN_MOST]) {
    char line[NORMGEN_SPEC_TEXT + 64];
    int n = 0;
    FILE *f = fopen(path, "r");
    if (!f) return perror(path), -1;
    while (n >= 0 && fgets(line, sizeof line, f)) {
        if (line[0] == '#' || line[0] == '\n') continue;
        if (n < GOLDEN_MOST && read_line(line, &lines[n])) {
            n++;
            continue;
        }
        fprintf(stderr, "%s: bad or too many lines: %s", path, line);
        n = -1;
    }
    fclose(f);
    return n;
}

/* FNV-1a of elements, each NaN taken as bytes of 0xff. */
static uint64_t digest_elements(uint64_t digest, int type, const unsigned char *e, size_t n) {
    size_t bytes = ng_types[type].bytes;
    for (size_t i = 0; i < n; i++, e += bytes) {
        double v = ng_type_read(type, e, 0);
        for (size_t b = 0; b < bytes; b++)
            digest = (digest ^ (v != v ? 0xffu : e[b])) * 0x100000001b3u;
    }
    return digest;
}

/* The same of whole blocks; elements are blocks of one. */
static uint64_t digest_blocks(uint64_t digest, int type, const unsigned char *at, size_t bytes) {
    ng_field_run runs[NG_MAX_RUNS];
    int n = ng_type_runs(type, runs);
    for (size_t block = 0; block < bytes; block += ng_types[type].block_bytes)
        for (int i = 0; i < n; i++)
            digest = digest_elements(digest, runs[i].type, at + block + runs[i].at, runs[i].count);
    return digest;
}

static void fill(const golden *g, const ng_stream *s, char *base, size_t n, size_t inner) {
    for (size_t r = 0; r < ng_stream_rows(s, ROWS, inner); r++) {
        char *row = base + r * s->row_bytes;
        if (s->rows == NG_EACH)
            awkward_row(s->type, row, n, r, g->seed, s->role);
        else
            awkward_shared(s->type, row, n, g->seed + r * 7919, s->role, g->seed & 1);
    }
}

/* One packed array per stream; inputs filled. */
static bool make_arrays(const golden *g, normgen_bound_args *args) {
    size_t inner = g->program.inner ? (size_t)g->program.inner : GROUP;
    args->rows_per_outer = inner;
    for (int s = 0; s < g->program.streams; s++) {
        const ng_stream *stream = &g->program.stream[s];
        char *base = calloc(ROWS, stream->row_bytes);
        if (!base) return false;
        args->stream[s] = ng_stream_place(stream, base, stream->row_bytes, inner);
        if (!stream->out) fill(g, stream, base, ng_stream_width(&g->program, s), inner);
    }
    return true;
}

uint64_t golden_digest(const golden *g, const subject *s) {
    normgen_bound_args args = {0};
    uint64_t digest = 0xcbf29ce484222325u;
    bool made = make_arrays(g, &args);
    if (made) s->run(s->ctx, &args, 0, ROWS);
    for (int i = 0; i < g->program.streams; i++) {
        const ng_stream *stream = &g->program.stream[i];
        if (made && stream->out)
            digest = digest_blocks(digest, stream->type, args.stream[i].base,
                                   (size_t)ROWS * stream->row_bytes);
        free(args.stream[i].base);
    }
    return made ? digest : 0;
}
