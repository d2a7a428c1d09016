-- SPDX-License-Identifier: Apache-2.0
-- Qwen 2.5, 3 and 3-Next. Source: modeling_qwen2.py, modeling_qwen3.py and modeling_qwen3_next.py of
-- transformers; sizes and eps from config.json.
--
-- MODEL__norm, MODEL__add: as in llama.lua. MODEL__qk: the norm of a query or key head (rows are
-- heads). MODEL__qk_rope: the same, then the rotation in f32. MODEL__gated (3-Next): the norm of a
-- gated delta net's head, times the weight, rounded, times silu(z). Suffixes _f16 and _f32 of MODEL
-- give the other types.

local models = {
  { name = "qwen2p5_0p5b", hidden = 896, eps = 1e-6 },
  { name = "qwen2p5_7b", hidden = 3584, eps = 1e-6 },
  { name = "qwen2p5_72b", hidden = 8192, eps = 1e-5 },
  { name = "qwen3_0p6b", hidden = 1024, eps = 1e-6, head = 128 },
  { name = "qwen3_8b", hidden = 4096, eps = 1e-6, head = 128 },
  { name = "qwen3_32b", hidden = 5120, eps = 1e-6, head = 128 },
}

-- Qwen3-Next multiplies by 1 + weight in f32.
local next = { name = "qwen3_next", hidden = 2048, eps = 1e-6, head = 256, gated = 128, offset = 1 }

local function norms(m, suffix, type)
  local name, rounding = m.name .. suffix, m.offset and "f32" or "llama"
  local function norm(kind, fields)
    local s = { name = name .. "__" .. kind, kind = "rms", hidden = m.hidden, eps = m.eps, x = type,
                rounding = rounding, offset = m.offset }
    for k, v in pairs(fields) do s[k] = v end
    return spec(s)
  end
  local list = { norm("norm", {}), norm("add", { residual = type, sum = type }) }
  if m.head then
    list[#list + 1] = norm("qk", { hidden = m.head })
    list[#list + 1] = norm("qk_rope", { hidden = m.head, rope = "half" })
  end
  if m.gated then
    list[#list + 1] = spec { name = name .. "__gated", kind = "rms", hidden = m.gated, eps = m.eps,
                             x = type, gate = type, rounding = "gated" }
  end
  return list
end

local list = {}
models[#models + 1] = next
for _, m in ipairs(models) do
  for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
    list[#list + 1] = norms(m, t[1], t[2])
  end
end
return list
