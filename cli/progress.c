/* SPDX-License-Identifier: Apache-2.0 */
/* The progress line. Two escape sequences (return, erase to the end) are all it asks of a
 * terminal. */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 20, LINE = 400 };

void cli_progress_init(cli_progress *p, bool wanted) {
    const char *term = getenv("TERM");
    bool dumb = !term || !*term || strcmp(term, "dumb") == 0;
    *p = (cli_progress){.terminal = wanted && !dumb && isatty(STDERR_FILENO) == 1};
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t terminal_width(void) {
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col < 20) return 80;
    return w.ws_col < LINE ? w.ws_col : LINE - 1;
}

void cli_progress_draw(cli_progress *p, size_t done, size_t total, const char *text) {
    double t = p->terminal ? now() : 0;
    if (!p->terminal || (p->drawn && t - p->last < 0.1)) return;
    char bar[BAR + 1] = "", line[LINE];
    size_t full = total ? (done < total ? done : total) * BAR / total : 0;
    memset(bar, '-', BAR);
    memset(bar, '#', full);
    snprintf(line, sizeof line, "[%s] %s", bar, text);
    line[terminal_width() - 1] = 0;
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    p->drawn = true;
    p->last = t;
}

void cli_progress_clear(cli_progress *p) {
    if (p->drawn) fputs("\r\033[K", stderr);
    p->drawn = false;
}
