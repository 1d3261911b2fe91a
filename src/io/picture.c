/* picture.c - pictures whatever their format: limits, orientation, cropping, files. */
#include "base/file.h"
#include "io/codec.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool picture_new(picture *p, int width, int height, error *e)
{
	*p = (picture){ 0 };
	if (width < 1 || height < 1 || width > 65535 || height > 65535)
		return fail(e, BAD_USAGE, "a picture of %d × %d pixels, expected 1 to 65535 each", width, height);
	p->rgb = malloc((size_t)width * (size_t)height * 3);
	if (!p->rgb) return fail(e, NO_MEMORY, "no memory for a picture of %d × %d pixels", width, height);
	p->width = width;
	p->height = height;
	return true;
}

void picture_free(picture *p)
{
	free(p->rgb);
	free(p->alpha);
	*p = (picture){ 0 };
}

bool picture_begin(picture *p, const source *s, int64_t width, int64_t height, error *e)
{
	if (width < 1 || height < 1 || width > 65535 || height > 65535)
		return fail(
		    e, BAD_FILE, "%s: has %" PRId64 " × %" PRId64 " pixels, expected 1 to 65535 each", s->name, width, height);
	if (width * height > s->max_pixels)
		return fail(e, BAD_FILE, "%s: has %" PRId64 " × %" PRId64 " pixels, more than the limit of %" PRId64, s->name,
		    width, height, s->max_pixels);
	return picture_new(p, (int)width, (int)height, e);
}

void over_white(uint8_t *rgb, const uint8_t *rgba, size_t width)
{
	for (size_t i = 0; i < width; i++, rgb += 3, rgba += 4) {
		unsigned a = rgba[3];
		for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)((rgba[c] * a + 255 * (255 - a) + 127) / 255);
	}
}

bool alpha_begin(picture *p, const source *s, error *e)
{
	p->alpha = malloc((size_t)p->width * (size_t)p->height);
	return p->alpha || fail(e, NO_MEMORY, "%s: no memory for its transparency", s->name);
}

void put_rgba(picture *p, size_t first, const uint8_t *rgba, size_t count)
{
	over_white(p->rgb + 3 * first, rgba, count);
	for (size_t i = 0; p->alpha && i < count; i++) p->alpha[first + i] = rgba[4 * i + 3];
}

void alpha_end(picture *p)
{
	size_t n = (size_t)p->width * (size_t)p->height;
	for (size_t i = 0; p->alpha && i < n; i++)
		if (p->alpha[i] != 255) return;
	free(p->alpha);
	p->alpha = NULL;
}

/* ── reading ── */

static picture_format format_by_content(const uint8_t *data, size_t n)
{
	if (n >= 8 && !memcmp(data, "\x89PNG\r\n\x1a\n", 8)) return PNG;
	if (n >= 3 && !memcmp(data, "\xff\xd8\xff", 3)) return JPEG;
	if (n >= 12 && !memcmp(data, "RIFF", 4) && !memcmp(data + 8, "WEBP", 4)) return WEBP;
	return NO_PICTURE_FORMAT;
}

/* It is read and not written. Its two letters say little, so what follows has to be the length of a header. */
static bool is_bmp(const uint8_t *data, size_t n)
{
	return n >= 18 && !memcmp(data, "BM", 2) && !data[16] && !data[17];
}

/* What else it may be, for the message. */
static const char *other_format(const uint8_t *data, size_t n)
{
	static const struct {
		size_t at;
		const char *mark, *name;
	} known[] = { { 0, "GIF8", "a GIF" }, { 0, "II*", "a TIFF" }, { 0, "MM", "a TIFF" },
		{ 4, "ftypavif", "an AVIF picture" }, { 4, "ftyphei", "a HEIF picture" }, { 4, "ftypmif1", "a HEIF picture" },
		{ 0, "\xff\x0a", "a JPEG XL picture" }, { 4, "JXL ", "a JPEG XL picture" }, { 0, "8BPS", "a Photoshop file" },
		{ 0, "<svg", "an SVG drawing" }, { 0, "<?xml", "an XML file" },
		{ 0, "version https://git-lfs", "a pointer of Git LFS and not the file itself (git lfs pull)" },
		{ 0, "<!DOCTYPE", "a web page" }, { 0, "<html", "a web page" } };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		size_t length = strlen(known[i].mark);
		if (n >= known[i].at + length && !memcmp(data + known[i].at, known[i].mark, length)) return known[i].name;
	}
	return NULL;
}

