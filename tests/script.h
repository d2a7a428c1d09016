/* SPDX-License-Identifier: Apache-2.0 */
/* A spec file for each test, in a folder of its own. */
#ifndef NG_TESTS_SCRIPT_H
#define NG_TESTS_SCRIPT_H

#include "specfile.h"

/* Fields of a spec that is right. */
#define GOOD "name = 'a', kind = 'rms', hidden = 8, eps = 1e-5"

/* Of the running test; checked fixtures make and remove them. */
extern char script_folder[64], script_path[96];
void script_setup(void);
void script_teardown(void);

/* Writes the file; `read` reads it, too. */
void script_write(const char *text, size_t size);
normgen_status script_read(const char *text, ng_spec_list *list);
/* The text must fail with E_SPEC and "PATH" followed by `error`. */
void script_fails(const char *text, const char *error);

#endif
