/* sigmas.h - which sigmas a sampler visits: the spacings that users choose by name, as k-diffusion and A1111 have
 * them (where ComfyUI differs, its own stands beside it under the name with "ComfyUI" behind it). */
#ifndef SUMI_DIFFUSION_SIGMAS_H
#define SUMI_DIFFUSION_SIGMAS_H
#include "diffusion/schedule.h"

typedef enum sigma_spacing {
	UNIFORM_SPACING,          /* even in time from the last timestep to the first: "the model's own" */
	SIMPLE_SPACING,           /* every (T/steps)th sigma of the schedule */
	KARRAS_SPACING,           /* even in sigma^(1/7) (Karras et al. 2022) */
	EXPONENTIAL_SPACING,      /* even in log sigma */
	POLYEXPONENTIAL_SPACING,  /* log sigma along a power of the ramp; the power, rho, is 1 as in k-diffusion */
	SGM_UNIFORM_SPACING,      /* even in time, the last of steps + 1 dropped */
	DDIM_UNIFORM_SPACING,     /* every (T/steps)th timestep from 1: one step more where T/steps is not whole */
	BETA_SPACING,             /* quantiles of Beta(0.6, 0.6) in sigma (ComfyUI takes them in time) */
	KL_OPTIMAL_SPACING,       /* even in arctan sigma; ends at the smallest sigma and not in 0, as in A1111 */
	ALIGN_YOUR_STEPS_SPACING, /* NVIDIA's ten for Stable Diffusion 1, interpolated in log sigma; no use of the schedule
	                           */
	ALIGN_YOUR_STEPS_XL_SPACING,   /* … for SDXL */
	ALIGN_YOUR_STEPS_ZERO_SPACING, /* ComfyUI's of both: to more digits, and the last of the list gives way to 0 */
	ALIGN_YOUR_STEPS_XL_ZERO_SPACING,
	NORMAL_SPACING,           /* as uniform; on flow ComfyUI's "normal", which ends above 0 one step early */
	BETA_TIMES_SPACING,       /* ComfyUI's "beta": quantiles in time */
	KL_OPTIMAL_ZERO_SPACING,  /* ComfyUI's "kl_optimal": one step shorter, and ends in 0 */
	LINEAR_QUADRATIC_SPACING, /* half of the steps even down to 0.975 of the noise, the rest along a parabola (Genmo's
	                           * Mochi; ComfyUI) */
	SPACINGS
} sigma_spacing;

/* The name for help and picture texts: "Karras", "SGM Uniform", …; NULL past the last. */
const char *spacing_name(sigma_spacing s);
/* Any spelling that users of the other tools know; case, spaces, "_" and "-" do not matter. "discrete", "default"
 * and "uniform" are one. On failure (BAD_USAGE) the message has the nearest name. */
bool spacing_from_name(const char *name, sigma_spacing *s, error *e);

/* Falling sigmas that end in 0 (but KL_OPTIMAL); *count steps, so *count + 1 values, which the caller frees. steps >=
 * 1; *count differs from it for DDIM_UNIFORM, and is less for BETA_TIMES where a time comes twice. */
double *make_sigmas(sigma_spacing s, const noise_schedule *schedule, int steps, int *count, error *e);

/* The same for flow: falling from 1 to 0, shifted as shift_sigma does (1: not). Uniform is even, as rectified flow has
 * it; the others are ComfyUI's on its thousand sigmas, beta in time and KL optimal with a 0 at its end here too. Beta
 * leaves out a time that comes twice, so *count may be less than steps. Steps are at most 1000 but for uniform. Fails
 * with BAD_USAGE for Align Your Steps, which are for Stable Diffusion 1 and SDXL. */
double *make_flow_sigmas(sigma_spacing s, double shift, int steps, int *count, error *e);
/* sigma' = shift·sigma/(1 + (shift - 1)·sigma) (Esser et al. 2024, equation 23). */
double shift_sigma(double sigma, double shift);

/* Parts of it on any range, for solvers that insert sigmas of their own: n values from high to low, no 0 at the end. */
void karras_sigmas(double *out, int n, double low, double high, double rho);
void exponential_sigmas(double *out, int n, double low, double high, double rho);
void beta_sigmas(double *out, int n, double low, double high);

#endif
