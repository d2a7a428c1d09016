/* SPDX-License-Identifier: Apache-2.0 */
/* The table of element types and access to single elements. */
#include "types.h"

const ng_type_info ng_types[NG_TYPE_COUNT] = {[NORMGEN_DEFAULT] = {"default", 0, 0, 0},
                                              [NORMGEN_NONE] = {"none", 0, 0, 0},
#define X(name, id, bytes, precision, exponent) [id] = {#name, bytes, precision, exponent},
                                              NG_TYPES(X)
#undef X
};

bool ng_type_holds(int outer, int inner) {
    if (outer == inner) return true;
    /* The narrowing to bf16 flushes subnormals, so nothing but bf16 itself passes through it
     * unchanged; the f32 and f64 types hold all values of types with less precision and no more
     * exponent bits. */
    return outer != NORMGEN_BF16 && ng_types[outer].precision >= ng_types[inner].precision &&
           ng_types[outer].exponent >= ng_types[inner].exponent;
}

double ng_type_read(int type, const void *base, size_t i) {
    const char *at = (const char *)base + i * ng_types[type].bytes;
    uint16_t h;
    float f;
    double d;
    switch (type) {
    case NORMGEN_F64: memcpy(&d, at, sizeof d); return d;
    case NORMGEN_F32: memcpy(&f, at, sizeof f); return (double)f;
    case NORMGEN_BF16: memcpy(&h, at, sizeof h); return (double)ng_from_bf16(h);
    default: memcpy(&h, at, sizeof h); return (double)ng_from_f16(h);
    }
}

void ng_type_write(int type, void *base, size_t i, double value) {
    char *at = (char *)base + i * ng_types[type].bytes;
    float f = (float)value;
    uint16_t h;
    switch (type) {
    case NORMGEN_F64: memcpy(at, &value, sizeof value); return;
    case NORMGEN_F32: memcpy(at, &f, sizeof f); return;
    case NORMGEN_BF16: h = ng_to_bf16(f); break;
    default: h = ng_to_f16(f); break;
    }
    memcpy(at, &h, sizeof h);
}
