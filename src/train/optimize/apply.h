/* apply.h - the second half of a step as a graph, in the backend's memory: the norms of the gradients, clipping, and
 * the optimizer's change of every weight; and sums of many arrays, for gradients over batches and for averages. */
#ifndef SUMI_TRAIN_APPLY_H
#define SUMI_TRAIN_APPLY_H
#include "train/optimize/optimizer.h"

enum { GROUPS = 2 }; /* weights whose gradients are clipped together; 0 is the model */

typedef struct change { /* one weight */
	const char *name;
	shape shape;
	float *weight, *gradient; /* in the backend's memory; gradient NULL: none, the weight stays */
	int group;
	double rate; /* times the step's */
} change;

typedef struct apply apply;

/* list[i] is the optimizer's tensor i. `list` is read here alone; the arrays live as long as it. NULL: failed. */
apply *apply_new(const optimizer *o, const backend *b, int threads, const change *list, int count, error *e);
void apply_free(apply *a);                                     /* NULL is fine */
bool apply_fallbacks(const apply *a, char *text, size_t room); /* graph_fallbacks() of it */

/* Changes the weights by gradients that are sums of `parts`, each group scaled so that its norm is at most `most`
 * (0: any). norms: of the gradients / parts, before that. A norm that is not finite stops it before any weight is
 * touched: then *finite is false, and nothing has failed. */
bool apply_run(
    apply *a, optimizer *o, double rate, double parts, double most, double norms[GROUPS], bool *finite, error *e);

/* to[i] = keep·to[i] + take·from[i] for arrays of the backend's memory; from[i] NULL: to[i] stays. */
typedef struct blend blend;
blend *blend_new(
    const backend *b, int threads, float *const *to, float *const *from, const shape *shapes, int count, error *e);
bool blend_run(blend *b, double keep, double take, error *e);
void blend_free(blend *b);

#endif
