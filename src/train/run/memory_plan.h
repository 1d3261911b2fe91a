/* memory_plan.h - the memory that the steps of a run take, part by part, and whether there is so much. */
#ifndef SUMI_TRAIN_MEMORY_PLAN_H
#define SUMI_TRAIN_MEMORY_PLAN_H
#include "graph/graph.h"

/* Bytes that steps with batches of a shape take. The mapped checkpoint is not counted: its pages can be dropped. */
typedef struct memory_plan {
	size_t weights;   /* masters and averages of what is trained, and sums of gradients over batches */
	size_t optimizer; /* its state */
	size_t frozen;    /* weights that are not trained, as they are computed with */
	size_t values;    /* of a step: activations, gradients, trained weights as they are computed with */
	size_t others;    /* what the task keeps besides: text encoders at work */
} memory_plan;

size_t memory_plan_total(const memory_plan *p);
void memory_plan_text(const memory_plan *p, char text[200]); /* the parts, in MiB */
/* Refuses what is more than the device has (NULL: the host), with the figures. more: besides what is there already. */
bool memory_plan_fits(const memory_plan *p, const device *d, bool more, int count, int height, int width, error *e);

#endif
