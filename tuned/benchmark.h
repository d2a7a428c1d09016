/* SPDX-License-Identifier: Apache-2.0 */
/* Benchmarks over any meter. */
#ifndef NG_BENCHMARK_H
#define NG_BENCHMARK_H

#include "meter.h"

/* See ng_gen_table.bench. */
normgen_status ng_bench_with(const ng_tune_request *request, const ng_meter *meter);

#endif
