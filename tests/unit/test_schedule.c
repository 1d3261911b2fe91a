/* test_schedule.c - noise schedules, spacings and their names: what holds for all of them, and what is refused. */
#include "diffusion/trajectory.h"
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static noise_schedule stable_diffusion(void)
{
	noise_schedule s;
	assert_true(noise_schedule_make(&s, &stable_diffusion_schedule, NULL));
	return s;
}

static void timestep_and_sigma_are_inverse(void **unused)
{
	(void)unused;
	noise_schedule s = stable_diffusion();
	for (double t = 0; t < 999; t += 0.37)
		assert_true(fabs(timestep_of_sigma(&s, sigma_of_timestep(&s, t)) - t) < 1e-8);
	assert_true(timestep_of_sigma(&s, 1e9) == 999);
	assert_true(timestep_of_sigma(&s, 0) == 0);
	assert_true(sigma_of_timestep(&s, -5) == sigma_of_timestep(&s, 0));
	assert_true(sigma_of_timestep(&s, 5000) == sigma_of_timestep(&s, 999));
	noise_schedule_free(&s);
}

static void terminal_snr_is_zero(void **unused)
{
	(void)unused;
	noise_schedule s;
	schedule_config c = stable_diffusion_schedule;
	c.zero_terminal_snr = true;
	assert_true(noise_schedule_make(&s, &c, NULL));
	assert_true(s.alphas_cumprod[999] == 0);
	assert_true(fabs(s.alphas_cumprod[0] - (1 - 0.00085)) < 1e-6);
	assert_true(isfinite(sigma_of_timestep(&s, 999)));
	noise_schedule_free(&s);
}

static void bad_schedules_are_refused(void **unused)
{
	(void)unused;
	static const schedule_config bad[] = { { LINEAR_BETAS, 0, 0.1, 1000, false },
		{ LINEAR_BETAS, 0.2, 0.1, 1000, false }, { LINEAR_BETAS, 0.1, 1, 1000, false },
		{ LINEAR_BETAS, NAN, 0.1, 1000, false }, { LINEAR_BETAS, 0.01, 0.1, 1, false },
		{ LINEAR_BETAS, 0.01, 0.1, -3, false }, { LINEAR_BETAS, 0.01, 0.1, 2000000000, false } };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		noise_schedule s;
		error e = { 0 };
		assert_false(noise_schedule_make(&s, &bad[i], &e));
		assert_int_equal(e.status, BAD_FILE);
	}
}

static void sigmas_fall(void **unused)
{
	(void)unused;
	noise_schedule s = stable_diffusion();
	for (int kind = 0; kind < SPACINGS; kind++)
		for (int steps = 1; steps <= 1000; steps = steps * 3 / 2 + 1) {
			int count = 0;
			double *sigmas = make_sigmas((sigma_spacing)kind, &s, steps, &count, NULL);
			assert_non_null(sigmas);
			if (kind != DDIM_UNIFORM_SPACING && kind != BETA_TIMES_SPACING) assert_int_equal(count, steps);
			assert_true(sigmas[0] < 14.62 && sigmas[count] >= 0);
			for (int i = 0; i < count; i++) assert_true(sigmas[i] > sigmas[i + 1]);
			free(sigmas);
		}
	noise_schedule_free(&s);
}

static void impossible_steps_are_refused(void **unused)
{
	(void)unused;
	noise_schedule s = stable_diffusion();
	static const int bad[] = { 0, -1, 1001, 2000000000 };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int count;
		error e = { 0 };
		assert_null(make_sigmas(KARRAS_SPACING, &s, bad[i], &count, &e));
		assert_int_equal(e.status, BAD_USAGE);
		e = (error){ 0 };
		assert_null(make_timesteps(LEADING_TIMESTEPS, 1000, bad[i], 0, true, &count, &e));
		assert_int_equal(e.status, BAD_USAGE);
	}
	noise_schedule_free(&s);
}

/* CompVis's squares lie where numpy's linspace rounds them: some fall a bit short of a whole number. */
static void quadratic_timesteps_are_numpy_s(void **unused)
{
	(void)unused;
	static const struct {
		int steps, place, timestep; /* the place counts from the smallest */
	} known[] = { { 16, 3, 32 }, { 16, 6, 128 }, { 16, 9, 288 }, { 33, 0, 1 }, { 33, 1, 1 }, { 33, 2, 4 }, { 61, 3, 2 },
		{ 80, 79, 801 }, { 96, 95, 801 }, { 100, 99, 801 }, { 101, 5, 2 }, { 107, 53, 200 }, { 117, 87, 451 } };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		int count;
		double *t = make_timesteps(QUADRATIC_TIMESTEPS, 1000, known[i].steps, 0, true, &count, NULL);
		assert_int_equal(count, known[i].steps);
		int found = (int)t[count - 1 - known[i].place];
		if (found != known[i].timestep) print_error("%d steps, place %d: %d\n", count, known[i].place, found);
		assert_int_equal(found, known[i].timestep);
		free(t);
	}
}

