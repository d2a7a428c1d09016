/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of one spec in one regime, side by side: what the tuner would find, without its store,
 * for whoever works on the lowering. `./dev bench schedules SPEC REGIME [WORDS…]`: takes every
 * legal schedule whose text has all the words ("vec=512", "block=4" …; "^word": must not have it);
 * variants take turns, the slower half drops out; medians, and the share of the fastest limit. The
 * word "copies": the limits of these schedules instead of their kernels. */
#include "candidates.h"
#include "error.h"
#include "gen.h"
#include "measure.h"
#include "spec.h"
#include "timing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 20000, ROUNDS = 40, SAMPLES = 3, KEEP = 12, LIMITS = 24 };

typedef struct variant {
    ng_schedule s;
    normgen_fn fn;
    ng_subject_kind kind;
    size_t code, n;
    double ns[ROUNDS * SAMPLES], median;
} variant;

static int by_median(const void *a, const void *b) {
    return ascending(&(*(variant *const *)a)->median, &(*(variant *const *)b)->median);
}

static bool wanted(const char *text, char **words, int n) {
    for (int i = 0; i < n; i++) {
        bool without = words[i][0] == '^';
        if ((strstr(text, words[i] + without) != NULL) == without) return false;
    }
    return true;
}

static void turn(ng_bed *bed, variant *v) {
    double sorted[ROUNDS * SAMPLES];
    ng_bed_turn(bed, v->kind, v->fn, SAMPLES, v->ns + v->n);
    v->n += SAMPLES;
    memcpy(sorted, v->ns, v->n * sizeof *sorted);
    qsort(sorted, v->n, sizeof *sorted, ascending);
    v->median = sorted[v->n / 2];
}

/* Rounds of turns; before each but the first few the slower half of what is more than KEEP goes. */
static size_t race(ng_bed *bed, variant **list, size_t n, size_t keep, int rounds) {
    for (int round = 0; round < rounds && n; round++) {
        for (size_t i = 0; i < n; i++) turn(bed, list[i]);
        qsort(list, n, sizeof *list, by_median);
        if (n > keep) n = n / 2 > keep ? n / 2 : keep;
    }
    return n;
}

static bool compile(variant *v, const ng_program *p, const ng_isa *isa, ng_jit *jit) {
    ng_object o;
    normgen_status st = v->kind == NG_SUBJECT_LIMIT ? ng_compile_limit(p, &v->s, isa, &o)
                                                    : ng_compile(p, &v->s, isa, &o);
    if (st == NORMGEN_OK) st = ng_jit_load(jit, &o, &v->fn);
    v->code = st == NORMGEN_OK ? o.code_bytes : 0;
    if (st == NORMGEN_OK)
        ng_object_fini(&o);
    else
        fprintf(stderr, "schedules: %s\n", normgen_error());
    return st == NORMGEN_OK;
}

static size_t add(variant **list, size_t n, ng_subject_kind kind, const ng_schedule *s,
                  const ng_program *p, const ng_isa *isa, ng_jit *jit) {
    variant *v = calloc(1, sizeof *v);
    if (!v) return n;
    v->kind = kind;
    if (s) v->s = *s;
    if (kind == NG_SUBJECT_MEMCPY || compile(v, p, isa, jit)) list[n++] = v;
    return n;
}

/* The limits that the tuner tries first. */
static size_t limits(variant **list, const ng_place *place, const ng_isa *isa, ng_jit *jit) {
    size_t n = 0, n_space, count;
    int from, to;
    ng_schedule *space, *all;
    if (ng_candidates(place, isa, NULL, 0, &space, &n_space) != NORMGEN_OK ||
        ng_limit_candidates(place, isa, space, n_space, &all, &count) != NORMGEN_OK)
        return 0;
    free(space);
    for (size_t i = 0; i < count && n < LIMITS; i++)
        n = add(list, n, NG_SUBJECT_LIMIT, &all[i], place->program, isa, jit);
    free(all);
    if (ng_memcpy_applies(place->program, &from, &to))
        n = add(list, n, NG_SUBJECT_MEMCPY, NULL, place->program, isa, jit);
    return n;
}

