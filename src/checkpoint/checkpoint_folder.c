/* checkpoint_folder.c - a diffusers folder as a checkpoint: its configurations as a family, its tensors by the names of
 * the single-file layout. */
#include "models/diffusers.h"
#include "checkpoint/checkpoint_table.h"
#include "checkpoint/folder.h"
#include <stdio.h>
#include <string.h>

/* Leaves out what model_index.json does not list: it may be left from another model, or be meant to be left out. */
static void obey_index(const char *path, diffusers_files *y, error *e)
{
	json_t *index = folder_json(path, "model_index.json", false, e), **json;
	const char *name;
	for (int i = 0; index && (name = diffusers_file_at(y, i, &json)); i++) {
		char part[32];
		snprintf(part, sizeof part, "%.*s", (int)strcspn(name, "/"), name);
		if (!json_is_null(json_array_get(json_object_get(index, part), 1)) && json_object_get(index, part)) continue;
		if (!strcmp(part, "scheduler") || !strcmp(part, "vae")) continue;
		json_decref(*json);
		*json = NULL;
	}
	json_decref(index);
}

static bool read_files(diffusers_files *y, const char *path, error *e)
{
	const char *name;
	json_t **json;
	for (int i = 0; !failed(e) && (name = diffusers_file_at(y, i, &json)); i++)
		*json = folder_json(path, name, false, e);
	if (!failed(e)) obey_index(path, y, e);
	if (failed(e)) return false;
	return y->unet || y->transformer ||
	       fail(e, BAD_FILE, "%s: no folder of a model: neither unet/config.json nor transformer/config.json", path);
}

static bool read_configuration(checkpoint *c, const char *path, error *e)
{
	diffusers_files files = { 0 };
	error own = { 0 }, wrong = { 0 };
	bool fine = read_files(&files, path, &own) || fail(e, own.status, "%s", own.text);
	fine = fine &&
	       (family_from_diffusers(&files, &c->family, &wrong) || fail(e, wrong.status, "%s: %s", path, wrong.text));
	c->scheduler = json_incref(files.scheduler);
	diffusers_files_free(&files);
	c->evidence = "the folder's configuration";
	return fine;
}

/* An autoencoder, and of Stable Diffusion 3 a text encoder, may lie elsewhere. */
static bool lies_elsewhere(const checkpoint *c, const char *path, role r)
{
	return (r == AUTOENCODER || family_apart(&c->family, r)) && !folder_has_weights(path, diffusers_folder(&c->family, r));
}

bool checkpoint_read_folder(checkpoint *c, const char *path, error *e)
{
	if (!read_configuration(c, path, e)) return false;
	for (role r = 0; r < FAMILY_ROLES; r++) {
		if (!family_has(&c->family, r) || lies_elsewhere(c, path, r)) continue;
		if (!(c->files[r] = folder_weights(path, diffusers_folder(&c->family, r), e))) return false;
		if (!component_locate(&c->components[r], &c->family, r, c->files[r]))
			c->components[r] = (component){ c->files[r], { .names = DIFFUSERS_NAMES } }; /* all is missing */
	}
	return true;
}