/* Halves are rounded as the original's sums have them, which miss them by a last bit: the middle of 31 even ones is
 * 499. */
static void even_timesteps_are_numpy_s(void **unused)
{
	(void)unused;
	static const struct {
		timestep_spacing spacing;
		int steps, place, timestep;
	} known[] = { { LINSPACE_TIMESTEPS, 31, 15, 499 }, { LINSPACE_TIMESTEPS, 27, 13, 499 },
		{ LINSPACE_TIMESTEPS, 31, 0, 999 }, { LINSPACE_TIMESTEPS, 31, 30, 0 }, { LINSPACE_TIMESTEPS, 1, 0, 0 },
		{ TRAILING_TIMESTEPS, 48, 3, 936 }, { TRAILING_TIMESTEPS, 48, 0, 999 }, { TRAILING_TIMESTEPS, 16, 1, 937 } };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		int count;
		double *t = make_timesteps(known[i].spacing, 1000, known[i].steps, 0, true, &count, NULL);
		assert_int_equal(t[known[i].place], known[i].timestep);
		free(t);
	}
}

static void points_keep_their_form(void **unused)
{
	(void)unused;
	noise_schedule s = stable_diffusion();
	trajectory p = { .schedule = &s };
	for (double ratio = 0.03; ratio < 14; ratio *= 1.7) {
		p.form = VARIANCE_EXPLODING;
		path_point a = point_of_ratio(&p, ratio);
		p.form = VARIANCE_PRESERVING;
		path_point b = point_of_ratio(&p, ratio);
		p.form = FLOW_MATCHING;
		path_point c = point_of_ratio(&p, ratio);
		assert_true(a.alpha == 1 && fabs(a.sigma - ratio) < 1e-12);
		assert_true(fabs(b.alpha * b.alpha + b.sigma * b.sigma - 1) < 1e-12 && fabs(b.sigma / b.alpha - ratio) < 1e-9);
		assert_true(fabs(c.alpha + c.sigma - 1) < 1e-12 && fabs(c.sigma / c.alpha - ratio) < 1e-9);
		assert_true(a.t == b.t && fabs(c.t - 1000 * c.sigma) < 1e-9);
	}
	noise_schedule_free(&s);
}

static void spacing_names(void **unused)
{
	(void)unused;
	static const struct {
		const char *name;
		sigma_spacing spacing;
	} known[] = { { "karras", KARRAS_SPACING }, { "Karras", KARRAS_SPACING }, { "discrete", UNIFORM_SPACING },
		{ "normal", NORMAL_SPACING }, { "linear_quadratic", LINEAR_QUADRATIC_SPACING },
		{ "SGM Uniform", SGM_UNIFORM_SPACING }, { "sgm_uniform", SGM_UNIFORM_SPACING },
		{ "ddim_uniform", DDIM_UNIFORM_SPACING }, { "kl-optimal", KL_OPTIMAL_SPACING },
		{ "Align Your Steps", ALIGN_YOUR_STEPS_SPACING }, { "polyexponential", POLYEXPONENTIAL_SPACING } };
	sigma_spacing s;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		assert_true(spacing_from_name(known[i].name, &s, NULL));
		assert_int_equal(s, known[i].spacing);
	}
	for (int kind = 0; kind < SPACINGS; kind++) {
		assert_true(spacing_from_name(spacing_name((sigma_spacing)kind), &s, NULL));
		assert_int_equal(s, kind);
	}
	error e = { 0 };
	assert_false(spacing_from_name("karas", &s, &e));
	assert_int_equal(e.status, BAD_USAGE);
	assert_non_null(strstr(e.text, "Karras"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timestep_and_sigma_are_inverse),
		cmocka_unit_test(terminal_snr_is_zero),
		cmocka_unit_test(bad_schedules_are_refused),
		cmocka_unit_test(sigmas_fall),
		cmocka_unit_test(impossible_steps_are_refused),
		cmocka_unit_test(quadratic_timesteps_are_numpy_s),
		cmocka_unit_test(even_timesteps_are_numpy_s),
		cmocka_unit_test(points_keep_their_form),
		cmocka_unit_test(spacing_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
