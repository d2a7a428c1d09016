-- SPDX-License-Identifier: Apache-2.0
-- error: :3: attempt to call a nil value (global 'load')
return load("return 1")()
