/* a1111.c - A1111's txt2img and img2img, field by field. What is not done here is refused by its name, unless its value
 * says that it is not wanted; clients send all fields. */
#include "server/a1111.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* ── reading ── */

typedef struct refused_field {
	const char *name;
	double off; /* a number that says that it is not wanted, besides 0 */
} refused_field;

static void refuse_fields(const json_t *o, const refused_field *f, problem *p)
{
	for (; f->name; f++) {
		const json_t *v = json_object_get(o, f->name);
		if (!a1111_is_off(v) && !(json_is_number(v) && json_number_value(v) == f->off))
			problem_set(p, 422, f->name, "%s is not done by this server", f->name);
	}
}

static void refuse_what_is_not_done(const json_t *o, bool from_picture, problem *p)
{
	static const refused_field always[] = { { "restore_faces", 0 }, { "tiling", 0 }, { "script_name", 0 },
		{ "script_args", 0 }, { "styles", 0 }, { "s_churn", 0 }, { "s_tmin", 0 }, { "s_min_uncond", 0 },
		{ "s_noise", 1 }, { "infotext", 0 }, { "disable_extra_networks", 0 }, { "seed_resize_from_h", -1 },
		{ "seed_resize_from_w", -1 }, { NULL, 0 } };
	static const refused_field of_img2img[] = { { "enable_hr", 0 }, { "latent_mask", 0 },
		{ "initial_noise_multiplier", 1 }, { NULL, 0 } };
	refuse_fields(o, always, p);
	if (from_picture) refuse_fields(o, of_img2img, p);
}

/* true or 1, false or 0: clients write both. */
static void read_switch(const json_t *o, const char *name, bool *value, problem *p)
{
	int64_t number = *value;
	if (json_is_boolean(json_object_get(o, name))) {
		field_flag(o, name, value, p);
	} else {
		field_integer(o, name, 0, 1, &number, p);
		*value = number;
	}
}

static void read_overrides(server *s, const json_t *o, job *j, problem *p)
{
	const json_t *settings = json_object_get(o, "override_settings");
	const char *name;
	json_t *value;
	j->options.clip_skip = server_clip_skip(s);
	if (settings && !json_is_null(settings) && !json_is_object(settings))
		problem_set(p, 422, "override_settings", "override_settings is not an object");
	json_object_foreach((json_t *)(uintptr_t)settings, name, value)
	{
		if (!strcmp(name, "sd_model_checkpoint")) {
			const char *title = NULL;
			field_text(settings, name, &title, p);
			int i = title && *title ? a1111_find_model(s, title, p) : -1;
			if (i < 0) continue;
			free(j->model);
			j->model = strdup(queue_model_name(server_queue(s), i));
			if (!j->model) problem_set(p, 503, "", "out of memory");
		} else if (!strcmp(name, "CLIP_stop_at_last_layers")) {
			j->options.clip_skip = a1111_clip_skip(settings, p);
		} else if (!strcmp(name, "control_net_no_detectmap")) {
			field_flag(settings, name, &j->hides_maps, p);
		} else if (!strcmp(name, "sd_vae") ? !a1111_is_our_vae(s, value) : !a1111_is_off(value)) {
			problem_set(p, 422, "override_settings", "the setting %.100s is not known to this server", name);
		}
	}
}

static void read_sampler(const json_t *o, sumi_options *d, problem *p)
{
	const char *sampler = NULL, *index = NULL, *schedule = NULL;
	field_text(o, "sampler_index", &index, p);
	field_text(o, "sampler_name", &sampler, p);
	field_text(o, "scheduler", &schedule, p);
	if (!sampler || !*sampler) sampler = index;
	if (sampler && *sampler && !job_text(&d->sampler, sampler)) problem_set(p, 503, "", "out of memory");
	if (schedule && *schedule && strcasecmp(schedule, "Automatic") && !job_text(&d->schedule, schedule))
		problem_set(p, 503, "", "out of memory");
}

static void read_texts(const json_t *o, sumi_options *d, problem *p)
{
	const char *prompt = "", *negative = "";
	field_text(o, "prompt", &prompt, p);
	field_text(o, "negative_prompt", &negative, p);
	if (strlen(prompt) > MOST_TEXT || strlen(negative) > MOST_TEXT)
		problem_set(p, 422, "prompt", "a prompt has more than %d bytes", MOST_TEXT);
	else if (!job_text(&d->prompt, prompt) || !job_text(&d->negative_prompt, negative))
		problem_set(p, 503, "", "out of memory");
}

