/* SPDX-License-Identifier: Apache-2.0 */
/* Which spec fields do not go together: one table of pairs, with what would be right. What a single
 * field takes, and what it needs, stands in spec.c. */
#include "spec.h"

#include "types.h"

static bool is(int32_t type) { return type != NORMGEN_NONE; }
static bool is_rms(const normgen_spec *s) { return s->kind == NORMGEN_RMS; }
static bool is_dyt(const normgen_spec *s) { return s->kind == NORMGEN_DYT; }
static bool has_sum(const normgen_spec *s) { return is(s->sum); }
static bool has_gate(const normgen_spec *s) { return is(s->gate); }
static bool has_y2(const normgen_spec *s) { return is(s->y2); }
static bool has_weight2(const normgen_spec *s) { return is(s->weight2); }
static bool has_rope(const normgen_spec *s) { return s->rope != NORMGEN_ROPE_NONE; }
static bool is_code(const normgen_spec *s) { return !ng_type_is_float(s->y); }

int ng_spec_group(const normgen_spec *s) {
    static const int group[] = {0, 0, 0, 32, 64, 128};
    return group[s->quant];
}

static bool has(int64_t many) { return many > 1; }

#define BROKEN(name, condition)                                                                    \
    static bool name(const normgen_spec *s) { return condition; }
#define PARTIAL(s) ((s)->stats == NORMGEN_STATS_PARTIAL)
#define APPLY(s) ((s)->stats == NORMGEN_STATS_APPLY)
#define BLOCKED(s) ((s)->y == NORMGEN_Q8_0 || (s)->y == NORMGEN_Q8_1)
BROKEN(groups_cut, s->hidden % s->groups != 0)
BROKEN(groups_heads, has(s->groups) && has(s->heads))
BROKEN(groups_modulate, has(s->groups) && is(s->modulate))
BROKEN(groups_xgate, has(s->groups) && is(s->xgate))
BROKEN(groups_rope, has(s->groups) && has_rope(s))
BROKEN(groups_first, has(s->groups) && s->stat_first)
BROKEN(groups_stats, has(s->groups) && s->stats)
BROKEN(groups_residual, has(s->groups) && (s->residual_rows == NORMGEN_ROWS_OUTER ||
                                           s->residual_rows == NORMGEN_ROWS_INNER))
