/* SPDX-License-Identifier: Apache-2.0 */
/* Every norm in specs/ equals the model's, written in plain C, bit for bit, in bf16, f16 and f32;
 * and every model is there. */
#include "awkward.h"
#include "cpu.h"
#include "interp.h"
#include "plain_models.h"
#include "specfile.h"
#include "types.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* Hundreds of thousands of these are fine; Check's own assertions write to a file each time. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

enum { ROWS = 4, INNER = 2 };

static ng_spec_list presets;

static void read_presets(void) {
    struct dirent **entries;
    char path[512];
    int n = scandir("specs", &entries, NULL, alphasort);
    ck_assert_int_gt(n, 0);
    for (int i = 0; i < n; i++) {
        size_t length = strlen(entries[i]->d_name);
        if (length > 4 && strcmp(entries[i]->d_name + length - 4, ".lua") == 0) {
            snprintf(path, sizeof path, "specs/%s", entries[i]->d_name);
            ck_assert_msg(ng_specfile_read(path, &presets) == NORMGEN_OK, "%s", normgen_error());
        }
        free(entries[i]);
    }
    free(entries);
}
static void free_presets(void) { ng_spec_list_fini(&presets); }

/* The arrays of one preset: of each stream the bytes, and the same as floats. */
typedef struct arrays {
    const normgen_spec *spec;
    ng_program p;
    normgen_bound_args args;
    float *floats[NORMGEN_MAX_STREAMS];
} arrays;

static size_t rows_of(const ng_stream *s) { return ng_stream_rows(s, ROWS, INNER); }

static void arrays_init(arrays *a, const normgen_spec *spec) {
    const double scale[] = {[NG_ROLE_x] = 4, [NG_ROLE_residual] = 8};
    uint64_t state = 99;
    *a = (arrays){.spec = spec, .args.rows_per_outer = INNER};
    ng_program_build(&a->p, spec);
    for (int s = 0; s < a->p.streams; s++) {
        const ng_stream *t = &a->p.stream[s];
        size_t width = ng_stream_width(&a->p, s), n = rows_of(t) * width;
        void *bytes = calloc(n + 1, ng_types[t->type].bytes);
        a->floats[s] = calloc(n + 1, sizeof(float));
        ck_assert(bytes && a->floats[s]);
        a->args.stream[s] = ng_stream_place(t, bytes, width * ng_types[t->type].bytes, INNER);
        double by = t->role <= NG_ROLE_residual ? scale[t->role] : 1;
        for (size_t i = 0; i < n && !t->out; i++) {
            ng_type_write(t->type, bytes, i, by * (double)(int64_t)awkward_next(&state) * 0x1p-63);
            a->floats[s][i] = (float)ng_type_read(t->type, bytes, i);
        }
    }
}

static void arrays_fini(arrays *a) {
    for (int s = 0; s < a->p.streams; s++) {
        free(a->args.stream[s].base);
        free(a->floats[s]);
    }
}

/* A stream's row of floats for row r of the call, or NULL. */
static float *row_of(const arrays *a, ng_role role, size_t r) {
    for (int s = 0; s < a->p.streams; s++) {
        if (a->p.stream[s].role != role) continue;
        size_t width = ng_stream_width(&a->p, s), rows = a->p.stream[s].rows;
        size_t data = rows == NG_ONE     ? 0
                      : rows == NG_OUTER ? r / INNER
                      : rows == NG_INNER ? r % INNER
                                         : r;
        return a->floats[s] + data * width;
    }
    return NULL;
}

static plain_row row_for(const arrays *a, const plain_model *m, int type, size_t r) {
    return (plain_row){
        .type = type,
        .n = m->hidden,
        .eps = (float)m->eps,
        .x = row_of(a, NG_ROLE_x, r),
        .weight = row_of(a, NG_ROLE_weight, r),
        .bias = row_of(a, NG_ROLE_bias, r),
        .residual = row_of(a, NG_ROLE_residual, r),
        .gate = row_of(a, NG_ROLE_gate, r),
        .mod_scale = row_of(a, NG_ROLE_mod_scale, r),
        .mod_shift = row_of(a, NG_ROLE_mod_shift, r),
        .xgate = row_of(a, NG_ROLE_xgate, r),
        .post_weight = row_of(a, NG_ROLE_post_weight, r),
        .after = row_of(a, NG_ROLE_after, r),
        .weight2 = row_of(a, NG_ROLE_weight2, r),
        .bias2 = row_of(a, NG_ROLE_bias2, r),
        .cos = row_of(a, NG_ROLE_cos, r),
        .sin = row_of(a, NG_ROLE_sin, r),
        .y = row_of(a, NG_ROLE_y, r),
        .sum = row_of(a, NG_ROLE_sum, r),
        .y2 = row_of(a, NG_ROLE_y2, r),
    };
}

static void compare(const plain_model *m, const char *name, const normgen_spec *spec, int type) {
    arrays a;
    const ng_cpu *cpu;
    ck_assert_int_eq(ng_cpu_host(&cpu), NORMGEN_OK);
    ck_assert_msg(spec->hidden == (int64_t)m->hidden, "%s: hidden", name);
    arrays_init(&a, spec);
    cpu->interp(&a.p, &a.args, 0, ROWS);
    for (size_t r = 0; r < ROWS; r++) {
        plain_row row = row_for(&a, m, type, r);
        m->run(&row);
    }
    for (int s = 0; s < a.p.streams; s++) {
        const ng_stream *t = &a.p.stream[s];
        size_t n = rows_of(t) * ng_stream_width(&a.p, s);
        for (size_t i = 0; i < n && t->out; i++) {
            float got = (float)ng_type_read(t->type, a.args.stream[s].base, i);
            REQUIRE(ng_bits32(got) == ng_bits32(a.floats[s][i]),
                    "%s: %s, element %zu is %a, the model has %a", name, ng_roles[t->role].name, i,
                    (double)got, (double)a.floats[s][i]);
        }
    }
    arrays_fini(&a);
}

static const struct {
    const char *suffix;
    int type;
} types[] = {{"", NORMGEN_BF16}, {"_f16", NORMGEN_F16}, {"_f32", NORMGEN_F32}};

START_TEST(presets_equal_the_models_in_plain_c) {
    size_t compared = 0;
    for (const plain_model *m = plain_models; m->model; m++)
        for (size_t t = 0; t < 3; t++) {
            char name[80];
            size_t i = 0;
            snprintf(name, sizeof name, "%s%s__%s", m->model, types[t].suffix, m->norm);
            while (i < presets.count && strcmp(presets.items[i].name, name) != 0) i++;
            ck_assert_msg(i < presets.count, "specs/ has no %s", name);
            compare(m, name, &presets.items[i].spec, types[t].type);
            compared++;
        }
    printf("%zu presets equal their models\n", compared);
    ck_assert_msg(compared == presets.count, "%zu of %zu presets have plain C", compared,
                  presets.count);
}
END_TEST

int main(void) {
    Suite *s = suite_create("presets");
    TCase *t = tcase_create("presets");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, read_presets, free_presets);
    tcase_add_test(t, presets_equal_the_models_in_plain_c);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
