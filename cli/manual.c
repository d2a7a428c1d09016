/* SPDX-License-Identifier: Apache-2.0 */
/* mdoc from tables. Everything of the tables is text: what mdoc or roff would take for a request is
 * escaped. */
#include "manual.h"

#include <errno.h>
#include <string.h>

/* ---- text ---- */

/* Writes a line; the one character beyond ASCII that help texts use is an ellipsis. */
static void put_line(const char *text, size_t length) {
    static const char ellipsis[] = "…";
    if (length && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\')
            fputs("\\e", stdout);
        else if (length - i >= 3 && memcmp(text + i, ellipsis, 3) == 0) {
            fputs("...", stdout);
            i += 2;
        } else
            putchar(text[i]);
    }
    putchar('\n');
}

static void put_text(const char *text) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (length) put_line(text, length); /* an empty line has no meaning in filled text */
        text += length + (text[length] != 0);
    }
}

/* Help texts have their own line ends and indents. */
static void put_literal(const char *text) {
    puts(".Bd -literal -offset indent");
    while (*text) {
        size_t length = strcspn(text, "\n");
        put_line(text, length);
        text += length + (text[length] != 0);
    }
    puts(".Ed");
}

/* ---- tables ---- */

static void put_verbs(const cli_verb *const verbs[]) {
    puts(".Bl -tag -width explain");
    for (size_t i = 0; verbs[i]; i++) {
        printf(".It Cm %s\n", verbs[i]->name);
        put_text(verbs[i]->summary);
        puts(".");
    }
    puts(".It Cm help\nprint the help of a verb\n.El");
}

static void put_option(const cli_option *o) {
    fputs(".It ", stdout);
    if (o->letter) printf("Fl %c , ", o->letter);
    printf("Fl Fl %s", o->name);
    if (o->form == CLI_WORD) {
        fputs(" Cm", stdout);
        for (size_t i = 0; o->words[i]; i++) printf("%s%s", i ? " | " : " ", o->words[i]);
    } else if (o->value) {
        printf(" Ar %s", o->value);
    }
    putchar('\n');
    put_text(o->help);
}

static void put_synopsis(const cli_verb *v) {
    printf(".Ss normgen %s", v->name);
    putchar('\n');
    put_text(v->summary);
    puts(".");
    if (v->arguments[0]) {
        char usage[256];
        snprintf(usage, sizeof usage, "normgen %s %s", v->name, v->arguments);
        put_literal(usage);
    }
}

static void put_options(const cli_verb *const verbs[]) {
    for (size_t i = 0; verbs[i]; i++) {
        const cli_verb *v = verbs[i];
        put_synopsis(v);
        if (v->details) put_literal(v->details);
        puts(".Bl -tag -width Ds");
        for (const cli_option *o = v->options; o->name; o++) put_option(o);
        puts(".El");
        if (v->fields)
            puts("The fields of a spec are options too, in place of\n.Ar SPEC :\nsee\n"
                 ".Xr normgen-spec 5 .");
    }
}

static void put_fields(void) {
    puts(".Bl -tag -width residual");
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        char allowed[512];
        ng_field_allowed(f, allowed, sizeof allowed);
        printf(".It Cm %s\n", f->name);
        put_text(f->help);
        puts(".br");
        fputs("Values: ", stdout);
        put_line(allowed, strlen(allowed));
        if (f->needs) printf(".br\nNeeds: %s\n", f->needs);
    }
    puts(".El");
}

/* ---- pages ---- */

int cli_manual(const cli_verb *const verbs[], const char *path) {
    char line[1024];
    FILE *in = fopen(path, "re");
    if (!in) return cli_error("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, in)) {
        if (strcmp(line, "@verbs@\n") == 0)
            put_verbs(verbs);
        else if (strcmp(line, "@options@\n") == 0)
            put_options(verbs);
        else if (strcmp(line, "@fields@\n") == 0)
            put_fields();
        else
            fputs(line, stdout);
    }
    fclose(in);
    return CLI_DONE;
}
