/* SPDX-License-Identifier: Apache-2.0 */
/* A list of contenders that stay where they are while it grows. */
#include "lineup.h"

#include "error.h"

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
