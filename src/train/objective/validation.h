/* validation.h - what a model that is being trained draws now: the pipeline runs on the weights in memory, averages
 * where there are any. Nothing of the run changes by it. */
#ifndef SUMI_TRAIN_VALIDATION_H
#define SUMI_TRAIN_VALIDATION_H
#include "checkpoint/adapters.h"
#include "models/controlnet.h"
#include "train/objective/diffusion.h"
#include <sumi.h>

/* What learns, besides weights of the model's own names. */
typedef struct validation_of {
	lora *paths;                      /* low-rank paths; NULL: none */
	const controlnet_config *control; /* a control network, whose weights are the learner's; NULL: none */
	const sumi_image *const *hints;   /* what it reads for each of the prompts */
} validation_of;

int validation_count(const char *given); /* --validation_prompts, or _images, that '|' separates */
/* One picture for each of the prompts, with the run's seed, as one PNG; to the left of each its hint, if any. */
bool validation_draw(const diffusion *d, const validation_of *what, const char *path, error *e);

#endif
