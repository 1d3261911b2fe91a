/* generate.c - sumi generate: from options to pictures in files. */
#include "cli/again.h"
#include "cli/commands.h"
#include "cli/controls.h"
#include "cli/numbering.h"
#include "cli/options.h"
#include "cli/prompt_list.h"
#include "cli/sweep.h"
#include "cli/viewer.h"
#include "cli/wildcards.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

typedef struct settings {
	const char *model, *from, *prompt, *prompt_file, *negative, *output;
	const char *init, *mask, *prediction, *vae, *clip_l, *clip_g, *t5xxl, *taesd, *lora_folder, *embedding_folder;
	const char *sampler, *schedule, *rng, *type, *device, *prompt_to;
	const char *original, *crop, *target, *refiner, *guidance_method, *skip_layers;
	text_list loras, control_nets, control_images, control_modes;
	long long width, height, steps, seed, count, clip_skip, threads, max_memory;
	long long variation_seed, frames;
	double blend, variation;
	double guidance, rescale, skip_from, skip_to, eta, strength;
	double shift, aesthetic, negative_aesthetic, refiner_start, slg_scale, pag_scale, skip_layer_start, skip_layer_end;
	const char *pag_layers, *free_u;
	long long tile_size;
	const char *mask_fill, *extend, *resize_mode;
	double mask_blur;
	long long mask_padding;
	const char *hires_upscaler;
	double hires_scale, hires_strength;
	long long hires_steps;
	bool hires, invert_mask, soft_mask, only_masked;
	const char *preview, *preview_by, *show_as, *prompts, *wildcards;
	text_list grid;
	bool show, zero_negative, tiling, no_metadata, verbose, quiet;
	char wanted_hash[16]; /* of the model that made the picture of --from; "": unknown */
} settings;

