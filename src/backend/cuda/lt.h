/* lt.h - matrix products by cuBLASLt. */
#ifndef SUMI_BACKEND_CUDA_LT_H
#define SUMI_BACKEND_CUDA_LT_H
#include "backend/cuda/device.h"

/* Gives the GPU its products. True where cuBLASLt is missing too: then rows that need it do not fit. */
bool lt_attach(gpu *g, const cuda_stream *stream, error *e);

#endif
