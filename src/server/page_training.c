/* page_training.c - the page's training runs over HTTP, where the server was started with a folder for them. */
#include "server/a1111.h"
#include "server/run_files.h"
#include "server/runs.h"
#include <stdlib.h>
#include <string.h>

static runs *runs_of(server *s, reply *y)
{
	if (!server_runs(s))
		a1111_refuse(
		    y, &(problem){ .status = 404, .text = "this server trains nothing; sumi serve --training DIR does" });
	return server_runs(s);
}

static void refuse_name(reply *y) { a1111_refuse(y, &(problem){ .status = 404, .text = "no such training run" }); }

/* ["no", "bf16"] of "no=f32=fp32|bf16"; [] where any text will do. */
static json_t *choices_of(const char *choices)
{
	json_t *list = json_array();
	for (const char *at = choices, *end; at && *at; at = end + (*end == '|')) {
		end = at + strcspn(at, "|");
		json_array_append_new(list, json_stringn(at, strcspn(at, "=|")));
	}
	return list;
}

/* [{"name", "standard", "help", "flag", "number", "choices"}, …] of a kind's options that the page may set. */
static json_t *options_of(const char *kind)
{
	json_t *list = json_array();
	sumi_training_option o = { .size = sizeof o };
	for (int i = 0; sumi_training_option_at(kind, i, &o); i++) {
		sumi_training_option allowed;
		if (o.heading || !runs_option(kind, o.name, &allowed)) continue;
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "name", o.name, "standard", o.standard, "help", o.help,
		              "flag", o.flag, "number", !strcmp(o.value, "N"), "choices", choices_of(o.choices)));
	}
	return list;
}

void page_training(server *s, request *r, reply *y)
{
	runs *all = runs_of(s, y);
	(void)r;
	if (!all) return;
	json_t *options = json_object();
	for (const char *const *kind = run_kinds; *kind; kind++) json_object_set_new(options, *kind, options_of(*kind));
	reply_json(
	    y, 200, json_pack("{s:o, s:o, s:o}", "sets", runs_sets(all), "runs", runs_list(all), "options", options));
}

/* {"set", "kind", "model", "hints", "options": {name: text}} */
void page_training_start(server *s, request *r, reply *y)
{
	problem p = { 0 };
	sumi_error e = { 0 };
	const char *model = "", *wrong;
	run_request q = { .set = "", .kind = "lora", .hints = "", .options = json_object_get(r->json, "options") };
	runs *all = runs_of(s, y);
	if (!all) return;
	field_text(r->json, "set", &q.set, &p);
	field_text(r->json, "kind", &q.kind, &p);
	field_text(r->json, "hints", &q.hints, &p);
	field_text(r->json, "model", &model, &p);
	int i = p.status ? -1 : a1111_find_model(s, model, &p);
	if (i >= 0) q.model = queue_model_path(server_queue(s), i);
	if (i >= 0 && !runs_start(all, &q, &wrong, &e)) {
		hide_folders(s, e.text);
		if (*wrong) problem_set(&p, 422, wrong, "%.500s", e.text);
		problem_of(s, &p, &e);
	}
	if (p.status)
		a1111_refuse(y, &p);
	else
		reply_json(y, 200, json_object());
}

/* Whether requests find what it made: whether it lies where they look for such files. */
static bool is_usable(server *s, const json_t *run)
{
	static const struct {
		const char *kind;
		folder_kind where;
	} places[] = { { "lora", LORAS }, { "embedding", WORDS }, { "controlnet", CONTROLS } };
	char path[4096];
	const char *kind = json_string_value(json_object_get(run, "kind"));
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (!strcmp(kind, places[i].kind))
			return name_find(server_folder(s, places[i].where), places[i].where,
			    json_string_value(json_object_get(run, "name")), path);
	return false;
}

/* /sumi/training/NAME, or /sumi/training/NAME/sample-500.png */
void page_training_run(server *s, request *r, reply *y)
{
	char name[256];
	runs *all = runs_of(s, y);
	const char *from = r->path + strlen("/sumi/training/"), *slash = strchr(from, '/');
	if (!all) return;
	int length = snprintf(name, sizeof name, "%.*s", slash ? (int)(slash - from) : (int)sizeof name, from);
	if (length >= (int)sizeof name) {
		refuse_name(y);
	} else if (slash) {
		y->type = "image/png";
		if (runs_sample(all, name, slash + 1, &y->body)) return;
		y->type = "application/json";
		refuse_name(y);
	} else {
		json_t *one = runs_describe(all, name);
		const char *last = json_string_value(json_object_get(one, "said"));
		char *said = last ? strdup(last) : NULL;
		if (said) {
			hide_folders(s, said);
			json_object_set_new(one, "said", json_string(said));
			free(said);
		}
		if (one) json_object_set_new(one, "usable", json_boolean(is_usable(s, one)));
		if (one)
			reply_json(y, 200, one);
		else
			refuse_name(y);
	}
}

/* {"name"} */
void page_training_stop(server *s, request *r, reply *y)
{
	problem p = { 0 };
	const char *name = "";
	runs *all = runs_of(s, y);
	if (!all) return;
	field_text(r->json, "name", &name, &p);
	if (!p.status && !runs_stop(all, name)) problem_set(&p, 409, "", "this run is not going on");
	if (p.status)
		a1111_refuse(y, &p);
	else
		reply_json(y, 200, json_object());
}
