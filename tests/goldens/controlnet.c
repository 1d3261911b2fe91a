/* controlnet.c - control networks of SD 1 and SDXL: what they add to the U-Net, its outputs with it at several
 * strengths, and one training step. Weights are read as files of users are, in the original's names and diffusers'. */
#include "trial.h"
#include "checkpoint/control.h"
#include "diffusion/guidance.h"
#include "models/config.h"
#include "train/run/stepper.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RESIDUALS = UNET_SKIPS + 1 };

typedef struct bench {
	const char *name; /* "sd1" */
	family f;
	control_file *control;
	arrays unet, io;
	report *r;
} bench;

/* The weights of both networks: the U-Net's as they lie, the control network's through its dialect. */
static bool bind(void *context, const char *name, shape s, dtype *d, const void **at, error *e)
{
	const bench *b = context;
	shape found;
	if (control_bind(b->control, name, s, d, at, e)) return true;
	if (failed(e)) return false;
	return (array_find(&b->unet, name, d, &found, at) && shape_same(s, found)) || fail(e, BAD_FILE, "no '%s'", name);
}

/* One case: the residuals once, and the outputs for each way to weight them. */
static void run_case(const bench *b, const char *which)
{
	static const struct {
		const char *golden;
		double strength;
		control_mode mode;
	} ways[] = { { "out_without", 0, CONTROL_BALANCED }, { "out_1.0", 1, CONTROL_BALANCED },
		{ "out_0.6", 0.6, CONTROL_BALANCED }, { "out_guess_diffusers", 1, CONTROL_GUESS },
		{ "out_soft_lllyasviel_0.6", 0.6, CONTROL_PROMPT } };
	char topic[64];
	snprintf(topic, sizeof topic, "controlnet/%s", b->name);
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
		trial *t = trial_new(topic, REAL, NULL, NULL, 0);
		trial_bind(t, bind, (void *)(uintptr_t)b);
		nn *n = trial_nn(t);
		graph *g = n->g;
		tensor out[MOST_RESIDUALS], hint;
		denoiser_inputs in = { .x = trial_input(t, &b->io, "%s.x", which),
			.t = trial_input(t, &b->io, "%s.t", which),
			.context = trial_input(t, &b->io, "%s.context", which),
			.vector = trial_input(t, &b->io, "%s.y", which) };
		hint = trial_input(t, &b->io, "%s.hint", which);
		if (dim(g, in.x, 0) < dim(g, in.t, 0)) { /* one item for both branches */
			in.x = concat(g, in.x, in.x, 0);
			hint = concat(g, hint, hint, 0);
		}
		control_build(n, b->control, in, hint, out);
		int count = controlnet_outputs(control_config(b->control));
		for (int i = 0; i < count && !w; i++)
			trial_expect(t, out[i], &b->io, i < count - 1 ? "%s.residual.%d" : "%s.residual.middle", which, i);
		for (int i = 0; i < count; i++)
			out[i] = affine(g, out[i], (float)(ways[w].strength * control_share(ways[w].mode, i, count)), 0);
		in.controls = out;
		in.control_count = ways[w].strength > 0 ? count : 0;
		tensor result = family_denoise(n, &b->f, in);
		trial_expect(t, result, &b->io, "%s.%s", which, ways[w].golden);
		size_t many;
		const float *scale = array_of(&b->io, &many, "%s.scale", which);
		if (scale && !strncmp(ways[w].golden, "out_", 4)) {
			tensor u = slice(g, result, 0, 0, 1), c = slice(g, result, 0, 1, 1);
			tensor guided = add(g, u, affine(g, sub(g, c, u), *scale, 0));
			trial_expect(t, guided, &b->io, "%s.guided_%s", which, ways[w].golden + 4);
		}
		trial_end(t, b->r, 1e-4);
	}
}

