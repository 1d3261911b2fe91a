/* shards.h - the weights of one part of a diffusers folder as one file, or as several with an index, where one would be
 * larger than a limit. */
#ifndef SUMI_CHECKPOINT_SHARDS_H
#define SUMI_CHECKPOINT_SHARDS_H
#include "checkpoint/outputs.h"

/* Writes FOLDER/NAME.safetensors; or, where its tensors take more than `most` bytes, NAME-00001-of-0000N.safetensors, …
 * and, last, NAME.safetensors.index.json, in the form of Hugging Face's libraries: tensors in their order, as many to a
 * shard as fit, and one that is larger than `most` alone. What an earlier call left of the other form, or of more
 * shards, is removed, so that no reader takes it for a part of this. */
bool shards_write(const outputs *o, const char *folder, const char *name, uint64_t most, const checkpoint *source,
    outputs_progress *p, error *e);

#endif
