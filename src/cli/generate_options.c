/* generate_options.c - the options of sumi generate, and what the library gets of them. */
#include "cli/generate.h"
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(generate_settings, field)
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
	{ .name = "attention", .kind = TEXTS, AT(attention), .argument = "WORD",
	    .help = "write where this word of the prompt is heard, as OUTPUT.WORD.png; may be repeated" },
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
	MODEL_ROWS(components),
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
	{ .name = "deep-cache", .kind = TEXT, AT(deep_cache), .argument = "N[:BRANCH]",
	    .help = "DeepCache of a U-Net: one step of N is whole, the others run blocks 0 to BRANCH alone (off; 0)" },
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
	    .help = "a control network or T2I-Adapter, with strength S, in this share of the steps; may be repeated (1, 0 to 1)" },
	{ .name = "control-image", .kind = TEXTS, AT(control_images), .argument = "FILE",
	    .help = "what it reads; canny:FILE or canny:LOW:HIGH:FILE: the edges of that picture (the picture to begin from)" },
	{ .name = "control-mode", .kind = TEXTS, AT(control_modes), .argument = "MODE", .help =
	    "balanced; prompt or control: which is more important; guess: for no prompt (balanced)" },

	{ .name = "A picture as a prompt (IP-Adapter)", .kind = HEADING },
	{ .name = "ip-adapter", .kind = TEXTS, AT(ip.files), .argument = "FILE[:S[:FROM:TO]]",
	    .help = "an IP-Adapter, with strength S, in this share of the steps; may be repeated (1, 0 to 1)" },
	{ .name = "ip-image", .kind = TEXTS, AT(ip.images), .argument = "FILE[,FILE…]",
	    .help = "the picture that it reads, or several, which are read as one prompt" },
	{ .name = "ip-mask", .kind = TEXTS, AT(ip.masks), .argument = "FILE",
	    .help = "it counts where this is white; one for each adapter, \"\": none (everywhere)" },
	{ .name = "ip-blocks", .kind = TEXTS, AT(ip.blocks), .argument = "NAME=X[:X…],…",
	    .help = "in these blocks of the U-Net alone, times X: mid=0.5,up_1=1; of SDXL also style, layout (all)" },
	{ .name = "clip-vision", .kind = TEXTS, AT(ip.towers), .argument = "FILE",
	    .help = "the CLIP vision tower that it was made for: a file, or an image_encoder folder" },

	{ .name = "A second pass", .kind = HEADING },
	{ .name = "hires", .kind = FLAG, AT(hires), .help = "make the picture larger, and draw it again from there" },
	{ .name = "hires-scale", .kind = NUMBER, AT(hires_scale), 1, 8, "X", NULL, "by how much to a side (2)" },
	{ .name = "hires-upscaler", .kind = TEXT, AT(hires_upscaler), .argument = "NAME|FILE",
	    .help = "latent, latent (nearest-exact), lanczos, or a network's file (latent)" },
	{ .name = "hires-steps", .kind = INTEGER, AT(hires_steps), 1, 10000, "N", NULL, "its steps (as many as --steps)" },
	{ .name = "hires-denoise", .alias = "hires-denoising-strength", .kind = NUMBER, AT(hires_strength), 0, 1, "X", "0.7",
	    "how much of it may change" },

	{ .name = "Machine", .kind = HEADING },
	MACHINE_ROWS(machine),
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

int generate_help(void)
{
	puts("usage: sumi generate -p \"WORDS\" [OPTIONS]\n\nMakes pictures from words, and prints their paths.");
	print_options(table, ROWS);
	print_names("Samplers", sumi_sampler_name);
	print_names("Schedulers", sumi_schedule_name);
	print_names("Guidance", sumi_guidance_name);
	return 0;
}

generate_settings generate_defaults(void)
{
	return (generate_settings){ .eta = -1, .guidance = -1, .slg_scale = -1, .variation_seed = -1 };
}

int generate_parse(generate_settings *s, text_list *words, int argc, char **argv)
{
	return parse_options(table, ROWS, s, words, argc, argv);
}

/* ── what differs ── */

/* What may differ from picture to picture: what the model's opening does not depend on, nor files that are read once.
 */
static bool may_differ(const char *name)
{
	static const char *const names[] = { "prompt", "negative-prompt", "width", "height", "seed", "steps", "cfg-scale",
		"guidance-rescale", "guidance-method", "guidance-skip-from", "guidance-skip-to", "sampling-method", "sampler",
		"scheduler", "schedule", "shift", "eta", "rng", "clip-skip", "strength", "prompt-to", "blend", "variation-seed",
		"variation-strength", "subseed", "subseed-strength", "slg-scale", "skip-layers", "pag-scale", "pag-layers",
		"freeu", "deep-cache", "zero-negative", "aesthetic-score", "negative-aesthetic-score", "refiner-start",
		"output" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i])) return true;
	return false;
}

