-- SPDX-License-Identifier: Apache-2.0
-- T5: RMSNorm before each block, rounded to the model's type before the weight. Source: T5LayerNorm
-- of transformers.
--
-- MODEL__norm, MODEL__add: as in llama.lua. Suffixes _f16 and _f32 of MODEL give the other types.

local list = {}
for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
  local name, type = "t5_base" .. t[1], t[2]
  list[#list + 1] = {
    spec { name = name .. "__norm", kind = "rms", hidden = 768, eps = 1e-6, x = type,
           rounding = "llama" },
    spec { name = name .. "__add", kind = "rms", hidden = 768, eps = 1e-6, x = type,
           rounding = "llama", residual = type, sum = type },
  }
end
return list
