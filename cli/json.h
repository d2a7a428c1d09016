/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny JSON writer: one object or array per line, nested as deep as 16. Numbers that JSON does
 * not have (infinities, NaN) become null. Text that is not UTF-8 is passed through. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cli_json {
    FILE *out;
    int depth;
    char close[16]; /* what ends each open level */
    bool more[16];  /* the level has a member already */
} cli_json;

/* Starts a line with an object. */
void cli_json_begin(cli_json *json, FILE *out);
/* Closes what is open and ends the line. */
void cli_json_end(cli_json *json);
/* Members; inside an array the key is NULL. */
void cli_json_text(cli_json *json, const char *key, const char *value); /* NULL value: null */
void cli_json_integer(cli_json *json, const char *key, int64_t value);
void cli_json_decimal(cli_json *json, const char *key, double value);
void cli_json_bool(cli_json *json, const char *key, bool value);
void cli_json_open(cli_json *json, const char *key, char bracket); /* '{' or '[' */
void cli_json_close(cli_json *json);

#endif