#define AT(field) offsetof(settings, field)
/* clang-format off */
static const option table[] = {
	{ .name = "What to draw", .kind = HEADING },
	{ .name = "prompt", .letter = 'p', .kind = TEXT, AT(prompt), .argument = "WORDS",
	    .help = "what the picture shows; (more:1.2) [less] [a|b] [from:to:0.5] AND BREAK <lora:name:0.8>" },
	{ .name = "from", .kind = TEXT, AT(from), .argument = "PICTURE",
	    .help = "take the options that made this picture, as its text says them; others given here go before them" },
	{ .name = "prompt-file", .kind = TEXT, AT(prompt_file), .argument = "FILE",
	    .help = "read the prompt; -: from stdin" },
	{ .name = "negative-prompt", .letter = 'n', .kind = TEXT, AT(negative), .argument = "WORDS",
	    .help = "what the picture should not show" },
	{ .name = "width", .letter = 'W', .kind = INTEGER, AT(width), 8, 65536, "PIXELS",
	    .help = "a multiple of 8 (what the model was made for)", .multiple_of_8 = true },
	{ .name = "height", .letter = 'H', .kind = INTEGER, AT(height), 8, 65536, "PIXELS",
	    .help = "a multiple of 8 (what the model was made for)", .multiple_of_8 = true },
	{ .name = "seed", .letter = 's', .kind = INTEGER, AT(seed), -1, MOST_SEED, "N", "42",
	    "the same seed draws the same picture; -1: random" },
	{ .name = "batch-count", .letter = 'b', .kind = INTEGER, AT(count), 1, 100000, "N", "1",
	    "pictures, with seeds one apart" },
	{ .name = "prompts", .kind = TEXT, AT(prompts), .argument = "FILE",
	    .help = "a picture for each line, a prompt or JSON of options; those that are there are left out" },
	{ .name = "grid", .kind = TEXTS, AT(grid), .argument = "NAME=A,B,…",
	    .help = "one labelled picture of several, e.g. steps=10,20,30; with a second cfg-scale=4,7: in rows" },
	{ .name = "wildcards", .kind = TEXT, AT(wildcards), .argument = "DIR",
	    .help = "__name__ in a prompt is a line of DIR/name.txt, chosen by the seed" },
	{ .name = "output", .letter = 'o', .kind = TEXT, AT(output), .argument = "FILE", .standard = "output.png",
	    .help = "PNG, JPEG or WebP by its ending; %03d is the picture's number" },
	{ .name = "preview", .kind = TEXT, AT(preview), .argument = "N[:FILE]",
	    .help = "every N steps write what the picture will be; %03d in FILE is the step (OUTPUT-preview)" },
	{ .name = "preview-by", .kind = TEXT, AT(preview_by), .argument = "linear|taesd|decoder",
	    .help = "how previews are made: by a projection (free), --taesd, or the decoder (linear)" },
	{ .name = "show", .kind = FLAG, AT(show), .help = "draw the picture in the terminal, from its first preview on" },
	{ .name = "show-as", .kind = TEXT, AT(show_as), .argument = "NAME",
	    .help = "… by kitty, iterm2, sixel or blocks (what the terminal has)" },
	{ .name = "disable-image-metadata", .kind = FLAG, AT(no_metadata),
	    .help = "do not write into it how it was made" },

	{ .name = "In between", .kind = HEADING },
	{ .name = "prompt-to", .kind = TEXT, AT(prompt_to), .argument = "WORDS",
	    .help = "another prompt: what the encoder makes of both is mixed" },
	{ .name = "blend", .kind = NUMBER, AT(blend), 0, 1, "X", "0.5", "how much of it" },
	{ .name = "variation-seed", .alias = "subseed", .kind = INTEGER, AT(variation_seed), 0, MOST_SEED, "N", NULL,
	    "the first noise is turned towards this seed's" },
	{ .name = "variation-strength", .alias = "subseed-strength", .kind = NUMBER, AT(variation), 0, 1, "X", NULL,
	    "how far" },
	{ .name = "frames", .kind = INTEGER, AT(frames), 2, 100000, "N", NULL,
	    "draw so many pictures, from here to the other prompt, to the other seed, or to both" },

	{ .name = "Model", .kind = HEADING },
	{ .name = "model", .letter = 'm', .kind = TEXT, AT(model), .argument = "FILE",
	    .help = "safetensors, ckpt, or a diffusers folder (the one that ships with Sumi)" },
	{ .name = "vae", .kind = TEXT, AT(vae), .argument = "FILE", .help = "another autoencoder" },
	{ .name = "clip_l", .alias = "clip-l", .kind = TEXT, AT(clip_l), .argument = "FILE",
	    .help = "the text encoder CLIP-L, of Stable Diffusion 3 or in place of a model's own" },
	{ .name = "clip_g", .alias = "clip-g", .kind = TEXT, AT(clip_g), .argument = "FILE",
	    .help = "… OpenCLIP's, of SDXL and Stable Diffusion 3" },
	{ .name = "t5xxl", .kind = TEXT, AT(t5xxl), .argument = "FILE", .help = "… T5, of Stable Diffusion 3" },
	{ .name = "prediction", .kind = TEXT, AT(prediction), .argument = "epsilon|v|x0|flow",
	    .help = "what the denoiser's output means, where the file does not say it" },
	{ .name = "taesd", .kind = TEXT, AT(taesd), .argument = "FILE",
	    .help = "decode with a tiny autoencoder: fast, rough" },
	{ .name = "lora", .kind = TEXTS, AT(loras), .argument = "FILE[:W]",
	    .help = "add a LoRA (or DoRA, LoHa, LoKr, OFT, …) with weight W; may be repeated" },
	{ .name = "lora-model-dir", .kind = TEXT, AT(lora_folder), .argument = "DIR",
	    .help = "where <lora:name:weight> finds its file (the model's folder)" },
	{ .name = "embd-dir", .kind = TEXT, AT(embedding_folder), .argument = "DIR",
	    .help = "words learned by textual inversion: NAME.safetensors is used where the prompt says NAME" },
	{ .name = "clip-skip", .kind = INTEGER, AT(clip_skip), -1, 64, "N", NULL,
	    "take the text encoder's Nth layer from its end; 1: the last (the family's own)" },

	{ .name = "How to draw it", .kind = HEADING },
	{ .name = "steps", .kind = INTEGER, AT(steps), 1, 10000, "N", "20", "denoising steps" },
	{ .name = "cfg-scale", .kind = NUMBER, AT(guidance), 0, 1000, "X", NULL,
	    "how strongly the prompt leads; 1 and below: not guided (the model's, 7 for Stable Diffusion)" },
	{ .name = "guidance-rescale", .kind = NUMBER, AT(rescale), 0, 1, "X", NULL,
	    "tame the contrast of strong guidance" },
	{ .name = "guidance-method", .kind = TEXT, AT(guidance_method), .argument = "NAME[:KEY=X,…]",
	    .help = "another form of guidance, such as apg:norm=10; see the list below (plain)" },
	{ .name = "guidance-skip-from", .kind = NUMBER, AT(skip_from), 0, 1, "X", "0",
	    "leave guidance out from this share of the steps" },
	{ .name = "guidance-skip-to", .kind = NUMBER, AT(skip_to), 0, 1, "X", NULL, "… to this one" },
	{ .name = "pag-scale", .kind = NUMBER, AT(pag_scale), 0, 100, "X", NULL,
	    "perturbed-attention guidance of a U-Net: away from a picture whose parts do not see each other, e.g. 3 (off)" },
	{ .name = "pag-layers", .kind = TEXT, AT(pag_layers), .argument = "NAME,…",
	    .help = "… in these blocks: mid, down_1, up_0, … (mid)" },
	{ .name = "freeu", .kind = TEXT, AT(free_u), .argument = "B1,B2,S1,S2",
	    .help = "FreeU of a U-Net, e.g. 1.5,1.6,0.9,0.2; v2: or blocks: in front (off)" },
	{ .name = "skip-layers", .kind = TEXT, AT(skip_layers), .argument = "N,N,…",
	    .help = "skip-layer guidance, for Stable Diffusion 3.5 medium: away from a picture without these blocks (7,8,9)" },
	{ .name = "slg-scale", .kind = NUMBER, AT(slg_scale), 0, 100, "X", NULL, "how strong it is (2.5 with --skip-layers)" },
	{ .name = "skip-layer-start", .kind = NUMBER, AT(skip_layer_start), 0, 1, "X", "0.01",
	    "from this share of the steps" },
	{ .name = "skip-layer-end", .kind = NUMBER, AT(skip_layer_end), 0, 1, "X", "0.2", "… to this one" },
	{ .name = "sampling-method", .alias = "sampler", .kind = TEXT, AT(sampler), .argument = "NAME",
	    .help = "see the list below; model: a diffusers folder's own scheduler (the family's)" },
	{ .name = "scheduler", .alias = "schedule", .kind = TEXT, AT(schedule), .argument = "NAME",
	    .help = "spacing of the steps; see the list below (the sampler's)" },
	{ .name = "shift", .kind = NUMBER, AT(shift), 0, 100, "X", NULL,
	    "of a model of flow: spend the steps on more noise (the model's, 3 for Stable Diffusion 3)" },
	{ .name = "eta", .kind = NUMBER, AT(eta), 0, 1, "X", NULL, "noise of DDIM and the ancestral samplers (theirs)" },
	{ .name = "rng", .kind = TEXT, AT(rng), .argument = "cpu|cuda", .standard = "cpu",
	    .help = "random generator: PyTorch's of a CPU, or of a GPU" },

	{ .name = "SDXL: sizes that it reads, and its refiner", .kind = HEADING },
	{ .name = "original-size", .kind = TEXT, AT(original), .argument = "WxH",
	    .help = "size of the picture that this one would be cropped from (its own)" },
	{ .name = "crop", .kind = TEXT, AT(crop), .argument = "LEFTxTOP", .standard = "0x0",
	    .help = "top left corner of that crop" },
	{ .name = "target-size", .kind = TEXT, AT(target), .argument = "WxH", .help = "size that the picture should look made for (its own)" },
	{ .name = "aesthetic-score", .kind = NUMBER, AT(aesthetic), 0, 10, "X", "6", "for the refiner" },
	{ .name = "negative-aesthetic-score", .kind = NUMBER, AT(negative_aesthetic), 0, 10, "X", "2.5", "for the refiner" },
	{ .name = "refiner", .kind = TEXT, AT(refiner), .argument = "FILE",
	    .help = "a second model finishes the picture, as SDXL's refiner does" },
	{ .name = "refiner-start", .kind = NUMBER, AT(refiner_start), 0, 1, "X", "0.8",
	    "from this part of the way on" },
	{ .name = "zero-negative", .kind = FLAG, AT(zero_negative),
	    .help = "an empty negative prompt is zeros, as diffusers has it, and not encoded" },

	{ .name = "From a picture", .kind = HEADING },
	{ .name = "init-img", .letter = 'i', .kind = TEXT, AT(init), .argument = "FILE",
	    .help = "begin from this picture" },
	{ .name = "mask", .kind = TEXT, AT(mask), .argument = "FILE", .help = "paint anew where this is white; what is transparent stays" },
	{ .name = "mask-blur", .kind = NUMBER, AT(mask_blur), 0, 256, "PIXELS", NULL,
	    "blur the mask, so that no seam is seen; 4 is usual" },
	{ .name = "invert-mask", .kind = FLAG, AT(invert_mask), .help = "paint where it is black" },
	{ .name = "soft-mask", .kind = FLAG, AT(soft_mask),
	    .help = "grey in it says how much may change (differential diffusion)" },
	{ .name = "only-masked", .kind = FLAG, AT(only_masked),
	    .help = "cut out what is masked, draw it at full size, and put it back" },
	{ .name = "mask-padding", .kind = INTEGER, AT(mask_padding), 0, 65535, "PIXELS", "32", "… with this much around it" },
	{ .name = "mask-fill", .kind = TEXT, AT(mask_fill), .argument = "original|fill|latent noise|latent nothing",
	    .help = "what to begin from under it (original)" },
	{ .name = "extend", .kind = TEXT, AT(extend), .argument = "LEFT,RIGHT,UP,DOWN",
	    .help = "make the picture larger by so many pixels, and paint there" },
	{ .name = "resize-mode", .kind = TEXT, AT(resize_mode), .argument = "resize|crop|pad",
	    .help = "how a picture of another shape comes to the size (resize)" },
	{ .name = "strength", .kind = NUMBER, AT(strength), 0, 1, "X", "0.75", "how much of it may change" },

	{ .name = "Following a picture (ControlNet)", .kind = HEADING },
	{ .name = "control-net", .kind = TEXTS, AT(control_nets), .argument = "FILE[:S[:FROM:TO]]",
	    .help = "a control network, with strength S, in this share of the steps; may be repeated (1, 0 to 1)" },
	{ .name = "control-image", .kind = TEXTS, AT(control_images), .argument = "FILE",
	    .help = "what it reads; canny:FILE or canny:LOW:HIGH:FILE: the edges of that picture (the picture to begin from)" },
	{ .name = "control-mode", .kind = TEXTS, AT(control_modes), .argument = "MODE", .help =
	    "balanced; prompt or control: which is more important; guess: for no prompt (balanced)" },

	{ .name = "A second pass", .kind = HEADING },
	{ .name = "hires", .kind = FLAG, AT(hires), .help = "make the picture larger, and draw it again from there" },
	{ .name = "hires-scale", .kind = NUMBER, AT(hires_scale), 1, 8, "X", NULL, "by how much to a side (2)" },
	{ .name = "hires-upscaler", .kind = TEXT, AT(hires_upscaler), .argument = "NAME|FILE",
	    .help = "latent, latent (nearest-exact), lanczos, or a network's file (latent)" },
	{ .name = "hires-steps", .kind = INTEGER, AT(hires_steps), 1, 10000, "N", NULL, "its steps (as many as --steps)" },
	{ .name = "hires-denoise", .alias = "hires-denoising-strength", .kind = NUMBER, AT(hires_strength), 0, 1, "X", "0.7",
	    "how much of it may change" },

	{ .name = "Machine", .kind = HEADING },
	{ .name = "device", .kind = TEXT, AT(device), .argument = "DEVICE",
	    .help = "compute on: cpu, cuda[:N] a GPU, or auto, a GPU where there is one (cpu)" },
	{ .name = "threads", .letter = 't', .kind = INTEGER, AT(threads), 1, 1024, "N", NULL, "(one for each CPU)" },
	{ .name = "type", .kind = TEXT, AT(type), .argument = "f32|bf16",
	    .help = "compute in (bf16 on a GPU, and where the CPU has it)" },
	{ .name = "max-memory", .kind = BYTES, AT(max_memory), 1 << 20, 1e15, "SIZE", NULL,
	    "change the plan, and refuse, what would take more, e.g. 6G (what is free)" },
	{ .name = "vae-tiling", .kind = FLAG, AT(tiling),
	    .help = "decode and encode in tiles: less memory, more time (where --max-memory asks for it)" },
	{ .name = "vae-tile-size", .alias = "tiles", .kind = INTEGER, AT(tile_size), 8, 65536, "PIXELS", NULL,
	    "in tiles of this side (512)" },
	{ .name = "verbose", .letter = 'v', .kind = FLAG, AT(verbose), .help = "print memory, kernels and times" },
	{ .name = "quiet", .letter = 'q', .kind = FLAG, AT(quiet), .help = "no progress, no notes" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(quiet), .help = "this text" },
};
/* clang-format on */
enum { ROWS = sizeof table / sizeof *table };

