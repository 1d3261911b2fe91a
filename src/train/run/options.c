/* options.c - training options by name: found, set, read from JSON, checked. */
#include "train/run/options.h"
#include "base/spelling.h"
#include "text/codepoints.h"
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *training_job_name(training_job job)
{
	static const char *const names[TRAINING_JOBS] = { "autoencoder", "diffusion", "lora", "embedding", "controlnet",
		"cache" };
	return job < TRAINING_JOBS ? names[job] : "?";
}

static char plain(char c) { return c == '-' ? '_' : (char)tolower((unsigned char)c); }

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (plain(*a) != plain(*b)) return false;
	return *a == *b;
}

/* ── which option a name means ── */
static bool meant_for(const train_option *o, training_job job)
{
	return o->kind != OPTION_HEADING && o->jobs & 1u << job;
}

static const train_option *by_name(const char *name)
{
	const train_option *o;
	for (int i = 0; (o = train_option_at(i)); i++)
		if (o->kind != OPTION_HEADING && same_name(name, o->name)) return o;
	return NULL;
}

static const train_synonym *synonym_of(const char *name)
{
	const train_synonym *s;
	for (int i = 0; (s = train_synonym_at(i)); i++)
		if (same_name(name, s->theirs)) return s;
	return NULL;
}

static const char *nearest_option(const char *name, training_job job)
{
	spelling_search s = spelling_of(name);
	const train_option *o;
	for (int i = 0; (o = train_option_at(i)); i++)
		if (meant_for(o, job)) spelling_offer(&s, o->name);
	return s.best;
}

const train_option *train_option_find(training_job job, const char *name, error *e)
{
	const train_option *o = by_name(name);
	const train_synonym *s = o ? NULL : synonym_of(name);
	if (s && s->same) o = by_name(s->ours);
	if (o && meant_for(o, job)) return o;
	const char *near = s ? s->ours : o ? NULL : nearest_option(name, job);
	if (o)
		fail(e, BAD_USAGE, "--%.60s has no meaning for '%s'", name, training_job_name(job));
	else if (near)
		fail(e, BAD_USAGE, "no option --%.60s: did you mean --%s?", name, near);
	else
		fail(e, BAD_USAGE, "no option --%.60s: sumi %s%s --help lists them", name, job == TRAIN_CACHE ? "" : "train ",
		    training_job_name(job));
	return NULL;
}

/* ── values ── */
static bool set_number(train_options *o, const train_option *t, const char *value, error *e)
{
	char *end;
	errno = 0;
	double x = strtod(value, &end);
	if (end == value || *end || !isfinite(x))
		return fail(e, BAD_USAGE, "--%s is '%s', expected a number", t->name, value);
	bool whole = t->kind == OPTION_WHOLE;
	if (x < t->least || x > t->most || (whole && x != floor(x)))
		return fail(e, BAD_USAGE, "--%s is %s, expected %s from %g to %g", t->name, value,
		    whole ? "a whole number" : "a number", t->least, t->most);
	if (whole)
		*(int64_t *)((char *)o + t->offset) = (int64_t)x;
	else
		*(double *)((char *)o + t->offset) = x;
	return true;
}

static bool set_flag(train_options *o, const train_option *t, const char *value, error *e)
{
	static const char *const yes[] = { "true", "1", "yes", "on" }, *const no[] = { "false", "0", "no", "off" };
	for (int i = 0; i < 4; i++)
		if (!strcasecmp(value, yes[i]) || !strcasecmp(value, no[i])) {
			*(bool *)((char *)o + t->offset) = !strcasecmp(value, yes[i]);
			return true;
		}
	return fail(e, BAD_USAGE, "--%s is '%s', expected true or false", t->name, value);
}

/* Makes of a spelling the value that it stands for: "F16" is "fp16". */
static bool choose(const train_option *t, const char **value, char *chosen, size_t size, error *e)
{
	char list[256] = "";
	for (const char *at = t->choices; *at;) {
		size_t group = strcspn(at, "|"), first = strcspn(at, "=|");
		snprintf(chosen, size, "%.*s", (int)first, at);
		for (const char *one = at; one < at + group;) {
			char spelled[80];
			size_t n = strcspn(one, "=|");
			snprintf(spelled, sizeof spelled, "%.*s", (int)n, one);
			if (same_name(*value, spelled)) return *value = chosen, true;
			one += n + 1;
		}
		size_t n = strlen(list);
		snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", chosen);
		at += group + (at[group] == '|');
	}
	return fail(e, BAD_USAGE, "--%s is '%.80s', expected one of %s", t->name, *value, list);
}

static bool set_text(train_options *o, const train_option *t, const char *value, error *e)
{
	char chosen[80];
	if (*t->choices && *value && !choose(t, &value, chosen, sizeof chosen, e)) return false;
	char *copy = strdup(value), **field = (char **)((char *)o + t->offset);
	if (!copy) return fail(e, NO_MEMORY, "no memory for --%s", t->name);
	free(*field);
	*field = copy;
	return true;
}

static bool set(train_options *o, const train_option *t, const char *value, error *e)
{
	switch (t->kind) {
	case OPTION_TEXT: return set_text(o, t, value, e);
	case OPTION_FLAG: return set_flag(o, t, value, e);
	case OPTION_WHOLE:
	case OPTION_NUMBER: return set_number(o, t, value, e);
	default: return true;
	}
}

bool train_options_make(train_options *o, training_job job, error *e)
{
	memset(o, 0, sizeof *o);
	o->job = job;
	bool fine = true;
	const train_option *t;
	for (int i = 0; fine && (t = train_option_at(i)); i++)
		fine = t->kind == OPTION_HEADING || set(o, t, train_option_default(t, job), e);
	if (!fine) train_options_free(o);
	return fine;
}

