/* test_samplers.c - every sampler on data whose best denoiser is known: normal with deviation `spread`. The ordinary
 * samplers must find the exact solution of the probability flow, faster the higher their order; the stochastic ones the
 * right deviation. And what must fail, fails. */
#include "base/random.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#undef fail /* ours is meant */

enum { N = 4096 };
static const double spread = 1.5;

typedef struct setting {
	const noise_schedule *schedule;
	generator random;
	int calls, fail_at, stop_at;
} setting;

/* For sigma in units of alpha the best guess of x0 from x/alpha is x·spread²/(spread² + sigma²). */
static bool best_noise(void *context, int step, path_point at, const float *x, float *out, float *apart, error *e)
{
	(void)step;
	setting *s = context;
	if (++s->calls == s->fail_at) return fail(e, NO_MEMORY, "as asked");
	double sigma = sigma_of_timestep(s->schedule, at.t), alpha = 1 / sqrt(1 + sigma * sigma);
	double share = spread * spread / (spread * spread + sigma * sigma);
	for (size_t i = 0; i < N; i++) out[i] = (float)(((double)x[i] - share * (double)x[i]) / (sigma * alpha));
	if (apart) memcpy(apart, out, N * sizeof *out);
	return true;
}

static bool draw(void *context, double from, double to, float *out, size_t n, error *e)
{
	(void)from, (void)to, (void)e;
	random_normal(&((setting *)context)->random, out, n);
	return true;
}

static bool watch(void *context, int done, int calls, const float *x, const float *denoised)
{
	setting *s = context;
	assert_int_equal(calls, s->calls);
	assert_non_null(x);
	assert_non_null(denoised);
	return done != s->stop_at;
}

static sampling hooks_of(setting *s)
{
	return (sampling){ best_noise, draw, watch, s, s, s, .prediction = PREDICT_NOISE };
}

static double deviation(const float *x)
{
	double squares = 0;
	for (size_t i = 0; i < N; i++) squares += (double)x[i] * (double)x[i];
	return sqrt(squares / N);
}

/* The deviation after the sampler, where the exact answer for x of unit noise is known. */
static double run(sampler_kind kind, const sampler_options *o, int steps, double *exact)
{
	noise_schedule schedule;
	trajectory path;
	assert_true(noise_schedule_make(&schedule, &stable_diffusion_schedule, NULL));
	assert_true(sampler_trajectory(&path, kind, KARRAS_SPACING, &schedule, steps, NULL));
	setting s = { .schedule = &schedule };
	generator_seed(&s.random, 1);
	float *x = malloc(N * sizeof *x);
	random_normal(&s.random, x, N);
	for (size_t i = 0; i < N; i++) x[i] *= (float)path.start;
	path_point first = path.steps[0].from, last = path.steps[path.count - 1].to;
	double before = deviation(x), high = first.sigma / first.alpha, low = last.sigma / last.alpha;
	*exact = before / first.alpha * sqrt((spread * spread + low * low) / (spread * spread + high * high)) * last.alpha;
	sampling hooks = hooks_of(&s);
	error e = { 0 };
	assert_true(sample(kind, o, &path, &hooks, x, N, &e));
	double after = deviation(x);
	free(x);
	trajectory_free(&path);
	noise_schedule_free(&schedule);
	return after;
}

static void deterministic_samplers_converge(void **unused)
{
	(void)unused;
	for (int kind = 0; kind < SAMPLERS; kind++) {
		sampler_options o = sampler_defaults((sampler_kind)kind);
		if (o.eta != 0 || kind == LCM) continue;
		double exact, coarse = fabs(run((sampler_kind)kind, &o, 25, &exact) - exact);
		if (kind == DPM_ADAPTIVE) o.tolerance /= 50; /* it does not go by the number of steps */
		double fine = fabs(run((sampler_kind)kind, &o, 100, &exact) - exact);
		bool good = fine < 0.05 && (fine < coarse / 3 || fine < 1e-3);
		if (!good) print_error("%s: off by %g, then %g\n", sampler_name((sampler_kind)kind), coarse, fine);
		assert_true(good);
	}
}

static void stochastic_samplers_keep_the_deviation(void **unused)
{
	(void)unused;
	for (int kind = 0; kind < SAMPLERS; kind++) {
		sampler_options o = sampler_defaults((sampler_kind)kind);
		if (o.eta == 0 || kind == LCM || kind == LCM_SIGMAS || kind == TCD) continue;
		double exact, found = run((sampler_kind)kind, &o, 200, &exact);
		bool good = fabs(found / spread - 1) < 0.05;
		if (!good) print_error("%s: deviation %g, expected %g\n", sampler_name((sampler_kind)kind), found, spread);
		assert_true(good);
	}
}

