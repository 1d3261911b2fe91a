/* model.c - opens a model: its file, its family, and the files that replace its parts. */
#include "checkpoint/given.h"
#include "checkpoint/types.h"
#include "backend/backend.h"
#include "base/resources.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── progress and notes ── */

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

/* The tiny autoencoder is built in this scope. */
static const char tiny_scope[] = "taesd.";

static const weight *find_weight(const model *m, const char *name, shape s)
{
	size_t n = sizeof tiny_scope - 1;
	bool tiny = m->given[TINY_AUTOENCODER] && !strncmp(name, tiny_scope, n);
	role r = tiny ? TINY_AUTOENCODER : family_role_of(&m->family, name);
	return r == ROLES ? NULL : component_find(&m->components[r], &m->family, r, tiny ? name + n : name, s);
}

bool model_bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const model *m = context;
	size_t length = strlen(name);
	if (length > 10 && !strcmp(name + length - 10, ".new_words")) {
		*d = F32;
		role r = family_role_of(&m->family, name);
		*data = r >= TEXT_ENCODER && r < FAMILY_ROLES ? m->words.rows[r - TEXT_ENCODER] : NULL;
		return true;
	}
	if (m->bind) return m->bind(m->bind_context, name, s, d, data, e);
	const weight *w = find_weight(m, name, s);
	if (!w) return fail(e, BAD_FILE, "%s: no tensor '%s'", m->path, name);
	if (!dtype_is_float(w->dtype)) return fail(e, BAD_FILE, "'%s' has dtype %s: not a float type", name, w->type_name);
	if (!shape_agrees(w, s)) return fail(e, BAD_FILE, "'%s' has another shape than the family's network", name);
	*d = w->dtype;
	*data = w->data;
	return true;
}

int model_pieces(const void *context, const char *name, shape s, row_piece pieces[NN_PIECES])
{
	const model *m = context;
	role r = m->bind ? ROLES : family_role_of(&m->family, name);
	key_piece keys[MAX_PIECES];
	const weight *found[MAX_PIECES];
	if (r == ROLES) return 0;
	int count = component_pieces(&m->components[r], &m->family, r, name, s, keys, found);
	if (!in_pieces(keys, count)) return 0;
	for (int i = 0; i < count; i++) pieces[i] = (row_piece){ keys[i].rows, keys[i].swapped };
	return count;
}

void model_unused(void *context, const void *data, size_t bytes)
{
	const model *m = context;
	if (m->checkpoint) checkpoint_advise_unused(m->checkpoint, data, bytes);
	for (role r = 0; r < ROLES; r++)
		if (m->given[r]) weights_advise_unused(m->given[r], data, bytes);
}

/* ── opening ── */

typedef struct flaws {
	const model *m;
	int count;
	char first[3][200];
	int unknown;
	char first_unknown[200];
} flaws;

static void collect(void *context, flaw f, const char *text)
{
	flaws *y = context;
	role r = family_role_of(&y->m->family, text);
	if (f == UNEXPECTED && !y->unknown++) snprintf(y->first_unknown, sizeof y->first_unknown, "%s", text);
	if (f == UNEXPECTED || r == ROLES || !given_leaves(y->m, r)) return;
	if (y->count < 3) snprintf(y->first[y->count], sizeof y->first[0], "%s", text);
	y->count++;
}

/* Models of EDM's form (Playground 2.5, CosXL) have the shapes of others, and tensors that mark them. */
static bool is_not_edm(const model *m, error *e)
{
	static const char *const marks[] = { "edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min" };
	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
		if (checkpoint_find(m->checkpoint, marks[i]))
			return fail(e, BAD_FILE, "%s: a model of EDM's form, as '%s' says, which Sumi does not draw with", m->path,
			    marks[i]);
	return true;
}

static bool check_tensors(model *m, error *e)
{
	flaws y = { .m = m };
	uint64_t parameters;
	if (!is_not_edm(m, e) || !given_complete(m, e) || !checkpoint_check(m->checkpoint, collect, &y, &parameters, e))
		return false;
	model_note(m, SUMI_DETAIL, "model: %s, %.1f million parameters, known by %s", m->family.name,
	    (double)parameters / 1e6, checkpoint_evidence(m->checkpoint));
	if (y.unknown)
		model_note(m, SUMI_WARNING, "%s: %d of its tensors are not known and not used, such as %s", m->path, y.unknown,
		    y.first_unknown);
	if (!y.count) return true;
	return fail(e, BAD_FILE, "%s: %d of the tensors of %s %s missing or wrong: %s%s%s%s%s%s", m->path, y.count,
	    m->family.name, y.count == 1 ? "is" : "are", y.first[0], y.count > 1 ? "; " : "", y.first[1],
	    y.count > 2 ? "; " : "", y.first[2], y.count > 3 ? "; …" : "");
}

