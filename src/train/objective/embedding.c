/* embedding.c - `train embedding`: a new word for a checkpoint (textual inversion, Gal et al., arXiv 2208.01618). Only
 * the word's vectors learn, rows added to the tables of the text encoders that read chunks (T5 reads the word as it is
 * spelled). The file holds them [vectors,width]: of one encoder under the word itself, from which diffusers takes its
 * name; A1111, ComfyUI and kohya's scripts take the file's name and its only tensor. Of two as clip_l and clip_g. */
#include "base/text.h"
#include "train/run/jobs.h"
#include "train/run/setup.h"
#include "train/objective/validation.h"
#include <stdlib.h>
#include <string.h>

enum { LONGEST_CAPTION = 4096 };

typedef struct inversion {
	diffusion diffusion;
	char rows[TEXT_ENCODERS][200]; /* the names of the vectors among the weights, for each encoder; "": not built yet */
} inversion;

/* The vector of the first token of --initializer_token, as encoder k has it in its table. */
static bool first_vector(const diffusion *d, int k, float *vector, int width, error *e)
{
	const char *word = d->options->initializer_token;
	const learner *m = &d->learner;
	int32_t id;
	size_t count;
	char name[200];
	if (!tokenizer_encode(d->conditions.texts.tokenizers[k], word, strlen(word), &id, 1, &count, e)) return false;
	if (!count) return fail(e, BAD_USAGE, "--initializer_token '%s' has no token", word);
	snprintf(name, sizeof name, "%s.%s", m->family.prefix[TEXT_ENCODER + k], text_table_name(&m->family.text[k]));
	const learner_weight *w = learner_find(m, name);
	if (!w || w->shape.n != 2 || w->shape.d[1] != width || id >= w->shape.d[0])
		return fail(e, BAD_FILE, "the %s has no table of tokens '%s'", role_name((role)(TEXT_ENCODER + k)), name);
	convert_from(vector, F32, w->bytes, w->dtype, (size_t)id * (size_t)width, (size_t)width);
	return true;
}

/* The graph names a parameter of rows; it becomes one of the model's weights then. */
static bool add_rows(inversion *j, int k, const char *name, shape s, error *e)
{
	learner *m = &j->diffusion.learner;
	size_t width = (size_t)s.d[1];
	snprintf(j->rows[k], sizeof j->rows[k], "%s", name);
	if (learner_find(m, name)) return true;
	float *vector = malloc(width * sizeof *vector);
	bool fine = (vector || fail(e, NO_MEMORY, "no memory for a vector")) &&
	            first_vector(&j->diffusion, k, vector, s.d[1], e) && learner_add(m, name, s, 0, e);
	learner_weight *w = fine ? learner_find(m, name) : NULL;
	for (int i = 0; w && i < s.d[0]; i++) memcpy(w->value + (size_t)i * width, vector, width * sizeof *vector);
	free(vector);
	return fine;
}

static bool add_all_rows(inversion *j, graph *g, error *e)
{
	bool any = false;
	for (int i = 1, last = node_count(g); i <= last; i++) {
		const node *n = node_of(g, (tensor)i);
		if (n->op != PARAM || !ends_in(n->name, ".new_words")) continue;
		role r = family_role_of(&j->diffusion.learner.family, n->name);
		if (!add_rows(j, (int)(r - TEXT_ENCODER), n->name, n->shape, e)) return false;
		any = true;
	}
	return any || fail(e, BAD_USAGE, "this model reads no words");
}

static tensor build(void *context, nn *n, int count, int height, int width)
{
	inversion *j = context;
	error e = { 0 };
	tensor loss = diffusion_build(&j->diffusion, n, count, height, width);
	if (!failed(graph_error(n->g)) && !add_all_rows(j, n->g, &e)) graph_fail(n->g, "%s", e.text);
	return loss;
}

/* A caption that does not hold the word gets it in front; none at all is "a photo of" it. */
static const char *name_word(const inversion *j, const char *caption, char *room)
{
	const new_word *word = &j->diffusion.conditions.word;
	if (new_words_in(word, 1, caption)) return caption;
	if (*caption)
		snprintf(room, LONGEST_CAPTION, "%s %s", word->name, caption);
	else
		snprintf(room, LONGEST_CAPTION, "a photo of %s", word->name);
	return room;
}

static bool fill_inputs(void *context, graph *g, const data_batch *b, error *e)
{
	inversion *j = context;
	int64_t class_first = j->diffusion.class_first;
	char *room = malloc((size_t)b->count * LONGEST_CAPTION);
	const char **captions = malloc((size_t)b->count * sizeof *captions);
	bool fine = (room && captions) || fail(e, NO_MEMORY, "no memory for captions");
	for (int i = 0; fine && i < b->count; i++) {
		bool of_class = class_first >= 0 && b->index[i] >= class_first;
		captions[i] = of_class ? b->captions[i] : name_word(j, b->captions[i], room + (size_t)i * LONGEST_CAPTION);
	}
	data_batch named = *b;
	named.captions = captions;
	fine = fine && diffusion_fill(&j->diffusion, g, &named, e);
	free(room);
	free(captions);
	return fine;
}

/* What the vectors are called: of one encoder the word itself, of two what tools for SDXL expect. */
static const char *key_of(const inversion *j, int k)
{
	static const char *const keys[TEXT_ENCODERS] = { "clip_l", "clip_g", "t5xxl" };
	return *j->rows[1] ? keys[k] : j->diffusion.conditions.word.name;
}

static bool put(const inversion *j, weights_writer *out, int k, bool write, error *e)
{
	const learner_weight *w = *j->rows[k] ? learner_find(&j->diffusion.learner, j->rows[k]) : NULL;
	if (!w) return true;
	const float *values = j->diffusion.options->use_ema && w->average ? w->average : w->value;
	int64_t dims[] = { w->shape.d[0], w->shape.d[1] };
	return write ? weights_writer_append(out, values, shape_count(w->shape) * sizeof *values, e)
	             : weights_writer_declare(out, key_of(j, k), F32, 2, dims, e);
}

static bool finish(void *context, const char *path, error *e)
{
	const inversion *j = context;
	weights_writer *out = weights_writer_new(path, e);
	bool fine = out != NULL;
	for (int i = 0; fine && i < 2 * TEXT_ENCODERS; i++) fine = put(j, out, i % TEXT_ENCODERS, i >= TEXT_ENCODERS, e);
	if (fine) return weights_writer_finish(out, e);
	weights_writer_abort(out);
	return false;
}

static bool validate(void *context, const char *path, error *e)
{
	const inversion *j = context;
	return validation_draw(&j->diffusion, &(validation_of){ 0 }, path, e);
}

bool train_embedding(const train_options *o, const training_listener *l, error *e)
{
	inversion j = { 0 };
	diffusion *d = &j.diffusion;
	bool fine = diffusion_open(d, o, false, true, l, e);
	d->conditions.word = (new_word){ o->placeholder_token, 0, (int)o->num_vectors };
	task t = { .learner = &d->learner, .context = &j, .build = build, .fill = fill_inputs, .finish = finish };
	if (*o->validation_prompts) t.validate = validate;
	data_options source = data_options_of(o, l, d->learner.family.size);
	fine = fine && diffusion_train(d, &t, &source, l, e);
	diffusion_close(d);
	return fine;
}
