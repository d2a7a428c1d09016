-- SPDX-License-Identifier: Apache-2.0
-- error: : over budget: the file allocates more than 1024 MiB in all
local t = {}
for i = 1, 100000 do t[i] = i end
while true do
  for k in pairs(t) do break end
end