BROKEN(groups_quant, has(s->groups) && s->quant == NORMGEN_QUANT_ROW)
BROKEN(heads_residual, has(s->heads) && s->residual_rows == NORMGEN_ROWS_INNER)
BROKEN(first_long, s->stat_first > s->hidden)
BROKEN(first_scaled, s->stat_first && s->range)
BROKEN(first_post, s->stat_first &&is(s->post_weight))
BROKEN(first_stats, s->stat_first && s->stats)
BROKEN(bias_max, is(s->bias) && s->eps_mode == NORMGEN_EPS_MAX)
BROKEN(dyt_eps, is_dyt(s) && s->eps != 0)
BROKEN(dyt_stat_of, is_dyt(s) && s->stat_of == NORMGEN_STAT_SPLIT)
BROKEN(post_kind, is(s->post_weight) && !is_rms(s))
BROKEN(post_range, is(s->post_weight) && s->range)
BROKEN(post_gate, is(s->post_weight) && s->gate_at == NORMGEN_GATE_BEFORE)
BROKEN(post_xgate, is(s->post_weight) && is(s->xgate))
BROKEN(post_stats, is(s->post_weight) && s->stats)
BROKEN(shifted_gate, s->variance == NORMGEN_SHIFTED && s->gate_at == NORMGEN_GATE_BEFORE)
BROKEN(gated_gate, s->rounding == NORMGEN_ROUNDING_GATED && !has_gate(s))
BROKEN(gated_at, s->rounding == NORMGEN_ROUNDING_GATED && s->gate_at == NORMGEN_GATE_BEFORE)
BROKEN(gated_weight, s->rounding == NORMGEN_ROUNDING_GATED && !is(s->weight))
BROKEN(gated_modulate, s->rounding == NORMGEN_ROUNDING_GATED && is(s->modulate))
BROKEN(i8_rounding, s->x == NORMGEN_I8 && s->rounding != NORMGEN_ROUNDING_F32)
BROKEN(i8_post, s->x == NORMGEN_I8 && is(s->post_weight))
BROKEN(integer_quant, (s->y == NORMGEN_I8 || s->y == NORMGEN_U8) && !s->quant)
BROKEN(u8_group, s->y == NORMGEN_U8 && ng_spec_group(s))
BROKEN(group_cut, ng_spec_group(s) && ng_spec_width(s) % ng_spec_group(s) != 0)
BROKEN(block_cut, BLOCKED(s) && ng_spec_width(s) % 32 != 0)
BROKEN(y2_twin, has_y2(s) && !has_weight2(s) && !is_code(s))
BROKEN(weight2_gate, has_weight2(s) && has_gate(s) && s->gate_at == NORMGEN_GATE_AFTER)
BROKEN(weight2_modulate, has_weight2(s) && is(s->modulate))
BROKEN(weight2_rope, has_weight2(s) && has_rope(s))
BROKEN(weight2_after, has_weight2(s) && is(s->after))
BROKEN(rope_odd, has_rope(s) && s->hidden % 2 != 0)
BROKEN(rope_long, has_rope(s) && s->hidden > 256)
BROKEN(rope_after, has_rope(s) && is(s->after))
BROKEN(partial_eps, PARTIAL(s) && s->eps != 0)
BROKEN(partial_y, PARTIAL(s) && s->y != ng_spec_plain(s))
BROKEN(partial_weight, PARTIAL(s) && is(s->weight))
BROKEN(partial_bias, PARTIAL(s) && is(s->bias))
BROKEN(partial_sum, PARTIAL(s) && has_sum(s))
BROKEN(partial_rounding, PARTIAL(s) && s->rounding)
BROKEN(partial_range, PARTIAL(s) && s->range)
BROKEN(partial_mean, PARTIAL(s) && s->mean)
BROKEN(partial_rstd, PARTIAL(s) && s->rstd)
BROKEN(partial_eps_mode, PARTIAL(s) && s->eps_mode)
BROKEN(partial_gate, PARTIAL(s) && has_gate(s) && s->gate_at == NORMGEN_GATE_AFTER)
BROKEN(partial_modulate, PARTIAL(s) && is(s->modulate))
BROKEN(partial_after, PARTIAL(s) && is(s->after))
BROKEN(partial_y2, PARTIAL(s) && has_y2(s))
BROKEN(partial_rope, PARTIAL(s) && has_rope(s))
BROKEN(apply_eps, APPLY(s) && s->eps != 0)
BROKEN(apply_mean, APPLY(s) && s->mean)
BROKEN(apply_rstd, APPLY(s) && s->rstd)
BROKEN(apply_variance, APPLY(s) && s->variance)
BROKEN(apply_range, APPLY(s) && s->range)
BROKEN(apply_eps_mode, APPLY(s) && s->eps_mode)
BROKEN(apply_stat_of, APPLY(s) && s->stat_of == NORMGEN_STAT_SPLIT)

