-- SPDX-License-Identifier: Apache-2.0
-- error: : over budget: the returned lists have more than 40000 elements
local list = {}
for i = 1, 7 do
  local wider = {}
  for j = 1, 100 do wider[j] = list end
  list = wider
end
return list
