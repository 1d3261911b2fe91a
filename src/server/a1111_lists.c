/* a1111_lists.c - the rest of A1111's API: what there is, how far it is, what a picture says of itself. */
#include "server/a1111.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

/* ── progress ── */

void a1111_progress(server *s, request *r, reply *y)
{
	queue_status q;
	const char *skip = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "skip_current_image");
	bool wanted = !skip || (strcmp(skip, "true") && strcmp(skip, "True"));
	double fraction = 0, left = 0;
	int step = 0, steps = 0, count = 0;
	bool cancelled = false;
	sumi_image *copy = NULL;
	queue_lock(server_queue(s));
	queue_report(server_queue(s), &q);
	const job *j = q.running;
	if (j) {
		step = j->step;
		steps = j->steps;
		count = j->count;
		cancelled = j->cancelled;
		if (!strcmp(j->stage, "denoise") && steps > 0) fraction = 0.99 * step / steps;
		if (!strcmp(j->stage, "decode")) fraction = 0.99;
		if (fraction > 0) left = (seconds_now() - j->begun) * (1 - fraction) / fraction;
		if (wanted && j->preview)
			copy = sumi_image_new(j->preview->width, j->preview->height, j->preview->pixels, NULL);
	}
	queue_unlock(server_queue(s));
	json_t *state = json_pack("{s:b, s:b, s:b, s:s, s:i, s:s, s:i, s:i, s:i}", "skipped", 0, "interrupted", cancelled,
	    "stopping_generation", cancelled, "job", count ? "sumi" : "", "job_count", count, "job_timestamp", "0",
	    "job_no", 0, "sampling_step", step, "sampling_steps", steps);
	reply_json(y, 200,
	    json_pack("{s:f, s:f, s:o, s:o?, s:n}", "progress", fraction, "eta_relative", left, "state", state,
	        "current_image", copy ? picture_json(copy, "png", 0) : json_null(), "textinfo"));
	sumi_image_free(copy);
}

void a1111_interrupt(server *s, request *r, reply *y)
{
	(void)r;
	queue_interrupt(server_queue(s));
	reply_json(y, 200, json_object());
}

void a1111_skip(server *s, request *r, reply *y) { a1111_interrupt(s, r, y); }

/* ── what there is ── */

void a1111_samplers(server *s, request *r, reply *y)
{
	json_t *list = json_array();
	(void)s;
	(void)r;
	for (int i = 0; sumi_sampler_name(i); i++)
		json_array_append_new(list, json_pack("{s:s, s:[], s:{}}", "name", sumi_sampler_name(i), "aliases", "options"));
	reply_json(y, 200, list);
}

void a1111_schedulers(server *s, request *r, reply *y)
{
	json_t *list = json_pack("[{s:s, s:s, s:n, s:f, s:b}]", "name", "automatic", "label", "Automatic", "aliases",
	    "default_rho", -1.0, "need_inner_model", 0);
	(void)s;
	(void)r;
	for (int i = 0; list && sumi_schedule_name(i); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:n, s:f, s:b}", "name", sumi_schedule_name(i), "label",
		                                sumi_schedule_name(i), "aliases", "default_rho", -1.0, "need_inner_model", 0));
	reply_json(y, 200, list);
}

static json_t *model_entry(const queue *q, int i)
{
	const char *path = queue_model_path(q, i), *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	return json_pack("{s:s, s:s, s:n, s:n, s:s, s:n}", "title", file, "model_name", queue_model_name(q, i), "hash",
	    "sha256", "filename", file, "config");
}

void a1111_models(server *s, request *r, reply *y)
{
	json_t *list = json_array();
	(void)r;
	for (int i = 0; i < queue_model_count(server_queue(s)); i++)
		json_array_append_new(list, model_entry(server_queue(s), i));
	reply_json(y, 200, list);
}

void a1111_refresh(server *s, request *r, reply *y)
{
	problem p = { 0 };
	sumi_error e = { 0 };
	(void)r;
	if (queue_refresh(server_queue(s), &e)) {
		reply_json(y, 200, json_null());
		return;
	}
	problem_of(s, &p, &e);
	a1111_refuse(y, &p);
}

void a1111_unload(server *s, request *r, reply *y)
{
	(void)r;
	queue_unload(server_queue(s));
	reply_json(y, 200, json_object());
}

void a1111_reload(server *s, request *r, reply *y)
{
	(void)s;
	(void)r;
	reply_json(y, 200, json_object()); /* the next request loads what it needs */
}

/* All models are decoded by --vae where it is given. */
void a1111_vaes(server *s, request *r, reply *y)
{
	const char *vae = server_vae(s);
	(void)r;
	reply_json(y, 200, vae ? json_pack("[{s:s, s:s}]", "model_name", vae, "filename", vae) : json_array());
}

void a1111_scripts(server *s, request *r, reply *y)
{
	(void)s;
	(void)r;
	reply_json(y, 200, json_pack("{s:[s], s:[s]}", "txt2img", "controlnet", "img2img", "controlnet"));
}

/* ── settings ── */