#define TWO_LEVELS "groups take both levels of rows; leave one of the two out"
#define ONLY_STATISTICS "stats=partial writes statistics and nothing else; leave it out"
#define GIVEN "stats=apply takes its statistics from outside; leave it out"
const ng_rule ng_rules[] = {
    {"hidden", "groups", groups_cut, "hidden must be a multiple of groups"},
    {"groups", "heads", groups_heads, TWO_LEVELS},
    {"groups", "modulate", groups_modulate, TWO_LEVELS},
    {"groups", "xgate", groups_xgate, TWO_LEVELS},
    {"groups", "rope", groups_rope, TWO_LEVELS},
    {"groups", "residual_rows", groups_residual, TWO_LEVELS},
    {"groups", "stat_first", groups_first, "each group is measured whole; leave one out"},
    {"groups", "stats", groups_stats, "slices are cut from whole rows; leave one out"},
    {"groups", "quant", groups_quant,
     "a scale per row would be one per group of the norm; use static or groupN"},
    {"heads", "residual_rows", heads_residual, "both say what an inner index is"},
    {"stat_first", "hidden", first_long, "there are not so many elements; stat_first <= hidden"},
    {"stat_first", "range", first_scaled, "the scale is that of the whole row; use range=plain"},
    {"stat_first", "post_weight", first_post, "both norms measure the whole row; leave one out"},
    {"stat_first", "stats", first_stats, "slices are measured whole; leave one out"},
    {"bias", "eps_mode", bias_max, "eps_mode=max has no affine part with a bias; use add"},
    {"eps", "kind", dyt_eps, "dyt has no statistics; eps must be 0"},
    {"stat_of", "kind", dyt_stat_of, "dyt has no statistics; use rounded or exact"},
    {"post_weight", "kind", post_kind, "the norm of the branch is an RMSNorm; use kind=rms"},
    {"post_weight", "range", post_range, "two norms would need two scales; use range=plain"},
    {"post_weight", "gate_at", post_gate,
     "the gate would shape what the first norm measures; "
     "use gate_at=after"},
    {"post_weight", "xgate", post_xgate, "the branch is normalized or gated, not both"},
    {"post_weight", "stats", post_stats, "two norms have two statistics; use stats=whole"},
    {"variance", "gate_at", shifted_gate,
     "the first element would need a gate of its own; use two_pass"},
    {"rounding", "gate", gated_gate, "rounding=gated rounds before the gate; give gate=TYPE"},
    {"rounding", "gate_at", gated_at,
     "rounding=gated rounds before a gate that comes after the "
     "norm; use gate_at=after"},
    {"rounding", "weight", gated_weight,
     "rounding=gated rounds to the type of the weight; give "
     "weight=TYPE"},
    {"rounding", "modulate", gated_modulate,
     "the gate comes right after the weight; use another "
     "rounding"},
    {"x", "rounding", i8_rounding, "a normalized value is no code; use rounding=f32 with x=i8"},
    {"x", "post_weight", i8_post, "the branch would be rounded to codes; use another type for x"},
    {"y", "quant", integer_quant, "integer codes need a scale; give quant=static, row or groupN"},
    {"y", "quant", u8_group, "groups are symmetric; use y=i8"},
    {"hidden", "quant", group_cut, "a row (hidden/groups) must be a multiple of the group"},
    {"hidden", "y", block_cut, "a row (hidden/groups) must be a multiple of the block of 32"},
    {"y2", "y", y2_twin,
     "without weight2 both would be the same; give weight2, or y a type of "
     "codes"},
    {"weight2", "gate", weight2_gate, "y2 is the norm alone; use gate_at=before or leave it out"},
    {"weight2", "modulate", weight2_modulate, "y2 is the norm alone; leave one out"},
    {"weight2", "rope", weight2_rope, "y2 is the norm alone; leave one out"},
    {"weight2", "after", weight2_after, "y2 is the norm alone; leave one out"},
    {"rope", "hidden", rope_odd, "elements are rotated in pairs; hidden must be even"},
    {"rope", "hidden", rope_long, "a row is one head of at most 256 elements"},
    {"rope", "after", rope_after, "a rotated head is no part of the stream; leave one out"},
    {"stats", "eps", partial_eps, "eps belongs to the whole row; it must be 0 here"},
    {"stats", "y", partial_y, ONLY_STATISTICS},
    {"stats", "weight", partial_weight, "stats=partial writes statistics only; give weight=none"},
    {"stats", "bias", partial_bias, ONLY_STATISTICS},
    {"stats", "sum", partial_sum, ONLY_STATISTICS},
    {"stats", "rounding", partial_rounding, ONLY_STATISTICS},
    {"stats", "range", partial_range, "slices must have one scale; use range=plain"},
    {"stats", "mean", partial_mean, "stats=partial writes the mean anyway; leave it out"},
    {"stats", "rstd", partial_rstd, "rstd is that of the whole row; leave it out"},
    {"stats", "eps_mode", partial_eps_mode, "eps belongs to the whole row; leave it out"},
    {"stats", "gate", partial_gate, ONLY_STATISTICS},
    {"stats", "modulate", partial_modulate, ONLY_STATISTICS},
    {"stats", "after", partial_after, ONLY_STATISTICS},
    {"stats", "y2", partial_y2, ONLY_STATISTICS},
    {"stats", "rope", partial_rope, ONLY_STATISTICS},
    {"stats", "eps", apply_eps, "eps is in the given rstd already; it must be 0 here"},
    {"stats", "mean", apply_mean, GIVEN},
    {"stats", "rstd", apply_rstd, GIVEN},
    {"stats", "variance", apply_variance, GIVEN},
    {"stats", "range", apply_range, GIVEN},
    {"stats", "eps_mode", apply_eps_mode, GIVEN},
    {"stats", "stat_of", apply_stat_of, GIVEN},
    {NULL, NULL, NULL, NULL},
};
