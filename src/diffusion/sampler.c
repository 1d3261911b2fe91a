/* sampler.c - the table of samplers: names, defaults, and the trajectory that each walks. */
#include "diffusion/names.h"
#include "diffusion/solver.h"
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum walk { BY_SIGMAS, BY_TIMESTEPS, BY_DISTILLED_TIMESTEPS } walk;

static const struct sampler {
	void (*solve)(solver *);
	int buffers; /* the solver's own, without the scaled input */
	walk by;
	sigma_spacing spacing;
	sampler_options defaults;
	bool brownian;            /* draws from a Brownian motion */
	bool discard_second_last; /* A1111 leaves the last sigma before 0 out */
	bool below_noise;         /* begins a little below noise alone on flow, as Brownian ones do */
} samplers[SAMPLERS] = {
	[DDPM] = { solve_ddpm, 2, BY_TIMESTEPS, UNIFORM_SPACING, { .eta = 1 } },
	[DDIM] = { solve_euler, 2, BY_TIMESTEPS, UNIFORM_SPACING, { .eta = 0 } },
	[PLMS] = { solve_plms, 9, BY_TIMESTEPS, UNIFORM_SPACING, { .eta = 0 } },
	[EULER] = { solve_euler, 2, BY_SIGMAS, UNIFORM_SPACING, { .eta = 0 } },
	[EULER_ANCESTRAL] = { solve_euler, 2, BY_SIGMAS, UNIFORM_SPACING, { .eta = 1 } },
	[HEUN] = { solve_heun, 5, BY_SIGMAS, UNIFORM_SPACING, { .eta = 0 } },
	[DPM2] = { solve_dpm2, 4, BY_SIGMAS, KARRAS_SPACING, { .eta = 0 }, .discard_second_last = true },
	[DPM2_ANCESTRAL] = { solve_dpm2, 4, BY_SIGMAS, KARRAS_SPACING, { .eta = 1 }, .discard_second_last = true },
	[DPMPP_2S_ANCESTRAL] = { solve_dpmpp_2s_ancestral, 3, BY_SIGMAS, KARRAS_SPACING, { .eta = 1 } },
	[DPMPP_2S] = { solve_dpmpp_2s, 6, BY_SIGMAS, KARRAS_SPACING, { .order = 2, .lower_order_final = true } },
	[DPMPP_2M] = { solve_dpmpp_multistep, 5, BY_SIGMAS, KARRAS_SPACING, { .order = 2 } },
	[DPMPP_SDE] = { solve_dpmpp_sde, 4, BY_SIGMAS, KARRAS_SPACING, { .eta = 1 }, .brownian = true },
	[DPMPP_2M_SDE] = { solve_dpmpp_multistep, 5, BY_SIGMAS, EXPONENTIAL_SPACING, { .eta = 1, .order = 2 },
	    .brownian = true },
	[DPMPP_2M_SDE_HEUN] = { solve_dpmpp_multistep, 5, BY_SIGMAS, EXPONENTIAL_SPACING,
	    { .eta = 1, .order = 2, .heun = true }, .brownian = true },
	[DPMPP_3M_SDE] = { solve_dpmpp_multistep, 5, BY_SIGMAS, EXPONENTIAL_SPACING, { .eta = 1, .order = 3, .heun = true },
	    .brownian = true, .discard_second_last = true },
	[LMS] = { solve_lms, 5, BY_SIGMAS, UNIFORM_SPACING, { .order = 4 } },
	[UNIPC] = { solve_unipc, 6, BY_SIGMAS, UNIFORM_SPACING, { .order = 2, .lower_order_final = true } },
	[DEIS] = { solve_deis, 4, BY_SIGMAS, UNIFORM_SPACING, { .order = 2, .lower_order_final = true } },
	[LCM] = { solve_lcm, 2, BY_DISTILLED_TIMESTEPS, UNIFORM_SPACING, { .eta = 1, .boundary_scale = 10 } },
	[TCD] = { solve_tcd, 2, BY_DISTILLED_TIMESTEPS, UNIFORM_SPACING, { .eta = 0.3 } },
	[RESTART] = { solve_heun, 5, BY_SIGMAS, KARRAS_SPACING, { .eta = 1 } },
	[EULER_CFG_PP] = { solve_euler, 2, BY_SIGMAS, UNIFORM_SPACING, { .cfg_pp = true } },
	[EULER_ANCESTRAL_CFG_PP] = { solve_euler, 2, BY_SIGMAS, UNIFORM_SPACING, { .eta = 1, .cfg_pp = true } },
	[DPMPP_2M_CFG_PP] = { solve_dpmpp_multistep, 5, BY_SIGMAS, KARRAS_SPACING, { .order = 2, .cfg_pp = true } },
	[DPMPP_2S_ANCESTRAL_CFG_PP] = { solve_dpmpp_2s_ancestral, 4, BY_SIGMAS, KARRAS_SPACING,
	    { .eta = 1, .cfg_pp = true } },
	[RES_MULTISTEP] = { solve_res_multistep, 4, BY_SIGMAS, UNIFORM_SPACING, { .eta = 0 } },
	[RES_MULTISTEP_CFG_PP] = { solve_res_multistep, 4, BY_SIGMAS, UNIFORM_SPACING, { .cfg_pp = true } },
	[RES_MULTISTEP_ANCESTRAL] = { solve_res_multistep, 4, BY_SIGMAS, UNIFORM_SPACING, { .eta = 1 } },
	[RES_MULTISTEP_ANCESTRAL_CFG_PP] = { solve_res_multistep, 4, BY_SIGMAS, UNIFORM_SPACING,
	    { .eta = 1, .cfg_pp = true } },
	[GRADIENT_ESTIMATION] = { solve_gradient_estimation, 3, BY_SIGMAS, UNIFORM_SPACING, { .gamma = 2 } },
	[GRADIENT_ESTIMATION_CFG_PP] = { solve_gradient_estimation, 3, BY_SIGMAS, UNIFORM_SPACING,
	    { .gamma = 2, .cfg_pp = true } },
	[ER_SDE] = { solve_er_sde, 5, BY_SIGMAS, UNIFORM_SPACING, { .eta = 1, .order = 3 }, .below_noise = true },
	[SEEDS_2] = { solve_seeds_2, 5, BY_SIGMAS, UNIFORM_SPACING, { .eta = 1 }, .below_noise = true },
	[SEEDS_3] = { solve_seeds_3, 5, BY_SIGMAS, UNIFORM_SPACING, { .eta = 1 }, .below_noise = true },
	[SA_SOLVER] = { solve_sa, 7, BY_SIGMAS, UNIFORM_SPACING, { .eta = 1, .order = 3, .corrector_order = 4 },
	    .below_noise = true },
	[SA_SOLVER_PECE] = { solve_sa, 7, BY_SIGMAS, UNIFORM_SPACING,
	    { .eta = 1, .order = 3, .corrector_order = 4, .evaluates_twice = true }, .below_noise = true },
	[IPNDM] = { solve_ipndm, 5, BY_SIGMAS, UNIFORM_SPACING, { .order = 4 } },
	[IPNDM_V] = { solve_ipndm, 5, BY_SIGMAS, UNIFORM_SPACING, { .order = 4, .variable_steps = true } },
	[DEIS_TIMES] = { solve_deis_times, 5, BY_SIGMAS, UNIFORM_SPACING, { .order = 3 } },
	[HEUNPP2] = { solve_heunpp2, 6, BY_SIGMAS, UNIFORM_SPACING, { .eta = 0 } },
	[LCM_SIGMAS] = { solve_lcm, 2, BY_SIGMAS, SGM_UNIFORM_SPACING, { .eta = 1 } },
	[DPM_FAST] = { solve_dpm_fast, 8, BY_SIGMAS, UNIFORM_SPACING, { .eta = 0 } },
	[DPM_ADAPTIVE] = { solve_dpm_adaptive, 8, BY_SIGMAS, UNIFORM_SPACING,
	    { .order = 3, .tolerance = 0.05, .first_step = 0.05 } },
};

