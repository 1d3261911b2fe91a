/* prepare.c - from a caller's options to a job: everything is checked here, before anything is computed. */
#include "pipeline/control.h"
#include "pipeline/image_prompts.h"
#include "pipeline/decode.h"
#include "pipeline/heard.h"
#include "pipeline/hires.h"
#include "pipeline/preview.h"
#include "pipeline/traces.h"
#include "text/prompt.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

/* ── sizes ── */

static bool check_side(const char *name, int side, int factor, error *e)
{
	int below = side / factor * factor;
	if (side < factor || side > 65536) return fail(e, BAD_USAGE, "%s %d: between %d and 65536", name, side, factor);
	if (below != side)
		return fail(e, BAD_USAGE, "%s %d is not a multiple of %d; nearest are %d and %d", name, side, factor, below,
		    below + factor);
	return true;
}

/* By default the size of the init picture, else what the family was made for. */
static bool choose_size(job *j, error *e)
{
	const sumi_options *o = j->o;
	const family *f = &j->m->family;
	int pixels = vae_factor(&f->autoencoder), factor = pixels * denoiser_patch(&f->denoiser);
	int width = f->size, height = f->size;
	if (o->init && !o->width && !o->height && !o->only_masked) {
		int sides[2];
		bool extended = first_picture_size(o, sides);
		width = (sides[0] + (extended ? factor - 1 : factor / 2)) / factor * factor;
		height = (sides[1] + (extended ? factor - 1 : factor / 2)) / factor * factor;
		if (width < factor) width = factor;
		if (height < factor) height = factor;
	}
	j->width = o->width ? o->width : width;
	j->height = o->height ? o->height : height;
	if (!check_side("width", j->width, factor, e) || !check_side("height", j->height, factor, e)) return false;
	j->latent_width = j->width / pixels;
	j->latent_height = j->height / pixels;
	j->positions = (size_t)j->latent_width * (size_t)j->latent_height;
	j->channels = f->autoencoder.latent_channels;
	j->tile = o->tile_size;
	if (!j->tile || (j->tile >= smallest_tile(j) && j->tile <= 65536)) return true;
	return fail(e, BAD_USAGE, "tiles of %d pixels: this model's are between %d and 65536", j->tile, smallest_tile(j));
}

/* ── numbers ── */

static bool within(const char *name, double value, double low, double high, error *e)
{
	if (value >= low && value <= high) return true;
	return fail(e, BAD_USAGE, "%s %g: between %g and %g", name, value, low, high);
}

static bool check_sizes(const sumi_options *o, error *e)
{
	return within("original width", o->original_width, 0, 65536, e) &&
	       within("original height", o->original_height, 0, 65536, e) &&
	       within("target width", o->target_width, 0, 65536, e) &&
	       within("target height", o->target_height, 0, 65536, e) && within("crop top", o->crop_top, 0, 65536, e) &&
	       within("crop left", o->crop_left, 0, 65536, e) && within("aesthetic score", o->aesthetic_score, 0, 10, e) &&
	       within("negative aesthetic score", o->negative_aesthetic_score, 0, 10, e);
}

/* Before anything adds them up. */
static bool check_extension(const sumi_options *o, error *e)
{
	return within("picture extended to the left by", o->extend_left, 0, 65535, e) &&
	       within("picture extended to the right by", o->extend_right, 0, 65535, e) &&
	       within("picture extended upwards by", o->extend_up, 0, 65535, e) &&
	       within("picture extended downwards by", o->extend_down, 0, 65535, e);
}

