-- SPDX-License-Identifier: Apache-2.0
-- DeepSeek V3 and gpt-oss. Source: modeling_deepseek_v3.py and modeling_gpt_oss.py of transformers.
--
-- MODEL__norm, MODEL__add: as in llama.lua. MODEL__q_lora, MODEL__kv_lora: the norms of the
-- compressed queries and keys of latent attention. gpt-oss keeps its weights in f32 and rounds once.
-- Suffixes _f16 and _f32 of MODEL give the other types.

local function rms(name, hidden, eps, type, fields)
  local s = { name = name, kind = "rms", hidden = hidden, eps = eps, x = type }
  for k, v in pairs(fields) do s[k] = v end
  return spec(s)
end

local list = {}
for _, t in ipairs { { "", "bf16" }, { "_f16", "f16" }, { "_f32", "f32" } } do
  local name, type = "deepseek_v3" .. t[1], t[2]
  list[#list + 1] = {
    rms(name .. "__norm", 7168, 1e-6, type, { rounding = "llama" }),
    rms(name .. "__add", 7168, 1e-6, type, { rounding = "llama", residual = type, sum = type }),
    rms(name .. "__q_lora", 1536, 1e-6, type, { rounding = "llama" }),
    rms(name .. "__kv_lora", 512, 1e-6, type, { rounding = "llama" }),
  }
  name = "gpt_oss_20b" .. t[1]
  list[#list + 1] = {
    rms(name .. "__norm", 2880, 1e-5, type, { weight = "f32" }),
    rms(name .. "__add", 2880, 1e-5, type, { weight = "f32", residual = type, sum = type }),
  }
end
return list
