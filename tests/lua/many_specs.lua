-- SPDX-License-Identifier: Apache-2.0
-- error: :5: over budget: the file makes more than 10000 specs
local list = {}
for i = 1, 10001 do
  list[i] = spec { name = "s" .. i, kind = "rms", hidden = 8, eps = 1e-5 }
end
return list
