/* describe.c - the parameters of a job, in A1111's order. */
#include "pipeline/describe.h"
#include "pipeline/hires.h"
#include "pipeline/parameters.h"
#include "pipeline/traces.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void put_hash(parameters *p, const char *name, const char *hex)
{
	char text[11];
	if (!hex) return;
	snprintf(text, sizeof text, "%.10s", hex);
	parameters_text(p, name, text);
}

/* "NAME hash" and "NAME" */
static void put_file(parameters *p, const char *name, const char *path, hashing *h)
{
	char label[32];
	const char *slash = strrchr(path, '/');
	snprintf(label, sizeof label, "%s hash", name);
	put_hash(p, label, hashing_of(h, path));
	parameters_text(p, name, slash && slash[1] ? slash + 1 : path);
}

/* As A1111 has it: "NAME [hash]". */
static void put_refiner(const job *j, hashing *h, parameters *p)
{
	const char *hex = hashing_of(h, j->refiner->m->path);
	char text[96];
	snprintf(text, sizeof text, hex ? "%s [%.10s]" : "%s", j->refiner->m->name, hex);
	parameters_text(p, "Refiner", text);
	parameters_number(p, "Refiner switch at", j->o->refiner_start);
}

static void put_skip_layers(const job *j, parameters *p)
{
	const skip_layer_guidance *g = &j->skip_layers;
	char text[256] = "";
	for (int i = 0; i < 64; i++)
		if (g->layers >> i & 1) snprintf(strchr(text, 0), 8, *text ? ",%d" : "%d", i);
	parameters_number(p, "SLG scale", g->scale);
	parameters_text(p, "Skip layers", text);
	parameters_number(p, "Skip layer start", g->from);
	parameters_number(p, "Skip layer end", g->to);
}

/* As A1111's extension writes a unit. */
static void put_unit(parameters *p, int i, const char *module, const char *path, double strength, double from,
    double to, const char *mode)
{
	char label[24], text[512];
	const char *slash = strrchr(path, '/'), *name = slash && slash[1] ? slash + 1 : path, *dot = strrchr(name, '.');
	snprintf(label, sizeof label, "ControlNet %d", i);
	snprintf(text, sizeof text,
	    "Module: %s, Model: %.*s, Weight: %.10g, Resize Mode: Just Resize, Guidance Start: %.10g, Guidance End: %.10g, "
	    "Control Mode: %s",
	    module, (int)(dot && dot > name ? dot - name : (long)strlen(name)), name, strength, from, to, mode);
	parameters_text(p, label, text);
}

static void put_control(parameters *p, int i, const job_control *c)
{
	static const char *const modes[CONTROL_MODES] = { "Balanced", "My prompt is more important",
		"ControlNet is more important", "Guess" };
	const sumi_control *o = &c->options;
	char module[64] = "none";
	if (o->canny_high > 0)
		snprintf(module, sizeof module, "canny, Threshold A: %d, Threshold B: %d", o->canny_low, o->canny_high);
	put_unit(p, i, module, o->path, o->strength, o->from, o->to, modes[c->mode]);
}

static void put_image_prompt(parameters *p, int i, const job_image_prompt *c)
{
	const sumi_ip_adapter *o = &c->options;
	bool large = ip_adapter_vision(c->file)->blocks.width > 1280; /* ViT-bigG */
	put_unit(p, i, large ? "ip-adapter_clip_g" : "ip-adapter_clip_h", o->path, o->strength, o->from, o->to, "Balanced");
}

static void put_pair(parameters *p, const char *name, double first, double second)
{
	char text[64];
	snprintf(text, sizeof text, "%.10gx%.10g", first, second);
	parameters_text(p, name, text);
}

/* What SDXL and its refiner read besides words, where it is not what they read by default. */
static void put_sizes(const job *j, parameters *p)
{
	const sumi_options *o = j->o;
	int numbers = family_size_numbers(&j->m->family);
	const double *sizes = j->text.sizes[1];
	bool scored = numbers == 5 || (j->refiner && family_size_numbers(&j->refiner->m->family) == 5);
	if (numbers && (o->original_width || o->original_height)) put_pair(p, "Original size", sizes[1], sizes[0]);
	if (numbers && (o->crop_left || o->crop_top)) put_pair(p, "Crop", o->crop_left, o->crop_top);
	if (numbers == 6 && (o->target_width || o->target_height)) put_pair(p, "Target size", sizes[5], sizes[4]);
	if (scored && o->aesthetic_score != 6) parameters_number(p, "Aesthetic score", o->aesthetic_score);
	if (scored && o->negative_aesthetic_score != 2.5)
		parameters_number(p, "Negative aesthetic score", o->negative_aesthetic_score);
}

