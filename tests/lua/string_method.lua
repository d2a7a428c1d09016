-- SPDX-License-Identifier: Apache-2.0
-- error: :3: attempt to index a string value (constant 'x')
local s = ("x"):rep(100)
return spec { name = s, kind = "rms", hidden = 8, eps = 1e-5 }
