/* controlnet.c - `train controlnet`: a copy of the U-Net's half that goes down learns to make the frozen U-Net follow
 * pictures (Zhang et al. 2023, arXiv 2302.05543). It begins with its last convolutions at zero, so that the first step
 * draws what the checkpoint draws. What is written has the original's names, which all tools read. */
#include "checkpoint/control.h"
#include "models/controlnet.h"
#include "pipeline/picture.h"
#include "train/data/data_sample.h"
#include "train/data/data_stream.h"
#include "train/objective/diffusion.h"
#include "train/objective/validation.h"
#include "train/run/jobs.h"
#include "train/run/setup.h"
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char scope[] = "control_model"; /* of the weights in the run and in the file */

typedef struct control_run {
	diffusion diffusion;
	controlnet_config config;
	tensor outputs[UNET_SKIPS + 1]; /* in the graph that is being built */
	control_file *given;            /* a network to go on with; NULL: the U-Net's copy */
	data_options source;
	char **hints; /* [pictures] paths of what the network reads with each; owned */
	int64_t pictures;
	sumi_image **sample_hints; /* of each of --validation_prompts, to NULL; owned */
} control_run;

/* ── the weights ── */

typedef struct adding {
	control_run *run;
	error *e;
} adding;

static void widen(learner_weight *w, dtype d, const void *values)
{
	convert(w->value, F32, values, d, shape_count(w->shape));
}

/* From the file that is given; else from the U-Net's weight of the same name; else a start of its own. */
static void add_weight(void *context, const char *name, shape s, initial start)
{
	adding *a = context;
	control_run *r = a->run;
	learner *m = &r->diffusion.learner;
	const char *own = name + sizeof scope;
	char unets[512];
	dtype d;
	const void *values;
	if (failed(a->e) || learner_find(m, name)) return;
	snprintf(unets, sizeof unets, "%s%s%s", m->family.prefix[DENOISER], *m->family.prefix[DENOISER] ? "." : "", own);
	const learner_weight *twin = learner_find(m, unets);
	bool copied = twin && twin->bytes && shape_count(twin->shape) == shape_count(s);
	dtype twins = copied ? twin->dtype : F32; /* before the list moves */
	const void *bytes = copied ? twin->bytes : NULL;
	if (!learner_add(m, name, s, 0, a->e)) return;
	learner_weight *w = &m->weights[m->count - 1];
	if (r->given && control_bind(r->given, name, s, &d, &values, a->e)) {
		widen(w, d, values);
	} else if (!r->given && copied) {
		widen(w, twins, bytes);
	} else if (!r->given) {
		parameter p = { .name = w->name, .shape = s, .dtype = F32, .start = start };
		p.zero = controlnet_starts_at_zero(own);
		parameter_fill(&p, (uint64_t)r->diffusion.options->seed, true, w->value);
	}
}

static bool add_network(control_run *r, error *e)
{
	adding a = { r, e };
	nn n = { .g = graph_new(REAL), .parameter = add_weight, .context = &a };
	if (!n.g) return fail(e, NO_MEMORY, "no memory for a graph");
	push(n.g, "%s", scope);
	bool fine = controlnet_build_dry(&n, &r->config) && !failed(e);
	pop(n.g);
	if (!fine && !failed(e)) fail(e, graph_error(n.g)->status, "%s", graph_error(n.g)->text);
	graph_free(n.g);
	return fine;
}

static bool open_network(control_run *r, error *e)
{
	const family *f = &r->diffusion.learner.family;
	const char *given = r->diffusion.options->controlnet;
	if (f->denoiser.kind != UNET)
		return fail(e, BAD_USAGE, "control networks are for U-Nets, and %s has none", f->name);
	if (vae_factor(&f->autoencoder) != HINT_FACTOR)
		return fail(e, BAD_USAGE, "control networks read %d pixels to a side of a latent position; %s has %d",
		    HINT_FACTOR, f->name, vae_factor(&f->autoencoder));
	r->config = controlnet_for(&f->denoiser.unet, f->autoencoder.latent_channels);
	if (*given && !(r->given = control_open(given, f, e))) return false;
	if (r->given) r->config = *control_config(r->given);
	return add_network(r, e);
}

/* ── what it reads ── */

