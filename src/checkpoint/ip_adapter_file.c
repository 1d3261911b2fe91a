/* ip_adapter_file.c - opens IP-Adapters and their vision towers. */
#include "checkpoint/ip_adapter_file.h"
#include "base/file.h"
#include "checkpoint/component.h"
#include "checkpoint/folder.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ip_adapter_file {
	char *path, *vision_path;
	weights *file, *vision_file;
	family family;
	ip_adapter_config config;
	clip_vision_config vision;
};

const char *ip_adapter_path(const ip_adapter_file *a) { return a->path; }
const weights *ip_adapter_weights(const ip_adapter_file *a) { return a->file; }
const weights *ip_adapter_vision_weights(const ip_adapter_file *a) { return a->vision_file; }
const char *ip_adapter_vision_path(const ip_adapter_file *a) { return a->vision_path; }
const ip_adapter_config *ip_adapter_config_of(const ip_adapter_file *a) { return &a->config; }
const clip_vision_config *ip_adapter_vision(const ip_adapter_file *a) { return &a->vision; }

int ip_adapter_token_count(const ip_adapter_file *a)
{
	return a->config.kind == IP_FULL ? clip_vision_tokens(&a->vision) : a->config.tokens;
}

/* ── weights ── */

/* "…attn2.to_k_ip.0.weight" of the denoiser's image prompt 0: "ip_adapter.1.to_k_ip.weight". */
static bool attention_key(const ip_adapter_file *a, int which, const char *name, char *key, size_t size)
{
	const char *prefix = a->family.prefix[DENOISER], *at = strstr(name, ".attn2.to_");
	char end[32], letter = at ? at[10] : 0;
	size_t n = strlen(prefix);
	snprintf(end, sizeof end, "%c_ip.%d.weight", letter, which);
	if (!at || (letter != 'k' && letter != 'v') || strcmp(at + 10, end)) return false;
	if (!strncmp(name, prefix, n) && name[n] == '.') name += n + 1;
	int layer = ip_adapter_layer(&a->family.denoiser.unet, name);
	return layer >= 0 && snprintf(key, size, "ip_adapter.%d.to_%c_ip.weight", 2 * layer + 1, letter) < (int)size;
}

bool ip_adapter_bind(
    const ip_adapter_file *a, int which, const char *name, shape s, dtype *d, const void **data, error *e)
{
	char key[256];
	bool tower = !strncmp(name, "vision.", 7);
	if (tower)
		snprintf(key, sizeof key, "%s%s", a->vision.prefix, name + 7);
	else if (!strncmp(name, "image_proj.", 11))
		snprintf(key, sizeof key, "%s", name);
	else if (!attention_key(a, which, name, key, sizeof key))
		return false;
	const char *path = tower ? a->vision_path : a->path;
	const weight *w = weights_find(tower ? a->vision_file : a->file, key);
	if (!w) return fail(e, BAD_FILE, "%s: no tensor '%s'", path, key);
	if (!dtype_is_float(w->dtype))
		return fail(e, BAD_FILE, "%s: '%s' has dtype %s: not a float type", path, key, w->type_name);
	if (!shape_agrees(w, s))
		return fail(e, BAD_FILE, "%s: '%s' has another shape than the network that reads it", path, key);
	*d = w->dtype;
	*data = w->data;
	return true;
}

void ip_adapter_unused(const ip_adapter_file *a, const void *data, size_t bytes)
{
	weights_advise_unused(a->file, data, bytes);
	weights_advise_unused(a->vision_file, data, bytes);
}

/* ── is everything there? ── */

typedef struct checking {
	const ip_adapter_file *a;
	error *e;
} checking;

static void check_weight(void *context, const char *name, shape s, initial start)
{
	const checking *y = context;
	dtype d;
	const void *data;
	(void)start;
	if (!failed(y->e)) ip_adapter_bind(y->a, 0, name, s, &d, &data, y->e);
}

/* Builds what reads the weights: pictures to tokens, and the denoiser with these. */
static void build_dry(nn *n, const ip_adapter_file *a)
{
	graph *g = n->g;
	int side = clip_vision_side(&a->vision);
	ip_adapter_tokens(n, &a->config, &a->vision, input(g, "image", REAL, shape4(1, side, side, 3)), false);
	const image_prompt prompt = { .tokens = input(g, "tokens", REAL, shape3(1, 1, a->config.context)),
		.strengths = input(g, "strengths", REAL, shape1(IP_BLOCKS)) };
	n->images = &prompt;
	n->image_count = 1;
	denoiser_build_dry(n, &a->family.denoiser);
	n->image_count = 0;
}

