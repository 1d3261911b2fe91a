/* torch.c - the files of torch.save(): a pickle that names tensors and their storages, and the storages' bytes. Since
 * 1.6 they lie in a zip archive, NAME/data.pkl and NAME/data/KEY; before, one behind the other after the pickle. Data
 * stay where they are in the mapped file; a tensor whose strides are not those of its shape is copied into order. */
#include "io/pickle.h"
#include "io/table.h"
#include "io/zip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NESTED = 16, MOST_VISITED = 1 << 20, NAME_SIZE = 1024 };

typedef struct place { /* of a storage, in an old file */
	const char *key;   /* NOT terminated */
	size_t length;
	size_t element;
	int64_t count;
	const uint8_t *data; /* NULL: not found yet */
} place;

typedef struct source {
	weights *w;
	const mapping *m;
	const char *path;
	error *e;
	const zip *zip; /* NULL: an old file */
	const char *folder;
	size_t folder_length; /* "NAME/" in the archive */
	place *places;        /* by key */
	size_t place_count;
	size_t copied, visited;
} source;

/* ── storages ── */

static int by_key(const void *a, const void *b)
{
	const place *x = a, *y = b;
	size_t least = x->length < y->length ? x->length : y->length;
	int order = memcmp(x->key, y->key, least);
	return order ? order : (x->length > y->length) - (x->length < y->length);
}

static const uint8_t *data_in_zip(const source *s, const pickled_storage *t, size_t bytes)
{
	char name[NAME_SIZE];
	const value *key = t->key;
	size_t length = s->folder_length + 5 + key->length;
	const zip_entry *entry = NULL;
	if (length < sizeof name) {
		memcpy(name, s->folder, s->folder_length);
		memcpy(name + s->folder_length, "data/", 5);
		memcpy(name + s->folder_length + 5, key->text, key->length);
		entry = zip_find(s->zip, name, length);
	}
	if (!entry)
		fail(s->e, BAD_FILE, "%s: the archive has no storage data/%.*s", s->path,
		    (int)(key->length < 80 ? key->length : 80), key->text);
	else if (entry->bytes != bytes)
		fail(s->e, BAD_FILE, "%s: the zip entry '%.*s' has %llu bytes, the pickle says %zu", s->path,
		    (int)entry->name_length, entry->name, (unsigned long long)entry->bytes, bytes);
	else
		return zip_data(s->zip, entry, s->e);
	return NULL;
}

/* The bytes of a storage: as many as its count and type say. */
static const uint8_t *data_of(const source *s, const pickled_storage *t, size_t element)
{
	size_t bytes;
	if (__builtin_mul_overflow((size_t)t->count, element, &bytes)) {
		fail(s->e, BAD_FILE, "%s: a storage would have %lld elements", s->path, (long long)t->count);
		return NULL;
	}
	if (s->zip) return data_in_zip(s, t, bytes);
	place key = { .key = t->key->text, .length = t->key->length };
	const place *p = bsearch(&key, s->places, s->place_count, sizeof key, by_key);
	if (p && p->data) return p->data;
	fail(s->e, BAD_FILE, "%s: the data of the storage '%.*s' are not in the file", s->path,
	    (int)(key.length < 80 ? key.length : 80), key.key);
	return NULL;
}

/* ── tensors ── */

static bool is_contiguous(const weight *t, const int64_t *stride)
{
	int64_t expected = 1;
	for (int i = t->ndims - 1; i >= 0; i--) {
		if (t->shape[i] != 1 && stride[i] != expected) return false;
		expected *= t->shape[i];
	}
	return true;
}

/* Whether the first and the last element lie in the storage. */
static bool lies_within(const pickled_tensor *p, int64_t count)
{
	int64_t last = p->offset, step;
	for (int i = 0; i < p->ndims; i++) {
		if (!p->shape[i]) return p->offset <= count;
		if (__builtin_mul_overflow(p->shape[i] - 1, p->stride[i], &step) || __builtin_add_overflow(last, step, &last))
			return false;
	}
	return last < count;
}

