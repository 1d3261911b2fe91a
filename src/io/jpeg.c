/* jpeg.c - JPEG through libjpeg, whose errors are a longjmp. */
#include "io/codec.h"
#include <stdio.h> /* jpeglib.h needs it */
#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* A progressive file of a few kilobytes can ask for thousands of passes over a huge picture. */
enum { SCAN_LIMIT = 200 };

typedef struct codec {
	struct jpeg_error_mgr errors; /* first: libjpeg hands back a pointer to it */
	jmp_buf land;
	const char *name;
	error *e;
	uint8_t *row; /* CMYK */
} codec;

static void on_error(j_common_ptr j)
{
	codec *c = (codec *)j->err;
	char message[JMSG_LENGTH_MAX];
	j->err->format_message(j, message);
	fail(c->e, BAD_FILE, "%s: the JPEG is damaged: %s", c->name, message);
	longjmp(c->land, 1);
}

/* libjpeg fills what is missing with gray and only warns; half a picture is none for us. Other warnings it mends. */
static void on_message(j_common_ptr j, int level)
{
	if (level < 0 && (j->err->msg_code == JWRN_JPEG_EOF || j->err->msg_code == JWRN_HIT_MARKER)) on_error(j);
}

static void on_progress(j_common_ptr j)
{
	codec *c = (codec *)j->err;
	if (!j->is_decompressor || ((j_decompress_ptr)j)->input_scan_number <= SCAN_LIMIT) return;
	fail(c->e, BAD_FILE, "%s: the JPEG has more than %d scans", c->name, SCAN_LIMIT);
	longjmp(c->land, 1);
}

static void set_errors(codec *c)
{
	jpeg_std_error(&c->errors);
	c->errors.error_exit = on_error;
	c->errors.emit_message = on_message;
}

/* ── reading ── */

/* Adobe's programs store CMYK inverted, and no others store it. */
static void rgb_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, int width, bool inverted)
{
	for (int i = 0; i < width; i++, rgb += 3, cmyk += 4)
		for (int k = 0; k < 3; k++) {
			int paper = inverted ? cmyk[k] : 255 - cmyk[k], light = inverted ? cmyk[3] : 255 - cmyk[3];
			rgb[k] = (uint8_t)((paper * light + 127) / 255);
		}
}

static bool read_rows(struct jpeg_decompress_struct *j, codec *c, picture *p, const source *s)
{
	jpeg_read_header(j, TRUE);
	if (!picture_begin(p, s, j->image_width, j->image_height, c->e)) return false;
	bool cmyk = j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK;
	j->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
	jpeg_start_decompress(j);
	size_t width = (size_t)p->width;
	if (cmyk && !(c->row = malloc(4 * width))) return fail(c->e, NO_MEMORY, "%s: no memory for its pixels", s->name);
	while (j->output_scanline < j->output_height) {
		uint8_t *rgb = p->rgb + 3 * width * j->output_scanline, *to = cmyk ? c->row : rgb;
		jpeg_read_scanlines(j, &to, 1);
		if (cmyk) rgb_from_cmyk(rgb, to, p->width, j->saw_Adobe_marker);
	}
	jpeg_finish_decompress(j);
	return true;
}

bool read_jpeg(picture *p, const source *s, error *e)
{
	codec c = { .name = s->name, .e = e };
	struct jpeg_decompress_struct j;
	struct jpeg_progress_mgr progress = { .progress_monitor = on_progress };
	volatile bool ok = false;
	set_errors(&c);
	memset(&j, 0, sizeof j);
	j.err = &c.errors;
	if (!setjmp(c.land)) {
		jpeg_create_decompress(&j);
		j.progress = &progress;
		jpeg_mem_src(&j, s->data, s->size);
		ok = read_rows(&j, &c, p, s);
	}
	jpeg_destroy_decompress(&j);
	free(c.row);
	if (!ok) picture_free(p);
	return ok;
}

/* Walks the segments up to the first scan. */
bool jpeg_exif(const source *s, exif *x)
{
	size_t at = 2;
	while (at + 4 <= s->size && s->data[at] == 0xff) {
		uint8_t marker = s->data[at + 1];
		size_t length = (size_t)s->data[at + 2] << 8 | s->data[at + 3];
		if (marker == 0xda || length < 2 || length > s->size - at - 2) return false;
		const uint8_t *segment = s->data + at + 4;
		if (marker == 0xe1 && length >= 2 + 6 && !memcmp(segment, "Exif\0\0", 6)) {
			*x = (exif){ segment + 6, length - 2 - 6 };
			return true;
		}
		at += 2 + length;
	}
	return false;
}

/* ── writing ── */

typedef struct destination {
	struct jpeg_destination_mgr manager; /* first, as above */
	buffer *out;
	uint8_t buffer[1 << 14];
} destination;

static void begin_output(j_compress_ptr j)
{
	destination *d = (destination *)j->dest;
	d->manager.next_output_byte = d->buffer;
	d->manager.free_in_buffer = sizeof d->buffer;
}

static boolean empty_output(j_compress_ptr j)
{
	destination *d = (destination *)j->dest;
	buffer_add(d->out, d->buffer, sizeof d->buffer);
	begin_output(j);
	return TRUE;
}

static void end_output(j_compress_ptr j)
{
	destination *d = (destination *)j->dest;
	buffer_add(d->out, d->buffer, sizeof d->buffer - d->manager.free_in_buffer);
}

static void write_rows(struct jpeg_compress_struct *j, const picture *p, const buffer *metadata, int quality)
{
	j->image_width = (JDIMENSION)p->width;
	j->image_height = (JDIMENSION)p->height;
	j->input_components = 3;
	j->in_color_space = JCS_RGB;
	jpeg_set_defaults(j);
	jpeg_set_quality(j, quality, TRUE);
	j->optimize_coding = TRUE;
	jpeg_start_compress(j, TRUE);
	if (metadata->size) jpeg_write_marker(j, JPEG_APP0 + 1, (const JOCTET *)metadata->data, (unsigned)metadata->size);
	while (j->next_scanline < j->image_height) {
		uint8_t *row = p->rgb + (size_t)j->next_scanline * (size_t)p->width * 3;
		jpeg_write_scanlines(j, &row, 1);
	}
	jpeg_finish_compress(j);
}

void encode_jpeg(buffer *out, const picture *p, const char *text, int quality, error *e)
{
	codec c = { .name = "picture", .e = e };
	struct jpeg_compress_struct j;
	destination to = { .manager = { .init_destination = begin_output,
		                   .empty_output_buffer = empty_output,
		                   .term_destination = end_output },
		.out = out };
	buffer metadata = { 0 };
	set_errors(&c);
	memset(&j, 0, sizeof j);
	j.err = &c.errors;
	if (text) {
		buffer_add(&metadata, "Exif\0\0", 6);
		exif_write(&metadata, text);
	}
	if (!setjmp(c.land)) {
		jpeg_create_compress(&j);
		j.dest = &to.manager;
		write_rows(&j, p, &metadata, quality);
	}
	jpeg_destroy_compress(&j);
	free(metadata.data);
}
