/* zip.h - the directory of a zip archive that lies in memory, as far as PyTorch writes one: stored entries, zip64. What
 * is compressed or encrypted is reported and not unpacked, so no archive is larger than its file.
 *
 * Format: PKWARE's APPNOTE.TXT 6.3 (sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3). */
#ifndef SUMI_IO_ZIP_H
#define SUMI_IO_ZIP_H
#include "base/error.h"
#include "base/file.h"

typedef struct zip_entry {
	const char *name; /* in the mapping: NOT terminated */
	size_t name_length;
	uint64_t header; /* where its local header begins */
	uint64_t stored, bytes;
	uint32_t crc;
	uint16_t flags, method;
} zip_entry;

typedef struct zip {
	const mapping *file; /* borrowed */
	const char *path;    /* borrowed: messages begin with it */
	zip_entry *entries;  /* by name */
	size_t count;
} zip;

bool looks_like_zip(const mapping *m);
/* Reads the directory; BAD_FILE where it is not one or a name is there twice. The mapping and the path stay the
 * caller's and must outlive z. */
bool zip_open(zip *z, const mapping *m, const char *path, error *e);
void zip_close(zip *z); /* zeros are fine */

const zip_entry *zip_find(const zip *z, const char *name, size_t length); /* NULL: none */
/* The bytes of an entry, where they lie in the file. NULL with BAD_FILE where they are compressed, encrypted or outside
 * of the file. */
const uint8_t *zip_data(const zip *z, const zip_entry *entry, error *e);
bool zip_check(const zip *z, const zip_entry *entry, error *e); /* its checksum; reads all of it */

#endif
