-- SPDX-License-Identifier: Apache-2.0
-- error: : over budget: the file uses more than 16 MiB of memory at a time
local t = {}
for i = 1, 1e9 do t[i] = i end
