/* squares.h - for tests that train: small sets of coloured squares, runs by options, and the mean colour of what a
 * model draws. */
#ifndef SUMI_TESTS_SQUARES_H
#define SUMI_TESTS_SQUARES_H
#include "scratch.h"
#include "checkpoint/model.h"
#include "io/picture.h"
#include "train/run/jobs.h"
#include <math.h>
#include <sys/stat.h>

enum { SIDE = 16 };

/* ── pictures ── */
__attribute__((unused)) static const uint8_t red[] = { 210, 30, 30 }, green[] = { 30, 200, 40 },
                                             blue[] = { 30, 40, 210 };

/* Three squares of about this colour, with their caption in a text file each. */
__attribute__((unused)) static void write_squares(
    const char *folder, const char *name, const uint8_t colour[3], const char *caption)
{
	error e = { 0 };
	mkdir(scratch_path(folder), 0777);
	for (int i = 0; i < 3; i++) {
		char file[64];
		picture p;
		assert_true(picture_new(&p, SIDE, SIDE, &e));
		for (int k = 0; k < SIDE * SIDE * 3; k++) p.rgb[k] = (uint8_t)(colour[k % 3] + 10 * (i - 1));
		snprintf(file, sizeof file, "%s/%s%d.png", folder, name, i);
		assert_true(picture_write(&p, scratch_path(file), NULL, 0, &e));
		picture_free(&p);
		snprintf(file, sizeof file, "%s/%s%d.txt", folder, name, i);
		scratch_write(file, caption, strlen(caption));
	}
}

/* ── runs ── */
/* Options as "name=value", up to NULL; values that name files are in the scratch folder. */
__attribute__((unused)) static void set_options(train_options *o, training_job kind, const char *const *settings)
{
	error e = { 0 };
	static const char *const files[] = { "train_data_dir", "class_data_dir", "output", "model", "vae", "clip_l",
		"clip_g", "t5xxl" };
	assert_true(train_options_make(o, kind, &e));
	for (; *settings; settings++) {
		char name[64];
		const char *value = strchr(*settings, '=') + 1;
		snprintf(name, sizeof name, "%.*s", (int)(value - 1 - *settings), *settings);
		for (size_t i = 0; i < sizeof files / sizeof *files; i++)
			if (!strcmp(name, files[i]) && *value != '/') value = scratch_path(value);
		if (!train_options_set(o, kind, name, value, &e)) fail_saying("%s\n", e.text);
	}
}

__attribute__((unused)) static void run(training_job kind, const char *const *settings)
{
	error e = { 0 };
	train_options o;
	set_options(&o, kind, settings);
	if (!train_run(kind, &o, NULL, &e)) fail_saying("%s\n", e.text);
	train_options_free(&o);
}
#define RUN(kind, ...) run(kind, (const char *const[]){ __VA_ARGS__, "threads=1", NULL })

/* ── what a model draws ── */
typedef struct colour {
	double r, g, b;
} colour;

__attribute__((unused)) static double redness(colour c) { return c.r - (c.g + c.b) / 2; }

__attribute__((unused)) static colour mean(const uint8_t *rgb, int x, int y, int stride)
{
	double sum[3] = { 0 };
	for (int i = 0; i < SIDE * SIDE * 3; i++)
		sum[i % 3] += rgb[((y + i / 3 / SIDE) * stride + x + i / 3 % SIDE) * 3 + i % 3];
	return (colour){ sum[0] / (SIDE * SIDE), sum[1] / (SIDE * SIDE), sum[2] / (SIDE * SIDE) };
}

/* Over some seeds. lora and words may be NULL. */
__attribute__((unused)) static colour drawn(const char *file, const char *prompt, const char *added, const char *words)
{
	error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.threads = 1;
	how.type = "f32";
	how.embedding_folder = words;
	how.loras = &added;
	how.lora_count = added != NULL;
	model *m = model_open(file, &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	sumi_options o = sumi_defaults();
	o.prompt = prompt;
	o.steps = 8;
	o.guidance = 1;
	colour all = { 0 };
	for (o.seed = 0; o.seed < 3; o.seed++) {
		sumi_error own = { 0 };
		sumi_image *image = sumi_generate(m, &o, &own);
		if (!image) fail_saying("%s\n", own.text);
		colour c = mean(image->pixels, 0, 0, SIDE);
		all = (colour){ all.r + c.r / 3, all.g + c.g / 3, all.b + c.b / 3 };
		sumi_image_free(image);
	}
	model_close(m);
	return all;
}

#endif
