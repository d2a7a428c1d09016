/* SPDX-License-Identifier: Apache-2.0 */
/* The C header of a bundle: per spec a struct of arguments, made from the streams of its row
 * program, and two functions. The functions' real symbols have a digest of the header in them, so
 * a header and a library that do not belong together do not link. */
#include "emit.h"

#include "error.h"
#include "sha256.h"
#include "types.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- members ---- */

static bool has_stride(const ng_stream *t) { return t->stride && t->rows != NG_ONE; }

/* Groups are of one row: their rows have one distance. */
static bool has_outer(const ng_program *p, const ng_stream *t) {
    return ng_emit_levels(p) && p->parts == 1 && t->outer && t->rows == NG_EACH;
}

size_t ng_emit_inner_at(const ng_program *p) { return ng_emit_levels(p) && !p->inner ? 8 : 0; }

size_t ng_emit_pointer_at(const ng_program *p, int stream) {
    return 8 + ng_emit_inner_at(p) + 8 * (size_t)stream;
}

size_t ng_emit_stride_at(const ng_program *p, int stream) {
    size_t at = ng_emit_pointer_at(p, p->streams);
    if (!has_stride(&p->stream[stream])) return 0;
    for (int s = 0; s < stream; s++) at += has_stride(&p->stream[s]) ? 8 : 0;
    return at;
}

size_t ng_emit_outer_at(const ng_program *p, int stream) {
    size_t at = ng_emit_pointer_at(p, p->streams);
    if (!has_outer(p, &p->stream[stream])) return 0;
    for (int s = 0; s < p->streams; s++) at += has_stride(&p->stream[s]) ? 8 : 0;
    for (int s = 0; s < stream; s++) at += has_outer(p, &p->stream[s]) ? 8 : 0;
    return at;
}

void ng_emit_symbol(const ng_bundle *b, const ng_bundle_spec *spec, bool rows, char text[160]) {
    snprintf(text, 160, "%s_%s%s_%s", b->prefix, spec->name, rows ? "_rows" : "", b->interface);
}

/* ---- words ---- */

/* Where C has a type for the elements; others are integers of their size. */
static const char *c_type(const ng_type_info *t) {
    static const struct {
        const char *name, *c;
    } types[] = {{"f32", "float"}, {"f64", "double"}, {"i8", "int8_t"}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, t->name) == 0) return types[i].c;
    if (t->block > 1) return "void";
    return t->bytes == 1 ? "uint8_t" : t->bytes == 2 ? "uint16_t" : "void";
}

/* Rows of n elements: how many, and whose. With groups, the caller's rows. */
static void put_shape(FILE *f, const ng_program *p, const ng_stream *t, size_t n) {
    bool groups = p->parts > 1;
    if (groups && (t->rows == NG_EACH || t->rows == NG_INNER)) n *= (size_t)p->parts;
    if (t->rows == NG_ONE || (groups && t->rows == NG_INNER))
        fprintf(f, "one row of %zu", n);
    else if (t->rows == NG_INNER && p->inner)
        fprintf(f, "%d rows, one for each head, of %zu", (int)p->inner, n);
    else if (t->rows == NG_INNER)
        fprintf(f, "inner rows, for each outer index the same, of %zu", n);
    else if (t->rows == NG_OUTER && !groups)
        fprintf(f, "a row for each outer index, of %zu", n);
    else
        fprintf(f, "rows of %zu", n);
}

static void put_stream(FILE *f, const ng_program *p, int s) {
    const ng_stream *stream = &p->stream[s];
    const ng_type_info *t = &ng_types[stream->type];
    size_t n = ng_stream_width(p, s);
    char declaration[96];
    snprintf(declaration, sizeof declaration, "%s%s *%s;", stream->out ? "" : "const ", c_type(t),
             ng_roles[stream->role].name);
    fprintf(f, "    %-28s /* %s: ", declaration, stream->out ? "out" : "in");
    put_shape(f, p, stream, n);
    fprintf(f, " %s%s */\n", t->name, ng_stream_shared(stream) ? ", for all rows" : "");
}

/* The distance that the member NAME_stride is, in bytes, and what 0 means. */
static void put_stride(FILE *f, const ng_program *p, const ng_stream *t) {
    char declaration[96];
    bool whole = p->parts > 1 && t->rows == NG_EACH;
    snprintf(declaration, sizeof declaration, "ptrdiff_t %s_stride;", ng_roles[t->role].name);
    fprintf(f, "    %-28s /* bytes; 0: %u, else at least that */\n", declaration,
            t->row_bytes * (whole ? (unsigned)p->parts : 1u));
}

