/* SPDX-License-Identifier: Apache-2.0 */
/* The table of spec fields, and everything that follows from it: text, defaults, rules. */
#include "spec.h"

#include "decimal.h"
#include "error.h"
#include "types.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ng_word kind_words[] = {{"rms", NORMGEN_RMS},
                                     {"layer", NORMGEN_LAYER},
                                     {"l2", NORMGEN_L2},
                                     {"dyt", NORMGEN_DYT},
                                     {NULL, 0}};
#define X(name, id, ...) {#name, id},
static const ng_word float_words[] = {NG_FLOATS(X){NULL, 0}};
static const ng_word optional_words[] = {{"none", NORMGEN_NONE}, NG_FLOATS(X){NULL, 0}};
static const ng_word input_words[] = {NG_FLOATS(X){"i8", NORMGEN_I8}, {NULL, 0}};
#define FORMAT(name, id, elements, bytes) {#name, id},
static const ng_word output_words[] = {NG_TYPES(X) NG_FORMATS(FORMAT){NULL, 0}};
#undef FORMAT
#undef X
static const ng_word rounding_words[] = {{"f32", NORMGEN_ROUNDING_F32},
                                         {"llama", NORMGEN_ROUNDING_LLAMA},
                                         {"gated", NORMGEN_ROUNDING_GATED},
                                         {NULL, 0}};
static const ng_word stat_of_words[] = {{"rounded", NORMGEN_STAT_ROUNDED},
                                        {"exact", NORMGEN_STAT_EXACT},
                                        {"stat_exact", NORMGEN_STAT_SPLIT},
                                        {NULL, 0}};
static const ng_word variance_words[] = {
    {"two_pass", NORMGEN_TWO_PASS}, {"shifted", NORMGEN_SHIFTED}, {NULL, 0}};
static const ng_word range_words[] = {
    {"plain", NORMGEN_RANGE_PLAIN}, {"scaled", NORMGEN_RANGE_SCALED}, {NULL, 0}};
static const ng_word compute_words[] = {{"f32", NORMGEN_F32}, {"f64", NORMGEN_F64}, {NULL, 0}};
static const ng_word lanes_words[] = {{"16", 16},   {"32", 32},   {"64", 64},
                                      {"128", 128}, {"256", 256}, {NULL, 0}};
static const ng_word flag_words[] = {{"no", 0}, {"yes", 1}, {NULL, 0}};
static const ng_word eps_mode_words[] = {
    {"add", NORMGEN_EPS_ADD}, {"max", NORMGEN_EPS_MAX}, {NULL, 0}};
static const ng_word gate_act_words[] = {{"silu", NORMGEN_SILU},
                                         {"sigmoid", NORMGEN_SIGMOID},
                                         {"gelu", NORMGEN_GELU},
                                         {"gelu_tanh", NORMGEN_GELU_TANH},
                                         {NULL, 0}};
static const ng_word gate_at_words[] = {
    {"after", NORMGEN_GATE_AFTER}, {"before", NORMGEN_GATE_BEFORE}, {NULL, 0}};
static const ng_word rows_words[] = {{"each", NORMGEN_ROWS_EACH},
                                     {"outer", NORMGEN_ROWS_OUTER},
                                     {"inner", NORMGEN_ROWS_INNER},
                                     {"one", NORMGEN_ROWS_ONE},
                                     {NULL, 0}};
static const ng_word quant_words[] = {{"none", NORMGEN_QUANT_NONE},
                                      {"static", NORMGEN_QUANT_STATIC},
                                      {"row", NORMGEN_QUANT_ROW},
                                      {"group32", NORMGEN_QUANT_GROUP32},
                                      {"group64", NORMGEN_QUANT_GROUP64},
                                      {"group128", NORMGEN_QUANT_GROUP128},
                                      {NULL, 0}};
static const ng_word rope_words[] = {{"none", NORMGEN_ROPE_NONE},
                                     {"half", NORMGEN_ROPE_HALF},
                                     {"interleaved", NORMGEN_ROPE_INTERLEAVED},
                                     {NULL, 0}};
