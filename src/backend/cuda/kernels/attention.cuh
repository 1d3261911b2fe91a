/* attention.cuh - what the kernels of attention share: where heads and rows lie, and which keys a query sees. A block's
 * second index is its head, counted over all items. */
#ifndef SUMI_BACKEND_CUDA_ATTENTION_KERNELS_H
#define SUMI_BACKEND_CUDA_ATTENTION_KERNELS_H
#include "backend/cuda/kernels/kernel.cuh"

/* Row `i` of this block's head in [N, T, heads·width]. */
template <class T> DEVICE const T *row_at(const void *x, const attention_params &p, uint32_t tokens, uint32_t i)
{
	size_t n = blockIdx.y / p.heads, head = blockIdx.y % p.heads;
	return (const T *)x + ((n * tokens + i) * p.heads + head) * p.width;
}

/* Keys that the query sees: 0 … seen−1. */
DEVICE uint32_t seen_by(const attention_params &p, uint32_t query)
{
	return p.causal && query + 1 < p.keys ? query + 1 : p.keys;
}

/* What is added to the scores of a query, at key 0. */
DEVICE const float *bias_of(const attention_params &p, uint32_t query)
{
	size_t n = blockIdx.y / p.heads % p.biases, head = blockIdx.y % p.heads;
	return p.bias + ((n * p.heads + head) * p.queries + query) * p.keys;
}

#endif
