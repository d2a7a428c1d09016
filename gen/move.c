/* SPDX-License-Identifier: Apache-2.0 */
/* The limit: the fastest way to move a spec's bytes, as a kernel with the same loops and stores but
 * no arithmetic. In each slice every byte of every input row is loaded and every byte of every
 * output row is stored; vectors loaded in excess are ORed into stored ones, and loaded ones repeat
 * where the outputs are wider. With overlap the rows that a kernel would begin meanwhile are loaded
 * as well: they come from memory by loads, which no processor drops. Rows are those that every row
 * has of its own: what rows share and single values are left out. */
#include "lower.h"

enum {
    MOST = 160 /* pieces of one slice and stream: 256 elements of 8 bytes in vectors of 16, and what
                  is left */
};

typedef struct piece {
    int64_t offset, bytes;
} piece;

/* Cuts n bytes into whole vectors and then powers of two. */
static int cut(int64_t n, int64_t vector, piece *pieces) {
    int count = 0;
    for (int64_t at = 0, size = vector; at < n; at += size) {
        while (size > n - at) size /= 2;
        pieces[count++] = (piece){at, size};
    }
    return count;
}

static ng_t piece_type(const ng_lower *l, int64_t bytes) {
    return LLVMVectorType(l->g.t_i8, (unsigned)bytes);
}

static ng_v place(ng_lower *l, const ng_rows *rows, int stream, int row, ng_v v_at,
                  int64_t offset) {
    const ng_build *g = &l->g;
    const ng_stream *s = &l->p->stream[stream];
    ng_v v_block = LLVMBuildUDiv(g->b, v_at, ng_i64(g, s->block), "");
    ng_v v_bytes = LLVMBuildMul(g->b, v_block, ng_i64(g, s->block_bytes), "");
    ng_v v = ng_offset(g, rows->base[stream][row], v_bytes);
    return ng_offset(g, v, ng_i64(g, offset));
}

/* A stream with elements for every row, in or out. */
static bool moves(const ng_stream *s, bool out) {
    return s->out == out && s->rows == NG_EACH && (s->width == NG_HIDDEN || s->width == NG_BLOCKS);
}

static int cut_stream(const ng_lower *l, const ng_stream *s, int64_t elements, piece *pieces) {
    return cut(elements / s->block * s->block_bytes, l->s->vec / 8, pieces);
}

static int load_all(ng_lower *l, const ng_rows *rows, int row, ng_v v_at, int64_t elements,
                    ng_v *loaded) {
    int n = 0;
    piece pieces[MOST];
    for (int s = 0; s < l->p->streams; s++) {
        if (!moves(&l->p->stream[s], false)) continue;
        int count = cut_stream(l, &l->p->stream[s], elements, pieces);
        for (int i = 0; i < count; i++)
            loaded[n++] = ng_load(&l->g, piece_type(l, pieces[i].bytes),
                                  place(l, rows, s, row, v_at, pieces[i].offset), 1);
    }
    return n;
}

/* v with the type of `bytes` bytes: cut short, or filled up with zeros. */
static ng_v fit(ng_lower *l, ng_v v, int64_t bytes) {
    unsigned have = LLVMGetVectorSize(LLVMTypeOf(v)), want = (unsigned)bytes;
    int mask[64];
    if (have == want) return v;
    for (unsigned i = 0; i < want; i++) mask[i] = (int)(i < have ? i : have);
    return ng_shuffle(&l->g, v, LLVMConstNull(LLVMTypeOf(v)), mask, want);
}

static void store_all(ng_lower *l, const ng_rows *rows, int row, ng_v v_at, int64_t elements,
                      ng_v *loaded, int n) {
    int used = 0, stores = 0, total = 0;
    piece pieces[MOST];
    for (int s = 0; s < l->p->streams; s++)
        if (moves(&l->p->stream[s], true))
            total += cut_stream(l, &l->p->stream[s], elements, pieces);
    for (int i = 0; i < n && total == 0; i++)
        LLVMSetVolatile(loaded[i], true); /* nothing is stored */
    for (int s = 0; s < l->p->streams; s++) {
        const ng_stream *stream = &l->p->stream[s];
        if (!moves(stream, true)) continue;
        int count = cut_stream(l, stream, elements, pieces);
        for (int i = 0; i < count; i++, stores++) {
            ng_v v = fit(l, loaded[used++ % n], pieces[i].bytes);
            for (int j = stores + total; j < n; j += total) /* surplus loads */
                v = LLVMBuildOr(l->g.b, v, fit(l, loaded[j], pieces[i].bytes), "");
            ng_v v_ptr = place(l, rows, s, row, v_at, pieces[i].offset);
            if (ng_schedule_past_caches(l->s) && stream->block == 1 &&
                pieces[i].bytes == l->s->vec / 8)
                ng_store_stream(l, v, v_ptr);
            else
                ng_store(&l->g, v, v_ptr, 1);
        }
    }
}

void ng_move_slice(ng_lower *l, const ng_work *work, int row, const ng_slice *slice) {
    ng_v loaded[NORMGEN_MAX_STREAMS * MOST], ahead[NORMGEN_MAX_STREAMS * MOST], v_at = slice->v_at;
    int64_t elements = ng_slice_elements(l, slice);
    int n = load_all(l, work->rows, row, v_at, elements, loaded);
    for (int i = work->ahead ? load_all(l, work->ahead, row, v_at, elements, ahead) : 0; i > 0; i--)
        LLVMSetVolatile(ahead[i - 1], true);
    ng_prefetch_slice(l, work, row, row + 1, slice);
    store_all(l, work->rows, row, v_at, elements, loaded, n);
}
