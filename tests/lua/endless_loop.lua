-- SPDX-License-Identifier: Apache-2.0
-- error: :3: over budget: the file runs more than 50000000 instructions
while true do end
