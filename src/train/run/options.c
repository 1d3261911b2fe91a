/* options.c - the table of training options and its readers. */
#include "train/run/options.h"
#include "base/spelling.h"
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	A = 1 << TRAIN_AUTOENCODER,
	D = 1 << TRAIN_DIFFUSION,
	L = 1 << TRAIN_LORA,
	E = 1 << TRAIN_EMBEDDING,
	WORDS = D | L | E, /* pictures from words */
	C = 1 << TRAIN_CACHE,
	ALL = A | WORDS,
	EVERY = ALL | C
};

#define HEADING(text)                                \
	{                                                \
		"", OPTION_HEADING, EVERY, 0, "", 0, 0, text \
	}
#define TEXT(jobs, field, absent, help)                                               \
	{                                                                                 \
#field, OPTION_TEXT, jobs, offsetof(train_options, field), absent, 0, 0, help \
	}
#define FLAG(jobs, field, absent, help)                                               \
	{                                                                                 \
#field, OPTION_FLAG, jobs, offsetof(train_options, field), absent, 0, 0, help \
	}
#define WHOLE(jobs, field, absent, least, most, help)                                         \
	{                                                                                         \
#field, OPTION_WHOLE, jobs, offsetof(train_options, field), absent, least, most, help \
	}
#define NUMBER(jobs, field, absent, least, most, help)                                         \
	{                                                                                          \
#field, OPTION_NUMBER, jobs, offsetof(train_options, field), absent, least, most, help \
	}

