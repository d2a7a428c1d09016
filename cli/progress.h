/* SPDX-License-Identifier: Apache-2.0 */
/* Progress on stderr: one line that is drawn over itself on a terminal, nothing elsewhere. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_progress {
    bool terminal;
    bool drawn;
    double last; /* when it was drawn, seconds of a monotonic clock */
} cli_progress;

/* A bar, if stderr is a terminal and `wanted`. */
void cli_progress_init(cli_progress *progress, bool wanted);
/* Draws "[####----] text", cut to the width of the terminal, at most ten times a second. */
void cli_progress_draw(cli_progress *progress, size_t done, size_t total, const char *text);
/* Erases it; to be called before anything else is printed. */
void cli_progress_clear(cli_progress *progress);

#endif