/* EXIF's orientations: 5 to 8 exchange rows and columns; then some are mirrored. */
static bool orient(picture *p, const source *s, int orientation, error *e)
{
	if (orientation <= 1) return true;
	bool swap = orientation >= 5;
	bool right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
	bool bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
	picture out;
	if (!picture_new(&out, swap ? p->height : p->width, swap ? p->width : p->height, e)) return false;
	if (p->alpha && !alpha_begin(&out, s, e)) {
		picture_free(&out);
		return false;
	}
	for (int y = 0; y < out.height; y++) {
		for (int x = 0; x < out.width; x++) {
			int u = right ? out.width - 1 - x : x, v = bottom ? out.height - 1 - y : y;
			size_t from = (size_t)(swap ? u : v) * (size_t)p->width + (size_t)(swap ? v : u);
			size_t to = (size_t)y * (size_t)out.width + (size_t)x;
			memcpy(out.rgb + to * 3, p->rgb + from * 3, 3);
			if (p->alpha) out.alpha[to] = p->alpha[from];
		}
	}
	picture_free(p);
	*p = out;
	return true;
}

bool picture_decode(picture *p, const void *data, size_t bytes, const char *name, int64_t max_pixels, error *e)
{
	source s = { data, bytes, name, max_pixels };
	exif x = { 0 };
	*p = (picture){ 0 };
	bool ok = false;
	if (is_bmp(data, bytes)) return read_bmp(p, &s, e);
	switch (format_by_content(data, bytes)) {
	case PNG: ok = read_png(p, &s, e) && orient(p, &s, png_orientation(&s), e); break;
	case JPEG: ok = read_jpeg(p, &s, e) && (!jpeg_exif(&s, &x) || orient(p, &s, exif_orientation(&x), e)); break;
	case WEBP: ok = read_webp(p, &s, e) && (!webp_exif(&s, &x) || orient(p, &s, exif_orientation(&x), e)); break;
	default: {
		const char *other = other_format(data, bytes);
		fail(e, BAD_FILE, "%s: is no PNG, JPEG, WebP or BMP picture%s%s", name, other ? ", but " : "",
		    other ? other : "");
	}
	}
	if (!ok) picture_free(p);
	return ok;
}

uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* JPEG: the first start-of-frame segment. */
static bool jpeg_size(const uint8_t *data, size_t n, int64_t *width, int64_t *height)
{
	for (size_t at = 2; at + 9 <= n && data[at] == 0xff;) {
		uint8_t marker = data[at + 1];
		if (marker == 0xff) {
			at++;
			continue;
		}
		bool frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
		if (frame) {
			*height = data[at + 5] << 8 | data[at + 6];
			*width = data[at + 7] << 8 | data[at + 8];
			return true;
		}
		at += 2 + (size_t)(data[at + 2] << 8 | data[at + 3]);
	}
	return false;
}

bool picture_size_of(const void *data, size_t bytes, int *width, int *height)
{
	source s = { data, bytes, "", 0 };
	exif x;
	int orientation = 1;
	int64_t w = 0, h = 0;
	switch (format_by_content(data, bytes)) {
	case PNG:
		if (bytes >= 24) w = big_endian(s.data + 16), h = big_endian(s.data + 20);
		orientation = png_orientation(&s);
		break;
	case JPEG:
		jpeg_size(data, bytes, &w, &h);
		if (jpeg_exif(&s, &x)) orientation = exif_orientation(&x);
		break;
	case WEBP:
		if (!webp_size(&s, &w, &h)) return false;
		if (webp_exif(&s, &x)) orientation = exif_orientation(&x);
		break;
	default:
		if (!is_bmp(data, bytes) || !bmp_size(&s, &w, &h)) return false;
	}
	if (w < 1 || h < 1 || w > 65535 || h > 65535) return false;
	*width = (int)(orientation >= 5 ? h : w);
	*height = (int)(orientation >= 5 ? w : h);
	return true;
}

bool picture_read(picture *p, const char *path, int64_t max_pixels, error *e)
{
	mapping m;
	*p = (picture){ 0 };
	if (!map_file(&m, path, e)) return false;
	bool ok = picture_decode(p, m.data, m.size, path, max_pixels, e);
	unmap_file(&m);
	return ok;
}

