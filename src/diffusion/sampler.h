/* sampler.h - from noise to a latent: a sampler walks a trajectory, asks the denoiser, and moves the latent. Plain
 * arrays of any shape; the denoiser is a callback. Everything is deterministic: single thread, sums in double.
 *
 * Names and mathematics are those of k-diffusion and A1111 where tools disagree. */
#ifndef SUMI_DIFFUSION_SAMPLER_H
#define SUMI_DIFFUSION_SAMPLER_H
#include <stddef.h>
#include <stdint.h>
#include "diffusion/trajectory.h"

/* The network's output (guided, if guidance is used) for latents x [n] at a point, into out [n]; and the unconditional
 * output into its own [n], which only the CFG++ samplers ask for: else it is NULL. x is scaled to what the network was
 * trained on, and so are the point's alpha and sigma. step counts the trajectory's steps from 0; a step may ask more
 * than once. */
typedef bool denoise_fn(
    void *context, int step, path_point at, const float *x, float *out, float *unconditional, error *e);
/* n unit normal numbers for the way from one sigma/alpha down to another. A sampler that draws independent noise for
 * each call ignores them; Brownian noise does not. */
typedef bool noise_fn(void *context, double from, double to, float *out, size_t n, error *e);
/* After each step: steps done so far (1 … count), calls of the denoiser so far, the latent and the denoiser's last
 * guess of the result. False: stop, and sample fails with STOPPED. */
typedef bool progress_fn(void *context, int done, int calls, const float *x, const float *denoised);

typedef struct sampling {
	denoise_fn *denoise;
	noise_fn *noise;       /* needed by samplers that draw (eta > 0) */
	progress_fn *progress; /* may be NULL */
	void *denoise_context, *noise_context, *progress_context;
	prediction prediction;
	/* What of the result is known (inpainting): there the network is taken to have recognised `known`, whatever it says,
	 * in the first 1 − mask of the steps: where the mask is 0 in all of them, where it is 1 in none (differential
	 * diffusion, Levin and Fried 2023). Both [n] and borrowed; NULL: nothing is. */
	const float *known, *mask;
} sampling;

/* What can be set. Each sampler of the table has its own defaults; a sampler ignores the fields that it does not use.
 */
typedef struct sampler_options {
	double eta;  /* share of the noise that is drawn anew: 0 none, 1 all (ancestral, SDE, DDIM's eta, TCD's gamma) */
	int order;   /* of multistep solvers, of DPM++ 2S and of DPM adaptive; of SA-Solver's predictor */
	double clip; /* the guess of x0 is clamped to ±clip; 0: not */
	bool heun;   /* multistep second order: Heun's correction instead of the midpoint's */
	bool noise_form;        /* DPM-Solver and UniPC on the noise instead of x0 (without the "++") */
	bool lower_order_final; /* fewer than 15 steps: the last is of first, the last but one of at most second order;
	                         * DPM++ 2S, any number: a last step that would end a group is of first order */
	bool euler_at_final;    /* the last step is of first order in any case */
	uint64_t uncorrected;   /* UniPC: bit i set: no corrector after step i, below 64 */
	bool as_begun;          /* LMS: the order counts the steps that image to image left out, too (diffusers) */
	bool plus_half;         /* third order SDE: its last coefficient with diffusers' sign of the half */
	bool bh1;               /* UniPC: B(h) = h instead of e^h - 1 */
	bool large_variance;    /* DDPM: beta instead of the posterior's variance */
	bool raw_history;       /* PLMS remembers the network's outputs instead of the noise (diffusers) */
	bool runge_kutta;       /* PLMS: three Runge-Kutta steps to begin with (Liu et al. 2022; diffusers' PNDM) */
	double boundary_scale;  /* LCM: t times this in the boundary condition, 10; 0: no boundary condition (ComfyUI) */
	bool cfg_pp;            /* CFG++: steps away along the unconditional guess, from the guided one */
	bool guides_middle;     /* CFG++ in DPM++ 2S a: the guided guess of the middle, as ComfyUI had it until 2025 */
	bool variable_steps;    /* iPNDM: weights for uneven steps */
	bool evaluates_twice;   /* SA-Solver: PECE, a second evaluation after the corrector */
	int corrector_order;    /* SA-Solver; 4 */
	bool simple_order_2;    /* SA-Solver: the paper's short coefficients where the order is 2 (appendix D) */
	double gamma;           /* gradient estimation: 2 */
	double tolerance;       /* DPM adaptive: of the relative error; 0.05 */
	double first_step;      /* DPM adaptive: in log sigma; 0.05 */
} sampler_options;

