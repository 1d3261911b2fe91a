/* merge.h - works LoRA files into the weights of an open checkpoint for good. */
#ifndef SUMI_CHECKPOINT_MERGE_H
#define SUMI_CHECKPOINT_MERGE_H
#include "checkpoint/checkpoint.h"
#include <sumi.h>

/* Each of `loras` is "FILE" or "FILE:WEIGHT", as in sumi_model_options. Weights that are changed lie in memory from
 * then on, in the type that they had (f32 where `exact`, but for text encoders). The listener, which may be NULL,
 * receives warnings of what is not used. */
bool checkpoint_merge(
    checkpoint *c, const char *const *loras, int count, bool exact, const sumi_listener *listener, error *e);

#endif
