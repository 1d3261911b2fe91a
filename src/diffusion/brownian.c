/* brownian.c - Brownian increments by bisection. */
#include "diffusion/brownian.h"
#include "base/random.h"
#include "base/seed_sequence.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOL = 24 };

typedef struct node {
	double start, end;
	uint64_t key, depth; /* key: the way from the root, a bit for each turn to the right */
} node;

typedef struct descent {
	const brownian_tree *tree;
	size_t n;
	float *draw;  /* scratch: a node's own noise */
	float *other; /* scratch: the right half where the interval lies in both */
	float *out;
} descent;

/* To six decimals, rightly rounded from the exact value: half the midpoints lie on a tie but for their last bit. */
static double rounded(double x)
{
	char text[64];
	snprintf(text, sizeof text, "%.6f", x);
	return strtod(text, NULL);
}

static void draw_normal(const descent *d, uint32_t seed)
{
	generator g;
	generator_seed(&g, seed);
	random_normal(&g, d->draw, d->n);
}

/* The increment of the left half from that of the whole, into draw: the mean is its share, the variance a bridge's. */
static void draw_left(const descent *d, const node *at, double middle, const float *whole)
{
	uint64_t keys[2] = { at->key, at->depth };
	uint32_t seed;
	seed_sequence(d->tree->seed, keys, 2, POOL, &seed, 1);
	draw_normal(d, seed);
	double length = at->end - at->start, left = middle - at->start, right = at->end - middle;
	double share = left / length, deviation = sqrt(left * right / length);
	for (size_t i = 0; i < d->n; i++) d->draw[i] = (float)(share * (double)whole[i] + deviation * (double)d->draw[i]);
}

static node child(const node *at, double middle, bool right)
{
	return (node){ right ? middle : at->start, right ? at->end : middle, 2 * at->key + right, at->depth + 1 };
}

/* out += the increment over [a, b], which lies in the node whose increment is `whole`; that array is used up. */
static void accumulate(descent *d, node at, double a, double b, float *whole)
{
	while (a > at.start || b < at.end) {
		double middle = rounded(0.5 * (at.end + at.start));
		if (middle <= at.start || middle >= at.end) return; /* nothing between two sixth decimals */
		draw_left(d, &at, middle, whole);
		bool prefix = a <= at.start, suffix = b >= at.end, right = a >= middle, left = b <= middle;
		if (!left && !right && !prefix && !suffix) {
			for (size_t i = 0; i < d->n; i++) d->other[i] = whole[i] - d->draw[i];
			memcpy(whole, d->draw, d->n * sizeof *whole);
			accumulate(d, child(&at, middle, false), a, middle, whole);
			memcpy(whole, d->other, d->n * sizeof *whole);
			right = true;
			a = middle;
		} else if (left || (suffix && !right)) {
			if (!left)
				for (size_t i = 0; i < d->n; i++) d->out[i] += whole[i] - d->draw[i];
			memcpy(whole, d->draw, d->n * sizeof *whole);
			b = left ? b : middle;
			right = false;
		} else {
			if (!right)
				for (size_t i = 0; i < d->n; i++) d->out[i] += d->draw[i];
			for (size_t i = 0; i < d->n; i++) whole[i] -= d->draw[i];
			a = right ? a : middle;
			right = true;
		}
		at = child(&at, middle, right);
	}
	for (size_t i = 0; i < d->n; i++) d->out[i] += whole[i];
}

brownian_tree brownian_tree_over(const trajectory *p, uint64_t seed)
{
	brownian_tree tree = { seed, INFINITY, 0 };
	for (int i = 0; i < p->count; i++) {
		double from = noise_level(p, p->steps[i].from), to = noise_level(p, p->steps[i].to);
		tree.high = fmax(tree.high, from);
		tree.low = fmin(tree.low, from);
		if (to > 0) tree.low = fmin(tree.low, to);
	}
	tree.high = fmax(tree.high, tree.low);
	return tree;
}

bool brownian_noise(void *context, double from, double to, float *out, size_t n, error *e)
{
	const brownian_tree *tree = context;
	double low = (double)(float)tree->low, high = (double)(float)tree->high;
	double b = fmin(fmax((double)(float)from, low), high), a = fmin(fmax((double)(float)to, low), high);
	if (!(a < b))
		return fail(
		    e, BAD_USAGE, "Brownian noise from sigma %g to %g: expected a fall within %g to %g", from, to, low, high);
	float *scratch = n <= SIZE_MAX / 3 / sizeof *scratch ? malloc(3 * n * sizeof *scratch) : NULL;
	if (!scratch) return fail(e, NO_MEMORY, "no memory for Brownian noise of %zu values", n);
	descent d = { tree, n, scratch, scratch + n, out };
	float *whole = scratch + 2 * n;
	uint32_t seed;
	seed_sequence(tree->seed, NULL, 0, POOL, &seed, 1);
	draw_normal(&d, seed);
	for (size_t i = 0; i < n; i++) whole[i] = (float)(sqrt(high - low) * (double)d.draw[i]);
	memset(out, 0, n * sizeof *out);
	accumulate(&d, (node){ rounded(low), rounded(high), 0, 0 }, rounded(a), rounded(b), whole);
	/* upwards in sigma the motion is the tree's; the sampler goes down */
	for (size_t i = 0; i < n; i++) out[i] = (float)(-(double)out[i] / sqrt(b - a));
	free(scratch);
	return true;
}