static void print_names(const char *title, const char *(*name)(int))
{
	int column = printf("\n%s:", title);
	for (int i = 0; name(i); i++) {
		int length = (int)strlen(name(i)) + 2;
		if (i) column += printf(",");
		if (column + length > 96) column = printf("\n   ") - 1;
		column += printf(" %s", name(i));
	}
	putchar('\n');
}

static int help(void)
{
	puts("usage: sumi generate -p \"WORDS\" [OPTIONS]\n\nMakes pictures from words, and prints their paths.");
	print_options(table, ROWS);
	print_names("Samplers", sumi_sampler_name);
	print_names("Schedulers", sumi_schedule_name);
	print_names("Guidance", sumi_guidance_name);
	return 0;
}

/* ── paths ── */

/* A prompt from a file, for prompts too long for a command line. NULL: it failed, and a message was printed. */
static char *read_prompt(const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	if (!file) {
		complain(3, "%s: %s", path, strerror(errno));
		return NULL;
	}
	enum { LIMIT = 16 << 20 };
	char *text = malloc(LIMIT + 1);
	size_t n = text ? fread(text, 1, LIMIT, file) : 0;
	bool whole = text && feof(file) && !ferror(file);
	if (file != stdin) fclose(file);
	if (!whole) {
		complain(text ? 3 : 4, "%s: could not be read as a prompt (at most 16 MiB)", path);
		free(text);
		return NULL;
	}
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
	text[n] = 0;
	return text;
}

