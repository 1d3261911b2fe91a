/* resize.c - resizing in two passes, columns of each row first, with weights in fixed point as Pillow computes them:
 * the filter is stretched by the factor of reduction, normalised, and rounded to 22 bits. */
#include "io/picture.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION = 22 };

static double box(double x) { return x > -0.5 && x <= 0.5; }
static double bilinear(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }
static double sinc(double x) { return x == 0 ? 1 : sin(M_PI * x) / (M_PI * x); }
static double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

static double bicubic(double x) /* Keys' with a = −1/2 */
{
	x = fabs(x);
	if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
	return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

static const struct {
	double (*weight)(double x);
	double support;
} filters[] = {
	[BOX] = { box, 0.5 },
	[BILINEAR] = { bilinear, 1 },
	[BICUBIC] = { bicubic, 2 },
	[LANCZOS] = { lanczos, 3 },
};

/* One output coordinate is a weighted sum of `count` inputs from `first` on. */
typedef struct window {
	int first, count;
} window;

typedef struct plan {
	window *windows;  /* for each output coordinate */
	int32_t *weights; /* `widest` of them for each */
	int widest;
} plan;

static void plan_free(plan *p)
{
	free(p->windows);
	free(p->weights);
}

static bool plan_make(plan *p, int in, int out, filter f)
{
	double scale = (double)in / out, stretch = scale > 1 ? scale : 1, support = filters[f].support * stretch;
	p->widest = (int)ceil(support) * 2 + 1;
	p->windows = malloc((size_t)out * sizeof *p->windows);
	p->weights = calloc((size_t)out * (size_t)p->widest, sizeof *p->weights);
	double *exact = malloc((size_t)p->widest * sizeof *exact);
	bool ok = p->windows && p->weights && exact;
	for (int i = 0; ok && i < out; i++) {
		double center = (i + 0.5) * scale, sum = 0;
		int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
		if (first < 0) first = 0;
		if (end > in) end = in;
		int count = end - first;
		for (int k = 0; k < count; k++) sum += exact[k] = filters[f].weight((k + first - center + 0.5) * (1 / stretch));
		for (int k = 0; k < count; k++) {
			double w = (sum != 0 ? exact[k] / sum : exact[k]) * (1 << PRECISION);
			p->weights[(size_t)i * (size_t)p->widest + (size_t)k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
		}
		p->windows[i] = (window){ first, count };
	}
	free(exact);
	return ok;
}

/* Sums `count` bytes that lie `stride` apart. */
static uint8_t weigh(const uint8_t *from, size_t stride, const int32_t *weights, int count)
{
	int64_t sum = 1 << (PRECISION - 1);
	for (int k = 0; k < count; k++) sum += (int64_t)from[(size_t)k * stride] * weights[k];
	sum >>= PRECISION;
	return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void resize_columns(picture *out, const picture *p, const plan *sums)
{
	for (int y = 0; y < out->height; y++) {
		const uint8_t *from = p->rgb + (size_t)y * (size_t)p->width * 3;
		uint8_t *to = out->rgb + (size_t)y * (size_t)out->width * 3;
		for (int x = 0; x < out->width; x++) {
			const int32_t *weights = sums->weights + (size_t)x * (size_t)sums->widest;
			window w = sums->windows[x];
			for (int c = 0; c < 3; c++) *to++ = weigh(from + 3 * w.first + c, 3, weights, w.count);
		}
	}
}

static void resize_rows(picture *out, const picture *p, const plan *sums)
{
	size_t row = (size_t)p->width * 3;
	for (int y = 0; y < out->height; y++) {
		const int32_t *weights = sums->weights + (size_t)y * (size_t)sums->widest;
		window w = sums->windows[y];
		const uint8_t *from = p->rgb + (size_t)w.first * row;
		uint8_t *to = out->rgb + (size_t)y * row;
		for (size_t i = 0; i < row; i++) to[i] = weigh(from + i, row, weights, w.count);
	}
}

/* Along one axis; where the size does not change, a copy. */
static bool resize_axis(picture *out, const picture *p, int width, int height, filter f, error *e)
{
	bool columns = width != p->width;
	if (!picture_new(out, width, height, e)) return false;
	if (!columns && height == p->height) {
		memcpy(out->rgb, p->rgb, (size_t)width * (size_t)height * 3);
		return true;
	}
	plan sums;
	bool ok = columns ? plan_make(&sums, p->width, width, f) : plan_make(&sums, p->height, height, f);
	if (!ok)
		fail(e, NO_MEMORY, "no memory to resize a picture of %d × %d pixels", p->width, p->height);
	else if (columns)
		resize_columns(out, p, &sums);
	else
		resize_rows(out, p, &sums);
	plan_free(&sums);
	if (!ok) picture_free(out);
	return ok;
}

bool picture_resize(picture *out, const picture *p, int width, int height, filter f, error *e)
{
	picture middle;
	*out = (picture){ 0 };
	if (!resize_axis(&middle, p, width, p->height, f, e)) return false;
	bool ok = resize_axis(out, &middle, width, height, f, e);
	picture_free(&middle);
	return ok;
}