static const train_option table[] = {
	HEADING("Files"),
	TEXT(EVERY, train_data_dir, "",
	    "folder of pictures with captions, imagefolder with metadata.jsonl, or WebDataset tars"),
	TEXT(EVERY, output, "", "the model to write, NAME.safetensors; of cache the folder"),
	TEXT(ALL, output_dir, "", "folder for checkpoints, log and samples (default: beside the output, NAME.training)"),
	TEXT(ALL | C, model, "", "checkpoint to start from; without it a new model begins from random weights"),
	TEXT(A | D, model_config, "", "a new model's shape: a family's name, a JSON file or its content"),
	TEXT(WORDS | C, vae, "", "file with the autoencoder (as `train autoencoder` writes it)"),
	TEXT(D, vocabulary, "",
	    "WordPiece vocabulary, a token a line, or the .safetensors that has one (default: learned from the captions)"),
	TEXT(ALL, resume_from_checkpoint, "", "latest, or a checkpoint of this run"),
	HEADING("Data"),
	WHOLE(EVERY, resolution, "0", 0, 4096, "the shorter side of a picture after resizing (default: the model's size)"),
	WHOLE(EVERY, crop, "0", 0, 4096, "side of the square cut from it (default: resolution)"),
	FLAG(ALL, random_crop, "false", "cut at a random place, not from the centre"),
	FLAG(ALL, random_flip, "false", "mirror half of the pictures"),
	FLAG(WORDS, vary_captions, "true",
	    "where a picture has keywords: name (half of the time), name and keywords, or keywords"),
	FLAG(WORDS, cache_latents, "true", "encode every picture once, before the first step, to NAME.cache"),
	FLAG(C, cache_text, "true", "keep the states of the model's text encoder too (not for one that will be trained)"),
	TEXT(C, cache_precision, "f16", "what is kept as: f32, f16 or bf16"),
	WHOLE(WORDS | C, bucket_step, "0", 0, 512, "aspect buckets: sizes are multiples of this (0: squares only)"),
	WHOLE(WORDS | C, bucket_min, "256", 8, 4096, "the shortest side of a bucket"),
	WHOLE(WORDS | C, bucket_max, "1024", 8, 4096, "the longest side of a bucket"),
	WHOLE(ALL, train_batch_size, "16", 1, 65536, "samples of a step of one process"),
	WHOLE(ALL, gradient_accumulation_steps, "1", 1, 65536, "batches whose gradients are averaged before a step"),
	WHOLE(EVERY, dataloader_threads, "1", 1, 256, "threads that decode pictures"),
	WHOLE(ALL, shuffle_buffer, "2000", 1, 1000000, "samples of a stream among which is shuffled"),
	HEADING("Optimization"),
	TEXT(ALL, optimizer, "adamw", "adamw, adamw8bit, adafactor or sgd"),
	NUMBER(ALL, learning_rate, "1e-4", 0, 100, "the highest learning rate"),
	NUMBER(WORDS, embedding_lr, "0", 0, 1e6,
	    "that of the text encoder's table of tokens, where it is trained (0: the same)"),
	TEXT(ALL, lr_scheduler, "constant", "constant, linear or cosine: how it goes on after the warm-up"),
	WHOLE(ALL, lr_warmup_steps, "0", 0, 1e12, "steps in which it rises from 0"),
	WHOLE(ALL, max_train_steps, "1000", 1, 1e12, "steps of the whole run"),
	NUMBER(ALL, adam_beta1, "0.9", 0, 0.999999, "decay of the first moment"),
	NUMBER(ALL, adam_beta2, "0.999", 0, 0.99999999, "decay of the second moment"),
	NUMBER(ALL, adam_epsilon, "1e-8", 0, 1, "added to the root of the second moment"),
	NUMBER(ALL, adam_weight_decay, "0.01", 0, 100, "decoupled weight decay"),
	NUMBER(ALL, momentum, "0.9", 0, 0.999999, "of sgd"),
	NUMBER(ALL, max_grad_norm, "1", 0, 1e30, "gradients are shortened to this norm (0: never)"),
	TEXT(EVERY, mixed_precision, "no", "no (f32) or bf16; the weights that are trained stay f32"),
	FLAG(ALL, gradient_checkpointing, "false", "recompute blocks in the backward pass: less memory, more time"),
	FLAG(ALL, shard_optimizer, "false", "of many processes each keeps a share of the optimizer's state"),
	FLAG(ALL, use_ema, "false", "average the weights over the steps; the average is the result"),
	NUMBER(ALL, ema_decay, "0.9999", 0, 1, "at most; the average of step n decays by (1 + n)/(10 + n) at most"),
	HEADING("Diffusion"),
	TEXT(WORDS, prediction_type, "", "epsilon, v_prediction or flow (default: the model's)"),
	TEXT(WORDS, timestep_sampling, "uniform", "uniform or logit_normal"),
	NUMBER(WORDS, logit_mean, "0", -100, 100, "of logit_normal"),
	NUMBER(WORDS, logit_std, "1", 0, 100, "of logit_normal"),
	NUMBER(WORDS, snr_gamma, "0", 0, 1e6, "min-SNR weighting of the loss, 5 is usual (0: off)"),
	NUMBER(WORDS, noise_offset, "0", 0, 10, "noise that is the same over a channel"),
	FLAG(WORDS, zero_terminal_snr, "false", "the last timestep is noise alone (a new model; of others the file tells)"),
	NUMBER(WORDS, caption_dropout, "0", 0, 1, "share of the captions that are left out, for guidance"),
	NUMBER(D, latent_scale, "0", 0, 1e6,
	    "latents are multiplied by it (0: a model's own; a new one's is measured, 1/std)"),
	FLAG(D | L, train_text_encoder, "false", "train the text encoder as well (a new model's transformer always is)"),
	WHOLE(D, vocabulary_size, "3000", 100, 1000000, "tokens of a learned vocabulary, at most"),
	HEADING("Autoencoder"),
	TEXT(A, reconstruction_loss, "l1", "l1 or l2"),
	NUMBER(A, kl_weight, "1e-6", 0, 1e6, "of the KL term"),
	NUMBER(A, logvar_init, "0", -100, 100, "start of the learned log-variance of the reconstruction"),
	TEXT(A, lpips, "", "perceptual loss by this file: VGG16 and LPIPS' layers (or two files, with a comma between)"),
	NUMBER(A, perceptual_weight, "1", 0, 1e6, "of the perceptual loss"),
	NUMBER(A, disc_weight, "0", 0, 1e6,
	    "train against a patch discriminator, with this share of the gradient; 0.5 is usual"),
	WHOLE(A, disc_start, "50001", 0, 1e12, "the step from which it plays"),
	WHOLE(A, disc_channels, "64", 1, 1024, "of its first layer"),
	WHOLE(A, disc_layers, "3", 1, 6, "its layers that halve the picture"),
	FLAG(A, freeze_encoder, "false", "train the decoder alone: latents stay what they are"),
	HEADING("LoRA"),
	WHOLE(L, network_dim, "16", 1, 4096, "rank"),
	NUMBER(L, network_alpha, "0", 0, 1e6, "the path is scaled by alpha/rank (0: alpha is the rank)"),
	NUMBER(L, network_dropout, "0", 0, 0.99, "share of the values between down and up that are dropped"),
	FLAG(L, network_conv, "false", "paths beside the convolutions of residual blocks and samplers as well (LoCon)"),
	TEXT(L, save_precision, "fp16", "of the file: fp16, bf16 or float"),
	HEADING("DreamBooth"),
	TEXT(WORDS | C, instance_prompt, "", "caption of pictures that have none"),
	TEXT(WORDS | C, class_data_dir, "", "pictures of the class at large, which it is not to forget"),
	TEXT(WORDS | C, class_prompt, "", "caption of those that have none"),
	NUMBER(WORDS, prior_loss_weight, "1", 0, 1e6, "how much their loss counts"),
	HEADING("Textual inversion"),
	TEXT(E, placeholder_token, "", "the new word, as captions and prompts will have it"),
	TEXT(E, initializer_token, "", "a known word to begin from"),
	WHOLE(E, num_vectors, "1", 1, 75, "places that the new word takes in a prompt"),
	HEADING("The run"),
	WHOLE(ALL, checkpointing_steps, "500", 1, 1e12, "steps from checkpoint to checkpoint"),
	WHOLE(ALL, checkpoints_total_limit, "2", 0, 1e6, "the oldest are deleted beyond this (0: never)"),
	WHOLE(ALL, log_steps, "10", 1, 1e9, "steps from line to line of the log"),
	FLAG(ALL, tensorboard, "true", "write the log for TensorBoard too, into output_dir"),
	WHOLE(ALL, profile, "0", 0, 1e9, "after so many steps the time of each node is written to profile.txt (0: never)"),
	WHOLE(ALL, benchmark_loader, "0", 0, 1e9, "read so many batches, tell how fast, and train nothing"),
	TEXT(WORDS, validation_prompts, "", "prompts that are drawn from time to time, separated by |"),
	WHOLE(WORDS, validation_steps, "500", 0, 1e12, "steps from drawing to drawing (0: never)"),
	WHOLE(WORDS, validation_inference_steps, "20", 1, 10000, "denoising steps of a drawing"),
	NUMBER(WORDS, validation_guidance, "4", 0, 100, "how strongly the prompt leads there"),
	WHOLE(ALL, seed, "0", 0, 9e15, "of everything random"),
	WHOLE(EVERY, threads, "0", 0, 4096, "that compute (0: one for each CPU)"),
};
enum { OPTIONS = sizeof table / sizeof *table };

