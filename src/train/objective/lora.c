/* lora.c - `train lora`: low-rank paths parallel to the layers of a checkpoint, which stays mapped from its file. What
 * is written has the keys and the metadata of kohya's sd-scripts (networks/lora.py, train_network.py), so that any tool
 * that reads its files reads ours. */
#include "base/random.h"
#include "base/text.h"
#include "models/lora_names.h"
#include "train/data/data_sample.h"
#include "train/run/jobs.h"
#include "train/run/setup.h"
#include "train/objective/validation.h"
#include <stdlib.h>
#include <string.h>

typedef struct low_rank {
	diffusion diffusion;
	lora_training paths;
} low_rank;

/* ── which layers ── */

/* By default the transformer blocks of the denoiser, as other trainers. */
static bool chosen(void *context, const char *name, shape s)
{
	const low_rank *j = context;
	const train_options *o = j->diffusion.options;
	const learner_weight *w = learner_find(&j->diffusion.learner, name);
	if (!w) return false;
	switch (lora_layer_of(&j->diffusion.learner.family, name, s)) {
	case LORA_OF_CLIP: return o->train_text_encoder;
	case LORA_OF_TRANSFORMER: return true;
	case LORA_OF_RESIDUAL_BLOCK: return o->network_conv;
	default: return false;
	}
}

/* ── a batch ── */
static tensor build(void *context, nn *n, int count, int height, int width)
{
	low_rank *j = context;
	return diffusion_build(&j->diffusion, n, count, height, width);
}

/* What is dropped of each sample depends on its seed and on which path it is. */
static bool drop(graph *g, tensor mask, const data_batch *b, uint64_t path, float share, error *e)
{
	size_t all = shape_count(shape_of(g, mask)), each = all / (size_t)b->count;
	float *values = malloc(all * sizeof *values);
	if (!values) return fail(e, NO_MEMORY, "no memory for a batch");
	for (int i = 0; i < b->count; i++) {
		generator random;
		generator_seed(&random, mix(b->seeds[i], path + 1));
		random_uniform(&random, values + (size_t)i * each, each);
	}
	for (size_t k = 0; k < all; k++) values[k] = values[k] < share ? 0 : 1 / (1 - share);
	bool fine = graph_write_floats(g, mask, values, e);
	free(values);
	return fine;
}

static bool fill_inputs(void *context, graph *g, const data_batch *b, error *e)
{
	low_rank *j = context;
	uint64_t path = 0;
	for (int i = 1; j->paths.dropout > 0 && i <= node_count(g); i++) {
		const node *n = node_of(g, (tensor)i);
		if (n->op == INPUT && ends_in(n->name, ".lora_dropout") && !drop(g, (tensor)i, b, path++, j->paths.dropout, e))
			return false;
	}
	return diffusion_fill(&j->diffusion, g, b, e);
}

/* ── the file ── */
typedef struct factor { /* a tensor of the file */
	char key[400];
	shape shape;
	const float *values;
	bool swapped; /* its rows are in two halves, which are exchanged in the file */
	float scale;  /* the file's values are these times it */
} factor;

static const float *values_of(const low_rank *j, const learner_weight *w)
{
	return j->diffusion.options->use_ema && w->average ? w->average : w->value;
}

static lora_spelling spelling_of_file(const low_rank *j)
{
	return strcmp(j->diffusion.options->network_keys, "peft") ? KOHYA_NAMES : PEFT_NAMES;
}

/* The factors of module i of the weight for which `down` is the path's first: how many; 0: it has no such module. Where
 * a weight is several modules' (OpenCLIP's in_proj) they share `down` and take their rows of `up`. PEFT's names have no
 * alpha, so its share is part of `up`. */
