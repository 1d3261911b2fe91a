/* noising.c - noise, times, targets and weights of diffusion training. */
#include "train/objective/noising.h"
#include "diffusion/sigmas.h"
#include <math.h>

static double draw_share(const noising *n, generator *g)
{
	float drawn;
	if (n->scheme == LOGIT_NORMAL_TIMES) {
		random_normal(g, &drawn, 1);
		return 1 / (1 + exp(-(n->logit_mean + n->logit_std * (double)drawn)));
	}
	random_uniform(g, &drawn, 1);
	double u = (double)drawn, c = cos(acos(-1) / 2 * u);
	return n->scheme == MODE_TIMES ? fmin(fmax(1 - u - n->mode_scale * (c * c - 1 + u), 0), 1) : u;
}

double draw_timestep(const noising *n, generator *g)
{
	double time = draw_share(n, g);
	if (n->prediction == PREDICT_FLOW) return 1000 * shift_sigma(time, n->shift > 0 ? n->shift : 1);
	int last = n->schedule->count - 1;
	return fmin(floor(time * (last + 1)), last);
}

void noise_draw_latent(const noising *n, generator *g, int pixels, int channels, float *noise, float *scratch)
{
	random_normal(g, scratch, (size_t)pixels * (size_t)channels);
	for (int c = 0; c < channels; c++) {
		float offset = 0;
		if (n->noise_offset > 0) random_normal(g, &offset, 1);
		offset *= (float)n->noise_offset;
		for (int p = 0; p < pixels; p++) noise[p * channels + c] = scratch[c * pixels + p] + offset;
	}
}

static double min_snr_weight(const noising *n, double signal, double noise)
{
	if (n->snr_gamma <= 0) return 1;
	double snr = signal * signal / fmax(noise * noise, 1e-20), least = fmin(snr, n->snr_gamma);
	switch (n->prediction) {
	case PREDICT_NOISE: return snr > 0 ? least / snr : 0;
	case PREDICT_VELOCITY: return least / (snr + 1);
	case PREDICT_SAMPLE: return least;
	default: return 1;
	}
}

static double flow_weight(const noising *n, double sigma)
{
	double least = fmax(sigma, 0.001);
	switch (n->scheme) {
	case COSMAP_WEIGHTS: return 2 / (acos(-1) * (1 - 2 * sigma + 2 * sigma * sigma));
	case SIGMA_ROOT_WEIGHTS: return 1 / (least * least);
	default: return 1;
	}
}

double noise_latent(
    const noising *n, double t, const float *latent, const float *noise, size_t count, float *noised, float *target)
{
	float signal, spread;
	if (n->prediction == PREDICT_FLOW) {
		spread = (float)(t / 1000);
		signal = 1 - spread;
	} else {
		double product = n->schedule->alphas_cumprod[(int)t];
		signal = (float)sqrt(product);
		spread = (float)sqrt(1 - product);
	}
	for (size_t i = 0; i < count; i++) {
		float x = latent[i], e = noise[i];
		noised[i] = signal * x + spread * e;
		switch (n->prediction) {
		case PREDICT_NOISE: target[i] = e; break;
		case PREDICT_VELOCITY: target[i] = signal * e - spread * x; break;
		case PREDICT_SAMPLE: target[i] = x; break;
		default: target[i] = e - x;
		}
	}
	if (n->prediction == PREDICT_FLOW) return flow_weight(n, (double)spread);
	return min_snr_weight(n, (double)signal, (double)spread);
}
