/* data_sample.c - pixels and captions of one sample; all that is random comes from one number. */
#include "train/data/data_sample.h"
#include "base/file.h"
#include "io/picture.h"
#include <stdio.h>
#include <string.h>

uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t state = a;
	state = draw(&state) ^ b;
	return draw(&state);
}

/* The bias of a 64-bit remainder is below 2^-32 for any set. */
uint64_t draw_below(uint64_t *state, uint64_t n) { return draw(state) % n; }

void shuffle(int64_t *order, int64_t count, uint64_t seed, uint64_t epoch)
{
	uint64_t state = mix(seed, epoch);
	for (int64_t i = 0; i < count; i++) order[i] = i;
	for (int64_t i = count - 1; i > 0; i--) {
		int64_t k = (int64_t)draw_below(&state, (uint64_t)i + 1), t = order[i];
		order[i] = order[k];
		order[k] = t;
	}
}

/* The smallest size that covers the crop and, where resolution is not 0, whose shorter side is not less than that. */
static void fitted_size(const picture *p, int resolution, int height, int width, int *h, int *w)
{
	double scale = (double)resolution / (p->width < p->height ? p->width : p->height);
	if (scale * p->height < height) scale = (double)height / p->height;
	if (scale * p->width < width) scale = (double)width / p->width;
	*h = (int)(scale * p->height + 0.5);
	*w = (int)(scale * p->width + 0.5);
	if (*h < height) *h = height;
	if (*w < width) *w = width;
}

static void write_pixels(const picture *p, int top, int left, int height, int width, bool flip, float *out)
{
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			const uint8_t *from =
			    p->rgb + ((size_t)(top + y) * (size_t)p->width + (size_t)(left + (flip ? width - 1 - x : x))) * 3;
			for (int c = 0; c < 3; c++) *out++ = (float)from[c] / 127.5f - 1;
		}
}

bool sample_size(const picture_source *from, int *width, int *height)
{
	if (from->data) return picture_size_of(from->data, from->bytes, width, height);
	mapping m;
	if (!map_file(&m, from->name, NULL)) return false;
	bool known = picture_size_of(m.data, m.size, width, height);
	unmap_file(&m);
	return known;
}

static bool read_picture(picture *p, const picture_source *from, error *e)
{
	bool fine = from->data ? picture_decode(p, from->data, from->bytes, from->name, MOST_PIXELS, e)
	                       : picture_read(p, from->name, MOST_PIXELS, e);
	if (!fine || (p->width >= 2 && p->height >= 2)) return fine;
	fail(e, BAD_FILE, "%s: %d×%d pixels, expected at least 2×2", from->name, p->width, p->height);
	picture_free(p);
	return false;
}

bool sample_pixels(const data_options *o, const picture_source *source, uint64_t random, int height, int width,
    float *out, picture_frame *frame, error *e)
{
	picture p = { 0 }, fitted = { 0 };
	if (!read_picture(&p, source, e)) return false;
	int h, w;
	fitted_size(&p, o->bucket_step ? 0 : o->resolution, height, width, &h, &w);
	const picture *from = &p;
	if (h != p.height || w != p.width) {
		if (!picture_resize(&fitted, &p, w, h, LANCZOS, e)) {
			picture_free(&p);
			return false;
		}
		from = &fitted;
	}
	int top = (h - height) / 2, left = (w - width) / 2;
	bool flip = false;
	if (random) {
		uint64_t state = random;
		int below = (int)draw_below(&state, (uint64_t)(h - height) + 1),
		    right = (int)draw_below(&state, (uint64_t)(w - width) + 1);
		if (o->random_crop) top = below, left = right;
		flip = o->random_flip && draw_below(&state, 2);
	}
	*frame = (picture_frame){ p.height, p.width, top, flip ? w - width - left : left };
	write_pixels(from, top, left, height, width, flip, out);
	picture_free(&p);
	picture_free(&fitted);
	return true;
}

static void append(char *out, size_t room, const char *text)
{
	size_t n = strlen(out);
	if (n < room) snprintf(out + n, room - n, "%s%s", n ? ", " : "", text);
}

void sample_caption(const data_options *o, const data_item *i, uint64_t random, char *out, size_t room)
{
	uint64_t state = mix(random, 0x63617074696f6eu);
	enum { TEXT, TEXT_TOO, TEXT_AND_SOME, SOME, FORMS }; /* half of the time the text alone, the usual prompt */
	int form = o->vary_captions && i->keyword_count ? (int)draw_below(&state, FORMS) : TEXT;
	*out = 0;
	if (form != SOME) append(out, room, i->caption);
	if (form <= TEXT_TOO) return;
	enum { MOST = 32 };
	int n = i->keyword_count < MOST ? i->keyword_count : MOST, order[MOST];
	int taken = 1 + (int)draw_below(&state, (uint64_t)n);
	for (int k = 0; k < n; k++) order[k] = k;
	for (int k = 0; k < taken; k++) {
		int other = k + (int)draw_below(&state, (uint64_t)(n - k)), t = order[k];
		order[k] = order[other];
		order[other] = t;
		append(out, room, i->keywords[order[k]]);
	}
}
