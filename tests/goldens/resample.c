/* resample.c - resizing and blurring as Pillow and OpenCV do it, byte for byte, and latents as torch's interpolate.
 * Its other modes, Pillow's and its box blur, which nothing here uses, are left out; edges of the same file are
 * compared in canny.c. */
#include "arrays.h"
#include "goldens.h"
#include "io/blur.h"
#include "io/picture.h"
#include "pipeline/latent.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest difference of two bytes. */
static double farthest(const uint8_t *a, const uint8_t *b, size_t n)
{
	int worst = 0;
	for (size_t i = 0; i < n; i++)
		if (abs(a[i] - b[i]) > worst) worst = abs(a[i] - b[i]);
	return worst;
}

static const uint8_t *bytes_of(const arrays *a, const char *name, shape *s)
{
	dtype d;
	const void *data;
	return array_find(a, name, &d, s, &data) && d == U8 ? data : NULL;
}

static double resized(const uint8_t *pixels, shape s, const uint8_t *expected, shape to, filter f, error *e)
{
	picture from = { .width = s.d[1], .height = s.d[0], .rgb = (uint8_t *)(uintptr_t)pixels }, out;
	if (!picture_resize(&out, &from, to.d[1], to.d[0], f, e)) return INFINITY;
	double worst = farthest(out.rgb, expected, shape_count(to));
	picture_free(&out);
	return worst;
}

static double blurred(const uint8_t *values, shape s, const uint8_t *expected, double radius, bool pillow, error *e)
{
	size_t n = shape_count(s);
	uint8_t *copy = malloc(n);
	if (!copy) return INFINITY;
	memcpy(copy, values, n);
	bool fine = (pillow ? blur_pillow : blur_gaussian)(copy, s.n == 3 ? s.d[2] : 1, s.d[1], s.d[0], radius, e);
	double worst = fine ? farthest(copy, expected, n) : INFINITY;
	free(copy);
	return worst;
}

typedef struct source_array {
	const uint8_t *picture, *mask;
	shape picture_shape, mask_shape;
} source_array;

/* What one array of the file says, by its name; false: it is of something that is not here. */
static bool compare(const source_array *from, const char *name, const uint8_t *expected, shape s, report *r)
{
	static const char *const filters[] = { "BOX", "BILINEAR", "BICUBIC", "LANCZOS" };
	static const filter kinds[] = { BOX, BILINEAR, BICUBIC, LANCZOS };
	char title[120];
	error e = { 0 };
	const char *last = strrchr(name, '/');
	double worst = -1, radius = last ? strtod(last + 1, NULL) : 0;
	for (size_t i = 0; last && !strncmp(name, "pil/", 4) && s.n == 3 && i < 4; i++)
		if (!strcmp(last + 1, filters[i]))
			worst = resized(from->picture, from->picture_shape, expected, s, kinds[i], &e);
	if (!strncmp(name, "mask_cv2_gaussian/", 18))
		worst = blurred(from->mask, from->mask_shape, expected, radius, false, &e);
	if (!strncmp(name, "mask_gaussian/", 14)) worst = blurred(from->mask, from->mask_shape, expected, radius, true, &e);
	if (!strncmp(name, "picture_gaussian/", 17))
		worst = blurred(from->picture, from->picture_shape, expected, radius, true, &e);
	snprintf(title, sizeof title, "resample/%s", name);
	if (worst >= 0) report_error(r, title, worst, 0);
	return worst >= 0;
}

/* "latent/HxW/mode" and "latent_scale/…": NCHW. A scale is that of the sizes, of which torch takes the rounded one only
 * where sizes are given; so scales are compared where both are the same. */
static void compare_latents(const arrays *a, report *r)
{
	const char *name;
	json_t *entry;
	dtype d;
	shape s, t;
	const void *from, *expected;
	if (!array_find(a, "latent", &d, &s, &from)) return;
	int channels = s.d[1];
	size_t area = (size_t)s.d[2] * (size_t)s.d[3], n = area * (size_t)channels;
	float *in = malloc(n * sizeof *in);
	channels_last(in, from, channels, area);
	json_object_foreach(a->header, name, entry)
	{
		const char *mode = strrchr(name, '/');
		bool nearest = mode && !strcmp(mode, "/nearest-exact");
		double scale;
		char title[96];
		if (strncmp(name, "latent", 6) || !mode || (!nearest && strcmp(mode, "/bilinear") != 0)) continue;
		array_find(a, name, &d, &t, &expected);
		if (sscanf(name, "latent_scale/%lf", &scale) == 1 &&
		    (scale * s.d[2] != (double)t.d[2] || scale * s.d[3] != (double)t.d[3]))
			continue;
		size_t out = (size_t)t.d[2] * (size_t)t.d[3], all = out * (size_t)channels;
		float *large = malloc(2 * all * sizeof *large);
		latent_resize(large, (latent_size){ t.d[2], t.d[3] }, in, (latent_size){ s.d[2], s.d[3] }, channels, nearest);
		channels_first(large + all, large, channels, out);
		double worst = 0;
		for (size_t i = 0; i < all; i++)
			worst = worse(worst, fabs((double)large[all + i] - (double)((const float *)expected)[i]));
		snprintf(title, sizeof title, "resample/%s", name);
		report_error(r, title, worst, 1e-5);
		free(large);
	}
	free(in);
}

void golden_resample(const char *dir, report *r)
{
	arrays a = arrays_open(path_of(dir, "resample/pil_cv2.safetensors"));
	arrays b = arrays_open(path_of(dir, "resample/torch_interpolate.safetensors")); /* has the picture of both */
	source_array from = { 0 };
	if (b.header) from.picture = bytes_of(&b, "picture_u8", &from.picture_shape);
	if (a.header) from.mask = bytes_of(&a, "mask", &from.mask_shape);
	const char *name;
	json_t *entry;
	int compared = 0;
	json_object_foreach(a.header, name, entry)
	{
		shape s;
		const uint8_t *expected = from.picture && from.mask ? bytes_of(&a, name, &s) : NULL;
		if (expected) compared += compare(&from, name, expected, s, r);
	}
	if (b.header) compare_latents(&b, r);
	if (a.header && !compared) report_error(r, "resample: nothing could be compared", 1, 0);
	arrays_close(&a);
	arrays_close(&b);
}
