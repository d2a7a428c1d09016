/* SPDX-License-Identifier: Apache-2.0 */
/* Cells are kept as texts in one array; a row is as many of them as there are column letters. */
#include "columns.h"

#include "options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void cli_table_init(cli_table *table, const char *columns) {
    *table = (cli_table){.columns = columns};
}

static void *need(void *memory) {
    if (memory) return memory;
    cli_error("out of memory");
    exit(CLI_FAILED);
}

void cli_table_add(cli_table *table, const char *format, ...) {
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 64;
        table->cells = need(realloc(table->cells, table->capacity * sizeof *table->cells));
    }
    table->cells[table->count++] = need(strdup(text));
}

void cli_table_end_row(cli_table *table) {
    while (table->count % strlen(table->columns)) cli_table_add(table, "%s", "");
}

static size_t column_width(const cli_table *table, size_t column, size_t columns) {
    size_t widest = 0;
    for (size_t i = column; i < table->count; i += columns) {
        size_t n = strlen(table->cells[i]);
        if (n > widest) widest = n;
    }
    return widest;
}

static void print_row(const cli_table *table, size_t first, size_t columns, const size_t *width,
                      int indent, FILE *out) {
    size_t last = columns;
    while (last > 0 && !*table->cells[first + last - 1]) last--;
    fprintf(out, "%*s", last ? indent : 0, "");
    for (size_t c = 0; c < last; c++) {
        bool left = table->columns[c] == 'l', end = c + 1 == last;
        int w = left && end ? 0 : (int)width[c];
        fprintf(out, "%*s%s", left ? -w : w, table->cells[first + c], end ? "" : "  ");
    }
    fputc('\n', out);
}

void cli_table_print(const cli_table *table, int indent, FILE *out) {
    size_t columns = strlen(table->columns), width[16] = {0};
    for (size_t c = 0; c < columns && c < 16; c++) width[c] = column_width(table, c, columns);
    for (size_t i = 0; i + columns <= table->count; i += columns)
        print_row(table, i, columns, width, indent, out);
}

void cli_table_fini(cli_table *table) {
    for (size_t i = 0; i < table->count; i++) free(table->cells[i]);
    free(table->cells);
    *table = (cli_table){0};
}
