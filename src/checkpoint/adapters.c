/* adapters.c - opens LoRA files. */
#include "checkpoint/adapters.h"
#include "models/lora_names.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool read_all(adapter_file *a, error *e)
{
	for (size_t i = 0; i < weights_count(a->file); i++) {
		const weight *w = weights_at(a->file, i);
		shape s = { .n = w->ndims };
		if (w->ndims > MAX_DIMS || w->dtype == NO_DTYPE)
			return fail(e, BAD_FILE, "%s: '%s' is no tensor of a LoRA", a->path, w->name);
		for (int k = 0; k < w->ndims; k++) {
			if (w->shape[k] > INT_MAX) return fail(e, BAD_FILE, "%s: '%s' is too large", a->path, w->name);
			s.d[k] = (int)w->shape[k];
		}
		if (!lora_add(a->set, w->name, w->dtype, s, w->data, e)) return false;
	}
	return true;
}

static void close_one(adapter_file *a)
{
	lora_free(a->set);
	weights_close(a->file);
	free(a->path);
}

static bool open_one(adapter_file *a, const family *f, const char *path, float strength, error *e)
{
	*a = (adapter_file){ .path = strdup(path), .set = lora_new(), .strength = strength };
	if (!a->path || !a->set) return fail(e, NO_MEMORY, "out of memory");
	a->file = weights_open(path, e);
	if (!a->file || !read_all(a, e)) return false;
	lora_names *names = lora_names_new(f, e);
	bool fine = names && lora_resolve(a->set, lora_names_find, names, e);
	lora_names_free(names);
	return fine;
}

bool adapters_add(adapter_list *l, const family *f, const char *path, float strength, int *matched, int *unmatched,
    const char **first, error *e)
{
	adapter_file *more = realloc(l->files, ((size_t)l->count + 1) * sizeof *more);
	if (!more) return fail(e, NO_MEMORY, "out of memory");
	l->files = more;
	adapter_file *a = &more[l->count];
	if (!open_one(a, f, path, strength, e)) {
		close_one(a);
		return false;
	}
	*matched = lora_matched(a->set);
	*unmatched = lora_unmatched(a->set);
	*first = *unmatched ? lora_unmatched_name(a->set, 0) : NULL;
	if (!*matched) {
		fail(e, BAD_FILE, "%s: not a LoRA for %s: none of its modules matches a weight%s%s", path, f->name,
		    *first ? ", such as " : "", *first ? *first : "");
		close_one(a);
		return false;
	}
	l->count++;
	return true;
}

void adapters_close(adapter_list *l)
{
	for (int i = 0; i < l->count; i++) close_one(&l->files[i]);
	free(l->files);
	*l = (adapter_list){ 0 };
}

bool adapters_join(const adapter_list *a, const adapter_list *b, adapted **all, int *count, error *e)
{
	*count = 0;
	*all = malloc(((size_t)a->count + (size_t)b->count + 1) * sizeof **all);
	if (!*all) return fail(e, NO_MEMORY, "out of memory");
	for (int i = 0; i < a->count; i++) (*all)[(*count)++] = (adapted){ a->files[i].set, a->files[i].strength };
	for (int i = 0; i < b->count; i++) (*all)[(*count)++] = (adapted){ b->files[i].set, b->files[i].strength };
	return true;
}
