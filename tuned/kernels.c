/* SPDX-License-Identifier: Apache-2.0 */
/* A list that is searched from end to end: a spec has hundreds of subjects, not more. */
#include "kernels.h"

#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ng_kernels_fini(ng_kernels *k) {
    for (size_t i = 0; i < k->count; i++) {
        free(k->items[i]->object.bytes);
        free(k->items[i]);
    }
    free(k->items);
    *k = (ng_kernels){0};
}

/* As its trial is stored. */
static void name_subject(const ng_program *program, ng_subject_kind kind,
                         const ng_schedule *schedule, char text[NG_SCHEDULE_TEXT]) {
    char axes[NG_SCHEDULE_TEXT] = "";
    static const char *const heads[] = {"", "limit ", "memcpy", "interpreter"};
    if (schedule) ng_schedule_text(program, schedule, axes);
    snprintf(text, NG_SCHEDULE_TEXT, "%s%.*s", heads[kind], NG_SCHEDULE_TEXT - 8, axes);
}

static bool append(ng_kernels *k, ng_subject *s) {
    if (k->count == k->capacity) {
        size_t capacity = k->capacity ? 2 * k->capacity : 64;
        ng_subject **items = realloc(k->items, capacity * sizeof *items);
        if (!items) return false;
        k->items = items;
        k->capacity = capacity;
    }
    k->items[k->count++] = s;
    return true;
}

ng_subject *ng_kernels_get(ng_kernels *k, const ng_program *program, ng_subject_kind kind,
                           const ng_schedule *schedule) {
    char text[NG_SCHEDULE_TEXT];
    name_subject(program, kind, schedule, text);
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->items[i]->text, text) == 0) return k->items[i];
    ng_subject *s = calloc(1, sizeof *s);
    if (s) {
        s->kind = kind;
        if (schedule) s->schedule = *schedule;
        memcpy(s->text, text, sizeof text);
    }
    if (s && append(k, s)) return s;
    free(s);
    ng_fail(NORMGEN_E_MEMORY, "no memory for %zu kernels", k->count + 1);
    return NULL;
}
