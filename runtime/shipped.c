/* SPDX-License-Identifier: Apache-2.0 */
/* A store in memory, made of the text at the first question and kept as long as the process: it is
 * asked by every handle and belongs to none. */
#include "shipped.h"

#include "shipped_winners.h"

#include <pthread.h>

const char *ng_shipped_text = shipped_winners;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ng_store *store;
static const char *read_from; /* the text that store was made of */

static normgen_status open_store(void) {
    if (store && read_from == ng_shipped_text) return NORMGEN_OK;
    ng_store_close(store);
    store = NULL;
    read_from = ng_shipped_text;
    return ng_store_open_text(ng_shipped_text, "the winners that normgen has inside", &store);
}

normgen_status ng_shipped_winners(const ng_query *query,
                                  bool (*each)(void *ctx, const ng_found *found), void *ctx) {
    pthread_mutex_lock(&lock);
    normgen_status status = open_store();
    if (status == NORMGEN_OK) status = ng_store_winners(store, query, each, ctx);
    pthread_mutex_unlock(&lock);
    return status;
}
