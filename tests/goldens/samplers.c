/* samplers.c - trajectories of the original samplers on an elementwise model. */
#include "goldens.h"
#include "arrays.h"
#include "diffusion/diffusers.h"
#include "elementwise.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-4
#define LOOSE 5e-4 /* few large steps: dpm2, lms, 3m */

/* A case while it runs: what it is compared with, and the worst error so far. */
typedef struct replay {
	const arrays *file;
	const char *name;
	elementwise model;
	const json_t *times;          /* expected t of each call, or NULL */
	bool noise_by_draw, by_calls; /* how noise.i and x.i are numbered: draws or calls, calls or steps */
	size_t n;
	int calls, draws;
	double error;
	int compared;
} replay;

static bool apply_model(void *context, int step, path_point at, const float *x, float *out, float *apart, error *e)
{
	(void)step, (void)apart, (void)e;
	replay *r = context;
	const json_t *expected = json_array_get(r->times, (size_t)r->calls);
	if (expected) r->error = worse(r->error, fabs(json_number_value(expected) - at.t) / 1000);
	for (size_t i = 0; i < r->n; i++) out[i] = (float)elementwise_at(&r->model, (double)x[i], at.t);
	r->calls++;
	return true;
}

static bool recorded_noise(void *context, double from, double to, float *out, size_t n, error *e)
{
	(void)from, (void)to;
	replay *r = context;
	int i = r->noise_by_draw ? r->draws : r->calls - 1;
	const float *noise = array_of(r->file, NULL, "%s/noise.%d", r->name, i);
	r->draws++;
	if (!noise) return fail(e, BAD_FILE, "draws noise.%d, which the original did not", i);
	memcpy(out, noise, n * sizeof *out);
	return true;
}

static bool compare_state(void *context, int done, int calls, const float *x, const float *denoised)
{
	(void)denoised;
	replay *r = context;
	size_t n = 0;
	const float *expected = array_of(r->file, &n, "%s/x.%d", r->name, r->by_calls ? calls : done);
	double off = expected && n == r->n ? relative_max(x, expected, n) : INFINITY;
	if (!(off <= r->error)) r->error = off;
	r->compared++;
	return true;
}

static void run_case(replay *c, const char *label, sampler_kind kind, const sampler_options *options,
    const trajectory *path, prediction what, double tolerance, report *r)
{
	error e = { 0 };
	const float *start = array_of(c->file, &c->n, "%s/x.0", c->name);
	if (!start) {
		report_uncovered(r, label, "no x.0 in the file");
		return;
	}
	sampling hooks = { apply_model, recorded_noise, compare_state, c, c, c, .prediction = what };
	float *x = malloc(c->n * sizeof *x);
	memcpy(x, start, c->n * sizeof *x);
	if (sample(kind, options, path, &hooks, x, c->n, &e))
		report_error(r, label, c->compared ? c->error : INFINITY, tolerance);
	else {
		printf("%s: %s\n", label, e.text);
		report_error(r, label, INFINITY, tolerance);
	}
	free(x);
}

static prediction prediction_of(const char *name)
{
	return !strcmp(name, "v_prediction") ? PREDICT_VELOCITY
	       : !strncmp(name, "flow", 4)   ? PREDICT_FLOW
	       : !strcmp(name, "sample")     ? PREDICT_SAMPLE
	                                     : PREDICT_NOISE;
}

/* The nth word between slashes, 0 the first; into a buffer that the next but three calls overwrite. */
static const char *word_of(const char *name, int n)
{
	static char words[4][64];
	static int next;
	char *out = words[next++ % 4];
	while (n && *name) n -= *name++ == '/';
	snprintf(out, sizeof words[0], "%.*s", (int)strcspn(name, "/"), name);
	return out;
}

/* "ddim/eta1/10", "plms/10" */
static void compare_compvis(const arrays *file, const json_t *json, const noise_schedule *s, report *r)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(json, "cases"), name, value)
	{
		sampler_kind kind;
		sigma_spacing unused;
		bool has;
		error e = { 0 };
		trajectory p = { 0 };
		char label[128];
		snprintf(label, sizeof label, "samplers/compvis/%s", name);
		const char *eta = strstr(name, "/eta");
		if (!sampler_from_name(word_of(name, 0), &kind, &unused, &has, &e) ||
		    !sampler_trajectory(&p, kind, UNIFORM_SPACING, s, atoi(word_of(name, eta ? 2 : 1)), &e)) {
			report_uncovered(r, label, e.text);
			continue;
		}
		sampler_options o = sampler_defaults(kind);
		if (eta) o.eta = atof(eta + 4);
		replay c = { .file = file, .name = name, .model = elementwise_of(json_object_get(json, "model_params")) };
		c.times = kind == DDIM ? json_object_get(value, "timesteps_descending") : NULL;
		run_case(&c, label, kind, &o, &p, PREDICT_NOISE, TOLERANCE, r);
		trajectory_free(&p);
	}
}

