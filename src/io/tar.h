/* tar.h - walks the files of a tar archive that lies in memory: ustar (POSIX.1-1988), GNU's long names and base-256
 * sizes, and pax headers (POSIX.1-2001). Nothing is unpacked: the data of an entry points into the archive.
 *
 *     tar t = tar_of(m.data, m.size, "00000.tar");
 *     for (tar_file f; tar_next(&t, &f, &e);) … f.name, f.data, f.size …
 *     if (failed(&e)) … the archive is cut or damaged behind the last entry … */
#ifndef SUMI_IO_TAR_H
#define SUMI_IO_TAR_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { TAR_NAME = 4096 };

typedef struct tar {
	const uint8_t *data;
	size_t size, at; /* at: of the next header */
	const char *path;
	bool ended;
	char name[TAR_NAME];
} tar;

typedef struct tar_file {
	const char *name; /* valid until the next call */
	const uint8_t *data;
	size_t size, at; /* bytes of the file; place of its data in the archive */
} tar_file;

/* path is what messages call it. */
tar tar_of(const void *data, size_t size, const char *path);
/* The next regular file; folders, links and what else there is are passed over. False: the end; or BAD_FILE, where a
 * header is damaged or the archive ends before its end mark does. */
bool tar_next(tar *t, tar_file *f, error *e);

#endif
