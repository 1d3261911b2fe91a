/* generate.h - the parts of sumi generate: its options (generate_options.c), one picture and several (generate.c), a
 * sweep (generate_sweep.c), a list of prompts (generate_list.c). */
#ifndef SUMI_CLI_GENERATE_H
#define SUMI_CLI_GENERATE_H
#include "cli/ip_adapters.h"
#include "cli/model_options.h"
#include "cli/prompt_list.h"
#include "cli/sweep.h"
#include "cli/viewer.h"

typedef struct generate_settings {
	const char *model, *from, *prompt, *prompt_file, *negative, *output;
	const char *init, *mask;
	const char *sampler, *schedule, *rng, *prompt_to;
	const char *original, *crop, *target, *refiner, *guidance_method, *skip_layers;
	model_settings components;
	machine_settings machine;
	text_list control_nets, control_images, control_modes;
	ip_adapter_texts ip;
	long long width, height, steps, seed, count, clip_skip;
	long long variation_seed, frames;
	double blend, variation;
	double guidance, rescale, skip_from, skip_to, eta, strength;
	double shift, aesthetic, negative_aesthetic, refiner_start, slg_scale, pag_scale, skip_layer_start, skip_layer_end;
	const char *pag_layers, *free_u, *deep_cache;
	long long tile_size;
	const char *mask_fill, *extend, *resize_mode;
	double mask_blur;
	long long mask_padding;
	const char *hires_upscaler;
	double hires_scale, hires_strength;
	long long hires_steps;
	bool hires, invert_mask, soft_mask, only_masked;
	const char *preview, *preview_by, *show_as, *prompts, *wildcards;
	text_list grid, attention;
	bool show, zero_negative, tiling, no_metadata, verbose, quiet;
	char wanted_hash[16]; /* of the model that made the picture of --from; "": unknown */
} generate_settings;

/* ── options ── */

generate_settings generate_defaults(void);                                         /* before generate_parse() */
int generate_parse(generate_settings *s, text_list *words, int argc, char **argv); /* as parse_options() */
int generate_help(void);
/* Sets an option that may differ from picture to picture; another is refused. As set_option(). */
int generate_set(generate_settings *s, const char *origin, const char *name, const char *value);
/* Puts the settings into `o`, but for what differing pictures have in common: the sizes below, and what is read from
 * files or is the caller's (pictures, controls, listener). */
void generate_options(sumi_options *o, const generate_settings *s);
int generate_sizes(sumi_options *o, const generate_settings *s); /* the exit code, after a message; 0: fine */

/* ── drawing; they go by `e`, whose text is empty where the message was printed ── */

/* A random seed for the first of many, whose seeds follow one another; one that is not negative stays. */
int64_t choose_seed(int64_t seed);
/* Writes and frees pictures first … first + count − 1 of s->count, and prints their paths. */
void write_pictures(sumi_image **pictures, int first, int count, const generate_settings *s, viewer *v, sumi_error *e);

/* Reads --grid into two axes and tries each value. The exit code, after a message; 0: fine. */
int generate_axes(const generate_settings *s, axis axes[2]);
/* All pictures of a sweep, in one batch as far as they are alike. `common`: see generate_options(). */
void generate_sweep(sumi_model *model, const generate_settings *s, const sumi_options *common, const axis axes[2],
    viewer *v, sumi_error *e);
/* Line by line, those of this process whose pictures are not there yet. */
void generate_list(sumi_model *model, const generate_settings *s, const sumi_options *common, prompt_list *p, viewer *v,
    sumi_error *e);

#endif
