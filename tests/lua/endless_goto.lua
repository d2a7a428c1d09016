-- SPDX-License-Identifier: Apache-2.0
-- error: :4: over budget: the file runs more than 50000000 instructions
::top::
goto top
