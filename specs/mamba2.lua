-- SPDX-License-Identifier: Apache-2.0
-- Mamba 2: RMSNorm before each block, the residual stream kept in f32; inside, the norm of
-- x*silu(z) over all channels. Source: block.py and layernorm_gated.py of state-spaces/mamba.
--
-- MODEL__norm: the first norm. MODEL__add: the f32 stream plus the branch, written out, normalized.
-- MODEL__gated: the norm inside (norm_before_gate is false). Suffixes _f16 and _f32 of MODEL give
-- the other types.

local list = {}
for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
  local name, type = "mamba2_2p7b" .. t[1], t[2]
  list[#list + 1] = {
    spec { name = name .. "__norm", kind = "rms", hidden = 2560, eps = 1e-5, x = type },
    spec { name = name .. "__add", kind = "rms", hidden = 2560, eps = 1e-5, x = type,
           residual = "f32", sum = "f32" },
    spec { name = name .. "__gated", kind = "rms", hidden = 5120, eps = 1e-5, x = type,
           gate = type, gate_at = "before" },
  }
end
return list
