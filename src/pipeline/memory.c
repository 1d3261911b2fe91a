/* memory.c - /proc and control groups. */
#include "pipeline/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The number behind `key` in a file of lines "key … number"; false where it is not there. */
static int number_of(const char *path, const char *key, uint64_t *value)
{
	char line[256];
	int found = 0;
	FILE *file = fopen(path, "r");
	if (!file) return 0;
	size_t n = strlen(key);
	while (!found && fgets(line, sizeof line, file))
		if (!strncmp(line, key, n)) found = sscanf(line + n, "%" SCNu64, value) == 1;
	fclose(file);
	return found;
}

uint64_t memory_available(void)
{
	uint64_t kib, limit, used, cache = 0, available = UINT64_MAX;
	if (number_of("/proc/meminfo", "MemAvailable:", &kib)) available = kib << 10;
	if (number_of("/sys/fs/cgroup/memory.max", "", &limit) && number_of("/sys/fs/cgroup/memory.current", "", &used)) {
		number_of("/sys/fs/cgroup/memory.stat", "inactive_file ", &cache);
		used -= cache < used ? cache : used;
		uint64_t left = limit > used ? limit - used : 0;
		if (left < available) available = left;
	}
	return available;
}

uint64_t memory_resident(void)
{
	uint64_t kib;
	return number_of("/proc/self/status", "RssAnon:", &kib) ? kib << 10 : 0;
}
