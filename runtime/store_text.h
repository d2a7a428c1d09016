/* SPDX-License-Identifier: Apache-2.0 */
/* The store as text: what stands on a line, for writer and reader. Not for others. The form, one
 * row of the store a line, is described in docs/store-text.md. */
#ifndef NG_STORE_TEXT_H
#define NG_STORE_TEXT_H

#include "store_impl.h"

#define NG_TEXT_MARK "normgen-store"
#define NG_TEXT_VERSION 1
#define NG_TEXT_END "end"
#define NG_TEXT_LINE 4096 /* bytes of a line; the longest that export writes has 2100 */
#define NG_TEXT_BYTES ((int64_t)1 << 28) /* of a whole text: it is read into memory first */
#define NG_TEXT_VALUE 1024               /* of one value */
#define NG_TEXT_COLUMNS 7
/* A preset: what the row of this kind above has; missing in the first one. */
#define NG_TEXT_ABOVE "^"

typedef struct ng_text_column {
    const char *name; /* NULL ends the list */
    enum { NG_TEXT_WORDS, NG_TEXT_INTEGER, NG_TEXT_REAL } form;
    const char *preset; /* what a missing one means; NULL: it must not be missing */
} ng_text_column;

typedef enum ng_text_kind {
    NG_TEXT_SESSION,
    NG_TEXT_STATE,
    NG_TEXT_UNIT,
    NG_TEXT_WINNER,
    NG_TEXT_TRIAL,
    NG_TEXT_KINDS
} ng_text_kind;

/* One kind of line: its first word, then name=value for each column, in the order of the table. */
typedef struct ng_text_row {
    const char *word;
    ng_text_column columns[NG_TEXT_COLUMNS + 1];
} ng_text_row;
extern const ng_text_row ng_text_rows[NG_TEXT_KINDS];

/* A new store in memory, for reading and writing through its connection. */
normgen_status ng_store_in_memory(const char *name, ng_store **store);

#endif
