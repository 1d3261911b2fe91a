/* checkpoint.c - one file, or the files of a folder, as one table of single-file keys. */
#include "checkpoint/checkpoint_table.h"
#include "base/file.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ── tables ── */

static int by_key(const void *a, const void *b) { return strcmp((*(entry *const *)a)->key, (*(entry *const *)b)->key); }

bool checkpoint_add(checkpoint *c, const char *key, const weight *w, error *e)
{
	if (c->count == c->room) {
		size_t room = c->room ? 2 * c->room : 1024;
		entry *more = realloc(c->entries, room * sizeof *more);
		if (!more) return fail(e, NO_MEMORY, "out of memory for %zu tensors", room);
		c->entries = more;
		c->room = room;
	}
	char *own = strdup(key);
	if (!own) return fail(e, NO_MEMORY, "out of memory");
	c->entries[c->count++] = (entry){ own, w };
	return true;
}

static bool index_entries(checkpoint *c, error *e)
{
	c->sorted = malloc((c->count + 1) * sizeof *c->sorted);
	if (!c->sorted) return fail(e, NO_MEMORY, "out of memory for %zu tensors", c->count);
	for (size_t i = 0; i < c->count; i++) c->sorted[i] = &c->entries[i];
	qsort(c->sorted, c->count, sizeof *c->sorted, by_key);
	return true;
}

static bool read_single(checkpoint *c, const char *path, error *e)
{
	c->files[0] = weights_open(path, e);
	if (!c->files[0]) return false;
	for (size_t i = 0; i < weights_count(c->files[0]); i++) {
		const weight *w = weights_at(c->files[0], i);
		if (!checkpoint_add(c, w->name, w, e)) return false;
	}
	return index_entries(c, e);
}

size_t checkpoint_count(const checkpoint *c) { return c->count; }

const weight *checkpoint_at(const checkpoint *c, size_t i, const char **key)
{
	if (key) *key = c->entries[i].key;
	return c->entries[i].weight;
}

const weight *checkpoint_find(const checkpoint *c, const char *key)
{
	size_t low = 0, high = c->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(key, c->sorted[middle]->key);
		if (!order) return c->sorted[middle]->weight;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool checkpoint_is_folder(const checkpoint *c) { return c->folder; }

const json_t *checkpoint_scheduler(const checkpoint *c) { return c->scheduler; }

const weight *checkpoint_find_in_folder(const checkpoint *c, role r, const char *name)
{
	return c->folder && c->files[r] ? weights_find(c->files[r], name) : NULL;
}

const char *checkpoint_metadata(const checkpoint *c, const char *key)
{
	const char *value = NULL;
	for (int i = 0; i < FAMILY_ROLES && !value; i++)
		if (c->files[i]) value = weights_metadata(c->files[i], key);
	return value;
}

void checkpoint_advise_unused(const checkpoint *c, const void *data, size_t bytes)
{
	for (int i = 0; i < FAMILY_ROLES; i++)
		if (c->files[i]) weights_advise_unused(c->files[i], data, bytes);
}

/* ── which family ── */

static bool look_up(void *context, const char *key, dtype *d, shape *s, const void **data)
{
	const weight *w = checkpoint_find(context, key);
	if (!w || w->ndims > MAX_DIMS) return false;
	*d = w->dtype;
	*s = (shape){ .n = w->ndims };
	for (int i = 0; i < w->ndims; i++) {
		if (w->shape[i] > INT_MAX) return false;
		s->d[i] = (int)w->shape[i];
	}
	if (data) *data = w->data;
	return true;
}

/* "folder/x.safetensors" → "folder/x.json", or "folder/config.json". */
static bool json_beside(const char *path, char *json, size_t size)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
	int length = (int)(dot ? dot - path : (long)strlen(path));
	int n = snprintf(json, size, "%.*s.json", length, path);
	if (n > 0 && (size_t)n < size && access(json, R_OK) == 0) return true;
	n = snprintf(json, size, "%.*sconfig.json", slash ? (int)(slash - path + 1) : 0, path);
	return n > 0 && (size_t)n < size && access(json, R_OK) == 0;
}

static bool tell_family(checkpoint *c, const char *path, error *e)
{
	char beside[PATH_MAX];
	const char *own = checkpoint_metadata(c, "sumi.config");
	if (own) {
		c->evidence = "its metadata";
		return family_from_json(own, &c->family, e);
	}
	error unknown = { 0 };
	const family *f = family_recognise(look_up, c, &unknown);
	if (f) {
		c->evidence = "its tensors";
		c->family = *f;
		return true;
	}
	if (!json_beside(path, beside, sizeof beside)) return fail(e, unknown.status, "%s: %s", path, unknown.text);
	char *text = whole_file(beside, 1 << 20, NULL, e);
	c->evidence = "the JSON file beside it";
	error wrong = { 0 };
	bool fine = text && family_from_json(text, &c->family, &wrong);
	free(text);
	return fine || (text ? fail(e, wrong.status, "%s: %s", beside, wrong.text) : false);
}

checkpoint *checkpoint_open(const char *path, error *e)
{
	checkpoint *c = calloc(1, sizeof *c);
	if (!c) {
		fail(e, NO_MEMORY, "out of memory");
		return NULL;
	}
	struct stat s;
	c->folder = path && stat(path, &s) == 0 && S_ISDIR(s.st_mode);
	if (c->folder ? checkpoint_read_folder(c, path, e) && index_entries(c, e)
	              : read_single(c, path, e) && tell_family(c, path, e))
		return c;
	checkpoint_close(c);
	return NULL;
}

void checkpoint_close(checkpoint *c)
{
	if (!c) return;
	for (int i = 0; i < FAMILY_ROLES; i++) weights_close(c->files[i]);
	for (size_t i = 0; i < c->count; i++) free(c->entries[i].key);
	json_decref(c->scheduler);
	free(c->entries);
	free(c->sorted);
	free(c);
}

const family *checkpoint_family(const checkpoint *c) { return &c->family; }
const char *checkpoint_evidence(const checkpoint *c) { return c->evidence; }
