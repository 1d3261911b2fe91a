/* adapters.h - LoRA files that are in use with a model: opened, resolved to its weights, and told what matched. */
#ifndef SUMI_PIPELINE_ADAPTERS_H
#define SUMI_PIPELINE_ADAPTERS_H
#include "io/weights.h"
#include "models/families.h"
#include "nn/lora.h"

typedef struct adapter_file {
	char *path;
	weights *file;
	lora *set;
	float strength;
} adapter_file;

typedef struct adapter_list {
	adapter_file *files;
	int count;
} adapter_list;

/* Opens one more. *matched and *unmatched count its adapters that change a weight of this family, and those that do
 * not; `first` is the name of one that does not, or NULL. A file of which nothing matches is BAD_FILE. */
bool adapters_add(adapter_list *l, const family *f, const char *path, float strength, int *matched, int *unmatched,
    const char **first, error *e);
void adapters_close(adapter_list *l);

/* Both lists as one array for nn.h, which the caller frees; NULL with *count 0 where both are empty. */
bool adapters_join(const adapter_list *a, const adapter_list *b, adapted **all, int *count, error *e);

#endif