static bool open_tokenizer(model *m, int encoder, error *e)
{
	const text_config *t = &m->family.text[encoder];
	if (t->kind == NO_TEXT || m->autoencoder_only || !m->components[TEXT_ENCODER + encoder].from) return true;
	const char *words = checkpoint_metadata(m->checkpoint, "sumi.vocabulary");
	if (t->tokenizer != WORDPIECE) words = NULL;
	tokenizer *opened = tokenizer_open(t->tokenizer, words, words ? strlen(words) : 0, e);
	m->tokenizers[encoder] = opened;
	if (!opened) return false;
	int known = text_vocabulary(t), size = tokenizer_size(opened);
	return size <= known ||
	       fail(e, BAD_FILE, "%s: the text encoder knows %d tokens, the %s %d", m->path, known,
	           words ? "vocabulary in the file has" : "file brings no vocabulary, and the tokenizer's own has", size);
}

/* Warns of an encoder that may be missing and is: what it alone would read is lost. */
static bool open_tokenizers(model *m, error *e)
{
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		const char *option = family_text_option(&m->family, i);
		if (!open_tokenizer(m, i, e)) return false;
		if (option && !m->tokenizers[i] && !m->autoencoder_only)
			model_note(m, SUMI_WARNING,
			    "%s: no %s text encoder (--%s FILE gives one); its part of the conditioning is zeros", m->path, option,
			    option);
	}
	return true;
}

static bool add_lora(model *m, const char *text, error *e)
{
	char path[PATH_MAX];
	const char *strengths;
	return adapter_argument(text, path, sizeof path, &strengths, e) &&
	       model_add_lora(m, &m->watcher, &m->lasting, path, strengths, e);
}

bool model_add_lora(
    const model *m, const watcher *w, adapter_list *l, const char *path, const char *strengths, error *e)
{
	const adapter_file *a = adapters_add(l, &m->family, path, strengths, e);
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
	m->type_given = o->type != NULL;
	m->threads = o->threads > 0 ? o->threads : usable_cpus();
	m->max_memory = o->max_memory;
	m->autoencoder_only = o->autoencoder_only;
	m->tiny_previews = o->taesd_for_previews;
	if (o->threads < 0 || o->threads > 1024) return fail(e, BAD_USAGE, "threads %d: between 1 and 1024", o->threads);
	if (o->lora_count < 0 || (o->lora_count && !o->loras))
		return fail(e, BAD_USAGE, "%d LoRA files, and no list of them", o->lora_count);
	for (int i = 0; i < o->lora_count; i++)
		if (!o->loras[i]) return fail(e, BAD_USAGE, "LoRA file %d of %d has no path", i + 1, o->lora_count);
	m->backend = backend_named(o->device, e);
	if (!m->backend || !adopt_listener(&m->watcher.listener, o->listener, e)) return false;
	if (m->backend->device && m->backend->device->doubt) model_note(m, SUMI_WARNING, "%s", m->backend->device->doubt);
	return compute_type_from_name(o->type, m->backend, &m->compute, e) && copy_text(&m->path, path, e) &&
	       copy_text(&m->given_path[AUTOENCODER], o->vae, e) &&
	       copy_text(&m->given_path[TINY_AUTOENCODER], o->taesd, e) && copy_text(&m->lora_folder, o->lora_folder, e);
}

static bool read_words(model *m, const char *folder, error *e)
{
	if (!m->tokenizers[0]) return true;
	int room = m->family.text[0].length - 2; /* begin and end */
	int width[TEXT_ENCODERS] = { 0 };
	for (int k = 0; k < TEXT_ENCODERS; k++)
		if (m->tokenizers[k] && !text_in_one_piece(&m->family.text[k])) width[k] = text_width(&m->family.text[k]);
	if (!embeddings_read(&m->words, folder, width, room, e)) return false;
	for (int i = 0; i < m->words.unusable_count; i++) model_note(m, SUMI_DETAIL, "%s", m->words.unusable[i].reason);
	model_note(m, SUMI_DETAIL, "%s: %d learned words", folder, m->words.count);
	return true;
}

static bool choose_prediction(model *m, const char *name, error *e)
{
	m->prediction_given = name != NULL;
	return !name || prediction_from_name(name, &m->family.prediction) ||
	       fail(e, BAD_USAGE, "prediction '%.40s' is not known: epsilon, v, x0 or flow", name);
}

static bool open_files(model *m, const sumi_model_options *o, error *e)
{
	name_model(m);
	if (!model_progress(m, "load", 0, 0, e)) return false;
	m->checkpoint = checkpoint_open(m->path, e);
	if (!m->checkpoint) return false;
	m->family = *checkpoint_family(m->checkpoint);
	if (!choose_prediction(m, o->prediction, e)) return false;
	for (role r = 0; r < FAMILY_ROLES; r++) m->components[r] = *checkpoint_component(m->checkpoint, r);
	if (!given_open(m, o, e) || !check_tensors(m, e) || !open_tokenizers(m, e)) return false;
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
	for (int i = 0; i < TEXT_ENCODERS; i++) tokenizer_close(m->tokenizers[i]);
	embeddings_free(&m->words);
	for (role r = 0; r < ROLES; r++) {
		weights_close(m->given[r]);
		free(m->given_path[r]);
	}
	checkpoint_close(m->checkpoint);
	free(m->path);
	free(m->lora_folder);
	free(m);
}
