/* codepoints.c - growing arrays of code points, and UTF-8 both ways. */
#include "text/codepoints.h"
#include <stdlib.h>
#include <string.h>

static bool reserve(codepoints *t, size_t more, error *e)
{
	if (t->capacity - t->count >= more) return true;
	size_t capacity = t->capacity ? t->capacity : 64;
	while (capacity - t->count < more) {
		if (capacity > SIZE_MAX / 16) return fail(e, NO_MEMORY, "text of %zu characters is too long", t->count);
		capacity *= 2;
	}
	uint32_t *at = realloc(t->at, capacity * sizeof *at);
	if (!at) return fail(e, NO_MEMORY, "no memory for a text of %zu characters", capacity);
	t->at = at;
	t->capacity = capacity;
	return true;
}

bool codepoints_add(codepoints *t, uint32_t c, error *e)
{
	if (!reserve(t, 1, e)) return false;
	t->at[t->count++] = c;
	return true;
}

bool codepoints_append(codepoints *t, const uint32_t *from, size_t count, error *e)
{
	if (!reserve(t, count, e)) return false;
	if (count) memcpy(t->at + t->count, from, count * sizeof *from);
	t->count += count;
	return true;
}

bool codepoints_same(const codepoints *a, const codepoints *b)
{
	return a->count == b->count && (!a->count || !memcmp(a->at, b->at, a->count * sizeof *a->at));
}

void codepoints_free(codepoints *t)
{
	free(t->at);
	*t = (codepoints){ 0 };
}

void codepoints_swap(codepoints *a, codepoints *b)
{
	codepoints c = *a;
	*a = *b;
	*b = c;
}

size_t utf8_decode(const uint8_t *at, size_t left, uint32_t *c)
{
	static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	if (!left) return 0;
	if (at[0] < 0x80) return *c = at[0], 1;
	size_t n = at[0] < 0xc0 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf8 ? 4 : 0;
	if (!n || n > left) return 0;
	uint32_t v = at[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80) return 0;
		v = v << 6 | (at[i] & 0x3f);
	}
	if (v < smallest[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return 0;
	*c = v;
	return n;
}

bool is_utf8(const char *text, size_t length)
{
	uint32_t c;
	for (size_t i = 0, n; i < length; i += n)
		if (!(n = utf8_decode((const uint8_t *)text + i, length - i, &c))) return false;
	return true;
}

size_t utf8_encode(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) return out[0] = (uint8_t)c, 1;
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i; i--, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3f));
	out[0] = (uint8_t)(0xf00u >> n | c);
	return n;
}

bool codepoints_from_utf8(codepoints *t, const char *utf8, size_t length, error *e)
{
	if (!reserve(t, length, e)) return false;
	for (size_t i = 0; i < length;) {
		uint32_t c;
		size_t n = utf8_decode((const uint8_t *)utf8 + i, length - i, &c);
		if (!n)
			return fail(e, BAD_USAGE, "text is not UTF-8: byte 0x%02x at offset %zu begins no valid character",
			    (uint8_t)utf8[i], i);
		t->at[t->count++] = c;
		i += n;
	}
	return true;
}
