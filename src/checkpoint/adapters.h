/* adapters.h - LoRA files that are in use with a model: opened and resolved to its weights. */
#ifndef SUMI_CHECKPOINT_ADAPTERS_H
#define SUMI_CHECKPOINT_ADAPTERS_H
#include "io/weights.h"
#include "models/families.h"
#include "nn/lora.h"

typedef struct adapter_file {
	char *path; /* NULL: it lies in memory alone */
	weights *file;
	lora *set;
	char *strengths; /* how strongly, as it was given: models/lora_strengths.h */
	char doubt[300]; /* a warning to the user; "" if there is none */
} adapter_file;

typedef struct adapter_list {
	adapter_file *files;
	int count;
} adapter_list;

/* Opens one more: a file, or a folder as PEFT and diffusers write them, applied as strongly as this says (NULL: 1).
 * lora_matched() and lora_unmatched() of its set
 * say what of it will be used. NULL: failed; a file of which nothing can be used is BAD_FILE. The pointer is valid
 * until the next call. */
const adapter_file *adapters_add(adapter_list *l, const family *f, const char *path, const char *strengths, error *e);
/* "FILE" or "FILE:WEIGHTS" taken apart: the shortest path before a colon (or all) where something is; where there is
 * nothing, what does not look like weights. *strengths is "1" where there are none. */
bool adapter_argument(const char *text, char *path, size_t size, const char **strengths, error *e);
void adapters_close(adapter_list *l);

/* Both lists as one array for nn.h, which the caller frees; NULL with *count 0 where both are empty. */
bool adapters_join(const adapter_list *a, const adapter_list *b, adapted **all, int *count, error *e);

#endif
