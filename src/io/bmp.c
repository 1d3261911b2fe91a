/* bmp.c - reads Windows bitmaps: 1, 4 and 8 bits by a table of colours, 16, 24 and 32 bits by masks, uncompressed, from
 * OS/2's first header to Windows' fifth. Source: Microsoft's "Bitmap Storage" (BITMAPCOREHEADER … BITMAPV5HEADER). */
#include "io/codec.h"
#include <stdlib.h>

enum { FILE_HEADER = 14, CORE_HEADER = 12, INFO_HEADER = 40, MASKS_HEADER = 52, ALPHA_HEADER = 56 };
enum { PLAIN = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3, ALPHA_BITFIELDS = 6 };

typedef struct bitmap {
	const source *s;
	int64_t width, height;
	bool top_down;
	unsigned bits;
	uint32_t compression, mask[4]; /* of red, green, blue and alpha; alpha 0: opaque */
	const uint8_t *colours;        /* a table of blue, green, red */
	size_t colour_count, colour_bytes;
	const uint8_t *pixels;
	size_t stride; /* of a row */
} bitmap;

static uint32_t u16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }

static bool broken(const source *s, const char *what, error *e)
{
	return fail(e, BAD_FILE, "%s: a BMP %s", s->name, what);
}

/* *header: bytes of the second header; *used: colours that it says there are. */
static bool read_header(bitmap *b, size_t *header, uint32_t *used, error *e)
{
	const source *s = b->s;
	const uint8_t *h = s->data + FILE_HEADER;
	if (s->size < FILE_HEADER + CORE_HEADER) return broken(s, "that ends in its header", e);
	*header = u32(h);
	*used = 0;
	if ((*header != CORE_HEADER && *header < INFO_HEADER) || *header > 1024 || *header > s->size - FILE_HEADER)
		return broken(s, "whose header is of no known length", e);
	if (*header == CORE_HEADER) {
		b->width = u16(h + 4);
		b->height = u16(h + 6);
		b->bits = u16(h + 10);
		return true;
	}
	b->width = (int32_t)u32(h + 4);
	b->height = (int32_t)u32(h + 8);
	b->top_down = b->height < 0;
	if (b->top_down) b->height = -b->height;
	b->bits = u16(h + 14);
	b->compression = u32(h + 16);
	*used = u32(h + 32);
	return true;
}

bool bmp_size(const source *s, int64_t *width, int64_t *height)
{
	bitmap b = { .s = s };
	size_t header;
	uint32_t used;
	bool read = read_header(&b, &header, &used, NULL);
	*width = b.width;
	*height = b.height;
	return read;
}

/* Which bits are which colour; *behind: bytes of masks behind the header. */
static bool read_masks(bitmap *b, size_t header, size_t *behind, error *e)
{
	static const uint32_t plain[2][3] = { { 0x7c00, 0x3e0, 0x1f }, { 0xff0000, 0xff00, 0xff } };
	const uint8_t *at = b->s->data + FILE_HEADER + INFO_HEADER;
	*behind = 0;
	for (int c = 0; c < 3; c++) b->mask[c] = plain[b->bits != 16][c];
	if (b->compression == PLAIN) return true;
	if ((b->compression != BITFIELDS && b->compression != ALPHA_BITFIELDS) || (b->bits != 16 && b->bits != 32))
		return broken(b->s,
		    b->compression == RLE8 || b->compression == RLE4 ? "that is run-length encoded, which is not read"
		                                                     : "that is compressed in an unknown way",
		    e);
	int count = header >= ALPHA_HEADER || b->compression == ALPHA_BITFIELDS ? 4 : 3;
	if (header < MASKS_HEADER) *behind = 4 * (size_t)count;
	if (b->s->size - FILE_HEADER - INFO_HEADER < 4 * (size_t)count) return broken(b->s, "that ends in its header", e);
	for (int c = 0; c < count; c++) b->mask[c] = u32(at + 4 * c);
	return true;
}