void train_options_free(train_options *o)
{
	const train_option *t;
	for (int i = 0; (t = train_option_at(i)); i++)
		if (t->kind == OPTION_TEXT) {
			char **field = (char **)((char *)o + t->offset);
			free(*field);
			*field = NULL;
		}
}

bool train_options_set(train_options *o, training_job job, const char *name, const char *value, error *e)
{
	const train_option *t = train_option_find(job, name, e);
	return t && set(o, t, value, e);
}

/* The shortest text that is read as the same number. */
static void number_text(double x, char *text, size_t size)
{
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, size, "%.*g", digits, x);
		if (strtod(text, NULL) == x) return;
	}
}

void train_option_text(const train_options *o, const train_option *t, char *text, size_t size)
{
	const char *at = (const char *)o + t->offset;
	switch (t->kind) {
	case OPTION_TEXT: snprintf(text, size, "%s", *(char *const *)at); break;
	case OPTION_WHOLE: snprintf(text, size, "%lld", (long long)*(const int64_t *)at); break;
	case OPTION_NUMBER: number_text(*(const double *)at, text, size); break;
	case OPTION_FLAG: snprintf(text, size, "%s", *(const bool *)at ? "true" : "false"); break;
	case OPTION_HEADING: *text = 0; break;
	}
}

static char *joined(const json_t *array)
{
	size_t bytes = 1, i;
	json_t *item;
	json_array_foreach(array, i, item) bytes += json_string_length(item) + 1;
	char *text = calloc(1, bytes);
	if (!text) return NULL;
	json_array_foreach(array, i, item)
	{
		if (i) strcat(text, "|");
		strcat(text, json_is_string(item) ? json_string_value(item) : "");
	}
	return text;
}

/* The value as the command line would give it; the caller frees. */
static char *as_text(const json_t *v)
{
	if (json_is_string(v)) return strdup(json_string_value(v));
	if (json_is_boolean(v)) return strdup(json_is_true(v) ? "true" : "false");
	if (json_is_array(v)) return joined(v);
	return json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}

bool train_options_load(train_options *o, training_job job, const char *path, error *e)
{
	json_error_t j;
	json_t *root = json_load_file(path, 0, &j);
	if (!root) return fail(e, BAD_FILE, "%s: line %d: %s", path, j.line, j.text);
	bool fine = json_is_object(root) || fail(e, BAD_FILE, "%s: expected a JSON object of options", path);
	const char *key;
	json_t *v;
	json_object_foreach(root, key, v)
	{
		if (!fine || key[0] == '#') /* a remark */
			continue;
		error own = { 0 };
		char *text = as_text(v);
		if (!text)
			fail(&own, NO_MEMORY, "no memory for '%.60s'", key);
		else
			train_options_set(o, job, key, text, &own);
		free(text);
		fine = !failed(&own) || fail(e, own.status, "%s: %s", path, own.text);
	}
	json_decref(root);
	return fine;
}

/* What is read as a caption must be a text: a file's caption that is none is left out, but this one was given. */
static bool check_caption(const char *name, const char *text, error *e)
{
	return is_utf8(text, strlen(text)) || fail(e, BAD_USAGE, "--%s is not UTF-8", name);
}

bool train_options_check(const train_options *o, training_job job, error *e)
{
	if (!*o->train_data_dir) return fail(e, BAD_USAGE, "--train_data_dir is missing: the folder of pictures");
	if (!*o->output)
		return fail(e, BAD_USAGE, "--output is missing: the %s to write", job == TRAIN_CACHE ? "folder" : "model");
	if (job == TRAIN_CACHE && !*o->model && !*o->vae)
		return fail(e, BAD_USAGE, "--model is missing: the checkpoint whose latents are to be kept");
	if (job == TRAIN_LORA && !*o->model)
		return fail(e, BAD_USAGE, "--model is missing: the checkpoint that the LoRA is for");
	if (job == TRAIN_CONTROLNET && !*o->model)
		return fail(e, BAD_USAGE, "--model is missing: the checkpoint that the control network is for");
	if (job == TRAIN_CONTROLNET && !*o->conditioning_data_dir)
		return fail(e, BAD_USAGE, "--conditioning_data_dir is missing: the folder of pictures that it reads");
	if (job == TRAIN_EMBEDDING && !*o->model)
		return fail(e, BAD_USAGE, "--model is missing: the checkpoint that learns the word");
	if (job == TRAIN_EMBEDDING && !*o->placeholder_token)
		return fail(e, BAD_USAGE, "--placeholder_token is missing: the new word");
	if (job == TRAIN_EMBEDDING && !*o->initializer_token)
		return fail(e, BAD_USAGE, "--initializer_token is missing: a known word to begin from");
	if (job == TRAIN_DIFFUSION && !*o->model && !*o->model_config)
		return fail(e, BAD_USAGE, "--model (a checkpoint to start from) or --model_config (a new model) is missing");
	if (job == TRAIN_AUTOENCODER && !*o->model && !*o->model_config)
		return fail(e, BAD_USAGE, "--model (an autoencoder to start from) or --model_config (a new one) is missing");
	if (o->crop > o->resolution && o->resolution)
		return fail(
		    e, BAD_USAGE, "--crop is %lld, more than --resolution %lld", (long long)o->crop, (long long)o->resolution);
	return check_caption("instance_prompt", o->instance_prompt, e) &&
	       check_caption("class_prompt", o->class_prompt, e) &&
	       check_caption("placeholder_token", o->placeholder_token, e) &&
	       check_caption("initializer_token", o->initializer_token, e);
}
