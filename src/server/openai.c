/* openai.c - the images API of OpenAI: generations and edits, as pictures or as a stream of events; the list of models.
 */
#include "server/api.h"
#include "server/errors.h"
#include "server/stream.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct wish { /* what is asked besides the pictures' options */
	job *j;
	const char *format; /* of the files: "png", "jpeg", "webp" */
	int quality;
	bool url, stream;
	int partial; /* pictures on the way */
} wish;

static void refuse(reply *y, const problem *p)
{
	const char *type = p->status < 500 && p->status != 499 ? "invalid_request_error" : "server_error";
	bool no_model = p->status == 404 && !strcmp(p->field, "model");
	const char *code = p->status == 429 ? "rate_limit_exceeded" : no_model ? "model_not_found" : NULL;
	json_t *body = json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error", "message", p->text, "type",
	    p->status == 429 ? "rate_limit_error" : type, "param", *p->field ? p->field : NULL, "code", code);
	reply_json(y, p->status == 422 ? 400 : p->status, body);
	if (p->status == 429) y->retry_after = 5;
}

/* ── reading ── */

/* Of a form, every value is a text: made a number or a flag where it is written as one. */
static json_t *form_as_json(const request *r)
{
	static const char *const numbers[] = { "n", "output_compression", "partial_images", "seed" };
	json_t *o = json_object();
	for (int i = 0; i < r->part_count; i++) {
		const char *name = r->parts[i].name, *text = r->parts[i].data.data ? r->parts[i].data.data : "";
		char *end = NULL;
		json_t *value = NULL;
		if (!strncmp(name, "image", 5) || !strcmp(name, "mask")) continue;
		for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
			if (!strcmp(name, numbers[k])) value = json_integer(strtoll(text, &end, 10));
		if (end && *end) {
			json_decref(value);
			value = NULL;
		}
		if (!strcmp(name, "stream")) value = json_boolean(!strcmp(text, "true") || !strcmp(text, "True"));
		json_object_set_new(o, name, value ? value : json_string(text));
	}
	return o;
}

static void read_size(const json_t *o, job *j, problem *p)
{
	const char *text = NULL;
	char extra;
	field_text(o, "size", &text, p);
	if (!text || !strcmp(text, "auto")) return;
	if (sscanf(text, "%dx%d%c", &j->options.width, &j->options.height, &extra) != 2 || j->options.width < 1 ||
	    j->options.height < 1 || j->options.width > 8192 || j->options.height > 8192)
		problem_set(p, 400, "size", "size is '%.40s', expected WIDTHxHEIGHT or auto", text);
}

static void read_format(const json_t *o, wish *w, problem *p)
{
	const char *format = NULL, *response = NULL;
	int64_t compression = 0;
	field_text(o, "output_format", &format, p);
	if (format && !strcmp(format, "jpg")) format = "jpeg";
	if (format && strcmp(format, "png") && strcmp(format, "jpeg") && strcmp(format, "webp"))
		problem_set(p, 400, "output_format", "output_format is '%.40s', expected png, jpeg or webp", format);
	if (format) w->format = format;
	field_text(o, "response_format", &response, p);
	if (response && strcmp(response, "url") && strcmp(response, "b64_json"))
		problem_set(p, 400, "response_format", "response_format is '%.40s', expected url or b64_json", response);
	w->url = response && !strcmp(response, "url");
	field_integer(o, "output_compression", 0, 100, &compression, p);
	w->quality = (int)compression;
}

static void read_wish(const json_t *o, wish *w, problem *p)
{
	const char *prompt = NULL, *model = NULL, *background = NULL;
	int64_t n = 1, partial = 0, seed = -1;
	field_text(o, "prompt", &prompt, p);
	if (!prompt && !p->status) problem_set(p, 400, "prompt", "prompt is missing");
	if (prompt && strlen(prompt) > MOST_TEXT) problem_set(p, 400, "prompt", "prompt has more than %d bytes", MOST_TEXT);
	field_text(o, "model", &model, p);
	field_text(o, "background", &background, p);
	if (background && !strcmp(background, "transparent"))
		problem_set(p, 400, "background", "pictures here have no transparent background");
	else if (background && strcmp(background, "auto") && strcmp(background, "opaque"))
		problem_set(p, 400, "background", "background is '%.40s', expected auto or opaque", background);
	field_integer(o, "n", 1, 10, &n, p);
	field_integer(o, "partial_images", 0, 3, &partial, p);
	field_integer(o, "seed", -1, INT64_MAX / 2, &seed, p); /* not of OpenAI: to repeat a picture */
	field_flag(o, "stream", &w->stream, p);
	read_size(o, w->j, p);
	read_format(o, w, p);
	if (p->status) return;
	if (w->stream && n > 1) problem_set(p, 400, "n", "a stream is of one picture");
	w->j->count = (int)n;
	w->j->options.seed = seed;
	w->partial = (int)partial;
	if (!job_text(&w->j->options.prompt, prompt) || (model && !(w->j->model = strdup(model))))
		problem_set(p, 503, "", "out of memory");
}

