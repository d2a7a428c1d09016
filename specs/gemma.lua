-- SPDX-License-Identifier: Apache-2.0
-- Gemma 1, 2 and 3: RMSNorm times 1 + weight, everything in f32 until the result is rounded.
-- Source: modeling_gemma.py, modeling_gemma2.py and modeling_gemma3.py of transformers.
--
-- MODEL__norm: the first norm. MODEL__add (Gemma 1): the residual added first and the sum written
-- out. MODEL__sandwich (2 and 3): the branch's post-norm, added to the stream, the stream written
-- out, and the next block's norm, in one. MODEL__qk and MODEL__qk_rope (3): a query or key head.
-- Suffixes _f16 and _f32 of MODEL give the other types.

local models = {
  { name = "gemma_2b", hidden = 2048 },
  { name = "gemma_7b", hidden = 3072 },
  { name = "gemma_2_9b", hidden = 3584, post = true },
  { name = "gemma_2_27b", hidden = 4608, post = true },
  { name = "gemma_3_1b", hidden = 1152, post = true, head = 256 },
  { name = "gemma_3_27b", hidden = 5376, post = true, head = 128 },
}

local function gemma(name, hidden, type, fields)
  local s = { name = name, kind = "rms", hidden = hidden, eps = 1e-6, x = type, offset = 1 }
  for k, v in pairs(fields) do s[k] = v end
  return spec(s)
end

local list = {}
for _, m in ipairs(models) do
  for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
    local name, type = m.name .. t[1], t[2]
    list[#list + 1] = gemma(name .. "__norm", m.hidden, type, {})
    if m.post then
      list[#list + 1] = gemma(name .. "__sandwich", m.hidden, type,
                              { post_weight = type, residual = type, sum = type })
    else
      list[#list + 1] = gemma(name .. "__add", m.hidden, type, { residual = type, sum = type })
    end
    if m.head then
      list[#list + 1] = gemma(name .. "__qk", m.head, type, {})
      list[#list + 1] = gemma(name .. "__qk_rope", m.head, type, { rope = "half" })
    end
  end
end
return list
