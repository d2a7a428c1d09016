-- SPDX-License-Identifier: Apache-2.0
-- error: : the returned lists stand in each other more than 8 deep
local list = {}
list[1] = list
return list
