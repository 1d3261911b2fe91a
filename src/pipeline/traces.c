/* traces.c - see traces.h. The forms are A1111's (extensions-builtin/Lora/extra_networks_lora.py and network.py,
 * modules/textual_inversion, modules/sd_hijack_clip.py). */
#include "pipeline/traces.h"
#include "checkpoint/hash.h"
#include "text/prompt.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool lora_path(const model *m, const char *name, char *path, size_t size, error *e)
{
	static const char *const endings[] = { ".safetensors", ".pt", ".ckpt", ".bin", "" };
	const char *folder = m->lora_folder, *slash = strrchr(m->path, '/');
	int length = (int)(folder ? strlen(folder) : slash ? (size_t)(slash - m->path) : 1);
	if (!folder) folder = slash ? m->path : ".";
	if (strchr(name, '/') || name[0] == '.') return fail(e, BAD_USAGE, "<lora:%s>: a name is no path", name);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		if ((size_t)snprintf(path, size, "%.*s/%s%s", length, folder, name, endings[i]) >= size)
			return fail(e, BAD_USAGE, "<lora:%s>: the path is too long", name);
		if (!access(path, R_OK)) return true;
	}
	return fail(
	    e, BAD_FILE, "<lora:%s>: there is no %s.safetensors, .pt, .ckpt or .bin in %.*s", name, name, length, folder);
}

/* ── names ── */

/* The file's name without folder and ending, and without what would end a tag or an entry of a list. */
static void name_of(const char *path, char *name, size_t size)
{
	const char *slash = strrchr(path, '/');
	snprintf(name, size, "%s", slash && slash[1] ? slash + 1 : path);
	char *dot = strrchr(name, '.'), *to = name;
	if (dot && dot > name) *dot = 0;
	for (const char *c = name; *c; c++)
		if (!strchr(":,<>", *c)) *to++ = *c;
	*to = 0;
}

void trace_prompts(parameters *p, const model *m, const sumi_options *o)
{
	buffer text = { 0 };
	buffer_add_text(&text, o->prompt ? o->prompt : "");
	for (int i = 0; i < m->lasting.count; i++) {
		char name[256], tag[300];
		const char *strengths = m->lasting.files[i].strengths;
		if (!m->lasting.files[i].path) continue; /* the one that is being trained */
		name_of(m->lasting.files[i].path, name, sizeof name);
		snprintf(tag, sizeof tag, "%s<lora:%s:", text.size ? " " : "", name);
		buffer_add_text(&text, tag);
		buffer_add_text(&text, strengths);
		buffer_add_text(&text, ">");
	}
	p->text.failed |= text.failed;
	parameters_begin(p, text.data ? text.data : "", o->negative_prompt);
	free(text.data);
}

/* ── hashes ── */

typedef struct hash_list { /* "name: hash, name: hash" */
	buffer text;
	const model *m;
} hash_list;

static void add_hash(hash_list *l, const char *name, const char *hex)
{
	char entry[300];
	snprintf(entry, sizeof entry, "%s: %.12s", name, hex);
	if (l->text.data && strstr(l->text.data, entry)) return; /* named twice */
	if (l->text.size) buffer_add_text(&l->text, ", ");
	buffer_add_text(&l->text, entry);
}

static void end_list(hash_list *l, parameters *p, const char *name)
{
	p->text.failed |= l->text.failed;
	if (l->text.size) parameters_text(p, name, l->text.data);
	free(l->text.data);
}

static void add_lora_hash(hash_list *l, const char *path)
{
	char name[256], hex[65];
	name_of(path, name, sizeof name);
	if (file_data_hash(path, hex)) add_hash(l, name, hex);
}

static bool add_named_lora(void *context, const char *name, const char *strengths, error *e)
{
	hash_list *l = context;
	char path[PATH_MAX];
	(void)strengths;
	if (lora_path(l->m, name, path, sizeof path, e)) add_lora_hash(l, path);
	return true;
}

static bool is_used(const new_word *word, const sumi_options *o)
{
	const char *const prompts[] = { o->prompt, o->negative_prompt, o->prompt_to };
	for (int i = 0; i < 3; i++)
		if (prompts[i] && new_words_in(word, 1, prompts[i])) return true;
	return false;
}

void trace_hashes(parameters *p, const model *m, const sumi_options *o)
{
	hash_list loras = { .m = m }, words = { .m = m };
	error unimportant = { 0 };
	for (int i = 0; i < m->lasting.count; i++)
		if (m->lasting.files[i].path) add_lora_hash(&loras, m->lasting.files[i].path);
	free(prompt_without_loras(o->prompt ? o->prompt : "", add_named_lora, &loras, &unimportant));
	end_list(&loras, p, "Lora hashes");
	for (int i = 0; m->words.paths && i < m->words.count; i++) {
		char name[256], hex[65];
		name_of(m->words.paths[i], name, sizeof name);
		if (is_used(&m->words.words[i], o) && file_hash(m->words.paths[i], hex)) add_hash(&words, name, hex);
	}
	end_list(&words, p, "TI hashes");
}
