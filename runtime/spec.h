/* SPDX-License-Identifier: Apache-2.0 */
/* Specs: one table of fields that parser, printer, validator, Lua reader, command line and tests
 * all read. Inside normgen a spec is always resolved: struct_size is ours, every default is filled
 * in, every rule is checked. */
#ifndef NG_SPEC_H
#define NG_SPEC_H

#include "normgen/normgen.h"

#include <stdbool.h>

typedef enum ng_field_form { NG_FIELD_WORD, NG_FIELD_INTEGER, NG_FIELD_DECIMAL } ng_field_form;

typedef struct ng_word {
    const char *text;
    int32_t value;
} ng_word;

/* One field of a spec. The first entry of the table is the kind, which the text form writes as a
 * bare first word. */
typedef struct ng_field {
    const char *name;
    ng_field_form form;
    size_t offset;        /* of an int32_t (word), int64_t (integer) or double (decimal) */
    const ng_word *words; /* of a word field, ended by a NULL text */
    int64_t least, most;  /* of an integer */
    double standard;      /* default of an integer or a decimal, and what 0 in the struct means */
    bool always;          /* written even when it has its default value */
    bool (*applies)(
        const normgen_spec *spec); /* NULL: to every spec; sees a spec with defaults filled in */
    const char *needs;             /* what `applies` asks for, for messages */
    const char *help;              /* one line */
} ng_field;

#define NG_FIELD_COUNT 39
extern const ng_field ng_fields[NG_FIELD_COUNT];

#define NG_HIDDEN_MAX ((int64_t)1 << 24)

/* What two fields cannot mean together. */
typedef struct ng_rule {
    const char *a, *b; /* names of the fields */
    bool (*broken)(const normgen_spec *spec);
    const char *sentence; /* what would be right */
} ng_rule;
extern const ng_rule ng_rules[]; /* ended by a NULL name */

/* Elements of one row of the spec's row program. */
static inline int64_t ng_spec_width(const normgen_spec *s) { return s->hidden / s->groups; }
/* The type of values that are not codes: that of x, or f32 where x is i8. */
static inline int32_t ng_spec_plain(const normgen_spec *s) {
    return s->x == NORMGEN_I8 ? NORMGEN_F32 : s->x;
}
/* Elements of a group of quant=groupN, else 0. */
int ng_spec_group(const normgen_spec *spec);

/* The field of that name, or NULL. */
const ng_field *ng_field_find(const char *name, size_t length);
/* Writes the words a field allows, separated by blanks, or its range; for messages and help. */
void ng_field_allowed(const ng_field *field, char *text, size_t size);
/* Sets one field from its text. E_SPEC with field, value and what is allowed. Does not look at
 * other fields. */
normgen_status ng_spec_set(normgen_spec *spec, const ng_field *field, const char *value);
/* Fills in defaults and checks all rules; accepts any known or shorter struct_size. `out` may be
 * `in`. */
normgen_status ng_spec_resolve(const normgen_spec *in, normgen_spec *out);
/* The same, and fields whose bit (index in ng_fields) is set in `given` must apply even with their
 * default value. */
normgen_status ng_spec_resolve_given(const normgen_spec *in, uint64_t given, normgen_spec *out);
/* Canonical text of a resolved spec; text has NORMGEN_SPEC_TEXT bytes. */
void ng_spec_text(const normgen_spec *spec, char *text);
/* Whether two resolved specs are the same spec. */
bool ng_spec_same(const normgen_spec *a, const normgen_spec *b);
/* A spec with nothing but its size, of no kind: what readers of text and Lua start from. eps is not
 * set (NaN). */
normgen_spec ng_spec_blank(void);

/* A list of named specs, as spec files and command lines give them. */
typedef struct ng_named_spec {
    char name[64]; /* "" when it has none */
    normgen_spec spec;
} ng_named_spec;
typedef struct ng_spec_list {
    ng_named_spec *items;
    size_t count;
} ng_spec_list;
void ng_spec_list_fini(ng_spec_list *list);
/* Appends a copy; E_MEMORY. */
normgen_status ng_spec_list_add(ng_spec_list *list, const char *name, const normgen_spec *spec);

#endif
