/* trajectory.h - the path of a latent from noise to picture: a list of steps between points x = alpha·x0 + sigma·noise.
 *
 * Three forms of the same thing are in use. Variance exploding (k-diffusion): alpha = 1, sigma from 14.6 to 0. Variance
 * preserving (DDPM, DDIM): alpha² + sigma² = 1. Flow: alpha + sigma = 1. A solver that is written for alpha and sigma
 * serves all three: DDIM is Euler's method, flow's Euler too, and DPM-Solver++ differs by a factor alone. */
#ifndef SUMI_DIFFUSION_TRAJECTORY_H
#define SUMI_DIFFUSION_TRAJECTORY_H
#include "diffusion/sigmas.h"

typedef enum path_form { VARIANCE_EXPLODING, VARIANCE_PRESERVING, FLOW_MATCHING } path_form;

typedef struct path_point {
	double t; /* the network's time input; training timesteps, may be fractional */
	double alpha, sigma;
} path_point;

/* Mostly `to` is the next step's `from`; not so in some of diffusers' spacings, nor where Restart jumps back up. */
typedef struct path_step {
	path_point from, to;
} path_step;

typedef struct trajectory {
	path_form form;
	const noise_schedule *schedule; /* borrowed; gives the times of points between; NULL where form is flow */
	int count;
	path_step *steps; /* [count], owned, and as many as are skipped in front of them */
	int skipped;      /* by trajectory_skip */
	double start;     /* the first latent is unit normal noise times this */
	double shift;     /* of flow's sigmas (shift_sigma); 0 or 1: none */
} trajectory;

/* Which timesteps a sampler of the DDIM kind visits (diffusers: timestep_spacing; Lin et al. 2023). */
typedef enum timestep_spacing {
	LEADING_TIMESTEPS,   /* every (T/steps)th from 0, plus offset */
	TRAILING_TIMESTEPS,  /* every (T/steps)th down from T - 1 */
	LINSPACE_TIMESTEPS,  /* even from T - 1 to 0, both included */
	COMPVIS_TIMESTEPS,   /* as leading with offset 1, but where T/steps is not whole there is one step more */
	QUADRATIC_TIMESTEPS, /* CompVis's "quad": squares, up to 0.8 T, plus 1 */
	DISTILLED_TIMESTEPS, /* an even choice from the times of training an LCM: every (T/50)th from the end of each stride
	                      */
} timestep_spacing;

/* Falling timesteps; *count of them, rounded to whole ones where `whole`; the caller frees. offset belongs to LEADING;
 * for DISTILLED it is the number of strides in training (50), and steps cannot be more. */
double *make_timesteps(timestep_spacing spacing, int training, int steps, int offset, bool whole, int *count, error *e);

/* Whatever fills a trajectory leaves nothing to free where it fails.
 *
 * From count + 1 falling sigmas: those of flow with t = sigma·1000 (schedule is not used), for the other forms
 * k-diffusion's, sigma in units of alpha. */
bool trajectory_from_sigmas(
    trajectory *p, path_form form, const noise_schedule *schedule, const double *sigmas, int count, error *e);
/* From falling whole timesteps, variance preserving; the last step ends at alpha_cumprod `final`: 1, or the first of
 * the schedule as CompVis has it. */
bool trajectory_from_timesteps(
    trajectory *p, const noise_schedule *schedule, const double *timesteps, int count, double final, error *e);
void trajectory_free(trajectory *p);

/* A point's noise level, as noise sources take it: sigma in units of alpha, but flow's own sigma. */
double noise_level(const trajectory *p, path_point at);

/* The point of this sigma, in the sense of trajectory_from_sigmas. */
path_point point_of_sigma(const trajectory *p, double sigma);
/* The point whose sigma/alpha is ratio, in this trajectory's form, with its (fractional) time. */
path_point point_of_ratio(const trajectory *p, double ratio);
/* A point of the schedule's own, variance preserving; t < 0 is the end: alpha_cumprod `final`. */
path_point point_of_timestep(const noise_schedule *s, double t, double final);

/* x0 as the network's output for x at a point means it, and the output that means x0. */
double clean_of(prediction what, path_point at, double x, double output);
double output_of(prediction what, path_point at, double x, double clean);

/* Leaves out the first n steps (image to image: what is left starts at steps[0].from). 0 <= n < count. */
void trajectory_skip(trajectory *p, int n);

#endif
