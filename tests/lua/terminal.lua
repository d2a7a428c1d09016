-- SPDX-License-Identifier: Apache-2.0
-- error: :3: ?[2Jgone???
error("\27[2Jgone\r\n\127")
