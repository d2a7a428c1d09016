/* SPDX-License-Identifier: Apache-2.0 */
/* Calls every function of a bundle of tests/bundle_specs.lua (prefix "norms") with a few row
 * counts, whole and in ranges, and prints a digest of all outputs; then the ISA level on stderr.
 * Plain C without normgen's headers, so that it builds with any compiler for any architecture. */
#include "norms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 70, MOST = 4096 };

static uint64_t state = 1, digest = 0xcbf29ce484222325u;

static uint32_t draw(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static void add(const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) digest = (digest ^ p[i]) * 0x100000001b3u;
}

/* Finite numbers of all sizes around one. */
static void fill(void *to, size_t n, const char *type) {
    for (size_t i = 0; i < n; i++) {
        float f = (float)((int)(draw() % 20001) - 10000) / (float)(1 + draw() % 4096);
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        if (!strcmp(type, "f32")) ((float *)to)[i] = f;
        if (!strcmp(type, "f64")) ((double *)to)[i] = (double)f;
        if (!strcmp(type, "bf16")) ((uint16_t *)to)[i] = (uint16_t)(u >> 16);
        if (!strcmp(type, "f16")) /* exponents of +-15 around one, subnormals too */
            ((uint16_t *)to)[i] = (uint16_t)(draw() % 0x7400 | (draw() & 0x8000));
    }
}

static void *room(size_t n) {
    void *p = aligned_alloc(64, (n + 63) / 64 * 64);
    if (!p) exit(3);
    memset(p, 0, (n + 63) / 64 * 64);
    return p;
}

static void check(int status, const char *name) {
    if (status == NORMS_OK) return;
    printf("%s: %s\n", name, norms_status_text(status));
    exit(1);
}

/* Once as a whole, once in two ranges: both are added to the digest. */
#define RUN(name, args, y, bytes)                                                                  \
    do {                                                                                           \
        check(norms_##name(&args), #name);                                                         \
        add(y, bytes);                                                                             \
        memset(y, 0, bytes);                                                                       \
        check(norms_##name##_rows(&args, 0, args.rows / 3), #name);                                \
        check(norms_##name##_rows(&args, args.rows / 3, args.rows), #name);                        \
        add(y, bytes);                                                                             \
    } while (0)

int main(int argc, char **argv) {
    static const size_t counts[] = {1, 5, ROWS};
    void *x = room(8 * MOST * ROWS), *r = room(8 * MOST * ROWS), *w = room(8 * MOST);
    void *b = room(16 * MOST), *y = room(8 * MOST * ROWS), *s = room(8 * MOST * ROWS);
    float *mean = room(4 * ROWS), *rstd = room(4 * ROWS);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t n = counts[i];
        fill(x, 200 * n, "f32"), fill(w, 200, "f32");
        norms_plain_args plain = {.rows = n, .x = x, .weight = w, .y = y};
        RUN(plain, plain, y, 200 * 4 * n);
        fill(x, 768 * n, "bf16"), fill(w, 768, "f32"), fill(b, 768, "f32");
        norms_stats_args stats = {
            .rows = n, .x = x, .weight = w, .bias = b, .y = y, .mean = mean, .rstd = rstd};
        RUN(stats, stats, y, 768 * 2 * n);
        add(mean, 4 * n), add(rstd, 4 * n);
        fill(x, 1100 * n, "f16"), fill(r, 1100 * n, "f16"), fill(w, 1100, "f16");
        norms_add_args sum = {.rows = n, .x = x, .residual = r, .weight = w, .y = y, .sum = s};
        RUN(add, sum, y, 1100 * 2 * n);
        add(s, 1100 * 2 * n);
        fill(x, 4096 * n, "bf16"), fill(w, 4096, "bf16");
        norms_llama_args llama = {.rows = n, .x = x, .weight = w, .y = y};
        RUN(llama, llama, y, 4096 * 2 * n);
        fill(x, 512 * n, "bf16"), fill(w, 256, "bf16"), fill(b, 32 * n, "f32"),
            fill(r, 32 * n, "f32");
        norms_heads_args heads = {.rows = 4 * n, .x = x, .weight = w, .y = y, .cos = b, .sin = r};
        heads.x_outer = 1024; /* of each token's eight heads the first four */
        RUN(heads, heads, y, 256 * 2 * n);
        fill(x, 1000 * n, "f32"), fill(b, 200 * n, "f32"), fill(r, 200 * n, "f32");
        norms_samples_args samples = {
            .rows = 5 * n, .inner = 5, .x = x, .y = y, .mod_scale = b, .mod_shift = r};
        RUN(samples, samples, y, 1000 * 4 * n);
        fill(x, 192 * n, "f16"), fill(w, 192, "f16");
        norms_groups_args groups = {.rows = n, .x = x, .weight = w, .y = y};
        RUN(groups, groups, y, 192 * 2 * n);
        if (argc > 1 && !strcmp(argv[1], "--no-f64")) continue;
        fill(x, 64 * n, "f64"), fill(w, 64, "f64"), fill(b, 64, "f64");
        norms_wide_args wide = {.rows = n, .x = x, .weight = w, .bias = b, .y = y};
        RUN(wide, wide, y, 64 * 8 * n);
    }
    printf("%016llx\n", (unsigned long long)digest);
    fprintf(stderr, "%s\n", norms_isa());
    return 0;
}
