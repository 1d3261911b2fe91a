/* schedules.c - noise schedules, timesteps and sigmas. */
#include "goldens.h"
#include "arrays.h"
#include "diffusion/solver.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* max |a − b| / max |b| of doubles against the numbers of a JSON array */
static double json_difference(const double *got, size_t count, const json_t *expected)
{
	double worst = count == json_array_size(expected) ? 0 : INFINITY, largest = 0;
	for (size_t i = 0; i < json_array_size(expected) && i < count; i++) {
		double value = json_number_value(json_array_get(expected, i));
		double off = fabs(got[i] - value);
		worst = worse(worst, off);
		largest = fmax(largest, fabs(value));
	}
	return largest > 0 ? worst / largest : worst;
}

/* The part of "origin/range/curve[_zsnr]/what" after its nth slash */
static const char *part(const char *name, int n)
{
	for (; n && *name; name++) n -= *name == '/';
	return name;
}

/* The betas of the plain linear ramp of the same origin and range say where the range starts and ends. */
static bool config_of(const arrays *file, const char *name, schedule_config *c)
{
	char curve[64], ramp[128];
	bool compvis = !strncmp(name, "ldm/", 4); /* whose "linear" is linear in the root */
	size_t n = 0;
	snprintf(curve, sizeof curve, "%.*s", (int)strcspn(part(name, 2), "/"), part(name, 2));
	char *zsnr = strstr(curve, "_zsnr");
	if (zsnr) *zsnr = 0;
	snprintf(ramp, sizeof ramp, "%.*slinear/%s", (int)(part(name, 2) - name), name, compvis ? "betas_f64" : "betas");
	const float *f32 = array_of(file, &n, "%s", ramp);
	const double *f64 = f32 ? NULL : double_array_of(file, &n, ramp);
	if ((!f32 && !f64) || n < 2 || !beta_curve_from_name(curve, &c->curve)) return false;
	if (compvis && !strcmp(curve, "linear")) c->curve = SCALED_LINEAR_BETAS;
	c->start = f32 ? (double)f32[0] : f64[0];
	c->end = f32 ? (double)f32[n - 1] : f64[n - 1];
	c->count = (int)n;
	c->zero_terminal_snr = zsnr;
	return true;
}

static double compare(const double *got, const float *f32, const double *f64, size_t n)
{
	double worst = 0, largest = 0;
	for (size_t i = 0; i < n; i++) {
		double expected = f32 ? (double)f32[i] : f64[i], off = fabs(got[i] - expected);
		worst = worse(worst, off);
		largest = fmax(largest, fabs(expected));
	}
	return worst / largest;
}

static void compare_schedule(const arrays *file, const char *name, report *r)
{
	size_t n = 0;
	const float *f32 = array_of(file, &n, "%s", name);
	const double *f64 = f32 ? NULL : double_array_of(file, &n, name);
	schedule_config c;
	noise_schedule s;
	error e = { 0 };
	char label[256];
	snprintf(label, sizeof label, "schedules/%s", name);
	bool betas = strstr(part(name, 3), "betas");
	if ((!f32 && !f64) || !config_of(file, name, &c)) {
		report_uncovered(r, label, "unknown curve or dtype");
		return;
	}
	if (!noise_schedule_make(&s, &c, &e)) {
		report_uncovered(r, label, e.text);
		return;
	}
	report_error(r, label, compare(betas ? s.betas : s.alphas_cumprod, f32, f64, n), 1e-5);
	noise_schedule_free(&s);
}

static void compare_schedules(const char *dir, report *r)
{
	arrays file = arrays_open(path_of(dir, "schedules/schedules.safetensors"));
	const char *name;
	json_t *value;
	json_object_foreach(file.header, name, value) if (strncmp(name, "__", 2)) compare_schedule(&file, name, r);
	arrays_close(&file);
}

/* diffusers' timesteps, and the sigmas of its Euler: sigma, not its logarithm, interpolated at them */
static void compare_spacings(const json_t *entries, const noise_schedule *s, report *r)
{
	double worst_time = 0, worst_sigma = 0;
	const json_t *entry;
	size_t i;
	json_array_foreach((json_t *)entries, i, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "spacing"));
		bool euler = !strcmp(json_string_value(json_object_get(entry, "scheduler")), "Euler");
		timestep_spacing spacing = !strcmp(name, "leading")    ? LEADING_TIMESTEPS
		                           : !strcmp(name, "trailing") ? TRAILING_TIMESTEPS
		                                                       : LINSPACE_TIMESTEPS;
		int count;
		error e = { 0 };
		double *t = make_timesteps(spacing, s->count, (int)json_integer_value(json_object_get(entry, "steps")),
		    (int)json_integer_value(json_object_get(entry, "offset")), !euler || spacing != LINSPACE_TIMESTEPS, &count,
		    &e);
		if (!t) {
			report_uncovered(r, "schedules/diffusers_timesteps", e.text);
			return;
		}
		worst_time = worse(worst_time, json_difference(t, (size_t)count, json_object_get(entry, "timesteps")));
		const json_t *sigmas = json_object_get(entry, "sigmas");
		if (sigmas) {
			double *got = malloc(((size_t)count + 1) * sizeof *got);
			for (int j = 0; j < count; j++) got[j] = linear_sigma_of_timestep(s, t[j]);
			got[count] = 0;
			worst_sigma = worse(worst_sigma, json_difference(got, (size_t)count + 1, sigmas));
			free(got);
		}
		free(t);
	}
	report_error(r, "schedules/diffusers_timesteps", worst_time, 1e-6);
	report_error(r, "schedules/diffusers_timesteps, sigmas of Euler", worst_sigma, 1e-5);
}

