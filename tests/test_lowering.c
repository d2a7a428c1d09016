/* SPDX-License-Identifier: Apache-2.0 */
/* Random row programs: whatever a program says, kernels equal the interpreter. Specs draw on a
 * small part of what programs can say; here operations, groups, pairings, views, scopes, blocks,
 * types and rows of streams meet at random, under random legal schedules, on every ISA level of
 * this machine.
 *
 * A failure prints its seed; CASE=seed in the environment runs that program alone. */
#include "awkward.h"
#include "gen.h"
#include "schedule.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROWS = 37, MOST_VALUES = 40, SCHEDULES = 3, GAP = 64 };

/* Rows of an outer row, of the case at hand: with blocks of up to eight rows nothing fits, several
 * do and a rest remains, or blocks follow one another. */
static const size_t inners[] = {3, 16, 11, 8};
static size_t inner = 3;

/* ---- a program ---- */

typedef struct values {
    int list[MOST_VALUES], n;
} values;

typedef struct maker {
    ng_program p;
    uint64_t state;
    values elems, scalars;
    values clean; /* elems whose bits mean something: no operation that may make a NaN */
    int group;    /* of this program's groups, or 0 */
    int pairing;
} maker;

static int below(maker *m, int n) { return (int)awkward_below(&m->state, (size_t)n); }
static int pick(maker *m, const values *v) { return v->list[below(m, v->n)]; }
static void note(values *v, int i) {
    if (v->n < MOST_VALUES) v->list[v->n++] = i;
}

static int stream(maker *m, ng_role role, int type, int rows, int width, bool out) {
    m->p.stream[m->p.streams] = (ng_stream){.role = (uint8_t)role,
                                            .type = (uint8_t)type,
                                            .rows = (uint8_t)rows,
                                            .width = (uint8_t)width,
                                            .out = out};
    return m->p.streams++;
}

static int push(maker *m, ng_code code, int a, int b, int c, int d) {
    m->p.op[m->p.ops] = (ng_op){
        .code = (uint8_t)code, .stream = -1, .a = {(int16_t)a, (int16_t)b, (int16_t)c, (int16_t)d}};
    return m->p.ops++;
}

static int input(maker *m, ng_code code, ng_role role, int type, int rows, int width) {
    int s = stream(m, role, type, rows, width, false), i = push(m, code, -1, -1, -1, -1);
    m->p.op[i].stream = (int16_t)s;
    m->p.op[i].type = (uint8_t)type;
    if (width == NG_HALF) m->p.op[i].pairing = (uint8_t)m->pairing;
    return i;
}

static int any_type(maker *m) { return NORMGEN_F32 + below(m, 8); }

static void inputs(maker *m) {
    static const int rows[] = {NG_EACH, NG_EACH, NG_OUTER, NG_INNER, NG_ONE};
    static const ng_role roles[] = {NG_ROLE_x, NG_ROLE_residual, NG_ROLE_weight, NG_ROLE_bias};
    int n = 1 + below(m, 4);
    for (int i = 0; i < n; i++) {
        int v =
            input(m, NG_LOAD, roles[i], any_type(m), i ? rows[below(m, 5)] : NG_EACH, NG_HIDDEN);
        note(&m->elems, v);
        note(&m->clean, v);
    }
    if (m->pairing) note(&m->elems, input(m, NG_LOAD, NG_ROLE_cos, NORMGEN_F32, NG_OUTER, NG_HALF));
    if (below(m, 2))
        note(&m->scalars, input(m, NG_PEEK, NG_ROLE_x_scale, any_type(m), NG_EACH, NG_UNIT));
    if (below(m, 2))
        note(&m->scalars, input(m, NG_PEEK, NG_ROLE_alpha, NORMGEN_F32, NG_ONE, NG_UNIT));
    int k = push(m, NG_CONST, -1, -1, -1, -1);
    m->p.op[k].k = 0.37;
    note(&m->scalars, k);
}

