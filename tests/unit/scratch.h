/* scratch.h - for tests that write files: a folder of their own, removed at the end, and paths in it. */
#ifndef SUMI_TESTS_SCRATCH_H
#define SUMI_TESTS_SCRATCH_H
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka's; ours is a function */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch[64];

__attribute__((unused)) static int scratch_make(void **state)
{
	(void)state;
	strcpy(scratch, "/tmp/sumi-test-XXXXXX");
	return mkdtemp(scratch) ? 0 : -1;
}

/* How many files and folders are in it. */
__attribute__((unused)) static int scratch_count(void)
{
	int n = 0;
	DIR *d = opendir(scratch);
	for (struct dirent *f; d && (f = readdir(d));) n += f->d_name[0] != '.';
	if (d) closedir(d);
	return n;
}

__attribute__((unused)) static int scratch_remove(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", scratch);
	return system(command);
}

/* The path of a name in the folder, in one of eight buffers that rotate. */
__attribute__((unused)) static const char *scratch_path(const char *name)
{
	static char paths[8][160];
	static int next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
	return path;
}

__attribute__((unused)) static const char *scratch_write(const char *name, const void *data, size_t bytes)
{
	const char *path = scratch_path(name);
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	if (bytes) assert_int_equal(fwrite(data, 1, bytes, f), bytes);
	fclose(f);
	return path;
}

#define fail_saying(...)           \
	do {                           \
		print_error(__VA_ARGS__);  \
		_fail(__FILE__, __LINE__); \
	} while (0)

/* The message is about the thing: it holds these words. */
#define assert_says(e, words)                                                                   \
	do {                                                                                        \
		if (!strstr((e).text, words)) fail_saying("expected \"%s\" in: %s\n", words, (e).text); \
	} while (0)

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_make, scratch_remove)

#endif
