/* adamw.c - AdamW with moments in f32 or in 8 bits, and SGD. */
#include "train/optimize/optimizer_rules.h"
#include <math.h>

int adamw_pieces(const optimizer_options *o, shape s, optimizer_piece *pieces)
{
	(void)o;
	pieces[0] = (optimizer_piece){ .name = "exp_avg", .dtype = F32, .shape = s };
	pieces[1] = (optimizer_piece){ .name = "exp_avg_sq", .dtype = F32, .shape = s };
	return 2;
}

void adamw_elements(const update *u, float *restrict weights, const float *restrict gradient, float *restrict average,
    float *restrict square, size_t n)
{
	const optimizer_options *o = u->options;
	double beta1 = (double)o->beta1, beta2 = (double)o->beta2;
	float rest1 = (float)(1 - beta1), b2 = o->beta2, rest2 = (float)(1 - beta2);
	float shrink = (float)(1 - (double)u->rate * (double)o->weight_decay), scale = u->scale, epsilon = o->epsilon;
	float stride = (float)((double)u->rate / (1 - pow(beta1, u->step)));
	float root = (float)(1 / sqrt(1 - pow(beta2, u->step)));
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		float g = gradient[i] * scale;
		float m = average[i] + rest1 * (g - average[i]);
		float v = b2 * square[i] + rest2 * g * g;
		average[i] = m;
		square[i] = v;
		weights[i] = weights[i] * shrink - stride * m / (sqrtf(v) * root + epsilon);
	}
}

void adamw_update(const update *u)
{
	float *average = u->state[0], *square = u->state[1];
#pragma omp parallel for num_threads(u->options->threads) schedule(static)
	for (size_t c = 0; c < chunks_of(u->count); c++) {
		size_t at = c * CHUNK;
		adamw_elements(u, u->weights + at, u->gradient + at, average + at, square + at, chunk_length(u->count, c));
	}
}

int sgd_pieces(const optimizer_options *o, shape s, optimizer_piece *pieces)
{
	pieces[0] = (optimizer_piece){ .name = "momentum_buffer", .dtype = F32, .shape = s };
	return o->momentum != 0;
}

void sgd_update(const update *u)
{
	float shrink = (float)(1 - (double)u->rate * (double)u->options->weight_decay);
	float momentum = u->options->momentum, *buffer = momentum != 0 ? u->state[0] : NULL;
#pragma omp parallel for num_threads(u->options->threads) schedule(static)
	for (size_t i = 0; i < u->count; i++) {
		float g = u->gradient[i] * u->scale;
		if (buffer) g = buffer[i] = momentum * buffer[i] + g;
		u->weights[i] = u->weights[i] * shrink - u->rate * g;
	}
}
