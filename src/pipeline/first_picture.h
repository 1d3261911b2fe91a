/* first_picture.h - the picture that a job begins from and its mask, prepared as A1111 prepares them: brought to the
 * job's size, extended, the mask blurred, what lies under it filled, the part to be painted cut out; and how the result
 * is put back, so that what is not painted keeps its bytes.
 *
 * Source: A1111's modules/processing.py, masking.py and images.py. */
#ifndef SUMI_PIPELINE_FIRST_PICTURE_H
#define SUMI_PIPELINE_FIRST_PICTURE_H
#include "checkpoint/caller.h"
#include <sumi.h>

typedef enum mask_filling { ORIGINAL_FILL, SURROUNDING_FILL, LATENT_NOISE_FILL, LATENT_NOTHING_FILL } mask_filling;
const char *mask_filling_name(mask_filling f); /* as the option has it, and A1111 */

struct job;

/* Width and height of the picture to begin from with what extends it; whether anything does. */
bool first_picture_size(const sumi_options *o, int sides[2]);
/* Checks the options and prepares both pictures: from then on the job's options name these. */
bool first_picture_prepare(struct job *j, const watcher *w, error *e);
void first_picture_free(struct job *j); /* zeros are fine */
/* The job's picture of values [height][width][3] in −1 … 1. The caller frees it with sumi_image_free(). */
sumi_image *first_picture_finish(const struct job *j, const float *values, error *e);

#endif