int generate_set(generate_settings *s, const char *origin, const char *name, const char *value)
{
	generate_settings unused = { 0 };
	if (!strcmp(name, "cfg")) name = "cfg-scale";
	if (may_differ(name)) return set_option(table, ROWS, s, origin, name, value);
	int code = set_option(table, ROWS, &unused, origin, name, value);
	return code ? code : complain(2, "%s: %.60s is the same for all pictures: give it as an option", origin, name);
}

/* ── what the library gets ── */

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
	int n = text
	            ? sscanf(text, "%d,%d,%d,%d%c", &o->extend_left, &o->extend_right, &o->extend_up, &o->extend_down, &end)
	            : 4;
	if (n == 4 && o->extend_left >= 0 && o->extend_right >= 0 && o->extend_up >= 0 && o->extend_down >= 0) return 0;
	return complain(2, "--extend \"%.40s\": four numbers of pixels, LEFT,RIGHT,UP,DOWN", text);
}

int generate_sizes(sumi_options *o, const generate_settings *s)
{
	if (read_extend(s->extend, o)) return 2;
	int code = read_pair("original-size", s->original, &o->original_width, &o->original_height);
	if (!code) code = read_pair("crop", s->crop, &o->crop_left, &o->crop_top);
	return code ? code : read_pair("target-size", s->target, &o->target_width, &o->target_height);
}

static void set_guidance(sumi_options *o, const generate_settings *s)
{
	o->guidance = s->guidance;
	o->guidance_rescale = s->rescale;
	o->guidance_method = s->guidance_method;
	o->guidance_skip_from = s->skip_from;
	o->guidance_skip_to = s->skip_to;
	o->skip_layers = s->skip_layers;
	o->slg_scale = s->slg_scale;
	o->skip_layer_start = s->skip_layer_start;
	o->skip_layer_end = s->skip_layer_end;
	o->pag_scale = s->pag_scale;
	o->pag_layers = s->pag_layers;
	o->free_u = s->free_u;
	o->deep_cache = s->deep_cache;
}

static void set_between(sumi_options *o, const generate_settings *s)
{
	o->prompt_to = s->prompt_to;
	o->blend = s->prompt_to ? s->blend : 0;
	o->variation_seed = s->variation_seed < 0 ? 0 : s->variation_seed;
	o->variation_strength = s->variation;
}

static void set_sdxl(sumi_options *o, const generate_settings *s)
{
	o->aesthetic_score = s->aesthetic;
	o->negative_aesthetic_score = s->negative_aesthetic;
	o->refiner = s->refiner;
	o->refiner_start = s->refiner_start;
	o->zero_negative = s->zero_negative;
}

static void set_mask(sumi_options *o, const generate_settings *s)
{
	o->strength = s->strength;
	o->resize_mode = s->resize_mode;
	o->mask_blur = s->mask_blur;
	o->mask_inverted = s->invert_mask;
	o->mask_soft = s->soft_mask;
	o->only_masked = s->only_masked;
	o->mask_padding = (int)s->mask_padding;
	o->mask_fill = s->mask_fill;
}

static void set_second_pass(sumi_options *o, const generate_settings *s)
{
	bool asked = s->hires || s->hires_scale > 0 || s->hires_upscaler || s->hires_steps;
	o->hires_scale = s->hires_scale > 0 ? s->hires_scale : asked ? 2 : 0;
	o->hires_strength = s->hires_strength;
	o->hires_steps = (int)s->hires_steps;
	o->hires_upscaler = s->hires_upscaler;
}

void generate_options(sumi_options *o, const generate_settings *s)
{
	o->prompt = s->prompt;
	o->negative_prompt = s->negative;
	o->width = (int)s->width;
	o->height = (int)s->height;
	o->clip_skip = s->clip_skip < 0 ? 0 : (int)s->clip_skip;
	o->steps = (int)s->steps;
	o->sampler = s->sampler;
	o->schedule = s->schedule;
	o->flow_shift = s->shift;
	o->eta = s->eta;
	o->seed = s->seed;
	o->rng = s->rng;
	o->tile_size = s->tile_size ? (int)s->tile_size : s->tiling ? 512 : 0;
	o->hashes = !s->no_metadata;
	o->preview = s->preview_by;
	o->attention_words = s->attention.item;
	o->attention_count = s->attention.count;
	set_guidance(o, s);
	set_between(o, s);
	set_sdxl(o, s);
	set_mask(o, s);
	set_second_pass(o, s);
}
