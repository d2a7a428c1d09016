/* SPDX-License-Identifier: Apache-2.0 */
/* A small static program for machines that tests cannot run on otherwise: the interpreter and the
 * linked kernels must give the digests of golden.txt. aarch64.sh builds it for qemu. */
#include "golden.h"

#include <inttypes.h>
#include <stdio.h>

static int differences;

static void compare(const golden *g, const subject *s, const char *what) {
    char text[NORMGEN_SPEC_TEXT];
    uint64_t digest = golden_digest(g, s);
    if (digest == g->digest) return;
    ng_spec_text(&g->spec, text);
    printf("%s gives %016" PRIx64 ", not %016" PRIx64 ": seed=%" PRIu64 " %s\n", what, digest,
           g->digest, g->seed, text);
    differences++;
}

int main(int argc, char **argv) {
    static golden lines[GOLDEN_MOST];
    int n = argc == 2 ? golden_read(argv[1], lines) : -1, kernels = 0;
    for (int i = 0; i < n; i++) {
        interpreted ctx = {ng_interp_baseline, &lines[i].program};
        subject s = subject_interp(&ctx);
        compare(&lines[i], &s, "the interpreter");
    }
    for (const linked_kernel *k = linked_kernels; k->fn; k++, kernels++) {
        normgen_fn fn = k->fn;
        subject s = subject_kernel(&fn);
        if (k->line >= n) return 1;
        compare(&lines[k->line], &s, k->schedule);
    }
    printf("%d specs by the interpreter, %d kernels: %d differ\n", n, kernels, differences);
    return n <= 0 || differences > 0;
}
