/* png.c - PNG through libpng, whose errors are a longjmp: each function calls setjmp before it calls libpng. */
#include "io/codec.h"
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct codec {
	png_structp png;
	png_infop info;
	const source *source;
	size_t at; /* of source */
	buffer *out;
	error *e;
	jmp_buf land;
	uint8_t **rows;
	char *latin1;    /* the text to write */
	uint8_t *pixels; /* RGBA: a row, or all where they are interlaced */
} codec;

static void on_error(png_structp p, png_const_charp message)
{
	codec *c = png_get_error_ptr(p);
	fail(c->e, BAD_FILE, "%s: the PNG is damaged: %s", c->source ? c->source->name : "picture", message);
	longjmp(c->land, 1);
}

static void on_warning(png_structp p, png_const_charp message) { (void)p, (void)message; }

static void take(png_structp p, png_bytep data, size_t bytes)
{
	codec *c = png_get_io_ptr(p);
	if (bytes > c->source->size - c->at) png_error(p, "it ends too early");
	memcpy(data, c->source->data + c->at, bytes);
	c->at += bytes;
}

static void give(png_structp p, png_bytep data, size_t bytes)
{
	codec *c = png_get_io_ptr(p);
	buffer_add(c->out, data, bytes);
}

static void release(codec *c)
{
	if (c->out)
		png_destroy_write_struct(&c->png, &c->info);
	else
		png_destroy_read_struct(&c->png, &c->info, NULL);
	free(c->rows);
	free(c->pixels);
	free(c->latin1);
}

/* ── reading ── */

static bool open_reader(codec *c)
{
	c->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, c, on_error, on_warning);
	c->info = c->png ? png_create_info_struct(c->png) : NULL;
	if (!c->info) return fail(c->e, NO_MEMORY, "%s: no memory to read it", c->source->name);
	png_set_read_fn(c->png, c, take);
	return true;
}

static bool read_pixels(codec *c, picture *p)
{
	size_t width = png_get_image_width(c->png, c->info), height = png_get_image_height(c->png, c->info);
	if (!picture_begin(p, c->source, (int64_t)width, (int64_t)height, c->e)) return false;
	bool transparent =
	    png_get_color_type(c->png, c->info) & PNG_COLOR_MASK_ALPHA || png_get_valid(c->png, c->info, PNG_INFO_tRNS);
	png_set_expand(c->png);
	png_set_scale_16(c->png);
	png_set_gray_to_rgb(c->png);
	png_set_add_alpha(c->png, 255, PNG_FILLER_AFTER);
	png_set_interlace_handling(c->png);
	png_read_update_info(c->png, c->info);
	if (png_get_rowbytes(c->png, c->info) != 4 * width) png_error(c->png, "its pixels are not RGBA");
	bool interlaced = png_get_interlace_type(c->png, c->info) != PNG_INTERLACE_NONE;
	c->pixels = malloc(4 * width * (interlaced ? height : 1));
	c->rows = malloc(height * sizeof *c->rows);
	if (!c->pixels || !c->rows) return fail(c->e, NO_MEMORY, "%s: no memory for its pixels", c->source->name);
	if (transparent && !alpha_begin(p, c->source, c->e)) return false;
	for (size_t y = 0; y < height; y++) c->rows[y] = c->pixels + (interlaced ? 4 * width * y : 0);
	if (interlaced) png_read_image(c->png, c->rows);
	for (size_t y = 0; y < height; y++) {
		if (!interlaced) png_read_row(c->png, c->rows[y], NULL);
		put_rgba(p, width * y, c->rows[y], width);
	}
	alpha_end(p);
	png_read_end(c->png, NULL);
	return true;
}

bool read_png(picture *p, const source *s, error *e)
{
	codec c = { .source = s, .e = e };
	volatile bool ok = false;
	if (open_reader(&c) && !setjmp(c.land)) {
		png_set_user_limits(c.png, 65535, 65535);
		png_set_keep_unknown_chunks(c.png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
		png_read_info(c.png, c.info);
		ok = read_pixels(&c, p);
	}
	release(&c);
	if (!ok) picture_free(p);
	return ok;
}

static char *utf8_from_latin1(const char *text, size_t n)
{
	char *out = malloc(2 * n + 1), *to = out;
	for (size_t i = 0; out && i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 0x80) *to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
	}
	if (out) *to = 0;
	return out;
}

/* A text that stands before the pixels, by the first of two names that is there; the caller frees it.
 * NULL: there is none. */
