/* guidance.c - ComfyUI's samplers and schedules, guided: trajectories on an elementwise model with a conditional and an
 * unconditional half. */
#include "goldens.h"
#include "arrays.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include "elementwise.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct guided {
	const arrays *file;
	const char *name;
	elementwise conditional, unconditional;
	guidance guidance;
	bool whole_times; /* the discrete models are asked at the nearest timestep of training */
	size_t n;
	int draws, compared;
	double error;
} guided;

static bool denoise(void *context, int step, double t, const float *x, float *out, error *e)
{
	(void)step;
	guided *g = context;
	double time = g->whole_times ? rint(t) : t;
	float *both = malloc(2 * g->n * sizeof *both);
	if (!both) return fail(e, NO_MEMORY, "no memory");
	for (size_t i = 0; i < g->n; i++) {
		both[i] = (float)elementwise_at(&g->unconditional, (double)x[i], time);
		both[g->n + i] = (float)elementwise_at(&g->conditional, (double)x[i], time);
	}
	guide(&g->guidance, both, both + g->n, out, 1, g->n);
	free(both);
	return true;
}

static bool recorded_noise(void *context, double from, double to, float *out, size_t n, error *e)
{
	(void)from, (void)to;
	guided *g = context;
	const float *noise = array_of(g->file, NULL, "%s/noise.%d", g->name, g->draws);
	if (!noise) return fail(e, BAD_FILE, "draws noise.%d, which the original did not", g->draws);
	g->draws++;
	memcpy(out, noise, n * sizeof *out);
	return true;
}

static bool compare_state(void *context, int done, int calls, const float *x, const float *denoised)
{
	(void)calls, (void)denoised;
	guided *g = context;
	size_t n = 0;
	const float *expected = array_of(g->file, &n, "%s/x.%d", g->name, done);
	double off = expected && n == g->n ? relative_max(x, expected, n) : INFINITY;
	if (!(off <= g->error)) g->error = off;
	g->compared++;
	return true;
}

/* The path of a case, on the sigmas that were recorded. */
static bool path_of_case(
    trajectory *p, sampler_kind kind, const json_t *value, const noise_schedule *schedule, double shift, error *e)
{
	const json_t *list = json_object_get(value, "sigmas");
	int count = (int)json_array_size(list) - 1;
	bool flow = !strcmp(json_string_value(json_object_get(value, "kind")), "flow");
	double *sigmas = malloc(((size_t)count + 1) * sizeof *sigmas);
	for (int i = 0; i <= count; i++) sigmas[i] = json_number_value(json_array_get(list, (size_t)i));
	if (flow && sampler_is_brownian(kind)) sigmas[0] = shift_sigma(1 - 1e-4, shift);
	bool fine = trajectory_from_sigmas(p, flow ? FLOW_MATCHING : VARIANCE_EXPLODING, schedule, sigmas, count, e);
	/* ComfyUI has no alpha in its DPM++ 2M, on flow either */
	for (int i = 0; fine && flow && kind == DPMPP_2M && i < count; i++)
		p->steps[i].from.alpha = p->steps[i].to.alpha = 1;
	if (fine && flow && kind == DPMPP_2M) p->form = VARIANCE_EXPLODING;
	free(sigmas);
	return fine;
}

