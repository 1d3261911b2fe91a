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

/* ── patterns ──
 *
 * A key of "alpha_pattern" is a regular expression for the end of a module's name, from a dot on. The file may be
 * anyone's: patterns that could take long (counted or nested repetitions, references back) or much memory are not used.
 * Nearly all are plain names. */

enum { LONGEST_PATTERN = 200, MOST_EXPRESSIONS = 256 };

static bool is_name(const char *key)
{
	return !key[strspn(key, "._-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")];
}

static bool is_cheap(const char *key)
{
	size_t n = strlen(key);
	if (n > LONGEST_PATTERN || strchr(key, '{')) return false;
	int repetitions = 0;
	for (size_t i = 0; i < n; i++) {
		if (key[i] == '\\' && key[i + 1] >= '0' && key[i + 1] <= '9') return false;
		if (key[i] == '\\' && key[i + 1]) {
			i++;
			continue;
		}
		if (strchr("*+?", key[i])) {
			if (i && key[i - 1] == ')' && key[i] != '?') return false;
			repetitions++;
		}
	}
	return repetitions <= 8;
}

/* The name, in which a dot stands for any character, as in an expression. */
static bool name_matches(const char *key, const char *module)
{
	size_t n = strlen(key), m = strlen(module);
	if (n > m || (n < m && module[m - n - 1] != '.')) return false;
	for (size_t i = 0; i < n; i++)
		if (key[i] != '.' && key[i] != module[m - n + i]) return false;
	return true;
}

typedef struct pattern {
	const char *key;
	double alpha;
	bool expression;
	regex_t regex;
} pattern;

typedef struct pattern_list {
	pattern *list;
	int count;
} pattern_list;

static void free_patterns(pattern_list *l)
{
	for (int i = 0; i < l->count; i++)
		if (l->list[i].expression) regfree(&l->list[i].regex);
	free(l->list);
	*l = (pattern_list){ 0 };
}

static bool compile(pattern *p)
{
	char whole[LONGEST_PATTERN + 32];
	snprintf(whole, sizeof whole, "^(.*\\.)?(%s)$", p->key);
	p->expression = !regcomp(&p->regex, whole, REG_EXTENDED | REG_NOSUB);
	return p->expression;
}

static bool read_patterns(pattern_list *l, const json_t *object, char *doubt, size_t size, error *e)
{
	const char *key;
	json_t *value;
	int expressions = 0;
	l->list = calloc(json_object_size(object) + 1, sizeof *l->list);
	if (!l->list) return fail(e, NO_MEMORY, "out of memory for %zu patterns", json_object_size(object));
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		pattern *p = &l->list[l->count];
		*p = (pattern){ .key = key, .alpha = number_of(value, (double)NAN) };
		bool usable = is_name(key) || (is_cheap(key) && expressions++ < MOST_EXPRESSIONS && compile(p));
		l->count += usable;
		if (!usable && !*doubt)
			snprintf(doubt, size,
			    "the pattern '%.80s' of its alpha_pattern is too long or too costly to read, and not used", key);
	}
	return true;
}

static const pattern *find_pattern(const pattern_list *l, const char *module)
{
	for (int i = 0; i < l->count; i++) {
		const pattern *p = &l->list[i];
		if (p->expression ? !regexec(&p->regex, module, 0, NULL, 0) : name_matches(p->key, module)) return p;
	}
	return NULL;
}

static const json_t *get(const json_t *config, const char *prefix, const char *name)
{
	char key[KEY_SIZE];
	snprintf(key, sizeof key, "%s%s", prefix, name);
	return json_object_get(config, key);
}

/* NaN: the configuration does not say. */
static double alpha_of(const json_t *config, const char *prefix, const pattern_list *patterns, const char *module)
{
	const json_t *standard = get(config, prefix, "lora_alpha");
	if (!standard) standard = get(config, prefix, "alpha"); /* LoHa and LoKr */
	const pattern *p = find_pattern(patterns, module);
	return p ? p->alpha : number_of(standard, (double)NAN);
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

/* Modules of one network follow each other: its patterns are read once, or nearly so. */
static bool apply(lora *set, const json_t *config, char *doubt, size_t size, error *e)
{
	char prefix[64], last[64] = "none";
	pattern_list patterns = { 0 };
	bool fine = true;
	for (int i = 0; fine && i < lora_modules(set); i++) {
		const char *module = lora_module(set, i);
		if (lora_has_alpha(set, i)) continue;
		if (!strncmp(module, "base_model.model.", 17)) module += 17;
		find_prefix(config, module, prefix, sizeof prefix);
		if (strcmp(prefix, last)) {
			free_patterns(&patterns);
			fine = read_patterns(&patterns, get(config, prefix, "alpha_pattern"), doubt, size, e);
			strcpy(last, prefix);
		}
		double alpha = fine ? alpha_of(config, prefix, &patterns, module + strlen(prefix)) : (double)NAN;
		if (alpha == alpha) lora_set_alpha(set, i, (float)alpha, is_true(get(config, prefix, "use_rslora")));
	}
	free_patterns(&patterns);
	return fine;
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
	bool fine = !config || apply(set, config, doubt, size, e);
	json_decref(config);
	doubt_kohya(set, file, doubt, size);
	return fine;
}
