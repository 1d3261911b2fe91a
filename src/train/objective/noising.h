/* noising.h - what a denoiser is asked: latents with noise at a time, and what it should answer.
 * Sources: DDPM (arXiv 2006.11239), v (2202.00512), min-SNR (2303.09556), noise offset (N. Guttenberg 2023),
 * zero terminal SNR (2305.08891), rectified flow, its times, weights and shift (2403.03206, section 3; the names are
 * those of --weighting_scheme in diffusers' training scripts). */
#ifndef SUMI_TRAIN_NOISING_H
#define SUMI_TRAIN_NOISING_H
#include "base/random.h"
#include "diffusion/schedule.h"

/* How times are distributed, and what the loss is multiplied by. With u uniform in 0 … 1 and σ the share of noise: */
typedef enum weighting_scheme {
	UNIFORM_TIMES,      /* u */
	LOGIT_NORMAL_TIMES, /* 1/(1 + exp(−z)), z normal with mean and deviation */
	MODE_TIMES,         /* 1 − u − s·(cos²(πu/2) − 1 + u): more in the middle for s > 0, fewer for s < 0 */
	COSMAP_WEIGHTS,     /* uniform times; the loss times 2 / (π·(1 − 2σ + 2σ²)). Of flow alone */
	SIGMA_ROOT_WEIGHTS, /* uniform times; the loss times 1/σ², σ ≥ 0.001. Of flow alone */
} weighting_scheme;

typedef struct noising {
	prediction prediction;
	const noise_schedule *schedule; /* not used by flow, whose times are continuous; t = 1000·time there */
	weighting_scheme scheme;
	double logit_mean, logit_std, mode_scale;
	double shift;        /* of flow: σ becomes shift·σ / (1 + (shift − 1)·σ); 0 and 1: it stays */
	double snr_gamma;    /* 0: off */
	double noise_offset; /* 0: off */
} noising;

/* Draws a timestep: of a discrete schedule 0 … count − 1, of flow in (0, 1000). One uniform number, or one normal pair.
 */
double draw_timestep(const noising *n, generator *g);
/* Draws noise for a latent of `pixels` places and `channels` channels, channels last in memory, in the order of PyTorch
 * (channel by channel), and adds the offset of each channel. `scratch` holds as many elements as noise. */
void noise_draw_latent(const noising *n, generator *g, int pixels, int channels, float *noise, float *scratch);
/* noised = what the denoiser sees at timestep t, target = what it should answer; `count` elements each. noised or
 * target may be the latent or the noise itself. Returns the weight of this sample's loss. */
double noise_latent(
    const noising *n, double t, const float *latent, const float *noise, size_t count, float *noised, float *target);

#endif
