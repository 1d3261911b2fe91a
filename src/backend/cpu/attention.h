/* attention.h - fused attention: what a set of instructions provides (attention_body.h) and what the rows
 * (attention.c) share out among threads. No matrix of queries × keys is stored; scores live in blocks. */
#ifndef SUMI_BACKEND_CPU_ATTENTION_H
#define SUMI_BACKEND_CPU_ATTENTION_H
#include "graph/graph.h"

typedef struct attention_shape {
	size_t batch, queries, keys, heads, width; /* width: of a head */
	float scale;
	bool causal;       /* query i sees keys 0 … i */
	dtype dtype;       /* of all tensors, F32 or BF16 */
	const float *bias; /* [biases,heads,queries,keys], added to the scores (forward alone); NULL: none */
	size_t biases;     /* 1: for all of the batch */
} attention_shape;

enum { BLOCK_QUERIES = 48, BLOCK_KEYS = 96 };

typedef struct attention_code {
	size_t block;                                        /* queries that forward computes at once */
	size_t (*packed_floats)(const attention_shape *s);   /* a head's keys and values, packed */
	size_t (*forward_floats)(const attention_shape *s);  /* room for a thread */
	size_t (*backward_floats)(const attention_shape *s); /* room for a thread */
	void (*pack)(const attention_shape *s, size_t image, size_t head, const void *k, const void *v, float *packed);
	/* The results of `block` queries from `first` on, or fewer at the end. */
	void (*forward)(const attention_shape *s, size_t image, size_t head, size_t first, const void *q,
	    const float *packed, void *out, float *room);
	/* dq, dk and dv of a head; in: q, k, v, o, do. */
	void (*backward)(
	    const attention_shape *s, size_t image, size_t head, const void *const *in, void *const *out, float *room);
} attention_code;

extern const attention_code attention_avx2, attention_avx512;
extern const attention_code attention_avx512bf16, attention_amx; /* BF16 forward alone: no backward */

#endif
