/* nccl.h - GPUs of several processes by NCCL. */
#ifndef SUMI_BACKEND_CUDA_NCCL_H
#define SUMI_BACKEND_CUDA_NCCL_H
#include "backend/peers.h"

extern const peer_functions nccl_peers; /* of a device whose context is a gpu with NVIDIA's driver */

#endif
