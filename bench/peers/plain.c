/* SPDX-License-Identifier: Apache-2.0 */
/* What one writes first: plain loops, one after the other, without intrinsics. Compiled by the
 * bench with -O3 -march=native, as a user would; -fopenmp for more than one thread. */
#include "shim.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline float widen(uint16_t v) {
    uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* To the nearest, ties to even; the values of a bench are finite. */
static inline uint16_t narrow(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float get_f32(const float *p, size_t i) { return p[i]; }
static inline void put_f32(float *p, size_t i, float v) { p[i] = v; }
static inline float get_bf16(const uint16_t *p, size_t i) { return widen(p[i]); }
static inline void put_bf16(uint16_t *p, size_t i, float v) { p[i] = narrow(v); }

#define NORMS(T, name)                                                                             \
    static void rms_##name(const peers_job *j, const T *x, T *y) {                                 \
        float sum = 0;                                                                             \
        for (size_t i = 0; i < j->hidden; i++) sum += get_##name(x, i) * get_##name(x, i);         \
        float r = 1 / sqrtf(sum / (float)j->hidden + 1e-5f);                                       \
        for (size_t i = 0; i < j->hidden; i++)                                                     \
            put_##name(y, i, get_##name(x, i) * r * get_##name((const T *)j->weight, i));          \
    }                                                                                              \
    static void layer_##name(const peers_job *j, const T *x, T *y) {                               \
        float sum = 0, squares = 0;                                                                \
        for (size_t i = 0; i < j->hidden; i++) sum += get_##name(x, i);                            \
        float mean = sum / (float)j->hidden;                                                       \
        for (size_t i = 0; i < j->hidden; i++) {                                                   \
            float d = get_##name(x, i) - mean;                                                     \
            squares += d * d;                                                                      \
        }                                                                                          \
        float r = 1 / sqrtf(squares / (float)j->hidden + 1e-5f);                                   \
        for (size_t i = 0; i < j->hidden; i++)                                                     \
            put_##name(y, i,                                                                       \
                       (get_##name(x, i) - mean) * r * get_##name((const T *)j->weight, i) +       \
                           get_##name((const T *)j->bias, i));                                     \
    }                                                                                              \
    static void row_##name(const peers_job *j, const peers_slice *s, size_t r) {                   \
        const T *x = (const T *)s->x + r * j->hidden;                                              \
        T *y = (T *)s->y + r * j->hidden;                                                          \
        if (j->add) {                                                                              \
            const T *residual = (const T *)s->residual + r * j->hidden;                            \
            T *total = (T *)s->sum + r * j->hidden;                                                \
            for (size_t i = 0; i < j->hidden; i++)                                                 \
                put_##name(total, i, get_##name(x, i) + get_##name(residual, i));                  \
            x = total;                                                                             \
        }                                                                                          \
        if (j->norm)                                                                               \
            layer_##name(j, x, y);                                                                 \
        else                                                                                       \
            rms_##name(j, x, y);                                                                   \
    }                                                                                              \
    static void call_##name(void *state, size_t i) {                                               \
        const peers_job *j = state;                                                                \
        if (j->threads == 1) {                                                                     \
            for (size_t r = 0; r < j->rows; r++) row_##name(j, &j->slice[i], r);                   \
            return;                                                                                \
        }                                                                                          \
        _Pragma("omp parallel for num_threads(j->threads) schedule(static)") for (size_t r = 0;    \
                                                                                  r < j->rows;     \
                                                                                  r++)             \
            row_##name(j, &j->slice[i], r);                                                        \
    }

NORMS(float, f32)
NORMS(uint16_t, bf16)

void *peers_plain(const peers_job *job, peers_fn *fn);
void *peers_plain(const peers_job *job, peers_fn *fn) {
    peers_job *copy = malloc(sizeof *copy);
    if (!copy) abort();
    *copy = *job;
    *fn = job->type ? call_bf16 : call_f32;
    return copy;
}
