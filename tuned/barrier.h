/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to call the default team of threads. Lives in a worker process. */
#ifndef NG_BARRIER_H
#define NG_BARRIER_H

/* Nanoseconds that a call must take on one thread for the team (runtime/team.h) to be faster; 0
 * when there is one thread only. Measured with a team that is awake. */
double ng_barrier_cutoff(void);

#endif
