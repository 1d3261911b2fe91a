/* options_table.c - every training option: its name, the jobs it has a meaning for, its default, its range, and what it
 * means to a resumed run that another value is given. And the names by which other tools call the same. */
#include "train/run/options.h"
#include <string.h>

enum { /* sets of jobs */
	A = 1 << TRAIN_AUTOENCODER,
	D = 1 << TRAIN_DIFFUSION,
	L = 1 << TRAIN_LORA,
	E = 1 << TRAIN_EMBEDDING,
	N = 1 << TRAIN_CONTROLNET,
	DRAWN = D | L | E, /* whose samples are drawn from words alone */
	WORDS = DRAWN | N, /* pictures from words */
	C = 1 << TRAIN_CACHE,
	ALL = A | WORDS,
	EVERY = ALL | C
};

#define HEADING(text)                        \
	{                                        \
		.kind = OPTION_HEADING, .help = text \
	}
#define OPTION(what, in, field, standard, then)                                                             \
	.name = #field, .kind = what, .jobs = in, .offset = offsetof(train_options, field), .absent = standard, \
	.resumed = then
#define TEXT(jobs, field, absent, resumed, words)                                       \
	{                                                                                   \
		OPTION(OPTION_TEXT, jobs, field, absent, resumed), .choices = "", .help = words \
	}
#define CHOICE(jobs, field, absent, values, resumed, words)                                 \
	{                                                                                       \
		OPTION(OPTION_TEXT, jobs, field, absent, resumed), .choices = values, .help = words \
	}
#define FLAG(jobs, field, absent, resumed, words)                        \
	{                                                                    \
		OPTION(OPTION_FLAG, jobs, field, absent, resumed), .help = words \
	}
#define WHOLE(jobs, field, absent, from, to, resumed, words)                                         \
	{                                                                                                \
		OPTION(OPTION_WHOLE, jobs, field, absent, resumed), .least = from, .most = to, .help = words \
	}
#define NUMBER(jobs, field, absent, from, to, resumed, words)                                         \
	{                                                                                                 \
		OPTION(OPTION_NUMBER, jobs, field, absent, resumed), .least = from, .most = to, .help = words \
	}

