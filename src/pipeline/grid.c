/* grid.c - lays pictures out in rows. */
#include "pipeline/grid.h"
#include "checkpoint/caller.h"
#include <stdlib.h>
#include <string.h>

enum { LONGEST_SIDE = 65535 };

static void paste(sumi_image *to, const sumi_image *p, int left, int top)
{
	for (int y = 0; y < p->height; y++)
		memcpy(to->pixels + 3 * ((size_t)(top + y) * (size_t)to->width + (size_t)left),
		    p->pixels + 3 * (size_t)y * (size_t)p->width, 3 * (size_t)p->width);
}

sumi_image *image_grid(const sumi_image *const *pictures, int count, int columns, int gap, error *e)
{
	if (!pictures || count < 1 || columns < 1 || gap < 0 || gap > 1024)
		return fail(e, BAD_USAGE, "a grid of %d pictures in %d columns, %d apart, is none", count, columns, gap), NULL;
	for (int i = 0; i < count; i++) {
		sumi_image own;
		if (!adopt_image(&own, pictures[i], "a picture of the grid", e)) return NULL;
	}
	if (columns > count) columns = count;
	int64_t cell_width = 0, cell_height = 0, rows = (count + columns - 1) / columns;
	for (int i = 0; i < count; i++) {
		if (pictures[i]->width > cell_width) cell_width = pictures[i]->width;
		if (pictures[i]->height > cell_height) cell_height = pictures[i]->height;
	}
	int64_t width = columns * (cell_width + gap) - gap, height = rows * (cell_height + gap) - gap;
	if (width > LONGEST_SIDE || height > LONGEST_SIDE)
		return fail(e, BAD_USAGE, "a grid of %lld×%lld pixels: at most %d a side", (long long)width, (long long)height,
		           LONGEST_SIDE),
		       NULL;
	sumi_image *to = calloc(1, sizeof *to);
	size_t bytes = (size_t)width * (size_t)height * 3;
	if (to)
		*to = (sumi_image){
			.width = (int)width, .height = (int)height, .pixels = malloc(bytes), .seed = -1, .size = sizeof *to
		};
	if (!to || !to->pixels) {
		free(to);
		return fail(e, NO_MEMORY, "out of memory for a grid of %lld×%lld", (long long)width, (long long)height), NULL;
	}
	memset(to->pixels, 255, bytes);
	for (int i = 0; i < count; i++)
		paste(to, pictures[i], (int)(i % columns * (cell_width + gap) + (cell_width - pictures[i]->width) / 2),
		    (int)(i / columns * (cell_height + gap) + (cell_height - pictures[i]->height) / 2));
	return to;
}