/* As A1111 names what it did with the mask; what it has no name for comes last. */
static void put_mask(const job *j, parameters *p)
{
	const sumi_options *o = j->o;
	if (o->resize_mode && strcasecmp(o->resize_mode, "resize")) parameters_text(p, "Resize mode", o->resize_mode);
	if (o->mask_blur > 0) parameters_number(p, "Mask blur", o->mask_blur);
	if (o->only_masked) {
		parameters_text(p, "Inpaint area", "Only masked");
		parameters_integer(p, "Masked area padding", o->mask_padding);
	}
	if (o->mask_inverted) parameters_text(p, "Mask mode", "Inpaint not masked");
	if (j->fill) parameters_text(p, "Masked content", mask_filling_name(j->fill));
	if (o->mask_soft) parameters_text(p, "Soft mask", "true");
	if (o->extend_left || o->extend_right || o->extend_up || o->extend_down) {
		char text[64];
		snprintf(text, sizeof text, "%d,%d,%d,%d", o->extend_left, o->extend_right, o->extend_up, o->extend_down);
		parameters_text(p, "Extend", text);
	}
}

/* As A1111 names it. */
static void put_hires(const job *j, parameters *p)
{
	parameters_number(p, "Denoising strength", j->o->hires_strength);
	parameters_number(p, "Hires upscale", j->o->hires_scale);
	if (j->o->hires_steps) parameters_integer(p, "Hires steps", j->o->hires_steps);
	parameters_text(p, "Hires upscaler", hires_upscaler_name(j));
}

static void put_values(const job *j, hashing *h, parameters *p)
{
	const sumi_options *o = j->o;
	const model *m = j->m;
	char text[65];
	bool timesteps = j->path.form == VARIANCE_PRESERVING;
	trace_prompts(p, m, o);
	parameters_integer(p, "Steps", o->steps);
	parameters_text(p, "Sampler", sampler_name(j->sampler));
	if (!timesteps && !j->own_scheduler) parameters_text(p, "Schedule type", spacing_name(j->spacing));
	if (j->own_scheduler) parameters_text(p, "Sampling method", "model");
	if (o->flow_shift > 0 && j->prediction == PREDICT_FLOW) parameters_number(p, "Shift", o->flow_shift);
	parameters_number(p, "CFG scale", j->guidance.scale);
	parameters_integer(p, "Seed", j->seed);
	if (o->variation_strength > 0) {
		parameters_integer(p, "Variation seed", o->variation_seed);
		parameters_number(p, "Variation seed strength", o->variation_strength);
	}
	if (j->text_to.branches) {
		parameters_text(p, "Prompt to", o->prompt_to);
		parameters_number(p, "Blend", o->blend);
	}
	snprintf(text, sizeof text, "%dx%d", j->width, j->height);
	parameters_text(p, "Size", text);
	put_hash(p, "Model hash", hashing_of(h, m->path));
	parameters_text(p, "Model", m->name);
	if (m->prediction_given) parameters_text(p, "Prediction", prediction_name(j->prediction));
	if (m->given_path[AUTOENCODER]) put_file(p, "VAE", m->given_path[AUTOENCODER], h);
	if (m->given_path[TINY_AUTOENCODER] && !m->tiny_previews) {
		parameters_text(p, "VAE Decoder", "TAESD");
		put_file(p, "TAESD", m->given_path[TINY_AUTOENCODER], h);
	}
	if (o->init) parameters_number(p, "Denoising strength", o->strength);
	if (o->init) put_mask(j, p);
	if (j->hires) put_hires(j, p);
	if (o->clip_skip > 1) parameters_integer(p, "Clip skip", o->clip_skip);
	put_sizes(j, p);
	if (o->zero_negative && j->text.unconditional) parameters_text(p, "Zero negative", "True");
	if (j->refiner) put_refiner(j, h, p);
	parameters_text(p, "RNG", j->cuda ? "NV" : "CPU");
	if (o->eta >= 0) parameters_number(p, "Eta", o->eta);
	if (o->guidance_method) parameters_text(p, "Guidance method", o->guidance_method);
	if (o->guidance_rescale > 0) parameters_number(p, "Guidance rescale", o->guidance_rescale);
	if (o->guidance_skip_to > o->guidance_skip_from) {
		parameters_number(p, "Guidance skip from", o->guidance_skip_from);
		parameters_number(p, "Guidance skip to", o->guidance_skip_to);
	}
	if (j->tile) parameters_integer(p, "VAE tile size", j->tile);
	if (m->type_given) parameters_text(p, "Compute type", dtype_name(m->compute));
	if (o->free_u) parameters_text(p, "FreeU", o->free_u);
	if (o->deep_cache) parameters_text(p, "DeepCache", o->deep_cache);
	if (j->changes.perturbed) {
		parameters_number(p, "PAG scale", o->pag_scale);
		parameters_text(p, "PAG layers", o->pag_layers ? o->pag_layers : "mid");
	} else if (j->skip_layers.layers)
		put_skip_layers(j, p);
	for (int i = 0; i < j->control_count; i++) put_control(p, i, &j->controls[i]);
	for (int i = 0; i < j->image_prompt_count; i++) put_image_prompt(p, j->control_count + i, &j->image_prompts[i]);
	if (o->hashes) trace_hashes(p, m, o);
	parameters_text(p, "Version", "sumi " SUMI_VERSION);
}

bool describe(const job *j, hashing *h, sumi_image *picture, error *e)
{
	parameters p = { 0 };
	put_values(j, j->o->hashes ? h : NULL, &p);
	picture->seed = j->seed;
	picture->parameters = p.text.data;
	return !p.text.failed || fail(e, NO_MEMORY, "out of memory for the picture's text");
}
