-- SPDX-License-Identifier: Apache-2.0
-- error: :3: attempt to index a nil value (global 'os')
os.execute("true")