/* ── the work ── */

static sumi_model_options model_options(const settings *s, const sumi_listener *l)
{
	sumi_model_options o = sumi_model_defaults();
	o.type = s->type;
	o.device = s->device;
	o.threads = (int)s->threads;
	o.max_memory = (uint64_t)s->max_memory;
	o.vae = s->vae;
	o.clip_l = s->clip_l;
	o.clip_g = s->clip_g;
	o.t5xxl = s->t5xxl;
	o.taesd = s->taesd;
	o.prediction = s->prediction;
	o.lora_folder = s->lora_folder;
	o.embedding_folder = s->embedding_folder;
	o.loras = s->loras.item;
	o.lora_count = s->loras.count;
	o.listener = l;
	return o;
}

/* "1024x768"; nothing is given where the option is not. */
static int read_pair(const char *name, const char *text, int *first, int *second)
{
	char end;
	if (!text || (sscanf(text, "%dx%d%c", first, second, &end) == 2 && *first >= 0 && *second >= 0)) return 0;
	return complain(2, "--%s \"%.40s\": two numbers, as in 1024x768", name, text);
}

/* "128,128,0,0": pixels on the left, on the right, above and below. */
static int read_extend(const char *text, sumi_options *o)
{
	char end;
	int n = text ? sscanf(text, "%d,%d,%d,%d%c", &o->extend_left, &o->extend_right, &o->extend_up, &o->extend_down, &end)
	             : 4;
	if (n == 4 && o->extend_left >= 0 && o->extend_right >= 0 && o->extend_up >= 0 && o->extend_down >= 0) return 0;
	return complain(2, "--extend \"%.40s\": four numbers of pixels, LEFT,RIGHT,UP,DOWN", text);
}

