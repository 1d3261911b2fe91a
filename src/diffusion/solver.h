/* solver.h - what the samplers share: the state of a run and the few moves that all of them are made of. A failure
 * sticks: after it next_step returns NULL and the other functions do nothing, so samplers hold no checks. */
#ifndef SUMI_DIFFUSION_SOLVER_H
#define SUMI_DIFFUSION_SOLVER_H
#include "diffusion/sampler.h"

enum { MAX_BUFFERS = 10 };

typedef struct solver {
	const trajectory *path;
	const sampling *hooks;
	sampler_options options;
	float *x; /* the latent; [n], as all buffers */
	size_t n;
	float *buffers[MAX_BUFFERS]; /* as many as the table says; [0] holds the guess of x0 that progress sees */
	float *scaled;               /* the network's input */
	float *guidance;             /* CFG++: the guided guess of x0 less the unconditional one; else NULL */
	int done, calls;             /* steps begun, calls of the denoiser */
	bool failed;
	error *e;
} solver;

/* The step to do, NULL after the last or a failure. Reports progress on the one before. */
const path_step *next_step(solver *s);
/* For solvers with points of their own between the path's first and last: x is at this sigma now, and the next call
 * belongs to the step of the path in which it lies. Reports progress where steps have ended; false: stop. */
bool reach(solver *s, double sigma);
static inline int step_index(const solver *s) { return s->done - 1; }
static inline bool is_last_step(const solver *s) { return s->done == s->path->count; }

/* The network's output for x at a point, as it is, but for what is known of the result. */
void call_denoiser(solver *s, path_point at, const float *x, float *out);
/* Its meaning: x0 and noise with x = alpha·x0 + sigma·noise. denoised may be out itself; either may be NULL. Where x0
 * is clipped the noise is not. */
void interpret(solver *s, path_point at, const float *x, const float *out, float *denoised, float *noise);
/* Both. CFG++ (Chung et al. 2024): both are those of the unconditional output; denoised is not NULL, and
 * s->guidance is what the guided guess has more. */
void predict(solver *s, path_point at, const float *x, float *denoised, float *noise);
/* x += amount · s->guidance; nothing without CFG++. */
void add_guidance(solver *s, double amount);
/* Makes a guess of x0 the guided one, and s->guidance 0; nothing without CFG++. */
void take_guidance(solver *s, float *denoised);
/* dx/dsigma: the noise on a variance exploding path, the velocity noise - x0 on flow. */
void slope_at(solver *s, path_point at, const float *x, float *denoised, float *slope);

/* out = the sum of factor·values over the terms; out may be one of the values. */
typedef struct term {
	double factor;
	const float *values;
} term;
void mix_terms(const solver *s, float *out, const term *terms);
#define MIX(s, out, ...) mix_terms(s, out, (const term[]){ __VA_ARGS__, { 0, NULL } })

/* x at `from` moved to noise level sigma at alpha with x0 held: the first order step of all solvers. */
void move(
    const solver *s, float *out, const float *x, path_point from, double alpha, double sigma, const float *denoised);

/* Splits the noise at the end of a step into what stays (down) and what is drawn anew (up): down² + up² = to.sigma².
 * This is k-diffusion's ancestral step and, variance preserving, DDIM's sigma (Song et al. 2021, equation 16). */
typedef struct noise_split {
	double down, up;
} noise_split;
noise_split split_noise(path_point from, path_point to, double eta);

/* An ancestral step goes to a point with less noise than its end, is scaled by `grow`, and gets `up` of fresh noise.
 * Not on flow it is split_noise's, and grow is 1. On flow it is that of ComfyUI's samplers for rectified flow: down to
 * sigma = to.sigma·(1 + eta·(to.sigma/from.sigma - 1)), then up along the path, where alpha falls too. */
typedef struct ancestral_step {
	path_point down;
	double grow, up;
} ancestral_step;
ancestral_step split_step(const solver *s, const path_step *step);
/* x += amount · fresh noise, drawn into scratch; draws nothing where amount is 0. */
void add_noise(solver *s, float *x, path_point from, path_point to, double amount, float *scratch);

/* Solves sum_j r[j]^i · w[j] = b[i] for the n <= MOST_POWERS weights w. */
enum { MOST_POWERS = 4 };
void solve_powers(const double *r, const double *b, double *w, int n);

/* Histories, the newest first: makes room at the front, where the oldest array is to be overwritten. */
void shift_arrays(float **past, int n);
void shift_values(double *past, int n);

static inline double ratio_of(path_point p) { return p.sigma / p.alpha; } /* ∞ where there is noise alone */
double lambda_of(path_point p); /* log(alpha/sigma); −∞ likewise: the first step of flow */
/* The order of a multistep solver's step, of which `known` points are there: the last steps lose order, and at sigma 0,
 * where the step in lambda is infinite, only the first is left. */
int order_of_step(const solver *s, const path_step *now, int known);

/* The samplers. */
void solve_euler(solver *s);
void solve_ddpm(solver *s);
void solve_plms(solver *s);
void solve_heun(solver *s);
void solve_dpm2(solver *s);
void solve_dpmpp_2s_ancestral(solver *s);
void solve_dpmpp_2s(solver *s);
void solve_dpmpp_sde(solver *s);
void solve_dpmpp_multistep(solver *s);
void solve_lms(solver *s);
void solve_unipc(solver *s);
void solve_deis(solver *s);
void solve_lcm(solver *s);
void solve_tcd(solver *s);
void solve_res_multistep(solver *s);
void solve_gradient_estimation(solver *s);
void solve_er_sde(solver *s);
void solve_seeds_2(solver *s);
void solve_seeds_3(solver *s);
void solve_sa(solver *s);
void solve_ipndm(solver *s);
void solve_deis_times(solver *s);
void solve_heunpp2(solver *s);
void solve_dpm_fast(solver *s);
void solve_dpm_adaptive(solver *s);

#endif