static int factors_of(const low_rank *j, const learner_weight *down, int i, lora_spelling spelling, factor out[3])
{
	const learner *m = &j->diffusion.learner;
	int rank = j->paths.rank;
	char name[300], up[320];
	key_piece modules[MAX_PIECES];
	bool kohya = spelling == KOHYA_NAMES;
	snprintf(name, sizeof name, "%.*s", (int)(strlen(down->name) - strlen(".lora_down")), down->name);
	snprintf(up, sizeof up, "%s.lora_up", name);
	const learner_weight *whole = learner_find(m, name), *second = learner_find(m, up);
	if (!whole || !second) return 0;
	shape s = whole->shape;
	if (i >= lora_modules_of(&m->family, name, s, spelling, modules)) return 0;
	const key_piece *p = &modules[i];
	factor *a = &out[0], *b = &out[1];
	*a = (factor){ .shape = s.n == 4 ? shape4(rank, s.d[1], s.d[2], s.d[3]) : shape2(rank, s.d[1]), .scale = 1 };
	*b = (factor){ .shape = s.n == 4 ? shape4(p->rows, rank, 1, 1) : shape2(p->rows, rank), .scale = 1 };
	snprintf(a->key, sizeof a->key, "%s.%s.weight", p->name, kohya ? "lora_down" : "lora_A");
	snprintf(b->key, sizeof b->key, "%s.%s.weight", p->name, kohya ? "lora_up" : "lora_B");
	a->values = values_of(j, down);
	b->values = values_of(j, second) + (size_t)p->first * (size_t)rank;
	b->swapped = p->swapped;
	if (!kohya) return b->scale = j->paths.alpha / (float)rank, 2;
	out[2] = (factor){ .values = &j->paths.alpha, .scale = 1 };
	snprintf(out[2].key, sizeof out[2].key, "%s.alpha", p->name);
	return 3;
}

static bool put(weights_writer *w, const factor *f, dtype d, bool write, error *e)
{
	size_t n = shape_count(f->shape);
	int64_t dims[MAX_DIMS];
	for (int i = 0; i < f->shape.n; i++) dims[i] = f->shape.d[i];
	if (!write) return weights_writer_declare(w, f->key, d, f->shape.n, dims, e);
	void *values = malloc(n * dtype_size(d));
	float *scaled = malloc(n * sizeof *scaled);
	bool fine = (values && scaled) || fail(e, NO_MEMORY, "no memory to write '%s'", f->key);
	for (size_t i = 0; fine && i < n; i++) scaled[i] = f->scale * f->values[f->swapped ? (i + n / 2) % n : i];
	if (fine) convert(values, d, scaled, F32, n);
	fine = fine && weights_writer_append(w, values, n * dtype_size(d), e);
	free(values);
	free(scaled);
	return fine;
}

static bool is_down(const learner_weight *w) { return ends_in(w->name, ".lora_down"); }

static bool put_all(const low_rank *j, weights_writer *w, bool write, error *e)
{
	const learner *m = &j->diffusion.learner;
	const char *as = j->diffusion.options->save_precision;
	dtype d = !strcmp(as, "fp16") ? F16 : !strcmp(as, "bf16") ? BF16 : F32;
	factor f[3];
	for (int i = 0; i < m->count; i++)
		for (int k = 0, n; is_down(&m->weights[i]) && (n = factors_of(j, &m->weights[i], k, spelling_of_file(j), f));
		     k++)
			for (int p = 0; p < n; p++)
				if (!put(w, &f[p], d, write, e)) return false;
	return true;
}