static bool check_numbers(const sumi_options *o, error *e)
{
	return within("steps", o->steps, 1, 10000, e) && within("guidance", o->guidance, -HUGE_VAL, 1000, e) &&
	       within("guidance rescale", o->guidance_rescale, 0, 1, e) &&
	       within("start of the skip of guidance", o->guidance_skip_from, 0, 1, e) &&
	       within("end of the skip of guidance", o->guidance_skip_to, 0, 1, e) &&
	       within("flow shift", o->flow_shift, 0, 100, e) &&
	       within("start of the refiner", o->refiner_start, 0, 1, e) && check_sizes(o, e) && check_extension(o, e) &&
	       within("perturbed-attention guidance", o->pag_scale, 0, 100, e) &&
	       within("skip-layer guidance", o->slg_scale, -HUGE_VAL, 100, e) &&
	       within("start of the skip of layers", o->skip_layer_start, 0, 1, e) &&
	       within("end of the skip of layers", o->skip_layer_end, 0, 1, e) && within("eta", o->eta, -HUGE_VAL, 1, e) &&
	       within("clip skip", o->clip_skip, 0, 64, e) && within("strength", o->strength, 0, 1, e) &&
	       within("blend", o->blend, 0, 1, e) && within("variation strength", o->variation_strength, 0, 1, e) &&
	       (o->variation_seed >= 0 ||
	           fail(e, BAD_USAGE, "variation seed %lld: at least 0", (long long)o->variation_seed)) &&
	       (o->seed >= -1 || fail(e, BAD_USAGE, "seed %lld: at least 0, or -1 for a random one", (long long)o->seed));
}

static bool choose_seed(job *j, error *e)
{
	uint32_t random;
	if (!noise_kind(j->o->rng, &j->cuda, e)) return false;
	j->seed = j->o->seed;
	if (j->seed < 0 && getrandom(&random, sizeof random, 0) != sizeof random)
		return fail(e, BAD_FILE, "no random seed from the system");
	if (j->seed < 0) j->seed = random; /* 32 bits, as the Python tools' generators use */
	noise_seed(&j->noise, j->cuda, (uint64_t)j->seed);
	return true;
}

/* ── the sampler and its path ── */

/* A folder's own scheduler: where the sampler is "model", and by default if the model was distilled
 * for it (LCM, TCD), so that others would draw nothing. */
static bool choose_own_scheduler(job *j, error *e)
{
	const char *name = j->o->sampler;
	const checkpoint *c = j->m->checkpoint; /* NULL while a model is trained */
	const json_t *config = c ? checkpoint_scheduler(c) : NULL;
	bool named = name && !strcasecmp(name, "model");
	if (named && !config)
		return fail(
		    e, BAD_USAGE, "sampler 'model': %s has no scheduler of its own, as a diffusers folder has", j->m->path);
	if (!config || (name && !named)) return true;
	error unknown = { 0 };
	if (!scheduler_read(&j->scheduler, config, NULL, named ? e : &unknown)) return !named;
	j->own_scheduler = named || j->scheduler.family == DISTILLED_SCHEDULER;
	if (!j->own_scheduler) return true;
	const family *f = &j->m->family;
	if (f->text[0].kind == CLIP_TEXT && !denoiser_sizes_of(&f->denoiser).vector) scheduler_mend(&j->scheduler);
	j->sampler = j->scheduler.sampler;
	j->settings = j->scheduler.options;
	if (!j->m->prediction_given) j->prediction = j->scheduler.prediction;
	if (j->o->eta >= 0) j->settings.eta = j->o->eta;
	return true;
}

/* The spacing that was chosen, by its own name or behind the sampler's; one that would not be used is refused. */
static bool choose_spacing(job *j, bool named, bool flow, error *e)
{
	sigma_spacing standard = sampler_default_spacing(j->sampler, flow);
	if (j->o->schedule && !spacing_from_name(j->o->schedule, &j->spacing, e)) return false;
	if (!j->o->schedule && !named) j->spacing = standard;
	if (j->spacing == standard || sampler_takes_spacing(j->sampler, flow)) return true;
	return fail(e, BAD_USAGE, "schedule '%s': %s has steps of its own; leave it out, or take a sampler like Euler",
	    spacing_name(j->spacing), sampler_name(j->sampler));
}

