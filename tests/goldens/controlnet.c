/* controlnet.c - control networks of SD 1 and SDXL: what they add to the U-Net, its outputs with it at several
 * strengths, and one training step. Weights are read as files of users are, in the original's names and diffusers'. */
#include "trial.h"
#include "checkpoint/control.h"
#include "diffusion/guidance.h"
#include "models/config.h"
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
static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const bench *b = context;
	shape found;
	if (control_bind(b->control, name, s, d, data, e)) return true;
	if (failed(e)) return false;
	return (array_find(&b->unet, name, d, &found, data) && shape_same(s, found)) || fail(e, BAD_FILE, "no '%s'", name);
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
