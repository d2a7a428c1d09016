-- SPDX-License-Identifier: Apache-2.0
-- What bundle_digest.c calls: every element type, tails, several outputs, statistics.
return {
  spec { name = "plain", kind = "rms", hidden = 200, eps = 1e-5 },
  spec { name = "stats", kind = "layer", hidden = 768, eps = 1e-12, x = "bf16", weight = "f32", bias = "f32",
         mean = true, rstd = true },
  spec { name = "add", kind = "rms", hidden = 1100, eps = 1e-5, x = "f16", residual = "f16", sum = "f16" },
  spec { name = "llama", kind = "rms", hidden = 4096, eps = 1e-5, x = "bf16", rounding = "llama" },
  spec { name = "wide", kind = "layer", hidden = 64, eps = 1e-6, x = "f64", bias = "f64" },
  spec { name = "heads", kind = "rms", hidden = 64, eps = 1e-6, x = "bf16", heads = 4, rope = "half" },
  spec { name = "samples", kind = "layer", hidden = 200, eps = 1e-6, weight = "none", modulate = "f32" },
  spec { name = "groups", kind = "layer", hidden = 192, eps = 1e-5, x = "f16", groups = 6 },
}
