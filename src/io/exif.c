/* exif.c - the two entries of EXIF that are read: a picture's orientation and its comment.
 * Source: Exif 2.3 (JEITA CP-3451C), 4.5 and 4.6.5. */
#include "io/codec.h"
#include <stdlib.h>
#include <string.h>

enum { ORIENTATION = 0x0112, EXIF_POINTER = 0x8769, USER_COMMENT = 0x9286 };
enum { COMMENT_LIMIT = 32000 }; /* UTF-16 units: a JPEG segment holds 65,533 bytes */

/* ── reading ── */

static uint32_t number(const exif *x, size_t at, int bytes)
{
	uint32_t n = 0;
	if (at > x->size || x->size - at < (size_t)bytes) return 0;
	for (int i = 0; i < bytes; i++) n = n << 8 | x->data[at + (size_t)(x->data[0] == 'M' ? i : bytes - 1 - i)];
	return n;
}

/* The place of the entry's value or of its pointer, 0 where the directory has none. */
static size_t entry(const exif *x, size_t directory, uint32_t tag)
{
	uint32_t n = number(x, directory, 2);
	for (uint32_t i = 0; directory && i < n; i++) {
		size_t at = directory + 2 + 12 * (size_t)i;
		if (at > x->size || x->size - at < 12) return 0;
		if (number(x, at, 2) == tag) return at + 8;
	}
	return 0;
}

static bool valid(const exif *x)
{
	return x->size >= 8 && (x->data[0] == 'M' || x->data[0] == 'I') && x->data[1] == x->data[0] &&
	       number(x, 2, 2) == 42;
}

int exif_orientation(const exif *x)
{
	if (!valid(x)) return 1;
	size_t at = entry(x, number(x, 4, 4), ORIENTATION);
	uint32_t n = at ? number(x, at, 2) : 1;
	return n >= 1 && n <= 8 ? (int)n : 1;
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const uint8_t lead[4] = { 0, 0xc0, 0xe0, 0xf0 };
	*to++ = (char)(lead[more] | c >> 6 * more);
	while (more--) *to++ = (char)(0x80 | (c >> 6 * more & 0x3f));
	return to;
}

/* Lone surrogates become U+FFFD; the text ends at a zero. */
static char *utf8_from_utf16(const uint8_t *text, size_t units, bool big)
{
	char *out = malloc(3 * units + 1), *to = out;
	for (size_t i = 0; out && i < units; i++, text += 2) {
		uint32_t c = text[big] | (uint32_t)text[!big] << 8;
		uint32_t next = i + 1 < units ? text[2 + big] | (uint32_t)text[2 + !big] << 8 : 0;
		if (!c) break;
		if (c >= 0xd800 && c < 0xdc00 && next >= 0xdc00 && next < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (next - 0xdc00);
			text += 2;
			i++;
		} else if (c >= 0xd800 && c < 0xe000) {
			c = 0xfffd;
		}
		to = put_utf8(to, c);
	}
	if (out) *to = 0;
	return out;
}

char *exif_comment(const exif *x)
{
	if (!valid(x)) return NULL;
	size_t pointer = entry(x, number(x, 4, 4), EXIF_POINTER);
	size_t value = pointer ? entry(x, number(x, pointer, 4), USER_COMMENT) : 0;
	if (!value) return NULL;
	size_t n = number(x, value - 4, 4), at = number(x, value, 4);
	if (n <= 8 || at > x->size || n > x->size - at) return NULL;
	const uint8_t *text = x->data + at;
	if (!memcmp(text, "ASCII\0\0\0", 8)) return strndup((const char *)text + 8, n - 8);
	if (memcmp(text, "UNICODE\0", 8)) return NULL;
	/* The standard names no byte order. Ours and piexif's is big-endian; others use the file's. Prompts begin with
	 * Latin letters more often than not, which shows in the first character. */
	bool big = !(n >= 10 && text[8] && !text[9]);
	return utf8_from_utf16(text + 8, (n - 8) / 2, big);
}

/* ── writing ── */

static void put_number(buffer *out, uint32_t n, int bytes)
{
	uint8_t b[4];
	for (int i = 0; i < bytes; i++) b[i] = (uint8_t)(n >> 8 * (bytes - 1 - i));
	buffer_add(out, b, (size_t)bytes);
}

/* The next character of UTF-8 text; bytes that are none become U+FFFD. */
static uint32_t next_character(const uint8_t **text)
{
	const uint8_t *c = *text;
	int more = *c < 0x80 ? 0 : (*c & 0xe0) == 0xc0 ? 1 : (*c & 0xf0) == 0xe0 ? 2 : (*c & 0xf8) == 0xf0 ? 3 : -1;
	uint32_t code = more < 1 ? *c : *c & (0x3fu >> more);
	for (int i = 1; i <= more; i++) {
		if ((c[i] & 0xc0) != 0x80) more = -1;
		code = code << 6 | (c[i] & 0x3f);
	}
	*text += more < 0 ? 1 : 1 + more;
	return more < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code;
}

static void put_utf16(buffer *out, const char *text)
{
	const uint8_t *at = (const uint8_t *)text;
	for (int units = 0; *at && units < COMMENT_LIMIT - 1;) {
		uint32_t c = next_character(&at);
		if (c >= 0x10000) {
			put_number(out, 0xd800 + ((c - 0x10000) >> 10), 2);
			put_number(out, 0xdc00 + ((c - 0x10000) & 0x3ff), 2);
			units += 2;
		} else {
			put_number(out, c, 2);
			units++;
		}
	}
}

static void put_entry(buffer *out, uint32_t tag, uint32_t type, uint32_t count, uint32_t value)
{
	put_number(out, 1, 2); /* a directory of one */
	put_number(out, tag, 2);
	put_number(out, type, 2);
	put_number(out, count, 4);
	put_number(out, value, 4);
	put_number(out, 0, 4); /* no directory follows */
}

void exif_write(buffer *out, const char *text)
{
	buffer comment = { 0 };
	buffer_add(&comment, "UNICODE\0", 8);
	put_utf16(&comment, text);
	buffer_add(out, "MM\0*\0\0\0\10", 8);
	put_entry(out, EXIF_POINTER, 4, 1, 26);
	put_entry(out, USER_COMMENT, 7, (uint32_t)comment.size, 44);
	buffer_add(out, comment.data, comment.size);
	out->failed |= comment.failed;
	free(comment.data);
}