static bool check(const ip_adapter_file *a, error *e)
{
	checking y = { a, e };
	nn n = { .g = graph_new(REAL), .parameter = check_weight, .context = &y };
	if (!n.g) return fail(e, NO_MEMORY, "out of memory for a graph");
	build_dry(&n, a);
	if (!failed(e) && graph_error(n.g)->status != OK) fail(e, BAD_FILE, "%s: %s", a->path, graph_error(n.g)->text);
	graph_free(n.g);
	return !failed(e);
}

static int layers_in(const weights *w)
{
	char key[64];
	int count = 0;
	do snprintf(key, sizeof key, "ip_adapter.%d.to_k_ip.weight", 2 * count + 1);
	while (weights_find(w, key) && ++count < 4096);
	return count;
}

static bool check_fit(const ip_adapter_file *a, const family *f, error *e)
{
	int layers = layers_in(a->file), expected = ip_adapter_layers(&f->denoiser.unet);
	if (a->config.context != f->denoiser.unet.context)
		return fail(e, BAD_FILE, "%s: an IP-Adapter for text states of %d numbers; %s has %d", a->path,
		    a->config.context, f->name, f->denoiser.unet.context);
	return layers == expected || fail(e, BAD_FILE, "%s: an IP-Adapter for a U-Net of %d transformers; %s has %d",
	                                 a->path, layers, f->name, expected);
}

/* ── opening ── */

/* The text of a folder's config.json, to be freed; NULL: there is none. */
static char *configuration_of(const char *folder)
{
	char path[PATH_MAX];
	size_t size;
	error none = { 0 };
	if (!is_folder(folder) || snprintf(path, sizeof path, "%s/config.json", folder) >= (int)sizeof path) return NULL;
	return whole_file(path, 1 << 20, &size, &none);
}

static bool open_vision(ip_adapter_file *a, const char *path, error *e)
{
	static const char inner[] = "image_encoder";
	char folder[PATH_MAX];
	error why = { 0 };
	bool within = folder_has_weights(path, inner);
	if (!(a->vision_file = weights_open_folder(path, inner, e))) return false;
	snprintf(folder, sizeof folder, within ? "%s/%s" : "%s", path, inner);
	char *text = configuration_of(folder);
	bool fine = clip_vision_recognise(weights_lookup, a->vision_file, text, &a->vision, &why) &&
	            ip_adapter_fits_vision(&a->config, &a->vision, &why);
	free(text);
	return fine || fail(e, why.status, "%s: %s", path, why.text);
}

static bool open_files(ip_adapter_file *a, const char *path, const char *vision, const family *f, error *e)
{
	error why = { 0 };
	a->path = strdup(path);
	a->vision_path = strdup(vision);
	if (!a->path || !a->vision_path) return fail(e, NO_MEMORY, "out of memory");
	if (f->denoiser.kind != UNET || !f->denoiser.unet.spatial_transformer || !f->denoiser.unet.context)
		return fail(e, BAD_USAGE, "%s: IP-Adapters are for U-Nets that read text, and %s has none", path, f->name);
	int blocks = unet_attending_blocks(&f->denoiser.unet);
	if (blocks > IP_BLOCKS)
		return fail(e, BAD_USAGE, "%s: IP-Adapters are for U-Nets of at most %d blocks with transformers; %s has %d",
		    path, IP_BLOCKS, f->name, blocks);
	a->family = *f;
	if (!(a->file = weights_open(path, e))) return false;
	if (!ip_adapter_recognise(weights_lookup, a->file, &a->config, &why))
		return fail(e, why.status, "%s: %s", path, why.text);
	return check_fit(a, f, e) && open_vision(a, vision, e) && check(a, e);
}

ip_adapter_file *ip_adapter_open(const char *path, const char *vision, const family *f, error *e)
{
	ip_adapter_file *a = calloc(1, sizeof *a);
	if (!a) return fail(e, NO_MEMORY, "out of memory"), NULL;
	if (open_files(a, path, vision, f, e)) return a;
	ip_adapter_close(a);
	return NULL;
}

void ip_adapter_close(ip_adapter_file *a)
{
	if (!a) return;
	weights_close(a->file);
	weights_close(a->vision_file);
	free(a->path);
	free(a->vision_path);
	free(a);
}
