/* embedding.c - the gradient of a table look-up, the sinusoidal embedding of timesteps, and the buckets of relative
 * positions. */
#include "backend/reference/plain.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 64 }; /* summed together */

/* A row of the table takes the sum over all places that read it, made at the first of them. */
static bool embedding_grad_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const real *dy = c->in[0];
	const int32_t *ids = c->in[1];
	real *table = c->out;
	size_t n = count_of(c->x[1]), width = last_axis(c->y);
	for (size_t i = first; i < end; i++) {
		bool is_first = true;
		for (size_t j = 0; j < i && is_first; j++) is_first = ids[j] != ids[i];
		for (size_t at = 0; is_first && at < width; at += CHANNELS) {
			double sum[CHANNELS] = { 0 };
			size_t m = width - at < CHANNELS ? width - at : CHANNELS;
			for (size_t j = i; j < n; j++)
				for (size_t k = 0; ids[j] == ids[i] && k < m; k++) sum[k] += (double)dy[j * width + at + k];
			for (size_t k = 0; k < m; k++) table[(size_t)ids[i] * width + at + k] = (real)sum[k];
		}
	}
	return true;
}

bool plain_embedding_grad(const call *c)
{
	const int32_t *ids = c->in[1];
	size_t n = count_of(c->x[1]);
	for (size_t i = 0; i < n; i++)
		if (ids[i] < 0 || ids[i] >= c->y->shape.d[0]) return false;
	memset(c->out, 0, count_of(c->y) * sizeof(real));
	return share(c, n, last_axis(c->y), embedding_grad_part, c);
}

/* Ho et al. 2020 after Vaswani et al. 2017. Angles are rounded to real, as the original code's are. */
bool plain_timestep_embedding(const call *c)
{
	const real *t = c->in[0];
	size_t n = count_of(c->x[0]), width = last_axis(c->y), half = width / 2;
	for (size_t i = 0; i < n; i++) {
		real *y = (real *)c->out + i * width;
		for (size_t k = 0; k < half; k++) {
			real frequency = (real)exp(-log((double)c->y->f[0]) * (double)k / (double)half), angle = t[i] * frequency;
			y[k] = (real)cos((double)angle);
			y[half + k] = (real)sin((double)angle);
		}
		if (width % 2) y[width - 1] = 0;
	}
	return true;
}

/* _relative_position_bucket of transformers' modeling_t5.py, in float as there. */
bool plain_relative_buckets(const call *c)
{
	int queries = c->y->shape.d[0], keys = c->y->shape.d[1], half = c->y->a[0] / 2, exact = half / 2;
	float whole = (float)log((double)c->y->a[1] / (double)exact);
	int32_t *bucket = c->out;
	for (int i = 0; i < queries; i++)
		for (int j = 0; j < keys; j++) {
			int far = abs(j - i), b = far;
			if (far >= exact) b = exact + (int)(logf((float)far / (float)exact) / whole * (float)(half - exact));
			if (b > half - 1) b = half - 1;
			*bucket++ = j > i ? half + b : b;
		}
	return true;
}