static const ng_word stats_words[] = {{"whole", NORMGEN_STATS_WHOLE},
                                      {"partial", NORMGEN_STATS_PARTIAL},
                                      {"apply", NORMGEN_STATS_APPLY},
                                      {NULL, 0}};

static bool is(int32_t type) { return type != NORMGEN_NONE; }
static bool is_rms(const normgen_spec *s) { return s->kind == NORMGEN_RMS; }
static bool is_layer(const normgen_spec *s) { return s->kind == NORMGEN_LAYER; }
static bool is_l2(const normgen_spec *s) { return s->kind == NORMGEN_L2; }
static bool measures(const normgen_spec *s) { return s->kind != NORMGEN_DYT; }
static bool has_residual(const normgen_spec *s) { return is(s->residual); }
static bool has_sum(const normgen_spec *s) { return is(s->sum); }
static bool has_gate(const normgen_spec *s) { return is(s->gate); }
static bool has_y2(const normgen_spec *s) { return is(s->y2); }
static bool has_weight2(const normgen_spec *s) { return is(s->weight2); }
static bool has_rope(const normgen_spec *s) { return s->rope != NORMGEN_ROPE_NONE; }
static bool has_factor(const normgen_spec *s) {
    return is(s->weight) || is(s->weight2) || is(s->post_weight);
}
static bool has_affine(const normgen_spec *s) {
    return has_factor(s) || is(s->bias) || is(s->bias2);
}
static bool is_narrow(const normgen_spec *s) { return s->y >= NORMGEN_I8 && s->y <= NORMGEN_E5M2; }

