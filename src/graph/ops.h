/* ops.h - what the graph knows of an operation, and what the files in ops/ and the passes share. */
#ifndef SUMI_GRAPH_OPS_H
#define SUMI_GRAPH_OPS_H
#include "graph/graph.h"

typedef struct operation {
	const char *name;
	/* Writes the gradient in other operations: dy is the gradient of node y; add_gradient() hands shares to the
	 * inputs. NULL: none (then a path through it that needs one is an error). */
	void (*gradient)(graph *g, tensor y, tensor dy);
	unsigned in_place; /* bit i: the result may take the memory of in[i] where size and dtype are the same */
	unsigned writes;   /* bit i: in[i], a trainable parameter, is changed where it lies */
} operation;
extern const operation operations[OPS];

/* Appends a node, whose dtype and shape are its first input's where it has none; 0 after a failure or where one of the
 * first `needed` inputs is 0. */
tensor emit(graph *g, int needed, node n);
/* Hands a share of the gradient of t; what nobody asked for is dropped. */
void add_gradient(graph *g, tensor t, tensor share);
bool wants_gradient(const graph *g, tensor t);   /* lets a rule skip what nobody asked for; false for 0 */
tensor sum_in_full(graph *g, tensor x, shape s); /* sum_to() stored in full precision, as a weight's gradient is */

/* The rules, by file. */
void gradient_of_view(graph *, tensor, tensor), gradient_of_cast(graph *, tensor, tensor);
void gradient_of_add(graph *, tensor, tensor), gradient_of_mul(graph *, tensor, tensor);
void gradient_of_affine(graph *, tensor, tensor), gradient_of_activation(graph *, tensor, tensor);
void gradient_of_geglu(graph *, tensor, tensor);
void gradient_of_sum_to(graph *, tensor, tensor), gradient_of_spread(graph *, tensor, tensor);
void gradient_of_permute(graph *, tensor, tensor), gradient_of_slice(graph *, tensor, tensor);
void gradient_of_pad(graph *, tensor, tensor), gradient_of_concat(graph *, tensor, tensor);
void gradient_of_resize(graph *, tensor, tensor), gradient_of_pool(graph *, tensor, tensor);
void gradient_of_matmul(graph *, tensor, tensor), gradient_of_conv(graph *, tensor, tensor);
void gradient_of_group_norm(graph *, tensor, tensor), gradient_of_layer_norm(graph *, tensor, tensor);
void gradient_of_rms_norm(graph *, tensor, tensor);
void gradient_of_attention(graph *, tensor, tensor), gradient_of_embedding(graph *, tensor, tensor);

#endif
