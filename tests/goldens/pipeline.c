/* pipeline.c - whole pictures: words, noise and all steps, against CompVis' scripts; and the folder of diffusers
 * against the single file. */
#include "arrays.h"
#include "goldens.h"
#include "pipeline/engine.h"
#include "pipeline/latent.h"
#include "pipeline/picture.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The original reads no syntax in a prompt: ours is escaped. */
static void escape(char *out, size_t size, const char *text)
{
	size_t n = 0;
	for (; text && *text && n + 3 < size; text++) {
		if (strchr("()[]\\", *text)) out[n++] = '\\';
		out[n++] = *text;
	}
	out[n] = 0;
}

static void compare_texts(const char *name, const job *j, const arrays *a, double tolerance, report *r)
{
	char topic[200];
	dtype d;
	shape s;
	const void *ids;
	size_t n = 0, one = (size_t)j->text.tokens * (size_t)j->text.width;
	int wrong = 0;
	const float *states = array_of(a, &n, "embeddings_uncond_cond");
	if (array_find(a, "ids_uncond_cond", &d, &s, &ids) && d == I32 && s.n == 2) {
		for (int b = 0; b < s.d[0]; b++)
			for (int i = 0; i < s.d[1]; i++)
				wrong += b >= j->text.branches || i >= j->text.tokens ||
				         j->text.texts[j->text.chosen[b]].of[0].ids[i] != ((const int32_t *)ids)[b * s.d[1] + i];
		snprintf(topic, sizeof topic, "pipeline/%s: tokens that differ", name);
		report_error(r, topic, wrong, 0);
	}
	if (!states || n != one * (size_t)j->text.branches) return;
	double worst = 0;
	for (int b = 0; b < j->text.branches; b++)
		worst = worse(worst, relative_l2(conditioning_context(&j->text, 0, b), states + (size_t)b * one, one));
	snprintf(topic, sizeof topic, "pipeline/%s: text states", name);
	report_error(r, topic, worst, tolerance);
}

/* The share of values that are off by more than one of 255. */
static double share_off(const job *j, const float *values, const uint8_t *rgb, size_t n, error *e)
{
	size_t off = 0;
	sumi_image *p = picture_from(values, j->width, j->height, NULL, NULL, e);
	for (size_t i = 0; p && i < n; i++) off += abs(p->pixels[i] - rgb[i]) > 1;
	sumi_image_free(p);
	return p ? (double)off / (double)n : INFINITY;
}

static void compare_picture(const char *name, const job *j, const float *latent, const float *picture, const arrays *a,
    double tolerance, report *r)
{
	char topic[200];
	size_t n = 0, all = j->positions * (size_t)j->channels, values = (size_t)j->width * (size_t)j->height * 3;
	dtype d;
	shape s;
	const void *rgb;
	error e = { 0 };
	const float *z = array_of(a, &n, "z");
	snprintf(topic, sizeof topic, "pipeline/%s: the last latent", name);
	if (z) report_error(r, topic, n == all ? relative_l2(latent, z, n) : INFINITY, tolerance);
	const float *decoded = array_of(a, &n, "decoded");
	snprintf(topic, sizeof topic, "pipeline/%s: decoded", name);
	if (decoded) {
		float *moved = n == values ? malloc(values * sizeof *moved) : NULL;
		if (moved) channels_last(moved, decoded, 3, values / 3);
		report_error(r, topic, moved ? relative_l2(picture, moved, n) : INFINITY, tolerance);
		free(moved);
	}
	snprintf(topic, sizeof topic, "pipeline/%s: share of bytes more than 1 off", name);
	if (j->m->compute != BF16 && array_find(a, "rgb_u8_rounded", &d, &s, &rgb) && d == U8)
		report_error(r, topic, shape_count(s) == values ? share_off(j, picture, rgb, values, &e) : INFINITY, 1e-3);
}

/* What the sampler is, and its eta, stands in the case's name: "plms", "ddim_eta1"; "img2img" is DDIM's. */
static void options_of(
    const char *name, const json_t *c, const arrays *a, int factor, sumi_options *o, sumi_image *init)
{
	static char prompt[2048], negative[2048];
	const char *eta = strstr(name, "eta");
	size_t n = 0;
	escape(prompt, sizeof prompt, json_string_value(json_object_get(c, "prompt")));
	escape(negative, sizeof negative, json_string_value(json_object_get(c, "neg")));
	*o = sumi_defaults();
	o->prompt = prompt;
	o->negative_prompt = negative;
	o->sampler = strncmp(name, "plms", 4) ? "DDIM" : "PLMS";
	o->eta = eta ? strtod(eta + 3, NULL) : 0;
	o->seed = json_integer_value(json_object_get(c, "seed"));
	o->steps = (int)json_integer_value(json_object_get(c, "steps"));
	o->guidance = json_number_value(json_object_get(c, "cfg"));
	o->width = factor * (int)json_integer_value(json_object_get(c, "w"));
	o->height = factor * (int)json_integer_value(json_object_get(c, "h"));
	if (!array_of(a, &n, "init_latent")) return;
	static unsigned char none[1];
	*init = (sumi_image){ .size = sizeof *init, .width = o->width, .height = o->height, .pixels = none };
	o->init = init; /* its latent is given: its pixels are not read */
	o->strength = json_number_value(json_object_get(c, "strength"));
}