#define AT(member) offsetof(normgen_spec, member)
#define WORD(member, words, always, applies, needs, help)                                          \
    {#member, NG_FIELD_WORD, AT(member), words, 0, 0, 0, always, applies, needs, help}
#define OPTIONAL(member, applies, needs, help)                                                     \
    WORD(member, optional_words, false, applies, needs, help)
#define INTEGER(member, least, most, standard, always, applies, needs, help)                       \
    {#member,  NG_FIELD_INTEGER, AT(member), NULL,  least, most,                                   \
     standard, always,           applies,    needs, help}
#define DECIMAL(member, standard, always, applies, needs, help)                                    \
    {#member, NG_FIELD_DECIMAL, AT(member), NULL, 0, 0, standard, always, applies, needs, help}
const ng_field ng_fields[NG_FIELD_COUNT] = {
    WORD(kind, kind_words, true, NULL, NULL,
         "rms: x/rms(x); layer: (x-mean)/std(x); l2: x/|x|; dyt: tanh(alpha x)"),
    INTEGER(hidden, 1, NG_HIDDEN_MAX, 0, true, NULL, NULL, "elements of a row"),
    DECIMAL(eps, 0, true, NULL, NULL, "added to the mean square or variance"),
    WORD(x, input_words, true, NULL, NULL, "element type of the input; i8 has a scale per row"),
    WORD(y, output_words, true, NULL, NULL, "element type of the output (default: as x)"),
    WORD(weight, optional_words, true, NULL, NULL,
         "element type of the weight, gamma (default: as x)"),
    OPTIONAL(bias, NULL, NULL, "element type of the bias, beta"),
    OPTIONAL(residual, NULL, NULL, "element type of a residual added to x before the norm"),
    OPTIONAL(sum, has_residual, "residual", "element type in which x + residual is written out"),
    DECIMAL(offset, 0, false, has_factor, "weight", "weight + offset is the factor"),
    WORD(rounding, rounding_words, false, NULL, NULL,
         "llama: round to the type of x before the weight; gated: also before the gate"),
    WORD(stat_of, stat_of_words, false, has_sum, "sum", "which sum is normalized and measured"),
    WORD(variance, variance_words, false, is_layer, "kind=layer",
         "two_pass, or one pass around the first element"),
    WORD(range, range_words, false, measures, "statistics",
         "scaled: rows near the overflow limit of the type"),
    WORD(compute, compute_words, false, NULL, NULL,
         "type of all arithmetic (default: f64 if x or residual is)"),
    WORD(lanes, lanes_words, false, measures, "statistics",
         "partial sums of a row (default 64; 32 when compute is f64)"),
    WORD(mean, flag_words, false, is_layer, "kind=layer", "save the mean of each row"),
    WORD(rstd, flag_words, false, measures, "statistics",
         "save 1/sqrt(variance + eps) of each row"),
    INTEGER(heads, 1, 1 << 20, 1, false, has_affine, "weight or bias",
            "rows of weight and bias, taken in turn"),
    INTEGER(groups, 1, NG_HIDDEN_MAX, 1, false, measures, "statistics",
            "parts of a row that are normalized apart"),
    INTEGER(stat_first, 0, NG_HIDDEN_MAX, 0, false, is_rms, "kind=rms",
            "elements that are measured, 0: all"),
    WORD(eps_mode, eps_mode_words, false, is_l2, "kind=l2",
         "add: 1/sqrt(q + eps); max: 1/max(sqrt(q), eps)"),
    OPTIONAL(gate, NULL, NULL, "element type of a gate z"),
    WORD(gate_act, gate_act_words, false, has_gate, "gate", "what the gate does to z"),
    WORD(gate_at, gate_at_words, false, has_gate, "gate",
         "after: norm(x) * act(z); before: norm(x * act(z))"),
    OPTIONAL(modulate, NULL, NULL,
             "type of a scale and a shift per sample: y * (1 + scale) + shift"),
    OPTIONAL(xbias, NULL, NULL, "element type of a bias added to x first"),
    DECIMAL(multiplier, 1, false, NULL, NULL, "factor of x before the residual is added"),
    OPTIONAL(xgate, has_residual, "residual", "type of a factor of x per sample: residual + g * x"),
    WORD(residual_rows, rows_words, false, has_residual, "residual",
         "which row of the residual a row adds"),
    OPTIONAL(after, NULL, NULL, "element type of a residual added to the result"),
    OPTIONAL(post_weight, has_sum, "sum", "weight of a norm of x, before the residual is added"),
    OPTIONAL(y2, NULL, NULL, "element type of a second output"),
    OPTIONAL(weight2, has_y2, "y2", "element type of the weight of y2"),
    OPTIONAL(bias2, has_weight2, "weight2", "element type of the bias of y2"),
    WORD(quant, quant_words, false, is_narrow, "y=i8 u8 e4m3 e5m2", "scale of y"),
    WORD(rope, rope_words, false, NULL, NULL, "rotation of the result by cos and sin per token"),
    WORD(rope_type, float_words, false, has_rope, "rope", "element type of cos and sin"),
    WORD(stats, stats_words, false, measures, "statistics",
         "partial: statistics of a slice; apply: they are inputs"),
};

static int32_t *word_of(normgen_spec *s, const ng_field *f) {
    return (int32_t *)(void *)((char *)s + f->offset);
}
static int64_t *integer_of(normgen_spec *s, const ng_field *f) {
    return (int64_t *)(void *)((char *)s + f->offset);
}
static double *decimal_of(normgen_spec *s, const ng_field *f) {
    return (double *)(void *)((char *)s + f->offset);
}

const ng_field *ng_field_find(const char *name, size_t length) {
    for (size_t i = 0; i < NG_FIELD_COUNT; i++)
        if (strlen(ng_fields[i].name) == length && memcmp(ng_fields[i].name, name, length) == 0)
            return &ng_fields[i];
    return NULL;
}

void ng_field_allowed(const ng_field *field, char *text, size_t size) {
    if (field->form == NG_FIELD_INTEGER) {
        snprintf(text, size, "a whole number from %lld to %lld", (long long)field->least,
                 (long long)field->most);
        return;
    }
    if (field->form == NG_FIELD_DECIMAL) {
        snprintf(text, size, "a finite number%s",
                 field->offset == AT(eps) ? " >= 0"
                 : field->standard != 0   ? " other than 0"
                                          : "");
        return;
    }
    size_t at = 0;
    text[0] = 0;
    for (const ng_word *w = field->words; w->text && at < size; w++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", at ? " " : "", w->text);
}

static normgen_status bad_value(const ng_field *field, const char *value) {
    char allowed[128];
    ng_field_allowed(field, allowed, sizeof allowed);
    return ng_fail(NORMGEN_E_SPEC, "spec field %s: '%.80s' is not allowed; it takes %s",
                   field->name, value, allowed);
}

normgen_status ng_spec_set(normgen_spec *spec, const ng_field *field, const char *value) {
    double d;
    int64_t i;
    switch (field->form) {
    case NG_FIELD_WORD:
        for (const ng_word *w = field->words; w->text; w++)
            if (strcmp(w->text, value) == 0) {
                *word_of(spec, field) = w->value;
                return NORMGEN_OK;
            }
        return bad_value(field, value);
    case NG_FIELD_INTEGER:
        if (!ng_integer_parse(value, &i) || i < field->least || i > field->most)
            return bad_value(field, value);
        *integer_of(spec, field) = i;
        return NORMGEN_OK;
    default:
        if (!ng_decimal_parse(value, &d) || !isfinite(d) || (d == 0 && field->standard != 0))
            return bad_value(field, value);
        *decimal_of(spec, field) = d;
        return NORMGEN_OK;
    }
}

static void fill_default(normgen_spec *s, const ng_field *f) {
    bool optional = f->words == optional_words, number = f->form == NG_FIELD_DECIMAL;
    if (optional && *word_of(s, f) == NORMGEN_DEFAULT) *word_of(s, f) = NORMGEN_NONE;
    if (number && *decimal_of(s, f) == 0) *decimal_of(s, f) = f->standard; /* -0 too: one text */
    if (f->form == NG_FIELD_INTEGER && *integer_of(s, f) == 0)
        *integer_of(s, f) = (int64_t)f->standard;
}

static void fill_defaults(normgen_spec *s) {
    if (s->x == NORMGEN_DEFAULT) s->x = NORMGEN_F32;
    if (s->y == NORMGEN_DEFAULT) s->y = ng_spec_plain(s);
    if (s->weight == NORMGEN_DEFAULT) s->weight = ng_spec_plain(s);
    if (s->rope_type == NORMGEN_DEFAULT) s->rope_type = NORMGEN_F32;
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) fill_default(s, &ng_fields[i]);
    if (s->stat_first == s->hidden) s->stat_first = 0;
    bool wide = s->x == NORMGEN_F64 || s->residual == NORMGEN_F64;
    if (s->compute == NORMGEN_DEFAULT) s->compute = wide ? NORMGEN_F64 : NORMGEN_F32;
    if (s->lanes == 0) s->lanes = s->compute == NORMGEN_F64 ? 32 : 64;
}

/* Whether the field has the value it would get by itself. */
static bool is_default(const normgen_spec *s, const ng_field *f) {
    normgen_spec bare = *s, full = *s;
    if (f->form == NG_FIELD_WORD) {
        *word_of(&bare, f) = 0;
        fill_defaults(&bare);
        return *word_of(&bare, f) == *word_of(&full, f);
    }
    if (f->form == NG_FIELD_INTEGER) return (double)*integer_of(&full, f) == f->standard;
    return *decimal_of(&full, f) == f->standard;
}

static normgen_status check_value(normgen_spec *s, const ng_field *f) {
    char text[NG_DECIMAL_TEXT];
    if (f->form == NG_FIELD_WORD) {
        for (const ng_word *w = f->words; w->text; w++)
            if (w->value == *word_of(s, f)) return NORMGEN_OK;
        snprintf(text, sizeof text, "%d", *word_of(s, f));
        return bad_value(f, text);
    }
    if (f->form == NG_FIELD_INTEGER) {
        int64_t v = *integer_of(s, f);
        if (v >= f->least && v <= f->most) return NORMGEN_OK;
        snprintf(text, sizeof text, "%lld", (long long)v);
        return bad_value(f, text);
    }
    double v = *decimal_of(s, f);
    double limit = s->compute == NORMGEN_F32 ? (double)FLT_MAX : DBL_MAX;
    if (isfinite(v) && (f->offset != AT(eps) || v >= 0)) {
        if (fabs(v) <= limit) return NORMGEN_OK;
        ng_decimal_print(v, text);
        return ng_fail(NORMGEN_E_SPEC,
                       "spec field %s: %s does not fit compute=f32; use compute=f64", f->name,
                       text);
    }
    ng_decimal_print(v, text);
    return bad_value(f, text);
}

#define VALUE_TEXT (NG_DECIMAL_TEXT + 16)

/* The value of a field as its text has it. */
static const char *value_text(normgen_spec *s, const ng_field *f, char text[VALUE_TEXT]) {
    if (f->form == NG_FIELD_WORD) {
        for (const ng_word *w = f->words; w->text; w++)
            if (w->value == *word_of(s, f)) return w->text;
    } else if (f->form == NG_FIELD_INTEGER) {
        snprintf(text, VALUE_TEXT, "%lld", (long long)*integer_of(s, f));
    } else {
        ng_decimal_print(*decimal_of(s, f), text);
    }
    return text;
}

static normgen_status bad_pair(normgen_spec *s, const ng_rule *rule) {
    const ng_field *a = ng_field_find(rule->a, strlen(rule->a));
    const ng_field *b = ng_field_find(rule->b, strlen(rule->b));
    char ta[VALUE_TEXT], tb[VALUE_TEXT];
    return ng_fail(NORMGEN_E_SPEC, "spec fields %s=%s and %s=%s do not go together: %s", a->name,
                   value_text(s, a, ta), b->name, value_text(s, b, tb), rule->sentence);
}

normgen_status ng_spec_resolve_given(const normgen_spec *in, uint64_t given, normgen_spec *out) {
    if (!in) return ng_fail(NORMGEN_E_ARGUMENT, "spec is a null pointer");
    if (in->struct_size < offsetof(normgen_spec, x) || in->struct_size > sizeof *in)
        return ng_fail(
            NORMGEN_E_SPEC,
            "spec.struct_size is %zu; this library knows %zu to %zu: use normgen_rms() or "
            "normgen_layer(), and a library at least as new as the header",
            in->struct_size, offsetof(normgen_spec, x), sizeof *in);
    normgen_spec s = {0};
    memcpy(&s, in, in->struct_size);
    s.struct_size = sizeof s;
    fill_defaults(&s);
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        normgen_status st = check_value(&s, f);
        if (st != NORMGEN_OK) return st;
        if (f->applies && !f->applies(&s) && (!is_default(&s, f) || (given >> i & 1u)))
            return ng_fail(NORMGEN_E_SPEC,
                           "spec field %s does not apply: it needs %s; leave it out", f->name,
                           f->needs);
    }
    for (const ng_rule *r = ng_rules; r->a; r++)
        if (r->broken(&s)) return bad_pair(&s, r);
    *out = s;
    return NORMGEN_OK;
}

normgen_status ng_spec_resolve(const normgen_spec *in, normgen_spec *out) {
    return ng_spec_resolve_given(in, 0, out);
}

normgen_spec ng_spec_blank(void) {
    normgen_spec s = {0};
    s.struct_size = sizeof s;
    s.eps = (double)NAN;
    return s;
}

#define BLANKS " \t\r\n"

normgen_status normgen_spec_parse(normgen_spec *spec, const char *text) {
    if (!spec || !text)
        return ng_fail(NORMGEN_E_ARGUMENT, "normgen_spec_parse: %s is a null pointer",
                       spec ? "text" : "spec");
    normgen_spec s = ng_spec_blank();
    uint64_t given = 0;
    const char *p = text + strspn(text, BLANKS);
    if (!*p)
        return ng_fail(NORMGEN_E_SPEC,
                       "spec text is empty; write for example 'rms hidden=4096 eps=1e-05'");
    for (bool first = true; *p; first = false) {
        size_t length = strcspn(p, BLANKS), name = strcspn(p, "=" BLANKS);
        const ng_field *f = first ? &ng_fields[0] : ng_field_find(p, name);
        size_t skip = first ? 0 : name + 1;
        char value[64];
        if (!first && (name == length || !f))
            return ng_fail(NORMGEN_E_SPEC, "spec text: '%.*s' is not a known FIELD=VALUE",
                           (int)(length < 80 ? length : 80), p);
        if (length - skip >= sizeof value)
            return ng_fail(NORMGEN_E_SPEC, "spec field %s: a value of %zu characters is too long",
                           f->name, length - skip);
        memcpy(value, p + skip, length - skip);
        value[length - skip] = 0;
        if (!first && f == &ng_fields[0])
            return ng_fail(NORMGEN_E_SPEC,
                           "spec text: the kind stands first as a bare word, not as kind=%s",
                           value);
        uint64_t bit = (uint64_t)1 << (f - ng_fields);
        if (given & bit) return ng_fail(NORMGEN_E_SPEC, "spec field %s is given twice", f->name);
        given |= bit;
        normgen_status st = ng_spec_set(&s, f, value);
        if (st != NORMGEN_OK) return st;
        p += length;
        p += strspn(p, BLANKS);
    }
    for (size_t i = 1; i <= 2; i++)
        if (!(given >> i & 1u))
            return ng_fail(NORMGEN_E_SPEC, "spec text lacks %s=…, which every spec needs",
                           ng_fields[i].name);
    return ng_spec_resolve_given(&s, given, spec);
}

void ng_spec_text(const normgen_spec *spec, char *text) {
    normgen_spec s = *spec;
    size_t at = 0;
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        char value[VALUE_TEXT];
        if (!f->always && is_default(&s, f)) continue;
        at += (size_t)snprintf(text + at, NORMGEN_SPEC_TEXT - at, i ? " %s=%s" : "%.0s%s", f->name,
                               value_text(&s, f, value));
    }
}

