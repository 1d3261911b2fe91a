/* validation.c - sample pictures of a run, drawn by the pipeline. */
#include "train/validation.h"
#include "io/picture.h"
#include "pipeline/generate.h"
#include "train/jobs.h"
#include <stdlib.h>
#include <string.h>

static bool bind_current(void *context, const char *name, shape s, dtype *d, const void **at, error *e)
{
	const learner_weight *w = learner_find(context, name);
	if (!learner_bind(context, name, s, d, at, e)) return false;
	if (w->average) *at = w->average;
	return true;
}

/* The vectors of a word that learns. */
static embeddings words_of(const diffusion *d)
{
	const learner *m = &d->learner;
	for (int i = 0; d->word.count && i < m->count; i++) {
		const learner_weight *w = &m->weights[i];
		if (!strstr(w->name, ".new_words")) continue;
		return (embeddings){ .words = (new_word *)&d->word,
			.count = 1,
			.rows = w->average ? w->average : w->value,
			.row_count = w->shape.d[0],
			.width = w->shape.d[1] };
	}
	return (embeddings){ 0 };
}

/* Rows of as many as make the whole about square. */
static bool place(picture *grid, const sumi_image *one, int number, int count, error *e)
{
	int columns = 1;
	while (columns * columns < count) columns++;
	int rows = (count + columns - 1) / columns;
	if (!grid->rgb) {
		if (!picture_new(grid, columns * one->width, rows * one->height, e)) return false;
		memset(grid->rgb, 255, (size_t)grid->width * (size_t)grid->height * 3);
	}
	size_t line = (size_t)one->width * 3, left = (size_t)(number % columns) * line;
	size_t top = (size_t)(number / columns * one->height);
	for (size_t y = 0; y < (size_t)one->height; y++)
		memcpy(grid->rgb + (top + y) * (size_t)grid->width * 3 + left, one->pixels + y * line, line);
	return true;
}

static bool draw_all(model *m, const train_options *o, char *prompts, picture *grid, error *e)
{
	sumi_options how = sumi_defaults();
	how.steps = (int)o->validation_inference_steps;
	how.guidance = o->validation_guidance;
	how.seed = o->seed & 0xffffffff;
	int count = 1, number = 0;
	for (const char *c = prompts; *c; c++) count += *c == '|';
	for (char *at = prompts, *next; at; at = next, number++) {
		if ((next = strchr(at, '|'))) *next++ = 0;
		how.prompt = at;
		sumi_image *one = generate(m, &how, e);
		bool fine = one && place(grid, one, number, count, e);
		sumi_image_free(one);
		if (!fine) return false;
	}
	return true;
}

bool validation_draw(const diffusion *d, lora *trained, const char *path, error *e)
{
	const train_options *o = d->options;
	adapter_file file = { .set = trained, .strength = 1 };
	model m = { .family = d->learner.family,
		.path = (char *)"",
		.name = "training",
		.tokenizer = d->tokenizer,
		.words = words_of(d),
		.compute = d->compute,
		.threads = threads_of(o),
		.lasting = { &file, trained != NULL },
		.bind = bind_current,
		.bind_context = (void *)(uintptr_t)&d->learner };
	picture grid = { 0 };
	char *prompts = strdup(o->validation_prompts);
	bool fine = prompts || fail(e, NO_MEMORY, "no memory for prompts");
	fine = fine && draw_all(&m, o, prompts, &grid, e) && picture_write(&grid, path, NULL, 0, e);
	free(prompts);
	picture_free(&grid);
	return fine;
}
