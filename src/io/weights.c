/* weights.c - the table of tensors, opening a file by its content, and indexes of shards. */
#include "io/table.h"
#include "base/text.h"
#include "io/zip.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const element_type element_types[] = {
	{ "F64", 1, 8 },
	{ "F32", 1, 4 },
	{ "F16", 1, 2 },
	{ "BF16", 1, 2 },
	{ "I64", 1, 8 },
	{ "I32", 1, 4 },
	{ "I16", 1, 2 },
	{ "I8", 1, 1 },
	{ "U64", 1, 8 },
	{ "U32", 1, 4 },
	{ "U16", 1, 2 },
	{ "U8", 1, 1 },
	{ "BOOL", 1, 1 },
	{ "C64", 1, 8 },
	{ "F8_E4M3", 1, 1 },
	{ "F8_E5M2", 1, 1 },
	{ "F8_E8M0", 1, 1 },
	{ "F8_E4M3FNUZ", 1, 1 },
	{ "F8_E5M2FNUZ", 1, 1 },
	{ "F6_E2M3", 4, 3 },
	{ "F6_E3M2", 4, 3 },
	{ "F4", 2, 1 },
};

const element_type *element_type_named(const char *name, size_t length)
{
	static const element_type unknown = { "unknown", 1, 0 };
	for (size_t i = 0; i < sizeof element_types / sizeof *element_types; i++) {
		const element_type *t = element_types + i;
		if (strlen(t->name) == length && !memcmp(t->name, name, length)) return t;
	}
	return &unknown;
}

bool tensor_bytes(int ndims, const int64_t *shape, const element_type *type, size_t *bytes)
{
	size_t n = 1;
	bool empty = false;
	for (int i = 0; i < ndims; i++) {
		if (shape[i] < 0) return false;
		empty |= !shape[i];
		if (shape[i] && __builtin_mul_overflow(n, (size_t)shape[i], &n)) return false;
	}
	*bytes = 0;
	return empty || (n % type->elements == 0 && !__builtin_mul_overflow(n / type->elements, type->bytes, bytes));
}

/* ── the table ── */

static uint64_t hash(const char *name)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a */
	for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001b3;
	return h ^ h >> 32;
}

/* The bucket of the name, or the empty one where it would be. */
static uint32_t *bucket_of(const weights *w, const char *name)
{
	size_t mask = w->bucket_count - 1, at = hash(name) & mask;
	while (w->buckets[at] && strcmp(w->list[w->buckets[at] - 1].name, name)) at = (at + 1) & mask;
	return w->buckets + at;
}

static bool table_grow(weights *w)
{
	size_t capacity = w->capacity ? 2 * w->capacity : 256;
	if (capacity > UINT32_MAX / 2) return false;
	weight *list = realloc(w->list, capacity * sizeof *list);
	if (list) w->list = list;
	uint32_t *buckets = calloc(2 * capacity, sizeof *buckets);
	if (!list || !buckets) {
		free(buckets);
		return false;
	}
	free(w->buckets);
	w->buckets = buckets;
	w->bucket_count = 2 * capacity;
	w->capacity = capacity;
	for (size_t i = 0; i < w->count; i++) *bucket_of(w, w->list[i].name) = (uint32_t)i + 1;
	return true;
}

bool table_add(weights *w, const weight *t, const char *path, error *e)
{
	if (w->count == w->capacity && !table_grow(w))
		return fail(e, NO_MEMORY, "%s: no memory for its list of tensors", path);
	uint32_t *bucket = bucket_of(w, t->name);
	if (*bucket) return fail(e, BAD_FILE, "%s: the tensor \"%s\" is there twice", path, t->name);
	char *name = strdup(t->name);
	if (!name) return fail(e, NO_MEMORY, "%s: no memory for its list of tensors", path);
	w->list[w->count] = *t;
	w->list[w->count].name = name;
	*bucket = (uint32_t)++w->count;
	return true;
}

bool table_own_file(weights *w, mapping m, error *e)
{
	mapping *files = realloc(w->files, (w->file_count + 1) * sizeof *files);
	if (!files) {
		unmap_file(&m);
		return fail(e, NO_MEMORY, "%s: no memory", w->path);
	}
	w->files = files;
	w->files[w->file_count++] = m;
	return true;
}

