/* adapter_config.c - the rules by which PEFT finds a module's alpha (peft/utils/other.py, get_pattern_key). */
#include "checkpoint/adapter_config.h"
#include "checkpoint/folder.h"
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SIZE = 600 };

/* Metadata are strings, also those of numbers. */
static double number_of(const json_t *j, double otherwise)
{
	const char *text = json_string_value(j);
	char *end;
	double x = text ? strtod(text, &end) : 0;
	if (json_is_number(j)) return json_number_value(j);
	return text && end != text ? x : otherwise;
}

static bool is_true(const json_t *j)
{
	const char *text = json_string_value(j);
	return json_is_true(j) || (text && (!strcmp(text, "true") || !strcmp(text, "True")));
}

/* The key is a regular expression for the end of the module's name, from a dot on. */
static bool matches(const char *key, const char *module)
{
	char whole[KEY_SIZE];
	regex_t r;
	if ((size_t)snprintf(whole, sizeof whole, "^(.*\\.)?(%s)$", key) >= sizeof whole) return false;
	if (regcomp(&r, whole, REG_EXTENDED | REG_NOSUB)) return false;
	bool found = !regexec(&r, module, 0, NULL, 0);
	regfree(&r);
	return found;
}

static const json_t *get(const json_t *config, const char *prefix, const char *name)
{
	char key[KEY_SIZE];
	snprintf(key, sizeof key, "%s%s", prefix, name);
	return json_object_get(config, key);
}

/* NaN: the configuration does not say. */
static double alpha_of(const json_t *config, const char *prefix, const char *module)
{
	const json_t *standard = get(config, prefix, "lora_alpha"), *value;
	const char *key;
	if (!standard) standard = get(config, prefix, "alpha"); /* LoHa and LoKr */
	json_object_foreach((json_t *)(uintptr_t)get(config, prefix, "alpha_pattern"), key, value)
	{
		if (matches(key, module)) return number_of(value, (double)NAN);
	}
	return number_of(standard, (double)NAN);
}

/* Of "unet.down_blocks.0.…" the configuration may use keys with "unet." */
static void find_prefix(const json_t *config, const char *module, char *prefix, size_t size)
{
	const char *dot = strchr(module, '.');
	*prefix = 0;
	if (!dot || (size_t)(dot - module) + 2 > size) return;
	snprintf(prefix, size, "%.*s", (int)(dot - module + 1), module);
	if (!get(config, prefix, "lora_alpha") && !get(config, prefix, "alpha_pattern")) *prefix = 0;
}

static void apply(lora *set, const json_t *config)
{
	for (int i = 0; i < lora_modules(set); i++) {
		const char *module = lora_module(set, i);
		char prefix[64];
		if (lora_has_alpha(set, i)) continue;
		if (!strncmp(module, "base_model.model.", 17)) module += 17;
		find_prefix(config, module, prefix, sizeof prefix);
		double alpha = alpha_of(config, prefix, module + strlen(prefix));
		if (alpha == alpha) lora_set_alpha(set, i, (float)alpha, is_true(get(config, prefix, "use_rslora")));
	}
}

/* diffusers' entry, or the settings one by one; NULL: none, and `doubt` says what is wrong with it. */
static json_t *from_metadata(const weights *file, char *doubt, size_t size)
{
	static const char *const names[] = { "lora_alpha", "alpha_pattern", "use_rslora" };
	const char *text = weights_metadata(file, "lora_adapter_metadata");
	json_t *config = text ? json_loads(text, 0, NULL) : json_object();
	if (text && !json_is_object(config)) snprintf(doubt, size, "its lora_adapter_metadata is no JSON object");
	for (size_t i = 0; !text && i < sizeof names / sizeof *names; i++) {
		const char *value = weights_metadata(file, names[i]);
		json_t *parsed = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
		if (value) json_object_set_new(config, names[i], parsed ? parsed : json_string(value));
	}
	return config;
}

/* kohya's scripts write an alpha for each module besides; without these, no tool applies what is left. */
static void doubt_kohya(const lora *set, const weights *file, char *doubt, size_t size)
{
	const char *text = weights_metadata(file, "ss_network_alpha");
	double alpha = text ? strtod(text, NULL) : 0;
	for (int i = 0; alpha > 0 && i < lora_modules(set) && !*doubt; i++)
		if (!lora_has_alpha(set, i) && lora_rank(set, i) && alpha != lora_rank(set, i))
			snprintf(doubt, size,
			    "its metadata says alpha %g for rank %d, but no tensor does: it is applied in full, and may want a "
			    "weight of "
			    "%.3g",
			    alpha, lora_rank(set, i), alpha / lora_rank(set, i));
}

bool adapter_config_apply(lora *set, const weights *file, const char *folder, char *doubt, size_t size, error *e)
{
	error own = { 0 };
	*doubt = 0;
	json_t *config = folder ? folder_json(folder, "adapter_config.json", false, &own) : NULL;
	if (failed(&own)) return fail(e, own.status, "%s", own.text);
	if (!config) config = from_metadata(file, doubt, size);
	if (config) apply(set, config);
	json_decref(config);
	doubt_kohya(set, file, doubt, size);
	return true;
}
