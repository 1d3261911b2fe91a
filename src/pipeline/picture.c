/* picture.c - pixels, masks and floats. */
#include "pipeline/picture.h"
#include "io/canny.h"
#include "io/picture.h"
#include <math.h>
#include <stdlib.h>

/* The picture at this size: itself or a resized copy; *made is to be freed. NULL: failed. */
static const uint8_t *fitted(const sumi_image *p, int width, int height, picture *made, error *e)
{
	picture from = { .width = p->width, .height = p->height, .rgb = p->pixels };
	if (p->width == width && p->height == height) return p->pixels;
	return picture_resize(made, &from, width, height, LANCZOS, e) ? made->rgb : NULL;
}

float *picture_of(const sumi_image *p, int width, int height, error *e)
{
	size_t n = (size_t)width * (size_t)height * 3;
	float *out = calloc(n, sizeof *out);
	picture made = { 0 };
	const uint8_t *pixels = out && p ? fitted(p, width, height, &made, e) : NULL;
	if (!out) fail(e, NO_MEMORY, "out of memory for a picture of %d×%d", width, height);
	for (size_t i = 0; pixels && i < n; i++) out[i] = (float)pixels[i] / 127.5f - 1;
	picture_free(&made);
	if (!p || pixels) return out;
	free(out);
	return NULL;
}

bool hint_of(const sumi_image *p, int width, int height, int low, int high, float *out, error *e)
{
	size_t n = (size_t)width * (size_t)height * 3;
	picture made = { 0 }, edges = { 0 };
	const uint8_t *pixels = fitted(p, width, height, &made, e);
	picture here = { .width = width, .height = height, .rgb = (uint8_t *)(uintptr_t)pixels };
	if (pixels && high > 0) pixels = picture_edges(&edges, &here, low, high, e) ? edges.rgb : NULL;
	for (size_t i = 0; pixels && i < n; i++) out[i] = (float)pixels[i] / 255;
	picture_free(&made);
	picture_free(&edges);
	return pixels != NULL;
}

bool clip_picture(const sumi_image *p, int side, float *out, error *e)
{
	enum { LONGEST = 1 << 16 };
	static const float mean[] = { 0.48145466f, 0.4578275f, 0.40821073f },
	                   deviation[] = { 0.26862954f, 0.26130258f, 0.27577711f };
	picture made = { 0 }, from = { .width = p->width, .height = p->height, .rgb = p->pixels };
	int shorter = p->width < p->height ? p->width : p->height, longer = p->width + p->height - shorter;
	double along = (double)side * longer / shorter;
	if (along > LONGEST) return fail(e, BAD_USAGE, "a picture of %d×%d is too narrow for CLIP", p->width, p->height);
	int width = p->width <= p->height ? side : (int)along, height = p->width <= p->height ? (int)along : side;
	if (!picture_resize(&made, &from, width, height, BICUBIC, e)) return false;
	int left = (width - side) / 2, top = (height - side) / 2;
	for (int y = 0; y < side; y++)
		for (int x = 0; x < side; x++)
			for (int c = 0; c < 3; c++) {
				size_t at = 3 * ((size_t)(top + y) * (size_t)width + (size_t)(left + x)) + (size_t)c;
				*out++ = ((float)made.rgb[at] / 255 - mean[c]) / deviation[c];
			}
	picture_free(&made);
	return true;
}

/* Grey values of an opaque picture at this size, 0 … 255. */
static float *greys_of(const sumi_image *p, int width, int height, error *e)
{
	size_t n = (size_t)width * (size_t)height;
	float *out = malloc(n * sizeof *out);
	picture made = { 0 };
	const uint8_t *pixels = out ? fitted(p, width, height, &made, e) : NULL;
	if (!out) fail(e, NO_MEMORY, "out of memory for a mask of %d×%d", width, height);
	for (size_t i = 0; pixels && i < n; i++)
		out[i] = (float)(pixels[3 * i] + pixels[3 * i + 1] + pixels[3 * i + 2]) / 3;
	picture_free(&made);
	if (pixels) return out;
	free(out);
	return NULL;
}

