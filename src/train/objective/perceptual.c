/* perceptual.c - VGG16 and the layers of LPIPS, by the keys under which they are published. */
#include "train/objective/perceptual.h"
#include <stdlib.h>
#include <string.h>

void perceptual_close(perceptual *p)
{
	for (int i = 0; i < 2; i++) weights_close(p->files[i]);
	*p = (perceptual){ 0 };
}

static bool open_files(perceptual *p, const char *paths, error *e)
{
	const char *comma = strchr(paths, ',');
	char *first = strndup(paths, comma ? (size_t)(comma - paths) : strlen(paths));
	if (!first) return fail(e, NO_MEMORY, "no memory for a file's name");
	p->files[0] = weights_open(first, e);
	free(first);
	if (p->files[0] && comma) p->files[1] = weights_open(comma + 1, e);
	return p->files[0] && (!comma || p->files[1]);
}

static const weight *find_weight(const perceptual *p, const char *name)
{
	static const char *const prefixes[] = { "", "loss.perceptual_loss.", "first_stage_model.loss.perceptual_loss." };
	for (int f = 0; f < 2 && p->files[f]; f++)
		for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
			char whole[128];
			snprintf(whole, sizeof whole, "%s%s", prefixes[i], name);
			const weight *w = weights_find(p->files[f], whole);
			if (w) return w;
		}
	return NULL;
}

static bool add_weight(learner *m, const char *name, const weight *w, shape s, error *e)
{
	bool fits = w->ndims == s.n && dtype_is_float(w->dtype);
	for (int i = 0; fits && i < s.n; i++) fits = w->shape[i] == s.d[i];
	if (!fits)
		return fail(e, BAD_FILE,
		    "--lpips: '%s' has %d axes of type %s, the first of %lld; expected %d, the first of %d", w->name, w->ndims,
		    w->type_name, w->ndims ? (long long)w->shape[0] : 1, s.n, s.d[0]);
	char whole[128];
	snprintf(whole, sizeof whole, "lpips.%s", name);
	return learner_add_helper(m, whole, s, w->dtype, w->data, e);
}

static bool add_convolution(perceptual *p, learner *m, int i, int in, error *e)
{
	lpips_layer l = lpips_layer_at(i);
	for (int bias = 0; bias < 2; bias++) {
		const char *kind = bias ? "bias" : "weight";
		char name[64], other[64];
		snprintf(name, sizeof name, "net.slice%d.%d.%s", l.stage + 1, l.feature, kind);
		snprintf(other, sizeof other, "features.%d.%s", l.feature, kind);
		const weight *w = find_weight(p, name);
		if (!w) w = find_weight(p, other);
		if (!w) return fail(e, BAD_FILE, "--lpips: neither '%s' nor '%s' is there: no VGG16", other, name);
		int *width = &p->config.width[l.stage];
		if (!*width && w->ndims && w->shape[0] > 0 && w->shape[0] < 65536) *width = (int)w->shape[0];
		if (!add_weight(m, name, w, bias ? shape1(*width) : shape4(*width, in, 3, 3), e)) return false;
	}
	return true;
}

static bool add_scaling(learner *m, error *e)
{
	static const float shift[] = { -0.030f, -0.088f, -0.188f }, scale[] = { 0.458f, 0.448f, 0.450f };
	return learner_add_helper(m, "lpips.scaling_layer.shift", shape1(3), F32, shift, e) &&
	       learner_add_helper(m, "lpips.scaling_layer.scale", shape1(3), F32, scale, e);
}

bool perceptual_open(perceptual *p, const char *paths, learner *m, error *e)
{
	*p = (perceptual){ 0 };
	if (!open_files(p, paths, e) || !add_scaling(m, e)) return false;
	int in = 3;
	for (int i = 0; i < LPIPS_CONVOLUTIONS; i++) {
		if (!add_convolution(p, m, i, in, e)) return false;
		in = p->config.width[lpips_layer_at(i).stage];
	}
	for (int i = 0; i < LPIPS_STAGES; i++) {
		char name[64];
		snprintf(name, sizeof name, "lin%d.model.1.weight", i);
		const weight *w = find_weight(p, name);
		if (!w) return fail(e, BAD_FILE, "--lpips: '%s' is missing: the lpips package's layers over VGG16", name);
		if (!add_weight(m, name, w, shape4(1, p->config.width[i], 1, 1), e)) return false;
	}
	return true;
}