static const train_option table[] = {
	HEADING("Files"),
	TEXT(EVERY, train_data_dir, "", REPORTED,
	    "folder of pictures with captions, imagefolder with metadata.jsonl, or WebDataset tars"),
	TEXT(EVERY, output, "", FREE, "the model to write, NAME.safetensors; of cache the folder"),
	TEXT(ALL, output_dir, "", FREE,
	    "folder for checkpoints, log and samples (default: NAME.training in the output's folder)"),
	TEXT(ALL | C, model, "", FREE, "checkpoint to start from; without it a new model begins from random weights"),
	TEXT(A | D, model_config, "", FREE, "a new model's shape: a family's name, a JSON file or its content"),
	TEXT(WORDS | C, vae, "", FREE, "file with the autoencoder (as `train autoencoder` writes it)"),
	TEXT(WORDS | C, clip_l, "", FREE, "file with Stable Diffusion 3's first text encoder, where --model lacks it"),
	TEXT(WORDS | C, clip_g, "", FREE, "the second one"),
	TEXT(WORDS | C, t5xxl, "", FREE, "the third one; an encoder that is nowhere leaves its part to zeros"),
	TEXT(D, vocabulary, "", FREE,
	    "WordPiece vocabulary, a token a line, or the .safetensors that has one (default: learned from the captions)"),
	TEXT(ALL, resume_from_checkpoint, "", FREE, "latest, or a checkpoint of this run"),
	HEADING("Data"),
	WHOLE(EVERY, resolution, "0", 0, 4096, REPORTED,
	    "the shorter side of a picture after resizing (default: the model's size)"),
	WHOLE(EVERY, crop, "0", 0, 4096, REPORTED, "side of the square cut from it (default: resolution)"),
	FLAG(A | DRAWN, random_crop, "false", REPORTED, "cut at a random place, not from the centre"),
	FLAG(A | DRAWN, random_flip, "false", REPORTED, "mirror half of the pictures"),
	FLAG(WORDS | C, require_captions, "false", FREE, "refuse a set in which a picture has no caption"),
	FLAG(WORDS, vary_captions, "true", REPORTED,
	    "where a picture has keywords: name (half of the time), name and keywords, or keywords"),
	FLAG(DRAWN, cache_latents, "true", FREE, "encode every picture once, before the first step, to NAME.cache"),
	FLAG(D | L | C, cache_text, "true", FREE,
	    "keep the states of text encoders with the latents (not of one that is trained, nor of captions that vary)"),
	CHOICE(D | L | C, cache_precision, "f32", "f32=fp32=float|f16=fp16=half|bf16", FREE,
	    "what is kept as: f32, f16 or bf16"),
	WHOLE(
	    WORDS | C, bucket_step, "0", 0, 512, REPORTED, "aspect buckets: sizes are multiples of this (0: squares only)"),
	WHOLE(WORDS | C, bucket_min, "256", 8, 4096, REPORTED, "the shortest side of a bucket"),
	WHOLE(WORDS | C, bucket_max, "1024", 8, 4096, REPORTED, "the longest side of a bucket"),
	WHOLE(ALL, train_batch_size, "16", 1, 65536, FIXED, "samples of a step of one process"),
	WHOLE(ALL, gradient_accumulation_steps, "1", 1, 65536, FIXED, "batches whose gradients are averaged before a step"),
	WHOLE(EVERY, dataloader_threads, "1", 1, 256, FREE, "threads that decode pictures"),
	WHOLE(ALL, shuffle_buffer, "2000", 1, 1000000, REPORTED, "samples of a stream among which is shuffled"),
	HEADING("Optimization"),
	CHOICE(ALL, optimizer, "adamw", "adamw|adamw8bit|adafactor|sgd", FIXED, "adamw, adamw8bit, adafactor or sgd"),
	NUMBER(ALL, learning_rate, "1e-4", 0, 100, REPORTED,
	    "the highest learning rate; small models, and LoRAs of a few hundred steps, bear 1e-3"),
	NUMBER(WORDS, embedding_lr, "0", 0, 1e6, REPORTED,
	    "that of the text encoder's table of tokens, where it is trained (0: the same)"),
	CHOICE(ALL, lr_scheduler, "constant", "constant=constant_with_warmup|linear|cosine", REPORTED,
	    "constant, linear or cosine: how it goes on after the warm-up"),
	WHOLE(ALL, lr_warmup_steps, "0", 0, 1e12, REPORTED, "steps in which it rises from 0"),
	WHOLE(ALL, max_train_steps, "1000", 1, 1e12, REPORTED, "steps of the whole run"),
	NUMBER(ALL, adam_beta1, "0.9", 0, 0.999999, REPORTED, "decay of the first moment"),
	NUMBER(ALL, adam_beta2, "0.999", 0, 0.99999999, REPORTED, "decay of the second moment"),
	NUMBER(ALL, adam_epsilon, "1e-8", 0, 1, REPORTED, "added to the root of the second moment"),
	NUMBER(ALL, adam_weight_decay, "0.01", 0, 100, REPORTED, "decoupled weight decay"),
	NUMBER(ALL, momentum, "0.9", 0, 0.999999, REPORTED, "of sgd"),
	NUMBER(ALL, max_grad_norm, "1", 0, 1e30, REPORTED, "gradients are shortened to this norm (0: never)"),
	CHOICE(EVERY, mixed_precision, "no", "no=f32=fp32=float|bf16", REPORTED,
	    "no (f32) or bf16; the weights that are trained stay f32"),
	FLAG(ALL, gradient_checkpointing, "false", FREE, "recompute blocks in the backward pass: less memory, more time"),
	FLAG(ALL, shard_optimizer, "false", FREE, "of many processes each keeps a share of the optimizer's state"),
	FLAG(ALL, use_ema, "false", FIXED, "average the weights over the steps; the average is the result"),
	NUMBER(
	    ALL, ema_decay, "0.9999", 0, 1, REPORTED, "at most; the average of step n decays by (1 + n)/(10 + n) at most"),
	HEADING("Diffusion"),
	CHOICE(WORDS, prediction_type, "", "epsilon=eps|v_prediction=v|flow=flow_prediction", FIXED,
	    "epsilon, v_prediction or flow (default: the model's)"),
	CHOICE(WORDS, weighting_scheme, "", "none=uniform|logit_normal|mode|cosmap|sigma_sqrt", REPORTED,
	    "times and weights of the loss: none (uniform times), logit_normal, mode; of flow also cosmap, sigma_sqrt "
	    "(default: logit_normal of Stable Diffusion 3, else none)"),
	NUMBER(WORDS, logit_mean, "0", -100, 100, REPORTED, "of logit_normal"),
	NUMBER(WORDS, logit_std, "1", 0, 100, REPORTED, "of logit_normal"),
	NUMBER(WORDS, mode_scale, "1.29", -2, 2, REPORTED, "of mode: how much more often times in the middle come"),
	NUMBER(WORDS, flow_shift, "0", 0, 100, REPORTED,
	    "shift of the times of flow towards noise (0: the model's, 3 of Stable Diffusion 3; 1: none)"),
	NUMBER(WORDS, snr_gamma, "0", 0, 1e6, REPORTED, "min-SNR weighting of the loss, 5 is usual (0: off)"),
	NUMBER(WORDS, noise_offset, "0", 0, 10, REPORTED, "noise that is the same over a channel"),
	FLAG(WORDS, zero_terminal_snr, "false", FIXED,
	    "the last timestep is noise alone (a new model; others keep what their file says)"),
	NUMBER(WORDS, caption_dropout, "0", 0, 1, REPORTED, "share of the captions that are left out, for guidance"),
	CHOICE(WORDS, dropped_captions, "empty", "empty|zeros", REPORTED,
	    "what a caption that is left out becomes: empty (an empty prompt, as generate reads it), or zeros in place of "
	    "all states (as generate --zero-negative)"),
	WHOLE(WORDS | C, max_sequence_length, "0", 0, 512, REPORTED, "tokens that T5 reads of a caption (0: 77)"),
	NUMBER(D, latent_scale, "0", 0, 1e6, FREE,
	    "latents are multiplied by it (0: a model's own; a new one's is measured, 1/std)"),
	FLAG(D | L, train_text_encoder, "false", FIXED,
	    "train the text encoders as well, but for T5 (a new model's transformer always is)"),
	WHOLE(D, vocabulary_size, "3000", 100, 1000000, FREE, "tokens of a learned vocabulary, at most"),
	HEADING("Autoencoder"),
	CHOICE(A, reconstruction_loss, "l1", "l1|l2", REPORTED, "l1 or l2"),
	NUMBER(A, kl_weight, "1e-6", 0, 1e6, REPORTED, "of the KL term"),
	NUMBER(A, logvar_init, "0", -100, 100, REPORTED, "start of the learned log-variance of the reconstruction"),
	TEXT(A, lpips, "", REPORTED,
	    "perceptual loss by this file: VGG16 and LPIPS' layers (or two files, with a comma between)"),
	NUMBER(A, perceptual_weight, "1", 0, 1e6, REPORTED, "of the perceptual loss"),
	NUMBER(A, disc_weight, "0", 0, 1e6, REPORTED,
	    "train against a patch discriminator, with this share of the gradient; 0.5 is usual"),
	WHOLE(A, disc_start, "50001", 0, 1e12, REPORTED, "the step from which it plays"),
	WHOLE(A, disc_channels, "64", 1, 1024, FIXED, "of its first layer"),
	WHOLE(A, disc_layers, "3", 1, 6, FIXED, "its layers that halve the picture"),
	FLAG(A, freeze_encoder, "false", FIXED, "train the decoder alone: latents stay what they are"),
	HEADING("LoRA"),
	WHOLE(L, network_dim, "16", 1, 4096, FIXED, "rank"),
	NUMBER(L, network_alpha, "0", 0, 1e6, FIXED, "the path is scaled by alpha/rank (0: alpha is the rank)"),
	NUMBER(L, network_dropout, "0", 0, 0.99, REPORTED, "share of the values between down and up that are dropped"),
	FLAG(L, network_conv, "false", FIXED,
	    "paths parallel to the convolutions of residual blocks and samplers as well (LoCon)"),
	CHOICE(L, network_keys, "kohya", "kohya|peft=diffusers", FREE,
	    "names in the file: kohya, which most tools read, or peft, which diffusers needs for Stable Diffusion 3"),
	CHOICE(L, save_precision, "fp16", "fp16=f16=half|bf16|float=f32=fp32", FREE, "of the file: fp16, bf16 or float"),
	HEADING("DreamBooth"),
	TEXT(WORDS | C, instance_prompt, "", REPORTED, "caption of pictures that have none"),
	TEXT(WORDS | C, class_data_dir, "", REPORTED, "pictures of the class at large, which it is not to forget"),
	TEXT(WORDS | C, class_prompt, "", REPORTED, "caption of those that have none"),
	NUMBER(WORDS, prior_loss_weight, "1", 0, 1e6, REPORTED, "how much their loss counts"),
	HEADING("Textual inversion"),
	TEXT(E, placeholder_token, "", FIXED, "the new word, as captions and prompts will have it"),
	TEXT(E, initializer_token, "", FREE, "a known word to begin from"),
	WHOLE(E, num_vectors, "1", 1, 75, FIXED, "places that the new word takes in a prompt"),
	HEADING("ControlNet"),
	TEXT(N, conditioning_data_dir, "", REPORTED,
	    "pictures that it learns to follow: of the same names as those in train_data_dir, with any ending"),
	TEXT(N, controlnet, "", FREE, "a control network to go on with (default: a copy of the model's U-Net)"),
	HEADING("The run"),
	WHOLE(ALL, checkpointing_steps, "500", 1, 1e12, FREE, "steps from checkpoint to checkpoint"),
	WHOLE(ALL, checkpoints_total_limit, "2", 0, 1e6, FREE, "the oldest are deleted beyond this (0: never)"),
	WHOLE(ALL, log_steps, "10", 1, 1e9, FREE, "steps from line to line of the log"),
	FLAG(ALL, tensorboard, "true", FREE, "write the log for TensorBoard too, into output_dir"),
	WHOLE(ALL, profile, "0", 0, 1e9, FREE,
	    "after so many steps the time of each node is written to profile.txt (0: never)"),
	FLAG(ALL, plan, "false", FREE, "report what memory the run takes, and train nothing"),
	WHOLE(ALL, benchmark_loader, "0", 0, 1e9, FREE, "read so many batches, report the speed, and train nothing"),
	TEXT(WORDS, validation_prompts, "", FREE, "prompts that are drawn from time to time, separated by |"),
	TEXT(N, validation_images, "", FREE,
	    "pictures to follow there, separated by |: one for each prompt, or one for all (default: the first of the "
	    "set)"),
	WHOLE(
	    WORDS, validation_steps, "500", 0, 1e12, FREE, "steps from drawing to drawing, and after the last (0: never)"),
	WHOLE(WORDS, validation_inference_steps, "20", 1, 10000, FREE, "denoising steps of a drawing"),
	NUMBER(
	    WORDS, validation_guidance, "-1", -1, 100, FREE, "how strongly the prompt leads there (-1: the model's own)"),
	WHOLE(ALL, seed, "0", 0, 9e15, FIXED, "of everything random"),
	WHOLE(EVERY, threads, "0", 0, 4096, FREE, "that compute (0: one for each CPU)"),
	TEXT(EVERY, device, "cpu", REPORTED,
	    "what computes: cpu, cuda (a GPU; of many processes each takes one), cuda:N, or auto: a GPU where there is "
	    "one"),
};
enum { OPTIONS = sizeof table / sizeof *table };