static bool best_velocity(void *context, int step, path_point at, const float *x, float *out, float *apart, error *e)
{
	(void)step, (void)e;
	((setting *)context)->calls++;
	double s = at.t / 1000, a = 1 - s, variance = a * a * spread * spread + s * s;
	for (size_t i = 0; i < N; i++) out[i] = (float)((s - a * spread * spread) / variance * (double)x[i]);
	if (apart) memcpy(apart, out, N * sizeof *out);
	return true;
}

static void flow_ends_at_the_data(void **unused)
{
	(void)unused;
	float *x = malloc(N * sizeof *x);
	int done = 0;
	for (int kind = 0; kind < SAMPLERS; kind++) {
		trajectory path;
		error e = { 0 };
		setting s = { 0 };
		sampling hooks = { best_velocity, draw, watch, &s, &s, &s, .prediction = PREDICT_FLOW };
		sampler_options o = sampler_defaults((sampler_kind)kind);
		if (!sampler_flow_trajectory(&path, (sampler_kind)kind, UNIFORM_SPACING, 3, 200, &e)) {
			assert_int_equal(e.status, BAD_USAGE);
			assert_int_equal(kind, TCD);
			continue;
		}
		generator_seed(&s.random, 1);
		random_normal(&s.random, x, N);
		assert_true(sample((sampler_kind)kind, &o, &path, &hooks, x, N, &e));
		bool good = fabs(deviation(x) / spread - 1) <
		            (kind == LCM || kind == LCM_SIGMAS ? 0.4 : 0.06); /* LCM is for distilled models */
		if (!good) print_error("%s: deviation %g\n", sampler_name((sampler_kind)kind), deviation(x));
		assert_true(good);
		trajectory_free(&path);
		done++;
	}
	assert_int_equal(done, SAMPLERS - 1);
	free(x);
}

static void same_bits_twice(void **unused)
{
	(void)unused;
	for (int kind = 0; kind < SAMPLERS; kind++) {
		sampler_options o = sampler_defaults((sampler_kind)kind);
		double exact;
		assert_true(run((sampler_kind)kind, &o, 7, &exact) == run((sampler_kind)kind, &o, 7, &exact));
	}
}

/* One run of each sampler with the given fault; returns its error. */
static error faulty_run(sampler_kind kind, int fail_at, int stop_at, bool no_noise, int steps)
{
	noise_schedule schedule;
	trajectory path;
	assert_true(noise_schedule_make(&schedule, &stable_diffusion_schedule, NULL));
	assert_true(sampler_trajectory(&path, kind, UNIFORM_SPACING, &schedule, steps, NULL));
	setting s = { .schedule = &schedule, .fail_at = fail_at, .stop_at = stop_at };
	sampling hooks = hooks_of(&s);
	if (no_noise) hooks.noise = NULL;
	float *x = calloc(N, sizeof *x);
	error e = { 0 };
	sampler_options o = sampler_defaults(kind);
	bool fine = sample(kind, &o, &path, &hooks, x, N, &e);
	assert_true(fine == (e.status == OK));
	free(x);
	trajectory_free(&path);
	noise_schedule_free(&schedule);
	return e;
}

static void failures_come_through(void **unused)
{
	(void)unused;
	for (int kind = 0; kind < SAMPLERS; kind++) {
		for (int steps = 1; steps < 6; steps++)
			assert_int_equal(faulty_run((sampler_kind)kind, 0, 0, false, steps).status, OK);
		for (int call = 1; call < 5; call++)
			assert_int_equal(faulty_run((sampler_kind)kind, call, 0, false, 5).status, NO_MEMORY);
		assert_int_equal(faulty_run((sampler_kind)kind, 0, 3, false, 5).status, STOPPED);
		bool draws = sampler_defaults((sampler_kind)kind).eta != 0 && kind != RESTART; /* too few steps to jump */
		assert_int_equal(faulty_run((sampler_kind)kind, 0, 0, true, 5).status, draws ? BAD_USAGE : OK);
	}
}

