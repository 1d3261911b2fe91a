/* tar.c - blocks of 512 bytes: a header, then the file's bytes, padded. Every length is checked against what is left.
 */
#include "io/tar.h"
#include <string.h>

enum { BLOCK = 512, NAME = 0, NAME_BYTES = 100, SIZE = 124, SIZE_BYTES = 12, SUM = 148, SUM_BYTES = 8, KIND = 156 };
enum { MAGIC = 257, PREFIX = 345, PREFIX_BYTES = 155 };

tar tar_of(const void *data, size_t size, const char *path)
{
	return (tar){ .data = data, .size = size, .path = path };
}

/* Octal digits between blanks, or GNU's base 256 where the first bit is set. */
static bool read_number(const uint8_t *field, int bytes, uint64_t *number)
{
	uint64_t n = 0;
	if (*field & 0x80) {
		if (*field != 0x80) return false; /* negative, or more than 2^56 times too large */
		for (int i = 1; i < bytes; i++) {
			if (n >> 55) return false;
			n = n << 8 | field[i];
		}
		*number = n;
		return true;
	}
	int i = 0;
	while (i < bytes && field[i] == ' ') i++;
	for (; i < bytes && field[i] >= '0' && field[i] <= '7'; i++) n = n << 3 | (uint64_t)(field[i] - '0');
	*number = n;
	return i == bytes || field[i] == ' ' || field[i] == 0;
}

/* The sum of the header's bytes, its own field as blanks; old programs added signed bytes. */
static bool sum_is_right(const uint8_t *header)
{
	uint64_t given;
	int64_t plain = 0, with_sign = 0;
	for (int i = 0; i < BLOCK; i++) {
		int byte = i >= SUM && i < SUM + SUM_BYTES ? ' ' : header[i];
		plain += byte;
		with_sign += (int8_t)byte;
	}
	return read_number(header + SUM, SUM_BYTES, &given) && ((int64_t)given == plain || (int64_t)given == with_sign);
}

static bool is_zero(const uint8_t *block)
{
	for (int i = 0; i < BLOCK; i++)
		if (block[i]) return false;
	return true;
}

static bool set_name(tar *t, const void *name, size_t length, error *e)
{
	const char *end = memchr(name, 0, length);
	if (end) length = (size_t)(end - (const char *)name);
	if (length >= TAR_NAME) return fail(e, BAD_FILE, "%s: a name has more than %d bytes", t->path, TAR_NAME - 1);
	memcpy(t->name, name, length);
	t->name[length] = 0;
	return true;
}

/* PREFIX/NAME in ustar; neither needs a 0 at its end. */
static void name_of_header(tar *t, const uint8_t *header)
{
	size_t n = 0;
	bool ustar = !memcmp(header + MAGIC, "ustar\0", 6);
	if (ustar && header[PREFIX]) {
		n = strnlen((const char *)header + PREFIX, PREFIX_BYTES);
		memcpy(t->name, header + PREFIX, n);
		t->name[n++] = '/';
	}
	size_t length = strnlen((const char *)header + NAME, NAME_BYTES);
	memcpy(t->name + n, header + NAME, length);
	t->name[n + length] = 0;
}

typedef struct pax { /* what a pax header says of the next file */
	bool has_size, has_name;
	uint64_t size;
} pax;

/* Records "LENGTH KEY=VALUE\n", where LENGTH counts all of it. */
static bool read_pax(tar *t, const uint8_t *data, size_t size, pax *p, error *e)
{
	while (size) {
		size_t length = 0, i = 0;
		for (; i < size && data[i] >= '0' && data[i] <= '9' && length <= size; i++)
			length = 10 * length + (size_t)(data[i] - '0');
		const uint8_t *key = data + i + 1;
		if (!i || i >= size || data[i] != ' ' || length > size || length < i + 3 || data[length - 1] != '\n')
			return fail(e, BAD_FILE, "%s: a pax header makes no sense", t->path);
		size_t left = length - i - 2; /* of key=value */
		const uint8_t *value = memchr(key, '=', left);
		if (!value) return fail(e, BAD_FILE, "%s: a pax header makes no sense", t->path);
		size_t name = (size_t)(value++ - key), bytes = left - name - 1;
		if (name == 4 && !memcmp(key, "path", 4)) {
			if (!set_name(t, value, bytes, e)) return false;
			p->has_name = true;
		} else if (name == 4 && !memcmp(key, "size", 4)) {
			p->has_size = bytes > 0 && bytes < 19;
			p->size = 0;
			for (size_t k = 0; k < bytes && p->has_size; k++) {
				p->has_size = value[k] >= '0' && value[k] <= '9';
				p->size = 10 * p->size + (uint64_t)(value[k] - '0');
			}
			if (!p->has_size) return fail(e, BAD_FILE, "%s: a pax header's size is no number", t->path);
		}
		data += length;
		size -= length;
	}
	return true;
}

static bool cut(const tar *t, const char *where, error *e)
{
	return fail(e, BAD_FILE, "%s: is cut: it ends after %zu bytes, %s", t->path, t->size, where);
}

/* The header at t->at, checked; NULL: the end, or a failure. */
static const uint8_t *next_header(tar *t, error *e)
{
	const uint8_t *header = t->data + t->at;
	if (t->ended) return NULL;
	if (t->size - t->at < BLOCK) return cut(t, "where a header should be", e), NULL;
	if (is_zero(header)) {
		t->ended = true;
		return NULL;
	}
	if (sum_is_right(header)) return header;
	fail(e, BAD_FILE, "%s: the header at byte %zu is damaged", t->path, t->at);
	return NULL;
}

bool tar_next(tar *t, tar_file *f, error *e)
{
	pax p = { 0 };
	const uint8_t *header;
	while ((header = next_header(t, e))) {
		uint64_t size;
		char kind = (char)header[KIND];
		bool describes = kind == 'L' || kind == 'K' || kind == 'x' || kind == 'g'; /* the next file, or all */
		bool regular = kind == '0' || kind == 0 || kind == '7';
		if (!read_number(header + SIZE, SIZE_BYTES, &size))
			return fail(e, BAD_FILE, "%s: the size in the header at byte %zu is no number", t->path, t->at);
		if (p.has_size && !describes) size = p.size;
		if (!describes && !p.has_name) name_of_header(t, header);
		size_t data = t->at + BLOCK, left = t->size - data;
		if (size > left) return cut(t, "in the middle of a file", e);
		size_t padded = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
		t->at = data + (padded < left ? padded : left);
		if (kind == 'L') {
			if (!set_name(t, t->data + data, (size_t)size, e)) return false;
			p.has_name = true;
		} else if (kind == 'x') {
			if (!read_pax(t, t->data + data, (size_t)size, &p, e)) return false;
		} else if (regular) {
			*f = (tar_file){ t->name, t->data + data, (size_t)size, data };
			return true;
		} else if (!describes) {
			p = (pax){ 0 };
		}
	}
	return false;
}
