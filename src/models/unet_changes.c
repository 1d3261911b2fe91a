/* unet_changes.c - FreeU's arithmetic, and how its and PAG's options are written. */
#include "models/unet_changes.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── options ── */

bool perturbed_from_text(const char *text, int levels, uint32_t *bits, error *e)
{
	*bits = 0;
	for (const char *at = text; *at;) {
		int i = 0, n = 0;
		if (!strncmp(at, "mid", 3) && (!at[3] || at[3] == ','))
			*bits |= 1u << PERTURBED_MIDDLE, n = 3;
		else if (sscanf(at, "down_%d%n", &i, &n) == 1 && i >= 0 && i < levels)
			*bits |= 1u << i;
		else if (sscanf(at, "up_%d%n", &i, &n) == 1 && i >= 0 && i < levels)
			*bits |= 1u << (PERTURBED_UP + levels - 1 - i);
		else
			n = 0;
		if (!n || (at[n] && at[n] != ','))
			return fail(e, BAD_USAGE, "PAG layers '%.40s': mid, down_0 … down_%d, up_0 … up_%d, with commas", text,
			    levels - 1, levels - 1);
		at += n + (at[n] == ',');
	}
	return *bits || fail(e, BAD_USAGE, "PAG layers: none is named");
}

bool free_u_from_text(const char *text, unet_changes *c, error *e)
{
	const char *numbers = strchr(text, ':');
	char end;
	c->free_u = !numbers                       ? FREE_U
	            : !strncmp(text, "v2:", 3)     ? FREE_U_2
	            : !strncmp(text, "blocks:", 7) ? FREE_U_BY_BLOCK
	                                           : NO_FREE_U;
	numbers = numbers ? numbers + 1 : text;
	bool read = sscanf(numbers, "%f,%f,%f,%f%c", &c->b[0], &c->b[1], &c->s[0], &c->s[1], &end) == 4;
	for (int i = 0; read && i < 2; i++) read = c->b[i] >= 0 && c->b[i] <= 10 && c->s[i] >= 0 && c->s[i] <= 10;
	return (read && c->free_u != NO_FREE_U) ||
	       fail(e, BAD_USAGE,
	           "FreeU '%.60s': b1,b2,s1,s2, each 0 to 10, as in 1.5,1.6,0.9,0.2; v2: or blocks: in front", text);
}

bool deep_cache_from_text(const char *text, int skips, int *interval, int *branch, error *e)
{
	char end;
	*branch = 0;
	bool read = strchr(text, ':') ? sscanf(text, "%d:%d%c", interval, branch, &end) == 2
	                              : sscanf(text, "%d%c", interval, &end) == 1;
	return (read && *interval >= 2 && *interval <= 1000 && *branch >= 0 && *branch < skips) ||
	       fail(e, BAD_USAGE, "DeepCache '%.40s': N or N:BRANCH, as in 3 or 3:1; N is 2 to 1000, the branch 0 to %d",
	           text, skips - 1);
}

/* ── FreeU ── */

/* cos and sin of 2π·i/n for i = 0 … n − 1: [n,1] each. */
static void waves(graph *g, int n, tensor *cosine, tensor *sine)
{
	tensor angles = fill(g, REAL, shape1(1), 0);
	for (int i = 1; i < n; i++) angles = concat(g, angles, fill(g, REAL, shape1(1), (float)(2 * acos(-1) * i / n)), 0);
	tensor both = timestep_embedding(g, angles, 2, 1); /* cosines, then sines, of frequency 1 */
	*cosine = slice(g, both, 1, 0, 1);
	*sine = slice(g, both, 1, 1, 1);
}

/* The part of x [N,H,W,C] along a wave [1,H,W,1]. */
static tensor along(graph *g, tensor x, tensor wave)
{
	shape sums = shape4(dim(g, x, 0), 1, 1, dim(g, x, 3));
	return mul(g, spread(g, sum_to(g, mul(g, x, wave), sums), shape_of(g, x)), wave);
}

