/* internal.h - what a graph is made of; seen by src/graph and its tests alone. */
#ifndef SUMI_GRAPH_INTERNAL_H
#define SUMI_GRAPH_INTERNAL_H
#include "graph/ops.h"

/* Where a node's values are. A VIEW, or a CAST that changes nothing, has another node's memory: `base` and the byte
 * offset in it. */
typedef struct place {
	tensor base;
	size_t offset;
	bool alive;      /* something that the caller keeps or watches depends on it */
	bool constant;   /* depends on nothing that changes between runs: computed once, by graph_allocate */
	bool persistent; /* constant, and read by runs: stays */
	bool unaligned;  /* a bound parameter whose address is no multiple of its element's size */
	bool told;       /* watched, or seen through a watched view: never constant */
	const void *bound;
	int step;            /* that computes it, where it is not constant */
	tensor next_watched; /* of the same step; 0: none */
	size_t at;           /* byte offset in the arena, the constants or the set-up memory */
	char *data;          /* set by graph_allocate; of a base */
} place;

typedef struct step { /* one node to compute */
	tensor node;
	const kernel *kernel;
	call call;
	size_t scratch_bytes, scratch_at, packed_bytes, packed_at;
	tensor watched; /* the first of those that this step completes; 0: none */
	double seconds;
} step;

/* Folding is a list of its own: compute a constant node, or pack a weight for a step of the run. */
typedef struct fold {
	bool pack;
	int step; /* index in constant_steps, or in steps where it packs */
} fold;

struct graph {
	error error;
	dtype compute;
	node *nodes; /* nodes[0] is none */
	place *places;
	int count, capacity; /* count includes nodes[0] */

	struct text *texts; /* every name, freed with the graph */
	char scope[512];
	const char *scope_name; /* scope without the last point, interned */
	int scope_ends[32], depth;

	tensor *gradient; /* while gradients() works: of each node, and whether anyone wants it */
	bool *wanted;
	int gradient_capacity;

	bool recompute;
	int block, blocks, block_depth; /* the open block, 0: none; blocks made so far; pairs that are open */

	step *steps, *constant_steps;
	fold *folds;
	int step_count, constant_step_count, fold_count;
	size_t arena_bytes, constant_bytes, setup_bytes, live_bytes;
	char *arena, *constants;
	bool compiled, profile;
};

size_t node_bytes(const graph *g, tensor t);
bool broadcasts(shape small, shape big); /* small's axes, aligned at the last, are equal, 1 or missing */
/* A value to place: alive from step `first` to step `last`, both included. */
typedef struct buffer {
	size_t bytes, at;
	int first, last;
} buffer;
/* Gives each buffer an offset (multiple of 64) such that buffers alive at the same time do not overlap; returns the
 * end of the highest. false in *ok: out of memory. */
size_t place_buffers(buffer *list, int n, bool *ok);
void fuse(graph *g); /* residuals and activations into MATMUL and CONV; after marking what is alive */
void mark_alive(graph *g);
bool plan(graph *g, error *e); /* places every value of the steps */

#endif
