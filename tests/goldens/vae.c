/* vae.c - autoencoders against the original classes: sd1/vae.* and sd3/vae16.* (KL), taesd/ (the tiny one). */
#include "trial.h"
#include "models/config.h"
#include "models/taesd.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "first_stage_model";

static void begin(nn *n) { push(n->g, "%s", prefix); }

static double tolerance_of(dtype compute) { return compute == BF16 ? 3e-2 : 1e-4; }

static void encode(const char *topic, dtype compute, const vae_config *c, const arrays *weights, const arrays *io,
    const char *number, report *r)
{
	trial *t = trial_new(topic, compute, weights, NULL, 0);
	nn *n = trial_nn(t);
	graph *g = n->g;
	tensor image = trial_input(t, io, "image%s", number);
	begin(n);
	tensor moments = vae_encode(n, c, image);
	pop(g);
	trial_expect(t, moments, io, "moments%s", number);
	if (!*number) {
		trial_expect(t, vae_mean(g, moments), io, "mean");
		trial_expect(t, vae_logvar(g, moments), io, "logvar_clamped");
		trial_expect(t, activate(g, affine(g, vae_logvar(g, moments), 0.5f, 0), EXP), io, "std");
		trial_expect(t, vae_sample(g, moments, trial_input(t, io, "sample_noise")), io, "sample");
		if (dim(g, image, 0) == 1) trial_expect(t, vae_kl(g, moments), io, "kl");
	}
	trial_end(t, r, tolerance_of(compute));
}

static void decode(const char *topic, dtype compute, const vae_config *c, const arrays *weights, const arrays *io,
    const char *from, const char *to, report *r)
{
	if (!json_object_get(io->header, from) || !json_object_get(io->header, to)) return;
	trial *t = trial_new(topic, compute, weights, NULL, 0);
	nn *n = trial_nn(t);
	tensor latent = trial_input(t, io, "%s", from);
	begin(n);
	tensor image = vae_decode(n, c, latent);
	pop(n->g);
	trial_expect(t, image, io, "%s", to);
	trial_end(t, r, tolerance_of(compute));
}

/* The loss of the file: the squared error of the reconstruction and a thousandth of the KL term. */
static void train(
    const char *topic, const vae_config *c, const arrays *weights, const arrays *grad, const json_t *summary, report *r)
{
	trial *t = trial_new(topic, REAL, weights, NULL, 0);
	nn *n = trial_nn(t);
	graph *g = n->g;
	tensor image = trial_input(t, grad, "image"), noise = trial_input(t, grad, "sample_noise");
	begin(n);
	tensor moments = vae_encode(n, c, image);
	tensor reconstruction = vae_decode(n, c, vae_sample(g, moments, noise));
	pop(g);
	tensor squared = mean_squared_error(g, reconstruction, image), kl = vae_kl(g, moments);
	tensor loss = add(g, squared, affine(g, kl, 1e-3f, 0));
	trial_expect(t, reconstruction, grad, "reconstruction");
	trial_expect(t, squared, grad, "loss_rec");
	trial_expect(t, kl, grad, "loss_kl");
	trial_expect(t, loss, grad, "loss");
	trial_expect_gradients(t, loss, grad, summary);
	trial_end(t, r, 1e-4);
}

static void run_kl(const char *dir, const char *topic, const json_t *config, const char *weights_file, report *r)
{
	error e = { 0 };
	vae_config c;
	if (!vae_config_from_json(config, &c, &e)) {
		report_uncovered(r, topic, e.text);
		return;
	}
	arrays weights = arrays_open(path_of(dir, "%s", weights_file));
	arrays io = arrays_open(path_of(dir, "%s.io.safetensors", topic));
	arrays grad = arrays_open(path_of(dir, "%s.grad.safetensors", topic));
	json_t *summary = json_of(path_of(dir, "%s.grad.json", topic));
	for (int i = 0; i < 2; i++) {
		dtype compute = i ? BF16 : REAL;
		static const char *const numbers[] = { "", "2", "3" };
		for (int k = 0; k < 3; k++)
			if (array_of(&io, NULL, "image%s", numbers[k])) encode(topic, compute, &c, &weights, &io, numbers[k], r);
		decode(topic, compute, &c, &weights, &io, "mean", "decoded_mean", r);
		decode(topic, compute, &c, &weights, &io, "sample", "decoded_sample", r);
		decode(topic, compute, &c, &weights, &io, "z2", "z2_decoded", r);
	}
	if (grad.header) train(topic, &c, &weights, &grad, json_object_get(summary, "params"), r);
	json_decref(summary);
	arrays_close(&grad);
	arrays_close(&io);
	arrays_close(&weights);
}

