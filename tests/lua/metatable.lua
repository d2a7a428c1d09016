-- SPDX-License-Identifier: Apache-2.0
-- error: :3: attempt to call a nil value (global 'setmetatable')
local t = setmetatable({}, { __gc = function() while true do end end })
return t
