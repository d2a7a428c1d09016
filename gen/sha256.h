/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4): digests that stand in manifests and symbol names. */
#ifndef NG_SHA256_H
#define NG_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct ng_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    unsigned char block[64];
} ng_sha256;

#define NG_SHA256_TEXT 65 /* 64 hexadecimal digits and the end mark */

void ng_sha256_begin(ng_sha256 *h);
void ng_sha256_add(ng_sha256 *h, const void *bytes, size_t n);
/* The digest as text; the state is used up. */
void ng_sha256_end(ng_sha256 *h, char text[NG_SHA256_TEXT]);
void ng_sha256_text(const void *bytes, size_t n, char text[NG_SHA256_TEXT]);

#endif