/* The picture of the same name, below the folder of hints, with any ending. */
static char *hint_path(const train_options *o, const char *path, error *e)
{
	char found[PATH_MAX];
	size_t n = strlen(o->train_data_dir);
	const char *own = !strncmp(path, o->train_data_dir, n) ? path + n : path;
	while (*own == '/') own++;
	const char *slash = strrchr(own, '/'), *dot = strrchr(slash ? slash : own, '.');
	int length = (int)(dot ? dot - own : (long)strlen(own));
	for (int i = 0; picture_endings[i / 2]; i++) {
		const char *end = picture_endings[i / 2];
		int size = snprintf(found, sizeof found, "%s/%.*s%s", o->conditioning_data_dir, length, own, end);
		if (size >= (int)sizeof found) continue;
		for (char *c = found + size - strlen(end); i % 2 && *c; c++) *c = (char)toupper((unsigned char)*c); /* ".PNG" */
		if (access(found, R_OK)) continue;
		char *copy = strdup(found);
		if (!copy) fail(e, NO_MEMORY, "no memory for a path");
		return copy;
	}
	fail(e, BAD_FILE, "%s: no picture %.*s.png (or .jpg, .webp, .bmp) for %s to follow", o->conditioning_data_dir,
	    length, own, path);
	return NULL;
}

/* Every picture has its hint, or the run does not begin. */
static bool find_hints(control_run *r, error *e)
{
	data_options names = r->source;
	names.pixels = false;
	names.log = NULL; /* the survey says what is wrong with names and captions */
	if (is_cache(r->source.path) || is_stream(r->source.path))
		return fail(e, BAD_USAGE, "%s: a control network is trained on a folder of pictures, no cache and no tars",
		    r->source.path);
	data *set = data_open(&names, e);
	if (!set) return false;
	r->pictures = data_pictures(set);
	r->hints = calloc((size_t)r->pictures + 1, sizeof *r->hints);
	bool fine = r->hints || fail(e, NO_MEMORY, "no memory for a list of pictures");
	for (int64_t i = 0; fine && i < data_count(set); i++) {
		data_sample s = data_at(set, i);
		if (!r->hints[s.picture]) fine = (r->hints[s.picture] = hint_path(r->diffusion.options, s.path, e));
	}
	data_close(set);
	return fine;
}

/* ── a batch ── */

static void extend(void *context, nn *n, denoiser_inputs *in)
{
	control_run *r = context;
	graph *g = n->g;
	shape x = shape_of(g, in->x);
	tensor hint =
	    input(g, "hint", REAL, shape4(x.d[0], HINT_FACTOR * x.d[1], HINT_FACTOR * x.d[2], r->config.hint_channels));
	push(g, "%s", scope);
	controlnet(n, &r->config, *in, hint, r->outputs);
	pop(g);
	in->controls = r->outputs;
	in->control_count = controlnet_outputs(&r->config);
}

static tensor build(void *context, nn *n, int count, int height, int width)
{
	control_run *r = context;
	return diffusion_build(&r->diffusion, n, count, height, width);
}

/* Hints are cut as their pictures are: resized, and cropped from the middle. */
static bool fill_inputs(void *context, graph *g, const data_batch *b, error *e)
{
	control_run *r = context;
	size_t each = (size_t)b->height * (size_t)b->width * 3;
	picture_frame frame;
	if (!diffusion_fill(&r->diffusion, g, b, e)) return false;
	float *hints = malloc((size_t)b->count * each * sizeof *hints);
	bool fine = hints || fail(e, NO_MEMORY, "no memory for a batch");
	for (int i = 0; fine && i < b->count; i++) {
		picture_source from = { .name = r->hints[b->picture[i]] };
		fine = sample_pixels(&r->source, &from, 0, b->height, b->width, hints + (size_t)i * each, &frame, e);
	}
	for (size_t i = 0; fine && i < (size_t)b->count * each; i++) hints[i] = (hints[i] + 1) / 2;
	fine = fine && graph_write_floats(g, find(g, "hint"), hints, e);
	free(hints);
	return fine;
}

/* ── samples ── */

