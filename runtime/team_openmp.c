/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of OpenMP. Part i runs on thread i of the team, so that the rows of one array stay with
 * one core's caches from call to call. */
#include "team.h"

#include <omp.h>
#include <stdlib.h>
#include <strings.h>

int ng_team_size(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

/* GNU's library spins for some 5 ms, LLVM's and Intel's for 200; a millisecond is within both, and
 * rarely does a core get something better to do in it. */
unsigned long ng_team_awake(void) {
    const char *policy = getenv("OMP_WAIT_POLICY");
    return policy && strcasecmp(policy, "passive") == 0 ? 0 : 1000000;
}

void ng_team_for(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i), void *body_ctx) {
    (void)ctx;
    /* A twentieth faster to call than a parallel loop; there may be fewer threads than asked for.
     */
#pragma omp parallel num_threads((int)n)
    for (size_t i = (size_t)omp_get_thread_num(); i < n; i += (size_t)omp_get_num_threads())
        body(body_ctx, i);
}
