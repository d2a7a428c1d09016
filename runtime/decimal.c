/* SPDX-License-Identifier: Apache-2.0 */
/* Locale-free decimal text. The C library prints and reads the locale's decimal point; both
 * directions go through the point of the locale in force, so nothing here depends on it and no
 * locale object is needed (musl has no *_l family for printf). */
#include "decimal.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *locale_point(void) {
    const struct lconv *l = localeconv();
    return l->decimal_point && *l->decimal_point ? l->decimal_point : ".";
}

/* Replaces the first `from` in text by `to`; the result must fit `size`. */
static void replace(char *text, size_t size, const char *from, const char *to) {
    char *at = strstr(text, from);
    if (!at || strcmp(from, to) == 0) return;
    char rest[64];
    snprintf(rest, sizeof rest, "%s", at + strlen(from));
    snprintf(at, size - (size_t)(at - text), "%s%s", to, rest);
}

void ng_decimal_print(double value, char *text) {
    for (int p = 1; p <= 17; p++) {
        snprintf(text, NG_DECIMAL_TEXT, "%.*g", p, value);
        if (strtod(text, NULL) == value) break;
    }
    replace(text, NG_DECIMAL_TEXT, locale_point(), ".");
}

bool ng_decimal_parse(const char *text, double *value) {
    char copy[64];
    size_t n = strlen(text);
    if (n == 0 || n >= 48 || strspn(text, "+-.0123456789eEinfatyINFATY") != n) return false;
    memcpy(copy, text, n + 1);
    replace(copy, sizeof copy, ".", locale_point());
    char *end;
    double v = strtod(copy, &end);
    if (*end != 0) return false;
    *value = v;
    return true;
}

bool ng_integer_parse(const char *text, int64_t *value) {
    size_t n = strlen(text), sign = *text == '-' || *text == '+';
    if (n == sign || strspn(text + sign, "0123456789") != n - sign) return false;
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    if (errno != 0) return false;
    *value = v;
    return true;
}