const train_option *train_option_at(int i) { return i >= 0 && i < OPTIONS ? &table[i] : NULL; }

/* ── defaults of one job ── */
static const struct own_default {
	unsigned jobs;
	const char *name, *value;
} own_defaults[] = {
	{ L | E | N, "train_batch_size", "1" }, { N, "cache_latents", "false" }, { C, "cache_precision", "f16" },
	{ E, "learning_rate", "5e-3" }, /* a word's vectors tolerate, and need, larger steps */
};

const char *train_option_default(const train_option *o, training_job job)
{
	for (size_t i = 0; i < sizeof own_defaults / sizeof *own_defaults; i++)
		if ((own_defaults[i].jobs & 1u << job) && !strcmp(own_defaults[i].name, o->name)) return own_defaults[i].value;
	return o->absent;
}

/* ── names of other tools: of diffusers' and kohya's scripts, and what people type ── */
static const train_synonym synonyms[] = {
	{ "pretrained_model_name_or_path", "model", true },
	{ "pretrained_model", "model", true },
	{ "instance_data_dir", "train_data_dir", true },
	{ "vae_path", "vae", true },
	{ "resume", "resume_from_checkpoint", true },
	{ "optimizer_type", "optimizer", true },
	{ "lr_scheduler_type", "lr_scheduler", true },
	{ "min_snr_gamma", "snr_gamma", true },
	{ "caption_dropout_rate", "caption_dropout", true },
	{ "lora_rank", "network_dim", true },
	{ "lora_alpha", "network_alpha", true },
	{ "lora_dropout", "network_dropout", true },
	{ "flip_aug", "random_flip", true },
	{ "bucket_reso_steps", "bucket_step", true },
	{ "min_bucket_reso", "bucket_min", true },
	{ "max_bucket_reso", "bucket_max", true },
	{ "dataloader_num_workers", "dataloader_threads", true },
	{ "max_data_loader_n_workers", "dataloader_threads", true },
	{ "controlnet_model_name_or_path", "controlnet", true },
	{ "token_string", "placeholder_token", true },
	{ "init_word", "initializer_token", true },
	{ "num_vectors_per_token", "num_vectors", true },
	{ "validation_prompt", "validation_prompts", true },
	{ "validation_image", "validation_images", true },
	{ "sample_every_n_steps", "validation_steps", true },
	{ "lr", "learning_rate", false },
	{ "rank", "network_dim", false },
	{ "dim", "network_dim", false },
	{ "alpha", "network_alpha", false },
	{ "steps", "max_train_steps", false },
	{ "max_steps", "max_train_steps", false },
	{ "num_train_epochs", "max_train_steps", false },
	{ "max_train_epochs", "max_train_steps", false },
	{ "epochs", "max_train_steps", false },
	{ "batch_size", "train_batch_size", false },
	{ "unet_lr", "learning_rate", false },
	{ "text_encoder_lr", "learning_rate", false },
	{ "scale_lr", "learning_rate", false },
	{ "output_name", "output", false },
	{ "logging_dir", "output_dir", false },
	{ "save_every_n_steps", "checkpointing_steps", false },
	{ "save_every_n_epochs", "checkpointing_steps", false },
	{ "save_last_n_steps", "checkpoints_total_limit", false },
	{ "sample_prompts", "validation_prompts", false },
	{ "num_validation_images", "validation_prompts", false },
	{ "validation_epochs", "validation_steps", false },
	{ "sample_every_n_epochs", "validation_steps", false },
	{ "use_8bit_adam", "optimizer adamw8bit", false },
	{ "v_parameterization", "prediction_type v_prediction", false },
	{ "enable_bucket", "bucket_step 64", false },
	{ "center_crop", "random_crop false", false },
	{ "network_train_unet_only", "train_text_encoder false", false },
	{ "with_prior_preservation", "class_data_dir", false },
	{ "reg_data_dir", "class_data_dir", false },
	{ "timestep_sampling", "weighting_scheme", true },
	{ "training_shift", "flow_shift", true },
	{ "shift", "flow_shift", true },
	{ "t5xxl_max_token_length", "max_sequence_length", true },
	{ "dataset_name", "train_data_dir", false },
	{ "dataset_config", "config", false },
	{ "config_file", "config", false },
};

const train_synonym *train_synonym_at(int i)
{
	return i >= 0 && i < (int)(sizeof synonyms / sizeof *synonyms) ? &synonyms[i] : NULL;
}