static int read_sizes(const settings *s, sumi_options *o)
{
	if (read_extend(s->extend, o)) return 2;
	int code = read_pair("original-size", s->original, &o->original_width, &o->original_height);
	if (!code) code = read_pair("crop", s->crop, &o->crop_left, &o->crop_top);
	return code ? code : read_pair("target-size", s->target, &o->target_width, &o->target_height);
}

static sumi_options picture_options(const settings *s, const sumi_listener *l)
{
	sumi_options o = sumi_defaults();
	o.prompt = s->prompt;
	o.negative_prompt = s->negative;
	o.width = (int)s->width;
	o.height = (int)s->height;
	o.steps = (int)s->steps;
	o.guidance = s->guidance;
	o.guidance_rescale = s->rescale;
	o.flow_shift = s->shift;
	o.aesthetic_score = s->aesthetic;
	o.negative_aesthetic_score = s->negative_aesthetic;
	o.zero_negative = s->zero_negative;
	o.guidance_method = s->guidance_method;
	o.refiner = s->refiner;
	o.refiner_start = s->refiner_start;
	o.skip_layers = s->skip_layers;
	o.slg_scale = s->slg_scale;
	o.pag_scale = s->pag_scale;
	o.pag_layers = s->pag_layers;
	o.free_u = s->free_u;
	o.skip_layer_start = s->skip_layer_start;
	o.skip_layer_end = s->skip_layer_end;
	o.guidance_skip_from = s->skip_from;
	o.guidance_skip_to = s->skip_to;
	o.sampler = s->sampler;
	o.schedule = s->schedule;
	o.eta = s->eta;
	o.seed = s->seed;
	o.rng = s->rng;
	o.clip_skip = s->clip_skip < 0 ? 0 : (int)s->clip_skip;
	o.strength = s->strength;
	o.prompt_to = s->prompt_to;
	o.blend = s->prompt_to ? s->blend : 0;
	o.variation_seed = s->variation_seed < 0 ? 0 : s->variation_seed;
	o.variation_strength = s->variation;
	bool hires = s->hires || s->hires_scale > 0 || s->hires_upscaler || s->hires_steps;
	o.hires_scale = s->hires_scale > 0 ? s->hires_scale : hires ? 2 : 0;
	o.hires_strength = s->hires_strength;
	o.hires_steps = (int)s->hires_steps;
	o.hires_upscaler = s->hires_upscaler;
	o.mask_blur = s->mask_blur;
	o.mask_inverted = s->invert_mask;
	o.mask_soft = s->soft_mask;
	o.only_masked = s->only_masked;
	o.mask_padding = (int)s->mask_padding;
	o.mask_fill = s->mask_fill;
	o.resize_mode = s->resize_mode;
	o.tile_size = s->tile_size ? (int)s->tile_size : s->tiling ? 512 : 0;
	o.hashes = !s->no_metadata;
	o.listener = l;
	return o;
}

static void forget_parameters(sumi_image *picture)
{
	if (!picture) return;
	free(picture->parameters);
	picture->parameters = NULL;
}

/* Picture i of a way to the other prompt, and to the other seed. */
static void go_on(sumi_options *o, const settings *s, int i)
{
	double share = (double)i / (double)(s->frames - 1);
	if (s->prompt_to) o->blend = share;
	if (s->variation_seed >= 0) o->variation_strength = share;
}

/* Writes pictures first … first + count − 1, and prints their paths. */
static void write_pictures(sumi_image **pictures, int first, int count, const settings *s, viewer *v, sumi_error *e)
{
	char path[4096];
	for (int i = 0; i < count; i++) {
		if (s->no_metadata) forget_parameters(pictures[i]);
		viewer_finish(v, pictures[i]);
		numbered_path(path, sizeof path, s->output, first + i + 1, (int)s->count);
		if (sumi_image_write(pictures[i], path, e)) puts(path);
		fflush(stdout);
		sumi_image_free(pictures[i]);
		pictures[i] = NULL;
	}
}

/* ── wildcards ── */

/* Texts that options point to, until the pictures are drawn. */
typedef struct kept_texts {
	char *list[128];
	int count;
} kept_texts;

static void free_texts(kept_texts *k)
{
	for (int i = 0; i < k->count; i++) free(k->list[i]);
	k->count = 0;
}

/* Fills the wildcards of both prompts, by the options' seed. */
static bool fill_prompts(const settings *s, sumi_options *o, kept_texts *k, sumi_error *e)
{
	const char **prompts[] = { &o->prompt, &o->negative_prompt };
	for (int i = 0; s->wildcards && i < 2; i++) {
		if (!*prompts[i]) continue;
		char *text = k->count < 128 ? wildcards_fill(*prompts[i], s->wildcards, o->seed + i * 1000003) : NULL;
		if (!text) return e->status = SUMI_BAD_FILE, e->text[0] = 0, false;
		*prompts[i] = k->list[k->count++] = text;
	}
	return true;
}