/* *latent [C][places] and *picture are to be freed. */
static bool run_job(
    session *s, job *j, const sumi_options *o, const arrays *a, float **latent, float **picture, error *e)
{
	size_t n = 0;
	const float *begin = array_of(a, &n, "init_latent");
	if (!job_prepare(j, s, NULL, o, e) || !conditioning_encode(&j->text, s, j->adapters, j->skip, NULL, e))
		return false;
	size_t all = j->positions * (size_t)j->channels;
	if (begin) {
		if (n != all) return fail(e, BAD_FILE, "init_latent has %zu values", n);
		j->original = malloc(n * sizeof *begin);
		channels_last(j->original, begin, j->channels, j->positions);
	}
	float *z = engine_denoise(s, &j, 1, NULL, e);
	*picture = z ? engine_decode(s, &j, 1, z, NULL, e) : NULL;
	*latent = malloc(all * sizeof **latent);
	if (z) channels_first(*latent, z, j->channels, j->positions);
	free(z);
	return *picture != NULL;
}

static void run_case(const char *dir, const char *name, const json_t *c, model *m, report *r)
{
	job j = { 0 };
	error e = { 0 };
	sumi_options o;
	sumi_image init;
	float *latent = NULL, *picture = NULL;
	arrays a = arrays_open(path_of(dir, "pipeline/%s.safetensors", name));
	if (!a.header) {
		report_uncovered(r, name, "its file is not here");
		return;
	}
	session *s = session_open(m, 0, false, &e);
	options_of(name, c, &a, vae_factor(&m->family.autoencoder), &o, &init);
	char title[100];
	double tolerance = m->compute == BF16 ? 3e-2 : 1e-4;
	snprintf(title, sizeof title, "%s%s", name, m->compute == BF16 ? " bf16" : "");
	if (s && run_job(s, &j, &o, &a, &latent, &picture, &e)) {
		compare_texts(title, &j, &a, tolerance, r);
		compare_picture(title, &j, latent, picture, &a, tolerance, r);
	} else {
		printf("      pipeline/%s: %s\n", name, e.text);
		report_error(r, name, INFINITY, 0);
	}
	free(latent);
	free(picture);
	job_free(&j);
	session_close(s);
	arrays_close(&a);
}

static sumi_image *draw(const char *path, error *e)
{
	sumi_model_options how = sumi_model_defaults();
	sumi_options o = sumi_defaults();
	how.type = "f32";
	how.threads = 2;
	o.prompt = "a photograph of an astronaut riding a horse";
	o.width = o.height = 64;
	o.steps = 2;
	model *m = model_open(path, &how, e);
	if (m) m->backend = golden_backend();
	sumi_error own = { 0 };
	sumi_image *p = sumi_generate(m, &o, &own);
	if (m && !p) fail(e, BAD_FILE, "%s", own.text);
	model_close(m);
	return p;
}

static void compare_folder(const char *dir, report *r)
{
	error e = { 0 };
	sumi_image *a = draw(path_of(dir, "sd1/model.safetensors"), &e), *b = draw(path_of(dir, "sd1/diffusers"), &e);
	if (e.text[0]) printf("      sd1/diffusers: %s\n", e.text);
	bool same = a && b && !memcmp(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * 3);
	report_error(r, "pipeline: the folder of diffusers draws another picture than the file", !same, 0);
	sumi_image_free(a);
	sumi_image_free(b);
}

static void run_all(const char *dir, const char *type, report *r)
{
	error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.type = type;
	how.threads = 2;
	json_t *index = json_of(path_of(dir, "pipeline/index.json")), *c;
	model *m = index ? model_open(path_of(dir, "sd1/model.safetensors"), &how, &e) : NULL;
	const char *name;
	if (m) m->backend = golden_backend();
	if (index && !m) report_uncovered(r, "pipeline", e.text);
	json_object_foreach(index, name, c)
	{
		if (m && json_is_object(c)) run_case(dir, name, c, m, r);
	}
	model_close(m);
	json_decref(index);
}

void golden_pipeline(const char *dir, report *r)
{
	run_all(dir, "f32", r);
	run_all(dir, "bf16", r);
	if (exists(path_of(dir, "sd1/model.safetensors")) &&
	    exists(path_of(dir, "sd1/diffusers/unet/diffusion_pytorch_model.safetensors")))
		compare_folder(dir, r);
}
