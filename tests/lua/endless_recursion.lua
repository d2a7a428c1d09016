-- SPDX-License-Identifier: Apache-2.0
-- error: : over budget: the file uses more than 16 MiB of memory at a time
local function f(n) return 1 + f(n + 1) end
return f(1)
