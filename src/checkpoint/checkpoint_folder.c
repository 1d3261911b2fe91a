/* checkpoint_folder.c - a diffusers folder as a checkpoint: its configurations as a family, its tensors by the names of
 * the single-file layout. */
#include "models/diffusers.h"
#include "checkpoint/checkpoint_table.h"
#include "checkpoint/folder.h"
#include <stdio.h>
#include <string.h>

/* ── names ── */

typedef struct filling {
	checkpoint *c;
	role role;
	error *e;
} filling;

static void add_parameter(void *context, const parameter *p)
{
	filling *y = context;
	piece pieces[MAX_PIECES];
	char old[sizeof pieces[0].name];
	const weights *file = y->c->files[y->role];
	if (failed(y->e) || diffusers_pieces(&y->c->family, y->role, p->name, p->shape, pieces) != 1) return;
	const weight *w = weights_find(file, pieces[0].name);
	if (!w && diffusers_old_name(pieces[0].name, old, sizeof old)) w = weights_find(file, old);
	if (w) checkpoint_add(y->c, p->name, w, y->e);
}

/* What no network reads keeps its own name. */
static bool add_others(checkpoint *c, role r, error *e)
{
	char key[512];
	size_t added = c->count;
	for (size_t i = 0; i < weights_count(c->files[r]); i++) {
		const weight *w = weights_at(c->files[r], i);
		bool known = false;
		for (size_t k = 0; k < added && !known; k++) known = c->entries[k].weight == w;
		snprintf(key, sizeof key, "%s/%s", diffusers_folder(r), w->name);
		if (!known && !checkpoint_add(c, key, w, e)) return false;
	}
	return true;
}

static bool read_configuration(checkpoint *c, const char *path, error *e)
{
	json_t *unet = folder_json(path, "unet/config.json", true, e);
	json_t *vae = unet ? folder_json(path, "vae/config.json", true, e) : NULL;
	json_t *text = vae ? folder_json(path, "text_encoder/config.json", false, e) : NULL;
	c->scheduler = vae ? folder_json(path, "scheduler/scheduler_config.json", false, e) : NULL;
	json_t *special = vae ? folder_json(path, "tokenizer/special_tokens_map.json", false, e) : NULL;
	json_t *words = vae ? folder_json(path, "tokenizer/tokenizer_config.json", false, e) : NULL;
	bool fine = vae && !failed(e) && family_from_diffusers(unet, vae, text, c->scheduler, &c->family, e) &&
	            family_from_tokenizer(special, words, &c->family, e);
	json_decref(special);
	json_decref(words);
	json_decref(unet);
	json_decref(vae);
	json_decref(text);
	c->evidence = "the folder's configuration";
	return fine;
}

bool checkpoint_read_folder(checkpoint *c, const char *path, error *e)
{
	bool fine = read_configuration(c, path, e);
	for (role r = 0; fine && r < FAMILY_ROLES; r++) {
		filling y = { c, r, e };
		if (!family_has(&c->family, r)) continue;
		c->files[r] = folder_weights(path, diffusers_folder(r), e);
		fine =
		    c->files[r] && family_parameters(&c->family, r, add_parameter, &y, e) && !failed(e) && add_others(c, r, e);
	}
	return fine;
}
