/* schedule.h - how noisy a latent is at each time of training: betas, the products of 1 - beta, and sigma, the noise
 * in units of the signal. One schedule serves training (add noise at t) and sampling (which t has this sigma?).
 * Sources: Ho et al. 2020 (linear), Rombach et al. 2022 (scaled linear: CompVis calls it "linear"), Nichol and
 * Dhariwal 2021 (cosine), Lin et al. 2023 (zero terminal SNR), Karras et al. 2022 and k-diffusion (sigma). */
#ifndef SUMI_DIFFUSION_SCHEDULE_H
#define SUMI_DIFFUSION_SCHEDULE_H
#include "base/error.h"

typedef enum beta_curve {
	SCALED_LINEAR_BETAS, /* linear in the square root of beta: Stable Diffusion */
	LINEAR_BETAS,
	COSINE_BETAS, /* start and end are not used; beta <= 0.999 */
	ROOT_BETAS,   /* the square root of a linear ramp: CompVis's "sqrt" */
	BETA_CURVES
} beta_curve;

/* What the network's output means. x is the noised latent alpha·x0 + sigma·noise with alpha² + sigma² = 1 for the
 * first three and alpha + sigma = 1 for flow. */
typedef enum prediction {
	PREDICT_NOISE,    /* epsilon */
	PREDICT_VELOCITY, /* v = alpha·noise - sigma·x0 (Salimans and Ho 2022) */
	PREDICT_SAMPLE,   /* x0 */
	PREDICT_FLOW,     /* noise - x0 (rectified flow) */
} prediction;

typedef struct noise_schedule {
	int count;              /* timesteps of training, 2 … 100000; t runs from 0 (almost clean) to count - 1 */
	double *betas;          /* [count] */
	double *alphas_cumprod; /* [count], product of 1 - beta up to t, rounded to f32 as all the original code keeps it */
	double *log_sigmas; /* [count], log sqrt((1 - a)/a), rising; 2^-24 for an a of 0: sigma ends at 4096, not at ∞ */
} noise_schedule;

typedef struct schedule_config {
	beta_curve curve;
	double start, end; /* 0 < start <= end < 1 */
	int count;
	bool zero_terminal_snr; /* rescale so that the last step is noise alone; its a is 0 */
} schedule_config;

/* Stable Diffusion's: scaled linear, 0.00085 … 0.012, 1000 steps. */
extern const schedule_config stable_diffusion_schedule;

/* Fails with BAD_FILE where the configuration is out of the ranges above. */
bool noise_schedule_make(noise_schedule *s, const schedule_config *c, error *e);
void noise_schedule_free(noise_schedule *s);

/* As diffusers and CompVis spell them: "scaled_linear", "linear", "squaredcos_cap_v2", …; false where unknown. */
bool beta_curve_from_name(const char *name, beta_curve *curve);
const char *beta_curve_name(beta_curve curve); /* as diffusers spells it */
/* "epsilon", "v_prediction", "sample", "flow" and what else users write for them; false where unknown. */
bool prediction_from_name(const char *name, prediction *p);
const char *prediction_name(prediction p);

/* sigma of t, log sigma interpolated linearly as k-diffusion does; t is clamped to [0, count - 1]. */
double sigma_of_timestep(const noise_schedule *s, double t);
/* The same with sigma itself interpolated, as diffusers does. */
double linear_sigma_of_timestep(const noise_schedule *s, double t);
/* The inverse of the first: a fractional timestep; clamped likewise. */
double timestep_of_sigma(const noise_schedule *s, double sigma);

#endif
