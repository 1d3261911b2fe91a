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
	json_object_set_new(j, "unet", unet_config_to_json(&f->denoiser.unet));
	json_object_set_new(j, "dd", vae_config_to_json(&f->autoencoder));
	if (family_has(f, TEXT_ENCODER)) json_object_set_new(j, "text", text_config_to_json(&f->text[0]));
	set_text(j, "unet_prefix", f->prefix[DENOISER]);
	set_text(j, "vae_prefix", f->prefix[AUTOENCODER]);
	set_text(j, "text_prefix", f->prefix[TEXT_ENCODER]);
	set_text(j, "beta_schedule", beta_curve_name(f->betas.curve));
	set_real(j, "beta_start", f->betas.start);
	set_real(j, "beta_end", f->betas.end);
	set_int(j, "num_train_timesteps", f->betas.count);
	json_object_set_new(j, "rescale_betas_zero_snr", json_boolean(f->betas.zero_terminal_snr));
	set_text(j, "prediction_type", prediction_name(f->prediction));
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
		if (json_object_get(j, keys[i])) return text_config_from_json(json_object_get(j, keys[i]), &f->text[0], e);
	f->text[0] = (text_config){ .kind = NO_TEXT };
	return true;
}

static void read_prefix(const json_t *j, const char *key, const char *absent, char *prefix, error *e)
{
	json_text(j, key, absent, prefix, PREFIX_LENGTH, e);
}

/* The choices that have names: how the betas run, and what the denoiser predicts. */
static bool read_noise(const json_t *j, schedule_config *betas, prediction *p, error *e)
{
	char name[32];
	json_text(j, "beta_schedule", beta_curve_name(betas->curve), name, sizeof name, e);
	if (!failed(e) && !beta_curve_from_name(name, &betas->curve))
		return fail(e, BAD_FILE, "configuration: 'beta_schedule' is '%s', which is not known", name);
	json_text(j, "prediction_type", prediction_name(*p), name, sizeof name, e);
	if (!failed(e) && !prediction_from_name(name, p))
		return fail(e, BAD_FILE,
		    "configuration: 'prediction_type' is '%s', expected epsilon, v_prediction, sample or flow", name);
	betas->start = json_number(j, "beta_start", betas->start, e);
	betas->end = json_number(j, "beta_end", betas->end, e);
	betas->count = json_int(j, "num_train_timesteps", betas->count, e);
	betas->zero_terminal_snr = json_flag(j, "rescale_betas_zero_snr", false, e);
	return true;
}

static bool read_family(const json_t *j, family *f, error *e)
{
	const json_t *dd = json_object_get(j, "dd") ? json_object_get(j, "dd") : json_object_get(j, "vae");
	f->denoiser.kind = UNET;
	if (!unet_config_from_json(json_object_get(j, "unet"), &f->denoiser.unet, e) ||
	    !vae_config_from_json(dd, &f->autoencoder, e) || !read_text(j, f, e))
		return false;
	json_text(j, "name", "custom", f->name, sizeof f->name, e);
	read_prefix(j, "unet_prefix", f->prefix[DENOISER], f->prefix[DENOISER], e);
	read_prefix(j, "vae_prefix", f->prefix[AUTOENCODER], f->prefix[AUTOENCODER], e);
	bool open = f->text[0].kind == CLIP_TEXT && f->text[0].clip.fused;
	const char *text_prefix = open ? "cond_stage_model.model" : "cond_stage_model.transformer";
	read_prefix(j, "text_prefix", text_prefix, f->prefix[TEXT_ENCODER], e);
	if (!read_noise(j, &f->betas, &f->prediction, e)) return false;
	f->latent_scale = (float)json_number(j, "scale_factor", (double)f->latent_scale, e);
	f->latent_shift = (float)json_number(j, "shift_factor", 0, e);
	f->guidance = (float)json_number(j, "guidance_scale", (double)f->guidance, e);
	int image_size = json_int(json_object_get(j, "unet"), "image_size", 64, e);
	if (image_size < 1 || image_size > 4096) return fail(e, BAD_FILE, "configuration: 'image_size' is %d", image_size);
	f->size = json_int(j, "size", image_size * vae_factor(&f->autoencoder), e);
	if (f->size < 1 || f->betas.count < 2 || f->betas.count > 100000)
		return fail(e, BAD_FILE, "configuration: a size of %d or %d timesteps cannot be", f->size, f->betas.count);
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
