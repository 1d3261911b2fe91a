/* rms_norm.c - root-mean-square norm (Zhang and Sennrich 2019) over the last axis, and its gradients: y = γ·x/r with
 * r = √(mean x² + ε). */
#include "backend/reference/plain.h"
#include <math.h>

static double reciprocal_of(const call *c, size_t row, size_t width)
{
	const real *x = (const real *)c->in[0] + row * width;
	return 1 / sqrt(dot(x, x, width) / (double)width + (double)c->y->f[0]);
}

bool plain_rms_norm(const call *c)
{
	size_t width = last_axis(c->y), rows = count_of(c->y) / width;
	const real *x = c->in[0], *gamma = c->x[1] ? c->in[1] : NULL;
	real *y = c->out;
	for (size_t r = 0; r < rows; r++) {
		double scale = reciprocal_of(c, r, width);
		for (size_t i = 0; i < width; i++)
			y[r * width + i] = (real)((double)x[r * width + i] * scale * (gamma ? (double)gamma[i] : 1));
	}
	return true;
}

/* dx = (γ·dy − x̂·mean(γ·dy·x̂))/r with x̂ = x/r */
bool plain_rms_norm_dx(const call *c)
{
	size_t width = last_axis(c->y), rows = count_of(c->y) / width;
	const real *gamma = c->x[2] ? c->in[2] : NULL;
	for (size_t r = 0; r < rows; r++) {
		const real *x = (const real *)c->in[0] + r * width, *dy = (const real *)c->in[1] + r * width;
		real *dx = (real *)c->out + r * width;
		double scale = reciprocal_of(c, r, width), mean = 0;
		for (size_t i = 0; i < width; i++)
			mean += (double)dy[i] * (gamma ? (double)gamma[i] : 1) * (double)x[i] * scale;
		mean /= (double)width;
		for (size_t i = 0; i < width; i++)
			dx[i] = (real)(scale * ((double)dy[i] * (gamma ? (double)gamma[i] : 1) - (double)x[i] * scale * mean));
	}
	return true;
}

/* A double for each channel. */
size_t rms_norm_scratch(const call *c) { return last_axis(c->x[0]) * sizeof(double); }

bool plain_rms_norm_dw(const call *c)
{
	size_t width = last_axis(c->x[0]), rows = count_of(c->x[0]) / width;
	double *sum = c->scratch;
	for (size_t i = 0; i < width; i++) sum[i] = 0;
	for (size_t r = 0; r < rows; r++) {
		const real *x = (const real *)c->in[0] + r * width, *dy = (const real *)c->in[1] + r * width;
		double scale = reciprocal_of(c, r, width);
		for (size_t i = 0; i < width; i++) sum[i] += (double)x[i] * scale * (double)dy[i];
	}
	for (size_t i = 0; i < width; i++) ((real *)c->out)[i] = (real)sum[i];
	return true;
}
