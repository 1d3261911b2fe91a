/* hashing.c - one thread, which hashes file after file. */
#include "pipeline/hashing.h"
#include "checkpoint/hash.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 64 };

typedef struct entry {
	char *path;
	char hex[65]; /* empty: it could not be read */
} entry;

struct hashing {
	entry files[MOST_FILES];
	int count;
	bool running;
	pthread_t thread;
};

static void *work(void *context)
{
	hashing *h = context;
	for (int i = 0; i < h->count; i++) file_hash(h->files[i].path, h->files[i].hex);
	return NULL;
}

static entry *add_file(hashing *h, const char *path)
{
	if (!path || h->count == MOST_FILES || !(h->files[h->count].path = strdup(path))) return NULL;
	return &h->files[h->count++];
}

hashing *hashing_begin(const model *m, const char *refiner)
{
	hashing *h = calloc(1, sizeof *h);
	if (!h) return NULL;
	add_file(h, m->path);
	add_file(h, m->given_path[TINY_AUTOENCODER]);
	add_file(h, m->given_path[AUTOENCODER]);
	for (int i = 0; i < m->lasting.count; i++) add_file(h, m->lasting.files[i].path);
	add_file(h, refiner);
	h->running = pthread_create(&h->thread, NULL, work, h) == 0;
	if (!h->running) work(h);
	return h;
}

static void wait_for(hashing *h)
{
	if (h->running) pthread_join(h->thread, NULL);
	h->running = false;
}

const char *hashing_of(hashing *h, const char *path)
{
	if (!h || !path) return NULL;
	wait_for(h);
	entry *f = NULL;
	for (int i = 0; i < h->count; i++)
		if (!strcmp(h->files[i].path, path)) f = &h->files[i];
	if (!f && (f = add_file(h, path))) file_hash(f->path, f->hex);
	return f && f->hex[0] ? f->hex : NULL;
}

void hashing_end(hashing *h)
{
	if (!h) return;
	wait_for(h);
	for (int i = 0; i < h->count; i++) free(h->files[i].path);
	free(h);
}
