/* extract.h - the difference of two checkpoints of one kind as a LoRA file. */
#ifndef SUMI_CHECKPOINT_EXTRACT_H
#define SUMI_CHECKPOINT_EXTRACT_H
#include "checkpoint/caller.h"

/* As sumi_lora_extract(); `o` is whole. */
bool file_extract(const char *tuned, const char *base, const char *path, const sumi_extract_options *o, char **report,
    const watcher *w, error *e);

#endif
