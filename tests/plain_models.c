/* SPDX-License-Identifier: Apache-2.0 */
/* Everything is f32 but where a model rounds: T(r, v). Sources are named at each function. */
#include "plain_models.h"

#include "reference.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static float T(const plain_row *r, float v) {
    return (float)naive_round(r->type, (double)v, MUTATION_none);
}

/* ---- sums: rule 3 and 4, 64 lanes ---- */

enum { LANES = 64, SEGMENT = 1024, LEVELS = 24 };

typedef struct counter {
    float lane[LEVELS][LANES];
    size_t covers[LEVELS]; /* segments */
    int used;
} counter;

static void fold_two(counter *c) {
    for (int j = 0; j < LANES; j++) c->lane[c->used - 2][j] += c->lane[c->used - 1][j];
    c->covers[c->used - 2] += c->covers[c->used - 1];
    c->used--;
}

static float total(const float *v, size_t n, bool squares) {
    counter c = {.used = 0};
    for (size_t from = 0; from < n; from += SEGMENT) {
        float *lane = c.lane[c.used];
        memset(lane, 0, sizeof c.lane[0]);
        for (size_t i = from; i < n && i < from + SEGMENT; i++)
            lane[i % LANES] = squares ? fmaf(v[i], v[i], lane[i % LANES]) : lane[i % LANES] + v[i];
        c.covers[c.used++] = 1;
        while (c.used > 1 && c.covers[c.used - 1] == c.covers[c.used - 2]) fold_two(&c);
    }
    while (c.used > 1) fold_two(&c);
    for (int s = LANES / 2; s > 0; s /= 2)
        for (int j = 0; j < s; j++) c.lane[0][j] += c.lane[0][j + s];
    return c.lane[0][0];
}

/* ---- steps that models share ---- */

static float *row_of(size_t n) {
    float *v = malloc(n * sizeof *v);
    if (!v) abort();
    return v;
}

/* x * rsqrt(mean(x^2) + eps) */
static void rms(const float *v, size_t n, float eps, float *out) {
    float r = 1 / sqrtf(total(v, n, true) / (float)n + eps);
    for (size_t i = 0; i < n; i++) out[i] = v[i] * r;
}

/* (x - mean) * rsqrt(variance + eps), the mean corrected by that of the deviations */
static void layer(const float *v, size_t n, float eps, float *out) {
    float mean = total(v, n, false) / (float)n;
    for (size_t i = 0; i < n; i++) out[i] = v[i] - mean;
    float e = total(out, n, false) / (float)n;
    float variance = fmaf(-e, e, total(out, n, true) / (float)n);
    float r = 1 / sqrtf((variance < 0 ? 0 : variance) + eps);
    for (size_t i = 0; i < n; i++) out[i] = fmaf(out[i], r, -(e * r));
}

/* The stream: residual + branch in the model's type, written out. */
static const float *stream(const plain_row *r) {
    for (size_t i = 0; i < r->n; i++) r->sum[i] = T(r, r->x[i] + r->residual[i]);
    return r->sum;
}

static float silu(float z) { return z / (1 + naive_exp_f32(-z)); }

/* ---- RMSNorm ---- */

/* LlamaRMSNorm, T5LayerNorm, DeepseekV3RMSNorm: weight * h.to(type). */
static void llama(const plain_row *r, const float *v) {
    rms(v, r->n, r->eps, r->y);
    for (size_t i = 0; i < r->n; i++) r->y[i] = T(r, T(r, r->y[i]) * r->weight[i]);
}
static void llama_norm(const plain_row *r) { llama(r, r->x); }
static void llama_add(const plain_row *r) { llama(r, stream(r)); }