static int64_t any_seed(void)
{
	uint32_t x = 0;
	return getrandom(&x, sizeof x, 0) == sizeof x ? x : time(NULL);
}

static void read_numbers(const json_t *o, job *j, problem *p)
{
	sumi_options *d = &j->options;
	int64_t width = 512, height = 512, /* 0 (not A1111's): as the model is best; so is a guidance of -1 */
	    steps = 50, seed = -1, subseed = -1, batch = 1, times = 1;
	double guidance = 7, eta = -1;
	field_integer(o, "width", 0, 8192, &width, p);
	field_integer(o, "height", 0, 8192, &height, p);
	field_integer(o, "steps", 1, 1000, &steps, p);
	field_integer(o, "seed", -1, INT64_MAX / 2, &seed, p);
	field_integer(o, "subseed", -1, INT64_MAX / 2, &subseed, p);
	field_number(o, "subseed_strength", 0, 1, &d->variation_strength, p);
	field_integer(o, "batch_size", 1, MOST_PICTURES, &batch, p);
	field_integer(o, "n_iter", 1, MOST_PICTURES, &times, p);
	field_number(o, "cfg_scale", -1, 1000, &guidance, p);
	field_number(o, "eta", 0, 1, &eta, p);
	if (batch * times > MOST_PICTURES)
		problem_set(p, 422, "batch_size", "batch_size times n_iter is %lld, at most %d", (long long)(batch * times),
		    MOST_PICTURES);
	if (p->status) return;
	j->count = (int)(batch * times);
	d->width = (int)width;
	d->height = (int)height;
	d->steps = (int)steps;
	d->seed = seed < 0 ? any_seed() : seed;
	d->variation_seed = subseed < 0 ? any_seed() : subseed;
	d->guidance = guidance;
	d->eta = eta;
}

/* "Hires. fix". */
static void read_second_pass(server *s, const json_t *o, sumi_options *d, problem *p)
{
	static const refused_field not_done[] = { { "hr_resize_x", 0 }, { "hr_resize_y", 0 }, { "hr_prompt", 0 },
		{ "hr_negative_prompt", 0 }, { "firstphase_width", 0 }, { "firstphase_height", 0 }, { NULL, 0 } };
	static const char *const same[][2] = { { "hr_checkpoint_name", "Use same checkpoint" },
		{ "hr_sampler_name", "Use same sampler" }, { "hr_scheduler", "Use same scheduler" } };
	bool wanted = false;
	double scale = 2, strength = 0.75;
	double steps = 0; /* half of an odd number too: A1111 takes what is whole of it */
	const char *upscaler = "Latent";
	read_switch(o, "enable_hr", &wanted, p);
	if (!wanted) return;
	refuse_fields(o, not_done, p);
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		const json_t *v = json_object_get(o, same[i][0]);
		if (!a1111_is_off(v) && (!json_is_string(v) || strcmp(json_string_value(v), same[i][1])))
			problem_set(p, 422, same[i][0], "%s is not done by this server", same[i][0]);
	}
	field_number(o, "hr_scale", 1, 8, &scale, p);
	field_number(o, "denoising_strength", 0, 1, &strength, p);
	field_number(o, "hr_second_pass_steps", 0, 1000, &steps, p);
	field_text(o, "hr_upscaler", &upscaler, p);
	d->hires_scale = scale;
	d->hires_strength = strength;
	d->hires_steps = (int)steps;
	char known[4096]; /* never as it is given: it might be a path */
	bool found = a1111_find_upscaler(s, upscaler, known);
	if (found && !job_text(&d->hires_upscaler, known)) problem_set(p, 503, "", "out of memory");
	if (!found)
		problem_set(p, 422, "hr_upscaler",
		    "no upscaler '%.60s'; GET /sdapi/v1/latent-upscale-modes and /sdapi/v1/upscalers list them", upscaler);
}

static void read_refiner(server *s, const json_t *o, sumi_options *d, problem *p)
{
	const char *title = NULL;
	field_text(o, "refiner_checkpoint", &title, p);
	if (!title || !*title || !strcasecmp(title, "None")) return;
	int i = a1111_find_model(s, title, p);
	field_number(o, "refiner_switch_at", 0, 1, &d->refiner_start, p);
	if (i >= 0 && !job_text(&d->refiner, queue_model_path(server_queue(s), i)))
		problem_set(p, 503, "", "out of memory");
}

