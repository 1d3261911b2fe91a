/* test_noising.c - what a denoiser is asked, against the formulas: times, noise, targets, weights. */
#include "train/objective/noising.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { N = 64, DRAWS = 40000 };

static void make_schedule(noise_schedule *s, bool zero)
{
	error e = { 0 };
	schedule_config c = { SCALED_LINEAR_BETAS, 0.00085, 0.012, 1000, zero };
	assert_true(noise_schedule_make(s, &c, &e));
}

static void inputs(float *latent, float *noise)
{
	for (int i = 0; i < N; i++) {
		latent[i] = sinf((float)i);
		noise[i] = cosf(1.7f * (float)i);
	}
}

/* noised and target of timestep t are these mixtures; the weight is returned. */
static double expect_mixture(const noising *n, double t, double x0, double e0, double x1, double e1)
{
	float latent[N], noise[N], noised[N], target[N];
	inputs(latent, noise);
	double weight = noise_latent(n, t, latent, noise, N, noised, target);
	for (int i = 0; i < N; i++) {
		double x = (double)latent[i], e = (double)noise[i];
		assert_true(fabs((double)noised[i] - (x0 * x + e0 * e)) < 1e-6);
		assert_true(fabs((double)target[i] - (x1 * x + e1 * e)) < 1e-6);
	}
	return weight;
}

static void targets_and_weights(void **state)
{
	(void)state;
	noise_schedule s;
	make_schedule(&s, false);
	double product = 1;
	for (int t = 0; t < 1000; t++) {
		double root = sqrt(0.00085) + (sqrt(0.012) - sqrt(0.00085)) * t / 999;
		product *= 1 - root * root;
		if (t % 111) continue;
		double a = sqrt(product), b = sqrt(1 - product), snr = product / (1 - product), least = fmin(snr, 5);
		noising n = { .prediction = PREDICT_NOISE, .schedule = &s };
		assert_true(expect_mixture(&n, t, a, b, 0, 1) == 1);
		n.snr_gamma = 5;
		assert_true(fabs(expect_mixture(&n, t, a, b, 0, 1) - least / snr) < 1e-4);
		n.prediction = PREDICT_VELOCITY;
		assert_true(fabs(expect_mixture(&n, t, a, b, -b, a) - least / (snr + 1)) < 1e-4);
		n.prediction = PREDICT_SAMPLE;
		assert_true(fabs(expect_mixture(&n, t, a, b, 1, 0) - least) < 1e-3);
	}
	noising flow = { .prediction = PREDICT_FLOW, .snr_gamma = 5 };
	assert_true(expect_mixture(&flow, 250, 0.75, 0.25, -1, 1) == 1);
	assert_true(expect_mixture(&flow, 999.5, 0.0005, 0.9995, -1, 1) == 1);
	noise_schedule_free(&s);
}

static void the_last_step_is_noise_alone(void **state)
{
	(void)state;
	noise_schedule s;
	make_schedule(&s, true);
	noising n = { .prediction = PREDICT_VELOCITY, .schedule = &s };
	assert_true(expect_mixture(&n, 999, 0, 1, -1, 0) == 1);
	assert_true(s.alphas_cumprod[998] > 0);
	noise_schedule_free(&s);
}

/* Share of the draws below a time in 0 … 1. */
static double share_below(const noising *n, double time)
{
	generator g;
	generator_seed(&g, 11);
	int below = 0;
	for (int i = 0; i < DRAWS; i++) {
		double t = draw_timestep(n, &g);
		assert_true(t >= 0 && t <= 1000 && (n->prediction == PREDICT_FLOW || (t == floor(t) && t <= 999)));
		below += t < 1000 * time;
	}
	return (double)below / DRAWS;
}