normgen_status normgen_spec_print(const normgen_spec *spec, char *text, size_t size) {
    if (!text || size < NORMGEN_SPEC_TEXT)
        return ng_fail(NORMGEN_E_ARGUMENT,
                       "normgen_spec_print: the buffer has %zu bytes, it needs %d", text ? size : 0,
                       NORMGEN_SPEC_TEXT);
    normgen_spec s;
    normgen_status st = ng_spec_resolve(spec, &s);
    if (st == NORMGEN_OK) ng_spec_text(&s, text);
    return st;
}

bool ng_spec_same(const normgen_spec *a, const normgen_spec *b) {
    char ta[NORMGEN_SPEC_TEXT], tb[NORMGEN_SPEC_TEXT];
    ng_spec_text(a, ta);
    ng_spec_text(b, tb);
    return strcmp(ta, tb) == 0;
}

void ng_spec_list_fini(ng_spec_list *list) {
    free(list->items);
    *list = (ng_spec_list){0};
}

normgen_status ng_spec_list_add(ng_spec_list *list, const char *name, const normgen_spec *spec) {
    if ((list->count & (list->count - 1)) == 0) { /* the capacity is the next power of two */
        size_t capacity = list->count ? 2 * list->count : 1;
        ng_named_spec *grown = realloc(list->items, capacity * sizeof *grown);
        if (!grown) return ng_fail(NORMGEN_E_MEMORY, "out of memory for %zu specs", capacity);
        list->items = grown;
    }
    ng_named_spec *item = &list->items[list->count++];
    snprintf(item->name, sizeof item->name, "%s", name ? name : "");
    item->spec = *spec;
    return NORMGEN_OK;
}
