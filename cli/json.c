/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON straight to a stream; the caller keeps to one thread per writer. */
#include "json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static void put_text(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(out, "\\u%04x", *p);
        else
            fputc(*p, out);
    }
    fputc('"', out);
}

/* Comma and key of the next member. */
static void member(cli_json *j, const char *key) {
    if (j->depth == 0) return;
    if (j->more[j->depth - 1]) fputs(", ", j->out);
    j->more[j->depth - 1] = true;
    if (!key) return;
    put_text(j->out, key);
    fputs(": ", j->out);
}

void cli_json_open(cli_json *j, const char *key, char bracket) {
    assert(j->depth < (int)sizeof j->close);
    member(j, key);
    fputc(bracket, j->out);
    j->close[j->depth] = bracket == '{' ? '}' : ']';
    j->more[j->depth++] = false;
}

void cli_json_close(cli_json *j) {
    assert(j->depth > 0);
    fputc(j->close[--j->depth], j->out);
}

void cli_json_begin(cli_json *j, FILE *out) {
    *j = (cli_json){.out = out};
    cli_json_open(j, NULL, '{');
}

void cli_json_end(cli_json *j) {
    while (j->depth) cli_json_close(j);
    fputc('\n', j->out);
}

void cli_json_text(cli_json *j, const char *key, const char *value) {
    member(j, key);
    if (value)
        put_text(j->out, value);
    else
        fputs("null", j->out);
}

void cli_json_integer(cli_json *j, const char *key, int64_t value) {
    member(j, key);
    fprintf(j->out, "%lld", (long long)value);
}

/* 100 rather than 1e+02: at least six digits, and as many as come back as the same number. */
void cli_json_decimal(cli_json *j, const char *key, double value) {
    char text[40] = "null";
    for (int digits = 6; isfinite(value) && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (!(strtod(text, NULL) < value) && !(strtod(text, NULL) > value)) break;
    }
    member(j, key);
    fputs(text, j->out);
}

void cli_json_bool(cli_json *j, const char *key, bool value) {
    member(j, key);
    fputs(value ? "true" : "false", j->out);
}
