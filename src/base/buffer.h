/* buffer.h - bytes that grow: texts and files that are put together in memory. */
#ifndef SUMI_BASE_BUFFER_H
#define SUMI_BASE_BUFFER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct buffer { /* zeros: empty */
	char *data;         /* [size] and a 0 behind it; NULL while empty. Owned: free() it, or take it */
	size_t size, room;
	bool failed; /* out of memory: what was to be added since then is not there */
} buffer;

void buffer_add(buffer *b, const void *data, size_t bytes);
void buffer_add_text(buffer *b, const char *text);
void buffer_add_file(buffer *b, FILE *f); /* the rest of it */

#endif
