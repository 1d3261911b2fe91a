/* buffer.c - grows by half as much again, so that adding takes linear time. */
#include "base/buffer.h"
#include <stdlib.h>
#include <string.h>

void buffer_add(buffer *b, const void *data, size_t bytes)
{
	if (b->failed) return;
	if (bytes >= b->room - b->size) {
		size_t room = b->size + bytes + (b->size + bytes) / 2 + 64;
		char *more = realloc(b->data, room);
		if (!more) {
			b->failed = true;
			return;
		}
		b->data = more;
		b->room = room;
	}
	if (bytes) memcpy(b->data + b->size, data, bytes);
	b->size += bytes;
	b->data[b->size] = 0;
}

void buffer_add_text(buffer *b, const char *text) { buffer_add(b, text, strlen(text)); }

void buffer_add_file(buffer *b, FILE *f)
{
	char block[65536];
	size_t n;
	while ((n = fread(block, 1, sizeof block, f)) > 0) buffer_add(b, block, n);
}