static void compare_case(
    const arrays *file, const json_t *json, const char *name, const json_t *value, const noise_schedule *s, report *r)
{
	sampler_kind kind;
	sigma_spacing unused;
	bool has;
	error e = { 0 };
	trajectory p = { 0 };
	char label[128];
	const char *what = json_string_value(json_object_get(value, "kind"));
	double shift = json_number_value(json_object_get(json, "flow_shift"));
	snprintf(label, sizeof label, "guidance/%s", name);
	static const char *const other[] = { "apg/", "cfg_zero_star/", "cfg_norm/", "rescale_cfg/", "lcm/eps", "deis/" };
	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		if (!strncmp(name, other[i], strlen(other[i]))) {
			report_uncovered(r, label, "other mathematics than ours");
			return;
		}
	if (!sampler_from_name(json_string_value(json_object_get(value, "sampler")), &kind, &unused, &has, &e) ||
	    (json_object_size(json_object_get(value, "args")) && !fail(&e, BAD_USAGE, "the sampler has arguments")) ||
	    !path_of_case(&p, kind, value, s, shift, &e)) {
		report_uncovered(r, label, e.text);
		return;
	}
	guided g = { .file = file, .name = name };
	g.conditional = elementwise_of(json_object_get(json, "model_params_cond"));
	g.unconditional = elementwise_of(json_object_get(json, "model_params_uncond"));
	g.guidance.scale = json_number_value(json_object_get(value, "cfg_scale"));
	g.whole_times = strcmp(what, "flow") != 0;
	const float *start = array_of(file, &g.n, "%s/x.0", name);
	prediction meaning = !strcmp(what, "flow") ? PREDICT_FLOW : *what == 'v' ? PREDICT_VELOCITY : PREDICT_NOISE;
	sampling hooks = { denoise, recorded_noise, compare_state, &g, &g, &g, .prediction = meaning };
	sampler_options o = sampler_defaults(kind);
	float *x = malloc(g.n * sizeof *x);
	memcpy(x, start, g.n * sizeof *x);
	if (!sample(kind, &o, &p, &hooks, x, g.n, &e)) printf("%s: %s\n", label, e.text);
	double floor = json_number_value(json_object_get(value, "f32_floor_rel_to_absmax"));
	report_error(r, label, e.status || !g.compared ? INFINITY : g.error, fmax(1e-4, 10 * floor));
	free(x);
	trajectory_free(&p);
}

/* "flow/spacing/steps" of comfy_schedulers.json, but for those that ours have of their own. */
static void compare_flow_sigmas(const char *dir, report *r)
{
	json_t *json = json_of(path_of(dir, "guidance/comfy_schedulers.json")), *expected;
	const char *name;
	double shift = json_number_value(json_object_get(json, "flow_shift"));
	json_object_foreach(json_object_get(json, "sigmas"), name, expected)
	{
		char label[128], spacing[32] = "";
		int steps = 0, count = 0;
		sigma_spacing s;
		error e = { 0 };
		if (sscanf(name, "flow/%31[a-z_]/%d", spacing, &steps) != 2) continue;
		if (!strcmp(spacing, "kl_optimal") && steps == 1) continue; /* theirs is not a number */
		snprintf(label, sizeof label, "guidance/sigmas/%s", name);
		double worst = 0, *sigmas = NULL;
		if ((!strcmp(spacing, "normal") && !fail(&e, BAD_USAGE, "ours is another")) ||
		    !spacing_from_name(spacing, &s, &e) || !(sigmas = make_flow_sigmas(s, shift, steps, &count, &e))) {
			report_uncovered(r, label, e.text);
			continue;
		}
		if (count + 1 != (int)json_array_size(expected)) worst = INFINITY;
		for (int i = 0; i <= count; i++)
			worst = fmax(worst, fabs(sigmas[i] - json_number_value(json_array_get(expected, (size_t)i))));
		report_error(r, label, worst, 1e-6);
		free(sigmas);
	}
	json_decref(json);
}

void golden_guidance(const char *dir, report *r)
{
	if (!exists(path_of(dir, "guidance/index.json"))) return;
	json_t *json = json_of(path_of(dir, "guidance/index.json")), *value;
	arrays file = arrays_open(path_of(dir, "guidance/trajectories.safetensors"));
	noise_schedule s;
	const char *name;
	if (file.header && noise_schedule_make(&s, &stable_diffusion_schedule, NULL)) {
		json_object_foreach(json_object_get(json, "cases"), name, value) compare_case(&file, json, name, value, &s, r);
		noise_schedule_free(&s);
	}
	arrays_close(&file);
	json_decref(json);
	compare_flow_sigmas(dir, r);
}