static void compare_compvis(const json_t *entries, const noise_schedule *s, report *r)
{
	double worst = 0;
	const json_t *entry;
	size_t i;
	json_array_foreach((json_t *)entries, i, entry)
	{
		if (!json_is_true(json_object_get(entry, "valid"))) continue;
		bool uniform = !strcmp(json_string_value(json_object_get(entry, "method")), "uniform");
		int count;
		error e = { 0 };
		trajectory p = { 0 };
		double *t = make_timesteps(uniform ? COMPVIS_TIMESTEPS : QUADRATIC_TIMESTEPS, s->count,
		    (int)json_integer_value(json_object_get(entry, "steps")), 0, true, &count, &e);
		if (!t || !trajectory_from_timesteps(&p, s, t, count, s->alphas_cumprod[0], &e)) {
			report_uncovered(r, "schedules/ldm_ddim_timesteps", e.text);
			return;
		}
		double *lists[4]; /* theirs rise, ours fall */
		for (int k = 0; k < 4; k++) lists[k] = malloc((size_t)count * sizeof **lists);
		for (int j = 0; j < count; j++) {
			path_step step = p.steps[count - 1 - j];
			lists[0][j] = step.from.t;
			lists[1][j] = step.from.alpha * step.from.alpha;
			lists[2][j] = step.to.alpha * step.to.alpha;
			lists[3][j] = split_noise(step.from, step.to, 1).up;
		}
		static const char *const keys[4] = { "timesteps", "alphas", "alphas_prev", "sigmas_eta1" };
		for (int k = 0; k < 4; k++) {
			worst = worse(worst, json_difference(lists[k], (size_t)count, json_object_get(entry, keys[k])));
			free(lists[k]);
		}
		free(t);
		trajectory_free(&p);
	}
	report_error(r, "schedules/ldm_ddim_timesteps", worst, 1e-5);
}

static void compare_sgm(const char *dir, report *r)
{
	json_t *file = json_load_file(path_of(dir, "schedules/sgm_sigmas.json"), 0, NULL), *expected;
	noise_schedule s;
	const char *name;
	error e = { 0 };
	if (!noise_schedule_make(&s, &stable_diffusion_schedule, &e)) return;
	json_object_foreach(file, name, expected)
	{
		char label[256];
		int steps = (int)json_array_size(expected) - 1;
		snprintf(label, sizeof label, "schedules/sgm_sigmas/%s", name);
		double *sigmas = malloc(((size_t)steps + 1) * sizeof *sigmas);
		sigmas[steps] = 0;
		if (!strncmp(name, "edm/", 4))
			karras_sigmas(sigmas, steps, 0.002, 80, 7);
		else {
			/* an even grid that starts at T - 1 and stops short of 0, rounded down as numpy's sums are */
			double last = s.count - 1, step = -last / steps;
			for (int i = 0; i < steps; i++) sigmas[i] = exp(s.log_sigmas[(int)(i * step + last)]);
		}
		report_error(r, label, json_difference(sigmas, (size_t)steps + 1, expected), 1e-5);
		free(sigmas);
	}
	noise_schedule_free(&s);
	json_decref(file);
}

void golden_schedules(const char *dir, report *r)
{
	if (exists(path_of(dir, "schedules/schedules.safetensors"))) compare_schedules(dir, r);
	if (exists(path_of(dir, "schedules/timesteps.json"))) {
		noise_schedule s;
		json_t *file = json_load_file(path_of(dir, "schedules/timesteps.json"), 0, NULL);
		if (noise_schedule_make(&s, &stable_diffusion_schedule, NULL)) {
			compare_spacings(json_object_get(file, "diffusers_timesteps"), &s, r);
			compare_compvis(json_object_get(file, "ldm_ddim_timesteps"), &s, r);
			noise_schedule_free(&s);
		}
		json_decref(file);
	}
	if (exists(path_of(dir, "schedules/sgm_sigmas.json"))) compare_sgm(dir, r);
}