const train_option *train_option_at(int i) { return i >= 0 && i < OPTIONS ? &table[i] : NULL; }

const char *training_job_name(training_job job)
{
	static const char *const names[TRAINING_JOBS] = { "autoencoder", "diffusion", "lora", "embedding", "cache" };
	return job < TRAINING_JOBS ? names[job] : "?";
}

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b)) return false;
	return *a == *b;
}

static const char *nearest_option(const char *name, training_job job)
{
	const char *best = "";
	char wanted[LONGEST_WORD + 1];
	int least = INT_MAX;
	snprintf(wanted, sizeof wanted, "%s", name);
	for (char *c = wanted; *c; c++)
		if (*c == '-') *c = '_';
	for (int i = 0; i < OPTIONS; i++) {
		if (table[i].kind == OPTION_HEADING || !(table[i].jobs & 1u << job)) continue;
		int d = edit_distance(wanted, table[i].name);
		if (d < least) least = d, best = table[i].name;
	}
	return best;
}

static bool set_number(train_options *o, const train_option *t, const char *value, error *e)
{
	char *end;
	errno = 0;
	double x = strtod(value, &end);
	if (end == value || *end || !isfinite(x))
		return fail(e, BAD_USAGE, "--%s is '%s', expected a number", t->name, value);
	bool whole = t->kind == OPTION_WHOLE;
	if (x < t->least || x > t->most || (whole && x != floor(x)))
		return fail(e, BAD_USAGE, "--%s is %s, expected %s from %g to %g", t->name, value,
		    whole ? "a whole number" : "a number", t->least, t->most);
	if (whole)
		*(int64_t *)((char *)o + t->offset) = (int64_t)x;
	else
		*(double *)((char *)o + t->offset) = x;
	return true;
}

