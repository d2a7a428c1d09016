-- SPDX-License-Identifier: Apache-2.0
-- Llama and the models that took its norm: RMSNorm, rounded to the model's type before the weight.
-- Source: LlamaRMSNorm of transformers; hidden sizes and eps from the models' config.json.
--
-- MODEL__norm: the first norm of a model. MODEL__add: every other one, the residual added first and
-- the sum written out. Suffixes _f16 and _f32 of MODEL give the other types.

local models = {
  { name = "llama_2_7b", hidden = 4096 },
  { name = "llama_2_13b", hidden = 5120 },
  { name = "llama_3_8b", hidden = 4096 },
  { name = "llama_3_70b", hidden = 8192 },
  { name = "llama_3_405b", hidden = 16384 },
  { name = "llama_3p2_1b", hidden = 2048 },
  { name = "llama_3p2_3b", hidden = 3072 },
  { name = "mistral_7b", hidden = 4096 },
  { name = "mixtral_8x22b", hidden = 6144 },
  { name = "phi_3_mini", hidden = 3072 },
  { name = "smollm2_135m", hidden = 576 },
  { name = "smollm2_360m", hidden = 960 },
}

local list = {}
for _, m in ipairs(models) do
  for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
    local name, type = m.name .. t[1], t[2]
    list[#list + 1] = {
      spec { name = name .. "__norm", kind = "rms", hidden = m.hidden, eps = 1e-5, x = type,
             rounding = "llama" },
      spec { name = name .. "__add", kind = "rms", hidden = m.hidden, eps = 1e-5, x = type,
             rounding = "llama", residual = type, sum = type },
    }
  end
end
return list
