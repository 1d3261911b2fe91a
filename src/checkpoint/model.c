/* model.c - opens a model: its file, its family, what is put in the place of its parts. */
#include "checkpoint/model.h"
#include "backend/backend.h"
#include "base/resources.h"
#include "models/diffusers.h"
#include "checkpoint/folder.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ── who watches ── */

bool model_progress(const model *m, const char *stage, int step, int steps, error *e)
{
	return watcher_progress(&m->watcher, stage, step, steps, e);
}

void model_note(const model *m, sumi_level level, const char *format, ...)
{
	char text[1024];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	watcher_note(&m->watcher, level, "%s", text);
}

/* ── weights ── */

/* A weight of another autoencoder. Its keys have the checkpoint's prefix or none, or are those of a diffusers file. */
static const weight *find_replaced(const model *m, const char *name, shape s)
{
	size_t n = strlen(m->family.prefix[AUTOENCODER]);
	const weight *w = weights_find(m->vae, name);
	if (!w) w = weights_find(m->vae, name + n + 1);
	piece pieces[MAX_PIECES];
	char old[sizeof pieces[0].name];
	if (w || diffusers_pieces(&m->family, AUTOENCODER, name, s, pieces) != 1) return w;
	w = weights_find(m->vae, pieces[0].name);
	return !w && diffusers_old_name(pieces[0].name, old, sizeof old) ? weights_find(m->vae, old) : w;
}

static bool is_replaced(const model *m, const char *name)
{
	size_t n = strlen(m->family.prefix[AUTOENCODER]);
	return m->vae && !strncmp(name, m->family.prefix[AUTOENCODER], n) && name[n] == '.';
}

/* The tiny autoencoder's decoder is built in the scope "taesd": numbers in its own files, with a prefix in others. */
static const weight *find_tiny(const model *m, const char *name)
{
	static const char *const prefixes[] = { "", "decoder.", "taesd_decoder.", "vae.decoder." };
	char key[128];
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
		snprintf(key, sizeof key, "%s%s", prefixes[i], name);
		const weight *w = weights_find(m->taesd, key);
		if (w) return w;
	}
	int index, at = 0; /* diffusers has no layer for the clamp, so it counts one less */
	if (sscanf(name, "%d%n", &index, &at) == 1 && index > 0) {
		snprintf(key, sizeof key, "decoder.layers.%d%s", index - 1, name + at);
		return weights_find(m->taesd, key);
	}
	return NULL;
}

bool model_bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const model *m = context;
	const weight *w;
	size_t length = strlen(name);
	if (length > 10 && !strcmp(name + length - 10, ".new_words")) {
		*d = F32;
		*data = m->words.rows;
		return true;
	}
	if (m->bind) return m->bind(m->bind_context, name, s, d, data, e);
	if (m->taesd && !strncmp(name, "taesd.", 6))
		w = find_tiny(m, name + 6);
	else
		w = is_replaced(m, name) ? find_replaced(m, name, s) : checkpoint_find(m->checkpoint, name);
	if (!w) return fail(e, BAD_FILE, "%s: no tensor '%s'", m->path, name);
	if (!dtype_is_float(w->dtype)) return fail(e, BAD_FILE, "'%s' has dtype %s: not a float type", name, w->type_name);
	if (!shape_agrees(w, s)) return fail(e, BAD_FILE, "'%s' has another shape than the family's network", name);
	*d = w->dtype;
	*data = w->data;
	return true;
}

void model_unused(void *context, const void *data, size_t bytes)
{
	const model *m = context;
	if (m->checkpoint) checkpoint_advise_unused(m->checkpoint, data, bytes);
	if (m->vae) weights_advise_unused(m->vae, data, bytes);
}

/* ── opening ── */

typedef struct flaws {
	int count;
	char first[3][200];
	const char *prefix; /* of the keys that are looked at */
	int unknown;
	char stranger[200];
} flaws;

static void collect(void *context, flaw f, const char *text)
{
	flaws *y = context;
	if (f == UNEXPECTED && !y->unknown++) snprintf(y->stranger, sizeof y->stranger, "%s", text);
	if (f == UNEXPECTED || strncmp(text, y->prefix, strlen(y->prefix))) return;
	if (y->count < 3) snprintf(y->first[y->count], sizeof y->first[0], "%s", text);
	y->count++;
}