static bool choose_sampler(job *j, error *e)
{
	const sumi_options *o = j->o;
	if (!choose_own_scheduler(j, e)) return false;
	if (j->own_scheduler && o->schedule)
		return fail(e, BAD_USAGE,
		    "schedule '%s': %s of the folder's scheduler has its own; leave it out, or name a sampler", o->schedule,
		    sampler_name(j->sampler));
	if (j->own_scheduler) return true;
	bool named = false, flow = j->prediction == PREDICT_FLOW;
	bool distilled = denoiser_sizes_of(&j->m->family.denoiser).guidance;
	const char *standard = flow ? "Euler" : distilled ? "LCM" : "DPM++ 2M";
	if (!sampler_from_name(o->sampler ? o->sampler : standard, &j->sampler, &j->spacing, &named, e) ||
	    !choose_spacing(j, named, flow, e))
		return false;
	j->settings = sampler_defaults(j->sampler);
	if (o->eta >= 0) j->settings.eta = o->eta;
	return true;
}

static bool make_schedule(job *j, error *e)
{
	return noise_schedule_make(&j->schedule, j->own_scheduler ? &j->scheduler.betas : &j->m->family.betas, e);
}

static double flow_shift(const job *j)
{
	double own = (double)j->m->family.flow_shift;
	return j->o->flow_shift > 0 ? j->o->flow_shift : own > 0 ? own : 1;
}

/* Image to image leaves out the first steps, as A1111 and CompVis do: of `steps`, floor(strength·steps) are left; the
 * latent is noised as the step before these begins, and samplers on sigmas do that step too. A folder's own scheduler
 * begins where diffusers does. */
static void begin_from_picture(job *j)
{
	int steps = j->o->steps;
	if (j->own_scheduler) {
		j->skipped = scheduler_begin(&j->scheduler, &j->path, steps, j->o->strength);
		if (j->skipped < j->path.count) j->start = j->path.steps[j->skipped].from;
		return;
	}
	int left = (int)(fmin(j->o->strength, 0.999) * steps), noisy = j->path.count - left - 1;
	if (noisy < 0) noisy = 0;
	j->start = j->path.steps[noisy].from;
	j->skipped = j->path.form == VARIANCE_PRESERVING ? noisy + 1 : noisy;
	if (j->o->strength <= 0) j->skipped = j->path.count;
}

static bool make_path(job *j, error *e)
{
	int steps = j->o->steps, patch = denoiser_patch(&j->m->family.denoiser);
	double mu = scheduler_mu(&j->scheduler, (j->latent_width / patch) * (j->latent_height / patch));
	bool made = j->own_scheduler ? scheduler_trajectory(&j->scheduler, &j->schedule, steps, mu, &j->path, e)
	            : j->prediction == PREDICT_FLOW
	                ? sampler_flow_trajectory(&j->path, j->sampler, j->spacing, flow_shift(j), steps, e)
	                : sampler_trajectory(&j->path, j->sampler, j->spacing, &j->schedule, steps, e);
	if (made && j->o->init) begin_from_picture(j);
	return made;
}

/* ── the prompt ── */

typedef struct prompt_loras {
	job *j;
	const watcher *w;
} prompt_loras;

static bool add_prompt_lora(void *context, const char *name, const char *strengths, error *e)
{
	const prompt_loras *p = context;
	job *j = p->j;
	char path[PATH_MAX];
	return lora_path(j->m, name, path, sizeof path, e) && model_add_lora(j->m, p->w, &j->of_prompt, path, strengths, e);
}

static prompt_request request_of(const job *j, const char *positive, bool guided)
{
	const sumi_options *o = j->o;
	return (prompt_request){ .positive = positive,
		.negative = o->negative_prompt ? o->negative_prompt : "",
		.guided = guided,
		.zero_negative = o->zero_negative,
		.steps = o->steps };
}

/* The numbers of SDXL's size conditioning: original size, crop, and target size or aesthetic score (SDXL, arXiv
 * 2307.01952, section 2.2); the picture's own size where nothing is given. */
static void give_sizes(const job *j, conditioning *c)
{
	const sumi_options *o = j->o;
	bool scored = family_size_numbers(&j->m->family) == 5;
	for (int conditional = 0; conditional < 2; conditional++) {
		double *to = c->sizes[conditional];
		to[0] = o->original_height ? o->original_height : j->height;
		to[1] = o->original_width ? o->original_width : j->width;
		to[2] = o->crop_top;
		to[3] = o->crop_left;
		to[4] = scored ? (conditional ? o->aesthetic_score : o->negative_aesthetic_score)
		               : (o->target_height ? o->target_height : j->height);
		to[5] = o->target_width ? o->target_width : j->width;
	}
}

