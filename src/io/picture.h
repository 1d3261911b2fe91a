/* picture.h - pictures of 8-bit RGB: read from PNG, JPEG, WebP and BMP, written with the text that says how they were
 * made, cropped and resized as Pillow does it. */
#ifndef SUMI_IO_PICTURE_H
#define SUMI_IO_PICTURE_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct picture {
	int width, height;
	uint8_t *rgb;   /* owned; rows from the top, 3 bytes a pixel, sRGB as stored: profiles and gamma are ignored */
	uint8_t *alpha; /* owned; a byte a pixel, 0 transparent … 255 opaque; NULL: opaque everywhere */
} picture;

enum { PICTURE_MAX_PIXELS = 1 << 28 }; /* far above any real picture: 16384 × 16384 */

/* Contents undefined, opaque. Width and height ≥ 1, at most 65535 each. */
bool picture_new(picture *p, int width, int height, error *e);
void picture_free(picture *p); /* leaves it empty; an empty one is fine */

/* ── reading ── */
/* The format is judged by the content: PNG of every kind, JPEG (gray, YCbCr, CMYK), WebP that does not move.
 * Transparent places show white, and alpha says where; 16 bits become 8; EXIF's orientation is applied. A picture that
 * says it has more than max_pixels is refused before memory is taken for it. BAD_FILE also where the data end too
 * early. */
bool picture_read(picture *p, const char *path, int64_t max_pixels, error *e);
/* From memory; `name` is what messages call it. */
bool picture_decode(picture *p, const void *data, size_t bytes, const char *name, int64_t max_pixels, error *e);
/* Width and height as picture_decode would give them, from the first bytes alone; false if these do not hold them. */
bool picture_size_of(const void *data, size_t bytes, int *width, int *height);
/* What the text under `parameters` (PNG) or in EXIF's UserComment (JPEG, WebP) says, UTF-8; the caller frees it. NULL
 * where there is none: then e says why only if the file could not be read at all. */
char *picture_text(const char *path, error *e);
char *picture_text_of(const void *data, size_t bytes);

/* ── writing ── */
typedef enum picture_format { NO_PICTURE_FORMAT, PNG, JPEG, WEBP } picture_format;
/* By extension, in any case: .png .jpg .jpeg .webp; BAD_USAGE for others. */
bool picture_format_of(const char *path, picture_format *format, error *e);

/* Through a temporary file that is renamed. `text`, UTF-8, may be NULL; it is stored as A1111 stores it: in PNG a tEXt
 * chunk `parameters`, or iTXt where it is not Latin-1; in JPEG and WebP EXIF's UserComment in UTF-16, cut to 32,000
 * units there. quality, of JPEG and WebP: 1…100, 0 means 90; WebP at 100 is lossless. */
bool picture_write(const picture *p, const char *path, const char *text, int quality, error *e);
/* To memory; the caller frees *data. */
bool picture_encode(
    const picture *p, picture_format format, const char *text, int quality, uint8_t **data, size_t *bytes, error *e);

/* ── changing; `out` is a new picture, the caller's, and opaque ── */
typedef enum filter { BOX, BILINEAR, BICUBIC, LANCZOS } filter;
/* The filter widens by the factor of reduction, so that nothing aliases. Byte for byte what Pillow 9 and later make. */
bool picture_resize(picture *out, const picture *p, int width, int height, filter f, error *e);
/* The rectangle must lie in the picture. */
bool picture_crop(picture *out, const picture *p, int left, int top, int width, int height, error *e);
void picture_mirror(picture *p); /* left to right, in place */

#endif
