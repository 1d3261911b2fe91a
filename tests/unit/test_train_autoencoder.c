/* test_train_autoencoder.c - the losses of `train autoencoder` against PyTorch: values, and the gradient of every
 * weight of one step, with and without the discriminator. tests/goldens/autoencoder_loss.py made the file. */
#include "io/weights.h"
#include "train/objective/autoencoder.h"
#include "train/run/stepper.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE GOLDEN_DIR "/train/autoencoder_loss.safetensors"

typedef struct trial {
	train_options options;
	autoencoder job;
	task task;
	weights *expected;
	team *team;
	stepper *stepper;
} trial;

static bool fill_from_fixture(void *context, graph *g, const data_batch *b, error *e)
{
	trial *t = context;
	(void)b;
	static const char *const names[] = { "image", "noise" };
	for (int i = 0; i < 2; i++) {
		const weight *w = weights_need(t->expected, names[i], e);
		if (!w) return false;
		memcpy(graph_address(g, find(g, names[i])), w->data, w->bytes);
	}
	return true;
}

static tensor build(void *context, nn *n, int count, int height, int width)
{
	return autoencoder_build(&((trial *)context)->job, n, count, height, width);
}

static void change(void *context, bool later) { ((trial *)context)->job.plays = later; }

static void option(trial *t, const char *name, const char *value)
{
	error e = { 0 };
	assert_true(train_options_set(&t->options, TRAIN_AUTOENCODER, name, value, &e));
}

static void begin(trial *t, const char *const *options)
{
	error e = { 0 };
	*t = (trial){ 0 };
	t->expected = weights_open(FIXTURE, &e);
	assert_non_null(t->expected);
	assert_true(train_options_make(&t->options, TRAIN_AUTOENCODER, &e));
	option(t, "model", FIXTURE);
	option(t, "lpips", FIXTURE);
	static const char *const of_file[] = { "kl_weight", "perceptual_weight", "disc_weight" };
	for (int i = 0; i < 3; i++) option(t, of_file[i], weights_metadata(t->expected, of_file[i]));
	option(t, "disc_channels", "8");
	option(t, "disc_layers", "2");
	for (; *options; options += 2) option(t, options[0], options[1]);
	if (!autoencoder_open(&t->job, &t->options, &e)) fail_msg("%s", e.text);
	t->task = autoencoder_task(&t->job);
	t->task.context = t;
	t->task.build = build;
	t->task.fill = fill_from_fixture;
	if (t->task.change) t->task.change = change;
	t->team = team_join(&e);
	t->stepper = stepper_new(&t->task, &t->options, t->team, 2, &e);
	stepper_seek(t->stepper, 10);
	if (!stepper_prepare(t->stepper, 2, 16, 16, &e)) fail_msg("%s", e.text);
}

static void end(trial *t)
{
	stepper_free(t->stepper);
	team_leave(t->team, true);
	autoencoder_close(&t->job);
	train_options_free(&t->options);
	weights_close(t->expected);
}

static const float *floats(const trial *t, const char *kind, const char *name, size_t *n)
{
	char whole[256];
	snprintf(whole, sizeof whole, "%s%s", kind, name);
	const weight *w = weights_find(t->expected, whole);
	if (!w) return NULL;
	*n = weight_elements(w);
	return w->data; /* the fixture's data are aligned */
}

/* Largest difference of the gradients whose names hold `among` from those of the file, as a share of the largest. */
static double worst_gradient(const trial *t, const char *kind, const char *among, int *compared)
{
	const int *indices;
	int count = stepper_trained(t->stepper, &indices);
	double worst = 0, largest = 0;
	*compared = 0;
	for (int i = 0; i < count; i++) {
		const char *name = t->job.learner.weights[indices[i]].name;
		size_t n = 0;
		const float *expected = floats(t, kind, name, &n);
		if (!strstr(name, among)) continue;
		assert_non_null(expected);
		float *found = malloc(n * sizeof *found);
		assert_true(stepper_gradient(t->stepper, i, found, NULL));
		++*compared;
		for (size_t k = 0; k < n; k++) {
			worst = fmax(worst, fabs((double)found[k] - (double)expected[k]));
			largest = fmax(largest, fabs((double)expected[k]));
		}
		free(found);
	}
	return worst / largest;
}

static double loss_of(trial *t)
{
	error e = { 0 };
	double loss;
	data_batch b = { .count = 2, .height = 16, .width = 16 };
	if (!stepper_gradients(t->stepper, &b, &loss, &e)) fail_msg("%s", e.text);
	return loss;
}

static void expect_loss(const trial *t, const char *name, double found)
{
	size_t n;
	double expected = (double)*floats(t, "loss.", name, &n);
	print_message("loss.%s %.7g, expected %.7g\n", name, found, expected);
	assert_true(fabs(found - expected) < 2e-6 * fabs(expected));
}

