/* SPDX-License-Identifier: Apache-2.0 */
/* Appending operations and streams to a row program. It must not know what they are for. */
#include "ops.h"

#include "types.h"

#include <assert.h>
#include <string.h>

int ng_put4(ng_program *p, ng_code code, int a, int b, int c, int d) {
    assert(p->ops < NG_MAX_OPS);
    p->op[p->ops] = (ng_op){
        .code = (uint8_t)code, .stream = -1, .a = {(int16_t)a, (int16_t)b, (int16_t)c, (int16_t)d}};
    return p->ops++;
}

int ng_put_k(ng_program *p, ng_code code, int a, double k) {
    int v = ng_put1(p, code, a);
    p->op[v].k = k;
    return v;
}

int ng_put_again(ng_program *p, ng_code code, double k) {
    for (int i = 0; i < p->ops; i++)
        if (p->op[i].code == code && memcmp(&p->op[i].k, &k, sizeof k) == 0) return i;
    return ng_put_k(p, code, -1, k);
}

int ng_put_group(ng_program *p, ng_code code, int a, int group) {
    int v = ng_put1(p, code, a);
    p->op[v].group = (uint8_t)group;
    return v;
}

int ng_put_pair(ng_program *p, ng_code code, int a, ng_pairing pairing) {
    int v = ng_put1(p, code, a);
    p->op[v].pairing = (uint8_t)pairing;
    return v;
}

static int stream_of(ng_program *p, ng_role role, int type) {
    for (int s = 0; s < p->streams; s++)
        if (p->stream[s].role == role) return s;
    assert(p->streams < NORMGEN_MAX_STREAMS);
    const ng_role_info *r = &ng_roles[role];
    p->stream[p->streams] = (ng_stream){.role = (uint8_t)role,
                                        .type = (uint8_t)type,
                                        .rows = (uint8_t)r->rows,
                                        .width = (uint8_t)r->width,
                                        .out = r->out};
    return p->streams++;
}

int ng_put_memory(ng_program *p, ng_code code, ng_role role, int type, int a) {
    int v = ng_put1(p, code, a);
    p->op[v].stream = (int16_t)stream_of(p, role, type);
    p->op[v].type = (uint8_t)type;
    return v;
}

int ng_put_round(ng_program *p, int type, int v) {
    if (ng_type_holds(type, p->compute)) return v;
    int r = ng_put1(p, NG_ROUND, v);
    p->op[r].type = (uint8_t)type;
    return r;
}

void ng_store_later(ng_stores *later, ng_role role, int type, int v) {
    assert(later->n < NG_MAX_STORES);
    later->item[later->n].role = role;
    later->item[later->n].type = later->item[later->n].field = type;
    later->item[later->n].per = later->item[later->n].at = 0;
    later->item[later->n++].v = v;
}

void ng_put_stores(ng_program *p, const ng_stores *later) {
    for (int i = 0; i < later->n; i++) {
        int v =
            ng_put_memory(p, NG_STORE, later->item[i].role, later->item[i].type, later->item[i].v);
        p->op[v].type = (uint8_t)later->item[i].field;
        p->op[v].per = later->item[i].per;
        p->op[v].at = later->item[i].at;
    }
}
