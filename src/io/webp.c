/* webp.c - WebP through libwebp; the container (RIFF chunks), which carries EXIF, is read and written here. */
#include "io/codec.h"
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/encode.h>

static uint32_t little_endian(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ── reading ── */

static const char *what_went_wrong(VP8StatusCode code)
{
	switch (code) {
	case VP8_STATUS_OUT_OF_MEMORY: return "no memory for it";
	case VP8_STATUS_NOT_ENOUGH_DATA: return "it ends too early";
	case VP8_STATUS_UNSUPPORTED_FEATURE: return "it uses an unknown feature";
	default: return "the bits make no sense";
	}
}

bool read_webp(picture *p, const source *s, error *e)
{
	WebPDecoderConfig config;
	if (!WebPInitDecoderConfig(&config)) return fail(e, BAD_FILE, "%s: libwebp is of another version", s->name);
	VP8StatusCode code = WebPGetFeatures(s->data, s->size, &config.input);
	if (code != VP8_STATUS_OK) return fail(e, BAD_FILE, "%s: the WebP is damaged: %s", s->name, what_went_wrong(code));
	if (config.input.has_animation) return fail(e, BAD_FILE, "%s: is an animation, expected one picture", s->name);
	if (!picture_begin(p, s, config.input.width, config.input.height, e)) return false;
	bool alpha = config.input.has_alpha;
	size_t width = (size_t)p->width, height = (size_t)p->height, bytes = width * height * (alpha ? 4 : 3);
	uint8_t *pixels = alpha ? malloc(bytes) : p->rgb;
	if (!pixels) {
		picture_free(p);
		return fail(e, NO_MEMORY, "%s: no memory for its pixels", s->name);
	}
	config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
	config.output.is_external_memory = 1;
	config.output.u.RGBA = (WebPRGBABuffer){ pixels, (int)(width * (alpha ? 4 : 3)), bytes };
	code = WebPDecode(s->data, s->size, &config);
	bool fine = !alpha || code != VP8_STATUS_OK || alpha_begin(p, s, e);
	if (alpha && fine && code == VP8_STATUS_OK) put_rgba(p, 0, pixels, width * height);
	alpha_end(p);
	if (alpha) free(pixels);
	if (fine && code == VP8_STATUS_OK) return true;
	picture_free(p);
	if (!fine) return false;
	return fail(e, BAD_FILE, "%s: the WebP is damaged: %s", s->name, what_went_wrong(code));
}

bool webp_size(const source *s, int64_t *width, int64_t *height)
{
	int w, h;
	if (!WebPGetInfo(s->data, s->size, &w, &h)) return false;
	*width = w;
	*height = h;
	return true;
}

bool webp_exif(const source *s, exif *x)
{
	for (size_t at = 12; s->size >= 8 && at <= s->size - 8;) {
		const uint8_t *chunk = s->data + at;
		size_t length = little_endian(chunk + 4);
		if (length > s->size - at - 8) return false;
		if (!memcmp(chunk, "EXIF", 4)) {
			bool prefixed = length >= 6 && !memcmp(chunk + 8, "Exif\0\0", 6); /* as some programs write it */
			*x = (exif){ chunk + 8 + (prefixed ? 6 : 0), length - (prefixed ? 6 : 0) };
			return true;
		}
		at += 8 + length + (length & 1);
	}
	return false;
}

/* ── writing ── */

static int give(const uint8_t *data, size_t bytes, const WebPPicture *p)
{
	buffer *out = p->custom_ptr;
	buffer_add(out, data, bytes);
	return !out->failed;
}

static void put_little_endian(uint8_t *p, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(value >> 8 * i);
}

/* The simple file (one chunk of pixels) becomes an extended one: a header chunk before the pixels, EXIF after them. */
static void add_exif(buffer *file, const picture *p, const char *text)
{
	buffer metadata = { 0 }, out = { 0 };
	exif_write(&metadata, text);
	size_t pixels = file->size - 12, padded = metadata.size + (metadata.size & 1);
	uint8_t start[30] = "RIFF....WEBPVP8X", chunk[8] = "EXIF";
	put_little_endian(start + 4, (uint32_t)(4 + 18 + pixels + 8 + padded), 4);
	put_little_endian(start + 16, 10, 4);
	start[20] = 0x08; /* EXIF is there */
	put_little_endian(start + 24, (uint32_t)p->width - 1, 3);
	put_little_endian(start + 27, (uint32_t)p->height - 1, 3);
	put_little_endian(chunk + 4, (uint32_t)metadata.size, 4);
	buffer_add(&out, start, sizeof start);
	buffer_add(&out, file->data + 12, pixels);
	buffer_add(&out, chunk, sizeof chunk);
	buffer_add(&out, metadata.data, metadata.size);
	buffer_add(&out, "", padded - metadata.size);
	out.failed |= metadata.failed;
	free(metadata.data);
	free(file->data);
	*file = out;
}

void encode_webp(buffer *out, const picture *p, const char *text, int quality, error *e)
{
	WebPConfig config;
	WebPPicture w;
	if (p->width > WEBP_MAX_DIMENSION || p->height > WEBP_MAX_DIMENSION) {
		fail(e, BAD_USAGE, "a WebP of %d × %d pixels, expected at most %d each", p->width, p->height,
		    WEBP_MAX_DIMENSION);
		return;
	}
	if (!WebPConfigPreset(&config, WEBP_PRESET_PHOTO, (float)quality) || !WebPPictureInit(&w)) {
		fail(e, BAD_FILE, "libwebp is of another version");
		return;
	}
	if (quality == 100) WebPConfigLosslessPreset(&config, 6);
	w.use_argb = quality == 100;
	w.width = p->width;
	w.height = p->height;
	w.writer = give;
	w.custom_ptr = out;
	if (!WebPPictureImportRGB(&w, p->rgb, p->width * 3) || !WebPEncode(&config, &w))
		fail(e, NO_MEMORY, "cannot encode a WebP of %d × %d pixels: error %d of libwebp", p->width, p->height,
		    w.error_code);
	WebPPictureFree(&w);
	if (!failed(e) && text) add_exif(out, p, text);
}
