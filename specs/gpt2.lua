-- SPDX-License-Identifier: Apache-2.0
-- GPT-2: LayerNorm with weight and bias, eps 1e-5, before attention and before the MLP.
--
-- For each model, in f32 and in bf16: NAME; NAME_add with the residual added first and the sum
-- written out; NAME_train, which saves mean and rstd for the backward pass.

local function gpt2(name, hidden, type)
  return {
    spec { name = name, kind = "layer", hidden = hidden, eps = 1e-5, x = type, bias = type },
    spec { name = name .. "_add", kind = "layer", hidden = hidden, eps = 1e-5, x = type,
           bias = type, residual = type, sum = type },
    spec { name = name .. "_train", kind = "layer", hidden = hidden, eps = 1e-5, x = type,
           bias = type, mean = true, rstd = true },
  }
end

local list = {}
for _, model in ipairs { { "gpt2", 768 }, { "gpt2_xl", 1600 } } do
  local name, hidden = model[1], model[2]
  list[#list + 1] = { gpt2(name, hidden, "f32"), gpt2(name .. "_bf16", hidden, "bf16") }
end
return list
