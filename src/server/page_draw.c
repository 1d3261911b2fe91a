/* page_draw.c - what the page asks: what this server has, how a prompt is read, and pictures as they grow. */
#include "server/a1111.h"
#include "server/gallery.h"
#include "server/stream.h"
#include <stdlib.h>
#include <string.h>

/* ── what there is ── */

typedef struct facts {
	int width, height;
	char family[64];
} facts;

static bool read_facts(void *context, const sumi_model *m, sumi_error *e)
{
	facts *f = context;
	(void)e;
	sumi_model_size(m, &f->width, &f->height);
	snprintf(f->family, sizeof f->family, "%s", sumi_model_family(m));
	return true;
}

/* The model that ?model= or a body names; the one in use where it names none. −1: none, and the problem is said. */
static int find_model(server *s, const char *name, problem *p)
{
	queue_status q;
	if (name && *name) return a1111_find_model(s, name, p);
	queue_lock(server_queue(s));
	queue_report(server_queue(s), &q);
	queue_unlock(server_queue(s));
	return queue_find_model(server_queue(s), q.model);
}

/* With the facts of the model that ?model= names. */
void page_about(server *s, request *r, reply *y)
{
	problem p = { 0 };
	sumi_error e = { 0 };
	facts f = { 0 };
	int i = find_model(s, MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "model"), &p);
	if (i >= 0 && !queue_with_model(server_queue(s), i, read_facts, &f, &e)) problem_of(s, &p, &e);
	if (p.status)
		a1111_refuse(y, &p);
	else
		reply_json(y, 200,
		    json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:b, s:b}", "version", sumi_version(), "model",
		        queue_model_name(server_queue(s), i), "family", f.family, "width", f.width, "height", f.height,
		        "most_pictures", MOST_PICTURES, "gallery", server_gallery(s) != NULL, "training",
		        server_runs(s) != NULL));
}

/* ── how a prompt is read ── */

typedef struct prompt_reading {
	const char *prompt;
	int tokens, room;
	json_t *pieces;
} prompt_reading;

static void add_piece(void *context, const char *text, size_t length, double weight)
{
	json_t *piece = json_pack("{s:s%, s:f}", "text", text, length, "weight", weight);
	if (piece) json_array_append_new(((prompt_reading *)context)->pieces, piece);
}

static bool read_prompt(void *context, const sumi_model *m, sumi_error *e)
{
	prompt_reading *p = context;
	return sumi_prompt_read(m, p->prompt, &p->tokens, &p->room, add_piece, p, e);
}

void page_prompt(server *s, request *r, reply *y)
{
	problem p = { 0 };
	sumi_error e = { 0 };
	const char *model = NULL;
	prompt_reading reading = { .prompt = "" };
	field_text(r->json, "model", &model, &p);
	field_text(r->json, "prompt", &reading.prompt, &p);
	if (strlen(reading.prompt) > MOST_TEXT)
		problem_set(&p, 422, "prompt", "a prompt has more than %d bytes", MOST_TEXT);
	int i = p.status ? -1 : find_model(s, model, &p);
	reading.pieces = json_array();
	if (i >= 0 && !queue_with_model(server_queue(s), i, read_prompt, &reading, &e)) problem_of(s, &p, &e);
	if (p.status)
		a1111_refuse(y, &p);
	else
		reply_json(y, 200,
		    json_pack("{s:i, s:i, s:O}", "tokens", reading.tokens, "room", reading.room, "pieces", reading.pieces));
	json_decref(reading.pieces);
}

/* ── pictures as they grow ── */

typedef struct growth {
	job_stream base;
	int before, step, previews, given; /* what was said last; pictures that were given */
	char stage[16];
} growth;

static void put_line(job_stream *t, json_t *line)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	json_decref(line);
	buffer_add_text(&t->out, text ? text : "{\"error\":\"out of memory\"}");
	buffer_add_text(&t->out, "\n");
	if (!text) t->ended = true;
	free(text);
}

/* In the lock, which it leaves while the preview is encoded. */
static void put_preview(growth *g)
{
	job *j = g->base.j;
	g->previews = j->previews;
	sumi_image *copy = sumi_image_new(j->preview->width, j->preview->height, j->preview->pixels, NULL);
	queue_unlock(server_queue(g->base.s));
	json_t *data = copy ? picture_json(copy, "png", 0) : NULL;
	if (data) put_line(&g->base, json_pack("{s:o}", "preview", data));
	sumi_image_free(copy);
	queue_lock(server_queue(g->base.s));
}

/* {"width", "height", "maps": [base64 of a byte for each place, of each word, the most that it is heard 255]}. */
static json_t *words_of(const sumi_image *p)
{
	size_t places = (size_t)p->attention_width * (size_t)p->attention_height;
	unsigned char *bytes = malloc(places + 1);
	json_t *maps = json_array();
	for (int i = 0; bytes && i < p->attention_count; i++) {
		const float *map = p->attention + (size_t)i * places;
		float most = 0;
		for (size_t k = 0; k < places; k++) most = map[k] > most ? map[k] : most;
		for (size_t k = 0; k < places; k++) bytes[k] = most > 0 ? (unsigned char)(map[k] / most * 255 + 0.5f) : 0;
		json_array_append_new(maps, bytes_json(bytes, places));
	}
	free(bytes);
	return json_pack("{s:i, s:i, s:o}", "width", p->attention_width, "height", p->attention_height, "maps", maps);
}

