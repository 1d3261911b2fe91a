/* diffusers_folder.c - makes the tiny golden model's folder of diffusers, whose weights are those of its single file in
 * other names: they are not stored twice.
 *
 *     diffusers-folder GOLDEN/sd1 OUT
 *
 * Names are the original's, from keymap.json; nothing of Sumi's own renaming is used, for it is what the folder tests.
 */
#include "base/file.h"
#include "io/weights.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char text_prefix[] = "cond_stage_model.transformer.";

typedef struct file_path {
	char text[4096];
} file_path;

static file_path joined(const char *dir, const char *name)
{
	file_path p;
	snprintf(p.text, sizeof p.text, "%.2000s/%.2000s", dir, name);
	return p;
}

/* The tensor of the single file; its name in the part is written to `to`. NULL: not of this part. */
static const weight *renamed(const weights *w, const char *part, const char *key, const char *from, char to[256])
{
	size_t n = strlen(part);
	if (strncmp(key, part, n) || key[n] != '.') return NULL;
	snprintf(to, 256, "%s", key + n + 1);
	return weights_find(w, from);
}

typedef bool each_fn(weights_writer *out, const char *name, const weight *t, error *e);

static bool declare(weights_writer *out, const char *name, const weight *t, error *e)
{
	bool linear = strstr(name, ".to_") && t->ndims == 4 && strstr(name, "mid_block"); /* a 1×1 convolution before */
	return weights_writer_declare(out, name, t->dtype, linear ? 2 : t->ndims, t->shape, e);
}

static bool append(weights_writer *out, const char *name, const weight *t, error *e)
{
	(void)name;
	return weights_writer_append(out, t->data, t->bytes, e);
}

static bool each(const weights *w, json_t *map, const char *part, weights_writer *out, each_fn *what, error *e)
{
	char name[256];
	const char *key;
	json_t *from;
	bool fine = true;
	json_object_foreach(map, key, from)
	{
		const weight *t = renamed(w, part, key, json_string_value(from), name);
		if (fine && t) fine = what(out, name, t, e);
	}
	for (size_t i = 0; fine && i < weights_count(w) && !strcmp(part, "text_encoder"); i++) {
		const weight *t = weights_at(w, i);
		if (!strncmp(t->name, text_prefix, sizeof text_prefix - 1) && t->dtype != I64)
			fine = what(out, t->name + sizeof text_prefix - 1, t, e);
	}
	return fine;
}

static bool write_part(const weights *w, json_t *map, const char *part, const char *path, error *e)
{
	weights_writer *out = weights_writer_new(path, e);
	if (!out) return false;
	if (weights_writer_metadata(out, "format", "pt", e) && each(w, map, part, out, declare, e) &&
	    each(w, map, part, out, append, e))
		return weights_writer_finish(out, e);
	weights_writer_abort(out);
	return false;
}

static bool copy(const char *from, const char *to, error *e)
{
	size_t size;
	char *bytes = whole_file(from, 1 << 20, &size, e);
	bool fine = bytes && write_file(to, bytes, size, e);
	free(bytes);
	return fine;
}

int main(int argc, char **argv)
{
	static const char *const configs[] = { "keymap.json", "model_index.json", "scheduler/scheduler_config.json",
		"unet/config.json", "vae/config.json", "text_encoder/config.json" };
	static const char *const folders[] = { "", "scheduler", "unet", "vae", "text_encoder" };
	static const char *const files[][2] = { { "unet", "unet/diffusion_pytorch_model.safetensors" },
		{ "vae", "vae/diffusion_pytorch_model.safetensors" }, { "text_encoder", "text_encoder/model.safetensors" } };
	if (argc != 3) return fprintf(stderr, "usage: diffusers-folder GOLDEN/sd1 OUT\n"), 2;
	error e = { 0 };
	const char *golden = argv[1], *out = argv[2];
	file_path from = joined(golden, "diffusers");
	json_t *map = json_load_file(joined(from.text, "keymap.json").text, 0, NULL);
	weights *w = weights_open(joined(golden, "model.safetensors").text, &e);
	bool fine = map && w;
	for (size_t i = 0; fine && i < sizeof folders / sizeof *folders; i++) mkdir(joined(out, folders[i]).text, 0777);
	for (size_t i = 0; fine && i < sizeof configs / sizeof *configs; i++)
		fine = copy(joined(from.text, configs[i]).text, joined(out, configs[i]).text, &e);
	for (size_t i = 0; fine && i < sizeof files / sizeof *files; i++)
		fine = write_part(w, map, files[i][0], joined(out, files[i][1]).text, &e);
	weights_close(w);
	json_decref(map);
	if (!fine) fprintf(stderr, "diffusers-folder: %s\n", e.text[0] ? e.text : "no keymap.json");
	return !fine;
}
