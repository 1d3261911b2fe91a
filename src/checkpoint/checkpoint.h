/* checkpoint.h - a model's tensors by their single-file keys, whatever they lie in: one file, shards, or a diffusers
 * folder; and what the file says of itself. */
#ifndef SUMI_CHECKPOINT_CHECKPOINT_H
#define SUMI_CHECKPOINT_CHECKPOINT_H
#include "checkpoint/component.h"
#include <jansson.h>

typedef struct checkpoint checkpoint;

/* BAD_FILE where it cannot be read as tensors, or the family is not recognised. */
checkpoint *checkpoint_open(const char *path, error *e);
void checkpoint_close(checkpoint *c); /* NULL is fine */

const family *checkpoint_family(const checkpoint *c);
/* What the family was recognised by: "its tensors", "its metadata", "the JSON file of its name", "the folder's
 * configuration". */
const char *checkpoint_evidence(const checkpoint *c);

/* Tensors; the name of a weight is the file's, `key` that of the single-file layout, whatever dialect the file has. */
size_t checkpoint_count(const checkpoint *c);
const weight *checkpoint_at(const checkpoint *c, size_t i, const char **key);
const weight *checkpoint_find(const checkpoint *c, const char *key); /* NULL: none */
bool checkpoint_is_folder(const checkpoint *c);
/* Where this component's weights lie; from is NULL where the checkpoint does not have it. */
const component *checkpoint_component(const checkpoint *c, role r);
bool checkpoint_lookup(void *context, const char *key, dtype *d, shape *s, const void **data); /* a tensor_lookup */
/* scheduler/scheduler_config.json; NULL: there is none. */
const json_t *checkpoint_scheduler(const checkpoint *c);
const char *checkpoint_metadata(const checkpoint *c, const char *key);
void checkpoint_advise_unused(const checkpoint *c, const void *data, size_t bytes);

/* ── is everything there? ── */
typedef enum flaw { MISSING, MISSHAPED, MISTYPED, UNEXPECTED, FLAWS } flaw;
/* `text` says it whole: "key: shape [2, 3] in the file, [3, 2] expected". */
typedef void flaw_fn(void *context, flaw f, const char *text);
/* Compares the file with what those of the family's networks read that are in it; reports every flaw. UNEXPECTED is
 * harmless. *parameters is the number of weights that these networks have. */
bool checkpoint_check(const checkpoint *c, flaw_fn *report, void *context, uint64_t *parameters, error *e);

#endif