static bool read_layout(bitmap *b, error *e)
{
	size_t header, behind, size = b->s->size;
	uint32_t used, first = u32(b->s->data + 10);
	if (!read_header(b, &header, &used, e)) return false;
	if (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 16 && b->bits != 24 && b->bits != 32)
		return broken(b->s, "of a depth that there is not", e);
	if (!read_masks(b, header, &behind, e)) return false;
	size_t table = FILE_HEADER + header + behind;
	b->colour_bytes = header == CORE_HEADER ? 3 : 4;
	if (b->bits <= 8) {
		b->colour_count = used && used < 1u << b->bits ? used : 1u << b->bits;
		if (table > size || b->colour_count * b->colour_bytes > size - table)
			return broken(b->s, "that ends in its colours", e);
		b->colours = b->s->data + table;
	}
	b->stride = ((size_t)b->width * b->bits + 31) / 32 * 4; /* width is at most 2³¹ */
	if (first > size || b->width < 1 || b->height < 1 || b->stride > (size - first) / (size_t)b->height)
		return broken(b->s, "that ends before its last pixel", e);
	b->pixels = b->s->data + first;
	return true;
}

/* The bits of a mask as 0 … 255. */
static uint8_t part(uint32_t pixel, uint32_t mask, uint8_t absent)
{
	if (!mask) return absent;
	int shift = __builtin_ctz(mask);
	uint64_t most = mask >> shift, value = (pixel & mask) >> shift;
	return (uint8_t)((value * 255 + most / 2) / most);
}

static void read_row(const bitmap *b, const uint8_t *row, bool opaque, uint8_t *rgba)
{
	for (int64_t x = 0; x < b->width; x++, rgba += 4) {
		rgba[3] = 255;
		if (b->bits <= 8) {
			unsigned per_byte = 8 / b->bits, place = (unsigned)x % per_byte;
			size_t i = row[(size_t)x / per_byte] >> (8 - b->bits * (place + 1)) & ((1u << b->bits) - 1);
			const uint8_t *c = b->colours + (i < b->colour_count ? i : 0) * b->colour_bytes;
			rgba[0] = c[2], rgba[1] = c[1], rgba[2] = c[0];
			continue;
		}
		const uint8_t *p = row + (size_t)x * b->bits / 8;
		uint32_t pixel = b->bits == 16 ? u16(p) : b->bits == 24 ? u16(p) | (uint32_t)p[2] << 16 : u32(p);
		for (int c = 0; c < 3; c++) rgba[c] = part(pixel, b->mask[c], 0);
		if (!opaque) rgba[3] = part(pixel, b->mask[3], 255);
	}
}

static const uint8_t *row_of(const bitmap *b, int64_t y)
{
	return b->pixels + (size_t)(b->top_down ? y : b->height - 1 - y) * b->stride;
}

/* Many programs leave all alpha at 0 and mean opaque. */
static bool is_opaque(const bitmap *b)
{
	if (!b->mask[3] || b->bits < 16) return true;
	for (int64_t y = 0; y < b->height; y++)
		for (int64_t x = 0; x < b->width; x++) {
			const uint8_t *p = row_of(b, y) + (size_t)x * b->bits / 8;
			if ((b->bits == 16 ? u16(p) : u32(p)) & b->mask[3]) return false;
		}
	return true;
}

bool read_bmp(picture *p, const source *s, error *e)
{
	bitmap b = { .s = s };
	if (!read_layout(&b, e) || !picture_begin(p, s, b.width, b.height, e)) return false;
	bool opaque = is_opaque(&b), fine = opaque || alpha_begin(p, s, e);
	uint8_t *rgba = malloc(4 * (size_t)b.width);
	if (!rgba) fine = fail(e, NO_MEMORY, "%s: no memory for a row", s->name);
	for (int64_t y = 0; fine && y < b.height; y++) {
		read_row(&b, row_of(&b, y), opaque, rgba);
		put_rgba(p, (size_t)y * (size_t)b.width, rgba, (size_t)b.width);
	}
	free(rgba);
	if (fine) alpha_end(p);
	if (!fine) picture_free(p);
	return fine;
}