/* An operation on elements; its operands are elements, now and then scalars. */
static void arithmetic(maker *m) {
    static const ng_code codes[] = {NG_ADD, NG_SUB, NG_MUL, NG_FMA, NG_SELLT, NG_MUL, NG_ROUND};
    ng_code code = codes[below(m, 7)];
    int a[4];
    for (int j = 0; j < 4; j++) a[j] = pick(m, j && below(m, 3) == 0 ? &m->scalars : &m->elems);
    int i = push(m, code, a[0], a[1], a[2], a[3]);
    static const int types[] = {NORMGEN_F32, NORMGEN_BF16, NORMGEN_F16};
    m->p.op[i].type = (uint8_t)types[below(m, 3)];
    note(&m->elems, i);
}

static void on_bits(maker *m) {
    static const ng_code codes[] = {NG_AND, NG_OR, NG_XOR, NG_ABS, NG_RINT, NG_TRUNC, NG_NEG};
    int c = below(m, 7), a = pick(m, &m->clean),
        i = push(m, codes[c], a, pick(m, &m->clean), -1, -1);
    note(&m->elems, i);
    if (c >= 3) note(&m->clean, i);
}

static void across(maker *m) {
    bool pairs = m->pairing && (!m->group || below(m, 2));
    ng_code code = pairs ? (below(m, 2) ? NG_PARTNER : NG_NEGFIRST) : NG_GAMAX;
    if (!pairs && !m->group) return;
    int a = pick(m, &m->elems);
    if (!pairs && below(m, 3) == 0) { /* a sum that is exact in any order */
        a = push(m, NG_RINT, pick(m, &m->clean), -1, -1, -1);
        code = NG_GSUM;
    }
    int i = push(m, code, a, -1, -1, -1);
    m->p.op[i].pairing = (uint8_t)(pairs ? m->pairing : NG_PLAIN);
    m->p.op[i].group = (uint8_t)(pairs ? 0 : m->group);
    note(&m->elems, i);
    for (int more = below(m, 3); !pairs && more; more--) { /* what follows has one value a group */
        i = push(m, more & 1 ? NG_MUL : NG_ADD, i, pick(m, &m->scalars), -1, -1);
        note(&m->elems, i);
    }
}

/* Elements that a pass goes over, whole spans of what it may compute; 0: all. */
static uint32_t scope_of(maker *m) {
    int hidden = (int)m->p.hidden;
    int unit = m->pairing == NG_HALVES ? hidden : m->group ? m->group : m->pairing ? 2 : 1;
    if (below(m, 4)) return 0;
    int first = unit * (1 + below(m, hidden / unit));
    return (uint32_t)(unit < hidden && first > 128 ? first - first % 128 : first);
}

/* One pass: reductions of values at hand, and scalars from them. */
static void reductions(maker *m) {
    static const ng_code codes[] = {NG_SUM, NG_DOT, NG_AMAX};
    int n = 1 + below(m, 3), made[3];
    uint32_t first = scope_of(m);
    for (int k = 0; k < n; k++) {
        made[k] = push(m, codes[below(m, 3)], pick(m, &m->elems), pick(m, &m->elems), -1, -1);
        m->p.op[made[k]].first = first;
    }
    for (int k = 0; k < n; k++) {
        int s = push(m, NG_MUL, made[k], pick(m, &m->scalars), -1, -1);
        note(&m->scalars, made[k]);
        note(&m->scalars, s);
    }
}

static void output(maker *m, ng_role role, int type, int width, int v, int per, int at) {
    int s = -1;
    for (int i = 0; i < m->p.streams; i++)
        if (m->p.stream[i].role == role) s = i;
    if (s < 0) s = stream(m, role, type, NG_EACH, width, true);
    int i = push(m, NG_STORE, v, -1, -1, -1);
    m->p.op[i].stream = (int16_t)s;
    m->p.op[i].type = (uint8_t)type;
    m->p.op[i].per = (uint8_t)per;
    m->p.op[i].at = (uint8_t)at;
}

static void outputs(maker *m) {
    bool blocks = m->group == 32 && below(m, 2), none = below(m, 8) == 0;
    if (!none && blocks) {
        output(m, NG_ROLE_y, NORMGEN_F16, NG_HIDDEN, pick(m, &m->elems), 32, 0);
        output(m, NG_ROLE_y, NORMGEN_I8, NG_HIDDEN, pick(m, &m->elems), 0, 2);
        m->p.stream[m->p.streams - 1].type = NORMGEN_Q8_0;
    } else if (!none) {
        output(m, NG_ROLE_y, any_type(m), NG_HIDDEN, pick(m, &m->elems), 0, 0);
    }
    if (!none && below(m, 2))
        output(m, NG_ROLE_sum, any_type(m), NG_HIDDEN, pick(m, &m->elems), 0, 0);
    if (!none && m->group && below(m, 2)) {
        output(m, NG_ROLE_y_scale, NORMGEN_F32, NG_BLOCKS, pick(m, &m->elems), m->group, 0);
        m->p.stream[m->p.streams - 1].block = (uint16_t)m->group;
    }
    if (none || below(m, 2))
        output(m, NG_ROLE_mean, any_type(m), NG_UNIT, pick(m, &m->scalars), 0, 0);
}

