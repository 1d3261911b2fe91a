/* lora.h - adapters: files that change a model's weights by few numbers. LoRA (arXiv 2106.09685), W' = W +
 * strength·(alpha/rank)·up·down, and the kinds that LyCORIS, PEFT and kohya's scripts write besides: LoCon, LoHa, LoKr,
 * DoRA, GLoRA, (IA)³, OFT, BOFT, and whole differences. The layers of nn.h apply them; models need no code for them.
 *
 * Sampling: an adapter is read from a file in any of the known spellings, its modules are resolved to the weights
 * that they change, and the change is built as nodes which the graph folds once. Training: a path x → down → up is
 * added in parallel to each chosen layer, with parameters of its own.
 *
 * Where tools disagree: DoRA at another strength than 1 is W + strength·(W' − W), as A1111 and ComfyUI have it; the
 * lengths are those of W + change, as in the paper, on whichever axis the file has them. OFT, BOFT and the rest are as
 * LyCORIS merges them. */
#ifndef SUMI_NN_LORA_H
#define SUMI_NN_LORA_H
#include "graph/graph.h"

/* ── a file's adapters ── */
typedef struct lora lora;

lora *lora_new(void); /* NULL: out of memory */
void lora_free(lora *l);
/* Takes one tensor of the file; `data` stays the caller's and must live as long as graphs read it. The key is a module
 * and one of the endings in lora_keys.c. A key that ends in none of them is kept as one that is not used. False only
 * when memory is out or the dtype cannot be a factor's. */
bool lora_add(lora *l, const char *key, dtype d, shape s, const void *data, error *e);

/* What files say about alpha elsewhere than in tensors: after the last lora_add. */
int lora_modules(const lora *l);
const char *lora_module(const lora *l, int i);                       /* as the file spells it */
bool lora_has_alpha(const lora *l, int i);                           /* a tensor says it, or its kind needs none */
int lora_rank(const lora *l, int i);                                 /* 0: it has none */
void lora_set_alpha(lora *l, int i, float alpha, bool root_of_rank); /* root_of_rank: scaled by alpha/√rank */

/* A weight that a module changes, or rows of it: `rows` from `first` (0: all), where a checkpoint has fused what the
 * adapter has apart. */
typedef struct lora_target {
	const char *weight; /* whole name, "….proj_in.weight"; copied. NULL: the module is unknown */
	shape shape;        /* of the whole weight, of one axis or more */
	int first, rows;
	bool bias;    /* "….proj_in.bias" is there too */
	bool swapped; /* the adapter has the two halves of the rows exchanged */
} lora_target;
typedef lora_target lora_resolve_fn(void *context, const char *module);
/* Finds each module's weight and checks the shapes against it. What is incomplete, unknown or does not fit is set aside
 * as unmatched. Call it once, after the last lora_add and lora_set_alpha. */
bool lora_resolve(lora *l, lora_resolve_fn *resolve, void *context, error *e);
int lora_matched(const lora *l);                       /* adapters that will be applied */
int lora_unmatched(const lora *l);                     /* keys and modules that will not */
const char *lora_unmatched_name(const lora *l, int i); /* "NAME: why not"; owned by the set */

/* What the strength of each adapter is multiplied by: `weigh` is asked for the weight (or bias) that it changes. After
 * lora_resolve(); without it, 1. An adapter of strength 0 is left out. */
typedef float lora_weigh_fn(void *context, const char *weight);
void lora_weigh(lora *l, lora_weigh_fn *weigh, void *context);

typedef struct adapted { /* a set and how strongly it is applied */
	const lora *set;
	float strength;
} adapted;

/* The weight or bias `name` (relative to the scope) as its adapters change it, in full precision; w itself where there
 * is none. Makes parameters named "<name>.lora.<set>.<adapter>.<part>", such as "….down" and "….up". */
tensor lora_merge(graph *g, const adapted *sets, int count, const char *name, tensor w);
/* Binds such a parameter; false: the name is not one. */
bool lora_bind(const adapted *sets, int count, const char *name, dtype *d, const void **data);

/* ── training ── */
typedef struct lora_training {
	int rank;
	float alpha;   /* the path is scaled by alpha/rank */
	float dropout; /* > 0: the values between down and up are multiplied by an input named "<weight>.lora_dropout",
	                * of their shape, which the trainer fills with 0 or 1/(1−dropout) before each step */
	bool (*chosen)(void *context, const char *weight, shape s); /* which weights get a path; NULL: all */
	void *context;
} lora_training;

/* y + path(x): parameters "<weight>.lora_down" [rank,in] or [rank,in,k,k] and "<weight>.lora_up" [out,rank], trainable;
 * y itself where there is no training or the weight is not wanted. */
tensor lora_linear(graph *g, const lora_training *t, const char *name, tensor x, tensor y);
tensor lora_conv2d(graph *g, const lora_training *t, const char *name, tensor x, tensor y, int size, int stride,
    int before, int after);

#endif