/* Warns of marks that the encoders will read as words. */
static void doubt_marks(const watcher *w, const char *where, const char *text)
{
	static const char *const marks[][2] = { { "<lora:", "a LoRA is named by <lora:NAME:WEIGHT> in the prompt alone" },
		{ "<lyco:", "a LoRA is named by <lyco:NAME:WEIGHT> in the prompt alone" },
		{ "<hypernet:", "hypernetworks are not known" } };
	for (size_t i = 0; text && i < sizeof marks / sizeof *marks; i++) {
		const char *at = strcasestr(text, marks[i][0]);
		if (!at) continue;
		int length = (int)strcspn(at, ">\n");
		watcher_note(w, SUMI_WARNING, "'%.*s%s' in the %s is read as plain words: %s", length < 60 ? length : 60, at,
		    at[length] == '>' && length < 60 ? ">" : "", where, marks[i][1]);
	}
}

/* `adds`: the LoRA files that the prompt names are added to the model. */
static bool read_prompts(job *j, session *s, bool adds, const watcher *w, error *e)
{
	const sumi_options *o = j->o;
	prompt_loras loras = { j, w };
	/* a distilled model gets it as an input instead; CFG++ steps along the unconditional output whatever the scale */
	bool guided = (j->guidance.scale > 1 || j->settings.cfg_pp) && !j->embedded;
	j->prompt = prompt_without_loras(o->prompt ? o->prompt : "", adds ? add_prompt_lora : NULL, &loras, e);
	if (!j->prompt || !(j->adapters = session_adapters(s, j->m, &j->of_prompt, e))) return false;
	j->skip = o->clip_skip ? o->clip_skip - 1 : -1;
	doubt_marks(w, "prompt", j->prompt);
	doubt_marks(w, "negative prompt", guided ? o->negative_prompt : NULL);
	doubt_marks(w, "prompt that is blended in", o->prompt_to);
	prompt_request p = request_of(j, j->prompt, guided);
	give_sizes(j, &j->text);
	return conditioning_read(&j->text, j->m, w, &p, e);
}

/* The prompt that is blended in: as many branches and tokens, so that contexts can be mixed one by one. */
static bool read_blend(job *j, const watcher *w, error *e)
{
	const sumi_options *o = j->o;
	if (!o->prompt_to || o->blend <= 0) return true;
	prompt_request p = request_of(j, o->prompt_to, j->text.unconditional);
	give_sizes(j, &j->text_to);
	if (!conditioning_read(&j->text_to, j->m, w, &p, e)) return false;
	if (j->text_to.branches == j->text.branches && j->text_to.tokens == j->text.tokens) return true;
	return fail(e, BAD_USAGE, "prompts that are blended must be alike in length: %d and %d tokens, %d and %d branches",
	    j->text.tokens, j->text_to.tokens, j->text.branches, j->text_to.branches);
}

static bool check_pictures(job *j, error *e)
{
	const family *f = &j->m->family;
	if (f->autoencoder.in_channels != 3 || f->autoencoder.out_channels != 3)
		return fail(e, BAD_FILE, "%s: its pictures do not have three channels", j->m->path);
	return true;
}

/* What the denoiser reads besides latent, time and context. */
static bool check_denoiser(job *j, error *e)
{
	const sumi_options *o = j->o;
	const family *f = &j->m->family;
	denoiser_sizes sizes = denoiser_sizes_of(&f->denoiser);
	j->extra = sizes.in_channels - j->channels;
	j->embedded = sizes.guidance;
	j->guidance = (guidance){ .scale = o->guidance < 0 ? (double)f->guidance : o->guidance,
		.rescale = o->guidance_rescale,
		.skip_from = o->guidance_skip_from,
		.skip_to = o->guidance_skip_to };
	if (o->guidance_method && !guidance_from_text(o->guidance_method, &j->guidance, e)) return false;
	if (o->guidance_method && j->guidance.method && o->guidance_rescale > 0)
		return fail(e, BAD_USAGE, "guidance rescale is for plain guidance: it cannot be combined with %s",
		    guidance_name((int)j->guidance.method));
	if (j->extra != 0 && j->extra != j->channels + 1)
		return fail(e, BAD_FILE, "%s: a denoiser of %d channels on latents of %d is not known", j->m->path,
		    sizes.in_channels, j->channels);
	return sizes.vector == family_vector_width(f) ||
	       fail(e, BAD_FILE, "%s: its denoiser reads a vector of %d numbers, which its text encoders do not make",
	           j->m->path, sizes.vector);
}

