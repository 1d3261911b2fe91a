/* control.c - opens control networks and T2I-Adapters. */
#include "checkpoint/control.h"
#include "checkpoint/folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char scope[] = "control_model.";

struct control_file {
	char *path;
	weights *file; /* NULL: its weights are in memory, and `bind` gives them */
	bind_fn *bind;
	void *bind_context;
	bool is_adapter;
	t2i_adapter_config adapter;
	/* Of a control network: */
	component where;
	family family; /* with the control network's U-Net in place of the denoiser's, by which names are made */
	controlnet_config config;
	char doubt[300];
};

const char *control_path(const control_file *c) { return c->path; }
const weights *control_weights(const control_file *c) { return c->file; }
const controlnet_config *control_config(const control_file *c) { return &c->config; }
const t2i_adapter_config *control_adapter(const control_file *c) { return c->is_adapter ? &c->adapter : NULL; }
const char *control_doubt(const control_file *c) { return c->doubt; }

/* ── what the file's shapes say ── */

/* A weight by the name that its network has for it. */
static const weight *weight_of(const control_file *c, const char *name, shape s)
{
	char key[160];
	if (!c->is_adapter) return component_find(&c->where, &c->family, CONTROL, name, s);
	return t2i_adapter_key(&c->adapter, name, key, sizeof key) ? weights_find(c->file, key) : NULL;
}

static const weight *find_weight(const control_file *c, const char *key, int axes)
{
	return weight_of(c, key, (shape){ axes, { 1, 1, 1, 1 } });
}

/* An axis of a tensor; 0: there is no such tensor. */
static int size_of(const control_file *c, const char *key, int axes, int axis)
{
	enum { LARGEST = 1 << 20 };
	const weight *w = find_weight(c, key, axes);
	return w && w->ndims == axes && w->shape[axis] > 0 && w->shape[axis] <= LARGEST ? (int)w->shape[axis] : 0;
}

/* How many transformer blocks lie behind this key; −1: there is no transformer. */
static int depth_of(const control_file *c, const char *block)
{
	enum { DEEPEST = 64 };
	char key[128];
	int depth = 0;
	snprintf(key, sizeof key, "%s.1.norm.weight", block);
	if (!find_weight(c, key, 1)) return -1;
	for (; depth < DEEPEST; depth++) {
		snprintf(key, sizeof key, "%s.1.transformer_blocks.%d.norm1.weight", block, depth);
		if (!find_weight(c, key, 1)) break;
	}
	return depth;
}

/* Small ones have fewer transformers than the U-Net. */
static void read_depths(const control_file *c, unet_config *u)
{
	char key[64];
	memset(u->depth_down, 0, sizeof u->depth_down);
	for (int level = 0, block = 1; level < u->levels; block += u->blocks[level++] + 1)
		for (int i = 0; i < u->blocks[level] && i < UNET_BLOCKS; i++) {
			snprintf(key, sizeof key, "input_blocks.%d", block + i);
			int depth = depth_of(c, key);
			if (i == 0) u->attends[level] = depth >= 0;
			if (i == 0) u->depth[level] = depth >= 0 ? depth : 0;
			if (depth > 0 && depth != u->depth[level]) u->depth_down[level][i] = depth;
		}
}

/* Where it has nothing of a middle block, it should have what the model has. */
static void read_middle(const control_file *c, unet_config *u)
{
	u->middle_depth = depth_of(c, "middle_block");
	if (u->middle_depth >= 0 || find_weight(c, "middle_block.2.in_layers.0.weight", 1))
		u->middle = MIDDLE_WHOLE;
	else if (find_weight(c, "middle_block.0.in_layers.0.weight", 1))
		u->middle = MIDDLE_RESIDUAL;
}

/* The hint's convolutions may have other widths too. */
static void read_config(control_file *c)
{
	controlnet_config *y = &c->config;
	char key[64];
	for (int i = 0; i < HINT_LAYERS; i++) {
		snprintf(key, sizeof key, "input_hint_block.%d.weight", 2 * i);
		y->hint_width[i] = size_of(c, key, 4, 0);
	}
	y->hint_channels = size_of(c, "input_hint_block.0.weight", 4, 1);
	y->unet.in_channels = size_of(c, "input_blocks.0.0.weight", 4, 1);
	read_depths(c, &y->unet);
	read_middle(c, &y->unet);
}