typedef enum sampler_kind {
	DDPM,
	DDIM,
	PLMS,
	EULER,
	EULER_ANCESTRAL,
	HEUN,
	DPM2,
	DPM2_ANCESTRAL,
	DPMPP_2S_ANCESTRAL,
	DPMPP_2S,
	DPMPP_2M,
	DPMPP_SDE,
	DPMPP_2M_SDE,
	DPMPP_2M_SDE_HEUN,
	DPMPP_3M_SDE,
	LMS,
	UNIPC,
	DEIS,
	LCM,
	TCD,
	RESTART,
	EULER_CFG_PP,
	EULER_ANCESTRAL_CFG_PP,
	DPMPP_2M_CFG_PP,
	DPMPP_2S_ANCESTRAL_CFG_PP,
	RES_MULTISTEP,
	RES_MULTISTEP_CFG_PP,
	RES_MULTISTEP_ANCESTRAL,
	RES_MULTISTEP_ANCESTRAL_CFG_PP,
	GRADIENT_ESTIMATION,
	GRADIENT_ESTIMATION_CFG_PP,
	ER_SDE,
	SEEDS_2,
	SEEDS_3,
	SA_SOLVER,
	SA_SOLVER_PECE,
	IPNDM,
	IPNDM_V,
	DEIS_TIMES,
	HEUNPP2,
	LCM_SIGMAS,
	DPM_FAST,
	DPM_ADAPTIVE,
	SAMPLERS
} sampler_kind;

/* "Euler a", "DPM++ 2M", …; NULL past the last. */
const char *sampler_name(sampler_kind k);
/* Any spelling, with a schedule's name behind it or not ("DPM++ 2M Karras"): then *s is set and *has_spacing true.
 * Fails with BAD_USAGE and the nearest name. */
bool sampler_from_name(const char *name, sampler_kind *k, sigma_spacing *s, bool *has_spacing, error *e);
sampler_options sampler_defaults(sampler_kind k);
/* The spacing where the user chooses none, A1111's: Karras for DPM++, exponential for 2M SDE and 3M SDE. For all it is
 * uniform on flow, and where sampler_takes_spacing is false it says what the path is like. */
sigma_spacing sampler_default_spacing(sampler_kind k, bool flow);
/* Whether a spacing makes a difference: not to those that walk timesteps of their own (DDPM, DDIM, LCM and TCD on a
 * noise schedule, PLMS always), nor to Restart, which on a noise schedule has Karras's. */
bool sampler_takes_spacing(sampler_kind k, bool flow);
/* Whether k-diffusion draws this sampler's noise from a Brownian motion over sigma (brownian.h). */
bool sampler_is_brownian(sampler_kind k);
/* Whether it begins a little below noise alone on flow, where lambda is finite, as ComfyUI does: at
 * shift_sigma(0.9999).
 */
bool sampler_starts_below_noise(sampler_kind k);
/* Latents of n floats that `sample` allocates, x not counted. */
int sampler_buffers(sampler_kind k);

/* The trajectory that this sampler walks on a model with this schedule: timesteps for DDPM, DDIM, PLMS, LCM and TCD
 * (the spacing is not used), sigmas for the others. DPM2, DPM2 a and DPM++ 3M SDE leave the last sigma above 0 out
 * of one more, as in A1111. */
bool sampler_trajectory(
    trajectory *p, sampler_kind k, sigma_spacing s, const noise_schedule *schedule, int steps, error *e);

/* The same for a model of flow, on make_flow_sigmas; none is left out. DDIM is Euler here, and PLMS Adams and
 * Bashforth's method on the velocity. Fails with BAD_USAGE for TCD, which has no meaning without a noise schedule. */
bool sampler_flow_trajectory(trajectory *p, sampler_kind k, sigma_spacing s, double shift, int steps, error *e);

/* x [n]: the first latent (noise times path->start, or whatever the first point asks for); becomes the result. */
bool sample(sampler_kind k, const sampler_options *options, const trajectory *path, const sampling *hooks, float *x,
    size_t n, error *e);

#endif
