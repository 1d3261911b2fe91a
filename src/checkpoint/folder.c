/* folder.c - finds the files in a diffusers folder. */
#include "checkpoint/folder.h"
#include "base/json.h"
#include "base/file.h"
#include "base/text.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

json_t *folder_json(const char *folder, const char *name, bool needed, error *e)
{
	char path[PATH_MAX];
	json_error_t wrong;
	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
		fail(e, BAD_FILE, "%.200s…: the path is too long", folder);
		return NULL;
	}
	if (!needed && access(path, R_OK)) return NULL;
	size_t size;
	char *text = whole_file(path, 1 << 20, &size, e);
	json_t *json = text ? json_from_python(text, size, &wrong) : NULL;
	if (text && !json) fail(e, BAD_FILE, "%s: not JSON: %s in line %d", path, wrong.text, wrong.line);
	free(text);
	return json;
}

/* How much this file is to be preferred; 0: it is no weights, or one shard of many. An index of a variant is
 * "model.safetensors.index.fp16.json". No copies without EMA where there is anything else. */
static int preference(const char *name)
{
	if (strncmp(name, "diffusion_pytorch_model", 23) && strncmp(name, "model", 5) && strncmp(name, "pytorch_model", 13))
		return 0;
	if (strstr(name, "-of-")) return 0;
	bool tensors = strstr(name, ".safetensors") != NULL, index = strstr(name, ".index.") && ends_in(name, ".json");
	if (!index && !ends_in(name, tensors ? ".safetensors" : ".bin")) return 0;
	const char *const plain[] = { ".bin", ".bin.index.json", ".safetensors", ".safetensors.index.json" };
	const char *dot = strchr(name, '.');
	int kind = 2 * tensors + index;
	return 1 + 4 * kind + 2 * !strcmp(dot, plain[kind]) + !strstr(name, "non_ema");
}

bool is_folder(const char *path)
{
	struct stat s;
	return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* The name of the best file; "" if there is none. False: there is no such folder. */
static bool find_best(const char *folder, char best[NAME_MAX + 1])
{
	DIR *dir = opendir(folder);
	*best = 0;
	if (!dir) return false;
	for (struct dirent *d; (d = readdir(dir));)
		if (preference(d->d_name) > preference(best)) snprintf(best, NAME_MAX + 1, "%s", d->d_name);
	closedir(dir);
	return true;
}

bool folder_has_weights(const char *folder, const char *inner)
{
	char whole[PATH_MAX], best[NAME_MAX + 1];
	return snprintf(whole, sizeof whole, "%s/%s", folder, inner) < (int)sizeof whole && find_best(whole, best) && *best;
}

weights *folder_weights(const char *folder, const char *inner, error *e)
{
	char whole[PATH_MAX], path[PATH_MAX + NAME_MAX + 2], best[NAME_MAX + 1];
	snprintf(whole, sizeof whole, "%s%s%s", folder, *inner ? "/" : "", inner);
	if (!find_best(whole, best)) {
		fail(e, BAD_FILE, "%s: no folder of that name, which a diffusers model has", whole);
		return NULL;
	}
	if (!*best) {
		fail(e, BAD_FILE, "%s: no weights, such as diffusion_pytorch_model.safetensors", whole);
		return NULL;
	}
	snprintf(path, sizeof path, "%s/%s", whole, best);
	return weights_open(path, e);
}

weights *weights_open_folder(const char *path, const char *inner, error *e)
{
	char deeper[PATH_MAX];
	if (!is_folder(path)) return weights_open(path, e);
	snprintf(deeper, sizeof deeper, "%s/%s", path, inner);
	return folder_weights(path, is_folder(deeper) ? inner : "", e);
}
