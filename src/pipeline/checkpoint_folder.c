/* checkpoint_folder.c - a diffusers folder: unet/, vae/, text_encoder/, scheduler/, each with its configuration. */
#include "base/file.h"
#include "models/diffusers.h"
#include "pipeline/checkpoint_table.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *read_json(const char *folder, const char *name, bool needed, error *e)
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
	json_t *json = text ? json_loadb(text, size, 0, &wrong) : NULL;
	if (text && !json) fail(e, BAD_FILE, "%s: not JSON: %s in line %d", path, wrong.text, wrong.line);
	free(text);
	return json;
}

/* ── which file ── */

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);
	return n >= m && !strcmp(name + n - m, end);
}

/* Of the files that may lie side by side: an index of shards before one file, safetensors before pickles, the plain
 * name before a variant (".fp16."), no EMA copies where there is anything else. 0: no weights at all. */
static int preference(const char *name)
{
	static const char *const ends[] = { ".bin", ".bin.index.json", ".safetensors", ".safetensors.index.json" };
	int kind = 0;
	bool whole = false;
	if (strncmp(name, "diffusion_pytorch_model", 23) && strncmp(name, "model", 5) && strncmp(name, "pytorch_model", 13))
		return 0;
	if (strstr(name, "-of-")) return 0;
	for (int i = 0; i < 4; i++)
		if (ends_in(name, ends[i])) kind = i + 1;
	for (int i = 0; i < 4; i++) {
		const char *dot = strchr(name, '.');
		if (dot && !strcmp(dot, ends[i])) whole = true;
	}
	if (!kind) return 0;
	return 4 * kind + 2 * whole + !strstr(name, "non_ema");
}

static weights *open_part(const char *folder, part p, error *e)
{
	char inner[PATH_MAX], path[PATH_MAX + NAME_MAX + 2], best[NAME_MAX + 1] = "";
	snprintf(inner, sizeof inner, "%s/%s", folder, diffusers_folder(p));
	DIR *dir = opendir(inner);
	if (!dir) {
		fail(e, BAD_FILE, "%s: no folder of that name, which a diffusers model has", inner);
		return NULL;
	}
	for (struct dirent *d; (d = readdir(dir));)
		if (preference(d->d_name) > preference(best)) snprintf(best, sizeof best, "%s", d->d_name);
	closedir(dir);
	if (!*best) {
		fail(e, BAD_FILE, "%s: no weights, such as diffusion_pytorch_model.safetensors", inner);
		return NULL;
	}
	snprintf(path, sizeof path, "%s/%s", inner, best);
	return weights_open(path, e);
}

/* ── names ── */

typedef struct filling {
	checkpoint *c;
	part part;
	error *e;
} filling;

static void add_parameter(void *context, const parameter *p)
{
	filling *y = context;
	piece pieces[MAX_PIECES];
	char old[sizeof pieces[0].name];
	const weights *file = y->c->files[y->part];
	if (failed(y->e) || diffusers_pieces(&y->c->family, y->part, p->name, p->shape, pieces) != 1) return;
	const weight *w = weights_find(file, pieces[0].name);
	if (!w && diffusers_old_name(pieces[0].name, old, sizeof old)) w = weights_find(file, old);
	if (w) checkpoint_add(y->c, p->name, w, y->e);
}

/* What no network reads keeps its own name. */
static bool add_others(checkpoint *c, part p, error *e)
{
	char key[512];
	size_t added = c->count;
	for (size_t i = 0; i < weights_count(c->files[p]); i++) {
		const weight *w = weights_at(c->files[p], i);
		bool known = false;
		for (size_t k = 0; k < added && !known; k++) known = c->entries[k].weight == w;
		snprintf(key, sizeof key, "%s/%s", diffusers_folder(p), w->name);
		if (!known && !checkpoint_add(c, key, w, e)) return false;
	}
	return true;
}

static bool read_configuration(checkpoint *c, const char *path, error *e)
{
	json_t *unet = read_json(path, "unet/config.json", true, e);
	json_t *vae = unet ? read_json(path, "vae/config.json", true, e) : NULL;
	json_t *text = vae ? read_json(path, "text_encoder/config.json", false, e) : NULL;
	json_t *scheduler = vae ? read_json(path, "scheduler/scheduler_config.json", false, e) : NULL;
	bool fine = vae && !failed(e) && family_from_diffusers(unet, vae, text, scheduler, &c->family, e);
	json_decref(unet);
	json_decref(vae);
	json_decref(text);
	json_decref(scheduler);
	c->evidence = "the folder's configuration";
	return fine;
}

bool checkpoint_read_folder(checkpoint *c, const char *path, error *e)
{
	bool fine = read_configuration(c, path, e);
	for (int p = 0; fine && p < PARTS; p++) {
		filling y = { c, (part)p, e };
		if (p == TEXT_PART && c->family.text.kind == NO_TEXT) continue;
		c->files[p] = open_part(path, (part)p, e);
		fine = c->files[p] && family_parameters(&c->family, (part)p, add_parameter, &y, e) && !failed(e) &&
		       add_others(c, (part)p, e);
	}
	return fine;
}
