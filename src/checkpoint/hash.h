/* hash.h - the SHA-256 of a model's file, remembered in $XDG_CACHE_HOME/sumi/hashes by path, size and time, since
 * reading gigabytes for ten digits takes seconds. */
#ifndef SUMI_PIPELINE_HASH_H
#define SUMI_PIPELINE_HASH_H
#include <stdbool.h>

/* 64 hexadecimal digits. False: the file could not be read, or is a folder; then hex is empty. A cache that cannot be
 * read or written is no failure. */
bool file_hash(const char *path, char hex[65]);

#endif