bool table_own_block(weights *w, void *block, error *e)
{
	void **blocks = realloc(w->blocks, (w->block_count + 1) * sizeof *blocks);
	if (!blocks) {
		free(block);
		return fail(e, NO_MEMORY, "%s: no memory", w->path);
	}
	w->blocks = blocks;
	w->blocks[w->block_count++] = block;
	return true;
}

/* ── opening ── */

static bool begins_with(const mapping *m, const char *text, size_t n)
{
	return m->size >= n && !memcmp(m->data, text, n);
}
#define BEGINS(m, text) begins_with(m, text, sizeof(text) - 1)

/* For the message about a file that is no model: people download the page instead of the file, or the pointer to it. */
static const char *what_it_seems(const mapping *m)
{
	size_t zeros = 0;
	while (zeros < m->size && zeros < 4096 && !m->data[zeros]) zeros++;
	if (zeros == m->size || zeros == 4096) return "nothing but zeros, an unfinished download";
	if (BEGINS(m, "version https://git-lfs"))
		return "a Git LFS pointer: the model itself was not downloaded (git lfs pull)";
	if (BEGINS(m, "<!") || BEGINS(m, "<html") || BEGINS(m, "<HTML")) return "a web page";
	if (BEGINS(m, "\x89PNG") || BEGINS(m, "\xff\xd8\xff") || BEGINS(m, "RIFF")) return "a picture";
	if (BEGINS(m, "\x1f\x8b")) return "a gzip archive: unpack it first";
	if (BEGINS(m, "{") || BEGINS(m, "[")) return "JSON that is not an index of shards";
	return "something else";
}

static bool read_file(weights *w, const char *path, bool is_shard, error *e);

/* "dir/model.index.json" and "a.safetensors" make "dir/a.safetensors" */
static char *sibling_path(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	size_t folder = slash ? (size_t)(slash - path) + 1 : 0, n = strlen(name);
	char *joined = malloc(folder + n + 1);
	if (!joined) return NULL;
	memcpy(joined, path, folder);
	memcpy(joined + folder, name, n + 1);
	return joined;
}

static bool read_shard(weights *w, const char *index, const char *name, error *e)
{
	if (strchr(name, '/') || !*name || *name == '.')
		return fail(e, BAD_FILE, "%s: the shard \"%s\" is not in the folder of its index", index, name);
	char *path = sibling_path(index, name);
	bool ok = path ? read_file(w, path, true, e) : fail(e, NO_MEMORY, "%s: no memory", index);
	free(path);
	return ok;
}

static bool read_index(weights *w, json_t *map, const char *path, error *e)
{
	json_t *seen = json_object(), *value;
	const char *name;
	bool ok = seen || fail(e, NO_MEMORY, "%s: no memory", path);
	json_object_foreach(map, name, value)
	{
		const char *shard = json_string_value(value);
		if (ok && !shard) ok = fail(e, BAD_FILE, "%s: no file is named for the tensor \"%s\"", path, name);
		if (!ok || json_object_get(seen, shard)) continue;
		ok = !json_object_set_new(seen, shard, json_true()) || fail(e, NO_MEMORY, "%s: no memory", path);
		if (ok) ok = read_shard(w, path, shard, e);
	}
	json_object_foreach(map, name, value)
	{
		if (ok && !weights_find(w, name))
			ok = fail(e, BAD_FILE, "%s: the tensor \"%s\" is not in %s", path, name, json_string_value(value));
	}
	json_decref(seen);
	return ok;
}

static bool read_by_content(weights *w, const mapping *m, const char *path, bool is_shard, error *e)
{
	if (looks_like_safetensors(m)) return read_safetensors(w, m, path, e);
	if (looks_like_gguf(m)) return read_gguf(w, m, path, e);
	if (looks_like_zip(m)) return read_torch_zip(w, m, path, e);
	if (looks_like_pickle(m)) return read_torch_legacy(w, m, path, e);
	enum { INDEX_LIMIT = 100000000 };
	json_t *json = NULL;
	if (BEGINS(m, "{") && m->size <= INDEX_LIMIT && !is_shard)
		json = json_loadb((const char *)m->data, m->size, JSON_REJECT_DUPLICATES, NULL);
	json_t *map = json_object_get(json, "weight_map");
	bool ok = json_is_object(map) ? read_index(w, map, path, e)
	                              : fail(e, BAD_FILE, "%s: is not a model: it seems to be %s", path, what_it_seems(m));
	json_decref(json);
	return ok;
}

