/* charsmap.c - builds the trie: each node's children lie at its base XOR their byte, its value at the base itself. A
 * unit holds its byte (bits 0 to 7), whether a value follows (8), and the distance to its base (from 10 on). */
#include "text/charsmap.h"
#include "base/base64.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HAS_VALUE = 1 << 8, OFFSET_SHIFT = 10, LARGEST_OFFSET = 1 << 21, BYTES = 256 };
#define IS_VALUE 0x80000000u

typedef struct trie {
	uint32_t *units;
	bool *used, *base; /* of each place: it holds a unit; it is some node's base */
	size_t size;       /* a multiple of BYTES: a base and its children lie in one block */
	size_t first_free;
	const char_form *list;
	const uint32_t *values; /* where each form begins */
	error *e;
} trie;

static bool grow(trie *t, size_t size)
{
	uint32_t *units = realloc(t->units, size * sizeof *units);
	if (units) t->units = units;
	bool *used = units ? realloc(t->used, size) : NULL;
	if (used) t->used = used;
	bool *base = used ? realloc(t->base, size) : NULL;
	if (base) t->base = base;
	if (!base) return fail(t->e, NO_MEMORY, "no memory for a table of normal forms");
	memset(t->units + t->size, 0, (size - t->size) * sizeof *units);
	memset(t->used + t->size, 0, size - t->size);
	memset(t->base + t->size, 0, size - t->size);
	t->size = size;
	return true;
}

/* A base whose places for these bytes are free; 0: no memory. */
static size_t find_base(trie *t, const uint8_t *bytes, int count)
{
	while (t->first_free < t->size && t->used[t->first_free]) t->first_free++;
	for (size_t at = t->first_free;; at++) {
		if (at >= t->size && !grow(t, t->size + BYTES)) return 0;
		size_t base = at ^ bytes[0];
		if (!base || t->base[base]) continue;
		bool fits = true;
		for (int i = 0; fits && i < count; i++) fits = !t->used[base ^ bytes[i]];
		if (fits) return base;
	}
}

/* The node at `place`, whose keys are those from first to end, alike in their first `depth` bytes. */
static bool build(trie *t, size_t place, size_t first, size_t end, size_t depth)
{
	uint8_t bytes[BYTES];
	size_t starts[BYTES + 1];
	int count = 0;
	for (size_t i = first; i < end; i++) {
		uint8_t c = depth < t->list[i].key_length ? (uint8_t)t->list[i].key[depth] : 0;
		if (count && bytes[count - 1] == c) continue;
		bytes[count] = c;
		starts[count++] = i;
	}
	starts[count] = end;
	size_t base = find_base(t, bytes, count), offset = base ^ place;
	if (!base) return false;
	if (offset >= LARGEST_OFFSET) return fail(t->e, BAD_USAGE, "too many normal forms for their table");
	t->base[base] = true;
	t->units[place] |= (uint32_t)offset << OFFSET_SHIFT;
	for (int i = 0; i < count; i++) {
		t->used[base ^ bytes[i]] = true;
		t->units[base ^ bytes[i]] = bytes[i];
	}
	for (int i = 0; i < count; i++) {
		if (bytes[i]) {
			if (!build(t, base ^ bytes[i], starts[i], starts[i + 1], depth + 1)) return false;
		} else {
			t->units[base] = IS_VALUE | t->values[starts[i]];
			t->units[place] |= HAS_VALUE;
		}
	}
	return true;
}

/* The size of the trie, the trie, the forms, each ended by a zero. */
static char *write_all(const trie *t, const char_form *list, size_t count, size_t forms)
{
	size_t bytes = t->size * sizeof *t->units, whole = 4 + bytes + forms;
	uint8_t *all = malloc(whole + 1), *at = all;
	uint32_t size = (uint32_t)bytes;
	if (!all) return NULL;
	for (int i = 0; i < 4; i++) *at++ = (uint8_t)(size >> 8 * i);
	for (size_t k = 0; k < t->size; k++)
		for (int i = 0; i < 4; i++) *at++ = (uint8_t)(t->units[k] >> 8 * i);
	for (size_t i = 0; i < count; i++) {
		memcpy(at, list[i].form, list[i].form_length);
		at += list[i].form_length;
		*at++ = 0;
	}
	char *text = base64_encode(all, whole);
	free(all);
	return text;
}

char *charsmap_base64(const char_form *list, size_t count, error *e)
{
	uint32_t *values = malloc((count + 1) * sizeof *values), forms = 0;
	trie t = { .list = list, .values = values, .e = e };
	char *text = NULL;
	for (size_t i = 0; values && i < count; i++) {
		values[i] = forms;
		forms += (uint32_t)list[i].form_length + 1;
	}
	if (values && grow(&t, BYTES)) {
		t.used[0] = true; /* the root */
		if (build(&t, 0, 0, count, 0)) text = write_all(&t, list, count, forms);
	}
	if (!text) fail(e, NO_MEMORY, "no memory for a table of normal forms");
	free(values);
	free(t.units);
	free(t.used);
	free(t.base);
	return text;
}
