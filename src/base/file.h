/* file.h - files: mapped for reading, read whole, and written to a temporary file that is renamed, so that a reader
 * sees the old file or the new one, never half of one. Messages begin with the path. */
#ifndef SUMI_BASE_FILE_H
#define SUMI_BASE_FILE_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* ── reading ── */
typedef struct mapping {
	const uint8_t *data; /* page-aligned; NULL: none */
	size_t size;
} mapping;

/* Maps a file to be read. BAD_FILE where it is missing, unreadable, empty or not a regular file. Like any mapping,
 * reading it is fatal (SIGBUS) once another program has cut the file short; a file replaced by rename is safe. */
bool map_file(mapping *m, const char *path, error *e);
void unmap_file(mapping *m); /* leaves m empty; an empty m is fine */

/* The content, with a 0 byte behind it that `size` does not count; the caller frees it. NULL with BAD_FILE where it
 * cannot be read or has more than `limit` bytes. Reads pipes too. An empty file is fine. size may be NULL. */
char *whole_file(const char *path, size_t limit, size_t *size, error *e);

/* ── writing ── */
/* Writes PATH.tmp-<process id>, and renames it to PATH when all is on the disk. One writer of a path at a time. */
typedef struct writer writer;

/* `expected`, if not 0, is the size that the file will have: the space is reserved now where the file system can, so
 * that a full disk is found before the work and not after it. A symbolic link is followed. Missing folders of the path
 * are made. */
writer *writer_open(const char *path, uint64_t expected, error *e);
bool writer_put(writer *w, const void *data, size_t bytes, error *e);
/* Flushes to the disk, renames, frees w. Where it fails nothing is left behind and an older file stays as it was. */
bool writer_commit(writer *w, error *e);
void writer_abort(writer *w); /* removes what was written, frees w; NULL is fine */

/* All of the above for bytes that lie in memory. */
bool write_file(const char *path, const void *data, size_t bytes, error *e);

/* Makes the missing ones of the folders in which `path` lies. */
bool make_folders_of(const char *path, error *e);

/* Could writer_open succeed? A check before hours of work; creates nothing and does not touch an existing file, which
 * must be a regular and writable one. */
bool check_writable(const char *path, error *e);

/* Removes what writers that were killed left of the paths that begin with `beginning` ("dir/checkpoint-"). Only where
 * none of them is being written. */
void remove_leftovers(const char *beginning);

#endif
