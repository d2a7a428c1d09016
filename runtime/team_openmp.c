/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of OpenMP. */
#include "team.h"

#include <omp.h>

int ng_team_size(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

void ng_team_for(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i), void *body_ctx) {
    (void)ctx;
#pragma omp parallel for schedule(static, 1) num_threads((int)n)
    for (size_t i = 0; i < n; i++) body(body_ctx, i);
}