static const char *name_in(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

static const char *truth(bool x) { return x ? "True" : "False"; }

/* What tools show of a file, and what they need to recognise its model. */
static bool put_metadata(const low_rank *j, weights_writer *w, error *e)
{
	const train_options *o = j->diffusion.options;
	const family *f = &j->diffusion.learner.family;
	const char *version = family_kohya_name(f),
	           *module = f->denoiser.kind == MMDIT ? "networks.lora_sd3" : "networks.lora";
	const char *out = name_in(o->output), *end = strstr(out, ".safetensors");
	error own = { 0 };
	weights_writer_say(w, &own, "ss_network_module", "%s", module);
	weights_writer_say(w, &own, "ss_network_dim", "%lld", (long long)o->network_dim);
	weights_writer_say(w, &own, "ss_network_alpha", "%g", (double)j->paths.alpha);
	weights_writer_say(w, &own, "ss_network_dropout", "%g", o->network_dropout);
	if (o->network_conv)
		weights_writer_say(w, &own, "ss_network_args", "{\"conv_dim\": \"%lld\", \"conv_alpha\": \"%g\"}",
		    (long long)o->network_dim, (double)j->paths.alpha);
	weights_writer_say(w, &own, "ss_base_model_version", "%s", version);
	weights_writer_say(w, &own, "ss_v2", "%s", truth(!strcmp(version, "sd_v2")));
	weights_writer_say(w, &own, "ss_v_parameterization", "%s", truth(f->prediction == PREDICT_VELOCITY));
	weights_writer_say(w, &own, "ss_sd_model_name", "%s", name_in(o->model));
	weights_writer_say(w, &own, "ss_output_name", "%.*s", end ? (int)(end - out) : (int)strlen(out), out);
	weights_writer_say(w, &own, "ss_resolution", "(%d, %d)", f->size, f->size);
	weights_writer_say(w, &own, "ss_learning_rate", "%g", o->learning_rate);
	weights_writer_say(w, &own, "ss_unet_lr", "%g", o->learning_rate);
	if (o->train_text_encoder) weights_writer_say(w, &own, "ss_text_encoder_lr", "%g", o->learning_rate);
	weights_writer_say(w, &own, "ss_optimizer", "%s", o->optimizer);
	weights_writer_say(w, &own, "ss_lr_scheduler", "%s", o->lr_scheduler);
	weights_writer_say(w, &own, "ss_lr_warmup_steps", "%lld", (long long)o->lr_warmup_steps);
	weights_writer_say(w, &own, "ss_max_train_steps", "%lld", (long long)o->max_train_steps);
	weights_writer_say(w, &own, "ss_steps", "%lld", (long long)o->max_train_steps);
	weights_writer_say(w, &own, "ss_total_batch_size", "%lld", (long long)o->train_batch_size);
	weights_writer_say(w, &own, "ss_gradient_accumulation_steps", "%lld", (long long)o->gradient_accumulation_steps);
	weights_writer_say(w, &own, "ss_gradient_checkpointing", "%s", truth(o->gradient_checkpointing));
	weights_writer_say(w, &own, "ss_max_grad_norm", "%g", o->max_grad_norm);
	weights_writer_say(w, &own, "ss_mixed_precision", "%s", o->mixed_precision);
	weights_writer_say(w, &own, "ss_noise_offset", "%g", o->noise_offset);
	weights_writer_say(w, &own, "ss_min_snr_gamma", "%g", o->snr_gamma);
	weights_writer_say(w, &own, "ss_caption_dropout_rate", "%g", o->caption_dropout);
	weights_writer_say(w, &own, "ss_seed", "%lld", (long long)o->seed);
	weights_writer_say(w, &own, "sumi.version", "%s", SUMI_VERSION);
	return !failed(&own) || fail(e, own.status, "%s", own.text);
}

static bool finish(void *context, const char *path, error *e)
{
	const low_rank *j = context;
	weights_writer *w = weights_writer_new(path, e);
	if (w && put_metadata(j, w, e) && put_all(j, w, false, e) && put_all(j, w, true, e))
		return weights_writer_finish(w, e);
	weights_writer_abort(w);
	return false;
}

/* ── what it draws now ── */
static bool add_factors(const low_rank *j, lora *set, error *e)
{
	const learner *m = &j->diffusion.learner;
	factor f[3];
	for (int i = 0; i < m->count; i++)
		for (int k = 0, n; is_down(&m->weights[i]) && (n = factors_of(j, &m->weights[i], k, KOHYA_NAMES, f)); k++)
			for (int p = 0; p < n; p++)
				if (!lora_add(set, f[p].key, F32, f[p].shape, f[p].values, e)) return false;
	return true;
}

static bool validate(void *context, const char *path, error *e)
{
	const low_rank *j = context;
	lora *set = lora_new();
	lora_names *names = lora_names_new(&j->diffusion.learner.family, e);
	bool fine = (set && names) || fail(e, NO_MEMORY, "no memory to draw samples");
	fine = fine && add_factors(j, set, e) && lora_resolve(set, lora_names_find, names, e) &&
	       validation_draw(&j->diffusion, &(validation_of){ .paths = set }, path, e);
	lora_names_free(names);
	lora_free(set);
	return fine;
}

bool train_lora(const train_options *o, const training_listener *l, error *e)
{
	low_rank j = { .paths = { .rank = (int)o->network_dim,
		               .alpha = (float)(o->network_alpha > 0 ? o->network_alpha : (double)o->network_dim),
		               .dropout = (float)o->network_dropout,
		               .chosen = chosen } };
	j.paths.context = &j;
	bool fine = diffusion_open(&j.diffusion, o, false, o->train_text_encoder, l, e);
	const family *f = &j.diffusion.learner.family;
	if (fine && o->train_text_encoder && f->text[0].kind == TRANSFORMER_TEXT)
		fine = fail(e, BAD_USAGE, "--train_text_encoder: LoRA files have no names for the text encoder of %s", f->name);
	task t = { .learner = &j.diffusion.learner, .context = &j, .build = build, .fill = fill_inputs, .finish = finish };
	t.training = &j.paths;
	if (*o->validation_prompts) t.validate = validate;
	data_options source = data_options_of(o, l, f->size);
	fine = fine && diffusion_train(&j.diffusion, &t, &source, l, e);
	diffusion_close(&j.diffusion);
	return fine;
}
