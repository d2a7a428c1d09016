-- SPDX-License-Identifier: Apache-2.0
-- BERT and MiniLM: LayerNorm with weight and bias, eps 1e-12, after the residual is added. Nothing
-- else reads that sum, so it is not written out.
--
-- Three specs for each model: NAME in f32; NAME_bf16 with the affine part kept in f32; NAME_embed
-- for the embeddings, where no residual is added.

local function bert(name, hidden)
  return {
    spec { name = name, kind = "layer", hidden = hidden, eps = 1e-12, bias = "f32",
           residual = "f32" },
    spec { name = name .. "_bf16", kind = "layer", hidden = hidden, eps = 1e-12, x = "bf16",
           weight = "f32", bias = "f32", residual = "bf16" },
    spec { name = name .. "_embed", kind = "layer", hidden = hidden, eps = 1e-12, bias = "f32" },
  }
end

return { bert("bert_base", 768), bert("minilm_l6", 384) }
