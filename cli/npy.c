/* SPDX-License-Identifier: Apache-2.0 */
/* Parses and writes .npy headers. The parser takes the one form of Python literal that they have: a
 * dictionary of strings, True or False, and a tuple of whole numbers. It never reads past the size
 * it is given and takes no memory. */
#include "npy.h"

#include "error.h"

#include <stdio.h>
#include <string.h>

enum { ALIGN = 64 }; /* of the array in the file */

/* Element types as headers spell them; the first spelling of a type is the one that is written. */
static const struct {
    const char *descr;
    int type;
} descrs[] = {{"<f4", NORMGEN_F32},  {"<f8", NORMGEN_F64},  {"<f2", NORMGEN_F16},
              {"|i1", NORMGEN_I8},   {"|u1", NORMGEN_U8},   {"|u1", NORMGEN_E4M3},
              {"|u1", NORMGEN_E5M2}, {"|V2", NORMGEN_BF16}, {"<V2", NORMGEN_BF16}};

typedef struct scanner {
    const char *p, *end;
} scanner;

static normgen_status malformed(const char *what) {
    return ng_fail(NORMGEN_E_IO, "the .npy header is malformed: %s", what);
}

static void skip_blanks(scanner *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

static bool take(scanner *s, char c) {
    skip_blanks(s);
    if (s->p == s->end || *s->p != c) return false;
    s->p++;
    return true;
}

/* A quoted string without escapes, cut to the size of text. */
static bool take_string(scanner *s, char *text, size_t size) {
    skip_blanks(s);
    if (s->p == s->end || (*s->p != '\'' && *s->p != '"')) return false;
    char quote = *s->p++;
    const char *start = s->p;
    while (s->p < s->end && *s->p != quote && *s->p != '\\' && *s->p != '\n') s->p++;
    if (s->p == s->end || *s->p != quote) return false;
    snprintf(text, size, "%.*s", (int)((size_t)(s->p - start) < size ? s->p - start : (int)size),
             start);
    s->p++;
    return true;
}

static bool take_word(scanner *s, const char *word) {
    size_t n = strlen(word);
    skip_blanks(s);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) return false;
    s->p += n;
    return true;
}

/* A whole number that is not negative, with the L that Python 2 wrote. */
static bool take_size(scanner *s, int64_t *value) {
    skip_blanks(s);
    const char *start = s->p;
    int64_t v = 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s->p - '0', &v))
            return false;
    if (s->p == start) return false;
    if (s->p < s->end && *s->p == 'L') s->p++;
    *value = v;
    return true;
}

static normgen_status unknown_type(const char *descr) {
    if (strchr(descr, 'O'))
        return ng_fail(NORMGEN_E_IO, "it holds pickled Python objects, which are never loaded; "
                                     "save it as float16, float32 or float64");
    if (descr[0] == '>')
        return ng_fail(NORMGEN_E_IO,
                       "its elements are big-endian ('%s'); save it with "
                       "a.astype(a.dtype.newbyteorder('<'))",
                       descr);
    return ng_fail(
        NORMGEN_E_IO,
        "its elements are '%s'; normgen reads '<f2', '<f4', '<f8', '|i1', '|u1', and '|V2' as bf16",
        descr);
}

static normgen_status set_type(const char *descr, int v2, cli_array *a) {
    for (size_t i = 0; i < sizeof descrs / sizeof descrs[0]; i++) {
        if (strcmp(descrs[i].descr, descr) != 0) continue;
        bool is_void = strchr(descr, 'V') != NULL;
        if (is_void && v2 == NORMGEN_NONE)
            return ng_fail(NORMGEN_E_IO,
                           "its elements are 2-byte void ('%s'), which says nothing "
                           "about their meaning; if they are bf16, add --v2 bf16",
                           descr);
        a->type = is_void ? v2 : descrs[i].type;
        return NORMGEN_OK;
    }
    return unknown_type(descr);
}

static normgen_status parse_descr(scanner *s, int v2, cli_array *a) {
    char descr[32];
    skip_blanks(s);
    if (s->p < s->end && *s->p == '[')
        return ng_fail(NORMGEN_E_IO, "it is a structured array; save one field of it");
    if (!take_string(s, descr, sizeof descr)) return malformed("no string after 'descr'");
    return set_type(descr, v2, a);
}

