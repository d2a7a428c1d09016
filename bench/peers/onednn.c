/* SPDX-License-Identifier: Apache-2.0 */
/* oneDNN's layer normalization through its C API (version 3). Compiled by the bench where the
 * library and its headers are found. Scale and shift are f32, the type that oneDNN wants with any
 * x. All objects are made before the clock starts: memory objects for every slice, arguments,
 * stream. */
#include "shim.h"

#include <oneapi/dnnl/dnnl.h>

#include <stdio.h>
#include <stdlib.h>

enum { ARGUMENTS = 4 };

typedef struct state {
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    dnnl_exec_arg_t (*arguments)[ARGUMENTS];
} state;

void *peers_onednn(const peers_job *job, peers_fn *fn);
const char *peers_onednn_version(void);

const char *peers_onednn_version(void) {
    static char text[64];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "%d.%d.%d runtime=%s", v->major, v->minor, v->patch,
             v->cpu_runtime == DNNL_RUNTIME_OMP   ? "omp"
             : v->cpu_runtime == DNNL_RUNTIME_TBB ? "tbb"
             : v->cpu_runtime == DNNL_RUNTIME_SEQ ? "seq"
                                                  : "other");
    return text;
}

static void call(void *opaque, size_t i) {
    state *s = opaque;
    if (dnnl_primitive_execute(s->primitive, s->stream, ARGUMENTS, s->arguments[i]) !=
            dnnl_success ||
        dnnl_stream_wait(s->stream) != dnnl_success)
        abort();
}

static dnnl_memory_t memory(dnnl_memory_desc_t desc, dnnl_engine_t engine, const void *data) {
    dnnl_memory_t made = NULL;
    if (dnnl_memory_create(&made, desc, engine, (void *)(size_t)data) != dnnl_success) abort();
    return made;
}

static int make_primitive(state *s, dnnl_engine_t engine, dnnl_memory_desc_t rows) {
    dnnl_primitive_desc_t desc;
    unsigned flags = dnnl_use_scale | dnnl_use_shift;
    return dnnl_layer_normalization_forward_primitive_desc_create(
               &desc, engine, dnnl_forward_inference, rows, rows, NULL, 1e-5f, flags, NULL) ==
               dnnl_success &&
           dnnl_primitive_create(&s->primitive, desc) == dnnl_success &&
           dnnl_stream_create(&s->stream, engine, dnnl_stream_default_flags) == dnnl_success;
}

/* Null where oneDNN has no such norm. The state lives as long as the process. */
void *peers_onednn(const peers_job *job, peers_fn *fn) {
    dnnl_engine_t engine;
    dnnl_memory_desc_t rows, row;
    dnnl_dims_t dims = {(dnnl_dim_t)job->rows, (dnnl_dim_t)job->hidden};
    dnnl_dims_t one = {(dnnl_dim_t)job->hidden};
    state *s = calloc(1, sizeof *s);
    if (!s || job->norm != 1 || job->add ||
        dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_memory_desc_create_with_tag(&rows, 2, dims, job->type ? dnnl_bf16 : dnnl_f32,
                                         dnnl_ab) != dnnl_success ||
        dnnl_memory_desc_create_with_tag(&row, 1, one, dnnl_f32, dnnl_a) != dnnl_success ||
        !make_primitive(s, engine, rows))
        return NULL;
    dnnl_memory_t scale = memory(row, engine, job->wide_weight);
    dnnl_memory_t shift = memory(row, engine, job->wide_bias);
    s->arguments = calloc(job->slices, sizeof *s->arguments);
    if (!s->arguments) abort();
    for (size_t i = 0; i < job->slices; i++) {
        const peers_slice *slice = &job->slice[i];
        s->arguments[i][0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, memory(rows, engine, slice->x)};
        s->arguments[i][1] = (dnnl_exec_arg_t){DNNL_ARG_DST, memory(rows, engine, slice->y)};
        s->arguments[i][2] = (dnnl_exec_arg_t){DNNL_ARG_SCALE, scale};
        s->arguments[i][3] = (dnnl_exec_arg_t){DNNL_ARG_SHIFT, shift};
    }
    *fn = call;
    return s;
}
