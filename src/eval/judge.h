/* judge.h - which real picture is nearest to a drawn one: distances in a feature space, and what follows from them. */
#ifndef SUMI_EVAL_JUDGE_H
#define SUMI_EVAL_JUDGE_H
#include "eval/set.h"
#include <stddef.h>

typedef struct references {
	const example_set *set;
	const float *features; /* [set->count][width], borrowed */
	size_t width;
} references;

typedef struct verdict {
	int nearest;       /* the nearest picture of all */
	int rank;          /* how many are nearer than the wanted one: 0 is right. Equal pictures do not count */
	int group_rank;    /* … than the nearest of the wanted one's group */
	bool variant;      /* of the wanted one's group, the nearest has the wanted variant */
	bool group_judged; /* the wanted one has a group and a variant; else the two above say nothing */
} verdict;

/* By squared Euclidean distance; `distances` is scratch, [set->count]. */
verdict judge(const references *r, const float *features, int wanted, double *distances);

#endif
