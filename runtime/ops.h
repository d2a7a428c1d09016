/* SPDX-License-Identifier: Apache-2.0 */
/* Writing operations of a row program: each function appends to the program and returns the index
 * of the new operation, which is the value's name. Used while a program is being built, on one
 * thread. */
#ifndef NG_OPS_H
#define NG_OPS_H

#include "program.h"

int ng_put4(ng_program *p, ng_code code, int a, int b, int c, int d);
static inline int ng_put2(ng_program *p, ng_code code, int a, int b) {
    return ng_put4(p, code, a, b, -1, -1);
}
static inline int ng_put1(ng_program *p, ng_code code, int a) {
    return ng_put4(p, code, a, -1, -1, -1);
}
static inline int ng_put_fma(ng_program *p, int a, int b, int c) {
    return ng_put4(p, NG_FMA, a, b, c, -1);
}
/* An operation with a number; a is -1 where it has no operand. */
int ng_put_k(ng_program *p, ng_code code, int a, double k);
static inline int ng_put_const(ng_program *p, double k) { return ng_put_k(p, NG_CONST, -1, k); }
/* The same, but a constant (or bit pattern) that the program has already is used again. */
int ng_put_again(ng_program *p, ng_code code, double k);
/* GAMAX or GSUM over groups. */
int ng_put_group(ng_program *p, ng_code code, int a, int group);
/* PARTNER or NEGFIRST. */
int ng_put_pair(ng_program *p, ng_code code, int a, ng_pairing pairing);
/* LOAD, PEEK or STORE (of a) of a role, whose stream is declared at its first use. */
int ng_put_memory(ng_program *p, ng_code code, ng_role role, int type, int a);
/* T(v): v itself when the type holds every value of the compute type. */
int ng_put_round(ng_program *p, int type, int v);

/* functions.c: exp, tanh and erf of docs/numerics.md, made of primitives. */
int ng_put_exp(ng_program *p, int x);
int ng_put_one_plus_exp_neg(ng_program *p, int x); /* 1 + exp(-x) */
int ng_put_tanh(ng_program *p, int x);
int ng_put_erf(ng_program *p, int x);

/* quantize.c: to the nearest integer, ties away from zero. */
int ng_put_half_away(ng_program *p, int v);
/* Appends what turns the value v into the spec's y and hands the stores to `later`,
 * which the caller appends when all values are made. */
#define NG_MAX_STORES 8
typedef struct ng_stores {
    int n;
    struct {
        ng_role role;
        int type, v;     /* type: of the stream */
        int field;       /* type in memory */
        uint8_t per, at; /* of STORE */
    } item[NG_MAX_STORES];
} ng_stores;
void ng_store_later(ng_stores *later, ng_role role, int type, int v);
void ng_put_stores(ng_program *p, const ng_stores *later);
void ng_put_codes(ng_program *p, const normgen_spec *s, int v, ng_stores *later);

#endif
