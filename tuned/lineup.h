/* SPDX-License-Identifier: Apache-2.0 */
/* The contenders of one unit. */
#ifndef NG_LINEUP_H
#define NG_LINEUP_H

#include "race.h"

typedef struct ng_lineup {
    ng_contender **items;
    size_t count, capacity;
} ng_lineup;

/* Frees the contenders too. */
void ng_lineup_fini(ng_lineup *lineup);
/* The contender of a subject, made when missing; NULL when memory ran out. */
ng_contender *ng_lineup_add(ng_lineup *lineup, ng_subject *subject);
ng_contender *ng_lineup_find(const ng_lineup *lineup, const ng_subject *subject);

#endif
