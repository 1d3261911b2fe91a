/* tars.h - for tests: tar archives made by hand, right or wrong. */
#ifndef SUMI_TESTS_TARS_H
#define SUMI_TESTS_TARS_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct archive {
	uint8_t data[1 << 16];
	size_t size;
} archive;

/* The sum over the header at `at`, for after it was changed. */
__attribute__((unused)) static void tar_seal(archive *a, size_t at)
{
	unsigned sum = 0;
	memset(a->data + at + 148, ' ', 8);
	for (int i = 0; i < 512; i++) sum += a->data[at + (size_t)i];
	snprintf((char *)a->data + at + 148, 8, "%06o", sum & 0777777);
}

/* Adds a header and the bytes behind it; returns where the header is. */
__attribute__((unused)) static size_t tar_put(archive *a, const char *name, char kind, const void *bytes, size_t size)
{
	size_t at = a->size;
	uint8_t *h = a->data + at;
	if (at + 1024 + size > sizeof a->data) abort();
	memset(h, 0, 512);
	memcpy(h, name, strnlen(name, 100));
	snprintf((char *)h + 100, 8, "%07o", 0644);
	snprintf((char *)h + 124, 12, "%011o", (unsigned)size);
	h[156] = (uint8_t)kind;
	memcpy(h + 257, "ustar\00000", 8);
	tar_seal(a, at);
	memcpy(h + 512, bytes, size);
	memset(h + 512 + size, 0, (512 - size % 512) % 512);
	a->size = at + 512 + (size + 511) / 512 * 512;
	return at;
}

__attribute__((unused)) static void tar_end(archive *a)
{
	memset(a->data + a->size, 0, 1024);
	a->size += 1024;
}

#endif
