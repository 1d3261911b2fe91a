/* family_json.c - whole families to JSON and back. */
#include "models/config.h"
#include "base/json.h"
#include <stdlib.h>
#include <string.h>

static void set_text(json_t *j, const char *key, const char *value) { json_object_set_new(j, key, json_string(value)); }
static void set_real(json_t *j, const char *key, double value) { json_object_set_new(j, key, json_real(value)); }
static void set_int(json_t *j, const char *key, int value) { json_object_set_new(j, key, json_integer(value)); }

char *family_to_json(const family *f)
{
	json_t *j = json_object();
	set_text(j, "name", f->name);
	json_object_set_new(j, "unet", unet_config_to_json(&f->unet));
	json_object_set_new(j, "dd", vae_config_to_json(&f->vae));
	if (f->text.kind != NO_TEXT) json_object_set_new(j, "text", text_config_to_json(&f->text));
	set_text(j, "unet_prefix", f->unet_prefix);
	set_text(j, "vae_prefix", f->vae_prefix);
	set_text(j, "text_prefix", f->text_prefix);
	set_text(j, "beta_schedule", f->beta_schedule);
	set_real(j, "beta_start", f->beta_start);
	set_real(j, "beta_end", f->beta_end);
	set_int(j, "num_train_timesteps", f->timesteps);
	json_object_set_new(j, "rescale_betas_zero_snr", json_boolean(f->zero_terminal_snr));
	set_text(j, "prediction_type", f->prediction);
	set_real(j, "scale_factor", (double)f->latent_scale);
	set_real(j, "shift_factor", (double)f->latent_shift);
	set_real(j, "guidance_scale", (double)f->guidance);
	set_int(j, "size", f->size);
	char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	json_decref(j);
	return text;
}

static bool read_text(const json_t *j, family *f, error *e)
{
	static const char *const keys[] = { "text", "clip", "openclip", "transformer" };
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (json_object_get(j, keys[i])) return text_config_from_json(json_object_get(j, keys[i]), &f->text, e);
	f->text = (text_config){ .kind = NO_TEXT };
	return true;
}

static bool read_family(const json_t *j, family *f, error *e)
{
	const json_t *dd = json_object_get(j, "dd") ? json_object_get(j, "dd") : json_object_get(j, "vae");
	if (!unet_config_from_json(json_object_get(j, "unet"), &f->unet, e) || !vae_config_from_json(dd, &f->vae, e) ||
	    !read_text(j, f, e))
		return false;
	json_text(j, "name", "custom", f->name, sizeof f->name, e);
	json_text(j, "unet_prefix", f->unet_prefix, f->unet_prefix, sizeof f->unet_prefix, e);
	json_text(j, "vae_prefix", f->vae_prefix, f->vae_prefix, sizeof f->vae_prefix, e);
	bool open = f->text.kind == CLIP_TEXT && f->text.clip.fused;
	const char *text_prefix = open ? "cond_stage_model.model" : "cond_stage_model.transformer";
	json_text(j, "text_prefix", text_prefix, f->text_prefix, sizeof f->text_prefix, e);
	json_text(j, "beta_schedule", f->beta_schedule, f->beta_schedule, sizeof f->beta_schedule, e);
	f->beta_start = json_number(j, "beta_start", f->beta_start, e);
	f->beta_end = json_number(j, "beta_end", f->beta_end, e);
	f->timesteps = json_int(j, "num_train_timesteps", f->timesteps, e);
	f->zero_terminal_snr = json_flag(j, "rescale_betas_zero_snr", false, e);
	json_text(j, "prediction_type", f->prediction, f->prediction, sizeof f->prediction, e);
	f->latent_scale = (float)json_number(j, "scale_factor", (double)f->latent_scale, e);
	f->latent_shift = (float)json_number(j, "shift_factor", 0, e);
	f->guidance = (float)json_number(j, "guidance_scale", (double)f->guidance, e);
	int image_size = json_int(json_object_get(j, "unet"), "image_size", 64, e);
	if (image_size < 1 || image_size > 4096) return fail(e, BAD_FILE, "configuration: 'image_size' is %d", image_size);
	f->size = json_int(j, "size", image_size * vae_factor(&f->vae), e);
	if (f->size < 1 || f->timesteps < 2 || f->timesteps > 100000)
		return fail(e, BAD_FILE, "configuration: a size of %d or %d timesteps cannot be", f->size, f->timesteps);
	return !failed(e);
}

bool family_from_json(const char *json, family *f, error *e)
{
	error own = { 0 };
	if (!e) e = &own;
	json_error_t where;
	json_t *j = json_from_python(json, strlen(json), &where);
	if (!j) return fail(e, BAD_FILE, "configuration: line %d is not JSON: %s", where.line, where.text);
	*f = *family_by_name("sd1", e);
	bool fine = json_is_object(j) ? read_family(j, f, e) : fail(e, BAD_FILE, "configuration: it is not an object");
	json_decref(j);
	return fine;
}
