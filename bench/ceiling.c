/* SPDX-License-Identifier: Apache-2.0 */
/* What hand-written AVX-512 code reaches beside a copy of the same bytes, for RMSNorm f32 with
 * weight: the ceiling that generated kernels are held against where a figure looks low. Variants
 * take turns; medians. `./dev bench ceiling [ROWS [HIDDEN]]`; without arguments: one size for l2,
 * one for llc.
 *
 * The model beside it counts lines that enter L1 for one row, in units of the row: the copy takes 2
 * (x, and y for ownership). A norm reads x twice and the weight once. Where x, y and weight do not
 * fit L1 together, the second reading of x and the weight come from L2 again: 2 + 1 + 1 for a row
 * on its own, less what is left in L1; 2 + 1 + 1/B when B rows share the weight, side by side or in
 * turns. */
#include "timing.h"

#include <stdio.h>

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define V4 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))

enum { STEP = 64, VECTOR = 16, ROUNDS = 41, MOST_ROWS = 8, TILE = 1024 };

typedef struct arrays {
    const float *x, *w;
    float *y;
    size_t hidden;
} arrays;

/* Rows first to last-1; last - first is a multiple of MOST_ROWS. */
typedef void (*variant)(const arrays *a, size_t first, size_t last);

static V4 void copy(const arrays *a, size_t first, size_t last) {
    for (size_t i = first * a->hidden; i < last * a->hidden; i += STEP)
        for (size_t k = 0; k < STEP; k += VECTOR)
            _mm512_storeu_ps(a->y + i + k, _mm512_loadu_ps(a->x + i + k));
}

static V4 inline __m512 scale_of(const float *x, size_t n) {
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
    for (size_t i = 0; i < n; i += STEP)
        for (size_t k = 0; k < 4; k++) {
            __m512 v = _mm512_loadu_ps(x + i + k * VECTOR);
            sum[k] = _mm512_fmadd_ps(v, v, sum[k]);
        }
    __m512 all = _mm512_add_ps(_mm512_add_ps(sum[0], sum[2]), _mm512_add_ps(sum[1], sum[3]));
    return _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(all) / (float)n + 1e-5f));
}

/* `block` rows: their scales one after the other, then all together with shared weights. `next`:
 * distance of the row that is prefetched into L2 meanwhile, or 0. `down`: the last pass goes from
 * the end of the row, where L1 still has it. */
static V4 inline __attribute__((always_inline)) void block_of(const arrays *a, size_t row,
                                                              size_t block, size_t next, int down) {
    size_t n = a->hidden;
    const float *x = a->x + row * n;
    float *y = a->y + row * n;
    __m512 scale[MOST_ROWS];
    for (size_t r = 0; r < block; r++) scale[r] = scale_of(x + r * n, n);
    for (size_t at = 0; at < n; at += STEP) {
        size_t i = down ? n - STEP - at : at;
        for (size_t r = 0; r < block; r++) {
            for (size_t k = 0; next && k < STEP; k += VECTOR)
                _mm_prefetch((const char *)(x + (r + next) * n + i + k), _MM_HINT_T1);
            for (size_t k = 0; k < STEP; k += VECTOR) {
                __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + r * n + i + k), scale[r]);
                _mm512_storeu_ps(y + r * n + i + k,
                                 _mm512_mul_ps(v, _mm512_loadu_ps(a->w + i + k)));
            }
        }
    }
}

/* Each row's scale, then the last pass in tiles for which the rows take turns: weights come from L1
 * for all rows but one. */
static V4 inline __attribute__((always_inline)) void turns_of(const arrays *a, size_t row,
                                                              size_t block) {
    size_t n = a->hidden;
    float scale[MOST_ROWS];
    for (size_t r = 0; r < block; r++)
        scale[r] = _mm512_cvtss_f32(scale_of(a->x + (row + r) * n, n));
    for (size_t from = 0; from < n; from += TILE)
        for (size_t r = 0; r < block; r++) {
            const float *x = a->x + (row + r) * n;
            float *y = a->y + (row + r) * n;
            for (size_t i = from; i < n && i < from + TILE; i += STEP)
                for (size_t k = 0; k < STEP; k += VECTOR) {
                    __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i + k), _mm512_set1_ps(scale[r]));
                    _mm512_storeu_ps(y + i + k, _mm512_mul_ps(v, _mm512_loadu_ps(a->w + i + k)));
                }
        }
}