/* Sizes that hold whole groups and pairs; halves have at most 256 elements. */
static void choose_size(maker *m) {
    static const int sizes[] = {1, 7, 16, 33, 64, 100, 191, 1000, 1024, 1025, 2080, 3000};
    static const int pairs[] = {2, 30, 64, 72, 80, 96, 128, 250, 256};
    static const int groups[] = {0, 0, 32, 64, 128};
    m->group = groups[below(m, 5)];
    m->pairing = below(m, 3);
    m->p.hidden = m->pairing == NG_HALVES       ? pairs[below(m, 9)]
                  : m->pairing == NG_NEIGHBOURS ? 2 * sizes[below(m, 12)]
                                                : sizes[below(m, 12)];
    if (m->group && m->pairing == NG_HALVES)
        m->p.hidden = m->group * (1 + below(m, 256 / m->group));
    if (m->group && m->pairing != NG_HALVES) m->p.hidden = m->group * (1 + below(m, 20));
    m->p.compute = below(m, 4) ? NORMGEN_F32 : NORMGEN_F64;
    m->p.lanes = 16 << below(m, 5);
}

static bool make(maker *m, uint64_t seed) {
    *m = (maker){.state = seed};
    choose_size(m);
    inputs(m);
    int passes = below(m, 4);
    for (int pass = 0; pass <= passes; pass++) {
        for (int n = 1 + below(m, 4); n; n--) {
            int what = below(m, 4);
            what == 0 ? across(m) : what == 1 ? on_bits(m) : arithmetic(m);
        }
        if (pass < passes) reductions(m);
    }
    outputs(m);
    return m->p.ops < NG_MAX_OPS;
}

/* ---- memory ---- */

/* Rows of one stream: every row of the program has its own place, gaps between; the last row ends
 * where a page begins that nobody may touch. */
typedef struct block {
    char *map, *base;
    size_t bytes, span, pitch;
} block;

static void block_make(block *b, const ng_stream *s, size_t alignment) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), rows = ng_stream_rows(s, ROWS, inner);
    b->pitch = (s->row_bytes + GAP) / alignment * alignment;
    while (b->pitch % s->element || b->pitch < s->row_bytes) b->pitch += alignment;
    b->span = (rows - 1) * b->pitch + s->row_bytes;
    b->bytes = (b->span + alignment + page - 1) / page * page;
    b->map =
        mmap(NULL, b->bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(b->map, MAP_FAILED);
    mprotect(b->map + b->bytes, page, PROT_NONE);
    memset(b->map, 0xa5, b->bytes);
    b->base = b->map + (b->bytes - b->span) / alignment * alignment;
}

static void block_free(block *b) { munmap(b->map, b->bytes + (size_t)sysconf(_SC_PAGESIZE)); }

/* ---- comparing ---- */

typedef struct arrays {
    block in[NORMGEN_MAX_STREAMS], want[NORMGEN_MAX_STREAMS], got[NORMGEN_MAX_STREAMS];
    normgen_bound_args right, made;
} arrays;

static void place(const ng_stream *s, const block *b, normgen_stream *at) {
    *at = ng_stream_place(s, b->base, b->pitch, inner);
}

