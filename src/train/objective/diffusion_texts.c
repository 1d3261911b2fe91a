/* diffusion_texts.c - the text encoders of a diffusion run: which there are, from which files, with which vocabulary,
 * and which of them learn. */
#include "base/file.h"
#include "base/text.h"
#include "train/data/vocabulary.h"
#include "train/objective/diffusion.h"
#include "train/run/setup.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_VOCABULARY = 1 << 24 };

/* ── the vocabulary ── */

static char *learned_vocabulary(const diffusion *d, error *e)
{
	data_options source = data_options_of(d->options, NULL, d->learner.family.size);
	source.pixels = false;
	data *texts = data_open(&source, e);
	char *lines = texts ? learn_vocabulary(texts, (int)d->options->vocabulary_size, e) : NULL;
	data_close(texts);
	return lines;
}

/* That of a model or checkpoint, or a file of nothing else. */
static char *given_vocabulary(const char *path, error *e)
{
	const char *end = strrchr(path, '.');
	if (!end || strcmp(end, ".safetensors")) return whole_file(path, MOST_VOCABULARY, NULL, e);
	weights *w = weights_open(path, e);
	const char *lines = w ? weights_metadata(w, "sumi.vocabulary") : NULL;
	char *own = lines ? strdup(lines) : NULL;
	if (w && !own) fail(e, lines ? NO_MEMORY : BAD_FILE, "%s: no vocabulary is in it", path);
	weights_close(w);
	return own;
}

/* A new model reads words by its own vocabulary: the embedding gets as many rows. */
static bool choose_vocabulary(diffusion *d, error *e)
{
	text_config *text = &d->learner.family.text[0];
	if (text->kind != TRANSFORMER_TEXT || d->source || d->learner.vocabulary) return true;
	if (*d->options->vocabulary)
		d->learner.vocabulary = given_vocabulary(d->options->vocabulary, e);
	else
		d->learner.vocabulary = learned_vocabulary(d, e);
	return d->learner.vocabulary != NULL;
}

/* ── which there are ── */

/* A file of one encoder, as --clip_l gives it: a tensor_lookup's context. */
typedef struct given_encoder {
	component from;
	const family *family;
	role role;
} given_encoder;

static bool look_up_given(void *context, const char *key, dtype *d, shape *s, const void **values)
{
	const given_encoder *y = context;
	return weight_as_tensor(component_find(&y->from, y->family, y->role, key, (shape){ 0 }), d, s, values);
}

static const char *path_of_encoder(const train_options *o, int k)
{
	const char *const paths[TEXT_ENCODERS] = { o->clip_l, o->clip_g, o->t5xxl };
	return paths[k];
}

static bool has_encoder(const diffusion *d, int k)
{
	const family *f = &d->learner.family;
	role r = (role)(TEXT_ENCODER + k);
	if (!family_has(f, r)) return false;
	if (*path_of_encoder(d->options, k) || !family_apart(f, r)) return true;
	return d->source && checkpoint_component(d->source, r)->from;
}

static bool open_tokenizer(diffusion *d, int k, const training_listener *l, error *e)
{
	text_config *text = &d->learner.family.text[k];
	const char *lines = text->tokenizer == WORDPIECE ? d->learner.vocabulary : NULL;
	tokenizer *t = d->conditions.texts.tokenizers[k] =
	    tokenizer_open(text->tokenizer, lines, lines ? strlen(lines) : 0, e);
	if (!t) return false;
	if (lines) {
		text->transformer.vocabulary = tokenizer_size(t);
		text->begin = tokenizer_start(t);
		text->end = tokenizer_end(t);
		text->padding = tokenizer_pad(t);
		training_note(l, "a vocabulary of %d tokens", text->transformer.vocabulary);
	}
	if (tokenizer_size(t) > text_vocabulary(text))
		return fail(e, BAD_FILE, "the %s knows %d tokens, its tokenizer has %d", role_name((role)(TEXT_ENCODER + k)),
		    text_vocabulary(text), tokenizer_size(t));
	bool longer = text_in_one_piece(text) && d->options->max_sequence_length;
	d->conditions.texts.tokens[k] = longer ? (int)d->options->max_sequence_length : text->length;
	return true;
}

