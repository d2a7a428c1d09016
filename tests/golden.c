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
static uint64_t digest_elements(uint64_t digest, int type, const void *elements, size_t n) {
    size_t bytes = ng_types[type].bytes;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *e = (const unsigned char *)elements + i * bytes;
        double v = ng_type_read(type, e, 0);
        for (size_t b = 0; b < bytes; b++)
            digest = (digest ^ (v != v ? 0xffu : e[b])) * 0x100000001b3u;
    }
    return digest;
}

static size_t row_bytes(const golden *g, int s) {
    return ng_stream_width(&g->program, s) * ng_types[g->program.stream[s].type].bytes;
}

/* One packed array per stream; inputs filled. */
static bool make_arrays(const golden *g, normgen_bound_args *args) {
    args->rows_per_outer = GROUP;
    for (int s = 0; s < g->program.streams; s++) {
        const ng_stream *stream = &g->program.stream[s];
        size_t bytes = row_bytes(g, s), n = ng_stream_width(&g->program, s);
        bool shared = stream->rows == NG_ONE;
        char *base = calloc(shared ? 1 : ROWS, bytes);
        args->stream[s].base = base;
        args->stream[s].inner = shared ? 0 : (ptrdiff_t)bytes;
        args->stream[s].outer = GROUP * args->stream[s].inner;
        if (!base) return false;
        if (shared) awkward_shared(stream->type, base, n, g->seed, stream->role, g->seed & 1);
        for (size_t r = 0; r < ROWS && !shared && !stream->out; r++)
            awkward_row(stream->type, base + r * bytes, n, r, g->seed, stream->role);
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
            digest = digest_elements(digest, stream->type, args.stream[i].base,
                                     ROWS * ng_stream_width(&g->program, i));
        free(args.stream[i].base);
    }
    return made ? digest : 0;
}