/* apply_rotary_pos_emb with rotate_half, in f32 on the rounded head. */
static void rotate(const plain_row *r) {
    size_t half = r->n / 2;
    for (size_t j = 0; j < half; j++) {
        float a = r->y[j], b = r->y[j + half], c = r->cos[j], s = r->sin[j];
        volatile float ac = a * c, bs = b * s, bc = b * c, as = a * s;
        r->y[j] = T(r, ac - bs);
        r->y[j + half] = T(r, bc + as);
    }
}
static void llama_rope(const plain_row *r) {
    llama(r, r->x);
    rotate(r);
}

/* Gemma*RMSNorm, Qwen3NextRMSNorm: (h * (1.0 + weight.float())).type_as(x). */
static void one_plus(const plain_row *r, const float *v) {
    rms(v, r->n, r->eps, r->y);
    for (size_t i = 0; i < r->n; i++) r->y[i] = T(r, r->y[i] * (r->weight[i] + 1));
}
static void one_plus_norm(const plain_row *r) { one_plus(r, r->x); }
static void one_plus_add(const plain_row *r) { one_plus(r, stream(r)); }
static void one_plus_rope(const plain_row *r) {
    one_plus(r, r->x);
    rotate(r);
}

/* Gemma2DecoderLayer: hidden = post_norm(hidden); hidden = residual + hidden; next = norm(hidden).
 */
static void gemma_sandwich(const plain_row *r) {
    float *h = row_of(r->n);
    rms(r->x, r->n, r->eps, h);
    for (size_t i = 0; i < r->n; i++) {
        h[i] = T(r, h[i] * (r->post_weight[i] + 1));
        r->sum[i] = T(r, h[i] + r->residual[i]);
    }
    one_plus(r, r->sum);
    free(h);
}

/* GptOssRMSNorm, Olmo2RMSNorm, mamba_ssm's rms_norm_fn: (weight * h).to(type). */
static void once(const plain_row *r, const float *v) {
    rms(v, r->n, r->eps, r->y);
    for (size_t i = 0; i < r->n; i++) r->y[i] = T(r, r->y[i] * r->weight[i]);
}
static void once_norm(const plain_row *r) { once(r, r->x); }
static void once_add(const plain_row *r) { once(r, stream(r)); }

/* Olmo2DecoderLayer: residual + post_norm(hidden). */
static void olmo2_post(const plain_row *r) {
    once(r, r->x);
    for (size_t i = 0; i < r->n; i++) r->y[i] = T(r, r->after[i] + r->y[i]);
}

/* Qwen3NextRMSNormGated: (weight * h.to(type)) * silu(gate.float()), to the type. */
static void qwen_gated(const plain_row *r) {
    rms(r->x, r->n, r->eps, r->y);
    for (size_t i = 0; i < r->n; i++)
        r->y[i] = T(r, T(r, r->weight[i] * T(r, r->y[i])) * silu(r->gate[i]));
}

/* mamba_ssm's RMSNormGated, norm_before_gate=False: norm(x * silu(z)) * weight in f32. */
static void mamba_gated(const plain_row *r) {
    float *u = row_of(r->n);
    for (size_t i = 0; i < r->n; i++) u[i] = r->x[i] * silu(r->gate[i]);
    once(r, u);
    free(u);
}
/* Block with residual_in_fp32: the stream is not rounded. */
static void mamba_add(const plain_row *r) {
    for (size_t i = 0; i < r->n; i++) r->sum[i] = r->x[i] + r->residual[i];
    once(r, r->sum);
}

/* ---- LayerNorm ---- */

/* nn.LayerNorm, CohereLayerNorm (no bias), OlmoLayerNorm (neither). */
static void layer_norm(const plain_row *r, const float *v) {
    layer(v, r->n, r->eps, r->y);
    for (size_t i = 0; i < r->n; i++) {
        float h = r->y[i];
        if (r->bias)
            h = fmaf(h, r->weight[i], r->bias[i]);
        else if (r->weight)
            h = h * r->weight[i];
        r->y[i] = T(r, h);
    }
}
static void layer_plain(const plain_row *r) { layer_norm(r, r->x); }
static void layer_add(const plain_row *r) { layer_norm(r, stream(r)); }