/* CFG++ guides with scales of about 0 … 2, so the model's own would be far too much. */
static bool check_guidance(job *j, error *e)
{
	if (!j->settings.cfg_pp) return true;
	if (j->o->guidance < 0) j->guidance.scale = 1;
	return !j->embedded || fail(e, BAD_USAGE,
	                           "%s: CFG++ needs the unconditional output, and %s was distilled to do without; take "
	                           "another sampler",
	                           sampler_name(j->sampler), j->m->path);
}

/* SDXL's refiner learned the last fifth of the way alone. */
static bool check_begin(const job *j, error *e)
{
	return j->o->init || family_size_numbers(&j->m->family) != 5 ||
	       fail(e, BAD_USAGE,
	           "%s: a refiner finishes what another model began: give it as the refiner, or a picture to begin from",
	           j->m->path);
}

/* ── the refiner ── */

/* The first step whose time is in the refiner's part, the last of the timesteps: as in diffusers (denoising_end) and in
 * A1111. */
static int first_refined(const job *j)
{
	double last = (1 - j->o->refiner_start) * j->schedule.count;
	int step = 0;
	while (step < j->path.count && j->path.steps[step].from.t >= last) step++;
	return step;
}

static bool refines(const job *r, const job *j, error *e)
{
	const family *a = &j->m->family, *b = &r->m->family;
	const char *path = r->m->path;
	if (r->channels != j->channels || a->latent_scale != b->latent_scale || a->latent_shift != b->latent_shift)
		return fail(e, BAD_USAGE, "refiner %s: latents of %s, %d channels scaled by %g, are not those of %s, %d by %g",
		    path, b->name, r->channels, (double)b->latent_scale, a->name, j->channels, (double)a->latent_scale);
	if (r->extra)
		return fail(e, BAD_USAGE, "refiner %s: an inpainting model, which cannot finish another's picture", path);
	if (r->prediction == j->prediction && !memcmp(&a->betas, &b->betas, sizeof a->betas)) return true;
	return fail(e, BAD_USAGE, "refiner %s: trained for another noise schedule (%s) than the model (%s)", path,
	    prediction_name(r->prediction), prediction_name(j->prediction));
}

/* A job of its own for the same picture: it reads the prompts, and goes the other's path. */
static bool prepare_refiner(job *j, session *s, const watcher *w, error *e)
{
	if (!j->o->refiner) return true;
	if (j->o->control_count)
		watcher_note(w, SUMI_WARNING,
		    "the refiner finishes the picture without the control networks: they are the first model's, and lead until "
		    "it "
		    "takes over");
	job *r = j->refiner = calloc(1, sizeof *r);
	if (!r) return fail(e, NO_MEMORY, "out of memory for a refiner");
	if (!(r->m = session_refiner(s, j->o->refiner, w, e))) return false;
	r->o = &r->options;
	r->options = j->options;
	r->options.width = j->width;
	r->options.height = j->height;
	r->options.guidance = j->guidance.scale;
	r->settings = j->settings;
	r->prediction = r->m->family.prediction;
	j->refined_from = first_refined(j);
	return choose_size(r, e) && check_denoiser(r, e) && refines(r, j, e) && read_prompts(r, s, false, w, e) &&
	       read_blend(r, w, e) && heard_prepare(r, e);
}

/* ── skip-layer guidance ── */

/* "7,8,9" or "[7, 8, 9]" as bits. */
static bool read_layers(const char *text, int depth, uint64_t *layers, error *e)
{
	static const char between[] = " \t,[]";
	for (const char *c = text + strspn(text, between); *c; c += strspn(c, between)) {
		char *end;
		long layer = strtol(c, &end, 10);
		if (end == c || (*end && !strchr(between, *end)) || layer < 0 || layer >= depth)
			return fail(e, BAD_USAGE, "skip layers '%.60s': numbers of blocks, 0 … %d, as in 7,8,9", text, depth - 1);
		*layers |= (uint64_t)1 << layer;
		c = end;
	}
	return true;
}

