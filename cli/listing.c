/* SPDX-License-Identifier: Apache-2.0 */
/* Prints operations in SSA form. Knows operations by their table only. */
#include "listing.h"

#include "decimal.h"
#include "columns.h"
#include "types.h"

#include <stdlib.h>
#include <string.h>

static const char *const rows_names[] = {"each row", "outer", "inner", "shared"};
static const char *const width_names[] = {"hidden", "hidden/2", "one value", "per group"};

static size_t append(char *text, size_t size, size_t at, const char *more) {
    if (at < size) at += (size_t)snprintf(text + at, size - at, "%s", more);
    return at;
}

const char *cli_listing_op(const ng_program *p, int index, char *text, size_t size) {
    const ng_op *op = &p->op[index];
    char part[64];
    size_t at = 0;
    text[0] = 0;
    if (op->code != NG_STORE) {
        snprintf(part, sizeof part, "%%%d = ", index);
        at = append(text, size, at, part);
    }
    at = append(text, size, at, ng_op_name(op->code));
    if (op->stream >= 0) {
        at = append(text, size, at, " ");
        at = append(text, size, at, ng_roles[p->stream[op->stream].role].name);
    }
    for (int i = 0; i < 4 && op->a[i] >= 0; i++) {
        snprintf(part, sizeof part, " %%%d", op->a[i]);
        at = append(text, size, at, part);
    }
    if (op->code == NG_CONST || op->code == NG_BITS || op->code == NG_SHL || op->code == NG_SHR) {
        char number[NG_DECIMAL_TEXT];
        ng_decimal_print(op->k, number);
        at = append(text, size, at, " ");
        at = append(text, size, at, number);
    }
    if (op->code == NG_ROUND) {
        at = append(text, size, at, " to ");
        append(text, size, at, ng_types[op->type].name);
    }
    return text;
}

/* Prints a table with the prefix before each line. */
static void print_prefixed(const cli_table *t, const char *prefix, FILE *out) {
    char *text = NULL;
    size_t size = 0;
    FILE *lines = open_memstream(&text, &size);
    if (!lines) return;
    cli_table_print(t, 2, lines);
    fclose(lines);
    for (char *p = text, *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        fprintf(out, "%s%.*s\n", prefix, (int)(end - p), p);
    }
    free(text);
}

static void print_streams(const ng_program *p, const char *prefix, FILE *out) {
    cli_table t;
    cli_table_init(&t, "lllll");
    for (int s = 0; s < p->streams; s++) {
        const ng_stream *stream = &p->stream[s];
        cli_table_add(&t, "%s", ng_roles[stream->role].name);
        cli_table_add(&t, "%s", ng_types[stream->type].name);
        cli_table_add(&t, "%s", rows_names[stream->rows]);
        cli_table_add(&t, "%s", width_names[stream->width]);
        cli_table_add(&t, "%s", stream->out ? "out" : "in");
    }
    print_prefixed(&t, prefix, out);
    cli_table_fini(&t);
}

static void add_passes(cli_table *t, unsigned passes) {
    char text[64] = "";
    size_t at = 0;
    for (int p = 0; p < 16; p++)
        if (passes >> p & 1u) {
            char one[8];
            snprintf(one, sizeof one, "%s%d", at ? " " : "", p);
            at = append(text, sizeof text, at, one);
        }
    cli_table_add(t, "%s", text);
}

static void print_ops(const ng_program *p, const char *prefix, FILE *out) {
    cli_table t;
    cli_table_init(&t, "lllrl");
    static const char *const head[] = {"operation", "shape", "", "level", "passes"};
    for (int i = 0; i < 5; i++) cli_table_add(&t, "%s", head[i]);
    for (int i = 0; i < p->ops; i++) {
        char text[96];
        const ng_op *op = &p->op[i];
        cli_table_add(&t, "%s", cli_listing_op(p, i, text, sizeof text));
        cli_table_add(&t, "%s", op->scalar ? "scalar" : "elem");
        cli_table_add(&t, "%s", op->shared ? "shared" : "");
        cli_table_add(&t, "%d", op->level);
        add_passes(&t, op->passes);
    }
    print_prefixed(&t, prefix, out);
    cli_table_fini(&t);
}

static void print_crossing(const ng_program *p, const char *prefix, FILE *out) {
    for (int j = 0; j < p->keeps; j++) {
        char text[96];
        int from = ng_program_reload_store(p, j);
        fprintf(out, "%s  %s", prefix, cli_listing_op(p, p->keep[j], text, sizeof text));
        if (from >= 0)
            fprintf(out, ", can be reloaded from %s",
                    ng_roles[p->stream[p->op[from].stream].role].name);
        fputc('\n', out);
    }
}

void cli_listing_print(const ng_program *p, const char *prefix, FILE *out) {
    fprintf(out, "%sstreams\n", prefix);
    print_streams(p, prefix, out);
    fprintf(out, "%srow program: %d passes over a row, arithmetic in %s, %d lanes\n", prefix,
            p->passes, ng_types[p->compute].name, p->lanes);
    print_ops(p, prefix, out);
    fprintf(out, "%svalues that cross passes, in the order of keep=\n", prefix);
    print_crossing(p, prefix, out);
}
