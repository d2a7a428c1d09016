/* SPDX-License-Identifier: Apache-2.0 */
/* A list of contenders that stay where they are while it grows. */
#include "lineup.h"

#include "error.h"

#include <stdio.h>
#include <stdlib.h>

void ng_lineup_fini(ng_lineup *l) {
    for (size_t i = 0; i < l->count; i++) {
        ng_contender_fini(l->items[i]);
        free(l->items[i]);
    }
    free(l->items);
    *l = (ng_lineup){0};
}

ng_contender *ng_lineup_find(const ng_lineup *l, const ng_subject *subject) {
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i]->subject == subject) return l->items[i];
    return NULL;
}

static bool grow(ng_lineup *l) {
    if (l->count < l->capacity) return true;
    size_t capacity = l->capacity ? 2 * l->capacity : 32;
    ng_contender **items = realloc(l->items, capacity * sizeof *items);
    if (!items) return false;
    l->items = items;
    l->capacity = capacity;
    return true;
}

ng_contender *ng_lineup_add(ng_lineup *l, ng_subject *subject) {
    ng_contender *c = ng_lineup_find(l, subject);
    if (c) return c;
    c = grow(l) ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        ng_fail(NORMGEN_E_MEMORY, "no memory for %zu contenders", l->count + 1);
        return NULL;
    }
    c->subject = subject;
    c->in = !subject->failed;
    return l->items[l->count++] = c;
}

/* What makes a schedule legal is an estimate; here is the code itself. */
static void refuse_long_code(const ng_unit_plan *plan, ng_subject *s) {
    size_t bytes = s->object.code_bytes;
    if (!s->ready || s->kind != NG_SUBJECT_KERNEL || bytes <= NG_CODE_MOST) return;
    if (ng_schedule_plain(plan->place.program, plan->meter->cpu->isa, &s->schedule)) return;
    s->ready = false;
    s->failed = true;
    snprintf(s->reason, sizeof s->reason, "its code has %zu bytes, more than %d", bytes,
             NG_CODE_MOST);
}

normgen_status ng_lineup_make(ng_lineup *l, const ng_unit_plan *plan, ng_kernels *kernels,
                              ng_subject_kind kind, const ng_schedule *list, size_t n,
                              double deadline) {
    const ng_place *place = &plan->place;
    normgen_status status = NORMGEN_OK;
    if (!list) n = 1;
    ng_subject **subjects = calloc(n + 1, sizeof *subjects);
    if (!subjects) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu kernels", n);
    for (size_t i = 0; i < n && status == NORMGEN_OK; i++) {
        subjects[i] = ng_kernels_get(kernels, place->program, kind, list ? &list[i] : NULL);
        if (!subjects[i]) status = NORMGEN_E_MEMORY;
    }
    if (status == NORMGEN_OK)
        status = plan->meter->prepare(plan->meter->ctx, place, subjects, n, deadline);
    for (size_t i = 0; i < n && status == NORMGEN_OK; i++) {
        refuse_long_code(plan, subjects[i]);
        if ((subjects[i]->ready || subjects[i]->failed) && !ng_lineup_add(l, subjects[i]))
            status = NORMGEN_E_MEMORY;
    }
    free(subjects);
    return status;
}

normgen_status ng_lineup_race(const ng_lineup *l, ng_race *race, size_t first, size_t keep,
                              size_t passes) {
    ng_contender **list = malloc((l->count + 1) * sizeof(ng_contender *));
    size_t n = 0;
    if (!list) return ng_fail(NORMGEN_E_MEMORY, "no memory for %zu contenders", l->count);
    for (size_t i = 0; i < l->count; i++)
        if (i >= first || l->items[i]->in) list[n++] = l->items[i];
    normgen_status status = ng_race_run(race, list, n, keep, passes);
    free(list);
    return status;
}
