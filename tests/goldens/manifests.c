/* manifests.c - the names and shapes of full-size checkpoints against the dry build of each family. */
#include "arrays.h"
#include "goldens.h"
#include "models/config.h"
#include "models/diffusers.h"
#include "models/lora_names.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct comparison {
	json_t *left; /* what the manifest has and has not been visited yet */
	int unexpected, misshaped;
	const family *f;
	role role;
	bool foreign; /* the manifest is of a diffusers folder */
	json_t *map;  /* foreign key → original key, to be filled; NULL: none */
} comparison;

static void visited(comparison *c, const char *name, shape s, const char *type)
{
	const json_t *entry = json_object_get(c->left, name), *axes = json_array_get(entry, 0);
	if (!entry) {
		if (!c->unexpected++) printf("      not in the manifest: %s\n", name);
		return;
	}
	bool same = json_array_size(axes) == (size_t)s.n && !strcmp(json_string_value(json_array_get(entry, 1)), type);
	for (int i = 0; same && i < s.n; i++) same = json_integer_value(json_array_get(axes, (size_t)i)) == s.d[i];
	if (!same && !c->misshaped++) printf("      another shape or type: %s\n", name);
	json_object_del(c->left, name);
}

static void told_parameter(void *context, const parameter *p)
{
	comparison *c = context;
	if (!c->foreign) {
		visited(c, p->name, p->shape, dtype_name(p->dtype));
		return;
	}
	key_piece pieces[MAX_PIECES];
	int count = diffusers_pieces(c->f, c->role, p->name, p->shape, pieces);
	for (int i = 0; i < count; i++) {
		if (c->map) {
			char key[1024];
			snprintf(key, sizeof key, "%s.%s", diffusers_folder(c->f, c->role), pieces[i].name);
			json_object_set_new(c->map, key, json_string(p->name));
		} else
			visited(c, pieces[i].name, pieces[i].shape, dtype_name(p->dtype));
	}
	if (!count) visited(c, p->name, p->shape, "nowhere in the folder");
}

static void compare(const char *dir, const char *file, const family *f, role first, role last, bool foreign, report *r)
{
	if (!exists(path_of(dir, "manifests/%s.json", file))) return;
	error e = { 0 };
	json_t *manifest = json_of(path_of(dir, "manifests/%s.json", file));
	comparison c = { .left = json_object_get(manifest, "tensors"), .f = f, .foreign = foreign };
	for (role i = first; i <= last; i++) {
		c.role = i;
		if (!family_parameters(f, i, told_parameter, &c, &e)) printf("      %s: %s\n", file, e.text);
	}
	const char *missing = json_object_iter_key(json_object_iter(c.left));
	if (missing) printf("      not visited: %s\n", missing);
	char name[128];
	snprintf(name, sizeof name, "manifests/%s: keys that differ", file);
	report_error(r, name, (double)(json_object_size(c.left)) + c.unexpected + c.misshaped + failed(&e), 0);
	json_decref(manifest);
}

/* sd1/diffusers/keymap.json */
static void compare_map(const char *dir, report *r)
{
	json_t *expected = json_of(path_of(dir, "sd1/diffusers/keymap.json"));
	json_t *config = json_of(path_of(dir, "sd1/config.json"));
	char *json = config ? json_dumps(config, 0) : NULL;
	family f;
	error e = { 0 };
	if (expected && json && family_from_json(json, &f, &e)) {
		comparison c = { .f = &f, .foreign = true, .map = json_object() };
		for (role i = 0; i < FAMILY_ROLES; i++) {
			c.role = i;
			family_parameters(&f, i, told_parameter, &c, &e);
		}
		int wrong = 0;
		const char *key;
		json_t *value;
		json_object_foreach(expected, key, value)
		{
			if (!json_equal(value, json_object_get(c.map, key)) && !wrong++)
				printf("      %s is %s\n", key, json_string_value(json_object_get(c.map, key)));
		}
		report_error(r, "sd1/diffusers/keymap: keys that differ", wrong, 0);
		json_decref(c.map);
	}
	free(json);
	json_decref(config);
	json_decref(expected);
}

/* The family that the folder's own configurations describe. */
static void compare_folder(const char *dir, report *r)
{
	json_t *unet = json_of(path_of(dir, "sd1/diffusers/unet/config.json"));
	json_t *vae = json_of(path_of(dir, "sd1/diffusers/vae/config.json"));
	json_t *text = json_of(path_of(dir, "sd1/diffusers/text_encoder/config.json"));
	json_t *scheduler = json_of(path_of(dir, "sd1/diffusers/scheduler/scheduler_config.json"));
	family f;
	error e = { 0 };
	if (unet && vae && exists(path_of(dir, "sd1/diffusers/unet/diffusion_pytorch_model.safetensors"))) {
		diffusers_files folder = { .unet = unet, .vae = vae, .text = { text }, .scheduler = scheduler };
		bool fine = family_from_diffusers(&folder, &f, &e);
		if (!fine) printf("      sd1/diffusers: %s\n", e.text);
		int wrong = !fine;
		static const char *const files[] = { "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model",
			"text_encoder/model" };
		for (role i = 0; fine && i < FAMILY_ROLES && family_has(&f, i); i++) {
			arrays a = arrays_open(path_of(dir, "sd1/diffusers/%s.safetensors", files[i]));
			json_object_del(a.header, "__metadata__");
			const char *key;
			json_t *entry;
			json_object_foreach(a.header, key, entry)
			{
				json_object_set_new(a.header, key, json_pack("[O,s]", json_object_get(entry, "shape"), "F32"));
			}
			json_object_set_new(a.header, "text_model.embeddings.position_ids", json_pack("[[i,i],s]", 1, 77, "I64"));
			comparison c = { .left = a.header, .f = &f, .role = i, .foreign = true };
			family_parameters(&f, i, told_parameter, &c, &e);
			json_object_del(a.header, "text_model.embeddings.position_ids");
			wrong += (int)json_object_size(a.header) + c.unexpected + c.misshaped;
			arrays_close(&a);
		}
		report_error(r, "sd1/diffusers: keys that its configurations do not explain", wrong, 0);
	}
	json_decref(unet), json_decref(vae), json_decref(text), json_decref(scheduler);
}

