/* model_options.h - the options that say which files a model is made of and what computes it: the same for every
 * command that opens one. A command has the structs below in its own and the rows in its table. */
#ifndef SUMI_CLI_MODEL_OPTIONS_H
#define SUMI_CLI_MODEL_OPTIONS_H
#include "cli/options.h"
#include <sumi.h>

typedef struct model_settings {
	const char *vae, *taesd, *clip_l, *clip_g, *t5xxl, *prediction, *lora_folder, *embedding_folder;
	text_list loras;
} model_settings;

typedef struct machine_settings {
	const char *device, *type;
	long long threads, max_memory;
} machine_settings;

/* clang-format off */
/* `field`: of the command's struct, with model_settings. */
#define MODEL_ROWS(field)                                                                                               \
	{ .name = "vae", .kind = TEXT, AT(field.vae), .argument = "FILE", .help = "another autoencoder" },                  \
	{ .name = "clip_l", .alias = "clip-l", .kind = TEXT, AT(field.clip_l), .argument = "FILE",                          \
	    .help = "the text encoder CLIP-L, of Stable Diffusion 3 or in place of a model's own" },                        \
	{ .name = "clip_g", .alias = "clip-g", .kind = TEXT, AT(field.clip_g), .argument = "FILE",                          \
	    .help = "… OpenCLIP's, of SDXL and Stable Diffusion 3" },                                                       \
	{ .name = "t5xxl", .kind = TEXT, AT(field.t5xxl), .argument = "FILE", .help = "… T5, of Stable Diffusion 3" },      \
	{ .name = "prediction", .kind = TEXT, AT(field.prediction), .argument = "epsilon|v|x0|flow",                        \
	    .help = "what the denoiser's output means, where the file does not say it" },                                   \
	{ .name = "taesd", .kind = TEXT, AT(field.taesd), .argument = "FILE",                                               \
	    .help = "decode with a tiny autoencoder: fast, rough" },                                                        \
	{ .name = "lora", .kind = TEXTS, AT(field.loras), .argument = "FILE[:W]",                                           \
	    .help = "add a LoRA (or DoRA, LoHa, LoKr, OFT, …) with weight W, or TE:UNET, or lbw=W,W,…; may be repeated" },                            \
	{ .name = "lora-model-dir", .kind = TEXT, AT(field.lora_folder), .argument = "DIR",                                 \
	    .help = "where <lora:name:weight> finds its file (the model's folder)" },                                       \
	{ .name = "embd-dir", .kind = TEXT, AT(field.embedding_folder), .argument = "DIR",                                  \
	    .help = "words learned by textual inversion: NAME.safetensors is used where the prompt says NAME" }

/* `field`: of the command's struct, with machine_settings. */
#define MACHINE_ROWS(field)                                                                                             \
	{ .name = "device", .kind = TEXT, AT(field.device), .argument = "DEVICE",                                           \
	    .help = "compute on: cpu, cuda[:N] a GPU, or auto, a GPU where there is one (cpu)" },                           \
	{ .name = "threads", .letter = 't', .kind = INTEGER, AT(field.threads), 1, 1024, "N", NULL, "(one for each CPU)" }, \
	{ .name = "type", .kind = TEXT, AT(field.type), .argument = "f32|bf16",                                             \
	    .help = "compute in (bf16 on a GPU, and where the CPU has it)" },                                               \
	{ .name = "max-memory", .kind = BYTES, AT(field.max_memory), 1 << 20, 1e15, "SIZE", NULL,                           \
	    "take at most so much, e.g. 6G: plan for it, or refuse (what is free)" }
/* clang-format on */

/* As sumi_open() takes them; valid as long as what they are made of. */
sumi_model_options model_options(const model_settings *model, const machine_settings *machine, const sumi_listener *l);

#endif