/* A random seed for the first of many, whose seeds follow one another. */
static int64_t choose_seed(int64_t seed)
{
	uint32_t random;
	if (seed >= 0 || getrandom(&random, sizeof random, 0) != sizeof random) return seed;
	fprintf(stderr, "seed %lld\n", (long long)random);
	return random;
}

static void draw_one(sumi_model *model, const settings *s, const sumi_options *o, viewer *v, sumi_error *e)
{
	kept_texts texts = { 0 };
	sumi_options own = *o;
	if (s->wildcards) own.seed = choose_seed(own.seed);
	sumi_image *picture = !e->status && fill_prompts(s, &own, &texts, e) ? sumi_generate(model, &own, e) : NULL;
	free_texts(&texts);
	progress_end(&v->progress);
	if (picture && o->seed < 0) fprintf(stderr, "seed %lld\n", (long long)picture->seed);
	write_pictures(&picture, 0, 1, s, v, e);
}

/* As many at a time as the session draws at once, so that what is finished is written. */
static void draw_many(sumi_model *model, const settings *s, sumi_options o, viewer *v, sumi_error *e)
{
	enum { MOST = 64 };
	sumi_options each[MOST];
	const sumi_options *list[MOST];
	sumi_image *pictures[MOST];
	kept_texts texts = { 0 };
	sumi_session *session = sumi_session_open(model, NULL, e);
	int at_once = sumi_session_at_once(session, &o), n;
	if (at_once > MOST) at_once = MOST;
	o.seed = choose_seed(o.seed);
	for (int first = 0; first < s->count && !e->status; first += n) {
		n = s->count - first < at_once ? (int)s->count - first : at_once;
		for (int i = 0; i < n; i++) {
			each[i] = o;
			list[i] = &each[i];
			if (s->frames)
				go_on(&each[i], s, first + i);
			else
				each[i].seed = o.seed + first + i;
			fill_prompts(s, &each[i], &texts, e);
		}
		if (!e->status) sumi_session_draw_batch(session, list, n, pictures, e);
		free_texts(&texts);
		progress_end(&v->progress);
		if (!e->status) write_pictures(pictures, first, n, s, v, e);
	}
	sumi_session_close(session);
}

/* ── sweeps and lists of prompts ── */

/* What may differ from picture to picture: what the model's opening does not depend on, nor files that are read once.
 */
static bool may_differ(const char *name)
{
	static const char *const names[] = { "prompt", "negative-prompt", "width", "height", "seed", "steps", "cfg-scale",
		"guidance-rescale", "guidance-method", "guidance-skip-from", "guidance-skip-to", "sampling-method", "sampler",
		"scheduler", "schedule", "shift", "eta", "rng", "clip-skip", "strength", "prompt-to", "blend", "variation-seed",
		"variation-strength", "subseed", "subseed-strength", "slg-scale", "skip-layers", "pag-scale", "pag-layers",
		"freeu", "zero-negative", "aesthetic-score", "negative-aesthetic-score", "refiner-start", "output" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i])) return true;
	return false;
}

typedef struct variation {
	settings *s;
	const char *origin;
} variation;

static int set_variation(void *context, const char *name, const char *value)
{
	variation *v = context;
	if (!strcmp(name, "cfg")) name = "cfg-scale";
	if (!may_differ(name)) {
		settings unused = { 0 };
		int code = set_option(table, ROWS, &unused, v->origin, name, value);
		return code ? code
		            : complain(2, "%s: %.60s is the same for all pictures: give it as an option", v->origin, name);
	}
	return set_option(table, ROWS, v->s, v->origin, name, value);
}

/* The options of a picture that differs from the others in its settings. */
static sumi_options varied_options(const settings *s, const sumi_options *common)
{
	sumi_options o = picture_options(s, common->listener);
	o.preview = common->preview;
	o.init = common->init;
	o.mask = common->mask;
	o.controls = common->controls;
	o.control_count = common->control_count;
	o.original_width = common->original_width, o.original_height = common->original_height;
	o.crop_left = common->crop_left, o.crop_top = common->crop_top;
	o.target_width = common->target_width, o.target_height = common->target_height;
	return o;
}

/* Reads --grid into two axes and tries each value. */
static int read_axes(const settings *s, axis axes[2])
{
	if (s->grid.count > 2) return complain(2, "--grid: at most two options, in columns and rows");
	for (int k = 0; k < s->grid.count; k++) {
		int code = axis_read(&axes[k], s->grid.item[k]);
		for (int i = 0; !code && i < axes[k].count; i++) {
			settings one = *s;
			code = set_variation(&(variation){ &one, "--grid" }, axes[k].name, axes[k].value[i]);
		}
		if (code) return code;
	}
	return 0;
}

