-- SPDX-License-Identifier: Apache-2.0
-- The norms of the model in engine.c.
local hidden = 256
return {
  spec { name = "add_norm", kind = "rms", hidden = hidden, eps = 1e-5, x = "f32",
         residual = "f32", sum = "f32" },
  spec { name = "last_norm", kind = "rms", hidden = hidden, eps = 1e-5, x = "f32", y = "bf16" },
}
