/* noising.h - what a denoiser is asked: latents with noise at a time, and what it should answer.
 * Sources: DDPM (arXiv 2006.11239), v (2202.00512), min-SNR (2303.09556), noise offset (N. Guttenberg 2023),
 * zero terminal SNR (2305.08891), rectified flow with logit-normal times (2403.03206). */
#ifndef SUMI_TRAIN_NOISING_H
#define SUMI_TRAIN_NOISING_H
#include "base/random.h"
#include "diffusion/schedule.h"

typedef struct noising {
	prediction prediction;
	const noise_schedule *schedule; /* not used by flow, whose times are continuous; t = 1000·time there */
	bool logit_normal;              /* else uniform */
	double logit_mean, logit_std;
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
