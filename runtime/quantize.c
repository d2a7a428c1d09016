/* SPDX-License-Identifier: Apache-2.0 */
/* From a value to codes and scales: the quantizers of docs/numerics.md, as operations. */
#include "ops.h"

#include "spec.h"
#include "types.h"

/* Largest code of a symmetric type, as the formulas have it. */
static double largest(int type) {
    return type == NORMGEN_E4M3 ? 448 : type == NORMGEN_E5M2 ? 57344 : 127;
}

static int zero_bits(ng_program *p) { return ng_put_again(p, NG_BITS, 0); }

/* a = 0 ? 0 : k / a, for a that is not negative; NaN stays. */
static int inverse(ng_program *p, int a, double k) {
    int f = ng_put2(p, NG_DIV, ng_put_again(p, NG_CONST, k), a), zero = zero_bits(p);
    return ng_put4(p, NG_ISELLT, zero, a, f, zero);
}

/* Round half away from zero: towards zero after the largest number below 0.5 has been added to the
 * magnitude. What lies below a tie by its last bit or more stays below the next integer; of a tie
 * the sum is less than half of a last bit below that integer (of 0.5 itself half of one, and 1 is
 * even), so it is rounded to it. */
int ng_put_half_away(ng_program *p, int v) {
    double below = p->compute == NORMGEN_F64 ? 0x1.fffffffffffffp-2 : 0x1.fffffep-2;
    int sign = ng_put2(p, NG_AND, v, ng_put_again(p, NG_CONST, -0.0));
    int half = ng_put2(p, NG_OR, sign, ng_put_again(p, NG_CONST, below));
    return ng_put1(p, NG_TRUNC, ng_put2(p, NG_ADD, v, half));
}

/* What a store as i8 makes of v, as a value: its sum must be that of the codes. */
static int saturated(ng_program *p, int v) {
    int low = ng_put_again(p, NG_CONST, -128), high = ng_put_again(p, NG_CONST, 127);
    int c = ng_put4(p, NG_SELLT, v, low, low, v);
    c = ng_put4(p, NG_SELLT, high, c, high, c);
    double infinity = p->compute == NORMGEN_F64 ? 0x7ff0p48 : 0x7f8p20;
    return ng_put4(p, NG_ISELLT, ng_put_again(p, NG_BITS, infinity), ng_put1(p, NG_ABS, c),
                   zero_bits(p), c);
}

static void field(ng_stores *later, int format, int type, int v, int per, int at) {
    ng_store_later(later, NG_ROLE_y, format, v);
    later->item[later->n - 1].field = type;
    later->item[later->n - 1].per = (uint8_t)per;
    later->item[later->n - 1].at = (uint8_t)at;
}

/* ggml's blocks: d, for q8_1 the sum, codes. */
static void blocks(ng_program *p, int format, int v, ng_stores *later) {
    int block = ng_types[format].block, head = ng_types[format].block_bytes - block;
    int a = ng_put_group(p, NG_GAMAX, v, block);
    int d = ng_put2(p, NG_DIV, a, ng_put_again(p, NG_CONST, 127));
    int code = ng_put_half_away(p, ng_put2(p, NG_MUL, v, inverse(p, d, 1)));
    field(later, format, NORMGEN_F16, d, block, 0);
    if (format == NORMGEN_Q8_1) {
        code = saturated(p, ng_put2(p, NG_ADD, code, ng_put_again(p, NG_CONST, 0))); /* no -0 */
        int sum = ng_put_group(p, NG_GSUM, code, block);
        field(later, format, NORMGEN_F16, ng_put2(p, NG_MUL, sum, d), block, 2);
    }
    field(later, format, NORMGEN_I8, code, 0, head);
}

/* One scale for the row, or for each group of it. */
static void symmetric(ng_program *p, const normgen_spec *s, int v, ng_stores *later) {
    int group = ng_spec_group(s);
    int a = group ? ng_put_group(p, NG_GAMAX, v, group) : ng_put1(p, NG_AMAX, v);
    int scale = ng_put2(p, NG_DIV, a, ng_put_again(p, NG_CONST, largest(s->y)));
    ng_store_later(later, NG_ROLE_y, s->y, ng_put2(p, NG_MUL, v, inverse(p, a, largest(s->y))));
    ng_store_later(later, NG_ROLE_y_scale, NORMGEN_F32, scale);
    later->item[later->n - 1].per = (uint8_t)group;
}

/* A scale and a zero point for the row. */
static void asymmetric(ng_program *p, int v, ng_stores *later) {
    int zero = ng_put_again(p, NG_CONST, 0);
    int high = ng_put1(p, NG_AMAX, ng_put4(p, NG_SELLT, v, zero, zero, v));
    int low =
        ng_put1(p, NG_AMAX, ng_put4(p, NG_SELLT, zero, v, zero, ng_put1(p, NG_NEG, v))); /* -lo */
    int range = ng_put2(p, NG_SUB, high, ng_put1(p, NG_NEG, low));
    int scale = ng_put2(p, NG_DIV, range, ng_put_again(p, NG_CONST, 255));
    int point = ng_put1(p, NG_RINT, ng_put2(p, NG_DIV, low, scale));
    int code = ng_put2(p, NG_ADD, ng_put1(p, NG_RINT, ng_put2(p, NG_DIV, v, scale)), point);
    ng_store_later(later, NG_ROLE_y, NORMGEN_U8, code);
    ng_store_later(later, NG_ROLE_y_scale, NORMGEN_F32, scale);
    ng_store_later(later, NG_ROLE_y_zero, NORMGEN_U8, point);
}

void ng_put_codes(ng_program *p, const normgen_spec *s, int v, ng_stores *later) {
    if (ng_types[s->y].block > 1) {
        blocks(p, s->y, v, later);
    } else if (s->quant == NORMGEN_QUANT_NONE) {
        ng_store_later(later, NG_ROLE_y, s->y, v);
    } else if (s->quant == NORMGEN_QUANT_STATIC) {
        int scale = ng_put_memory(p, NG_PEEK, NG_ROLE_y_scale, NORMGEN_F32, -1);
        int inv = ng_put2(p, NG_DIV, ng_put_again(p, NG_CONST, 1), scale);
        ng_store_later(later, NG_ROLE_y, s->y, ng_put2(p, NG_MUL, v, inv));
    } else if (s->y == NORMGEN_U8) {
        asymmetric(p, v, later);
    } else {
        symmetric(p, s, v, later);
    }
}
