/* family_json.c - whole families to JSON and back. */
#include "models/config.h"
#include "base/json.h"
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *config, *prefix;
} text_keys[TEXT_ENCODERS] = { { "text", "text_prefix" }, { "text_2", "text_2_prefix" },
	{ "text_3", "text_3_prefix" } };

static const char *const rule_names[] = {
	[ONE_CONTEXT] = "one_context", [SIDE_BY_SIDE] = "side_by_side", [STACKED] = "stacked"
};

char *family_to_json(const family *f)
{
	json_t *j = json_object();
	json_set_text(j, "name", f->name);
	if (f->denoiser.kind == MMDIT)
		json_object_set_new(j, "mmdit", mmdit_config_to_json(&f->denoiser.mmdit));
	else
		json_object_set_new(j, "unet", unet_config_to_json(&f->denoiser.unet));
	json_object_set_new(j, "dd", vae_config_to_json(&f->autoencoder));
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (family_has(f, TEXT_ENCODER + i))
			json_object_set_new(j, text_keys[i].config, text_config_to_json(&f->text[i]));
	json_set_text(j, "unet_prefix", f->prefix[DENOISER]);
	json_set_text(j, "vae_prefix", f->prefix[AUTOENCODER]);
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (!i || family_has(f, TEXT_ENCODER + i)) json_set_text(j, text_keys[i].prefix, f->prefix[TEXT_ENCODER + i]);
	if (f->conditioning != ONE_CONTEXT) json_set_text(j, "conditioning", rule_names[f->conditioning]);
	json_set_text(j, "beta_schedule", beta_curve_name(f->betas.curve));
	json_set_real(j, "beta_start", f->betas.start);
	json_set_real(j, "beta_end", f->betas.end);
	json_set_int(j, "num_train_timesteps", f->betas.count);
	json_object_set_new(j, "rescale_betas_zero_snr", json_boolean(f->betas.zero_terminal_snr));
	json_set_text(j, "prediction_type", prediction_name(f->prediction));
	json_set_real(j, "scale_factor", (double)f->latent_scale);
	json_set_real(j, "shift_factor", (double)f->latent_shift);
	if (f->flow_shift > 0) json_set_real(j, "shift", (double)f->flow_shift);
	json_set_real(j, "guidance_scale", (double)f->guidance);
	json_set_int(j, "size", f->size);
	char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	json_decref(j);
	return text;
}

static bool read_text(const json_t *j, family *f, error *e)
{
	static const char *const keys[] = { "text", "clip", "openclip", "transformer" };
	for (int i = 0; i < TEXT_ENCODERS; i++) f->text[i] = (text_config){ .kind = NO_TEXT };
	for (int i = 1; i < TEXT_ENCODERS; i++) {
		const json_t *text = json_object_get(j, text_keys[i].config);
		if (text && !text_config_from_json(text, &f->text[i], e)) return false;
	}
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (json_object_get(j, keys[i])) return text_config_from_json(json_object_get(j, keys[i]), &f->text[0], e);
	return true;
}

bool conditioning_is_sound(const family *f, error *e)
{
	int vector = denoiser_sizes_of(&f->denoiser).vector, made = family_vector_width(f);
	if (f->conditioning != ONE_CONTEXT && vector != made)
		return fail(e, BAD_FILE, "configuration: the denoiser's vector has %d numbers, the text encoders make %d",
		    vector, made);
	int numbers = family_size_numbers(f), width = family_context_width(f);
	if (f->conditioning == SIDE_BY_SIDE && numbers != 5 && numbers != 6)
		return fail(e, BAD_FILE,
		    "configuration: the denoiser's vector has %d numbers, which leaves %d sizes, expected 5 or 6", vector,
		    numbers);
	if (f->conditioning == SIDE_BY_SIDE && width != denoiser_sizes_of(&f->denoiser).context)
		return fail(e, BAD_FILE, "configuration: the denoiser's context has a width of %d, the text encoders make %d",
		    denoiser_sizes_of(&f->denoiser).context, width);
	if (f->conditioning == STACKED &&
	    text_width(&f->text[0]) + text_width(&f->text[1]) > denoiser_sizes_of(&f->denoiser).context)
		return fail(e, BAD_FILE, "configuration: the first two text encoders are wider than the context of %d",
		    denoiser_sizes_of(&f->denoiser).context);
	return true;
}

static bool read_rule(const json_t *j, family *f, error *e)
{
	char name[32];
	json_text(j, "conditioning", rule_names[ONE_CONTEXT], name, sizeof name, e);
	size_t i = 0, rules = sizeof rule_names / sizeof *rule_names;
	while (i < rules && strcmp(name, rule_names[i])) i++;
	if (i == rules) return fail(e, BAD_FILE, "configuration: 'conditioning' is '%s', which is not known", name);
	f->conditioning = (conditioning_rule)i;
	return conditioning_is_sound(f, e);
}

static bool read_denoiser(const json_t *j, denoiser_config *c, error *e)
{
	const json_t *mmdit = json_object_get(j, "mmdit");
	*c = (denoiser_config){ .kind = mmdit ? MMDIT : UNET };
	return mmdit ? mmdit_config_from_json(mmdit, &c->mmdit, e)
	             : unet_config_from_json(json_object_get(j, "unet"), &c->unet, e);
}

static void read_prefix(const json_t *j, const char *key, const char *absent, char *prefix, error *e)
{
	json_text(j, key, absent, prefix, PREFIX_LENGTH, e);
}

bool noise_from_json(const json_t *j, schedule_config *betas, prediction *p, error *e)
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
	bool zero = json_flag(j, "zero_terminal_snr", false, e); /* the option's name in training */
	betas->zero_terminal_snr = json_flag(j, "rescale_betas_zero_snr", zero, e);
	return true;
}

static bool read_family(const json_t *j, family *f, error *e)
{
	const json_t *dd = json_object_get(j, "dd") ? json_object_get(j, "dd") : json_object_get(j, "vae");
	if (!read_denoiser(j, &f->denoiser, e) || !vae_config_from_json(dd, &f->autoencoder, e) || !read_text(j, f, e) ||
	    !read_rule(j, f, e))
		return false;
	json_text(j, "name", "custom", f->name, sizeof f->name, e);
	read_prefix(j, "unet_prefix", f->prefix[DENOISER], f->prefix[DENOISER], e);
	read_prefix(j, "vae_prefix", f->prefix[AUTOENCODER], f->prefix[AUTOENCODER], e);
	bool open = f->text[0].kind == CLIP_TEXT && f->text[0].clip.fused;
	const char *text_prefix = open ? "cond_stage_model.model" : "cond_stage_model.transformer";
	static const char *const others[] = { "", "text_encoders.clip_g.transformer", "text_encoders.t5xxl.transformer" };
	for (int i = 0; i < TEXT_ENCODERS; i++)
		read_prefix(j, text_keys[i].prefix, i ? others[i] : text_prefix, f->prefix[TEXT_ENCODER + i], e);
	if (!noise_from_json(j, &f->betas, &f->prediction, e)) return false;
	f->latent_scale = (float)json_number(j, "scale_factor", (double)f->latent_scale, e);
	f->latent_shift = (float)json_number(j, "shift_factor", 0, e);
	f->flow_shift = (float)json_number(j, "shift", 0, e);
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
	bool fine = json_is_object(j) || fail(e, BAD_FILE, "configuration: it is not an object");
	fine = fine && config_keys_known(j, e) && read_family(j, f, e);
	json_decref(j);
	return fine;
}