static void sampler_names(void **unused)
{
	(void)unused;
	static const struct {
		const char *name;
		sampler_kind kind;
		int spacing; /* -1: none in the name */
	} known[] = { { "euler", EULER, -1 }, { "k_euler", EULER, -1 }, { "Euler a", EULER_ANCESTRAL, -1 },
		{ "euler_a", EULER_ANCESTRAL, -1 }, { "k_euler_a", EULER_ANCESTRAL, -1 },
		{ "euler_ancestral", EULER_ANCESTRAL, -1 }, { "DPM++ 2M", DPMPP_2M, -1 }, { "dpm++2m", DPMPP_2M, -1 },
		{ "dpmpp_2m", DPMPP_2M, -1 }, { "k_dpmpp_2m", DPMPP_2M, -1 }, { "DPM++ 2M Karras", DPMPP_2M, KARRAS_SPACING },
		{ "DPM++ 2M SDE Karras", DPMPP_2M_SDE, KARRAS_SPACING },
		{ "DPM++ 2M SDE Heun Exponential", DPMPP_2M_SDE_HEUN, EXPONENTIAL_SPACING },
		{ "dpmpp_3m_sde_karras", DPMPP_3M_SDE, KARRAS_SPACING }, { "pndm", PLMS, -1 }, { "PLMS", PLMS, -1 },
		{ "ddim", DDIM, -1 }, { "ddpm", DDPM, -1 }, { "Euler a SGM Uniform", EULER_ANCESTRAL, SGM_UNIFORM_SPACING } };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		sampler_kind kind;
		sigma_spacing spacing = UNIFORM_SPACING;
		bool has;
		assert_true(sampler_from_name(known[i].name, &kind, &spacing, &has, NULL));
		assert_int_equal(kind, known[i].kind);
		assert_int_equal(has, known[i].spacing >= 0);
		if (has) assert_int_equal(spacing, known[i].spacing);
	}
	for (int i = 0; i < SAMPLERS; i++) {
		sampler_kind kind;
		sigma_spacing spacing;
		bool has;
		assert_non_null(sampler_name((sampler_kind)i));
		assert_true(sampler_from_name(sampler_name((sampler_kind)i), &kind, &spacing, &has, NULL));
		assert_int_equal(kind, i);
	}
}

static void unknown_samplers_are_named(void **unused)
{
	(void)unused;
	sampler_kind kind;
	sigma_spacing spacing;
	bool has;
	char *long_name = malloc(100001);
	memset(long_name, '_', 100000);
	long_name[100000] = 0;
	const char *const bad[] = { "eulr", "", " ", "DPM++ 2M Karas", "k_", "Karras", long_name, "\xff\xfe" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		error e = { 0 };
		assert_false(sampler_from_name(bad[i], &kind, &spacing, &has, &e));
		assert_int_equal(e.status, BAD_USAGE);
	}
	error e = { 0 };
	assert_false(sampler_from_name("eulr", &kind, &spacing, &has, &e));
	assert_non_null(strstr(e.text, "'Euler'"));
	free(long_name);
}

static void guidance_moves_and_rescales(void **unused)
{
	(void)unused;
	float u[8] = { 0, 1, 0, 1, 0, 0, 0, 0 }, c[8] = { 1, 1, 2, 4, 5, -5, 5, -5 }, out[8];
	guidance g = { .scale = 2 };
	guide(&g, &(guided_outputs){ u, c, 8, 1, .prediction = PREDICT_NOISE }, out);
	for (int i = 0; i < 8; i++) assert_true(out[i] == u[i] + 2 * (c[i] - u[i]));
	g.rescale = 1;
	guide(&g, &(guided_outputs){ u + 4, c + 4, 4, 1, .prediction = PREDICT_NOISE }, out + 4);
	for (int i = 4; i < 8; i++) assert_true(fabsf(out[i] - c[i]) < 1e-6f); /* the deviation is that of c again */
	g = (guidance){ .scale = 7, .skip_from = 0.2, .skip_to = 0.4 };
	for (int i = 0; i < 10; i++) assert_int_equal(guidance_is_on(&g, i, 10), i != 2 && i != 3);
	g.scale = 1;
	assert_false(guidance_is_on(&g, 0, 10));
}