/* The U-Net is frozen: only the control network has gradients. */
static void run_gradients(const bench *b, const char *dir)
{
	arrays full = arrays_open(path_of(dir, "controlnet/%s.grad.safetensors", b->name));
	json_t *summary = json_of(path_of(dir, "controlnet/%s.grad.json", b->name));
	if (full.header && summary) {
		trial *t = trial_new("controlnet/sd1 training", REAL, NULL, NULL, 0);
		trial_bind(t, bind, (void *)(uintptr_t)b);
		nn *n = trial_nn(t);
		tensor out[MOST_RESIDUALS];
		denoiser_inputs in = { .x = trial_input(t, &b->io, "a.x"),
			.t = trial_input(t, &b->io, "a.t"),
			.context = trial_input(t, &b->io, "a.context") };
		control_build(n, b->control, in, trial_input(t, &b->io, "a.hint"), out);
		in.controls = out;
		in.control_count = controlnet_outputs(control_config(b->control));
		tensor result = family_denoise(n, &b->f, in);
		tensor loss = mean_squared_error(n->g, result, trial_input(t, &full, "target"));
		trial_expect(t, result, &full, "out");
		trial_expect(t, loss, &full, "loss");
		trial_expect_gradients(t, loss, &full, json_object_get(summary, "params"));
		trial_end(t, b->r, 1e-4);
	}
	json_decref(summary);
	arrays_close(&full);
}

/* ── steps of AdamW ── */

typedef struct steps {
	const bench *b;
	arrays weights, full;
	learner learner;
	train_options options;
	tensor out[MOST_RESIDUALS];
} steps;

static const char *const batch[] = { "x", "t", "context", "hint", "target" };

/* [N,C,H,W] → [N,H,W,C] of the goldens' pictures. */
static float *batch_values(const steps *y, int i, shape *s)
{
	dtype d;
	const void *at;
	char name[16];
	snprintf(name, sizeof name, i < 4 ? "a.%s" : "%s", batch[i]);
	if (!array_find(i < 4 ? &y->b->io : &y->full, name, &d, s, &at)) return NULL;
	size_t n = shape_count(*s), area = s->n == 4 ? (size_t)s->d[2] * (size_t)s->d[3] : 1,
	       c = s->n == 4 ? (size_t)s->d[1] : 1;
	float *values = malloc(n * sizeof *values);
	for (size_t k = 0; s->n != 4 && k < n; k++) convert(&values[k], F32, (const char *)at + k * dtype_size(d), d, 1);
	for (size_t k = 0; s->n == 4 && k < n; k++)
		values[k] = ((const float *)at)[k / (area * c) * area * c + k % c * area + k / c % area];
	if (s->n == 4) *s = shape4(s->d[0], s->d[2], s->d[3], s->d[1]);
	return values;
}

static tensor build_step(void *context, nn *n, int count, int height, int width)
{
	steps *y = context;
	graph *g = n->g;
	tensor in[5];
	(void)count, (void)height, (void)width;
	for (int i = 0; i < 5; i++) {
		shape s;
		free(batch_values(y, i, &s));
		in[i] = input(g, batch[i], REAL, s);
	}
	denoiser_inputs inputs = { .x = in[0], .t = in[1], .context = in[2] };
	push(g, "control_model");
	controlnet(n, control_config(y->b->control), inputs, in[3], y->out);
	pop(g);
	inputs.controls = y->out;
	inputs.control_count = controlnet_outputs(control_config(y->b->control));
	return mean_squared_error(g, family_denoise(n, &y->b->f, inputs), in[4]);
}

static bool fill_step(void *context, graph *g, const data_batch *unused, error *e)
{
	const steps *y = context;
	bool fine = true;
	(void)unused;
	for (int i = 0; fine && i < 5; i++) {
		shape s;
		float *values = batch_values(y, i, &s);
		fine = graph_write(g, find(g, batch[i]), values, e);
		free(values);
	}
	return fine;
}

static bool lookup(void *context, const char *key, dtype *d, shape *s, const void **at)
{
	const void *unused;
	return array_find(context, key, d, s, at ? at : &unused);
}

static bool add_weights(steps *y, error *e)
{
	const char *key;
	json_t *entry;
	bool fine = learner_add_part(&y->learner, DENOISER, false, lookup, (void *)(uintptr_t)&y->b->unet, 0, e);
	json_object_foreach(y->weights.header, key, entry)
	{
		dtype d;
		shape s;
		const void *values;
		if (!fine || !array_find(&y->weights, key, &d, &s, &values)) continue;
		fine = learner_add(&y->learner, key, s, 0, e);
		if (fine) convert(y->learner.weights[y->learner.count - 1].value, F32, values, d, shape_count(s));
	}
	return fine;
}