static void arrays_make(arrays *a, const ng_program *p, const ng_schedule *s, uint64_t seed) {
    a->right.rows_per_outer = a->made.rows_per_outer = inner;
    for (int i = 0; i < p->streams; i++) {
        const ng_stream *stream = &p->stream[i];
        size_t align = ng_schedule_alignment(p, s, i);
        if (align < stream->element) align = stream->element;
        if (stream->out) {
            block_make(&a->want[i], stream, align);
            block_make(&a->got[i], stream, align);
            place(stream, &a->want[i], &a->right.stream[i]);
            place(stream, &a->got[i], &a->made.stream[i]);
            continue;
        }
        block_make(&a->in[i], stream, align);
        for (size_t r = 0; r < ng_stream_rows(stream, ROWS, inner); r++)
            awkward_row(stream->type, a->in[i].base + r * a->in[i].pitch, ng_stream_width(p, i),
                        3 * r, seed, (unsigned)i);
        place(stream, &a->in[i], &a->right.stream[i]);
        a->made.stream[i] = a->right.stream[i];
    }
}

static void arrays_free(arrays *a, const ng_program *p) {
    for (int i = 0; i < p->streams; i++) {
        if (!p->stream[i].out) block_free(&a->in[i]);
        if (p->stream[i].out) block_free(&a->want[i]);
        if (p->stream[i].out) block_free(&a->got[i]);
    }
}

/* Whether the bits of one element are those of a NaN; the integers have none. */
static bool is_nan(int type, const char *at) {
    double v = ng_type_read(type, at, 0);
    return v != v;
}

static bool same_elements(const char *want, const char *got, int type, size_t n) {
    size_t e = ng_types[type].bytes;
    for (size_t i = 0; i < n; i++) {
        const char *w = want + i * e, *g = got + i * e;
        if (memcmp(w, g, e) == 0 || (is_nan(type, w) && is_nan(type, g))) continue;
        if (getenv("CASE"))
            fprintf(stderr, "element %zu: want %.9g got %.9g\n", i, ng_type_read(type, w, 0),
                    ng_type_read(type, g, 0));
        return false;
    }
    return true;
}

static bool same_row(const ng_program *p, int i, const char *want, const char *got) {
    const ng_stream *s = &p->stream[i];
    ng_field_run runs[NG_MAX_RUNS];
    int n = ng_type_runs(s->type, runs);
    for (size_t at = 0; at < s->row_bytes; at += s->block_bytes)
        for (int r = 0; r < n; r++) {
            const char *w = want + at + runs[r].at, *g = got + at + runs[r].at;
            if (same_elements(w, g, runs[r].type, runs[r].count)) continue;
            if (getenv("CASE")) fprintf(stderr, "at byte %zu\n", at);
            return false;
        }
    return true;
}

/* Rows, and all bytes around them. */
static bool same(const ng_program *p, const arrays *a, int *where) {
    for (int i = 0; i < p->streams; i++) {
        if (!p->stream[i].out) continue;
        const block *w = &a->want[i], *g = &a->got[i];
        *where = i;
        for (char *cw = w->map, *cg = g->map; cw < w->map + w->bytes; cw++, cg++) {
            bool row = cw >= w->base && (size_t)(cw - w->base) % w->pitch == 0;
            if (!row && *cw != *cg) return false;
            if (!row) continue;
            if (!same_row(p, i, cw, cg)) return false;
            cw += p->stream[i].row_bytes - 1;
            cg += p->stream[i].row_bytes - 1;
        }
    }
    return true;
}

static const char *compare(const ng_program *p, const ng_schedule *s, const ng_isa *isa,
                           uint64_t seed, ng_jit *jit) {
    static char why[200];
    ng_object object;
    normgen_fn fn;
    arrays a;
    const ng_cpu *cpu;
    int stream = 0;
    ng_cpu_host(&cpu);
    if (ng_compile(p, s, isa, &object) != NORMGEN_OK) return normgen_error();
    if (!jit) { /* a level of another machine: a leaf without undefined symbols is all there is to
                   see */
        ng_object_fini(&object);
        return NULL;
    }
    normgen_status loaded = ng_jit_load(jit, &object, &fn);
    ng_object_fini(&object);
    if (loaded != NORMGEN_OK) return normgen_error();
    arrays_make(&a, p, s, seed);
    cpu->interp(p, &a.right, 1, ROWS);
    fn(&a.made, 1, ROWS);
    bool equal = same(p, &a, &stream);
    arrays_free(&a, p);
    snprintf(why, sizeof why, "%s differs", ng_roles[p->stream[stream].role].name);
    return equal ? NULL : why;
}

/* ---- schedules ---- */

