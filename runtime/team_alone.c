/* SPDX-License-Identifier: Apache-2.0 */
/* No threads: a host can still bring its own with normgen_set_parallel_for. */
#include "team.h"

int ng_team_size(void) { return 1; }

unsigned long ng_team_awake(void) { return 0; }

void ng_team_for(void *ctx, size_t n, void (*body)(void *body_ctx, size_t i), void *body_ctx) {
    (void)ctx;
    for (size_t i = 0; i < n; i++) body(body_ctx, i);
}