/* What is absent is as in A1111's API, not as on its page: what is masked alone is drawn, from the colours around it.
 */
static void read_mask(const json_t *o, sumi_options *d, problem *p)
{
	static const char *const fills[] = { "fill", "original", "latent noise", "latent nothing" };
	sumi_image *mask = NULL;
	double x = 4, y = 4, both = -1;
	int64_t fill = 0, padding = 0;
	bool inverted = false, only_masked = true, rounded = true;
	field_picture(o, "mask", &mask, p);
	d->mask = mask;
	if (!mask) return;
	field_number(o, "mask_blur_x", 0, 256, &x, p);
	field_number(o, "mask_blur_y", 0, 256, &y, p);
	field_number(o, "mask_blur", 0, 256, &both, p);
	if (both < 0 && x != y) problem_set(p, 422, "mask_blur_y", "mask_blur_x and mask_blur_y differ");
	field_integer(o, "inpainting_fill", 0, 3, &fill, p);
	field_integer(o, "inpaint_full_res_padding", 0, 8192, &padding, p);
	read_switch(o, "inpainting_mask_invert", &inverted, p);
	read_switch(o, "inpaint_full_res", &only_masked, p);
	read_switch(o, "mask_round", &rounded, p);
	if (!rounded) problem_set(p, 422, "mask_round", "a mask that is not rounded is not done by this server");
	d->mask_blur = both < 0 ? x : both;
	d->mask_fill = fills[fill];
	d->mask_padding = (int)padding;
	d->mask_inverted = inverted;
	d->only_masked = only_masked;
}

static void read_pictures(const json_t *o, job *j, problem *p)
{
	static const char *const fits[] = { "resize", "crop", "pad" };
	const json_t *list = json_object_get(o, "init_images");
	sumi_image *init = NULL;
	double strength = 0.75;
	int64_t fit = 0;
	if (json_array_size(list) != 1) {
		problem_set(
		    p, json_array_size(list) ? 422 : 404, "init_images", "%zu init images, expected 1", json_array_size(list));
	} else {
		json_t *first = json_pack("{s:O}", "init_images", json_array_get(list, 0));
		field_picture(first, "init_images", &init, p);
		json_decref(first);
	}
	read_mask(o, &j->options, p);
	field_integer(o, "resize_mode", 0, 2, &fit, p);
	field_number(o, "denoising_strength", 0, 1, &strength, p);
	j->options.init = init;
	j->options.resize_mode = fits[fit];
	j->options.strength = strength;
}

/* ── answering ── */

static json_t *repeated(const char *text, int n)
{
	json_t *list = json_array();
	for (int i = 0; i < n; i++) json_array_append_new(list, json_string(text));
	return list;
}

/* What A1111 tells of the pictures, as a text that is JSON. */
static json_t *info_of(const job *j)
{
	const sumi_options *d = &j->options;
	json_t *seeds = json_array(), *subseeds = json_array(), *texts = json_array();
	int done = j->error.status ? 0 : j->count;
	char when[20];
	time_t t = time(NULL);
	struct tm local;
	strftime(when, sizeof when, "%Y%m%d%H%M%S", localtime_r(&t, &local));
	for (int i = 0; i < j->count; i++) {
		json_array_append_new(seeds, json_integer(d->seed + (d->variation_strength > 0 ? 0 : i)));
		json_array_append_new(subseeds, json_integer(d->variation_seed + i));
	}
	for (int i = 0; i < done; i++)
		json_array_append_new(texts, json_string(j->pictures[i]->parameters ? j->pictures[i]->parameters : ""));
	json_t *info = json_pack("{s:s, s:o, s:s, s:o, s:I, s:o, s:I, s:o, s:f, s:i, s:i, s:s?, s:f, s:i, s:i}", "prompt",
	    d->prompt, "all_prompts", repeated(d->prompt, j->count), "negative_prompt", d->negative_prompt,
	    "all_negative_prompts", repeated(d->negative_prompt, j->count), "seed", (json_int_t)d->seed, "all_seeds", seeds,
	    "subseed", (json_int_t)d->variation_seed, "all_subseeds", subseeds, "subseed_strength", d->variation_strength,
	    "width", d->width, "height", d->height, "sampler_name", d->sampler, "cfg_scale", d->guidance, "steps", d->steps,
	    "batch_size", j->count);
	if (!info) return NULL;
	json_object_set_new(info, "restore_faces", json_false());
	json_object_set_new(info, "sd_model_name", json_string(j->drawn_with ? j->drawn_with : ""));
	json_object_set_new(info, "denoising_strength",
	    d->init              ? json_real(d->strength)
	    : d->hires_scale > 0 ? json_real(d->hires_strength)
	                         : json_null());
	json_object_set_new(info, "sd_model_hash", json_null());
	json_object_set_new(info, "sd_vae_name", json_null());
	json_object_set_new(info, "sd_vae_hash", json_null());
	json_object_set_new(info, "face_restoration_model", json_null());
	json_object_set_new(info, "seed_resize_from_w", json_integer(-1));
	json_object_set_new(info, "seed_resize_from_h", json_integer(-1));
	json_object_set_new(info, "is_using_inpainting_conditioning", json_false());
	json_object_set_new(info, "extra_generation_params", json_object());
	json_object_set_new(info, "index_of_first_image", json_integer(0));
	json_object_set_new(info, "infotexts", texts);
	json_object_set_new(info, "styles", json_array());
	json_object_set_new(info, "job_timestamp", json_string(when));
	json_object_set_new(info, "clip_skip", json_integer(d->clip_skip ? d->clip_skip : 1));
	json_object_set_new(info, "interrupted", json_boolean(j->error.status == SUMI_STOPPED));
	json_object_set_new(info, "version", json_string(sumi_version()));
	char *text = json_dumps(info, JSON_COMPACT);
	json_t *value = text ? json_string(text) : NULL;
	free(text);
	json_decref(info);
	return value;
}