/* ── is everything there? ── */

typedef struct checking {
	const control_file *c;
	bool *known; /* of the file's tensors, by their number */
	error *e;
} checking;

static void mark(const checking *y, const weight *w)
{
	for (size_t i = 0; i < weights_count(y->c->file); i++)
		if (weights_at(y->c->file, i) == w) y->known[i] = true;
}

static void check_weight(void *context, const char *name, shape s, initial start)
{
	const checking *y = context;
	dtype d;
	const void *data;
	(void)start;
	if (!failed(y->e) && control_bind(y->c, name, s, &d, &data, y->e))
		mark(y, weight_of(y->c, name + sizeof scope - 1, s));
}

/* What the file has under the network's prefix and the network does not read: a network of another kind. */
static void look_for_unknown(control_file *c, const bool *known)
{
	const char *prefix = c->is_adapter ? c->adapter.prefix : c->where.dialect.prefix, *first = NULL;
	int count = 0;
	for (size_t i = 0; i < weights_count(c->file); i++) {
		const char *name = weights_at(c->file, i)->name;
		if (known[i] || strncmp(name, prefix, strlen(prefix))) continue;
		if (!count++) first = name;
	}
	if (count)
		snprintf(
		    c->doubt, sizeof c->doubt, "%d of its tensors are not known and not used, such as %.200s", count, first);
}

static bool check(control_file *c, error *e)
{
	checking y = { c, calloc(weights_count(c->file) + 1, sizeof(bool)), e };
	nn n = { .g = graph_new(REAL), .parameter = check_weight, .context = &y };
	bool fine = (y.known && n.g) || fail(e, NO_MEMORY, "out of memory for a graph");
	if (fine) {
		push(n.g, "%.*s", (int)sizeof scope - 2, scope);
		fine = c->is_adapter ? t2i_adapter_build_dry(&n, &c->adapter) : controlnet_build_dry(&n, &c->config);
		fine = fine && !failed(e);
		pop(n.g);
		if (!fine && !failed(e)) fail(e, BAD_FILE, "%s: %s", c->path, graph_error(n.g)->text);
	}
	if (fine) look_for_unknown(c, y.known);
	graph_free(n.g);
	free(y.known);
	return fine;
}

static bool check_fit(const control_file *c, const family *f, error *e)
{
	static const char key[] = "input_blocks.1.0.emb_layers.1.weight";
	int context = 0, want = f->denoiser.unet.context;
	char to_k[96];
	for (int i = 1; i < 16 && !context; i++) {
		snprintf(to_k, sizeof to_k, "input_blocks.%d.1.transformer_blocks.0.attn2.to_k.weight", i);
		context = size_of(c, to_k, 2, 1);
	}
	if (context && want && context != want)
		return fail(e, BAD_FILE, "%s: a control network for text states of %d numbers; %s has %d", c->path, context,
		    f->name, want);
	return size_of(c, key, 2, 0) || fail(e, BAD_FILE, "%s: not a control network: no tensor '%s'", c->path, key);
}

/* ── opening ── */

static bool read_adapter(control_file *c, const family *f, error *e)
{
	error why = { 0 };
	c->is_adapter = t2i_adapter_recognise(&f->denoiser.unet, weights_lookup, c->file, &c->adapter, &why);
	/* Its ReLUs turn NaN to 0, so that nothing would be noticed later. */
	return c->is_adapter ? check(c, e) && weights_are_finite(c->file, e)
	                     : fail(e, why.status, "%s: for %s, %s", c->path, f->name, why.text);
}

