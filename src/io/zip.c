/* zip.c - reads the directory of a zip archive. Every number in it is checked before it is used as a place. */
#include "io/zip.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LOCAL_SIZE = 30, CENTRAL_SIZE = 46, END_SIZE = 22, LOCATOR_SIZE = 20, END64_SIZE = 56, ENTRY_LIMIT = 1 << 20 };
#define LOCAL_MARK 0x04034b50u
#define CENTRAL_MARK 0x02014b50u
#define END_MARK 0x06054b50u
#define LOCATOR_MARK 0x07064b50u
#define END64_MARK 0x06064b50u

static uint64_t number(const uint8_t *at, int bytes)
{
	uint64_t n = 0;
	for (int i = 0; i < bytes; i++) n |= (uint64_t)at[i] << 8 * i;
	return n;
}

bool looks_like_zip(const mapping *m) { return m->size >= END_SIZE && number(m->data, 4) == LOCAL_MARK; }

/* ── the end of the directory ── */

typedef struct directory {
	uint64_t begin, bytes, count;
} directory;

/* The last record whose comment ends where the file does. */
static bool find_end(const mapping *m, size_t *place)
{
	size_t lowest = m->size > END_SIZE + 0xffff ? m->size - END_SIZE - 0xffff : 0;
	if (m->size < END_SIZE) return false;
	for (size_t at = m->size - END_SIZE + 1; at-- > lowest;)
		if (number(m->data + at, 4) == END_MARK && at + END_SIZE + number(m->data + at + 20, 2) == m->size) {
			*place = at;
			return true;
		}
	return false;
}

static bool read_end64(const zip *z, size_t end, directory *d, error *e)
{
	const mapping *m = z->file;
	const uint8_t *locator = end >= LOCATOR_SIZE ? m->data + end - LOCATOR_SIZE : NULL;
	if (!locator || number(locator, 4) != LOCATOR_MARK)
		return fail(e, BAD_FILE, "%s: its zip directory has no zip64 locator", z->path);
	uint64_t at = number(locator + 8, 8);
	if (m->size < END64_SIZE || at > m->size - END64_SIZE || number(m->data + at, 4) != END64_MARK)
		return fail(e, BAD_FILE, "%s: its zip64 directory is not where its locator says", z->path);
	d->count = number(m->data + at + 32, 8);
	d->bytes = number(m->data + at + 40, 8);
	d->begin = number(m->data + at + 48, 8);
	return true;
}

static bool read_end(const zip *z, directory *d, error *e)
{
	const mapping *m = z->file;
	size_t end;
	if (!find_end(m, &end)) return fail(e, BAD_FILE, "%s: is cut short: a zip archive without its directory", z->path);
	d->count = number(m->data + end + 10, 2);
	d->bytes = number(m->data + end + 12, 4);
	d->begin = number(m->data + end + 16, 4);
	if ((d->count == 0xffff || d->bytes == 0xffffffff || d->begin == 0xffffffff) && !read_end64(z, end, d, e))
		return false;
	if (d->begin > end || d->bytes > end - d->begin)
		return fail(e, BAD_FILE, "%s: its zip directory lies outside of the file", z->path);
	if (d->count > ENTRY_LIMIT || d->count * CENTRAL_SIZE > d->bytes)
		return fail(
		    e, BAD_FILE, "%s: its zip directory has no room for %llu entries", z->path, (unsigned long long)d->count);
	return true;
}

/* ── entries ── */

/* Numbers that do not fit 32 bits stand in an extra field, in this order and only those that do not fit. */
static bool read_extra64(zip_entry *y, const uint8_t *extra, size_t bytes)
{
	while (bytes >= 4) {
		size_t kind = number(extra, 2), n = number(extra + 2, 2);
		extra += 4;
		bytes -= 4;
		if (n > bytes) return false;
		if (kind == 1) {
			uint64_t *wanted[] = { &y->bytes, &y->stored, &y->header };
			for (int i = 0; i < 3; i++) {
				if (*wanted[i] != 0xffffffff) continue;
				if (n < 8) return false;
				*wanted[i] = number(extra, 8);
				extra += 8;
				n -= 8;
				bytes -= 8;
			}
			return true;
		}
		extra += n;
		bytes -= n;
	}
	return y->bytes != 0xffffffff && y->stored != 0xffffffff && y->header != 0xffffffff;
}