char *picture_text_of(const void *data, size_t bytes)
{
	source s = { data, bytes, "", 0 };
	exif x;
	switch (format_by_content(data, bytes)) {
	case PNG: return text_of_png(&s);
	case JPEG: return jpeg_exif(&s, &x) ? exif_comment(&x) : NULL;
	case WEBP: return webp_exif(&s, &x) ? exif_comment(&x) : NULL;
	default: return NULL;
	}
}

char *picture_text(const char *path, error *e)
{
	mapping m;
	if (!map_file(&m, path, e)) return NULL;
	char *text = picture_text_of(m.data, m.size);
	unmap_file(&m);
	return text;
}

/* ── writing ── */

bool picture_format_of(const char *path, picture_format *format, error *e)
{
	static const struct {
		const char *extension;
		picture_format format;
	} known[] = { { ".png", PNG }, { ".jpg", JPEG }, { ".jpeg", JPEG }, { ".webp", WEBP } };
	const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
	for (size_t i = 0; dot && i < sizeof known / sizeof *known; i++) {
		*format = known[i].format;
		if (!strcasecmp(dot, known[i].extension)) return true;
	}
	return fail(e, BAD_USAGE, "%s: the name of a picture to write ends in .png, .jpg, .jpeg or .webp", path);
}

bool picture_encode(
    const picture *p, picture_format format, const char *text, int quality, uint8_t **data, size_t *bytes, error *e)
{
	buffer out = { 0 };
	error own = { 0 };
	if (quality < 0 || quality > 100) return fail(e, BAD_USAGE, "a quality of %d, expected 1 to 100", quality);
	if (!quality) quality = 90;
	switch (format) {
	case PNG: encode_png(&out, p, text, &own); break;
	case JPEG: encode_jpeg(&out, p, text, quality, &own); break;
	case WEBP: encode_webp(&out, p, text, quality, &own); break;
	default: fail(&own, BAD_USAGE, "no picture format is named");
	}
	if (out.failed) fail(&own, NO_MEMORY, "no memory to encode a picture of %d × %d pixels", p->width, p->height);
	if (failed(&own)) {
		free(out.data);
		return fail(e, own.status, "%s", own.text);
	}
	*data = (uint8_t *)out.data;
	*bytes = out.size;
	return true;
}

bool picture_write(const picture *p, const char *path, const char *text, int quality, error *e)
{
	picture_format format;
	uint8_t *data;
	size_t bytes;
	if (!picture_format_of(path, &format, e)) return false;
	if (!picture_encode(p, format, text, quality, &data, &bytes, e)) return false;
	bool ok = write_file(path, data, bytes, e);
	free(data);
	return ok;
}

/* ── changing ── */

bool picture_crop(picture *out, const picture *p, int left, int top, int width, int height, error *e)
{
	*out = (picture){ 0 };
	if (left < 0 || top < 0 || width < 1 || height < 1 || width > p->width - left || height > p->height - top)
		return fail(e, BAD_USAGE, "%d × %d pixels from (%d, %d) do not lie in a picture of %d × %d", width, height,
		    left, top, p->width, p->height);
	if (!picture_new(out, width, height, e)) return false;
	size_t row = (size_t)width * 3;
	for (int y = 0; y < height; y++)
		memcpy(out->rgb + (size_t)y * row, p->rgb + ((size_t)(top + y) * (size_t)p->width + (size_t)left) * 3, row);
	return true;
}

void picture_mirror(picture *p)
{
	for (int y = 0; y < p->height; y++) {
		uint8_t *row = p->rgb + (size_t)y * (size_t)p->width * 3, pixel[3];
		uint8_t *alpha = p->alpha ? p->alpha + (size_t)y * (size_t)p->width : NULL;
		for (int x = 0; x < p->width / 2; x++) {
			uint8_t *a = row + 3 * x, *b = row + 3 * (p->width - 1 - x);
			memcpy(pixel, a, 3);
			memcpy(a, b, 3);
			memcpy(b, pixel, 3);
			uint8_t one = alpha ? alpha[x] : 0;
			if (alpha) alpha[x] = alpha[p->width - 1 - x], alpha[p->width - 1 - x] = one;
		}
	}
}
