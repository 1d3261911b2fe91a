/* checkpoint.c - one file, or the files of a folder, as one table of single-file keys. */
#include "checkpoint/checkpoint_table.h"
#include "base/file.h"
#include "checkpoint/folder.h"
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ── tables ── */

/* Where a file has a tensor under two names, the one that a network reads goes before the other. */
static int by_key(const void *a, const void *b)
{
	const entry *x = *(entry *const *)a, *y = *(entry *const *)b;
	int order = strcmp(x->key, y->key);
	return order ? order : y->known - x->known;
}

static bool add_entry(checkpoint *c, const char *key, const weight *w, bool is_known, error *e)
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
	c->entries[c->count++] = (entry){ own, w, is_known };
	return true;
}

static bool sort_entries(checkpoint *c, error *e)
{
	c->sorted = malloc((c->count + 1) * sizeof *c->sorted);
	if (!c->sorted) return fail(e, NO_MEMORY, "out of memory for %zu tensors", c->count);
	for (size_t i = 0; i < c->count; i++) c->sorted[i] = &c->entries[i];
	qsort(c->sorted, c->count, sizeof *c->sorted, by_key);
	return true;
}

typedef struct known { /* a weight that a network reads, and the key by which it does */
	const weight *weight;
	char *key; /* owned */
} known;

typedef struct known_list {
	const checkpoint *c;
	role role;
	known *list;
	size_t count, room;
	error *e;
} known_list;

static int by_weight(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const known *)a)->weight, y = (uintptr_t)((const known *)b)->weight;
	return (x > y) - (x < y);
}

static void add_one_known(known_list *l, const weight *w, const char *name)
{
	if (failed(l->e)) return;
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 1024;
		known *more = realloc(l->list, room * sizeof *more);
		if (more) l->list = more, l->room = room;
	}
	char *key = l->count < l->room ? strdup(name) : NULL;
	if (key)
		l->list[l->count++] = (known){ w, key };
	else
		fail(l->e, NO_MEMORY, "out of memory for %zu tensors", l->count);
}

static void add_known(void *context, const parameter *p)
{
	known_list *l = context;
	key_piece pieces[MAX_PIECES];
	const weight *w[MAX_PIECES];
	char key[512];
	int count = component_pieces(&l->c->components[l->role], &l->c->family, l->role, p->name, p->shape, pieces, w);
	bool parted = in_pieces(pieces, count);
	for (int i = 0; i < count; i++) {
		if (parted) snprintf(key, sizeof key, "%.500s#%d", p->name, i);
		add_one_known(l, w[i], parted ? key : p->name);
	}
}

/* What no network reads keeps its own name, but for the prefix where the rest is named as in a single file. */
static void own_name(const checkpoint *c, role file, const char *name, char *key, size_t size)
{
	size_t longest = 0;
	snprintf(key, size, "%s%s%s", c->folder ? diffusers_folder(&c->family, file) : "", c->folder ? "/" : "", name);
	for (role r = 0; r < FAMILY_ROLES; r++) {
		const component *y = &c->components[r];
		size_t n = strlen(y->dialect.prefix);
		if (y->from != c->files[file] || y->dialect.names != ORIGINAL_NAMES || n < longest) continue;
		if (strncmp(name, y->dialect.prefix, n) || !strchr(name, '.')) continue;
		snprintf(key, size, "%s%s%s", c->family.prefix[r], *c->family.prefix[r] ? "." : "", name + n);
		longest = n;
	}
}

/* All tensors of the files, in their order. */
static bool add_tensors(checkpoint *c, const known_list *l, error *e)
{
	char key[512];
	for (role r = 0; r < FAMILY_ROLES; r++)
		for (size_t i = 0; c->files[r] && i < weights_count(c->files[r]); i++) {
			const known wanted = { .weight = weights_at(c->files[r], i) };
			const known *found = l->count ? bsearch(&wanted, l->list, l->count, sizeof *l->list, by_weight) : NULL;
			if (!found) own_name(c, r, wanted.weight->name, key, sizeof key);
			if (!add_entry(c, found ? found->key : key, wanted.weight, found != NULL, e)) return false;
		}
	return true;
}