/* What the network reads for the samples: of --validation_images, or of the first pictures. NULL: failed. */
static sumi_image *sample_hint(const control_run *r, const char *given, int which, error *e)
{
	int side = r->diffusion.learner.family.size;
	picture_source from = { .name = given ? given : r->hints[which % r->pictures] };
	picture_frame frame;
	float *values = malloc((size_t)side * (size_t)side * 3 * sizeof *values);
	if (!values) return fail(e, NO_MEMORY, "no memory for a sample"), NULL;
	data_options how = r->source;
	how.resolution = how.crop = side;
	how.bucket_step = 0;
	sumi_image *hint = NULL;
	if (sample_pixels(&how, &from, 0, side, side, values, &frame, e))
		hint = picture_from(values, side, side, NULL, NULL, e);
	free(values);
	return hint;
}

/* Before the first step, so that what cannot be read is not found out at the first sample. */
static bool read_sample_hints(control_run *r, error *e)
{
	const train_options *o = r->diffusion.options;
	int count = *o->validation_prompts ? validation_count(o->validation_prompts) : 0;
	int images = validation_count(o->validation_images);
	if (images > 1 && images != count)
		return fail(e, BAD_USAGE, "%d --validation_images for %d --validation_prompts: one for each, or one for all",
		    images, count);
	char *names = strdup(o->validation_images);
	r->sample_hints = calloc((size_t)count + 1, sizeof *r->sample_hints);
	bool fine = (names && r->sample_hints) || fail(e, NO_MEMORY, "no memory for samples");
	char *at = names;
	for (int i = 0; fine && i < count; i++) {
		const char *given = at;
		char *bar = strchr(at, '|');
		if (bar) { /* a single one is for all */
			*bar = 0;
			at = bar + 1;
		}
		fine = (r->sample_hints[i] = sample_hint(r, *given ? given : NULL, i, e));
	}
	free(names);
	return fine;
}

static bool validate(void *context, const char *path, error *e)
{
	const control_run *r = context;
	validation_of what = { .control = &r->config, .hints = (const sumi_image *const *)r->sample_hints };
	return validation_draw(&r->diffusion, &what, path, e);
}

/* ── the file ── */

static bool finish(void *context, const char *path, error *e)
{
	const control_run *r = context;
	const learner *m = &r->diffusion.learner;
	weights_writer *out = weights_writer_new(path, e);
	bool fine = out && weights_writer_metadata(out, "format", "pt", e) &&
	            weights_writer_metadata(out, "sumi.version", SUMI_VERSION, e);
	for (int write = 0; fine && write < 2; write++)
		for (int i = 0; fine && i < m->count; i++) {
			const learner_weight *w = &m->weights[i];
			int64_t axes[MAX_DIMS];
			for (int k = 0; k < w->shape.n; k++) axes[k] = w->shape.d[k];
			if (strncmp(w->name, scope, sizeof scope - 1) || !w->value) continue;
			const float *values = r->diffusion.options->use_ema && w->average ? w->average : w->value;
			fine = write ? weights_writer_append(out, values, shape_count(w->shape) * sizeof *values, e)
			             : weights_writer_declare(out, w->name, F32, w->shape.n, axes, e);
		}
	if (fine) return weights_writer_finish(out, e);
	weights_writer_abort(out);
	return false;
}

bool train_controlnet(const train_options *o, const training_listener *l, error *e)
{
	control_run r = { 0 };
	bool fine = diffusion_open(&r.diffusion, o, false, false, l, e) && open_network(&r, e);
	r.diffusion.extend = extend;
	r.diffusion.extend_context = &r;
	r.source = data_options_of(o, l, r.diffusion.learner.family.size);
	task t = { .learner = &r.diffusion.learner, .context = &r, .build = build, .fill = fill_inputs, .finish = finish };
	if (*o->validation_prompts) t.validate = validate;
	fine = fine && find_hints(&r, e) && read_sample_hints(&r, e) && diffusion_train(&r.diffusion, &t, &r.source, l, e);
	for (sumi_image **hint = r.sample_hints; hint && *hint; hint++) sumi_image_free(*hint);
	free(r.sample_hints);
	for (int64_t i = 0; r.hints && i < r.pictures; i++) free(r.hints[i]);
	free(r.hints);
	control_close(r.given);
	diffusion_close(&r.diffusion);
	return fine;
}