/* The first of each is the one shown; "k_" in front is accepted everywhere. */
static const struct name names[] = {
	{ DDPM, "DDPM" },
	{ DDIM, "DDIM" },
	{ PLMS, "PLMS" },
	{ PLMS, "PNDM" },
	{ EULER, "Euler" },
	{ EULER, "flow-match Euler" },
	{ EULER, "Flow Euler" },
	{ EULER_ANCESTRAL, "Euler a" },
	{ EULER_ANCESTRAL, "euler_ancestral" },
	{ HEUN, "Heun" },
	{ HEUN, "Flow Heun" },
	{ HEUN, "flow-match Heun" },
	{ DPM2, "DPM2" },
	{ DPM2_ANCESTRAL, "DPM2 a" },
	{ DPM2_ANCESTRAL, "DPM2 ancestral" },
	{ DPMPP_2S_ANCESTRAL, "DPM++ 2S a" },
	{ DPMPP_2S_ANCESTRAL, "DPM++ 2S ancestral" },
	{ DPMPP_2S, "DPM++ 2S" },
	{ DPMPP_2M, "DPM++ 2M" },
	{ DPMPP_2M, "DPM-Solver++" },
	{ DPMPP_SDE, "DPM++ SDE" },
	{ DPMPP_2M_SDE, "DPM++ 2M SDE" },
	{ DPMPP_2M_SDE_HEUN, "DPM++ 2M SDE Heun" },
	{ DPMPP_3M_SDE, "DPM++ 3M SDE" },
	{ LMS, "LMS" },
	{ UNIPC, "UniPC" },
	{ UNIPC, "UniPC bh2" },
	{ DEIS, "DEIS" },
	{ LCM, "LCM" },
	{ TCD, "TCD" },
	{ RESTART, "Restart" },
	{ EULER_CFG_PP, "Euler CFG++" },
	{ EULER_ANCESTRAL_CFG_PP, "Euler a CFG++" },
	{ EULER_ANCESTRAL_CFG_PP, "Euler ancestral CFG++" },
	{ DPMPP_2M_CFG_PP, "DPM++ 2M CFG++" },
	{ DPMPP_2S_ANCESTRAL_CFG_PP, "DPM++ 2S a CFG++" },
	{ DPMPP_2S_ANCESTRAL_CFG_PP, "DPM++ 2S ancestral CFG++" },
	{ RES_MULTISTEP, "RES Multistep" },
	{ RES_MULTISTEP_CFG_PP, "RES Multistep CFG++" },
	{ RES_MULTISTEP_ANCESTRAL, "RES Multistep a" },
	{ RES_MULTISTEP_ANCESTRAL, "RES Multistep ancestral" },
	{ RES_MULTISTEP_ANCESTRAL_CFG_PP, "RES Multistep a CFG++" },
	{ RES_MULTISTEP_ANCESTRAL_CFG_PP, "RES Multistep ancestral CFG++" },
	{ GRADIENT_ESTIMATION, "Gradient Estimation" },
	{ GRADIENT_ESTIMATION_CFG_PP, "Gradient Estimation CFG++" },
	{ ER_SDE, "ER SDE" },
	{ SEEDS_2, "SEEDS 2" },
	{ SEEDS_3, "SEEDS 3" },
	{ SA_SOLVER, "SA Solver" },
	{ SA_SOLVER_PECE, "SA Solver PECE" },
	{ IPNDM, "iPNDM" },
	{ IPNDM_V, "iPNDM v" },
	{ DEIS_TIMES, "DEIS ComfyUI" },
	{ DEIS_TIMES, "DEIS tab" },
	{ HEUNPP2, "Heun++" },
	{ HEUNPP2, "HeunPP2" },
	{ LCM_SIGMAS, "LCM ComfyUI" },
	{ DPM_FAST, "DPM fast" },
	{ DPM_ADAPTIVE, "DPM adaptive" },
	{ DPM_ADAPTIVE, "DPM ad" },
	{ -1, NULL },
};

