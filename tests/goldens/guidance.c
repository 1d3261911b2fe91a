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

typedef struct replay {
	const arrays *file;
	const char *name;
	elementwise conditional, unconditional;
	guidance guidance;
	prediction prediction;
	bool whole_times; /* the discrete models are asked at the nearest timestep of training */
	bool result_only; /* the sampler has steps of its own */
	size_t n;
	float *values; /* [6][n]: both outputs, scratch, an average */
	int draws, compared;
	double error;
} replay;

/* [1,4,H,W] to channels last, or back. */
static void change_layout(const float *from, float *to, size_t n, bool back)
{
	size_t positions = n / 4;
	for (size_t p = 0; p < positions; p++)
		for (size_t c = 0; c < 4; c++)
			to[back ? c * positions + p : 4 * p + c] = from[back ? 4 * p + c : c * positions + p];
}

static bool denoise(void *context, int step, path_point at, const float *x, float *out, float *unconditional, error *e)
{
	(void)step, (void)e;
	replay *r = context;
	size_t n = r->n;
	double time = r->whole_times ? rint(at.t) : at.t;
	float *u = r->values, *c = u + n, *input = u + 4 * n;
	change_layout(x, input, n, false);
	for (size_t i = 0; i < n; i++) {
		u[i] = (float)elementwise_at(&r->unconditional, (double)input[i], time);
		c[i] = (float)elementwise_at(&r->conditional, (double)input[i], time);
	}
	if (unconditional) change_layout(u, unconditional, n, true);
	guided_outputs g = { u, c, n, 4, input, at, r->prediction, guidance_has_memory(&r->guidance) ? u + 5 * n : NULL,
		u + 2 * n };
	guide(&r->guidance, &g, u);
	change_layout(u, out, n, true);
	return true;
}

static bool recorded_noise(void *context, double from, double to, float *out, size_t n, error *e)
{
	(void)from, (void)to;
	replay *g = context;
	const float *noise = array_of(g->file, NULL, "%s/noise.%d", g->name, g->draws);
	if (!noise) return fail(e, BAD_FILE, "draws noise.%d, which the original did not", g->draws);
	g->draws++;
	memcpy(out, noise, n * sizeof *out);
	return true;
}

static bool compare_state(void *context, int done, int calls, const float *x, const float *denoised)
{
	(void)calls, (void)denoised;
	replay *g = context;
	size_t n = 0;
	const float *expected = g->result_only ? NULL : array_of(g->file, &n, "%s/x.%d", g->name, done);
	if (g->result_only) return true;
	double off = expected && n == g->n ? relative_max(x, expected, n) : INFINITY;
	g->error = worse(g->error, off);
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
	if (flow && sampler_starts_below_noise(kind) && sigmas[0] >= 1) sigmas[0] = shift_sigma(1 - 1e-4, shift);
	bool fine =
	    trajectory_from_sigmas(p, flow ? FLOW_MATCHING : VARIANCE_EXPLODING, flow ? NULL : schedule, sigmas, count, e);
	p->shift = flow ? shift : 1;
	/* ComfyUI has no alpha in its DPM++ 2M, on flow either */
	for (int i = 0; fine && flow && kind == DPMPP_2M && i < count; i++)
		p->steps[i].from.alpha = p->steps[i].to.alpha = 1;
	if (fine && flow && kind == DPMPP_2M) p->form = VARIANCE_EXPLODING;
	free(sigmas);
	return fine;
}

/* ComfyUI's names for what the arguments of its samplers are here. */
static void read_arguments(const json_t *args, sampler_options *o)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)args, name, value)
	{
		double number = json_number_value(value);
		if (!strcmp(name, "max_order") || !strcmp(name, "max_stage") || !strcmp(name, "order") ||
		    !strcmp(name, "predictor_order"))
			o->order = (int)number;
		if (!strcmp(name, "corrector_order")) o->corrector_order = (int)number;
		if (!strcmp(name, "simple_order_2")) o->simple_order_2 = json_is_true(value);
		if (!strcmp(name, "ge_gamma")) o->gamma = number;
		if (!strcmp(name, "h_init")) o->first_step = number;
		if (!strcmp(name, "rtol")) o->tolerance = number;
	}
}

static double number_in(const json_t *value, const char *key) { return json_number_value(json_object_get(value, key)); }

