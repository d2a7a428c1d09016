/* SPDX-License-Identifier: Apache-2.0 */
/* A system that forbids executable memory, as hardened services have it. */
#ifndef NG_TESTS_NOCODE_H
#define NG_TESTS_NOCODE_H

#include <stdbool.h>

/* From here on mmap and mprotect with PROT_EXEC fail with EPERM in this process; false when the
 * kernel has no seccomp filters. */
bool forbid_code(void);

#endif