/* A mask with transparency, as one without: what is transparent is black. Where nothing that is visible in it is light,
 * it was drawn in a dark colour on nothing, and what was drawn on is painted, as in A1111. */
static bool flatten(const sumi_image *p, picture *made, error *e)
{
	size_t n = (size_t)p->width * (size_t)p->height;
	bool light = false;
	if (!picture_new(made, p->width, p->height, e)) return false;
	for (size_t i = 0; i < n; i++) {
		const unsigned char *c = p->pixels + 3 * i; /* on white: its own light and what white adds */
		int alpha = p->alpha[i], grey = (c[0] + c[1] + c[2] + 1) / 3 - (255 - alpha);
		made->rgb[3 * i] = (uint8_t)(grey < 0 ? 0 : grey);
		light |= alpha >= 128 && 2 * grey >= alpha; /* fainter ones are too coarse to judge */
	}
	for (size_t i = 0; i < n; i++) {
		if (!light) made->rgb[3 * i] = p->alpha[i];
		made->rgb[3 * i + 1] = made->rgb[3 * i + 2] = made->rgb[3 * i];
	}
	return true;
}

/* … of a mask */
static float *greys(const sumi_image *p, int width, int height, error *e)
{
	picture flat = { 0 };
	if (!p->alpha) return greys_of(p, width, height, e);
	float *out = NULL;
	if (flatten(p, &flat, e))
		out = greys_of(&(sumi_image){ .width = p->width, .height = p->height, .pixels = flat.rgb }, width, height, e);
	picture_free(&flat);
	return out;
}

float *mask_of(const sumi_image *p, bool soft, int width, int height, error *e)
{
	float *out = greys(p, width, height, e);
	for (size_t i = 0; out && i < (size_t)width * (size_t)height; i++) out[i] = soft ? out[i] / 255 : out[i] >= 127.5f;
	return out;
}

bool grey_masked(float *image, const sumi_image *mask, int width, int height, error *e)
{
	size_t n = (size_t)width * (size_t)height;
	float *covers = mask ? mask_of(mask, false, width, height, e) : NULL;
	if (mask && !covers) return false;
	for (size_t i = 0; i < n; i++)
		if (!covers || covers[i] > 0) image[3 * i] = image[3 * i + 1] = image[3 * i + 2] = 0;
	free(covers);
	return true;
}

static uint8_t byte_of(float value)
{
	float x = (value + 1) * 127.5f;
	return !(x > 0) ? 0 : x >= 255 ? 255 : (uint8_t)lrintf(x);
}

/* Lays the original over the picture as far as the mask is black. */
static bool restore(sumi_image *p, const sumi_image *original, const sumi_image *mask, error *e)
{
	size_t n = (size_t)p->width * (size_t)p->height;
	picture made = { 0 };
	float *painted = greys(mask, p->width, p->height, e);
	const uint8_t *old = painted ? fitted(original, p->width, p->height, &made, e) : NULL;
	for (size_t i = 0; old && i < 3 * n; i++) {
		float share = painted[i / 3] / 255;
		p->pixels[i] = (uint8_t)lrintf(share * (float)p->pixels[i] + (1 - share) * (float)old[i]);
	}
	free(painted);
	picture_free(&made);
	return old != NULL;
}

sumi_image *picture_from(
    const float *values, int width, int height, const sumi_image *original, const sumi_image *mask, error *e)
{
	size_t n = (size_t)width * (size_t)height * 3;
	sumi_image *p = calloc(1, sizeof *p);
	if (p) p->pixels = malloc(n);
	if (!p || !p->pixels) {
		fail(e, NO_MEMORY, "out of memory for a picture of %d×%d", width, height);
		sumi_image_free(p);
		return NULL;
	}
	p->width = width;
	p->height = height;
	p->seed = -1;
	p->size = sizeof *p;
	for (size_t i = 0; i < n; i++) p->pixels[i] = byte_of(values[i]);
	if (!original || !mask || restore(p, original, mask, e)) return p;
	sumi_image_free(p);
	return NULL;
}
