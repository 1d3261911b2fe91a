/* folders.c - see folders.h. */
#include "server/folders.h"
#include "server/run_files.h"
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_PATH = 4096, MOST_HEADER = 1 << 22 };

static int is_weights(const struct dirent *d)
{
	static const char *const endings[] = { ".safetensors", ".gguf", ".pt", ".pth", ".ckpt", ".bin" };
	const char *dot = strrchr(d->d_name, '.');
	for (size_t i = 0; dot && dot > d->d_name && i < sizeof endings / sizeof *endings; i++)
		if (!strcmp(dot, endings[i])) return 1;
	return 0;
}

static void add(name_list *l, const char *folder, const char *file)
{
	char path[LONGEST_PATH];
	if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path) return;
	char *name = strdup(file), *copy = strdup(path);
	if (!name || !copy) {
		free(name);
		free(copy);
		return;
	}
	*strrchr(name, '.') = 0;
	l->name[l->count] = name;
	l->path[l->count++] = copy;
}

/* A training run's result is of the kind that its name ends in; its options, NAME.json, are in the same folder. */
static bool is_of_kind(const char *folder, const char *file, folder_kind which)
{
	static const char *const kinds[FOLDERS] = { [LORAS] = "lora", [WORDS] = "embedding", [CONTROLS] = "controlnet" };
	char name[256], options[LONGEST_PATH];
	snprintf(name, sizeof name, "%.*s", (int)(strrchr(file, '.') - file), file);
	const char *dash = strrchr(name, '-');
	if (!dash || !run_is_kind(dash + 1) || (kinds[which] && !strcmp(dash + 1, kinds[which]))) return true;
	return !run_path(options, folder, name, ".json", "") || access(options, F_OK);
}

name_list names_in(const char *folder, folder_kind which)
{
	name_list l = { 0 };
	struct dirent **files;
	int n = folder ? scandir(folder, &files, is_weights, alphasort) : -1;
	if (n < 0) return l;
	l.name = calloc((size_t)n + 1, sizeof *l.name);
	l.path = calloc((size_t)n + 1, sizeof *l.path);
	for (int i = 0; i < n; i++) {
		if (l.name && l.path && is_of_kind(folder, files[i]->d_name, which)) add(&l, folder, files[i]->d_name);
		free(files[i]);
	}
	free(files);
	return l;
}

void names_free(name_list *l)
{
	for (int i = 0; i < l->count; i++) {
		free(l->name[i]);
		free(l->path[i]);
	}
	free(l->name);
	free(l->path);
	*l = (name_list){ 0 };
}

bool name_find(const char *folder, folder_kind which, const char *name, char path[LONGEST_PATH])
{
	name_list l = names_in(folder, which);
	bool found = false;
	for (int i = 0; i < l.count && !found; i++) {
		found = !strcmp(l.name[i], name) || !strcmp(strrchr(l.path[i], '/') + 1, name);
		if (found) snprintf(path, LONGEST_PATH, "%s", l.path[i]);
	}
	names_free(&l);
	return found;
}

json_t *header_of(const char *path)
{
	const char *dot = strrchr(path, '.');
	unsigned char head[8];
	uint64_t size = 0;
	json_t *header = NULL;
	FILE *f = dot && !strcmp(dot, ".safetensors") ? fopen(path, "rb") : NULL;
	if (!f) return NULL;
	if (fread(head, 1, sizeof head, f) == sizeof head)
		for (int i = 7; i >= 0; i--) size = size << 8 | head[i];
	char *text = size > 0 && size <= MOST_HEADER ? malloc((size_t)size) : NULL;
	if (text && fread(text, 1, (size_t)size, f) == size) header = json_loadb(text, (size_t)size, 0, NULL);
	free(text);
	fclose(f);
	if (json_is_object(header)) return header;
	json_decref(header);
	return NULL;
}
