/* SPDX-License-Identifier: Apache-2.0 */
/* The normgen program in a folder with arrays and spec files, one for each test. */
#ifndef NG_TESTS_CLIBOX_H
#define NG_TESTS_CLIBOX_H

#include <stddef.h>

/* Of the big arrays. */
enum { CLI_ROWS = 6, CLI_HIDDEN = 200 };

/* Of the running test; checked fixtures make and remove it. */
extern char cli_folder[64];
void cli_setup(void);
void cli_teardown(void);
void cli_put(const char *name, const void *bytes, size_t size);

/* What the last run wrote to standard output and standard error. */
extern char cli_out[1 << 16], cli_err[1 << 16];
/* Runs `before` normgen `words` in the folder by the shell; fills both, returns the exit code. */
int cli_run_after(const char *before, const char *words);
/* Without a generator; with the fake one, to which cli_with_fake leads in the place of `before`. */
int cli_run(const char *words);
int cli_run_fake(const char *words);
extern char cli_with_fake[640];

/* Asserts that the text has the pattern in it; `words` for the message. */
void cli_says(const char *text, const char *pattern, const char *words);

#endif
