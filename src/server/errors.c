/* errors.c - see errors.h. A folder is recognised by the text that it was given as, for that is what the library opens
 * its files by. */
#include "server/errors.h"
#include "server/runs.h"
#include <stdio.h>
#include <string.h>

/* Whether a path may begin at `at`: behind another letter, it is part of a longer one. */
static bool may_begin(const char *text, const char *at) { return at == text || strchr(" '\"(:,=", at[-1]); }

/* "FOLDER/x" becomes "x"; FOLDER alone becomes its name. */
static void hide_folder(char *text, const char *folder, size_t length)
{
	while (length > 1 && folder[length - 1] == '/') length--;
	if (!length) return;
	const char *name = folder + length;
	while (name > folder && name[-1] != '/') name--;
	size_t above = (size_t)(name - folder);
	for (char *at = text; *at; at++) {
		if (strncmp(at, folder, length) || !may_begin(text, at)) continue;
		size_t cut = at[length] == '/' ? length + strspn(at + length, "/") : length == 1 ? 0 : above;
		memmove(at, at + cut, strlen(at + cut) + 1);
		if (!*at) break;
	}
}

/* The folder that a file is in; a path without one has none to hide. */
static void hide_folder_of(char *text, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	if (slash) hide_folder(text, path, slash > path ? (size_t)(slash - path) : 1);
}

void hide_folders(server *s, char *text)
{
	queue *q = server_queue(s);
	const sumi_model_options *o = queue_model_options(q);
	const char *files[] = { o->vae, o->taesd, o->clip_l, o->clip_g, o->t5xxl };
	for (int i = 0; i < FOLDERS; i++) {
		const char *folder = server_folder(s, (folder_kind)i);
		if (folder) hide_folder(text, folder, strlen(folder));
	}
	if (queue_folder(q)) hide_folder(text, queue_folder(q), strlen(queue_folder(q)));
	if (server_gallery(s)) hide_folder(text, server_gallery(s), strlen(server_gallery(s)));
	if (server_runs(s)) hide_folder(text, runs_folder(server_runs(s)), strlen(runs_folder(server_runs(s))));
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) hide_folder_of(text, files[i]);
	for (int i = 0; i < server_options_of(s)->tower_count; i++) hide_folder_of(text, server_options_of(s)->towers[i]);
	for (int i = 0; i < o->lora_count; i++) hide_folder_of(text, o->loras[i]);
	for (int i = 0; i < queue_model_count(q); i++) hide_folder_of(text, queue_model_path(q, i));
}

void refuse_size(server *s, problem *p, const char *field)
{
	long long most = queue_most_pixels(server_queue(s));
	problem_set(p, 422, field, "more pixels than this server draws: a picture has %lld at most, all of a request %lld",
	    most, 16 * most);
}

void problem_of(server *s, problem *p, const sumi_error *e)
{
	if (!e->status) return;
	int status = e->status == SUMI_BAD_USAGE || e->status == SUMI_BAD_FILE ? 400
	             : e->status == SUMI_NO_MEMORY                             ? 507
	             : e->status == SUMI_STOPPED                               ? 499
	                                                                       : 500;
	sumi_error shown = *e;
	hide_folders(s, shown.text);
	problem_set(p, status, "", "%.500s", shown.text);
}
