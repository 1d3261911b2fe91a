/* api_change.c - the public functions that make another picture of one: resized, its edges. */
#include "checkpoint/caller.h"
#include "io/canny.h"
#include "io/picture.h"
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 65535 }; /* pixels to a side */

/* What was made of `from`, with its seed and text; `made` is taken. NULL: out of memory. */
static sumi_image *hand_over(picture *made, const sumi_image *from, error *e)
{
	sumi_image *image = calloc(1, sizeof *image);
	char *text = image && from->parameters ? strdup(from->parameters) : NULL;
	if (!image || (from->parameters && !text)) {
		free(image);
		picture_free(made);
		return fail(e, NO_MEMORY, "out of memory for a picture"), NULL;
	}
	*image = (sumi_image){ .size = sizeof *image,
		.width = made->width,
		.height = made->height,
		.pixels = made->rgb,
		.seed = from->seed,
		.parameters = text };
	return image;
}

static sumi_image *resize(const sumi_image *given, int width, int height, error *e)
{
	sumi_image from;
	picture made;
	if (!adopt_image(&from, given, "the picture to resize", e)) return NULL;
	if (width < 1 || height < 1 || width > LONGEST || height > LONGEST)
		return fail(e, BAD_USAGE, "a size of %d×%d: 1 to %d a side", width, height, LONGEST), NULL;
	picture p = { .width = from.width, .height = from.height, .rgb = from.pixels };
	return picture_resize(&made, &p, width, height, LANCZOS, e) ? hand_over(&made, &from, e) : NULL;
}

sumi_image *sumi_image_resize(const sumi_image *given, int width, int height, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image *image = failed(&own) ? NULL : resize(given, width, height, &own);
	tell_caller(e, &own);
	return image;
}

static sumi_image *edges(const sumi_image *given, int low, int high, error *e)
{
	sumi_image from;
	picture made;
	if (!adopt_image(&from, given, "the picture with edges", e)) return NULL;
	if (low < 0 || low > high)
		return fail(e, BAD_USAGE, "thresholds of edges %d and %d: the smaller first, and not below 0", low, high), NULL;
	picture p = { .width = from.width, .height = from.height, .rgb = from.pixels };
	return picture_edges(&made, &p, low, high, e) ? hand_over(&made, &from, e) : NULL;
}

sumi_image *sumi_image_edges(const sumi_image *given, int low, int high, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image *image = failed(&own) ? NULL : edges(given, low, high, &own);
	tell_caller(e, &own);
	return image;
}
