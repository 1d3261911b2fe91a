/* gguf_writer.c - the header of a GGUF file of version 3, as stable-diffusion.cpp writes it (no architecture is named,
 * by which its own and ComfyUI's readers know such a file), with our metadata. */
#include "io/writing.h"
#include <string.h>

/* stable-diffusion.cpp's ggml keeps names in 128 bytes, and four axes. */
enum { VERSION = 3, LONGEST_NAME = 127, MOST_AXES = 4, VALUE_STRING = 8 };

static void add_number(buffer *b, uint64_t n, int bytes)
{
	uint8_t number[8];
	for (int i = 0; i < bytes; i++) number[i] = (uint8_t)(n >> 8 * i);
	buffer_add(b, number, (size_t)bytes);
}

static void add_text(buffer *b, const char *text)
{
	add_number(b, strlen(text), 8);
	buffer_add_text(b, text);
}

bool gguf_can_hold(const declared *t, const char *path, error *e)
{
	uint32_t number;
	if (strlen(t->name) > LONGEST_NAME)
		return fail(e, BAD_USAGE,
		    "%s: the name of the tensor \"%s\" is longer than the %d bytes that GGUF's readers take", path, t->name,
		    LONGEST_NAME);
	if (t->ndims > MOST_AXES)
		return fail(e, BAD_USAGE, "%s: the tensor \"%s\" has %d dimensions, and GGUF's have at most %d", path, t->name,
		    t->ndims, MOST_AXES);
	if (!gguf_number_of(t->type, &number))
		return fail(e, BAD_USAGE, "%s: the tensor \"%s\" is of type %s, which GGUF does not have", path, t->name,
		    dtype_name(t->type));
	size_t block = dtype_block(t->type), row = t->ndims ? (size_t)t->shape[t->ndims - 1] : 1;
	return row % block == 0 ||
	       fail(e, BAD_USAGE, "%s: rows of %zu elements in the tensor \"%s\", no multiple of %s's blocks of %zu", path,
	           row, t->name, dtype_name(t->type), block);
}

static void add_tensor(buffer *b, const declared *t)
{
	uint32_t number = 0;
	gguf_number_of(t->type, &number);
	add_text(b, t->name);
	add_number(b, t->ndims ? (uint64_t)t->ndims : 1, 4);
	if (!t->ndims) add_number(b, 1, 8);
	for (int i = t->ndims; i-- > 0;) add_number(b, (uint64_t)t->shape[i], 8);
	add_number(b, number, 4);
	add_number(b, t->begin, 8);
}

void gguf_header(buffer *b, const declared *list, size_t count, const json_t *metadata)
{
	const char *key;
	json_t *value;
	static const char zeros[GGUF_ALIGNMENT];
	buffer_add_text(b, "GGUF");
	add_number(b, VERSION, 4);
	add_number(b, count, 8);
	add_number(b, json_object_size(metadata), 8);
	json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
	{
		add_text(b, key);
		add_number(b, VALUE_STRING, 4);
		add_text(b, json_string_value(value));
	}
	for (size_t i = 0; i < count; i++) add_tensor(b, &list[i]);
	buffer_add(b, zeros, (GGUF_ALIGNMENT - b->size % GGUF_ALIGNMENT) % GGUF_ALIGNMENT);
}