/* cloneofsimo's numbered layers: names and the shapes of their factors. */
static void compare_numbers(const char *dir, report *r)
{
	json_t *all = json_of(path_of(dir, "manifests/cloneofsimo_lora_format.json")), *file;
	error e = { 0 };
	lora_names *names = lora_names_new(family_by_name("sd1", &e), &e);
	const char *key, *name;
	json_object_foreach(json_object_get(all, "files"), name, file)
	{
		json_t *tensors = json_object_get(file, "tensors"), *entry;
		lora *l = lora_new();
		int factors = 0;
		json_object_foreach(tensors, key, entry)
		{
			const json_t *axes = json_array_get(entry, 0);
			shape s = { .n = (int)json_array_size(axes) };
			for (int i = 0; i < s.n; i++) s.d[i] = (int)json_integer_value(json_array_get(axes, (size_t)i));
			if (*key != '<') factors += lora_add(l, key, F32, s, "", &e);
		}
		lora_resolve(l, lora_names_find, names, &e);
		char topic[200];
		snprintf(topic, sizeof topic, "manifests/cloneofsimo %s: modules without a weight", name);
		report_error(r, topic, factors / 2 - lora_matched(l) + lora_unmatched(l) + failed(&e), 0);
		lora_free(l);
	}
	lora_names_free(names);
	json_decref(all);
}

/* Files hold the text encoders apart, each without a prefix. */
static void compare_sd3(const char *dir, report *r)
{
	error e = { 0 };
	const family *medium = family_by_name("sd3-medium", &e);
	compare(dir, "sd3_medium_singlefile", medium, DENOISER, AUTOENCODER, false, r);
	compare(dir, "sd35_medium_singlefile", family_by_name("sd3.5-medium", &e), DENOISER, AUTOENCODER, false, r);
	compare(dir, "sd35_large_singlefile", family_by_name("sd3.5-large", &e), DENOISER, AUTOENCODER, false, r);
	static const char *const files[] = { "sd3_clip_l", "sd3_clip_g", "sd3_t5xxl" };
	family bare = *medium;
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		role encoder = (role)(TEXT_ENCODER + i);
		*bare.prefix[encoder] = 0;
		compare(dir, files[i], &bare, encoder, encoder, false, r);
	}
}

/* Folders of SDXL and Stable Diffusion 3. */
static void compare_new_folders(const char *dir, report *r)
{
	error e = { 0 };
	family sdxl = diffusers_layout(family_by_name("sdxl", &e)),
	       sd3 = diffusers_layout(family_by_name("sd3-medium", &e));
	family sd35 = diffusers_layout(family_by_name("sd3.5-medium", &e));
	compare(dir, "sdxl_diffusers_unet", &sdxl, DENOISER, DENOISER, true, r);
	compare(dir, "sdxl_diffusers_vae", &sdxl, AUTOENCODER, AUTOENCODER, true, r);
	compare(dir, "sdxl_diffusers_text_encoder", &sdxl, TEXT_ENCODER, TEXT_ENCODER, true, r);
	compare(dir, "sdxl_diffusers_text_encoder_2", &sdxl, TEXT_ENCODER + 1, TEXT_ENCODER + 1, true, r);
	compare(dir, "sd3_medium_diffusers_transformer", &sd3, DENOISER, DENOISER, true, r);
	compare(dir, "sd35_medium_diffusers_transformer", &sd35, DENOISER, DENOISER, true, r);
}

void golden_manifests(const char *dir, report *r)
{
	error e = { 0 };
	const family *sd1 = family_by_name("sd1", &e), *sd2 = family_by_name("sd2.1", &e);
	const family *ldm = family_by_name("ldm-txt2img", &e);
	family folder1 = diffusers_layout(sd1), folder2 = diffusers_layout(sd2);
	compare_map(dir, r);
	compare_folder(dir, r);
	compare(dir, "sd1_singlefile", sd1, DENOISER, FAMILY_ROLES - 1, false, r);
	compare(dir, "sd21_singlefile", sd2, DENOISER, FAMILY_ROLES - 1, false, r);
	compare(dir, "ldm_txt2img_1p4b_singlefile", ldm, DENOISER, FAMILY_ROLES - 1, false, r);
	compare(dir, "sd15_diffusers_unet", &folder1, DENOISER, DENOISER, true, r);
	compare(dir, "sd15_diffusers_vae", &folder1, AUTOENCODER, AUTOENCODER, true, r);
	compare(dir, "sd15_diffusers_text_encoder", &folder1, TEXT_ENCODER, TEXT_ENCODER, true, r);
	compare(dir, "sd21_diffusers_unet", &folder2, DENOISER, DENOISER, true, r);
	compare(dir, "sd21_diffusers_text_encoder", &folder2, TEXT_ENCODER, TEXT_ENCODER, true, r);
	compare_numbers(dir, r);
	compare(dir, "sdxl_base_singlefile", family_by_name("sdxl", &e), DENOISER, FAMILY_ROLES - 1, false, r);
	compare(dir, "sdxl_refiner_unet_only", family_by_name("sdxl-refiner", &e), DENOISER, DENOISER, false, r);
	compare_sd3(dir, r);
	compare_new_folders(dir, r);
}
