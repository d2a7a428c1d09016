-- SPDX-License-Identifier: Apache-2.0
-- Models with LayerNorm before each block: GPT-2, Phi-2, Falcon, StableLM, Pythia, Command R,
-- Whisper, ViT. Source: the model's file in transformers; sizes and eps from config.json.
--
-- MODEL__norm: without a residual. MODEL__add: the residual added first and the sum written out.
-- MODEL__pair: two parallel branches with a weight and bias each, one statistic (Falcon-40B,
-- Pythia). Suffixes _f16 and _f32 of MODEL give the other types. Command R has no bias.

local models = {
  { name = "gpt_2", hidden = 768, eps = 1e-5 },
  { name = "gpt_2_xl", hidden = 1600, eps = 1e-5 },
  { name = "phi_2", hidden = 2560, eps = 1e-5 },
  { name = "falcon_7b", hidden = 4544, eps = 1e-5 },
  { name = "falcon_40b", hidden = 8192, eps = 1e-5, pair = true },
  { name = "stablelm_3b", hidden = 2560, eps = 1e-5 },
  { name = "pythia_6p9b", hidden = 4096, eps = 1e-5, pair = true },
  { name = "command_r", hidden = 8192, eps = 1e-5, plain = true },
  { name = "whisper_large", hidden = 1280, eps = 1e-5 },
  { name = "vit_b", hidden = 768, eps = 1e-6 },
}

local function layer(m, name, type, fields)
  local s = { name = name, kind = "layer", hidden = m.hidden, eps = m.eps, x = type,
              bias = not m.plain and type or nil }
  for k, v in pairs(fields) do s[k] = v end
  return spec(s)
end

local list = {}
for _, m in ipairs(models) do
  for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
    local name, type = m.name .. t[1], t[2]
    list[#list + 1] = layer(m, name .. "__norm", type, {})
    list[#list + 1] = layer(m, name .. "__add", type, { residual = type, sum = type })
    if m.pair then
      list[#list + 1] = layer(m, name .. "__pair", type,
                              { y2 = type, weight2 = type, bias2 = type })
    end
  end
end
return list
