/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by hand: a member a line, so that a difference between two bundles can be read. "files" has
 * one line a file: folder.c looks for it there. */
#include "manifest.h"

#include "gen.h"
#include "sha256.h"

static void put_text(FILE *f, const char *text) {
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 0x20)
            fprintf(f, "\\u%04x", *p);
        else
            fputc(*p, f);
    }
    fputc('"', f);
}

static void put_member(FILE *f, int indent, const char *key, const char *value, bool more) {
    fprintf(f, "%*s\"%s\": ", indent, "", key);
    put_text(f, value);
    fputs(more ? ",\n" : "\n", f);
}

static void put_features(FILE *f, uint32_t features) {
    const char *comma = "";
    fputc('[', f);
    for (size_t i = 0; i < NG_FEATURE_COUNT; i++)
        if (features >> i & 1u) {
            fprintf(f, "%s\"%s\"", comma, ng_feature_names[i]);
            comma = ", ";
        }
    fputc(']', f);
}

static void put_levels(FILE *f, const ng_bundle *b) {
    fputs("  \"levels\": [\n", f);
    for (int i = 0; i < b->levels; i++) {
        fputs("    {\"isa\": ", f);
        put_text(f, b->level[i]->name);
        fputs(", \"required\": ", f);
        put_features(f, b->level[i]->required);
        fprintf(f, "}%s\n", i + 1 < b->levels ? "," : "");
    }
    fputs("  ],\n", f);
}

/* What is said of a schedule: where it was tuned, or that it is predicted. */
static void put_pick(FILE *f, const ng_bundle *b, const ng_bundle_pick *p) {
    fputs("{\"schedule\": ", f);
    put_text(f, b->kernel[p->kernel].schedule_text);
    fputs(", \"kernel\": ", f);
    put_text(f, b->kernel[p->kernel].object.symbol);
    fputs(", \"from\": ", f);
    put_text(f, p->rung);
    if (*p->machine) {
        fputs(", \"machine\": ", f);
        put_text(f, p->machine);
        fputs(", \"session\": ", f);
        put_text(f, p->session);
        fputs(", \"tuned\": ", f);
        put_text(f, p->started);
    }
    fputc('}', f);
}

static void put_entry(FILE *f, const ng_bundle *b, const ng_bundle_choice *c, int regime) {
    fprintf(f, "          \"%s\": {\"any\": ", ng_regime_names[regime]);
    put_pick(f, b, &c->any);
    if (c->cached.kernel != c->any.kernel) {
        fprintf(f, ",\n            \"alignment\": %zu, \"cached\": ", c->alignment);
        put_pick(f, b, &c->cached);
    }
    fprintf(f, "}%s\n", regime + 1 < NG_REGIME_COUNT ? "," : "");
}

static void put_level(FILE *f, const ng_bundle *b, const ng_bundle_spec *s, int level) {
    fputs("        ", f);
    put_text(f, b->level[level]->name);
    if (!s->can[level]) {
        fputs(": \"none: the compute type is f64, which needs FMA\"", f);
    } else {
        fputs(": {\n", f);
        for (int r = 0; r < NG_REGIME_COUNT; r++) put_entry(f, b, &s->at[level][r], r);
        fputs("        }", f);
    }
    fputs(level + 1 < b->levels ? ",\n" : "\n", f);
}

static void put_specs(FILE *f, const ng_bundle *b) {
    fputs("  \"specs\": [\n", f);
    for (size_t i = 0; i < b->specs; i++) {
        const ng_bundle_spec *s = &b->spec[i];
        fputs("    {\n", f);
        put_member(f, 6, "name", s->name, true);
        put_member(f, 6, "spec", s->text, true);
        fputs("      \"levels\": {\n", f);
        for (int level = 0; level < b->levels; level++) put_level(f, b, s, level);
        fprintf(f, "      }\n    }%s\n", i + 1 < b->specs ? "," : "");
    }
    fputs("  ],\n", f);
}

static void put_files(FILE *f, const ng_folder *files) {
    fputs("  \"files\": {\n", f);
    for (size_t i = 0; i < files->files; i++) {
        char digest[NG_SHA256_TEXT];
        ng_sha256_text(files->file[i].bytes, files->file[i].size, digest);
        fprintf(f, "    \"%s\": {\"bytes\": %zu, \"sha256\": \"%s\"}%s\n", files->file[i].path,
                files->file[i].size, digest, i + 1 < files->files ? "," : "");
    }
    fputs("  }\n", f);
}

void ng_manifest_write(FILE *f, const ng_bundle *b, const ng_folder *files) {
    fputs("{\n", f);
    put_member(f, 2, "bundle", b->prefix, true);
    put_member(f, 2, "normgen", NORMGEN_VERSION, true);
    put_member(f, 2, "toolchain", ng_toolchain, true);
    fprintf(f, "  \"numerics\": %d,\n", NORMGEN_NUMERICS);
    put_member(f, 2, "interface", b->interface, true);
    put_levels(f, b);
    put_specs(f, b);
    put_files(f, files);
    fputs("}\n", f);
}