/* PAG goes the way of skip-layer guidance, in all steps; and FreeU. */
static bool read_unet_changes(job *j, error *e)
{
	const sumi_options *o = j->o;
	const denoiser_config *c = &j->m->family.denoiser;
	j->changes = (unet_changes){ .branch = -1 };
	if (o->pag_scale == 0 && !o->free_u) return true;
	if (c->kind != UNET || !c->unet.spatial_transformer)
		return fail(e, BAD_USAGE, "%s is for U-Nets with transformers; %s has none",
		    o->free_u ? "FreeU" : "perturbed attention", j->m->family.name);
	if (o->free_u && !free_u_from_text(o->free_u, &j->changes, e)) return false;
	if (o->pag_scale == 0) return true;
	const char *layers = o->pag_layers ? o->pag_layers : "mid";
	if (!perturbed_from_text(layers, c->unet.levels, &j->changes.perturbed, e)) return false;
	j->skip_layers = (skip_layer_guidance){ j->changes.perturbed, o->pag_scale, -1, 2 };
	return true;
}

static bool read_deep_cache(job *j, error *e)
{
	const char *text = j->o->deep_cache;
	const denoiser_config *c = &j->m->family.denoiser;
	if (!text) return true;
	if (c->kind != UNET)
		return fail(e, BAD_USAGE, "DeepCache is for U-Nets: %s has a transformer, without levels to leave out",
		    j->m->family.name);
	if (j->skip_layers.layers)
		return fail(e, BAD_USAGE, "DeepCache cannot be combined with perturbed-attention guidance");
	return deep_cache_from_text(text, unet_skips(&c->unet), &j->deep_cache, &j->changes.branch, e);
}

static bool read_skip_layers(job *j, error *e)
{
	enum { MOST_LAYERS = 64 };
	const sumi_options *o = j->o;
	const denoiser_config *c = &j->m->family.denoiser;
	const char *layers = o->skip_layers ? o->skip_layers : "7,8,9";
	skip_layer_guidance *g = &j->skip_layers;
	*g = (skip_layer_guidance){ 0, o->slg_scale, o->skip_layer_start, o->skip_layer_end };
	if (g->scale < 0) g->scale = o->skip_layers ? 2.5 : 0;
	if (!read_unet_changes(j, e)) return false;
	if (g->scale == 0 || j->changes.perturbed) return true;
	if (c->kind != MMDIT)
		return fail(e, BAD_USAGE, "skip-layer guidance needs a transformer (Stable Diffusion 3); %s has a U-Net",
		    j->m->family.name);
	return read_layers(layers, c->mmdit.depth < MOST_LAYERS ? c->mmdit.depth : MOST_LAYERS, &g->layers, e);
}

static bool take_pictures(job *j, error *e)
{
	if (j->o->init && !adopt_image(&j->init_image, j->o->init, "the picture to begin from", e)) return false;
	if (j->o->mask && !adopt_image(&j->mask_image, j->o->mask, "the mask", e)) return false;
	if (j->o->init) j->options.init = &j->init_image;
	if (j->o->mask) j->options.mask = &j->mask_image;
	return true;
}

/* Warns of options that were given and change nothing with this model. */
static void doubt_options(const job *j, const watcher *w)
{
	const sumi_options *o = j->o;
	const char *name = j->m->family.name;
	int numbers = family_size_numbers(&j->m->family);
	bool sized =
	    o->original_width || o->original_height || o->crop_left || o->crop_top || o->target_width || o->target_height;
	bool scored = o->aesthetic_score != 6 || o->negative_aesthetic_score != 2.5;
	if (o->flow_shift > 0 && j->prediction != PREDICT_FLOW)
		watcher_note(w, SUMI_WARNING, "the shift %g is not used: %s is no model of flow", o->flow_shift, name);
	if (sized && !numbers)
		watcher_note(w, SUMI_WARNING, "original size, crop and target size are not used: %s reads no sizes", name);
	if (scored && numbers != 5 && !o->refiner)
		watcher_note(w, SUMI_WARNING, "the aesthetic score is not used: %s is no refiner, and none was given", name);
	if (o->refiner_start != 0.8 && !o->refiner)
		watcher_note(w, SUMI_WARNING, "the refiner's start %g is not used: no refiner was given", o->refiner_start);
}