/* All pictures of a sweep, in one batch as far as they are alike. */
static void draw_grid(
    sumi_model *model, const settings *s, const sumi_options *common, axis axes[2], viewer *v, sumi_error *e)
{
	int rows = axes[1].count ? axes[1].count : 1, count = axes[0].count * rows;
	sumi_options *each = calloc((size_t)count, sizeof *each);
	const sumi_options **list = calloc((size_t)count, sizeof *list);
	sumi_image **pictures = calloc((size_t)count, sizeof *pictures);
	kept_texts texts = { 0 };
	sumi_session *session = sumi_session_open(model, NULL, e);
	settings seeded = *s;
	seeded.seed = choose_seed(s->seed);
	if (!each || !list || !pictures) complain(4, "out of memory"), e->status = SUMI_NO_MEMORY;
	for (int i = 0; !e->status && i < count; i++) {
		settings one = seeded;
		set_variation(&(variation){ &one, "--grid" }, axes[0].name, axes[0].value[i % axes[0].count]);
		if (axes[1].count)
			set_variation(&(variation){ &one, "--grid" }, axes[1].name, axes[1].value[i / axes[0].count]);
		each[i] = varied_options(&one, common);
		list[i] = &each[i];
		fill_prompts(s, &each[i], &texts, e);
	}
	if (!e->status) sumi_session_draw_batch(session, list, count, pictures, e);
	progress_end(&v->progress);
	sumi_image *grid = e->status ? NULL : labelled_grid(pictures, &axes[0], &axes[1], e);
	if (grid && !s->no_metadata && pictures[0]->parameters) grid->parameters = strdup(pictures[0]->parameters);
	for (int i = 0; pictures && i < count; i++) sumi_image_free(pictures[i]);
	if (grid) write_pictures(&grid, 0, 1, s, v, e);
	sumi_session_close(session);
	free_texts(&texts);
	free(each);
	free(list);
	free(pictures);
}

/* The settings and the path of line i. */
static int line_settings(prompt_list *p, int i, const settings *s, settings *one, char *path, size_t size)
{
	char origin[48];
	snprintf(origin, sizeof origin, "--prompts: line %d", i + 1);
	*one = *s;
	int code = prompt_list_options(p, i, set_variation, &(variation){ one, origin });
	if (code) return code;
	bool own = one->output != s->output;
	bool fits = own ? numbered_path(path, size, one->output, 1, 1)
	                : numbered_path(path, size, s->output, i + 1, p->count > 1 ? p->count : 2);
	return fits ? 0 : complain(2, "%s: the path is too long", origin);
}

/* Line by line, those of this process whose pictures are not there yet. */
static void draw_lines(
    sumi_model *model, const settings *s, const sumi_options *common, prompt_list *p, viewer *v, sumi_error *e)
{
	int rank, processes, left_out = 0;
	sumi_session *session = sumi_session_open(model, NULL, e);
	process_share(&rank, &processes);
	for (int i = rank; i < p->count && !e->status; i += processes) {
		settings one;
		char path[4096];
		kept_texts texts = { 0 };
		int code = line_settings(p, i, s, &one, path, sizeof path);
		if (code) {
			e->status = (sumi_status)code, e->text[0] = 0; /* the message is printed */
			break;
		}
		if (!access(path, F_OK)) {
			left_out++;
			continue;
		}
		sumi_options o = varied_options(&one, common);
		if (s->wildcards) o.seed += i; /* other words in each */
		sumi_image *picture = fill_prompts(s, &o, &texts, e) ? sumi_session_draw(session, &o, e) : NULL;
		progress_end(&v->progress);
		one.output = path;
		one.count = 1;
		if (picture) write_pictures(&picture, 0, 1, &one, v, e);
		free_texts(&texts);
	}
	if (left_out && !s->quiet) fprintf(stderr, "%d of %d pictures were there already\n", left_out, p->count);
	sumi_session_close(session);
}

static int generate(const settings *s, const char *model_path)
{
	sumi_error e = { 0 };
	viewer v = { 0 };
	int code = viewer_begin(&v, s->preview, s->output, s->show, s->show_as);
	if (code) return code;
	progress_begin(&v.progress, s->verbose, s->quiet);
	sumi_listener l = viewer_listener(&v);
	sumi_options o = picture_options(s, &l);
	sumi_model_options m = model_options(s, &l);
	o.preview = s->preview_by;
	m.taesd_for_previews = s->preview_by && !strcmp(s->preview_by, "taesd");
	code = read_sizes(s, &o);
	if (code) return code;
	prompt_list lines = { 0 };
	axis axes[2] = { 0 };
	sumi_image *init = s->init ? sumi_image_read(s->init, &e) : NULL;
	sumi_image *mask = s->mask ? sumi_image_read(s->mask, &e) : NULL;
	o.init = init;
	o.mask = mask;
	control_options controls;
	code = controls_read(&controls, &s->control_nets, &s->control_images, &s->control_modes, init, &e);
	o.controls = controls.list;
	o.control_count = controls.count;
	sumi_model *model = code ? NULL : sumi_open(model_path, &m, &e);
	if (!code && s->prompts) code = prompt_list_read(&lines, s->prompts);
	if (!code) code = read_axes(s, axes);
	if (code)
		e.status = SUMI_OK;
	else if (s->prompts)
		draw_lines(model, s, &o, &lines, &v, &e);
	else if (s->grid.count)
		draw_grid(model, s, &o, axes, &v, &e);
	else if (s->count == 1)
		draw_one(model, s, &o, &v, &e);
	else
		draw_many(model, s, o, &v, &e);
	progress_end(&v.progress);
	sumi_close(model);
	sumi_image_free(init);
	sumi_image_free(mask);
	controls_free(&controls);
	prompt_list_free(&lines);
	axis_free(&axes[0]);
	axis_free(&axes[1]);
	if (code) return code;
	if (e.status && !e.text[0]) return e.status; /* its message is printed */
	if (e.status == SUMI_STOPPED) return complain(e.status, "stopped");
	return e.status ? complain(e.status, "%s", e.text) : 0;
}