static void put_picture(growth *g, const sumi_image *picture)
{
	char name[GALLERY_NAME] = "";
	unsigned char *bytes = NULL;
	size_t count = 0;
	const char *folder = server_gallery(g->base.s);
	sumi_error e = { 0 };
	json_t *data = NULL;
	if (sumi_image_encode(picture, "png", 0, &bytes, &count, &e)) data = bytes_json(bytes, count);
	if (data && folder && !picture->attention) gallery_keep(folder, bytes, count, name, &e);
	json_t *line = data ? json_pack("{s:o, s:I, s:s, s:i, s:i, s:s}", "image", data, "seed", (json_int_t)picture->seed,
	                          "text", picture->parameters ? picture->parameters : "", "width", picture->width, "height",
	                          picture->height, "name", name)
	                    : NULL;
	if (line && picture->attention) json_object_set_new(line, "words", words_of(picture));
	if (line && e.status) {
		hide_folders(g->base.s, e.text);
		json_object_set_new(line, "not_kept", json_string(e.text));
	}
	put_line(&g->base, line);
	sumi_free(bytes);
}

/* The pictures one by one, then the end. */
static void put_result(growth *g)
{
	const job *j = g->base.j;
	if (!j->error.status && g->given < j->count) {
		put_picture(g, j->pictures[g->given++]);
		return;
	}
	problem p = { 0 };
	g->base.ended = true;
	problem_of(g->base.s, &p, &j->error);
	if (j->error.status == SUMI_STOPPED)
		put_line(&g->base, json_pack("{s:b}", "stopped", 1));
	else if (p.status)
		put_line(&g->base, json_pack("{s:s}", "error", p.text));
	else
		put_line(&g->base, json_pack("{s:s}", "done", j->drawn_with ? j->drawn_with : ""));
}

/* In the lock. */
static void next_line(job_stream *t)
{
	growth *g = (growth *)t;
	queue *q = server_queue(t->s);
	job *j = t->j;
	for (;; wait_for_change(t->s, t->r, j)) {
		int before = j->state == WAITING ? queue_before(q, j) : 0;
		if (before != g->before) {
			g->before = before;
			put_line(t, json_pack("{s:i}", "before", before));
		}
		if (j->state == RUNNING && (j->step != g->step || strcmp(j->stage, g->stage))) {
			g->step = j->step;
			snprintf(g->stage, sizeof g->stage, "%s", j->stage);
			put_line(t, json_pack("{s:s, s:i, s:i}", "stage", j->stage, "step", j->step, "steps", j->steps));
		}
		if (j->state == RUNNING && j->preview && j->previews != g->previews) put_preview(g);
		if (t->out.size) return;
		if (j->state == DONE) break;
	}
	queue_unlock(q); /* a job that is DONE does not change */
	put_result(g);
	queue_lock(q);
}

/* "words": ["cat", …], for each of which the picture comes with a map of where it is heard. */
static void read_words(const json_t *body, job *j, problem *p)
{
	const json_t *list = json_object_get(body, "words");
	if (json_array_size(list)) j->options.attention_words = j->words;
	if (json_array_size(list) > MOST_WORDS) problem_set(p, 422, "words", "more than %d words", MOST_WORDS);
	for (size_t i = 0; !p->status && i < json_array_size(list); i++) {
		const char *word = json_string_value(json_array_get(list, i));
		if (!word)
			problem_set(p, 422, "words", "words is not a list of texts");
		else if (job_text(&j->words[i], word))
			j->options.attention_count = (int)i + 1;
		else
			problem_set(p, 503, "", "out of memory");
	}
}

/* A1111's body for txt2img, or for img2img where there are init_images, and "words". The answer is a line of JSON for
 * each event. A picture with words was there before: it is not kept again. */
void page_draw(server *s, request *r, reply *y)
{
	problem p = { 0 };
	growth *g = calloc(1, sizeof *g);
	job *j = g ? a1111_read(s, r->json, json_array_size(json_object_get(r->json, "init_images")) > 0, &p) : NULL;
	if (j) read_words(r->json, j, &p);
	if (j && !p.status) {
		*g = (growth){ .base = { .s = s, .r = r, .j = j, .next = next_line } };
		j->followed = true;
		submitted done = stream_begin(&g->base, "application/x-ndjson", y);
		if (y->stream) return;
		if (done == ACCEPTED) {
			g = NULL;
			j = NULL;
		}
		a1111_refuse_submission(s, done, &p);
	}
	problem_set(&p, 503, "", "out of memory");
	job_free(j);
	free(g);
	a1111_refuse(y, &p);
}