/* Copies elements that do not lie in the order of the shape. All copies together are no larger than the file. */
static bool copy_strided(source *s, weight *t, const pickled_tensor *p, const uint8_t *data, size_t element)
{
	if (t->bytes > s->m->size - s->copied)
		return fail(s->e, BAD_FILE, "%s: the tensor \"%s\" has more elements than its storage", s->path, t->name);
	s->copied += t->bytes;
	uint8_t *block = malloc(t->bytes), *to = block;
	if (!block) return fail(s->e, NO_MEMORY, "%s: no memory for the tensor \"%s\"", s->path, t->name);
	int64_t index[WEIGHT_DIMS] = { 0 };
	for (int64_t at = p->offset; to < block + t->bytes; to += element) {
		memcpy(to, data + (size_t)at * element, element);
		for (int i = p->ndims - 1; i >= 0; i--) {
			at += p->stride[i];
			if (++index[i] < p->shape[i]) break;
			at -= p->shape[i] * p->stride[i];
			index[i] = 0;
		}
	}
	t->data = block;
	return table_own_block(s->w, block, s->e);
}

static bool add_tensor(source *s, const pickled_tensor *p, const char *name)
{
	const pickled_storage *storage = p->storage->storage;
	const element_type *type = element_type_named(storage->type_name, strlen(storage->type_name));
	size_t element = type->bytes;
	weight t = { .name = name,
		.type_name = type->name,
		.dtype = dtype_from_name(type->name, strlen(type->name)),
		.ndims = p->ndims };
	memcpy(t.shape, p->shape, sizeof t.shape);
	if (!tensor_bytes(t.ndims, t.shape, type, &t.bytes))
		return fail(s->e, BAD_FILE, "%s: the shape of the tensor \"%s\" is no number of bytes", s->path, name);
	const uint8_t *data = data_of(s, storage, element);
	if (!data) return false;
	if (!lies_within(p, storage->count))
		return fail(s->e, BAD_FILE, "%s: the tensor \"%s\" reaches beyond its storage of %lld elements", s->path, name,
		    (long long)storage->count);
	t.data = data + (size_t)p->offset * element;
	if (t.bytes && !is_contiguous(&t, p->stride) && !copy_strided(s, &t, p, data, element)) return false;
	return table_add(s->w, &t, s->path, s->e);
}

/* ── the tree of dictionaries ── */

static bool add_tree(source *s, const value *v, char *name, size_t length, int depth);

/* A child under "name.key"; name is as before afterwards. */
static bool add_child(source *s, const value *child, char *name, size_t length, int depth, const char *key, size_t n)
{
	if (memchr(key, 0, n)) return fail(s->e, BAD_FILE, "%s: a name below \"%s\" has a zero byte", s->path, name);
	if (length + n + 2 > NAME_SIZE)
		return fail(s->e, BAD_FILE, "%s: a name below \"%.80s\" is too long", s->path, name);
	size_t at = length;
	if (length) name[at++] = '.';
	memcpy(name + at, key, n);
	name[at + n] = 0;
	bool fine = add_tree(s, child, name, at + n, depth + 1);
	name[length] = 0;
	return fine;
}

static bool add_numbered(source *s, const value *child, char *name, size_t length, int depth, int64_t number)
{
	char key[24];
	int n = snprintf(key, sizeof key, "%lld", (long long)number);
	return add_child(s, child, name, length, depth, key, (size_t)n);
}

/* Adds every tensor under its path. What is no tensor (epochs, settings) is left. */
static bool add_tree(source *s, const value *v, char *name, size_t length, int depth)
{
	if (v->kind == TENSOR_VALUE) return add_tensor(s, v->tensor, name);
	bool dict = v->kind == DICT_VALUE;
	if (!dict && v->kind != LIST_VALUE && v->kind != TUPLE_VALUE) return true;
	if (depth > MOST_NESTED)
		return fail(s->e, BAD_FILE, "%s: refused: its dictionaries are nested more than %d deep", s->path, MOST_NESTED);
	for (size_t i = 0; i < v->count; i += 1 + dict) {
		const value *key = v->items[i], *child = v->items[i + dict];
		if (++s->visited > MOST_VISITED)
			return fail(
			    s->e, BAD_FILE, "%s: refused: its dictionaries unfold to more than %d entries", s->path, MOST_VISITED);
		bool fine = true;
		if (!dict)
			fine = add_numbered(s, child, name, length, depth, (int64_t)i);
		else if (key->kind == TEXT_VALUE)
			fine = add_child(s, child, name, length, depth, key->text, key->length);
		else if (key->kind == INTEGER_VALUE)
			fine = add_numbered(s, child, name, length, depth, key->integer);
		if (!fine) return false;
	}
	return true;
}

