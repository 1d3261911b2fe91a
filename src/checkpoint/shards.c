/* shards.c - see shards.h. The form: huggingface_hub, serialization/_base.py (split_state_dict_into_shards_factory). */
#include "checkpoint/shards.h"
#include "base/file.h"
#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const metadata[][2] = { { "format", "pt" }, { NULL, NULL } };

static uint64_t bytes_of(const output *t)
{
	size_t n = 1;
	for (int i = 0; i < t->ndims; i++) n *= (size_t)t->shape[i];
	return dtype_bytes(t->type, n);
}

/* How many tensors from `first` on make a shard. */
static size_t shard_at(const outputs *o, size_t first, uint64_t most)
{
	uint64_t all = 0;
	size_t n = 0;
	while (first + n < o->count) {
		uint64_t next = bytes_of(&o->list[first + n]);
		if (n && all + next > most) break;
		all += next;
		n++;
	}
	return n;
}

static int count_shards(const outputs *o, uint64_t most)
{
	int count = 0;
	for (size_t first = 0; first < o->count; count++) first += shard_at(o, first, most);
	return count;
}

/* "model-00001-of-00003.safetensors" */
static void shard_name(char *out, size_t size, const char *name, int shard, int shards)
{
	snprintf(out, size, "%s-%05d-of-%05d.safetensors", name, shard, shards);
}

static bool path_in(char *path, const char *folder, const char *file, error *e)
{
	return snprintf(path, PATH_MAX, "%s/%s", folder, file) < PATH_MAX ||
	       fail(e, BAD_FILE, "%.200s…: the path is too long", folder);
}

static bool write_index(const char *folder, const char *name, json_t *map, uint64_t bytes, error *e)
{
	char file[NAME_MAX], path[PATH_MAX];
	snprintf(file, sizeof file, "%s.safetensors.index.json", name);
	json_t *index = json_pack("{s:{s:I},s:O}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
	char *text = index ? json_dumps(index, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
	bool fine = (text || fail(e, NO_MEMORY, "out of memory for %s", file)) && path_in(path, folder, file, e) &&
	            write_file(path, text, strlen(text), e);
	free(text);
	json_decref(index);
	return fine;
}

static bool write_shards(const outputs *o, const char *folder, const char *name, uint64_t most, int shards,
    const checkpoint *source, outputs_progress *p, error *e)
{
	char file[NAME_MAX], path[PATH_MAX];
	json_t *map = json_object();
	uint64_t bytes = 0;
	bool fine = map || fail(e, NO_MEMORY, "out of memory");
	size_t first = 0;
	for (int i = 1; i <= shards && fine; i++) {
		outputs part = { .list = o->list + first, .count = shard_at(o, first, most), .type = o->type };
		shard_name(file, sizeof file, name, i, shards);
		for (size_t k = 0; k < part.count; k++) {
			bytes += bytes_of(&part.list[k]);
			json_object_set_new(map, part.list[k].name, json_string(file));
		}
		fine = path_in(path, folder, file, e) && outputs_write(&part, path, metadata, source, p, e);
		first += part.count;
	}
	fine = fine && write_index(folder, name, map, bytes, e);
	json_decref(map);
	return fine;
}

/* Whether a file of the folder is one of this part's, of whichever form, and not of `shards` shards. */
static bool is_left_over(const char *file, const char *name, int shards)
{
	char one[NAME_MAX];
	int shard, of, end = 0;
	size_t length = strlen(name);
	if (strncmp(file, name, length)) return false;
	snprintf(one, sizeof one, "%s.safetensors%s", name, shards > 1 ? "" : ".index.json");
	if (!strcmp(file, one)) return true;
	if (sscanf(file + length, "-%5d-of-%5d.safetensors%n", &shard, &of, &end) != 2 || !end ||
	    file[length + (size_t)end])
		return false;
	return of != shards || shards == 1;
}

static void remove_left_over(const char *folder, const char *name, int shards)
{
	char path[PATH_MAX];
	DIR *dir = opendir(folder);
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (is_left_over(d->d_name, name, shards) && path_in(path, folder, d->d_name, NULL)) unlink(path);
	if (dir) closedir(dir);
}

bool shards_write(const outputs *o, const char *folder, const char *name, uint64_t most, const checkpoint *source,
    outputs_progress *p, error *e)
{
	char file[NAME_MAX], path[PATH_MAX];
	int shards = count_shards(o, most);
	snprintf(file, sizeof file, "%s.safetensors", name);
	bool fine = shards > 1 ? write_shards(o, folder, name, most, shards, source, p, e)
	                       : path_in(path, folder, file, e) && outputs_write(o, path, metadata, source, p, e);
	if (fine) remove_left_over(folder, name, shards);
	return fine;
}
