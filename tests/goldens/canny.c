/* canny.c - edges against OpenCV's, pixel by pixel. */
#include "arrays.h"
#include "goldens.h"
#include "io/canny.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Three channels of a picture that has one or three; the caller frees. */
static uint8_t *in_colour(const uint8_t *pixels, shape s)
{
	size_t n = (size_t)s.d[0] * (size_t)s.d[1];
	uint8_t *rgb = malloc(3 * n);
	for (size_t i = 0; i < 3 * n; i++) rgb[i] = pixels[s.n == 3 ? i : i / 3];
	return rgb;
}

/* How many pixels differ; the golden has one channel. */
static double different(const arrays *a, const char *from, int low, int high, const char *golden)
{
	dtype d;
	shape s, t;
	const void *pixels, *expected;
	picture out;
	double count = 0;
	if (!array_find(a, from, &d, &s, &pixels) || !array_find(a, golden, &d, &t, &expected)) return 1;
	picture p = { .width = s.d[1], .height = s.d[0], .rgb = in_colour(pixels, s) };
	bool fine = picture_edges(&out, &p, low, high, NULL);
	free(p.rgb);
	if (!fine) return 1;
	for (size_t i = 0; i < shape_count(t); i++) count += out.rgb[3 * i] != ((const uint8_t *)expected)[i];
	picture_free(&out);
	return count;
}

/* "folder/low_high" for each folder; squared lengths ("canny_l2") are not what is used here. */
void golden_canny(const char *dir, report *r)
{
	static const struct {
		const char *folder, *from;
	} sources[] = { { "canny", "canny/picture" }, { "canny_gray", "canny/gray" },
		{ "canny_blurred", "canny/blurred_5x5" } };
	arrays a = arrays_open(path_of(dir, "resample/pil_cv2.safetensors"));
	const char *name;
	json_t *entry;
	json_object_foreach(a.header, name, entry)
	{
		char folder[32];
		int low, high;
		if (sscanf(name, "%31[a-z_]/%d_%d", folder, &low, &high) != 3) continue;
		for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
			if (!strcmp(sources[i].folder, folder))
				report_error(r, name, different(&a, sources[i].from, low, high, name), 0);
	}
	arrays_close(&a);
}
