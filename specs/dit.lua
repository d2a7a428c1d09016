-- SPDX-License-Identifier: Apache-2.0
-- DiT: LayerNorm without weight, then scale and shift of the sample (AdaLN); the branch joins the
-- stream with a gate of the sample: r + g*x. Source: models.py of facebookresearch/DiT.
--
-- MODEL__modulate: the first norm. MODEL__add: the gated
-- residual, the stream written out, and the next norm. Suffixes _f16 and _f32 of MODEL give the
-- other types.

local list = {}
for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
  local name, type = "dit_xl" .. t[1], t[2]
  list[#list + 1] = {
    spec { name = name .. "__modulate", kind = "layer", hidden = 1152, eps = 1e-6, x = type,
           weight = "none", modulate = type },
    spec { name = name .. "__add", kind = "layer", hidden = 1152, eps = 1e-6, x = type,
           weight = "none", modulate = type, xgate = type, residual = type, sum = type },
  }
end
return list
