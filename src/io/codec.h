/* codec.h - what the picture formats share: where bytes come from and go to, the limit on size, EXIF. */
#ifndef SUMI_IO_CODEC_H
#define SUMI_IO_CODEC_H
#include "base/buffer.h"
#include "io/picture.h"

typedef struct source {
	const uint8_t *data;
	size_t size;
	const char *name;
	int64_t max_pixels;
} source;

uint32_t big_endian(const uint8_t *p); /* of four bytes */

/* picture_new within the limit of the source. */
bool picture_begin(picture *p, const source *s, int64_t width, int64_t height, error *e);
/* RGBA, `width` pixels, over white. */
void over_white(uint8_t *rgb, const uint8_t *rgba, size_t width);
/* Pixels from `first` on: RGB over white, and alpha, for which the picture has room. */
void put_rgba(picture *p, size_t first, const uint8_t *rgba, size_t count);
bool alpha_begin(picture *p, const source *s, error *e); /* room for alpha */
void alpha_end(picture *p);                              /* takes it away where all of it is opaque */

/* Readers leave p empty where they fail. Encoders free nothing; the caller frees the buffer. */
bool read_png(picture *p, const source *s, error *e);
bool read_jpeg(picture *p, const source *s, error *e);
bool read_webp(picture *p, const source *s, error *e);
bool read_bmp(picture *p, const source *s, error *e);
bool bmp_size(const source *s, int64_t *width, int64_t *height);
bool webp_size(const source *s, int64_t *width, int64_t *height);
void encode_png(buffer *out, const picture *p, const char *text, error *e);
void encode_jpeg(buffer *out, const picture *p, const char *text, int quality, error *e);
void encode_webp(buffer *out, const picture *p, const char *text, int quality, error *e);
char *text_of_png(const source *s); /* NULL where there is none; the caller frees it */

/* EXIF: a TIFF structure, of which we read two entries. Found in the container, checked at every step. */
typedef struct exif {
	const uint8_t *data; /* begins with "II" or "MM" */
	size_t size;
} exif;
bool jpeg_exif(const source *s, exif *x);
bool webp_exif(const source *s, exif *x);
int png_orientation(const source *s);           /* 1…8 */
int exif_orientation(const exif *x);            /* 1…8; 1 where it is not said */
char *exif_comment(const exif *x);              /* UTF-8 or NULL */
void exif_write(buffer *out, const char *text); /* as piexif writes it: big-endian, "UNICODE", UTF-16 */

#endif
