-- SPDX-License-Identifier: Apache-2.0
-- error: : the file returns nothing; end it with: return spec { ... }
local _ENV <const> = { }
local a = X
Y = 1
