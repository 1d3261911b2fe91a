/* internal.h - what a graph is made of; seen by src/graph and its tests alone. */
#ifndef SUMI_GRAPH_INTERNAL_H
#define SUMI_GRAPH_INTERNAL_H
#include "graph/ops.h"

/* A graph's values lie in the memory of its backend; in the host's, where the backend has a device, lie frozen
 * parameters and what the fallback computes. Without a device there is one memory, the host's, which is OWN. */
enum { OWN, HOST, MEMORIES };

/* Where a node's values are. A VIEW, or a CAST that changes nothing, has another node's memory: `base` and the byte
 * offset in it. */
typedef struct place {
	tensor base;
	size_t offset;
	bool alive;      /* something that the caller keeps or watches depends on it */
	bool constant;   /* depends on nothing that changes between runs: computed once, by graph_allocate */
	bool persistent; /* constant, and read by runs: stays */
	bool unaligned;  /* a bound parameter whose address is no multiple of its element's size */
	int memory;      /* OWN or HOST; of a base */
	tensor twin;     /* of a base: its COPY in the other memory; 0: none */
	bool fresh;      /* the twin has its value, as far as steps are made */
	bool told;       /* watched, or seen through a watched view: never constant */
	const void *bound;
	int packs;           /* 1 + the last step that packs it, of a constant; 0: none does */
	int step;            /* that computes it, where it is not constant */
	int streamed;        /* 1 + its place among the streamed; 0: it stays on the device */
	tensor next_watched; /* of the same step; 0: none */
	size_t at;           /* byte offset in its memory's arena, constants or set-up memory */
	char *data;          /* set by graph_allocate; of a base */
} place;

typedef struct step { /* one node to compute, or to copy between memories */
	tensor node;      /* whose memory is written; of the COPY that takes a change back, the changed parameter */
	const kernel *kernel;
	const char *backend;
	int memory;               /* where the kernel reads and writes; of a COPY, where it writes */
	tensor reads[MAX_INPUTS]; /* bases of the inputs in that memory: those of the call's node, or their twins */
	call call;
	size_t scratch_bytes, scratch_at, packed_bytes, packed_at;
	int streamed;      /* its packed weight: as of a place */
	int packed_like;   /* 1 + the step whose packed weight it shares; 0: it has its own */
	int packed_before; /* 1 + the step before it that packs the same weight in any form; 0: none */
	tensor watched;    /* the first of those that this step completes; 0: none */
	double seconds;
} step;

/* Folding is a list of its own: compute a constant node, or pack a weight for a step of the run. */
typedef struct fold {
	bool pack;
	int step; /* index in constant_steps, or in steps where it packs */
} fold;

/* Steps first … last − 1, all in OWN, that run without the host: recorded once and replayed. */
typedef struct stretch {
	int first, last;
	int runs;
	void *recording; /* the device's; NULL: none yet */
} stretch;

/* A constant, or a packed weight, that could come to the device when it is needed. */
typedef struct streamed {
	tensor node;      /* 0: what `step` has packed */
	int step;         /* the only one that reads it */
	size_t bytes, at; /* at: in its segment */
	int segment;      /* −1: it stays on the device */
} streamed;

/* What of them comes at once, to be there from step `first` to step `last`. */
typedef struct segment {
	int first, last;
	size_t bytes, host_at; /* host_at: in page-locked memory */
} segment;

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
	stretch *stretches;
	int step_count, constant_step_count, fold_count, stretch_count;
	int step_capacity, constant_step_capacity, fold_capacity;
	const device *device; /* NULL: none, OWN is the host's memory */
	size_t arena_bytes[MEMORIES], constant_bytes[MEMORIES], setup_bytes[MEMORIES], live_bytes;
	char *arena[MEMORIES], *constants[MEMORIES];
	streamed *streamed;
	segment *segments;
	int streamed_count, segment_count, held[2]; /* held: the segment that is in a slot, or on its way there; −1: none */
	int open_segment;                           /* between its begin and its end; −1: none */
	size_t streamed_bytes, slot_bytes, slots_at; /* slots_at: in the constants */
	char *page_locked;
	void *fetcher;
	bool compiled, profile;
	int lanes; /* 0 and 1: one */
};

size_t node_bytes(const graph *g, tensor t);
bool compute(graph *g, step *s, const call *c, bool pack, error *e); /* c: the step's call, or as it is in a lane */
bool packs_in_run(const graph *g, const step *s);
int lanes_of(const graph *g);                                  /* at least 1 */
void *in_lane(const graph *g, const void *of_first, int lane); /* an address of the first lane, in another one */
bool run_lanes(graph *g, watch_fn *done, error *e);            /* as graph_run */
void free_stretches(graph *g);                                 /* with their recordings */
void free_memory(graph *g);                                    /* arenas and constants */
bool broadcasts(shape small, shape big); /* small's axes, aligned at the last, are equal, 1 or missing */
/* A value to place: alive from step `first` to step `last`, both included. */
typedef struct buffer {
	size_t bytes, at;
	int first, last;
	int memory; /* OWN or HOST */
} buffer;
/* Gives each buffer an offset (multiple of 64) such that buffers alive at the same time in the same memory do not
 * overlap, and writes the end of the highest of each memory. False: out of memory. */
bool place_buffers(buffer *list, int n, size_t top[MEMORIES]);
bool reserve_nodes(graph *g, int capacity); /* false: out of memory, which is the graph's error */
/* Moves residuals, activations and casts into the operation before them; mark_alive() comes first. */
void fuse(graph *g, const backend *b);
void mark_alive(graph *g);
bool plan(graph *g, error *e); /* places every value of the steps */
void plan_constants(graph *g); /* and constants alone: those that are not streamed */

/* ── streamed.c ── */
bool allocate_streamed(graph *g, error *e);
void free_streamed(graph *g);
bool keep_streamed(const graph *g, const step *s, bool pack, error *e); /* after each fold */
bool begin_segment(graph *g, int i, error *e);                          /* before its first step */
bool end_segment(graph *g, int i, error *e);                            /* after its last */

#endif
