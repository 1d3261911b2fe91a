/* validation.c - sample pictures of a run, drawn by the pipeline. */
#include "base/text.h"
#include "train/objective/validation.h"
#include "io/picture.h"
#include "pipeline/engine.h"
#include "pipeline/grid.h"
#include "train/run/setup.h"
#include <stdlib.h>
#include <string.h>

static bool bind_current(void *context, const char *name, shape s, dtype *d, const void **at, error *e)
{
	const learner_weight *w = learner_find(context, name);
	if (!learner_bind(context, name, s, d, at, e)) return false;
	if (w->value) *at = w->average ? w->average : w->value; /* the host's, wherever they are trained */
	return true;
}

/* The vectors of a word that learns. */
static embeddings words_of(const diffusion *d)
{
	const learner *m = &d->learner;
	embeddings y = { .words = (new_word *)&d->conditions.word, .count = d->conditions.word.count > 0 };
	for (int i = 0; y.count && i < m->count; i++) {
		const learner_weight *w = &m->weights[i];
		role r = family_role_of(&m->family, w->name);
		if (!ends_in(w->name, ".new_words") || r < TEXT_ENCODER || r >= FAMILY_ROLES) continue;
		y.rows[r - TEXT_ENCODER] = w->average ? w->average : w->value;
		y.width[r - TEXT_ENCODER] = w->shape.d[1];
		y.row_count = w->shape.d[0];
	}
	return y;
}

/* One picture for each of the prompts, which are parted by '|'. */
static bool draw_all(const model *m, const train_options *o, char *prompts, int count, sumi_image **pictures, error *e)
{
	sumi_options *how = calloc((size_t)count, sizeof *how);
	const sumi_options **list = calloc((size_t)count, sizeof *list);
	session *s = how && list ? session_open(m, 0, false, e) : NULL;
	if (!how || !list) fail(e, NO_MEMORY, "no memory for %d prompts", count);
	int n = 0;
	for (char *at = prompts, *next; s && at && n < count; at = next, n++) {
		if ((next = strchr(at, '|'))) *next++ = 0;
		how[n] = sumi_defaults();
		how[n].prompt = at;
		how[n].steps = (int)o->validation_inference_steps;
		how[n].guidance = o->validation_guidance;
		how[n].seed = o->seed & 0xffffffff;
		list[n] = &how[n];
	}
	bool fine = s && engine_draw(s, list, count, pictures, e);
	session_close(s);
	free(list);
	free(how);
	return fine;
}

/* In rows of as many as make the whole about square. */
static bool write_grid(sumi_image **pictures, int count, const char *path, error *e)
{
	int columns = 1;
	while (columns * columns < count) columns++;
	sumi_image *grid = image_grid((const sumi_image *const *)pictures, count, columns, 0, e);
	picture p = { 0 };
	if (grid) p = (picture){ .width = grid->width, .height = grid->height, .rgb = grid->pixels };
	bool fine = grid && picture_write(&p, path, NULL, 0, e);
	sumi_image_free(grid);
	return fine;
}

bool validation_draw(const diffusion *d, lora *trained, const char *path, error *e)
{
	const train_options *o = d->options;
	adapter_file file = { .set = trained };
	model m = { .family = d->learner.family,
		.path = (char *)"",
		.name = "training",
		.tokenizers = { d->conditions.texts.tokenizers[0], d->conditions.texts.tokenizers[1],
		    d->conditions.texts.tokenizers[2] },
		.words = words_of(d),
		.compute = d->compute,
		.backend = learner_backend(&d->learner),
		.threads = threads_of(o),
		.lasting = { &file, trained != NULL },
		.bind = bind_current,
		.bind_context = (void *)(uintptr_t)&d->learner };
	size_t most = 1;
	for (const char *c = o->validation_prompts; *c; c++) most += *c == '|';
	char *prompts = strdup(o->validation_prompts);
	sumi_image **pictures = calloc(most, sizeof *pictures);
	bool fine = (prompts && pictures) || fail(e, NO_MEMORY, "no memory for prompts");
	fine = fine && draw_all(&m, o, prompts, (int)most, pictures, e) && write_grid(pictures, (int)most, path, e);
	for (size_t i = 0; pictures && i < most; i++) sumi_image_free(pictures[i]);
	free(pictures);
	free(prompts);
	return fine;
}