static void print_program(const ng_program *p) {
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        fprintf(stderr, "%3d %s%s", i, op->scalar ? "." : "", ng_op_name(op->code));
        for (int j = 0; j < ng_op_operands(op); j++) fprintf(stderr, " %d", op->a[j]);
        if (op->stream >= 0) fprintf(stderr, " %s", ng_roles[p->stream[op->stream].role].name);
        fprintf(stderr, " type=%s group=%d per=%d pairing=%d first=%u\n", ng_types[op->type].name,
                op->group, op->per, op->pairing, (unsigned)op->first);
    }
}

/* One draw after the other: in an initializer their order is the compiler's. */
static ng_schedule random_schedule(maker *m, const ng_isa *isa) {
    ng_schedule s = {.vec = (int16_t)isa->max_vec};
    if (s.vec > 128) s.vec = (int16_t)(s.vec >> below(m, s.vec > 256 ? 3 : 2));
    s.block = (int16_t)(1 << below(m, 4));
    s.store = (int16_t)below(m, 4);
    s.prefetch = (int16_t)below(m, 5);
    s.overlap = (int16_t)below(m, 4);
    s.layout = (int16_t)below(m, 2);
    s.visit = (int16_t)below(m, 3);
    s.slice = (int16_t)below(m, 2);
    for (int j = 0; j < m->p.keeps; j++) s.keep[j] = (uint8_t)below(m, 4);
    return s;
}

/* The reductions of a pass have one scope, of whole spans, and there are not too many of them. */
static bool is_sound(const ng_program *p) {
    int n[NG_MAX_PASSES] = {0};
    for (int i = 0; i < p->ops; i++) {
        const ng_op *op = &p->op[i];
        if (!ng_op_reduces(op)) continue;
        int64_t width = op->first ? op->first : p->hidden;
        if (++n[op->level - 1] > NG_MAX_REDUCTIONS || width % p->span) return false;
        if (width != p->width[op->level - 1]) return false;
    }
    return true;
}

static size_t check_program(uint64_t seed, const ng_isa *isa, ng_jit *jit) {
    maker m;
    size_t done = 0;
    inner = inners[seed % 4];
    if (!make(&m, seed)) return 0;
    ng_program_finish(&m.p);
    if (!is_sound(&m.p)) return 0;
    for (int tries = 0; tries < 300 && done < SCHEDULES; tries++) {
        ng_schedule s = random_schedule(&m, isa);
        char text[NG_SCHEDULE_TEXT];
        if (!ng_schedule_legal(&m.p, isa, &s, NULL)) continue;
        ng_schedule_text(&m.p, &s, text);
        if (getenv("CASE") && done == 0) print_program(&m.p);
        if (getenv("CASE")) fprintf(stderr, "%s %s\n", isa->name, text);
        const char *why = compare(&m.p, &s, isa, seed, jit);
        ck_assert_msg(!why, "CASE=%llu %s; %s: %s (hidden %lld, span %d, %d passes)",
                      (unsigned long long)seed, isa->name, text, why, (long long)m.p.hidden,
                      m.p.span, m.p.passes);
        done++;
    }
    return done;
}

START_TEST(random_programs_equal_the_interpreter) {
    const ng_cpu *cpu;
    const ng_isa *isa = &ng_isas[_i];
    const char *only = getenv("CASE");
    size_t kernels = 0, programs = getenv("PROGRAMS") ? strtoul(getenv("PROGRAMS"), NULL, 10) : 40;
    ng_jit *jit = NULL;
    ng_cpu_host(&cpu);
    if (!isa->max_vec) return;
    if (ng_cpu_runs(cpu, isa)) ck_assert_int_eq(ng_jit_new(&jit), NORMGEN_OK);
    for (uint64_t seed = 1; !only && seed <= programs; seed++)
        kernels += check_program(seed + 100000 * (uint64_t)_i, isa, jit);
    if (only) kernels += check_program(strtoull(only, NULL, 10), isa, jit);
    printf("%s: %zu kernels of %zu programs%s\n", isa->name, kernels, programs,
           jit ? "" : " compile");
    if (jit) ng_jit_free(jit);
    ck_assert(only || kernels > programs / 2);
}
END_TEST

int main(void) {
    Suite *s = suite_create("lowering");
    TCase *t = tcase_create("lowering");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, random_programs_equal_the_interpreter, 0, (int)ng_isa_count);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