/* Files that people take for control networks, by a tensor of theirs. */
static bool refuse_others(const control_file *c, error *e)
{
	static const struct {
		const char *tensor, *what;
	} others[] = {
		{ "lora_controlnet", "a control network as differences from the model (Control-LoRA), which are not read" },
		{ "style_embedding", "a T2I-Adapter for styles, which gives words and no maps: not read" },
		{ "task_embedding", "a fuser of CoAdapters: not read" },
		{ "ip_adapter.1.to_k_ip.weight", "an IP-Adapter, not a control network" },
	};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (weights_find(c->file, others[i].tensor)) return fail(e, BAD_FILE, "%s: %s", c->path, others[i].what);
	return true;
}

static bool read_network(control_file *c, const char *path, const family *f, error *e)
{
	c->family = *f;
	if (!refuse_others(c, e)) return false;
	if (!component_locate(&c->where, &c->family, CONTROL, c->file))
		return fail(e, BAD_FILE, "%s: not a control network for %s", path, f->name);
	if (!check_fit(c, f, e)) return false;
	c->config = controlnet_for(&f->denoiser.unet, f->autoencoder.latent_channels);
	read_config(c);
	if (!size_of(c, "label_emb.0.0.weight", 2, 0)) c->config.unet.vector = 0;
	c->family.denoiser.unet = c->config.unet;
	return check(c, e);
}

static bool open_file(control_file *c, const char *path, const family *f, error *e)
{
	static const char adapter[] = "adapter"; /* in the folder of a whole pipeline */
	if (!(c->path = strdup(path))) return fail(e, NO_MEMORY, "out of memory");
	if (f->denoiser.kind != UNET)
		return fail(e, BAD_USAGE, "%s: control networks are for U-Nets, and %s has none", path, f->name);
	const char *inner = folder_has_weights(path, adapter) ? adapter : diffusers_folder(f, CONTROL);
	if (!(c->file = weights_open_folder(path, inner, e))) return false;
	if (t2i_adapter_is_in(weights_lookup, c->file)) return read_adapter(c, f, e);
	return read_network(c, path, f, e);
}

control_file *control_open(const char *path, const family *f, error *e)
{
	control_file *c = calloc(1, sizeof *c);
	if (!c) return fail(e, NO_MEMORY, "out of memory"), NULL;
	if (open_file(c, path, f, e)) return c;
	control_close(c);
	return NULL;
}

control_file *control_in_memory(const controlnet_config *config, bind_fn *bind, void *context, error *e)
{
	control_file *c = calloc(1, sizeof *c);
	char *path = strdup("");
	if (c && path) {
		*c = (control_file){ .path = path, .bind = bind, .bind_context = context, .config = *config };
		return c;
	}
	free(path);
	free(c);
	return fail(e, NO_MEMORY, "out of memory"), NULL;
}

void control_close(control_file *c)
{
	if (!c) return;
	weights_close(c->file);
	free(c->path);
	free(c);
}

/* ── the network ── */

bool control_build(nn *n, const control_file *c, denoiser_inputs in, tensor hint, tensor *out)
{
	push(n->g, "%.*s", (int)sizeof scope - 2, scope);
	bool fine = c->is_adapter ? t2i_adapter(n, &c->adapter, hint, out) : controlnet(n, &c->config, in, hint, out);
	pop(n->g);
	return fine;
}

bool control_bind(const control_file *c, const char *name, shape s, dtype *d, const void **data, error *e)
{
	size_t n = sizeof scope - 1;
	if (strncmp(name, scope, n)) return false;
	if (c->bind) return c->bind(c->bind_context, name, s, d, data, e);
	const weight *w = weight_of(c, name + n, s);
	if (!w) return fail(e, BAD_FILE, "%s: no tensor '%s'", c->path, name + n);
	if (!dtype_is_float(w->dtype))
		return fail(e, BAD_FILE, "%s: '%s' has dtype %s: not a float type", c->path, w->name, w->type_name);
	if (!shape_agrees(w, s))
		return fail(e, BAD_FILE, "%s: '%s' has another shape than the network of this model", c->path, w->name);
	*d = w->dtype;
	*data = w->data;
	return true;
}

void control_unused(const control_file *c, const void *data, size_t bytes)
{
	if (c->file) weights_advise_unused(c->file, data, bytes);
}
