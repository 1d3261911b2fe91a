/* options.h - what a training run is asked to do: a struct, and the table of names by which the command line, a
 * configuration file and the C API set it. The names are those that diffusers' and kohya's scripts made familiar. */
#ifndef SUMI_TRAIN_OPTIONS_H
#define SUMI_TRAIN_OPTIONS_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef enum training_job {
	TRAIN_AUTOENCODER,
	TRAIN_DIFFUSION,
	TRAIN_LORA,
	TRAIN_EMBEDDING,
	TRAIN_CONTROLNET,
	TRAIN_CACHE,
	TRAINING_JOBS
} training_job;
const char *training_job_name(training_job job); /* "autoencoder", "diffusion", … */

/* Texts are owned by the struct and never NULL ("" is not given). */
typedef struct train_options {
	training_job job; /* whose options they are */
	/* files */
	char *train_data_dir, *output, *output_dir, *model, *model_config, *vae, *clip_l, *clip_g, *t5xxl, *vocabulary;
	char *resume_from_checkpoint; /* "latest", a file, or "" */
	/* data */
	int64_t resolution, crop, train_batch_size, gradient_accumulation_steps, dataloader_threads, shuffle_buffer;
	bool random_crop, random_flip, require_captions, vary_captions, cache_latents, cache_text;
	char *cache_precision;
	int64_t bucket_step, bucket_min, bucket_max;
	/* optimization */
	char *optimizer, *lr_scheduler, *mixed_precision;
	double learning_rate, embedding_lr, adam_beta1, adam_beta2, adam_epsilon, adam_weight_decay, momentum,
	    max_grad_norm;
	int64_t lr_warmup_steps, max_train_steps;
	bool gradient_checkpointing, use_ema, shard_optimizer;
	double ema_decay;
	/* diffusion */
	char *prediction_type, *weighting_scheme, *dropped_captions;
	double snr_gamma, noise_offset, caption_dropout, latent_scale, logit_mean, logit_std, mode_scale, flow_shift;
	bool zero_terminal_snr, train_text_encoder;
	int64_t vocabulary_size, max_sequence_length;
	/* autoencoder */
	char *reconstruction_loss;
	double kl_weight, logvar_init, perceptual_weight, disc_weight;
	char *lpips;
	int64_t disc_start, disc_channels, disc_layers;
	bool freeze_encoder;
	/* lora */
	int64_t network_dim;
	double network_alpha, network_dropout;
	bool network_conv;
	char *save_precision, *network_keys;
	/* DreamBooth, textual inversion */
	char *instance_prompt, *class_data_dir, *class_prompt, *placeholder_token, *initializer_token;
	double prior_loss_weight;
	int64_t num_vectors;
	/* ControlNet */
	char *conditioning_data_dir, *controlnet;
	/* the run */
	int64_t checkpointing_steps, checkpoints_total_limit, log_steps, validation_steps, validation_inference_steps, seed,
	    threads, profile, benchmark_loader;
	bool tensorboard, plan;
	char *device;               /* what computes, as backend_named() has it */
	char *validation_prompts;   /* separated by "|" */
	char *validation_images;    /* what a control network reads for them, separated by "|" too */
	double validation_guidance; /* −1: the model's own */
} train_options;

/* How a run that resumes from a checkpoint takes another value of an option than the checkpoint's. */
typedef enum resumed_with {
	FREE,     /* ignored: paths, speed, intervals of checkpoints and notes */
	REPORTED, /* permitted, with a warning */
	FIXED     /* refused: it would change the meaning of the checkpoint's values */
} resumed_with;

/* The table, in the order of --help. */
typedef struct train_option {
	const char *name; /* without "--"; NULL for a heading, which is in help */
	enum { OPTION_HEADING, OPTION_TEXT, OPTION_WHOLE, OPTION_NUMBER, OPTION_FLAG } kind;
	unsigned jobs; /* bit 1 << job: has a meaning there */
	size_t offset;
	const char *absent; /* the default, as text, where a job has none of its own: see train_option_default() */
	double least, most; /* of numbers, both included */
	/* Of a text that is one of a few: "no=f32|bf16", the value and after "=" other spellings of it; "": any text. */
	const char *choices;
	const char *help;
	resumed_with resumed;
} train_option;
const train_option *train_option_at(int i); /* NULL past the last */
const char *train_option_default(const train_option *o, training_job job);

/* A name by which other tools call an option. */
typedef struct train_synonym {
	const char *theirs, *ours; /* ours may be followed by a value: "optimizer adamw8bit" */
	bool same;                 /* it means the same, and is taken for ours; else ours is suggested */
} train_synonym;
const train_synonym *train_synonym_at(int i); /* NULL past the last */

/* The option of a job that a name means. Case does not count, '-' and '_' are one, and names of other tools that mean
 * the same are known. Unknown names, with the nearest known one, and those of other jobs are BAD_USAGE: NULL. */
const train_option *train_option_find(training_job job, const char *name, error *e);

/* The defaults of a job. Free with train_options_free. */
bool train_options_make(train_options *o, training_job job, error *e);
void train_options_free(train_options *o);
/* Sets one option from text ("1e-4", "true"); the name as train_option_find() has it. Numbers out of range or not
 * finite, and values that are not among the choices, are BAD_USAGE. Case does not count for choices and flags. */
bool train_options_set(train_options *o, training_job job, const char *name, const char *value, error *e);
/* The value of an option as train_options_set() would take it, cut to fit. */
void train_option_text(const train_options *o, const train_option *t, char *text, size_t size);
/* Sets what a JSON object names: {"learning_rate": 1e-4, "model_config": {…}, "validation_prompts": ["a", "b"]}. An
 * object is kept as its JSON text, an array of texts is joined with "|". */
bool train_options_load(train_options *o, training_job job, const char *path, error *e);
/* Required options, those that contradict each other, and outputs that would overwrite an input. */
bool train_options_check(const train_options *o, training_job job, error *e);

#endif
