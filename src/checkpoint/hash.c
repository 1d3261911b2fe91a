/* hash.c - hashes a file, or remembers that it did. */
#include "checkpoint/hash.h"
#include "base/file.h"
#include "base/sha256.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_SIZE = PATH_MAX + 160, KEY_SIZE = LINE_SIZE - 66 };

/* Makes the cache's folder and names its file. */
static bool cache_path(char path[PATH_MAX])
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;
	if (base && *base)
		n = snprintf(path, PATH_MAX - 16, "%s", base);
	else if (home && *home)
		n = snprintf(path, PATH_MAX - 16, "%s/.cache", home);
	else
		return false;
	if (n < 0 || n >= PATH_MAX - 16) return false;
	mkdir(path, 0700);
	strcat(path, "/sumi");
	mkdir(path, 0700);
	strcat(path, "/hashes");
	return true;
}

/* A line: hash, size, time in nanoseconds, path. What follows the hash is the key. */
static bool key_of(const char *path, char key[PATH_MAX + 80])
{
	struct stat s;
	char whole[PATH_MAX];
	if (stat(path, &s) || !S_ISREG(s.st_mode) || !realpath(path, whole) || strchr(whole, '\n')) return false;
	snprintf(key, PATH_MAX + 80, "%lld %lld.%09ld %s\n", (long long)s.st_size, (long long)s.st_mtim.tv_sec,
	    s.st_mtim.tv_nsec, whole);
	return true;
}

static bool remembered(const char *cache, const char *key, char hex[65])
{
	char line[LINE_SIZE];
	FILE *file = fopen(cache, "r");
	if (!file) return false;
	bool found = false;
	while (fgets(line, sizeof line, file)) {
		if (strlen(line) < 66 || line[64] != ' ' || strspn(line, "0123456789abcdef") != 64 || strcmp(line + 65, key))
			continue;
		memcpy(hex, line, 64); /* the last line counts */
		hex[64] = 0;
		found = true;
	}
	fclose(file);
	return found;
}

/* One write of a whole line: two processes may append at once. */
static void remember(const char *cache, const char *key, const char hex[65])
{
	char line[LINE_SIZE];
	int n = snprintf(line, sizeof line, "%s %s", hex, key);
	int file = open(cache, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (file < 0) return;
	ssize_t written = write(file, line, (size_t)n);
	(void)written;
	close(file);
}

/* From byte `first` on; a mark in the key distinguishes this hash from the whole file's. */
static bool hash_from(const char *path, size_t first, const char *mark, char hex[65])
{
	char cache[PATH_MAX], key[KEY_SIZE];
	size_t n = strlen(mark);
	hex[0] = 0;
	memcpy(key, mark, n);
	if (!key_of(path, key + n)) return false;
	bool cached = cache_path(cache);
	if (cached && remembered(cache, key, hex)) return true;
	if (!sha256_of_file_from(path, first, hex, NULL)) return false;
	if (cached) remember(cache, key, hex);
	return true;
}

bool file_hash(const char *path, char hex[65]) { return hash_from(path, 0, "", hex); }

/* Where a safetensors file's data begin; 0: it is none. */
static size_t data_begin(const char *path)
{
	mapping m;
	uint64_t length = 0;
	if (!map_file(&m, path, NULL)) return 0;
	for (size_t i = 0; i < 8 && m.size > 8; i++) length |= (uint64_t)m.data[i] << 8 * i;
	bool known = m.size > 9 && m.data[8] == '{' && length <= m.size - 8;
	unmap_file(&m);
	return known ? (size_t)length + 8 : 0;
}

bool file_data_hash(const char *path, char hex[65])
{
	size_t first = data_begin(path);
	return first ? hash_from(path, first, "data ", hex) : file_hash(path, hex);
}
