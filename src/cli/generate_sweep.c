/* generate_sweep.c - sumi generate --grid: every combination of some options' values, as one labelled picture. */
#include "cli/generate.h"
#include "cli/wildcards.h"
#include <stdlib.h>
#include <string.h>

int generate_axes(const generate_settings *s, axis axes[2])
{
	if (s->grid.count > 2) return complain(2, "--grid: at most two options, in columns and rows");
	for (int k = 0; k < s->grid.count; k++) {
		int code = axis_read(&axes[k], s->grid.item[k]);
		for (int i = 0; !code && i < axes[k].count; i++) {
			generate_settings one = *s;
			code = generate_set(&one, "--grid", axes[k].name, axes[k].value[i]);
		}
		if (code) return code;
	}
	return 0;
}

/* Picture i of the sweep; false: it failed, and a message was printed. */
static bool sweep_options(sumi_options *o, const generate_settings *s, const axis axes[2], int i, filled_texts *texts)
{
	generate_settings one = *s;
	int at[2] = { i % axes[0].count, i / axes[0].count };
	for (int k = 0; k < 2 && axes[k].count; k++)
		if (generate_set(&one, "--grid", axes[k].name, axes[k].value[at[k]])) return false;
	generate_options(o, &one);
	return wildcards_fill_options(o, s->wildcards, texts);
}

void generate_sweep(sumi_model *model, const generate_settings *s, const sumi_options *common, const axis axes[2],
    viewer *v, sumi_error *e)
{
	int rows = axes[1].count ? axes[1].count : 1, count = axes[0].count * rows;
	sumi_options *each = calloc((size_t)count, sizeof *each);
	const sumi_options **list = calloc((size_t)count, sizeof *list);
	sumi_image **pictures = calloc((size_t)count, sizeof *pictures);
	filled_texts texts = { 0 };
	sumi_session *session = sumi_session_open(model, NULL, e);
	generate_settings seeded = *s;
	seeded.seed = choose_seed(s->seed);
	if (!each || !list || !pictures) *e = (sumi_error){ SUMI_NO_MEMORY, "out of memory" };
	for (int i = 0; !e->status && i < count; i++) {
		each[i] = *common;
		list[i] = &each[i];
		if (!sweep_options(&each[i], &seeded, axes, i, &texts)) *e = (sumi_error){ .status = SUMI_BAD_FILE };
	}
	if (!e->status) sumi_session_draw_batch(session, list, count, pictures, e);
	progress_end(&v->progress);
	sumi_image *grid = e->status ? NULL : labelled_grid(pictures, &axes[0], &axes[1], e);
	if (grid && pictures[0]->parameters) grid->parameters = strdup(pictures[0]->parameters);
	for (int i = 0; pictures && i < count; i++) sumi_image_free(pictures[i]);
	if (grid) write_pictures(&grid, 0, 1, s, v, e);
	sumi_session_close(session);
	filled_texts_free(&texts);
	free(each);
	free(list);
	free(pictures);
}