/* OpenAI's own names of models mean "whatever there is", so that their clients work as they are. */
static void find_model(server *s, job *j, problem *p)
{
	if (!j->model || queue_find_model(server_queue(s), j->model) >= 0) return;
	if (!strncmp(j->model, "gpt-image", 9) || !strncmp(j->model, "dall-e", 6) || !*j->model) {
		free(j->model);
		j->model = NULL;
	} else {
		problem_set(p, 404, "model", "The model '%.100s' does not exist", j->model);
	}
}

/* What is transparent is painted anew; sumi's masks say it in white. */
static sumi_image *mask_of(const sumi_image *drawn)
{
	sumi_image *mask = sumi_image_new(drawn->width, drawn->height, NULL, NULL);
	size_t n = (size_t)drawn->width * (size_t)drawn->height;
	for (size_t i = 0; mask && drawn->alpha && i < n; i++) memset(mask->pixels + 3 * i, 255 - drawn->alpha[i], 3);
	return mask;
}

static void read_pictures(const request *r, job *j, problem *p)
{
	sumi_image *init = NULL, *drawn = NULL;
	for (int i = 0; i < r->part_count; i++) {
		const part *t = r->parts + i;
		bool image = !strcmp(t->name, "image") || !strcmp(t->name, "image[]");
		if (image && init) problem_set(p, 400, "image", "one picture can be edited at a time");
		if (image) picture_from("image", t->data.data, t->data.size, &init, p);
		if (!strcmp(t->name, "mask")) picture_from("mask", t->data.data, t->data.size, &drawn, p);
	}
	if (!init) problem_set(p, 400, "image", "image is missing");
	if (drawn && !drawn->alpha)
		problem_set(p, 400, "mask", "mask has no transparent part, where the picture is edited");
	const sumi_image *from = drawn ? drawn : init && init->alpha ? init : NULL;
	if (from && !p->status) {
		j->options.mask = mask_of(from);
		if (!j->options.mask) problem_set(p, 503, "", "out of memory");
		j->options.strength = 1;
	}
	j->options.init = init;
	sumi_image_free(drawn);
}

/* ── answering ── */

static json_t *picture_entry(server *s, const wish *w, const sumi_image *picture, const char *host)
{
	unsigned char *bytes = NULL;
	size_t count = 0;
	char name[48], url[400];
	if (!w->url) {
		json_t *data = picture_json(picture, w->format, w->quality);
		return data ? json_pack("{s:o}", "b64_json", data) : NULL;
	}
	bool kept = sumi_image_encode(picture, w->format, w->quality, &bytes, &count, NULL) &&
	            server_keep(s, w->format, bytes, count, name);
	sumi_free(bytes);
	if (!kept) return NULL;
	snprintf(url, sizeof url, "http://%.300s/pictures/%s", host, name);
	return json_pack("{s:s}", "url", url);
}

static void answer_pictures(server *s, const request *r, const wish *w, reply *y)
{
	const job *j = w->j;
	const char *host = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Host");
	json_t *data = json_array();
	bool fine = data != NULL;
	for (int i = 0; fine && i < j->count; i++) {
		json_t *entry = picture_entry(s, w, j->pictures[i], host ? host : "localhost");
		fine = entry && !json_array_append_new(data, entry);
	}
	char size[32];
	snprintf(size, sizeof size, "%dx%d", j->pictures[0]->width, j->pictures[0]->height);
	if (!fine) {
		json_decref(data);
		data = NULL;
	}
	reply_json(y, 200,
	    data ? json_pack("{s:I, s:o, s:s, s:s, s:s}", "created", (json_int_t)time(NULL), "data", data, "output_format",
	               w->format, "size", size, "background", "opaque")
	         : NULL);
}

/* ── streams ── */

typedef struct stream {
	job_stream base;
	char format[8];
	int quality;
	const char *kind;
	int wanted, partials, seen; /* partial pictures that are wanted and were sent; the job's previews that were seen */
} stream;

static void put_event(stream *t, const char *name, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	buffer *out = &t->base.out;
	buffer_add_text(out, "event: ");
	buffer_add_text(out, name);
	buffer_add_text(out, "\ndata: ");
	buffer_add_text(out, text ? text : "{}");
	buffer_add_text(out, "\n\n");
	free(text);
}

static void put_failure(stream *t, const problem *p)
{
	t->base.ended = true;
	put_event(t, "error",
	    json_pack("{s:s, s:{s:s, s:s}}", "type", "error", "error", "message", p->text, "type", "server_error"));
}

