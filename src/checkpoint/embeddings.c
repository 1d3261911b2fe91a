/* embeddings.c - reads a folder of learned words. */
#include "checkpoint/embeddings.h"
#include "base/file.h"
#include "io/weights.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LONGEST_PATH = 4096 };

/* The length of the word's name in a file's name with one of these endings; 0: it has none. */
static size_t word_length(const char *file, const char *const *ends)
{
	size_t n = strlen(file);
	for (; *ends; ends++) {
		size_t m = strlen(*ends);
		if (n > m && file[0] != '.' && !strcasecmp(file + n - m, *ends)) return n - m;
	}
	return 0;
}

/* Vectors for this encoder; NULL, with the reason. */
static const weight *vectors_in(const weights *file, int width, int most, char *reason, size_t size)
{
	snprintf(reason, size, "it holds no vectors");
	if (weights_find(file, "clip_g") && weights_find(file, "clip_l")) {
		snprintf(reason, size, "it is for two text encoders (SDXL), and words are read for the first alone");
		return NULL;
	}
	for (size_t i = 0; i < weights_count(file); i++) {
		const weight *w = weights_at(file, i);
		if ((w->ndims != 1 && w->ndims != 2) || !dtype_is_float(w->dtype)) continue;
		long long count = w->ndims == 2 ? w->shape[0] : 1, columns = w->shape[w->ndims - 1];
		if (columns != width)
			snprintf(reason, size, "its vectors have %lld numbers, this model's text encoder takes %d", columns, width);
		else if (count < 1 || count > most)
			snprintf(reason, size, "it has %lld vectors, and a prompt has room for %d", count, most);
		else
			return w;
	}
	return NULL;
}

static bool add_word(embeddings *y, const char *path, const char *name, size_t length, const weight *w, error *e)
{
	int count = w->ndims == 2 ? (int)w->shape[0] : 1;
	size_t width = (size_t)y->width, all = (size_t)(y->row_count + count);
	new_word *words = realloc(y->words, ((size_t)y->count + 1) * sizeof *words);
	if (words) y->words = words;
	char **paths = realloc(y->paths, ((size_t)y->count + 1) * sizeof *paths);
	if (paths) y->paths = paths;
	float *rows = realloc(y->rows, all * width * sizeof *rows);
	if (rows) y->rows = rows;
	char *own = strndup(name, length), *from = strdup(path);
	if (!words || !paths || !rows || !own || !from) {
		free(own);
		free(from);
		return fail(e, NO_MEMORY, "no memory for the word '%s'", name);
	}
	convert(rows + (size_t)y->row_count * width, F32, w->data, w->dtype, (size_t)count * width);
	paths[y->count] = from;
	words[y->count++] = (new_word){ own, y->row_count, count };
	y->row_count += count;
	return true;
}

static bool add_unusable(embeddings *y, const char *name, size_t length, const char *reason, error *e)
{
	unusable_word *list = realloc(y->unusable, ((size_t)y->unusable_count + 1) * sizeof *list);
	if (list) y->unusable = list;
	unusable_word u = { strndup(name, length), strdup(reason) };
	if (!list || !u.name || !u.reason) {
		free(u.name);
		free(u.reason);
		return fail(e, NO_MEMORY, "no memory for the word '%s'", name);
	}
	list[y->unusable_count++] = u;
	return true;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static bool read_file(embeddings *y, const char *path, const char *name, size_t length, int most, error *e)
{
	char reason[300], line[LONGEST_PATH + 400];
	error own = { 0 };
	weights *file = weights_open(path, &own);
	const weight *w = file ? vectors_in(file, y->width, most, reason, sizeof reason) : NULL;
	if (file)
		snprintf(line, sizeof line, "%s: %s", path, reason);
	else
		snprintf(line, sizeof line, "%s", own.text);
	bool fine = w ? add_word(y, path, name, length, w, e) : add_unusable(y, name, length, line, e);
	weights_close(file);
	return fine;
}

static bool is_word(const embeddings *y, const char *name, size_t length)
{
	for (int i = 0; i < y->count; i++)
		if (strlen(y->words[i].name) == length && !strncasecmp(y->words[i].name, name, length)) return true;
	return false;
}

/* A1111 writes a word into its preview picture too, as a text of this key before the pixels. */
static bool hides_word(const char *path)
{
	static const char key[] = "sd-ti-embedding";
	mapping m;
	if (!map_file(&m, path, NULL)) return false;
	bool found = memmem(m.data, m.size < 65536 ? m.size : 65536, key, sizeof key) != NULL;
	unmap_file(&m);
	return found;
}

static bool read_entry(embeddings *y, const char *folder, const char *name, bool pictures, int most, error *e)
{
	static const char *const files[] = { ".safetensors", ".pt", ".bin", NULL };
	static const char *const images[] = { ".png", NULL };
	char path[LONGEST_PATH], line[LONGEST_PATH + 100];
	size_t length = word_length(name, pictures ? images : files);
	if (!length) return true;
	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= LONGEST_PATH)
		return fail(e, BAD_FILE, "%.200s…: the path is too long", folder);
	if (!pictures) return read_file(y, path, name, length, most, e);
	if (!hides_word(path)) return true;
	snprintf(line, sizeof line, "%s: words that A1111 wrote into pictures are not read", path);
	return add_unusable(y, name, length, line, e);
}

bool embeddings_read(embeddings *y, const char *folder, int width, int most, error *e)
{
	struct dirent **names;
	*y = (embeddings){ .width = width };
	int n = scandir(folder, &names, NULL, by_name);
	if (n < 0) return fail(e, errno_status(), "%s: cannot be read as a folder: %s", folder, strerror(errno));
	bool fine = true;
	for (int i = 0; i < 2 * n; i++) fine = fine && read_entry(y, folder, names[i % n]->d_name, i >= n, most, e);
	for (int i = 0; i < n; i++) free(names[i]);
	free(names);
	if (!fine) embeddings_free(y);
	return fine;
}

int embeddings_unusable_in(const embeddings *y, int from, const char *text)
{
	for (int i = from; i < y->unusable_count; i++) {
		new_word word = { .name = y->unusable[i].name, .count = 1 };
		if (!is_word(y, word.name, strlen(word.name)) && new_words_in(&word, 1, text)) return i;
	}
	return -1;
}

void embeddings_free(embeddings *y)
{
	for (int i = 0; i < y->count; i++) {
		free((char *)(uintptr_t)y->words[i].name);
		if (y->paths) free(y->paths[i]);
	}
	for (int i = 0; i < y->unusable_count; i++) {
		free(y->unusable[i].name);
		free(y->unusable[i].reason);
	}
	free(y->words);
	free(y->paths);
	free(y->rows);
	free(y->unusable);
	*y = (embeddings){ 0 };
}