/* Trainers wrap the weights: {"state_dict": {…}, "epoch": 3, …} */
static bool add_all(source *s, const value *root)
{
	char name[NAME_SIZE] = "";
	const value *inner = value_of_key(root, "state_dict");
	size_t before = s->w->count;
	if (!add_tree(s, inner && inner->kind == DICT_VALUE ? inner : root, name, 0, 0)) return false;
	return s->w->count > before || fail(s->e, BAD_FILE, "%s: its pickle holds no tensors", s->path);
}

/* ── in a zip archive ── */

static bool ends_in(const zip_entry *y, const char *end)
{
	size_t n = strlen(end);
	return y->name_length >= n && !memcmp(y->name + y->name_length - n, end, n);
}

/* The one data.pkl, and the folder that it lies in. */
static const zip_entry *find_pickle(source *s)
{
	const zip_entry *found = NULL;
	bool two = false, program = false;
	for (size_t i = 0; i < s->zip->count; i++) {
		const zip_entry *y = s->zip->entries + i;
		program |= ends_in(y, "/constants.pkl");
		if (!ends_in(y, "/data.pkl") && !(y->name_length == 8 && ends_in(y, "data.pkl"))) continue;
		two |= found != NULL;
		found = y;
	}
	if (!found)
		fail(s->e, BAD_FILE, "%s: is a zip archive without data.pkl, so not of PyTorch: unpack it first", s->path);
	else if (two)
		fail(s->e, BAD_FILE, "%s: has more than one data.pkl", s->path);
	else if (program)
		fail(s->e, BAD_FILE, "%s: is a TorchScript program, not weights alone", s->path);
	else {
		s->folder = found->name;
		s->folder_length = found->name_length - 8;
		return found;
	}
	return NULL;
}

static bool check_byte_order(const source *s)
{
	char name[NAME_SIZE];
	int n = snprintf(name, sizeof name, "%.*sbyteorder", (int)s->folder_length, s->folder);
	const zip_entry *y = n > 0 && n < NAME_SIZE ? zip_find(s->zip, name, (size_t)n) : NULL;
	if (!y) return true; /* before 2.1: little-endian in practice */
	const uint8_t *data = zip_data(s->zip, y, s->e);
	if (!data) return false;
	return (y->bytes == 6 && !memcmp(data, "little", 6)) ||
	       fail(s->e, BAD_FILE, "%s: its byte order is not little-endian", s->path);
}

static bool read_archive(source *s)
{
	const zip_entry *y = find_pickle(s);
	const uint8_t *data = y ? zip_data(s->zip, y, s->e) : NULL;
	if (!data || !zip_check(s->zip, y, s->e) || !check_byte_order(s)) return false;
	pickle *p = pickle_read(data, (size_t)y->bytes, NULL, s->path, s->e);
	bool fine = p && add_all(s, pickle_root(p));
	pickle_free(p);
	return fine;
}

bool read_torch_zip(weights *w, const mapping *m, const char *path, error *e)
{
	zip z;
	source s = { .w = w, .m = m, .path = path, .e = e, .zip = &z };
	bool fine = zip_open(&z, m, path, e) && read_archive(&s);
	zip_close(&z);
	return fine;
}

/* ── before 1.6: pickles of a magic number, a version, the machine, the object, the keys; then the data ── */

static const uint8_t magic[] = { 0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' };

/* Also those that are not PyTorch's, so that the message can name what they ask for: a protocol, or a global. */
bool looks_like_pickle(const mapping *m)
{
	if (m->size < 2) return false;
	if (m->data[0] == 0x80) return m->data[1] >= 2 && m->data[1] <= 5;
	size_t at = 1, lines = 0;
	for (; at < m->size && at < 200 && lines < 2; at++) {
		uint8_t c = m->data[at];
		lines += c == '\n';
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && c != '_' && c != '.' && c != '\n') return false;
	}
	return m->data[0] == 'c' && lines == 2;
}

