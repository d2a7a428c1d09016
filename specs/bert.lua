-- SPDX-License-Identifier: Apache-2.0
-- BERT and MiniLM: LayerNorm with weight and bias, eps 1e-12, after the residual is added. Nothing
-- else reads that sum, so it is neither rounded nor written out. Source: modeling_bert.py of
-- transformers.
--
-- MODEL__post: norm(x + residual). MODEL__embed: the norm of the embeddings, without a residual.
-- Suffixes _f16 and _f32 of MODEL give the other types.

local list = {}
for _, m in ipairs { { "bert_base", 768 }, { "minilm_l6", 384 } } do
  for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
    local name, type = m[1] .. t[1], t[2]
    list[#list + 1] = {
      spec { name = name .. "__post", kind = "layer", hidden = m[2], eps = 1e-12, x = type,
             bias = type, residual = type },
      spec { name = name .. "__embed", kind = "layer", hidden = m[2], eps = 1e-12, x = type,
             bias = type },
    }
  end
end
return list
