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

/* What is said of a file that cannot be used. */
typedef struct refusal {
	char text[300];
} refusal;

/* Vectors of this width: the tensor `key`, or the first one that fits where that is NULL. NULL, with the reason. */
static const weight *vectors_in(const weights *file, const char *key, int width, int most, refusal *why)
{
	snprintf(why->text, sizeof why->text, "it holds no vectors");
	for (size_t i = 0; i < weights_count(file); i++) {
		const weight *w = weights_at(file, i);
		if ((w->ndims != 1 && w->ndims != 2) || !dtype_is_float(w->dtype) || (key && strcmp(w->name, key))) continue;
		long long count = w->ndims == 2 ? w->shape[0] : 1, columns = w->shape[w->ndims - 1];
		if (columns != width)
			snprintf(why->text, sizeof why->text, "its vectors have %lld numbers, this model's text encoder takes %d",
			    columns, width);
		else if (count < 1 || count > most)
			snprintf(why->text, sizeof why->text, "it has %lld vectors, and a prompt has room for %d", count, most);
		else
			return w;
	}
	return NULL;
}

static int count_of(const weight *w) { return w->ndims == 2 ? (int)w->shape[0] : 1; }

/* Vectors for every encoder, as many for each; false, with the reason. */
static bool find_vectors(
    const embeddings *y, const weights *file, int most, const weight *found[TEXT_ENCODERS], refusal *why)
{
	static const char *const keys[TEXT_ENCODERS] = { "clip_l", "clip_g", "t5xxl" };
	bool two = weights_find(file, keys[0]) && weights_find(file, keys[1]);
	int encoders = 0, count = 0;
	for (int k = 0; k < TEXT_ENCODERS; k++) encoders += y->width[k] > 0;
	snprintf(why->text, sizeof why->text,
	    encoders > 1 ? "it is for one text encoder, this model has two: clip_l and clip_g"
	                 : "it is for two text encoders (SDXL, Stable Diffusion 3), this model has one");
	if (two != (encoders > 1)) return false;
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		if (!y->width[k]) continue;
		found[k] = vectors_in(file, encoders > 1 ? keys[k] : NULL, y->width[k], most, why);
		if (!found[k]) return false;
		snprintf(why->text, sizeof why->text, "one of its numbers is NaN or infinite");
		float value;
		size_t numbers = weight_elements(found[k]);
		if (first_not_finite(found[k]->data, found[k]->dtype, numbers, &value) < numbers) return false;
		if (!count) count = count_of(found[k]);
		snprintf(why->text, sizeof why->text, "it has %d vectors for one text encoder and %d for another", count,
		    count_of(found[k]));
		if (count_of(found[k]) != count) return false;
	}
	return true;
}

static bool add_rows(embeddings *y, int k, const weight *w, int count)
{
	size_t width = (size_t)y->width[k];
	float *rows = realloc(y->rows[k], (size_t)(y->row_count + count) * width * sizeof *rows);
	if (!rows) return false;
	y->rows[k] = rows;
	convert(rows + (size_t)y->row_count * width, F32, w->data, w->dtype, (size_t)count * width);
	return true;
}

static bool add_word(embeddings *y, const char *path, const char *name, size_t length,
    const weight *const found[TEXT_ENCODERS], error *e)
{
	int count = 0;
	new_word *words = realloc(y->words, ((size_t)y->count + 1) * sizeof *words);
	if (words) y->words = words;
	char **paths = realloc(y->paths, ((size_t)y->count + 1) * sizeof *paths);
	if (paths) y->paths = paths;
	char *own = strndup(name, length), *from = strdup(path);
	bool fine = words && paths && own && from;
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		if (!y->width[k]) continue;
		count = count_of(found[k]);
		fine = fine && add_rows(y, k, found[k], count);
	}
	if (!fine) {
		free(own);
		free(from);
		return fail(e, NO_MEMORY, "no memory for the word '%s'", name);
	}
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
	char line[LONGEST_PATH + 400];
	refusal why;
	error own = { 0 };
	weights *file = weights_open(path, &own);
	const weight *found[TEXT_ENCODERS] = { NULL };
	bool usable = file && find_vectors(y, file, most, found, &why);
	if (file)
		snprintf(line, sizeof line, "%s: %s", path, why.text);
	else
		snprintf(line, sizeof line, "%s", own.text);
	bool fine = usable ? add_word(y, path, name, length, found, e) : add_unusable(y, name, length, line, e);
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

bool embeddings_read(embeddings *y, const char *folder, const int width[TEXT_ENCODERS], int most, error *e)
{
	struct dirent **names;
	*y = (embeddings){ 0 };
	memcpy(y->width, width, sizeof y->width);
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
	for (int k = 0; k < TEXT_ENCODERS; k++) free(y->rows[k]);
	free(y->unusable);
	*y = (embeddings){ 0 };
}