static bool read_file(weights *w, const char *path, bool is_shard, error *e)
{
	mapping m;
	if (!map_file(&m, path, e) || !table_own_file(w, m, e)) return false;
	return read_by_content(w, &m, path, is_shard, e);
}

/* Files of eight-bit weights may hold a factor for each, without which they mean nothing. */
static bool is_unscaled(const weights *w, error *e)
{
	static const char *const ends[] = { ".scale_weight", ".weight_scale", "scaled_fp8" };
	for (size_t i = 0; i < w->count; i++)
		for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
			if (ends_in(w->list[i].name, ends[k]))
				return fail(e, BAD_FILE,
				    "%s: its weights have factors ('%s'), which Sumi does not read: take a file without", w->path,
				    w->list[i].name);
	return true;
}

weights *weights_open(const char *path, error *e)
{
	weights *w = calloc(1, sizeof *w);
	if (w) w->path = strdup(path);
	if (!w || !w->path || !table_grow(w)) {
		fail(e, NO_MEMORY, "%s: no memory", path);
	} else if (read_file(w, path, false, e) && is_unscaled(w, e)) {
		return w;
	}
	weights_close(w);
	return NULL;
}

void weights_close(weights *w)
{
	if (!w) return;
	for (size_t i = 0; i < w->count; i++) free((char *)w->list[i].name);
	for (size_t i = 0; i < w->file_count; i++) unmap_file(w->files + i);
	for (size_t i = 0; i < w->block_count; i++) free(w->blocks[i]);
	json_decref(w->metadata);
	free(w->list);
	free(w->buckets);
	free(w->files);
	free(w->blocks);
	free(w->path);
	free(w);
}

/* ── asking ── */

size_t weights_count(const weights *w) { return w->count; }
const weight *weights_at(const weights *w, size_t i) { return i < w->count ? w->list + i : NULL; }
const char *weights_path(const weights *w) { return w->path; }

const weight *weights_find(const weights *w, const char *name)
{
	uint32_t index = *bucket_of(w, name);
	return index ? w->list + index - 1 : NULL;
}

const weight *weights_need(const weights *w, const char *name, error *e)
{
	const weight *t = weights_find(w, name);
	if (!t)
		fail(e, BAD_FILE, "%s: has no tensor \"%s\"", w->path, name);
	else if (t->dtype == NO_DTYPE)
		fail(e, BAD_FILE, "%s: the tensor \"%s\" is of type %s, which Sumi cannot compute with", w->path, name,
		    t->type_name);
	return t && t->dtype != NO_DTYPE ? t : NULL;
}

size_t weight_elements(const weight *t)
{
	size_t n = 1;
	for (int i = 0; i < t->ndims; i++) n *= (size_t)t->shape[i];
	return n;
}

bool weights_are_finite(const weights *w, error *e)
{
	for (size_t i = 0; i < w->count; i++) {
		const weight *t = &w->list[i];
		float value;
		size_t count = weight_elements(t), at;
		if (!dtype_is_float(t->dtype) || (at = first_not_finite(t->data, t->dtype, count, &value)) == count) continue;
		return fail(e, BAD_FILE, "%s: the weight '%s' holds %s at element %zu of %zu: not finite", w->path, t->name,
		    isnan(value) ? "NaN" : "infinity", at, count);
	}
	return true;
}

const char *weights_metadata(const weights *w, const char *key)
{
	return json_string_value(json_object_get(w->metadata, key));
}

const char *weights_metadata_at(const weights *w, size_t i, const char **key)
{
	void *at = json_object_iter(w->metadata);
	while (at && i--) at = json_object_iter_next(w->metadata, at);
	if (!at) return NULL;
	*key = json_object_iter_key(at);
	return json_string_value(json_object_iter_value(at));
}

void weights_advise_unused(const weights *w, const void *data, size_t bytes)
{
	uintptr_t from = (uintptr_t)data, to = from + bytes, page = (uintptr_t)sysconf(_SC_PAGESIZE);
	for (size_t i = 0; i < w->file_count; i++) {
		uintptr_t start = (uintptr_t)w->files[i].data, end = start + w->files[i].size;
		/* Whole pages, also those shared with a neighbour: they are the file's, and come back when it is read. Only in
		 * a mapped file: the same advice would wipe memory of our own. */
		if (from >= start && to <= end && bytes)
			madvise((void *)(from / page * page), to - from / page * page, MADV_DONTNEED);
	}
}
