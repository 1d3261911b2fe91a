/* again.c - options from a picture's text. Each value of the text is an option by another name. */
#include "cli/again.h"
#include "cli/options.h"
#include "sumi.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name, *option; /* NULL: says nothing that an option would take */
} known[] = {
	{ "Prompt", "prompt" },
	{ "Negative prompt", "negative-prompt" },
	{ "Steps", "steps" },
	{ "CFG scale", "cfg-scale" },
	{ "Seed", "seed" },
	{ "Sampler", "sampling-method" },
	{ "Sampling method", "sampling-method" }, /* "model": a diffusers folder's; "Sampler" only says which it is */
	{ "Variation seed", "variation-seed" },
	{ "Variation seed strength", "variation-strength" },
	{ "Prompt to", "prompt-to" },
	{ "Blend", "blend" },
	{ "Hires upscale", "hires-scale" },
	{ "Hires steps", "hires-steps" },
	{ "Hires upscaler", "hires-upscaler" },
	{ "Mask blur", "mask-blur" },
	{ "Masked area padding", "mask-padding" },
	{ "Masked content", "mask-fill" },
	{ "Extend", "extend" },
	{ "Resize mode", "resize-mode" },
	{ "Soft mask", "soft-mask" },
	{ "VAE tile size", "vae-tile-size" },
	{ "Clip skip", "clip-skip" },
	{ "Eta", "eta" },
	{ "Guidance method", "guidance-method" },
	{ "Guidance rescale", "guidance-rescale" },
	{ "Guidance skip from", "guidance-skip-from" },
	{ "Guidance skip to", "guidance-skip-to" },
	{ "Compute type", "type" },
	{ "SLG scale", "slg-scale" },
	{ "FreeU", "freeu" },
	{ "DeepCache", "deep-cache" },
	{ "PAG scale", "pag-scale" },
	{ "PAG layers", "pag-layers" },
	{ "Skip layers", "skip-layers" },
	{ "Skip layer start", "skip-layer-start" },
	{ "Skip layer end", "skip-layer-end" },
	{ "Refiner switch at", "refiner-start" },
	{ "Shift", "shift" },
	{ "Prediction", "prediction" },
	{ "Original size", "original-size" },
	{ "Crop", "crop" },
	{ "Target size", "target-size" },
	{ "Aesthetic score", "aesthetic-score" },
	{ "Negative aesthetic score", "negative-aesthetic-score" },
	{ "Model", NULL },
	{ "VAE hash", NULL },
	{ "TAESD hash", NULL },
	{ "Lora hashes", NULL },
	{ "TI hashes", NULL },
	{ "Version", NULL },
};

static void add(again *a, const char *name, const char *value)
{
	size_t n = strlen(name) + strlen(value) + 4;
	char *text = a->count < MOST_AGAIN ? malloc(n) : NULL;
	if (!text) {
		a->no_memory = true;
		return;
	}
	snprintf(text, n, "--%s=%s", name, value);
	a->argument[a->count++] = text;
}

/* Whether it was one of those that need more than their name changed. */
static bool add_special(again *a, const char *name, const char *value)
{
	int width, height;
	char side[16];
	if (!strcmp(name, "Size") && sscanf(value, "%dx%d", &width, &height) == 2) {
		snprintf(side, sizeof side, "%d", width);
		add(a, "width", side);
		snprintf(side, sizeof side, "%d", height);
		add(a, "height", side);
	} else if (!strcmp(name, "Schedule type")) {
		if (strcasecmp(value, "Automatic")) add(a, "scheduler", value);
	} else if (!strcmp(name, "RNG")) {
		a->has_rng = true;
		add(a, "rng", strcasecmp(value, "CPU") ? "cuda" : "cpu"); /* NV and GPU are one generator */
	} else if (!strcmp(name, "Zero negative"))
		add(a, "zero-negative", "true");
	else if (!strcmp(name, "Denoising strength")) { /* of image to image, or of a second pass */
		add(a, "strength", value);
		add(a, "hires-denoise", value);
	} else if (!strcmp(name, "Inpaint area"))
		add(a, "only-masked", strcasecmp(value, "Only masked") ? "false" : "true");
	else if (!strcmp(name, "Mask mode"))
		add(a, "invert-mask", strcasecmp(value, "Inpaint not masked") ? "false" : "true");
	else if (!strcmp(name, "Model hash"))
		snprintf(a->model_hash, sizeof a->model_hash, "%.10s", value);
	else
		return false;
	return true;
}

static void take(void *context, const char *name, const char *value)
{
	again *a = context;
	if (!strcmp(name, "Version")) a->ours = !strncmp(value, "sumi", 4);
	if (add_special(a, name, value)) return;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (strcmp(name, known[i].name)) continue;
		if (known[i].option) add(a, known[i].option, value);
		return;
	}
	if (!a->quiet) complain(0, "%.60s: %.200s is not taken over from the picture", name, value);
}

int again_read(again *a, const char *path, bool quiet)
{
	sumi_error e = { 0 };
	sumi_image *picture = sumi_image_read(path, &e);
	a->quiet = quiet;
	if (!e.status && !picture->parameters) {
		sumi_image_free(picture);
		return complain(3, "%.200s: there is no text in it that says how it was made", path);
	}
	if (e.status) return complain(e.status, "%s", e.text);
	bool read = sumi_parameters_read(picture->parameters, take, a, &e);
	sumi_image_free(picture);
	if (!read) return complain(e.status, "%.200s: %s", path, e.text);
	if (a->no_memory) return complain(4, "out of memory for the options of %.200s", path);
	if (!a->has_rng && !a->ours) add(a, "rng", "cuda"); /* A1111 names its generator only where it is not the GPU's */
	return 0;
}

char **again_arguments(const again *a, int argc, char **argv, int *count)
{
	char **all = calloc((size_t)(argc + a->count + 1), sizeof *all);
	if (!all) return NULL;
	int n = 0;
	all[n++] = argv[0];
	for (int i = 0; i < a->count; i++) all[n++] = a->argument[i];
	for (int i = 1; i < argc; i++) all[n++] = argv[i];
	*count = n;
	return all;
}

void again_free(again *a)
{
	for (int i = 0; i < a->count; i++) free(a->argument[i]);
	*a = (again){ 0 };
}
