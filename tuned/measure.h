/* SPDX-License-Identifier: Apache-2.0 */
/* Times on real memory: the buffers of one place and the threads that run on them, pinned. Lives in
 * a worker process. Knows streams and rows, neither schedules nor what a program means. */
#ifndef NG_MEASURE_H
#define NG_MEASURE_H

#include "meter.h"

typedef struct ng_bed ng_bed;

/* Pins the calling thread, which is the one that measures. E_MEMORY; E_UNSUPPORTED when there are
 * fewer cores than threads. */
normgen_status ng_bed_new(const ng_place *place, const ng_cpu *cpu, uint64_t seed, ng_bed **made);
void ng_bed_free(ng_bed *bed);

/* Runs a subject until it is warm, then takes samples: nanoseconds per row, all threads together.
 * fn is not looked at for memcpy and the interpreter. */
void ng_bed_turn(ng_bed *bed, ng_subject_kind kind, normgen_fn fn, size_t samples, double *ns);

/* Rows of one slice of one thread; a sample is at least one slice. */
size_t ng_slice_rows(const ng_place *place, const ng_cpu *cpu);
/* "cores=1,0 pages=4096 large=256MiB": what of the memory is in large pages */
void ng_bed_host(const ng_bed *bed, char *text, size_t size);

#endif