/* ── the tiny autoencoder ── */
static int first_axis(const arrays *a, const char *name, int axis)
{
	dtype d;
	shape s;
	const void *data;
	return array_find(a, name, &d, &s, &data) && axis < s.n ? s.d[axis] : 0;
}

/* Its configuration is what the weights' shapes say. */
static taesd_config tiny_config(const arrays *decoder)
{
	return (taesd_config){ .latent_channels = first_axis(decoder, "1.weight", 1),
		.channels = first_axis(decoder, "1.weight", 0),
		.pool = json_object_get(decoder->header, "3.pool.0.weight") != NULL };
}

/* U8 [H,W,3] → [1,H,W,3] in 0…1 */
static tensor picture_input(trial *t, const arrays *io)
{
	graph *g = trial_nn(t)->g;
	dtype d;
	shape s;
	const void *data;
	if (!array_find(io, "image_u8_hwc", &d, &s, &data)) return 0;
	tensor bytes = trial_input(t, io, "image_u8_hwc");
	return affine(g, reshape(g, cast(g, bytes, REAL), shape4(1, s.d[0], s.d[1], 3)), 1 / 255.f, 0);
}

static void run_tiny(const char *dir, const char *name, const char *before, dtype compute, report *r)
{
	char topic[128];
	arrays encoder = arrays_open(path_of(dir, "taesd/weights/%s_encoder.safetensors", name));
	arrays decoder = arrays_open(path_of(dir, "taesd/weights/%s_decoder.safetensors", name));
	arrays io = arrays_open(path_of(dir, "taesd/io.safetensors"));
	taesd_config c = tiny_config(&decoder);
	snprintf(topic, sizeof topic, "taesd/%s", name);
	if (encoder.header && decoder.header) {
		trial *t = trial_new(topic, compute, &encoder, NULL, 0);
		tensor image = *before ? trial_input(t, &io, "%simage", before) : picture_input(t, &io);
		trial_expect(t, taesd_encode(trial_nn(t), &c, image), &io, "%slatent", before);
		trial_end(t, r, tolerance_of(compute));
		t = trial_new(topic, compute, &decoder, NULL, 0);
		tensor latent = trial_input(t, &io, "%slatent", before);
		trial_expect(t, taesd_decode(trial_nn(t), &c, latent), &io, "%sdecoded", before);
		trial_end(t, r, tolerance_of(compute));
	} else
		report_uncovered(r, topic, "its weights are not here");
	arrays_close(&io);
	arrays_close(&decoder);
	arrays_close(&encoder);
}

void golden_vae(const char *dir, report *r)
{
	json_t *config = json_of(path_of(dir, "sd1/config.json"));
	if (config && exists(path_of(dir, "sd1/vae.io.safetensors")))
		run_kl(dir, "sd1/vae", json_object_get(config, "dd"), "sd1/model.safetensors", r);
	json_decref(config);
	if (!exists(path_of(dir, "taesd/io.safetensors"))) return;
	run_tiny(dir, "random4", "random4.", REAL, r);
	run_tiny(dir, "random4", "random4.", BF16, r);
	run_tiny(dir, "taef2", "", REAL, r);
	report_uncovered(r, "taesd/taesana", "the 32-fold encoder belongs to no family that Sumi has");
}