static double sigma_error(const json_t *expected, const double *got, int count)
{
	double worst = (int)json_array_size(expected) == count ? 0 : INFINITY;
	double largest = json_number_value(json_array_get(expected, 0));
	for (int i = 0; i < count; i++)
		worst = worse(worst, fabs(json_number_value(json_array_get(expected, (size_t)i)) - got[i]) / largest);
	return worst;
}

static double k_tolerance(sampler_kind k)
{
	return k == LMS || k == DPM2 || k == DPM2_ANCESTRAL || k == DPMPP_3M_SDE ? LOOSE : TOLERANCE;
}

/* "kdiffusion/sampler/spacing/prediction/steps" */
static void compare_k_case(
    const arrays *file, const json_t *json, const char *name, const json_t *value, const noise_schedule *s, report *r)
{
	sampler_kind kind;
	sigma_spacing spacing, unused;
	bool has;
	error e = { 0 };
	int count = 0;
	char label[128];
	snprintf(label, sizeof label, "samplers/%s", name);
	double *sigmas = spacing_from_name(word_of(name, 2), &spacing, &e)
	                     ? make_sigmas(spacing, s, atoi(word_of(name, 4)), &count, &e)
	                     : NULL;
	double off = sigmas ? sigma_error(json_object_get(value, "sigmas"), sigmas, count + 1) : INFINITY;
	trajectory p = { 0 };
	if (!sigmas)
		report_uncovered(r, label, e.text);
	else if (strstr(name, "/sigmas_only/"))
		report_error(r, label, off, 1e-5);
	else if (!sampler_from_name(word_of(name, 1), &kind, &unused, &has, &e) ||
	         !trajectory_from_sigmas(&p, VARIANCE_EXPLODING, s, sigmas, count, &e))
		report_uncovered(r, label, e.text);
	else {
		sampler_options o = sampler_defaults(kind);
		replay c = { .file = file,
			.name = name,
			.model = elementwise_of(json_object_get(json, "model_params")),
			.noise_by_draw = true,
			.error = off };
		c.times = kind == EULER ? json_object_get(value, "model_t") : NULL;
		run_case(&c, label, kind, &o, &p, prediction_of(word_of(name, 3)), k_tolerance(kind), r);
	}
	trajectory_free(&p);
	free(sigmas);
}

static void compare_k_diffusion(const arrays *file, const json_t *json, const noise_schedule *s, report *r)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(json, "cases"), name, value) compare_k_case(file, json, name, value, s, r);
}

/* Image to image: leaves out the first steps, and compares how the picture is noised. */
static void begin_from_picture(replay *c, const scheduler *s, trajectory *p, int steps, double strength)
{
	size_t n = 0;
	const float *original = array_of(c->file, &n, "%s/original", c->name),
	            *x = array_of(c->file, NULL, "%s/x.0", c->name);
	const float *noise = array_of(c->file, NULL, "%s/noise0", c->name);
	trajectory_skip(p, scheduler_begin(s, p, steps, strength));
	path_point start = p->steps[0].from;
	float *begun = malloc(n * sizeof *begun);
	for (size_t i = 0; i < n; i++)
		begun[i] = (float)(start.alpha * (double)original[i] + start.sigma * (double)noise[i]);
	c->error = relative_max(begun, x, n);
	free(begun);
}