/* The frequencies 0 and −1 of both axes, that is the centred 2×2 of the shifted Fourier transform, real part: for each
 * frequency w the sum over places p' of x(p')·cos(w·(p − p')), by cos and sin of w·p. */
static tensor lowest_frequencies(graph *g, tensor x)
{
	int h = dim(g, x, 1), w = dim(g, x, 2);
	shape column = shape4(1, h, 1, 1), row = shape4(1, 1, w, 1), all = shape4(1, h, w, 1);
	tensor cy, sy, cx, sx;
	waves(g, h, &cy, &sy);
	waves(g, w, &cx, &sx);
	cy = spread(g, reshape(g, cy, column), all), sy = spread(g, reshape(g, sy, column), all);
	cx = spread(g, reshape(g, cx, row), all), sx = spread(g, reshape(g, sx, row), all);
	tensor list[7] = { fill(g, REAL, all, 1) };
	int count = 1;
	if (h > 1) list[count++] = cy, list[count++] = sy; /* of one row, 0 and −1 are one frequency */
	if (w > 1) list[count++] = cx, list[count++] = sx;
	if (h > 1 && w > 1) {
		list[count++] = sub(g, mul(g, cy, cx), mul(g, sy, sx));
		list[count++] = add(g, mul(g, sy, cx), mul(g, cy, sx));
	}
	tensor sum = 0;
	for (int i = 0; i < count; i++) {
		tensor part = along(g, x, list[i]);
		sum = sum ? add(g, sum, part) : part;
	}
	return affine(g, sum, 1 / (float)(h * w), 0);
}

/* The larger of each pair, over an axis, until one is left. */
static tensor largest_over(graph *g, tensor x, int axis)
{
	while (dim(g, x, axis) > 1) {
		int n = dim(g, x, axis), half = (n + 1) / 2;
		tensor a = slice(g, x, axis, 0, half), b = slice(g, x, axis, n - half, half);
		x = affine(g, add(g, add(g, a, b), activate(g, sub(g, a, b), ABS)), 0.5f, 0);
	}
	return x;
}

static tensor largest(graph *g, tensor x) { return largest_over(g, largest_over(g, x, 1), 2); }

/* 0 … 1 over each picture, as large as the mean of the channels is: [N,H,W,1]. */
static tensor mean_map(graph *g, tensor x)
{
	shape one = shape4(dim(g, x, 0), dim(g, x, 1), dim(g, x, 2), 1);
	tensor mean = affine(g, sum_to(g, x, one), 1 / (float)dim(g, x, 3), 0);
	tensor low = affine(g, largest(g, affine(g, mean, -1, 0)), -1, 0), high = largest(g, mean);
	tensor range = activate(g, affine(g, sub(g, high, low), 1, 1e-12f), RECIPROCAL);
	return mul(g, sub(g, mean, spread(g, low, one)), spread(g, range, one));
}

void free_u_apply(graph *g, const unet_changes *c, int which, tensor *x, tensor *skip)
{
	dtype sums = dtype_of(g, *x);
	tensor full = cast(g, *x, REAL), low = cast(g, *skip, REAL);
	int channels = dim(g, full, 3), half = channels / 2;
	tensor head = slice(g, full, 3, 0, half), factor = 0;
	if (c->free_u == FREE_U_2) {
		factor = affine(g, mean_map(g, full), c->b[which] - 1, 1);
		head = mul(g, head, spread(g, factor, shape_of(g, head)));
	} else
		head = affine(g, head, c->b[which], 0);
	*x = cast(g, concat(g, head, slice(g, full, 3, half, channels - half), 3), sums);
	low = add(g, low, affine(g, lowest_frequencies(g, low), c->s[which] - 1, 0));
	*skip = cast(g, low, dtype_of(g, *skip));
}