static bool check_tensors(model *m, error *e)
{
	flaws y = { .prefix = m->autoencoder_only ? m->family.prefix[AUTOENCODER] : "" };
	uint64_t parameters;
	if (!checkpoint_check(m->checkpoint, collect, &y, &parameters, e)) return false;
	model_note(m, SUMI_DETAIL, "model: %s, %.1f million parameters, known by %s", m->family.name,
	    (double)parameters / 1e6, checkpoint_evidence(m->checkpoint));
	if (y.unknown)
		model_note(m, SUMI_WARNING, "%s: %d of its tensors are not known and not used, such as %s", m->path, y.unknown,
		    y.stranger);
	if (!y.count) return true;
	return fail(e, BAD_FILE, "%s: %d of the tensors of %s %s missing or wrong: %s%s%s%s%s%s", m->path, y.count,
	    m->family.name, y.count == 1 ? "is" : "are", y.first[0], y.count > 1 ? "; " : "", y.first[1],
	    y.count > 2 ? "; " : "", y.first[2], y.count > 3 ? "; …" : "");
}

static bool choose_type(model *m, const char *type, error *e)
{
	m->compute = cpu_has_bf16() ? BF16 : REAL;
	if (!type || !strcasecmp(type, "auto")) return true;
	if (!strcasecmp(type, "f32"))
		m->compute = REAL;
	else if (!strcasecmp(type, "bf16"))
		m->compute = BF16;
	else
		return fail(e, BAD_USAGE, "type '%.40s' is not one to compute in: f32 or bf16", type);
	return true;
}

static bool open_tokenizer(model *m, error *e)
{
	const text_config *t = &m->family.text[0];
	if (t->kind == NO_TEXT || m->autoencoder_only) return true;
	const char *words = checkpoint_metadata(m->checkpoint, "sumi.vocabulary");
	if (t->tokenizer != WORDPIECE) words = NULL;
	m->tokenizer = tokenizer_open(t->tokenizer, words, words ? strlen(words) : 0, e);
	if (!m->tokenizer) return false;
	int known = text_vocabulary(t), size = tokenizer_size(m->tokenizer);
	return size <= known ||
	       fail(e, BAD_FILE, "%s: the text encoder knows %d tokens, the %s %d", m->path, known,
	           words ? "vocabulary in the file has" : "file brings no vocabulary, and the tokenizer's own has", size);
}

typedef struct vae_check {
	const model *m;
	error *e;
} vae_check;

static void check_vae_weight(void *context, const parameter *p)
{
	const vae_check *c = context;
	const weight *w = find_replaced(c->m, p->name, p->shape);
	const char *own = p->name + strlen(c->m->family.prefix[AUTOENCODER]) + 1;
	if (!w)
		fail(c->e, BAD_FILE, "%s: not an autoencoder for %s: no tensor '%s'", c->m->vae_path, c->m->family.name, own);
	else if (!shape_agrees(w, p->shape) || !dtype_is_float(w->dtype))
		fail(c->e, BAD_FILE, "%s: not an autoencoder for %s: '%s' has another shape or type", c->m->vae_path,
		    c->m->family.name, own);
}

/* Every weight must be there: half of one autoencoder and half of another would draw nonsense. */
static bool open_vae(model *m, error *e)
{
	vae_check check = { m, e };
	m->vae = weights_open_folder(m->vae_path, "vae", e);
	return m->vae && family_parameters(&m->family, AUTOENCODER, check_vae_weight, &check, e) && !failed(e);
}

/* TAESD's width is the size of the bias of its first convolution. */
static bool open_tiny(model *m, error *e)
{
	m->taesd = weights_open_folder(m->taesd_path, "vae", e);
	if (!m->taesd) return false;
	const weight *bias = find_tiny(m, "1.bias");
	if (!bias || bias->ndims != 1 || bias->shape[0] < 1 || bias->shape[0] > 65536)
		return fail(e, BAD_FILE, "%s: not a decoder of TAESD", m->taesd_path);
	m->tiny =
	    (taesd_config){ .latent_channels = m->family.autoencoder.latent_channels, .channels = (int)bias->shape[0] };
	m->tiny.pool = find_tiny(m, "3.pool.0.weight") != NULL;
	return true;
}

/* "FILE" or "FILE:WEIGHT". */
static bool add_lora(model *m, const char *text, error *e)
{
	char path[PATH_MAX], *end;
	float strength = 1;
	const char *colon = strrchr(text, ':');
	if (colon) {
		strength = strtof(colon + 1, &end);
		if (end == colon + 1 || *end) colon = NULL;
	}
	int length = colon ? (int)(colon - text) : (int)strlen(text);
	snprintf(path, sizeof path, "%.*s", length, text);
	if (colon && !(strength >= -100 && strength <= 100))
		return fail(e, BAD_USAGE, "LoRA %.200s: the weight is not between -100 and 100", text);
	return model_add_lora(m, &m->watcher, &m->lasting, path, colon ? strength : 1, e);
}