static void times(void **state)
{
	(void)state;
	noise_schedule s;
	make_schedule(&s, false);
	for (int flow = 0; flow < 2; flow++) {
		noising n = { .prediction = flow ? PREDICT_FLOW : PREDICT_NOISE, .schedule = &s };
		for (double time = 0.1; time < 1; time += 0.2) assert_true(fabs(share_below(&n, time) - time) < 0.01);
		n.scheme = LOGIT_NORMAL_TIMES;
		n.logit_mean = 0.5;
		n.logit_std = 0.8;
		for (double time = 0.1; time < 1; time += 0.2) { /* P(σ(z) < u) = Φ((logit u − mean) / std) */
			double z = (log(time / (1 - time)) - 0.5) / 0.8, expected = 0.5 * erfc(-z / sqrt(2));
			assert_true(fabs(share_below(&n, time) - expected) < 0.01);
		}
	}
	noise_schedule_free(&s);
}

/* Of flow: the mode density's distribution by its inverse, found by bisection (Esser et al., section 3.1), and the
 * shift of times, under which P(shifted < t) = P(time < t / (shift − (shift − 1)·t)). */
static double mode_time(double u, double scale) { return 1 - u - scale * (pow(cos(acos(-1) / 2 * u), 2) - 1 + u); }

static void times_of_flow(void **state)
{
	(void)state;
	noising n = { .prediction = PREDICT_FLOW, .scheme = MODE_TIMES, .mode_scale = 0.8 };
	for (double time = 0.1; time < 1; time += 0.2) {
		double low = 0, high = 1; /* the time falls with u */
		for (int i = 0; i < 50; i++) *(mode_time((low + high) / 2, 0.8) > time ? &low : &high) = (low + high) / 2;
		assert_true(fabs(share_below(&n, time) - (1 - low)) < 0.01);
	}
	n.mode_scale = 0;
	for (double time = 0.1; time < 1; time += 0.2) assert_true(fabs(share_below(&n, time) - time) < 0.01);
	n.scheme = UNIFORM_TIMES;
	n.shift = 3;
	for (double time = 0.1; time < 1; time += 0.2)
		assert_true(fabs(share_below(&n, time) - time / (3 - 2 * time)) < 0.01);
	n.scheme = COSMAP_WEIGHTS;
	assert_true(fabs(expect_mixture(&n, 250, 0.75, 0.25, -1, 1) - 2 / (acos(-1) * 0.625)) < 1e-6);
	n.scheme = SIGMA_ROOT_WEIGHTS;
	assert_true(fabs(expect_mixture(&n, 250, 0.75, 0.25, -1, 1) - 16) < 1e-6);
	assert_true(expect_mixture(&n, 0, 1, 0, -1, 1) == 1e6);
}

/* The offset is one number for a whole channel, N(0, offset²); the noise below it is torch.randn of [C,H,W]. */
static void offset_noise(void **state)
{
	(void)state;
	enum { PLACES = 16, CHANNELS = 4 };
	noising plain = { .prediction = PREDICT_NOISE }, offset = { .prediction = PREDICT_NOISE, .noise_offset = 0.1 };
	double squares = 0;
	for (uint64_t seed = 0; seed < 500; seed++) {
		float a[PLACES * CHANNELS], b[PLACES * CHANNELS], scratch[PLACES * CHANNELS], torch[PLACES * CHANNELS];
		generator g;
		generator_seed(&g, seed);
		random_normal(&g, torch, PLACES * CHANNELS);
		generator_seed(&g, seed);
		noise_draw_latent(&plain, &g, PLACES, CHANNELS, a, scratch);
		generator_seed(&g, seed);
		noise_draw_latent(&offset, &g, PLACES, CHANNELS, b, scratch);
		for (int c = 0; c < CHANNELS; c++) {
			double first = (double)b[c] - (double)a[c];
			squares += first * first;
			for (int p = 0; p < PLACES; p++) {
				assert_true(a[p * CHANNELS + c] == torch[c * PLACES + p]);
				assert_true(fabs((double)b[p * CHANNELS + c] - (double)a[p * CHANNELS + c] - first) < 1e-6);
			}
		}
	}
	assert_true(fabs(sqrt(squares / (500 * CHANNELS)) - 0.1) < 0.005);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_and_weights),
		cmocka_unit_test(the_last_step_is_noise_alone),
		cmocka_unit_test(times),
		cmocka_unit_test(times_of_flow),
		cmocka_unit_test(offset_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
