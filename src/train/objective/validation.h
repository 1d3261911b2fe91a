/* validation.h - what a model that is being trained draws now: the pipeline runs on the weights in memory, averages
 * where there are any. Nothing of the run changes by it. */
#ifndef SUMI_TRAIN_VALIDATION_H
#define SUMI_TRAIN_VALIDATION_H
#include "checkpoint/adapters.h"
#include "train/objective/diffusion.h"

/* One picture for each of --validation_prompts, with the run's seed, as one PNG. `trained`: the low-rank paths that
 * learn; NULL: none. */
bool validation_draw(const diffusion *d, lora *trained, const char *path, error *e);

#endif