/* A case of index.json: any of diffusers' schedulers. */
static void compare_diffusers_case(
    const arrays *file, const json_t *json, const char *folder, const char *name, const json_t *value, report *r)
{
	scheduler s;
	noise_schedule schedule = { 0 };
	trajectory p = { 0 };
	error e = { 0 };
	char label[256];
	snprintf(label, sizeof label, "%s/%s", folder, name);
	const json_t *arguments = json_object_get(value, "step_args"), *eta = json_object_get(arguments, "eta");
	int steps = (int)json_integer_value(json_object_get(value, "num_inference_steps"));
	const char *class_name = json_string_value(json_object_get(value, "class"));
	if (scheduler_read(&s, json_object_get(value, "config"), class_name, &e) &&
	    noise_schedule_make(&schedule, &s.betas, &e) &&
	    scheduler_trajectory(&s, &schedule, steps, json_number_value(json_object_get(arguments, "mu")), &p, &e)) {
		replay c = {
			.file = file, .name = name, .model = elementwise_of(json_object_get(json, "model_params")), .by_calls = true
		};
		double start = json_number_value(json_object_get(value, "init_noise_sigma"));
		c.times = json_object_get(value, "timesteps");
		c.error = fabs(p.start / start - 1);
		if (eta) s.options.eta = json_number_value(eta);
		const json_t *strength = json_object_get(value, "strength");
		if (strength) begin_from_picture(&c, &s, &p, steps, json_number_value(strength));
		run_case(&c, label, s.sampler, &s.options, &p, s.prediction, k_tolerance(s.sampler), r);
	} else
		report_uncovered(r, label, e.text);
	trajectory_free(&p);
	noise_schedule_free(&schedule);
}

/* Cases come family by family: a file stays open while it lasts. */
static void compare_diffusers(const char *dir, const char *folder, report *r)
{
	json_t *json = json_of(path_of(dir, "%s/index.json", folder)), *value;
	const char *name, *open = "";
	arrays file = { 0 };
	json_object_foreach(json_object_get(json, "cases"), name, value)
	{
		const char *wanted = json_string_value(json_object_get(value, "file"));
		if (!wanted) continue;
		if (strcmp(wanted, open)) {
			arrays_close(&file);
			file = arrays_open(path_of(dir, "%s/%s", folder, wanted));
			open = wanted;
		}
		if (file.header) compare_diffusers_case(&file, json, folder, name, value, r);
	}
	arrays_close(&file);
	json_decref(json);
}

/* "sampler/shift<number>/steps": k-diffusion's solvers on flow's sigmas, alpha left at 1, as the SD 3 reference has it
 */
static void compare_sd3(const arrays *file, const json_t *json, const noise_schedule *schedule, report *r)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(json, "cases"), name, value)
	{
		scheduler s = { .family = FLOW_SCHEDULER, .betas = { .count = 1000 }, .shift = atof(word_of(name, 1) + 5) };
		sampler_kind kind;
		sigma_spacing unused;
		bool has;
		error e = { 0 };
		trajectory p = { 0 };
		char label[128];
		snprintf(label, sizeof label, "samplers/sd3_reference/%s", name);
		if (!sampler_from_name(word_of(name, 0), &kind, &unused, &has, &e) ||
		    !scheduler_trajectory(&s, schedule, atoi(word_of(name, 2)), 0, &p, &e)) {
			report_uncovered(r, label, e.text);
			continue;
		}
		p.form = VARIANCE_EXPLODING;
		for (int i = 0; i < p.count; i++) p.steps[i].from.alpha = p.steps[i].to.alpha = 1;
		sampler_options o = sampler_defaults(kind);
		replay c = { .file = file, .name = name, .model = elementwise_of(json_object_get(json, "model_params")) };
		c.times = json_object_get(value, "timesteps");
		run_case(&c, label, kind, &o, &p, PREDICT_FLOW, TOLERANCE, r);
		trajectory_free(&p);
	}
}

typedef void compare_file(const arrays *, const json_t *, const noise_schedule *, report *);

static void with_file(const char *dir, const char *name, compare_file *compare, report *r)
{
	if (!exists(path_of(dir, "samplers/%s.json", name))) return;
	json_t *json = json_load_file(path_of(dir, "samplers/%s.json", name), 0, NULL);
	arrays file = arrays_open(path_of(dir, "samplers/%s.safetensors", name));
	noise_schedule s;
	if (noise_schedule_make(&s, &stable_diffusion_schedule, NULL)) {
		compare(&file, json, &s, r);
		noise_schedule_free(&s);
	}
	arrays_close(&file);
	json_decref(json);
}

void golden_samplers(const char *dir, report *r)
{
	with_file(dir, "compvis", compare_compvis, r);
	with_file(dir, "kdiffusion", compare_k_diffusion, r);
	with_file(dir, "sd3_reference", compare_sd3, r);
	compare_diffusers(dir, "samplers", r);
	compare_diffusers(dir, "schedulers", r);
}
