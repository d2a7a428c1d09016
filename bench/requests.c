/* SPDX-License-Identifier: Apache-2.0 */
/* What reading from memory costs beside rows that are in L2, and beside streaming stores: lines are
 * asked for 16 KiB ahead, once or several times 4 KiB apart. A request (prefetcht1) that finds the
 * processor's buffers full is dropped, and its line is then waited for. Variants take turns;
 * medians, nanoseconds a line. `./dev bench requests`. */
#include "timing.h"

#include <stdio.h>

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdlib.h>
#include <sys/mman.h>

#define V4 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))

enum {
    VECTOR = 16,
    ROW = 4096,        /* elements of a row in L2 */
    PITCH = ROW + 256, /* between such rows: not at the same place of a page */
    ROWS_IN_L2 = 4,
    MOST_REQUESTS = 4,
    APART = 1024, /* elements between requests for one line */
    PIECE = 1 << 20,
    ALL = 48 << 20, /* elements: several times any last level */
    ROUNDS = 15
};

typedef struct arrays {
    const float *x, *near;
    float *y;
} arrays;

static volatile float sink;

/* Elements from..from+PIECE-1: each line of x, of `rows` rows in L2; `store`: a line of y. */
static V4 inline __attribute__((always_inline)) void piece(const arrays *a, size_t from, int rows,
                                                           int requests, int store) {
    __m512 near = _mm512_setzero_ps(), far = near, one = _mm512_set1_ps(1.5f + (float)from);
    for (size_t i = from; i < from + PIECE; i += VECTOR) {
        for (int n = 0; n < requests; n++)
            _mm_prefetch((const char *)(a->x + i + (MOST_REQUESTS - n) * APART), _MM_HINT_T1);
        far = _mm512_add_ps(far, _mm512_loadu_ps(a->x + i));
        for (int r = 0; r < rows; r++)
            near = _mm512_add_ps(near, _mm512_loadu_ps(a->near + r * PITCH + i % ROW));
        if (store) _mm512_stream_ps(a->y + i, _mm512_add_ps(far, one));
    }
    _mm_sfence();
    sink = _mm512_reduce_add_ps(_mm512_add_ps(near, far));
}

#define VARIANT(rows, requests, store)                                                             \
    static V4 void rows_##rows##_##requests##_##store(const arrays *a, size_t from) {              \
        piece(a, from, rows, requests, store);                                                     \
    }
#define REQUESTS(rows, store)                                                                      \
    VARIANT(rows, 0, store)                                                                        \
    VARIANT(rows, 1, store) VARIANT(rows, 2, store) VARIANT(rows, 3, store) VARIANT(rows, 4, store)
REQUESTS(0, 0)
REQUESTS(1, 0)
REQUESTS(2, 0)
REQUESTS(3, 0)
REQUESTS(0, 1)
REQUESTS(1, 1)
REQUESTS(2, 1) REQUESTS(3, 1)

#define LIST(rows, store)                                                                          \
    {rows_##rows##_0_##store, rows_##rows##_1_##store, rows_##rows##_2_##store,                    \
     rows_##rows##_3_##store, rows_##rows##_4_##store}
    static void (*const variants[2][ROWS_IN_L2][MOST_REQUESTS + 1])(const arrays *, size_t) = {
        {LIST(0, 0), LIST(1, 0), LIST(2, 0), LIST(3, 0)},
        {LIST(0, 1), LIST(1, 1), LIST(2, 1), LIST(3, 1)}};
enum { VARIANTS = 2 * ROWS_IN_L2 * (MOST_REQUESTS + 1) };

static float *map(size_t elements) {
    size_t large = 2 << 20, bytes = elements * sizeof(float) + large;
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    p += (large - (size_t)p % large) % large;
    madvise(p, bytes - large, MADV_HUGEPAGE);
    for (size_t i = 0; i < elements; i++) ((float *)(void *)p)[i] = (float)(i % 8191) * 0.1f;
    return (float *)(void *)p;
}

static void measure(const arrays *a, double ns[VARIANTS][ROUNDS]) {
    size_t at = 0, order = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < VARIANTS; k++, order += 7) {
            size_t v = order % VARIANTS;
            double start = now_ns();
            (&variants[0][0][0])[v](a, at);
            ns[v][round] = (now_ns() - start) / (PIECE / VECTOR);
            at = at + 3 * (size_t)PIECE < ALL ? at + PIECE : 0;
        }
}

int main(void) {
    static double ns[VARIANTS][ROUNDS];
    if (!__builtin_cpu_supports("avx512dq")) return puts("this machine has no AVX-512"), 0;
    arrays a = {map(ALL), map(ROWS_IN_L2 * PITCH), map(ALL)};
    if (!a.x || !a.near || !a.y) return fprintf(stderr, "requests: no memory\n"), 1;
    measure(&a, ns);
    puts("ns a line read      rows in L2 beside it");
    puts("stores  requests      0      1      2      3");
    for (int store = 0; store < 2; store++)
        for (int n = 0; n <= MOST_REQUESTS; n++) {
            printf("%-7s %8d ", store ? "yes" : "no", n);
            for (int rows = 0; rows < ROWS_IN_L2; rows++) {
                double *v = ns[(store * ROWS_IN_L2 + rows) * (MOST_REQUESTS + 1) + n];
                qsort(v, ROUNDS, sizeof *v, ascending);
                printf(" %6.2f", v[ROUNDS / 2]);
            }
            puts("");
        }
    return 0;
}
#else
int main(void) { return puts("the hand-written variants are for x86-64"), 0; }
#endif