/* BertSelfOutput: LayerNorm(hidden + input), the sum inside the kernel. */
static void bert_post(const plain_row *r) {
    float *v = row_of(r->n);
    for (size_t i = 0; i < r->n; i++) v[i] = r->x[i] + r->residual[i];
    layer_norm(r, v);
    free(v);
}

/* FalconDecoderLayer (ln_attn, ln_mlp), GPTNeoXLayer with use_parallel_residual. */
static void parallel_pair(const plain_row *r) {
    layer(r->x, r->n, r->eps, r->y2);
    for (size_t i = 0; i < r->n; i++) {
        r->y[i] = T(r, fmaf(r->y2[i], r->weight[i], r->bias[i]));
        r->y2[i] = T(r, fmaf(r->y2[i], r->weight2[i], r->bias2[i]));
    }
}

/* DiTBlock: modulate(norm(x), shift, scale) = norm(x) * (1 + scale) + shift. */
static void dit(const plain_row *r, const float *v) {
    layer(v, r->n, r->eps, r->y);
    for (size_t i = 0; i < r->n; i++)
        r->y[i] = T(r, fmaf(r->y[i], 1 + r->mod_scale[i], r->mod_shift[i]));
}
static void dit_modulate(const plain_row *r) { dit(r, r->x); }
/* x = x + gate * branch */
static void dit_add(const plain_row *r) {
    for (size_t i = 0; i < r->n; i++) {
        volatile float gated = r->x[i] * r->xgate[i];
        r->sum[i] = T(r, gated + r->residual[i]);
    }
    dit(r, r->sum);
}

