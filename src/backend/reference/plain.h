/* plain.h - the plain kernels, one for each operation, as reference.c calls them.
 *
 * A plain kernel sees real: every floating input and the result are arrays of `real`, whatever the node's dtype is
 * (reference.c widens and rounds); only ids stay I32. The kernels of move.c, cast.c and update.c see the bytes as they
 * are. Semantics are the opcode's comment in graph.h. The result may lie where an input lies wherever that file allows
 * it, so such kernels read an element, or what a statistic needs, before they write it. Sums are in double. Threads
 * share out whole results, never one sum, so their number changes no bit. */
#ifndef SUMI_BACKEND_REFERENCE_PLAIN_H
#define SUMI_BACKEND_REFERENCE_PLAIN_H
#include "backend/share.h"

typedef bool plain(const call *c);           /* false: an id outside the embedding's table */
typedef size_t plain_scratch(const call *c); /* bytes at c->scratch */

/* broadcast.c */
plain plain_add, plain_mul, plain_sum_to, plain_spread;
/* elementwise.c */
plain plain_affine, plain_activation, plain_activation_grad, plain_geglu, plain_geglu_grad;
/* move.c: bytes as they are */
plain plain_fill, plain_view, plain_permute, plain_slice, plain_pad, plain_concat, plain_resize, plain_embedding;
/* sample.c */
plain plain_resize_grad, plain_pool, plain_pool_grad;
/* matmul.c */
plain plain_matmul;
double dot(const real *a, const real *b, size_t n);
/* convolution.c */
plain plain_conv, plain_conv_dx, plain_conv_dw;
plain_scratch conv_scratch;
/* norm.c */
plain plain_norm, plain_norm_dx, plain_norm_dw, plain_norm_sums;
plain_scratch norm_scratch;
/* rms_norm.c */
plain plain_rms_norm, plain_rms_norm_dx, plain_rms_norm_dw;
plain_scratch rms_norm_scratch;
/* attention.c */
plain plain_attention, plain_attention_grad;
plain_scratch attention_scratch, attention_grad_scratch;
/* embedding.c */
plain plain_embedding_grad, plain_relative_buckets, plain_timestep_embedding;
/* update.c, update_8bit.c: what changes weights */
plain plain_sum_squares, plain_clip, plain_accumulate, plain_sgd, plain_adamw, plain_adamw_8bit, plain_adafactor;
plain_scratch squares_scratch;
/* cast.c */
plain plain_cast;

#endif
