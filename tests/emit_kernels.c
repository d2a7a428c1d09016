/* SPDX-License-Identifier: Apache-2.0 */
/* emit_kernels ISA GOLDEN.TXT FOLDER: compiles two kernels of every golden spec into
 * FOLDER/kernelN.o, each with the symbol normgen_kernel, and writes FOLDER/table.c, which calls
 * them kernelN. */
#include "awkward.h"
#include "gen.h"
#include "golden.h"
#include "schedule.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct output {
    const char *folder;
    FILE *declarations, *entries;
    int kernels;
} output;

static bool write_object(const output *o, const ng_object *object) {
    char path[4096];
    snprintf(path, sizeof path, "%s/kernel%d.o", o->folder, o->kernels);
    FILE *f = fopen(path, "w");
    if (!f) return false;
    bool written = fwrite(object->bytes, 1, object->size, f) == object->size;
    return fclose(f) == 0 && written;
}

static bool emit(output *o, const golden *g, int line, const ng_isa *isa, const ng_schedule *s) {
    char text[NG_SCHEDULE_TEXT];
    ng_object object = {0};
    bool done = ng_compile(&g->program, s, isa, &object) == NORMGEN_OK && write_object(o, &object);
    ng_schedule_text(&g->program, s, text);
    if (!done) fprintf(stderr, "%s: %s\n", text, normgen_error());
    fprintf(o->declarations, "void kernel%d(const normgen_bound_args *, size_t, size_t);\n",
            o->kernels);
    fprintf(o->entries, "    {%d, \"%s\", kernel%d},\n", line, text, o->kernels++);
    ng_object_fini(&object);
    return done;
}

/* The simplest schedule, and one at random. */
static bool emit_line(output *o, const golden *g, int line, const ng_isa *isa) {
    ng_schedule *space = NULL;
    size_t n = 0;
    uint64_t state = g->digest;
    if (ng_schedule_space(&g->program, isa, &space, &n) != NORMGEN_OK || n == 0) {
        fprintf(stderr, "no schedules: %s\n", normgen_error());
        return false;
    }
    bool done =
        emit(o, g, line, isa, &space[0]) && emit(o, g, line, isa, &space[awkward_below(&state, n)]);
    free(space);
    return done;
}

static FILE *open_in(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, "w");
}

int main(int argc, char **argv) {
    static golden lines[GOLDEN_MOST];
    const ng_isa *isa = argc == 4 ? ng_isa_find(argv[1]) : NULL;
    int n = isa ? golden_read(argv[2], lines) : -1;
    if (n < 0) return fprintf(stderr, "usage: emit_kernels ISA GOLDEN.TXT FOLDER\n"), 2;
    output o = {argv[3], open_in(argv[3], "table.h"), open_in(argv[3], "table.c"), 0};
    if (!o.declarations || !o.entries) return perror(argv[3]), 1;
    fprintf(o.entries, "#include \"golden.h\"\n#include \"table.h\"\n"
                       "const linked_kernel linked_kernels[] = {\n");
    bool done = true;
    for (int i = 0; i < n && done; i++) done = emit_line(&o, &lines[i], i, isa);
    fprintf(o.entries, "    {0, NULL, NULL}};\n");
    bool closed = fclose(o.declarations) == 0;
    closed = fclose(o.entries) == 0 && closed;
    return !(done && closed);
}