static void answer_pictures(const request *r, const job *j, reply *y)
{
	bool send = true, given = false;
	problem ignored = { 0 };
	json_t *images = json_array(), *asked = json_copy(r->json);
	field_flag(r->json, "send_images", &send, &ignored);
	field_flag(r->json, "include_init_images", &given, &ignored);
	bool fine = images && asked;
	for (int i = 0; fine && send && !j->error.status && i < j->count; i++) {
		json_t *one = picture_json(j->pictures[i], "png", 0);
		fine = one && !json_array_append_new(images, one);
	}
	if (fine && send && !j->error.status) fine = a1111_add_maps(j, images);
	if (asked && !given && json_object_get(asked, "init_images"))
		json_object_set_new(asked, "init_images", json_null());
	if (asked && !given && json_object_get(asked, "mask")) json_object_set_new(asked, "mask", json_null());
	if (asked && json_object_get(asked, "alwayson_scripts"))
		json_object_set_new(asked, "alwayson_scripts", json_object());
	if (asked) json_object_set_new(asked, "seed", json_integer(j->options.seed));
	json_t *info = info_of(j);
	reply_json(y, 200,
	    fine && info ? json_pack("{s:O, s:O, s:O}", "images", images, "parameters", asked, "info", info) : NULL);
	json_decref(images);
	json_decref(asked);
	json_decref(info);
}

job *a1111_read(server *s, const json_t *body, bool from_picture, problem *p)
{
	job *j = job_new();
	if (!j) problem_set(p, 503, "", "out of memory");
	if (!body) problem_set(p, 422, "", "the body is missing: a JSON object");
	if (!p->status) {
		refuse_what_is_not_done(body, from_picture, p);
		read_texts(body, &j->options, p);
		read_numbers(body, j, p);
		read_sampler(body, &j->options, p);
		read_overrides(s, body, j, p);
		read_refiner(s, body, &j->options, p);
		if (from_picture)
			read_pictures(body, j, p);
		else
			read_second_pass(s, body, &j->options, p);
		a1111_read_scripts(s, body, j, p);
	}
	if (!p->status) return j;
	job_free(j);
	return NULL;
}

static void make(server *s, request *r, reply *y, bool from_picture)
{
	problem p = { 0 };
	job *j = a1111_read(s, r->json, from_picture, &p);
	if (j) a1111_refuse_submission(s, draw_for(s, r, j), &p);
	if (!p.status && j->error.status && j->error.status != SUMI_STOPPED) problem_of(s, &p, &j->error);
	if (p.status)
		a1111_refuse(y, &p);
	else
		answer_pictures(r, j, y);
	job_free(j);
}

void a1111_txt2img(server *s, request *r, reply *y) { make(s, r, y, false); }
void a1111_img2img(server *s, request *r, reply *y) { make(s, r, y, true); }
