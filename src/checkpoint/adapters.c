/* adapters.c - opens LoRA files. */
#include "checkpoint/adapters.h"
#include "checkpoint/adapter_config.h"
#include "checkpoint/component.h"
#include "checkpoint/folder.h"
#include "models/lora_names.h"
#include "models/lora_strengths.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_all(adapter_file *a, error *e)
{
	for (size_t i = 0; i < weights_count(a->file); i++) {
		const weight *w = weights_at(a->file, i);
		dtype d;
		shape s;
		const void *data;
		if (!weight_as_tensor(w, &d, &s, &data) || d == NO_DTYPE)
			return fail(e, BAD_FILE, "%s: '%s' has %d axes of %s, which no tensor of a LoRA has", a->path, w->name,
			    w->ndims, w->type_name);
		if (!lora_add(a->set, w->name, d, s, data, e)) return false;
	}
	return true;
}

static void close_one(adapter_file *a)
{
	lora_free(a->set);
	weights_close(a->file);
	free(a->path);
	free(a->strengths);
}

/* PEFT's and diffusers' folders hold a file of one of these names. */
static weights *open_in_folder(const char *folder, error *e)
{
	static const char *const names[] = { "adapter_model.safetensors", "pytorch_lora_weights.safetensors",
		"adapter_model.bin", "pytorch_lora_weights.bin" };
	char path[PATH_MAX];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (snprintf(path, sizeof path, "%s/%s", folder, names[i]) < (int)sizeof path && !access(path, R_OK))
			return weights_open(path, e);
	fail(e, BAD_FILE, "%s: a folder without adapter_model.safetensors or pytorch_lora_weights.safetensors", folder);
	return NULL;
}

/* The folder whose adapter_config.json belongs to this file: false if there is none. */
static bool config_folder(const char *path, char *folder, size_t size)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	if (is_folder(path)) return snprintf(folder, size, "%s", path) < (int)size;
	if (strncmp(name, "adapter_model.", 14)) return false;
	return snprintf(folder, size, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".") < (int)size;
}

static bool weigh(adapter_file *a, const family *f, error *e)
{
	lora_strengths w;
	error own = { 0 };
	if (!lora_strengths_read(a->strengths, f, &w, &own))
		return fail(e, own.status, "LoRA %.200s:%.300s: %s", a->path, a->strengths, own.text);
	lora_weigh(a->set, lora_strengths_of, &w);
	return true;
}

static bool open_one(adapter_file *a, const family *f, const char *path, const char *strengths, error *e)
{
	char folder[PATH_MAX];
	*a = (adapter_file){ .path = strdup(path), .set = lora_new(), .strengths = strdup(strengths ? strengths : "1") };
	if (!a->path || !a->set || !a->strengths) return fail(e, NO_MEMORY, "out of memory");
	a->file = is_folder(path) ? open_in_folder(path, e) : weights_open(path, e);
	bool configured = config_folder(path, folder, sizeof folder);
	if (!a->file || !read_all(a, e) ||
	    !adapter_config_apply(a->set, a->file, configured ? folder : NULL, a->doubt, sizeof a->doubt, e))
		return false;
	lora_names *names = lora_names_new(f, e);
	bool fine = names && lora_resolve(a->set, lora_names_find, names, e) && weigh(a, f, e);
	lora_names_free(names);
	return fine;
}

/* Layers that read the context are as wide as it: where they do not fit, the file was made for a model of another kind,
 * of which the rest that would fit means nothing here (SD 1's on SDXL). The name of one; NULL: it was not. */
static const char *misfit(const lora *set)
{
	enum { ENOUGH = 2 };
	int count = 0;
	for (int i = 0; i < lora_unmatched(set); i++) {
		const char *name = lora_unmatched_name(set, i), *at = strstr(name, "attn2");
		if (!at || !at[5] || strncmp(at + 6, "to_", 3) || (at[9] != 'k' && at[9] != 'v') || !strstr(name, "do not fit"))
			continue;
		if (++count == ENOUGH) return name;
	}
	return NULL;
}

const adapter_file *adapters_add(adapter_list *l, const family *f, const char *path, const char *strengths, error *e)
{
	adapter_file *more = realloc(l->files, ((size_t)l->count + 1) * sizeof *more);
	if (!more) return fail(e, NO_MEMORY, "out of memory"), NULL;
	l->files = more;
	adapter_file *a = &more[l->count];
	bool fine = open_one(a, f, path, strengths, e);
	if (fine && !lora_matched(a->set)) {
		bool any = lora_unmatched(a->set) > 0;
		fine = fail(e, BAD_FILE, "%s: not a LoRA for %s: none of its modules can be used%s%s", path, f->name,
		    any ? ", such as " : "", any ? lora_unmatched_name(a->set, 0) : "");
	}
	const char *wrong = fine ? misfit(a->set) : NULL;
	if (wrong)
		fine =
		    fail(e, BAD_FILE, "%s: a LoRA for a model of another kind than %s, whose text states are not as wide: %s",
		        path, f->name, wrong);
	if (!fine) {
		close_one(a);
		return NULL;
	}
	l->count++;
	return a;
}

/* Where the weights begin that stand at the end of the text: numbers, lists of them, and what is named. */
static const char *strengths_within(const char *text)
{
	const char *found = NULL;
	for (const char *colon = text; (colon = strchr(colon, ':'));) {
		const char *item = ++colon;
		size_t length = strcspn(item, ":");
		bool number = length && (memchr(item, '=', length) || strspn(item, "+-.,0123456789") >= length);
		if (!number)
			found = NULL;
		else if (!found)
			found = item;
	}
	return found;
}

bool adapter_argument(const char *text, char *path, size_t size, const char **strengths, error *e)
{
	size_t length = 0;
	for (*strengths = NULL; !*strengths && text[length];) {
		length += strcspn(text + length, ":");
		if (length >= size) break;
		snprintf(path, size, "%.*s", (int)length, text);
		if (!access(path, F_OK)) *strengths = text[length] ? text + length + 1 : "1";
		length += text[length] == ':';
	}
	if (*strengths) return true;
	const char *found = strengths_within(text);
	*strengths = found ? found : "1";
	length = found ? (size_t)(found - text) - 1 : strlen(text);
	return snprintf(path, size, "%.*s", (int)length, text) < (int)size ||
	       fail(e, BAD_USAGE, "LoRA %.200s…: the path is too long", text);
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
	for (int i = 0; i < a->count; i++) (*all)[(*count)++] = (adapted){ a->files[i].set, 1 };
	for (int i = 0; i < b->count; i++) (*all)[(*count)++] = (adapted){ b->files[i].set, 1 };
	return true;
}