static bool set_flag(train_options *o, const train_option *t, const char *value, error *e)
{
	static const char *const yes[] = { "true", "1", "yes", "on" }, *const no[] = { "false", "0", "no", "off" };
	for (int i = 0; i < 4; i++)
		if (!strcasecmp(value, yes[i]) || !strcasecmp(value, no[i])) {
			*(bool *)((char *)o + t->offset) = !strcasecmp(value, yes[i]);
			return true;
		}
	return fail(e, BAD_USAGE, "--%s is '%s', expected true or false", t->name, value);
}

static bool set_text(train_options *o, const train_option *t, const char *value, error *e)
{
	char *copy = strdup(value), **field = (char **)((char *)o + t->offset);
	if (!copy) return fail(e, NO_MEMORY, "no memory for --%s", t->name);
	free(*field);
	*field = copy;
	return true;
}

static bool set(train_options *o, const train_option *t, const char *value, error *e)
{
	switch (t->kind) {
	case OPTION_TEXT: return set_text(o, t, value, e);
	case OPTION_FLAG: return set_flag(o, t, value, e);
	case OPTION_WHOLE:
	case OPTION_NUMBER: return set_number(o, t, value, e);
	default: return true;
	}
}

bool train_options_make(train_options *o, training_job job, error *e)
{
	memset(o, 0, sizeof *o);
	bool fine = true;
	for (int i = 0; i < OPTIONS; i++) fine = fine && set(o, &table[i], table[i].absent, e);
	/* A low-rank path tolerates, and needs, larger steps; a word's vectors larger ones still. */
	if (fine && job == TRAIN_LORA) fine = train_options_set(o, job, "learning_rate", "1e-3", e);
	if (fine && job == TRAIN_EMBEDDING) fine = train_options_set(o, job, "learning_rate", "5e-3", e);
	if (!fine) train_options_free(o);
	return fine;
}

void train_options_free(train_options *o)
{
	for (int i = 0; i < OPTIONS; i++)
		if (table[i].kind == OPTION_TEXT) {
			char **field = (char **)((char *)o + table[i].offset);
			free(*field);
			*field = NULL;
		}
}

bool train_options_set(train_options *o, training_job job, const char *name, const char *value, error *e)
{
	for (int i = 0; i < OPTIONS; i++) {
		if (table[i].kind == OPTION_HEADING || !same_name(name, table[i].name)) continue;
		if (!(table[i].jobs & 1u << job))
			return fail(e, BAD_USAGE, "--%s has no meaning for '%s'", name, training_job_name(job));
		return set(o, &table[i], value, e);
	}
	return fail(e, BAD_USAGE, "no option --%s: did you mean --%s?", name, nearest_option(name, job));
}

static char *joined(const json_t *array)
{
	size_t bytes = 1, i;
	json_t *item;
	json_array_foreach(array, i, item) bytes += json_string_length(item) + 1;
	char *text = calloc(1, bytes);
	if (!text) return NULL;
	json_array_foreach(array, i, item)
	{
		if (i) strcat(text, "|");
		strcat(text, json_is_string(item) ? json_string_value(item) : "");
	}
	return text;
}

/* The value as the command line would give it; the caller frees. */
static char *as_text(const json_t *v)
{
	if (json_is_string(v)) return strdup(json_string_value(v));
	if (json_is_boolean(v)) return strdup(json_is_true(v) ? "true" : "false");
	if (json_is_array(v)) return joined(v);
	return json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}

