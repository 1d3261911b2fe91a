/* fetch.h - weights that come to the GPU while it computes. */
#ifndef SUMI_BACKEND_CUDA_FETCH_H
#define SUMI_BACKEND_CUDA_FETCH_H
#include "graph/graph.h"

extern const fetch_functions cuda_fetch; /* of a device whose context is a gpu with NVIDIA's driver */

#endif
