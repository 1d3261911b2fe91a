/* canny.c - edges against OpenCV's, pixel by pixel. */
#include "arrays.h"
#include "goldens.h"
#include "io/canny.h"
#include <stdio.h>
#include <string.h>

/* How many pixels differ; the golden has one channel. */
static double different(const arrays *a, const char *from, int low, int high, const char *golden)
{
	dtype d;
	shape s, t;
	const void *pixels, *expected;
	picture out;
	double count = 0;
	if (!array_find(a, from, &d, &s, &pixels) || !array_find(a, golden, &d, &t, &expected)) return 1;
	picture p = { .width = s.d[1], .height = s.d[0], .rgb = (uint8_t *)(uintptr_t)pixels };
	if (!picture_edges(&out, &p, low, high, NULL)) return 1;
	for (size_t i = 0; i < shape_count(t); i++) count += out.rgb[3 * i] != ((const uint8_t *)expected)[i];
	picture_free(&out);
	return count;
}

void golden_canny(const char *dir, report *r)
{
	static const struct {
		const char *from, *folder;
		int low, high;
	} cases[] = { { "canny/picture", "canny", 100, 200 }, { "canny/picture", "canny", 50, 100 },
		{ "canny/picture", "canny", 30, 150 }, { "canny/blurred_5x5", "canny_blurred", 100, 200 } };
	arrays a = arrays_open(path_of(dir, "resample/pil_cv2.safetensors"));
	for (size_t i = 0; a.header && i < sizeof cases / sizeof *cases; i++) {
		char golden[64];
		snprintf(golden, sizeof golden, "%s/%d_%d", cases[i].folder, cases[i].low, cases[i].high);
		report_error(r, golden, different(&a, cases[i].from, cases[i].low, cases[i].high, golden), 0);
	}
	arrays_close(&a);
}
