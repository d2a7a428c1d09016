-- SPDX-License-Identifier: Apache-2.0
-- error: : over budget: the file makes a string of more than 65536 bytes
local s = "aaaaaaaaaaaaaaaa"
while true do s = s .. s end
