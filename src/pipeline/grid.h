/* grid.h - several pictures as one. */
#ifndef SUMI_PIPELINE_GRID_H
#define SUMI_PIPELINE_GRID_H
#include "base/error.h"
#include <sumi.h>

/* In rows of `columns`, on white, `gap` pixels between them; each in the middle of a cell that holds the largest. */
sumi_image *image_grid(const sumi_image *const *pictures, int count, int columns, int gap, error *e);

#endif
