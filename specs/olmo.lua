-- SPDX-License-Identifier: Apache-2.0
-- OLMo 1 and 2. Source: modeling_olmo.py and modeling_olmo2.py of transformers.
--
-- OLMo 1 (LayerNorm without weight): MODEL__norm, MODEL__add as in llama.lua. OLMo 2 (RMSNorm, one
-- rounding): MODEL__post, the branch's norm and then the residual: residual + norm(x); MODEL__qk,
-- over all heads of a query or key together; MODEL__final, before the head. Suffixes _f16 and _f32
-- of MODEL give the other types.

local list = {}
for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
  local name, type = "olmo_1_7b" .. t[1], t[2]
  list[#list + 1] = {
    spec { name = name .. "__norm", kind = "layer", hidden = 4096, eps = 1e-5, x = type,
           weight = "none" },
    spec { name = name .. "__add", kind = "layer", hidden = 4096, eps = 1e-5, x = type,
           weight = "none", residual = type, sum = type },
  }
  name = "olmo_2_7b" .. t[1]
  list[#list + 1] = {
    spec { name = name .. "__post", kind = "rms", hidden = 4096, eps = 1e-6, x = type,
           after = type },
    spec { name = name .. "__qk", kind = "rms", hidden = 4096, eps = 1e-6, x = type },
    spec { name = name .. "__final", kind = "rms", hidden = 4096, eps = 1e-6, x = type },
  }
end
return list