static void put_outer(FILE *f, const ng_program *p, const ng_stream *t) {
    char declaration[96], inner[32] = "inner";
    const char *name = ng_roles[t->role].name;
    if (p->inner) snprintf(inner, sizeof inner, "%d", (int)p->inner);
    snprintf(declaration, sizeof declaration, "ptrdiff_t %s_outer;", name);
    fprintf(f, "    %-28s /* bytes between outer neighbours; 0: %s * %s_stride */\n", declaration,
            inner, name);
}

static void put_struct(FILE *f, const ng_bundle *b, const ng_bundle_spec *s) {
    const ng_program *p = &s->program;
    fprintf(f, "typedef struct %s_%s_args {\n", b->prefix, s->name);
    fprintf(f, "    %-28s /* of every array that has rows", "size_t rows;");
    if (ng_emit_levels(p) && p->parts == 1 && p->inner)
        fprintf(f, "; a multiple of %d, the heads", (int)p->inner);
    fputs(" */\n", f);
    if (ng_emit_inner_at(p))
        fprintf(f, "    %-28s /* rows per outer index, not 0; rows is a multiple */\n",
                "size_t inner;");
    for (int i = 0; i < p->streams; i++) put_stream(f, p, i);
    for (int i = 0; i < p->streams; i++)
        if (has_stride(&p->stream[i])) put_stride(f, p, &p->stream[i]);
    for (int i = 0; i < p->streams; i++)
        if (has_outer(p, &p->stream[i])) put_outer(f, p, &p->stream[i]);
    fprintf(f, "} %s_%s_args;\n", b->prefix, s->name);
}

static void put_functions(FILE *f, const ng_bundle *b, const ng_bundle_spec *s) {
    char whole[160], rows[160];
    ng_emit_symbol(b, s, false, whole);
    ng_emit_symbol(b, s, true, rows);
    fprintf(f,
            "int %1$s(const %3$s_%4$s_args *args);\n"
            "int %2$s(const %3$s_%4$s_args *args, size_t first, size_t last);\n"
            "/* All rows. */\n"
            "static inline int %3$s_%4$s(const %3$s_%4$s_args *args) { return %1$s(args); }\n"
            "/* Rows first to last-1 of args->rows: what one of several threads does. */\n"
            "static inline int %3$s_%4$s_rows(const %3$s_%4$s_args *args, size_t first,\n"
            "        size_t last) { return %2$s(args, first, last); }\n",
            whole, rows, b->prefix, s->name);
}

/* ---- the whole ---- */

static const char introduction[] =
    "/* Made by normgen emit; do not edit. Normalization kernels without any dependency.\n"
    " *\n"
    " * Fill in a struct of arguments, zero what is not needed, call its function:\n"
    " *     %1$s_%2$s_args args = {0};\n"
    " *     args.rows = …;  args.x = …;\n"
    " *     if (%1$s_%2$s(&args) != %3$s_OK) …\n"
    " *\n"
    " * Shapes: arrays with rows have `rows` rows of elements next to each other, `stride` bytes\n"
    " * from row to row. Strides are in bytes and go upwards.\n"
    " * Alignment: pointers and strides need the alignment of their elements, no more; where all\n"
    " * outputs are aligned to 64 bytes, big calls are faster.\n"
    " * Aliasing: an output may be exactly one input of the same shape and element size (same\n"
    " * pointer and strides). Other overlaps of an output are errors.\n"
    " * Errors: the functions check what is said here and return a status; anything but %3$s_OK\n"
    " * means that nothing was written. Rows 0 is no error. Pointers that lead nowhere and arrays\n"
    " * that are too short cannot be seen.\n"
    " * Threads: any number of threads may call at any time. The first call looks at the CPU.\n"
    " * Bits: the results depend on the spec alone, not on CPU, rows, threads or alignment; the\n"
    " * floating-point environment is saved and restored where it is not the default one.\n"
    " * bf16 and f16 are passed as the 16 bits of their elements.%4$s\n";

static const char two_levels[] =
    " *\n"
    " * Rows on two levels (heads of a token, rows of a sample), in structs with NAME_outer or "
    "inner:\n"
    " * row r is number r % inner of outer index r / inner; inner is the member, or the heads of "
    "the\n"
    " * spec. NAME_stride leads from row to row of one outer index, NAME_outer from one outer "
    "index\n"
    " * to the next; either may be the larger one, and passes over all that the other spans. Of "
    "an\n"
    " * array with a row for each outer index, NAME_stride is the distance of these. An output "
    "may\n"
    " * lie between the rows of another array (Q and K of one array) where the larger strides of\n"
    " * both are equal; at different ones that counts as overlap. */\n";