static void expect_gradients(const trial *t, const char *kind, const char *among, int least)
{
	int compared;
	double worst = worst_gradient(t, kind, among, &compared);
	print_message("%d gradients (%s*%s) within %.2g of the largest\n", compared, kind, among, worst);
	assert_true(compared >= least);
	assert_true(worst < 2e-5);
}

static void before_the_discriminator_plays(void **state)
{
	(void)state;
	trial t;
	begin(&t, (const char *const[]){ "disc_start", "11", NULL });
	expect_loss(&t, "plain", loss_of(&t));
	const int *indices;
	int count = stepper_trained(t.stepper, &indices);
	for (int i = 0; i < count; i++)
		if (t.job.learner.weights[indices[i]].group) assert_false(stepper_gradient(t.stepper, i, NULL, NULL));
	end(&t);
	begin(&t, (const char *const[]){ "disc_weight", "0", NULL });
	expect_loss(&t, "plain", loss_of(&t));
	expect_gradients(&t, "grad.plain/", "", 60);
	end(&t);
}

static void with_the_discriminator(void **state)
{
	(void)state;
	for (int recompute = 0; recompute < 2; recompute++) {
		trial t;
		begin(&t,
		    (const char *const[]){ "disc_start", "10", "gradient_checkpointing", recompute ? "true" : "false", NULL });
		expect_loss(&t, "total", loss_of(&t));
		expect_gradients(&t, "grad/", "first_stage_model.encoder", 20);
		expect_gradients(&t, "grad/", "first_stage_model.decoder", 30);
		expect_gradients(&t, "grad/", "loss.logvar", 1);
		expect_gradients(&t, "grad/", "loss.discriminator", 10);
		end(&t);
	}
}

static void a_frozen_encoder(void **state)
{
	(void)state;
	trial t;
	begin(&t, (const char *const[]){ "disc_start", "0", "freeze_encoder", "true", NULL });
	expect_loss(&t, "total", loss_of(&t));
	expect_gradients(&t, "grad/", "first_stage_model.decoder", 30);
	const int *indices;
	int count = stepper_trained(t.stepper, &indices);
	for (int i = 0; i < count; i++) {
		const char *name = t.job.learner.weights[indices[i]].name;
		assert_null(strstr(name, ".encoder."));
		assert_null(strstr(name, "e_model.quant_conv."));
	}
	end(&t);
}

/* The two losses have their own lengths of gradients: each is clipped by its own. */
static void each_side_is_clipped_alone(void **state)
{
	(void)state;
	trial t;
	error e = { 0 };
	begin(&t, (const char *const[]){ "disc_start", "0", "optimizer", "sgd", "momentum", "0", "adam_weight_decay", "0",
	              "max_grad_norm", "1e-3", NULL });
	const int *indices;
	int count = stepper_trained(t.stepper, &indices);
	learner_weight *w = t.job.learner.weights;
	double moved[2] = { 0 };
	float **before = calloc((size_t)count, sizeof *before);
	for (int i = 0; i < count; i++) {
		size_t n = shape_count(w[indices[i]].shape);
		before[i] = malloc(n * sizeof(float));
		memcpy(before[i], w[indices[i]].value, n * sizeof(float));
	}
	step_result r = { .loss = loss_of(&t) };
	assert_true(stepper_apply(t.stepper, 0, 1, 1, &r, &e));
	for (int i = 0; i < count; i++) {
		for (size_t k = 0; k < shape_count(w[indices[i]].shape); k++)
			moved[w[indices[i]].group] += pow((double)w[indices[i]].value[k] - (double)before[i][k], 2);
		free(before[i]);
	}
	free(before);
	for (int k = 0; k < 2; k++) assert_true(fabs(sqrt(moved[k]) - 1e-3) < 1e-5);
	end(&t);
}

static void a_file_that_is_no_vgg(void **state)
{
	(void)state;
	error e = { 0 };
	learner m = { 0 };
	perceptual p;
	assert_false(perceptual_open(&p, GOLDEN_DIR "/sd1/model.safetensors", &m, &e));
	assert_non_null(strstr(e.text, "features.0.weight"));
	assert_int_equal(e.status, BAD_FILE);
	perceptual_close(&p);
	learner_free(&m);
	e = (error){ 0 };
	assert_false(perceptual_open(&p, FIXTURE ",absent.safetensors", &m, &e));
	assert_non_null(strstr(e.text, "absent.safetensors"));
	perceptual_close(&p);
	learner_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_the_discriminator_plays),
		cmocka_unit_test(with_the_discriminator),
		cmocka_unit_test(a_frozen_encoder),
		cmocka_unit_test(each_side_is_clipped_alone),
		cmocka_unit_test(a_file_that_is_no_vgg),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
