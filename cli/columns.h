/* SPDX-License-Identifier: Apache-2.0 */
/* Aligned tables for people. Cells are collected, then printed with columns as wide as their
 * widest cell. ASCII only. */
#ifndef CLI_COLUMNS_H
#define CLI_COLUMNS_H

#include <stddef.h>
#include <stdio.h>

typedef struct cli_table {
    const char *columns; /* one letter each: l left, r right */
    char **cells;
    size_t count, capacity;
} cli_table;

/* Starts a table; `columns` is borrowed. */
void cli_table_init(cli_table *table, const char *columns);
/* Adds the next cell, row by row. Running out of memory ends the program: it prints, and no more.
 */
void cli_table_add(cli_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fills the current row with empty cells. */
void cli_table_end_row(cli_table *table);
/* Prints all rows, each after `indent` blanks; no blanks at line ends. */
void cli_table_print(const cli_table *table, int indent, FILE *out);
void cli_table_fini(cli_table *table);

#endif
