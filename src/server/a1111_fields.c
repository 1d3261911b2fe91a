/* a1111_fields.c - what the handlers of A1111's API read and answer alike: models by their titles, values that say that
 * a thing is not wanted, settings, refusals. */
#include "server/a1111.h"
#include <stdio.h>
#include <string.h>

/* ── reading ── */

bool a1111_is_off(const json_t *v)
{
	size_t n = json_array_size(v);
	while (n && a1111_is_off(json_array_get(v, n - 1))) n--;
	return !v || json_is_null(v) || json_is_false(v) || (json_is_number(v) && json_number_value(v) == 0) ||
	       (json_is_string(v) && (!*json_string_value(v) || !strcmp(json_string_value(v), "None"))) ||
	       (json_is_array(v) && !n) || (json_is_object(v) && !json_object_size(v));
}

void a1111_choice(const json_t *o, const char *name, const char *const *names, int64_t *value, problem *p)
{
	const char *text = json_string_value(json_object_get(o, name));
	int count = 0, found = -1;
	for (; names[count]; count++)
		if (text && !strcasecmp(names[count], text)) found = count;
	if (text && found < 0)
		problem_set(p, 422, name, "%s is '%.60s', expected '%s' or another of %d", name, text, names[0], count);
	else if (text)
		*value = found;
	else
		field_integer(o, name, 0, count - 1, value, p);
}

int a1111_find_model(server *s, const char *title, problem *p)
{
	char name[512];
	snprintf(name, sizeof name, "%s", title);
	char *hash = strstr(name, " [");
	if (hash) *hash = 0;
	int i = queue_find_model(server_queue(s), name);
	if (i < 0)
		problem_set(p, 404, "sd_model_checkpoint", "no model '%.200s'; GET /sdapi/v1/sd-models lists them", title);
	return i;
}

int a1111_clip_skip(const json_t *settings, problem *p)
{
	int64_t skip = 1;
	field_integer(settings, "CLIP_stop_at_last_layers", 1, 12, &skip, p);
	return skip > 1 ? (int)skip : 0;
}

bool a1111_is_our_vae(const server *s, const json_t *name)
{
	const char *text = json_string_value(name);
	if (a1111_is_off(name)) return true;
	return text && (!strcmp(text, "Automatic") || (server_vae(s) && !strcmp(text, server_vae(s))));
}

/* ── refusals ── */

void a1111_refuse(reply *y, const problem *p)
{
	if (p->status == 422)
		reply_json(y, 422,
		    json_pack("{s:[{s:[s, s], s:s, s:s}]}", "detail", "loc", "body", p->field, "msg", p->text, "type",
		        "value_error"));
	else
		reply_json(y, p->status, json_pack("{s:s, s:s, s:s}", "detail", p->text, "error", p->text, "errors", p->text));
	if (p->status == 429) y->retry_after = 5;
}

void a1111_refuse_submission(server *s, submitted done, problem *p)
{
	if (done == FULL) problem_set(p, 429, "", "too many requests are waiting; try again later");
	if (done == STOPPING) problem_set(p, 503, "", "the server is shutting down");
	if (done == UNKNOWN_MODEL) problem_set(p, 404, "", "no such model");
	if (done == TOO_LARGE) refuse_size(s, p, "width");
}