/* "apg/euler/…", "rescale_cfg/euler/eps/0.7", …: the method comes before the sampler. */
static guidance guidance_of_case(const char *name, const json_t *value)
{
	guidance g = { .scale = number_in(value, "cfg_scale") };
	const json_t *apg = json_object_get(value, "apg");
	if (!strncmp(name, "apg/", 4)) {
		g.method = PROJECTED_COMFY;
		g.eta = number_in(apg, "eta"), g.norm = number_in(apg, "norm_threshold"),
		g.momentum = number_in(apg, "momentum");
	}
	if (!strncmp(name, "cfg_zero_star/", 14)) g.method = ZERO_STAR_COMFY;
	if (!strncmp(name, "cfg_norm/", 9)) g.method = NORM_LIMITED, g.amount = 1;
	if (!strncmp(name, "rescale_cfg/", 12)) g.method = VELOCITY_RESCALE, g.amount = atof(strrchr(name, '/') + 1);
	return g;
}

/* Where one name means two things, ComfyUI's is another row of our table. */
static sampler_kind comfy_kind(sampler_kind k) { return k == DEIS ? DEIS_TIMES : k == LCM ? LCM_SIGMAS : k; }

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
	bool known = sampler_from_name(json_string_value(json_object_get(value, "sampler")), &kind, &unused, &has, &e);
	if (known) kind = comfy_kind(kind);
	if (!known || !path_of_case(&p, kind, value, s, shift, &e)) {
		report_uncovered(r, label, e.text);
		return;
	}
	replay g = { .file = file, .name = name, .guidance = guidance_of_case(name, value) };
	g.conditional = elementwise_of(json_object_get(json, "model_params_cond"));
	g.unconditional = elementwise_of(json_object_get(json, "model_params_uncond"));
	g.whole_times = strcmp(what, "flow") != 0;
	g.result_only = kind == DPM_FAST || kind == DPM_ADAPTIVE;
	const float *start = array_of(file, &g.n, "%s/x.0", name), *noise = array_of(file, &g.n, "%s/noise0", name);
	size_t n = 0;
	prediction meaning = !strcmp(what, "flow") ? PREDICT_FLOW : *what == 'v' ? PREDICT_VELOCITY : PREDICT_NOISE;
	g.prediction = meaning;
	sampling hooks = { denoise, recorded_noise, compare_state, &g, &g, &g, .prediction = meaning };
	sampler_options o = sampler_defaults(kind);
	o.guides_middle = true; /* the goldens are of 2025 */
	read_arguments(json_object_get(value, "args"), &o);
	float *x = malloc(g.n * sizeof *x);
	g.values = calloc(6 * g.n, sizeof *g.values);
	memcpy(x, start, g.n * sizeof *x);
	double sigma = p.steps[0].from.sigma; /* its x.0 is the state after the first step */
	for (size_t i = 0; kind == DPM_ADAPTIVE && i < g.n; i++) x[i] = (float)(sqrt(1 + sigma * sigma) * (double)noise[i]);
	if (!sample(kind, &o, &p, &hooks, x, g.n, &e)) printf("%s: %s\n", label, e.text);
	if (g.result_only) {
		int last = 0;
		while (array_of(file, &n, "%s/x.%d", name, last + 1)) last++;
		const float *expected = array_of(file, &n, "%s/x.%d", name, last);
		g.error = n == g.n ? relative_max(x, expected, n) : INFINITY;
		g.compared = last > 0;
	}
	double floor = json_number_value(json_object_get(value, "f32_floor_rel_to_absmax"));
	report_error(r, label, e.status || !g.compared ? INFINITY : g.error, fmax(1e-4, 10 * floor));
	free(x);
	free(g.values);
	trajectory_free(&p);
}

/* "eps/spacing/steps", "flow/…" and "ays/model/steps" of comfy_schedulers.json. */
static void compare_sigmas(const char *dir, const noise_schedule *schedule, report *r)
{
	json_t *json = json_of(path_of(dir, "guidance/comfy_schedulers.json")), *expected;
	const char *name;
	double shift = json_number_value(json_object_get(json, "flow_shift"));
	json_object_foreach(json_object_get(json, "sigmas"), name, expected)
	{
		char label[128], kind[8] = "", spacing[32] = "";
		int steps = 0, count = 0;
		sigma_spacing s;
		error e = { 0 };
		if (sscanf(name, "%7[a-z]/%31[A-Za-z_0-9]/%d", kind, spacing, &steps) != 3) continue;
		if (!strcmp(spacing, "kl_optimal") && steps == 1) continue; /* theirs is not a number */
		snprintf(label, sizeof label, "guidance/sigmas/%s", name);
		double worst = 0, *sigmas = NULL;
		bool flow = !strcmp(kind, "flow"), known = spacing_from_name(spacing, &s, &e);
		if (!strcmp(kind, "ays"))
			known = true,
			s = !strcmp(spacing, "SDXL") ? ALIGN_YOUR_STEPS_XL_ZERO_SPACING : ALIGN_YOUR_STEPS_ZERO_SPACING;
		else if (known && !flow)
			s = s == BETA_SPACING ? BETA_TIMES_SPACING : s == KL_OPTIMAL_SPACING ? KL_OPTIMAL_ZERO_SPACING : s;
		e = known ? (error){ 0 } : e;
		if (known)
			sigmas = flow ? make_flow_sigmas(s, shift, steps, &count, &e) : make_sigmas(s, schedule, steps, &count, &e);
		if (!sigmas) {
			report_uncovered(r, label, e.text);
			continue;
		}
		if (count + 1 != (int)json_array_size(expected)) worst = INFINITY;
		for (int i = 0; i <= count && worst < INFINITY; i++) {
			double value = json_number_value(json_array_get(expected, (size_t)i));
			worst = worse(worst, fabs(sigmas[i] - value) / fmax(1, value));
		}
		report_error(r, label, worst, flow ? 1e-6 : 1e-5); /* eps: theirs take powers in f32 */
		free(sigmas);
	}
	json_decref(json);
}

