/* SPDX-License-Identifier: Apache-2.0 */
/* A store in memory, made of the text at the first question and kept as long as the process: it is
 * asked by every handle and belongs to none. */
#include "shipped.h"

#include "error.h"
#include "shipped_winners.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const char *ng_shipped_text; /* NULL: the packed one */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ng_store *store;
static const char *read_from; /* the text that store was made of */

/* Bytes from 128 on stand for words (cmake/embed.cmake). */
static const char *part_of(const char *packed, char letter[2]) {
    unsigned char byte = (unsigned char)*packed;
    if (byte >= 128) return shipped_winners_words[byte - 128];
    letter[0] = *packed;
    letter[1] = '\0';
    return letter;
}

char *ng_shipped_unpack(void) {
    char letter[2];
    size_t bytes = 1;
    for (const char *at = shipped_winners; *at; at++) bytes += strlen(part_of(at, letter));
    char *text = malloc(bytes), *end = text;
    if (!text) return NULL;
    for (const char *at = shipped_winners; *at; at++) end = stpcpy(end, part_of(at, letter));
    return text;
}

static normgen_status open_store(void) {
    if (store && read_from == ng_shipped_text) return NORMGEN_OK;
    ng_store_close(store);
    store = NULL;
    char *unpacked = ng_shipped_text ? NULL : ng_shipped_unpack();
    const char *text = ng_shipped_text ? ng_shipped_text : unpacked;
    if (!text)
        return ng_fail(NORMGEN_E_MEMORY, "no memory for the winners that normgen has inside");
    read_from = ng_shipped_text;
    normgen_status status = ng_store_open_text(text, "the winners that normgen has inside", &store);
    free(unpacked);
    return status;
}

normgen_status ng_shipped_winners(const ng_query *query,
                                  bool (*each)(void *ctx, const ng_found *found), void *ctx) {
    pthread_mutex_lock(&lock);
    normgen_status status = open_store();
    if (status == NORMGEN_OK) status = ng_store_winners(store, query, each, ctx);
    pthread_mutex_unlock(&lock);
    return status;
}