/* The storages that the pickle names, by key and once each. */
static bool list_places(source *s, const pickle *p)
{
	size_t n = pickle_storage_count(p);
	s->places = malloc((n + 1) * sizeof *s->places);
	if (!s->places) return fail(s->e, NO_MEMORY, "%s: no memory for its list of storages", s->path);
	for (size_t i = 0; i < n; i++) {
		const pickled_storage *t = pickle_storage_at(p, i);
		const element_type *type = element_type_named(t->type_name, strlen(t->type_name));
		s->places[i] = (place){ t->key->text, t->key->length, type->bytes, t->count, NULL };
	}
	qsort(s->places, n, sizeof *s->places, by_key);
	for (size_t i = 0; i < n; i++) {
		const place *last = s->place_count ? &s->places[s->place_count - 1] : NULL;
		bool again = last && !by_key(last, &s->places[i]);
		if (again && (last->element != s->places[i].element || last->count != s->places[i].count))
			return fail(s->e, BAD_FILE, "%s: a storage is described in two ways", s->path);
		if (!again) s->places[s->place_count++] = s->places[i];
	}
	return true;
}

/* For each key of the list: how many elements, and their bytes. */
static bool find_places(source *s, const value *keys, size_t at)
{
	if (keys->kind != LIST_VALUE) return fail(s->e, BAD_FILE, "%s: its list of storages is none", s->path);
	for (size_t i = 0; i < keys->count; i++) {
		const value *v = keys->items[i];
		place key = { .key = v->text, .length = v->length };
		place *p = v->kind == TEXT_VALUE ? bsearch(&key, s->places, s->place_count, sizeof key, by_key) : NULL;
		if (!p || p->data) return fail(s->e, BAD_FILE, "%s: its list of storages has one that is not named", s->path);
		uint64_t count = 0;
		size_t left = s->m->size - at;
		for (int b = 0; b < 8 && left >= 8; b++) count |= (uint64_t)s->m->data[at + (size_t)b] << 8 * b;
		if (left < 8 || (int64_t)count != p->count || count > (left - 8) / p->element)
			return fail(s->e, BAD_FILE, "%s: is cut short or damaged: a storage of %lld elements is not there", s->path,
			    (long long)p->count);
		p->data = s->m->data + at + 8;
		at += 8 + (size_t)count * p->element;
	}
	return true;
}

static bool is_little_endian(const value *machine)
{
	const value *order = value_of_key(machine, "little_endian");
	return order && order->kind == INTEGER_VALUE && order->integer == 1;
}

bool read_torch_legacy(weights *w, const mapping *m, const char *path, error *e)
{
	enum { VERSION, MACHINE, OBJECT, KEYS, PICKLES };
	pickle *p[PICKLES] = { NULL };
	source s = { .w = w, .m = m, .path = path, .e = e };
	bool torch = m->size > sizeof magic && !memcmp(m->data, magic, sizeof magic), fine = true;
	size_t at = torch ? sizeof magic : 0, used;
	for (int i = 0; fine && i < (torch ? PICKLES : 1); i++) {
		p[i] = pickle_read(m->data + at, m->size - at, &used, path, e);
		fine = p[i] != NULL;
		at += fine ? used : 0;
	}
	if (fine && !torch) fine = fail(e, BAD_FILE, "%s: is a pickle that PyTorch did not write", path);
	if (fine && (pickle_root(p[VERSION])->kind != INTEGER_VALUE || pickle_root(p[VERSION])->integer != 1001))
		fine = fail(e, BAD_FILE, "%s: is of a version of PyTorch's old format that is not known", path);
	if (fine && !is_little_endian(pickle_root(p[MACHINE])))
		fine = fail(e, BAD_FILE, "%s: its byte order is not little-endian", path);
	fine = fine && list_places(&s, p[OBJECT]) && find_places(&s, pickle_root(p[KEYS]), at) &&
	       add_all(&s, pickle_root(p[OBJECT]));
	for (int i = 0; i < PICKLES; i++) pickle_free(p[i]);
	free(s.places);
	return fine;
}
