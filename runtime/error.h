/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: a status for the program, a text for the person. The text is a fixed buffer per thread,
 * so reporting out-of-memory cannot fail. */
#ifndef NG_ERROR_H
#define NG_ERROR_H

#include "normgen/normgen.h"

#define NG_ERROR_TEXT 2048

/* Stores the formatted text as this thread's error and returns `status`. Text that is too long is
 * cut. */
normgen_status ng_fail(normgen_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Puts "prefix: " before the current error text, to say where it happened; returns `status`. */
normgen_status ng_fail_in(normgen_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