static V4 void one_row(const arrays *a, size_t first, size_t last) {
    for (size_t r = first; r < last; r++) block_of(a, r, 1, 0, 0);
}
static V4 void one_row_down(const arrays *a, size_t first, size_t last) {
    for (size_t r = first; r < last; r++) block_of(a, r, 1, 0, 1);
}
static V4 void one_row_prefetch(const arrays *a, size_t first, size_t last) {
    for (size_t r = first; r < last; r++) block_of(a, r, 1, r + 1 < last, 0);
}
static V4 void four_rows(const arrays *a, size_t first, size_t last) {
    for (size_t r = first; r < last; r += 4) block_of(a, r, 4, 0, 0);
}
static V4 void eight_in_turns(const arrays *a, size_t first, size_t last) {
    for (size_t r = first; r < last; r += 8) turns_of(a, r, 8);
}

static const struct {
    const char *name;
    variant run;
} variants[] = {
    {"copy", copy},
    {"one row at a time", one_row},
    {"the same, last pass downwards", one_row_down},
    {"the same, next row prefetched into L2", one_row_prefetch},
    {"four rows share the weight", four_rows},
    {"eight rows take turns by tiles", eight_in_turns},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static float *map(size_t elements) {
    void *p = mmap(NULL, elements * sizeof(float), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static int measure(size_t rows, size_t hidden) {
    static double ns[VARIANTS][ROUNDS];
    float *x = map(rows * hidden), *y = map(rows * hidden), *w = map(hidden);
    if (!x || !y || !w) return fprintf(stderr, "ceiling: no memory for %zu rows\n", rows), 1;
    for (size_t i = 0; i < rows * hidden; i++) x[i] = (float)(i % 17) * 0.1f, y[i] = 0;
    for (size_t i = 0; i < hidden; i++) w[i] = 1;
    arrays a = {x, w, y, hidden};
    size_t repeat = 1 + 4000000 / (rows * hidden); /* some hundred microseconds */
    for (int round = 0; round < ROUNDS; round++)
        for (int v = 0; v < VARIANTS; v++) {
            variants[v].run(&a, 0, rows); /* what a neighbour left behind is not this one's */
            double start = now_ns();
            for (size_t i = 0; i < repeat; i++) variants[v].run(&a, 0, rows);
            ns[v][round] = (now_ns() - start) / (double)(repeat * rows);
        }
    for (int v = 0; v < VARIANTS; v++) qsort(ns[v], ROUNDS, sizeof(double), ascending);
    printf("rms hidden=%zu f32, %zu rows\n", hidden, rows);
    for (int v = 0; v < VARIANTS; v++)
        printf("  %-40s %8.1f ns/row  %.2f of copy\n", variants[v].name, ns[v][ROUNDS / 2],
               ns[0][ROUNDS / 2] / ns[v][ROUNDS / 2]);
    munmap(x, rows * hidden * sizeof *x);
    munmap(y, rows * hidden * sizeof *y);
    munmap(w, hidden * sizeof *w);
    return 0;
}

int main(int argc, char **argv) {
    size_t rows = argc > 1 ? strtoul(argv[1], NULL, 10) / MOST_ROWS * MOST_ROWS : 0;
    size_t hidden = argc > 2 ? strtoul(argv[2], NULL, 10) / STEP * STEP : 4096;
    if (!__builtin_cpu_supports("avx512dq")) return puts("this machine has no AVX-512"), 0;
    if (argc > 1 && (rows == 0 || hidden == 0))
        return fprintf(stderr, "ceiling: [ROWS [HIDDEN]]\n"), 2;
    if (rows) return measure(rows, hidden);
    return measure(16, hidden) || measure(256, hidden) || measure(64, 1024);
}
#else
int main(void) { return puts("the hand-written variants are for x86-64"), 0; }
#endif
