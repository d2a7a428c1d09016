/* SPDX-License-Identifier: Apache-2.0 */
/* Winners for common machines that the library has inside: tuned/winners.txt. */
#ifndef NG_SHIPPED_H
#define NG_SHIPPED_H

#include "store.h"

/* The text they are read from, once, when first asked for; tests put another one here before. NULL:
 * what the library has inside. */
extern const char *ng_shipped_text;

/* What the library has inside, as tuned/winners.txt has it; the caller's to free. NULL: no memory.
 */
char *ng_shipped_unpack(void);

/* ng_store_winners over them. Safe from many threads. E_STORE when the text is none of a store. */
normgen_status ng_shipped_winners(const ng_query *query,
                                  bool (*each)(void *ctx, const ng_found *found), void *ctx);

#endif