static const struct {
    const char *name, *text;
} statuses[] = {
    [NG_EMIT_OK] = {"OK", "done"},
    [NG_EMIT_NULL] = {"E_NULL", "a null pointer: args, or an array that the spec has"},
    [NG_EMIT_ALIGNMENT] = {"E_ALIGNMENT",
                           "a pointer or a stride is not a multiple of its element's size"},
    [NG_EMIT_STRIDE] = {"E_STRIDE",
                        "a stride is negative, less than a row, or less than what it passes over"},
    [NG_EMIT_RANGE] = {"E_RANGE",
                       "first or last is not within rows, or the rows exceed the address space"},
    [NG_EMIT_OVERLAP] = {"E_OVERLAP", "an output overlaps another array"},
    [NG_EMIT_CPU] = {"E_CPU", "the bundle has nothing for this CPU"},
    [NG_EMIT_INNER] = {"E_INNER", "inner is 0, or rows is not a multiple of it (or of the heads)"},
};
enum { STATUSES = sizeof statuses / sizeof statuses[0] };

static void upper(const char *prefix, char *text) {
    for (; (*text = (char)toupper((unsigned char)*prefix)); prefix++) text++;
}

static void put_statuses(FILE *f, const ng_bundle *b, const char *macro) {
    fprintf(f, "typedef enum %s_status {\n", b->prefix);
    for (int i = 0; i < STATUSES; i++)
        fprintf(f, "    %s_%s = %d%s /* %s */\n", macro, statuses[i].name, i,
                i + 1 < STATUSES ? "," : "", statuses[i].text);
    fprintf(f, "} %s_status;\n\n/* A sentence for a status. */\n", b->prefix);
    fprintf(f, "static inline const char *%s_status_text(int status) {\n    switch (status) {\n",
            b->prefix);
    for (int i = 0; i < STATUSES; i++)
        fprintf(f, "    case %s_%s: return \"%s\";\n", macro, statuses[i].name, statuses[i].text);
    fputs("    default: return \"no status of this bundle\";\n    }\n}\n\n", f);
}

static bool any_levels(const ng_bundle *b) {
    for (size_t i = 0; i < b->specs; i++)
        if (ng_emit_levels(&b->spec[i].program) && b->spec[i].program.parts == 1) return true;
    return false;
}

static void put_header(FILE *f, const ng_bundle *b) {
    char macro[NG_PREFIX_MOST + 1];
    upper(b->prefix, macro);
    fprintf(f, introduction, b->prefix, b->spec[0].name, macro, any_levels(b) ? "" : " */");
    if (any_levels(b)) fputs(two_levels, f);
    fprintf(f,
            "#ifndef %1$s_H\n#define %1$s_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
            "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
            macro);
    put_statuses(f, b, macro);
    fprintf(f,
            "/* Name of the ISA level in use, or \"\" when the bundle has none for this CPU. */\n"
            "const char *%1$s_isa(void);\n"
            "/* The table that normgen_add_bundle takes (normgen/bundle.h). */\n"
            "struct normgen_bundle;\nconst struct normgen_bundle *%1$s_bundle(void);\n",
            b->prefix);
    for (size_t i = 0; i < b->specs; i++) {
        fprintf(f, "\n/* %s */\n", b->spec[i].text);
        put_struct(f, b, &b->spec[i]);
        put_functions(f, b, &b->spec[i]);
    }
    fputs("\n#ifdef __cplusplus\n}\n#endif\n#endif\n", f);
}

/* The text, with the interface as it stands in b. */
static normgen_status write_header(ng_bundle *b, char **text, size_t *size) {
    FILE *f = open_memstream(text, size);
    if (!f) return ng_fail(NORMGEN_E_MEMORY, "no memory for a header");
    put_header(f, b);
    bool failed = ferror(f) != 0;
    if (fclose(f) == 0 && !failed) return NORMGEN_OK;
    free(*text);
    return ng_fail(NORMGEN_E_MEMORY, "no memory for a header");
}

/* Twice: the digest is that of the text without it, and of what else the two sides agree on. */
normgen_status ng_emit_header(ng_bundle *b) {
    char *draft = NULL, digest[NG_SHA256_TEXT], rest[64];
    size_t size;
    normgen_status st = write_header(b, &draft, &size);
    if (st != NORMGEN_OK) return st;
    ng_sha256 h;
    ng_sha256_begin(&h);
    ng_sha256_add(&h, draft, size);
    int n = snprintf(rest, sizeof rest, "numerics=%d", NORMGEN_NUMERICS);
    ng_sha256_add(&h, rest, (size_t)n);
    ng_sha256_end(&h, digest);
    snprintf(b->interface, sizeof b->interface, "%.*s", NG_DIGEST_DIGITS, digest);
    free(draft);
    return write_header(b, &b->header, &size);
}
