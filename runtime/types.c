/* SPDX-License-Identifier: Apache-2.0 */
/* The table of element types and access to single elements. */
#include "types.h"

#include <math.h>

const ng_type_info ng_types[NG_TYPE_COUNT] = {[NORMGEN_DEFAULT] = {"default", 0, 0, 0, 1, 0, 0},
                                              [NORMGEN_NONE] = {"none", 0, 0, 0, 1, 0, 0},
#define X(name, id, bytes, precision, exponent, narrowing)                                         \
    [id] = {#name, bytes, precision, exponent, 1, bytes, narrowing},
                                              NG_TYPES(X)
#undef X
#define X(name, id, elements, bytes) [id] = {#name, 2, 0, 0, elements, bytes, 0},
                                                  NG_FORMATS(X)
#undef X
};

int ng_type_runs(int type, ng_field_run runs[NG_MAX_RUNS]) {
    const ng_type_info *t = &ng_types[type];
    int n = 0;
    if (t->block == 1) {
        runs[n++] = (ng_field_run){(uint8_t)type, 0, 1};
        return n;
    }
    uint8_t head = (uint8_t)(t->block_bytes - t->block); /* two or four bytes of f16 */
    for (uint8_t at = 0; at < head; at = (uint8_t)(at + 2))
        runs[n++] = (ng_field_run){NORMGEN_F16, at, 1};
    runs[n++] = (ng_field_run){NORMGEN_I8, head, t->block};
    return n;
}

bool ng_type_holds(int outer, int inner) {
    if (outer == inner) return true;
    if (ng_types[outer].exponent == 0) return false; /* integers hold no other type */
    /* The narrowing to bf16 flushes subnormals of f32, so types that have any do not pass through
     * it unchanged; otherwise a type holds all values of types with no more precision and no more
     * exponent bits. */
    bool flushes = outer == NORMGEN_BF16 && ng_types[inner].exponent >= 8;
    return !flushes && ng_types[outer].precision >= ng_types[inner].precision &&
           ng_types[outer].exponent >= ng_types[inner].exponent;
}

double ng_type_read(int type, const void *base, size_t i) {
    const char *at = (const char *)base + i * ng_types[type].bytes;
    uint16_t h;
    uint8_t b;
    float f;
    double d;
    memcpy(&b, at, sizeof b);
    switch (type) {
    case NORMGEN_F64: memcpy(&d, at, sizeof d); return d;
    case NORMGEN_F32: memcpy(&f, at, sizeof f); return (double)f;
    case NORMGEN_BF16: memcpy(&h, at, sizeof h); return (double)ng_from_bf16(h);
    case NORMGEN_I8: return (double)(int8_t)b;
    case NORMGEN_U8: return (double)b;
    case NORMGEN_E4M3: return (double)ng_from_e4m3(b);
    case NORMGEN_E5M2: return (double)ng_from_e5m2(b);
    default: memcpy(&h, at, sizeof h); return (double)ng_from_f16(h);
    }
}

/* NaN becomes 0; to nearest even, saturating. */
static int to_integer(double v, int lowest, int highest) {
    if (v != v) return 0;
    return v < lowest ? lowest : v > highest ? highest : (int)rint(v);
}

void ng_type_write(int type, void *base, size_t i, double value) {
    char *at = (char *)base + i * ng_types[type].bytes;
    float f = (float)value;
    uint16_t h;
    switch (type) {
    case NORMGEN_F64: memcpy(at, &value, sizeof value); return;
    case NORMGEN_F32: memcpy(at, &f, sizeof f); return;
    case NORMGEN_BF16: h = ng_to_bf16(f); break;
    case NORMGEN_I8: *at = (char)(int8_t)to_integer(value, -128, 127); return;
    case NORMGEN_U8: *at = (char)(uint8_t)to_integer(value, 0, 255); return;
    case NORMGEN_E4M3: *at = (char)ng_to_e4m3(f); return;
    case NORMGEN_E5M2: *at = (char)ng_to_e5m2(f); return;
    default: h = ng_to_f16(f); break;
    }
    memcpy(at, &h, sizeof h);
}