/* diffusers' forms on given predictions, three steps in a row: "….stepI". */
static void compare_function(const arrays *file, const char *form, const guidance *g, double scale, report *r)
{
	char label[256];
	double worst = 0;
	size_t n = 0, items = 2;
	float *average = NULL;
	int done = 0;
	for (int i = 0; i < 3; i++) {
		const float *c = array_of(file, &n, "pred_cond.%d", i), *u = array_of(file, &n, "pred_uncond.%d", i);
		const float *expected = array_of(file, NULL, "%s.step%d", form, i);
		shape s;
		dtype d;
		const void *data;
		if (!c || !u || !expected || !array_find(file, "pred_cond.0", &d, &s, &data)) continue;
		items = (size_t)s.d[0];
		size_t each = n / items;
		if (!average) average = calloc(n, sizeof *average);
		float *both = malloc(3 * n * sizeof *both), *out = both + 2 * n;
		memcpy(both, u, n * sizeof *u);
		memcpy(both + n, c, n * sizeof *c);
		for (size_t k = 0; k < items; k++) {
			const float *uk = u + k * each, *ck = c + k * each;
			float *to = out + k * each;
			if (g->method == ZERO_STAR)
				guide_from_zero(scale, zero_factor(uk, ck, each), uk, ck, to, each);
			else if (g->method == PLAIN_GUIDANCE)
				guide_plainly(scale, g->rescale, uk, ck, to, each);
			else {
				project_update(g, uk, ck, average + k * each, to, each);
				bool original = g->method == PROJECTED;
				for (size_t p = 0; p < each; p++)
					to[p] = (original ? ck[p] : uk[p]) + (float)(original ? scale - 1 : scale) * to[p];
			}
		}
		worst = worse(worst, relative_max(out, expected, n));
		free(both);
		done++;
	}
	free(average);
	snprintf(label, sizeof label, "guidance/functions/%s", form);
	report_error(r, label, done == 3 ? worst : INFINITY, 1e-5);
}

static void compare_functions(const char *dir, report *r)
{
	arrays file = arrays_open(path_of(dir, "guidance/functions.safetensors"));
	const char *key;
	json_t *entry;
	const float *scale = file.header ? array_of(&file, NULL, "guidance_scale") : NULL;
	json_object_foreach(file.header, key, entry)
	{
		char form[128], *numbers;
		double eta, norm, momentum, phi;
		size_t length = strlen(key);
		if (length < 7 || length >= sizeof form || strcmp(key + length - 6, ".step0")) continue;
		snprintf(form, sizeof form, "%.*s", (int)length - 6, key);
		guidance g = { 0 };
		if (!strncmp(form, "diffusers_apg", 13)) {
			g.method = strstr(form, "original") ? PROJECTED : PROJECTED_DIFFUSERS;
			numbers = strchr(form, '.');
			momentum = 0; /* "momNone" */
			if (!numbers || sscanf(numbers, ".eta%lf_norm%lf_mom%lf", &eta, &norm, &momentum) < 2) {
				report_uncovered(r, form, "another name than eta…_norm…_mom…");
				continue;
			}
			g.eta = eta, g.norm = norm, g.momentum = momentum;
		} else if (!strncmp(form, "cfg_zero_star", 13))
			g.method = ZERO_STAR;
		else if (sscanf(form, "rescale_noise_cfg.%lf", &phi) == 1)
			g.rescale = phi;
		else if (strcmp(form, "cfg")) {
			report_uncovered(r, form, "not known");
			continue;
		}
		compare_function(&file, form, &g, scale ? (double)*scale : 0, r);
	}
	arrays_close(&file);
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
		compare_sigmas(dir, &s, r);
		noise_schedule_free(&s);
	}
	arrays_close(&file);
	json_decref(json);
	compare_functions(dir, r);
}
