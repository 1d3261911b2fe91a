/* sha256.h - SHA-256 (FIPS 180-4): model hashes, and the proof that vocabularies and test data are the right ones. */
#ifndef SUMI_BASE_SHA256_H
#define SUMI_BASE_SHA256_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct sha256 {
	uint32_t state[8];
	uint64_t bytes; /* hashed or waiting so far */
	uint8_t block[64];
} sha256;

void sha256_begin(sha256 *h);
void sha256_add(sha256 *h, const void *data, size_t bytes);
void sha256_end(sha256 *h, uint8_t digest[32]); /* h must be begun anew afterwards */

void sha256_hex(const uint8_t digest[32], char hex[65]); /* lower case, ends with 0 */
void sha256_of(const void *data, size_t bytes, char hex[65]);
bool sha256_of_file(const char *path, char hex[65], error *e);
bool sha256_of_file_from(const char *path, size_t first, char hex[65], error *e); /* without its first bytes */

#endif