static bool list_tensors(checkpoint *c, error *e)
{
	error own = { 0 };
	known_list l = { .c = c, .e = &own };
	for (l.role = 0; l.role < FAMILY_ROLES && !failed(&own); l.role++)
		if (c->components[l.role].from) family_parameters(&c->family, l.role, add_known, &l, &own);
	if (l.count) qsort(l.list, l.count, sizeof *l.list, by_weight);
	bool fine = !failed(&own) || fail(e, own.status, "%s", own.text);
	fine = fine && add_tensors(c, &l, e) && sort_entries(c, e);
	for (size_t i = 0; i < l.count; i++) free(l.list[i].key);
	free(l.list);
	return fine;
}

size_t checkpoint_count(const checkpoint *c) { return c->count; }

const weight *checkpoint_at(const checkpoint *c, size_t i, const char **key)
{
	if (key) *key = c->entries[i].key;
	return c->entries[i].weight;
}

size_t checkpoint_place(const checkpoint *c, const char *key)
{
	size_t low = 0, high = c->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(key, c->sorted[middle]->key) <= 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const weight *checkpoint_find(const checkpoint *c, const char *key)
{
	size_t place = checkpoint_place(c, key);
	return place < c->count && !strcmp(c->sorted[place]->key, key) ? c->sorted[place]->weight : NULL;
}

bool checkpoint_is_folder(const checkpoint *c) { return c->folder; }

const json_t *checkpoint_scheduler(const checkpoint *c) { return c->scheduler; }

const component *checkpoint_component(const checkpoint *c, role r) { return &c->components[r]; }

bool checkpoint_lookup(void *context, const char *key, dtype *d, shape *s, const void **data)
{
	return weight_as_tensor(checkpoint_find(context, key), d, s, data);
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

/* "folder/x.safetensors" → "folder/x.json", or "folder/config.json". */
static bool json_of_checkpoint(const char *path, char *json, size_t size)
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
	char config_path[PATH_MAX];
	const char *own = checkpoint_metadata(c, "sumi.config");
	error unknown = { 0 }, wrong = { 0 };
	if (own) {
		c->evidence = "its metadata";
		return family_from_json(own, &c->family, &wrong) || fail(e, wrong.status, "%s: %s", path, wrong.text);
	}
	const family *f = family_recognise(weights_lookup, c->files[0], &unknown);
	if (f) {
		c->evidence = "its tensors";
		c->family = *f;
		return true;
	}
	if (!json_of_checkpoint(path, config_path, sizeof config_path))
		return fail(e, unknown.status, "%s: %s", path, unknown.text);
	char *text = whole_file(config_path, 1 << 20, NULL, e);
	c->evidence = "the JSON file of its name";
	bool fine = text && family_from_json(text, &c->family, &wrong);
	free(text);
	return fine || (text ? fail(e, wrong.status, "%s: %s", config_path, wrong.text) : false);
}

/* Tensors by which tools mark what shapes cannot show: that a model predicts velocity, and that its betas end in noise
 * alone. */
static void obey_markers(checkpoint *c)
{
	if (weights_find(c->files[0], "v_pred")) c->family.prediction = PREDICT_VELOCITY;
	if (weights_find(c->files[0], "ztsnr")) c->family.betas.zero_terminal_snr = true;
}

static bool read_single(checkpoint *c, const char *path, error *e)
{
	c->files[0] = weights_open(path, e);
	if (!c->files[0] || !tell_family(c, path, e)) return false;
	obey_markers(c);
	bool any = false;
	for (role r = 0; r < FAMILY_ROLES; r++) any |= component_locate(&c->components[r], &c->family, r, c->files[0]);
	return any || fail(e, BAD_FILE, "%s: no network of its family, %s, is in it", path, c->family.name);
}

checkpoint *checkpoint_open(const char *path, error *e)
{
	checkpoint *c = calloc(1, sizeof *c);
	if (!c) {
		fail(e, NO_MEMORY, "out of memory");
		return NULL;
	}
	c->folder = path && is_folder(path);
	if ((c->folder ? checkpoint_read_folder : read_single)(c, path, e) && list_tensors(c, e)) return c;
	checkpoint_close(c);
	return NULL;
}

void checkpoint_close(checkpoint *c)
{
	if (!c) return;
	for (int i = 0; i < FAMILY_ROLES; i++) weights_close(c->files[i]);
	for (size_t i = 0; i < c->count; i++) free(c->entries[i].key);
	for (merged_weight *m = c->merged, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	json_decref(c->scheduler);
	free(c->entries);
	free(c->sorted);
	free(c);
}

const family *checkpoint_family(const checkpoint *c) { return &c->family; }
const char *checkpoint_evidence(const checkpoint *c) { return c->evidence; }