const char *sampler_name(sampler_kind k) { return name_of(names, (int)k); }
sampler_options sampler_defaults(sampler_kind k) { return samplers[k].defaults; }
sigma_spacing sampler_default_spacing(sampler_kind k, bool flow)
{
	return flow ? UNIFORM_SPACING : samplers[k].spacing;
}
bool sampler_is_brownian(sampler_kind k) { return samplers[k].brownian; }
bool sampler_starts_below_noise(sampler_kind k) { return samplers[k].brownian || samplers[k].below_noise; }
int sampler_buffers(sampler_kind k) { return samplers[k].buffers + (samplers[k].defaults.cfg_pp ? 2 : 1); }

static int find_sampler(const char *name)
{
	int k = value_of(names, name);
	if (k < 0 && tolower((unsigned char)name[0]) == 'k' && (name[1] == '_' || name[1] == ' '))
		k = value_of(names, name + 2);
	return k;
}

bool sampler_from_name(const char *name, sampler_kind *k, sigma_spacing *s, bool *has_spacing, error *e)
{
	int found = find_sampler(name);
	*has_spacing = false;
	/* every place where a schedule's name could begin, the first (and so the longest) that is one */
	for (const char *p = name; found < 0 && (p = strpbrk(p, " _-")); p++) {
		char head[64];
		size_t length = (size_t)(p - name);
		if (length == 0 || length >= sizeof head) continue;
		memcpy(head, name, length);
		head[length] = 0;
		int sampler = find_sampler(head);
		if (sampler >= 0 && spacing_from_name(p, s, NULL)) {
			found = sampler;
			*has_spacing = true;
		}
	}
	if (found < 0)
		return fail(e, BAD_USAGE, "unknown sampler '%.60s'; did you mean '%s'?", name, nearest_name(names, name));
	*k = (sampler_kind)found;
	return true;
}

