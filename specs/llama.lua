-- SPDX-License-Identifier: Apache-2.0
-- Llama and its relatives: RMSNorm with a weight, eps 1e-5.
--
-- Three specs for each model: NAME in f32; NAME_bf16 as the models run, where the normalized row is
-- rounded to bf16 before the weight (rounding "llama"; in f32 that would change nothing);
-- NAME_bf16_add with the residual added first and the sum written out, the norm inside a layer.

local models = {
  { name = "llama2_7b", hidden = 4096 },
  { name = "llama2_13b", hidden = 5120 },
  { name = "llama3_8b", hidden = 4096 },
  { name = "llama3_70b", hidden = 8192 },
  { name = "llama3_405b", hidden = 16384 },
  { name = "llama32_1b", hidden = 2048 },
  { name = "llama32_3b", hidden = 3072 },
  { name = "mistral_7b", hidden = 4096 },
  { name = "mixtral_8x22b", hidden = 6144 },
}

local list = {}
for _, m in ipairs(models) do
  list[#list + 1] = {
    spec { name = m.name, kind = "rms", hidden = m.hidden, eps = 1e-5 },
    spec { name = format("%s_bf16", m.name), kind = "rms", hidden = m.hidden, eps = 1e-5,
           x = "bf16", rounding = "llama" },
    spec { name = format("%s_bf16_add", m.name), kind = "rms", hidden = m.hidden, eps = 1e-5,
           x = "bf16", rounding = "llama", residual = "bf16", sum = "bf16" },
  }
end
return list