bool model_add_lora(const model *m, const watcher *w, adapter_list *l, const char *path, float strength, error *e)
{
	const adapter_file *a = adapters_add(l, &m->family, path, strength, e);
	if (!a) return false;
	int unused = lora_unmatched(a->set);
	watcher_note(w, SUMI_DETAIL, "LoRA: %s changes %d layers", path, lora_matched(a->set));
	if (unused)
		watcher_note(w, SUMI_WARNING, "%s: %d of its tensors or modules are not used by %s, such as %s", path, unused,
		    m->family.name, lora_unmatched_name(a->set, 0));
	if (*a->doubt) watcher_note(w, SUMI_WARNING, "%s: %s", path, a->doubt);
	return true;
}

static void name_model(model *m)
{
	const char *slash = strrchr(m->path, '/'), *name = slash && slash[1] ? slash + 1 : m->path;
	snprintf(m->name, sizeof m->name, "%s", name);
	char *dot = strrchr(m->name, '.');
	if (dot && dot > m->name) *dot = 0;
	for (char *end = strchr(m->name, 0); end > m->name && end[-1] == '/';) *--end = 0;
}

static bool copy_text(char **to, const char *text, error *e)
{
	if (!text) return true;
	*to = strdup(text);
	return *to || fail(e, NO_MEMORY, "out of memory");
}

static bool set_up(model *m, const char *path, const sumi_model_options *o, error *e)
{
	m->threads = o->threads > 0 ? o->threads : usable_cpus();
	m->max_memory = o->max_memory;
	m->autoencoder_only = o->autoencoder_only;
	m->tiny_previews = o->taesd_for_previews;
	if (o->threads < 0 || o->threads > 1024) return fail(e, BAD_USAGE, "threads %d: between 1 and 1024", o->threads);
	if (o->lora_count < 0 || (o->lora_count && !o->loras))
		return fail(e, BAD_USAGE, "%d LoRA files, and no list of them", o->lora_count);
	for (int i = 0; i < o->lora_count; i++)
		if (!o->loras[i]) return fail(e, BAD_USAGE, "LoRA file %d of %d has no path", i + 1, o->lora_count);
	return adopt_listener(&m->watcher.listener, o->listener, e) && choose_type(m, o->type, e) &&
	       copy_text(&m->path, path, e) && copy_text(&m->vae_path, o->vae, e) &&
	       copy_text(&m->taesd_path, o->taesd, e) && copy_text(&m->lora_folder, o->lora_folder, e);
}

static bool read_words(model *m, const char *folder, error *e)
{
	if (!m->tokenizer) return true;
	int room = m->family.text[0].length - 2; /* begin and end */
	if (!embeddings_read(&m->words, folder, family_context_width(&m->family), room, e)) return false;
	for (int i = 0; i < m->words.unusable_count; i++) model_note(m, SUMI_DETAIL, "%s", m->words.unusable[i].reason);
	model_note(m, SUMI_DETAIL, "%s: %d learned words", folder, m->words.count);
	return true;
}

static bool open_files(model *m, const sumi_model_options *o, error *e)
{
	name_model(m);
	if (!model_progress(m, "load", 0, 0, e)) return false;
	m->checkpoint = checkpoint_open(m->path, e);
	if (!m->checkpoint) return false;
	m->family = *checkpoint_family(m->checkpoint);
	if (m->family.conditioning != ONE_CONTEXT && !m->autoencoder_only)
		return fail(e, BAD_USAGE, "%s: a model of %s, whose several text encoders Sumi cannot put together yet",
		    m->path, m->family.name);
	if (!check_tensors(m, e) || !open_tokenizer(m, e)) return false;
	if ((m->vae_path && !open_vae(m, e)) || (m->taesd_path && !open_tiny(m, e))) return false;
	if (o->embedding_folder && !read_words(m, o->embedding_folder, e)) return false;
	for (int i = 0; i < o->lora_count; i++)
		if (!add_lora(m, o->loras[i], e)) return false;
	return true;
}

model *model_open(const char *path, const sumi_model_options *options, error *e)
{
	sumi_model_options own = sumi_model_defaults();
	if (!path) return fail(e, BAD_USAGE, "no path of a model"), NULL;
	if (!adopt(&own, sizeof own, options, "sumi_model_options", e)) return NULL;
	model *m = calloc(1, sizeof *m);
	if (!m) return fail(e, NO_MEMORY, "out of memory"), NULL;
	bool fine = set_up(m, path, &own, e) && open_files(m, &own, e);
	m->watcher = (watcher){ 0 };
	if (fine) return m;
	model_close(m);
	return NULL;
}

void model_close(model *m)
{
	if (!m) return;
	adapters_close(&m->lasting);
	tokenizer_close(m->tokenizer);
	embeddings_free(&m->words);
	weights_close(m->vae);
	weights_close(m->taesd);
	checkpoint_close(m->checkpoint);
	free(m->path);
	free(m->vae_path);
	free(m->taesd_path);
	free(m->lora_folder);
	free(m);
}
