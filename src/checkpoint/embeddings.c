/* embeddings.c - reads a folder of learned words. */
#include "checkpoint/embeddings.h"
#include "io/weights.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_VECTORS = 75, LONGEST_PATH = 4096 };

/* The length of the word's name in a file's name; 0: no such file. */
static size_t word_length(const char *file)
{
	static const char *const ends[] = { ".safetensors", ".pt", ".bin" };
	size_t n = strlen(file);
	for (int i = 0; i < 3; i++) {
		size_t m = strlen(ends[i]);
		if (n > m && file[0] != '.' && !strcmp(file + n - m, ends[i])) return n - m;
	}
	return 0;
}

static const weight *vectors_in(const weights *file, int width)
{
	for (size_t i = 0; i < weights_count(file); i++) {
		const weight *w = weights_at(file, i);
		bool fits = w->ndims == 1 || (w->ndims == 2 && w->shape[0] >= 1 && w->shape[0] <= MOST_VECTORS);
		if (fits && w->shape[w->ndims - 1] == width && dtype_is_float(w->dtype)) return w;
	}
	return NULL;
}

static bool add_word(embeddings *y, const char *name, size_t length, const weight *w, error *e)
{
	int count = w->ndims == 2 ? (int)w->shape[0] : 1;
	size_t width = (size_t)y->width, all = (size_t)(y->row_count + count);
	new_word *words = realloc(y->words, ((size_t)y->count + 1) * sizeof *words);
	if (words) y->words = words;
	float *rows = realloc(y->rows, all * width * sizeof *rows);
	if (rows) y->rows = rows;
	char *own = strndup(name, length);
	if (!words || !rows || !own) {
		free(own);
		return fail(e, NO_MEMORY, "no memory for the word '%s'", name);
	}
	convert(rows + (size_t)y->row_count * width, F32, w->data, w->dtype, (size_t)count * width);
	words[y->count++] = (new_word){ own, y->row_count, count };
	y->row_count += count;
	return true;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static bool read_file(embeddings *y, const char *folder, const char *name,
    void (*note)(void *context, const char *line), void *context, error *e)
{
	char path[LONGEST_PATH], line[LONGEST_PATH + 200];
	error own = { 0 };
	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= LONGEST_PATH)
		return fail(e, BAD_FILE, "%.200s…: the path is too long", folder);
	weights *file = weights_open(path, &own);
	const weight *w = file ? vectors_in(file, y->width) : NULL;
	snprintf(line, sizeof line, "%s%s", file ? path : own.text, file ? ": no word for this model's text encoder" : "");
	if (!w && note) note(context, line);
	bool fine = !w || add_word(y, name, word_length(name), w, e);
	weights_close(file);
	return fine;
}

bool embeddings_read(embeddings *y, const char *folder, int width, void (*note)(void *context, const char *line),
    void *context, error *e)
{
	struct dirent **names;
	*y = (embeddings){ .width = width };
	int n = scandir(folder, &names, NULL, by_name);
	if (n < 0) return fail(e, BAD_FILE, "%s: cannot be read as a folder: %s", folder, strerror(errno));
	bool fine = true;
	for (int i = 0; i < n; i++) {
		if (word_length(names[i]->d_name)) fine = fine && read_file(y, folder, names[i]->d_name, note, context, e);
		free(names[i]);
	}
	free(names);
	if (!fine) embeddings_free(y);
	return fine;
}

void embeddings_free(embeddings *y)
{
	for (int i = 0; i < y->count; i++) free((char *)(uintptr_t)y->words[i].name);
	free(y->words);
	free(y->rows);
	*y = (embeddings){ 0 };
}
