/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text, the same in every locale. */
#ifndef NG_DECIMAL_H
#define NG_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NG_DECIMAL_TEXT 32

/* Shortest %.Pg, P in 1..17, that reads back as the same double. `text` has NG_DECIMAL_TEXT bytes.
 */
void ng_decimal_print(double value, char *text);
/* Reads a whole finite decimal or "inf"/"nan" spelled number; false when anything else stands in
 * the text. */
bool ng_decimal_parse(const char *text, double *value);
/* Reads a whole decimal integer of digits with an optional sign; false on other characters or
 * overflow. */
bool ng_integer_parse(const char *text, int64_t *value);

#endif