static normgen_status parse_order(scanner *s) {
    if (take_word(s, "False")) return NORMGEN_OK;
    if (!take_word(s, "True")) return malformed("no True or False after 'fortran_order'");
    return ng_fail(NORMGEN_E_IO, "it is in Fortran order; save it with np.ascontiguousarray(a)");
}

static normgen_status parse_shape(scanner *s, cli_array *a) {
    if (!take(s, '(')) return malformed("no tuple after 'shape'");
    a->dims = 0;
    while (!take(s, ')')) {
        if (a->dims == CLI_ARRAY_DIMS) return malformed("more than 32 dimensions");
        if (!take_size(s, &a->shape[a->dims++]))
            return malformed("'shape' has something that is no whole number from 0 to 2^63-1");
        bool comma = take(s, ',');
        skip_blanks(s);
        if (!comma && (s->p == s->end || *s->p != ')')) return malformed("'shape' does not end");
        if (!comma && a->dims == 1) return malformed("'shape' is a number, not a tuple");
    }
    return NORMGEN_OK;
}

enum { HAS_DESCR = 1, HAS_ORDER = 2, HAS_SHAPE = 4 };

static normgen_status parse_member(scanner *s, int v2, cli_array *a, unsigned *seen) {
    char key[32];
    if (!take_string(s, key, sizeof key) || !take(s, ':')) return malformed("no 'key': value");
    unsigned bit = strcmp(key, "descr") == 0           ? HAS_DESCR
                   : strcmp(key, "fortran_order") == 0 ? HAS_ORDER
                   : strcmp(key, "shape") == 0         ? HAS_SHAPE
                                                       : 0;
    if (bit == 0 || (*seen & bit)) return malformed("a key is unknown, or there twice");
    *seen |= bit;
    if (bit == HAS_DESCR) return parse_descr(s, v2, a);
    return bit == HAS_ORDER ? parse_order(s) : parse_shape(s, a);
}

normgen_status cli_npy_parse(const char *header, size_t size, int v2, cli_array *array) {
    scanner s = {header, header + size};
    cli_array a = {0};
    unsigned seen = 0;
    if (!take(&s, '{')) return malformed("it does not start with {");
    while (!take(&s, '}')) {
        normgen_status st = parse_member(&s, v2, &a, &seen);
        if (st != NORMGEN_OK) return st;
        bool comma = take(&s, ',');
        skip_blanks(&s);
        if (!comma && (s.p == s.end || *s.p != '}')) return malformed("it does not end with }");
    }
    skip_blanks(&s);
    if (s.p != s.end) return malformed("something stands after the }");
    if (seen != (HAS_DESCR | HAS_ORDER | HAS_SHAPE))
        return malformed("descr, fortran_order or shape is missing");
    if (!cli_array_measure(&a))
        return ng_fail(NORMGEN_E_IO, "its shape asks for more elements than memory can have");
    *array = a;
    return NORMGEN_OK;
}

static const char *descr_of(int type) {
    for (size_t i = 0; i < sizeof descrs / sizeof descrs[0]; i++)
        if (descrs[i].type == type) return descrs[i].descr;
    return "";
}

size_t cli_npy_header(const cli_array *a, char *header, size_t size) {
    static const char preamble[] = "\x93NUMPY\x01\x00";
    size_t at = 10;
    at += (size_t)snprintf(header + at, size - at,
                           "{'descr': '%s', 'fortran_order': False, 'shape': (", descr_of(a->type));
    for (int i = 0; i < a->dims; i++)
        at += (size_t)snprintf(header + at, size - at, "%s%lld%s", i ? " " : "",
                               (long long)a->shape[i], i + 1 < a->dims || a->dims == 1 ? "," : "");
    at += (size_t)snprintf(header + at, size - at, "), }");
    while ((at + 1) % ALIGN) header[at++] = ' ';
    header[at++] = '\n';
    memcpy(header, preamble, 8);
    header[8] = (char)((at - 10) & 0xff);
    header[9] = (char)((at - 10) >> 8);
    return at;
}