/* What every method must do with outputs that mean the same x0: nothing, at any scale. And what it is told to limit. */
static void methods_of_guidance(void **unused)
{
	(void)unused;
	enum { POSITIONS = 6, C = 2, ALL = POSITIONS * C };
	float x[ALL], u[ALL], c[ALL], out[ALL], scratch[2 * ALL], average[ALL];
	path_point at = { 500, 0.6, 0.8 };
	for (int p = PREDICT_NOISE; p <= PREDICT_SAMPLE; p++)
		for (int m = 0; guidance_name(m); m++) {
			guidance g = { .scale = 5 };
			assert_true(guidance_from_text(guidance_name(m), &g, NULL));
			assert_int_equal(g.method, m);
			if (m == ZERO_STAR || m == ZERO_STAR_COMFY) assert_true(zero_factor(x, x, 0) == 0);
			for (int i = 0; i < ALL; i++) x[i] = (float)sin(i), u[i] = c[i] = (float)cos(2 * i), average[i] = 0;
			guided_outputs same = { u, c, ALL, C, x, at, (prediction)p, average, scratch };
			guide(&g, &same, out);
			for (int i = 0; i < ALL; i++) assert_true(fabs((double)out[i] - cos(2 * i)) < 1e-4);
		}
	/* dynamic thresholding: the guided guess spreads as far as the mimicked one */
	guidance g = { .scale = 20 };
	assert_true(guidance_from_text("dynamic thresholding:mimic=2", &g, NULL));
	for (int i = 0; i < ALL; i++) u[i] = (float)sin(i), c[i] = (float)cos(i);
	guided_outputs wide = { u, c, ALL, C, x, at, PREDICT_SAMPLE, NULL, scratch };
	guide(&g, &wide, out);
	for (int k = 0; k < C; k++) {
		double most = 0, mean = 0, expected = 0, expected_mean = 0;
		for (int i = k; i < ALL; i += C)
			mean += (double)out[i] / POSITIONS, expected_mean += (sin(i) + 2 * (cos(i) - sin(i))) / POSITIONS;
		for (int i = k; i < ALL; i += C) {
			most = fmax(most, fabs((double)out[i] - mean));
			expected = fmax(expected, fabs(sin(i) + 2 * (cos(i) - sin(i)) - expected_mean));
		}
		assert_true(fabs(most - expected) < 1e-5);
	}
	static const char *const bad[] = { "apq", "apg:eta", "apg:eta=", "apg:eta=x", "apg:eta=99", "apg:mimic=7",
		"apg:norm=3;", "cfg:eta=1", "", ":", "rescale cfg:share=2", "dynthres:percentile=nan" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		error e = { 0 };
		assert_false(guidance_from_text(bad[i], &g, &e));
		assert_int_equal(e.status, BAD_USAGE);
	}
	assert_true(guidance_from_text("APG_ComfyUI:eta=0.5,momentum=-0.25", &g, NULL));
	assert_true(g.method == PROJECTED_COMFY && g.eta == 0.5 && g.momentum == -0.25 && g.norm == 5);
}

static bool count_draw(void *context, double from, double to, float *out, size_t n, error *e)
{
	(void)from, (void)to, (void)e;
	++*(int *)context;
	memset(out, 0, n * sizeof *out);
	return true;
}

/* Of 25 steps even in time, those that end at 799.2 and at 199.8 draw noise as those between do, for their sigmas are
 * the limits; and so with sigmas that were rounded to float, up or down. */
static void sa_solver_draws_at_its_limits(void **unused)
{
	(void)unused;
	noise_schedule schedule;
	float *x = calloc(N, sizeof *x);
	assert_true(noise_schedule_make(&schedule, &stable_diffusion_schedule, NULL));
	for (int narrow = 0; narrow < 2; narrow++) {
		int count, draws = 0;
		trajectory path;
		double *sigmas = make_sigmas(SGM_UNIFORM_SPACING, &schedule, 25, &count, NULL);
		for (int i = 0; narrow && i < count; i++) sigmas[i] = (double)(float)sigmas[i];
		assert_true(trajectory_from_sigmas(&path, VARIANCE_EXPLODING, &schedule, sigmas, count, NULL));
		setting s = { .schedule = &schedule };
		sampling hooks = { best_noise, count_draw, watch, &s, &draws, &s, .prediction = PREDICT_NOISE };
		sampler_options o = sampler_defaults(SA_SOLVER);
		error e = { 0 };
		assert_true(sample(SA_SOLVER, &o, &path, &hooks, x, N, &e));
		assert_int_equal(draws, 16);
		trajectory_free(&path);
		free(sigmas);
	}
	noise_schedule_free(&schedule);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deterministic_samplers_converge),
		cmocka_unit_test(stochastic_samplers_keep_the_deviation),
		cmocka_unit_test(flow_ends_at_the_data),
		cmocka_unit_test(same_bits_twice),
		cmocka_unit_test(failures_come_through),
		cmocka_unit_test(sampler_names),
		cmocka_unit_test(unknown_samplers_are_named),
		cmocka_unit_test(guidance_moves_and_rescales),
		cmocka_unit_test(methods_of_guidance),
		cmocka_unit_test(sa_solver_draws_at_its_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
