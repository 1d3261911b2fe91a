/* finite.h - never a black picture in silence: what is NaN or infinite is found where it first appears. */
#ifndef SUMI_PIPELINE_FINITE_H
#define SUMI_PIPELINE_FINITE_H
#include "checkpoint/model.h"

/* Whether all n values are numbers; else a failure that says what they are ("the decoded picture") and where the first
 * lies that is none. */
bool all_finite(const float *values, size_t n, const char *what, error *e);

/* After such a failure: look through the weights of a model, without its LoRA files, or through all tensors of a file,
 * and add to the message which one holds the first NaN or infinity. False: none does, or there is no file (NULL). */
bool blame_weights(const model *m, error *e);
bool blame_file(const weights *file, error *e);

#endif