#define NORM_ADD(model, hidden, eps, family)                                                       \
    {model, "norm", hidden, eps, family##_norm}, { model, "add", hidden, eps, family##_add }
#define LAYER(model, hidden, eps)                                                                  \
    {model, "norm", hidden, eps, layer_plain}, { model, "add", hidden, eps, layer_add }

const plain_model plain_models[] = {
    NORM_ADD("llama_2_7b", 4096, 1e-5, llama),
    NORM_ADD("llama_2_13b", 5120, 1e-5, llama),
    NORM_ADD("llama_3_8b", 4096, 1e-5, llama),
    NORM_ADD("llama_3_70b", 8192, 1e-5, llama),
    NORM_ADD("llama_3_405b", 16384, 1e-5, llama),
    NORM_ADD("llama_3p2_1b", 2048, 1e-5, llama),
    NORM_ADD("llama_3p2_3b", 3072, 1e-5, llama),
    NORM_ADD("mistral_7b", 4096, 1e-5, llama),
    NORM_ADD("mixtral_8x22b", 6144, 1e-5, llama),
    NORM_ADD("phi_3_mini", 3072, 1e-5, llama),
    NORM_ADD("smollm2_135m", 576, 1e-5, llama),
    NORM_ADD("smollm2_360m", 960, 1e-5, llama),
    NORM_ADD("qwen2p5_0p5b", 896, 1e-6, llama),
    NORM_ADD("qwen2p5_7b", 3584, 1e-6, llama),
    NORM_ADD("qwen2p5_72b", 8192, 1e-5, llama),
    NORM_ADD("qwen3_0p6b", 1024, 1e-6, llama),
    {"qwen3_0p6b", "qk", 128, 1e-6, llama_norm},
    {"qwen3_0p6b", "qk_rope", 128, 1e-6, llama_rope},
    NORM_ADD("qwen3_8b", 4096, 1e-6, llama),
    {"qwen3_8b", "qk", 128, 1e-6, llama_norm},
    {"qwen3_8b", "qk_rope", 128, 1e-6, llama_rope},
    NORM_ADD("qwen3_32b", 5120, 1e-6, llama),
    {"qwen3_32b", "qk", 128, 1e-6, llama_norm},
    {"qwen3_32b", "qk_rope", 128, 1e-6, llama_rope},
    NORM_ADD("qwen3_next", 2048, 1e-6, one_plus),
    {"qwen3_next", "qk", 256, 1e-6, one_plus_norm},
    {"qwen3_next", "qk_rope", 256, 1e-6, one_plus_rope},
    {"qwen3_next", "gated", 128, 1e-6, qwen_gated},
    NORM_ADD("gemma_2b", 2048, 1e-6, one_plus),
    NORM_ADD("gemma_7b", 3072, 1e-6, one_plus),
    {"gemma_2_9b", "norm", 3584, 1e-6, one_plus_norm},
    {"gemma_2_9b", "sandwich", 3584, 1e-6, gemma_sandwich},
    {"gemma_2_27b", "norm", 4608, 1e-6, one_plus_norm},
    {"gemma_2_27b", "sandwich", 4608, 1e-6, gemma_sandwich},
    {"gemma_3_1b", "norm", 1152, 1e-6, one_plus_norm},
    {"gemma_3_1b", "sandwich", 1152, 1e-6, gemma_sandwich},
    {"gemma_3_1b", "qk", 256, 1e-6, one_plus_norm},
    {"gemma_3_1b", "qk_rope", 256, 1e-6, one_plus_rope},
    {"gemma_3_27b", "norm", 5376, 1e-6, one_plus_norm},
    {"gemma_3_27b", "sandwich", 5376, 1e-6, gemma_sandwich},
    {"gemma_3_27b", "qk", 128, 1e-6, one_plus_norm},
    {"gemma_3_27b", "qk_rope", 128, 1e-6, one_plus_rope},
    NORM_ADD("deepseek_v3", 7168, 1e-6, llama),
    {"deepseek_v3", "q_lora", 1536, 1e-6, llama_norm},
    {"deepseek_v3", "kv_lora", 512, 1e-6, llama_norm},
    NORM_ADD("gpt_oss_20b", 2880, 1e-5, once),
    LAYER("olmo_1_7b", 4096, 1e-5),
    {"olmo_2_7b", "post", 4096, 1e-6, olmo2_post},
    {"olmo_2_7b", "qk", 4096, 1e-6, once_norm},
    {"olmo_2_7b", "final", 4096, 1e-6, once_norm},
    NORM_ADD("t5_base", 768, 1e-6, llama),
    LAYER("gpt_2", 768, 1e-5),
    LAYER("gpt_2_xl", 1600, 1e-5),
    LAYER("phi_2", 2560, 1e-5),
    LAYER("falcon_7b", 4544, 1e-5),
    LAYER("falcon_40b", 8192, 1e-5),
    {"falcon_40b", "pair", 8192, 1e-5, parallel_pair},
    LAYER("stablelm_3b", 2560, 1e-5),
    LAYER("pythia_6p9b", 4096, 1e-5),
    {"pythia_6p9b", "pair", 4096, 1e-5, parallel_pair},
    LAYER("command_r", 8192, 1e-5),
    LAYER("whisper_large", 1280, 1e-5),
    LAYER("vit_b", 768, 1e-6),
    {"bert_base", "post", 768, 1e-12, bert_post},
    {"bert_base", "embed", 768, 1e-12, layer_plain},
    {"minilm_l6", "post", 384, 1e-12, bert_post},
    {"minilm_l6", "embed", 384, 1e-12, layer_plain},
    {"dit_xl", "modulate", 1152, 1e-6, dit_modulate},
    {"dit_xl", "add", 1152, 1e-6, dit_add},
    {"mamba2_2p7b", "norm", 2560, 1e-5, once_norm},
    {"mamba2_2p7b", "add", 2560, 1e-5, mamba_add},
    {"mamba2_2p7b", "gated", 5120, 1e-5, mamba_gated},
    {NULL, NULL, 0, 0, NULL},
};
