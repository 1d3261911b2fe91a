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
	(void)s;
	(void)r;
	reply_json(y, 200, json_null());
}

void a1111_vaes(server *s, request *r, reply *y)
{
	(void)s;
	(void)r;
	reply_json(y, 200, json_array());
}

/* Each is in one of two lists: A1111's page joins them. Networks' files are not offered: a request names no path. */
static const char *const by_latent[] = { "Latent", "Latent (nearest-exact)" }, *const by_pixels[] = { "Lanczos" };
enum { BY_LATENT = sizeof by_latent / sizeof *by_latent, BY_PIXELS = sizeof by_pixels / sizeof *by_pixels };

const char *a1111_find_upscaler(const char *name)
{
	for (int i = 0; i < BY_LATENT + BY_PIXELS; i++) {
		const char *known = i < BY_LATENT ? by_latent[i] : by_pixels[i - BY_LATENT];
		if (!strcasecmp(known, name)) return known;
	}
	return NULL;
}

void a1111_latent_upscalers(server *s, request *r, reply *y)
{
	json_t *list = json_array();
	(void)s;
	(void)r;
	for (int i = 0; i < BY_LATENT; i++) json_array_append_new(list, json_pack("{s:s}", "name", by_latent[i]));
	reply_json(y, 200, list);
}

void a1111_upscalers(server *s, request *r, reply *y)
{
	json_t *list = json_array();
	(void)s;
	(void)r;
	for (int i = 0; i < BY_PIXELS; i++)
		json_array_append_new(list, json_pack("{s:s, s:n, s:n, s:n, s:i}", "name", by_pixels[i], "model_name",
		                                "model_path", "model_url", "scale", 4));
	reply_json(y, 200, list);
}

/* ── settings ── */

void a1111_options(server *s, request *r, reply *y)
{
	queue_status q;
	(void)r;
	queue_lock(server_queue(s));
	queue_report(server_queue(s), &q);
	queue_unlock(server_queue(s));
	json_t *entry = model_entry(server_queue(s), queue_find_model(server_queue(s), q.model));
	reply_json(y, 200,
	    json_pack("{s:O, s:s, s:i, s:b}", "sd_model_checkpoint", json_object_get(entry, "title"), "sd_vae", "Automatic",
	        "CLIP_stop_at_last_layers", 1, "send_seed", 1));
	json_decref(entry);
}

void a1111_set_options(server *s, request *r, reply *y)
{
	problem p = { 0 };
	const char *name;
	json_t *value;
	int model = -1;
	json_object_foreach(r->json, name, value)
	{
		if (!strcmp(name, "sd_model_checkpoint") && json_is_string(value))
			model = a1111_find_model(s, json_string_value(value), &p);
		else
			problem_set(&p, 422, name, "the setting %.100s is not known to this server", name);
	}
	if (p.status) {
		a1111_refuse(y, &p);
		return;
	}
	if (model >= 0) queue_use(server_queue(s), model);
	reply_json(y, 200, json_null());
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
