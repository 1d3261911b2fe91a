/* validation.c - sample pictures of a run, drawn by the pipeline. */
#include "base/text.h"
#include "checkpoint/control.h"
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
static bool draw_all(const model *m, const train_options *o, char *prompts, int count, const sumi_image *const *hints,
    sumi_image **pictures, error *e)
{
	sumi_options *how = calloc((size_t)count, sizeof *how);
	const sumi_options **list = calloc((size_t)count, sizeof *list);
	sumi_control *control = calloc((size_t)count, sizeof *control);
	const sumi_control **controls = calloc((size_t)count, sizeof *controls);
	session *s = how && list && control && controls ? session_open(m, 0, false, e) : NULL;
	if (!s) fail(e, NO_MEMORY, "no memory for %d prompts", count);
	int n = 0;
	for (char *at = prompts, *next; s && at && n < count; at = next, n++) {
		if ((next = strchr(at, '|'))) *next++ = 0;
		how[n] = sumi_defaults();
		how[n].prompt = at;
		how[n].steps = (int)o->validation_inference_steps;
		how[n].guidance = o->validation_guidance;
		how[n].seed = o->seed & 0xffffffff;
		control[n] = sumi_control_defaults();
		control[n].path = ""; /* the model's, which is being trained */
		if (hints) control[n].image = hints[n];
		controls[n] = &control[n];
		how[n].controls = &controls[n];
		how[n].control_count = hints != NULL;
		list[n] = &how[n];
	}
	bool fine = s && engine_draw(s, list, count, pictures, e);
	session_close(s);
	free(controls);
	free(control);
	free(list);
	free(how);
	return fine;
}

/* In rows of as many as make the whole about square; with hints a row for each, its hint first. */
static bool write_grid(sumi_image **pictures, int count, const sumi_image *const *hints, const char *path, error *e)
{
	int columns = 1;
	while (columns * columns < count) columns++;
	const sumi_image **cells = calloc(2 * (size_t)count, sizeof *cells);
	if (!cells) return fail(e, NO_MEMORY, "no memory for %d pictures", count);
	for (int i = 0; i < count; i++) {
		cells[hints ? 2 * i + 1 : i] = pictures[i];
		if (hints) cells[2 * i] = hints[i];
	}
	sumi_image *grid = hints ? image_grid(cells, 2 * count, 2, 0, e) : image_grid(cells, count, columns, 0, e);
	picture p = { 0 };
	if (grid) p = (picture){ .width = grid->width, .height = grid->height, .rgb = grid->pixels };
	bool fine = grid && picture_write(&p, path, NULL, 0, e);
	sumi_image_free(grid);
	free(cells);
	return fine;
}

int validation_count(const char *given)
{
	int count = 1;
	for (const char *c = given; *c; c++) count += *c == '|';
	return count;
}

static bool draw_sheet(const model *m, const validation_of *what, const train_options *o, const char *path, error *e)
{
	int count = validation_count(o->validation_prompts);
	char *prompts = strdup(o->validation_prompts);
	sumi_image **pictures = calloc((size_t)count, sizeof *pictures);
	bool fine = (prompts && pictures) || fail(e, NO_MEMORY, "no memory for prompts");
	fine = fine && draw_all(m, o, prompts, count, what->hints, pictures, e) &&
	       write_grid(pictures, count, what->hints, path, e);
	for (int i = 0; pictures && i < count; i++) sumi_image_free(pictures[i]);
	free(pictures);
	free(prompts);
	return fine;
}

bool validation_draw(const diffusion *d, const validation_of *what, const char *path, error *e)
{
	const train_options *o = d->options;
	void *learns = (void *)(uintptr_t)&d->learner;
	adapter_file file = { .set = what->paths };
	control_file *control = what->control ? control_in_memory(what->control, bind_current, learns, e) : NULL;
	model m = { .family = d->learner.family,
		.path = (char *)"",
		.name = "training",
		.tokenizers = { d->conditions.texts.tokenizers[0], d->conditions.texts.tokenizers[1],
		    d->conditions.texts.tokenizers[2] },
		.words = words_of(d),
		.compute = d->compute,
		.backend = learner_backend(&d->learner),
		.threads = threads_of(o),
		.lasting = { &file, what->paths != NULL },
		.control = control,
		.bind = bind_current,
		.bind_context = learns };
	bool fine = (control || !what->control) && draw_sheet(&m, what, o, path, e);
	control_close(control);
	return fine;
}
