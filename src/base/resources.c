/* resources.c - reads /proc and the files of control groups. */
#include "base/resources.h"
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_PATH = 4096 };

/* The number behind `key` in a file of lines "key … number"; false where it is not there. */
static bool number_of(const char *path, const char *key, uint64_t *value)
{
	char line[256];
	bool found = false;
	FILE *file = fopen(path, "r");
	if (!file) return false;
	size_t n = strlen(key);
	while (!found && fgets(line, sizeof line, file))
		if (!strncmp(line, key, n)) found = sscanf(line + n, "%" SCNu64, value) == 1;
	fclose(file);
	return found;
}

/* ── where the groups are ── */

/* The groups of one controller that bind this process: a folder and those above it up to the mount. */
typedef struct group {
	int version;             /* 1 or 2; 0: none */
	char path[LONGEST_PATH]; /* of the innermost */
	size_t mount;            /* length of the mount point in it */
} group;

/* Is `word` one of a list with commas between? */
static bool lists(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		size_t length = strcspn(at, ",\n");
		if (length == n && !strncmp(at, word, n)) return true;
	}
	return false;
}

/* The process's own group, from /proc/self/cgroup: lines "4:memory:/path" (version 1) and "0::/path" (version 2). */
static bool own_group(const char *root, int version, const char *controller, char *path)
{
	char name[LONGEST_PATH], line[LONGEST_PATH + 256];
	snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
	FILE *file = fopen(name, "r");
	bool found = false;
	while (file && !found && fgets(line, sizeof line, file)) {
		char *list = strchr(line, ':'), *at = list ? strchr(list + 1, ':') : NULL;
		if (!at) continue;
		*at++ = 0;
		at[strcspn(at, "\n")] = 0;
		found = version == 2 ? !strncmp(line, "0:", 2) && !list[1] : lists(list + 1, controller);
		if (found) snprintf(path, LONGEST_PATH, "%s", at);
	}
	if (file) fclose(file);
	return found;
}

/* A line of /proc/self/mountinfo: "36 35 0:31 ROOT POINT options … - TYPE SOURCE SUPER"; is it of that hierarchy? */
static bool is_mount(const char *line, int version, const char *controller)
{
	const char *end = strstr(line, " - ");
	char type[32], options[1024];
	if (!end || sscanf(end + 3, "%31s %*s %1023s", type, options) < 2) return false;
	return version == 2 ? !strcmp(type, "cgroup2") : !strcmp(type, "cgroup") && lists(options, controller);
}

/* A container may see a part of the tree alone: the mount's root is then the group that its point shows. */
static void place(group *g, const char *root, const char *mount_root, const char *point, const char *own)
{
	size_t n = strcmp(mount_root, "/") ? strlen(mount_root) : 0;
	bool within = !strncmp(own, mount_root, n) && (own[n] == '/' || !own[n]);
	const char *rest = within ? own + n : "";
	int length = snprintf(g->path, sizeof g->path, "%s%s", root, point);
	if (length < 0 || (size_t)length >= sizeof g->path) return;
	g->mount = (size_t)length;
	snprintf(g->path + g->mount, sizeof g->path - g->mount, "%s", strcmp(rest, "/") ? rest : "");
}

static group find_group(const char *root, int version, const char *controller)
{
	group g = { 0 };
	char name[LONGEST_PATH], own[LONGEST_PATH], line[2 * LONGEST_PATH], mount_root[LONGEST_PATH], point[LONGEST_PATH];
	if (!own_group(root, version, controller, own)) return g;
	snprintf(name, sizeof name, "%s/proc/self/mountinfo", root);
	FILE *file = fopen(name, "r");
	while (file && !g.version && fgets(line, sizeof line, file)) {
		if (!is_mount(line, version, controller)) continue;
		if (sscanf(line, "%*s %*s %*s %4095s %4095s", mount_root, point) != 2) continue;
		place(&g, root, mount_root, point, own);
		g.version = version;
	}
	if (file) fclose(file);
	return g;
}

/* From a group to the one around it; false: that was the mount. */
static bool go_up(group *g)
{
	char *slash = strlen(g->path) > g->mount ? strrchr(g->path + g->mount, '/') : NULL;
	if (slash) *slash = 0;
	return slash != NULL;
}

static bool number_in(const group *g, const char *file, const char *key, uint64_t *value)
{
	char path[LONGEST_PATH + 64];
	snprintf(path, sizeof path, "%s/%s", g->path, file);
	return number_of(path, key, value);
}

/* ── memory ── */

/* What one group leaves; UINT64_MAX: it has no limit. */
static uint64_t left_in(const group *g)
{
	bool second = g->version == 2;
	uint64_t limit, used, cache = 0, inherited;
	if (!number_in(g, second ? "memory.max" : "memory.limit_in_bytes", "", &limit)) return UINT64_MAX;
	if (!number_in(g, second ? "memory.current" : "memory.usage_in_bytes", "", &used)) return UINT64_MAX;
	/* Version 1 reports the limit of ancestors outside the container here. */
	if (!second && number_in(g, "memory.stat", "hierarchical_memory_limit ", &inherited) && inherited < limit)
		limit = inherited;
	number_in(g, "memory.stat", second ? "inactive_file " : "total_inactive_file ", &cache);
	used -= cache < used ? cache : used;
	return limit > used ? limit - used : 0;
}

uint64_t memory_available_under(const char *root)
{
	char path[LONGEST_PATH];
	uint64_t kib, available = UINT64_MAX;
	snprintf(path, sizeof path, "%s/proc/meminfo", root);
	if (number_of(path, "MemAvailable:", &kib)) available = kib << 10;
	for (int version = 1; version <= 2; version++) {
		group g = find_group(root, version, "memory");
		if (!g.version) continue;
		do {
			uint64_t left = left_in(&g);
			if (left < available) available = left;
		} while (go_up(&g));
	}
	return available;
}

uint64_t memory_available(void) { return memory_available_under(""); }

uint64_t memory_resident(void)
{
	uint64_t kib;
	return number_of("/proc/self/status", "RssAnon:", &kib) ? kib << 10 : 0;
}

/* ── CPUs ── */

/* Microseconds of CPU time in a period of so many; false: no quota. */
static bool quota_of(const group *g, uint64_t *quota, uint64_t *period)
{
	char path[LONGEST_PATH + 64];
	snprintf(path, sizeof path, "%s/cpu.max", g->path);
	if (g->version == 1)
		return number_in(g, "cpu.cfs_quota_us", "", quota) && (int64_t)*quota > 0 &&
		       number_in(g, "cpu.cfs_period_us", "", period) && *period;
	FILE *file = fopen(path, "r");
	bool limited = file && fscanf(file, "%" SCNu64 " %" SCNu64, quota, period) == 2 && *quota && *period;
	if (file) fclose(file);
	return limited;
}

int cpu_quota_under(const char *root)
{
	uint64_t quota, period, least = INT_MAX;
	for (int version = 1; version <= 2; version++) {
		group g = find_group(root, version, "cpu");
		if (!g.version) continue;
		do
			if (quota_of(&g, &quota, &period) && (quota + period - 1) / period < least)
				least = (quota + period - 1) / period;
		while (go_up(&g));
	}
	return (int)least;
}

int usable_cpus(void)
{
	cpu_set_t set;
	int allowed = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set), paid = cpu_quota_under("");
	return allowed < paid ? allowed : paid;
}