static char *text_named(const source *s, const char *key, const char *other)
{
	error ignored = { 0 };
	codec c = { .source = s, .e = &ignored };
	char *volatile found = NULL;
	if (open_reader(&c) && !setjmp(c.land)) {
		png_textp texts;
		int n = 0;
		png_read_info(c.png, c.info);
		png_get_text(c.png, c.info, &texts, &n);
		for (int i = 0; i < 2 * n && !found; i++) {
			const png_text *t = &texts[i % n];
			if (strcmp(t->key, i < n ? key : other)) continue;
			bool international = t->compression >= PNG_ITXT_COMPRESSION_NONE;
			const char *text = t->text ? t->text : "";
			found = international ? strdup(text) : utf8_from_latin1(text, strlen(text));
		}
	}
	release(&c);
	return found;
}

/* ComfyUI writes the graph that it ran, JSON, under "prompt". */
char *text_of_png(const source *s) { return text_named(s, "parameters", "prompt"); }

/* ── which way up ── */

/* The chunk eXIf, which may stand before the pixels or behind them. */
static bool find_exif(const source *s, exif *x)
{
	for (size_t at = 8; s->size >= 12 && at <= s->size - 12;) {
		size_t length = big_endian(s->data + at);
		if (length > s->size - at - 12) return false;
		if (!memcmp(s->data + at + 4, "eXIf", 4)) {
			bool prefixed = length >= 6 && !memcmp(s->data + at + 8, "Exif\0\0", 6); /* as some programs write it */
			*x = (exif){ s->data + at + 8 + (prefixed ? 6 : 0), length - (prefixed ? 6 : 0) };
			return true;
		}
		at += 12 + length;
	}
	return false;
}

/* Before the chunk there was ImageMagick's text: a name, a count of bytes, and they in hexadecimal, with spaces. Made
 * binary in place; how many bytes. */
static size_t bytes_of_profile(char *text)
{
	size_t n = 0;
	int skipped = 0, digit, high = -1;
	char *from = text + strspn(text, " \n");
	for (; *from && skipped < 2; skipped++) from += strcspn(from, " \n"), from += strspn(from, " \n");
	for (; *from; from++) {
		const char *digits = "0123456789abcdef", *at = strchr(digits, *from | 0x20);
		if (!at) continue;
		digit = (int)(at - digits);
		if (high >= 0) text[n++] = (char)(high << 4 | digit);
		high = high < 0 ? digit : -1;
	}
	return n;
}

int png_orientation(const source *s)
{
	exif x;
	if (find_exif(s, &x)) return exif_orientation(&x);
	char *text = text_named(s, "Raw profile type exif", "Raw profile type APP1");
	if (!text) return 1;
	size_t n = bytes_of_profile(text), first = n >= 6 && !memcmp(text, "Exif\0\0", 6) ? 6 : 0;
	x = (exif){ (const uint8_t *)text + first, n - first };
	int orientation = n ? exif_orientation(&x) : 1;
	free(text);
	return orientation;
}

/* ── writing ── */

/* NULL where a character is beyond Latin-1 or the text is not UTF-8. */
static char *__attribute__((noinline)) latin1_from_utf8(const char *text)
{
	char *out = malloc(strlen(text) + 1), *to = out;
	for (const unsigned char *c = (const unsigned char *)text; out && *c; c++) {
		if (*c < 0x80) {
			*to++ = (char)*c;
		} else if ((*c & 0xfe) == 0xc2 && (c[1] & 0xc0) == 0x80) {
			*to++ = (char)((c[0] & 3) << 6 | (c[1] & 0x3f));
			c++;
		} else {
			free(out);
			return NULL;
		}
	}
	if (out) *to = 0;
	return out;
}

static void write_everything(codec *c, const picture *p, const char *text)
{
	png_set_write_fn(c->png, c, give, NULL);
	png_set_IHDR(c->png, c->info, (png_uint_32)p->width, (png_uint_32)p->height, 8, PNG_COLOR_TYPE_RGB,
	    PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	char key[] = "parameters", language[] = "";
	if (text) {
		png_text t = { .compression = c->latin1 ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE,
			.key = key,
			.text = c->latin1 ? c->latin1 : (char *)text,
			.lang = language,
			.lang_key = language };
		png_set_text(c->png, c->info, &t, 1);
	}
	png_write_info(c->png, c->info);
	for (int y = 0; y < p->height; y++) png_write_row(c->png, p->rgb + (size_t)y * (size_t)p->width * 3);
	png_write_end(c->png, NULL);
}

void encode_png(buffer *out, const picture *p, const char *text, error *e)
{
	codec c = { .out = out, .e = e };
	c.latin1 = text ? latin1_from_utf8(text) : NULL;
	c.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &c, on_error, on_warning);
	c.info = c.png ? png_create_info_struct(c.png) : NULL;
	if (!c.info)
		fail(e, NO_MEMORY, "no memory to write a PNG");
	else if (!setjmp(c.land))
		write_everything(&c, p, text);
	release(&c);
}
