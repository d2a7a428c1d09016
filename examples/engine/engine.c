/* SPDX-License-Identifier: Apache-2.0 */
/* A small engine: a stack of layers over a residual stream, for a batch of tokens. Its norms come
 * from a bundle: norms.h and one static library. Each layer is
 *
 *     stream += delta;  y = RMSNorm(stream) * gain;  delta = max(0, W y)
 *
 * where the first two are one kernel. The norms have the same bits on every CPU, and so has what
 * this prints. */
#include "norms.h"

#include <stdio.h>
#include <stdlib.h>

enum { TOKENS = 16, HIDDEN = 256, LAYERS = 4 };

typedef struct layer {
    float gain[HIDDEN];
    float weights[HIDDEN][HIDDEN];
} layer;

typedef struct model {
    layer layers[LAYERS];
    float last_gain[HIDDEN];
} model;

typedef struct state {
    float stream[TOKENS][HIDDEN], delta[TOKENS][HIDDEN], y[TOKENS][HIDDEN];
    uint16_t out[TOKENS][HIDDEN]; /* bf16 */
} state;

/* Made-up numbers of about -scale to scale. */
static void fill(float *values, size_t n, float scale, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = scale * ((float)(seed >> 8) / 8388608.0f - 1.0f);
    }
}

static int check(int status) {
    if (status != NORMS_OK) fprintf(stderr, "engine: %s\n", norms_status_text(status));
    return status == NORMS_OK;
}

/* delta = max(0, W y) for every token. */
static void project(state *s, const layer *l) {
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < HIDDEN; i++) {
            float sum = 0;
            for (int k = 0; k < HIDDEN; k++) sum += l->weights[i][k] * s->y[t][k];
            s->delta[t][i] = sum > 0 ? sum : 0;
        }
}

static int run(const model *m, state *s) {
    for (int i = 0; i < LAYERS; i++) {
        norms_add_norm_args args = {0};
        args.rows = TOKENS;
        args.x = &s->delta[0][0];
        args.residual = &s->stream[0][0];
        args.sum = &s->stream[0][0]; /* in place */
        args.weight = m->layers[i].gain;
        args.y = &s->y[0][0];
        if (!check(norms_add_norm(&args))) return 0;
        project(s, &m->layers[i]);
    }
    norms_last_norm_args args = {0};
    args.rows = TOKENS;
    args.x = &s->stream[0][0];
    args.weight = m->last_gain;
    args.y = &s->out[0][0];
    return check(norms_last_norm(&args));
}

int main(void) {
    model *m = malloc(sizeof *m);
    state *s = calloc(1, sizeof *s);
    if (!m || !s) return 1;
    for (int i = 0; i < LAYERS; i++) {
        fill(m->layers[i].gain, HIDDEN, 1.5f, 1u + (uint32_t)i);
        fill(&m->layers[i].weights[0][0], (size_t)HIDDEN * HIDDEN, 0.0625f, 100u + (uint32_t)i);
    }
    fill(m->last_gain, HIDDEN, 1.5f, 50);
    fill(&s->stream[0][0], (size_t)TOKENS * HIDDEN, 2.0f, 7);
    if (!run(m, s)) return 1;

    uint64_t digest = 14695981039346656037u; /* FNV-1a */
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < HIDDEN; i++) digest = (digest ^ s->out[t][i]) * 1099511628211u;
    fprintf(stderr, "engine: norms for %s\n", norms_isa());
    printf("%d tokens, digest %016llx\n", TOKENS, (unsigned long long)digest);
    free(m);
    free(s);
    return 0;
}
