/* test_diffusers.c - scheduler configurations of diffusers: every class runs with every spacing and many step counts,
 * and nonsense is refused with a word on what is wrong. */
#include "diffusion/diffusers.h"
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static const char *const classes[] = { "DDPMScheduler", "DDIMScheduler", "DDPMParallelScheduler",
	"DDIMParallelScheduler", "PNDMScheduler", "LCMScheduler", "TCDScheduler", "EulerDiscreteScheduler",
	"EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler", "KDPM2DiscreteScheduler",
	"KDPM2AncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
	"UniPCMultistepScheduler", "DEISMultistepScheduler", "FlowMatchEulerDiscreteScheduler",
	"FlowMatchHeunDiscreteScheduler" };

static bool nothing(void *context, int step, path_point at, const float *x, float *out, float *apart, error *e)
{
	(void)context, (void)step, (void)apart, (void)e;
	assert_true(at.t >= 0 && at.t <= 1000);
	for (int i = 0; i < 4; i++) out[i] = 0.1f * x[i];
	return true;
}

static bool no_noise(void *context, double from, double to, float *out, size_t n, error *e)
{
	(void)context, (void)from, (void)to, (void)e;
	memset(out, 0, n * sizeof *out);
	return true;
}

static error run(const json_t *config, const char *class_name, int steps)
{
	scheduler s;
	noise_schedule schedule = { 0 };
	trajectory p = { 0 };
	error e = { 0 };
	float x[4] = { 1, -1, 0.5f, 0 };
	if (scheduler_read(&s, config, class_name, &e) && noise_schedule_make(&schedule, &s.betas, &e) &&
	    scheduler_trajectory(&s, &schedule, steps, scheduler_mu(&s, 256), &p, &e)) {
		sampling hooks = { .denoise = nothing, .noise = no_noise, .prediction = s.prediction };
		for (int i = 0; i < 4; i++) x[i] *= (float)p.start;
		assert_int_equal(p.count, steps);
		assert_true(sample(s.sampler, &s.options, &p, &hooks, x, 4, &e));
		for (int i = 0; i < 4; i++) assert_true(isfinite(x[i]));
	}
	trajectory_free(&p);
	noise_schedule_free(&schedule);
	return e;
}

static void every_class_runs(void **unused)
{
	(void)unused;
	static const char *const spacings[] = { "leading", "trailing", "linspace" };
	for (size_t c = 0; c < sizeof classes / sizeof *classes; c++)
		for (int k = 0; k < 12; k++)
			for (int steps = 1; steps <= 50; steps += 1 + steps / 3) {
				json_t *config = json_pack("{s:s, s:f, s:f, s:s, s:b}", "beta_schedule", "scaled_linear", "beta_start",
				    0.00085, "beta_end", 0.012, "timestep_spacing", spacings[k % 3], "use_karras_sigmas", k / 3 % 2);
				if (k / 6) json_object_set_new(config, "prediction_type", json_string("v_prediction"));
				error e = run(config, classes[c], steps);
				if (e.status) print_error("%s, %s, %d steps: %s\n", classes[c], spacings[k % 3], steps, e.text);
				assert_int_equal(e.status, OK);
				json_decref(config);
			}
}

static void nonsense_is_refused(void **unused)
{
	(void)unused;
	static const struct {
		const char *class_name, *json, *says;
	} bad[] = {
		{ "EulerDiscrete", "{}", "EulerDiscrete" },
		{ NULL, "{}", "class" },
		{ NULL, "{\"_class_name\": 3}", "class" },
		{ "DDIMScheduler", "{\"beta_start\": \"x\"}", "beta_start" },
		{ "DDIMScheduler", "{\"beta_start\": -1}", "betas" },
		{ "DDIMScheduler", "{\"beta_end\": 2}", "betas" },
		{ "DDIMScheduler", "{\"num_train_timesteps\": 1e300}", "num_train_timesteps" },
		{ "FlowMatchEulerDiscreteScheduler", "{\"num_train_timesteps\": 0}", "num_train_timesteps" },
		{ "DDIMScheduler", "{\"beta_schedule\": \"laplace\"}", "laplace" },
		{ "DDIMScheduler", "{\"prediction_type\": \"nothing\"}", "prediction_type" },
		{ "DDIMScheduler", "{\"timestep_spacing\": \"wide\"}", "wide" },
		{ "DDIMScheduler", "{\"thresholding\": true}", "thresholding" },
		{ "DDIMScheduler", "{\"trained_betas\": [0.1]}", "trained_betas" },
		{ "DDPMScheduler", "{\"variance_type\": \"learned\"}", "learned" },
		{ "LCMScheduler", "{\"original_inference_steps\": 0}", "original_inference_steps" },
		{ "LCMScheduler", "{\"original_inference_steps\": 5}", "at most 5" },
		{ "UniPCMultistepScheduler", "{\"solver_order\": 7}", "solver_order" },
		{ "UniPCMultistepScheduler", "{\"use_flow_sigmas\": true}", "flow" },
		{ "FlowMatchEulerDiscreteScheduler", "{\"shift\": 0}", "shift" },
		{ "FlowMatchEulerDiscreteScheduler", "{\"use_dynamic_shifting\": true, \"max_image_seq_len\": 256}",
		    "max_image_seq_len" },
		{ "FlowMatchEulerDiscreteScheduler",
		    "{\"use_dynamic_shifting\": true, \"time_shift_type\": \"linear\", \"base_shift\": -1}", "a shift of -1" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		json_t *config = json_loads(bad[i].json, 0, NULL);
		error e = run(config, bad[i].class_name, 10);
		assert_int_not_equal(e.status, OK);
		if (!strstr(e.text, bad[i].says)) print_error("'%s' should speak of '%s'\n", e.text, bad[i].says);
		assert_non_null(strstr(e.text, bad[i].says));
		json_decref(config);
	}
}

static void impossible_steps_are_refused(void **unused)
{
	(void)unused;
	static const int steps[] = { 0, -1, 100001, 1000000000 };
	json_t *config = json_object();
	for (size_t c = 0; c < sizeof classes / sizeof *classes; c++)
		for (int i = 0; i < 4; i++) assert_int_equal(run(config, classes[c], steps[i]).status, BAD_USAGE);
	json_decref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_class_runs),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(impossible_steps_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
