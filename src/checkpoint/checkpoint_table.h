/* checkpoint_table.h - what a checkpoint is made of; for the files checkpoint*.c alone. */
#ifndef SUMI_CHECKPOINT_CHECKPOINT_TABLE_H
#define SUMI_CHECKPOINT_CHECKPOINT_TABLE_H
#include "checkpoint/checkpoint.h"

typedef struct entry {
	char *key; /* owned: of the single-file layout */
	const weight *weight;
	bool known; /* a network reads it */
} entry;

typedef struct merged_weight { /* in the place of a file's (merge.h) */
	weight weight;
	struct merged_weight *next;
	unsigned char values[];
} merged_weight;

struct checkpoint {
	weights *files[FAMILY_ROLES]; /* a single file (or its shards) is the first; a folder has one for each role */
	component components[FAMILY_ROLES];
	entry *entries; /* in the files' order */
	entry **sorted; /* by key */
	size_t count, room;
	family family;
	const char *evidence;
	bool folder;
	json_t *scheduler; /* of a folder; NULL: none */
	merged_weight *merged;
};

/* The first in `sorted` whose key is not less; the count where there is none. */
size_t checkpoint_place(const checkpoint *c, const char *key);
/* Opens the files of a diffusers folder and reads its configuration. */
bool checkpoint_read_folder(checkpoint *c, const char *path, error *e);

#endif
