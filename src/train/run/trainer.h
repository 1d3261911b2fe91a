/* trainer.h - the loop that all jobs share: batches to losses to gradients to weights, with a log, checkpoints and an
 * orderly end. A job says what a batch's graph is and how it is filled; the loop knows nothing of pictures. */
#ifndef SUMI_TRAIN_TRAINER_H
#define SUMI_TRAIN_TRAINER_H
#include "train/data/data.h"
#include "train/run/learner.h"
#include "train/run/listener.h"
#include "train/run/options.h"

typedef struct task {
	learner *learner; /* with its trained weights and averages */
	void *context;
	/* Builds the inputs and the loss [1] for batches of this many samples of this size. */
	tensor (*build)(void *context, nn *n, int count, int height, int width);
	/* From step changes_at on there is another graph: change() receives before each build() whether it is the later
	 * one. NULL: there is one graph. */
	void (*change)(void *context, bool later);
	int64_t changes_at;
	/* Writes the inputs of such a graph for a batch. */
	bool (*fill)(void *context, graph *g, const data_batch *b, error *e);
	/* Writes the finished model; called after the last step, by one process. */
	bool (*finish)(void *context, const char *path, error *e);
	/* Draws samples to `path`, a PNG; NULL: there is nothing to see. */
	bool (*validate)(void *context, const char *path, error *e);
	const lora_training *training;   /* low-rank paths; NULL: none */
	size_t (*others)(void *context); /* bytes that the task keeps besides while it trains; NULL: none */
} task;

/* Reports what memory the steps will take, before anything of it is allocated and any picture encoded; refuses what the
 * system does not have, with the figures. With --plan that is all: *done is true then. */
bool train_plan(const task *t, const train_options *o, const data_options *source, const training_listener *l,
    bool *done, error *e);

/* Runs o->max_train_steps in all, from the checkpoint that o names, if any. `source` gives the data options apart from
 * first_batch, rank and ranks. Fails with STOPPED after a stop that was asked for, when all is saved. A loss or a
 * gradient that is not finite ends the run before it touches a weight, naming the step and the tensor. */
bool train(const task *t, const train_options *o, const data_options *source, const training_listener *l, error *e);

#endif