static void put_picture(stream *t, const sumi_image *picture, int partial)
{
	char name[64], size[32];
	snprintf(name, sizeof name, "%s.%s", t->kind, partial < 0 ? "completed" : "partial_image");
	snprintf(size, sizeof size, "%dx%d", picture->width, picture->height);
	json_t *data = picture_json(picture, t->format, t->quality);
	json_t *body = data ? json_pack("{s:s, s:o, s:I, s:s, s:s, s:s, s:s}", "type", name, "b64_json", data, "created_at",
	                          (json_int_t)time(NULL), "size", size, "quality", "auto", "background", "opaque",
	                          "output_format", t->format)
	                    : NULL;
	if (!body) {
		put_failure(t, &(problem){ .text = "out of memory" });
		return;
	}
	if (partial >= 0) json_object_set_new(body, "partial_image_index", json_integer(partial));
	put_event(t, name, body);
}

/* In the lock: the next partial picture, or the last event. */
static void next_event(job_stream *base)
{
	stream *t = (stream *)base;
	job *j = base->j;
	for (;;) {
		bool due = t->partials < t->wanted && j->previews > t->seen && j->steps > 0 &&
		           j->step * (t->wanted + 1) >= (t->partials + 1) * j->steps;
		if (j->state == DONE || due) break;
		wait_for_change(base->s, base->r, j);
	}
	if (j->state != DONE) {
		t->seen = j->previews;
		sumi_image *copy = sumi_image_new(j->preview->width, j->preview->height, j->preview->pixels, NULL);
		queue_unlock(server_queue(base->s));
		if (copy)
			put_picture(t, copy, t->partials++);
		else
			put_failure(t, &(problem){ .text = "out of memory" });
		sumi_image_free(copy);
		queue_lock(server_queue(base->s));
		return;
	}
	base->ended = true;
	problem p = { 0 };
	problem_of(base->s, &p, &j->error);
	if (p.status)
		put_failure(t, &p);
	else
		put_picture(t, j->pictures[0], -1);
}

static void refuse_submission(server *s, submitted done, problem *p)
{
	if (done == FULL) problem_set(p, 429, "", "too many requests are waiting; try again later");
	if (done == STOPPING) problem_set(p, 503, "", "the server is shutting down");
	if (done == UNKNOWN_MODEL) problem_set(p, 404, "model", "no such model");
	if (done == TOO_LARGE) refuse_size(s, p, "size");
}

static bool begin_stream(server *s, request *r, wish *w, const char *kind, reply *y, problem *p)
{
	stream *t = calloc(1, sizeof *t);
	if (!t) return problem_set(p, 503, "", "out of memory"), false;
	*t = (stream){ .base = { .s = s, .r = r, .j = w->j, .next = next_event },
		.quality = w->quality,
		.kind = kind,
		.wanted = w->partial };
	snprintf(t->format, sizeof t->format, "%s", w->format);
	w->j->followed = w->partial > 0;
	submitted done = stream_begin(&t->base, "text/event-stream", y);
	if (y->stream) return true;
	if (done == ACCEPTED)
		w->j = NULL;
	else
		free(t);
	refuse_submission(s, done, p);
	problem_set(p, 503, "", "out of memory");
	return false;
}

/* ── routes ── */

static void make(server *s, request *r, reply *y, bool edit)
{
	problem p = { 0 };
	wish w = { .j = job_new(), .format = "png" };
	json_t *form = edit ? form_as_json(r) : NULL;
	if (!w.j) problem_set(&p, 503, "", "out of memory");
	if (edit && !r->form) problem_set(&p, 400, "", "edits take a form (multipart/form-data)");
	if (!edit && !r->json) problem_set(&p, 400, "", "the body is missing: a JSON object");
	if (!p.status) read_wish(edit ? form : r->json, &w, &p);
	if (edit && !p.status) read_pictures(r, w.j, &p);
	if (!p.status) find_model(s, w.j, &p);
	if (!p.status && w.stream && begin_stream(s, r, &w, edit ? "image_edit" : "image_generation", y, &p)) {
		json_decref(form);
		return;
	}
	if (!p.status) {
		refuse_submission(s, draw_for(s, r, w.j), &p);
		if (!p.status) problem_of(s, &p, &w.j->error);
	}
	if (p.status)
		refuse(y, &p);
	else
		answer_pictures(s, r, &w, y);
	job_free(w.j);
	json_decref(form);
}

void openai_generations(server *s, request *r, reply *y) { make(s, r, y, false); }
void openai_edits(server *s, request *r, reply *y) { make(s, r, y, true); }

void openai_models(server *s, request *r, reply *y)
{
	json_t *list = json_array();
	(void)r;
	for (int i = 0; i < queue_model_count(server_queue(s)); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:s}", "id", queue_model_name(server_queue(s), i),
		                                "object", "model", "created", 0, "owned_by", "sumi"));
	reply_json(y, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

void kept_picture(server *s, request *r, reply *y)
{
	const char *name = strrchr(r->path, '/') + 1, *ending = strrchr(name, '.');
	problem p = { 0 };
	if (ending && server_kept(s, name, &y->body)) {
		y->type = !strcmp(ending, ".png") ? "image/png" : !strcmp(ending, ".webp") ? "image/webp" : "image/jpeg";
		return;
	}
	problem_set(&p, 404, "", "this picture is not kept any more");
	refuse(y, &p);
}
