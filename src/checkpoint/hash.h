/* hash.h - the SHA-256 of a model's file, remembered in $XDG_CACHE_HOME/sumi/hashes by path, size and time, since
 * reading gigabytes for ten digits takes seconds. */
#ifndef SUMI_CHECKPOINT_HASH_H
#define SUMI_CHECKPOINT_HASH_H
#include <stdbool.h>

/* 64 hexadecimal digits. False: the file could not be read, or is a folder; then hex is empty. A cache that cannot be
 * read or written is no failure. */
bool file_hash(const char *path, char hex[65]);
/* The same of a safetensors file's data alone, behind the header: what identifies LoRA files in kohya's scripts and in
 * A1111, which let people edit the metadata. Of any other file it is file_hash(). */
bool file_data_hash(const char *path, char hex[65]);

#endif