bool train_options_load(train_options *o, training_job job, const char *path, error *e)
{
	json_error_t j;
	json_t *root = json_load_file(path, 0, &j);
	if (!root) return fail(e, BAD_FILE, "%s: line %d: %s", path, j.line, j.text);
	bool fine = json_is_object(root) || fail(e, BAD_FILE, "%s: expected a JSON object of options", path);
	const char *key;
	json_t *v;
	json_object_foreach(root, key, v)
	{
		if (!fine || key[0] == '#') /* a remark */
			continue;
		char *text = as_text(v);
		fine = text ? train_options_set(o, job, key, text, e) : fail(e, NO_MEMORY, "no memory to read %s", path);
		free(text);
	}
	json_decref(root);
	return fine;
}

static bool one_of(const char *name, const char *value, const char *const *allowed, error *e)
{
	char list[256] = "";
	for (; *allowed; allowed++) {
		if (!strcmp(value, *allowed)) return true;
		size_t n = strlen(list);
		snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", *allowed);
	}
	return fail(e, BAD_USAGE, "--%s is '%s', expected one of %s", name, value, list);
}

bool train_options_check(const train_options *o, training_job job, error *e)
{
	static const char *const optimizers[] = { "adamw", "adamw8bit", "adafactor", "sgd", NULL };
	static const char *const schedulers[] = { "constant", "linear", "cosine", NULL };
	static const char *const precisions[] = { "no", "bf16", NULL };
	static const char *const predictions[] = { "", "epsilon", "v_prediction", "flow", NULL };
	static const char *const samplings[] = { "uniform", "logit_normal", NULL };
	static const char *const save_precisions[] = { "fp16", "bf16", "float", NULL };
	static const char *const stored[] = { "f32", "f16", "bf16", NULL };
	static const char *const losses[] = { "l1", "l2", NULL };
	if (!*o->train_data_dir) return fail(e, BAD_USAGE, "--train_data_dir is missing: the folder of pictures");
	if (!*o->output)
		return fail(e, BAD_USAGE, "--output is missing: the %s to write", job == TRAIN_CACHE ? "folder" : "model");
	if (job == TRAIN_CACHE && !*o->model && !*o->vae)
		return fail(e, BAD_USAGE, "--model is missing: the checkpoint whose latents are to be kept");
	if (job == TRAIN_LORA && !*o->model)
		return fail(e, BAD_USAGE, "--model is missing: the checkpoint that the LoRA is for");
	if (job == TRAIN_EMBEDDING && !*o->model)
		return fail(e, BAD_USAGE, "--model is missing: the checkpoint that learns the word");
	if (job == TRAIN_EMBEDDING && !*o->placeholder_token)
		return fail(e, BAD_USAGE, "--placeholder_token is missing: the new word");
	if (job == TRAIN_EMBEDDING && !*o->initializer_token)
		return fail(e, BAD_USAGE, "--initializer_token is missing: a known word to begin from");
	if (job == TRAIN_DIFFUSION && !*o->model && !*o->model_config)
		return fail(e, BAD_USAGE, "--model (a checkpoint to start from) or --model_config (a new model) is missing");
	if (job == TRAIN_AUTOENCODER && !*o->model && !*o->model_config)
		return fail(e, BAD_USAGE, "--model (an autoencoder to start from) or --model_config (a new one) is missing");
	if (o->crop > o->resolution && o->resolution)
		return fail(
		    e, BAD_USAGE, "--crop is %lld, more than --resolution %lld", (long long)o->crop, (long long)o->resolution);
	return one_of("optimizer", o->optimizer, optimizers, e) && one_of("lr_scheduler", o->lr_scheduler, schedulers, e) &&
	       one_of("mixed_precision", o->mixed_precision, precisions, e) &&
	       one_of("prediction_type", o->prediction_type, predictions, e) &&
	       one_of("timestep_sampling", o->timestep_sampling, samplings, e) &&
	       one_of("save_precision", o->save_precision, save_precisions, e) &&
	       one_of("cache_precision", o->cache_precision, stored, e) &&
	       one_of("reconstruction_loss", o->reconstruction_loss, losses, e);
}