/* ── paths ── */

/* The step that ends nearest to a sigma in units of alpha; −1: none does, the path begins nearest. */
static int nearest_step(const trajectory *p, double wanted)
{
	int best = -1;
	double least = fabs(ratio_of(p->steps[0].from) - wanted);
	for (int i = 0; i < p->count; i++) {
		double off = fabs(ratio_of(p->steps[i].to) - wanted);
		if (off < least) {
			least = off;
			best = i;
		}
	}
	return best;
}

/* Puts `times` rounds of `length` steps, spaced as Karras has it, from sigma 2 down to 0.1 behind the step that ends
 * nearest to 0.1. */
static bool insert_restarts(trajectory *p, int length, int times, error *e)
{
	int low = nearest_step(p, 0.1) + 1, high = nearest_step(p, 2) + 1, added = high < low ? length * times : 0;
	double *round = malloc(((size_t)length + 1) * sizeof *round);
	path_step *all = realloc(p->steps, (size_t)(p->count + added) * sizeof *all);
	if (all) p->steps = all;
	bool fine = (round && all) || fail(e, NO_MEMORY, "no memory for %d steps", p->count + added);
	if (fine && added) {
		path_point top = high ? all[high - 1].to : all[0].from;
		karras_sigmas(round, length + 1, ratio_of(all[low - 1].to), ratio_of(top), 7);
		memmove(all + low + added, all + low, (size_t)(p->count - low) * sizeof *all);
		for (int i = 0; i < added; i++)
			all[low + i] =
			    (path_step){ point_of_ratio(p, round[i % length]), point_of_ratio(p, round[i % length + 1]) };
		p->count += added;
	}
	free(round);
	return fine;
}

/* What a path is made for: a schedule of noise, or flow (then NULL) with its shift. */
typedef struct noise_model {
	const noise_schedule *schedule;
	double shift;
} noise_model;

static bool sigma_trajectory(trajectory *p, sampler_kind k, sigma_spacing s, noise_model m, int steps, error *e)
{
	int count = 0;
	bool flow = !m.schedule, discard = samplers[k].discard_second_last && !flow;
	double *sigmas =
	    flow ? make_flow_sigmas(s, m.shift, steps, &count, e) : make_sigmas(s, m.schedule, steps + discard, &count, e);
	if (sigmas && discard) {
		sigmas[count - 1] = sigmas[count];
		count--;
	}
	double start = sigmas ? sigmas[0] : 0;
	if (flow && sampler_starts_below_noise(k) && start == 1) sigmas[0] = shift_sigma(1 - 1e-4, m.shift);
	path_form form = flow ? FLOW_MATCHING : VARIANCE_EXPLODING;
	bool fine = sigmas && trajectory_from_sigmas(p, form, m.schedule, sigmas, count, e);
	if (fine) p->start = start, p->shift = m.shift;
	free(sigmas);
	return fine;
}