/* Whether a limit of the schedule would be the same as one of a simpler schedule. */
static bool doubles(const ng_schedule *s) {
    static const ng_schedule plain;
    return s->visit || s->layout || s->shared || memcmp(s->keep, plain.keep, sizeof s->keep) != 0;
}

static void print(const ng_program *p, const variant *v, double limit) {
    char text[NG_SCHEDULE_TEXT];
    ng_schedule_text(p, &v->s, text);
    printf("%5.3f %9.1f ns %6zu B  %s\n", limit / v->median, v->median, v->code,
           v->kind == NG_SUBJECT_MEMCPY ? "memcpy" : text);
}

static int run(const ng_program *p, const ng_place *place, const ng_cpu *cpu, char **words,
               int n_words) {
    static variant *list[MOST], *limit[LIMITS + 1];
    ng_schedule *space;
    ng_jit *jit;
    ng_bed *bed;
    size_t all, n = 0;
    bool copies = n_words > 0 && strcmp(words[0], "copies") == 0;
    if (ng_jit_new(&jit) != NORMGEN_OK || ng_bed_new(place, cpu, 1, &bed) != NORMGEN_OK ||
        ng_schedule_space(p, cpu->isa, &space, &all) != NORMGEN_OK)
        return fprintf(stderr, "schedules: %s\n", normgen_error()), 1;
    for (size_t i = 0; i < all && n < MOST; i++) {
        char text[NG_SCHEDULE_TEXT];
        ng_schedule_text(p, &space[i], text);
        if (wanted(text, words + copies, n_words - copies) && ng_schedule_fits_rows(p, &space[i]) &&
            !(copies && doubles(&space[i])))
            n = add(list, n, copies ? NG_SUBJECT_LIMIT : NG_SUBJECT_KERNEL, &space[i], p, cpu->isa,
                    jit);
    }
    size_t n_limits = limits(limit, place, cpu->isa, jit), compiled = n;
    n_limits = race(bed, limit, n_limits, 2, 4);
    n = race(bed, list, n, KEEP, 7);
    for (int round = 0; round < 8; round++) { /* the best of both in turns */
        for (size_t i = 0; i < n; i++) turn(bed, list[i]);
        for (size_t i = 0; i < n_limits; i++) turn(bed, limit[i]);
    }
    qsort(list, n, sizeof *list, by_median);
    qsort(limit, n_limits, sizeof *limit, by_median);
    printf("%s, %zu rows, %zu of %zu schedules; limit:\n", ng_regime_names[place->regime],
           place->rows, compiled, all);
    print(p, limit[0], limit[0]->median);
    for (size_t i = 0; i < n; i++) print(p, list[i], limit[0]->median);
    return 0;
}

int main(int argc, char **argv) {
    normgen_spec spec;
    ng_program p;
    const ng_cpu *cpu;
    char reason[160];
    if (argc < 3) return fprintf(stderr, "schedules: SPEC REGIME [WORDS…]\n"), 2;
    if (ng_cpu_host(&cpu) != NORMGEN_OK || normgen_spec_parse(&spec, argv[1]) != NORMGEN_OK)
        return fprintf(stderr, "schedules: %s\n", normgen_error()), 2;
    ng_program_build(&p, &spec);
    bool one = strcmp(argv[2], "one") == 0; /* a single row */
    int regime = one ? NG_L1 : ng_regime_find(argv[2]);
    if (regime < 0) return fprintf(stderr, "schedules: no regime %s\n", argv[2]), 2;
    size_t rows = one ? 1 : ng_regime_rows(cpu, &p, (ng_regime)regime, 1, ng_machine_ram(), reason);
    if (!rows) return fprintf(stderr, "schedules: %s\n", reason), 1;
    ng_place place = {
        .spec = &spec, .program = &p, .regime = (ng_regime)regime, .rows = rows, .threads = 1};
    return run(&p, &place, cpu, argv + 3, argc - 3);
}