static bool take_steps(steps *y, const task *job, const json_t *losses, double *worst, error *e)
{
	team *together = team_join(e);
	stepper *s = together ? stepper_new(job, &y->options, together, 2, e) : NULL;
	bool fine = s && stepper_prepare(s, 2, 8, 16, e) && json_array_size(losses);
	for (size_t k = 0; fine && k < json_array_size(losses); k++) {
		data_batch b = { .count = 2, .height = 8, .width = 16 };
		step_result result = { 0 };
		double expected = json_number_value(json_array_get(losses, k));
		fine = stepper_gradients(s, &b, &result.loss, e) &&
		       stepper_apply(s, (int64_t)k, y->options.learning_rate, 1, &result, e);
		*worst = worse(*worst, fabs(result.loss - expected) / expected);
	}
	stepper_free(s);
	team_leave(together, true);
	return fine;
}

static void run_steps(const bench *b, const char *dir)
{
	error e = { 0 };
	double worst = 0;
	json_t *summary = json_of(path_of(dir, "controlnet/%s.grad.json", b->name));
	const json_t *adamw = json_object_get(summary, "adamw");
	steps y = { .b = b, .learner = { .family = b->f, .backend = golden_backend() } };
	task job = { .learner = &y.learner, .context = &y, .build = build_step, .fill = fill_step };
	if (adamw) {
		y.weights = arrays_open(path_of(dir, "controlnet/%s.safetensors", b->name));
		y.full = arrays_open(path_of(dir, "controlnet/%s.grad.safetensors", b->name));
		bool fine = train_options_make(&y.options, TRAIN_CONTROLNET, &e) && add_weights(&y, &e);
		y.options.learning_rate = json_number_value(json_object_get(adamw, "lr"));
		y.options.max_grad_norm = 0;
		fine =
		    fine && take_steps(&y, &job, json_object_get(adamw, "losses_before_each_step_and_after_last"), &worst, &e);
		if (!fine) printf("      %s\n", e.text);
		report_error(b->r, "controlnet/sd1 losses of 3 steps of AdamW", fine ? worst : INFINITY, 1e-5);
		train_options_free(&y.options);
		learner_free(&y.learner);
		arrays_close(&y.full);
		arrays_close(&y.weights);
	}
	json_decref(summary);
}

static void run(bench *b, const char *dir)
{
	error e = { 0 };
	b->control = control_open(path_of(dir, "controlnet/%s.safetensors", b->name), &b->f, &e);
	b->io = arrays_open(path_of(dir, "controlnet/%s.io.safetensors", b->name));
	if (!b->control) {
		printf("      %s\n", e.text);
		report_error(b->r, b->name, INFINITY, 0);
	} else {
		run_case(b, "a");
		run_case(b, "b");
		run_case(b, "guided");
		run_gradients(b, dir);
		run_steps(b, dir);
	}
	control_close(b->control);
	arrays_close(&b->io);
	arrays_close(&b->unet);
}

/* The goldens' U-Net of SDXL is no file of its own: the family's, with this denoiser. */
static bool sdxl_family(const char *dir, family *f, error *e)
{
	json_t *config = json_of(path_of(dir, "unet/sdxl.config.json"));
	*f = *family_by_name("sdxl", e);
	snprintf(f->prefix[DENOISER], PREFIX_LENGTH, "model.diffusion_model");
	bool fine = config && unet_config_from_json(config, &f->denoiser.unet, e);
	json_decref(config);
	return fine;
}

static bool sd1_family(const char *dir, family *f, error *e)
{
	json_t *config = json_of(path_of(dir, "sd1/config.json"));
	char *json = config ? json_dumps(config, 0) : NULL;
	bool fine = json && family_from_json(json, f, e);
	free(json);
	json_decref(config);
	return fine;
}

void golden_controlnet(const char *dir, report *r)
{
	error e = { 0 };
	bench sd1 = { .name = "sd1", .r = r }, sdxl = { .name = "sdxl", .r = r };
	if (exists(path_of(dir, "controlnet/sd1.safetensors")) && sd1_family(dir, &sd1.f, &e)) {
		sd1.unet = arrays_open(path_of(dir, "sd1/model.safetensors"));
		run(&sd1, dir);
	}
	if (exists(path_of(dir, "controlnet/sdxl.safetensors")) && sdxl_family(dir, &sdxl.f, &e)) {
		sdxl.unet = arrays_open(path_of(dir, "unet/sdxl.safetensors"));
		run(&sdxl, dir);
	}
	if (failed(&e)) report_uncovered(r, "controlnet", e.text);
}