/* A1111's Restart: a part of the steps is kept for going back up, once, or twice from 36 steps on; under 20 steps there
 * is none of it. */
static bool restart_trajectory(trajectory *p, sigma_spacing s, noise_model m, int steps, error *e)
{
	int length = steps >= 36 ? steps / 4 : 9, times = steps >= 36 ? 2 : steps >= 20 ? 1 : 0;
	return sigma_trajectory(p, RESTART, s, m, steps - length * times, e) &&
	       (!times || insert_restarts(p, length, times, e));
}

static bool timestep_trajectory(trajectory *p, sampler_kind k, const noise_schedule *schedule, int steps, error *e)
{
	int count = 0;
	bool distilled = samplers[k].by == BY_DISTILLED_TIMESTEPS;
	timestep_spacing spread = distilled ? DISTILLED_TIMESTEPS : k == DDPM ? LEADING_TIMESTEPS : COMPVIS_TIMESTEPS;
	double *t = make_timesteps(spread, schedule->count, steps, distilled ? 50 : 0, true, &count, e);
	double final = k == DDPM || k == LCM ? 1 : schedule->alphas_cumprod[0];
	bool fine = t && trajectory_from_timesteps(p, schedule, t, count, final, e);
	free(t);
	return fine;
}

bool sampler_takes_spacing(sampler_kind k, bool flow)
{
	return k != PLMS && (flow || (samplers[k].by == BY_SIGMAS && k != RESTART));
}

bool sampler_trajectory(
    trajectory *p, sampler_kind k, sigma_spacing s, const noise_schedule *schedule, int steps, error *e)
{
	noise_model m = { schedule, 1 };
	*p = (trajectory){ 0 };
	bool fine = k == RESTART                  ? restart_trajectory(p, KARRAS_SPACING, m, steps, e)
	            : samplers[k].by == BY_SIGMAS ? sigma_trajectory(p, k, s, m, steps, e)
	                                          : timestep_trajectory(p, k, schedule, steps, e);
	if (!fine) trajectory_free(p);
	return fine;
}

bool sampler_flow_trajectory(trajectory *p, sampler_kind k, sigma_spacing s, double shift, int steps, error *e)
{
	noise_model m = { NULL, shift };
	*p = (trajectory){ 0 };
	if (k == TCD)
		return fail(e, BAD_USAGE,
		    "TCD is for models that were distilled with a schedule of noise, not for flow; "
		    "every other sampler works here, Euler for one");
	if (!sampler_takes_spacing(k, true)) s = UNIFORM_SPACING;
	bool fine = k == RESTART ? restart_trajectory(p, s, m, steps, e) : sigma_trajectory(p, k, s, m, steps, e);
	if (!fine) trajectory_free(p);
	return fine;
}

bool sample(sampler_kind k, const sampler_options *options, const trajectory *path, const sampling *hooks, float *x,
    size_t n, error *e)
{
	const struct sampler *sampler = &samplers[k];
	size_t latents = (size_t)sampler->buffers + (options->cfg_pp ? 2 : 1);
	if (n == 0 || n > SIZE_MAX / sizeof *x / latents) return fail(e, BAD_USAGE, "latent of %zu values", n);
	float *block = calloc(latents * n, sizeof *block);
	if (!block) return fail(e, NO_MEMORY, "no memory for %zu latents of %zu values", latents, n);
	solver s = { .path = path, .hooks = hooks, .options = *options, .x = x, .n = n, .scaled = block, .e = e };
	for (int i = 0; i < sampler->buffers; i++) s.buffers[i] = block + (size_t)(i + 1) * n;
	if (options->cfg_pp) s.guidance = block + (latents - 1) * n;
	sampler->solve(&s);
	free(block);
	return !s.failed;
}
