/* sampler.c - the table of samplers: names, defaults, and the trajectory that each walks. */
#include "diffusion/names.h"
#include "diffusion/solver.h"
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum walk { BY_SIGMAS, BY_TIMESTEPS, BY_DISTILLED_TIMESTEPS } walk;

static const struct sampler {
	const char *name;
	void (*solve)(solver *);
	int buffers; /* the solver's own, without the scaled input */
	walk by;
	sigma_spacing spacing;
	sampler_options defaults;
} samplers[SAMPLERS] = {
	[DDPM] = { "DDPM", solve_ddpm, 2, BY_TIMESTEPS, UNIFORM_SPACING, { .eta = 1 } },
	[DDIM] = { "DDIM", solve_euler, 2, BY_TIMESTEPS, UNIFORM_SPACING, { .eta = 0 } },
	[PLMS] = { "PLMS", solve_plms, 9, BY_TIMESTEPS, UNIFORM_SPACING, { .eta = 0 } },
	[EULER] = { "Euler", solve_euler, 2, BY_SIGMAS, UNIFORM_SPACING, { .eta = 0 } },
	[EULER_ANCESTRAL] = { "Euler a", solve_euler, 2, BY_SIGMAS, UNIFORM_SPACING, { .eta = 1 } },
	[DPMPP_2M] = { "DPM++ 2M", solve_dpmpp_multistep, 5, BY_SIGMAS, KARRAS_SPACING, { .order = 2 } },
	[DPMPP_2M_SDE] = { "DPM++ 2M SDE", solve_dpmpp_multistep, 5, BY_SIGMAS, EXPONENTIAL_SPACING,
	    { .eta = 1, .order = 2 } },
	[DPMPP_2M_SDE_HEUN] = { "DPM++ 2M SDE Heun", solve_dpmpp_multistep, 5, BY_SIGMAS, EXPONENTIAL_SPACING,
	    { .eta = 1, .order = 2, .heun = true } },
	[DPMPP_3M_SDE] = { "DPM++ 3M SDE", solve_dpmpp_multistep, 5, BY_SIGMAS, EXPONENTIAL_SPACING,
	    { .eta = 1, .order = 3, .heun = true } },
};

/* Beside the table's own names; "k_" in front is accepted everywhere. */
static const struct name names[] = {
	{ DDPM, "DDPM" },
	{ DDIM, "DDIM" },
	{ PLMS, "PLMS" },
	{ PLMS, "PNDM" },
	{ EULER, "Euler" },
	{ EULER_ANCESTRAL, "Euler a" },
	{ EULER_ANCESTRAL, "euler_ancestral" },
	{ DPMPP_2M, "DPM++ 2M" },
	{ DPMPP_2M_SDE, "DPM++ 2M SDE" },
	{ DPMPP_2M_SDE_HEUN, "DPM++ 2M SDE Heun" },
	{ DPMPP_3M_SDE, "DPM++ 3M SDE" },
	{ -1, NULL },
};

const char *sampler_name(sampler_kind k) { return k < SAMPLERS ? samplers[k].name : NULL; }
sampler_options sampler_defaults(sampler_kind k) { return samplers[k].defaults; }
sigma_spacing sampler_default_spacing(sampler_kind k) { return samplers[k].spacing; }
int sampler_buffers(sampler_kind k) { return samplers[k].buffers + 1; }

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

bool sampler_trajectory(
    trajectory *p, sampler_kind k, sigma_spacing s, const noise_schedule *schedule, int steps, error *e)
{
	int count = 0;
	bool fine;
	if (samplers[k].by == BY_SIGMAS) {
		double *sigmas = make_sigmas(s, schedule, steps, &count, e);
		fine = sigmas && trajectory_from_sigmas(p, VARIANCE_EXPLODING, schedule, sigmas, count, e);
		free(sigmas);
	} else {
		timestep_spacing spread = k == DDPM ? LEADING_TIMESTEPS : COMPVIS_TIMESTEPS;
		double *t = make_timesteps(spread, schedule->count, steps, 0, true, &count, e);
		fine = t && trajectory_from_timesteps(p, schedule, t, count, k == DDPM ? 1 : schedule->alphas_cumprod[0], e);
		free(t);
	}
	return fine;
}

bool sample(sampler_kind k, const sampler_options *options, const trajectory *path, const sampling *hooks, float *x,
    size_t n, error *e)
{
	const struct sampler *sampler = &samplers[k];
	size_t latents = (size_t)sampler->buffers + 1;
	if (n == 0 || n > SIZE_MAX / sizeof *x / latents) return fail(e, BAD_USAGE, "latent of %zu values", n);
	float *block = calloc(latents * n, sizeof *block);
	if (!block) return fail(e, NO_MEMORY, "no memory for %zu latents of %zu values", latents, n);
	solver s = { .path = path, .hooks = hooks, .options = *options, .x = x, .n = n, .scaled = block, .e = e };
	for (int i = 0; i < sampler->buffers; i++) s.buffers[i] = block + (size_t)(i + 1) * n;
	sampler->solve(&s);
	free(block);
	return !s.failed;
}