bool job_prepare(job *j, session *s, const watcher *w, const sumi_options *o, error *e)
{
	j->m = session_model(s);
	j->o = &j->options;
	j->prediction = j->m->family.prediction;
	bool fine = adopt_options(&j->options, o, e) && take_pictures(j, e) && check_numbers(j->o, e) &&
	            choose_size(j, e) && first_picture_prepare(j, w, e) && check_pictures(j, e) && check_denoiser(j, e) &&
	            read_skip_layers(j, e) && read_deep_cache(j, e) && check_begin(j, e) && choose_seed(j, e) &&
	            choose_sampler(j, e) && check_guidance(j, e) && make_schedule(j, e) && make_path(j, e) &&
	            read_prompts(j, s, true, w, e) && read_blend(j, w, e) && heard_prepare(j, e) && preview_check(j, e) &&
	            prepare_refiner(j, s, w, e) && control_prepare(j, s, w, e) && image_prompts_prepare(j, s, e) &&
	            hires_prepare(j, s, w, e);
	if (fine && !j->latent_comes) doubt_options(j, w);
	return fine;
}

void job_free(job *j)
{
	if (j->refiner) job_free(j->refiner);
	free(j->refiner);
	conditioning_free(&j->text);
	conditioning_free(&j->text_to);
	trajectory_free(&j->path);
	noise_schedule_free(&j->schedule);
	adapters_close(&j->of_prompt);
	free(j->prompt);
	free(j->original);
	free(j->mask);
	free(j->inpainting_input);
	free(j->maps);
	first_picture_free(j);
	hires_free(j);
	*j = (job){ 0 };
}

/* ── which jobs go together ── */

static bool same_point(path_point a, path_point b) { return a.t == b.t && a.alpha == b.alpha && a.sigma == b.sigma; }

static bool same_path(const trajectory *a, const trajectory *b)
{
	bool same = a->form == b->form && a->count == b->count && a->start == b->start;
	for (int i = 0; same && i < a->count; i++)
		same = same_point(a->steps[i].from, b->steps[i].from) && same_point(a->steps[i].to, b->steps[i].to);
	return same;
}

static bool same_inputs(const job *a, const job *b)
{
	const skip_layer_guidance *g = &a->skip_layers, *h = &b->skip_layers;
	return a->adapters == b->adapters && a->text.branches == b->text.branches && a->text.tokens == b->text.tokens &&
	       a->text.words == b->text.words && a->deep_cache == b->deep_cache && a->changes.branch == b->changes.branch &&
	       g->layers == h->layers && g->from == h->from && g->to == h->to && a->changes.free_u == b->changes.free_u &&
	       !memcmp(a->changes.b, b->changes.b, sizeof a->changes.b) &&
	       !memcmp(a->changes.s, b->changes.s, sizeof a->changes.s);
}

static bool same_refiner(const job *a, const job *b)
{
	if (!a->refiner || !b->refiner) return a->refiner == b->refiner;
	return a->refined_from == b->refined_from && same_inputs(a->refiner, b->refiner);
}

/* Settings are compared with their padding: at worst two jobs are drawn apart. */
bool jobs_alike(const job *a, const job *b)
{
	return a->width == b->width && a->height == b->height && a->sampler == b->sampler &&
	       a->prediction == b->prediction && a->tile == b->tile && a->skipped == b->skipped &&
	       !a->o->init == !b->o->init && !memcmp(&a->settings, &b->settings, sizeof a->settings) &&
	       same_path(&a->path, &b->path) && same_inputs(a, b) && same_refiner(a, b) && controls_alike(a, b) &&
	       image_prompts_alike(a, b) && a->latent_comes == b->latent_comes && hires_alike(a, b);
}
