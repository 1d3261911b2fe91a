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
	TRAIN_CACHE,
	TRAINING_JOBS
} training_job;
const char *training_job_name(training_job job); /* "autoencoder", "diffusion", … */

/* Texts are owned by the struct and never NULL ("" is not given). */
typedef struct train_options {
	/* files */
	char *train_data_dir, *output, *output_dir, *model, *model_config, *vae, *vocabulary;
	char *resume_from_checkpoint; /* "latest", a file, or "" */
	/* data */
	int64_t resolution, crop, train_batch_size, gradient_accumulation_steps, dataloader_threads, shuffle_buffer;
	bool random_crop, random_flip, vary_captions, cache_latents, cache_text;
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
	char *prediction_type, *timestep_sampling;
	double snr_gamma, noise_offset, caption_dropout, latent_scale, logit_mean, logit_std;
	bool zero_terminal_snr, train_text_encoder;
	int64_t vocabulary_size;
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
	char *save_precision;
	/* DreamBooth, textual inversion */
	char *instance_prompt, *class_data_dir, *class_prompt, *placeholder_token, *initializer_token;
	double prior_loss_weight;
	int64_t num_vectors;
	/* the run */
	int64_t checkpointing_steps, checkpoints_total_limit, log_steps, validation_steps, validation_inference_steps, seed,
	    threads, profile, benchmark_loader;
	bool tensorboard;
	char *validation_prompts; /* separated by "|" */
	double validation_guidance;
} train_options;

/* The table, in the order of --help. */
typedef struct train_option {
	const char *name; /* without "--"; "" for a heading, which is in help */
	enum { OPTION_HEADING, OPTION_TEXT, OPTION_WHOLE, OPTION_NUMBER, OPTION_FLAG } kind;
	unsigned jobs; /* bit 1 << job: has a meaning there */
	size_t offset;
	const char *absent; /* the default, as text */
	double least, most; /* of numbers, both included */
	const char *help;
} train_option;
const train_option *train_option_at(int i); /* NULL past the last */

/* The defaults of a job. Free with train_options_free. */
bool train_options_make(train_options *o, training_job job, error *e);
void train_options_free(train_options *o);
/* Sets one option from text ("1e-4", "true"). '-' and '_' are one. Unknown names (with the nearest known one), numbers
 * out of range or not finite are BAD_USAGE. */
bool train_options_set(train_options *o, training_job job, const char *name, const char *value, error *e);
/* Sets what a JSON object names: {"learning_rate": 1e-4, "model_config": {…}, "validation_prompts": ["a", "b"]}. An
 * object is kept as its JSON text, an array of texts is joined with "|". */
bool train_options_load(train_options *o, training_job job, const char *path, error *e);
/* Required options, and those that contradict each other. */
bool train_options_check(const train_options *o, training_job job, error *e);

#endif
