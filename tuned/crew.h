/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned threads that start a piece of work at the same moment. The maker is member 0. Between wake
 * and rest the others wait spinning, so that a start costs less than a microsecond; else they
 * sleep. */
#ifndef NG_CREW_H
#define NG_CREW_H

#include "normgen/normgen.h"

typedef struct ng_crew ng_crew;

/* Pins the calling thread and n-1 new ones to different cores. E_UNSUPPORTED when this process may
 * use fewer cores. */
normgen_status ng_crew_new(int n, void (*work)(void *ctx, int member), void *ctx, ng_crew **made);
void ng_crew_free(ng_crew *crew);

void ng_crew_wake(ng_crew *crew);
/* Returns when all others are ready to start. */
void ng_crew_gather(ng_crew *crew);
/* Everybody works once; returns when all have finished. */
void ng_crew_work(ng_crew *crew);
void ng_crew_rest(ng_crew *crew);
int ng_crew_core(const ng_crew *crew, int member);

#endif
