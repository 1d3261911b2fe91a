/* attention.h - attention by our own kernels, where a row that prefers cuDNN cannot have it. */
#ifndef SUMI_BACKEND_CUDA_ATTENTION_H
#define SUMI_BACKEND_CUDA_ATTENTION_H
#include "backend/cuda/gpu.h"

/* Both for BF16, heads up to 512 wide; c->scratch: as many bytes as the function says. */
bool run_own_attention(const call *c, error *e);
bool run_own_attention_gradient(const call *c, error *e);
size_t own_attention_gradient_scratch(const call *c);

#endif
