/* learner.h - the weights of a run: f32 masters of what is trained, with their average where there is one, and the rest
 * as it lies in the file that it came from. Graphs of any shape bind to them. */
#ifndef SUMI_TRAIN_LEARNER_H
#define SUMI_TRAIN_LEARNER_H
#include "models/diffusers.h"

/* Some of a weight's rows, where its file has it in pieces (models/diffusers.h). */
typedef struct learner_piece {
	const void *bytes;
	dtype dtype;
	int rows;
	bool swapped;
} learner_piece;

typedef struct learner_weight {
	char *name; /* key of the single-file layout */
	shape shape;
	bool trained, buffer;
	bool helper; /* serves training alone: not part of the model that is written */
	int group;   /* weights of a group are clipped together; 0 is the model, 1 what it plays against, with no average */
	double rate; /* its learning rate, in the run's; 0 is 1 */
	float *value;  /* f32 master; NULL: frozen */
	bool unfilled; /* value has its memory, and not yet its numbers: they are `bytes`, or drawn by seed and start */
	uint64_t seed;
	initial start;
	bool zero;
	float *average; /* exponential average of value; NULL: none */
	/* The same two where training changes them: in the backend's memory. Where that is the host's, they are one. */
	float *own_value, *own_average;
	const void *bytes; /* of a frozen weight: in a file that is kept open, or owned */
	/* One behind the other they are the weight: joined to value or, of a frozen weight, to owned bytes, when it is
	 * filled. */
	learner_piece pieces[MAX_PIECES];
	int piece_count;
	dtype dtype; /* of bytes */
	bool owned;
} learner_weight;

typedef struct learner {
	family family;
	char *vocabulary; /* WordPiece, a token a line; NULL: the tokenizer's own */
	learner_weight *weights;
	int count, capacity;
	const backend *backend; /* that trains; NULL: the CPU's */
} learner;                  /* {0} is empty */

const backend *learner_backend(const learner *m);
/* Gives trained weights their memory in the backend, where they have none yet, with their values. */
bool learner_settle(learner *m, error *e);
bool learner_upload(learner *m, error *e);   /* values and averages of the host to the backend's memory */
bool learner_download(learner *m, error *e); /* and back: before the host reads what training has changed */

void learner_free(learner *m);
/* Adds the weights of a component. From `lookup` (the tensors of a file, by key) where it is not NULL: every one must
 * be there with its shape. Else new ones, by the seed. Frozen ones are referred to; trained ones get their memory, but
 * their values only when they are asked for: a plan of what will not fit touches none of it. */
bool learner_add_part(learner *m, role r, bool trained, tensor_lookup *lookup, void *context, uint64_t seed, error *e);
/* Widens and copies, or draws, what trained weights begin with, where that was not done yet. */
void learner_fill(learner *m);
/* One more trained weight, added to the family's own, with every element `value`. */
bool learner_add(learner *m, const char *name, shape s, float value, error *e);
/* A frozen weight that serves training alone; `bytes` stay the caller's. */
bool learner_add_helper(learner *m, const char *name, shape s, dtype d, const void *bytes, error *e);
/* What begins so is not trained after all. */
void learner_freeze(learner *m, const char *beginning);
bool learner_start_average(learner *m, error *e); /* average = value, for all trained weights; settles them */

learner_weight *learner_find(const learner *m, const char *name); /* NULL: none */
int64_t learner_parameters(const learner *m, bool trained_only);  /* how many numbers */
size_t learner_joined_bytes(const learner *m); /* that frozen weights take which their files have in pieces */
bool learner_bind(void *m, const char *name, shape s, dtype *d, const void **data, error *e); /* a bind_fn */
/* The same, for a graph that is compiled before the values are needed: learner_fill() before it runs. */
bool learner_bind_unfilled(void *m, const char *name, shape s, dtype *d, const void **data, error *e);
/* The weights that are trained, in the order of weights: their indices, and their nodes in a graph, whose flag is set;
 * 0 where a graph does without one. Returns how many. Both arrays hold `count` elements at least. */
int learner_mark_trained(const learner *m, graph *g, tensor *nodes, int *indices);

#endif