/* One entry of the directory at *at; moves on to the next. */
static bool read_entry(const zip *z, zip_entry *y, const uint8_t **at, const uint8_t *end, error *e)
{
	const uint8_t *p = *at;
	if (end - p < CENTRAL_SIZE || number(p, 4) != CENTRAL_MARK)
		return fail(e, BAD_FILE, "%s: its zip directory is damaged", z->path);
	size_t name = number(p + 28, 2), extra = number(p + 30, 2), comment = number(p + 32, 2);
	if ((size_t)(end - p) < CENTRAL_SIZE + name + extra + comment)
		return fail(e, BAD_FILE, "%s: its zip directory is cut short", z->path);
	*y = (zip_entry){ .name = (const char *)p + CENTRAL_SIZE,
		.name_length = name,
		.flags = (uint16_t)number(p + 8, 2),
		.method = (uint16_t)number(p + 10, 2),
		.crc = (uint32_t)number(p + 16, 4),
		.stored = number(p + 20, 4),
		.bytes = number(p + 24, 4),
		.header = number(p + 42, 4) };
	if (!read_extra64(y, p + CENTRAL_SIZE + name, extra))
		return fail(e, BAD_FILE, "%s: the zip entry '%.*s' has a damaged extra field", z->path, (int)name, y->name);
	*at = p + CENTRAL_SIZE + name + extra + comment;
	return true;
}

static int by_name(const void *a, const void *b)
{
	const zip_entry *x = a, *y = b;
	size_t least = x->name_length < y->name_length ? x->name_length : y->name_length;
	int order = memcmp(x->name, y->name, least);
	return order ? order : (x->name_length > y->name_length) - (x->name_length < y->name_length);
}

bool zip_open(zip *z, const mapping *m, const char *path, error *e)
{
	directory d = { 0 };
	*z = (zip){ .file = m, .path = path };
	if (!read_end(z, &d, e)) return false;
	z->entries = malloc((d.count + 1) * sizeof *z->entries);
	if (!z->entries) return fail(e, NO_MEMORY, "%s: no memory for its zip directory", path);
	const uint8_t *at = m->data + d.begin, *end = at + d.bytes;
	for (; z->count < d.count; z->count++)
		if (!read_entry(z, z->entries + z->count, &at, end, e)) return false;
	qsort(z->entries, z->count, sizeof *z->entries, by_name);
	for (size_t i = 1; i < z->count; i++) {
		const zip_entry *y = z->entries + i;
		if (!by_name(y - 1, y))
			return fail(e, BAD_FILE, "%s: the zip entry '%.*s' is there twice", path, (int)y->name_length, y->name);
	}
	return true;
}

void zip_close(zip *z)
{
	free(z->entries);
	*z = (zip){ 0 };
}

const zip_entry *zip_find(const zip *z, const char *name, size_t length)
{
	zip_entry key = { .name = name, .name_length = length };
	return z->count ? bsearch(&key, z->entries, z->count, sizeof key, by_name) : NULL;
}

const uint8_t *zip_data(const zip *z, const zip_entry *y, error *e)
{
	const mapping *m = z->file;
	int n = (int)y->name_length;
	const char *wrong = NULL;
	if (y->flags & 1)
		wrong = "is encrypted";
	else if (y->method == 8)
		wrong = "is compressed (deflated), which PyTorch's files are not";
	else if (y->method)
		wrong = "is compressed, which PyTorch's files are not";
	else if (y->stored != y->bytes)
		wrong = "is stored with another size than its own";
	else if (m->size < LOCAL_SIZE || y->header > m->size - LOCAL_SIZE || number(m->data + y->header, 4) != LOCAL_MARK)
		wrong = "is not where the directory says";
	if (!wrong) { /* the local header has a name and an extra field of its own */
		const uint8_t *local = m->data + y->header;
		uint64_t data = y->header + LOCAL_SIZE + number(local + 26, 2) + number(local + 28, 2);
		if (data <= m->size && y->bytes <= m->size - data) return m->data + data;
		wrong = "is cut short";
	}
	fail(e, BAD_FILE, "%s: the zip entry '%.*s' %s", z->path, n, y->name, wrong);
	return NULL;
}

bool zip_check(const zip *z, const zip_entry *y, error *e)
{
	const uint8_t *data = zip_data(z, y, e);
	if (!data) return false;
	uLong crc = crc32(0, NULL, 0);
	for (uint64_t at = 0; at < y->bytes;) {
		uInt some = y->bytes - at < 1 << 30 ? (uInt)(y->bytes - at) : 1u << 30;
		crc = crc32(crc, data + at, some);
		at += some;
	}
	return (uint32_t)crc == y->crc || fail(e, BAD_FILE, "%s: the zip entry '%.*s' is damaged: its checksum differs",
	                                      z->path, (int)y->name_length, y->name);
}