bool diffusion_open_texts(diffusion *d, bool trained, const training_listener *l, error *e)
{
	const family *f = &d->learner.family;
	if (!choose_vocabulary(d, e)) return false;
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		const char *path = path_of_encoder(d->options, k);
		if (*path && !family_has(f, (role)(TEXT_ENCODER + k)))
			return fail(e, BAD_USAGE, "%s: %s has no %s", path, f->name, role_name((role)(TEXT_ENCODER + k)));
		if (!has_encoder(d, k)) {
			if (family_has(f, (role)(TEXT_ENCODER + k)))
				training_note(l, "warning: there is no %s: its part of the conditioning is zeros",
				    role_name((role)(TEXT_ENCODER + k)));
			continue;
		}
		if (!open_tokenizer(d, k, l, e)) return false;
		d->conditions.texts.trained[k] = trained && !text_in_one_piece(&f->text[k]);
	}
	d->conditions.zeros = !strcmp(d->options->dropped_captions, "zeros") && d->options->caption_dropout > 0;
	return true;
}

/* ── their weights ── */

/* From a file of its own, which is not written again unless it is trained; else from the checkpoint. */
static bool add_encoder(diffusion *d, int k, bool trained, error *e)
{
	learner *m = &d->learner;
	role r = (role)(TEXT_ENCODER + k);
	const char *path = path_of_encoder(d->options, k);
	uint64_t seed = (uint64_t)d->options->seed;
	int first = m->count;
	if (!d->conditions.texts.tokenizers[k]) return true;
	if (!*path) return learner_add_part(m, r, trained, d->source ? checkpoint_lookup : NULL, d->source, seed, e);
	given_encoder from = { .family = &m->family, .role = r };
	if (!(d->given[k] = weights_open(path, e))) return false;
	if (!component_locate(&from.from, &m->family, r, d->given[k]))
		return fail(e, BAD_FILE, "%s: not the %s of %s", path, role_name(r), m->family.name);
	if (!learner_add_part(m, r, trained, look_up_given, &from, seed, e)) return false;
	for (int i = first; i < m->count; i++) m->weights[i].helper = !m->weights[i].trained;
	return true;
}

/* A token is seen in few batches, and its row must go as far as weights that learn from each. */
static void set_rates(diffusion *d)
{
	const train_options *o = d->options;
	size_t prefix = strlen(d->learner.family.prefix[TEXT_ENCODER]);
	if (o->embedding_lr <= 0 || o->learning_rate <= 0) return;
	for (int i = 0; i < d->learner.count; i++) {
		learner_weight *w = &d->learner.weights[i];
		bool of_text = !strncmp(w->name, d->learner.family.prefix[TEXT_ENCODER], prefix);
		if (of_text && strstr(w->name, ".token_emb")) w->rate = o->embedding_lr / o->learning_rate;
	}
}

bool diffusion_add_texts(diffusion *d, bool trained, error *e)
{
	for (int k = 0; k < TEXT_ENCODERS; k++)
		if (!add_encoder(d, k, trained && d->conditions.texts.trained[k], e)) return false;
	set_rates(d);
	return true;
}

/* Their weights, in what they compute in: what more they need is little. */
size_t diffusion_others(void *context)
{
	const diffusion *d = context;
	const learner *m = &d->learner;
	size_t numbers = 0;
	for (int i = 0; !d->keeps_texts && i < m->count; i++) {
		role r = family_role_of(&m->family, m->weights[i].name);
		int k = (int)r - (int)TEXT_ENCODER;
		if (r < TEXT_ENCODER || r >= FAMILY_ROLES || m->weights[i].buffer) continue;
		if (d->conditions.texts.trained[k] || d->conditions.cached[k]) continue;
		bool table = ends_in(m->weights[i].name, text_table_name(&m->family.text[k])); /* is read where it lies */
		if (!table) numbers += shape_count(m->weights[i].shape);
	}
	return numbers * dtype_size(d->compute);
}