static json_t *settings_of(server *s)
{
	queue_status q;
	queue_lock(server_queue(s));
	queue_report(server_queue(s), &q);
	queue_unlock(server_queue(s));
	json_t *entry = model_entry(server_queue(s), queue_find_model(server_queue(s), q.model));
	int skip = server_clip_skip(s);
	json_t *o = json_pack("{s:O, s:n, s:s, s:i, s:s, s:b}", "sd_model_checkpoint", json_object_get(entry, "title"),
	    "sd_checkpoint_hash", "sd_vae", server_vae(s) ? server_vae(s) : "Automatic", "CLIP_stop_at_last_layers",
	    skip ? skip : 1, "samples_format", "png", "send_seed", 1);
	json_decref(entry);
	return o;
}

void a1111_options(server *s, request *r, reply *y)
{
	(void)r;
	reply_json(y, 200, settings_of(s));
}

static bool do_nothing(void *context, const sumi_model *m, sumi_error *e)
{
	(void)context;
	(void)m;
	(void)e;
	return true;
}

/* Some clients send back all that they were given: what stays as it is is no mistake. A model that cannot be opened is
 * refused here, and not at each request from then on. */
void a1111_set_options(server *s, request *r, reply *y)
{
	problem p = { 0 };
	sumi_error e = { 0 };
	const char *name;
	json_t *value, *now = settings_of(s);
	int model = -1, skip = server_clip_skip(s);
	if (!r->json) problem_set(&p, 422, "", "the body is missing: a JSON object");
	json_object_foreach(r->json, name, value)
	{
		if (json_equal(value, json_object_get(now, name)) && json_object_get(now, name)) continue;
		if (!strcmp(name, "sd_model_checkpoint") && json_is_string(value))
			model = a1111_find_model(s, json_string_value(value), &p);
		else if (!strcmp(name, "CLIP_stop_at_last_layers"))
			skip = a1111_clip_skip(r->json, &p);
		else if (strcmp(name, "sd_vae") || !a1111_is_our_vae(s, value))
			problem_set(&p, 422, name, "the setting %.100s is not known to this server", name);
	}
	json_decref(now);
	if (model >= 0 && !p.status && !queue_with_model(server_queue(s), model, do_nothing, NULL, &e))
		problem_of(s, &p, &e);
	if (p.status) {
		a1111_refuse(y, &p);
		return;
	}
	if (model >= 0) queue_use(server_queue(s), model);
	server_set_clip_skip(s, skip);
	reply_json(y, 200, json_null());
}

/* Clients ask this to find out whether there is an API at all, and one for which they have the password. */
void a1111_flags(server *s, request *r, reply *y)
{
	(void)s;
	(void)r;
	reply_json(y, 200, json_pack("{s:b}", "api", 1));
}

void a1111_memory(server *s, request *r, reply *y)
{
	struct sysinfo i;
	(void)s;
	(void)r;
	sysinfo(&i);
	double total = (double)i.totalram * i.mem_unit, unused = (double)i.freeram * i.mem_unit;
	reply_json(y, 200,
	    json_pack("{s:{s:f, s:f, s:f}, s:{s:s}}", "ram", "free", unused, "used", total - unused, "total", total, "cuda",
	        "error", "unavailable"));
}

/* ── what a picture says ── */

/* One "Name: value" from text on, the value quoted as JSON or up to the next comma; the text behind it. */
static const char *next_pair(const char *text, json_t *to)
{
	const char *colon = strchr(text, ':'), *start = colon ? colon + 1 : NULL, *end;
	char name[128];
	json_t *value = NULL;
	if (!colon) return NULL;
	while (*text == ' ' || *text == ',') text++;
	snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
	while (*start == ' ') start++;
	if (*start == '"') {
		for (end = start + 1; *end && *end != '"'; end++)
			if (*end == '\\' && end[1]) end++;
		if (*end) end++;
		value = json_loadb(start, (size_t)(end - start), JSON_DECODE_ANY, NULL);
	} else {
		end = start + strcspn(start, ",");
		value = json_stringn(start, (size_t)(end - start));
	}
	if (value) json_object_set_new(to, name, value);
	return *end ? end : NULL;
}

json_t *a1111_parse(const char *text)
{
	json_t *o = json_object();
	const char *last = strrchr(text, '\n'), *line = last ? last + 1 : text;
	const char *negative = strstr(text, "\nNegative prompt: ");
	bool listed = !strncmp(line, "Steps:", 6);
	const char *end = listed && last ? last : text + strlen(text),
	           *prompt_end = negative && negative < end ? negative : end;
	json_object_set_new(o, "Prompt", json_stringn(text, (size_t)(prompt_end - text)));
	json_object_set_new(o, "Negative prompt",
	    prompt_end == negative ? json_stringn(negative + 18, (size_t)(end - negative - 18)) : json_string(""));
	for (const char *at = listed ? line : NULL; at;) at = next_pair(at, o);
	return o;
}

void a1111_png_info(server *s, request *r, reply *y)
{
	problem p = { 0 };
	sumi_image *picture = NULL;
	(void)s;
	field_picture(r->json, "image", &picture, &p);
	if (!picture) problem_set(&p, 422, "image", "image is missing");
	if (p.status) {
		a1111_refuse(y, &p);
		return;
	}
	const char *text = picture->parameters ? picture->parameters : "";
	json_t *items = *text ? json_pack("{s:s}", "parameters", text) : json_object();
	reply_json(y, 200,
	    json_pack(
	        "{s:s, s:o, s:o}", "info", text, "items", items, "parameters", *text ? a1111_parse(text) : json_object()));
	sumi_image_free(picture);
}
