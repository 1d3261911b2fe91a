/* models.c - a list of files by name. An open model is a mapped file and costs little; what sessions keep is memory. */
#include "server/models.h"
#include "server/folders.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool no_memory(sumi_error *e)
{
	if (!e->status) {
		e->status = SUMI_NO_MEMORY;
		snprintf(e->text, sizeof e->text, "no memory for the list of models");
	}
	return false;
}

int models_count(const model_list *l) { return atomic_load(&l->count); }

static bool is_there(const model_list *l, const char *path)
{
	for (int i = 0; i < models_count(l); i++)
		if (!strcmp(l->list[i].path, path)) return true;
	return false;
}

bool models_add(model_list *l, const char *path, sumi_error *e)
{
	const char *slash = strrchr(path, '/');
	int i = models_count(l);
	if (i == MOST_MODELS) {
		e->status = SUMI_BAD_USAGE;
		snprintf(e->text, sizeof e->text, "more than %d models", MOST_MODELS);
		return false;
	}
	served_model m = { .name = strdup(slash && slash[1] ? slash + 1 : path), .path = strdup(path) };
	if (!m.name || !m.path) {
		free(m.name);
		free(m.path);
		return no_memory(e);
	}
	char *dot = strrchr(m.name, '.');
	if (dot && dot > m.name) *dot = 0;
	l->list[i] = m;
	atomic_store(&l->count, i + 1);
	return true;
}

static int is_model(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');
	return dot && dot > d->d_name &&
	       (!strcmp(dot, ".safetensors") || !strcmp(dot, ".gguf") || !strcmp(dot, ".ckpt") || !strcmp(dot, ".pt"));
}

bool models_add_folder(model_list *l, const char *folder, sumi_error *e)
{
	struct dirent **files;
	int n = scandir(folder, &files, is_model, alphasort);
	if (n < 0) {
		e->status = SUMI_BAD_FILE;
		snprintf(e->text, sizeof e->text, "%s: not a folder that can be read", folder);
		return false;
	}
	bool fine = true;
	for (int i = 0; i < n; i++) {
		char path[4096];
		int length = snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
		if (fine && length < (int)sizeof path && !is_there(l, path)) fine = models_add(l, path, e);
		free(files[i]);
	}
	free(files);
	return fine;
}

int models_find(const model_list *l, const char *name)
{
	for (int i = 0; i < models_count(l); i++) {
		const char *slash = strrchr(l->list[i].path, '/'), *file = slash ? slash + 1 : l->list[i].path;
		if (!strcmp(l->list[i].name, name) || !strcmp(file, name)) return i;
	}
	return -1;
}

/* Another number where a file of words came, went, or was written or renamed. */
static uint64_t words_state(const char *folder)
{
	name_list l = names_in(folder, WORDS);
	uint64_t state = 0;
	struct stat s;
	for (int i = 0; i < l.count; i++)
		if (!stat(l.path[i], &s))
			state = 31 * state + s.st_ino + 1000000007 * (uint64_t)s.st_ctim.tv_sec + (uint64_t)s.st_ctim.tv_nsec;
	names_free(&l);
	return state;
}

/* Where its words changed. In the thread that draws, so its session is at rest. */
static void close_outdated(served_model *m, const sumi_model_options *o)
{
	if (!m->model || m->words == words_state(o->embedding_folder)) return;
	sumi_session_close(m->session);
	sumi_close(m->model);
	m->session = NULL;
	m->model = NULL;
}

static sumi_model *open_model(model_list *l, int i, const sumi_model_options *o, sumi_error *e)
{
	served_model *m = l->list + i;
	if (m->model) return m->model;
	m->words = words_state(o->embedding_folder);
	m->model = sumi_open(m->path, o, e);
	return m->model;
}

sumi_session *models_session(model_list *l, int i, const sumi_model_options *o, sumi_error *e)
{
	served_model *m = l->list + i;
	pthread_mutex_lock(&l->opening);
	close_outdated(m, o);
	sumi_model *model = open_model(l, i, o, e);
	pthread_mutex_unlock(&l->opening);
	if (model && !m->session) m->session = sumi_session_open(model, NULL, e);
	return m->session;
}

bool models_with(model_list *l, int i, const sumi_model_options *o, model_use *use, void *context, sumi_error *e)
{
	pthread_mutex_lock(&l->opening);
	const sumi_model *model = open_model(l, i, o, e);
	bool fine = model && use(context, model, e);
	pthread_mutex_unlock(&l->opening);
	return fine;
}

void models_trim(model_list *l, int but)
{
	for (int i = 0; i < models_count(l); i++)
		if (i != but && l->list[i].session) sumi_session_trim(l->list[i].session, 0);
}

void models_free(model_list *l)
{
	for (int i = 0; i < models_count(l); i++) {
		served_model *m = l->list + i;
		sumi_session_close(m->session);
		sumi_close(m->model);
		free(m->name);
		free(m->path);
	}
	atomic_store(&l->count, 0);
}
