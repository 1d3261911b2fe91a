/* embedding.c - `train embedding`: a new word for a checkpoint (textual inversion, Gal et al., arXiv 2208.01618). Only
 * the word's vectors learn, rows added to the text encoder's table; the file holds them [vectors,width] under the
 * word itself, from which diffusers takes its name; A1111, ComfyUI and kohya's scripts take the file's name and its
 * only tensor. */
#include "train/run/jobs.h"
#include "train/run/validation.h"
#include <stdlib.h>
#include <string.h>

enum { LONGEST_CAPTION = 4096 };

typedef struct inversion {
	diffusion diffusion;
	char rows[200]; /* the name of the vectors among the weights; "": not built yet */
} inversion;

/* The vector of the first token of --initializer_token. */
static const float *first_vector(const diffusion *d, float *vector, int width, error *e)
{
	const char *word = d->options->initializer_token;
	int32_t id;
	size_t count;
	const learner *m = &d->learner;
	if (!tokenizer_encode(d->conditions.texts.tokenizers[0], word, strlen(word), &id, 1, &count, e)) return NULL;
	if (!count) return fail(e, BAD_USAGE, "--initializer_token '%s' has no token", word), NULL;
	for (int i = 0; i < m->count; i++) {
		const learner_weight *w = &m->weights[i];
		bool table = strstr(w->name, "token_emb") && w->shape.n == 2 && w->shape.d[1] == width && id < w->shape.d[0];
		if (!table) continue;
		size_t at = (size_t)id * (size_t)width * dtype_size(w->dtype);
		convert(vector, F32, (const char *)w->bytes + at, w->dtype, (size_t)width);
		return vector;
	}
	return fail(e, BAD_FILE, "the text encoder has no table of tokens"), NULL;
}

/* The graph names the parameter; it becomes one of the model's weights then. */
static bool add_rows(inversion *j, graph *g, error *e)
{
	for (int i = 1; i <= node_count(g) && !*j->rows; i++) {
		const node *n = node_of(g, (tensor)i);
		if (n->op == PARAM && strstr(n->name, ".new_words")) snprintf(j->rows, sizeof j->rows, "%s", n->name);
	}
	tensor t = find(g, j->rows);
	if (!t) return fail(e, BAD_USAGE, "this model reads no words");
	if (learner_find(&j->diffusion.learner, j->rows)) return true;
	shape s = shape_of(g, t);
	size_t width = (size_t)s.d[1];
	float *vector = malloc(width * sizeof *vector);
	bool fine = vector || fail(e, NO_MEMORY, "no memory for a vector");
	fine =
	    fine && first_vector(&j->diffusion, vector, s.d[1], e) && learner_add(&j->diffusion.learner, j->rows, s, 0, e);
	learner_weight *w = fine ? learner_find(&j->diffusion.learner, j->rows) : NULL;
	for (int i = 0; w && i < s.d[0]; i++) memcpy(w->value + (size_t)i * width, vector, width * sizeof *vector);
	free(vector);
	return fine;
}

static tensor build(void *context, nn *n, int count, int height, int width)
{
	inversion *j = context;
	error e = { 0 };
	tensor loss = diffusion_build(&j->diffusion, n, count, height, width);
	if (!failed(graph_error(n->g)) && !add_rows(j, n->g, &e)) graph_fail(n->g, "%s", e.text);
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

static bool finish(void *context, const char *path, error *e)
{
	const inversion *j = context;
	const learner_weight *w = learner_find(&j->diffusion.learner, j->rows);
	const float *values = j->diffusion.options->use_ema && w->average ? w->average : w->value;
	int64_t dims[] = { w->shape.d[0], w->shape.d[1] };
	weights_writer *out = weights_writer_new(path, e);
	if (out && weights_writer_declare(out, j->diffusion.conditions.word.name, F32, 2, dims, e) &&
	    weights_writer_append(out, values, shape_count(w->shape) * sizeof *values, e))
		return weights_writer_finish(out, e);
	weights_writer_abort(out);
	return false;
}

static bool validate(void *context, const char *path, error *e)
{
	const inversion *j = context;
	return validation_draw(&j->diffusion, NULL, path, e);
}

bool train_embedding(const train_options *o, const training_listener *l, error *e)
{
	inversion j = { 0 };
	diffusion *d = &j.diffusion;
	bool fine = diffusion_open(d, o, false, true, l, e);
	d->conditions.word = (new_word){ o->placeholder_token, 0, (int)o->num_vectors };
	data_options source = data_options_of(o, l, d->learner.family.size);
	fine = fine && survey_source(o, &source, l, e) && diffusion_prepare_latents(d, &source, l, e);
	task t = { .learner = &d->learner, .context = &j, .build = build, .fill = fill_inputs, .finish = finish };
	if (*o->validation_prompts) t.validate = validate;
	fine = fine && train(&t, o, &source, l, e);
	diffusion_close(d);
	return fine;
}
