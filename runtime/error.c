/* SPDX-License-Identifier: Apache-2.0 */
/* The thread's error text, and the names of statuses. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char error_text[NG_ERROR_TEXT];

static const char *const status_names[] = {
    "OK",       "E_ARGUMENT", "E_SPEC",  "E_SCHEDULE",  "E_UNSUPPORTED",
    "E_MEMORY", "E_IO",       "E_STORE", "E_GENERATOR", "E_INTERRUPTED"};

const char *normgen_error(void) { return error_text; }

const char *normgen_status_name(normgen_status status) {
    size_t n = sizeof status_names / sizeof status_names[0];
    return (size_t)status < n ? status_names[status] : "E_UNKNOWN";
}

normgen_status ng_fail(normgen_status status, const char *format, ...) {
    char text[NG_ERROR_TEXT]; /* the arguments may point into error_text */
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    memcpy(error_text, text, sizeof text);
    return status;
}

normgen_status ng_fail_in(normgen_status status, const char *format, ...) {
    char where[NG_ERROR_TEXT], what[NG_ERROR_TEXT];
    va_list ap;
    va_start(ap, format);
    vsnprintf(where, sizeof where, format, ap);
    va_end(ap);
    memcpy(what, error_text, sizeof what);
    return ng_fail(status, "%.500s: %.500s", where, what);
}
