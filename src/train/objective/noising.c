/* noising.c - noise, times, targets and weights of diffusion training. */
#include "train/objective/noising.h"
#include <math.h>

double draw_timestep(const noising *n, generator *g)
{
	double time;
	if (n->logit_normal) {
		float z;
		random_normal(g, &z, 1);
		time = 1 / (1 + exp(-(n->logit_mean + n->logit_std * (double)z)));
	} else {
		float u;
		random_uniform(g, &u, 1);
		time = (double)u;
	}
	if (n->prediction == PREDICT_FLOW) return 1000 * time;
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
	return min_snr_weight(n, (double)signal, (double)spread);
}
