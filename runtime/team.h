/* SPDX-License-Identifier: Apache-2.0 */
/* The default threads of normgen_run_parallel. Two files have them, the build takes one:
 * team_openmp.c, and team_alone.c where there is no OpenMP. */
#ifndef NG_TEAM_H
#define NG_TEAM_H

#include <stddef.h>

/* Threads that ng_team_for would use now; 1 inside a parallel region. */
int ng_team_size(void);
/* Nanoseconds after a call during which the threads still wait for the next one awake; 0: they
 * sleep at once. Waking them costs a hundred times the call itself. */
unsigned long ng_team_awake(void);
/* A normgen_parallel_for. */
void ng_team_for(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i), void *body_ctx);

#endif
