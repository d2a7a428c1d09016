-- SPDX-License-Identifier: Apache-2.0
-- error: : over budget: the file allocates more than 1024 MiB in all
local s = "aaaaaaaaaaaaaaaa"
for i = 1, 11 do s = s .. s end
while true do local t = s .. "x" end
