/* nn.h - layers. Each names its weights once, where it uses them, by the original checkpoint's key relative to the
 * graph's scope: nn_linear(n, "proj_in", x, 320, true) reads "<scope>proj_in.weight" and "<scope>proj_in.bias".
 *
 * Weights are cast to what their layer's input is in, biases and the parameters of norms to full precision. Adapters
 * (lora.h) are applied here, so models need no code for them. Activations are channels last, as graph.h says. */
#ifndef SUMI_NN_H
#define SUMI_NN_H
#include "graph/graph.h"
#include "nn/lora.h"
#include "nn/word_maps.h"

/* How a parameter starts in a new model. */
typedef struct initial {
	enum { CONSTANT_START, UNIFORM_START, NORMAL_START, COUNTING_START, SINUSOID_START } kind;
	float value; /* the constant; the bound of ±bound; the standard deviation; none: 0, 1, 2, …; the distance of
	              * neighbours in a square table of positions (mmdit.h) */
} initial;

/* Of a parameter that its file holds in pieces: some of its rows. */
typedef struct row_piece {
	int rows;
	bool swapped; /* the piece has its two halves exchanged */
} row_piece;
enum { NN_PIECES = 3 };

/* A network that is run over a picture in tiles normalises by the statistics of the whole picture, which its caller
 * collects (pipeline/tiles.h): in channel c, over the tile's own places, the sums of x are sums[1], and of x²
 * sums[0]/sums[3] + sums[1]·sums[2]. */
enum { MOST_SHARED_NORMS = 96 };
typedef struct shared_norm {
	/* Input [1,2,C], of the channel's group: mean, and 1/√(variance + ε). Or, where `relative` is 1, how both differ
	 * from the input's own: by how many standard deviations the mean is off, and the factor of the other. */
	tensor given;
	tensor sums; /* kept: group_norm_sums() [1,4,C] */
	int groups;
	double places; /* its places for one of the tile's */
	float epsilon;
} shared_norm;
typedef struct shared_norms {
	tensor own;      /* input [1,h,w,1]: 1 at the tile's own places, 0 where it overlaps with a neighbour's */
	tensor relative; /* input [1]: 1 or 0 */
	int count;
	shared_norm of[MOST_SHARED_NORMS];
} shared_norms;

/* Tokens of images to which attention to a context attends too (models/ip_adapter.h), with keys and values of its own,
 * the weights "to_k_ip.<weights>" and "to_v_ip.<weights>". */
enum { IMAGE_MASKS = 8 };
typedef struct image_prompt {
	tensor tokens;    /* [N,T,width] */
	tensor strengths; /* flat, [N] for each of the network's blocks: how much of what it gives is added there */
	uint64_t absent;  /* bit i: block i does not attend to it at all */
	int weights;      /* those of the same number are the same */
	/* How strong it is at each place, [N,places,1] for every number of places that attends. None: it is so everywhere.
	 */
	tensor masks[IMAGE_MASKS];
	int mask_count;
} image_prompt;

typedef struct nn { /* what a build carries along; zero but for g is a plain model */
	graph *g;
	const adapted *adapters; /* merged into the weights in this order */
	int adapter_count;
	bool wide_sums;                /* keeps residual sums in full precision: guidance multiplies their rounding */
	const lora_training *training; /* adds trainable low-rank paths; NULL: none */
	shared_norms *shared;          /* group norms enter themselves here; NULL: each by its input's statistics */
	/* Words learned later (text/new_words.h): rows added to a table of tokens, the parameter "<table>.new_words"
	 * [new_words,width]. new_word_ids I32, of the ids' shape: 1 + row, or 0 where the id is the table's own. 0: none.
	 */
	int new_words;
	tensor new_word_ids;
	/* [1,1,1]: this share of what self-attention gives, and the rest of its values as they are. 0: all of it. */
	tensor keep_attention;
	const image_prompt *images;
	int image_count, image_block; /* of them; the number of the block that attends to them next, 0 … 63 */
	word_maps *maps;              /* attention to a context enters itself here; NULL: it is not asked for */
	/* Says in how many pieces the file has the parameter of this whole name, and what each is, one behind the other; 0:
	 * it is whole. Piece i is read as the parameter "<name>#i". May be NULL. */
	int (*pieces)(const void *file, const char *name, shape s, row_piece pieces[NN_PIECES]);
	const void *file;
	/* Called for each parameter that a layer names, each time, with its whole name. May be NULL. */
	void (*parameter)(void *context, const char *name, shape s, initial i);
	/* Called for the result of each block, with the block's scope. May be NULL. */
	void (*block)(void *context, const char *scope, tensor result);
	void *context; /* of both */
} nn;

/* What residual sums are kept in: full precision, or what the graph computes in. */
dtype nn_sums(const nn *n);

/* A parameter as it is: cast it. The others allow for the adapters; `weight` casts to what the graph computes in,
 * `vector` to full precision. */
tensor nn_parameter(nn *n, const char *name, shape s, initial i);
tensor nn_weight(nn *n, const char *name, shape s, initial i);
tensor nn_vector(nn *n, const char *name, int count, initial i);
void nn_block(nn *n, tensor result); /* calls n->block */

/* x [..,in] → [..,out]; weight [out,in] */
tensor nn_linear(nn *n, const char *name, tensor x, int out, bool bias);
/* The same, with bias, and a weight of `axes` axes: [out,in], [out,in,1] or [out,in,1,1]. */
tensor nn_pointwise(nn *n, const char *name, tensor x, int out, int axes);
/* [N,H,W,in] → [N,H,W,out]; weight [out,in,size,size], a bias, `size`/2 zeros around */
tensor nn_conv2d(nn *n, const char *name, tensor x, int out, int size);
/* … with a stride; `before` zeros above and on the left, `after` below and on the right */
tensor nn_conv2d_strided(
    nn *n, const char *name, tensor x, int out, int size, int stride, int before, int after, bool bias);
tensor nn_group_norm(nn *n, const char *name, tensor x, int groups, float epsilon, activation a);
tensor nn_layer_norm(nn *n, const char *name, tensor x, float epsilon);
tensor nn_rms_norm(nn *n, const char *name, tensor x, float epsilon); /* no bias */
/* ids (I32) [..] → [..,width]; weight [rows,width], which starts as normal values of this standard deviation */
tensor nn_embedding(nn *n, const char *name, tensor ids, int rows, int width, float deviation);
/* GEGLU to `inner` and back, as "net.0.proj" and "net.2" under `name` */
tensor nn_feed_forward_geglu(nn *n, const char *name, tensor x, int inner);
/* to_q, to_k, to_v without bias, attention, to_out (named `out_name`, with bias); context 0: x itself.
 * x [N,T,C], context [N,S,D] */
tensor nn_attention(nn *n, const char *name, tensor x, tensor context, int heads, int head_width, const char *out_name);

#endif
