/* a1111_files.c - A1111's lists of the files that a request may name: LoRA files, learned words, upscalers. */
#include "server/a1111.h"
#include <string.h>

/* A file's name without its folder, which is nobody's business. */
static const char *file_name(const char *path) { return strrchr(path, '/') + 1; }

void a1111_loras(server *s, request *r, reply *y)
{
	name_list l = names_in(server_folder(s, LORAS), LORAS);
	json_t *list = json_array();
	(void)r;
	for (int i = 0; i < l.count; i++) {
		json_t *header = header_of(l.path[i]), *metadata = json_object_get(header, "__metadata__");
		json_t *alias = json_object_get(metadata, "ss_output_name");
		if (!json_is_string(alias) || !*json_string_value(alias)) alias = NULL;
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s, s:O?}", "name", l.name[i], "alias", alias ? json_string_value(alias) : l.name[i],
		        "path", file_name(l.path[i]), "metadata", metadata));
		json_decref(header);
	}
	names_free(&l);
	reply_json(y, 200, list);
}

/* The vectors of a learned word: "emb_params" of A1111 and diffusers, "clip_l" and "clip_g" of SDXL's; the widths of
 * several are added. Zeros where the file does not say. */
static void read_word(const char *path, json_int_t *vectors, json_int_t *width)
{
	json_t *header = header_of(path), *value;
	const char *key;
	json_object_foreach(header, key, value)
	{
		const json_t *shape = json_object_get(value, "shape");
		size_t axes = json_array_size(shape);
		if (!strcmp(key, "__metadata__") || axes < 1 || axes > 2) continue;
		*vectors = axes == 2 ? json_integer_value(json_array_get(shape, 0)) : 1;
		*width += json_integer_value(json_array_get(shape, axes - 1));
	}
	json_decref(header);
}

void a1111_embeddings(server *s, request *r, reply *y)
{
	name_list l = names_in(server_folder(s, WORDS), WORDS);
	json_t *loaded = json_object();
	(void)r;
	for (int i = 0; i < l.count; i++) {
		json_int_t vectors = 0, width = 0;
		read_word(l.path[i], &vectors, &width);
		json_object_set_new(loaded, l.name[i],
		    json_pack("{s:n, s:n, s:n, s:I, s:I}", "step", "sd_checkpoint", "sd_checkpoint_name", "shape", width,
		        "vectors", vectors));
	}
	names_free(&l);
	reply_json(y, 200, json_pack("{s:o, s:{}}", "loaded", loaded, "skipped"));
}

/* ── upscalers ── */

/* Each is in one of two lists: A1111's page joins them. */
static const char *const by_latent[] = { "Latent", "Latent (nearest-exact)" };
enum { BY_LATENT = sizeof by_latent / sizeof *by_latent };

bool a1111_find_network(server *s, const char *name, char path[4096])
{
	return name_find(server_folder(s, UPSCALERS), UPSCALERS, name, path);
}

bool a1111_find_upscaler(server *s, const char *name, char path[4096])
{
	for (int i = 0; i < BY_LATENT; i++)
		if (!strcasecmp(by_latent[i], name)) return strcpy(path, by_latent[i]), true;
	if (!strcasecmp(name, "None") || !strcasecmp(name, "Lanczos")) return strcpy(path, "lanczos"), true;
	return a1111_find_network(s, name, path);
}

void a1111_latent_upscalers(server *s, request *r, reply *y)
{
	json_t *list = json_array();
	(void)s;
	(void)r;
	for (int i = 0; i < BY_LATENT; i++) json_array_append_new(list, json_pack("{s:s}", "name", by_latent[i]));
	reply_json(y, 200, list);
}

/* A network's scale is known once it is open: null until then. */
static json_t *upscaler_entry(const char *name, const char *file)
{
	return json_pack("{s:s, s:n, s:s?, s:n, s:o}", "name", name, "model_name", "model_path", file, "model_url", "scale",
	    file ? json_null() : json_real(4));
}

void a1111_upscalers(server *s, request *r, reply *y)
{
	name_list l = names_in(server_folder(s, UPSCALERS), UPSCALERS);
	json_t *list = json_array();
	(void)r;
	json_array_append_new(list, upscaler_entry("None", NULL)); /* the first: clients put the latent ones behind it */
	json_array_append_new(list, upscaler_entry("Lanczos", NULL));
	for (int i = 0; i < l.count; i++) json_array_append_new(list, upscaler_entry(l.name[i], file_name(l.path[i])));
	names_free(&l);
	reply_json(y, 200, list);
}

/* What this server has none of: hypernetworks, face restorers, styles, … */
void a1111_nothing(server *s, request *r, reply *y)
{
	(void)s;
	(void)r;
	reply_json(y, 200, json_array());
}
