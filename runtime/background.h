/* SPDX-License-Identifier: Apache-2.0 */
/* Mode tune: `normgen tune` runs beside the host for kernels that nobody tuned on this machine yet,
 * and what it finds replaces their plans. Nothing is measured inside the host. */
#ifndef NG_BACKGROUND_H
#define NG_BACKGROUND_H

#include "dispatch.h"

typedef struct ng_background ng_background;

/* Has the kernel tuned for one thread and for a team, unless the store has it all. Called with
 * ng->lock held; trouble is told in the log, once. */
void ng_background_want(normgen *ng, normgen_kernel *kernel);
/* Stops the tuner that runs and the thread that minds it. Called without ng->lock; NULL is fine. */
void ng_background_end(ng_background *background);

#endif
