/* checkpoint_folder.c - a diffusers folder as a checkpoint: its configurations as a family, its tensors by the names of
 * the single-file layout. */
#include "models/diffusers.h"
#include "checkpoint/checkpoint_table.h"
#include "checkpoint/folder.h"
#include <stdio.h>
#include <string.h>

static bool read_configuration(checkpoint *c, const char *path, error *e)
{
	json_t *unet = folder_json(path, "unet/config.json", true, e);
	json_t *vae = unet ? folder_json(path, "vae/config.json", true, e) : NULL;
	json_t *text = vae ? folder_json(path, "text_encoder/config.json", false, e) : NULL;
	c->scheduler = vae ? folder_json(path, "scheduler/scheduler_config.json", false, e) : NULL;
	json_t *special = vae ? folder_json(path, "tokenizer/special_tokens_map.json", false, e) : NULL;
	json_t *words = vae ? folder_json(path, "tokenizer/tokenizer_config.json", false, e) : NULL;
	error wrong = { 0 };
	bool fine = vae && !failed(e) &&
	            ((family_from_diffusers(unet, vae, text, c->scheduler, &c->family, &wrong) &&
	                 family_from_tokenizer(special, words, &c->family, &wrong)) ||
	                fail(e, wrong.status, "%s: %s", path, wrong.text));
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
	if (!read_configuration(c, path, e)) return false;
	for (role r = 0; r < FAMILY_ROLES; r++) {
		if (!family_has(&c->family, r)) continue;
		if (!(c->files[r] = folder_weights(path, diffusers_folder(r), e))) return false;
		if (!component_locate(&c->components[r], &c->family, r, c->files[r]))
			c->components[r] = (component){ c->files[r], { .names = DIFFUSERS_NAMES } }; /* all is missing */
	}
	return true;
}
