/* blur.c - blurs along one line at a time: the rows first, then the columns. */
#include "io/blur.h"
#include <math.h>
#include <stdlib.h>

/* A line of n values, `stride` apart, is taken to `in`, blurred to `out`, and put back. */
typedef void line_fn(const void *context, const uint8_t *in, uint8_t *out, int n);

typedef struct lines {
	line_fn *blur;
	const void *context;
	uint8_t *in, *out; /* as long as the longest line */
} lines;

static void blur_line(const lines *l, uint8_t *at, size_t stride, int n)
{
	for (int i = 0; i < n; i++) l->in[i] = at[(size_t)i * stride];
	l->blur(l->context, l->in, l->out, n);
	for (int i = 0; i < n; i++) at[(size_t)i * stride] = l->out[i];
}

static bool blur_lines(
    line_fn *blur, const void *context, uint8_t *values, int channels, int width, int height, error *e)
{
	size_t longest = (size_t)(width > height ? width : height), c = (size_t)channels, row = c * (size_t)width;
	uint8_t *room = malloc(2 * longest);
	if (!room) return fail(e, NO_MEMORY, "no memory to blur a picture of %d × %d pixels", width, height);
	const lines l = { blur, context, room, room + longest };
	for (size_t y = 0; y < (size_t)height; y++)
		for (size_t k = 0; k < c; k++) blur_line(&l, values + y * row + k, c, width);
	for (size_t x = 0; x < row; x++) blur_line(&l, values + x, row, height);
	free(room);
	return true;
}

/* ── OpenCV's ── */

enum { ONE = 256 };

typedef struct kernel_values {
	int *of; /* [2·reach + 1], which add up to ONE */
	int reach;
} kernel_values;

/* Rounded from the ends inwards, each with the error of the one before; the middle takes what is left. */
static bool make_kernel(kernel_values *k, double sigma, error *e)
{
	int n = 2 * k->reach + 1, left = ONE;
	double sum = 0, carried = 0;
	k->of = malloc((size_t)n * sizeof *k->of);
	if (!k->of) return fail(e, NO_MEMORY, "no memory for a blur of %g pixels", sigma);
	for (int i = -k->reach; i <= k->reach; i++) sum += exp(-i * i / (2 * sigma * sigma));
	for (int i = 0; i < k->reach; i++) {
		double away = k->reach - i, exact = ONE * exp(-away * away / (2 * sigma * sigma)) / sum + carried;
		k->of[i] = k->of[n - 1 - i] = (int)nearbyint(exact);
		carried = exact - k->of[i];
		left -= 2 * k->of[i];
	}
	k->of[k->reach] = left;
	return true;
}

/* OpenCV's BORDER_REFLECT_101, from any distance. */
static int reflected(int i, int n)
{
	int period = 2 * (n - 1);
	if (!period) return 0;
	i = abs(i) % period;
	return i < n ? i : period - i;
}

static void gaussian_line(const void *context, const uint8_t *in, uint8_t *out, int n)
{
	const kernel_values *k = context;
	for (int i = 0; i < n; i++) {
		int sum = ONE / 2;
		for (int d = -k->reach; d <= k->reach; d++) sum += k->of[d + k->reach] * in[reflected(i + d, n)];
		sum /= ONE;
		out[i] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
	}
}

bool blur_gaussian(uint8_t *values, int channels, int width, int height, double sigma, error *e)
{
	kernel_values k = { .reach = (int)(2.5 * sigma + 0.5) };
	bool fine = make_kernel(&k, sigma, e) && blur_lines(gaussian_line, &k, values, channels, width, height, e);
	free(k.of);
	return fine;
}

/* ── Pillow's ── */

enum { PASSES = 3 };

/* A box of 2·reach + 1 whole values and a part of one more at each end, in 24 bits of fixed point. */
typedef struct box {
	int reach;
	uint32_t whole, part;
} box;

/* Three boxes of this radius have the variance of the Gaussian (Gwosdek et al. 2011). */
static box box_of(double radius)
{
	double variance = radius * radius / PASSES, length = sqrt(12 * variance + 1), whole = floor((length - 1) / 2);
	double part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) * (whole + 1)));
	float exact = (float)(whole + part);
	box b = { .reach = (int)exact, .whole = (uint32_t)((float)(1 << 24) / (exact * 2 + 1)) };
	b.part = ((1u << 24) - (uint32_t)(2 * b.reach + 1) * b.whole) / 2;
	return b;
}

static int clamped(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

static void box_line(const box *b, const uint8_t *in, uint8_t *out, int n)
{
	uint32_t sum = 0;
	for (int d = -b->reach; d <= b->reach; d++) sum += in[clamped(d, n)];
	for (int i = 0; i < n; i++) {
		uint32_t ends = (uint32_t)in[clamped(i - b->reach - 1, n)] + in[clamped(i + b->reach + 1, n)];
		out[i] = (uint8_t)((sum * b->whole + ends * b->part + (1u << 23)) >> 24);
		sum += (uint32_t)in[clamped(i + b->reach + 1, n)] - in[clamped(i - b->reach, n)];
	}
}

static void pillow_line(const void *context, const uint8_t *in, uint8_t *out, int n)
{
	uint8_t *from = (uint8_t *)(uintptr_t)in; /* the room is ours: the passes go to and fro */
	box_line(context, from, out, n);
	box_line(context, out, from, n);
	box_line(context, from, out, n);
}

bool blur_pillow(uint8_t *values, int channels, int width, int height, double radius, error *e)
{
	if (radius <= 0) return true;
	const box b = box_of(radius);
	return blur_lines(pillow_line, &b, values, channels, width, height, e);
}