/* The picture of --from was made with a model of this hash. */
static void compare_hash(const char *wanted, const char *model)
{
	char hex[65];
	if (sumi_hash(model, hex, NULL) && strncmp(hex, wanted, strlen(wanted)))
		complain(
		    0, "the picture was made with another model, of hash %s; this is %.10s: -m names a model", wanted, hex);
}

/* --grid "steps=10,20" "cfg=4,7": the second axis is a word of its own. */
static void take_second_axis(settings *s, text_list *words)
{
	if (s->grid.count != 1 || !words->count || !strchr(words->item[words->count - 1], '=')) return;
	if (!s->prompt && !s->prompts && words->count == 1) return; /* it is the prompt */
	s->grid.item[s->grid.count++] = words->item[--words->count];
}

/* Checks what belongs together, and draws. */
static int generate_with(settings *s, text_list *words)
{
	char model[4096], path[4096], *from_file = NULL;
	if (s->prompts && (s->grid.count || s->count > 1 || s->frames || s->prompt_file))
		return complain(
		    2, "--prompts draws one picture a line: not with --grid, --batch-count, --frames or --prompt-file");
	if (s->grid.count && (s->count > 1 || s->frames))
		return complain(2, "--grid draws one picture: not with --batch-count or --frames");
	if (words->count > 1)
		return complain(
		    2, "unexpected \"%.80s\": a prompt of several words is one argument, in quotes", words->item[1]);
	if (words->count + !!s->prompt_file + (s->prompt && !words->count) > 1)
		return complain(2, "two prompts: give one of -p and --prompt-file");
	if (words->count) s->prompt = words->item[0];
	if (!s->prompt && !s->prompt_file && !s->prompts) return complain(2, "no prompt: say what to draw with -p \"…\"");
	if (s->frames && !s->prompt_to && s->variation_seed < 0)
		return complain(2, "--frames needs --prompt-to or --variation-seed: where to go");
	if (s->frames && s->count > 1)
		return complain(2, "--frames is the number of pictures: it cannot be combined with --batch-count");
	if (s->frames) s->count = s->frames;
	if (s->mask && !s->init) return complain(2, "--mask needs --init-img");
	if (!numbered_path(path, sizeof path, s->output, 1, (int)s->count))
		return complain(2, "--output: the path is too long");
	sumi_error e = { 0 };
	if (!sumi_image_writable(path, &e)) return complain(e.status, "%s", e.text);
	if (!find_model(s->model, model, sizeof model)) return 3;
	if (*s->wanted_hash && !s->quiet) compare_hash(s->wanted_hash, model);
	if (s->prompt_file && !(from_file = read_prompt(s->prompt_file))) return 3;
	if (from_file) s->prompt = from_file;
	int code = generate(s, model);
	free(from_file);
	return code;
}

static settings unset(void) { return (settings){ .eta = -1, .guidance = -1, .slg_scale = -1, .variation_seed = -1 }; }

/* --from: the picture's options as if they stood in front of those that are given. */
static int generate_again(const settings *first, int argc, char **argv)
{
	again a = { 0 };
	settings s = unset();
	text_list words = { 0 };
	int count = 0, code = again_read(&a, first->from, first->quiet);
	char **all = code ? NULL : again_arguments(&a, argc, argv, &count);
	if (!code && !all) code = complain(4, "out of memory");
	if (!code) code = parse_options(table, ROWS, &s, &words, count, all);
	if (!code && s.prompt_file && !first->prompt) s.prompt = NULL;
	if (!code) snprintf(s.wanted_hash, sizeof s.wanted_hash, "%s", a.model_hash);
	if (!code) take_second_axis(&s, &words);
	if (!code) code = generate_with(&s, &words);
	free(all);
	again_free(&a);
	return code;
}

/* Whether a value was typed, and does not come from the environment or the configuration file. */
static bool was_typed(const char *value, int argc, char **argv)
{
	for (int i = 1; value && i < argc; i++)
		if (value >= argv[i] && value <= strchr(argv[i], 0)) return true;
	return false;
}

int command_generate(int argc, char **argv)
{
	settings s = unset();
	text_list words = { 0 };
	if (wants_help(argc, argv)) return help();
	int code = parse_options(table, ROWS, &s, &words, argc, argv);
	if (code) return code;
	take_second_axis(&s, &words);
	if (words.count && was_typed(s.prompt, argc, argv))
		return complain(2, "unexpected \"%.80s\": a prompt of several words is one argument, in quotes", words.item[0]);
	if (s.from) return generate_again(&s, argc, argv);
	return generate_with(&s, &words);
}
